"""The fast lane: a short sweep goes to the workers past the queue of tasks.

A round of tasks costs about 10 ms, most of them fixed intervals at which client, scheduler and workers send. A request
is answered in 1 to 2 ms. It names parcels, which the worker finds among its own data, and runs on the threads that run
its tasks: the same blocks, the same tree, the same bits.

Where the client reaches the workers, the request goes to them, and otherwise to the scheduler, which passes it on: the
large sums of many columns would be read and written twice there.

Nothing is kept for it on a worker, so that nothing can be lost with one, and there is no actor because a worker that
holds an actor cannot be retired. Whatever goes wrong, the answer is None and the sweep is run by tasks instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from distributed import threadpoolexecutor
from distributed.protocol import Serialized, serialize, to_serialize

from ..protocol import Block, Kernel
from .batch import BatchResult, run_batch
from .health import describe
from .reach import reach
from .tree import merge

logger = logging.getLogger("dask_gd")

THREADS = (ThreadPoolExecutor, threadpoolexecutor.ThreadPoolExecutor)  # Dask has one of its own
OPERATION = "dask_gd-sweep"
PATIENCE = 5.0  # seconds for the workers' threads to be done, beside a hundred times what such a sweep took last
GRACE = 5.0  # and for the messages
CHECK_FIRST, CHECK = 0.05, 1.0  # seconds until the scheduler is asked whether the workers are there, and between


class Lane:
    """Answers requests for sweeps on one worker."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker

    async def sweep(
        self, kernel: Kernel, stem: str, numbers: dict[str, list[int]], n_blocks: int, patience: float
    ) -> dict[str, Any]:
        """Run ``kernel`` on this worker's parcels, on as many threads as it has."""
        worker = self.worker
        executor = worker.executors["default"]
        keys = [f"{stem}{number}" for number in numbers[worker.contact_address]]
        missing = sum(key not in worker.data for key in keys)
        if missing or not isinstance(executor, THREADS):
            return {"refused": f"{missing} parcels are not here" if missing else "no threads"}
        parcels = deque(worker.data[key] for key in keys)
        loop = asyncio.get_running_loop()
        threads = min(worker.state.nthreads, len(keys))
        jobs = [loop.run_in_executor(executor, run_batch, kernel, _taken(parcels), n_blocks) for _ in range(threads)]
        _, late = await asyncio.wait(jobs, timeout=patience)
        if late:
            parcels.clear()  # those that run stop at their next parcel
            for job in late:
                job.cancel()
            return {"refused": f"not done after {patience:.1f} s"}
        errors = [error for job in jobs if (error := job.exception())]
        if errors:  # a task will say it in full
            return {"refused": describe(errors[0])}
        results = [job.result() for job in jobs]
        whole = BatchResult(
            merge(n_blocks, (result.nodes for result in results)),
            sum(result.seconds for result in results),
            sum(result.rows for result in results),
            sum(result.nbytes for result in results),
            worker.contact_address,
        )
        return {"result": to_serialize(whole)}


def _taken(parcels: deque[tuple[Block, ...]]) -> Iterator[Block]:
    """The blocks of parcels that no other thread has taken."""
    while True:
        try:
            parcel = parcels.popleft()
        except IndexError:
            return
        yield from parcel


def open_lane(worker: Any) -> None:
    """Let a worker answer requests for sweeps; once is enough."""
    if OPERATION not in worker.handlers:
        worker.handlers[OPERATION] = Lane(worker).sweep


async def _each(client: Any, workers: list[str], message: dict[str, Any]) -> dict[str, Any]:
    """The answer of every worker."""
    calls = (getattr(client.rpc(worker), OPERATION)(**message) for worker in workers)
    return dict(zip(workers, await asyncio.gather(*calls), strict=True))


def request(
    client: Any, kernel: Kernel, stem: str, numbers: dict[str, list[int]], n_blocks: int, expected: float
) -> list[BatchResult] | None:
    """Have every worker run ``kernel`` on its parcels; None at the first sign of trouble.

    Parameters
    ----------
    stem : str
        The keys of the parcels, but for their numbers.
    numbers : dict
        Worker -> its parcels.
    expected : float
        Seconds that such a sweep took last time.
    """
    patience = PATIENCE + 100 * expected
    workers = list(numbers)

    near = reach(client, workers)

    async def ask() -> Any:
        message = {
            "kernel": Serialized(*serialize(kernel)),  # once for all workers
            "stem": stem,
            "numbers": numbers,
            "n_blocks": n_blocks,
            "patience": patience,
        }
        if near:
            asked = asyncio.ensure_future(_each(client, workers, message))
        else:
            message["op"] = OPERATION
            asked = asyncio.ensure_future(client.scheduler.broadcast(msg=message, workers=workers))
        try:
            await asyncio.wait([asked], timeout=CHECK_FIRST)
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
