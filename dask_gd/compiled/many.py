"""Loss and gradient of many models in one read of a dense matrix, whose rows are turned over once for all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..protocol import Array
from .dense import either, read_only
from .jit import jit, numba
from .panels import TILE, add_tiles, combine, turn
from .pointwise import signature

__all__ = ["many_adder"]


def add_sums_of_many(
    X: Array,
    Y: Array,
    weight: Array,
    offset: Array,
    W: Array,
    b: Array,
    pointwise: Any,
    parameters: Array,
    signed: bool,
    classes: int,
    group: int,
    gradient: bool,
    rank_one: bool,
    value: Array,
    grad_w: Array,
    grad_b: Array,
    diagonal: Array,
    curvature: Array,
    panel: Array,
    squares: Array,
    product: Array,
    work: Array,
) -> None:
    """Add to ``value`` (t,), ``grad_w`` (p, s) and ``grad_b`` (m,) the sums over all rows, and, unless empty, to
    ``diagonal`` (2, p, s) Σ ℓ″ x² and Σ ℓ″ x and to ``curvature`` (m,) Σ ℓ″.

    X is (n, d), Y (n, q), weight and offset (n,) or empty, W (p, s) with zeros beyond (m, d), b (m,); p and s are
    multiples of four. Models are worked on in groups of ``group``, whose outputs must not be parted. With ``classes``
    > 0 the targets are of each class against the rest; ``rank_one``: of the softmax, second derivative p (1 - p).
    Written over are the ``panel`` (s, rows), zero beyond d, ``squares`` (s, rows) if there is a diagonal, ``product``
    (g, rows) and ``work`` (2g + q + 1, rows), with g at least a group in fours and rows a divisor of n. Products have
    the precision of X, losses that of Y, sums float64.
    """
    (n, d), rows = X.shape, panel.shape[1]
    m = len(b)
    k = m // len(value)
    q = classes if classes else Y.shape[1]
    one, zero = Y.dtype.type(1), Y.dtype.type(0)
    g = len(product)
    curved = len(curvature) > 0
    first, second, y, weights = work[:g], work[g : 2 * g], work[2 * g : 2 * g + q], work[2 * g + q]
    etas = np.empty((g, rows), Y.dtype)
    weights[:] = one
    for start in range(0, n, rows):
        turn(panel, X, start, rows)
        if curved:
            for j in range(len(panel)):
                for i in range(rows):
                    squares[j, i] = panel[j, i] * panel[j, i]
        for j in range(q):
            for i in range(rows):
                own = Y[start + i, 0 if classes else j]
                if classes:
                    own = one if own == j else zero
                y[j, i] = own + own - one if signed else own
        for i in range(len(weight[start : start + rows])):
            weights[i] = weight[start + i]
        for begin in range(0, m, group):
            size = min(group, m - begin)
            end, wide = begin + size, (size + TILE - 1) // TILE * TILE
            combine(W[begin : begin + wide], panel, product[:wide])
            eta = either(product, etas)[:size]
            if X.itemsize != Y.itemsize:
                for j in range(size):
                    for i in range(rows):
                        eta[j, i] = product[j, i]
            if len(offset):
                for j in range(size):
                    for i in range(rows):
                        eta[j, i] += offset[start + i]
            pointwise(
                y,
                eta,
                b[begin:end],
                weights,
                parameters,
                value[begin // k : end // k],
                grad_b[begin:end],
                first[:size],
                second[: size if curved else 1],
            )
            if not gradient:
                continue
            slope = either(first, product)[:wide]
            if X.itemsize != Y.itemsize:
                for j in range(size):
                    for i in range(rows):
                        slope[j, i] = first[j, i]
            after = start + rows
            ahead = min(rows if begin == 0 else 0, n - after)
            add_tiles(slope, panel, grad_w[begin : begin + wide], False, X, after * d, ahead * d, 1, 0)
            if not curved:
                continue
            bend = either(second, product)[:wide]
            for j in range(size):
                total = 0.0
                for i in range(rows):
                    if rank_one:
                        second[j, i] *= weights[i] * (one - second[j, i])
                    total += second[j, i]
                    bend[j, i] = second[j, i]
                curvature[begin + j] += total
            add_tiles(bend, squares, diagonal[0, begin : begin + wide], False, X, 0, 0, 0, 0)
            add_tiles(bend, panel, diagonal[1, begin : begin + wide], False, X, 0, 0, 0, 0)


@cache
def _adder(x: str, y: str) -> Any:
    types, own = numba.types, numba.float64
    real, precise = numba.from_dtype(np.dtype(x)), numba.from_dtype(np.dtype(y))
    data = (read_only(real, 2), read_only(precise, 2), read_only(own, 1), read_only(own, 1))
    loss = (types.FunctionType(signature(precise)), own[::1], types.boolean, types.int64, types.int64)
    out = (types.boolean, types.boolean, own[::1], own[:, ::1], own[::1], own[:, :, ::1], own[::1])
    space = (real[:, ::1], real[:, ::1], real[:, ::1], precise[:, ::1])
    return jit(add_sums_of_many, types.void(*data, real[:, ::1], own[::1], *loss, *out, *space))


def many_adder(X: Array, Y: Array) -> Callable[..., None]:
    """:func:`add_sums_of_many`, compiled for the precisions of X and Y."""
    compiled: Callable[..., None] = _adder(X.dtype.char, Y.dtype.char)
    return compiled
