"""Sums over the rows of a CSR matrix in one read of it: each slice of rows is used twice while it is in the cache.

Coefficients and sums are kept column after column, (d, m), so that an entry of X touches one stretch of memory
whatever the number m of models, and sums are added in the order of the rows: how they are sliced changes no bit.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ..protocol import Array
from .jit import EXACT, jit, numba
from .pointwise import signature
from .walk import prefetch

__all__ = ["add_csr_sums", "padded"]

ENTRIES = 8192  # of a slice: with what is done to them they stay in the L2 cache
NUMBERS = 16384  # margins of a slice at the most


@jit
def margins(data: Array, indices: Array, indptr: Array, start: int, stop: int, W: Array, eta: Array) -> None:
    """eta (m, rows) = Wᵀ Xᵀ of some rows; W (d, m), m is 1, 4 or more."""
    m, flat = np.uint64(eta.shape[0]), W.reshape(-1)
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)  # no index counts from the end
    total = np.empty(m)
    for i in range(start, stop):
        first, end = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        if m == one:
            even, odd = 0.0, 0.0  # two sums, so that one addition need not wait for the other
            j = first
            while j + one < end:
                even += data[j] * flat[np.uint64(indices[j])]
                odd += data[j + one] * flat[np.uint64(indices[j + one])]
                j += two
            if j < end:
                even += data[j] * flat[np.uint64(indices[j])]
            eta[0, i - start] = even + odd
            continue
        if m == four:
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
            j = first + ahead
            while j < end + ahead:
                prefetch(data, j)
                j += line
            j = first + ahead
            while j < end + ahead:
                prefetch(indices, j)
                j += index_line
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
    start: int,
    rows: int,
    Y: Array,
    weight: Array,
    offset: Array,
    b: Array,
    pointwise: Any,
    parameters: Array,
    k: int,
    signed: bool,
    one_vs_rest: bool,
    rank_one: bool,
    order: int,
    eta: Array,
    y: Array,
    losses: Array,
    value: Array,
    sum_b: Array,
    factors: Array,
    second: Array,
) -> None:
    """From the products of some ``rows`` with the coefficients, in ``eta``, to the ``factors`` of the rows in the sums
    and, of the Hessian's diagonal, to those of their squares, in ``second``; what of the sums needs no X is added.

    The arrays may be longer than the rows are many: the losses at their ends mean nothing, and are not added.
    """
    columns, q, m = len(b), len(y), len(value) * k
    weighted = len(weight) > 0
    for j in range(columns):
        for i in range(rows):
            eta[j, i] += b[j]
    if len(offset):
        for j in range(m):
            for i in range(rows):
                eta[j, i] += offset[start + i]
    for j in range(q):
        for i in range(rows):
            y[j, i] = 2.0 * Y[start + i, j] - 1.0 if signed else Y[start + i, j]
    for j in range(0, m, 1 if one_vs_rest else k):
        if one_vs_rest:
            for i in range(rows):
                own = 1.0 if Y[start + i, 0] == j % k else 0.0
                y[0, i] = 2.0 * own - 1.0 if signed else own
        last = j + (1 if one_vs_rest else k)
        pointwise(y, eta[j:last], parameters, losses, factors[j:last], second[j:last])
        total = 0.0
        for i in range(rows):
            if not weighted:
                total += losses[i]
            elif weight[start + i] > 0.0:
                total += weight[start + i] * losses[i]
        value[j // k] += total
    if order == 2:
        for j in range(m):
            for i in range(rows):
                if rank_one:
                    second[j, i] -= second[j, i] * second[j, i]
                factors[m + j, i] = second[j, i]
    elif order == 3:
        for j in range(0, m, k):
            for i in range(rows):
                along = 0.0
                if rank_one:
                    for a in range(j, j + k):
                        along += second[a, i] * eta[m + a, i]
                for a in range(j, j + k):
                    factors[m + a, i] = second[a, i] * (eta[m + a, i] - along)
    if weighted:
        for j in range(len(sum_b)):
            for i in range(rows):
                factors[j, i] *= weight[start + i]
        if order == 2:
            for j in range(m):
                for i in range(rows):
                    second[j, i] *= weight[start + i]
    for j in range(len(sum_b)):
        total = 0.0
        for i in range(rows):
            total += factors[j, i]
        sum_b[j] += total


def csr_sums(
    data: Array,
    indices: Array,
    indptr: Array,
    Y: Array,
    weight: Array,
    offset: Array,
    W: Array,
    b: Array,
    find_factors: Any,
    pointwise: Any,
    parameters: Array,
    k: int,
    signed: bool,
    one_vs_rest: bool,
    rank_one: bool,
    order: int,
    eta: Array,
    y: Array,
    losses: Array,
    value: Array,
    sum_b: Array,
    factors: Array,
    second: Array,
    sum_w: Array,
    sum_ww: Array,
) -> None:
    """:func:`add_csr_sums`, with :func:`factors_of_rows` and with the arrays that slices of rows need."""
    rows = len(losses)
    for start in range(0, len(indptr) - 1, rows):
        stop = min(start + rows, len(indptr) - 1)
        margins(data, indices, indptr, start, stop, W, eta)
        find_factors(
            start,
            stop - start,
            Y,
            weight,
            offset,
            b,
            pointwise,
            parameters,
            k,
            signed,
            one_vs_rest,
            rank_one,
            order,
            eta,
            y,
            losses,
            value,
            sum_b,
            factors,
            second,
        )
        if order > 0:
            transposed(data, indices, indptr, start, stop, factors, False, sum_w)
        if order == 2:
            transposed(data, indices, indptr, start, stop, second, True, sum_ww)


def _read_only(dtype: Any, dimensions: int) -> Any:
    return numba.types.Array(numba.from_dtype(np.dtype(dtype)), dimensions, "C", readonly=True)


def _of_rows() -> tuple[Any, ...]:
    """The types of what the factors of rows come from, and go to."""
    types = numba.types
    own = types.float64
    data = (_read_only("d", 2), _read_only("d", 1), _read_only("d", 1))
    loss = (types.FunctionType(signature(own)), own[::1], types.int64, *[types.boolean] * 3, types.int64)
    found = (own[:, ::1], own[:, ::1], own[::1], own[::1], own[::1], own[:, ::1], own[:, ::1])
    return data, loss, found


@cache
def _factors() -> Any:
    types = numba.types
    data, loss, found = _of_rows()
    return jit(
        factors_of_rows,
        types.void(types.int64, types.int64, *data, types.float64[::1], *loss, *found),
        fastmath=EXACT,
    )


@cache
def _compiled(x: str, index: str) -> Any:
    types = numba.types
    own = types.float64
    data, loss, found = _of_rows()
    matrix = (_read_only(x, 1), _read_only(index, 1), _read_only(index, 1))
    function = types.void(types.int64, types.int64, *data, own[::1], *loss, *found)
    arguments = (*matrix, *data, own[:, ::1], own[::1], types.FunctionType(function), *loss, *found)
    return jit(csr_sums, types.void(*arguments, own[:, ::1], own[:, ::1]), fastmath=EXACT)


def padded(columns: int) -> int:
    """How many columns an array must have of which so many count."""
    return columns if columns <= 1 else -(-columns // 4) * 4


def add_csr_sums(
    X: Any,
    Y: Array,
    weight: Array,
    offset: Array,
    W: Array,
    b: Array,
    pointwise: Any,
    parameters: Array,
    k: int,
    signed: bool,
    one_vs_rest: bool,
    rank_one: bool,
    order: int,
    value: Array,
    sum_b: Array,
    sum_w: Array,
    sum_ww: Array,
) -> None:
    """Add to ``value`` (t,), ``sum_b`` (parts · m,), ``sum_w`` and ``sum_ww`` (d, ·) the sums over all rows; m = t k.

    Y is (n, q), weight and offset (n,) or empty, W (d, ·), b as long as W has columns that count. ``order`` is 0 for
    the value alone, 1 for the gradient, 2 for the gradient and the diagonal of the Hessian (``sum_w`` holds Σ D x
    behind the gradient, ``sum_ww`` Σ D x²), 3 for the gradient and the Hessian times a direction, whose coefficients
    stand behind those of the points in W and b (``sum_w`` holds it behind the gradient).
    """
    n, wide = X.shape[0], W.shape[1]
    rows = min(ENTRIES * n // max(X.nnz, 1), NUMBERS // max(wide, 1), n)
    rows = max(rows, min(16, n), 1)
    # What only fills up the columns stays 0.
    eta, factors = np.zeros((wide, rows)), np.zeros((sum_w.shape[1], rows))
    second = np.zeros((max(sum_ww.shape[1], len(value) * k), rows))
    y, losses = np.zeros((Y.shape[1], rows)), np.zeros(rows)
    _compiled(X.data.dtype.char, X.indices.dtype.char)(
        X.data,
        X.indices,
        X.indptr,
        Y,
        weight,
        offset,
        W,
        b,
        _factors(),
        pointwise,
        parameters,
        k,
        signed,
        one_vs_rest,
        rank_one,
        order,
        eta,
        y,
        losses,
        value,
        sum_b,
        factors,
        second,
        sum_w,
        sum_ww,
    )
