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

from .kernels import FoldSums, Moments, Squares
from .losses import Squared
from .objective import Model, Objective
from .penalties import ElasticNet
from .protocol import GRADIENT, HESSIAN, Array, Engine, Points, Query
from .solvers.newton_cholesky import factorise
from .solvers.quadratic_model import minimise_path

RANK_TOL = 1e-15


class Path(NamedTuple):
    """The minima for n penalties."""

    coefs: Array  # (n, d)
    intercepts: Array  # (n,)
    losses: Array  # (n,) F without the penalty
    grads: Array  # (n, d) of the loss, in original units


def regularisation_path(
    objective: Objective,
    penalties: Sequence[ElasticNet],
    engine: Engine | None = None,
    *,
    gradients: bool = True,
    stacked: ElasticNet | None = None,
) -> Path:
    """The minimum for each of the penalties, which come from strong to weak; ``objective`` knows its squares.

    ``engine``: of the objective's rows, for exact gradients where the sums are too coarse; None: never. ``gradients``
    False: losses and gradients are not wanted. ``stacked``: all penalties as one, from :func:`stack`.
    """
    stacked = stack(penalties) if stacked is None else stacked
    coordinates = objective.standardised
    model = Model(ElasticNet(), coordinates, objective.expansion)  # the loss alone
    start = objective.to_theta(*objective.start(), coordinates)
    answer = _known(objective, Query(start[None], HESSIAN), model)
    hess = answer.hess[0]
    thetas = _minima(objective, stacked, start, answer.grad[0], hess)
    models = [model] * len(penalties)
    if engine is not None:
        losses = _known(objective, Query(thetas, GRADIENT), model).value
        if any(objective.coarse(value, model) for value in losses):
            asked = [objective.refinement(theta, model) for theta in thetas]
            queries, plain = [query for query, _ in asked], [model for _, model in asked]
            answers = objective.finish(engine.sweep(objective.kernel(queries, plain, exact=True)), queries, plain)
            models = [objective.refined(*exact) for exact in zip(queries, answers, models, strict=True)]
            for i, (theta, exact) in enumerate(zip(thetas, models, strict=True)):
                grad = _known(objective, Query(theta[None], GRADIENT), exact).grad[0]
                thetas[i] = _minima(objective, stack([penalties[i]]), theta, grad, hess)[0]
    found = [objective.to_model(theta, coordinates) for theta in thetas]
    coefs, intercepts = np.stack([w[0] for w, _ in found]), np.array([b[0] for _, b in found])
    exact_coefs = stacked.snap(coefs)
    intercepts = intercepts + (coefs - exact_coefs) @ coordinates.center
    if not gradients:
        return Path(exact_coefs, intercepts, np.zeros(0), np.zeros((0, 0)))
    raw = np.stack(
        [objective.to_theta(w[None], b[None], objective.raw) for w, b in zip(exact_coefs, intercepts, strict=True)]
    )
    plain_model = Model(ElasticNet(), objective.raw, objective.expansion)
    if models[0] is model:
        known = _known(objective, Query(raw, GRADIENT), plain_model)
        losses, slopes = known.value, known.grad
    else:
        each = [
            _known(objective, Query(theta[None], GRADIENT), plain_model._replace(expansion=m.expansion))
            for theta, m in zip(raw, models, strict=True)
        ]
        losses, slopes = np.array([a.value[0] for a in each]), np.stack([a.grad[0] for a in each])
    grads = np.zeros((len(raw), *objective.free.shape))
    grads[:, objective.free] = slopes
    return Path(exact_coefs, intercepts, losses, grads[:, 0, :-1])


def _known(objective: Objective, query: Query, model: Model) -> Any:
    answer = objective.known(query, model)
    assert answer is not None
    return answer


def stack(penalties: Sequence[ElasticNet]) -> ElasticNet:
    """All of them as one, of coefficients (n, d)."""
    d = max((np.size(part) for p in penalties for part in (p.l1, p.l2, p.center, p.lower, p.upper)), default=1)

    def stacked(each: tuple[Any, ...]) -> Array:
        if all(np.ndim(part) == 0 for part in each):
            return np.repeat(np.array(each, dtype=float)[:, None], d, axis=1)
        return np.stack([np.broadcast_to(np.asarray(part, dtype=float), (d,)) for part in each])

    parts = map(stacked, zip(*((p.l1, p.l2, p.center, p.lower, p.upper) for p in penalties), strict=True))
    return ElasticNet(*parts)


def _minima(objective: Objective, stacked: ElasticNet, theta: Array, grad: Array, hess: Array) -> Array:
    """(n, p) the minimisers of a quadratic and each penalty; ``grad`` at θ and ``hess`` are those of the loss alone."""
    free = objective.free[0]
    scaled = stacked.scaled(1 / objective.standardised.scale)

    def in_theta(part: Any, of_intercept: float) -> Array:
        full = np.full((len(np.asarray(stacked.l1)), len(free)), of_intercept)
        full[:, :-1] = part
        return np.ascontiguousarray(full[:, free])

    l2 = in_theta(scaled.l2, 0.0)
    if stacked.smooth:
        kink = in_theta(scaled.center, 0.0)
        found = [
            theta - factorise(hess + np.diag(curvature), RANK_TOL).solve(grad + curvature * (theta - center))
            for curvature, center in zip(l2, kink, strict=True)
        ]
        return np.stack(found)
    pieces = (
        in_theta(scaled.l1, 0.0),
        in_theta(scaled.center, 0.0),
        in_theta(scaled.lower, -np.inf),
        in_theta(scaled.upper, np.inf),
    )
    return minimise_path(theta, grad, hess, pieces, l2)


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


def held_out_errors(objective: Objective, penalties: Sequence[ElasticNet], folds: FoldSums) -> Array:
    """(penalties, folds) mean squared errors of each fold, whose squares are given, under the path of all others."""
    errors, stacked = np.full((len(penalties), len(folds.parts)), np.nan), stack(penalties)
    for number, test in enumerate(folds.parts):
        train = folds.without(number)
        if test is None or train is None or test.weight <= 0 or train.weight <= 0:
            raise ValueError(f"Fold {number} has no row of positive weight, or all of them: use fewer folds.")
        fitted = with_squares(objective, train)
        # Sweeps are over all rows: no exact gradients.
        path = regularisation_path(fitted, penalties, gradients=False, stacked=stacked)
        known = with_squares(objective, test).expansion
        assert known is not None
        W = path.coefs[:, None]
        b = path.intercepts[:, None] + path.coefs @ known.origin[:, None]
        sums = known.sums(Points(W, b, GRADIENT), 1.0)
        errors[:, number] = 2 * sums.value
    return errors
