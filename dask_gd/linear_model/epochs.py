"""A stochastic fit: look at the data, group the blocks, walk."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..fitting import Fit, minimise
from ..kernels import Deal, EncodeLabels, HoldOut, Moments, MomentsKernel, SpreadKernel, whole
from ..losses import Loss
from ..objective import Objective
from ..penalties import Penalty
from ..protocol import Array, Callback, Engine, Pace, Rows, Walk
from ..solvers.sgd import SGD, LocalSGD, Patience
from .fit import Outcome, check_moments
from .labels import class_weights, encode
from .start import CONSTANT_MODEL, Start

# Rows that a local model has at the least, on average. Measured on correlated columns (1,000,000 rows, squared loss):
# up to 16 models an epoch gains what scikit-learn's gains, 64 models of 16,000 rows lag by one epoch, 122 by three.
MODEL_ROWS = 2**15
LONE_ROWS = 2**16  # a lone block is cut where every part has so many rows …
LONE_PARTS = 16  # … and into so many at the most
ALIKE = 0.01  # blocks with a larger share of a variance between them exchange rows
BATCHES = 100  # an epoch has, where the user names no batch size


@dataclass(frozen=True)
class StochasticProblem:
    """What a stochastic fit needs besides the data; picklable, so that it can travel to them.

    ``batch_size`` None: a hundredth of the rows. ``classes`` None: those of the data. ``walk`` goes on with an earlier
    walk.
    """

    penalty: Callable[[Moments], Penalty]
    loss: Callable[[int], Loss]
    mode: str
    pace: Pace
    patience: Patience
    max_iter: int
    seed: int
    shuffle: bool = True
    held_out: float = 0.0
    batch_size: int | None = None
    momentum: float = 0.0
    nesterov: bool = False
    fit_intercept: bool = True
    targets: str = "numbers"
    class_weight: Any = None
    classes: Array | None = None
    start: Start = CONSTANT_MODEL
    walk: Walk | None = None
    epoch: int = 0


def solve_epochs(
    engine: Engine, *, problem: StochasticProblem, n_features: int, callbacks: tuple[Callback, ...]
) -> Outcome:
    """The fit itself, on any engine."""
    classification = problem.targets == "labels"
    spread = engine.sweep(SpreadKernel(MomentsKernel(n_features, classification)))
    moments: Moments = spread.moments
    check_moments(moments, n_features)
    classes = problem.classes
    if classification:
        labels, moments = known_labels(moments, classes, problem.class_weight)
        engine.replace(labels)
        classes = labels.classes
    group(engine, spread, problem)
    if problem.held_out:
        if moments.n_rows - math.ceil(problem.held_out * moments.n_rows) < 1:
            raise ValueError(
                f"Splitting {moments.n_rows} samples with validation_fraction={problem.held_out!r} led to an empty "
                "set: make it smaller, or set early_stopping=False."
            )
        engine.replace(HoldOut(problem.seed, problem.held_out))
    loss = problem.loss(1 if classes is None else len(classes))
    dtype = np.dtype(moments.dtype)
    objective = Objective(loss, moments, fit_intercept=problem.fit_intercept, dtype=dtype, sparse=moments.sparse)
    objective = objective.per_row()
    zeros = np.zeros((objective.n_outputs, objective.n_features)), np.zeros(objective.n_outputs)
    coef, intercept, _ = problem.start.point(objective, zeros)
    rows = Rows(problem.seed, problem.epoch, shuffle=problem.shuffle, share=problem.held_out)
    patience = problem.patience._replace(null=null_loss(loss, objective))
    solver: Any
    if problem.mode == "local":
        name = "local-sgd"
        solver = LocalSGD(problem.pace, rows, patience, problem.walk)
    else:
        name = "sgd"
        kept = moments.n_rows - math.ceil(problem.held_out * moments.n_rows)
        size = problem.batch_size or math.ceil(kept / BATCHES)
        rows = rows._replace(parts=max(1, math.ceil(kept / size)))
        solver = SGD(problem.pace, rows, problem.momentum, problem.nesterov, patience, problem.walk)
    fit = Fit(solver, problem.penalty(moments), coef, intercept, problem.max_iter, problem.patience.tol)
    result = minimise(objective, engine, [fit], callbacks, dtype=dtype)[0]
    return Outcome(result._replace(n_sweeps=result.n_sweeps + 1), name, classes, 0)


def null_loss(loss: Loss, objective: Objective) -> float:
    """About the mean loss of the model that is 0."""
    moments = objective.moments
    zero = np.zeros((objective.n_outputs, 2) if objective.n_outputs > 1 else 2)
    spread = np.sqrt(moments.y_m2 / moments.weight)
    y = np.array([0, 1]) if moments.classes else moments.y_mean + np.array([-spread, spread])
    return float(loss.derivatives(y, zero, 0).value.mean() * moments.weight / moments.n_rows)


def known_labels(moments: Moments, classes: Array | None, class_weight: Any) -> tuple[EncodeLabels, Moments]:
    """How labels become numbers, where the classes may be known before the data."""
    if classes is None:
        return encode(moments, class_weight)
    unknown = set(moments.classes) - set(classes.tolist())
    if unknown:
        raise ValueError(f"y contains labels that are not among the classes: {sorted(unknown, key=str)}.")
    weights = class_weights(class_weight, classes, np.ones(len(classes)))
    return EncodeLabels(classes, weights), moments


def group(engine: Engine, spread: Any, problem: StochasticProblem) -> None:
    """Blocks of which each is worth a model, and that are alike: what they become depends on the data and their
    chunks alone, never on who works on them."""
    blocks, rows = engine.n_blocks, spread.moments.n_rows
    models = min(blocks, max(1, rows // MODEL_ROWS))
    if blocks == 1 and problem.shuffle and engine.resident:
        models = max(1, min(LONE_PARTS, rows // LONE_ROWS))
    local = problem.mode == "local"
    if models > 1 and local and problem.shuffle and (blocks == 1 or spread.between > ALIKE):
        if not engine.resident:
            raise ValueError(
                f"The chunks are not alike ({spread.between:.0%} of the variance of a column or of y lies between "
                "them), so that mode='local' has to exchange rows between them, but the data do not fit the memory "
                "and are read again in every epoch: shuffle the rows at their source, use mode='synchronous', or more "
                "memory."
            )
        engine.regroup([range(blocks)] * models, Deal(problem.seed, models))
    elif models < blocks:
        cuts = [blocks * j // models for j in range(models + 1)]
        engine.regroup([range(a, b) for a, b in pairwise(cuts)], whole)
