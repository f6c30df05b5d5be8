"""Least squares, plain and with an L2 penalty."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..losses import Squared
from ..penalties import L2, NoPenalty, Penalty
from .fit import Problem, fit_model
from .params import check_common, check_real
from .predict import LinearRegressorMixin

SOLVER_NAMES = ("auto", "newton-cholesky", "lbfgs")


class _LeastSquares(LinearRegressorMixin, BaseEstimator):
    """What LinearRegression and Ridge share: the squared loss and the shape of the answer."""

    _loss = Squared()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _fit(self, X: Any, y: Any, sample_weight: Any, offset: Any, penalty: Any) -> Any:
        check_common(self, SOLVER_NAMES)
        start = None
        if self.warm_start and hasattr(self, "coef_"):
            start = (np.atleast_2d(self.coef_), np.atleast_1d(self.intercept_))
        problem = Problem(penalty, self._loss, self.solver, self.max_iter, self.tol, self.fit_intercept, start=start)
        result = fit_model(self, X, y, sample_weight, offset, problem).result
        self.coef_ = result.coef[0]
        self.intercept_ = float(result.intercept[0])
        self.rank_ = result.rank
        return self


class LinearRegression(_LeastSquares):
    """Ordinary least squares: minimises Σ s (y - x·w - b - o)².

    The minimum is unique for columns of full rank; otherwise the coefficients of smallest norm are returned, as
    scikit-learn does. Solved by Newton's method on the exact Hessian, which needs two sweeps, or by L-BFGS for many
    features.

    Parameters
    ----------
    fit_intercept : bool, default=True
        False: b = 0.
    solver : {"auto", "newton-cholesky", "lbfgs"}, default="auto"
        "auto" takes Newton where the d × d Hessian is cheap.
    max_iter : int, default=1000
        Iterations at the most.
    tol : float or None, default=1e-8
        The fit stops when √((F - F*) / F at the start), as estimated from gradient and curvature, is at most this. No
        unit of X or y and no repetition of the rows changes it. None: always ``max_iter`` iterations.
    warm_start : bool, default=False
        Start from the last fit's coefficients.
    verbose : int, default=0
        Above 0: print a line an iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (d,)
        In units of y per unit of the column.
    intercept_ : float
        In units of y.
    rank_ : int or None
        Rank of the centred X as far as the Hessian shows it; None for "lbfgs".
    n_iter_, n_sweeps_ : int
        Iterations, and passes over the data including the one for the moments.
    converged_ : bool
    history_ : dict of ndarray of shape (n_iter_,)
        "objective", "grad_norm", "step", "seconds", "rows", "bytes", "tasks" of every iteration.
    solver_ : str
    n_features_in_, feature_names_in_
        As in scikit-learn.

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
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> LinearRegression:
        """Fit to data.

        Parameters
        ----------
        X : array-like, CSR matrix, or dask array or DataFrame of shape (n, d)
        y : array-like or dask array of shape (n,)
        sample_weight : array-like or dask array of shape (n,), optional
            s ≥ 0; a weight of zero removes the row.
        offset : array-like or dask array of shape (n,), optional
            o, a part of the margin that is known.

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
        return self._fit(X, y, sample_weight, offset, no_penalty)


class Ridge(_LeastSquares):
    """Least squares with an L2 penalty: minimises Σ s (y - x·w - b - o)² + α ‖w‖²; b is not penalised.

    Parameters
    ----------
    alpha : float, default=1.0
        α ≥ 0, in squared units of y per squared unit of w, the same as scikit-learn's.
    fit_intercept : bool, default=True
        False: b = 0.
    solver : {"auto", "newton-cholesky", "lbfgs"}, default="auto"
        "auto" takes Newton where the d × d Hessian is cheap.
    max_iter : int, default=1000
        Iterations at the most.
    tol : float or None, default=1e-8
        The fit stops when √((F - F*) / F at the start), as estimated from gradient and curvature, is at most this. No
        unit of X or y and no repetition of the rows changes it. None: always ``max_iter`` iterations.
    warm_start : bool, default=False
        Start from the last fit's coefficients.
    verbose : int, default=0
        Above 0: print a line an iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (d,)
    intercept_ : float
    n_iter_, n_sweeps_ : int
        Iterations, and passes over the data including the one for the moments.
    converged_ : bool
    history_ : dict of ndarray of shape (n_iter_,)
        "objective" (F divided by 2S), "grad_norm", "step", "seconds", "rows", "bytes", "tasks" of every iteration.
    solver_ : str
    rank_ : int or None
    n_features_in_, feature_names_in_
        As in scikit-learn.

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
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> Ridge:
        """Fit to data; parameters and errors as in :meth:`LinearRegression.fit`.

        Returns
        -------
        self
        """
        check_real(self, "alpha", low=0.0)
        return self._fit(X, y, sample_weight, offset, partial(sum_penalty, float(self.alpha)))


def no_penalty(total: float) -> Penalty:
    """Ω = 0."""
    return NoPenalty()


def sum_penalty(alpha: float, total: float) -> Penalty:
    """α‖w‖² beside a sum of squares is α/S · ½‖w‖² beside the mean of halves."""
    return L2(alpha / total) if alpha > 0 else NoPenalty()
