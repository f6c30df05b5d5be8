"""Penalties Ω(w) on the coefficients of one fit; the intercept is never penalised. A penalty is one class.

Coefficients ``w`` have shape (..., k, d) or (..., d); every parameter of a penalty is a number or an array that
broadcasts with them. A penalty has a smooth part with gradient and curvature, and a rest with a prox (Parikh & Boyd,
*Proximal Algorithms*, 2014). Bounds are part of a penalty: Ω = ∞ beyond them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from .protocol import Array

__all__ = ["PENALTIES", "ElasticNet", "GroupLasso", "Penalty", "ThetaPenalty"]

Number: TypeAlias = float | Array


class Penalty(Protocol):
    """What a penalty must provide."""

    @property
    def smooth(self) -> bool: ...  # no more than the smooth part
    @property
    def separable(self) -> bool: ...  # a sum over coefficients
    @property
    def l1_only(self) -> bool: ...  # L1 is all that has no gradient
    @property
    def curvature(self) -> Number: ...  # of the smooth part, for each coefficient
    @property
    def none(self) -> bool: ...  # Ω = 0 everywhere

    def value(self, w: Array) -> Array: ...  # Ω(w), summed over the last axis
    def grad(self, w: Array) -> Array: ...  # gradient of the smooth part
    def prox(self, w: Array, step: Number) -> Array: ...  # argmin_v Ω(v) + Σ (v - w)²/(2 step)
    def change(self, w: Array, v: Array, slope: Array) -> Array: ...  # slope·(v - w) + Ω(v) - Ω(w) of a nonsmooth Ω
    def nonsmooth(self) -> Any: ...  # Ω without its smooth part
    def scaled(self, scale: Array) -> Any: ...  # v -> Ω(scale · v)
    def even(self, scale: Array) -> Array: ...  # the nearest scales for which `scaled` has a simple prox
    def project(self, w: Array) -> Array: ...  # the nearest point where Ω is finite
    def snap(self, w: Array) -> Array: ...  # w, with what rounding has moved off a bound or kink put back on it


@dataclass(frozen=True, eq=False)
class ElasticNet:
    """Ω(w) = Σ_j l1_j |w_j - c_j| + ½ l2_j (w_j - c_j)² within lower_j ≤ w_j ≤ upper_j (Zou & Hastie, 2005).

    Lasso (l2 = 0), ridge (l1 = 0), box constraints and a prior centre c are cases of it, and so is no penalty at all.

    Parameters
    ----------
    l1, l2 : float or ndarray, ≥ 0
    center : float or ndarray
        c, what the coefficients shrink towards.
    lower, upper : float or ndarray
    """

    l1: Number = 0.0
    l2: Number = 0.0
    center: Number = 0.0
    lower: Number = -np.inf
    upper: Number = np.inf
    separable = True

    @cached_property
    def smooth(self) -> bool:
        return not (np.any(self.l1) or self.bounded)

    @cached_property
    def bounded(self) -> bool:
        return bool(np.any(np.isfinite(self.lower)) or np.any(np.isfinite(self.upper)))

    @property
    def l1_only(self) -> bool:
        return not self.bounded

    @cached_property
    def none(self) -> bool:
        return self.smooth and not np.any(self.l2)

    @property
    def curvature(self) -> Number:
        return self.l2

    def value(self, w: Array) -> Array:
        away = w - self.center
        total = np.sum(np.abs(away) * self.l1 + 0.5 * self.l2 * away * away, axis=-1)
        if self.bounded:
            # A bound that was scaled and scaled back may be an ulp off.
            slack = 1e-12 * np.abs(w)
            inside = (w + slack >= self.lower) & (w - slack <= self.upper)
            total = np.where(np.all(inside, axis=-1), total, np.inf)
        return np.asarray(total)

    def grad(self, w: Array) -> Array:
        return np.asarray(self.l2 * (w - self.center))

    def prox(self, w: Array, step: Number) -> Array:
        away = w - self.center
        shrunk = np.sign(away) * np.maximum(np.abs(away) - np.asarray(step) * self.l1, 0)
        return self.project(self.center + shrunk / (1 + np.asarray(step) * self.l2))

    def change(self, w: Array, v: Array, slope: Array) -> Array:
        before, after = w - self.center, v - self.center
        same = before * after > 0  # on one side of the kink: one product, of which nothing cancels
        across = slope * (v - w) + self.l1 * (np.abs(after) - np.abs(before))
        return np.asarray(np.sum(np.where(same, (slope + self.l1 * np.sign(after)) * (v - w), across), axis=-1))

    def nonsmooth(self) -> ElasticNet:
        return replace(self, l2=0.0)

    def scaled(self, scale: Array) -> ElasticNet:
        return ElasticNet(
            self.l1 * scale, self.l2 * scale * scale, self.center / scale, self.lower / scale, self.upper / scale
        )

    def even(self, scale: Array) -> Array:
        return scale

    def project(self, w: Array) -> Array:
        return np.asarray(np.clip(w, self.lower, self.upper))

    def snap(self, w: Array) -> Array:
        for place in (self.center, self.lower, self.upper):
            near = np.abs(w - place) <= 4 * np.finfo(np.float64).eps * np.abs(w)
            w = np.where(near, place, w)
        return self.project(w)


@dataclass(frozen=True, eq=False)
class GroupLasso:
    """Ω(w) = Σ_g α_g ‖(scale · w)_g‖ + Σ_j ½ l2_j w_j² (Yuan & Lin, *Model selection with grouped variables*, 2006).

    Parameters
    ----------
    groups : ndarray of int of shape (d,)
        The group of each coefficient, from 0.
    alpha : ndarray of shape (G,)
        α_g, usually a strength times the root of the group's size.
    l2, scale : float or ndarray of shape (d,)
    """

    groups: Array
    alpha: Array
    l2: Number = 0.0
    scale: Number = 1.0
    smooth = False
    separable = False
    l1_only = False
    none = False

    @property
    def curvature(self) -> Number:
        return self.l2

    def _norms(self, w: Array) -> Array:
        """‖(scale · w)_g‖ of shape (..., G)."""
        squares = (self.scale * w) ** 2
        flat = squares.reshape(-1, w.shape[-1])
        sums = np.stack([np.bincount(self.groups, row, len(self.alpha)) for row in flat])
        return np.sqrt(sums).reshape(*w.shape[:-1], -1)

    def value(self, w: Array) -> Array:
        return np.asarray(self._norms(w) @ self.alpha + 0.5 * np.sum(self.l2 * w * w, axis=-1))

    def grad(self, w: Array) -> Array:
        return np.asarray(self.l2 * w)

    def prox(self, w: Array, step: Number) -> Array:
        """Needs ``scale``, ``l2`` and ``step`` that are the same within each group, as :meth:`even` makes them."""
        step = np.broadcast_to(step, w.shape)
        w = w / (1 + step * self.l2)
        scale = np.broadcast_to(self.scale, w.shape)
        norms = np.where(scale > 0, self._norms(w)[..., self.groups], 0.0)
        cut = step / (1 + step * self.l2) * scale**2 * self.alpha[self.groups]
        return np.asarray(np.where(norms > cut, w * (1 - cut / np.where(norms > 0, norms, 1)), 0.0 * w))

    def change(self, w: Array, v: Array, slope: Array) -> Array:
        return np.asarray(np.sum(slope * (v - w), axis=-1) + self.value(v) - self.value(w))

    def nonsmooth(self) -> GroupLasso:
        return replace(self, l2=0.0)

    def scaled(self, scale: Array) -> GroupLasso:
        return replace(self, l2=self.l2 * scale * scale, scale=self.scale * scale)

    def even(self, scale: Array) -> Array:
        """For θ = even·w: in each group a multiple of this penalty's own scale, so that the norm stays a norm."""
        own = np.broadcast_to(self.scale, scale.shape)
        size = np.bincount(self.groups, minlength=len(self.alpha))
        mean = np.exp(np.bincount(self.groups, np.log(scale / own), len(self.alpha)) / np.maximum(size, 1))
        return np.asarray(own * mean[self.groups])

    def project(self, w: Array) -> Array:
        return w

    def snap(self, w: Array) -> Array:
        return w


class ThetaPenalty(NamedTuple):
    """The nonsmooth part of a penalty in a solver's coordinates; intercepts have no part in it."""

    penalty: Any  # of scaled coefficients (k, d)
    free: Array  # (k, d + 1)

    def _full(self, theta: Array) -> Array:
        parts = np.zeros(self.free.shape)
        parts[self.free] = theta
        return parts

    def value(self, theta: Array) -> float:
        """Ω(θ)."""
        return float(np.sum(self.penalty.value(self._full(theta)[:, :-1])))

    def change(self, theta: Array, other: Array, slope: Array) -> float:
        """slope·(other - θ) + Ω(other) - Ω(θ), without the cancellation of two large sums."""
        own, new, slopes = self._full(theta), self._full(other), self._full(slope)
        of_intercepts = np.sum(slopes[:, -1] * (new - own)[:, -1])
        return float(np.sum(self.penalty.change(own[:, :-1], new[:, :-1], slopes[:, :-1])) + of_intercepts)

    def prox(self, theta: Array, step: Array | float) -> Array:
        """argmin_v Ω(v) + Σ (v - θ)²/(2 step)."""
        full = self._full(theta)
        steps = self._full(np.broadcast_to(step, theta.shape))
        full[:, :-1] = self.penalty.prox(full[:, :-1], steps[:, :-1])
        return np.asarray(full[self.free])

    def project(self, theta: Array) -> Array:
        """The nearest point where Ω is finite."""
        full = self._full(theta)
        full[:, :-1] = self.penalty.project(full[:, :-1])
        return np.asarray(full[self.free])

    def pieces(self) -> tuple[Array, Array, Array, Array] | None:
        """(l1, center, lower, upper), each (p,), of a separable penalty; None for another."""
        if not self.penalty.separable:
            return None
        k, d = self.free.shape
        found = []
        of_intercepts = (0.0, 0.0, -np.inf, np.inf)
        own = (self.penalty.l1, self.penalty.center, self.penalty.lower, self.penalty.upper)
        for values, rest in zip(own, of_intercepts, strict=True):
            full = np.full((k, d), rest)
            full[:, :-1] = values
            found.append(full[self.free])
        return found[0], found[1], found[2], found[3]


def l1(alpha: Number) -> ElasticNet:
    """Ω(w) = α ‖w‖₁ (Tibshirani, *Regression Shrinkage and Selection via the Lasso*, 1996)."""
    return ElasticNet(l1=alpha)


def l2(alpha: Number) -> ElasticNet:
    """Ω(w) = α/2 ‖w‖² (Hoerl & Kennard, *Ridge Regression*, 1970)."""
    return ElasticNet(l2=alpha)


def elastic_net(alpha: Number, l1_ratio: float = 0.15) -> ElasticNet:
    """Ω(w) = α (ρ ‖w‖₁ + (1 - ρ)/2 ‖w‖²)."""
    return ElasticNet(l1=alpha * l1_ratio, l2=alpha * (1 - l1_ratio))


def no_penalty(alpha: Number = 0.0) -> ElasticNet:
    """Ω(w) = 0 whatever α is."""
    return ElasticNet()


PENALTIES: dict[str | None, Callable[..., ElasticNet]] = {
    None: no_penalty,
    "l1": l1,
    "l2": l2,
    "elasticnet": elastic_net,
}
