"""A uniform sample of rows, small enough for the fit loop to hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..memory import kept_memory
from ..protocol import Array, Block
from .rows import in_main_memory, take_block


@dataclass(frozen=True)
class Sample:
    """Rows of several blocks, in the order of the blocks: of all rows those with the ``size`` lowest keys.

    Whatever the order of additions, the same rows are left (bottom-k sampling).
    """

    X: Any  # (m, d)
    y: Array
    weight: Array | None
    offset: Array | None
    keys: Array  # (m,) uniform on [0, 1)
    size: int

    def __add__(self, other: Sample) -> Sample:
        join = np.concatenate if isinstance(self.X, np.ndarray) else _stack
        both = Sample(
            join([self.X, other.X]),
            np.concatenate([self.y, other.y]),
            None if self.weight is None or other.weight is None else np.concatenate([self.weight, other.weight]),
            None if self.offset is None or other.offset is None else np.concatenate([self.offset, other.offset]),
            np.concatenate([self.keys, other.keys]),
            self.size,
        )
        return both.lowest(self.size)

    def lowest(self, size: int) -> Sample:
        """The rows of the lowest keys, no more than ``size``."""
        if len(self.keys) <= size:
            return replace(self, size=size)
        return replace(self.take(_lowest(self.keys, size)), size=size)

    def take(self, rows: Array) -> Sample:
        """Some of the rows."""
        weight, offset = (None if a is None else a[rows] for a in (self.weight, self.offset))
        return Sample(self.X[rows], self.y[rows], weight, offset, self.keys[rows], self.size)

    def encoded(self, transform: Callable[[Block], Block]) -> Sample:
        """With y and weights as the transform makes them."""
        block = transform(self.block)
        return replace(self, y=block.y, weight=block.weight)

    @property
    def block(self) -> Block:
        """The rows as one block."""
        return Block(0, self.X, self.y, self.weight, self.offset)


def _lowest(keys: Array, size: int) -> Array:
    """Where the lowest keys are, no more than ``size``, in the order of the rows."""
    return np.sort(np.argpartition(keys, size)[:size]) if len(keys) > size else np.arange(len(keys))


def _stack(parts: list[Any]) -> Any:
    return sp.vstack(parts, format="csr")


@dataclass(frozen=True)
class SampleKernel:
    """Every row whose key is below ``share``; of those no more than ``size``. The block's index seeds its keys.

    The share keeps the parts of the sample small where the number of rows is known; 1.0 is right for any number.
    """

    size: int
    share: float = 1.0

    def __call__(self, block: Block) -> Sample:
        keys = kept_memory("keys", (block.n_rows,), np.float64)
        np.random.default_rng(block.index).random(out=keys)
        rows = np.flatnonzero(keys < self.share)
        rows = rows[_lowest(keys[rows], self.size)]
        part = in_main_memory(take_block(block, rows))
        return Sample(part.X, part.y, part.weight, part.offset, keys[rows], self.size)
