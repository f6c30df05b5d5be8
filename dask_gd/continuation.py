"""Fits that one call of the loop does not end: a scale beside the coefficients, and losses with kinks.

A loss with kinks is smoothed, and the smoothing taken back step by step (Nesterov, *Smooth minimization of non-smooth
functions*, 2005). For the pinball loss the last step is exact: rows far from their kink are linear there, so that a
linear program over the few others has the minimum of the whole, as soon as no row changes sides (Portnoy & Koenker,
*The Gaussian Hare and the Laplacian Tortoise*, 1997); until then its value is a lower bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from .fitting import HISTORY, Fit, minimising, values_at
from .kernels import BandKernel, BandSums
from .losses import Huber, Pinball, Squared
from .objective import Model, Objective
from .penalties import ElasticNet
from .protocol import Array, Callback, Job, Query, Report, Result
from .solvers import SOLVERS

PROGRAM_ROWS = 5_000  # a linear program of so many rows takes a second at the most …
PROGRAM_ROWS_PER_PARAMETER = 30  # … and one of fewer rows a parameter may have no minimum
PROGRAM_PARAMETERS = 2_000
PROGRAMS = 20
GAP = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-6}  # relative duality gap that counts as none
STAGES = 12
SHRINK = 0.1  # of the smoothing, from stage to stage
STAGE_TOL = 1e-3  # of a stage that another follows
SQUARES_PARAMETERS = 1000  # up to here least squares go by Newton
SCALES = 10  # scales tried, each a tenth of the one before
WEAK = 0.01  # a penalty's pull beside that of the residuals
EXACT = 1e-13  # residuals of least squares that are nothing but rounding, relative to y


# -- a scale beside the coefficients ---------------------------------------------------------------------------------


def minimising_with_scale(
    objective: Objective, fits: Sequence[Fit], callbacks: Sequence[Callback] = (), *, dtype: np.dtype
) -> Job:
    """Minimise an objective whose loss has a scale σ as its last output, for one fit, from least squares; a job.

    Far from the coefficients every residual is an outlier, and σ would fall to 0 before they are found. Where least
    squares leave no residual, they are the minimum, with a scale of 0: the loss then is as sharp as |r|, and a
    weak penalty does not move it.
    """
    (fit,) = fits
    if fit.coef.any():  # a warm start, or one of the user's own
        (result,) = yield from minimising(objective, fits, callbacks, dtype=dtype)
        if result.converged:
            return [result]
    squares = objective.with_loss(Squared())
    name = "newton-cholesky" if squares.size <= SQUARES_PARAMETERS else "lbfgs"
    near = Fit(SOLVERS[name](), ElasticNet(), fit.coef[:1], fit.intercept[:1], 100, 1e-6)
    found = (yield from minimising(squares, [near], dtype=dtype))[0]
    coef, intercept = found.coef, found.intercept
    values, _ = yield from values_at(squares, [(coef, intercept)], near.penalty)
    scale = float(np.sqrt(2 * values[0]))
    size = float(np.sqrt(squares.rounding / np.finfo(np.float64).eps))
    coef = np.concatenate([coef, np.zeros_like(coef)])
    weak = np.all(np.abs(fit.penalty.grad(coef)) <= WEAK * objective.standardised.scale)
    if scale <= EXACT * size and weak:
        intercept = np.append(intercept, np.finfo(np.float64).eps * size)
        return [found._replace(coef=coef, intercept=intercept, converged=True)]
    # An exact fit that the penalty moves: its residuals say nothing of the scale to come.
    scale = scale if scale > EXACT * size else size
    near = fit._replace(coef=coef, intercept=np.append(intercept, scale))
    result = (yield from minimising(objective, [near], callbacks, dtype=dtype))[0]
    if not result.converged:
        result = yield from _scale_from_above(objective, near, callbacks, dtype)
        result = result._replace(exhausted=True)  # each of the scales had its max_iter
    return [result]


def _scale_from_above(objective: Objective, fit: Fit, callbacks: Sequence[Callback], dtype: np.dtype) -> Job:
    """The minimum by way of fixed scales, each a tenth of the one before, for as long as a smaller one is better.

    The minimum over the coefficients is convex in the scale. Where few rows stand against many parameters the best
    scale may be 0, where the loss is 2ε|r|: the path then ends at a scale too small to matter.
    """
    loss: Any = objective.loss
    coef, intercept, scale = fit.coef[:1], fit.intercept[:1], float(fit.intercept[-1])
    name = "newton-cholesky" if objective.size <= SQUARES_PARAMETERS else "lbfgs"
    model = Model(fit.penalty, objective.raw)
    for step in range(SCALES):
        # σ + σ H(r/σ) is 2/σ times Huber's loss with δ = εσ, and a constant
        fixed = objective.with_loss(Huber(loss.epsilon * scale))
        penalty = fit.penalty.scaled(np.full(objective.n_features, np.sqrt(scale / 2)))
        rough = Fit(SOLVERS[name](), penalty, coef, intercept, fit.max_iter, fit.tol)
        latest = (yield from minimising(fixed, [rough], dtype=dtype))[0]
        if step and not latest.converged:  # rounding: the scale before was as small as can be told
            scale /= SHRINK
            break
        found = latest
        coef, intercept = found.coef, found.intercept
        point = np.concatenate([coef, np.zeros_like(coef)]), np.append(intercept, scale)
        query = Query(objective.to_theta(*point, objective.raw)[None])
        sums, _ = yield objective.kernel([query], [model])
        answer = objective.finish(sums, [query], [model])[0]
        if answer.grad[0, -1] <= 0:
            fit = fit._replace(coef=point[0], intercept=point[1])
            return (yield from minimising(objective, [fit], callbacks, dtype=dtype))[0]
        if step < SCALES - 1:
            scale *= SHRINK
    history = {**found.history, "objective": found.history["objective"] * 2 / scale + scale}
    return found._replace(coef=point[0], intercept=point[1], history=history)


# -- losses with kinks -----------------------------------------------------------------------------------------------


def minimising_with_kinks(
    objective: Objective, fits: Sequence[Fit], callbacks: Sequence[Callback] = (), *, dtype: np.dtype
) -> Job:
    """Minimise an objective whose loss has kinks, for one fit; as :func:`minimising` does one that has none.

    The fit has converged when the duality gap says so: no smoothed objective is above the objective itself.
    """
    (fit,) = fits
    loss: Any = objective.loss
    moments = objective.moments
    program = (
        isinstance(loss, Pinball)
        and objective.size <= PROGRAM_PARAMETERS
        and isinstance(fit.penalty, ElasticNet)
        and not (np.any(fit.penalty.l2) or np.any(fit.penalty.center))
    )
    enough = max(PROGRAM_ROWS, PROGRAM_ROWS_PER_PARAMETER * objective.size)
    width = float(np.sqrt(np.sum(moments.y_m2) / moments.weight)) if not moments.classes else 1.0
    width = width or 1.0
    result, gap = None, np.inf
    history: list[dict[str, Array]] = []
    iterations, band, start = 0, np.inf, (fit.coef, fit.intercept)
    closed = GAP[dtype]
    target = closed if fit.tol is None else max(closed, fit.tol)
    if not (program and moments.n_rows <= enough):
        for stage in range(STAGES):
            width *= SHRINK
            smooth = objective.with_loss(loss.smoothed(width))
            tol = STAGE_TOL if program or stage < 3 else fit.tol
            stage_fit = fit._replace(coef=start[0], intercept=start[1], tol=tol, max_iter=fit.max_iter)
            result = (yield from minimising(smooth, [stage_fit], callbacks, dtype=dtype))[0]
            iterations += result.n_iter
            history.append(result.history)
            start = result.coef, result.intercept
            if program:
                band = 4 * width
                sums, _ = yield BandKernel(loss, *_flat(start), band, collect=False)
                if sums.n_inside <= enough:
                    break
            else:
                (value,), _ = yield from values_at(objective, [start], fit.penalty)
                (lower,), _ = yield from values_at(smooth, [start], fit.penalty)
                gap = float((value - lower) / max(abs(value), np.finfo(float).tiny))
                if gap <= target or iterations >= fit.max_iter:
                    break
    message = "converged"
    if program:
        solved = yield from _solve_program(objective, fit, start, band, closed, iterations, callbacks)
        start, gap, programs = solved
        iterations += len(programs["objective"])
        history.append(programs)
        converged = gap <= closed
    else:
        assert result is not None
        converged = gap <= target and result.converged
    if not converged:
        message = f"the relative duality gap is {gap:.1e}: scale the columns, or raise max_iter"
    joined = {name: np.concatenate([h[name] for h in history]) for name in HISTORY}
    return [Result(*start, iterations, 0, converged, message, joined, exhausted=not converged)]


def _flat(point: tuple[Array, Array]) -> tuple[Array, float]:
    return point[0][0], float(point[1][0])


def _solve_program(
    objective: Objective,
    fit: Fit,
    start: tuple[Array, Array],
    band: float,
    closed: float,
    iteration: int,
    callbacks: Sequence[Callback],
) -> Job:
    """The exact minimum by linear programs over the rows near their kink: (point, relative gap, history)."""
    (best_value,), _ = yield from values_at(objective, [start], fit.penalty)
    best, gap = start, np.inf
    history: dict[str, list[float]] = {name: [] for name in HISTORY}
    quantile, spread = objective.loss.quantile, objective.targets()[1][0]  # type: ignore[attr-defined]
    typical = float(spread) * min(quantile, 1 - quantile)  # about the loss of a constant: an exact fit has none itself
    while gap > closed and len(history["objective"]) < PROGRAMS:
        sums, cost = yield BandKernel(objective.loss, *_flat(best), band)
        found = _program(objective, sums, fit.penalty)
        if found is not None:  # else too few rows to hold the linear rest: no minimum
            (coef, intercept), lower = found
            (value,), of_value = yield from values_at(objective, [(coef, intercept)], fit.penalty)
            cost = cost + of_value
            if value < best_value or np.isinf(band):
                best, best_value = (coef, intercept), value
            size = max(abs(best_value), typical, np.finfo(float).tiny)
            gap = float(max(best_value - lower, 0.0) / size)
        record = (best_value, float(np.sqrt(gap)), 1.0, *cost)
        for name, number in zip(HISTORY, record, strict=True):
            history[name].append(number)
        done = gap <= closed or np.isinf(band)
        number = iteration + len(history["objective"])
        report = Report(0, 1, number, fit.max_iter, best_value, float(np.sqrt(gap)), 1.0, cost, done, fit.tol)
        if any([callback(report) for callback in callbacks]) or np.isinf(band):
            break
        band *= 2
    return best, gap, {name: np.asarray(numbers) for name, numbers in history.items()}


def _program(objective: Objective, sums: BandSums, penalty: Any) -> tuple[tuple[Array, Array], float] | None:
    """Minimise Σ s ℓ over the band plus the linear rest plus Ω: the point and the value; None without a minimum."""
    loss: Any = objective.loss
    center, scale = objective.standardised
    d, total = objective.n_features, objective.total
    X = sums.X.toarray() if sp.issparse(sums.X) else sums.X
    X = (X - center) / scale
    m = len(X)
    grad = (sums.grad_w - center * sums.grad_b) / scale
    l1 = np.broadcast_to(penalty.l1 / scale, d)
    # x⁺, x⁻ ≥ 0 for the coefficients, the free intercept, and the two sides of each residual
    cost = np.concatenate(
        [
            l1 + grad / total,
            l1 - grad / total,
            [sums.grad_b / total],
            loss.quantile * sums.weight / total,
            (1 - loss.quantile) * sums.weight / total,
        ]
    )
    eye = sp.identity(m, format="csc")
    ones = np.ones((m, 1))
    rows = sp.hstack([sp.csc_array(np.hstack([X, -X, ones])), eye, -eye], format="csc")
    low, high = np.broadcast_to(penalty.lower, d) * scale, np.broadcast_to(penalty.upper, d) * scale
    free = (None, None) if objective.fit_intercept else (0, 0)
    sides = [(max(a, 0.0), max(b, 0.0)) for a, b in zip(low, high, strict=True)]
    other = [(max(-b, 0.0), max(-a, 0.0)) for a, b in zip(low, high, strict=True)]
    bounds = [*sides, *other, free, *([(0, None)] * (2 * m))]
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    done = linprog(cost, A_eq=rows, b_eq=sums.y, bounds=bounds, method="highs", options=options)
    if done.x is None or not done.success:
        return None
    w = done.x[:d] - done.x[d : 2 * d]
    coef = w / scale
    intercept = done.x[2 * d] - (coef @ center if objective.fit_intercept else 0.0)
    return (coef[None], np.array([intercept])), float(done.fun + sums.constant / total)
