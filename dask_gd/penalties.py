"""Penalties Ω(w) on the coefficients of one fit; the intercept is never penalised. A penalty is one class.

Every penalty has a value, a prox and, where it is smooth, a gradient and a curvature. Coefficients ``w`` have shape
(..., d) in original units; values have the shape of the leading axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .protocol import Array

__all__ = ["L2", "PENALTIES", "NoPenalty", "Penalty"]


class Penalty(Protocol):
    """What a penalty must provide."""

    @property
    def smooth(self) -> bool: ...
    @property
    def curvature(self) -> float: ...  # of the smooth part, the same for every coefficient

    def value(self, w: Array) -> Array: ...  # Ω(w), summed over the last axis
    def grad(self, w: Array) -> Array: ...  # ∇Ω(w)
    def prox(self, w: Array, step: Array | float) -> Array: ...  # argmin_v Ω(v) + Σ (v - w)²/(2 step)


@dataclass(frozen=True)
class NoPenalty:
    """Ω(w) = 0."""

    smooth: bool = True
    curvature: float = 0.0

    def value(self, w: Array) -> Array:
        return np.zeros(w.shape[:-1])

    def grad(self, w: Array) -> Array:
        return np.zeros_like(w)

    def prox(self, w: Array, step: Array | float) -> Array:
        return w


@dataclass(frozen=True)
class L2:
    """Ω(w) = α/2 ‖w‖² (Hoerl & Kennard, *Ridge Regression*, 1970)."""

    alpha: float
    smooth: bool = True

    @property
    def curvature(self) -> float:
        return self.alpha

    def value(self, w: Array) -> Array:
        return np.asarray(0.5 * self.alpha * np.einsum("...i,...i->...", w, w))

    def grad(self, w: Array) -> Array:
        return self.alpha * w

    def prox(self, w: Array, step: Array | float) -> Array:
        return np.asarray(w / (1 + self.alpha * np.asarray(step)))


PENALTIES = {None: NoPenalty, "l2": L2}
