"""Loss, gradient and Hessian of a few models in one read of a dense matrix: slices of rows are used again while they
are in the cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..protocol import Array
from .jit import COMPILED, EXACT, jit, numba
from .panels import add_tiles, scale, turn
from .pointwise import signature

__all__ = ["FEW", "adder", "either", "read_only", "scale_rows"]

FEW = 8  # models up to which products with one vector each beat one with a narrow matrix


def either(array: Array, other: Array) -> Array:
    """``array`` where both are of one dtype, else ``other``: which of them is known when this is compiled."""
    return array if array.dtype == other.dtype else other


if COMPILED:

    @numba.extending.overload(either, inline="always")
    def _either(array: Array, other: Array) -> Any:
        def first(array: Array, other: Array) -> Any:
            return array

        def second(array: Array, other: Array) -> Any:
            return other

        return first if array.dtype == other.dtype else second


def add_sums(
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
    rows: int,
    gradient: bool,
    value: Array,
    grad_w: Array,
    grad_b: Array,
    grams: Array,
    turned: Array,
    panel: Array,
    second: Array,
    space: Array,
    work: Array,
) -> None:
    """Add to ``value`` (t,), ``grad_w`` (m, d), ``grad_b`` (m,) and, unless empty, ``grams`` the sums over all rows.

    ``grams`` (m, p, p) are on and above the diagonal Σ ℓ″ a aᵀ for each output by itself, a = (x, 1) and zeros up to p.

    X is (n, d), Y (n, q), weight and offset (n,) or empty, W (m, d), b (m,). They are worked on by ``rows``, a divisor
    of n. With ``classes`` > 0 the targets are of each class against the rest. Written over are ``turned`` (d, any), the
    ``panel`` (p, as many), zero beyond a, ``second``, (m, rows) where there are grams and else (1, rows), ``space``
    (m + 2, rows or d if that is more) and ``work`` (2m + q + 1, rows). Products have the precision of X, losses that of
    Y, sums float64.
    """
    n, d = X.shape
    m = len(W)
    q = classes if classes else Y.shape[1]
    weighted, shifted, curved = len(weight) > 0, len(offset) > 0, len(grams) > 0
    one, zero = Y.dtype.type(1), Y.dtype.type(0)
    part, shift = space[m][:d], space[m + 1]
    eta, first, y, weights = work[:m], work[m : 2 * m], work[2 * m : 2 * m + q], work[2 * m + q]
    for i in range(rows):
        weights[i] = one
    for i in range(d):
        shift[i] = zero
    for start in range(0, n, rows):
        A = X[start : start + rows]
        for j in range(m):
            margins = either(eta[j], space[j][:rows])
            np.dot(A, W[j], margins)
            if X.itemsize != Y.itemsize:
                for i in range(rows):
                    eta[j, i] = margins[i]
            if shifted:
                for i in range(rows):
                    eta[j, i] += offset[start + i]
        for j in range(q):
            for i in range(rows):
                own = Y[start + i, 0 if classes else j]
                if classes:
                    own = one if own == j else zero
                y[j, i] = own + own - one if signed else own
        if weighted:
            for i in range(rows):
                weights[i] = weight[start + i]
        pointwise(y, eta, b, weights, parameters, value, grad_b, first, second)
        if not gradient:
            continue
        for j in range(m):
            slope = either(first[j], space[j][:rows])
            if X.itemsize != Y.itemsize:
                for i in range(rows):
                    slope[i] = first[j, i]
            np.dot(slope, A, part)
            for i in range(d):
                grad_w[j, i] += part[i]
        if not curved:
            continue
        for begin in range(0, rows, panel.shape[1]):
            count = min(panel.shape[1], rows - begin)
            if count < panel.shape[1]:
                for j in range(len(panel)):
                    for i in range(count, panel.shape[1]):
                        panel[j, i] = zero
            turn(turned, A, begin, count)
            for j in range(m):
                for i in range(count):
                    panel[d, i] = np.sqrt(second[j, begin + i])
                scale(panel, turned, 0, count, shift, panel[d])
                after = start + rows + begin  # the same rows of the next slice
                add_tiles(panel, panel, grams[j], True, X, after * d, min(count if j == 0 else 0, n - after) * d, 1, 0)


def scale_by_root(X: Array, factor: Array, out: Array) -> None:
    """out = diag(√factor) X."""
    for i in range(X.shape[0]):
        root = np.sqrt(factor[i])
        for j in range(X.shape[1]):
            out[i, j] = X[i, j] * root


def read_only(real: Any, dimensions: int) -> Any:
    return numba.types.Array(real, dimensions, "C", readonly=True)


@cache
def _adder(x: str, y: str) -> Any:
    types = numba.types
    real, precise = numba.from_dtype(np.dtype(x)), numba.from_dtype(np.dtype(y))
    double, own = read_only(numba.float64, 1), numba.float64
    data = (read_only(real, 2), read_only(precise, 2), double, double)
    loss = (types.FunctionType(signature(precise)), own[::1], types.boolean, types.int64)
    out = (types.int64, types.boolean, own[::1], own[:, ::1], own[::1], own[:, :, ::1])
    space = (real[:, ::1], real[:, ::1], precise[:, ::1], real[:, ::1], precise[:, ::1])
    return jit(add_sums, types.void(*data, real[:, ::1], own[::1], *loss, *out, *space))


@cache
def _scale(x: str) -> Any:
    real = numba.from_dtype(np.dtype(x))
    return jit(scale_by_root, numba.types.void(read_only(real, 2), real[::1], real[:, ::1]), fastmath=EXACT)


def adder(X: Array, Y: Array) -> Callable[..., None]:
    """:func:`add_sums`, compiled for the precisions of X and Y."""
    compiled: Callable[..., None] = _adder(X.dtype.char, Y.dtype.char)
    return compiled


def scale_rows(X: Array, factor: Array, out: Array) -> Array:
    """diag(√factor) X, in ``out``."""
    _scale(X.dtype.char)(X, factor, out)
    return out
