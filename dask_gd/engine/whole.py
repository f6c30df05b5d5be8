"""One task that has all rows at once: for whoever cannot work block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..arrays import concat
from .blocks import as_dask_array, is_dask, is_dask_frame


def in_one_task(function: Callable[..., Any], *data: Any) -> Any:
    """``function(*data)``, computed in one task of the ambient cluster or scheduler, where every dask collection is
    joined to one array or frame; only what the function returns comes back."""
    import dask

    call = dask.delayed(function, pure=False)
    return call(*(_joined(values) if is_dask(values) else values for values in data)).compute()


def _joined(values: Any) -> Any:
    """All rows of a dask collection, delayed."""
    import dask

    if is_dask_frame(values):
        return values.repartition(npartitions=1).to_delayed()[0]
    values = as_dask_array(values)
    if values.ndim == 2 and values.numblocks[1] > 1:
        values = values.rechunk({1: -1})
    return dask.delayed(_join_rows, pure=False)(values.to_delayed().ravel().tolist())


def _join_rows(chunks: list[Any]) -> Any:
    if len(chunks) == 1:
        return chunks[0]
    if any(sp.issparse(chunk) for chunk in chunks):
        return sp.vstack(chunks, format="csr")
    return concat([np.asarray(chunk) for chunk in chunks])
