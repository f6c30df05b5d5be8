"""From predictions to the value of a metric: the sums of every block, in one pass."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from ..arrays import is_device_array, to_numpy
from ..engine import Exchange, in_pairs, is_dask, open_engine
from ..protocol import Array
from .judged import EMPTY, JudgeKernel
from .protocol import Metric
from .ranking import RocAuc


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
        return metric.value(engine.sweep(JudgeKernel(metric.sums)).settled())
