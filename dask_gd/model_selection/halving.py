"""Successive halving over a grid or at random: survivors go on from where they stopped, in shared sweeps."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from functools import partial
from inspect import signature
from typing import Any

from sklearn import model_selection as sklearn_search
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # which lets scikit-learn's searches be imported

from ..callbacks import PrintReports, watching
from ..engine import open_engine
from ..linear_model.fit import check_data, keep_outcome
from ..linear_model.rungs import Leg, Rungs, keep_budgeted
from ..linear_model.splits import Scored, SharedLabelsError, SplitProblems, choose_none
from ..protocol import Engine
from .search import NAMED, Shared, SharedSweeps, candidate_of, judged_model, out_of, warn_of_failures, warn_of_refusals

RESUMED = "max_iter"  # the resource of which a fit that has had some can be given more


class _UnlikeError(SharedLabelsError):
    """Candidates that cannot share sweeps."""


class SharedRungs(SharedSweeps):
    """What lets scikit-learn's successive halving do all fits of a rung in the same sweeps, and go on at the next."""

    def _shared(self, X: Any, y: Any, params: dict[str, Any]) -> Shared | None:
        return None if self.resource == "n_samples" else super()._shared(X, y, params)  # type: ignore[attr-defined]

    def _parameters(self) -> list[dict[str, Any]]:
        """Those to look at before the schedule is known: the estimator's own."""
        return [{}]

    def _fit_shared(self, shared: Shared, X: Any, y: Any, sample_weight: Any, offset: Any) -> Any:
        weighted = sample_weight is not None and self._check_scorers_accept_sample_weight()  # type: ignore[attr-defined]
        first = clone(self.estimator)  # type: ignore[attr-defined]
        targets = _targets(shared)
        checked = check_data(first, X, y, sample_weight, offset, targets)
        cv = self.cv  # type: ignore[attr-defined]
        self._checked_cv_orig = sklearn_search.check_cv(cv)
        self.n_splits_ = shared.n_folds
        self._check_input_parameters(X, y, {})  # type: ignore[attr-defined]
        options = {
            "n_folds": shared.n_folds,
            "n_metrics": 1,
            "choose": choose_none,
            "train_scores": self.return_train_score,  # type: ignore[attr-defined]
            "weighted_scores": weighted,
            "squares_tell": offset is None and weighted == (sample_weight is not None),
            "sign": shared.judges[0].sign,
        }
        climb = _Climb(self, shared, options, first, y)
        with open_engine(*checked, targets=targets, fold=shared.fold) as engine:
            results, outcome = engine.run(climb, interactive=True)
            n_sweeps = engine.n_sweeps
        climb.warn()
        self.cv_results_ = results
        self.multimetric_ = False
        self.scorer_ = shared.judges[0].scorer
        self.n_sweeps_ = n_sweeps
        if outcome is not None:
            best = climb.best
            for name in ("n_features_in_", "feature_names_in_"):
                if hasattr(first, name):
                    setattr(best, name, getattr(first, name))
            self.refit_time_ = climb.refit_seconds
            if self.resource == RESUMED:  # type: ignore[attr-defined]
                keep_budgeted(best, outcome, climb.refit_seconds)
            else:
                keep_outcome(best, outcome, climb.refit_seconds)
                best._keep(outcome.result)
            best._look_back(X, y, offset)
            self.best_estimator_ = best
            if hasattr(best, "feature_names_in_"):
                self.feature_names_in_ = best.feature_names_in_
        return self


class _Climb:
    """scikit-learn's schedule on an engine: the job of a search."""

    def __init__(self, owner: Any, shared: Shared, options: dict[str, Any], first: Any, y: Any) -> None:
        self.owner = owner
        self.shared = shared
        self.options = options
        self.first = first
        self.y = y
        self.engine: Any = None
        self.rungs: Rungs | None = None
        self.parameters: list[dict[str, Any]] = []
        self.out: list[dict[str, Any]] = []
        self.more: dict[str, list[Any]] = defaultdict(list)
        self.results: dict[str, Any] = {}
        self.diverged: list[str] = []
        self.best: Any = None
        self.refit_seconds = 0.0

    def __call__(self, engine: Engine) -> tuple[dict[str, Any], Any]:
        """The results, and the fit to all rows (None: none is wanted)."""
        owner = self.owner
        self.engine = engine
        if "callback_ctx" in signature(owner._run_search).parameters:
            context = owner._init_callback_context(max_subtasks=1).call_on_fit_task_begin(estimator=owner)
            owner._run_search(self.evaluate, callback_ctx=context)
            context.call_on_fit_task_end(estimator=owner)
        else:
            owner._run_search(self.evaluate)
        results = self.results
        owner.best_index_ = owner._select_best_index(owner.refit, "score", results)
        owner.best_params_ = results["params"][owner.best_index_]
        owner.best_score_ = results["mean_test_score"][owner.best_index_]
        assert self.rungs is not None
        if not owner.refit:
            self.rungs.watch.tell("done")
            return results, None
        candidate = candidate_of(owner.estimator, owner.best_params_, self.y)
        if candidate.problem is None:
            raise ValueError(f"The candidate chosen by refit could not be fitted: {candidate.error}")
        began = time.perf_counter()
        outcome = self.rungs.everything(candidate.problem)
        self.refit_seconds = time.perf_counter() - began
        self.rungs.watch.tell("done")
        self.best = candidate.estimator
        return results, outcome

    def evaluate(
        self, candidate_params: Any, cv: Any = None, *, more_results: Any, callback_ctx: Any = None
    ) -> dict[str, Any]:
        """One rung: what scikit-learn's own loop would have found."""
        del cv, callback_ctx  # the folds are known, and nobody is told of single fits
        owner, shared = self.owner, self.shared
        parameters = list(candidate_params)
        if owner.verbose > 0:
            n = len(parameters)
            print(f"Fitting {shared.n_folds} folds for each of {n} candidates, totalling {n * shared.n_folds} fits")
        resumed = owner.resource == RESUMED
        most = {RESUMED: owner.max_resources_} if resumed else {}
        candidates = [candidate_of(owner.estimator, {**some, **most}, self.y) for some in parameters]
        if not all(shared.judges[0].can_judge(candidate.estimator) for candidate in candidates):
            raise _UnlikeError
        raised = [candidate.error for candidate in candidates if candidate.error is not None]
        if raised and (owner.error_score == "raise" or len(raised) == len(candidates)):
            raise raised[0]
        stated = [i for i, candidate in enumerate(candidates) if candidate.error is None]
        estimators = [candidates[i].estimator for i in stated]
        problems: Any = tuple(candidates[i].problem for i in stated)
        known = partial(judged_model, estimators, shared.judges, self.first.n_features_in_)
        search = SplitProblems(problems, judged=known, **self.options)
        if self.rungs is None:
            self.rungs = Rungs(self.engine, search, self.first.n_features_in_, self._callbacks())
        began = time.perf_counter()
        names = [self._name(parameters[i]) for i in stated]
        until = parameters[0][RESUMED] if resumed else None
        legs = self.rungs.advance(search, names, until)
        judging = time.perf_counter()
        tests, trains, refusals = self.rungs.scores(search, legs)
        self._note(legs, [parameters[i] for i in stated])
        fits = [[leg.outcome for leg in row] for row in legs]
        scored = Scored(
            fits, tests, trains, refusals, self.rungs.test_rows, judging - began, time.perf_counter() - judging
        )
        out = out_of(owner, shared._replace(parameters=parameters, candidates=candidates), scored)
        warn_of_failures(out, owner.error_score)
        warn_of_refusals(refusals, owner.error_score)
        self.parameters += parameters
        self.out += out
        for name, values in more_results.items():
            self.more[name].extend(values)
        self.results = owner._format_results(self.parameters, shared.n_folds, self.out, self.more)
        return self.results

    def _callbacks(self) -> tuple[Any, ...]:
        return watching() + ((PrintReports(),) if self.owner.verbose > 1 else ())

    def _name(self, parameters: dict[str, Any]) -> Any:
        """By which a candidate is known from rung to rung: its very values, which scikit-learn hands on as they are."""
        resource = self.owner.resource
        return tuple(sorted((name, id(value)) for name, value in parameters.items() if name != resource))

    def _note(self, legs: list[list[Leg]], parameters: list[dict[str, Any]]) -> None:
        """Candidates that diverged."""
        for row, some in zip(legs, parameters, strict=True):
            shown = str({name: value for name, value in some.items() if name != self.owner.resource})
            if any(leg.diverged for leg in row) and shown not in self.diverged:
                self.diverged.append(shown)

    def warn(self) -> None:
        """Name the candidates that diverged."""
        if self.diverged:
            more = f" and {len(self.diverged) - NAMED} more" if len(self.diverged) > NAMED else ""
            warnings.warn(
                f"{type(self.owner).__name__}: {', '.join(self.diverged[:NAMED])}{more} diverged.",
                ConvergenceWarning,
                stacklevel=5,
            )


def _targets(shared: Shared) -> str:
    (candidate,) = shared.candidates
    if candidate.problem is None:
        raise _UnlikeError
    return candidate.problem.targets


class HalvingGridSearchCV(SharedRungs, sklearn_search.HalvingGridSearchCV):
    """scikit-learn's successive halving over a grid, in which all candidates and folds of a rung share their sweeps.

    All candidates get a little of a resource; the best 1/``factor`` of them get ``factor`` times as much, until few are
    left. With ``resource="max_iter"`` a candidate that goes on does so exactly from where it stopped, so that the
    search takes about as many passes over the data as one fit of ``max_resources`` iterations, and one a rung for the
    scores. Fits that cannot go on (losses with kinks by other solvers than "gd", Huber's with its scale) start anew at
    every rung, and so do all where the resource is another parameter.

    With ``resource="n_samples"`` (scikit-learn's default), and wherever :class:`GridSearchCV` would not share sweeps,
    everything goes through scikit-learn's own loop, fit by fit: every split is then of other rows at every rung.

    Parameters
    ----------
    estimator : estimator
    param_grid : dict of lists, or list of such dicts
    factor : float, default=3
        η: one in η candidates goes on.
    resource : str, default="n_samples"
        "max_iter", another parameter of the estimator, or "n_samples".
    max_resources, min_resources, aggressive_elimination, cv, scoring, refit, error_score, return_train_score, \
random_state, n_jobs, verbose
        As in scikit-learn; with "max_iter" the most iterations must be given as ``max_resources``.

    Attributes
    ----------
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, \
n_resources_, n_candidates_, n_remaining_candidates_, max_resources_, min_resources_, n_iterations_, \
n_possible_iterations_, n_required_iterations_
        As in scikit-learn. Times are those of all fits of a rung together, divided by their number.
    n_sweeps_ : int or None
        Passes over the data, of all fits, scores and the refit together; None: sweeps were not shared.

    References
    ----------
    Jamieson & Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter Optimization*, AISTATS 2016.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd import GDClassifier
    >>> from dask_gd.model_selection import HalvingGridSearchCV
    >>> X = da.random.default_rng(0).normal(size=(1000, 3), chunks=(250, 3))
    >>> model = GDClassifier(learning_rate="constant", tol=None)
    >>> grid = {"eta0": [0.001, 0.01, 0.1, 1.0]}
    >>> search = HalvingGridSearchCV(model, grid, resource="max_iter", max_resources=9).fit(X, X.sum(axis=1) > 0)
    >>> search.best_params_["eta0"], search.n_resources_, search.n_sweeps_ <= 2 * 10 + 3
    (1.0, [3, 9], True)
    """


class HalvingRandomSearchCV(SharedRungs, sklearn_search.HalvingRandomSearchCV):
    """scikit-learn's successive halving at random, in which all candidates and folds of a rung share their sweeps.

    Sweeps are shared, and candidates go on, as in :class:`HalvingGridSearchCV`.

    Parameters
    ----------
    estimator : estimator
    param_distributions : dict of lists or of distributions with ``rvs``, or list of such dicts
    n_candidates : int or "exhaust", default="exhaust"
        At the first rung; "exhaust": so many that the last one uses all of ``max_resources``.
    factor : float, default=3
        η: one in η candidates goes on.
    resource : str, default="n_samples"
        As in :class:`HalvingGridSearchCV`.
    max_resources, min_resources, aggressive_elimination, cv, scoring, refit, error_score, return_train_score, \
random_state, n_jobs, verbose
        As in scikit-learn.

    Attributes
    ----------
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, n_sweeps_
        As in :class:`HalvingGridSearchCV`, and so are the others.

    References
    ----------
    Jamieson & Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter Optimization*, AISTATS 2016.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from dask_gd import GDRegressor
    >>> from dask_gd.model_selection import HalvingRandomSearchCV
    >>> X = [[float(i % 5)] for i in range(20)]
    >>> y = [2.0 * (i % 5) + (-1.0) ** i for i in range(20)]
    >>> rates = {"eta0": loguniform(1e-4, 1e-1)}
    >>> search = HalvingRandomSearchCV(
    ...     GDRegressor(learning_rate="constant"), rates, resource="max_iter", max_resources=27, random_state=0
    ... ).fit(X, y)
    >>> search.n_candidates_, search.n_sweeps_
    ([27, 9, 3, 1], 1)
    """
