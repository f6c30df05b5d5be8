"""Sums of products over the rows of an array on a device: few calls, each of many rows."""

from __future__ import annotations

from typing import Any

from ..arrays import namespace
from .rows import MAX_ROWS


def cross(A: Any, B: Any) -> Any:
    """AᵀB in float64: sums over no more than ``MAX_ROWS`` rows in the precision of A, and those added in float64.

    The number of rows is a multiple of ``MAX_ROWS``, or below it.
    """
    xp = namespace(A)
    n = A.shape[0]
    groups = max(n // MAX_ROWS, 1) if A.dtype != xp.float64 else 1
    A, B = (xp.reshape(a, (groups, n // groups, a.shape[1])) for a in (A, B))
    return xp.sum(xp.matmul(xp.matrix_transpose(A), B), axis=0, dtype=xp.float64)


def weighted_cross(X: Any, weight: Any) -> Any:
    """Xᵀ diag(weight) X, symmetric to the last bit; weights of any sign."""
    product = cross(X, X * weight[:, None])
    return (product + product.T) / 2
