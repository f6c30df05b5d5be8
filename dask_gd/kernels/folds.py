"""The rows of each fold of a block. A fold is a number beside each row, never a copy.

Rows of one fold that follow each other are one piece of a block; where folds lie among each other, slices that stay in
the cache are sorted by fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..arrays import numpy_dtype
from ..memory import kept_memory
from ..protocol import Array, Block, Kernel
from .moments import shape_problem
from .rows import row_range, take_block

RUN_ROWS = 1024  # of a fold that follow each other are worth a piece
PIECE_ROWS = 4096  # of a fold at a time, on average, where folds lie among each other …
PIECE_BYTES = 2**19  # … or as many as fit here
EVERYTHING = -1  # the test fold of a fit that trains on all rows


class FoldSums(NamedTuple):
    """The sums over each fold's rows; None where no row was seen."""

    parts: tuple[Any, ...]

    def __add__(self, other: FoldSums) -> FoldSums:  # type: ignore[override]
        return FoldSums(tuple(plus(a, b) for a, b in zip(self.parts, other.parts, strict=True)))

    def of(self, name: str) -> FoldSums:
        """One part of the sums of each fold."""
        return FoldSums(tuple(None if part is None else getattr(part, name) for part in self.parts))

    def without(self, fold: int) -> Any:
        """The sums over all folds but one."""
        total = None
        for number, part in enumerate(self.parts):
            if number != fold:
                total = plus(total, part)
        return total


def plus(a: Any, b: Any) -> Any:
    """The sum of two sums, of which either may be None."""
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


def whole_folds(block: Block) -> Iterator[tuple[int, Block]]:
    """All rows of each fold, to be used before the next is asked for; where they follow each other they are not
    copied."""
    borders = _borders(block)
    present = np.flatnonzero(np.bincount(block.fold))
    if len(borders) + 1 == len(present):
        yield from _runs(block, borders)
        return
    for number in present.tolist():
        yield number, _gathered(block, np.flatnonzero(block.fold == number))


def fold_pieces(block: Block) -> Iterator[tuple[int, Block]]:
    """Rows of one fold after the other, in pieces, each to be used before the next is asked for; long runs are not
    copied."""
    edges = np.concatenate([[0], _borders(block), [block.n_rows]])
    start = 0
    for run in np.flatnonzero(np.diff(edges) >= RUN_ROWS):
        first, last = edges[run : run + 2].tolist()
        yield from _sorted_pieces(block, start, first)
        yield int(block.fold[first]), row_range(block, first, last)
        start = last
    yield from _sorted_pieces(block, start, block.n_rows)


def _sorted_pieces(block: Block, start: int, stop: int) -> Iterator[tuple[int, Block]]:
    """The pieces of some rows whose folds lie among each other."""
    if start == stop:
        return
    row_bytes = max(block.X.shape[1] * numpy_dtype(block.X).itemsize, 1)
    n_folds = len(np.unique(block.fold[start:stop]))
    step = n_folds * max(min(PIECE_ROWS, PIECE_BYTES // row_bytes), 64)
    for first in range(start, stop, step):
        part = row_range(block, first, min(first + step, stop))
        if len(_borders(part)):
            rows = np.argsort(part.fold, kind="stable")
            part = _gathered(part, rows)._replace(fold=part.fold[rows])
        yield from _runs(part, _borders(part))


def _gathered(block: Block, rows: Array) -> Block:
    """Some rows, those of a dense X in memory that the thread keeps for this."""
    X = block.X
    if not isinstance(X, np.ndarray):
        return take_block(block, rows)
    out = kept_memory("rows", (len(rows), X.shape[1]), X.dtype)
    X.take(rows, axis=0, out=out, mode="clip")  # another mode would go through a copy
    return take_block(block._replace(X=np.empty((block.n_rows, 0))), rows)._replace(X=out)


def _borders(block: Block) -> Array:
    """The rows at which another fold begins."""
    return np.flatnonzero(block.fold[1:] != block.fold[:-1]) + 1


def _runs(block: Block, borders: Array) -> Iterator[tuple[int, Block]]:
    if not len(borders):
        yield int(block.fold[0]), block
        return
    for start, stop in pairwise((0, *borders.tolist(), block.n_rows)):
        yield int(block.fold[start]), row_range(block, start, stop)
