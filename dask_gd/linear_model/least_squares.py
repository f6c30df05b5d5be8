"""Least squares, plain and penalised."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..protocol import Result
from .base import LinearRegressorBase, penalty_spec, squared
from .docs import shared_docs
from .fit import Problem
from .params import check_real, precompute_of
from .penalty import PenaltySpec
from .start import CONSTANT_MODEL, Start, start_of


class LeastSquaresBase(LinearRegressorBase):
    """The squared loss, of one target or of several."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags

    def _squares(self, penalty: PenaltySpec, start: Start) -> Problem:
        return self._stated(squared, penalty, start, targets="columns", precompute=precompute_of(self))


@shared_docs
class LinearRegression(LeastSquaresBase):
    """Ordinary least squares: minimises Σ s (y - x·w - b - o)².

    The minimum is unique for columns of full rank; otherwise the coefficients of smallest norm are returned, as
    scikit-learn does. One sweep gives the sums of products, which are solved where the fit loop runs; one more refines
    the solution of ill-conditioned columns. Many features take L-BFGS. Several targets are fitted in the same sweeps.

    Parameters
    ----------
    {fit_intercept}
    {positive}
    {precompute}
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (d,), or (m, d) for m targets
        In units of y per unit of the column.
    intercept_ : float, or ndarray of shape (m,)
        In units of y.
    rank_ : int or None
        Rank of the centred X (times the number of targets) as far as the Hessian shows it; None for solvers without
        one.
    {fitted}

    References
    ----------
    Golub & Van Loan, *Matrix Computations* (2013), sec. 5.3 and 5.5.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd import LinearRegression
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> y = da.from_array([1.0, 3.0, 5.0, 7.0], chunks=2)
    >>> model = LinearRegression().fit(X, y)
    >>> model.coef_.round(6), round(model.intercept_, 6)
    (array([2.]), 1.0)
    """

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        positive: bool = False,
        precompute: bool | str = "auto",
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.precompute = precompute
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
    ) -> LinearRegression:
        """Fit to data.

        Parameters
        ----------
        X : array-like, CSR matrix, or dask array or DataFrame of shape (n, d)
        y : array-like or dask array of shape (n,) or (n, m)
        sample_weight : array-like or dask array of shape (n,), optional
            s ≥ 0; a weight of zero removes the row.
        offset : array-like or dask array of shape (n,), optional
            o, a part of the margin that is known.
        coef_init : array-like of the shape of ``coef_``, optional
            Where to start, in the place of 0 or of the coefficients of a warm start.
        intercept_init : float or array-like of the shape of ``intercept_``, optional
            Likewise, in the place of the constant model's.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            NaN or infinity (the message names block and column), lengths that differ, negative weights.
        FitInterrupted
            The cluster failed for good.
        """
        problem = self._problem(y, start_of(self, coef_init, intercept_init))
        return self._fit(X, y, sample_weight, offset, problem)

    def _keep(self, result: Result) -> None:
        super()._keep(result)
        self.rank_ = result.rank

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        return self._squares(penalty_spec(self, 0.0), start)


@shared_docs
class Ridge(LeastSquaresBase):
    """Least squares with an L2 penalty: minimises Σ s (y - x·w - b - o)² + α ‖w‖²; b is not penalised.

    Parameters
    ----------
    alpha : float or ndarray of shape (m,), default=1.0
        α ≥ 0, in squared units of y per squared unit of w, the same as scikit-learn's; one a target, or one for all.
    {fit_intercept}
    {positive}
    {standardize}
    {bounds}
    {precompute}
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (d,), or (m, d) for m targets
    intercept_ : float, or ndarray of shape (m,)
    rank_ : int or None
    {fitted}

    References
    ----------
    Hoerl & Kennard, *Ridge Regression*, Technometrics 12 (1970).

    Examples
    --------
    >>> from dask_gd import Ridge
    >>> model = Ridge(alpha=2.0).fit([[-1.0], [0.0], [1.0]], [-2.0, 0.0, 2.0])
    >>> model.coef_.round(6)
    array([1.])
    """

    def __init__(
        self,
        alpha: Any = 1.0,
        *,
        fit_intercept: bool = True,
        positive: bool = False,
        standardize: bool = False,
        penalty_factor: Any = None,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        precompute: bool | str = "auto",
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.precompute = precompute
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
    ) -> Ridge:
        """Fit to data; parameters and errors as in :meth:`LinearRegression.fit`.

        Returns
        -------
        self
        """
        problem = self._problem(y, start_of(self, coef_init, intercept_init))
        return self._fit(X, y, sample_weight, offset, problem)

    def _keep(self, result: Result) -> None:
        super()._keep(result)
        self.rank_ = result.rank

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        alpha: Any = self.alpha
        if np.ndim(alpha) == 0:
            check_real(self, "alpha", low=0.0)
        else:
            alpha = np.asarray(alpha, dtype=float).ravel()[:, None]
            targets = np.shape(y)[1] if len(np.shape(y)) == 2 else 1
            if not (np.isfinite(alpha).all() and (alpha >= 0).all()) or len(alpha) != targets:
                raise ValueError(
                    f"Number of targets and number of penalties do not correspond: {len(alpha)} != {targets}, or one "
                    "of the penalties is not a number from 0 upwards."
                )
        return self._squares(penalty_spec(self, alpha, of_sum=True), start)


@shared_docs
class Lasso(LeastSquaresBase):
    """Least squares with an L1 penalty: minimises (1/2S) Σ s (y - x·w - b - o)² + α ‖w‖₁, S = Σ s.

    Coefficients that the penalty holds at zero are exactly zero. Solved by proximal Newton: the Gram matrix comes from
    one sweep and coordinate descent runs on it without another.

    Parameters
    ----------
    alpha : float, default=1.0
        α ≥ 0, the same as scikit-learn's.
    {fit_intercept}
    {positive}
    {standardize}
    {bounds}
    {precompute}
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (d,), or (m, d) for m targets
    intercept_ : float, or ndarray of shape (m,)
    {fitted}

    References
    ----------
    Tibshirani, *Regression Shrinkage and Selection via the Lasso*, J. Royal Statistical Society B 58 (1996).

    Examples
    --------
    >>> from dask_gd import Lasso
    >>> model = Lasso(alpha=0.5).fit([[-1.0, 0.1], [0.0, -0.2], [1.0, 0.1]], [-2.0, 0.0, 2.0])
    >>> model.coef_.round(6)
    array([1.25, 0.  ])
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        positive: bool = False,
        standardize: bool = False,
        penalty_factor: Any = None,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        precompute: bool | str = "auto",
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.precompute = precompute
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
    ) -> Lasso:
        """Fit to data; parameters and errors as in :meth:`LinearRegression.fit`.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, offset, self._problem(y, start_of(self, coef_init, intercept_init)))

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        check_real(self, "alpha", low=0.0)
        return self._squares(penalty_spec(self, float(self.alpha), 1.0), start)


@shared_docs
class ElasticNet(LeastSquaresBase):
    """Least squares with L1 and L2: minimises (1/2S) Σ s (y - x·w - b - o)² + α (ρ ‖w‖₁ + (1 - ρ)/2 ‖w‖²), S = Σ s.

    Parameters
    ----------
    alpha : float, default=1.0
        α ≥ 0, the same as scikit-learn's.
    l1_ratio : float, default=0.5
        ρ in [0, 1]: 1 is the lasso, 0 a ridge.
    {fit_intercept}
    {positive}
    {standardize}
    {bounds}
    {precompute}
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (d,), or (m, d) for m targets
    intercept_ : float, or ndarray of shape (m,)
    {fitted}

    References
    ----------
    Zou & Hastie, *Regularization and Variable Selection via the Elastic Net*, J. Royal Statistical Society B 67 (2005).

    Examples
    --------
    >>> from dask_gd import ElasticNet
    >>> model = ElasticNet(alpha=0.5, l1_ratio=0.5).fit([[-1.0, 0.1], [0.0, -0.2], [1.0, 0.1]], [-2.0, 0.0, 2.0])
    >>> model.coef_.round(6)
    array([1.181818, 0.      ])
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        positive: bool = False,
        standardize: bool = False,
        penalty_factor: Any = None,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        precompute: bool | str = "auto",
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.precompute = precompute
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
    ) -> ElasticNet:
        """Fit to data; parameters and errors as in :meth:`LinearRegression.fit`.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, offset, self._problem(y, start_of(self, coef_init, intercept_init)))

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        check_real(self, "alpha", low=0.0)
        check_real(self, "l1_ratio", low=0.0, high=1.0)
        return self._squares(penalty_spec(self, float(self.alpha), float(self.l1_ratio)), start)
