"""Whether a client reaches workers without the scheduler, which would read and write everything once more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Any
from weakref import WeakKeyDictionary

from distributed.protocol.pickle import dumps

from .answering import open_lane

logger = logging.getLogger("dask_gd")

SECONDS = 10.0  # in which a worker that is reached answers: it may have to import this package first

# Of each client: worker -> whether it is reached, False until it answered.
_reached: WeakKeyDictionary[Any, dict[str, bool]] = WeakKeyDictionary()


def reach(client: Any, workers: Collection[str]) -> bool:
    """Whether the client is known to reach these workers without the scheduler, and they to answer in the fast lane;
    those that it never asked are asked, and nobody waits for them.

    Dask's own setting ``direct_to_workers`` is heeded where it forbids that.
    """
    if client.direct_to_workers is False:
        return False
    known = _reached.setdefault(client, {})
    for worker in workers:
        if worker not in known:
            known[worker] = False
            client.loop.add_callback(_try_to_reach, client, worker, known)
    return bool(workers) and all(known[worker] for worker in workers)


async def _try_to_reach(client: Any, worker: str, known: dict[str, bool]) -> None:
    try:
        call = client.rpc(worker).run(function=dumps(open_lane), args=dumps(()), kwargs=dumps({}), wait=True)
        answer = await asyncio.wait_for(call, SECONDS)
        known[worker] = answer["status"] == "OK"
    except Exception as error:
        logger.debug("%s is not reached from here: %r", worker, error)
