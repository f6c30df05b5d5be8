"""Many problems over the splits of cross-validation: fits, held-out scores and the final fit, from shared sweeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..fitting import run_job
from ..kernels import (
    EVERYTHING,
    EncodeLabels,
    First,
    FoldKernel,
    FoldSums,
    HeldOutKernel,
    JudgedModel,
    Moments,
    Squares,
    Unjudged,
)
from ..lockstep import SplitJob, run_in_lockstep
from ..objective import Landmark, Model, Objective
from ..penalties import ElasticNet
from ..planner import Plan, samples_tell
from ..protocol import EXPECTED, Array, Callback, Engine, Job, Kernel, PointSums, Query, Result
from .fit import Neighbour, Outcome, Problem, fitting, looking, seen
from .labels import class_balance
from .start import CONSTANT_MODEL
from .watch import SearchWatch

MOST_COEFFICIENTS = 2**24  # of all fits that share a sweep
PILOTED = 4  # problems from which on one of them is solved first, for the others to start from
PILOT_PARAMETERS = 1000  # up to here its Hessian is worth having


class SharedLabelsError(ValueError):
    """A training part of the splits does not have all classes: such fits are not alike and cannot share sweeps."""


@dataclass(frozen=True)
class SplitProblems:
    """What the fits of a search need besides the data; picklable.

    ``judged``: (problem number, result, classes, test fold) -> the model and the metrics that judge it. ``choose``: the
    :class:`Scored` -> the number of the problem that is fitted to all rows, or None.
    """

    problems: tuple[Problem, ...]
    n_folds: int
    n_metrics: int
    judged: Callable[[int, Result, Array | None, int], JudgedModel]
    choose: Callable[[Scored], int | None]
    train_scores: bool = False
    weighted_scores: bool = False
    squares_tell: bool = False  # whether scores and fits are of the same weights and targets
    balance_all: bool = False  # True: class_weight="balanced" is about all rows, False: about those of each split
    sign: int = 1  # -1: the less of the first metric the better
    untested: int = 0  # numbers after those of the folds, of rows that are only trained on

    @property
    def n_parts(self) -> int:
        """How many numbers rows have."""
        return self.n_folds + self.untested


class Scored(NamedTuple):
    """All fits and their scores."""

    fits: list[list[Any]]  # (problems, folds): an Outcome, or the error that stopped it
    test_scores: Array  # (problems, folds, metrics); nan where there is none
    train_scores: Array | None
    refusals: tuple[str, ...]  # why metrics have no value
    test_rows: Array  # (folds,)
    fit_seconds: float  # of all fits together
    score_seconds: float


class SplitOutcome(NamedTuple):
    """What a search found out."""

    scored: Scored
    refit: Outcome | None
    refit_seconds: float
    n_sweeps: int


def choose_none(scored: Scored) -> None:
    """No problem is fitted to all rows."""


def solve_splits(
    engine: Engine, *, search: SplitProblems, n_features: int, callbacks: tuple[Callback, ...] = ()
) -> SplitOutcome:
    """Every problem on every split, their scores, and the chosen problem on all rows.

    Raises
    ------
    SharedLabelsError
        The training parts differ in their classes.
    ValueError
        What is wrong with the data.
    """
    before = engine.n_sweeps
    watch = SearchWatch(callbacks, len(search.problems), search.n_folds, engine)
    data = look(engine, search, n_features)
    watch.tell("first sweep")
    began = time.perf_counter()
    neighbours, pilots = _neighbours(engine, search, data, watch)
    fits = _fit_all(engine, search, data, neighbours, watch)
    scored = time.perf_counter()
    tests, trains, refusals = scores_of(engine, search, data, fits)
    watch.scored(search.sign * tests[:, :, 0])
    chosen_at = time.perf_counter()
    rows = np.array([0 if part is None else part.moments.n_rows for part in data.folds.parts])
    found = Scored(fits, tests, trains, refusals, rows, scored - began, chosen_at - scored)
    chosen = search.choose(found)
    refit = None
    if chosen is not None:
        refit = pilots.get(chosen)
        if refit is None:
            told, near = watch.callbacks_of_all("refit"), neighbours.get((chosen, EVERYTHING))
            refit = run_job(_fitting(data, search.problems[chosen], EVERYTHING, told, near), engine)
    watch.tell("done")
    return SplitOutcome(found, refit, time.perf_counter() - chosen_at, engine.n_sweeps - before)


@dataclass(frozen=True)
class _Data:
    """What the first sweep told."""

    extent: Any
    folds: FoldSums  # of First
    firsts: dict[int, First | Exception]  # of the training rows of each split, and of all rows; without samples
    classes: Array | None = None
    balance: dict[Any, float] | None = None  # class weights that balance all rows, where they are for every split
    balanced: dict[Any, tuple[First, Array | None]] = field(default_factory=dict)  # what was asked for so far …
    plans: dict[Any, Plan] = field(default_factory=dict)  # … and planned

    @property
    def fits_at_once(self) -> int:
        """How many may share a sweep."""
        first = self.firsts[EVERYTHING]
        assert isinstance(first, First)
        width = len(first.moments.mean) * (1 if self.classes is None else len(self.classes))
        return max(MOST_COEFFICIENTS // max(width, 1), 1)


def look(engine: Engine, search: SplitProblems, n_features: int) -> _Data:
    """The first sweep, fold by fold; labels become numbers."""
    extent = engine.extent
    looks = looking(search.problems, n_features, extent)
    kernel = next(looks)
    folds = engine.sweep(FoldKernel(kernel, search.n_parts))
    bare = FoldSums(tuple(None if part is None else part._replace(sample=None) for part in folds.parts))
    whole = bare.without(EVERYTHING)
    try:
        looks.send((whole, engine.cost))
    except StopIteration as stop:
        whole, labels = stop.value
    firsts: dict[int, First | Exception] = {}
    for fold in (*range(search.n_folds), EVERYTHING):
        first = bare.without(fold)
        if first is None or first.moments.n_rows == 0 or first.moments.weight <= 0:
            firsts[fold] = ValueError(f"The training part of split {fold} has no row of positive weight.")
            continue
        # Columns far from zero are shifted to the same place in all fits, so that they can share a sweep.
        firsts[fold] = first._replace(moments=replace(first.moments, about=whole.moments.mean))
        if labels is not None and len(first.moments.classes) < len(labels.classes):
            raise SharedLabelsError(f"The training part of split {fold} lacks a class.")
    if labels is not None:
        if whole.moments.unused - set(labels.classes.tolist()):
            raise SharedLabelsError("Rows of weight 0 have labels of their own.")
        engine.replace(labels)
    if labels is None:
        return _Data(extent, folds, firsts)
    balance = None
    if search.balance_all:
        weights = class_balance(whole.moments, labels.classes, "balanced")[1]
        balance = dict(zip(labels.classes.tolist(), weights.tolist(), strict=True))
    return _Data(extent, folds, firsts, labels.classes, balance)


def split_job(
    data: _Data, problem: Problem, fold: int, callbacks: tuple[Callback, ...] = (), neighbour: Any = None, **leg: Any
) -> SplitJob:
    """A fit to the training rows of a split; ``leg``: ``pause`` and ``until`` of :func:`fitting`."""
    return SplitJob(_fitting(data, problem, fold, callbacks, neighbour, **leg), fold)


def _fitting(
    data: _Data, problem: Problem, fold: int, callbacks: tuple[Callback, ...], neighbour: Any, **leg: Any
) -> Job:
    first, weights = _balanced(data, problem, fold, sample=neighbour is None)
    return (
        yield from fitting(
            problem,
            data.extent,
            first,
            data.classes,
            callbacks,
            class_weight=weights,
            neighbour=neighbour,
            plan=_plan(data, problem, fold, first.moments),
            **leg,
        )
    )


def _plan(data: _Data, problem: Problem, fold: int, moments: Moments) -> Plan:
    """The plan of a fit, which is the same for all penalties of a kind."""
    penalty = problem.penalty(moments)
    alike = problem.loss, problem.solver, problem.max_iter, problem.precompute, penalty.smooth, penalty.l1_only
    if (fold, alike) not in data.plans:
        loss = problem.loss(np.size(moments.y_mean) if data.classes is None else len(data.classes))
        data.plans[fold, alike] = problem.plan("", seen(data.extent, moments), loss, penalty)
    return data.plans[fold, alike]


def _balanced(data: _Data, problem: Problem, fold: int, *, sample: bool = False) -> tuple[First, Array | None]:
    """What is known of the rows of a split under the class weights of a problem, and on request a sample of them."""
    key = fold, repr(problem.class_weight), sample
    if key not in data.balanced:
        data.balanced[key] = _weigh(data, problem.class_weight, fold, sample=sample)
    return data.balanced[key]


def _weigh(data: _Data, class_weight: Any, fold: int, *, sample: bool) -> tuple[First, Array | None]:
    first = data.firsts[fold]
    if isinstance(first, Exception):
        raise first
    rows = data.folds.of("sample").without(fold) if sample else None
    if data.classes is None:
        return first._replace(sample=rows), None
    if data.balance is not None and isinstance(class_weight, str):
        class_weight = data.balance
    moments, weights = class_balance(first.moments, data.classes, class_weight)
    if rows is not None:
        rows = rows.encoded(EncodeLabels(data.classes, weights))
    return first._replace(moments=moments, sample=rows), weights


def _fit_all(
    engine: Engine,
    search: SplitProblems,
    data: _Data,
    neighbours: dict[tuple[int, int], Neighbour],
    watch: SearchWatch,
) -> list[list[Any]]:
    """(problems, folds) an Outcome, or the error that stopped it."""
    problems, n_folds = search.problems, search.n_folds
    found: list[list[Any]] = [[None] * n_folds for _ in problems]

    def run(numbers: Sequence[int]) -> None:
        places = [(number, fold) for number in numbers for fold in range(n_folds)]
        fits = [number * n_folds + fold for number, fold in places]
        jobs = [
            split_job(data, problems[number], fold, watch.callbacks_of(fit), neighbours.get((number, fold)))
            for fit, (number, fold) in zip(fits, places, strict=True)
        ]
        outcomes = run_in_lockstep(jobs, engine, search.n_parts, watch.stage("fits", fits))
        for (number, fold), outcome in zip(places, outcomes, strict=True):
            found[number][fold] = outcome

    at_once = max(data.fits_at_once // n_folds, 1)
    for start in range(0, len(problems), at_once):
        run(range(start, min(start + at_once, len(problems))))
    return found


def _pilots(problems: Sequence[Problem], data: _Data) -> dict[int, list[int]]:
    """Of problems that differ in nothing but the penalty the one of middle strength, and all of them."""
    groups: dict[str, list[int]] = {}
    for number, problem in enumerate(problems):
        if problem.solver == "auto" and problem.start == CONSTANT_MODEL:
            groups.setdefault(repr(replace(problem, penalty=None)), []).append(number)  # type: ignore[arg-type]
    first = data.firsts[EVERYTHING]
    assert isinstance(first, First)
    pilots = {}
    for numbers in groups.values():
        problem = problems[numbers[0]]
        loss = problem.loss(1 if data.classes is None else len(data.classes))
        size = loss.n_outputs * len(first.moments.mean)
        if len(numbers) < PILOTED or size > PILOT_PARAMETERS or not samples_tell(loss):
            continue
        if problem.plan("", seen(data.extent, first.moments), loss, problem.penalty).squares:
            continue
        numbers = sorted(numbers, key=lambda i: _strength(problems[i]))
        pilots[numbers[len(numbers) // 2]] = numbers
    return pilots


def _neighbours(
    engine: Engine, search: SplitProblems, data: _Data, watch: SearchWatch
) -> tuple[dict[tuple[int, int], Neighbour], dict[int, Outcome]]:
    """For each (problem, fold) near a pilot the pilot's minimum over all rows with what is known there of the split's
    own loss, one more sweep; and the pilots' outcomes."""
    outcomes: dict[int, Outcome] = {}
    neighbours: dict[tuple[int, int], Neighbour] = {}
    for pilot, numbers in _pilots(search.problems, data).items():
        problem = search.problems[pilot]
        try:
            told = watch.callbacks_of_all("pilots")
            outcome = run_job(_fitting(data, problem, EVERYTHING, told, None), engine)
            result = outcome.result
            if not (result.converged and np.isfinite(result.coef).all()):
                continue
            sums = _landmarks(engine, search, data, problem, result)
        except (ValueError, ArithmeticError):
            continue  # each fit will say so itself
        outcomes[pilot] = outcome
        for number in numbers:
            # Where more coefficients are zero, zeros are the better start.
            other = search.problems[number]
            zeros = not other.penalty.smooth and _strength(other) > _strength(problem)
            for fold, known in sums.items():
                if not (zeros and fold == EVERYTHING):  # a sample tells a better start
                    minimum = Landmark(result.coef, result.intercept, known)
                    neighbours[number, fold] = Neighbour(minimum, not zeros, fold == EVERYTHING)
    return neighbours, outcomes


def _strength(problem: Problem) -> float:
    return float(np.max(problem.penalty.alpha))


def _landmarks(
    engine: Engine, search: SplitProblems, data: _Data, problem: Problem, result: Result
) -> dict[int, PointSums]:
    """The sums of the loss and its derivatives over the training rows of each split and over all rows, at one point."""
    folds = [fold for fold, first in data.firsts.items() if isinstance(first, First)]
    if problem.class_weight is None:  # sums of folds add up
        sums = engine.sweep(FoldKernel(_at(data, problem, EVERYTHING, result), search.n_parts))
        return {fold: sums.without(fold).parts[0] for fold in folds}
    jobs = [SplitJob(_asking(_at(data, problem, fold, result)), fold) for fold in folds]
    found = run_in_lockstep(jobs, engine, search.n_parts)
    return {fold: sums.parts[0] for fold, sums in zip(folds, found, strict=True)}


def _asking(kernel: Kernel) -> Job:
    """One sweep."""
    sums, _ = yield kernel
    return sums


def _at(data: _Data, problem: Problem, fold: int, result: Result) -> Kernel:
    """What asks for value, gradient and Hessian of the loss at a point."""
    first, weights = _balanced(data, problem, fold)
    loss = problem.loss(np.size(first.moments.y_mean) if data.classes is None else len(data.classes))
    objective = Objective(
        loss,
        first.moments,
        fit_intercept=problem.fit_intercept,
        dtype=np.dtype(first.moments.dtype),
        sparse=first.moments.sparse,
        class_weight=weights,
    )
    query = Query(objective.to_theta(result.coef, result.intercept, objective.raw)[None], EXPECTED)
    return objective.kernel([query], [Model(ElasticNet(), objective.raw)])


def scores_of(
    engine: Engine, search: SplitProblems, data: _Data, fits: list[list[Any]]
) -> tuple[Array, Array | None, tuple[str, ...]]:
    """(problems, folds, metrics) of the test rows, and if wanted of the training rows; nan where a fit failed. Then why
    metrics had no value."""
    shape = (len(search.problems), search.n_folds, search.n_metrics)
    tests, trains = np.full(shape, np.nan), np.full(shape, np.nan) if search.train_scores else None
    places = [(i, fold) for i in range(shape[0]) for fold in range(shape[1]) if isinstance(fits[i][fold], Outcome)]
    if not places:
        return tests, trains, ()
    models = tuple(search.judged(i, fits[i][fold].result, data.classes, fold) for i, fold in places)
    if search.squares_tell and _scores_of_squares(data, places, models, tests, trains):
        return tests, trains, ()
    kernel = HeldOutKernel(models, search.train_scores, data.classes, search.weighted_scores)
    refusals: dict[str, None] = {}
    with np.errstate(all="ignore"):  # what a fit that diverged predicts is scored as it is
        sums = iter(engine.sweep(kernel).parts)
        for (i, fold), model in zip(places, models, strict=True):
            for scores in (tests, trains):
                if scores is not None:
                    scores[i, fold] = [_value(metric, next(sums), refusals) for metric, _ in model.metrics]
    return tests, trains, tuple(refusals)


def _value(metric: Any, sums: Any, refusals: dict[str, None]) -> float:
    """The metric of all rows; nan where it has none, and why among the refusals."""
    try:
        if not isinstance(sums, Unjudged):
            return float(metric.value(sums))
        why = sums.why
    except (ValueError, TypeError) as error:
        why = str(error)
    refusals[why] = None
    return float("nan")


def _scores_of_squares(
    data: _Data, places: Sequence[tuple[int, int]], models: Sequence[JudgedModel], tests: Array, trains: Array | None
) -> bool:
    """Fill in the scores from the sums of products of the folds, where those tell; False: they do not."""
    for (i, fold), model in zip(places, models, strict=True):
        for scores, first in ((tests, data.folds.parts[fold]), (trains, data.firsts[fold])):
            if scores is None:
                continue
            if not isinstance(first, First) or not isinstance(first.squares, Squares):
                return False
            for j, (metric, _) in enumerate(model.metrics):
                of_squares = getattr(metric, "of_squares", None)
                if of_squares is None:
                    return False
                score = of_squares(first.squares, first.moments.n_rows, model.coef, model.intercept)
                if score is None:
                    return False
                scores[i, fold, j] = score
    return True
