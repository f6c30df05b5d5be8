"""A value for every row of the data, lazily."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np

from ..protocol import Block
from .batch import Opaque, aligned
from .blas import one_blas_thread
from .blocks import as_dask_array, dask_blocks


def map_blocks(
    function: Callable[[Block], Any], X: Any, y: Any, weight: Any = None, offset: Any = None, *, shape: tuple[int, ...]
) -> Any:
    """The lazy dask array (n, *shape) in float64 of what ``function`` makes of each block; its chunks are those of X.

    Parameters
    ----------
    function : callable
        Block -> array (rows, *shape); it is kept once.
    X : dask collection of shape (n, d)
    y, weight, offset : ndarray or dask collection, or None
    """
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

    blocks = dask_blocks(X, y, weight, offset, targets="columns").blocks
    name = f"rows-{uuid.uuid4().hex[:10]}"
    rest = (0,) * len(shape)
    calls: dict[Any, Any] = {(name, i, *rest): (_call, f"{name}-function", b.key) for i, b in enumerate(blocks)}
    graph = HighLevelGraph.from_collections(
        name, MaterializedLayer({f"{name}-function": Opaque(function), **calls}), dependencies=blocks[:1]
    )
    rows = as_dask_array(X).chunks[0]
    return da.Array(graph, name, (rows, *((size,) for size in shape)), dtype=np.dtype(np.float64))


def of_block(function: Callable[[Block], Any], block: Block) -> Any:
    """What a function makes of one block, with the bits that it has in a task."""
    with one_blas_thread():
        return function(aligned(block))


def _call(function: Opaque, block: Block) -> Any:
    return of_block(function.value, block)
