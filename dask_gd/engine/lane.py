"""The fast lane: a short sweep goes to the workers past the queue of tasks.

A round of tasks costs about 10 ms, most of them fixed intervals at which client, scheduler and workers send. A request
is answered in 2 to 3 ms. It names values, which the worker finds among its own data, and runs on the threads that run
its tasks: the same blocks, the same tree, the same bits.

Where the client reaches the workers, the request goes to them, and otherwise to the scheduler, which passes it on: the
large sums of many columns would be read and written twice there.

Nothing is kept for it on a worker, so that nothing can be lost with one, and there is no actor because a worker that
holds an actor cannot be retired. Whatever goes wrong, the answer is None and the sweep is run by tasks instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from distributed.protocol import Serialized, serialize

from ..protocol import Kernel
from .answering import OPERATION, Chunks, Parcels
from .batch import BatchResult
from .health import describe
from .reach import reach

logger = logging.getLogger("dask_gd")

PATIENCE = 5.0  # seconds for the workers' threads to be done, beside a hundred times what such a sweep took last
GRACE = 5.0  # and for the messages
CHECK_FIRST, CHECK = 0.05, 1.0  # seconds, at the least, until somebody asks whether the workers are there, and between


async def _each(client: Any, workers: list[str], message: dict[str, Any]) -> dict[str, Any]:
    """The answer of every worker."""
    calls = (getattr(client.rpc(worker), OPERATION)(**message) for worker in workers)
    return dict(zip(workers, await asyncio.gather(*calls), strict=True))


def request(
    client: Any, kernel: Kernel, held: Mapping[str, Parcels | Chunks], n_blocks: int, expected: float
) -> list[BatchResult] | None:
    """Have every worker run ``kernel`` on what it holds; None at the first sign of trouble.

    Parameters
    ----------
    held : dict
        Worker -> what to sweep over there.
    expected : float
        Seconds that such a sweep took last time.
    """
    patience = PATIENCE + 100 * expected
    workers = list(held)

    near = reach(client, workers)

    async def ask() -> Any:
        message = {  # serialised once for all workers
            "kernel": Serialized(*serialize(kernel)),
            "held": Serialized(*serialize(held)),
            "n_blocks": n_blocks,
            "patience": patience,
        }
        if near:
            asked = asyncio.ensure_future(_each(client, workers, message))
        else:
            message["op"] = OPERATION
            asked = asyncio.ensure_future(client.scheduler.broadcast(msg=message, workers=workers))
        try:
            await asyncio.wait([asked], timeout=max(CHECK_FIRST, 2 * expected))
            while not asked.done():  # who asks would go on trying to connect to a worker that is gone
                gone = set(workers).difference(await client.nthreads(workers))
                if gone:
                    raise ConnectionError(f"{', '.join(gone)} left")
                await asyncio.wait([asked], timeout=CHECK)
            return asked.result()
        finally:
            asked.cancel()

    try:
        replies = client.sync(ask, callback_timeout=patience + GRACE)
    except Exception as error:  # whatever it is: tasks will do, or say better what is wrong
        logger.debug("no answers to a %s sweep (%s)", kernel.name, describe(error))
        return None
    results = []
    for worker in workers:
        reply = replies.get(worker)
        if not isinstance(reply, dict) or "result" not in reply:
            logger.debug("%s does not answer a %s sweep: %s", worker, kernel.name, reply)
            return None
        results.append(reply["result"])
    return results
