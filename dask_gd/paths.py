"""A whole regularisation path of a squared loss from its sums of products, with cross-validation by folds of them.

From strong penalties to weak ones, each minimum is where the search for the next begins (Friedman, Hastie & Tibshirani,
*J. Stat. Software* 33, 2010, sec. 2.5). No point of the path costs a sweep; where the sums are ill-conditioned one more
sweep gives the exact gradients of all points at once. Sums of folds add up, so that the training rows of every split
are known from the same sweep as the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .kernels import FoldSquares, Moments, Squares
from .losses import Squared
from .objective import Model, Objective
from .penalties import ElasticNet
from .protocol import GRADIENT, HESSIAN, Array, Engine, Points, Query
from .solvers.newton_cholesky import factorise
from .solvers.quadratic_model import minimise_model

RANK_TOL = 1e-15


class PathPoint(NamedTuple):
    """The minimum for one penalty."""

    coef: Array  # (d,)
    intercept: float
    value: float  # F
    loss: float  # F without the penalty
    grad: Array  # (d,) of the loss, in original units


def regularisation_path(
    objective: Objective, penalties: Sequence[ElasticNet], engine: Engine | None = None
) -> list[PathPoint]:
    """The minimum for each of the penalties, which come from strong to weak; ``objective`` knows its squares.

    ``engine``: of the objective's rows, for exact gradients where the sums are too coarse; None: never.
    """
    coordinates = objective.standardised
    models = [Model(penalty, coordinates, objective.expansion) for penalty in penalties]
    theta = objective.to_theta(*objective.start(), coordinates)
    hess = _known(objective, Query(theta[None], HESSIAN), Model(ElasticNet(), coordinates, objective.expansion)).hess[0]
    thetas = []
    for model in models:
        theta = _minimum(objective, model, hess, theta)
        thetas.append(theta)
    if engine is not None and any(
        objective.coarse(_known(objective, Query(t[None]), m).value[0], m) for t, m in zip(thetas, models, strict=True)
    ):
        asked = [objective.refinement(t, m) for t, m in zip(thetas, models, strict=True)]
        queries, plain = [query for query, _ in asked], [model for _, model in asked]
        answers = objective.finish(engine.sweep(objective.kernel(queries, plain, exact=True)), queries, plain)
        models = [objective.refined(*exact) for exact in zip(queries, answers, models, strict=True)]
        thetas = [_minimum(objective, model, hess, t) for t, model in zip(thetas, models, strict=True)]
    return [_point(objective, model, t) for t, model in zip(thetas, models, strict=True)]


def _known(objective: Objective, query: Query, model: Model) -> Any:
    answer = objective.known(query, model)
    assert answer is not None
    return answer


def _minimum(objective: Objective, model: Model, hess: Array, theta: Array) -> Array:
    """The minimiser of a quadratic and its penalty; ``hess`` is that of the loss alone."""
    grad = _known(objective, Query(theta[None], GRADIENT), model).grad[0]
    curved = hess + np.diag(objective.penalty_curvature(model))
    if model.penalty.smooth:
        return np.asarray(theta - factorise(curved, RANK_TOL).solve(grad))
    return minimise_model(theta, grad, curved, objective.nonsmooth(model))


def _point(objective: Objective, model: Model, theta: Array) -> PathPoint:
    coef, intercept = objective.to_model(theta, model.coordinates)
    exact = model.penalty.snap(coef)
    intercept = intercept + (coef - exact) @ model.coordinates.center
    plain = Model(ElasticNet(), objective.raw, model.expansion)
    answer = _known(objective, Query(objective.to_theta(exact, intercept, objective.raw)[None]), plain)
    grad = np.zeros(objective.free.shape)
    grad[objective.free] = answer.grad[0]
    loss = float(answer.value[0])
    value = loss + float(model.penalty.value(exact).sum())
    return PathPoint(exact[0], float(intercept[0]), value, loss, grad[0, :-1])


def with_squares(objective: Objective, squares: Squares) -> Objective:
    """The same objective over other rows, known by their squares."""
    moments: Moments = replace(
        objective.moments,
        weight=squares.weight,
        mean=squares.x_mean,
        m2=np.diag(squares.xx).copy(),
        y_mean=squares.z_mean[0],
        y_m2=squares.zz[0],
    )
    return Objective(
        Squared(),
        moments,
        fit_intercept=objective.fit_intercept,
        dtype=objective.dtype,
        sparse=objective.sparse,
        squares=squares,
    )


def held_out_errors(objective: Objective, penalties: Sequence[ElasticNet], folds: FoldSquares) -> Array:
    """(penalties, folds) mean squared errors of each fold's rows under the path of all other rows."""
    errors = np.full((len(penalties), len(folds.parts)), np.nan)
    for number, test in enumerate(folds.parts):
        train = folds.without(number)
        if test is None or train is None or test.weight <= 0 or train.weight <= 0:
            raise ValueError(f"Fold {number} has no row of positive weight, or all of them: use fewer folds.")
        fitted = with_squares(objective, train)
        points = regularisation_path(fitted, penalties)  # sweeps are over all rows, so no exact gradients
        known = with_squares(objective, test).expansion
        assert known is not None
        W = np.stack([point.coef for point in points])[:, None]
        b = np.array([[point.intercept] for point in points]) + W[:, 0] @ known.origin[:, None]
        sums = known.sums(Points(W, b, GRADIENT), 1.0)
        errors[:, number] = 2 * sums.value
    return errors
