"""Sums of blocks that may refuse: which block did, and why, whichever comes first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..exceptions import DataError
from ..protocol import Block

EMPTY = "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required."


class Judged(NamedTuple):
    """Sums of some blocks, None while no row was seen, and the first of the blocks that have none, and why."""

    sums: Any
    problem: tuple[int, str] | None = None

    def __add__(self, other: Judged) -> Judged:  # type: ignore[override]
        problems = [p for p in (self.problem, other.problem) if p is not None]
        if problems:
            return Judged(None, min(problems))
        if self.sums is None or other.sums is None:
            return other if self.sums is None else self
        return Judged(self.sums + other.sums)

    def settled(self) -> Any:
        """The sums.

        Raises
        ------
        DataError
            In the words of the first block that refused.
        ValueError
            No row at all.
        """
        if self.problem is not None:
            raise DataError(f"{self.problem[1]} (block {self.problem[0]})")
        if self.sums is None:
            raise ValueError(EMPTY)
        return self.sums


@dataclass(frozen=True)
class JudgeKernel:
    """The sums of a block of predictions (its X), true values and weights: ``sums(y, predicted, weight)``."""

    sums: Callable[..., Any]
    name: str = "metric"

    def __call__(self, block: Block) -> Judged:
        if not block.n_rows:
            return Judged(None)
        try:
            return Judged(self.sums(block.y, block.X, block.weight))
        except (ValueError, TypeError) as error:  # an error would stop other blocks at other moments every time
            return Judged(None, (block.index, str(error)))
