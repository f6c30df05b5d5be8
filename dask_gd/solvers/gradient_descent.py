"""Gradient descent: θ ← prox(θ - η ∇f(θ)), F = f + Ω (Cauchy 1847; Nocedal & Wright, *Numerical Optimization*, 2006,
ch. 3; Parikh & Boyd, *Proximal Algorithms*, 2014, sec. 4.2). The prox is that of η times the part of the penalty that
has no gradient; without one it changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..protocol import Answer, Array, Conversation, Query
from .line_search import search_points

ROUNDS = 20  # of ever shorter trial steps
LEARNING_RATES = ("auto", "constant", "invscaling", "adaptive", "armijo")


class GradientDescentState(NamedTuple):
    theta: Array
    value: float
    grad: Array
    step: float
    decrement: float
    iteration: int
    eta: float  # the learning rate to try next


@dataclass(frozen=True)
class GradientDescent:
    """Full-gradient descent in original units.

    Parameters
    ----------
    learning_rate : {"auto", "constant", "invscaling", "adaptive", "armijo"}
        "constant": η = eta0. "invscaling": η = eta0 / t^power_t at iteration t. "adaptive": η = eta0 until the
        objective rises; then the step is taken back and η divided by 5. "armijo" (and "auto"): the best of several
        trial steps around the last one, all answered by one sweep; eta0 is the first trial.
    eta0 : float
        Learning rate; the unit is that of θ per gradient.
    power_t : float
        Exponent of "invscaling".
    nonsmooth : ThetaPenalty or None
        The part of Ω without a gradient.
    """

    learning_rate: str = "auto"
    eta0: float = 0.1
    power_t: float = 0.25
    nonsmooth: Any = None
    standardised: bool = False
    proximal: bool = True
    sampling: bool = False
    certified: bool = False

    def init(self, theta: Array) -> Conversation:
        theta = theta if self.nonsmooth is None else self.nonsmooth.project(theta)
        answer = yield Query(theta[None])
        value, grad = _only(answer)
        return GradientDescentState(theta, value, grad, np.inf, 0.0, 0, self.eta0)

    def step(self, state: GradientDescentState) -> Conversation:
        if self.learning_rate in ("auto", "armijo"):
            return (yield from self._armijo(state))
        t = state.iteration + 1
        eta = self.eta0 / t**self.power_t if self.learning_rate == "invscaling" else state.eta
        theta = self._descend(state, eta)
        answer = yield Query(theta[None])
        value, grad = _only(answer)
        if self.learning_rate == "adaptive" and not value < state.value:
            stuck = eta / 5 < 1e-10 * self.eta0
            return state._replace(iteration=t, eta=eta / 5, step=0.0 if stuck else eta)
        return GradientDescentState(theta, value, grad, eta, 0.0, t, eta)

    def _armijo(self, state: GradientDescentState) -> Conversation:
        reach = 64.0 if state.iteration == 0 else 2.0  # the first sweep looks wide around eta0
        steps = state.eta * reach * 0.5 ** np.arange(9 if state.iteration == 0 else 4)
        for _ in range(ROUNDS):
            points = np.stack([self._descend(state, eta) for eta in steps])
            promised = self._promised(state, points)
            if not promised[0] < -1e-17 * abs(state.value):
                break
            found = yield from search_points(points, state.value, promised)
            if found is not None:
                best, value, grad = found
                eta = float(steps[best])
                return GradientDescentState(points[best], value, grad, eta, 0.0, state.iteration + 1, eta)
            steps = steps * (0.5 * steps[-1] / steps[0])
        return state._replace(iteration=state.iteration + 1, step=0.0)

    def _descend(self, state: GradientDescentState, eta: float) -> Array:
        theta = state.theta - eta * state.grad
        return theta if self.nonsmooth is None else self.nonsmooth.prox(theta, eta)

    def _promised(self, state: GradientDescentState, points: Array) -> Array:
        """By how much F changes to first order, Ω taken whole."""
        if self.nonsmooth is None:
            return np.asarray((points - state.theta) @ state.grad)
        return np.array([self.nonsmooth.change(state.theta, point, state.grad) for point in points])

    def solution(self, state: GradientDescentState) -> Array:
        return state.theta


def _only(answer: Answer) -> tuple[float, Array]:
    return float(answer.value[0]), answer.grad[0]
