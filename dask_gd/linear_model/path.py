"""Lasso and elastic-net paths, alone and with cross-validation, from one sweep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from ..engine import open_engine, row_count
from ..engine.blas import one_blas_thread
from ..kernels import EVERYTHING, FirstKernel, FoldKernel, MomentsKernel, Squares, SquaresKernel
from ..losses import Squared
from ..objective import Objective
from ..paths import Path, held_out_errors, regularisation_path
from ..penalties import ElasticNet as Penalty
from ..planner import SQUARES_FEATURES
from ..protocol import Array, Engine
from .base import squared
from .docs import shared_docs
from .fit import Problem, check_data, check_moments
from .folds import partition_of
from .least_squares import LeastSquaresBase
from .params import check_boolean, check_real
from .penalty import PenaltySpec
from .start import CONSTANT_MODEL, Start


@dataclass(frozen=True, eq=False)
class PathProblem:
    """What a path needs besides the data; picklable."""

    l1_ratios: tuple[float, ...]
    alphas: Any  # their number, or themselves
    eps: float
    fit_intercept: bool
    positive: bool
    n_folds: int = 0


class PathOutcome(NamedTuple):
    """What a path found out; of the best point of cross-validation ``best`` = (l1_ratio number, alpha number)."""

    alphas: Array  # (ratios, alphas) from strong to weak
    path: Path  # of the only ratio, or of the best one up to the best alpha
    errors: Array | None  # (ratios, alphas, folds)
    best: tuple[int, int] | None
    gaps: Array  # duality gaps of the points
    n_sweeps: int


def solve_path(engine: Engine, *, problem: PathProblem, n_features: int) -> PathOutcome:
    """The path itself, on any engine: one sweep, and one more where the columns are ill-conditioned."""
    with one_blas_thread():  # as in a task: the same bits wherever it runs
        return _solve_path(engine, problem, n_features)


def _solve_path(engine: Engine, problem: PathProblem, n_features: int) -> PathOutcome:
    before = engine.n_sweeps
    kernel = FirstKernel(MomentsKernel(n_features, False, Squared()), SquaresKernel())
    sums = engine.sweep(FoldKernel(kernel, problem.n_folds) if problem.n_folds else kernel)
    first = sums.without(EVERYTHING) if problem.n_folds else sums
    check_moments(first.moments, n_features)
    folds = sums.of("squares") if problem.n_folds else None
    squares = first.squares
    assert isinstance(squares, Squares)
    objective = Objective(
        Squared(),
        first.moments,
        fit_intercept=problem.fit_intercept,
        dtype=np.dtype(first.moments.dtype),
        sparse=first.moments.sparse,
        squares=squares,
    )
    lower = 0.0 if problem.positive else -np.inf
    grids = np.stack([alpha_grid(objective, problem, ratio) for ratio in problem.l1_ratios])
    penalties = [
        [Penalty(alpha * ratio, alpha * (1 - ratio), lower=lower) for alpha in grid]
        for ratio, grid in zip(problem.l1_ratios, grids, strict=True)
    ]
    if folds is None:
        path = regularisation_path(objective, penalties[0], engine)
        gaps = np.array([duality_gap(path, i, penalty) for i, penalty in enumerate(penalties[0])])
        return PathOutcome(grids, path, None, None, gaps, engine.n_sweeps - before)
    errors = np.stack([held_out_errors(objective, path, folds) for path in penalties])
    shares = np.array([0.0 if part is None else part.weight for part in folds.parts])
    means = errors @ (shares / shares.sum()) if problem.n_folds else errors
    ratio, alpha = (int(i) for i in np.unravel_index(np.argmin(means), means.shape))
    path = regularisation_path(objective, penalties[ratio][: alpha + 1], engine)
    gaps = np.array([duality_gap(path, alpha, penalties[ratio][alpha])])
    return PathOutcome(grids, path, errors, (ratio, alpha), gaps, engine.n_sweeps - before)


def alpha_grid(objective: Objective, problem: PathProblem, l1_ratio: float) -> Array:
    """The strengths from strong to weak: the user's, or a geometric sequence from where all coefficients are 0."""
    if not isinstance(problem.alphas, Integral):
        return np.sort(np.asarray(problem.alphas, dtype=float))[::-1]
    expansion = objective.expansion
    assert expansion is not None
    slope = -expansion.grad_w[0]
    strongest = float(max(slope.max(initial=0.0), 0.0) if problem.positive else np.abs(slope).max(initial=0.0))
    strongest /= l1_ratio
    smallest = float(np.finfo(np.float64).resolution)
    if strongest <= smallest:
        return np.full(int(problem.alphas), smallest)
    return np.geomspace(strongest, strongest * problem.eps, int(problem.alphas))


def duality_gap(path: Path, i: int, penalty: Any) -> float:
    """F less a lower bound of its minimum at point ``i``, from the residuals scaled until they are feasible in the
    dual."""
    w, grad = path.coefs[i], path.grads[i]
    l1, l2 = float(penalty.l1), float(penalty.l2)
    slope = grad + l2 * w
    size = float(np.max(-slope, initial=0.0) if np.any(penalty.lower == 0.0) else np.abs(slope).max(initial=0.0))
    t = 1.0 if size <= l1 else l1 / size
    rest = 2 * float(path.losses[i])
    along = rest - float(grad @ w)  # RᵀY/S = (RᵀR + RᵀXw)/S: what an intercept takes is not in R
    return max(0.5 * (1 + t * t) * (rest + l2 * float(w @ w)) - t * along + l1 * float(np.abs(w).sum()), 0.0)


def run_path(
    estimator: Any, X: Any, y: Any, sample_weight: Any, offset: Any, problem: PathProblem, fold: Any = None
) -> PathOutcome:
    """Open the engine, and run the path where the data are."""
    with open_engine(X, y, sample_weight, offset, fold=fold) as engine:
        job = partial(solve_path, problem=problem, n_features=estimator.n_features_in_)
        outcome: PathOutcome = engine.run(job)
    return outcome


def check_width(name: str, n_features: int, instead: str = "Lasso or ElasticNet") -> None:
    """Refuse more columns than sums of products are kept for.

    Raises
    ------
    ValueError
    """
    if n_features > SQUARES_FEATURES:
        raise ValueError(
            f"{name} keeps the products of all pairs of columns, and {n_features:,} columns are more than the "
            f"{SQUARES_FEATURES:,} that it keeps them for: fit {instead} at single values of alpha."
        )


def lasso_path(
    X: Any, y: Any, *, eps: float = 1e-3, alphas: Any = 100, positive: bool = False, sample_weight: Any = None
) -> tuple[Array, Array, Array]:
    """Lasso path: the minima of (1/2S) Σ s (y - x·w)² + α ‖w‖₁ for many α, from one sweep; no intercept.

    Parameters
    ----------
    X : array-like, CSR matrix, or dask array or DataFrame of shape (n, d)
    y : array-like or dask array of shape (n,)
    eps : float, default=1e-3
        The weakest α over the strongest, at which all coefficients are 0.
    alphas : int or array-like, default=100
        How many, or the values themselves.
    positive : bool, default=False
        True: coefficients are not below 0.
    sample_weight : array-like or dask array of shape (n,), optional

    Returns
    -------
    alphas : ndarray of shape (n_alphas,)
        From strong to weak.
    coefs : ndarray of shape (d, n_alphas)
    dual_gaps : ndarray of shape (n_alphas,)
        Upper bounds of F - F*.

    Raises
    ------
    ValueError
        More than 4,000 columns; data that cannot be fitted.

    References
    ----------
    Friedman, Hastie & Tibshirani, *J. Stat. Software* 33 (2010), sec. 2.5.

    Examples
    --------
    >>> from dask_gd import lasso_path
    >>> alphas, coefs, gaps = lasso_path([[-1.0, 0.1], [0.0, -0.2], [1.0, 0.1]], [-2.0, 0.0, 2.0], alphas=[1.0, 0.5])
    >>> coefs.round(6)
    array([[0.5 , 1.25],
           [0.  , 0.  ]])
    """
    return enet_path(X, y, l1_ratio=1.0, eps=eps, alphas=alphas, positive=positive, sample_weight=sample_weight)


def enet_path(
    X: Any,
    y: Any,
    *,
    l1_ratio: float = 0.5,
    eps: float = 1e-3,
    alphas: Any = 100,
    positive: bool = False,
    sample_weight: Any = None,
) -> tuple[Array, Array, Array]:
    """Elastic-net path: the minima of (1/2S) Σ s (y - x·w)² + α (ρ ‖w‖₁ + (1 - ρ)/2 ‖w‖²) for many α, from one sweep.

    Parameters
    ----------
    X, y, eps, alphas, positive, sample_weight
        As in :func:`lasso_path`.
    l1_ratio : float, default=0.5
        ρ in (0, 1].

    Returns
    -------
    alphas, coefs, dual_gaps : ndarray
        As :func:`lasso_path` has them.

    Raises
    ------
    ValueError
        More than 4,000 columns; data that cannot be fitted.

    References
    ----------
    Friedman, Hastie & Tibshirani, *J. Stat. Software* 33 (2010), sec. 2.5.

    Examples
    --------
    >>> from dask_gd import enet_path
    >>> alphas, coefs, gaps = enet_path([[-1.0], [0.0], [1.0]], [-2.0, 0.0, 2.0], alphas=[1.0, 0.5])
    >>> coefs.round(4)
    array([[0.7143, 1.1818]])
    """
    estimator = ElasticNetCV(l1_ratio=l1_ratio, eps=eps, alphas=alphas, fit_intercept=False, positive=positive)
    estimator._check_parameters()
    X, y, sample_weight, _ = check_data(estimator, X, y, sample_weight, None, "numbers")
    row_count(X)
    check_width("enet_path", estimator.n_features_in_)
    problem = PathProblem((float(l1_ratio),), alphas, float(eps), False, positive)
    outcome = run_path(estimator, X, y, sample_weight, None, problem)
    return outcome.alphas[0], np.ascontiguousarray(outcome.path.coefs.T), outcome.gaps


@shared_docs
class ElasticNetCV(LeastSquaresBase):
    """Elastic net with α and ρ chosen by cross-validation, all from one sweep.

    It minimises (1/2S) Σ s (y - x·w - b - o)² + α (ρ ‖w‖₁ + (1 - ρ)/2 ‖w‖²), S = Σ s. The sums of products of every
    fold come from one pass over the data; every path of every split is computed from them.

    Parameters
    ----------
    l1_ratio : float or array-like, default=0.5
        ρ in (0, 1], or the values to choose from.
    eps : float, default=1e-3
        The weakest α over the strongest, at which all coefficients are 0.
    alphas : int or array-like, default=100
        How many, or the values themselves.
    {fit_intercept}
    cv : int, splitter or None, default=None
        Folds: a number (None: 5) of contiguous ones, or a splitter of scikit-learn whose test folds hold every row
        once.
    {positive}

    Attributes
    ----------
    alpha_, l1_ratio_ : float
        Those of the smallest mean error.
    coef_ : ndarray of shape (d,)
    intercept_ : float
    alphas_ : ndarray of shape (n_alphas,) or (n_ratios, n_alphas)
    mse_path_ : ndarray of shape (n_alphas, n_folds) or (n_ratios, n_alphas, n_folds)
        Mean squared errors of the held-out rows.
    dual_gap_ : float
        An upper bound of F - F* at the solution.
    n_sweeps_ : int
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    Friedman, Hastie & Tibshirani, *J. Stat. Software* 33 (2010), sec. 2.5.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_gd import ElasticNetCV
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> model = ElasticNetCV().fit(X, X[:, 0])
    >>> model.n_sweeps_, model.coef_.round(2)
    (1, array([1., 0., 0.]))
    """

    _one_problem = False  # it chooses among many itself

    def __init__(
        self,
        *,
        l1_ratio: Any = 0.5,
        eps: float = 1e-3,
        alphas: Any = 100,
        fit_intercept: bool = True,
        cv: Any = None,
        positive: bool = False,
    ) -> None:
        self.l1_ratio = l1_ratio
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.positive = positive

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> Any:
        """Fit to data; data and errors as in :meth:`LinearRegression.fit`, and a ValueError for folds that do not hold
        every row once and for more than 4,000 columns.

        Returns
        -------
        self
        """
        self._check_parameters()
        before = dict(self.__dict__)
        try:
            X, y, sample_weight, offset = check_data(self, X, y, sample_weight, offset, "numbers")
            fold, n_folds = partition_of(self.cv, X, y, classifier=False)
            check_width(type(self).__name__, self.n_features_in_)
            ratios = tuple(float(r) for r in np.atleast_1d(np.asarray(self._ratios(), dtype=float)))
            problem = PathProblem(ratios, self.alphas, float(self.eps), self.fit_intercept, self.positive, n_folds)
            outcome = run_path(self, X, y, sample_weight, offset, problem, fold)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        assert outcome.best is not None and outcome.errors is not None
        ratio, alpha = outcome.best
        self.alpha_ = float(outcome.alphas[ratio, alpha])
        several = np.ndim(self._ratios()) > 0
        if hasattr(self, "l1_ratio"):
            self.l1_ratio_ = ratios[ratio]
        self.alphas_ = outcome.alphas if several else outcome.alphas[0]
        self.mse_path_ = outcome.errors if several else outcome.errors[0]
        self.coef_, self.intercept_ = outcome.path.coefs[-1], float(outcome.path.intercepts[-1])
        self.dual_gap_ = float(outcome.gaps[-1])
        self.n_sweeps_ = outcome.n_sweeps
        return self

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        self._check_parameters()
        ratio = float(np.min(self._ratios()))
        return Problem(
            PenaltySpec(1.0, ratio), squared, "auto", 1, None, self.fit_intercept, start=start, precompute=True
        )

    def _ratios(self) -> Any:
        return self.l1_ratio

    def _check_parameters(self) -> None:
        check_real(self, "eps", low=0.0, high=1.0, open_low=True, open_high=True)
        check_boolean(self, "fit_intercept")
        check_boolean(self, "positive")
        try:
            ratios = np.atleast_1d(np.asarray(self._ratios(), dtype=float))
        except (TypeError, ValueError):
            ratios = np.zeros(0)
        if not ((ratios > 0) & (ratios <= 1)).all() or ratios.ndim != 1 or not len(ratios):
            raise ValueError(
                f"The 'l1_ratio' parameter of {type(self).__name__} must be a float in the range (0, 1], or several. "
                f"Got {self._ratios()!r} instead: a ridge has no strongest alpha; use Ridge for an L2 penalty."
            )
        if isinstance(self.alphas, Integral) and not isinstance(self.alphas, bool):
            if self.alphas < 1:
                raise ValueError(f"alphas must be at least 1, or hold the values. Got {self.alphas!r} instead.")
        else:
            values = np.asarray(self.alphas, dtype=float)
            if values.ndim != 1 or not len(values) or not (np.isfinite(values).all() and (values >= 0).all()):
                raise ValueError(f"alphas must be a number of values, or finite values from 0 up. Got {self.alphas!r}.")


@shared_docs
class LassoCV(ElasticNetCV):
    """Lasso with α chosen by cross-validation: minimises (1/2S) Σ s (y - x·w - b - o)² + α ‖w‖₁, all from one sweep.

    Parameters
    ----------
    eps : float, default=1e-3
        The weakest α over the strongest, at which all coefficients are 0.
    alphas : int or array-like, default=100
        How many, or the values themselves.
    {fit_intercept}
    cv : int, splitter or None, default=None
        As in :class:`ElasticNetCV`.
    {positive}

    Attributes
    ----------
    alpha_ : float
    coef_ : ndarray of shape (d,)
    intercept_ : float
    alphas_ : ndarray of shape (n_alphas,)
    mse_path_ : ndarray of shape (n_alphas, n_folds)
    dual_gap_ : float
    n_sweeps_ : int
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    Friedman, Hastie & Tibshirani, *J. Stat. Software* 33 (2010), sec. 2.5.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_gd import LassoCV
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> model = LassoCV(cv=3).fit(X, X[:, 0])
    >>> model.mse_path_.shape, model.coef_.round(2)
    ((100, 3), array([1., 0., 0.]))
    """

    def __init__(
        self,
        *,
        eps: float = 1e-3,
        alphas: Any = 100,
        fit_intercept: bool = True,
        cv: Any = None,
        positive: bool = False,
    ) -> None:
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.positive = positive

    def _ratios(self) -> Any:
        return 1.0
