"""From an estimator's strength, mixture and constraints to the penalty of the mean form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..kernels import Moments
from ..penalties import ElasticNet, GroupLasso, Penalty
from ..protocol import Array


@dataclass(frozen=True, eq=False)
class PenaltySpec:
    """Ω(w) = α Σ_j f_j (ρ |w_j - c_j| + (1 - ρ)/2 (w_j - c_j)²) within bounds; with ``groups`` α ρ Σ_g f_g ‖w_g‖.

    Parameters
    ----------
    alpha : float or ndarray of shape (k, 1)
    l1_ratio : float
        ρ.
    of_sum : bool
        True: α stands beside the sum of the losses and is divided by the sum of weights.
    standardize : bool
        True: the penalty is on the coefficients of columns of unit variance.
    factor, lower, upper, center : array-like of shape (d,), number or None
    groups : array-like of shape (d,) or None
    """

    alpha: Any = 0.0
    l1_ratio: float = 0.0
    of_sum: bool = False
    standardize: bool = False
    factor: Any = None
    lower: Any = None
    upper: Any = None
    center: Any = None
    groups: Any = None

    @property
    def smooth(self) -> bool:
        """Whether the penalty will have a gradient everywhere, as far as the parameters tell."""
        return self.l1_only and not (np.any(self.alpha) and self.l1_ratio > 0)

    @property
    def l1_only(self) -> bool:
        """Whether L1 will be all that has no gradient."""
        bounds = (b.toarray() if sp.issparse(b) else b for b in (self.lower, self.upper) if b is not None)
        return self.groups is None and not any(np.isfinite(np.asarray(b, dtype=float)).any() for b in bounds)

    def __call__(self, moments: Moments) -> Penalty:
        """The penalty for data of these moments.

        Raises
        ------
        ValueError
            A parameter that does not fit the columns.
        """
        d = len(moments.mean)
        alpha = np.asarray(self.alpha, dtype=float) / (moments.weight if self.of_sum else 1.0)
        if alpha.ndim == 0:
            alpha = float(alpha)
        factor = _of_columns(self.factor, d, "penalty_factor")
        if factor is not None and not (np.isfinite(factor).all() and (factor >= 0).all()):
            raise ValueError("penalty_factor must hold finite numbers from 0 upwards.")
        spread = moments.std
        # A constant column has no unit: it is left in its own.
        scale = np.where(spread > 1e-14 * moments.rms, spread, 1.0) if self.standardize else 1.0
        if self.groups is not None:
            return self._grouped(float(alpha), factor, scale, d)
        f = 1.0 if factor is None else factor
        l1 = alpha * self.l1_ratio * f * scale
        l2 = alpha * (1 - self.l1_ratio) * f * scale * scale
        low, high = _of_columns(self.lower, d, "lower_bounds"), _of_columns(self.upper, d, "upper_bounds")
        low = -np.inf if low is None else low
        high = np.inf if high is None else high
        if not np.all(low <= high):
            raise ValueError("lower_bounds must not be above upper_bounds.")
        center = _of_columns(self.center, d, "prior_coef")
        return ElasticNet(l1, l2, 0.0 if center is None else center, low, high)

    def _grouped(self, alpha: float, factor: Array | None, scale: Any, d: int) -> Penalty:
        for name in ("lower", "upper", "center"):
            if getattr(self, name) is not None:
                raise ValueError("groups cannot be combined with bounds or prior_coef: leave one of them out.")
        groups = np.unique(np.asarray(self.groups), return_inverse=True)[1].ravel()
        if groups.shape != (d,):
            raise ValueError(
                f"groups must have one entry a feature: shape ({d},). Got {np.shape(self.groups)} instead."
            )
        size = np.bincount(groups)
        f = np.ones(d) if factor is None else factor
        own = np.bincount(groups, f) / size
        if not np.allclose(own[groups], f):
            raise ValueError("penalty_factor must be the same for all features of a group.")
        strength = alpha * self.l1_ratio * own * np.sqrt(size)
        return GroupLasso(groups, strength, alpha * (1 - self.l1_ratio) * f * np.square(scale), scale)


def _of_columns(values: Any, d: int, name: str) -> Array | None:
    """(d,) floats from a number or an array-like; None: not given."""
    if values is None:
        return None
    array = np.asarray(values.toarray() if sp.issparse(values) else values, dtype=float)
    if np.isnan(array).any():
        raise ValueError(f"{name} contains NaN.")
    if array.ndim == 0:
        return np.full(d, float(array))
    if array.shape != (d,):
        raise ValueError(
            f"{name} must be a number or have one entry a feature: shape ({d},). Got {array.shape} instead."
        )
    return array
