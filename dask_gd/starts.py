"""Where a fit starts: inside a link's domain, and at the optimum on a row sample, which costs no sweep."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .engine import LocalEngine
from .fitting import Fit, minimise, minimising, values_at
from .kernels.rows import row_slices, take_block
from .losses import Derivatives, Loss
from .losses.base import REALS
from .objective import Model, Objective
from .penalties import ElasticNet
from .protocol import VALUE, Array, Block, Job, Query, Result
from .solvers import NewtonCholesky, ProxNewton

CLOSE_TO_BORDER = 100  # times the constant model's F: finite, but no start
RARE_ROWS = 10  # sampled rows that every class and, on average, every parameter must have
RARE_COLUMN = 50  # rows that a column's coefficient must rest on
SAMPLE_ITERATIONS = 50
NEWTON_PARAMETERS = 1000  # up to here a fit on the sample goes by Newton
SAMPLE_TOL = 1e-4


@dataclass(frozen=True)
class _OnLinkScale(Loss):
    """½ (g(ỹ) - η)² with ỹ half way between y and its mean: where iteratively reweighted least squares starts."""

    loss: Loss
    mean: float
    curvature: float = 1.0
    quadratic: bool = True

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        residual = eta - self.loss.link((y + self.mean) / 2)
        return Derivatives(0.5 * residual**2, residual, np.ones_like(residual))


@dataclass(frozen=True)
class _Inside(Loss):
    """½ max(0, level - η)²: 0 where every margin is at least the level."""

    level: float
    curvature: float = 1.0

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        short = np.maximum(self.level - eta, 0)
        return Derivatives(0.5 * short**2, -short, (short > 0).astype(eta.dtype))


def start_inside(objective: Objective, fit: Fit, dtype: np.dtype) -> Job:
    """The fit with a start where the objective is finite; a job.

    Raises
    ------
    ValueError
        When there is none.
    """
    loss = objective.loss
    if not np.isfinite(fit.intercept).all():
        raise ValueError(
            f"The mean of y is at the end of the range of its link ({float(np.ravel(objective.moments.y_mean)[0]):g}), "
            "where no finite coefficients reach: the model needs targets that differ."
        )
    if loss.margins == REALS or loss.n_constant:
        return fit
    bounds = fit.penalty.nonsmooth() if isinstance(fit.penalty, ElasticNet) else ElasticNet()
    bounds = replace(bounds, l1=0.0)
    level = 0.1 * float(objective.start_margins()[0])
    mean = float(np.ravel(objective.moments.y_mean)[0])
    best, lowest = fit, np.inf
    for rough in (None, _OnLinkScale(loss, mean), _Inside(level)):
        coef, intercept = fit.coef, fit.intercept
        if rough is not None:
            solver: Any = NewtonCholesky() if bounds.smooth else ProxNewton()
            near = Fit(solver, bounds, coef, intercept, 50, 1e-6)
            found = (yield from minimising(objective.with_loss(rough), [near], dtype=dtype))[0]
            coef, intercept = found.coef, found.intercept
        coef = fit.penalty.project(coef)
        values, _ = yield from values_at(objective, [(coef, intercept)], fit.penalty)
        value = float(values[0])
        if value < lowest:
            best, lowest = fit._replace(coef=coef, intercept=intercept), value
        if lowest < np.inf and lowest <= CLOSE_TO_BORDER * objective.typical:
            break
    if lowest < np.inf:
        return best
    raise ValueError(
        f"No coefficients were found that keep every margin in the link's domain {loss.margins}: "
        "fit an intercept, look at the offset and the bounds, or take the log link."
    )


def start_from_sample(objective: Objective, fit: Fit, block: Block, dtype: np.dtype) -> Fit:
    """The fit started at the optimum on a row sample, which is found without a sweep.

    Where the sample does not deserve trust the fit starts as it did: half of the sample is fitted first and must do
    better on the other half than that start.
    """
    loss = objective.loss
    if len(block.y) < RARE_ROWS * objective.size:
        return fit
    if loss.classification and np.bincount(block.y.astype(np.intp), minlength=max(loss.n_outputs, 2)).min() < RARE_ROWS:
        return fit
    halves = [take_block(block, np.arange(i, block.n_rows, 2)) for i in range(2)]
    solver: Any = fit.solver
    if objective.size <= NEWTON_PARAMETERS:
        solver = NewtonCholesky() if fit.penalty.smooth else ProxNewton()
    rough = fit._replace(solver=solver, max_iter=SAMPLE_ITERATIONS, tol=SAMPLE_TOL, statistical=False)

    rare = effective_rows(block.X) < RARE_COLUMN
    if rare.all():
        return fit

    def optimum(part: Block, start: Fit) -> Result:
        known = objective.of_weight(part)
        known.free = known.free.copy()
        known.free[:, :-1] &= ~rare  # of a handful of rows a column's coefficient may be anything
        return minimise(known, LocalEngine([part], serial=True), [start], dtype=dtype)[0]

    half = optimum(halves[0], rough)
    held_out = objective.of_weight(halves[1])
    model = Model(fit.penalty, objective.raw)
    theta = np.stack(
        [
            objective.to_theta(*point, objective.raw)
            for point in ((fit.coef, fit.intercept), (half.coef, half.intercept))
        ]
    )
    query = Query(theta, VALUE)
    sums = LocalEngine([halves[1]], serial=True).sweep(held_out.kernel([query], [model]))
    null, better = held_out.finish(sums, [query], [model])[0].value
    if not (half.converged and better < null):
        return fit
    whole = optimum(block, rough._replace(coef=half.coef, intercept=half.intercept))
    return fit._replace(coef=whole.coef, intercept=whole.intercept) if whole.converged else fit


def effective_rows(X: Any) -> Array:
    """(d,) of how many rows each column's curvature is made: (Σ z²)²/Σ z⁴ (Kish, *Survey Sampling*, 1965)."""
    if isinstance(X, np.ndarray):
        mean = X.mean(axis=0, dtype=np.float64)
        second, fourth = np.zeros(X.shape[1]), np.zeros(X.shape[1])
        for rows in row_slices(X, X.shape[1]):
            square = np.square(X[rows] - mean)
            second += square.sum(axis=0)
            fourth += np.einsum("ij,ij->j", square, square)
    else:
        square = X.power(2).astype(np.float64)
        second, fourth = np.asarray(square.sum(axis=0)).ravel(), np.asarray(square.power(2).sum(axis=0)).ravel()
    return np.asarray(np.where(fourth > 0, second**2 / np.where(fourth > 0, fourth, 1), 0.0))
