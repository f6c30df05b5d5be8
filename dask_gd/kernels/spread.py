"""How alike the blocks are: what of the variance of columns and targets lies between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..protocol import Array, Block
from .moments import Moments, MomentsKernel


class Spread(NamedTuple):
    """The moments of all rows, and what the blocks spread about their own means, added up."""

    moments: Moments
    blocks: int  # that have rows
    m2: Array  # (d,)
    y_m2: float
    impurity: float  # Σ over blocks of weight · (1 - Σ_k share_k²)

    def __add__(self, other: Spread) -> Spread:  # type: ignore[override]
        return Spread(
            self.moments + other.moments,
            self.blocks + other.blocks,
            self.m2 + other.m2,
            self.y_m2 + other.y_m2,
            self.impurity + other.impurity,
        )

    @property
    def between(self) -> float:
        """The largest share of the variance of a column or of y that lies between blocks, less what chance puts there.

        Blocks of rows in random order have about 0; sorted rows up to 1.
        """
        moments = self.moments
        total, within = [*moments.m2, float(np.sum(moments.y_m2))], [*self.m2, self.y_m2]
        if moments.classes:
            total.append(_impurity(moments))
            within.append(self.impurity)
        every, own = np.array(total), np.array(within)
        used = every > 0
        if not used.any() or moments.n_rows < 2:
            return 0.0
        chance = (self.blocks - 1) / (moments.n_rows - 1)
        return float(np.max(1 - own[used] / every[used]) - chance)


@dataclass(frozen=True)
class SpreadKernel:
    """Moments of one block, and of them what is its own."""

    moments: MomentsKernel
    name: str = "moments"

    def __call__(self, block: Block) -> Spread:
        own = self.moments(block)
        return Spread(own, int(own.n_rows > 0), own.m2, float(np.sum(own.y_m2)), _impurity(own))


def _impurity(moments: Moments) -> float:
    """Gini's impurity of the labels times their weight."""
    weights = np.array(list(moments.classes.values()))
    total = weights.sum()
    return float(total - np.sum(weights**2) / total) if total > 0 else 0.0
