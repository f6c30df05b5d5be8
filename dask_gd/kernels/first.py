"""The first sweep: what every fit must know of the data, and what its solver will want to know, from one read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..protocol import Block
from .moments import Moments, MomentsKernel
from .sample import Sample, SampleKernel
from .squares import FoldSquares, Squares, SquaresKernel


class First(NamedTuple):
    """Sums of the first sweep; what was not asked for, or of which a block has nothing, is None."""

    moments: Moments
    squares: Squares | FoldSquares | None = None
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

    def __call__(self, block: Block) -> First:
        moments = self.moments(block)
        if moments.n_rows == 0:  # an empty block, or one that cannot be fitted
            return First(moments)
        return First(
            moments,
            None if self.squares is None else self.squares(block, moments),
            None if self.sample is None else self.sample(block),
        )
