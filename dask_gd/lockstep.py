"""Many fits over the splits of cross-validation, driven in lock-step: one sweep answers what all of them ask.

Each fit is a job that knows nothing of the others (:mod:`.fitting`). What they ask is merged where it is alike: points
of a loss become columns of one matrix, whose rows are read once (:class:`.kernels.SplitLossKernel`). A fit that is over
leaves the sweep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .engine.blas import one_blas_thread
from .kernels import FirstKernel, FoldKernel, LossKernel, Split, SplitLossKernel, WithoutKernel
from .protocol import Block, Engine, Job, Points, PointSums, Sums, Swept


class SplitJob(NamedTuple):
    """A job, and the test fold that it must not see."""

    job: Job
    fold: int


class _Several(NamedTuple):
    """Kernels whose results become the parts of one."""

    kernels: tuple[Any, ...]
    name: str

    @property
    def points(self) -> tuple[Any, ...]:
        """What there is to carry."""
        return tuple(getattr(kernel, "points", ()) for kernel in self.kernels)

    def __call__(self, block: Block) -> Sums:
        return Sums(tuple(kernel(block) for kernel in self.kernels))


def run_in_lockstep(
    jobs: Sequence[SplitJob],
    engine: Engine,
    n_folds: int,
    after_sweep: Callable[[Sequence[int], Sequence[Any]], None] | None = None,
) -> list[Any]:
    """What every job returns, or the exception that it raised: ValueError and ArithmeticError stop one job alone.

    ``after_sweep`` is told the numbers of the jobs that want another sweep, and the results so far; first before any
    sweep, for jobs that need none.

    Raises
    ------
    FitInterrupted
        The cluster failed for good.
    """
    results: list[Any] = [None] * len(jobs)
    asked: dict[int, Any] = {}

    def advance(number: int, reply: Swept | None) -> None:
        try:
            asked[number] = jobs[number].job.send(reply)
        except StopIteration as stop:
            results[number] = stop.value
        except (ValueError, ArithmeticError) as error:
            results[number] = error

    with one_blas_thread():  # once for all that each job would set and lift
        for number in range(len(jobs)):
            advance(number, None)
    if after_sweep is not None:
        after_sweep(list(asked), results)
    while asked:
        numbers, kernels = list(asked), list(asked.values())
        asked.clear()
        merged, answers = _merged(kernels, [jobs[number].fold for number in numbers], n_folds)
        started = time.perf_counter()
        sums = engine.sweep(merged)
        cost = engine.cost._replace(seconds=time.perf_counter() - started)
        with one_blas_thread():
            for number, answer in zip(numbers, answers, strict=True):
                advance(number, Swept(answer(sums), cost))
        if after_sweep is not None:
            after_sweep(list(asked), results)
    return results


def _merged(kernels: Sequence[Any], folds: Sequence[int], n_folds: int) -> tuple[_Several, list[Callable[[Sums], Any]]]:
    """One kernel for those of all jobs, and for each job how its answer is found in the sums."""
    parts: list[Any] = []
    answers: list[Any] = [None] * len(kernels)
    alike: dict[Any, list[int]] = {}
    for number, kernel in enumerate(kernels):
        alike.setdefault(_kind(kernel, folds[number]), []).append(number)
    for numbers in alike.values():
        first = kernels[numbers[0]]
        place = len(parts)
        if _stackable(first):
            kernel, cuts = _stacked([kernels[i] for i in numbers], [folds[i] for i in numbers])
            parts.append(kernel)
            for i, own in zip(numbers, cuts, strict=True):
                answers[i] = _Stacked(place, own)
        elif isinstance(first, FirstKernel):
            parts.append(FoldKernel(first, n_folds))
            for i in numbers:
                answers[i] = _OfFold(place, folds[i])
        else:
            for i in numbers:
                answers[i] = _Whole(len(parts))
                parts.append(WithoutKernel(kernels[i], folds[i]))
    return _Several(tuple(parts), parts[0].name), answers


def _stackable(kernel: Any) -> bool:
    return isinstance(kernel, LossKernel) and all(points.rows is None for points in kernel.points)


def _kind(kernel: Any, fold: int) -> Any:
    """Kernels of one kind are merged."""
    if _stackable(kernel):
        arrays = (None if a is None else a.tobytes() for a in (kernel.origin, kernel.class_weight))
        return (repr(kernel.loss), kernel.exact, kernel.compiled, *arrays)
    return kernel if isinstance(kernel, FirstKernel) else (fold, id(kernel))


def _stacked(
    kernels: Sequence[LossKernel], folds: Sequence[int]
) -> tuple[SplitLossKernel, list[list[tuple[int, slice]]]]:
    """The points of all kernels, those that want the same stacked; and for each kernel where its own are."""
    stacks: dict[frozenset[str], list[tuple[Points, int]]] = {}
    heights: dict[frozenset[str], int] = {}
    places: list[list[tuple[frozenset[str], slice]]] = []
    for kernel, fold in zip(kernels, folds, strict=True):
        own = []
        for points in kernel.points:
            start = heights.get(points.want, 0)
            heights[points.want] = stop = start + len(points.b)
            stacks.setdefault(points.want, []).append((points, fold))
            own.append((points.want, slice(start, stop)))
        places.append(own)
    order = {want: i for i, want in enumerate(stacks)}
    splits = []
    for want, stack in stacks.items():
        W = np.concatenate([points.W for points, _ in stack])
        b = np.concatenate([points.b for points, _ in stack])
        directions = [points.direction for points, _ in stack if points.direction is not None]
        direction = tuple(np.concatenate(part) for part in zip(*directions, strict=True)) if directions else None
        without = np.repeat([fold for _, fold in stack], [len(points.b) for points, _ in stack])
        splits.append(Split(Points(W, b, want, direction), without))  # type: ignore[arg-type]
    name = "hessian" if any("hess" in want for want in stacks) else kernels[0].name
    template = replace(kernels[0], points=(), name=name)
    return SplitLossKernel(template, tuple(splits)), [[(order[want], rows) for want, rows in own] for own in places]


class _Stacked(NamedTuple):
    """The answer to a kernel of points."""

    place: int
    cuts: list[tuple[int, slice]]

    def __call__(self, sums: Sums) -> Sums:
        parts = sums.parts[self.place].parts
        return Sums(tuple(PointSums._make(None if a is None else a[rows] for a in parts[i]) for i, rows in self.cuts))


class _OfFold(NamedTuple):
    """The answer of all folds but one."""

    place: int
    fold: int

    def __call__(self, sums: Sums) -> Any:
        return sums.parts[self.place].without(self.fold)


class _Whole(NamedTuple):
    place: int

    def __call__(self, sums: Sums) -> Any:
        return sums.parts[self.place]
