"""Coordinate descent and Newton steps on faces for a sequence of quadratic models: the loops of
``solvers.quadratic_model``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ..protocol import Array
from .jit import COMPILED, jit, numba

__all__ = ["cycle", "path"]


@jit
def larger(size: float, value: float) -> float:
    """The larger absolute value; ``size`` is not negative."""
    if value < 0.0:
        value = -value
    return value if value > size else size


@jit
def _find_free(v: Array, l1: Array, kink: Array, lower: Array, upper: Array, free: Array) -> int:
    """Which coefficients can move both ways without meeting a kink or a bound, and how many."""
    count = 0
    for j in range(v.shape[0]):
        if (v[j] != kink[j] or l1[j] == 0.0) and lower[j] < v[j] < upper[j]:
            free[count] = j
            count += 1
    return count


@jit
def _target(value: float, l1: float, kink: float, lower: float, upper: float) -> float:
    """argmin_v ½ (v - value)² + l1 |v - kink| within the bounds."""
    away = value - kink
    if away > l1:
        away -= l1
    elif away < -l1:
        away += l1
    else:
        away = 0.0
    v = kink + away
    return lower if v < lower else upper if v > upper else v


@jit
def _cycle(
    v: Array,
    slope: Array,
    hess: Array,
    diagonal: Array,
    l1: Array,
    kink: Array,
    lower: Array,
    upper: Array,
    places: Array,
    count: int,
) -> float:
    """Minimise over some coefficients in turn, in place; by how much the slopes moved at the most."""
    moved = 0.0
    for i in range(count):
        j = places[i]
        curvature = diagonal[j]
        target = _target(v[j] - slope[j] / curvature, l1[j] / curvature, kink[j], lower[j], upper[j])
        if target != v[j]:
            move = target - v[j]
            for k in range(v.shape[0]):
                slope[k] += hess[j, k] * move
            v[j] = target
            moved = larger(moved, move * curvature)
    return moved


@jit
def _factor(A: Array, n: int) -> None:
    """The Cholesky factor L of A = LLᵀ in its lower triangle; its diagonal is 0 from where A is not positive."""
    for i in range(n):
        for j in range(i + 1):
            total = A[i, j]
            for k in range(j):
                total -= A[i, k] * A[j, k]
            if j < i:
                A[i, j] = total / A[j, j]
            elif total > 0.0:
                A[i, i] = np.sqrt(total)
            else:
                for k in range(i, n):
                    A[k, k] = 0.0
                return


@jit
def _solve(L: Array, n: int, x: Array) -> None:
    """x ← (LLᵀ)⁻¹ x."""
    for i in range(n):
        total = x[i]
        for k in range(i):
            total -= L[i, k] * x[k]
        x[i] = total / L[i, i]
    for i in range(n - 1, -1, -1):
        x[i] /= L[i, i]
        for k in range(i):
            x[k] -= L[i, k] * x[i]


@jit
def _face_steps(
    v: Array,
    slope: Array,
    hess: Array,
    l1: Array,
    kink: Array,
    lower: Array,
    upper: Array,
    flat: float,
    free: Array,
    move: Array,
    inner: Array,
) -> bool:
    """Newton steps on the free coefficients, in place, each cut at the first kink or bound; False: a face is flat."""
    p = v.shape[0]
    for _ in range(p + 1):
        count = _find_free(v, l1, kink, lower, upper, free)
        if count == 0:
            return True
        largest = 0.0
        for a in range(count):
            j = free[a]
            away = v[j] - kink[j]
            move[a] = -(slope[j] + (l1[j] if away > 0.0 else -l1[j] if away < 0.0 else 0.0))
            for b in range(a + 1):
                inner[a, b] = hess[j, free[b]]
            largest = larger(largest, inner[a, a])
        _factor(inner, count)
        for a in range(count):
            if not inner[a, a] * inner[a, a] > flat * largest:
                return False
        _solve(inner, count, move)
        step, first, place = 1.0, -1, 0.0  # how far until a coefficient meets its bound, or its kink
        for a in range(count):
            j = free[a]
            if move[a] == 0.0:
                continue
            stop = upper[j] if move[a] > 0.0 else lower[j]
            if l1[j] > 0.0 and (v[j] - kink[j]) * move[a] < 0.0:
                if (kink[j] < stop) == (move[a] > 0.0):
                    stop = kink[j]
            reach = (stop - v[j]) / move[a]
            if reach < step or (reach == step and first < 0):
                step, first, place = reach, a, stop
        for a in range(count):
            j = free[a]
            change = place - v[j] if a == first else step * move[a]
            for k in range(p):
                slope[k] += hess[j, k] * change
            v[j] = place if a == first else v[j] + change
        if first < 0:
            return True
    return True


@jit
def _slope_at(v: Array, theta: Array, grad: Array, hess: Array, slope: Array) -> None:
    """slope ← grad + H (v - θ)."""
    for j in range(v.shape[0]):
        total = 0.0
        for k in range(v.shape[0]):
            total += hess[j, k] * (v[k] - theta[k])
        slope[j] = grad[j] + total


def solve_path(
    theta: Array,
    grad: Array,
    hess: Array,
    l1: Array,
    kink: Array,
    lower: Array,
    upper: Array,
    l2: Array,
    rounds: int,
    cycles: int,
    patience: int,
    flat: float,
    flat_column: float,
    precision: float,
    curved: Array,
    inner: Array,
    work: Array,
    free: Array,
    found: Array,
) -> int:
    """The minimiser of each of the models grad·(v - θ) + ½ (v - θ)ᵀ H (v - θ) + ½ l2 (v - kink)² + l1 |v - kink| within
    bounds, each search starting where the one before ended; how many were ``found``: the next has a flat face.

    ``l1`` to ``l2`` have a row for each model. ``curved``, a copy of H, ``inner``, (p, p), ``work``, (6, p), and
    ``free`` are written over.
    """
    p = theta.shape[0]
    v, before, slope, own, diagonal, move = work[0], work[1], work[2], work[3], work[4], work[5]
    for j in range(p):
        before[j] = theta[j]
    for a in range(l1.shape[0]):
        _slope_at(before, theta, grad, hess, own)
        size, largest, thin = 1e-300, 0.0, True
        for j in range(p):
            curved[j, j] = hess[j, j] + l2[a, j]
            own[j] += l2[a, j] * (before[j] - kink[a, j])
            size = larger(larger(size, own[j]), l1[a, j])
            largest = larger(largest, curved[j, j])
            thin = thin and l1[a, j] == 0.0
        for j in range(p):
            diagonal[j] = curved[j, j]
            v[j] = _target(before[j], 0.0, 0.0, lower[a, j], upper[a, j])
        _slope_at(v, before, own, curved, slope)
        for j in range(p):
            if diagonal[j] <= flat_column * larger(largest, 1e-300):
                diagonal[j] = 1.0
                if thin:
                    slope[j] = 0.0
        lowest, stuck = np.inf, 0
        for _ in range(rounds):
            for turn in range(cycles):
                if turn == 0:
                    count = p
                    for j in range(p):
                        free[j] = j
                else:
                    count = _find_free(v, l1[a], kink[a], lower[a], upper[a], free)
                moved = _cycle(v, slope, curved, diagonal, l1[a], kink[a], lower[a], upper[a], free, count)
                if moved <= precision * size:
                    break
            _slope_at(v, before, own, curved, slope)
            if not _face_steps(v, slope, curved, l1[a], kink[a], lower[a], upper[a], flat, free, move, inner):
                return a
            _slope_at(v, before, own, curved, slope)
            residual, steepest = 0.0, 0.0
            for j in range(p):
                cut = l1[a, j] / diagonal[j]
                target = _target(v[j] - slope[j] / diagonal[j], cut, kink[a, j], lower[a, j], upper[a, j])
                residual = larger(residual, v[j] - target)
                steepest = larger(steepest, diagonal[j])
            residual *= steepest
            if residual <= precision * size:
                break
            stuck = 0 if residual < lowest else stuck + 1
            lowest = residual if residual < lowest else lowest
            if stuck > patience:
                break
        for j in range(p):
            found[a, j] = before[j] = v[j]
    return l1.shape[0]


def _read(dimensions: int) -> object:
    return numba.types.Array(numba.types.float64, dimensions, "C", readonly=True)


@cache
def path() -> Callable[..., int]:
    """:func:`solve_path`, compiled where Numba is there."""
    if not COMPILED:
        return solve_path
    types = numba.types
    vector, matrix = _read(1), _read(2)
    numbers = (types.int64, types.int64, types.int64, types.float64, types.float64, types.float64)
    own = types.float64[:, ::1]
    compiled: Callable[..., int] = jit(
        solve_path, types.int64(vector, vector, *[matrix] * 6, *numbers, own, own, own, types.int64[::1], own)
    )
    return compiled


@cache
def cycle() -> Callable[..., float]:
    """One cycle of coordinate descent over chosen places, compiled where Numba is there."""
    if not COMPILED:
        return _cycle
    types = numba.types
    vector, own = _read(1), types.float64[::1]
    places = types.Array(types.int64, 1, "C", readonly=True)
    compiled: Callable[..., float] = jit(
        _cycle.py_func, types.float64(own, own, _read(2), *[vector] * 5, places, types.int64)
    )
    return compiled
