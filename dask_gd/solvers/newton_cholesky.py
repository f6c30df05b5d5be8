"""Newton's method with a Cholesky factor of the exact Hessian (Nocedal & Wright 2006, ch. 3; IRLS for a GLM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg
from scipy.linalg.lapack import dpotrs

from ..protocol import EXPECTED, GRADIENT, HESSIAN, Answer, Array, Conversation, Query
from .line_search import level_and_flatter, search, search_points, sufficient

SHRINK = 0.1  # a step with a kept factor must shrink the decrement at least so much
# Shares of the mean eigenvalue, each row tried in one sweep.
DAMPING = 10.0 ** np.array([np.arange(-6.0, 4.0), np.arange(4.0, 14.0)])
NEGATIVE = 1e-8  # a share of the largest curvature
LINEAR = 1e-6  # a share of the gradient in the null space that no rounding makes


class Factor(NamedTuple):
    """A symmetric positive semi-definite matrix, ready to solve with."""

    cholesky: Array | None  # lower factor; None where the matrix is singular to working precision
    values: Array  # then: the eigenvalues that count …
    vectors: Array  # … their vectors (p, r) …
    null: Array  # … and a basis of the rest (p, p - r)
    stale: bool = False

    def solve(self, rhs: Array) -> Array:
        """The solution of minimum norm."""
        if self.cholesky is not None:
            return np.asarray(dpotrs(self.cholesky, rhs, lower=1)[0])
        return np.asarray(self.vectors @ ((self.vectors.T @ rhs) / self.values))

    def damped(self, rhs: Array, shares: Array) -> Array:
        """Solutions with the matrix plus shares of its mean eigenvalue (Levenberg-Marquardt), one a row."""
        values, vectors = self.values, self.vectors
        if self.cholesky is not None:
            values, vectors = scipy.linalg.eigh(self.cholesky @ self.cholesky.T, check_finite=False)
        mean = float(values.sum()) / len(rhs) or 1.0
        along = vectors.T @ rhs
        rest = rhs - vectors @ along
        return np.stack([vectors @ (along / (values + m * mean)) + rest / (m * mean) for m in shares])


def factorise(matrix: Array, rank_tol: float) -> Factor:
    """Cholesky, or the eigenvalues where the matrix is singular to working precision."""
    n = len(matrix)
    none = np.zeros((n, 0))
    if not np.isfinite(matrix).all():
        return Factor(None, np.zeros(0), none, none)
    try:
        factor = scipy.linalg.cholesky(matrix, lower=True, check_finite=False)
        pivots = np.diag(factor) ** 2
        if pivots.min() > 10 * n * rank_tol * pivots.max():
            return Factor(factor, np.zeros(0), none, none)
    except scipy.linalg.LinAlgError:
        pass
    values, vectors = scipy.linalg.eigh(matrix, check_finite=False)
    kept = values > n * rank_tol * max(values[-1], 0.0)
    return Factor(None, values[kept], vectors[:, kept], vectors[:, ~kept])


def is_indefinite(hess: Array) -> bool:
    """Whether a Hessian has negative curvature that is no rounding."""
    if not np.isfinite(hess).all():
        return False
    shifted = hess + NEGATIVE * max(float(np.abs(np.diag(hess)).max(initial=0.0)), np.finfo(float).tiny) * np.eye(
        len(hess)
    )
    try:
        scipy.linalg.cholesky(shifted, lower=True, check_finite=False)
    except scipy.linalg.LinAlgError:
        return True
    return False


def definite(theta: Array, answer: Answer) -> Conversation:
    """The answer at θ, its Hessian replaced by the expected one (Fisher scoring) where it is indefinite."""
    if is_indefinite(answer.hess[0]):
        answer = yield Query(theta[None], EXPECTED)
    return answer


class NewtonState(NamedTuple):
    theta: Array
    value: float
    grad: Array
    step: float
    decrement: float
    direction: Array
    factor: Factor
    exact: bool  # the factor is of the Hessian at theta


@dataclass(frozen=True)
class NewtonCholesky:
    """Newton's method in standardised coordinates: value, gradient and Hessian from one sweep an iteration.

    Near the optimum the Hessian hardly changes: once the relative decrement is below ``reuse`` the last factor is
    kept and only the gradient asked for, as long as each such step shrinks the decrement (the Shamanskii method:
    Kelley, *Iterative Methods for Linear and Nonlinear Equations*, 1995, sec. 5.4.3). Where the Hessian is singular
    to working precision, the step is the one of minimum norm.

    Parameters
    ----------
    rank_tol : float
        Curvature below this share of the largest counts as none.
    reuse : float
        Keep the factor where √(decrement / F) is at most this; inf for a quadratic objective.
    rounding : float
        A decrement below this share of F cannot be told from rounding by a line search.
    """

    rank_tol: float = 1e-14
    reuse: float = 0.02
    rounding: float = 1e-13
    standardised: bool = True
    proximal: bool = False
    sampling: bool = False
    certified: bool = True
    l1_only: bool = False

    def init(self, theta: Array) -> Conversation:
        answer = yield Query(theta[None], HESSIAN)
        answer = yield from definite(theta, answer)
        return self._state(theta, answer, np.inf, None)

    def step(self, state: NewtonState) -> Conversation:
        slope = float(state.grad @ state.direction)
        if state.factor.null.shape[1]:
            linear = float(np.linalg.norm(state.factor.null.T @ state.grad))
            if linear > LINEAR * float(np.linalg.norm(state.grad)):  # the model falls for ever that way
                return (yield from self._damped(state))
        theta, step = state.theta + state.direction, 1.0
        kept = state.factor if self._keeps(state) else None
        answer = yield Query(theta[None], GRADIENT if kept else HESSIAN)
        flatter = level_and_flatter(answer, state.value, state.direction, slope, self.rounding)
        if not (flatter or sufficient(answer.value[0], state.value, 1.0, slope)):
            if state.decrement <= self.rounding * abs(state.value):
                return state._replace(step=0.0)
            if not state.exact:  # the kept factor misled: take the Hessian here and try again
                answer = yield Query(state.theta[None], HESSIAN)
                answer = yield from definite(state.theta, answer)
                return self._state(state.theta, answer, np.inf, None)
            steps = 0.5 ** np.arange(1, 13)
            found = yield from search(state.theta, state.direction, state.value, slope, steps)
            if found is None:
                return (yield from self._damped(state))
            step = found[0]
            theta = state.theta + step * state.direction
            answer = yield Query(theta[None], HESSIAN)
            kept = None
        if not kept:
            answer = yield from definite(theta, answer)
        new = self._state(theta, answer, step, kept)
        if kept and new.decrement > SHRINK * state.decrement:
            # not as near as it seemed: the next query asks for the Hessian
            return new._replace(exact=False, factor=new.factor._replace(stale=True))
        return new

    def _damped(self, state: NewtonState) -> Conversation:
        """The best of several damped steps: where the Hessian says little about the objective, as at a kink."""
        if not state.exact:
            answer = yield Query(state.theta[None], HESSIAN)
            answer = yield from definite(state.theta, answer)
            return self._state(state.theta, answer, np.inf, None)
        for shares in DAMPING:
            moves = -state.factor.damped(state.grad, shares)
            found = yield from search_points(state.theta + moves, state.value, moves @ state.grad)
            if found is not None:
                theta = state.theta + moves[found[0]]
                answer = yield Query(theta[None], HESSIAN)
                answer = yield from definite(theta, answer)
                return self._state(theta, answer, float(1 / (1 + shares[found[0]])), None)
        return state._replace(step=0.0)

    def solution(self, state: NewtonState) -> Array:
        """The last Newton step is computed already and costs no sweep: take it."""
        return state.theta + state.direction

    def _keeps(self, state: NewtonState) -> bool:
        near = state.decrement <= self.reuse**2 * abs(state.value) or np.isinf(self.reuse)
        return near and not state.factor.stale

    def _state(self, theta: Array, answer: Answer, step: float, kept: Factor | None) -> NewtonState:
        grad = answer.grad[0]
        if kept is None:
            factor = factorise(answer.hess[0], self.rank_tol)
        else:
            factor = kept
        direction = -factor.solve(grad)
        decrement = -0.5 * float(grad @ direction)
        return NewtonState(theta, float(answer.value[0]), grad, step, decrement, direction, factor, kept is None)
