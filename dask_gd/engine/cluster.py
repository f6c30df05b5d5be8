"""The engine on a cluster: blocks persisted once and evenly, a sweep as a few batch tasks that can be stolen."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import dask
import distributed
from distributed.scheduler import KilledWorker

from ..exceptions import FitInterrupted
from ..protocol import Block, Cut, Engine, Extent, Kernel, SweepCost
from .batch import BatchResult, Opaque, aligned, apply, cut_blocks, join_blocks, run_batch
from .blocks import Source
from .local import LocalEngine
from .tree import Tree

logger = logging.getLogger("dask_gd")

PARCELS_PER_THREAD = 4  # a batch holds one to all of a thread's parcels
BATCH_SECONDS = 0.1  # a batch that runs this long is worth a task of its own
SMALL_BYTES = 32 * 2**20  # below this a whole fit in one task beats a round trip a sweep
INLINE_BYTES = 64 * 2**10  # a larger kernel travels once, as a task of its own, and is fetched worker from worker
UNEVEN = 1.1  # blocks move when a worker holds this much more than its share
POLL_SECONDS = 5.0
# The ways a cluster says that it lost the work, not that the work is wrong.
CLUSTER_LOST = (KilledWorker, distributed.CancelledError, distributed.comm.CommClosedError, ConnectionError)


class Parcel(NamedTuple):
    """Blocks that live together as one value on one worker."""

    future: Any
    worker: str
    nbytes: int


class ClusterEngine:
    """Sweeps over blocks that are resident on the workers of one client.

    Everything is persisted from the graph and nothing scattered, so the scheduler rebuilds what a lost worker held.
    Use as a context manager: all futures are released at its end.

    Parameters
    ----------
    client : distributed.Client
    source : Source
    loaded : dict of int to Future
        Blocks that are loaded already.
    """

    def __init__(self, client: Any, source: Source, loaded: dict[int, Any] | None = None) -> None:
        self.client = client
        self.source = source
        self.resident = True
        self.transforms: list[Callable[[Block], Block]] = []
        self.n_sweeps = 0
        self.cost = SweepCost()
        self._name = uuid.uuid4().hex[:10]
        self._round = 0
        self._seconds: dict[str, dict[str, float]] = {}  # kernel name -> worker -> seconds of its last sweep
        self._blocks = dict(loaded or {})
        self._parcels: list[Parcel] = []
        self._regrouped: tuple[list[frozenset[int]], Cut] | None = None  # after the transforms above …
        self._later: list[Callable[[Block], Block]] = []  # … and before these
        self._threads: dict[str, int] = {}  # of each worker; asked again (7 ms) only when a round was disturbed

    @property
    def extent(self) -> Extent:
        """The shape of the source and the size of the cluster."""
        return on_cluster(self.client, self.source.extent)

    # -- residency -----------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Persist every block, where the scheduler finds room for it, and even out what it did not."""
        missing = [i for i in range(len(self.source.blocks)) if i not in self._blocks]
        self._blocks.update(load_blocks(self.client, self.source, missing))
        futures = [self._blocks[i] for i in range(len(self.source.blocks))]
        self._wait(futures)
        nbytes = self.client.nbytes([f.key for f in futures], summary=False)
        places = self.client.who_has(futures)
        threads = self.client.nthreads()
        homes = [(places.get(f.key) or (None,))[0] for f in futures]
        plan = place([int(nbytes.get(f.key, 0)) for f in futures], homes, threads)
        self._parcels, self._threads = [], threads
        for worker, groups in plan.items():
            for group in groups:
                future = self.client.submit(
                    pack,
                    [futures[i] for i in group],
                    self.transforms,
                    key=f"parcel-{self._name}-{self._round}-{group[0]}",
                    workers=[worker],
                    allow_other_workers=True,
                )
                size = sum(int(nbytes.get(futures[i].key, 0)) for i in group)
                self._parcels.append(Parcel(future, worker, size))
        self._blocks = {}  # the parcels hold them now; a lost one is rebuilt from the graph
        if self._regrouped is not None:
            self._regroup()
            for transform in self._later:
                self._replace(transform)

    @property
    def n_blocks(self) -> int:
        """Leaves of the summation tree."""
        return len(self.source.blocks) if self._regrouped is None else len(self._regrouped[0])

    def replace(self, transform: Callable[[Block], Block]) -> None:
        """Put ``transform(block)`` in the place of every block, where it is; parts that stay are not copied."""
        if self._regrouped is None:
            self.transforms = [*self.transforms, transform]
        else:
            self._later = [*self._later, transform]
        self._replace(transform)

    def regroup(self, sources: Sequence[Sequence[int]], cut: Cut) -> None:
        """New blocks: number j joins what ``cut`` gives it of each of the blocks ``sources[j]``. Once."""
        assert self._regrouped is None
        self._regrouped = [frozenset(old) for old in sources], cut
        self._regroup()

    def _regroup(self) -> None:
        """What a thread holds is cut for every thread that is to hold something, and joined there."""
        assert self._regrouped is not None
        sources, cut = self._regrouped
        self._round += 1
        self._threads = self.client.nthreads()
        homes = [worker for worker, threads in self._threads.items() for _ in range(threads)]
        count = min(len(sources), len(homes))
        name = f"{self._name}-{self._round}"
        batches = self._batches("regroup")

        def submit(function: Callable[..., Any], *values: Any, key: str, worker: str) -> Any:
            return self.client.submit(function, *values, key=key, workers=[worker], allow_other_workers=True)

        new = []
        for k in range(count):
            numbers = range(len(sources) * k // count, len(sources) * (k + 1) // count)
            wanted = Opaque({j: sources[j] for j in numbers})
            cuts = [
                submit(
                    cut_parcels,
                    [parcel.future for parcel in batch],
                    wanted,
                    cut,
                    key=f"cut-{name}-{i}-{k}",
                    worker=batch[0].worker,
                )
                for i, batch in enumerate(batches)
            ]
            worker = homes[len(homes) * k // count]
            joined = submit(join_parcel, cuts, list(numbers), key=f"regroup-{name}-{k}", worker=worker)
            parts = min(len(numbers), PARCELS_PER_THREAD)
            for i in range(parts):
                held = slice(len(numbers) * i // parts, len(numbers) * (i + 1) // parts)
                future = submit(take_blocks, joined, held, key=f"parcel-{name}-{k}-{i}", worker=worker)
                new.append(Parcel(future, worker, self._parcels[0].nbytes))
        self._wait([parcel.future for parcel in new])
        self._parcels = new

    def _replace(self, transform: Callable[[Block], Block]) -> None:
        self._round += 1
        self._parcels = [
            parcel._replace(
                future=self.client.submit(
                    transform_parcel,
                    parcel.future,
                    transform,
                    key=f"parcel-{self._name}-{self._round}-{i}",
                    workers=[parcel.worker],
                    allow_other_workers=True,
                )
            )
            for i, parcel in enumerate(self._parcels)
        ]

    # -- sweeps --------------------------------------------------------------------------------------------------

    def sweep(self, kernel: Kernel) -> Any:
        """Run ``kernel`` on every block and add the results in the fixed tree.

        Raises
        ------
        FitInterrupted
            When the cluster lost the work twice.
        """
        started = time.perf_counter()
        try:
            results = self._attempt(kernel)
        except CLUSTER_LOST as error:
            logger.warning("sweep %d was lost (%s): loading the blocks again", self._round, describe(error))
            try:
                self.load()
                results = self._attempt(kernel)
            except CLUSTER_LOST as again:
                raise FitInterrupted(
                    f"The cluster lost sweep {self._round} twice: {describe(again)}. Start a cluster with more "
                    "workers or memory and fit again; the error holds the coefficients reached so far."
                ) from again
        tree = Tree(self.n_blocks)
        seconds = self._seconds[kernel.name] = {}
        for result in results:
            tree.update(result.nodes)
            seconds[result.worker] = seconds.get(result.worker, 0.0) + result.seconds
        self.n_sweeps += 1
        self.cost = SweepCost(
            time.perf_counter() - started, sum(r.rows for r in results), sum(r.nbytes for r in results), len(results)
        )
        return tree.root

    def _attempt(self, kernel: Kernel) -> list[BatchResult]:
        self._round += 1
        prefix = f"{kernel.name}-{self._name}-{self._round}"
        carried: Any = kernel
        if dask.sizeof.sizeof(getattr(kernel, "points", None)) > INLINE_BYTES:
            carried = self.client.submit(carry, Opaque(kernel), key=f"carry-{prefix}")
        batches = self._batches(kernel.name)
        futures = [
            self.client.submit(
                run_parcels,
                carried,
                [parcel.future for parcel in batch],
                self.n_blocks,
                key=f"{prefix}-{i}",
                workers=[batch[0].worker],
                allow_other_workers=True,
            )
            for i, batch in enumerate(batches)
        ]
        try:
            self._wait(futures)
            results = list(self.client.gather(futures))
        except BaseException:
            self._threads = {}
            self.client.cancel(futures)
            raise
        if any(r.worker != batch[0].worker for r, batch in zip(results, batches, strict=True)):
            self._threads = {}  # stolen, or its worker is gone: look again who has what before the next sweep
        return results

    def _batches(self, name: str) -> list[list[Parcel]]:
        """The parcels of each worker in one to four batches a thread, by how long such a kernel ran last time."""
        last = self._seconds.get(name, {})
        if not self._threads:
            self._threads = self.client.nthreads()
            places = self.client.who_has([parcel.future for parcel in self._parcels])
            self._parcels = [
                parcel._replace(worker=(places.get(parcel.future.key) or (parcel.worker,))[0])
                for parcel in self._parcels
            ]
        by_worker: dict[str, list[Parcel]] = {}
        for parcel in self._parcels:
            by_worker.setdefault(parcel.worker, []).append(parcel)
        batches = []
        for worker, parcels in by_worker.items():
            n = self._threads.get(worker, 1)
            per_thread = min(max(round(last.get(worker, 0.0) / n / BATCH_SECONDS), 1), PARCELS_PER_THREAD)
            count = min(len(parcels), n * per_thread)
            cuts = [len(parcels) * i // count for i in range(count + 1)]
            batches += [parcels[a:b] for a, b in pairwise(cuts)]
        return batches

    def _wait(self, futures: list[Any]) -> None:
        wait(self.client, futures)

    # -- a whole fit in one task ---------------------------------------------------------------------------------

    def run(self, job: Callable[[Engine], Any], *, interactive: bool = False) -> Any:
        """A whole fit: in one task where the data are small, else driven from here, sweep by sweep.

        ``interactive``: somebody watches the fit, so it must run here.
        """
        small = self.source.nbytes <= SMALL_BYTES or (
            bool(self._blocks) and len(self._blocks) == len(self.source.blocks) and self._loaded_bytes() <= SMALL_BYTES
        )
        if interactive or not small:
            self.load()
            return job(self)
        if not self._blocks:
            self._blocks = load_blocks(self.client, self.source, range(len(self.source.blocks)))
        blocks = [self._blocks[i] for i in range(len(self.source.blocks))]
        future = self.client.submit(run_whole, job, blocks, key=f"fit-{self._name}", pure=False)
        try:
            self._wait([future])
            return self.client.gather(future)
        except CLUSTER_LOST as error:
            raise FitInterrupted(
                f"The cluster lost the fit: {describe(error)}. "
                "Start a cluster with more workers or memory and fit again."
            ) from error
        except BaseException:
            self.client.cancel([future])
            raise

    def _loaded_bytes(self) -> float:
        futures = list(self._blocks.values())
        self._wait(futures)
        return float(sum(self.client.nbytes([f.key for f in futures], summary=False).values()))

    def close(self) -> None:
        """Release everything on the cluster."""
        self._blocks = {}
        self._parcels = []


def on_cluster(client: Any, extent: Extent) -> Extent:
    """With the workers, threads and memory of a cluster."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [worker["memory_limit"] for worker in workers]
    memory = float(sum(limits)) if limits and all(limits) else float("inf")
    return extent._replace(workers=len(limits), threads=sum(worker["nthreads"] for worker in workers), memory=memory)


def load_blocks(client: Any, source: Source, indices: Iterable[int]) -> dict[int, Any]:
    """Start to load blocks; a load that raises is tried twice more."""
    indices = list(indices)
    if not indices:
        return {}
    futures = client.compute([source.blocks[i] for i in indices], optimize_graph=False, retries=2)
    return dict(zip(indices, futures, strict=True))


def place(nbytes: list[int], homes: list[str | None], threads: dict[str, int]) -> dict[str, list[list[int]]]:
    """Which worker keeps which blocks, in parcels: by bytes in proportion to threads, moving as little as possible.

    A block stays at home unless its worker holds more than :data:`UNEVEN` of its share; the largest that fit move to
    the emptiest worker.
    """
    total = sum(nbytes) or 1
    workers = list(threads)
    share = {w: max(total * threads[w] / sum(threads.values()), 1.0) for w in workers}
    load = dict.fromkeys(workers, 0)
    kept: dict[str, list[int]] = {w: [] for w in workers}
    moving = []
    for i, home in enumerate(homes):
        if home in load:
            kept[home].append(i)
            load[home] += nbytes[i]
        else:
            moving.append(i)
    for worker in workers:
        for i in sorted(kept[worker], key=lambda i: -nbytes[i]):
            emptiest = min(workers, key=lambda w: load[w] / share[w])
            after = (load[emptiest] + nbytes[i]) / share[emptiest]
            if load[worker] > UNEVEN * share[worker] and after < load[worker] / share[worker]:
                kept[worker].remove(i)
                load[worker] -= nbytes[i]
                kept[emptiest].append(i)
                load[emptiest] += nbytes[i]
    for i in moving:
        emptiest = min(workers, key=lambda w: load[w] / share[w])
        kept[emptiest].append(i)
        load[emptiest] += nbytes[i]
    plan = {}
    for worker, blocks in kept.items():
        blocks.sort()
        count = min(len(blocks), threads[worker] * PARCELS_PER_THREAD)
        cuts = [len(blocks) * i // count for i in range(count + 1)] if count else [0]
        plan[worker] = [blocks[a:b] for a, b in pairwise(cuts)]
    return plan


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


# -- tasks -----------------------------------------------------------------------------------------------------------


def pack(blocks: list[Block], transforms: list[Callable[[Block], Block]]) -> tuple[Block, ...]:
    """Blocks as one value; the arrays are shared with the blocks, not copied."""
    return tuple(aligned(apply(transforms, block)) for block in blocks)


def transform_parcel(parcel: tuple[Block, ...], transform: Callable[[Block], Block]) -> tuple[Block, ...]:
    return tuple(transform(block) for block in parcel)


def cut_parcels(parcels: list[tuple[Block, ...]], wanted: Opaque, cut: Cut) -> list[tuple[int, Block]]:
    """The parts of some parcels that go into some new blocks."""
    return cut_blocks((block for parcel in parcels for block in parcel), wanted.value, cut)


def join_parcel(cuts: list[list[tuple[int, Block]]], numbers: list[int]) -> tuple[Block, ...]:
    """The new blocks ``numbers``."""
    parts = [pair for cut in cuts for pair in cut]
    return tuple(aligned(join_blocks(j, [part for to, part in parts if to == j])) for j in numbers)


def take_blocks(parcel: tuple[Block, ...], numbers: slice) -> tuple[Block, ...]:
    """Some blocks of a parcel; their arrays are shared with it, not copied."""
    return parcel[numbers]


def carry(kernel: Opaque) -> Any:
    return kernel.value


def run_parcels(kernel: Kernel, parcels: list[tuple[Block, ...]], n_blocks: int) -> BatchResult:
    """One batch: a kernel over all blocks of some parcels."""
    result = run_batch(kernel, (block for parcel in parcels for block in parcel), n_blocks)
    return result._replace(worker=distributed.get_worker().address)


def run_whole(job: Callable[[Engine], Any], blocks: list[Block]) -> Any:
    """A whole fit inside one task."""
    return job(LocalEngine(blocks, serial=True))
