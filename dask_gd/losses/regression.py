"""Losses of regressors of the residual r = y - η."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..arrays import namespace
from ..protocol import Array
from .base import Derivatives, Interval, Loss, register


@register("squared_error")
@dataclass(frozen=True)
class Squared(Loss):
    """ℓ(y, η) = ½ (y - η)²; identity link. For K > 1 outputs y has shape (K, n) and the squares are summed."""

    n_outputs: int = 1
    quadratic: bool = True
    curvature: float = 1.0
    likelihood: bool = True

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        residual = eta - y
        value = 0.5 * residual * residual
        if self.n_outputs > 1:
            value = xp.sum(value, axis=-2)
        if order == 0:
            return Derivatives(value)
        return Derivatives(value, residual, xp.ones_like(residual) if order > 1 else None)


@register("huber")
@dataclass(frozen=True)
class Huber(Loss):
    """ℓ(y, η) = ½ r² for abs(r) ≤ δ, δ abs(r) - ½ δ² beyond.

    Source: Huber, *Robust Estimation of a Location Parameter*, Annals of Mathematical Statistics 35 (1964).
    """

    delta: float = 1.35
    curvature: float = 1.0

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        r = eta - y
        u = xp.clip(r, -self.delta, self.delta)
        second = xp.astype(xp.abs(r) <= self.delta, r.dtype) if order > 1 else None
        return Derivatives(u * (r - 0.5 * u), u if order else None, second)


@register("huber_with_scale")
@dataclass(frozen=True)
class HuberWithScale(Loss):
    """ℓ(y, η, σ) = σ + σ H(r/σ), H(z) = z² for |z| ≤ ε, 2ε|z| - ε² beyond; the second output is the scale σ > 0.

    Jointly convex in η and σ, so the scale is found with the coefficients (Huber & Ronchetti, *Robust Statistics*,
    2009, sec. 7.7; Owen, *A robust hybrid of lasso and ridge regression*, 2007).
    """

    epsilon: float = 1.35
    n_outputs: int = 2
    n_constant: int = 1
    margins = Interval(0.0)

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        sigma = eta[..., 1, :]
        inside = sigma > 0
        sigma = xp.where(inside, sigma, 1)
        r = eta[..., 0, :] - y
        u = xp.clip(r / sigma, -self.epsilon, self.epsilon)
        value = xp.where(inside, sigma * (1 - u * u) + 2 * u * r, np.inf)
        if order == 0:
            return Derivatives(value)
        first = xp.stack([2 * u, 1 - u * u], axis=-2)
        if order == 1:
            return Derivatives(value, first)
        bent = xp.where(xp.abs(r) <= self.epsilon * sigma, xp.sqrt(2 / sigma), 0)
        return Derivatives(value, first, xp.zeros_like(first), xp.stack([bent, -bent * u], axis=-2), 1.0)

    def inverse_link(self, eta: Array) -> Array:
        return eta[..., :1, :]

    def link(self, mean: Array) -> Array:
        return np.append(mean, 1.0)

    def start(self, mean: Array, spread: Array) -> Array:
        return np.concatenate([mean, np.where(spread > 0, spread, 1.0)])


@register("quantile")
@dataclass(frozen=True)
class Pinball(Loss):
    """ℓ(y, η) = q max(r, 0) + (1 - q) max(-r, 0) (Koenker & Bassett, *Regression Quantiles*, 1978).

    ``width`` > 0: smoothed, max_{q-1 ≤ u ≤ q} u r - width u²/2.
    """

    quantile: float = 0.5
    width: float = 0.0

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.width > 0

    @property
    def curvature(self) -> float:  # type: ignore[override]
        return 1 / self.width if self.width else np.inf

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        r = y - eta
        q = self.quantile
        u = xp.clip(r / self.width, q - 1, q) if self.width else xp.where(r > 0, q, xp.full_like(r, q - 1))
        value = u * r - (0.5 * self.width) * u * u
        second = xp.astype((u > q - 1) & (u < q), r.dtype) / (self.width or 1.0) if order > 1 else None
        return Derivatives(value, -u if order else None, second)

    def smoothed(self, width: float) -> Pinball:
        return replace(self, width=width)


@register("epsilon_insensitive")
@dataclass(frozen=True)
class EpsilonInsensitive(Loss):
    """ℓ(y, η) = max(0, |r| - ε) (Vapnik, *The Nature of Statistical Learning Theory*, 1995).

    ``width`` > 0: smoothed, max_{|u| ≤ 1} u r - ε |u| - width u²/2.
    """

    epsilon: float = 0.1
    width: float = 0.0

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.width > 0

    @property
    def curvature(self) -> float:  # type: ignore[override]
        return 1 / self.width if self.width else np.inf

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        r = eta - y
        gap = xp.maximum(xp.abs(r) - self.epsilon, 0)
        u = xp.minimum(gap / self.width, 1) if self.width else xp.astype(gap > 0, r.dtype)
        value = u * gap - (0.5 * self.width) * u * u
        second = xp.astype((u > 0) & (u < 1), r.dtype) / (self.width or 1.0) if order > 1 else None
        return Derivatives(value, xp.sign(r) * u if order else None, second)

    def smoothed(self, width: float) -> EpsilonInsensitive:
        return replace(self, width=width)


@register("squared_epsilon_insensitive")
@dataclass(frozen=True)
class SquaredEpsilonInsensitive(Loss):
    """ℓ(y, η) = max(0, |r| - ε)²."""

    epsilon: float = 0.1
    curvature: float = 2.0

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        r = eta - y
        gap = xp.maximum(xp.abs(r) - self.epsilon, 0)
        second = 2 * xp.astype(gap > 0, r.dtype) if order > 1 else None
        return Derivatives(gap * gap, 2 * xp.sign(r) * gap if order else None, second)
