"""Gradient descent: θ ← θ - η ∇F(θ) (Cauchy 1847; Nocedal & Wright, *Numerical Optimization*, 2006, ch. 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..protocol import Answer, Array, Conversation, Query
from .line_search import search

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
    """

    learning_rate: str = "auto"
    eta0: float = 0.1
    power_t: float = 0.25
    standardised: bool = False

    def init(self, theta: Array) -> Conversation:
        answer = yield Query(theta[None])
        value, grad = _only(answer)
        return GradientDescentState(theta, value, grad, np.inf, 0.0, 0, self.eta0)

    def step(self, state: GradientDescentState) -> Conversation:
        if self.learning_rate in ("auto", "armijo"):
            return (yield from self._armijo(state))
        t = state.iteration + 1
        eta = self.eta0 / t**self.power_t if self.learning_rate == "invscaling" else state.eta
        theta = state.theta - eta * state.grad
        answer = yield Query(theta[None])
        value, grad = _only(answer)
        if self.learning_rate == "adaptive" and not value < state.value:
            stuck = eta / 5 < 1e-10 * self.eta0
            return state._replace(iteration=t, eta=eta / 5, step=0.0 if stuck else eta)
        return GradientDescentState(theta, value, grad, eta, 0.0, t, eta)

    def _armijo(self, state: GradientDescentState) -> Conversation:
        slope = -float(state.grad @ state.grad)
        reach = 64.0 if state.iteration == 0 else 2.0  # the first sweep looks wide around eta0
        steps = state.eta * reach * 0.5 ** np.arange(9 if state.iteration == 0 else 4)
        while slope < 0 and steps[0] * abs(slope) > 1e-17 * abs(state.value):
            found = yield from search(state.theta, -state.grad, state.value, slope, steps)
            if found is not None:
                eta, value, grad = found
                return GradientDescentState(
                    state.theta - eta * state.grad, value, grad, eta, 0.0, state.iteration + 1, eta
                )
            steps = steps * (0.5 * steps[-1] / steps[0])
        return state._replace(iteration=state.iteration + 1, step=0.0)

    def solution(self, state: GradientDescentState) -> Array:
        return state.theta


def _only(answer: Answer) -> tuple[float, Array]:
    return float(answer.value[0]), answer.grad[0]
