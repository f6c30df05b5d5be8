"""L-BFGS (Liu & Nocedal, *Mathematical Programming* 45, 1989; Nocedal & Wright 2006, algorithms 7.4 and 7.5)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..protocol import DIAGONAL, GRADIENT, Answer, Array, Conversation, Query
from .line_search import MANY, newton_length, search, sufficient

STEPS = np.array([2.0, 0.5, 0.25, 0.1, 0.03, 0.01, 0.001])
RARE = 1e-3  # a share of the mean curvature that every parameter is taken to have


class LBFGSState(NamedTuple):
    theta: Array
    value: float
    grad: Array
    step: float
    decrement: float
    s: Array  # (m, p) last changes of θ, oldest first
    y: Array  # (m, p) last changes of the gradient
    direction: Array
    diagonal: Array  # (p,) the Hessian's, where it was last asked for
    age: int  # iterations since then


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory quasi-Newton in standardised coordinates, its first guess the diagonal of the Hessian.

    The unit step is asked with its gradient and nearly always accepted, so an iteration is one sweep; when it is
    not, one more sweep answers a whole grid of shorter steps.

    Parameters
    ----------
    memory : int
        Pairs (s, y) kept.
    refresh : int
        Iterations after which the diagonal is asked for again, in the sweep of the next gradient.
    """

    memory: int = 20
    refresh: int = 10
    standardised: bool = True
    proximal: bool = False
    sampling: bool = False
    certified: bool = False
    l1_only: bool = False

    def init(self, theta: Array) -> Conversation:
        answer = yield Query(theta[None], DIAGONAL)
        grad = answer.grad[0]
        none = np.zeros((0, len(theta)))
        diagonal = floored(answer.hess_diag[0])
        return LBFGSState(theta, float(answer.value[0]), grad, np.inf, 0.0, none, none, -grad / diagonal, diagonal, 0)

    def step(self, state: LBFGSState) -> Conversation:
        direction = state.direction
        slope = float(state.grad @ direction)
        if slope >= 0:  # the pairs have lost their curvature to rounding
            return self._forget(state)
        diagonal, age = state.diagonal, state.age + 1
        if len(state.s):
            fresh = age >= self.refresh
            answer = yield Query((state.theta + direction)[None], DIAGONAL if fresh else GRADIENT)
            found: tuple[float, float, Array] | None = (1.0, float(answer.value[0]), answer.grad[0])
            lower = answer.value[0] < state.value or norm(answer.grad[0], diagonal) < norm(state.grad, diagonal)
            if not (sufficient(answer.value[0], state.value, 1.0, slope) and lower):
                found = yield from search(state.theta, direction, state.value, slope, STEPS)
            elif fresh and np.isfinite(answer.hess_diag).all():
                diagonal, age = floored(answer.hess_diag[0]), 0
        else:  # no scale is known yet: one sweep looks over nine powers of ten, and further where the slope is flat
            found = None
            if len(state.theta) >= MANY:
                found = yield from self._first_step(state, slope)
        if found is None and not len(state.s):
            flat = min(max(-0.5 * np.log10(-slope), 0.0), 10.0)
            steps = 10.0 ** np.arange(2 + round(flat), -7, -1)
            found = yield from search(state.theta, direction, state.value, slope, steps)
        if found is None:
            return self._forget(state)
        step, value, grad = found
        theta = state.theta + step * direction
        s, y = theta - state.theta, grad - state.grad
        pairs = (state.s, state.y)
        if s @ y > np.finfo(float).eps * (y @ y):
            pairs = (np.vstack([state.s, s])[-self.memory :], np.vstack([state.y, y])[-self.memory :])
        direction = two_loop(grad, *pairs, solve=lambda v: v / diagonal)
        decrement = -0.5 * float(grad @ direction)
        return LBFGSState(theta, value, grad, step, decrement, *pairs, direction, diagonal, age)

    def _first_step(
        self, state: LBFGSState, slope: float
    ) -> Generator[Query, Answer, tuple[float, float, Array] | None]:
        """As far as the Hessian along the direction tells, if that does lower F: (step, value, gradient)."""
        step = yield from newton_length(state.theta, state.direction, slope)
        if step is None:
            return None
        return (yield from search(state.theta, state.direction, state.value, slope, np.array([step])))

    def _forget(self, state: LBFGSState) -> LBFGSState:
        """Fall back to the diagonal, and from that to steepest descent; if it was that already, no step is lower."""
        none = np.zeros((0, len(state.theta)))
        if len(state.s):
            return state._replace(s=none, y=none, direction=-state.grad / state.diagonal, step=np.inf)
        step = 0.0 if (state.diagonal == 1).all() else np.inf  # near a kink the diagonal says little
        return state._replace(direction=-state.grad, diagonal=np.ones_like(state.diagonal), step=step)

    def solution(self, state: LBFGSState) -> Array:
        return state.theta


def norm(grad: Array, diagonal: Array) -> float:
    """gᵀD⁻¹g: what falls where differences of F are rounding."""
    return float(grad @ (grad / diagonal))


def floored(diagonal: Array) -> Array:
    """The diagonal, kept away from 0."""
    mean = float(diagonal.mean())
    if not (np.isfinite(diagonal).all() and mean > 0):
        return np.ones_like(diagonal)
    return np.asarray(np.maximum(diagonal, RARE * mean))


def two_loop(grad: Array, s: Array, y: Array, solve: Callable[[Array], Array] | None = None) -> Array:
    """-H grad, with H the L-BFGS inverse Hessian of the pairs (rows of ``s`` and ``y``).

    ``solve`` applies the inverse of a first guess of the Hessian, up to a factor; by default the identity.
    """
    q = grad.copy()
    if not len(s):
        return -q if solve is None else -solve(q)
    rho = 1.0 / np.einsum("ij,ij->i", s, y)
    alpha = np.zeros(len(s))
    for i in reversed(range(len(s))):
        alpha[i] = rho[i] * (s[i] @ q)
        q -= alpha[i] * y[i]
    if solve is None:
        q *= (s[-1] @ y[-1]) / (y[-1] @ y[-1])
    else:
        q = solve(q) * ((s[-1] @ y[-1]) / (y[-1] @ solve(y[-1])))
    for i in range(len(s)):
        q += s[i] * (alpha[i] - rho[i] * (y[i] @ q))
    return -q
