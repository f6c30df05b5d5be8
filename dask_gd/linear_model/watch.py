"""What the fits of a search report, as one report a sweep for those who watch the search."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..callbacks import share_done
from ..fitting import OUT_OF_BOUNDS
from ..protocol import Array, Callback, Engine, Report, SearchReport

AfterSweep = Callable[[Sequence[int], Sequence[Any]], None]


class SearchWatch:
    """Gathers the reports of all fits, and tells those who watch after every sweep where the search stands.

    A callback that has ``on_search`` gets a :class:`SearchReport` a sweep, and where it returns True the fits under
    way stop after their next iteration. Other callbacks get the :class:`Report` of every fit, with its number in the
    search: those of a candidate's folds follow each other, fits to all rows have the number after the last.
    """

    def __init__(self, callbacks: Sequence[Callback], n_candidates: int, n_folds: int, engine: Engine) -> None:
        self.n_candidates, self.n_folds, self.n_fits = n_candidates, n_folds, n_candidates * n_folds
        self._of_searches: list[Callable[[SearchReport], Any]] = []
        self._of_fits: list[Callback] = []
        for callback in callbacks:
            told = getattr(callback, "on_search", None)
            if told is None:
                self._of_fits.append(callback)
            else:
                self._of_searches.append(told)
        self._engine, self._swept_before = engine, engine.n_sweeps
        self._swept = engine.n_sweeps  # when a stage began
        self._began = time.perf_counter()
        self._first: dict[int, float] = {}  # gradient norm of a fit's first report
        self._shares: dict[int, float] = {}  # how far a fit that is alive has come
        self._outcomes: dict[int, Any] = {}  # of fits that are over
        self._pilots = 0  # that have begun
        self._span: tuple[float, ...] = (0.0, 0.0)  # the shares of the whole search at which a stage begins and ends
        self._done = 0.0
        self._stopping = False
        self._best_score: float | None = None

    def callbacks_of(self, fit: int) -> tuple[Callback, ...]:
        """What a fit reports to."""
        numbered = [partial(self._forward, callback, fit) for callback in self._of_fits]
        return (partial(self._note, fit), *numbered) if self._of_searches else tuple(numbered)

    def callbacks_of_all(self, stage: str) -> tuple[Callback, ...]:
        """What a fit to all rows reports to: one of the "pilots", or the "refit"."""
        self._begin()
        self._first.pop(self.n_fits, None)
        if stage == "pilots":
            self._pilots += 1
            self._span = self._shares_of(-1, 0)
        else:
            self._span = self._shares_of(self.n_fits, self.n_fits + 1)
        numbered = [partial(self._forward, callback, self.n_fits) for callback in self._of_fits]
        return (partial(self._note_all, stage), *numbered) if self._of_searches else tuple(numbered)

    def stage(self, name: str, fits: Sequence[int], upto: float | None = None) -> AfterSweep | None:
        """A number of fits begins, or goes on, that share their sweeps; what is to be told of their sweeps.

        ``upto``: the share of all iterations that fits which go on have had in the end; by default stages count by
        their fits.
        """
        self._begin()
        self._shares = dict.fromkeys(fits, 0.0)
        for fit in fits:
            self._outcomes.pop(fit, None)
        self._span = self._shares_of(len(self._outcomes), len(self._outcomes) + len(fits))
        if upto is not None:
            self._span = self._shares_of(0, upto * self.n_fits)
        return partial(self._after_sweep, name, fits) if self._of_searches else None

    def scored(self, scores: Array) -> None:
        """(candidates, folds) of scores are known."""
        means = scores.mean(axis=1)
        means = means[np.isfinite(means)]
        if len(means):
            best = float(means.max())
            self._best_score = best if self._best_score is None else max(best, self._best_score)
        self.tell("scores")

    def tell(self, stage: str, alive: int = 0) -> None:
        """Tell those who watch where the search stands."""
        if not self._of_searches:
            return
        results = [outcome.result for outcome in self._outcomes.values() if not isinstance(outcome, Exception)]
        report = SearchReport(
            stage,
            self.n_candidates,
            self.n_folds,
            alive,
            sum(result.converged for result in results),
            sum(result.message == OUT_OF_BOUNDS for result in results),
            len(self._outcomes),
            self._engine.n_sweeps - self._swept_before,
            time.perf_counter() - self._began,
            1.0 if stage == "done" else self._done,
            self._best_score,
        )
        if any([told(report) for told in self._of_searches]):
            self._stopping = True

    def _after_sweep(self, stage: str, fits: Sequence[int], alive: Sequence[int], results: Sequence[Any]) -> None:
        under_way = set(alive)
        for number, fit in enumerate(fits):
            if number not in under_way:
                self._outcomes[fit] = results[number]
        self._move(min((self._shares[fits[number]] for number in alive), default=1.0))
        if len(alive) < len(fits) or self._engine.n_sweeps > self._swept:  # else nothing has happened yet
            self.tell(stage, len(alive))

    def _note(self, fit: int, report: Report) -> bool:
        self._shares[fit] = share_done(report, self._first.setdefault(fit, report.grad_norm))
        return self._stopping

    def _note_all(self, stage: str, report: Report) -> bool:
        self._note(self.n_fits, report)
        self._move(self._shares[self.n_fits])
        if self._engine.n_sweeps > self._swept:
            self._swept = self._engine.n_sweeps
            self.tell(stage, 1)
        return self._stopping

    def _begin(self) -> None:
        self._stopping, self._swept = False, self._engine.n_sweeps

    def _shares_of(self, *fits: float) -> tuple[float, ...]:
        """Of the whole search, when the pilots and so many fits are over; the refit is one more."""
        return tuple((self._pilots + n) / (self._pilots + self.n_fits + 1) for n in fits)

    def _move(self, share: float) -> None:
        """So much of the stage is done."""
        begin, end = self._span
        self._done = begin + share * (end - begin)

    def _forward(self, callback: Callback, fit: int, report: Report) -> Any:
        return callback(report._replace(fit=fit, n_fits=self.n_fits + 1))
