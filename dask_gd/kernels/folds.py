"""Many fits in one read of a block, each over all rows but those of its own test fold.

A fold is a number beside each row, never a copy. Rows of one fold that follow each other are one piece of a block;
where folds lie among each other, slices that stay in the cache are sorted by fold. Every piece is then read once, for
the fits that train on its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..arrays import numpy_dtype
from ..protocol import Array, Block, Kernel, Points, PointSums, Sums
from .loss import LossKernel
from .moments import shape_problem
from .rows import row_range, take_block

PIECE_ROWS = 4096  # of a fold at a time, on average, where folds lie among each other …
PIECE_BYTES = 2**19  # … or as many as fit here
EVERYTHING = -1  # the test fold of a fit that trains on all rows


class FoldSums(NamedTuple):
    """The sums over each fold's rows; None where no row was seen."""

    parts: tuple[Any, ...]

    def __add__(self, other: FoldSums) -> FoldSums:  # type: ignore[override]
        return FoldSums(tuple(_plus(a, b) for a, b in zip(self.parts, other.parts, strict=True)))

    def without(self, fold: int) -> Any:
        """The sums over all folds but one."""
        total = None
        for number, part in enumerate(self.parts):
            if number != fold:
                total = _plus(total, part)
        return total


def _plus(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


@dataclass(frozen=True)
class FoldKernel:
    """The sums of a kernel over the rows of each fold."""

    kernel: Kernel
    n_folds: int

    @property
    def name(self) -> str:
        return self.kernel.name

    def __call__(self, block: Block) -> FoldSums:
        found: list[Any] = [None] * self.n_folds
        if block.n_rows == 0 or shape_problem(block, block.X.shape[1]) is not None:
            found[0] = self.kernel(block)
        else:
            for fold, part in whole_folds(block):
                found[fold] = self.kernel(part)
        return FoldSums(tuple(found))


@dataclass(frozen=True)
class WithoutKernel:
    """The sums of a kernel over the rows outside one fold."""

    kernel: Kernel
    fold: int

    @property
    def name(self) -> str:
        return self.kernel.name

    def __call__(self, block: Block) -> Any:
        if self.fold == EVERYTHING:
            return self.kernel(block)
        return self.kernel(take_block(block, np.flatnonzero(block.fold != self.fold)))


class Split(NamedTuple):
    """Points of many fits, and the fold (t,) that each leaves out."""

    points: Points
    without: Array


@dataclass(frozen=True)
class SplitLossKernel:
    """The sums of a loss at the points of many fits: one :class:`PointSums` for each of the splits.

    ``kernel`` has loss, origin, precision and class weights; it has no points of its own.
    """

    kernel: LossKernel
    splits: tuple[Split, ...]

    @property
    def name(self) -> str:
        return self.kernel.name

    @property
    def points(self) -> tuple[Any, ...]:
        """What there is to carry."""
        return self.splits

    def __call__(self, block: Block) -> Sums:
        if block.n_rows == 0:
            return replace(self.kernel, points=tuple(split.points for split in self.splits))(block)
        found: dict[int, Sums] = {}
        chosen: dict[int, LossKernel] = {}
        for fold, piece in fold_pieces(block):
            if fold not in chosen:
                chosen[fold] = replace(self.kernel, points=tuple(_training(split, fold) for split in self.splits))
            sums = chosen[fold](piece)
            found[fold] = found[fold] + sums if fold in found else sums
        return Sums(tuple(self._joined(i, split, found) for i, split in enumerate(self.splits)))

    def _joined(self, i: int, split: Split, found: dict[int, Sums]) -> PointSums:
        """The sums of all points, from those of the pieces of each fold."""
        t = len(split.without)
        totals: list[Any] = [None] * len(PointSums._fields)
        for fold, sums in found.items():
            mine = split.without != fold
            for field, part in enumerate(sums.parts[i]):
                if part is None:
                    continue
                if totals[field] is None:
                    totals[field] = np.zeros((t, *part.shape[1:]))
                totals[field][mine] += part
        return PointSums._make(totals)


def _training(split: Split, fold: int) -> Points:
    """The points of the fits that train on a fold's rows."""
    mine = split.without != fold
    if mine.all():
        return split.points
    points = split.points
    direction = None if points.direction is None else (points.direction[0][mine], points.direction[1][mine])
    return points._replace(W=points.W[mine], b=points.b[mine], direction=direction)


def whole_folds(block: Block) -> Iterator[tuple[int, Block]]:
    """All rows of each fold; where they follow each other they are not copied."""
    borders = _borders(block)
    present = np.flatnonzero(np.bincount(block.fold))
    if len(borders) + 1 == len(present):
        yield from _runs(block, borders)
        return
    for number in present.tolist():
        yield number, take_block(block, np.flatnonzero(block.fold == number))


def fold_pieces(block: Block) -> Iterator[tuple[int, Block]]:
    """Rows of one fold after the other, in pieces."""
    n = block.n_rows
    if n == 0:
        return
    borders = _borders(block)
    if (len(borders) + 1) * PIECE_ROWS <= n or not len(borders):
        yield from _runs(block, borders)
        return
    row_bytes = max(block.X.shape[1] * numpy_dtype(block.X).itemsize, 1)
    n_folds = int(np.max(block.fold)) + 1
    step = n_folds * max(min(PIECE_ROWS, PIECE_BYTES // row_bytes), 64)
    for start in range(0, n, step):
        rows = np.argsort(block.fold[start : start + step], kind="stable")
        part = take_block(block, start + rows)._replace(fold=block.fold[start + rows])
        yield from _runs(part, _borders(part))


def _borders(block: Block) -> Array:
    """The rows at which another fold begins."""
    return np.flatnonzero(block.fold[1:] != block.fold[:-1]) + 1


def _runs(block: Block, borders: Array) -> Iterator[tuple[int, Block]]:
    if not len(borders):
        yield int(block.fold[0]), block
        return
    for start, stop in pairwise((0, *borders.tolist(), block.n_rows)):
        yield int(block.fold[start]), row_range(block, start, stop)


@dataclass(frozen=True)
class HeldOutKernel:
    """What metrics make of models on the rows of their test folds, and if wanted on those they trained on.

    ``predictors``: for each model a function (X, offset) -> what the metric judges, for every response that a metric
    wants. A model that trained on all rows has no test fold. One :class:`Sums` part a (model, metric, test or train).
    """

    metrics: tuple[Any, ...]
    predictors: tuple[dict[str, Callable[[Any, Any], Any]], ...]
    folds: tuple[int, ...]
    train: bool = False
    classes: Array | None = None
    weighted: bool = False
    name: str = "score"

    def __call__(self, block: Block) -> FoldSums:
        width = len(self.metrics) * (2 if self.train else 1)
        found: list[Any] = [None] * (len(self.predictors) * width)
        for fold, piece in fold_pieces(block):
            y = piece.y if self.classes is None else self.classes[piece.y.astype(np.intp)]
            weight = piece.weight if self.weighted else None
            for i, (predictors, own) in enumerate(zip(self.predictors, self.folds, strict=True)):
                tested = own == fold
                if not (tested or self.train):
                    continue
                predicted = {name: predict(piece.X, piece.offset) for name, predict in predictors.items()}
                for j, metric in enumerate(self.metrics):
                    sums = metric.sums(y, predicted[metric.response], weight)
                    place = i * width + j + (0 if tested else len(self.metrics))
                    found[place] = _plus(found[place], sums)
        return FoldSums(tuple(found))
