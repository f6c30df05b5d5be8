"""What watches a fit: callables of a Report. A callback that returns True stops the fit."""

from __future__ import annotations

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

    def __init__(self, label: str = "", width: int = 30, out: TextIO | None = None) -> None:
        self.label = label
        self.width = width
        self.out = out
        self._began: dict[int, float] = {}

    def __call__(self, report: Report) -> None:
        began = self._began.setdefault(report.fit, time.perf_counter())
        done = 1.0 if report.converged else min(report.iteration / max(report.max_iter, 1), 1.0)
        filled = round(done * self.width)
        line = (
            f"\r{self.label}[{'#' * filled}{'.' * (self.width - filled)}] iteration {report.iteration:4d}  "
            f"objective {report.objective:.6g}  gradient {report.grad_norm:.1e}  "
            f"{time.perf_counter() - began:.1f} s"
        )
        out = self.out or sys.stderr
        out.write(f"{line:<100}")
        if report.converged or report.iteration >= report.max_iter:
            out.write("\n")
            self._began.pop(report.fit, None)
        out.flush()


class PrintReports(_Watcher):
    """One printed line an iteration: what ``verbose=1`` shows."""

    def __call__(self, report: Report) -> None:
        print(
            f"iteration {report.iteration:4d}  objective {report.objective:.10g}  "
            f"gradient {report.grad_norm:.2e}  step {report.step:.3g}  {report.cost.seconds * 1e3:.0f} ms"
        )
