"""Regression that outliers do not rule: Huber's M-estimator with scale, and quantiles."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..arrays import alike, to_numpy
from ..engine import is_dask
from ..kernels.respond import margins
from ..losses import HuberWithScale, Pinball
from ..protocol import Result
from .base import LinearRegressorBase, always, penalty_spec
from .docs import shared_docs
from .fit import Problem
from .params import check_real
from .predict import map_rows
from .start import CONSTANT_MODEL, Start, start_of


@shared_docs
class HuberRegressor(LinearRegressorBase):
    """Huber's robust regression with its scale: minimises Σ s (σ + σ H((y - x·w - b - o)/σ)) + α ‖w‖² over w, b and σ.

    H(z) = z² for abs(z) ≤ ε, 2ε abs(z) - ε² beyond, so that outliers pull with bounded force. The scale σ is found
    together with the coefficients: scaling y scales the model.

    Parameters
    ----------
    epsilon : float, default=1.35
        ε ≥ 1; 1.35 is 95 % efficient on normal data.
    alpha : float, default=1e-4
        α ≥ 0, the same as scikit-learn's.
    {fit_intercept}
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (d,)
    intercept_ : float
    scale_ : float
        σ, in units of y.
    outliers_ : ndarray of bool of shape (n,)
        Rows with abs(r) > ε σ; only after a fit of data in memory. :meth:`outliers` gives them for any data.
    {fitted}

    References
    ----------
    Huber & Ronchetti, *Robust Statistics* (2009), sec. 7.7; Owen, *A robust hybrid of lasso and ridge regression*
    (2007).

    Examples
    --------
    >>> from dask_gd import HuberRegressor
    >>> X, y = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], [0.1, 0.8, 2.1, 3.0, 3.9, 50.0]
    >>> model = HuberRegressor().fit(X, y)
    >>> bool(abs(model.coef_[0] - 1) < 0.1), model.outliers_.tolist()
    (True, [False, False, False, False, False, True])
    """

    def __init__(
        self,
        *,
        epsilon: float = 1.35,
        alpha: float = 1e-4,
        fit_intercept: bool = True,
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.epsilon = epsilon
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        *,
        coef_init: Any = None,
        intercept_init: Any = None,
    ) -> HuberRegressor:
        """Fit to data; parameters and errors as in :meth:`LinearRegression.fit`, of one target.

        Returns
        -------
        self
        """
        problem = self._problem(y, start_of(self, coef_init, intercept_init))
        return self._fit(X, y, sample_weight, offset, problem)

    def _keep(self, result: Result) -> None:
        self.coef_ = result.coef[0]
        self.intercept_, self.scale_ = map(float, result.intercept)

    def _look_back(self, X: Any, y: Any, offset: Any) -> None:
        if not is_dask(X):
            self.outliers_ = to_numpy(self.outliers(X, y, offset))

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        check_real(self, "epsilon", low=1.0)
        check_real(self, "alpha", low=0.0)
        penalty = penalty_spec(self, 2 * float(self.alpha), of_sum=True)
        return self._stated(always(HuberWithScale(float(self.epsilon))), penalty, start)

    def outliers(self, X: Any, y: Any, offset: Any = None) -> Any:
        """Rows whose residual is above ε σ.

        Returns
        -------
        ndarray of bool of shape (n,), or a lazy dask array for dask input
        """
        function = partial(margins, coef=self.coef_[None], intercept=np.array([self.intercept_]))
        eta = map_rows(self, function, X, offset, width=None)
        if is_dask(eta):
            y = y.to_dask_array() if hasattr(y, "to_dask_array") else y
        else:
            y = alike(y, eta)
        return abs(y - eta) > self.epsilon * self.scale_


@shared_docs
class QuantileRegressor(LinearRegressorBase):
    """Quantile regression: minimises (1/S) Σ s ρ(y - x·w - b - o) + α ‖w‖₁, ρ(r) = q max(r, 0) + (1 - q) max(-r, 0).

    The minimum is exact, not that of a smoothed stand-in: a smoothed fit finds the rows near the quantile, a linear
    program over those rows gives the optimum of all, and the duality gap certifies it.

    Parameters
    ----------
    quantile : float, default=0.5
        q in (0, 1).
    alpha : float, default=1.0
        α ≥ 0, the same as scikit-learn's.
    {fit_intercept}
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (d,)
    intercept_ : float
    {fitted}

    References
    ----------
    Koenker & Bassett, *Regression Quantiles*, Econometrica 46 (1978); Portnoy & Koenker, *The Gaussian Hare and the
    Laplacian Tortoise*, Statistical Science 12 (1997).

    Examples
    --------
    >>> from dask_gd import QuantileRegressor
    >>> model = QuantileRegressor(quantile=0.5, alpha=0.0).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 5.0])
    >>> bool(model.converged_)
    True
    """

    def __init__(
        self,
        *,
        quantile: float = 0.5,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.quantile = quantile
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        *,
        coef_init: Any = None,
        intercept_init: Any = None,
    ) -> QuantileRegressor:
        """Fit to data; parameters and errors as in :meth:`LinearRegression.fit`, of one target.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, offset, self._problem(y, start_of(self, coef_init, intercept_init)))

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        check_real(self, "quantile", low=0.0, high=1.0, open_low=True, open_high=True)
        check_real(self, "alpha", low=0.0)
        return self._stated(always(Pinball(float(self.quantile))), penalty_spec(self, float(self.alpha), 1.0), start)
