"""A uniform sample of rows, small enough for the fit loop to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..protocol import Array, Block


@dataclass(frozen=True)
class Sample:
    """Rows of several blocks, in the order of the blocks."""

    X: Any  # (m, d)
    y: Array
    weight: Array | None
    offset: Array | None

    def __add__(self, other: Sample) -> Sample:
        join = np.concatenate if isinstance(self.X, np.ndarray) else _stack
        return Sample(
            join([self.X, other.X]),
            np.concatenate([self.y, other.y]),
            None if self.weight is None or other.weight is None else np.concatenate([self.weight, other.weight]),
            None if self.offset is None or other.offset is None else np.concatenate([self.offset, other.offset]),
        )


def _stack(parts: list[Any]) -> Any:
    return sp.vstack(parts, format="csr")


@dataclass(frozen=True)
class SampleKernel:
    """Each row with probability ``share``, by a generator that the block's index seeds: the same rows every time."""

    share: float
    name: str = "sample"

    def __call__(self, block: Block) -> Sample:
        n = block.n_rows
        rng = np.random.default_rng(block.index)
        rows = np.sort(rng.choice(n, rng.binomial(n, self.share), replace=False)) if n else np.zeros(0, dtype=np.intp)
        pick = [None if a is None else a[rows] for a in (block.weight, block.offset)]
        return Sample(block.X[rows], block.y[rows], *pick)
