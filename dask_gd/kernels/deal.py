"""Rows that change their place: dealt out to other blocks, or put last in their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..protocol import Array, Block
from .rows import held_out_rows, take_block


def whole(block: Block, targets: Sequence[int]) -> list[Block]:
    """The cut of a block that is not cut."""
    return [block for _ in targets]


@dataclass(frozen=True)
class Deal:
    """Deals the rows of a block out to ``count`` new blocks, at random and as evenly as can be."""

    seed: int
    count: int

    def __call__(self, block: Block, targets: Sequence[int]) -> list[Block]:
        order = _order(block, self.seed, 0)
        n, parts = len(order), []
        for target in targets:
            number = (target + block.index) % self.count  # or all tiny blocks would deal to one
            parts.append(take_block(block, order[n * number // self.count : n * (number + 1) // self.count]))
        return parts


@dataclass(frozen=True)
class HoldOut:
    """Puts a random ``share`` of the rows of a block last; the others stay in their order."""

    seed: int
    share: float

    def __call__(self, block: Block) -> Block:
        n = block.n_rows
        order = _order(block, self.seed, 1)
        kept = n - held_out_rows(n, self.share)
        return take_block(block, np.concatenate([np.sort(order[:kept]), order[kept:]]))


def _order(block: Block, seed: int, use: int) -> Array:
    """A permutation of the rows, another one for each use and none that an epoch has."""
    return np.random.default_rng([seed, 2**32 + use, block.index]).permutation(block.n_rows)
