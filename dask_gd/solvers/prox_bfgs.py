"""Proximal quasi-Newton: BFGS from a sampled Hessian, the penalty kept whole in each model.

Sources: Lee, Sun & Saunders, *SIAM J. Optimization* 24 (2014), sec. 2.2; Nocedal & Wright 2006, eq. 6.19.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..protocol import DIAGONAL, GRADIENT, Array, Conversation, Query
from .line_search import search, search_points, sufficient
from .newton_cholesky import DAMPING
from .quadratic_model import minimise_model
from .sampled_hessian import Calibration, calibrated, refreshed


class ProxBFGSState(NamedTuple):
    theta: Array
    value: float
    grad: Array
    step: float
    decrement: float
    target: Array  # the minimiser of the quadratic model at theta, penalty included
    fall: float  # g·(target - θ) + Ω(target) - Ω(θ), below 0: what a unit step promises to first order
    hess: Array  # the model's curvature
    calibration: Calibration


@dataclass(frozen=True)
class ProxBFGS:
    """Proximal Newton with a quasi-Newton Hessian: one gradient an iteration, zeros and bounds met exactly.

    The Hessian is that of a row sample, its diagonal made exact by the first sweep; BFGS updates correct it.

    Parameters
    ----------
    nonsmooth : ThetaPenalty
        The part of Ω without a gradient.
    rounding : float
        A decrement below this share of F cannot be told from rounding by a line search.
    """

    nonsmooth: Any = None
    rounding: float = 1e-13
    standardised: bool = True
    proximal: bool = True
    sampling: bool = True
    certified: bool = True
    l1_only: bool = False

    def init(self, theta: Array) -> Conversation:
        theta = self.nonsmooth.project(theta)
        answer = yield Query(theta[None], DIAGONAL)
        hess, calibration = yield from calibrated(theta, answer)
        return self._state(theta, float(answer.value[0]), answer.grad[0], np.inf, hess, calibration)

    def step(self, state: ProxBFGSState) -> Conversation:
        move = state.target - state.theta
        answer = yield Query(state.target[None], GRADIENT)
        if sufficient(answer.value[0], state.value, 1.0, state.fall):
            return (yield from self._next(state, state.target, float(answer.value[0]), answer.grad[0], 1.0))
        found = yield from search(state.theta, move, state.value, state.fall, 0.5 ** np.arange(1, 13))
        if found is not None:
            step, value, grad = found
            return (yield from self._next(state, state.theta + step * move, value, grad, step))
        if state.decrement <= self.rounding * abs(state.value):
            return state._replace(step=0.0)
        mean = float(np.trace(state.hess)) / len(state.theta) or 1.0
        for shares in DAMPING:
            models = [state.hess + m * mean * np.eye(len(state.theta)) for m in shares]
            points = np.stack([minimise_model(state.theta, state.grad, model, self.nonsmooth) for model in models])
            promised = np.array([self.nonsmooth.change(state.theta, point, state.grad) for point in points])
            best = yield from search_points(points, state.value, promised)
            if best is not None:
                number, value, grad = best
                return (yield from self._next(state, points[number], value, grad, float(1 / (1 + shares[number]))))
        return state._replace(step=0.0)

    def _next(self, state: ProxBFGSState, theta: Array, value: float, grad: Array, step: float) -> Conversation:
        hess = updated(state.hess, theta - state.theta, grad - state.grad)
        new = self._state(theta, value, grad, step, hess, state.calibration)
        again, calibration = yield from refreshed(theta, state.calibration, new.decrement, value)
        if again is None:
            return new
        return self._state(theta, value, grad, step, again, calibration)

    def _state(
        self, theta: Array, value: float, grad: Array, step: float, hess: Array, calibration: Calibration
    ) -> ProxBFGSState:
        if not (np.isfinite(grad).all() and np.isfinite(hess).all()):
            return ProxBFGSState(theta, np.inf, grad, step, np.inf, theta, 0.0, hess, calibration)
        target = minimise_model(theta, grad, hess, self.nonsmooth)
        move = target - theta
        fall = self.nonsmooth.change(theta, target, grad)
        decrement = max(-fall - 0.5 * float(move @ hess @ move), 0.0)
        return ProxBFGSState(theta, value, grad, step, decrement, target, fall, hess, calibration)

    def solution(self, state: ProxBFGSState) -> Array:
        """The minimiser of the last model costs no sweep: take it."""
        return state.target


def updated(hess: Array, s: Array, y: Array) -> Array:
    """BFGS: the nearest matrix with hess s = y, as long as that is curvature."""
    along = hess @ s
    curvature, model = float(s @ y), float(s @ along)
    if not (curvature > 1e-12 * np.linalg.norm(s) * np.linalg.norm(y) and model > 0):
        return hess
    return np.asarray(hess + np.outer(y / curvature, y) - np.outer(along / model, along))
