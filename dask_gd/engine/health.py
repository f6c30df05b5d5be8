"""Waiting for a cluster that may be gone, and what its losses look like."""

from __future__ import annotations

import logging
import time
from typing import Any

import dask
import distributed
from distributed.scheduler import KilledWorker

from ..exceptions import FitInterrupted

logger = logging.getLogger("dask_gd")

POLL_SECONDS = 5.0
# The ways a cluster says that it lost the work, not that the work is wrong.
CLUSTER_LOST = (KilledWorker, distributed.CancelledError, distributed.comm.CommClosedError, ConnectionError)


def wait(client: Any, futures: list[Any], *, first: bool = False) -> None:
    """Wait for all futures, or for the ``first`` of them, but not for a cluster that is gone, or whose workers stay
    paused.

    Raises
    ------
    FitInterrupted
        When the client is closed, or no worker is there or at work for longer than the configuration
        ``dask_gd.no-workers-timeout`` (seconds, 60 by default).
    """
    patience = float(dask.config.get("dask_gd.no-workers-timeout", 60.0))
    began = time.monotonic()
    alone_since: float | None = None
    warned = False
    while True:
        try:
            enough = "FIRST_COMPLETED" if first else "ALL_COMPLETED"
            distributed.wait(futures, timeout=min(POLL_SECONDS, patience), return_when=enough)
            return
        except TimeoutError:
            now = time.monotonic()
        if client.status not in ("running", "connecting"):
            raise FitInterrupted(f"The client is {client.status}: connect to a cluster and fit again.")
        trouble = idle_because(client)
        alone_since = None if trouble is None else (alone_since or now)
        if alone_since is not None and now - alone_since > patience:
            raise FitInterrupted(
                f"The cluster has had no worker {trouble} (dask config dask_gd.no-workers-timeout sets how long to "
                f"wait: {patience:g} s)."
            )
        if now - began > 30 and not warned:
            pending = [str(f.key) for f in futures if f.status == "pending"]
            logger.warning("waiting %.0f s for %s …", now - began, ", ".join(pending[:3]))
            warned = True


def collect(client: Any, futures: list[Any], *, early: bool = False, direct: bool = False) -> list[Any]:
    """The results; ``futures`` is emptied.

    ``early``: each is fetched as soon as it is there and then let go of, so that what came is not computed again when
    the worker that computed it is lost. ``direct``: from the workers and not by way of the scheduler.

    Raises
    ------
    FitInterrupted
        As :func:`wait`.
    """
    ahead = dict(enumerate(futures))
    futures.clear()
    results: dict[int, Any] = {}
    failed: dict[int, Any] = {}
    patience = POLL_SECONDS
    try:
        while ahead:
            wait(client, list(ahead.values()), first=early)
            failed |= {i: ahead.pop(i) for i, future in list(ahead.items()) if future.status == "error"}
            there = {i: future for i, future in ahead.items() if future.status == "finished"}
            values = _fetched(client, list(there.values()), patience, direct)
            if values is None:
                patience, direct = 2 * patience, False
                continue
            patience = POLL_SECONDS
            results |= zip(there, values, strict=True)
            for i in there:
                del ahead[i]
            there.clear()  # or they were still wanted while the next ones are waited for
        if failed:
            results |= zip(sorted(failed), client.gather([failed[i] for i in sorted(failed)]), strict=True)  # raises
    except BaseException:
        client.cancel([*ahead.values(), *failed.values()])
        raise
    return [results[i] for i in sorted(results)]


def _fetched(client: Any, futures: list[Any], patience: float, direct: bool) -> list[Any] | None:
    """The results of futures that are done; None where some do not come, for they may have been lost since."""

    async def fetch() -> Any:
        try:
            return await client.gather(futures, asynchronous=True, direct=direct or None)
        except Exception:
            if all(future.status == "finished" for future in futures):
                raise
            return None  # one of them was lost, and failed when it was computed again

    try:
        values: list[Any] | None = client.sync(fetch, callback_timeout=patience)
    except TimeoutError:
        return None
    return values


def idle_because(client: Any) -> str | None:
    """Why nobody works, and what to do; None where somebody does, or may begin to.

    A worker is paused while its process holds most of what it may. Where that is not data, which could go to disk, but
    libraries, it stays so.
    """
    workers = workers_of(client).values()
    if not workers:
        return "at all: start workers and fit again"
    paused = [worker for worker in workers if worker["status"] == "paused"]
    counts = [worker["metrics"].get("task_counts", {}) for worker in workers]
    if not paused or any(count.get("executing") or count.get("flight") for count in counts):
        return None
    held = max(worker["metrics"].get("memory", 0) for worker in paused)
    limit = min(worker["memory_limit"] for worker in paused)
    return (
        f"that works: {len(paused)} of {len(workers)} are paused, because their processes hold up to "
        f"{held / 1e6:.0f} MB where {limit / 1e6:.0f} MB are allowed. Start workers with more memory, for libraries "
        "take 200 to 400 MB of it, or make the chunks smaller, and fit again"
    )


def workers_of(client: Any) -> dict[str, Any]:
    """What the scheduler knows of each worker."""
    while True:
        workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
        # The client asks the scheduler now and then for itself, without workers, and may return that answer.
        if workers or not client.nthreads():
            return workers


def describe(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
