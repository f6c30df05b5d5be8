"""Armijo's rule with many trial steps answered by one query."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from ..protocol import GRADIENT, PRODUCT, Answer, Array, Query

ARMIJO = 1e-4
# Rounding of a mean over many rows: differences of the objective below this share of it carry no information.
ROUNDING = 1e-13

FLATTER = 0.5  # of the slope at the start is left where a step is taken for its gradient alone

MANY = 4096  # parameters from which a grid of points costs much more than one


def sufficient(value: Array | float, start: float, step: Array | float, slope: Array | float) -> Array:
    """Armijo's condition F(θ + step·d) ≤ F(θ) + 1e-4·step·slope (Nocedal & Wright 2006, eq. 3.6a), up to rounding."""
    with np.errstate(invalid="ignore"):
        return np.asarray(value <= start + ARMIJO * np.asarray(step) * np.asarray(slope) + ROUNDING * abs(start))


def level_and_flatter(answer: Answer, start: float, direction: Array, slope: float, rounding: float) -> bool:
    """Whether a step must be judged by its slopes, because values differ by rounding, and left half of the slope at the
    most (Hager & Zhang, *SIAM J. Optimization* 16, 2005)."""
    level = abs(float(answer.value[0]) - start) <= rounding * abs(start)
    return level and abs(float(answer.grad[0] @ direction)) <= FLATTER * -slope


def search(
    theta: Array, direction: Array, start: float, slope: float, steps: Array
) -> Generator[Query, Answer, tuple[float, float, Array] | None]:
    """The lowest of the trial ``steps`` that satisfies Armijo's rule: (step, value, gradient), or None. One query."""
    found = yield from search_points(theta + steps[:, None] * direction, start, steps * slope)
    if found is None:
        return None
    best, value, grad = found
    return float(steps[best]), value, grad


def search_points(
    points: Array, start: float, promised: Array
) -> Generator[Query, Answer, tuple[int, float, Array] | None]:
    """The lowest of the trial ``points`` that falls by a share of what it ``promised`` (< 0) to first order: (number,
    value, gradient), or None. One query."""
    answer = yield Query(points, GRADIENT)
    good = sufficient(answer.value, start, 1.0, promised) & (answer.value < start)
    if not good.any():
        return None
    best = int(np.argmin(np.where(good, answer.value, np.inf)))
    return best, float(answer.value[best]), answer.grad[best]


def newton_length(theta: Array, direction: Array, slope: float) -> Generator[Query, Answer, float | None]:
    """The step along ``direction`` to the minimum of the quadratic model of F, or None. One query, of one product."""
    answer = yield Query(theta[None], PRODUCT, direction[None])
    curvature = float(direction @ answer.hess_product[0])
    return -slope / curvature if 0 < curvature < np.inf else None
