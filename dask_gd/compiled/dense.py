"""Loss, gradient and Hessian of a dense matrix in one read of it: a slice of rows is used again while it is in the
cache."""

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
    rank_one: bool,
    value: Array,
    grad_w: Array,
    grad_b: Array,
    grams: Array,
    turned: Array,
    panel: Array,
    diagonal: Array,
    curvature: Array,
    second: Array,
) -> None:
    """Add to ``value`` (t,), ``grad_w`` (m, d), ``grad_b`` (m,) and, unless empty, ``grams`` the sums over all rows.

    ``grams`` (m, p, p) are on and above the diagonal Σ ℓ″ a aᵀ for each output by itself, a = (x, 1) and zeros up to p.
    Unless empty, ``diagonal`` (2, m, d) are Σ ℓ″ x² and Σ ℓ″ x, and ``curvature`` (m,) Σ ℓ″; ``rank_one``: of the
    softmax, second derivative p (1 - p). Written over are ``turned`` (d, any), the ``panel`` (p, as many), zero beyond
    a, and ``second``, (m, rows) where second derivatives are wanted and else (1, rows).

    X is (n, d), Y (n, q), weight and offset (n,) or empty, W (m, d), b (m,). They are worked on by ``rows``, a divisor
    of n. With ``classes`` > 0 the targets are of each class against the rest. Products have the precision of X, losses
    that of Y, sums float64.
    """
    n, d = X.shape
    m = len(W)
    q = classes if classes else Y.shape[1]
    weighted, shifted = len(weight) > 0, len(offset) > 0
    product = np.empty((m, rows), X.dtype)
    eta = either(product, np.empty((m, rows), Y.dtype))
    first = np.empty((m, rows), Y.dtype)
    y = np.empty((q, rows), Y.dtype)
    weights = np.ones(rows, Y.dtype)
    curved = len(grams) > 0
    root = np.empty(rows, X.dtype)
    shift = np.zeros(grams.shape[1], X.dtype)
    part = np.empty((m, d), X.dtype)
    one, zero = Y.dtype.type(1), Y.dtype.type(0)
    for start in range(0, n, rows):
        A = X[start : start + rows]
        if m <= FEW:
            for j in range(m):
                np.dot(A, W[j], product[j])
        else:
            np.dot(W, A.T, product)
        if X.itemsize != Y.itemsize or shifted:
            for j in range(m):
                for i in range(rows):
                    eta[j, i] = product[j, i]
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
        slope = either(first, product)
        if X.itemsize != Y.itemsize:
            for j in range(m):
                for i in range(rows):
                    slope[j, i] = first[j, i]
        if m <= FEW:
            for j in range(m):
                np.dot(slope[j], A, part[j])
        else:
            np.dot(slope, A, part)
        for j in range(m):
            for i in range(d):
                grad_w[j, i] += part[j, i]
        for j in range(len(curvature)):
            total = 0.0
            for i in range(rows):
                if rank_one:
                    second[j, i] *= weights[i] * (one - second[j, i])
                total += second[j, i]
                root[i] = second[j, i]
            curvature[j] += total
            np.dot(root, A, part[j])
            for i in range(d):
                diagonal[1, j, i] += part[j, i]
                part[j, i] = zero
            for i in range(rows):
                for c in range(d):
                    part[j, c] += root[i] * A[i, c] * A[i, c]
            for i in range(d):
                diagonal[0, j, i] += part[j, i]
        if not curved:
            continue
        for begin in range(0, rows, panel.shape[1]):
            count = min(panel.shape[1], rows - begin)
            if count < panel.shape[1]:
                panel[:] = zero
            turn(turned, A, begin, count)
            for j in range(m):
                for i in range(count):
                    panel[d, i] = np.sqrt(second[j, begin + i])
                scale(panel, turned, count, shift, panel[d])
                add_tiles(panel, panel, grams[j], True)


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
    out = (types.int64, types.boolean, types.boolean, own[::1], own[:, ::1], own[::1], own[:, :, ::1])
    space = (real[:, ::1], real[:, ::1], own[:, :, ::1], own[::1], precise[:, ::1])
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
