"""Sums over the rows of arrays on a device: few calls, each of many rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import cast, namespace, numpy_dtype, row_sums, to_numpy, zeros
from ..protocol import Array
from .rows import MAX_ROWS, row_slices

DOUBLE = np.dtype(np.float64)


def cross(A: Any, B: Any) -> Any:
    """AᵀB in float64: sums over no more than ``MAX_ROWS`` rows in the precision of A, and those added in float64.

    The number of rows is a multiple of ``MAX_ROWS``, or below it.
    """
    xp = namespace(A)
    n = A.shape[0]
    groups = n // MAX_ROWS
    if groups < 2 or A.dtype == xp.float64:
        return cast(A.T @ B, DOUBLE)
    A, B = (xp.reshape(a, (groups, MAX_ROWS, a.shape[1])) for a in (A, B))
    return xp.sum(xp.matmul(xp.matrix_transpose(A), B), axis=0, dtype=xp.float64)


def weighted_cross(X: Any, weight: Any) -> Any:
    """Xᵀ diag(weight) X, symmetric to the last bit; weights of any sign."""
    product = cross(X, X * weight[:, None])
    return (product + product.T) / 2


def device_moments(X: Any, weight: Any) -> tuple[Array, Array]:
    """Mean and centred sum of squares of each column."""
    mean, m2 = _moments(X, weight, numpy_dtype(X))
    if numpy_dtype(X) != DOUBLE and not (np.isfinite(mean).all() and np.isfinite(m2).all()):
        mean, m2 = _moments(X, weight, DOUBLE)  # the squares may only be too large for float32
    return mean, m2


def _moments(X: Any, weight: Any, dtype: np.dtype) -> tuple[Array, Array]:
    xp = namespace(X)
    d = X.shape[1]
    shift = cast(X[:1, ...], dtype)  # near the mean: keeps the digits of columns whose mean dwarfs their spread
    first, second = zeros((1, d), X), zeros((1, d), X)
    for rows in row_slices(X, d):
        A = cast(X[rows, ...], dtype) - shift
        s = xp.ones_like(A[:, :1]) if weight is None else cast(weight[rows], dtype)[:, None]
        first += cross(s, A)
        second += cross(s, A * A)
    total = float(X.shape[0] if weight is None else row_sums(weight))
    if total == 0:
        return np.zeros(d), np.zeros(d)
    first /= total
    m2 = xp.maximum(second - total * first * first, 0.0)
    return to_numpy(shift + first)[0], to_numpy(m2)[0]


def centred_products(X: Any, z: Any, weight: Any, mean: Any, z_mean: Any) -> tuple[Array, Array]:
    """Σ s a aᵀ and Σ s a of a = (x - mean, z - z_mean), in float64."""
    xp = namespace(X)
    width = X.shape[1] + z.shape[1]
    products, first = zeros((width, width), X), zeros((1, width), X)
    for rows in row_slices(X, 2 * width):
        A = xp.concat([cast(X[rows, ...], DOUBLE) - mean, z[rows, ...] - z_mean], axis=1)
        s = xp.ones_like(A[:, 0]) if weight is None else cast(weight[rows], DOUBLE)
        products += weighted_cross(A, s)
        first += cross(s[:, None], A)
    return to_numpy(products), to_numpy(first)[0]


def weights_of(labels: list[Any], y: Any, weight: Any) -> dict[Any, float]:
    """The weight of the rows of each label, where there is any."""
    xp = namespace(y)
    found = {}
    for label in labels:
        own = y == label
        found[label] = float(xp.count_nonzero(own) if weight is None else row_sums(xp.where(own, weight, 0)))
    return {label: total for label, total in found.items() if total > 0}
