"""What a worker does in the fast lane: it answers requests for sweeps over what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

from distributed import threadpoolexecutor
from distributed.protocol import to_serialize
from distributed.utils_comm import gather_from_workers

from ..arrays import same_memory
from ..protocol import Block, Kernel
from .batch import BatchResult, Shares, aligned, apply, run_batch
from .blocks import keys_of, made_of
from .health import describe
from .tree import merge

THREADS = (ThreadPoolExecutor, threadpoolexecutor.ThreadPoolExecutor)  # Dask has one of its own
OPERATION = "dask_gd-sweep"


@dataclass
class Parcels:
    """Parcels of one worker, by the ends of their keys."""

    stem: str
    numbers: list[int]
    copied: bool = False  # never: they were made to stay

    @property
    def elsewhere(self) -> dict[Any, list[str]]:
        """Nothing."""
        return {}

    @property
    def keys(self) -> list[Any]:
        """Of what the worker must hold."""
        return [f"{self.stem}{number}" for number in self.numbers]

    def parts(self, values: dict[Any, Any]) -> list[Iterable[Block]]:
        """What threads take one by one."""
        return [values[key] for key in self.keys]


@dataclass
class Chunks:
    """The user's own chunks on one worker, as the calls that make blocks of them, and what is done to these."""

    calls: list[tuple[Any, ...]]
    transforms: list[Callable[[Block], Block]]
    elsewhere: dict[Any, list[str]]  # vectors that are on other workers, and on which
    copied: bool = False  # rows of X or such vectors had to be

    @property
    def keys(self) -> list[Any]:
        """Of what the worker must hold."""
        return [key for call in self.calls for key in keys_of(call) if key not in self.elsewhere]

    def parts(self, values: dict[Any, Any]) -> list[Iterable[Block]]:
        """What threads take one by one: a block is made by the thread that takes it."""
        return [map(self._made, [call], [values]) for call in self.calls]

    def _made(self, call: tuple[Any, ...], values: dict[Any, Any]) -> Block:
        block = aligned(made_of(call, values))
        self.copied |= not same_memory(block.X, values[keys_of(call)[0]])
        return apply(self.transforms, block)


class Lane:
    """Answers requests for sweeps on one worker."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker

    async def sweep(
        self, kernel: Kernel, held: dict[str, Parcels | Chunks], n_blocks: int, patience: float
    ) -> dict[str, Any]:
        """Run ``kernel`` on what this worker holds, on as many threads as it has."""
        worker = self.worker
        executor = worker.executors["default"]
        mine = held[worker.contact_address]
        keys = mine.keys
        on_disk: Any = getattr(worker.data, "slow", None) or ()
        missing = sum(key not in worker.data or key in on_disk for key in keys)  # all at once they may be too much
        if missing or not isinstance(executor, THREADS):
            return {"refused": f"{missing} of {len(keys)} values are not in memory here" if missing else "no threads"}
        values = {key: worker.data[key] for key in keys}
        if mine.elsewhere:
            mine.copied = True
            values |= (await gather_from_workers(mine.elsewhere, worker.rpc, who=worker.address))[0]
            absent = len(mine.elsewhere.keys() - values.keys())
            if absent:
                return {"refused": f"{absent} values could not be fetched"}
        parts = mine.parts(values)
        loop = asyncio.get_running_loop()
        threads = min(worker.state.nthreads, len(parts))
        shares = Shares(parts, threads)
        jobs = [
            loop.run_in_executor(executor, run_batch, kernel, chain.from_iterable(shares.of(i)), n_blocks)
            for i in range(threads)
        ]
        _, late = await asyncio.wait(jobs, timeout=patience)
        if late:
            shares.clear()  # those that run stop at their next part
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
            mine.copied,
        )
        return {"result": to_serialize(whole)}


def open_lane(dask_worker: Any) -> None:
    """Let a worker answer requests for sweeps; once is enough."""
    if OPERATION not in dask_worker.handlers:
        dask_worker.handlers[OPERATION] = Lane(dask_worker).sweep
