"""Fits over splits that are taken a few iterations further at a time, all of them in the same sweeps.

Between two rungs somebody looks at their scores and leaves some behind. The others go on from where they stopped, to
the same bits as a fit that never did. A fit that needs several calls of the loop (kinks that are smoothed in stages, a
scale of its own, refinements of sums of products) cannot go on: it starts anew.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..fitting import OUT_OF_BOUNDS, run_job
from ..kernels import EVERYTHING
from ..lockstep import run_in_lockstep
from ..protocol import Array, Callback, Engine, Result
from .fit import Outcome, Problem, keep_outcome
from .splits import SplitProblems, look, scores_of, split_job
from .watch import SearchWatch


class Leg(NamedTuple):
    """A fit to the training rows of one split, as far as it has come."""

    outcome: Any  # an Outcome, or the error that stopped it
    over: bool  # whether nothing would come of more iterations
    until: int | None  # where it was taken to

    @property
    def iterations(self) -> int:
        """How many it has had."""
        return self.outcome.result.n_iter if isinstance(self.outcome, Outcome) else 0

    @property
    def diverged(self) -> bool:
        """Whether it was stopped because its objective grew beyond bounds."""
        return isinstance(self.outcome, Outcome) and self.outcome.result.message == OUT_OF_BOUNDS


class Rungs:
    """Fits that go on, over the splits of one look at the data.

    Parameters
    ----------
    engine : Engine
    search : SplitProblems
        Of all fits to come, or of such as are like them.
    n_features : int
    callbacks : tuple of callables

    Raises
    ------
    SharedLabelsError
        The training parts differ in their classes.
    ValueError
        What is wrong with the data.
    """

    def __init__(
        self, engine: Engine, search: SplitProblems, n_features: int, callbacks: tuple[Callback, ...] = ()
    ) -> None:
        self.engine = engine
        self.n_parts = search.n_parts
        self.watch = SearchWatch(callbacks, len(search.problems), search.n_folds, engine)
        self.data = look(engine, search, n_features)
        self.watch.tell("first sweep")
        self._legs: dict[tuple[Hashable, int], Leg] = {}
        self._numbers: dict[tuple[Hashable, int], int] = {}  # of the fits, for those who watch

    def advance(self, search: SplitProblems, names: Sequence[Hashable], until: int | None) -> list[list[Leg]]:
        """Take every problem on every split on to iteration ``until``, or (None) anew to its end; (problems, folds).

        ``names``: of the problems, by which they are known from rung to rung.
        """
        places = [(i, name, fold) for i, name in enumerate(names) for fold in range(search.n_folds)]
        due = {(name, fold): search.problems[i] for i, name, fold in places if self._is_due(name, fold, until)}
        keys, at_once = list(due), self.data.fits_at_once
        for start in range(0, len(keys), at_once):
            some = keys[start : start + at_once]
            numbers = [self._numbers.setdefault(key, len(self._numbers)) for key in some]
            upto = None if until is None else until / max(problem.max_iter for problem in search.problems)
            told = self.watch.stage("fits", numbers, upto)
            jobs = []
            for number, (name, fold) in zip(numbers, some, strict=True):
                goes_on = until is not None and (name, fold) in self._legs
                pause = self._result(name, fold).pause if goes_on else None
                leg = {"pause": pause, "until": until}
                jobs.append(split_job(self.data, due[name, fold], fold, self.watch.callbacks_of(number), **leg))
            for key, outcome in zip(some, run_in_lockstep(jobs, self.engine, self.n_parts, told), strict=True):
                self._legs[key] = self._joined(key, outcome, until)
        return [[self._legs[name, fold] for fold in range(search.n_folds)] for name in names]

    @property
    def test_rows(self) -> Array:
        """(folds,) how many there are."""
        return np.array([0 if part is None else part.moments.n_rows for part in self.data.folds.parts])

    def _is_due(self, name: Hashable, fold: int, until: int | None) -> bool:
        leg = self._legs.get((name, fold))
        return leg is None or until is None or not (leg.over or leg.until is None or leg.until >= until)

    def _result(self, name: Hashable, fold: int) -> Result:
        result: Result = self._legs[name, fold].outcome.result
        return result

    def _joined(self, key: tuple[Hashable, int], outcome: Any, until: int | None) -> Leg:
        """A leg, with what came before it."""
        if not isinstance(outcome, Outcome):
            return Leg(outcome, True, until)
        result = outcome.result
        if key in self._legs and until is not None:
            before = self._result(*key)
            history = result.history
            if before.pause is not None:
                history = {name: np.concatenate([before.history[name], history[name]]) for name in history}
            result = result._replace(history=history, n_sweeps=before.n_sweeps + result.n_sweeps)
        return Leg(outcome._replace(result=result), not result.exhausted, until)

    def scores(
        self, search: SplitProblems, legs: Iterable[Sequence[Leg]]
    ) -> tuple[Array, Array | None, tuple[str, ...]]:
        """(problems, folds, metrics) of the test rows, and if wanted of the training rows; nan where a fit failed. Then
        why metrics had no value."""
        found = scores_of(self.engine, search, self.data, [[leg.outcome for leg in row] for row in legs])
        self.watch.scored(search.sign * found[0][:, :, 0])
        return found

    def everything(self, problem: Problem) -> Outcome:
        """A problem on all rows.

        Raises
        ------
        ValueError, ArithmeticError
            What stopped it.
        """
        outcome: Outcome = run_job(
            split_job(self.data, problem, EVERYTHING, self.watch.callbacks_of_all("refit")).job, self.engine
        )
        return outcome


def keep_budgeted(estimator: Any, outcome: Outcome, seconds: float) -> None:
    """Set the attributes of a fit that was to have so many iterations and no more: it warns of nothing else."""
    with warnings.catch_warnings():
        if outcome.result.exhausted:
            warnings.simplefilter("ignore", ConvergenceWarning)
        keep_outcome(estimator, outcome, seconds)
    estimator._keep(outcome.result)


def some_of(search: SplitProblems, numbers: Sequence[int]) -> SplitProblems:
    """The same search with some of its problems."""
    problems = tuple(search.problems[i] for i in numbers)
    return replace(search, problems=problems, judged=_Numbered(search.judged, tuple(numbers)))


class _Numbered(NamedTuple):
    """``judged`` of some of the problems."""

    judged: Any
    numbers: tuple[int, ...]

    def __call__(self, i: int, *args: Any) -> Any:
        return self.judged(self.numbers[i], *args)
