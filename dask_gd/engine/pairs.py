"""Predictions, true values and weights, row by row: what a metric reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import is_device_array, to_numpy
from .blocks import as_dask_array, frames_as_arrays, is_dask, is_dask_frame


def in_pairs(y: Any, predicted: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Predictions as a lazy matrix, true values and weights: what ``open_engine`` takes as its "pairs"; nothing is
    loaded. Some of the three are dask collections, the others in memory."""
    if is_dask_frame(predicted):
        predicted = predicted.to_frame() if predicted.ndim == 1 else predicted
        predicted, y, weight = frames_as_arrays(predicted, y, weight)
    y, weight = as_dask_array(y) if is_dask(y) else y, as_dask_array(weight) if is_dask(weight) else weight
    if is_dask(predicted):
        predicted = predicted if predicted.ndim != 1 else predicted[:, None]
        return predicted.rechunk({1: -1}) if predicted.ndim == 2 else predicted, y, weight
    import dask.array as da

    predicted = to_numpy(predicted) if is_device_array(predicted) else np.asarray(predicted)
    predicted = predicted[:, None] if predicted.ndim == 1 else predicted
    n = len(predicted)
    rows = next((v.chunks[0] for v in (y, weight) if is_dask(v) and sum(v.chunks[0]) == n), (n,))
    return da.from_array(predicted, chunks=(rows, *((k,) for k in predicted.shape[1:]))), y, weight
