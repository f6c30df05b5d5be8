"""What one pass needs to score a fitted model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..arrays import alike, cast, namespace, to_numpy, zeros
from ..losses import Loss, Squared
from ..protocol import Array, Block
from .device import DOUBLE
from .moments import shape_problem
from .squares import Squares


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
        judge = Accuracy() if self.loss is None else Explained(self.loss)
        return judge.sums(block.y, self.predict(block.X, block.offset), block.weight)


@dataclass(frozen=True)
class Accuracy:
    """The weighted share of right labels."""

    response: str = "class_number"

    def sums(self, y: Any, predicted: Any, weight: Any) -> ScoreSums:
        """Of the rows of one block."""
        wrong = predicted != y
        n = y.shape[0]
        if weight is None:
            return ScoreSums(n, float(n), 0.0, 0.0, float(namespace(wrong).count_nonzero(wrong)))
        weight = cast(alike(weight, predicted), DOUBLE)
        total = float(namespace(weight).sum(weight))
        return ScoreSums(n, total, 0.0, 0.0, float(weight @ cast(wrong, DOUBLE)))

    def value(self, sums: ScoreSums) -> float:
        """From the sums of all blocks."""
        return (sums.weight - sums.loss) / sums.weight if sums.weight else float("nan")


@dataclass(frozen=True)
class Explained:
    """The share of the deviance that is explained: R² for squared errors, D² for others."""

    loss: Loss
    response: str = "predict"

    def sums(self, y: Any, predicted: Any, weight: Any) -> ScoreSums:
        """Of the rows of one block."""
        n = y.shape[0]
        weight = zeros(n, predicted) + 1 if weight is None else cast(alike(weight, predicted), DOUBLE)
        total = float(namespace(predicted).sum(weight))
        distance = self.loss.distance
        mean: Any = weight @ y / total if total else 0.0
        null = weight @ distance(y, mean) if total else 0.0
        loss = weight @ distance(y, predicted)
        mean, null, loss = (to_numpy(number)[()] for number in (mean, null, loss))
        return ScoreSums(n, total, mean, null, loss, distance)

    def value(self, sums: ScoreSums) -> float:
        """From the sums of all blocks."""
        return float("nan") if sums.n_rows < 2 else sums.explained

    def of_squares(self, squares: Squares, n_rows: int, coef: Array, intercept: Array) -> float | None:
        """From the sums of products of the rows, where those tell."""
        if not isinstance(self.loss, Squared):
            return None
        errors = squared_errors(squares, coef, intercept)
        return self.value(ScoreSums(n_rows, squares.weight, squares.z_mean, 0.5 * squares.zz, 0.5 * errors))


def squared_errors(squares: Squares, coef: Array, intercept: Array) -> Array:
    """(m,) Σ s (y - x·w - b)² of each target, from the sums of products; ``coef`` (m, d)."""
    away = squares.z_mean - coef @ squares.x_mean - intercept
    spread = squares.zz - 2 * np.einsum("md,dm->m", coef, squares.xz) + np.einsum("md,md->m", coef @ squares.xx, coef)
    return np.asarray(np.maximum(spread, 0.0) + squares.weight * away**2)
