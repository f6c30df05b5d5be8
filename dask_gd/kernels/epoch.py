"""One epoch of stochastic gradient descent over every block, each from the same point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import is_device_array
from ..losses import (
    EpsilonInsensitive,
    Hinge,
    Huber,
    Logistic,
    Loss,
    ModifiedHuber,
    OneVsRest,
    Signed,
    Squared,
    SquaredEpsilonInsensitive,
    SquaredHinge,
)
from ..protocol import Array, Block, Stride, Sums, WalkSums
from .rows import chosen_rows

CODES = {
    Hinge: 0,
    SquaredHinge: 1,
    Logistic: 2,
    ModifiedHuber: 3,
    Squared: 4,
    Huber: 5,
    EpsilonInsensitive: 6,
    SquaredEpsilonInsensitive: 7,
}
PARAMETERS = {Hinge: "threshold", Huber: "delta", EpsilonInsensitive: "epsilon", SquaredEpsilonInsensitive: "epsilon"}
SCHEDULES = {"constant": 0, "optimal": 1, "invscaling": 2, "pa1": 3, "pa2": 4}
NOTHING = np.zeros(0)
NO_INDICES = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True)
class EpochKernel:
    """A walk over the rows of a block for every stride; what it ends with counts by the rows it saw."""

    loss: Loss
    points: tuple[Stride, ...]
    name: str = "epoch"

    def __call__(self, block: Block) -> Sums:
        return Sums(tuple(_walk(self.loss, stride, block) for stride in self.points))


def _walk(loss: Loss, stride: Stride, block: Block) -> WalkSums:
    from ..compiled.walk import walker  # imports Numba

    order = chosen_rows(block.n_rows, block.index, stride.rows)
    n = len(order)
    code, parameter, signed = walkable(loss)
    W, mean, pull = stride.W.copy(), stride.average_W.copy(), stride.pull.copy()
    b, mean_b = stride.b.copy(), stride.average_b.copy()
    averaged, pulled, total = stride.averaged, stride.pulled, 0.0
    weight = NOTHING if block.weight is None else block.weight.astype(np.float64, copy=False)
    offset = NOTHING if block.offset is None else block.offset.astype(np.float64, copy=False)
    rows = _rows(block.X)
    walk = walker(rows[0].dtype, rows[1].dtype)
    pace = stride.pace
    for k in range(len(W)) if n else ():
        y = block.y.astype(np.float64, copy=False)
        if signed:
            y = np.where(block.y == (k if len(W) > 1 else 1), 1.0, -1.0)
        state = np.array([b[k], mean_b[k], stride.averaged, stride.pulled, stride.t, 0.0])
        walk(
            *rows,
            y,
            weight,
            offset,
            order,
            W[k],
            mean[k],
            pull[k],
            state,
            code,
            parameter,
            SCHEDULES[pace.schedule],
            float(pace.eta),
            float(pace.power),
            float(pace.alpha),
            int(pace.average),
            stride.l1,
            stride.l2,
            stride.fit_intercept,
        )
        b[k], mean_b[k], averaged, pulled = state[:4]
        total += state[5]
    return WalkSums(n, total, W * n, b * n, mean * n, mean_b * n, averaged * n, pull * n, pulled * n)


def walkable(loss: Loss) -> tuple[int, float, bool]:
    """Code and parameter of a loss in the walk, and whether its y are ±1.

    Raises
    ------
    ValueError
        For a loss that the walk does not know.
    """
    signed = loss.classification
    while isinstance(loss, OneVsRest | Signed):
        loss = loss.loss
    code = CODES.get(type(loss))
    if code is None:
        known = ", ".join(sorted(cls.__name__ for cls in CODES))
        raise ValueError(f"A walk over rows knows no loss {type(loss).__name__}: take one of {known}.")
    parameter = PARAMETERS.get(type(loss))
    return code, float(getattr(loss, parameter)) if parameter else 0.0, signed


def _rows(X: Any) -> tuple[Array, Array, Array, int]:
    """Values, indices, row starts and (of a dense matrix) the width."""
    if is_device_array(X):
        raise ValueError(
            "A walk over single rows needs X in main memory: take mode='synchronous', whose mini-batches are computed "
            "where X is, or hand over NumPy arrays."
        )
    if isinstance(X, np.ndarray):
        return X.ravel(), NO_INDICES, NO_INDICES, X.shape[1]
    return X.data, X.indices, X.indptr, 0
