"""Stochastic gradient descent: θ ← prox(θ - η g) with the gradient g of a few rows (Robbins & Monro, *A Stochastic
Approximation Method*, 1951; Bottou, Curtis & Nocedal, *Optimization Methods for Large-Scale Machine Learning*, 2018).

Two ways to do it on many blocks. :class:`SGD` asks every block for its share of a mini-batch: one gradient a step, as
if there were one block. :class:`LocalSGD` lets every block walk over its own rows for an epoch, all from one point, and
goes on from the mean of where they end (Zinkevich et al., *Parallelized Stochastic Gradient Descent*, 2010; Stich,
*Local SGD Converges Fast and Communicates Little*, 2019). A step of either solver is one epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..protocol import EPOCH, GRADIENT, VALUE, Array, Conversation, Pace, Query, Rows, Walk

SCHEDULES = ("constant", "optimal", "invscaling", "adaptive", "pa1", "pa2")
SLOWEST = 1e-6  # "adaptive" ends where the rate is below
CONVERGED = "converged"
DIVERGED = "the coefficients diverged: lower eta0, or scale the columns"
HOPELESS = 1e6  # times the loss of no model at all
NONE = np.zeros(0)


class Patience(NamedTuple):
    """How long the epochs may go on without an improvement, as in scikit-learn."""

    tol: float | None = 1e-3
    epochs: int = 5
    adaptive: bool = False  # True: divide the rate by 5 first, as long as it is above SLOWEST
    null: float = np.inf  # about F of the model that is 0: what ends far above it has not converged


PATIENT = Patience()


class SGDState(NamedTuple):
    theta: Array
    value: float  # the mean loss on the way through the last epoch plus Ω; of early stopping the held-out loss
    step: float  # the learning rate at the end of the epoch
    walk: Walk
    velocity: Array
    eta: float  # eta0, or what "adaptive" has made of it
    epoch: int
    best: float = np.inf
    idle: int = 0  # epochs in a row without an improvement
    finished: str = ""
    grad: Array = NONE
    decrement: float = 0.0


@dataclass(frozen=True)
class LocalSGD:
    """Local epochs and their mean; with one block plain stochastic gradient descent, one row at a time.

    Parameters
    ----------
    pace : Pace
    rows : Rows
        Whose epoch is the first to walk.
    patience : Patience
    start : Walk or None
        What to go on from; None: from where the fit starts.
    nonsmooth : ThetaPenalty or None
        The part of Ω without a gradient, which the walk itself knows.
    """

    pace: Pace
    rows: Rows
    patience: Patience = PATIENT
    start: Walk | None = None
    nonsmooth: Any = None
    standardised: bool = False
    proximal: bool = True
    sampling: bool = False
    certified: bool = False
    l1_only: bool = False

    def init(self, theta: Array) -> Conversation:
        yield from ()  # nothing to ask
        return _begin(self, theta)

    def step(self, state: SGDState) -> Conversation:
        rows = self.rows._replace(epoch=state.epoch)
        pace = self.pace._replace(eta=state.eta)
        answer = yield Query(state.theta[None], EPOCH, rows=rows, walk=(state.walk, pace))
        value = float(answer.value[0])
        if self.rows.share:
            value = yield from _held_out(answer.walk.theta, rows)
        return _judged(state, answer.walk, value, rate(pace, answer.walk.t - 1), self.patience)

    def solution(self, state: SGDState) -> Array:
        return _solution(self.pace, state)


@dataclass(frozen=True)
class SGD:
    """Mini-batches of all blocks together, with momentum: v ← μv - ηg, θ ← prox(θ + v) (Polyak, 1964).

    Parameters
    ----------
    pace : Pace
        "optimal" and "invscaling" count mini-batches.
    rows : Rows
        Whose epoch is the first, and whose ``parts`` are the mini-batches of an epoch.
    momentum : float
        μ.
    nesterov : bool
        True: g at θ + μv (Sutskever et al., *On the importance of initialization and momentum*, 2013).
    patience, start, nonsmooth
        As in :class:`LocalSGD`.
    """

    pace: Pace
    rows: Rows
    momentum: float = 0.0
    nesterov: bool = False
    patience: Patience = PATIENT
    start: Walk | None = None
    nonsmooth: Any = None
    standardised: bool = False
    proximal: bool = True
    sampling: bool = False
    certified: bool = False
    l1_only: bool = False

    def init(self, theta: Array) -> Conversation:
        yield from ()
        return _begin(self, theta)

    def step(self, state: SGDState) -> Conversation:
        pace = self.pace._replace(eta=state.eta)
        theta, velocity, walk = state.theta, state.velocity, state.walk
        average, averaged, t = walk.average, walk.averaged, walk.t
        total, eta = 0.0, state.eta
        for number in range(self.rows.parts):
            eta = rate(pace, t)
            rows = self.rows._replace(epoch=state.epoch, number=number)
            point = theta + self.momentum * velocity if self.nesterov else theta
            answer = yield Query(point[None], GRADIENT, rows=rows)
            velocity = self.momentum * velocity - eta * answer.grad[0]
            theta = theta + velocity
            if self.nonsmooth is not None:
                theta = self.nonsmooth.prox(theta, eta)
            total += float(answer.value[0])
            if 0 < pace.average <= t:
                averaged += 1
                average = average + (theta - average) / averaged
            t += 1
        value = total / self.rows.parts
        if self.rows.share:
            value = yield from _held_out(theta, self.rows._replace(epoch=state.epoch))
        walk = Walk(theta, average, averaged, t=t)
        return _judged(state._replace(velocity=velocity), walk, value, eta, self.patience)

    def solution(self, state: SGDState) -> Array:
        return _solution(self.pace, state)


def rate(pace: Pace, t: float) -> float:
    """The learning rate of step ``t`` = 1, 2, …; of "pa1" and "pa2" the bound of every step."""
    if pace.schedule == "optimal":
        typical = np.sqrt(1 / np.sqrt(pace.alpha))  # of the coefficients, says Bottou; it is the first rate
        return float(1 / (pace.alpha * (1 / (typical * pace.alpha) + t - 1)))
    return pace.eta / t**pace.power if pace.schedule == "invscaling" else pace.eta


def _begin(solver: LocalSGD | SGD, theta: Array) -> SGDState:
    walk = solver.start
    if walk is None:
        walk = Walk(theta, np.zeros_like(theta))
    return SGDState(
        walk.theta, np.nan, np.nan, walk, np.zeros_like(theta), solver.pace.eta, solver.rows.epoch, finished=""
    )


def _held_out(theta: Array, rows: Rows) -> Conversation:
    answer = yield Query(theta[None], VALUE, rows=rows._replace(held_out=True, number=0, parts=1, epoch=0))
    return float(answer.value[0])


def _judged(state: SGDState, walk: Walk, value: float, step: float, patience: Patience) -> SGDState:
    """The state after an epoch, with the verdict: scikit-learn's rule."""
    finished, idle, eta = "", 0, state.eta
    if not (np.isfinite(value) and np.isfinite(walk.theta).all()):
        finished = DIVERGED
    elif patience.tol is not None and value > state.best - patience.tol:
        idle = state.idle + 1
    if idle >= patience.epochs:
        if patience.adaptive and eta > SLOWEST:
            idle, eta = 0, eta / 5
        else:
            finished = CONVERGED if value <= HOPELESS * patience.null else DIVERGED
    best = min(state.best, value)
    return state._replace(
        theta=walk.theta,
        value=value,
        step=step,
        walk=walk,
        eta=eta,
        epoch=state.epoch + 1,
        best=best,
        idle=idle,
        finished=finished,
    )


def _solution(pace: Pace, state: SGDState) -> Array:
    """The mean of the iterates, where there is one."""
    return state.walk.average if 0 < pace.average <= state.walk.t - 1 else state.theta
