"""From predictions to the value of a metric: the sums of every block, in one pass."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_consistent_length

from ..arrays import is_device_array, to_numpy
from ..engine import Exchange, in_pairs, is_dask, open_engine
from ..exceptions import DataError
from ..protocol import Array, Block
from .protocol import Metric
from .ranking import RocAuc

EMPTY = "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required."


class Judged(NamedTuple):
    """Sums of some blocks, None while no row was seen, and the first of the blocks that have none, and why."""

    sums: Any
    problem: tuple[int, str] | None = None

    def __add__(self, other: Judged) -> Judged:  # type: ignore[override]
        problems = [p for p in (self.problem, other.problem) if p is not None]
        if problems:
            return Judged(None, min(problems))
        if self.sums is None or other.sums is None:
            return other if self.sums is None else self
        return Judged(self.sums + other.sums)


@dataclass(frozen=True)
class MetricKernel:
    """The sums of a metric over a block of predictions (its X), true values and weights."""

    metric: Metric
    name: str = "metric"

    def __call__(self, block: Block) -> Judged:
        if not block.n_rows:
            return Judged(None)
        try:
            return Judged(self.metric.sums(block.y, block.X, block.weight))
        except (ValueError, TypeError) as error:  # an error would stop other blocks at other moments every time
            return Judged(None, (block.index, str(error)))


def evaluate(metric: Metric, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
    """The value of a metric for predictions in memory or on a cluster, with one compute.

    Raises
    ------
    ValueError
        In scikit-learn's words, where there is no value.
    """
    if any(map(is_dask, (y_true, y_pred, sample_weight))):
        return _over_blocks(metric, y_true, y_pred, sample_weight)
    y, predicted = _in_memory(y_true), _in_memory(y_pred)
    weight = None if sample_weight is None else _in_memory(sample_weight)
    check_consistent_length(y, predicted, *(() if weight is None else (weight,)))
    if not len(y):
        raise ValueError(EMPTY)
    return metric.value(metric.sums(y, predicted, weight))


def _in_memory(values: Any) -> Array:
    return to_numpy(values) if is_device_array(values) else np.asarray(values)


def _over_blocks(metric: Metric, y_true: Any, y_pred: Any, sample_weight: Any) -> Any:
    y, predicted, weight = (to_numpy(v) if is_device_array(v) else v for v in (y_true, y_pred, sample_weight))
    predicted, y, weight = in_pairs(y, predicted, weight)
    with open_engine(predicted, y, weight, targets="pairs", resident=False) as engine:
        if isinstance(metric, RocAuc):
            with closing(Exchange(engine)) as rows:
                return metric.of_rows(rows)
        judged = engine.sweep(MetricKernel(metric))
    if judged.problem is not None:
        index, message = judged.problem
        raise DataError(f"{message} (block {index})")
    if judged.sums is None:
        raise ValueError(EMPTY)
    return metric.value(judged.sums)
