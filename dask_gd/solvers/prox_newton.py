"""Proximal Newton for F = f + Ω with a nonsmooth Ω (Lee, Sun & Saunders, *SIAM J. Optimization* 24, 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..protocol import GRADIENT, HESSIAN, Answer, Array, Conversation, Query
from .line_search import search, search_points, sufficient
from .newton_cholesky import DAMPING, SHRINK, definite
from .quadratic_model import minimise_model


class ProxNewtonState(NamedTuple):
    theta: Array
    value: float
    grad: Array
    step: float
    decrement: float
    target: Array  # the minimiser of the quadratic model at theta, penalty included
    fall: float  # g·(target - θ) + Ω(target) - Ω(θ), below 0: what a unit step promises to first order
    hess: Array
    exact: bool  # the Hessian is that at theta
    stale: bool  # it misled: ask for a new one


@dataclass(frozen=True)
class ProxNewton:
    """Newton's method with the penalty kept whole in each quadratic model, which is solved without a sweep.

    Zeros, bounds and kinks are met exactly. Near the optimum the Hessian is kept, as :class:`NewtonCholesky` does.

    Parameters
    ----------
    nonsmooth : ThetaPenalty
        The part of Ω without a gradient.
    reuse : float
        Keep the Hessian where √(decrement / F) is at most this; inf for a quadratic loss.
    """

    nonsmooth: Any = None
    reuse: float = 0.02
    standardised: bool = True
    proximal: bool = True
    sampling: bool = False
    certified: bool = True
    l1_only: bool = False

    def init(self, theta: Array) -> Conversation:
        theta = self.nonsmooth.project(theta)
        answer = yield Query(theta[None], HESSIAN)
        answer = yield from definite(theta, answer)
        return self._state(theta, answer, np.inf, None)

    def step(self, state: ProxNewtonState) -> Conversation:
        move = state.target - state.theta
        kept = state.hess if self._keeps(state) else None
        answer = yield Query(state.target[None], GRADIENT if kept is not None else HESSIAN)
        theta, step = state.target, 1.0
        if not sufficient(answer.value[0], state.value, 1.0, state.fall):
            if not state.exact:
                answer = yield Query(state.theta[None], HESSIAN)
                answer = yield from definite(state.theta, answer)
                return self._state(state.theta, answer, np.inf, None)
            found = yield from search(state.theta, move, state.value, state.fall, 0.5 ** np.arange(1, 13))
            if found is None:
                return (yield from self._damped(state))
            step = found[0]
            theta = state.theta + step * move
            answer = yield Query(theta[None], HESSIAN)
            kept = None
        if kept is None:
            answer = yield from definite(theta, answer)
        new = self._state(theta, answer, step, kept)
        if kept is not None and new.decrement > SHRINK * state.decrement:
            return new._replace(exact=False, stale=True)
        return new

    def _damped(self, state: ProxNewtonState) -> Conversation:
        """The best of several damped steps: where the Hessian says little about the objective, as at a kink."""
        mean = float(np.trace(state.hess)) / len(state.theta) or 1.0
        eye = np.eye(len(state.theta))
        omega = self.nonsmooth
        for shares in DAMPING:
            models = [state.hess + m * mean * eye for m in shares]
            points = np.stack([minimise_model(state.theta, state.grad, model, omega) for model in models])
            promised = np.array([omega.change(state.theta, point, state.grad) for point in points])
            found = yield from search_points(points, state.value, promised)
            if found is not None:
                answer = yield Query(points[found[0]][None], HESSIAN)
                answer = yield from definite(points[found[0]], answer)
                return self._state(points[found[0]], answer, float(1 / (1 + shares[found[0]])), None)
        return state._replace(step=0.0)

    def solution(self, state: ProxNewtonState) -> Array:
        """The minimiser of the last model costs no sweep: take it."""
        return state.target

    def _keeps(self, state: ProxNewtonState) -> bool:
        near = state.decrement <= self.reuse**2 * abs(state.value) or np.isinf(self.reuse)
        return near and not state.stale

    def _state(self, theta: Array, answer: Answer, step: float, kept: Array | None) -> ProxNewtonState:
        grad = answer.grad[0]
        hess = answer.hess[0] if kept is None else kept
        if not (np.isfinite(grad).all() and np.isfinite(hess).all()):
            return ProxNewtonState(theta, np.inf, grad, step, np.inf, theta, 0.0, hess, True, False)
        target = minimise_model(theta, grad, hess, self.nonsmooth)
        move = target - theta
        fall = self.nonsmooth.change(theta, target, grad)
        decrement = max(-fall - 0.5 * float(move @ hess @ move), 0.0)
        value = float(answer.value[0])
        return ProxNewtonState(theta, value, grad, step, decrement, target, fall, hess, kept is None, False)
