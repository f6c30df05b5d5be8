"""What one pass needs to score a fitted model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..arrays import alike, cast, namespace, to_numpy, zeros
from ..losses import Loss
from ..protocol import Array, Block
from .device import DOUBLE
from .moments import shape_problem


class ScoreSums(NamedTuple):
    """The weighted mean of y, what it gets wrong as a prediction (``null``), and what the model gets wrong.

    Of several targets each is an array. Half deviances merge exactly: Σ d(y, m) = Σ d(y, ȳ) + S d(ȳ, m) for every m,
    as sums of squares do.
    """

    n_rows: int
    weight: float
    y_mean: Any
    null: Any
    loss: Any
    distance: Callable[[Any, Any], Any] | None = None
    problem: tuple[int, str] | None = None

    def __add__(self, other: ScoreSums) -> ScoreSums:  # type: ignore[override]
        problems = [p for p in (self.problem, other.problem) if p is not None]
        weight = self.weight + other.weight
        share = other.weight / weight if weight > 0 else 0.0
        mean = self.y_mean + (other.y_mean - self.y_mean) * share
        null = self.null + other.null
        distance = self.distance or other.distance
        for part in (self, other):
            if distance is not None and part.weight > 0:
                null = null + part.weight * distance(part.y_mean, mean)
        return ScoreSums(
            self.n_rows + other.n_rows,
            weight,
            mean,
            null,
            self.loss + other.loss,
            distance,
            min(problems) if problems else None,
        )

    @property
    def explained(self) -> float:
        """1 - loss/null, averaged over targets: R² for squared errors, D² for deviances."""
        null, loss = np.atleast_1d(self.null), np.atleast_1d(self.loss)
        share = np.where(null > 0, 1 - loss / np.where(null > 0, null, 1), np.where(loss > 0, 0.0, 1.0))
        return float(share.mean())


@dataclass(frozen=True)
class ScoreKernel:
    """Half deviances of a regressor, or wrong labels of a classifier (``loss`` None)."""

    predict: Callable[[Any, Array | None], Array]  # (X, offset) -> predictions (n,) or (n, m)
    n_features: int
    loss: Loss | None
    name: str = "score"

    def __call__(self, block: Block) -> ScoreSums:
        message = shape_problem(block, self.n_features)
        xp = namespace(block.y)
        if message is None and self.loss is not None and not xp.all(self.loss.targets.holds(block.y)):
            message = f"Some value(s) of y are out of the valid range of the loss {type(self.loss).__name__!r}."
        if message is not None:
            return ScoreSums(0, 0.0, 0.0, 0.0, 0.0, problem=(block.index, message))
        if block.n_rows == 0:
            return ScoreSums(0, 0.0, 0.0, 0.0, 0.0)
        predicted = self.predict(block.X, block.offset)
        xp = namespace(predicted)
        weight = zeros(block.n_rows, predicted) + 1
        if block.weight is not None:
            weight = cast(alike(block.weight, predicted), DOUBLE)
        total = float(xp.sum(weight))
        if self.loss is None:
            wrong = cast(predicted != block.y, DOUBLE)
            return ScoreSums(block.n_rows, total, 0.0, 0.0, float(weight @ wrong))
        distance = self.loss.distance
        mean: Any = weight @ block.y / total if total else 0.0
        null = weight @ distance(block.y, mean) if total else 0.0
        loss = weight @ distance(block.y, predicted)
        mean, null, loss = (to_numpy(number)[()] for number in (mean, null, loss))
        return ScoreSums(block.n_rows, total, mean, null, loss, distance)
