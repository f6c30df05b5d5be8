"""The walk over rows, one at a time: machine code where Numba is there, the same Python where it is not."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..protocol import Array
from .jit import COMPILED, jit, numba
from .prefetch import prefetch

__all__ = ["walk_rows", "walker"]

AHEAD = 16  # rows in a random order come from all over the memory: ask for them so many rows before they are needed
RESET = 1e-9  # below this the common scale of the coefficients is multiplied out
STEEPEST = 1e12  # no slope of a loss counts for more


@jit
def loss_value(code: int, parameter: float, y: float, p: float) -> float:
    """ℓ(y, p); y = ±1 of a classifier. The codes are those of ``epoch.CODES``."""
    if code == 0:  # hinge
        return max(parameter - y * p, 0.0)
    if code == 1:  # squared hinge
        gap = max(1.0 - y * p, 0.0)
        return gap * gap
    if code == 2:  # logistic
        z = y * p
        return math.log1p(math.exp(-abs(z))) + max(-z, 0.0)
    if code == 3:  # modified Huber
        z = y * p
        if z < -1.0:
            return -4.0 * z
        gap = max(1.0 - z, 0.0)
        return gap * gap
    r = abs(p - y)
    if code == 4:  # squared error
        return 0.5 * r * r
    if code == 5:  # Huber
        return 0.5 * r * r if r <= parameter else parameter * (r - 0.5 * parameter)
    gap = max(r - parameter, 0.0)
    return gap if code == 6 else gap * gap  # epsilon insensitive, and squared


@jit
def loss_slope(code: int, parameter: float, y: float, p: float) -> float:
    """∂ℓ/∂p, at a kink the slope of the side where the loss is not 0."""
    if code == 0:
        return -y if y * p <= parameter else 0.0
    if code == 1:
        return -2.0 * y * max(1.0 - y * p, 0.0)
    if code == 2:
        z = y * p
        e = math.exp(-abs(z))
        return -y * (e if z > 0.0 else 1.0) / (1.0 + e)
    if code == 3:
        return -2.0 * y * min(max(1.0 - y * p, 0.0), 2.0)
    r = p - y
    if code == 4:
        return r
    if code == 5:
        return min(max(r, -parameter), parameter)
    if code == 6:
        return 1.0 if r > parameter else (-1.0 if -r > parameter else 0.0)
    gap = max(abs(r) - parameter, 0.0)
    return 2.0 * gap if r > 0.0 else -2.0 * gap


def walk_rows(
    values: Array,
    indices: Array,
    indptr: Array,
    width: int,
    y: Array,
    weight: Array,
    offset: Array,
    order: Array,
    w: Array,
    mean: Array,
    pull: Array,
    state: Array,
    code: int,
    parameter: float,
    schedule: int,
    eta: float,
    power: float,
    alpha: float,
    average: int,
    l1: float,
    l2: float,
    fit_intercept: bool,
) -> None:
    """One epoch of stochastic gradient descent over ``order``, in place.

    ``values`` are the rows of a dense matrix of ``width`` columns, one after the other; with ``width`` 0 those of a
    CSR matrix with ``indices`` and ``indptr``. ``weight`` and ``offset`` may be empty. ``w``, ``mean`` and ``pull``
    are (d,); ``state`` holds intercept, mean of intercepts, iterates in the means, L1 pull so far, steps plus one, and
    the sum of losses. The schedules are those of ``epoch.SCHEDULES``.

    The coefficients are ``scale · w``, so that a shrinkage is one product; their mean is ``(mean + a w) / c`` (Bottou,
    *Stochastic Gradient Descent Tricks*, 2012, sec. 5.1). L1 pulls what a row has in it by all that it has missed
    (Tsuruoka, Tsujii & Ananiadou, *Stochastic Gradient Descent Training for L1-regularized Log-linear Models with
    Cumulative Penalty*, 2009).
    """
    dense = width > 0
    weighted, shifted = weight.shape[0] > 0, offset.shape[0] > 0
    n = order.shape[0]
    line = 64 // values.itemsize
    b, mean_b, averaged, pulled, t, total = state[0], state[1], state[2], state[3], state[4], state[5]
    scale, a, c = 1.0, 0.0, 1.0
    first = 1.0 / (alpha * math.sqrt(1.0 / math.sqrt(alpha))) if schedule == 1 else 0.0  # Bottou's first step
    for k in range(n):
        if COMPILED and k + AHEAD < n:
            i = order[k + AHEAD]
            prefetch(y, i)
            if dense:
                start = i * width
                for j in range(start, start + width, line):
                    prefetch(values, j)
                prefetch(values, start + width - 1)
            else:
                prefetch(values, indptr[i])
                prefetch(indices, indptr[i])
        i = order[k]
        p = 0.0
        if dense:
            start = i * width
            stop = start + width
            for j in range(width):
                p += values[start + j] * w[j]
        else:
            start, stop = indptr[i], indptr[i + 1]
            for j in range(start, stop):
                p += values[j] * w[indices[j]]
        p = p * scale + b
        if shifted:
            p += offset[i]
        s = weight[i] if weighted else 1.0
        value = loss_value(code, parameter, y[i], p)
        total += s * value
        rate = eta
        if schedule == 1:
            rate = 1.0 / (alpha * (first + t - 1.0))
        elif schedule == 2:
            rate = eta / t**power
        if schedule >= 3:  # passive aggressive
            square = 0.0
            for j in range(start, stop):
                square += values[j] * values[j]
            if schedule == 3:
                if square == 0.0:
                    continue
                step = min(eta, value / square)
            else:
                step = value / (square + 0.5 / eta)
            if code == 0:
                step *= y[i]
            elif y[i] - p < 0.0:
                step = -step
        else:
            step = -rate * min(max(loss_slope(code, parameter, y[i], p), -STEEPEST), STEEPEST)
        step *= s
        if l2 > 0.0:
            scale *= max(0.0, 1.0 - rate * l2)
            if scale < RESET:
                for j in range(w.shape[0]):
                    mean[j] = (mean[j] + a * w[j]) / c
                    w[j] *= scale
                scale, a, c = 1.0, 0.0, 1.0
        move = step / scale
        if step != 0.0:
            if dense:
                for j in range(width):
                    w[j] += move * values[start + j]
            else:
                for j in range(start, stop):
                    w[indices[j]] += move * values[j]
            if a != 0.0:  # what the mean has of w so far, it has of the old one
                for j in range(start, stop):
                    mean[j - start if dense else indices[j]] -= a * move * values[j]
            if fit_intercept:
                b += step
        if l1 > 0.0:
            pulled += rate * l1
            for j in range(start, stop):
                m = j - start if dense else indices[j]
                before = w[m]
                if before > 0.0:
                    w[m] = max(0.0, before - (pulled + pull[m]) / scale)
                elif before < 0.0:
                    w[m] = min(0.0, before + (pulled - pull[m]) / scale)
                pull[m] += scale * (w[m] - before)
                mean[m] -= a * (w[m] - before)
        if 0 < average <= t:
            averaged += 1.0
            if averaged > 1.0:
                c /= 1.0 - 1.0 / averaged
            a += c * scale / averaged
            mean_b += (b - mean_b) / averaged
        t += 1.0
    for j in range(w.shape[0]):
        mean[j] = (mean[j] + a * w[j]) / c
        w[j] *= scale
    state[0], state[1], state[2], state[3], state[4], state[5] = b, mean_b, averaged, pulled, t, total


@cache
def walker(values: Any, indices: Any) -> Callable[..., None]:
    """:func:`walk_rows` for a matrix of these dtypes.

    What is only read may be read-only, as arrays are that came in a message: one signature does for both kinds.
    """
    if not COMPILED:
        return walk_rows
    types = numba.types

    def read(dtype: Any) -> Any:
        return types.Array(numba.from_dtype(np.dtype(dtype)), 1, "C", readonly=True)

    floats, own = read(np.float64), types.float64[::1]
    arrays = (read(values), read(indices), read(indices), types.int64, floats, floats, floats, read(np.int64))
    pace = (types.int64, types.float64, types.int64, *[types.float64] * 3, types.int64, types.float64, types.float64)
    compiled: Callable[..., None] = jit(walk_rows, types.void(*arrays, own, own, own, own, *pace, types.boolean))
    return compiled
