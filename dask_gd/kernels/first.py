"""The first sweep: what every fit must know of the data, and what its solver will want to know, from one read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..protocol import Block
from .moments import Moments, MomentsKernel, column_moments
from .sample import Sample, SampleKernel
from .squares import Squares, SquaresKernel


class First(NamedTuple):
    """Sums of the first sweep; what was not asked for, or of which a block has nothing, is None."""

    moments: Moments
    squares: Squares | None = None
    sample: Sample | None = None

    def __add__(self, other: First) -> First:  # type: ignore[override]
        return First(
            self.moments + other.moments,
            _add(self.squares, other.squares),
            _add(self.sample, other.sample),
        )


def _add(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


@dataclass(frozen=True)
class FirstKernel:
    """Moments, and on request the squares and a row sample."""

    moments: MomentsKernel
    squares: SquaresKernel | None = None
    sample: SampleKernel | None = None
    name: str = "moments"

    @property
    def any_order(self) -> bool:
        """Whether X may lie by columns."""
        return self.squares is not None

    def __call__(self, block: Block) -> First:
        refused = self.moments.refused(block)
        if refused is not None:
            return First(refused)
        squares = None if self.squares is None else self.squares(block)
        columns = column_moments(block.X, block.weight) if squares is None else squares.columns  # one read for both
        moments = self.moments.of(block, columns)
        if moments.n_rows == 0:  # X is not finite
            return First(moments)
        return First(moments, squares, None if self.sample is None else self.sample(block))
