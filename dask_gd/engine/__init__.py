"""Pure logistics: runs a function on every block and adds the results. The only floor that imports Dask."""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..protocol import Extent
from .blocks import (
    Source,
    dask_blocks,
    device_block,
    extent_of,
    frames_as_arrays,
    futures_in,
    is_dask,
    is_dask_frame,
    local_blocks,
    map_row_chunks,
    row_count,
)
from .exchange import Exchange, Ranges
from .local import LocalEngine
from .pairs import in_pairs
from .room import AHEAD_SHARE, KEEP_SHARE, Room, process_bytes
from .row_values import map_blocks, of_block
from .streaming import StreamingEngine
from .whole import in_one_task

__all__ = [
    "Exchange",
    "LocalEngine",
    "Ranges",
    "StreamingEngine",
    "computed",
    "device_block",
    "frames_as_arrays",
    "in_one_task",
    "in_pairs",
    "is_dask",
    "is_dask_frame",
    "map_blocks",
    "map_row_chunks",
    "of_block",
    "open_engine",
    "row_count",
    "survey",
]

MEMORY_SHARE = 0.5  # of the memory there is; data that need more are read again in every sweep …
MOST_SHARE = 0.7  # … and so are data that would fill a small worker up to here, where Dask begins to spill
WORKER_BYTES = 400 * 2**20  # of a worker without data: libraries, and what Arrow holds after it read a file


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
        Of "pairs" a dask array of predictions.
    y, weight, offset : ndarray or dask collection of shape (n,), or None
    fold : ndarray or dask array of int of shape (n,), or None
        The test fold of each row.
    targets : {"numbers", "columns", "labels", "pairs"}
        "numbers": y becomes float64. "columns": so, and y may have several. "labels": y is kept as it is. "pairs": so
        are X, weights, and a y of several columns.
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
        machines = _machines(client)  # on a cluster the scheduler is asked: once
        memory = _for_data(machines)
        source = dask_blocks(X, y, weight, offset, targets=targets, fold=fold, memory=memory)
        if client is None:
            engine = _on_this_machine(source, memory) if resident else StreamingEngine(source)
        else:
            engine = (
                _on_cluster(client, source, machines, memory) if resident else _streaming(client, source, keep=False)
            )
        stack.callback(engine.close)
        yield engine


def survey(X: Any) -> Extent:
    """The shape of the data and of the machines that a fit would use; nothing is loaded."""
    extent = extent_of(X)
    if not is_dask(X):
        return extent._replace(threads=os.cpu_count() or 1)
    with ExitStack() as stack:
        machines = _machines(_ambient_client(stack, (X,)))
    extent = extent._replace(workers=machines.workers, threads=machines.threads, memory=machines.memory)
    return extent._replace(resident=not extent.nbytes > _for_data(machines))


def computed(collections: list[Any]) -> list[Any]:
    """What some dask collections hold: where a fit to them would run, and from there to here."""
    import dask

    with ExitStack() as stack:
        client = _ambient_client(stack, tuple(collections))
        if client is not None:
            stack.enter_context(client.as_current())
        return list(dask.compute(*collections))


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

    chosen = dask.config.get("scheduler", None)
    if "distributed" not in sys.modules:
        _warn_in_loky(chosen)
        return None
    import distributed

    if _in_worker():
        return stack.enter_context(distributed.worker_client())
    if chosen not in (None, "distributed", "dask.distributed"):
        return None  # the user chose another scheduler, as Dask itself would understand it
    futures = futures_in([c for c in collections if is_dask(c)])
    try:
        client = futures[0].client if futures else distributed.get_client()
    except ValueError:
        client = None
    if client is None:
        if futures:
            raise RuntimeError(
                "The data are persisted on a cluster that this process cannot see: what came here is the names of "
                "their chunks, without a Client to ask for them. That is so in the processes that scikit-learn starts "
                "for n_jobs (joblib's loky backend). Run the search under joblib.parallel_config('threading') or "
                "parallel_config('dask'), or with n_jobs=None."
            )
        _warn_in_loky(chosen)
        return None
    if client.asynchronous:
        raise RuntimeError(
            "An asynchronous Client cannot be used by fit, which is a blocking call: "
            "use Client(...) without asynchronous=True, or run fit in a thread of its own."
        )
    return client


def _warn_in_loky(chosen: Any) -> None:
    """Say so where a cluster is passed by, if there is one: only the process that started this one could know."""
    if chosen is None and type(multiprocessing.current_process()).__name__ == "LokyProcess":
        warnings.warn(
            "A dask X is read and fitted in a process that scikit-learn started for n_jobs (joblib's loky backend). It "
            "has no Client, so a cluster is not used: run the search under joblib.parallel_config('threading') or "
            "parallel_config('dask') for that. To fit in such processes on purpose, set DASK_SCHEDULER=threads in the "
            "environment.",
            UserWarning,
            stacklevel=2,
        )


def _machines(client: Any) -> Extent:
    """Of no data: workers, threads, memory."""
    if client is None:
        import psutil

        return Extent(0, 0, threads=os.cpu_count() or 1, memory=float(psutil.virtual_memory().available))
    from .placing import on_cluster

    return on_cluster(client, Extent(0, 0))


def _for_data(machines: Extent) -> float:
    """Bytes that data may take; a worker needs some of its memory for itself."""
    spared = MOST_SHARE * machines.memory - machines.workers * WORKER_BYTES
    return max(min(MEMORY_SHARE * machines.memory, spared), 0.0) if machines.workers else MEMORY_SHARE * machines.memory


def _on_this_machine(source: Source, memory: float) -> Any:
    import dask

    blocks: list[Any] = []
    nbytes = source.nbytes
    if not nbytes <= memory and _must_be_weighed(source):
        blocks = list(dask.compute(source.blocks[0], optimize_graph=False))
        nbytes = blocks[0].nbytes * len(source.blocks)
    if nbytes > memory:
        return StreamingEngine(source, _room_here(memory))
    blocks += dask.compute(*source.blocks[len(blocks) :], optimize_graph=False)
    return LocalEngine(blocks)


def _room_here(memory: float) -> Room:
    """For the data in this process; nothing is read ahead where one thread is asked to do everything."""
    import dask

    alone = dask.config.get("scheduler", None) in ("sync", "synchronous", "single-threaded")
    here = process_bytes()
    ahead = 0.0 if alone else here + memory * AHEAD_SHARE / KEEP_SHARE
    return Room(memory, here + memory, ahead, os.cpu_count() or 1)


def _must_be_weighed(source: Source) -> bool:
    """Whether a block has to be loaded to know what the blocks weigh."""
    return source.extent.sparse or math.isnan(source.extent.n_rows)


def _streaming(client: Any, source: Source, *, keep: bool) -> Any:
    from .cluster_streaming import ClusterStreamingEngine

    return ClusterStreamingEngine(client, source, keep=keep)


def _on_cluster(client: Any, source: Source, machines: Extent, memory: float) -> Any:
    from .cluster import ClusterEngine, load_blocks
    from .health import wait

    extent = source.extent._replace(workers=machines.workers, threads=machines.threads, memory=machines.memory)
    if source.nbytes <= memory or source.loaded:
        return ClusterEngine(client, source, extent)
    if not _must_be_weighed(source):
        return _streaming(client, source, keep=True)
    # A sparse array declares its dense size: see what a few blocks really weigh.
    probe = load_blocks(client, source, range(min(len(source.blocks), max(1, extent.threads))))
    wait(client, list(probe.values()))
    nbytes = sum(client.nbytes([f.key for f in probe.values()], summary=False).values())
    if nbytes / len(probe) * len(source.blocks) > memory:
        return _streaming(client, source, keep=True)
    return ClusterEngine(client, source, extent, probe)
