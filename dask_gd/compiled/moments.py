"""First and second moments of the columns of a dense matrix, in one read and in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..arrays import by_columns
from ..memory import kept_memory, recycled
from ..protocol import Array
from .jit import COMPILED, jit, numba
from .panels import add_tiles, mirror, padded, panel_shape, scale, turn
from .turn import columns_of

__all__ = ["column_sums", "products"]


def products(X: Array, Z: Array, root: Array, shift: Array) -> Array:
    """(p, p) Σ a aᵀ over the rows a = root · (x - shift, z - shift, 1); an empty ``root`` is one of ones.

    Rows are turned into panels of columns first, so that a product of two columns is one of two short vectors; X may
    lie by columns already.
    """
    p = X.shape[1] + Z.shape[1] + 1
    gram = recycled((padded(p), padded(p)), np.float64)
    gram[:] = 0.0
    panel = kept_memory("panel", panel_shape(padded(p), gram.dtype), gram.dtype)
    panel[p:] = 0.0
    turned = kept_memory("turned", (X.shape[1], panel.shape[1]), X.dtype)
    rows = not by_columns(X)
    _adder(X.dtype)(X if rows else columns_of(X), rows, Z, root, shift, turned, panel, gram)
    out = recycled((p, p), np.float64)
    mirror(gram[:p, :p], out)
    return out


def column_sums(X: Array, weight: Array, shift: Array) -> tuple[Array, Array]:
    """Σ s (x - shift) and Σ s (x - shift)² of each column; an empty ``weight`` is one of ones."""
    sums = np.zeros((2, X.shape[1]))
    _summer(X.dtype)(X, weight, shift, sums[0], sums[1])
    return sums[0], sums[1]


def add_products(
    X: Array, by_rows: bool, Z: Array, root: Array, shift: Array, turned: Array, panel: Array, gram: Array
) -> None:
    """The sums of :func:`products`, on and above the diagonal; rows of the panel beyond its columns stay 0, and
    ``turned`` (d, any), of the precision of X, is written over. ``by_rows`` False: X is (d, n or more)."""
    n, d = Z.shape[0], turned.shape[0]
    last = d + Z.shape[1]
    rows = panel.shape[1]
    for start in range(0, n, rows):
        count = min(rows, n - start)
        if count < rows:
            panel[:] = 0.0
        for r in range(count):
            panel[last, r] = root[start + r] if root.shape[0] > 0 else 1.0
        if by_rows:
            turn(turned, X, start, count)
            scale(panel, turned, 0, count, shift, panel[last])
        else:
            scale(panel, X, start, count, shift, panel[last])
        for j in range(d, last):
            for r in range(count):
                panel[j, r] = panel[last, r] * (Z[start + r, j - d] - shift[j])
        after = start + rows
        ahead = min(rows, n - after)
        if by_rows:
            add_tiles(panel, panel, gram, True, X, after * d, ahead * d, 1, 0)
        else:
            add_tiles(panel, panel, gram, True, X, after, ahead, d, X.shape[1])


def add_columns(X: Array, weight: Array, shift: Array, first: Array, second: Array) -> None:
    """The sums of :func:`column_sums`."""
    n, d = X.shape
    weighted = weight.shape[0] > 0
    s0 = s1 = s2 = s3 = 1.0
    i = 0
    while i + 4 <= n:  # the sums are loaded and stored once for four rows
        if weighted:
            s0, s1, s2, s3 = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
        for j in range(d):
            c = shift[j]
            a0, a1, a2, a3 = X[i, j] - c, X[i + 1, j] - c, X[i + 2, j] - c, X[i + 3, j] - c
            b0, b1, b2, b3 = s0 * a0, s1 * a1, s2 * a2, s3 * a3
            first[j] += (b0 + b1) + (b2 + b3)
            second[j] += (b0 * a0 + b1 * a1) + (b2 * a2 + b3 * a3)
        i += 4
    while i < n:
        if weighted:
            s0 = weight[i]
        for j in range(d):
            a0 = X[i, j] - shift[j]
            first[j] += s0 * a0
            second[j] += s0 * a0 * a0
        i += 1


def _arrays(dtype: Any) -> tuple[Any, Any, Any]:
    """Types of a matrix that is only read, and of matrices and vectors of float64 that are."""
    types = numba.types
    return (
        types.Array(numba.from_dtype(np.dtype(dtype)), 2, "C", readonly=True),
        types.Array(types.float64, 2, "C", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
    )


@cache
def _adder(dtype: Any) -> Callable[..., None]:
    if not COMPILED:
        return add_products
    X, Z, vector = _arrays(dtype)
    own, turned = numba.types.float64[:, ::1], numba.from_dtype(dtype)[:, ::1]
    signature = numba.types.void(X, numba.types.boolean, Z, vector, vector, turned, own, own)
    compiled: Callable[..., None] = jit(add_products, signature)
    return compiled


@cache
def _summer(dtype: Any) -> Callable[..., None]:
    if not COMPILED:
        return add_columns
    X, _, vector = _arrays(dtype)
    own = numba.types.float64[::1]
    compiled: Callable[..., None] = jit(add_columns, numba.types.void(X, vector, vector, own, own))
    return compiled
