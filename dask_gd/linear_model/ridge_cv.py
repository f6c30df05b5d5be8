"""Ridge with its strength chosen by cross-validation: folds in one sweep, every row left out in two."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..engine import is_dask, map_blocks, of_block, open_engine, row_count
from ..engine.blas import one_blas_thread
from ..kernels import (
    EVERYTHING,
    First,
    FirstKernel,
    FoldKernel,
    LeaveOneOutKernel,
    MomentsKernel,
    Squares,
    SquaresKernel,
    TargetSquaresKernel,
)
from ..losses import Squared
from ..planner import Plan
from ..protocol import Array, Block, Engine
from ..ridges import SCORINGS, Errors, RidgeSums, coefficients, judge, leave_one_out, refined, ridges, scores
from .base import squared
from .docs import shared_docs
from .fit import Problem, check_data, check_moments
from .folds import partition_of
from .least_squares import LeastSquaresBase
from .params import check_boolean
from .path import check_width
from .penalty import PenaltySpec
from .start import CONSTANT_MODEL, Start


@dataclass(frozen=True, eq=False)
class RidgeChoice:
    """What there is to choose from, and how; picklable."""

    alphas: Array
    fit_intercept: bool
    scoring: str | None
    per_target: bool
    n_folds: int = 0  # 0: every row is left out in turn
    keep: bool = False  # what there is to know of each row


class RidgeOutcome(NamedTuple):
    """What a choice found out."""

    coefs: Array  # (m, d)
    intercepts: Array  # (m,)
    chosen: Array  # () or (m,) the numbers of the strengths
    score: Array  # () or (m,)
    kernel: LeaveOneOutKernel | None  # which has the errors of every row; where they are kept
    n_sweeps: int


def choose(engine: Engine, *, choice: RidgeChoice, n_features: int) -> RidgeOutcome:
    """The choice itself, on any engine."""
    with one_blas_thread():  # as in a task: the same bits wherever it runs
        before = engine.n_sweeps
        outcome = (_by_folds if choice.n_folds else _by_rows)(engine, choice, n_features)
        return outcome._replace(n_sweeps=engine.n_sweeps - before)


def _by_rows(engine: Engine, choice: RidgeChoice, n_features: int) -> RidgeOutcome:
    first: First = engine.sweep(FirstKernel(MomentsKernel(n_features, False, Squared()), SquaresKernel()))
    moments = first.moments
    check_moments(moments, n_features)
    assert isinstance(first.squares, Squares)
    if moments.n_used < 2 and choice.fit_intercept:
        raise ValueError(
            f"Leaving out one of n_samples = {moments.n_rows} rows must leave another of positive weight to fit an "
            "intercept to."
        )
    if choice.scoring == "r2" and moments.n_used < 2:
        raise ValueError(f"R² needs two rows of positive weight, and n_samples = {moments.n_rows}.")
    sums = RidgeSums.of(first.squares, np.size(moments.y_mean), fit_intercept=choice.fit_intercept)
    kernel = leave_one_out(sums, moments, choice.alphas, engine, fit_intercept=choice.fit_intercept)
    wrong: Array = engine.sweep(kernel)
    # scikit-learn's default is the mean over all rows of the weighted squares, and its scorers weigh both sides.
    rows = float(moments.n_rows) if choice.scoring is None else moments.weight
    errors = Errors(rows, wrong, np.atleast_1d(moments.y_m2))
    each = scores(errors, choice.scoring or "neg_mean_squared_error")
    values = each if choice.per_target and each.shape[1] > 1 else each.mean(axis=1)
    chosen = np.argmax(values, axis=0)  # the first of the highest
    coefs = coefficients(kernel, np.broadcast_to(chosen, len(sums.target)))
    score = np.take_along_axis(values, chosen[None], axis=0)[0]
    return RidgeOutcome(coefs, sums.intercepts(coefs), chosen, score, kernel if choice.keep else None, 0)


def _by_folds(engine: Engine, choice: RidgeChoice, n_features: int) -> RidgeOutcome:
    kernel = FirstKernel(MomentsKernel(n_features, False, Squared()), TargetSquaresKernel())
    sums_of_folds = engine.sweep(FoldKernel(kernel, choice.n_folds))
    first: First = sums_of_folds.without(EVERYTHING)
    moments, folds = first.moments, sums_of_folds.of("squares")
    check_moments(moments, n_features)
    scoring, n_targets = choice.scoring or "r2", np.size(moments.y_mean)
    values = np.zeros((choice.n_folds, len(choice.alphas)))
    for fold, rows in enumerate(folds.parts):
        others = folds.without(fold)
        if rows is None or others is None or rows.weight <= 0 or others.weight <= 0:
            raise ValueError(f"Fold {fold} has no row of positive weight, or all of them: use fewer folds.")
        if scoring == "r2" and not rows.xx.any() and not rows.zz.any():
            raise ValueError(
                f"Fold {fold} has no two rows that differ, and R² needs them: use fewer folds, "
                "scoring='neg_mean_squared_error', or cv=None to leave out every row in turn."
            )
        sums = RidgeSums.of(others, n_targets, fit_intercept=choice.fit_intercept)
        coefs = ridges(sums, choice.alphas)
        values[fold] = scores(judge(coefs, sums.intercepts(coefs), rows), scoring).mean(axis=1)
    means = values.mean(axis=0)
    chosen = np.argmax(means)
    whole = first.squares
    assert whole is not None
    sums = RidgeSums.of(whole, n_targets, fit_intercept=choice.fit_intercept)
    alpha = float(choice.alphas[chosen])
    best = ridges(sums, choice.alphas[[chosen]])[0]
    if alpha > 0 and sums.coarse(alpha):
        best = refined(sums, best, alpha, moments, engine)
    return RidgeOutcome(best, sums.intercepts(best), np.asarray(chosen), means[chosen], None, 0)


@shared_docs
class RidgeCV(LeastSquaresBase):
    """Ridge with α chosen by cross-validation: minimises Σ s (y - x·w - b - o)² + α ‖w‖²; b is not penalised.

    With folds everything comes from one sweep: the sums of products of the rows of each fold. Every row left out in
    turn (``cv=None``) takes two, and is exact: no model is fitted twice. Where the columns are so near to collinear
    that sums of products lose their digits, one more sweep finds them again.

    Parameters
    ----------
    alphas : float or array-like of shape (n_alphas,), default=(0.1, 1.0, 10.0)
        α, the same as scikit-learn's: above 0, or from 0 upwards with folds.
    {fit_intercept}
    scoring : {"r2", "neg_mean_squared_error", "neg_root_mean_squared_error"} or None, default=None
        None: "r2" with folds, else the mean of -s e² over all rows. Weights count in all scores, as they do in
        scikit-learn 1.9, and all folds count alike.
    cv : int, splitter, iterable or None, default=None
        None: every row is left out in turn. Otherwise the number of contiguous folds, or a splitter of scikit-learn
        whose test folds hold every row once.
    store_cv_results : bool, default=False
        True: keep ``cv_results_``; of ``cv=None`` alone.
    alpha_per_target : bool, default=False
        True: an α for each of several targets; of ``cv=None`` alone.

    Attributes
    ----------
    alpha_ : float, or ndarray of shape (m,)
    best_score_ : float, or ndarray of shape (m,)
    coef_ : ndarray of shape (d,), or (m, d) for m targets
        In units of y per unit of the column.
    intercept_ : float, or ndarray of shape (m,)
    cv_results_ : ndarray of shape (n, n_alphas) or (n, m, n_alphas), or dask array for dask input
        s e² of every row left out, or with ``scoring`` what was predicted for it, where X is. The dask array is lazy: X
        is read again when it is computed, and what X is made of is kept for it.
    n_sweeps_ : int
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    Golub, Heath & Wahba, *Generalized Cross-Validation as a Method for Choosing a Good Ridge Parameter*, Technometrics
    21 (1979). Rifkin & Lippert, *Notes on Regularized Least Squares*, MIT-CSAIL-TR-2007-025.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_gd import RidgeCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 3))
    >>> y = X[:, 0] + rng.normal(size=100)
    >>> model = RidgeCV().fit(X, y)
    >>> model.alpha_, model.n_sweeps_
    (1.0, 2)
    >>> RidgeCV(alphas=np.logspace(-3, 3, 100), cv=5).fit(X, y).n_sweeps_
    1
    """

    def __init__(
        self,
        alphas: Any = (0.1, 1.0, 10.0),
        *,
        fit_intercept: bool = True,
        scoring: str | None = None,
        cv: Any = None,
        store_cv_results: bool = False,
        alpha_per_target: bool = False,
    ) -> None:
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.scoring = scoring
        self.cv = cv
        self.store_cv_results = store_cv_results
        self.alpha_per_target = alpha_per_target

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> RidgeCV:
        """Fit to data; data and errors as in :meth:`LinearRegression.fit`, and a ValueError for folds that do not hold
        every row once, for a ``scoring`` that needs more than sums of squares, and for more than 4,000 columns.

        Returns
        -------
        self
        """
        alphas = self._check_parameters()
        before = dict(self.__dict__)
        columns = (y.ndim if hasattr(y, "ndim") else np.asarray(y).ndim) > 1
        try:
            X, y, sample_weight, offset = check_data(self, X, y, sample_weight, offset, "columns")
            row_count(X)
            fold, n_folds = (None, 0) if self.cv is None else partition_of(self.cv, X, y, classifier=False)
            check_width(type(self).__name__, self.n_features_in_, "Ridge")
            choice = RidgeChoice(
                alphas, self.fit_intercept, self.scoring, self.alpha_per_target, n_folds, self.store_cv_results
            )
            with open_engine(X, y, sample_weight, offset, targets="columns", fold=fold) as engine:
                job = partial(choose, choice=choice, n_features=self.n_features_in_)
                outcome: RidgeOutcome = engine.run(job)
            if self.store_cv_results:
                assert outcome.kernel is not None
                self.cv_results_ = self._per_row(outcome.kernel, X, y, sample_weight, offset, columns=columns)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        several = len(outcome.coefs) > 1
        self.alpha_ = alphas[outcome.chosen] if outcome.chosen.ndim else float(alphas[outcome.chosen])
        self.best_score_ = outcome.score if outcome.chosen.ndim else float(outcome.score)
        self.coef_ = outcome.coefs if several else outcome.coefs[0]
        self.intercept_ = outcome.intercepts if several else float(outcome.intercepts[0])
        self.n_sweeps_ = outcome.n_sweeps
        return self

    def explain(self, X: Any, y: Any = None) -> Plan:
        """The plan of a fit before anything is read, as of :class:`Ridge`.

        Returns
        -------
        Plan
        """
        plan = super().explain(X, y)
        if self.cv is not None:
            return plan
        chosen = plan.chosen._replace(sweeps=plan.chosen.sweeps + 1)
        return plan._replace(chosen=chosen, why=f"{plan.why}; another sweep leaves out every row in turn")

    def _per_row(
        self, kernel: LeaveOneOutKernel, X: Any, y: Any, sample_weight: Any, offset: Any, *, columns: bool
    ) -> Any:
        function = partial(kernel.per_row, predictions=self.scoring is not None)
        shape = (len(kernel.target), len(kernel.alphas))
        if is_dask(X):
            found = map_blocks(function, X, y, sample_weight, offset, shape=shape)
        else:
            found = of_block(function, Block(0, X, y, sample_weight, offset))
        return found if columns else found[:, 0, :]

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        alphas = self._check_parameters()
        penalty = PenaltySpec(float(alphas.max()), of_sum=True)
        return Problem(
            penalty, squared, "auto", 1, None, self.fit_intercept, targets="columns", start=start, precompute=True
        )

    def _check_parameters(self) -> Array:
        """The strengths, if all parameters go together."""
        for name in ("fit_intercept", "store_cv_results", "alpha_per_target"):
            check_boolean(self, name)
        try:
            alphas = np.atleast_1d(np.asarray(self.alphas, dtype=float))
        except (TypeError, ValueError):
            alphas = np.zeros(0)
        allowed = np.isfinite(alphas) & ((alphas > 0) if self.cv is None else (alphas >= 0))
        if alphas.ndim != 1 or not len(alphas) or not allowed.all():
            least = "above 0 (with cv from 0 upwards)" if self.cv is None else "from 0 upwards"
            raise ValueError(f"alphas must be a number, or several, {least}. Got {self.alphas!r} instead.")
        if self.scoring is not None and not (isinstance(self.scoring, str) and self.scoring in SCORINGS):
            known = ", ".join(map(repr, SCORINGS))
            raise ValueError(
                f"The 'scoring' parameter of RidgeCV must be one of {known}, or None, which sums of squares answer. "
                f"Got {self.scoring!r} instead: for that score use GridSearchCV(Ridge(), {{'alpha': alphas}})."
            )
        for name in ("store_cv_results", "alpha_per_target"):
            if self.cv is not None and getattr(self, name):
                raise ValueError(f"cv!=None and {name}=True are incompatible")
        return alphas
