"""Losses of classifiers. y is 0 or 1, or the number of a class."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..arrays import alike, namespace
from ..protocol import Array
from .base import Derivatives, Loss, register


@register("log_loss")
@dataclass(frozen=True)
class Logistic(Loss):
    """ℓ(y, η) = log(1 + e^η) - yη for y in {0, 1}; logit link. Stable for every finite η."""

    curvature: float = 0.25
    classification = True
    probabilities = True
    separable = True
    likelihood = True
    known_dispersion = True

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        e = xp.exp(-xp.abs(eta))  # in (0, 1]: never overflows
        value = xp.maximum(eta, 0)
        value -= y * eta
        value += xp.log1p(e)
        if order == 0:
            return Derivatives(value)
        total = 1 + e
        p = xp.where(eta >= 0, 1, e)
        p /= total
        # p(1 - p) as e/(1 + e)²: no cancellation where p is near 1
        second = e / (total * total) if order > 1 else None
        return Derivatives(value, p - y, second)

    def inverse_link(self, eta: Array) -> Array:
        xp = namespace(eta)
        e = xp.exp(-xp.abs(eta))
        return xp.where(eta >= 0, 1, e) / (1 + e)

    def link(self, mean: Array) -> Array:
        share = mean[..., 1:]  # of the second class
        return np.asarray(np.log(share / (1 - share)))


@register("multinomial")
@dataclass(frozen=True)
class Softmax(Loss):
    """ℓ(y, η) = log Σ_k e^{η_k} - η_y for y in {0, …, K-1}; K margins a row, symmetric over the classes."""

    n_outputs: int = field()
    curvature: float = 0.5
    classification = True
    probabilities = True
    gauge = True
    separable = True
    likelihood = True
    known_dispersion = True

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        z = eta - xp.max(eta, axis=-2, keepdims=True)
        own = xp.broadcast_to(y, (*z.shape[:-2], 1, z.shape[-1]))
        at_y = xp.take_along_axis(z, own, axis=-2)[..., 0, :]
        e = xp.exp(z)
        total = xp.sum(e, axis=-2)
        value = xp.log(total) - at_y
        if order == 0:
            return Derivatives(value)
        p = e / total[..., None, :]
        first = p - xp.astype(y == alike(np.arange(self.n_outputs), y)[:, None], p.dtype)
        return Derivatives(value, first, p, p) if order > 1 else Derivatives(value, first)

    def inverse_link(self, eta: Array) -> Array:
        xp = namespace(eta)
        e = xp.exp(eta - xp.max(eta, axis=-2, keepdims=True))
        return e / xp.sum(e, axis=-2, keepdims=True)

    def link(self, mean: Array) -> Array:
        eta = np.log(mean)
        return np.asarray(eta - eta.mean())


class _Margin(Loss):
    """Losses of z = (2y - 1) η, positive on the right side of the border."""

    classification = True

    def link(self, mean: Array) -> Array:
        return np.sign(mean[..., 1:] - 0.5)


@register("hinge")
@dataclass(frozen=True)
class Hinge(_Margin):
    """ℓ(y, η) = max(0, 1 - z), z = (2y - 1) η (Cortes & Vapnik, *Support-Vector Networks*, 1995).

    ``width`` > 0: smoothed by Nesterov's method, max_{0 ≤ u ≤ 1} u (1 - z) - width u²/2, at most width/2 lower.
    ``threshold`` in the place of the 1; with 0 it is the perceptron's loss (Rosenblatt, 1958).
    """

    width: float = 0.0
    threshold: float = 1.0

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.width > 0

    @property
    def curvature(self) -> float:  # type: ignore[override]
        return 1 / self.width if self.width else np.inf

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        sign = 2 * y - 1
        gap = self.threshold - sign * eta
        # At the kink the slope of the side with a loss: a perceptron starts there, and must leave.
        u = xp.clip(gap / self.width, 0, 1) if self.width else xp.astype(gap >= 0, eta.dtype)
        value = u * gap - (0.5 * self.width) * u * u
        second = xp.astype((u > 0) & (u < 1), eta.dtype) / (self.width or 1.0) if order > 1 else None
        return Derivatives(value, -sign * u if order else None, second)

    def smoothed(self, width: float) -> Hinge:
        return replace(self, width=width)


@register("squared_hinge")
@dataclass(frozen=True)
class SquaredHinge(_Margin):
    """ℓ(y, η) = max(0, 1 - z)², z = (2y - 1) η (Hsieh et al., *A Dual Coordinate Descent Method*, 2008)."""

    curvature: float = 2.0

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        sign = 2 * y - 1
        gap = xp.maximum(1 - sign * eta, 0)
        second = 2 * xp.astype(gap > 0, eta.dtype) if order > 1 else None
        return Derivatives(gap * gap, -2 * sign * gap if order else None, second)


@register("modified_huber")
@dataclass(frozen=True)
class ModifiedHuber(_Margin):
    """ℓ(y, η) = max(0, 1 - z)² for z ≥ -1, -4z below (Zhang, *Solving large scale linear prediction problems*, 2004).

    Its minimum over η is at η = 2p - 1: ``inverse_link`` gives p.
    """

    curvature: float = 2.0
    probabilities = True

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        sign = 2 * y - 1
        z = sign * eta
        gap = xp.clip(1 - z, 0, 2)
        value = gap * gap - 4 * xp.minimum(z + 1, 0)
        second = 2 * xp.astype((gap > 0) & (gap < 2), eta.dtype) if order > 1 else None
        return Derivatives(value, -2 * sign * gap if order else None, second)

    def inverse_link(self, eta: Array) -> Array:
        return (namespace(eta).clip(eta, -1, 1) + 1) / 2

    def link(self, mean: Array) -> Array:
        return 2 * mean[..., 1:] - 1


@dataclass(frozen=True)
class Signed(Loss):
    """A regression's ℓ(±1, η), plus for class 1 and minus for class 0 (least squares as a classifier, and the like)."""

    loss: Loss
    classification = True

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.loss.smooth

    @property
    def quadratic(self) -> bool:  # type: ignore[override]
        return self.loss.quadratic

    @property
    def curvature(self) -> float:  # type: ignore[override]
        return self.loss.curvature

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        return self.loss.derivatives(2 * y - 1, eta, order)

    def link(self, mean: Array) -> Array:
        return 2 * mean[..., 1:] - 1


@dataclass(frozen=True)
class OneVsRest(Loss):
    """Σ_k ℓ(1{y = k}, η_k): one two-class loss for each of K classes, all in one sweep."""

    loss: Loss
    n_outputs: int = field()
    classification = True

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.loss.smooth

    @property
    def curvature(self) -> float:  # type: ignore[override]
        return self.loss.curvature

    @property
    def probabilities(self) -> bool:  # type: ignore[override]
        return self.loss.probabilities

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        own = xp.astype(y == alike(np.arange(self.n_outputs), y)[:, None], eta.dtype)
        out = self.loss.derivatives(own, eta, order)
        return out._replace(value=xp.sum(out.value, axis=-2))

    def inverse_link(self, eta: Array) -> Array:
        """Probabilities of each class against the rest, scaled to a sum of 1 (all alike where none is above 0)."""
        xp = namespace(eta)
        p = self.loss.inverse_link(eta)
        total = xp.sum(p, axis=-2, keepdims=True)
        return xp.where(total > 0, p / xp.where(total > 0, total, 1), 1 / self.n_outputs)

    def link(self, mean: Array) -> Array:
        return np.concatenate([self.loss.link(np.array([1 - share, share])) for share in mean])

    def smoothed(self, width: float) -> OneVsRest:
        return replace(self, loss=self.loss.smoothed(width))  # type: ignore[attr-defined]
