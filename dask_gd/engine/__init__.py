"""Pure logistics: runs a function on every block and adds the results. The only floor that imports Dask."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..protocol import Extent
from .blocks import (
    dask_blocks,
    device_block,
    extent_of,
    float_dtype,
    fold_numbers,
    futures_in,
    is_dask,
    is_dask_frame,
    local_blocks,
    map_row_chunks,
    row_count,
)
from .local import LocalEngine, StreamingEngine

__all__ = [
    "LocalEngine",
    "StreamingEngine",
    "device_block",
    "float_dtype",
    "fold_numbers",
    "is_dask",
    "is_dask_frame",
    "map_row_chunks",
    "open_engine",
    "row_count",
    "survey",
]

MEMORY_SHARE = 0.5  # of the memory there is; data that need more are read again in every sweep


@contextmanager
def open_engine(
    X: Any,
    y: Any,
    weight: Any = None,
    offset: Any = None,
    *,
    targets: str = "numbers",
    fold: Any = None,
    resident: bool = True,
) -> Iterator[Any]:
    """The engine for these data: in this process where they are in memory, on the ambient cluster, or on Dask's own
    scheduler; everything it holds is released at the end.

    Parameters
    ----------
    X : ndarray, array of a device, CSR array (all checked by the caller) or dask collection of shape (n, d)
    y, weight, offset : ndarray or dask collection of shape (n,), or None
    fold : ndarray or dask array of int of shape (n,), or None
        The test fold of each row.
    targets : {"numbers", "columns", "labels"}
        "numbers": y becomes float64. "columns": so, and y may have several. "labels": y is kept as it is.
    resident : bool
        False: a dask X is read once and not kept.
    """
    if not is_dask(X):
        engine: Any = LocalEngine(local_blocks(X, y, weight, offset, fold), serial=_in_worker())
        try:
            yield engine
        finally:
            engine.close()
        return
    with ExitStack() as stack:
        client = _ambient_client(stack, (X, y, weight, offset))
        if client is not None:
            stack.enter_context(client.as_current())
        source = dask_blocks(X, y, weight, offset, targets=targets, fold=fold)
        if not resident:
            engine = StreamingEngine(source) if client is None else _streaming(client, source)
        else:
            engine = _on_this_machine(source) if client is None else _on_cluster(client, source)
        stack.callback(engine.close)
        yield engine


def survey(X: Any) -> Extent:
    """The shape of the data and of the machines that a fit would use; nothing is loaded."""
    import psutil

    extent = extent_of(X)
    if not is_dask(X):
        return extent._replace(threads=os.cpu_count() or 1)
    with ExitStack() as stack:
        client = _ambient_client(stack, (X,))
        if client is None:
            extent = extent._replace(threads=os.cpu_count() or 1, memory=float(psutil.virtual_memory().available))
        else:
            from .cluster import on_cluster

            extent = on_cluster(client, extent)
    return extent._replace(resident=not extent.nbytes > MEMORY_SHARE * extent.memory)


def _in_worker() -> bool:
    if "distributed" not in sys.modules:
        return False
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return False
    return True


def _ambient_client(stack: ExitStack, collections: tuple[Any, ...]) -> Any:
    """The client that holds the data, else the current one; inside a task one that frees the task's thread."""
    import dask

    if "distributed" not in sys.modules:
        return None
    import distributed

    if _in_worker():
        return stack.enter_context(distributed.worker_client())
    if dask.config.get("scheduler", None) not in (None, "distributed", "dask.distributed"):
        return None  # the user chose another scheduler, as Dask itself would understand it
    futures = futures_in([c for c in collections if is_dask(c)])
    try:
        client = futures[0].client if futures else distributed.get_client()
    except ValueError:
        return None
    if client.asynchronous:
        raise RuntimeError(
            "An asynchronous Client cannot be used by fit, which is a blocking call: "
            "use Client(...) without asynchronous=True, or run fit in a thread of its own."
        )
    return client


def _on_this_machine(source: Any) -> Any:
    import dask
    import psutil

    limit = MEMORY_SHARE * psutil.virtual_memory().available
    blocks: list[Any] = []
    nbytes = source.nbytes
    if not nbytes <= limit:  # too large as declared, or unknown: see what a block really weighs
        blocks = list(dask.compute(source.blocks[0], optimize_graph=False))
        nbytes = blocks[0].nbytes * len(source.blocks)
    if nbytes > limit:
        return StreamingEngine(source)
    blocks += dask.compute(*source.blocks[len(blocks) :], optimize_graph=False)
    return LocalEngine(blocks)


def _streaming(client: Any, source: Any) -> Any:
    from .cluster import ClusterStreamingEngine

    return ClusterStreamingEngine(client, source)


def _on_cluster(client: Any, source: Any) -> Any:
    from .cluster import ClusterEngine, ClusterStreamingEngine, load_blocks, on_cluster, wait

    limit = MEMORY_SHARE * on_cluster(client, source.extent).memory
    if source.nbytes <= limit or futures_in(source.inputs):
        return ClusterEngine(client, source)
    # Too large as declared (a sparse array declares its dense size), or unknown: see what a few blocks really weigh.
    probe = load_blocks(client, source, range(min(len(source.blocks), max(1, sum(client.nthreads().values())))))
    wait(client, list(probe.values()))
    nbytes = sum(client.nbytes([f.key for f in probe.values()], summary=False).values())
    if nbytes / len(probe) * len(source.blocks) > limit:
        return ClusterStreamingEngine(client, source)
    return ClusterEngine(client, source, probe)
