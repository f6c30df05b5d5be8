"""Rows turned over into panels of columns, each a vector: their sums and their products, in registers.

A narrow matrix is no work for BLAS, which turns it over for every product anew.
"""

from __future__ import annotations

import numpy as np

from ..memory import LINE_BYTES
from ..protocol import Array
from .elementary import same
from .jit import jit
from .prefetch import prefetch
from .turn import turn_tile

__all__ = ["add_tiles", "combine", "mirror", "padded", "panel_shape", "scale", "turn"]

MANY = 4  # models from which on it pays to turn the rows over
TILE = 4  # products of so many columns with so many others at a time
MOST_ROWS = 400  # of a panel: enough to hide the sums at the end of a tile
PANEL_BYTES = 2**19  # fit the second cache


def padded(columns: int) -> int:
    """So many columns and those that fill the last tile."""
    return -(-columns // TILE) * TILE


def panel_shape(columns: int, dtype: np.dtype) -> tuple[int, int]:
    """Of a panel of so many columns: its rows are an odd number of vectors long, for caches dislike powers of two."""
    rows = min(max(PANEL_BYTES // (columns * dtype.itemsize), 64), MOST_ROWS)
    return columns, (rows // 8 | 1) * 8


@jit
def turn(panel: Array, X: Array, start: int, count: int) -> None:
    """The first rows of a panel: the columns of some rows of X."""
    d = X.shape[1]
    tiled = d - d % TILE
    whole = count - count % TILE
    for r in range(0, whole, TILE):
        for j in range(0, tiled, TILE):
            turn_tile(X, start + r, j, panel, j, r)
    for j in range(tiled, d):
        for r in range(whole):
            panel[j, r] = X[start + r, j]
    for r in range(whole, count):
        for j in range(d):
            panel[j, r] = X[start + r, j]


@jit
def scale(panel: Array, turned: Array, start: int, count: int, shift: Array, root: Array) -> None:
    """The first rows of a panel: ``turned`` from ``start``, in the precision of the panel, less the shift, times the
    root."""
    for j in range(turned.shape[0]):
        source, column, away = turned[j], panel[j], shift[j]
        for r in range(count):
            column[r] = root[r] * (source[start + r] - away)


@jit
def combine(W: Array, panel: Array, out: Array) -> None:
    """out = W · panel, as far as the rows of ``out`` go; rows and columns of W in fours."""
    n = out.shape[1]
    zero = same(W[0, 0], 0.0)
    for j in range(0, W.shape[0], 4):
        o0, o1, o2, o3 = out[j], out[j + 1], out[j + 2], out[j + 3]
        for r in range(n):
            o0[r] = o1[r] = o2[r] = o3[r] = zero
        for k in range(0, W.shape[1], 4):
            w, v, u, t = W[j], W[j + 1], W[j + 2], W[j + 3]
            w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
            v0, v1, v2, v3 = v[k], v[k + 1], v[k + 2], v[k + 3]
            u0, u1, u2, u3 = u[k], u[k + 1], u[k + 2], u[k + 3]
            t0, t1, t2, t3 = t[k], t[k + 1], t[k + 2], t[k + 3]
            p0, p1, p2, p3 = panel[k], panel[k + 1], panel[k + 2], panel[k + 3]
            for r in range(n):
                x0, x1, x2, x3 = p0[r], p1[r], p2[r], p3[r]
                o0[r] += w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3
                o1[r] += v0 * x0 + v1 * x1 + v2 * x2 + v3 * x3
                o2[r] += u0 * x0 + u1 * x1 + u2 * x2 + u3 * x3
                o3[r] += t0 * x0 + t1 * x1 + t2 * x2 + t3 * x3


@jit
def add_tiles(
    left: Array, right: Array, out: Array, upper: bool, ahead: Array, begin: int, count: int, runs: int, apart: int
) -> None:
    """out += left · rightᵀ; ``upper``: in its tiles on and above the diagonal. Rows in fours.

    What is needed next is loaded meanwhile, for this is all arithmetic: of ``ahead`` the ``count`` numbers from
    ``begin``, and as many in every other one of the ``runs`` that begin so far ``apart``.
    """
    n = left.shape[1]
    zero = same(left[0, 0], 0.0)
    line = LINE_BYTES // ahead.itemsize
    high, wide = left.shape[0] // 4, right.shape[0] // 4
    lines = max(count + line - 1, 0) // line
    share = runs * lines // (high * (high + 1) // 2 if upper else high * wide) + 1
    done = 0
    for i in range(0, left.shape[0], 4):
        for j in range(i if upper else 0, right.shape[0], 4):
            for at in range(done, min(done + share, runs * lines)):
                prefetch(ahead, begin + at // lines * apart + at % lines * line)
            done += share
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = zero
            s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = zero
            for r in range(n):
                a0, a1, a2, a3 = left[i, r], left[i + 1, r], left[i + 2, r], left[i + 3, r]
                b0, b1, b2, b3 = right[j, r], right[j + 1, r], right[j + 2, r], right[j + 3, r]
                s00, s01, s02, s03 = s00 + a0 * b0, s01 + a0 * b1, s02 + a0 * b2, s03 + a0 * b3
                s10, s11, s12, s13 = s10 + a1 * b0, s11 + a1 * b1, s12 + a1 * b2, s13 + a1 * b3
                s20, s21, s22, s23 = s20 + a2 * b0, s21 + a2 * b1, s22 + a2 * b2, s23 + a2 * b3
                s30, s31, s32, s33 = s30 + a3 * b0, s31 + a3 * b1, s32 + a3 * b2, s33 + a3 * b3
            row = out[i]
            row[j] += s00
            row[j + 1] += s01
            row[j + 2] += s02
            row[j + 3] += s03
            row = out[i + 1]
            row[j] += s10
            row[j + 1] += s11
            row[j + 2] += s12
            row[j + 3] += s13
            row = out[i + 2]
            row[j] += s20
            row[j + 1] += s21
            row[j + 2] += s22
            row[j + 3] += s23
            row = out[i + 3]
            row[j] += s30
            row[j + 1] += s31
            row[j + 2] += s32
            row[j + 3] += s33


def mirror(upper: Array, out: Array) -> None:
    """``out`` is symmetric and has the tiles on and above the diagonal of ``upper``, where zeros are below these."""
    np.add(upper, upper.T, out=out)
    whole = len(out) - len(out) % TILE
    for begin, count, size in ((0, whole // TILE, TILE), (whole, 1, len(out) - whole)):
        own, to = (_on_diagonal(array[begin:, begin:], count, size) for array in (upper, out))
        half = np.triu(own)
        to[...] = half + np.triu(half, 1).swapaxes(1, 2)


def _on_diagonal(array: Array, count: int, size: int) -> Array:
    """(count, size, size) the tiles on the diagonal, of which each begins where the one before ends."""
    down, right = array.strides
    return np.lib.stride_tricks.as_strided(array, (count, size, size), (size * (down + right), down, right))
