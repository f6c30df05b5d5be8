"""Truncated Newton: each step by conjugate gradients (Nocedal & Wright 2006, algorithm 7.1; Dembo, Eisenstat &
Steihaug, *SIAM J. Numerical Analysis* 19, 1982; of logistic models Lin, Weng & Keerthi, *JMLR* 9, 2008)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..protocol import DIAGONAL, GRADIENT, PRODUCT, Answer, Array, Conversation, Query
from .line_search import search, sufficient

FLAT = 1e-14  # curvature below this share of that of the diagonal is none
SHORTER = np.array([4.0, 2.0, 0.5, 0.25, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-6])
PRODUCTS = 200  # at the most, of one step
TRUST = 0.9  # γ of Eisenstat and Walker
MEMORY = 2**25  # numbers in all pairs at the most


class NewtonCGState(NamedTuple):
    theta: Array
    value: float
    grad: Array
    step: float
    decrement: float
    diagonal: Array  # (p,) of the Hessian, at θ or at a point before it
    s: Array  # (m, p) the last directions of conjugate gradients, oldest first
    y: Array  # (m, p) the Hessian times them
    forcing: float  # how much of the gradient the next step may leave, in the norm of the preconditioner


@dataclass(frozen=True)
class NewtonCG:
    """Newton's method in standardised coordinates without a Hessian: memory for vectors, whatever the conditioning.

    Every product of the Hessian with a direction is one sweep, so there are few: steps are solved the more precisely
    the nearer the minimum is (Eisenstat & Walker, *SIAM J. Scientific Computing* 17, 1996, choice 2), and what the
    products of earlier steps told of the Hessian preconditions the next (Morales & Nocedal, *SIAM J. Optimization* 10,
    2000): an L-BFGS matrix of the conjugate directions, upon the exact diagonal (Jacobi), which comes with a gradient.

    Parameters
    ----------
    memory : int
        Pairs (direction, product) kept.
    loosest : float
        The forcing term of the first step, and the largest of any.
    reuse : float
        Keep the diagonal where √(decrement / F) is at most this.
    """

    memory: int = 50
    loosest: float = 0.4
    reuse: float = 0.02
    standardised: bool = True
    proximal: bool = False
    sampling: bool = False
    certified: bool = False
    l1_only: bool = False

    def init(self, theta: Array) -> Conversation:
        answer = yield Query(theta[None], DIAGONAL)
        none = np.zeros((0, len(theta)))
        state = NewtonCGState(theta, float(answer.value[0]), answer.grad[0], np.inf, 0.0, theta, none, none, 0.0)
        return self._told(state._replace(diagonal=_positive(answer.hess_diag[0]), forcing=self.loosest))

    def step(self, state: NewtonCGState) -> Conversation:
        direction, s, y = yield from self._conjugate_gradients(state)
        state = state._replace(s=s, y=y)
        slope = float(state.grad @ direction)
        if not slope < 0:
            return self._forget(state)
        theta, step, diagonal = state.theta + direction, 1.0, state.diagonal
        near = state.decrement <= self.reuse**2 * abs(state.value)
        answer = yield Query(theta[None], GRADIENT if near else DIAGONAL)
        value, grad = float(answer.value[0]), answer.grad[0]
        if sufficient(value, state.value, 1.0, slope):
            diagonal = diagonal if near else _positive(answer.hess_diag[0])
        else:
            found = yield from search(state.theta, direction, state.value, slope, SHORTER)
            if found is None:
                return self._forget(state)
            step, value, grad = found
            theta = state.theta + step * direction
        new = self._told(NewtonCGState(theta, value, grad, step, 0.0, diagonal, s, y, state.forcing))
        if not (new.value < state.value or new.decrement < state.decrement):  # rounding is all that is left
            return state._replace(step=0.0)
        fall = new.decrement / state.decrement if state.decrement > 0 else 0.0  # (‖∇F‖/‖∇F before‖)², norm of M
        loose = TRUST * state.forcing**2
        forcing = max(TRUST * fall, loose) if loose > 0.1 else TRUST * fall
        return new._replace(forcing=min(forcing, self.loosest))

    def _conjugate_gradients(self, state: NewtonCGState) -> Generator[Query, Answer, tuple[Array, Array, Array]]:
        """The direction d ≈ -H⁻¹g, and the pairs that are known then."""
        residual, direction = -state.grad, np.zeros_like(state.grad)
        ahead = along = self._precondition(state, residual)
        left = start = float(residual @ ahead)
        s, y = [], []
        for _ in range(min(PRODUCTS, 2 * len(residual))):
            if not left > state.forcing**2 * start:
                break
            answer = yield Query(state.theta[None], PRODUCT, along[None])
            product = answer.hess_product[0]
            curvature = float(along @ product)
            if not curvature > FLAT * float(state.diagonal @ along**2):
                break  # none, negative, or not finite: what was found before is a descent direction
            share = left / curvature
            direction, residual = direction + share * along, residual - share * product
            s.append(along)
            y.append(product)
            ahead = self._precondition(state, residual)
            left, before = float(residual @ ahead), left
            along = ahead + left / before * along
        if not s:
            return along, state.s, state.y
        first = -min(self.memory, max(MEMORY // (2 * len(direction)), 1))
        return direction, np.vstack([state.s, *s])[first:], np.vstack([state.y, *y])[first:]

    def _precondition(self, state: NewtonCGState, vector: Array) -> Array:
        """M v ≈ H⁻¹v: the two loops of L-BFGS (Nocedal & Wright 2006, algorithm 7.4) around the diagonal."""
        q = vector.copy()
        rho = 1 / np.einsum("ij,ij->i", state.s, state.y)
        alpha = np.zeros(len(rho))
        for i in reversed(range(len(rho))):
            alpha[i] = rho[i] * (state.s[i] @ q)
            q -= alpha[i] * state.y[i]
        q /= state.diagonal
        for i in range(len(rho)):
            q += state.s[i] * (alpha[i] - rho[i] * (state.y[i] @ q))
        return q

    def _told(self, state: NewtonCGState) -> NewtonCGState:
        """The state with ½ gᵀMg, by how much F falls to its minimum as far as the preconditioner can tell."""
        decrement = 0.5 * float(state.grad @ self._precondition(state, state.grad))
        return state._replace(decrement=max(decrement, 0.0))

    def _forget(self, state: NewtonCGState) -> NewtonCGState:
        """Begin again with the diagonal alone; if that was all already, no step is lower."""
        none = np.zeros((0, len(state.theta)))
        new = state._replace(s=none, y=none, step=np.inf if len(state.s) else 0.0, forcing=self.loosest)
        return self._told(new)

    def solution(self, state: NewtonCGState) -> Array:
        return state.theta


def _positive(diagonal: Array) -> Array:
    """The diagonal with what is not above 0, or all but, put at the largest entry: no column without curvature may
    take a long step."""
    largest = float(np.max(diagonal, initial=0.0))
    if not (np.isfinite(largest) and largest > 0):
        return np.ones_like(diagonal)
    return np.where(diagonal > FLAT * largest, diagonal, largest)
