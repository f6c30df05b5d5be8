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
from ..protocol import Array, Block, Kernel
from .moments import shape_problem
from .rows import row_range, take_block

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
