"""Rows that change their place: dealt out to other blocks, or put last in their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..protocol import Block
from .rows import held_out_rows, take_block


def whole(block: Block, targets: Sequence[int]) -> list[Block]:
    """The cut of a block that is not cut."""
    return [block for _ in targets]


@dataclass(frozen=True)
class Deal:
    """Deals the rows of a block out to ``count`` new blocks.

    Of every ``count`` rows in a row each new block gets one, and a random one is the first: sorted rows are spread
    evenly, and no period of the rows meets one of the dealing.
    """

    seed: int
    count: int

    def __call__(self, block: Block, targets: Sequence[int]) -> list[Block]:
        n = block.n_rows
        rounds = np.arange(0, n, self.count)
        first = _generator(block, self.seed, 0).integers(self.count, size=len(rounds))
        parts = []
        for target in targets:
            rows = rounds + (first + target) % self.count
            parts.append(take_block(block, rows[rows < n]))
        return parts


@dataclass(frozen=True)
class HoldOut:
    """Puts a random ``share`` of the rows of a block last; the others stay in their order."""

    seed: int
    share: float

    def __call__(self, block: Block) -> Block:
        n = block.n_rows
        order = _generator(block, self.seed, 1).permutation(n)
        kept = n - held_out_rows(n, self.share)
        return take_block(block, np.concatenate([np.sort(order[:kept]), order[kept:]]))


def _generator(block: Block, seed: int, use: int) -> np.random.Generator:
    """Random numbers of a block, others for each use and none that an epoch has."""
    return np.random.default_rng([seed, 2**32 + use, block.index])
