"""Sums over the rows of a CSR matrix in one read of it: each slice of rows is used twice while it is in the cache.

Coefficients and sums are kept column after column, (d, m), so that an entry of X touches one stretch of memory
whatever the number m of models, and sums are added in the order of the rows: how they are sliced changes no bit.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ..memory import kept_memory, recycled
from ..protocol import Array
from .jit import as_argument, jit, numba
from .pointwise import signature
from .prefetch import prefetch

__all__ = ["add_csr_sums", "csr_gram", "csr_moments", "padded"]

ENTRIES = 16384  # of a slice: with what is done to them they stay in the L2 cache
TILE = 64  # rows and columns of a Gram matrix that are turned over at a time
NUMBERS = 16384  # margins of a slice at the most
KEPT = 0.5  # of Σ s x², that a subtraction must leave to be exact but for a bit


@jit
def margins(data: Array, indices: Array, indptr: Array, start: int, stop: int, W: Array, eta: Array) -> None:
    """eta (m, rows) = Wᵀ Xᵀ of some rows; W (d, m), m is 1, 2, 4 or more."""
    m, flat = np.uint64(eta.shape[0]), W.reshape(-1)
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)  # no index counts from the end
    total = np.empty(m)
    for i in range(start, stop):
        first, end = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        if m == one:
            even, odd = 0.0, 0.0  # two sums, so that one addition need not wait for the other
            at = first
            while at + one < end:
                even += data[at] * flat[np.uint64(indices[at])]
                odd += data[at + one] * flat[np.uint64(indices[at + one])]
                at += two
            if at < end:
                even += data[at] * flat[np.uint64(indices[at])]
            eta[0, i - start] = even + odd
            continue
        if m == two:
            even, odd = 0.0, 0.0
            for j in range(first, end):
                x, c = data[j], np.uint64(indices[j]) * two
                even += x * flat[c]
                odd += x * flat[c + one]
            total[0], total[1] = even, odd
        elif m == four:
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for j in range(first, end):
                x, c = data[j], np.uint64(indices[j]) * four
                s0 += x * flat[c]
                s1 += x * flat[c + one]
                s2 += x * flat[c + two]
                s3 += x * flat[c + three]
            total[0], total[1], total[2], total[3] = s0, s1, s2, s3
        else:
            total[:] = 0.0
            for j in range(first, end):
                x, c = data[j], np.uint64(indices[j]) * m
                for a in range(m):
                    total[a] += x * flat[c + a]
        for a in range(m):
            eta[a, i - start] = total[a]


@jit
def transposed(
    data: Array, indices: Array, indptr: Array, start: int, stop: int, factors: Array, squared: bool, out: Array
) -> None:
    """Add to ``out`` (d, m) the products of some rows, or of their squares, with ``factors`` (m, rows).

    Meanwhile as many entries as those of these rows begin to come to the cache from behind them.
    """
    m, flat = np.uint64(factors.shape[0]), out.reshape(-1)
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    ahead, total = np.uint64(indptr[stop] - indptr[start]), np.uint64(len(data))
    line, index_line = np.uint64(64 // data.itemsize), np.uint64(64 // indices.itemsize)
    own = np.empty(m)
    for i in range(start, stop):
        first, end = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        if end + ahead < total:
            at = first + ahead
            while at < end + ahead:
                prefetch(data, at)
                at += line
            at = first + ahead
            while at < end + ahead:
                prefetch(indices, at)
                at += index_line
        for a in range(m):
            own[a] = factors[a, i - start]
        if m == one and not squared:
            f0 = own[0]
            for j in range(first, end):
                flat[np.uint64(indices[j])] += f0 * data[j]
        elif m == one:
            f0 = own[0]
            for j in range(first, end):
                x = data[j] * 1.0
                flat[np.uint64(indices[j])] += f0 * (x * x)
        elif m == two:
            f0, f1 = own[0], own[1]
            for j in range(first, end):
                x, c = data[j] * 1.0, np.uint64(indices[j]) * two
                x = x * x if squared else x
                flat[c] += x * f0
                flat[c + one] += x * f1
        elif m == four:
            f0, f1, f2, f3 = own[0], own[1], own[2], own[3]
            for j in range(first, end):
                x, c = data[j] * 1.0, np.uint64(indices[j]) * four
                x = x * x if squared else x
                flat[c] += x * f0
                flat[c + one] += x * f1
                flat[c + two] += x * f2
                flat[c + three] += x * f3
        else:
            for j in range(first, end):
                x, c = data[j] * 1.0, np.uint64(indices[j]) * m
                x = x * x if squared else x
                for a in range(m):
                    flat[c + a] += x * own[a]


def factors_of_rows(
    Y: Array,
    weight: Array,
    offset: Array,
    start: int,
    b: Array,
    c: Array,
    pointwise: Any,
    parameters: Array,
    signed: bool,
    classes: int,
    rank_one: bool,
    order: int,
    y: Array,
    s: Array,
    eta: Array,
    value: Array,
    grad_b: Array,
    curved_b: Array,
    factors: Array,
    second: Array,
) -> None:
    """From the products of some rows with the coefficients, in ``eta``, to the ``factors`` of these rows in the sums
    and, of the Hessian's diagonal, to those of their squares, in ``second``; what of the sums needs no X is added."""
    m, rows = len(b), len(s)
    if len(weight):
        for i in range(rows):
            s[i] = weight[start + i]
    if len(offset):
        for j in range(m):
            for i in range(rows):
                eta[j, i] += offset[start + i]
    for j in range(len(y)):
        for i in range(rows):
            own = Y[start + i, 0 if classes else j]
            if classes:
                own = 1.0 if own == j else 0.0
            y[j, i] = own + own - 1.0 if signed else own
    pointwise(y, eta[:m], b, s, parameters, value, grad_b, factors[:m], second[:m])
    if order == 2:
        for j in range(m):
            total = 0.0
            for i in range(rows):
                if rank_one:
                    second[j, i] *= s[i] * (1.0 - second[j, i])
                factors[m + j, i] = second[j, i]
                total += second[j, i]
            curved_b[j] += total
    elif order == 3:
        k = m // len(value)
        for j in range(m):
            first = j - j % k
            total = 0.0
            for i in range(rows):
                along = eta[m + j, i] + c[j]
                if rank_one:
                    for a in range(first, first + k):
                        along -= second[a, i] * (eta[m + a, i] + c[a])
                    along *= s[i]
                factors[m + j, i] = second[j, i] * along
                total += factors[m + j, i]
            curved_b[j] += total


def csr_sums(
    data: Array,
    indices: Array,
    indptr: Array,
    Y: Array,
    weight: Array,
    offset: Array,
    begin: int,
    end: int,
    W: Array,
    b: Array,
    c: Array,
    find_factors: Any,
    pointwise: Any,
    parameters: Array,
    signed: bool,
    classes: int,
    rank_one: bool,
    order: int,
    y: Array,
    s: Array,
    eta: Array,
    value: Array,
    grad_b: Array,
    curved_b: Array,
    factors: Array,
    second: Array,
    sum_w: Array,
    sum_ww: Array,
    curvature: Array,
) -> None:
    """:func:`add_csr_sums` over the rows from ``begin`` to ``end``, as many at a time as fit the arrays for them."""
    rows = len(s)
    for start in range(begin, end, rows):
        margins(data, indices, indptr, start, start + rows, W, eta)
        find_factors(
            Y,
            weight,
            offset,
            start,
            b,
            c,
            pointwise,
            parameters,
            signed,
            classes,
            rank_one,
            order,
            y,
            s,
            eta,
            value,
            grad_b,
            curved_b,
            factors,
            second,
        )
        for power in range(1, 1 + min(order, 1) + (order == 2)):  # one call, which is compiled once
            of_rows, out = (second, sum_ww) if power == 2 else (factors, sum_w)
            transposed(data, indices, indptr, start, start + rows, of_rows, power == 2, out)
        for j in range(len(curvature)):
            for i in range(rows):
                curvature[j, start + i] = second[j, i]


def _read_only(dtype: Any, dimensions: int) -> Any:
    return numba.types.Array(numba.from_dtype(np.dtype(dtype)), dimensions, "C", readonly=True)


def _types() -> tuple[Any, ...]:
    """Of what the factors of rows come from and go to."""
    types = numba.types
    own = types.float64
    data = (_read_only("d", 2), _read_only("d", 1), _read_only("d", 1), types.int64)
    loss = (types.FunctionType(signature(own)), own[::1], types.boolean, types.int64, types.boolean, types.int64)
    found = (own[:, ::1], own[::1], own[:, ::1], own[::1], own[::1], own[::1], own[:, ::1], own[:, ::1])
    return data, (own[::1], own[::1]), loss, found


@cache
def _factors() -> Any:
    data, points, loss, found = _types()
    return as_argument(jit(factors_of_rows, numba.types.void(*data, *points, *loss, *found)))


@cache
def _compiled(x: str, index: str) -> Any:
    types = numba.types
    data, points, loss, found = _types()
    matrix, dense = (_read_only(x, 1), _read_only(index, 1), _read_only(index, 1)), types.float64[:, ::1]
    function = types.FunctionType(types.void(*data, *points, *loss, *found))
    arguments = (*matrix, *data, types.int64, dense, *points, function, *loss, *found, dense, dense, dense)
    return jit(csr_sums, types.void(*arguments))


def padded(columns: int) -> int:
    """How many columns an array must have of which so many count."""
    return columns if columns <= 2 else -(-columns // 4) * 4


def add_csr_sums(
    X: Any,
    Y: Array,
    weight: Array,
    offset: Array,
    W: Array,
    b: Array,
    c: Array,
    twin: Any,
    classes: int,
    order: int,
    value: Array,
    grad_b: Array,
    curved_b: Array,
    sum_w: Array,
    sum_ww: Array,
    curvature: Array,
) -> None:
    """Add to ``value`` (t,), ``grad_b`` (m,), ``sum_w`` (d, ·) and what else the ``order`` asks for the sums over rows.

    Parameters
    ----------
    X : csr_array of shape (n, d)
    Y, weight, offset : (n, q), and (n,) or empty
    W, b, c : (d, ·) coefficients, column by column and :func:`padded` with zeros, (m,) and (m,)
    twin : Twin
        Of the loss, for float64.
    classes : int
        Above 0: the targets are of each class against the rest.
    order : {0, 1, 2, 3}
        0: the value alone; 1: the gradient; 2: as well the diagonal of the Hessian: Σ D in ``curved_b`` (m,), Σ D x in
        ``sum_w`` behind the gradient, Σ D x² in ``sum_ww`` (d, ·); 3: the gradient, and the Hessian times a direction
        in ``curved_b`` and in ``sum_w`` behind the gradient. W holds the direction behind the points, c its intercepts.
    curvature : (m, n) or empty
        Filled with the second derivatives, as the twin has them.
    """
    n, q, wide, m = X.shape[0], classes or Y.shape[1], W.shape[1], len(b)
    full = max(min(ENTRIES * n // max(X.nnz, 1), NUMBERS // wide), 16)
    compiled = _compiled(X.data.dtype.char, X.indices.dtype.char)
    matrix = X.data, X.indices, X.indptr.astype(X.indices.dtype, copy=False)
    whole = n - n % full
    for begin, end, rows in ((0, whole, full), (whole, n, n - whole)):
        if begin == end:
            continue
        y, s, eta, factors, second = (
            np.zeros((q, rows)),
            np.ones(rows),
            np.empty((wide, rows)),
            np.zeros((max(sum_w.shape[1], m), rows)),  # columns that only fill up stay 0
            np.zeros((max(sum_ww.shape[1], m) if order > 1 or len(curvature) else 1, rows)),
        )
        found = (y, s, eta, value, grad_b, curved_b, factors, second, sum_w, sum_ww, curvature)
        loss = (twin.argument, twin.parameters, twin.signed, classes, twin.rank_one, order)
        compiled(*matrix, Y, weight, offset, begin, end, W, b, c, _factors(), *loss, *found)


def column_sums(data: Array, indices: Array, indptr: Array, weight: Array, sums: Array) -> None:
    """Σ s x and Σ s x² of each column, in ``sums`` (d, 2)."""
    weighted = len(weight) > 0
    for i in range(len(indptr) - 1):
        s = weight[i] if weighted else 1.0
        for j in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            column = np.uint64(indices[j])
            x = np.float64(data[j])
            sums[column, 0] += s * x
            sums[column, 1] += s * x * x


def centred_sums(data: Array, indices: Array, indptr: Array, weight: Array, mean: Array, sums: Array) -> None:
    """Σ s and Σ s (x - mean)² over the stored entries of each column, in ``sums`` (d, 2)."""
    weighted = len(weight) > 0
    for i in range(len(indptr) - 1):
        s = weight[i] if weighted else 1.0
        for j in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            column = np.uint64(indices[j])
            away = data[j] - mean[column]
            sums[column, 0] += s
            sums[column, 1] += s * (away * away)


@cache
def _column_sums(x: str, index: str) -> Any:
    matrix = (_read_only(x, 1), _read_only(index, 1), _read_only(index, 1))
    return jit(column_sums, numba.types.void(*matrix, _read_only("d", 1), numba.float64[:, ::1]))


@cache
def _centred_sums(x: str, index: str) -> Any:
    own = numba.float64
    matrix = (_read_only(x, 1), _read_only(index, 1), _read_only(index, 1))
    return jit(centred_sums, numba.types.void(*matrix, _read_only("d", 1), own[::1], own[:, ::1]))


def csr_moments(X: Any, weight: Array, total: float) -> tuple[Array, Array]:
    """Mean and Σ s (x - mean)² of each column of a CSR array; ``weight`` may be empty, ``total`` is its sum.

    Of sparse columns Σ s x² - total mean² is exact but for one bit; where it is not, X is read again.
    """
    of = X.data.dtype.char, X.indices.dtype.char
    matrix = X.data, X.indices, X.indptr.astype(X.indices.dtype, copy=False), weight
    d = X.shape[1]
    sums = kept_memory("columns", (d, 2), np.float64)
    sums[:] = 0.0
    _column_sums(*of)(*matrix, sums)
    mean, m2 = recycled((d,), np.float64), recycled((d,), np.float64)
    np.divide(sums[:, 0], total, out=mean)
    np.multiply(mean, mean, out=m2)
    m2 *= -total
    m2 += sums[:, 1]
    if (m2 >= KEPT * sums[:, 1]).all() and np.isfinite(m2).all():
        return mean, m2
    sums[:] = 0.0
    _centred_sums(*of)(*matrix, mean, sums)
    return mean, sums[:, 1] + np.maximum(total - sums[:, 0], 0.0) * mean * mean


def gram(data: Array, indices: Array, indptr: Array, factor: Array, out: Array) -> None:
    """Add Xᵀ diag(factor) X to ``out`` (d, d), which is 0: every pair of entries of a row once, on one of its sides."""
    d, flat = np.uint64(len(out)), out.reshape(-1)
    for i in range(len(indptr) - 1):
        end = np.uint64(indptr[i + 1])
        for j in range(np.uint64(indptr[i]), end):
            x, row = factor[i] * data[j], np.uint64(indices[j]) * d
            for other in range(j, end):
                flat[row + np.uint64(indices[other])] += x * data[other]
    for above in range(0, len(out), TILE):  # the sums of both halves in both, tile by tile
        for left in range(0, above + 1, TILE):
            for i in range(above, min(above + TILE, len(out))):
                for j in range(left, min(left + TILE, i)):
                    both = out[i, j] + out[j, i]
                    out[i, j], out[j, i] = both, both


@cache
def _gram(x: str, index: str) -> Any:
    own = numba.float64
    matrix = (_read_only(x, 1), _read_only(index, 1), _read_only(index, 1))
    return jit(gram, numba.types.void(*matrix, _read_only("d", 1), own[:, ::1]))


def csr_gram(X: Any, factor: Array) -> Array:
    """Xᵀ diag(factor) X in float64, (d, d), of a canonical CSR array; products of a row are added one by one."""
    out = np.zeros((X.shape[1], X.shape[1]))
    compiled = _gram(X.data.dtype.char, X.indices.dtype.char)
    compiled(X.data, X.indices, X.indptr.astype(X.indices.dtype, copy=False), factor, out)
    return out
