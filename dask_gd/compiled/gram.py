"""Products of columns: rows are turned over into panels of columns, and products of short vectors summed."""

from __future__ import annotations

import numpy as np

from ..protocol import Array
from .elementary import same
from .jit import jit

__all__ = ["add_tiles", "fill", "new_panel", "padded"]

TILE = 4  # products of so many columns with so many others at a time
MOST_ROWS = 400  # of a panel: enough to hide the sums at the end of a tile
PANEL_BYTES = 2**19  # fit the second cache


def padded(columns: int) -> int:
    """So many columns and those that fill the last tile."""
    return -(-columns // TILE) * TILE


def new_panel(columns: int, dtype: np.dtype) -> Array:
    """Zeros for a panel of so many columns, in rows of an odd number of vectors: caches dislike powers of two."""
    rows = min(max(PANEL_BYTES // (columns * dtype.itemsize), 64), MOST_ROWS)
    return np.zeros((columns, (rows // 8 | 1) * 8), dtype)


@jit
def fill(panel: Array, first: int, X: Array, start: int, count: int, shift: Array, root: Array) -> None:
    """Rows ``first`` … of a panel: the columns of some rows of X, less the shift, times the root."""
    r = 0
    while r + 4 <= count:  # so many neighbours at once are stored
        s0, s1, s2, s3 = root[r], root[r + 1], root[r + 2], root[r + 3]
        for j in range(X.shape[1]):
            s = shift[first + j]
            panel[first + j, r] = s0 * (X[start + r, j] - s)
            panel[first + j, r + 1] = s1 * (X[start + r + 1, j] - s)
            panel[first + j, r + 2] = s2 * (X[start + r + 2, j] - s)
            panel[first + j, r + 3] = s3 * (X[start + r + 3, j] - s)
        r += 4
    while r < count:
        for j in range(X.shape[1]):
            panel[first + j, r] = root[r] * (X[start + r, j] - shift[first + j])
        r += 1


@jit
def add_tiles(panel: Array, gram: Array) -> None:
    """gram += panel · panelᵀ, in its tiles on and above the diagonal; rows in fours."""
    p, n = panel.shape
    zero = same(panel[0, 0], 0.0)
    for i in range(0, p, 4):
        for j in range(i, p, 4):
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = zero
            s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = zero
            for r in range(n):
                a0, a1, a2, a3 = panel[i, r], panel[i + 1, r], panel[i + 2, r], panel[i + 3, r]
                b0, b1, b2, b3 = panel[j, r], panel[j + 1, r], panel[j + 2, r], panel[j + 3, r]
                s00, s01, s02, s03 = s00 + a0 * b0, s01 + a0 * b1, s02 + a0 * b2, s03 + a0 * b3
                s10, s11, s12, s13 = s10 + a1 * b0, s11 + a1 * b1, s12 + a1 * b2, s13 + a1 * b3
                s20, s21, s22, s23 = s20 + a2 * b0, s21 + a2 * b1, s22 + a2 * b2, s23 + a2 * b3
                s30, s31, s32, s33 = s30 + a3 * b0, s31 + a3 * b1, s32 + a3 * b2, s33 + a3 * b3
            row = gram[i]
            row[j] += s00
            row[j + 1] += s01
            row[j + 2] += s02
            row[j + 3] += s03
            row = gram[i + 1]
            row[j] += s10
            row[j + 1] += s11
            row[j + 2] += s12
            row[j + 3] += s13
            row = gram[i + 2]
            row[j] += s20
            row[j + 1] += s21
            row[j + 2] += s22
            row[j + 3] += s23
            row = gram[i + 3]
            row[j] += s30
            row[j + 1] += s31
            row[j + 2] += s32
            row[j + 3] += s33
