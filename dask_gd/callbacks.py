"""What watches fits and searches: callables of a Report. A callback that returns True stops the fit."""

from __future__ import annotations

import math
import shutil
import sys
import time
from types import TracebackType
from typing import Any, Self, TextIO

from .protocol import Callback, Report, SearchReport

__all__ = ["ProgressBar", "Watcher", "share_done", "watching"]

_active: list[Callback] = []


def watching() -> tuple[Callback, ...]:
    """The callbacks whose ``with`` block is open."""
    return tuple(_active)


def share_done(report: Report, first: float) -> float:
    """The share of a fit's way that is behind it, from 0 to 1: from the ``first`` gradient norm to ``tol`` on a
    logarithmic scale, or of ``max_iter`` where that is more."""
    share = report.iteration / max(report.max_iter, 1)
    if report.converged:
        return 1.0
    if report.tol and first > report.tol and report.grad_norm > 0:
        share = max(share, math.log(first / report.grad_norm) / math.log(first / report.tol))
    return min(max(share, 0.0), 1.0)


class Watcher:
    """A callback that listens while its ``with`` block is open; what it returns True to stops.

    A subclass has ``__call__(report)``, of a :class:`dask_gd.protocol.Report` after every iteration of a fit. Of a
    search whose fits share sweeps it gets a :class:`dask_gd.protocol.SearchReport` after every sweep if it has
    ``on_search(report)``, and otherwise the reports of all fits, in turn and with their numbers.

    Examples
    --------
    >>> from dask_gd import LogisticRegression
    >>> from dask_gd.callbacks import Watcher
    >>> class Objectives(Watcher):
    ...     def __call__(self, report):
    ...         values.append(report.objective)
    >>> values = []
    >>> with Objectives():
    ...     model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    >>> len(values) == model.n_iter_
    True
    """

    def __enter__(self) -> Self:
        _active.append(self)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _active.remove(self)

    def __call__(self, report: Report) -> Any:
        """One iteration of a fit; True stops the fit."""
        raise NotImplementedError


class ProgressBar(Watcher):
    """A bar of one line for every fit inside its ``with`` block, and for every search whose fits share sweeps.

    The bar shows how much of the way from the start to ``tol`` is done, on the logarithmic scale on which optimisers
    work, or the share of ``max_iter`` if that is more. Of a search it is the way of the slowest fit, since the others
    leave the sweeps before; the best score is known when all fits have been scored.

    Parameters
    ----------
    label : str
        Shown before the bar.
    width : int
        Characters.
    out : file, default=sys.stderr
        A terminal gets one line that is drawn again and again, anything else the last one alone.

    Examples
    --------
    >>> from dask_gd import Ridge
    >>> from dask_gd.callbacks import ProgressBar
    >>> with ProgressBar():
    ...     model = Ridge().fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
    """

    def __init__(self, label: str = "", width: int = 24, out: TextIO | None = None) -> None:
        self.label = label
        self.width = width
        self.out = out
        self._began: dict[int, float] = {}
        self._first: dict[int, float] = {}
        self._looked = 0.0  # seconds that the first sweep of a search took
        self._last = ""  # the line of a fit that is not over yet

    def __call__(self, report: Report) -> None:
        if report.iteration <= 1 and report.n_fits == 1:
            self._end_line()  # the fit before stopped on its own account
            self._began.clear()
            self._first.clear()
        began = self._began.setdefault(report.fit, time.perf_counter() - report.cost.seconds)
        first = self._first.setdefault(report.fit, report.grad_norm)
        self._draw(
            share_done(report, first),
            f"{report.iteration:4d} it  objective {report.objective:<11.6g} gradient {report.grad_norm:.0e} "
            f"{time.perf_counter() - began:5.1f} s",
        )
        if report.converged or report.iteration >= report.max_iter:
            self._end_line()

    def on_search(self, report: SearchReport) -> None:
        """One sweep for the fits of a search."""
        if report.stage == "first sweep":
            self._end_line()
            self._looked = report.seconds
        self._draw(report.done, f"{_of_search(report)}{_time_left(report, self._looked)}")
        if report.stage == "done":
            self._end_line()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end_line()
        super().__exit__(kind, error, trace)

    def _draw(self, done: float, text: str) -> None:
        filled = round(done * self.width)
        line = f"{self.label}[{'#' * filled}{'.' * (self.width - filled)}] {text}"
        out = self.out or sys.stderr
        if out.isatty():  # one line, drawn again and again; it must not reach the edge, or it would wrap
            columns = shutil.get_terminal_size().columns - 1
            out.write(f"\r{line[:columns]:<{min(len(self._last), columns)}}")
            out.flush()
        self._last = line

    def _end_line(self) -> None:
        """Leave the last line of a fit; a log gets no other."""
        if self._last:
            out = self.out or sys.stderr
            out.write("\n" if out.isatty() else f"{self._last}\n")
            out.flush()
        self._last = ""


class PrintReports(Watcher):
    """One printed line an iteration, or of a search one a sweep: what ``verbose`` shows."""

    def __call__(self, report: Report) -> None:
        print(
            f"iteration {report.iteration:4d}  objective {report.objective:.10g}  "
            f"gradient {report.grad_norm:.2e}  step {report.step:.3g}  {report.cost.seconds * 1e3:.0f} ms"
        )

    def on_search(self, report: SearchReport) -> None:
        """One sweep for the fits of a search."""
        if report.stage != "done":
            print(f"{report.stage:<11}  {_of_search(report)}")


def _of_search(report: SearchReport) -> str:
    """Where a search stands, in words."""
    of_all = {"pilots": "pilot under way", "refit": "refit under way"}.get(report.stage)
    alive = 0 if of_all else report.alive
    counts = {
        "alive": alive,
        "waiting": report.n_fits - report.over - alive,
        "converged": report.converged,
        "diverged": report.diverged,
        "unfinished": report.over - report.converged - report.diverged,
    }
    parts = [f"{number} {name}" for name, number in counts.items() if number] + ([of_all] if of_all else [])
    best = "" if report.best_score is None else f"  best score {report.best_score:.4g}"
    sweeps = f"{report.n_sweeps} sweep{'s' if report.n_sweeps > 1 else ''}"
    return f"{report.n_candidates} x {report.n_folds} fits: {', '.join(parts)}{best}  {sweeps} {report.seconds:.1f} s"


def _time_left(report: SearchReport, before: float) -> str:
    """What the sweeps since ``before`` tell of those to come."""
    if not 0 < report.done < 1:
        return ""
    return f", {(report.seconds - before) * (1 - report.done) / report.done:.1f} s left"
