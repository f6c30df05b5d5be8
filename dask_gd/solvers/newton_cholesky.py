"""Newton's method with a Cholesky factor of the exact Hessian (Nocedal & Wright 2006, ch. 3; IRLS for a GLM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg

from ..protocol import HESSIAN, Answer, Array, Conversation, Query
from .line_search import search, sufficient


class NewtonState(NamedTuple):
    theta: Array
    value: float
    grad: Array
    step: float
    decrement: float
    direction: Array
    null: Array  # (p, r) basis of the directions without curvature


@dataclass(frozen=True)
class NewtonCholesky:
    """Newton's method in standardised coordinates: value, gradient and Hessian from one sweep an iteration.

    Where the Hessian is singular to working precision, the step is the one of minimum norm.

    Parameters
    ----------
    rank_tol : float
        Curvature below this share of the largest counts as none.
    """

    rank_tol: float = 1e-14
    standardised: bool = True

    def init(self, theta: Array) -> Conversation:
        answer = yield Query(theta[None], HESSIAN)
        return self._state(theta, answer, np.inf)

    def step(self, state: NewtonState) -> Conversation:
        slope = float(state.grad @ state.direction)
        theta, step = state.theta + state.direction, 1.0
        answer = yield Query(theta[None], HESSIAN)
        if not sufficient(answer.value[0], state.value, 1.0, slope):
            steps = 0.5 ** np.arange(1, 13)
            found = yield from search(state.theta, state.direction, state.value, slope, steps)
            if found is None:
                return state._replace(step=0.0)
            step = found[0]
            theta = state.theta + step * state.direction
            answer = yield Query(theta[None], HESSIAN)
        return self._state(theta, answer, step)

    def solution(self, state: NewtonState) -> Array:
        """The last Newton step is computed already and costs no sweep: take it."""
        return state.theta + state.direction

    def _state(self, theta: Array, answer: Answer, step: float) -> NewtonState:
        assert answer.grad is not None and answer.hess is not None
        grad = answer.grad[0]
        direction, null = solve(answer.hess[0], -grad, self.rank_tol)
        return NewtonState(theta, float(answer.value[0]), grad, step, -0.5 * float(grad @ direction), direction, null)


def solve(hess: Array, rhs: Array, rank_tol: float) -> tuple[Array, Array]:
    """The solution of minimum norm of ``hess @ x = rhs`` and a basis of the null space of ``hess``."""
    n = len(rhs)
    none = np.zeros((n, 0))
    if not np.isfinite(hess).all():
        return np.zeros(n), none
    try:
        factor = scipy.linalg.cholesky(hess, lower=True, check_finite=False)
        pivots = np.diag(factor) ** 2
        if pivots.min() > 10 * n * rank_tol * pivots.max():
            return scipy.linalg.cho_solve((factor, True), rhs, check_finite=False), none
    except scipy.linalg.LinAlgError:
        pass
    values, vectors = scipy.linalg.eigh(hess, check_finite=False)
    kept = values > n * rank_tol * max(values[-1], 0.0)
    x = vectors[:, kept] @ ((vectors[:, kept].T @ rhs) / values[kept])
    return x, vectors[:, ~kept]
