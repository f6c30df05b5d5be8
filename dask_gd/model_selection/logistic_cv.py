"""Logistic regression whose strength and mixture of penalties are chosen by cross-validation."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import Any

import numpy as np

from ..linear_model.docs import shared_docs
from ..linear_model.fit import check_data, keep_outcome
from ..linear_model.folds import fold_numbers_of
from ..linear_model.logistic import LinearClassifierBase, LogisticRegression
from ..linear_model.params import check_boolean
from ..linear_model.predict import ProbabilityMixin
from ..linear_model.splits import Scored, SharedLabelsError, SplitProblems, choose_none
from ..linear_model.start import CONSTANT_MODEL, Start
from ..protocol import Array
from .scoring import Judge, judges_of
from .search import judged_model, run_search


@shared_docs
class LogisticRegressionCV(ProbabilityMixin, LinearClassifierBase):
    """Logistic regression with C and ρ chosen by cross-validation; all fits of all folds share their sweeps.

    Every candidate minimises C Σ s ℓ(y, x·w + b + o) + ρ ‖w‖₁ + (1 - ρ)/2 ‖w‖², as :class:`LogisticRegression` does.

    Parameters
    ----------
    Cs : int or array-like, default=10
        How many values of C between 1e-4 and 1e4, or the values themselves.
    l1_ratios : array-like, default=(0.0,)
        Values of ρ in [0, 1].
    {fit_intercept}
    cv : int, splitter or None, default=None
        Folds: a number (None: 5) of them with the same shares of the classes, or a splitter whose test folds hold every
        row once.
    scoring : str, scorer of ``dask_gd.metrics`` or None, default=None
        What the best candidate has most of; None: accuracy.
    class_weight : dict, "balanced" or None, default=None
        Multiplies the sample weights by class; "balanced" gives every class the same total in the whole data.
    refit : bool, default=True
        True: the best candidate is fitted to all rows. False: the mean over the folds of each fold's best.
    {solver}

    Attributes
    ----------
    C_, l1_ratio_ : float
        The best; without a refit means over the folds.
    coef_ : ndarray of shape (1, d) or (n_classes, d)
    intercept_ : ndarray of shape (1,) or (n_classes,)
    classes_ : ndarray of shape (n_classes,)
    Cs_ : ndarray of shape (n_cs,)
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
    coefs_paths_ : ndarray of shape (n_folds, n_l1_ratios, n_cs, n_classes, d + 1), or (…, d) without an intercept
        With one in the place of two classes.
    scores_, n_iter_ : ndarray of shape (n_folds, n_l1_ratios, n_cs)
    n_sweeps_ : int
        Passes over the data, of all fits together.
    converged_, history_, solver_, plan_
        Of the fit to all rows, as in :class:`LogisticRegression`.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    Hastie, Tibshirani & Friedman, *The Elements of Statistical Learning* (2009), sec. 4.4 and 7.10.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_gd import LogisticRegressionCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = X[:, 0] + rng.logistic(size=200) > 0
    >>> model = LogisticRegressionCV(Cs=[0.01, 1.0], scoring="neg_log_loss").fit(X, y)
    >>> model.C_, model.scores_.shape
    (1.0, (5, 1, 2))
    """

    _one_problem = False  # it chooses among many itself

    def __init__(
        self,
        *,
        Cs: Any = 10,
        l1_ratios: Any = (0.0,),
        fit_intercept: bool = True,
        cv: Any = None,
        scoring: Any = None,
        class_weight: Any = None,
        refit: bool = True,
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        verbose: int = 0,
    ) -> None:
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.scoring = scoring
        self.class_weight = class_weight
        self.refit = refit
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose

    def _fitted_loss(self) -> Any:
        return LogisticRegression._fitted_loss(self)  # type: ignore[arg-type]

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Any:
        Cs, ratios = self._grid()
        return self._candidate(float(Cs[0]), float(ratios[0]))._problem(y, start)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> LogisticRegressionCV:
        """Fit to data; data and errors as in :meth:`LogisticRegression.fit`, and a ValueError for folds that do not
        hold every row once or that lack a class.

        Returns
        -------
        self
        """
        Cs, ratios = self._grid()
        check_boolean(self, "refit")
        candidates = [self._candidate(float(C), float(ratio)) for ratio in ratios for C in Cs]
        problems = tuple(candidate._problem(y) for candidate in candidates)
        judges = judges_of(self.scoring, candidates[0])
        if judges is None or len(judges) != 1:
            raise ValueError(
                f"scoring={self.scoring!r} is no score of dask_gd.metrics, which sweeps can share: use one of "
                "dask_gd.metrics.get_scorer_names(), or GridSearchCV(LogisticRegression(), ...)."
            )
        before = dict(self.__dict__)
        try:
            data = check_data(self, X, y, sample_weight, offset, "labels")
            folds = fold_numbers_of(self.cv, data[0], data[1], classifier=True)
            if folds is None:
                raise ValueError(
                    "The test folds of cv do not hold every row once: use a splitter whose folds do, or "
                    "GridSearchCV(LogisticRegression(), ...)."
                )
            fold, n_folds = folds
            search = SplitProblems(
                problems,
                n_folds,
                1,
                partial(judged_model, candidates, judges, self.n_features_in_),
                partial(_choose, judges[0].sign) if self.refit else choose_none,
                weighted_scores=sample_weight is not None,
                balance_all=True,
                sign=judges[0].sign,
            )
            outcome = run_search(search, data, fold, self.n_features_in_, verbose=bool(self.verbose))
        except SharedLabelsError as error:
            self._forget(before)
            raise ValueError(f"{error} LogisticRegressionCV needs every class in every training part.") from error
        except BaseException:
            self._forget(before)
            raise
        self._keep_paths(outcome, judges[0], Cs, ratios)
        return self

    def _forget(self, before: dict[str, Any]) -> None:
        self.__dict__.clear()
        self.__dict__.update(before)

    def _keep_paths(self, outcome: Any, judge: Judge, Cs: Array, ratios: Array) -> None:
        """Set the attributes of the search and of the best candidate."""
        fits, shape = outcome.scored.fits, (len(ratios), len(Cs))
        for row in fits:
            for fit in row:
                if isinstance(fit, Exception):
                    raise fit
        scores = judge.sign * outcome.scored.test_scores[:, :, 0].T.reshape(-1, *shape)
        results = [[fit.result for fit in row] for row in fits]
        parts = [
            [
                np.column_stack([r.coef, r.intercept]) if self.fit_intercept else r.coef  # (k, d + 1)
                for r in row
            ]
            for row in results
        ]
        paths = np.swapaxes(np.array(parts), 0, 1)
        paths = paths.reshape(len(scores), *shape, *paths.shape[2:])
        iterations = np.array([[r.n_iter for r in row] for row in results]).T.reshape(-1, *shape)
        if outcome.refit is not None:
            keep_outcome(self, outcome.refit, outcome.refit_seconds)
            self._keep(outcome.refit.result)
            best = [np.unravel_index(np.argmax(scores.sum(axis=0)), shape)]
        else:
            flat = scores.reshape(len(scores), -1)
            best = [np.unravel_index(i, shape) for i in np.argmax(flat, axis=1)]
            mean = np.mean([paths[fold][place] for fold, place in enumerate(best)], axis=0)
            self.coef_ = mean[:, : self.n_features_in_]
            self.intercept_ = mean[:, -1] if self.fit_intercept else np.zeros(len(mean))
            self.classes_ = fits[0][0].classes
        self.C_ = float(np.mean([Cs[c] for _, c in best]))
        self.l1_ratio_ = float(np.mean([ratios[r] for r, _ in best]))
        self.Cs_, self.l1_ratios_ = Cs, ratios
        self.scores_, self.coefs_paths_, self.n_iter_ = scores, paths, iterations
        self.n_sweeps_ = outcome.n_sweeps

    def _grid(self) -> tuple[Array, Array]:
        """The values of C and of ρ."""
        if isinstance(self.Cs, Integral) and not isinstance(self.Cs, bool):
            if self.Cs < 1:
                raise ValueError(f"Cs must be at least 1, or hold the values. Got {self.Cs!r} instead.")
            Cs = np.logspace(-4, 4, int(self.Cs))
        else:
            Cs = np.asarray(self.Cs, dtype=float)
        if Cs.ndim != 1 or not len(Cs) or not (Cs > 0).all():
            raise ValueError(f"Cs must be a number of values, or values above 0. Got {self.Cs!r} instead.")
        try:
            ratios = np.asarray(self.l1_ratios, dtype=float)
        except (TypeError, ValueError):
            ratios = np.zeros((0, 0))
        if ratios.ndim != 1 or not len(ratios) or not ((ratios >= 0) & (ratios <= 1)).all():
            raise ValueError(
                f"l1_ratios must be an array-like of numbers between 0 and 1. Got {self.l1_ratios!r} instead."
            )
        return Cs, ratios

    def _candidate(self, C: float, l1_ratio: float) -> LogisticRegression:
        return LogisticRegression(
            C=C,
            l1_ratio=l1_ratio,
            fit_intercept=self.fit_intercept,
            class_weight=self.class_weight,
            solver=self.solver,
            max_iter=self.max_iter,
            tol=self.tol,
            verbose=self.verbose,
        )


def _choose(sign: int, scored: Scored) -> int:
    """The problem of the highest sum of scores."""
    return int(np.argmax(sign * scored.test_scores[:, :, 0].sum(axis=1)))
