"""Hyperband: many models on a small budget, few on a large one, and all brackets share the sweeps over the data."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import ParameterSampler, RandomizedSearchCV
from sklearn.utils import check_random_state

from ..callbacks import PrintReports, watching
from ..engine import open_engine
from ..linear_model.base import LinearModel
from ..linear_model.fit import Outcome, check_data
from ..linear_model.params import check_boolean, check_integer
from ..linear_model.rungs import Leg, Rungs, keep_budgeted, some_of
from ..linear_model.splits import SharedLabelsError, SplitProblems, choose_none
from ..protocol import Array, Callback, Engine
from .brackets import Race, Standing, brackets_of, latest, winner
from .epochwise import Learners, classes_of, learn, split_rows
from .scoring import judges_of
from .search import NAMED, WORTH_SPREADING, candidate_of, judged_model, warn_of_refusals
from .train_test import fold_of_test

MOST_HELD = 2**24  # numbers of test rows times models, from scores whose sums hold them


class Finish(NamedTuple):
    """What came of a race."""

    standings: list[Standing]
    errors: dict[int, Exception]  # by model
    diverged: tuple[int, ...]
    refusals: tuple[str, ...]  # why there were no scores
    best: int
    budget: int  # of the refit
    refit: Any  # an Outcome, or a fitted estimator; None: none was wanted
    refit_seconds: float
    n_sweeps: int | None


class HyperbandSearchCV(RandomizedSearchCV):
    """Hyperband: brackets of successive halving, from many models of few iterations to few models of all of them.

    Bracket s begins with ⌈(S + 1) ηˢ / (s + 1)⌉ models of R / ηˢ iterations (R: ``max_iter``, η: ``aggressiveness``,
    S = ⌊log R / log η⌋), judges them by held-out rows, and lets the best 1/η of them go on to η times the iterations.
    All models of all brackets share the sweeps: from one budget to the next everybody who is still in the race takes
    its iterations in the same passes over the data, and whoever is judged there is judged in one more. The whole search
    then takes little more passes than a single fit of R iterations. A model goes on exactly from where it stopped.

    Parameters
    ----------
    estimator : estimator
        One of this package whose parameters include ``max_iter``, which is what the budget is of: its ``tol`` is as it
        is set, and a fit that has converged leaves the sweeps and stays a candidate. Fits that cannot go on (losses
        with kinks by other solvers than "gd", Huber's with its scale) start anew for every budget. Or an estimator with
        ``partial_fit``, such as ``SGDClassifier`` here or in scikit-learn: a unit of the budget is then a call of
        ``partial_fit`` with all training rows, model by model. Those that know nothing of dask collections get them
        chunk by chunk in the calling process, where one read of a chunk serves all models; test rows have to fit into
        its memory.
    parameters : dict of lists or of distributions with ``rvs``, or list of such dicts
        Every bracket draws its own models from it. Where all are lists that hold fewer, it takes all there are.
    max_iter : int, default=81
        R ≥ 1, the most iterations that a model gets.
    aggressiveness : int, default=3
        η ≥ 2.
    test_size : float or int, default=0.2
        A share of the rows, or their number: held out, as :func:`train_test_split` would with the same seed, to judge
        by; of every class its share. A number beside each row says where it belongs; nothing is copied.
    random_state : int, RandomState or None, default=None
        For the models and the held-out rows.
    scoring : str, scorer of ``dask_gd.metrics`` or None, default=None
        None: the estimator's ``score``. With ``partial_fit`` any scorer of scikit-learn's will do.
    refit : bool, default=True
        Whether the best parameters are fitted to all rows: for as many iterations as the best model had, or where that
        had converged ``max_iter`` of them at the most.
    verbose : int, default=0
        1: print what there is to do; 2: and a line a sweep.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        Of every model "params", ``"param_…"``, "model_id", "bracket", "partial_fit_calls" (its iterations),
        "test_score" (when it was judged last) and "rank_test_score". A model that failed or diverged has the score nan.
    best_index_ : int
        The model of the highest score; of equal ones that of the most iterations.
    best_params_, best_score_, best_estimator_, scorer_, refit_time_, n_splits_, multimetric_
        As in scikit-learn.
    metadata_ : dict
        "n_models", "partial_fit_calls" and for each of the "brackets" these and the budgets of its "decisions": as it
        came. ``metadata`` has it as it will be at the most.
    history_ : list of dict
        "model_id", "params", "partial_fit_calls", "score" and "bracket" whenever a model was judged.
    n_sweeps_ : int or None
        Passes over the data, of all fits, scores and the refit together; None with ``partial_fit``.

    References
    ----------
    Li, Jamieson, DeSalvo, Rostamizadeh & Talwalkar, *Hyperband: A Novel Bandit-Based Approach to Hyperparameter
    Optimization*, JMLR 18 (2018).

    Examples
    --------
    >>> import dask.array as da
    >>> from scipy.stats import loguniform
    >>> from dask_gd import GDClassifier
    >>> from dask_gd.model_selection import HyperbandSearchCV
    >>> X = da.random.default_rng(0).normal(size=(1000, 3), chunks=(250, 3))
    >>> model = GDClassifier(learning_rate="constant")
    >>> search = HyperbandSearchCV(model, {"eta0": loguniform(1e-3, 10)}, max_iter=9, random_state=0)
    >>> search = search.fit(X, X.sum(axis=1) > 0)
    >>> search.metadata_["n_models"], search.best_score_ > 0.95
    (17, True)
    """

    # what scikit-learn's search asks for
    cv = None
    return_train_score = False
    error_score = np.nan

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        max_iter: int = 81,
        *,
        aggressiveness: int = 3,
        test_size: float | int = 0.2,
        random_state: Any = None,
        scoring: Any = None,
        refit: bool = True,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.parameters = parameters
        self.max_iter = max_iter
        self.aggressiveness = aggressiveness
        self.test_size = test_size
        self.random_state = random_state
        self.scoring = scoring
        self.refit = refit
        self.verbose = verbose

    @property
    def metadata(self) -> dict[str, Any]:
        """What a fit will do at the most: "n_models", "partial_fit_calls" and its "brackets"."""
        brackets = brackets_of(self.max_iter, self.aggressiveness)
        return _metadata((b.number, b.n_models, b.calls, b.budgets) for b in brackets)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> HyperbandSearchCV:
        """Search, and fit the best parameters to all rows.

        Parameters
        ----------
        X : array-like, CSR matrix, or dask array or DataFrame of shape (n, d)
        y : array-like or dask array of shape (n,)
        sample_weight, offset : array-like or dask array of shape (n,), optional
            Of the estimators that take them; scores that take weights are weighted.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Data that cannot be fitted, models that all fail, an estimator without iterations to give, or a score that
            is no sum over rows.
        FitInterrupted
            The cluster failed for good.
        """
        check_integer(self, "max_iter", low=1)
        check_integer(self, "aggressiveness", low=2)
        X = X if hasattr(X, "shape") else np.asarray(X)
        check_boolean(self, "refit")
        check_integer(self, "verbose", low=0)
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=2)
        brackets = tuple(brackets_of(self.max_iter, self.aggressiveness))
        race, parameters = self._draw(brackets, int(seeds[0]))
        if self.verbose > 0:
            print(f"Hyperband: {len(parameters)} models in {len(brackets)} brackets, {self.max_iter} iterations each")
        weighted = sample_weight is not None and self._check_scorers_accept_sample_weight()
        run = self._run_shared if self._shares(parameters) else self._run_epochs
        finish, best_estimator, scorer = run(
            race, parameters, (X, y, sample_weight, offset), seed=int(seeds[1]), weighted=weighted
        )
        self._warn(parameters, finish)
        warn_of_refusals(finish.refusals, np.nan)
        self.scorer_, self.multimetric_, self.n_splits_ = scorer, False, 1
        self.n_sweeps_ = finish.n_sweeps
        self._keep_results(race, parameters, finish)
        if best_estimator is not None:
            self.best_estimator_ = best_estimator
            self.refit_time_ = finish.refit_seconds
            if hasattr(best_estimator, "feature_names_in_"):
                self.feature_names_in_ = best_estimator.feature_names_in_
        return self

    def _shares(self, parameters: Sequence[dict[str, Any]]) -> bool:
        """Whether the fits can share sweeps; False: they learn by partial_fit.

        Raises
        ------
        ValueError
            They can do neither.
        """
        estimator = self.estimator
        name = type(estimator).__name__
        if isinstance(estimator, LinearModel) and estimator._one_problem and "max_iter" in estimator.get_params():
            if any("max_iter" in some for some in parameters):
                raise ValueError("max_iter is what Hyperband allots and cannot be among the parameters it searches.")
            return True
        if not hasattr(estimator, "partial_fit"):
            raise ValueError(
                f"{name} has no iterations that Hyperband could allot: it needs max_iter (of an estimator of this "
                "package) or partial_fit. Use GridSearchCV or RandomizedSearchCV."
            )
        return False

    def _draw(self, brackets: tuple[Any, ...], seed: int) -> tuple[Race, list[dict[str, Any]]]:
        """The models of all brackets, numbered through."""
        parameters: list[dict[str, Any]] = []
        models = []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The total space of parameters")  # the largest bracket's says it all
            for bracket in brackets:
                drawn = list(ParameterSampler(self.parameters, bracket.n_models, random_state=seed + bracket.number))
                models.append(tuple(range(len(parameters), len(parameters) + len(drawn))))
                parameters += drawn
        wanted = [bracket.n_models for bracket in brackets]
        if any(len(some) < n for some, n in zip(models, wanted, strict=True)):
            warnings.warn(
                f"The parameters hold fewer combinations than the {max(wanted)} models of a bracket: it takes all "
                "there are. GridSearchCV tries each of them with all iterations.",
                UserWarning,
                stacklevel=3,
            )
        return Race(brackets, tuple(models)), parameters

    def _run_shared(
        self, race: Race, parameters: list[dict[str, Any]], data: tuple[Any, ...], *, seed: int, weighted: bool
    ) -> tuple[Finish, Any, Any]:
        """All fits in the same sweeps."""
        X, y, sample_weight, offset = data
        judges = judges_of(self.scoring, self.estimator, bounded=False)
        if judges is None or len(judges) != 1 or isinstance(self.scoring, (list, tuple, set, dict)):
            raise ValueError(
                f"scoring={self.scoring!r} is no single score that sweeps can share: use one of "
                "dask_gd.metrics.get_scorer_names()."
            )
        budgeted = clone(self.estimator).set_params(max_iter=self.max_iter)
        candidates = [candidate_of(budgeted, some, y) for some in parameters]
        errors = {i: candidate.error for i, candidate in enumerate(candidates) if candidate.error is not None}
        for i, candidate in enumerate(candidates):
            if i not in errors and not judges[0].can_judge(candidate.estimator):
                needs = " or ".join(judges[0].responses)
                errors[i] = ValueError(f"{type(candidate.estimator).__name__} has no {needs}, which scoring needs.")
        _raise_if_all(errors, parameters)
        stated = [i for i in range(len(parameters)) if i not in errors]
        estimators = [candidates[i].estimator for i in stated]
        problems = tuple(candidates[i].problem for i in stated)
        first = clone(estimators[0])
        targets = problems[0].targets  # type: ignore[union-attr]
        checked = check_data(first, X, y, sample_weight, offset, targets)
        search = SplitProblems(
            problems,  # type: ignore[arg-type]
            1,
            1,
            partial(judged_model, estimators, judges, first.n_features_in_),
            choose_none,
            weighted_scores=weighted,
            squares_tell=offset is None and weighted == (sample_weight is not None),
            sign=judges[0].sign,
            untested=1,
        )
        labels = y if is_classifier(self.estimator) else None
        fold = fold_of_test(checked[0], test_size=self.test_size, random_state=seed, stratify=labels)
        callbacks = watching() + ((PrintReports(),) if self.verbose > 1 else ())
        began = time.perf_counter()
        with open_engine(*checked, targets=targets, fold=fold) as engine:
            job = partial(
                race_in_sweeps,
                race=race,
                search=search,
                numbers={model: number for number, model in enumerate(stated)},
                n_features=first.n_features_in_,
                max_iter=self.max_iter,
                bounded=getattr(judges[0].metric, "bounded", True),
                refit=bool(self.refit),
                callbacks=callbacks,
            )
            spread = not engine.extent.nbytes * len(problems) <= WORTH_SPREADING
            try:
                finish: Finish = engine.run(job, interactive=bool(callbacks) or spread)
            except SharedLabelsError as error:
                raise ValueError(
                    f"{error} HyperbandSearchCV needs every class among the rows it trains on, with a weight above 0: "
                    "leave the rows of other labels out."
                ) from error
        finish = finish._replace(errors={**finish.errors, **errors})
        _raise_if_all(finish.errors, parameters)
        best = None
        if finish.refit is not None:
            best = clone(candidates[finish.best].estimator)
            best.set_params(max_iter=finish.budget)
            for name in ("n_features_in_", "feature_names_in_"):
                if hasattr(first, name):
                    setattr(best, name, getattr(first, name))
            keep_budgeted(best, finish.refit, time.perf_counter() - began)
            best._look_back(X, y, offset)
        return finish, best, judges[0].scorer

    def _run_epochs(
        self, race: Race, parameters: list[dict[str, Any]], data: tuple[Any, ...], *, seed: int, weighted: bool
    ) -> tuple[Finish, Any, Any]:
        """Fit by fit, by calls of partial_fit."""
        scorer, _ = self._get_scorers()
        if not callable(scorer) or isinstance(self.scoring, (list, tuple, set, dict)):
            raise ValueError(f"scoring={self.scoring!r} is no single score.")
        X, y, weight, offset = data
        everything, train, test = split_rows(
            self.estimator, X, y, weight, offset, test_size=self.test_size, random_state=seed
        )
        estimators = [clone(self.estimator).set_params(**clone(some, safe=False)) for some in parameters]
        classes = classes_of(self.estimator, *everything.parts[:2])
        learners = Learners(estimators, train, classes)
        X_test, y_test, weight_test, offset_test = test.loaded()
        judged_by = (X_test, y_test, weight_test if weighted else None, offset_test)
        standings = race.run(learners.advance, lambda models: learners.scores(models, scorer, judged_by))
        _raise_if_all(learners.errors, parameters)
        able = [standing for standing in standings if standing.model not in learners.errors]
        finish = Finish(standings, learners.errors, (), (), winner(able), 0, None, 0.0, None)
        if not self.refit:
            return finish, None, scorer
        began = time.perf_counter()
        best = clone(self.estimator).set_params(**clone(parameters[finish.best], safe=False))
        for _ in range(latest(standings)[finish.best].calls):
            for piece in everything.pieces():
                learn(best, piece, classes)
        return finish._replace(refit_seconds=time.perf_counter() - began), best, scorer

    def _keep_results(self, race: Race, parameters: list[dict[str, Any]], finish: Finish) -> None:
        """Set the attributes that tell of the models."""
        last = latest(finish.standings)
        of = {model: i for i, models in enumerate(race.models) for model in models}
        brackets = [race.brackets[of[standing.model]].number for standing in last]
        seen = [0] * len(race.brackets)
        names = []
        for standing in last:
            place = of[standing.model]
            names.append(f"bracket={race.brackets[place].number}-{seen[place]}")
            seen[place] += 1
        out = [{"test_scores": s.score, "fit_time": 0.0, "score_time": 0.0, "fit_error": None} for s in last]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", UserWarning)  # scores that are not finite are named already
            formatted = self._format_results(parameters, 1, out)
        results = {name: formatted[name] for name in formatted if name == "params" or name.startswith("param_")}
        results["model_id"] = np.array(names)
        results["bracket"] = np.array(brackets)
        results["partial_fit_calls"] = np.array([standing.calls for standing in last])
        results["test_score"] = formatted["mean_test_score"]
        results["rank_test_score"] = formatted["rank_test_score"]
        self.cv_results_ = results
        self.best_index_ = finish.best
        self.best_params_ = parameters[finish.best]
        self.best_score_ = last[finish.best].score
        self.history_ = [
            {
                "model_id": names[standing.model],
                "params": parameters[standing.model],
                "partial_fit_calls": standing.calls,
                "score": standing.score,
                "bracket": brackets[standing.model],
            }
            for standing in finish.standings
        ]
        calls = results["partial_fit_calls"]
        self.metadata_ = _metadata(
            (bracket.number, len(models), int(calls[list(models)].sum()), bracket.budgets)
            for bracket, models in zip(race.brackets, race.models, strict=True)
        )

    def _warn(self, parameters: list[dict[str, Any]], finish: Finish) -> None:
        """Name the models that failed and those that diverged."""
        name = type(self).__name__
        for kind, models, what in (
            (FitFailedWarning, sorted(finish.errors), "could not be fitted"),
            (ConvergenceWarning, finish.diverged, "diverged"),
        ):
            if models:
                more = f" and {len(models) - NAMED} more" if len(models) > NAMED else ""
                named = ", ".join(str(parameters[i]) for i in models[:NAMED])
                error = f": {finish.errors[models[0]]}" if kind is FitFailedWarning else ""
                warnings.warn(f"{name}: {named}{more} {what} and have no score{error}", kind, stacklevel=4)


def race_in_sweeps(
    engine: Engine,
    *,
    race: Race,
    search: SplitProblems,
    numbers: dict[int, int],
    n_features: int,
    max_iter: int,
    bounded: bool,
    refit: bool,
    callbacks: tuple[Callback, ...],
) -> Finish:
    """A race of fits that share sweeps.

    ``numbers``: of the models' problems, where they have one. ``bounded`` False: the sums of a score hold a number for
    every test row and model.
    """
    before = engine.n_sweeps
    rungs = Rungs(engine, search, n_features, callbacks)
    at_once = len(search.problems) if bounded else max(MOST_HELD // max(int(rungs.test_rows[0]), 1), 1)
    legs: dict[int, Leg] = {}
    scored: dict[int, tuple[Leg, float]] = {}
    refusals: dict[str, None] = {}

    def advance(models: list[int], budget: int) -> list[int]:
        stated = [model for model in models if model in numbers]
        found = rungs.advance(some_of(search, [numbers[i] for i in stated]), stated, budget)
        legs.update(zip(stated, (row[0] for row in found), strict=True))
        return [legs[model].iterations if model in legs else 0 for model in models]

    def score(models: list[int]) -> Array:
        # Those that have come no further since they were judged keep their scores.
        due = [i for i in models if i in legs and not (i in scored and scored[i][0] is legs[i])]
        for start in range(0, len(due), at_once):
            some = due[start : start + at_once]
            tests, _, whys = rungs.scores(some_of(search, [numbers[i] for i in some]), [[legs[i]] for i in some])
            refusals.update(dict.fromkeys(whys))
            for i, test in zip(some, search.sign * tests[:, 0, 0], strict=True):
                scored[i] = legs[i], np.nan if legs[i].diverged else float(test)
        return np.array([scored[i][1] if i in scored else np.nan for i in models])

    standings = race.run(advance, score)
    errors = {i: leg.outcome for i, leg in legs.items() if isinstance(leg.outcome, Exception)}
    diverged = tuple(sorted(i for i, leg in legs.items() if leg.diverged))
    able = [standing for standing in standings if standing.model in legs and standing.model not in errors]
    finish = Finish(standings, errors, diverged, tuple(refusals), winner(able) if able else 0, 0, None, 0.0, None)
    if refit and able:
        began = time.perf_counter()
        iterations = _budget_of(legs[finish.best], max_iter)
        problem = replace(search.problems[numbers[finish.best]], max_iter=iterations)
        outcome: Outcome = rungs.everything(problem)
        finish = finish._replace(budget=iterations, refit=outcome, refit_seconds=time.perf_counter() - began)
    rungs.watch.tell("done")
    return finish._replace(n_sweeps=engine.n_sweeps - before)


def _budget_of(leg: Leg, max_iter: int) -> int:
    """``max_iter`` of the refit."""
    return max_iter if leg.over or leg.until is None else leg.until


def _raise_if_all(errors: dict[int, Any], parameters: Sequence[Any]) -> None:
    if len(errors) == len(parameters):
        raise ValueError(f"All {len(parameters)} models failed, the first one with: {errors[0]}") from errors[0]


def _metadata(brackets: Any) -> dict[str, Any]:
    found = [
        {"bracket": number, "n_models": n, "partial_fit_calls": calls, "decisions": budgets}
        for number, n, calls, budgets in brackets
    ]
    return {
        "n_models": sum(b["n_models"] for b in found),
        "partial_fit_calls": sum(b["partial_fit_calls"] for b in found),
        "brackets": sorted(found, key=lambda b: b["bracket"]),
    }
