"""The subproblem of proximal Newton: min_v g·(v - θ) + ½ (v - θ)ᵀH(v - θ) + Ω(v), solved where the fit loop runs.

A separable Ω: coordinate descent finds which coefficients move, then Newton steps on the face of those that do make
the answer exact (Friedman, Hastie & Tibshirani, *J. Stat. Software* 33, 2010; Nocedal & Wright 2006, sec. 16.5). Any
other Ω: accelerated proximal gradient with restarts.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import scipy.linalg

from ..protocol import Array

PATIENCE = 5  # rounds without a lower residual
ROUNDS = 200  # of coordinate descent and face steps
CYCLES = 10  # of coordinate descent between two looks at the face …
FEW_CYCLES = 3  # … and where a cycle is as much work as a look, since it runs in Python
FLAT = 1e-13  # curvature below this share of the largest is none
LINEAR = 1e-11  # a share of the gradient that is not rounding
FLAT_COLUMN = 1e-14  # the same of a column alone
PRECISION = 1e-13  # of the subproblem's own residual, relative
COMPILED_CYCLE = 200  # coefficients from which one model is worth the import of machine code
COMPILED_PATH = 500  # coefficients times models from which many are …
COMPILED_FACE = 512  # … and coefficients beyond which LAPACK factorises faces faster

Pieces: TypeAlias = tuple[Array, Array, Array, Array]  # l1, kink, lower, upper


def minimise_model(theta: Array, grad: Array, hess: Array, omega: Any, precision: float = PRECISION) -> Array:
    """The minimiser v, to about machine precision.

    Parameters
    ----------
    theta, grad : ndarray of shape (p,)
        Where the model was made, and the gradient of the smooth part there.
    hess : ndarray of shape (p, p)
        Positive semi-definite.
    omega : ThetaPenalty
    """
    pieces = omega.pieces()
    if pieces is None:
        return _accelerated(theta, grad, hess, omega, precision)
    return _coordinate_descent(theta, grad, hess, pieces, precision)


def minimise_path(
    theta: Array, grad: Array, hess: Array, pieces: Pieces, l2: Array, precision: float = PRECISION
) -> Array:
    """(n, p) the minimisers v of g·(v - θ) + ½ (v - θ)ᵀH(v - θ) + Ω(v) + ½ Σ l2 (v - kink)² for n separable Ω.

    Each search starts where the one before ended.

    Parameters
    ----------
    theta, grad, hess
        As in :func:`minimise_model`.
    pieces : tuple of four ndarrays of shape (n, p)
        l1, kink, lower, upper of each Ω.
    l2 : ndarray of shape (n, p)
    """
    n, p = l2.shape
    found = np.empty((n, p))
    theta, hess = np.ascontiguousarray(theta), np.ascontiguousarray(hess)
    compiled = None if p > COMPILED_FACE or n * p < COMPILED_PATH else _machine_code()
    start, done = theta, 0
    while done < n:
        slope = grad + hess @ (start - theta)
        if compiled is not None:
            rest = [np.ascontiguousarray(part[done:]) for part in (*pieces, l2)]
            numbers = (ROUNDS, CYCLES, PATIENCE, FLAT, FLAT_COLUMN, precision)
            work = (hess.copy(), np.empty((p, p)), np.empty((6, p)), np.empty(p, dtype=np.int64))
            done += compiled.path()(start, slope, hess, *rest, *numbers, *work, found[done:])
            if done == n:
                break
            if done:
                start = found[done - 1]
                slope = grad + hess @ (start - theta)
        one = (pieces[0][done], pieces[1][done], pieces[2][done], pieces[3][done])
        curved = hess + np.diag(l2[done])
        found[done] = start = _coordinate_descent(start, slope + l2[done] * (start - one[1]), curved, one, precision)
        done += 1
    return found


def _machine_code() -> Any:
    """The module of compiled loops, which imports Numba; None where that is not there."""
    from ..compiled import descent, jit

    return descent if jit.COMPILED else None


def _coordinate_descent(theta: Array, grad: Array, hess: Array, pieces: Pieces, precision: float) -> Array:
    l1, kink, lower, upper = pieces
    hess = np.ascontiguousarray(hess)
    diagonal = np.diag(hess).copy()
    # A column without curvature stays where it is, unless the penalty moves it.
    flat = diagonal <= FLAT_COLUMN * max(float(diagonal.max(initial=0.0)), np.finfo(float).tiny)
    diagonal[flat] = 1.0
    v = np.clip(theta, lower, upper)
    slope = grad + hess @ (v - theta)  # of the quadratic at v
    slope[flat] = 0.0 if not l1.any() else slope[flat]
    size = max(float(np.abs(grad).max(initial=0.0)), float(l1.max(initial=0.0)), np.finfo(float).tiny)
    every = np.arange(len(v))
    code = _machine_code() if len(v) >= COMPILED_CYCLE else None
    turn, cycles = (_turn, FEW_CYCLES) if code is None else (code.cycle(), CYCLES)
    lowest, stuck = np.inf, 0
    for _ in range(ROUNDS):
        for cycle in range(cycles):
            # All coordinates first, then those that are away from kinks and bounds.
            places = every if cycle == 0 else np.flatnonzero(_free(v, l1, kink, lower, upper))
            moved = turn(v, slope, hess, diagonal, l1, kink, lower, upper, places, len(places))
            if moved <= precision * size:
                break
        v = _face_steps(v, grad + hess @ (v - theta), hess, pieces, LINEAR * size)
        slope = grad + hess @ (v - theta)
        residual = float(np.abs(v - _prox(v - slope / diagonal, l1 / diagonal, kink, lower, upper)).max(initial=0.0))
        residual *= float(diagonal.max(initial=0.0))
        if residual <= precision * size:
            break
        # A round may raise the residual on its way to another face, but not time and again.
        stuck = 0 if residual < lowest else stuck + 1
        lowest = min(lowest, residual)
        if stuck > PATIENCE:
            break
    return v


def _turn(
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
    numbers = zip(
        places[:count].tolist(),
        *(a[places[:count]].tolist() for a in (v, diagonal, l1, kink, lower, upper)),
        strict=True,
    )
    for j, value, curved, weight, corner, low, high in numbers:  # of Python, which are a third of the time of NumPy's
        target = value - slope.item(j) / curved - corner
        cut = weight / curved
        target = corner + (target - cut if target > cut else target + cut if target < -cut else 0.0)
        target = min(max(target, low), high)
        if target != value:
            move = target - value
            slope += hess[j] * move
            v[j] = target
            moved = max(moved, abs(move) * curved)
    return moved


def _prox(v: Array, cut: Array, kink: Array, lower: Array, upper: Array) -> Array:
    away = v - kink
    return np.asarray(np.clip(kink + np.sign(away) * np.maximum(np.abs(away) - cut, 0), lower, upper))


def _free(v: Array, l1: Array, kink: Array, lower: Array, upper: Array) -> Array:
    """Coefficients that can move both ways without meeting a kink or a bound."""
    return np.asarray(((v != kink) | (l1 == 0)) & (v > lower) & (v < upper))


def _face_steps(v: Array, slope: Array, hess: Array, pieces: Pieces, linear: float) -> Array:
    """Newton steps on the free coefficients, each cut at the first kink or bound; every step lowers the model."""
    l1, kink, lower, upper = pieces
    v = v.copy()
    for _ in range(len(v) + 1):
        free = np.flatnonzero(_free(v, l1, kink, lower, upper))
        if not len(free):
            return v
        side = np.sign(v - kink)[free]
        part = slope[free] + l1[free] * side
        inner = hess[np.ix_(free, free)]
        move, curved = _face_move(inner, part, linear)
        # How far until a coefficient meets its bound, or its kink
        stop = np.where(move > 0, upper[free], lower[free])
        meets = (l1[free] > 0) & (side * move < 0)
        stop = np.where(meets, np.where(move > 0, np.minimum(stop, kink[free]), np.maximum(stop, kink[free])), stop)
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(move != 0, (stop - v[free]) / move, np.inf)
        first = int(np.argmin(reach))
        if not curved and not np.isfinite(reach[first]):
            return v  # falls for ever: the penalty does not hold what the data leave open
        step = min(1.0 if curved else np.inf, float(reach[first]))
        change = np.zeros_like(v)
        change[free] = step * move
        met = step == reach[first]
        if met:
            change[free[first]] = stop[first] - v[free[first]]
        slope = slope + hess @ change
        v += change
        if not met:
            return v
        v[free[first]] = stop[first]
    return v


def _face_move(hess: Array, slope: Array, least: float) -> tuple[Array, bool]:
    """The Newton step on a face and True; where the model is linear in some direction and falls by more than the
    ``least`` that counts, that direction and False."""
    factor, failed = scipy.linalg.lapack.dpotrf(hess, lower=True)
    if not failed and factor.diagonal().min() ** 2 > FLAT * hess.diagonal().max():
        return -scipy.linalg.lapack.dpotrs(factor, slope, lower=True)[0], True
    values, vectors = scipy.linalg.eigh(hess, check_finite=False)
    curved = values > FLAT * len(slope) * max(values[-1], 0.0)
    along = vectors.T @ slope
    linear = vectors[:, ~curved] @ along[~curved]
    if np.abs(linear).max(initial=0.0) > least:
        return -linear, False
    return -(vectors[:, curved] @ (along[curved] / values[curved])), True


def _accelerated(theta: Array, grad: Array, hess: Array, omega: Any, precision: float, limit: int = 20_000) -> Array:
    """FISTA with the gradient restart of O'Donoghue & Candès (2015), on a model that costs no sweep."""
    largest = float(scipy.linalg.eigvalsh(hess, subset_by_index=[len(hess) - 1] * 2, check_finite=False)[0])
    if largest <= 0:
        return omega.project(theta)
    v = ahead = omega.project(theta)
    t = 1.0
    size = max(float(np.abs(grad).max(initial=0.0)) / largest, np.finfo(float).tiny)
    for _ in range(limit):
        new = omega.prox(ahead - (grad + hess @ (ahead - theta)) / largest, 1 / largest)
        step = float(np.abs(new - ahead).max(initial=0.0))
        if (ahead - new) @ (new - v) > 0:
            t = 1.0
        t_new = (1 + np.sqrt(1 + 4 * t * t)) / 2
        ahead = new + (t - 1) / t_new * (new - v)
        v, t = new, t_new
        if step <= precision * size:
            break
    return v
