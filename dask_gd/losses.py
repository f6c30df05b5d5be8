"""Pointwise losses: ℓ(y, η) and its derivatives in the margin η. A loss is one class and one registry line.

Conventions. Rows are the last axis: ``y`` has shape (n,), the margins ``eta`` have shape (..., n) for a loss of one
output and (..., K, n) for a loss of K outputs; values have shape (..., n), derivatives the shape of ``eta``. A loss
never sees X, coefficients, weights or Dask. Formulas: McCullagh & Nelder, *Generalized Linear Models* (1989), ch. 2
and 4; Hastie, Tibshirani & Friedman, *The Elements of Statistical Learning* (2009), sec. 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from .protocol import Array

__all__ = ["LOSSES", "Derivatives", "Logistic", "Loss", "Softmax", "Squared"]


class Derivatives(NamedTuple):
    """ℓ and, as far as asked for, ∂ℓ/∂η and the second derivative, whose K × K matrix a row is diag(second) - uuᵀ."""

    value: Array
    first: Array | None = None
    second: Array | None = None
    rank_one: Array | None = None  # u; None for a loss of one output


class Loss(Protocol):
    """What a loss must provide."""

    @property
    def n_outputs(self) -> int: ...  # margins a row
    @property
    def quadratic(self) -> bool: ...  # the second derivative is the same everywhere
    @property
    def curvature(self) -> float: ...  # upper bound of the second derivative; inf where there is none

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        """ℓ (order 0), with ∂ℓ/∂η (order 1), with the second derivative (order 2)."""

    def inverse_link(self, eta: Array) -> Array:
        """The mean of y at the margin η."""

    def link(self, mean: Array) -> Array:
        """The margins (n_outputs,) of the best constant model, from the mean of y (class shares for a classifier)."""


@dataclass(frozen=True)
class Squared:
    """ℓ(y, η) = ½ (y - η)²; identity link."""

    n_outputs: int = 1
    quadratic: bool = True
    curvature: float = 1.0

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        residual = eta - y
        value = 0.5 * residual * residual
        if order == 0:
            return Derivatives(value)
        return Derivatives(value, residual, np.ones_like(residual) if order > 1 else None)

    def inverse_link(self, eta: Array) -> Array:
        return eta

    def link(self, mean: Array) -> Array:
        return mean


@dataclass(frozen=True)
class Logistic:
    """ℓ(y, η) = log(1 + e^η) - yη for y in {0, 1}; logit link. Stable for every finite η."""

    n_outputs: int = 1
    quadratic: bool = False
    curvature: float = 0.25

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        e = np.exp(-np.abs(eta))  # in (0, 1]: never overflows
        value = np.maximum(eta, 0)
        value -= y * eta
        value += np.log1p(e)
        if order == 0:
            return Derivatives(value)
        total = 1 + e
        p = np.where(eta >= 0, 1, e)
        p /= total
        # p(1 - p) as e/(1 + e)²: no cancellation where p is near 1
        second = e / (total * total) if order > 1 else None
        return Derivatives(value, p - y, second)

    def inverse_link(self, eta: Array) -> Array:
        e = np.exp(-np.abs(eta))
        return np.asarray(np.where(eta >= 0, 1, e) / (1 + e))

    def link(self, mean: Array) -> Array:
        share = mean[..., 1:]  # of the second class
        return np.asarray(np.log(share / (1 - share)))


@dataclass(frozen=True)
class Softmax:
    """ℓ(y, η) = log Σ_k e^{η_k} - η_y for y in {0, …, K-1}; K margins a row, symmetric over the classes."""

    n_outputs: int
    quadratic: bool = False
    curvature: float = 0.5

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        p = eta - eta.max(axis=-2, keepdims=True)
        at_y = np.take_along_axis(p, np.broadcast_to(y, (*p.shape[:-2], 1, p.shape[-1])), axis=-2)[..., 0, :]
        np.exp(p, out=p)
        total = p.sum(axis=-2)
        value = np.log(total) - at_y
        if order == 0:
            return Derivatives(value)
        p /= total[..., None, :]
        first = p.copy() if order > 1 else p
        first[..., y, np.arange(y.shape[0])] -= 1
        return Derivatives(value, first, p, p) if order > 1 else Derivatives(value, first)

    def inverse_link(self, eta: Array) -> Array:
        p = eta - eta.max(axis=-2, keepdims=True)
        np.exp(p, out=p)
        return np.asarray(p / p.sum(axis=-2, keepdims=True))

    def link(self, mean: Array) -> Array:
        eta = np.log(mean)
        return np.asarray(eta - eta.mean())


LOSSES = {"squared_error": Squared, "log_loss": Logistic, "multinomial": Softmax}
