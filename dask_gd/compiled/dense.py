"""Loss and gradient of a dense matrix in one read of it: each slice of rows is used twice while it is in the cache."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ..protocol import Array
from .jit import COMPILED, EXACT, jit, numba
from .pointwise import signature

__all__ = ["FEW", "add_loss_and_gradient", "scale_rows"]

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


def loss_and_gradient(
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
) -> None:
    """Add to ``value`` (t,), ``grad_w`` (m, d) and ``grad_b`` (m,) the sums over all rows.

    X is (n, d), Y (n, q), weight and offset (n,) or empty, W (m, d), b (m,); ``rows`` are worked on at a time. With
    ``classes`` > 0 the targets are of each class against the rest. Products have the precision of X, losses that of Y,
    sums float64.
    """
    n, d = X.shape
    m = len(W)
    q = classes if classes else Y.shape[1]
    weighted, shifted = len(weight) > 0, len(offset) > 0
    rows = min(rows, n)
    products = np.empty(m * rows, X.dtype)
    margins = either(products, np.empty(m * rows, Y.dtype))
    slopes = np.empty(m * rows, Y.dtype)
    targets = np.empty(q * rows, Y.dtype)
    weights = np.ones(rows, Y.dtype)
    none = np.empty((0, 0), Y.dtype)
    part = np.empty((m, d), X.dtype)
    one, zero = Y.dtype.type(1), Y.dtype.type(0)
    for start in range(0, n, rows):
        r = min(rows, n - start)
        A = X[start : start + r]
        product = products[: m * r].reshape(m, r)
        eta = margins[: m * r].reshape(m, r)
        first = slopes[: m * r].reshape(m, r)
        y = targets[: q * r].reshape(q, r)
        if m <= FEW:
            for j in range(m):
                np.dot(A, W[j], product[j])
        else:
            np.dot(W, A.T, product)
        if X.itemsize != Y.itemsize or shifted:
            for j in range(m):
                for i in range(r):
                    eta[j, i] = product[j, i]
                if shifted:
                    for i in range(r):
                        eta[j, i] += offset[start + i]
        for j in range(q):
            for i in range(r):
                own = Y[start + i, 0 if classes else j]
                if classes:
                    own = one if own == j else zero
                y[j, i] = own + own - one if signed else own
        if weighted:
            for i in range(r):
                weights[i] = weight[start + i]
        pointwise(y, eta, b, weights, parameters, value, grad_b, first, none)
        if not gradient:
            continue
        slope = either(first, product)
        if X.itemsize != Y.itemsize:
            for j in range(m):
                for i in range(r):
                    slope[j, i] = first[j, i]
        if m <= FEW:
            for j in range(m):
                np.dot(slope[j], A, part[j])
        else:
            np.dot(slope, A, part)
        for j in range(m):
            for i in range(d):
                grad_w[j, i] += part[j, i]


def scale(X: Array, factor: Array, out: Array) -> None:
    """out = diag(√factor) X."""
    for i in range(X.shape[0]):
        root = np.sqrt(factor[i])
        for j in range(X.shape[1]):
            out[i, j] = X[i, j] * root


def _read_only(real: Any, dimensions: int) -> Any:
    return numba.types.Array(real, dimensions, "C", readonly=True)


@cache
def _loss_and_gradient(x: str, y: str) -> Any:
    types = numba.types
    real, precise = numba.from_dtype(np.dtype(x)), numba.from_dtype(np.dtype(y))
    double, own = _read_only(numba.float64, 1), numba.float64
    data = (_read_only(real, 2), _read_only(precise, 2), double, double)
    loss = (types.FunctionType(signature(precise)), own[::1], types.boolean, types.int64)
    out = (types.int64, types.boolean, own[::1], own[:, ::1], own[::1])
    return jit(loss_and_gradient, types.void(*data, real[:, ::1], own[::1], *loss, *out))


@cache
def _scale(x: str) -> Any:
    real = numba.from_dtype(np.dtype(x))
    return jit(scale, numba.types.void(_read_only(real, 2), real[::1], real[:, ::1]), fastmath=EXACT)


def add_loss_and_gradient(X: Array, Y: Array, *rest: Any) -> None:
    """:func:`loss_and_gradient`, compiled for the precisions of X and Y."""
    _loss_and_gradient(X.dtype.char, Y.dtype.char)(X, Y, *rest)


def scale_rows(X: Array, factor: Array, out: Array) -> Array:
    """diag(√factor) X, in ``out``."""
    _scale(X.dtype.char)(X, factor, out)
    return out
