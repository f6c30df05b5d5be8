"""Grid search and random search whose candidates and folds share the sweeps over the data."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn import model_selection as sklearn_search
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning

from ..callbacks import PrintReports, watching
from ..engine import is_dask, open_engine
from ..kernels import JudgedModel
from ..linear_model.base import LinearModel
from ..linear_model.fit import Problem, check_data, keep_outcome
from ..linear_model.folds import fold_numbers_of
from ..linear_model.splits import Scored, SharedLabelsError, SplitOutcome, SplitProblems, solve_splits
from ..linear_model.start import start_of
from ..protocol import Array, Result
from .on_workers import OnWorkers, pulls_dask
from .scoring import Judge, judges_of

NAMED = 5  # candidates that a warning names
WORTH_SPREADING = 2**26  # bytes of X times fits from which a search is spread over the workers


class _Candidate(NamedTuple):
    """One set of parameters: its estimator, and what it asks for or the error that it raises."""

    estimator: Any
    problem: Problem | None
    error: Exception | None


class Shared(NamedTuple):
    """A search whose fits can share sweeps."""

    parameters: list[dict[str, Any]]
    candidates: list[_Candidate]
    judges: Sequence[Judge]
    fold: Any
    n_folds: int


class SharedSweeps:
    """What lets a search of scikit-learn's do all fits of our estimators in the same sweeps.

    Anything else than our estimators of one problem, folds that partition the rows and scores that add up is left to
    scikit-learn, fit by fit.
    """

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Search, and fit the best candidate to all rows.

        Parameters
        ----------
        X : array-like, CSR matrix, or dask array or DataFrame of shape (n, d)
        y : array-like or dask array of shape (n,)
        **params
            What scikit-learn's search takes: ``sample_weight`` and ``offset`` are cut like the rows, ``groups`` go to
            the splitter.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Data that cannot be fitted, or candidates that all fail.
        FitInterrupted
            The cluster failed for good.
        """
        self._validate_params()  # type: ignore[attr-defined]
        X = X if hasattr(X, "shape") else np.asarray(X)
        shared = self._shared(X, y, params)
        if shared is not None:
            try:
                return self._fit_shared(shared, X, y, params.get("sample_weight"), params.get("offset"))
            except SharedLabelsError:
                pass
        self.n_sweeps_ = None
        estimator = self.estimator  # type: ignore[attr-defined]
        if not (is_dask(X) and pulls_dask(estimator)):
            return super().fit(X, y, **params)  # type: ignore[misc]
        self.estimator = OnWorkers(estimator)
        try:
            super().fit(X, y, **params)  # type: ignore[misc]
        finally:
            self.estimator = estimator
        if hasattr(self, "best_estimator_"):
            self.best_estimator_ = self.best_estimator_.fitted_
        return self

    def _shared(self, X: Any, y: Any, params: dict[str, Any]) -> Shared | None:
        """The search, where its fits can share sweeps."""
        from sklearn import get_config

        estimator = self.estimator  # type: ignore[attr-defined]
        fits_alike = isinstance(estimator, LinearModel) and estimator._one_problem
        given = {name for name, value in params.items() if value is not None}
        if y is None or not fits_alike or not given <= {"sample_weight", "offset", "groups"}:
            return None
        if get_config()["enable_metadata_routing"] and given:
            return None
        judges = judges_of(self.scoring, estimator)  # type: ignore[attr-defined]
        if judges is None:
            return None
        groups = params.get("groups")
        folds = fold_numbers_of(self.cv, X, y, classifier=is_classifier(estimator), groups=groups)  # type: ignore[attr-defined]
        if folds is None:
            return None
        parameters = self._parameters()
        candidates = [candidate_of(estimator, some, y) for some in parameters]
        for candidate in candidates:
            if not all(judge.can_judge(candidate.estimator) for judge in judges):
                return None
        return Shared(parameters, candidates, judges, *folds) if candidates else None

    def _fit_shared(self, shared: Shared, X: Any, y: Any, sample_weight: Any, offset: Any) -> Any:
        raised = [candidate.error for candidate in shared.candidates if candidate.error is not None]
        if raised and (self.error_score == "raise" or len(raised) == len(shared.candidates)):  # type: ignore[attr-defined]
            raise raised[0]
        stated = [candidate for candidate in shared.candidates if candidate.problem is not None]
        if self.verbose > 0:  # type: ignore[attr-defined]
            n = len(shared.parameters)
            print(f"Fitting {shared.n_folds} folds for each of {n} candidates, totalling {n * shared.n_folds} fits")
        weighted = sample_weight is not None and self._check_scorers_accept_sample_weight()  # type: ignore[attr-defined]
        problems = tuple(candidate.problem for candidate in stated if candidate.problem is not None)
        first = clone(stated[0].estimator)
        checked = check_data(first, X, y, sample_weight, offset, problems[0].targets)
        search = SplitProblems(
            problems,
            shared.n_folds,
            len(shared.judges),
            partial(judged_model, [candidate.estimator for candidate in stated], shared.judges, first.n_features_in_),
            partial(_choose, self, shared),
            self.return_train_score,  # type: ignore[attr-defined]
            weighted,
            offset is None and weighted == (sample_weight is not None),
            sign=shared.judges[0].sign,
        )
        began = time.perf_counter()
        told = self.verbose > 1  # type: ignore[attr-defined]
        outcome = run_search(search, checked, shared.fold, first.n_features_in_, verbose=told)
        self._keep_search(shared, outcome, first, time.perf_counter() - began)
        if outcome.refit is not None and self.refit:  # type: ignore[attr-defined]
            self.best_estimator_._look_back(X, y, offset)
        return self

    def _keep_search(self, shared: Shared, outcome: SplitOutcome, first: Any, seconds: float) -> None:
        """Set the attributes of a search."""
        out = out_of(self, shared, outcome.scored)
        warn_of_failures(out, self.error_score)  # type: ignore[attr-defined]
        warn_of_refusals(outcome.scored.refusals, self.error_score)  # type: ignore[attr-defined]
        results, metric = _results(self, shared, out)
        _warn_of_unfinished(type(self).__name__, shared, outcome)
        self.n_splits_ = shared.n_folds
        self.multimetric_ = _is_multimetric(self.scoring)  # type: ignore[attr-defined]
        refit = self.refit  # type: ignore[attr-defined]
        if refit or not self.multimetric_:
            self.best_index_ = self._select_best_index(refit, metric, results)  # type: ignore[attr-defined]
            if not callable(refit):
                self.best_score_ = results[f"mean_test_{metric}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]
        if refit:
            assert outcome.refit is not None
            best = clone(shared.candidates[self.best_index_].estimator)
            for name in ("n_features_in_", "feature_names_in_"):
                if hasattr(first, name):
                    setattr(best, name, getattr(first, name))
            keep_outcome(best, outcome.refit, seconds)
            best._keep(outcome.refit.result)
            self.best_estimator_ = best
            self.refit_time_ = outcome.refit_seconds
            if hasattr(best, "feature_names_in_"):
                self.feature_names_in_ = best.feature_names_in_
        scorers = {judge.name: judge.scorer for judge in shared.judges}
        self.scorer_ = scorers if self.multimetric_ else next(iter(scorers.values()))
        self.cv_results_ = results
        self.n_sweeps_ = outcome.n_sweeps


def candidate_of(estimator: Any, parameters: dict[str, Any], y: Any) -> _Candidate:
    """An estimator with these parameters, and what it asks for."""
    own = clone(estimator).set_params(**clone(parameters, safe=False))
    try:
        return _Candidate(own, own._problem(y, start_of(own, None, None)), None)
    except (ValueError, TypeError) as error:
        return _Candidate(own, None, error)


def run_search(
    search: SplitProblems, data: tuple[Any, ...], fold: Any, n_features: int, *, verbose: bool = False
) -> SplitOutcome:
    """The search, where the data are: in one task where they and the fits are small and nobody watches."""
    callbacks = watching() + ((PrintReports(),) if verbose else ())
    targets = search.problems[0].targets
    with open_engine(*data, targets=targets, fold=fold) as engine:
        job = partial(solve_splits, search=search, n_features=n_features, callbacks=callbacks)
        fits = len(search.problems) * search.n_folds
        spread = not engine.extent.nbytes * fits <= WORTH_SPREADING
        outcome: SplitOutcome = engine.run(job, interactive=bool(callbacks) or spread)
    return outcome


def judged_model(
    estimators: Sequence[Any],
    judges: Sequence[Judge],
    n_features: int,
    i: int,
    result: Result,
    classes: Array | None,
    fold: int,
) -> JudgedModel:
    """A fitted candidate before its judges."""
    model = copy(estimators[i])  # never fitted
    model.n_features_in_ = n_features
    if classes is not None:
        model.classes_ = classes
    model._keep(result)
    found = [judge.of_model(model) for judge in judges]
    metrics = tuple((metric, name) for metric, name, _ in found)
    responses = {name: respond for _, name, respond in found}
    return JudgedModel(np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_), metrics, responses, fold)


def _is_multimetric(scoring: Any) -> bool:
    return isinstance(scoring, (list, tuple, set, dict))


def _choose(search: Any, shared: Shared, outcome: Scored) -> int | None:
    """Among the problems the number of the one to fit to all rows; None: none is wanted."""
    if not search.refit:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come when the results are kept
        results, metric = _results(search, shared, out_of(search, shared, outcome))
    best = search._select_best_index(search.refit, metric, results)
    if shared.candidates[best].problem is None:
        raise ValueError(f"The candidate chosen by refit could not be fitted: {shared.candidates[best].error}")
    return sum(candidate.problem is not None for candidate in shared.candidates[:best])


def out_of(search: Any, shared: Shared, outcome: Scored) -> list[dict[str, Any]]:
    """What scikit-learn's own loop would have put down of each fit."""
    out = []
    fits = max(sum(c.problem is not None for c in shared.candidates) * shared.n_folds, 1)
    names = [judge.name for judge in shared.judges]
    several = _is_multimetric(search.scoring)
    number = 0
    for candidate in shared.candidates:
        for fold in range(shared.n_folds):
            error = candidate.error
            tests = trains = np.full(len(names), search.error_score if search.error_score != "raise" else np.nan)
            if candidate.problem is not None:
                fit = outcome.fits[number][fold]
                if isinstance(fit, Exception):
                    error = fit
                else:
                    tests = _signed(outcome.test_scores[number, fold], shared, search, outcome)
                    if outcome.train_scores is not None:
                        trains = _signed(outcome.train_scores[number, fold], shared, search, outcome)
            if error is not None and search.error_score == "raise":
                raise error
            entry = {
                "fit_error": None if error is None else f"{type(error).__name__}: {error}",
                "test_scores": dict(zip(names, tests, strict=True)) if several else float(tests[0]),
                "n_test_samples": outcome.test_rows[fold],
                "fit_time": outcome.fit_seconds / fits,
                "score_time": outcome.score_seconds / fits,
            }
            if search.return_train_score:
                entry["train_scores"] = dict(zip(names, trains, strict=True)) if several else float(trains[0])
            out.append(entry)
        number += candidate.problem is not None
    return out


def _signed(scores: Array, shared: Shared, search: Any, outcome: Scored) -> Array:
    """The greater the better; ``error_score`` where a metric has no value."""
    if outcome.refusals and search.error_score == "raise":
        raise ValueError(outcome.refusals[0])
    signed = scores * np.array([judge.sign for judge in shared.judges])
    return np.where(np.isnan(signed), search.error_score, signed) if outcome.refusals else signed


def _results(search: Any, shared: Shared, out: list[dict[str, Any]]) -> tuple[dict[str, Any], Any]:
    """``cv_results_``, and the metric that ranks for the refit."""
    results = search._format_results(shared.parameters, shared.n_folds, out)
    if not _is_multimetric(search.scoring):
        return results, "score"
    search._check_refit_for_multimetric({judge.name: None for judge in shared.judges})
    return results, search.refit


def warn_of_failures(out: Sequence[dict[str, Any]], error_score: Any) -> None:
    """One warning for all fits that raised, by what they raised.

    Raises
    ------
    ValueError
        Where all did.
    """
    errors = Counter(entry["fit_error"] for entry in out if entry["fit_error"] is not None)
    if not errors:
        return
    told = "\n".join(f"{count} fits failed with: {error}" for error, count in errors.items())
    failed = sum(errors.values())
    if failed == len(out):
        raise ValueError(f"All the {failed} fits failed: nothing was learnt of any candidate.\n{told}")
    warnings.warn(
        f"{failed} fits failed out of a total of {len(out)}; their scores are {error_score}.\n{told}",
        FitFailedWarning,
        stacklevel=5,
    )


def warn_of_refusals(refusals: Sequence[str], error_score: Any) -> None:
    """One warning for each reason why there was no score."""
    for why in refusals:
        warnings.warn(
            f"Scoring failed. The score on such a test part is set to {error_score}. {why}", UserWarning, stacklevel=5
        )


def _warn_of_unfinished(name: str, shared: Shared, outcome: SplitOutcome) -> None:
    """One warning for all candidates that did not converge, which names the first of them."""
    messages: dict[str, list[str]] = {}
    number = 0
    for parameters, candidate in zip(shared.parameters, shared.candidates, strict=True):
        if candidate.problem is None:
            continue
        for fit in outcome.scored.fits[number]:
            if not isinstance(fit, Exception) and not fit.result.converged:
                found = messages.setdefault(fit.result.message, [])
                if str(parameters) not in found:
                    found.append(str(parameters))
        number += 1
    for message, found in messages.items():
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        warnings.warn(
            f"{name}: {', '.join(found[:NAMED])}{more} stopped before the minimum: {message}.",
            ConvergenceWarning,
            stacklevel=5,
        )


class GridSearchCV(SharedSweeps, sklearn_search.GridSearchCV):
    """scikit-learn's grid search, in which all candidates and folds share the sweeps over the data.

    Every candidate minimises its own objective on every training part. What all of them ask in an iteration is one
    product of X with a matrix of a column a fit; a test fold is a number beside each row, so that nothing is copied;
    held-out scores are one more sweep, or none where the losses are squares. A fit that has converged leaves the sweep.
    Of fits that differ in the strength of their penalty alone one of middle strength comes first: the others start from
    its minimum and in the metric of its Hessian.

    Sweeps are shared by the estimators of this package but for the stochastic ones, with folds that hold every row once
    and scores that are sums over rows. Everything else goes through scikit-learn's own loop, fit by fit.

    Parameters
    ----------
    estimator : estimator
    param_grid : dict of lists, or list of such dicts
    scoring : str, scorer of ``dask_gd.metrics``, list, dict or None, default=None
        None: the estimator's ``score``.
    n_jobs, pre_dispatch
        Of scikit-learn's own loop.
    refit : bool, str or callable, default=True
    cv : int, splitter, iterable or None, default=None
        None: 5; a number gives a classifier folds with the same shares of the classes.
    verbose : int, default=0
        2: a line a sweep.
    error_score : "raise" or float, default=nan
        The score of a candidate that cannot be fitted. One that diverges is stopped, named in a ConvergenceWarning and
        scored as it is.
    return_train_score : bool, default=False

    Attributes
    ----------
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As in scikit-learn. Times are those of all fits together, divided by their number.
    n_sweeps_ : int or None
        Passes over the data, of all fits, scores and the refit together; None: sweeps were not shared.

    References
    ----------
    Hastie, Tibshirani & Friedman, *The Elements of Statistical Learning* (2009), sec. 7.10.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd import GDRegressor
    >>> from dask_gd.model_selection import GridSearchCV
    >>> X = da.random.default_rng(0).normal(size=(1000, 3), chunks=(250, 3))
    >>> estimator = GDRegressor(learning_rate="constant", max_iter=20, tol=None)
    >>> search = GridSearchCV(estimator, {"eta0": [0.001, 0.01, 0.1]}).fit(X, X.sum(axis=1))
    >>> search.best_params_, search.n_sweeps_
    ({'eta0': 0.1}, 1)
    """

    def _parameters(self) -> list[dict[str, Any]]:
        return list(sklearn_search.ParameterGrid(self.param_grid))


class RandomizedSearchCV(SharedSweeps, sklearn_search.RandomizedSearchCV):
    """scikit-learn's random search, in which all candidates and folds share the sweeps over the data.

    Every candidate minimises its own objective on every training part, as in :class:`GridSearchCV`.

    Parameters
    ----------
    estimator : estimator
    param_distributions : dict of lists or of distributions with ``rvs``, or list of such dicts
    n_iter : int, default=10
        Candidates.
    random_state : int, RandomState or None, default=None
    scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score, return_train_score
        As in :class:`GridSearchCV`.

    Attributes
    ----------
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As in scikit-learn.
    n_sweeps_ : int or None
        As in :class:`GridSearchCV`.

    References
    ----------
    Bergstra & Bengio, *Random Search for Hyper-Parameter Optimization*, JMLR 13 (2012).

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from dask_gd import Ridge
    >>> from dask_gd.model_selection import RandomizedSearchCV
    >>> X = [[float(i)] for i in range(20)]
    >>> y = [2.0 * i + (-1.0) ** i for i in range(20)]
    >>> search = RandomizedSearchCV(Ridge(), {"alpha": loguniform(1e-3, 1e3)}, n_iter=5, random_state=0).fit(X, y)
    >>> search.n_sweeps_
    1
    """

    def _parameters(self) -> list[dict[str, Any]]:
        sampler = sklearn_search.ParameterSampler(self.param_distributions, self.n_iter, random_state=self.random_state)
        return list(sampler)
