"""FISTA with restarts (Beck & Teboulle, *SIAM J. Imaging Sciences* 2, 2009; O'Donoghue & Candès 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..protocol import Array, Conversation, Query

GROW = 2.0  # the Lipschitz estimate, where it was too low
SHRINK = 0.95  # and each iteration, in case it has become too high


class FISTAState(NamedTuple):
    theta: Array
    value: float
    grad: Array
    step: float
    decrement: float
    ahead: Array  # the extrapolated point, where the next gradient step starts
    ahead_value: float  # F without the nonsmooth part, there
    ahead_grad: Array
    t: float
    lipschitz: float


@dataclass(frozen=True)
class FISTA:
    """Accelerated proximal gradient in standardised coordinates: memory of a few vectors, whatever the penalty.

    The new point and the extrapolated one are asked about together, so an iteration is one sweep; a step that was too
    long is taken back and costs another.

    Parameters
    ----------
    nonsmooth : ThetaPenalty
        The part of Ω without a gradient.
    """

    nonsmooth: Any = None
    standardised: bool = True
    proximal: bool = True
    sampling: bool = False
    certified: bool = False
    l1_only: bool = False

    def init(self, theta: Array) -> Conversation:
        theta = self.nonsmooth.project(theta)
        answer = yield Query(theta[None])
        value, grad = float(answer.value[0]), answer.grad[0]
        smooth = value - self.nonsmooth.value(theta)
        return FISTAState(theta, value, grad, np.inf, 0.0, theta, smooth, grad, 1.0, 1.0)

    def step(self, state: FISTAState) -> Conversation:
        omega, lipschitz = self.nonsmooth, state.lipschitz * SHRINK
        for _ in range(60):
            theta = omega.prox(state.ahead - state.ahead_grad / lipschitz, 1 / lipschitz)
            move = theta - state.ahead
            restart = float(move @ (theta - state.theta)) < 0 and state.t > 1
            t = 1.0 if restart else (1 + np.sqrt(1 + 4 * state.t**2)) / 2
            momentum = 0.0 if restart else (state.t - 1) / t
            ahead = omega.project(theta + momentum * (theta - state.theta))
            answer = yield Query(np.stack([theta, ahead]))
            smooth = answer.value - np.array([omega.value(theta), omega.value(ahead)])
            bound = state.ahead_value + float(state.ahead_grad @ move) + 0.5 * lipschitz * float(move @ move)
            if smooth[0] <= bound + 1e-13 * abs(bound) and np.isfinite(answer.value[1]):
                break
            lipschitz *= GROW
        else:
            return state._replace(step=0.0)
        value, grad = float(answer.value[0]), answer.grad[0]
        return FISTAState(theta, value, grad, 1 / lipschitz, 0.0, ahead, float(smooth[1]), answer.grad[1], t, lipschitz)

    def solution(self, state: FISTAState) -> Array:
        return state.theta
