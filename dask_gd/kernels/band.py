"""Rows near a kink of a piecewise linear loss, and the linear rest of the objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ..arrays import alike, cast, namespace, to_numpy, zeros
from ..losses import Loss
from ..protocol import Array, Block
from .device import DOUBLE
from .rows import in_main_memory, take_block


class BandSums(NamedTuple):
    """Rows of |y - η| ≤ width, and Σ s ℓ of all others as ``constant`` + grad_w·w + grad_b b, sums over rows."""

    n_inside: int
    X: Any  # (m, d); None unless collected
    y: Array  # (m,) targets less offset
    weight: Array  # (m,)
    constant: float
    grad_w: Array  # (d,)
    grad_b: float

    def __add__(self, other: BandSums) -> BandSums:  # type: ignore[override]
        X = self.X
        if X is not None:
            X = sp.vstack([X, other.X], format="csr") if sp.issparse(X) else np.concatenate([X, other.X])
        return BandSums(
            self.n_inside + other.n_inside,
            X,
            np.concatenate([self.y, other.y]),
            np.concatenate([self.weight, other.weight]),
            self.constant + other.constant,
            self.grad_w + other.grad_w,
            self.grad_b + other.grad_b,
        )


@dataclass(frozen=True)
class BandKernel:
    """Split the rows at residual ``width``; ``collect`` False: only count."""

    loss: Loss
    coef: Array  # (d,)
    intercept: float
    width: float
    collect: bool = True
    name: str = "band"

    def __call__(self, block: Block) -> BandSums:
        X, xp = cast(block.X, DOUBLE), namespace(block.X)
        weight = zeros(block.n_rows, X) + 1 if block.weight is None else cast(block.weight, DOUBLE)
        y = block.y if block.offset is None else block.y - block.offset
        eta = X @ alike(self.coef, X) + self.intercept
        inside = (xp.abs(y - eta) <= self.width) & (weight > 0)
        count = int(xp.count_nonzero(inside))
        if not self.collect:
            return BandSums(count, None, np.zeros(0), np.zeros(0), 0.0, np.zeros(0), 0.0)
        out = self.loss.derivatives(y, eta, 1)
        assert out.first is not None
        slope = xp.where(inside, 0.0, weight * out.first)
        constant = float(xp.sum(xp.where(inside, 0.0, weight * out.value) - slope * eta))
        rows = xp.nonzero(inside)[0]
        collected = in_main_memory(take_block(Block(block.index, block.X, y, weight), rows))
        return BandSums(
            count,
            collected.X,
            collected.y,
            collected.weight,
            constant,
            to_numpy(slope @ X),
            float(xp.sum(slope)),
        )
