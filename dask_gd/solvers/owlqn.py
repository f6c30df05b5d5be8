"""Orthant-wise limited-memory quasi-Newton for L1 (Andrew & Gao, *Scalable Training of L1-Regularized Log-Linear
Models*, ICML 2007)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..protocol import Array, Conversation, Query
from .lbfgs import two_loop
from .line_search import MANY, ROUNDING, newton_length, sufficient

SHORTER = np.array([2.0, 0.5, 0.25, 0.1, 0.03, 0.01, 1e-3, 1e-5])
FLAT = 1e-10  # a pair with less curvature tells nothing of the coefficients that are free


class OWLQNState(NamedTuple):
    theta: Array
    value: float
    grad: Array
    step: float
    decrement: float
    s: Array  # (m, p) last changes of θ, oldest first
    y: Array  # (m, p) last changes of the gradient of f
    pseudo: Array  # the subgradient of F of smallest norm: F falls the fastest against it
    direction: Array


@dataclass(frozen=True)
class OWLQN:
    """L-BFGS for F = f + Σ l1 |θ - c|, in standardised coordinates: F is smooth within one orthant about c.

    A step stays in its orthant: what would cross a kink is put on it, so that zeros are exact. The quasi-Newton pairs
    are those of f alone. As in :class:`LBFGS` the unit step is nearly always accepted, and one more sweep answers a
    whole grid of others, each projected on its own.

    Two changes make it several times faster on correlated columns. The two loops run over the free coefficients alone,
    so that those held on a kink do not bend the step (Byrd, Chin, Nocedal & Oztoprak, *A Family of Second-Order
    Methods for Convex L1-Regularized Optimization*, 2016). And only coefficients on a kink must point downhill one by
    one, as Andrew & Gao's sec. 3.2 has it for all: what is dropped there can but steepen the slope.

    Parameters
    ----------
    nonsmooth : ThetaPenalty
        The part of Ω without a gradient: L1 about any centre, and nothing else.
    memory : int
        Pairs (s, y) kept.
    """

    nonsmooth: Any = None
    memory: int = 10
    standardised: bool = True
    proximal: bool = True
    sampling: bool = False
    certified: bool = False
    l1_only: bool = True

    def init(self, theta: Array) -> Conversation:
        """Raises ValueError for groups or bounds."""
        self._kinks()
        answer = yield Query(theta[None])
        none = np.zeros((0, len(theta)))
        return self._state(theta, float(answer.value[0]), answer.grad[0], np.inf, none, none)

    def step(self, state: OWLQNState) -> Conversation:
        if not state.direction.any():
            return state._replace(step=0.0) if not len(state.s) else self._forget(state)
        step: float | None = 1.0 if len(state.s) else None
        if step is None and len(state.theta) >= MANY:
            step = yield from newton_length(state.theta, state.direction, float(state.pseudo @ state.direction))
        if step is not None:
            point = self._within_orthant(state, step)
            answer = yield Query(point[None])
            if self._accepts(state, point, float(answer.value[0]), answer.grad[0]):
                return self._moved(state, point, float(answer.value[0]), answer.grad[0], step)
        if len(state.s):
            steps = SHORTER
        else:  # no scale is known yet
            flat = min(max(-np.log10(float(np.linalg.norm(state.pseudo))), 0.0), 10.0)
            steps = 10.0 ** np.arange(1 + round(flat), -7, -1)
        points = np.stack([self._within_orthant(state, step) for step in steps])
        answer = yield Query(points)
        good = [i for i in range(len(steps)) if self._accepts(state, points[i], float(answer.value[i]), answer.grad[i])]
        if not good:
            return self._forget(state)
        best = min(good, key=lambda i: (answer.value[i], steps[i]))
        return self._moved(state, points[best], float(answer.value[best]), answer.grad[best], float(steps[best]))

    def solution(self, state: OWLQNState) -> Array:
        return state.theta

    def _within_orthant(self, state: OWLQNState, step: float) -> Array:
        """θ + step · direction, with what has left the orthant of θ, or on a kink that of the direction, on its kink
        (π of Andrew & Gao, sec. 3.2)."""
        l1, center = self._kinks()
        away = state.theta - center
        orthant = np.where(away != 0, np.sign(away), -np.sign(state.pseudo))
        point = state.theta + step * state.direction
        return np.where((l1 > 0) & (np.sign(point - center) != orthant), center, point)

    def _accepts(self, state: OWLQNState, point: Array, value: float, grad: Array) -> bool:
        """Armijo's rule along the projected arc. Where F falls by no more than rounding, the pseudo-gradient tells."""
        promised = min(float((point - state.theta) @ state.pseudo), 0.0)
        if not sufficient(value, state.value, 1.0, promised):
            return False
        if value < state.value - ROUNDING * abs(state.value):
            return True
        return float(np.linalg.norm(self._pseudo(point, grad))) < float(np.linalg.norm(state.pseudo))

    def _moved(self, state: OWLQNState, theta: Array, value: float, grad: Array, step: float) -> OWLQNState:
        s, y = theta - state.theta, grad - state.grad
        pairs = (state.s, state.y)
        if s @ y > np.finfo(float).eps * (y @ y):
            pairs = (np.vstack([state.s, s])[-self.memory :], np.vstack([state.y, y])[-self.memory :])
        return self._state(theta, value, grad, step, *pairs)

    def _state(self, theta: Array, value: float, grad: Array, step: float, s: Array, y: Array) -> OWLQNState:
        pseudo = self._pseudo(theta, grad)
        l1, center = self._kinks()
        kinked = (l1 > 0) & (theta == center)
        free = ~kinked | (pseudo != 0)
        direction = np.zeros_like(theta)
        own_s, own_y = s[:, free], y[:, free]
        curved = np.einsum("ij,ij->i", own_s, own_y) > FLAT * np.einsum("ij,ij->i", own_y, own_y)
        direction[free] = two_loop(pseudo[free], own_s[curved], own_y[curved])
        direction[kinked & (direction * pseudo >= 0)] = 0.0  # out of the orthant, where the slope is another
        decrement = -0.5 * float(pseudo @ direction) if len(s) else 0.0
        return OWLQNState(theta, value, grad, step, decrement, s, y, pseudo, direction)

    def _pseudo(self, theta: Array, grad: Array) -> Array:
        """◇F: the derivative, on a kink the one-sided derivative along which F falls, else 0 (eq. 4)."""
        l1, center = self._kinks()
        away = theta - center
        on_kink = np.sign(grad) * np.maximum(np.abs(grad) - l1, 0)
        return np.where(away != 0, grad + l1 * np.sign(away), on_kink)

    def _forget(self, state: OWLQNState) -> OWLQNState:
        """Fall back to the pseudo-gradient; if that was it already, no step is lower."""
        none = np.zeros((0, len(state.theta)))
        step = np.inf if len(state.s) else 0.0
        return self._state(state.theta, state.value, state.grad, step, none, none)

    def _kinks(self) -> tuple[Array, Array]:
        """Strength and place of each kink."""
        pieces = self.nonsmooth.pieces()
        if pieces is None or np.isfinite(pieces[2]).any() or np.isfinite(pieces[3]).any():
            raise ValueError("OWL-QN knows L1 alone and cannot honour groups or bounds: use 'prox-newton' or 'fista'.")
        return pieces[0], pieces[1]
