"""L-BFGS whose first guess of the Hessian comes from a row sample.

The sample removes the conditioning, the pairs what the sample gets wrong, so that the sweeps hardly grow with either
(Byrd, Chin, Neveitt & Nocedal, *SIAM J. Optimization* 21, 2011; Zhang & Xiao, *DiSCO*, ICML 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..protocol import DIAGONAL, GRADIENT, Array, Conversation, Query
from .lbfgs import two_loop
from .line_search import level_and_flatter, search, search_points, sufficient
from .newton_cholesky import DAMPING, Factor, factorise
from .sampled_hessian import Calibration, calibrated, refreshed

STEPS = np.array([2.0, 0.5, 0.25, 0.1, 0.03, 0.01, 0.001])


class PreconditionedState(NamedTuple):
    theta: Array
    value: float
    grad: Array
    step: float
    decrement: float
    s: Array  # (m, p) last changes of θ, oldest first
    y: Array  # (m, p) last changes of the gradient
    direction: Array
    metric: Factor  # of B
    calibration: Calibration


@dataclass(frozen=True)
class PreconditionedLBFGS:
    """L-BFGS in the metric of a sub-sampled Hessian B: one gradient an iteration, whatever the conditioning.

    B is the Hessian on a row sample, its diagonal made exact by the first sweep. Far from the point where it was taken
    it is taken again, which costs no sweep.

    Parameters
    ----------
    memory : int
        Pairs (s, y) kept.
    rank_tol : float
        Curvature below this share of the largest counts as none.
    rounding : float
        A decrement below this share of F cannot be told from rounding by a line search.
    """

    memory: int = 20
    rank_tol: float = 1e-14
    rounding: float = 1e-13
    standardised: bool = True
    proximal: bool = False
    sampling: bool = True
    certified: bool = True
    l1_only: bool = False

    def init(self, theta: Array) -> Conversation:
        answer = yield Query(theta[None], DIAGONAL)
        hess, calibration = yield from calibrated(theta, answer)
        none = np.zeros((0, len(theta)))
        metric = factorise(hess, self.rank_tol)
        return self._state(theta, float(answer.value[0]), answer.grad[0], np.inf, none, none, metric, calibration)

    def step(self, state: PreconditionedState) -> Conversation:
        slope = float(state.grad @ state.direction)
        answer = yield Query((state.theta + state.direction)[None], GRADIENT)
        value, grad = float(answer.value[0]), answer.grad[0]
        found: tuple[float, float, Array] | None = (1.0, value, grad)
        flatter = level_and_flatter(answer, state.value, state.direction, slope, self.rounding)
        if not (flatter or sufficient(value, state.value, 1.0, slope)):
            found = yield from search(state.theta, state.direction, state.value, slope, STEPS)
        if found is not None:
            step, value, grad = found
            return (yield from self._next(state, state.theta + step * state.direction, value, grad, step))
        if state.decrement <= self.rounding * abs(state.value):
            return state._replace(step=0.0)
        if len(state.s):  # the pairs misled
            none = np.zeros((0, len(state.theta)))
            return state._replace(s=none, y=none, direction=-state.metric.solve(state.grad), step=np.inf)
        for shares in DAMPING:
            moves = -state.metric.damped(state.grad, shares)
            best = yield from search_points(state.theta + moves, state.value, moves @ state.grad)
            if best is not None:
                number, value, grad = best
                step = float(1 / (1 + shares[number]))
                return (yield from self._next(state, state.theta + moves[number], value, grad, step))
        return state._replace(step=0.0)

    def _next(self, state: PreconditionedState, theta: Array, value: float, grad: Array, step: float) -> Conversation:
        s, y = theta - state.theta, grad - state.grad
        pairs = (state.s, state.y)
        if s @ y > np.finfo(float).eps * float(np.linalg.norm(s) * np.linalg.norm(y)):
            pairs = (np.vstack([state.s, s])[-self.memory :], np.vstack([state.y, y])[-self.memory :])
        metric = state.metric
        decrement = 0.5 * float(grad @ metric.solve(grad))
        hess, calibration = yield from refreshed(theta, state.calibration, decrement, value)
        if hess is not None:
            metric = factorise(hess, self.rank_tol)
            pairs = (pairs[0][-1:], pairs[1][-1:])  # older ones would spoil it
        return self._state(theta, value, grad, step, *pairs, metric, calibration)

    def _state(
        self,
        theta: Array,
        value: float,
        grad: Array,
        step: float,
        s: Array,
        y: Array,
        metric: Factor,
        calibration: Calibration,
    ) -> PreconditionedState:
        direction = two_loop(grad, s, y, solve=metric.solve)
        decrement = max(0.5 * float(grad @ metric.solve(grad)), -0.5 * float(grad @ direction))
        return PreconditionedState(theta, value, grad, step, decrement, s, y, direction, metric, calibration)

    def solution(self, state: PreconditionedState) -> Array:
        """The next step is computed already and costs no sweep: take it."""
        return state.theta + state.direction
