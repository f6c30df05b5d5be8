"""What one pass needs to score a fitted model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..protocol import Array, Block
from .moments import shape_problem


class ScoreSums(NamedTuple):
    """Weighted moments of y and the weighted sum of what the model gets wrong."""

    n_rows: int
    weight: float
    y_mean: float
    y_m2: float
    loss: float
    problem: tuple[int, str] | None = None

    def __add__(self, other: ScoreSums) -> ScoreSums:  # type: ignore[override]
        weight = self.weight + other.weight
        share = other.weight / weight if weight > 0 else 0.0
        delta = other.y_mean - self.y_mean
        problems = [p for p in (self.problem, other.problem) if p is not None]
        return ScoreSums(
            self.n_rows + other.n_rows,
            weight,
            self.y_mean + delta * share,
            self.y_m2 + other.y_m2 + delta * delta * self.weight * share,
            self.loss + other.loss,
            min(problems) if problems else None,
        )


@dataclass(frozen=True)
class ScoreKernel:
    """Squared errors of a regressor, or wrong labels of a classifier (``labels=True``)."""

    predict: Callable[[Any, Array | None], Array]  # (X, offset) -> predictions (n,)
    n_features: int
    labels: bool
    name: str = "score"

    def __call__(self, block: Block) -> ScoreSums:
        message = shape_problem(block, self.n_features)
        if message is not None:
            return ScoreSums(0, 0.0, 0.0, 0.0, 0.0, (block.index, message))
        if block.n_rows == 0:
            return ScoreSums(0, 0.0, 0.0, 0.0, 0.0)
        predicted = self.predict(block.X, block.offset)
        weight = np.ones(block.n_rows) if block.weight is None else block.weight.astype(np.float64)
        total = float(weight.sum())
        if self.labels:
            return ScoreSums(block.n_rows, total, 0.0, 0.0, float(weight @ (predicted != block.y)))
        y_mean = float(weight @ block.y) / total if total else 0.0
        y_m2 = float(weight @ (block.y - y_mean) ** 2)
        return ScoreSums(block.n_rows, total, y_mean, y_m2, float(weight @ (block.y - predicted) ** 2))
