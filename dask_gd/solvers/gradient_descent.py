"""Gradient descent: θ ← prox(θ - η ∇f(θ)), F = f + Ω (Cauchy 1847; Nocedal & Wright, *Numerical Optimization*, 2006,
ch. 3; Parikh & Boyd, *Proximal Algorithms*, 2014, sec. 4.2). The prox is that of η times the part of the penalty that
has no gradient; without one it changes nothing. Where η comes from the last step: :mod:`.step_sizes`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..protocol import Array, Conversation, Query
from .line_search import ROUNDING, search_points, sufficient
from .step_sizes import adgd, barzilai_borwein, safe_first

ROUNDS = 20  # of ever shorter trial steps
WINDOW = 10  # last objectives, of which a Barzilai-Borwein step need not exceed the highest
MOMENTUM_RATES = ("constant", "invscaling", "adaptive")
LEARNING_RATES = ("auto", *MOMENTUM_RATES, "armijo", "bb", "adgd")
FIRST_REACH = 2.0 ** np.arange(6, -74, -4)  # times eta0: the first trial steps of a rule that knows no curvature yet
SHORTER = 2.0 ** -np.arange(1, 13)


class GradientDescentState(NamedTuple):
    theta: Array
    value: float
    grad: Array
    step: float
    decrement: float
    iteration: int
    eta: float  # the learning rate to try next; "bb" and "adgd": the last one
    growth: float  # η over the η before it
    move: Array  # θ less the θ before it
    turn: Array  # the same of the gradient
    ahead_grad: Array  # the gradient at θ + momentum · move, where Nesterov's step starts; else that at θ
    recent: Array  # the last objectives, of "bb"; the first, of "adgd"


@dataclass(frozen=True)
class GradientDescent:
    """Full-gradient descent, by default in original units.

    Parameters
    ----------
    learning_rate : {"auto", "constant", "invscaling", "adaptive", "armijo", "bb", "adgd"}
        "constant": η = eta0. "invscaling": η = eta0 / t^power_t at iteration t. "adaptive": η = eta0 until the
        objective rises; then the step is taken back and η divided by 5. "armijo" (and "auto"): the best of several
        trial steps around the last one, all answered by one sweep; eta0 is the first trial. "bb": Barzilai and
        Borwein's η from the last step, unless the objective rises above the highest of its last 10 values; the first
        step is Armijo's. "adgd": Malitsky and Mishchenko's η, from gradients alone; the first step is the longest
        trial from eta0 downwards over which the gradient changes by at most half.
    eta0 : float
        Learning rate; the unit is that of θ per gradient.
    power_t : float
        Exponent of "invscaling".
    momentum : float
        β in [0, 1), of the rates "constant", "invscaling" and "adaptive": θ ← θ - η ∇f(θ) + β (θ - θ before)
        (the heavy ball: Polyak 1964; with a prox Ochs, Chen, Brox & Pock 2014).
    nesterov : bool
        True: the gradient is that at θ + β (θ - θ before) (Nesterov 1983).
    nonsmooth : ThetaPenalty or None
        The part of Ω without a gradient.
    standardised : bool
        True: the same in standardised coordinates, which is a diagonal metric in the original ones.
    """

    learning_rate: str = "auto"
    eta0: float = 0.1
    power_t: float = 0.25
    momentum: float = 0.0
    nesterov: bool = False
    nonsmooth: Any = None
    standardised: bool = False
    proximal: bool = True
    sampling: bool = False
    certified: bool = False
    l1_only: bool = False

    def init(self, theta: Array) -> Conversation:
        theta = theta if self.nonsmooth is None else self.nonsmooth.project(theta)
        answer = yield Query(theta[None])
        value, grad = float(answer.value[0]), answer.grad[0]
        still = np.zeros_like(theta)
        recent = np.array([value])
        return GradientDescentState(theta, value, grad, np.inf, 0.0, 0, self.eta0, 1.0, still, still, grad, recent)

    def step(self, state: GradientDescentState) -> Conversation:
        if self.learning_rate in MOMENTUM_RATES:
            return (yield from self._textbook(state))
        if self.learning_rate == "bb":
            return (yield from self._barzilai_borwein(state))
        if self.learning_rate == "adgd":
            return (yield from self._adgd(state))
        return (yield from self._armijo(state))

    def solution(self, state: GradientDescentState) -> Array:
        return state.theta

    # -- one step-size rule each ---------------------------------------------------------------------------------

    def _textbook(self, state: GradientDescentState) -> Conversation:
        t = state.iteration + 1
        eta = self.eta0 / t**self.power_t if self.learning_rate == "invscaling" else state.eta
        start = state.theta + self.momentum * state.move if self.momentum else state.theta
        theta = self._prox(start - eta * state.ahead_grad, eta)
        move = theta - state.theta
        if self.nesterov:  # where the next step starts is known already: one sweep answers both
            answer = yield Query(np.stack([theta, self._project(theta + self.momentum * move)]))
        else:
            answer = yield Query(theta[None])
        value, grad = float(answer.value[0]), answer.grad[0]
        if self.learning_rate == "adaptive" and not value < state.value:
            stuck = eta / 5 < 1e-10 * self.eta0
            taken_back = state._replace(iteration=t, eta=eta / 5, step=0.0 if stuck else eta)
            return taken_back._replace(move=np.zeros_like(move), ahead_grad=state.grad)
        new = state._replace(theta=theta, value=value, grad=grad, step=eta, iteration=t, eta=eta, move=move)
        return new._replace(ahead_grad=answer.grad[-1])

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
                return self._moved(state, points[best], value, grad, float(steps[best]))
            steps = steps * (0.5 * steps[-1] / steps[0])
        return state._replace(iteration=state.iteration + 1, step=0.0)

    def _barzilai_borwein(self, state: GradientDescentState) -> Conversation:
        if not state.move.any():
            return (yield from self._armijo(state))
        eta, highest = barzilai_borwein(state.move, state.turn, state.eta), float(np.max(state.recent))
        point = self._descend(state, eta)
        promised = self._promised(state, point[None])
        if not promised[0] < -1e-17 * abs(state.value):
            return state._replace(iteration=state.iteration + 1, step=0.0)
        answer = yield Query(point[None])
        if sufficient(answer.value[0], highest, 1.0, promised[0]):
            return self._moved(state, point, float(answer.value[0]), answer.grad[0], eta)
        points = np.stack([self._descend(state, eta * share) for share in SHORTER])
        found = yield from search_points(points, highest, self._promised(state, points))
        if found is None:  # nothing is lower than the highest: look below the last one, from afresh
            return (yield from self._armijo(state))
        best, value, grad = found
        return self._moved(state, points[best], value, grad, float(eta * SHORTER[best]))

    def _adgd(self, state: GradientDescentState) -> Conversation:
        if not state.move.any():
            return (yield from self._adgd_first(state))
        etas = np.array([adgd(state.move, state.turn, state.eta, state.growth)])
        # The theory lets F rise for a while. Where it rises above the start, the last curvature said little of what
        # was to come, and shorter steps, which the theory allows too, cost less.
        ceiling = max(state.value, float(state.recent[0])) + ROUNDING * abs(state.value)
        for _ in range(ROUNDS):
            points = np.stack([self._descend(state, eta) for eta in etas])
            answer = yield Query(points)
            good = np.flatnonzero(answer.value <= ceiling)
            if len(good):
                i = int(good[0])
                return self._moved(state, points[i], float(answer.value[i]), answer.grad[i], float(etas[i]))
            etas = etas[-1] * SHORTER
        return state._replace(iteration=state.iteration + 1, step=0.0)

    def _adgd_first(self, state: GradientDescentState) -> Conversation:
        steps = self.eta0 * FIRST_REACH
        points = np.stack([self._descend(state, eta) for eta in steps])
        answer = yield Query(points)
        first = safe_first(points - state.theta, answer.grad - state.grad, steps, answer.value <= state.value)
        if first is None:
            return state._replace(iteration=state.iteration + 1, step=0.0)
        new = self._moved(state, points[first], float(answer.value[first]), answer.grad[first], float(steps[first]))
        return new._replace(growth=1 / 3, recent=np.array([state.value]))

    # -- what they share -----------------------------------------------------------------------------------------

    def _moved(
        self, state: GradientDescentState, theta: Array, value: float, grad: Array, eta: float
    ) -> GradientDescentState:
        recent = state.recent
        if self.learning_rate == "bb":
            recent = np.append(recent, value)[-WINDOW:]
        move, turn, growth = theta - state.theta, grad - state.grad, eta / state.eta
        t = state.iteration + 1
        return GradientDescentState(theta, value, grad, eta, 0.0, t, eta, growth, move, turn, grad, recent)

    def _descend(self, state: GradientDescentState, eta: float) -> Array:
        return self._prox(state.theta - eta * state.grad, eta)

    def _prox(self, theta: Array, eta: float) -> Array:
        return theta if self.nonsmooth is None else self.nonsmooth.prox(theta, eta)

    def _project(self, theta: Array) -> Array:
        return theta if self.nonsmooth is None else self.nonsmooth.project(theta)

    def _promised(self, state: GradientDescentState, points: Array) -> Array:
        """By how much F changes to first order, Ω taken whole."""
        if self.nonsmooth is None:
            return np.asarray((points - state.theta) @ state.grad)
        return np.array([self.nonsmooth.change(state.theta, point, state.grad) for point in points])
