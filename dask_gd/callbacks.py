"""What watches a fit: callables of a Report. A callback that returns True stops the fit."""

from __future__ import annotations

import math
import shutil
import sys
import time
from types import TracebackType
from typing import TextIO

from .protocol import Callback, Report

__all__ = ["ProgressBar", "watching"]

_active: list[Callback] = []


def watching() -> tuple[Callback, ...]:
    """The callbacks whose ``with`` block is open."""
    return tuple(_active)


class _Watcher:
    """A callback that listens while its ``with`` block is open."""

    def __enter__(self) -> _Watcher:
        _active.append(self)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _active.remove(self)

    def __call__(self, report: Report) -> None:
        raise NotImplementedError


class ProgressBar(_Watcher):
    """A bar of one line for every fit inside its ``with`` block.

    The bar shows how much of the way from the start to ``tol`` is done, on the logarithmic scale on which optimisers
    work, or the share of ``max_iter`` if that is more.

    Parameters
    ----------
    label : str
        Shown before the bar.
    width : int
        Characters.
    out : file, default=sys.stderr

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
        self._last = ""  # the line of a fit that is not over yet

    def __call__(self, report: Report) -> None:
        if report.iteration <= 1 and report.n_fits == 1:
            self._end_line()  # the fit before stopped on its own account
            self._began.clear()
            self._first.clear()
        began = self._began.setdefault(report.fit, time.perf_counter() - report.cost.seconds)
        first = self._first.setdefault(report.fit, report.grad_norm)
        filled = round(self._done(report, first) * self.width)
        line = (
            f"{self.label}[{'#' * filled}{'.' * (self.width - filled)}] "
            f"{report.iteration:4d} it  objective {report.objective:<11.6g} gradient {report.grad_norm:.0e} "
            f"{time.perf_counter() - began:5.1f} s"
        )
        out = self.out or sys.stderr
        if out.isatty():  # one line, drawn again and again; it must not reach the edge, or it would wrap
            columns = shutil.get_terminal_size().columns - 1
            out.write(f"\r{line[:columns]:<{min(len(self._last), columns)}}")
            out.flush()
        self._last = line
        if report.converged or report.iteration >= report.max_iter:
            self._end_line()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end_line()
        super().__exit__(kind, error, trace)

    def _end_line(self) -> None:
        """Leave the last line of a fit; a log gets no other."""
        if self._last:
            out = self.out or sys.stderr
            out.write("\n" if out.isatty() else f"{self._last}\n")
            out.flush()
        self._last = ""

    @staticmethod
    def _done(report: Report, first: float) -> float:
        share = report.iteration / max(report.max_iter, 1)
        if report.converged:
            return 1.0
        if report.tol and first > report.tol and report.grad_norm > 0:
            share = max(share, math.log(first / report.grad_norm) / math.log(first / report.tol))
        return min(max(share, 0.0), 1.0)


class PrintReports(_Watcher):
    """One printed line an iteration: what ``verbose=1`` shows."""

    def __call__(self, report: Report) -> None:
        print(
            f"iteration {report.iteration:4d}  objective {report.objective:.10g}  "
            f"gradient {report.grad_norm:.2e}  step {report.step:.3g}  {report.cost.seconds * 1e3:.0f} ms"
        )
