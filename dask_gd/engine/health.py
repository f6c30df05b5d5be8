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


def wait(client: Any, futures: list[Any]) -> None:
    """Wait for all futures, but not for a cluster that is gone.

    Raises
    ------
    FitInterrupted
        When the client is closed, or no worker is there for longer than the configuration
        ``dask_gd.no-workers-timeout`` (seconds, 60 by default).
    """
    patience = float(dask.config.get("dask_gd.no-workers-timeout", 60.0))
    began = time.monotonic()
    alone_since: float | None = None
    warned = False
    while True:
        try:
            distributed.wait(futures, timeout=min(POLL_SECONDS, patience))
            return
        except TimeoutError:
            now = time.monotonic()
        if client.status not in ("running", "connecting"):
            raise FitInterrupted(f"The client is {client.status}: connect to a cluster and fit again.")
        alone_since = None if client.nthreads() else (alone_since or now)
        if alone_since is not None and now - alone_since > patience:
            raise FitInterrupted(
                f"The cluster has had no worker for {patience:.0f} s: start workers and fit again "
                "(dask config dask_gd.no-workers-timeout sets how long to wait)."
            )
        if now - began > 30 and not warned:
            pending = [str(f.key) for f in futures if f.status == "pending"]
            logger.warning("waiting %.0f s for %s …", now - began, ", ".join(pending[:3]))
            warned = True


def describe(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
