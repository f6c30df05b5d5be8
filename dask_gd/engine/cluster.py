"""The engine on a cluster: blocks persisted once and evenly, a sweep as a few batch tasks that can be stolen."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import dask
import distributed

from ..exceptions import FitInterrupted
from ..protocol import Block, Cut, Engine, Extent, Kernel, SweepCost
from .answering import Chunks, Parcels, open_lane
from .batch import BatchResult, Opaque, aligned, apply, cut_blocks, join_blocks, run_batch
from .blas import one_blas_thread
from .blocks import Source
from .graph import task
from .health import CLUSTER_LOST, collect, describe, wait
from .lane import request
from .local import LocalEngine
from .placing import PARCELS_PER_THREAD, Home, homes, place
from .reach import reach
from .tree import Tree

logger = logging.getLogger("dask_gd")

BATCH_SECONDS = 0.1  # a batch that runs this long is worth a task of its own
SMALL_BYTES = 32 * 2**20  # below this a whole fit in one task beats a round trip a sweep
INLINE_BYTES = 64 * 2**10  # a larger kernel travels once, as a task of its own, and is fetched worker from worker
RETRIES = 2  # of a load that raises
LANE_SECONDS = 0.3  # a sweep that is shorter than this takes the fast lane, for tasks would add 10 to 15 ms …
LANE_BYTES = 16 * 2**20  # … unless the scheduler had to pass on so much to the workers, copy by copy …
LANE_TROUBLES = 3  # … until it has failed so often
ABOUT_EVEN = 1.5  # a worker may have so much more than its share in a sweep that must not wait for chunks to move
CHUNK_SWEEPS = 4  # that make blocks anew, before parcels are worth the scheduler's time
PRODUCT_SECONDS = 5e-11  # of one product of two numbers: what the first sweep may take …
FIRST_PRODUCTS = 20  # … with so many for a number of X, and one for each feature, if squares of X are wanted


class Parcel(NamedTuple):
    """Blocks that live together as one value on one worker."""

    value: Any  # Future; Delayed until something asks for it
    worker: str


class ClusterEngine:
    """Sweeps over blocks that are resident on the workers of one client.

    Everything is persisted from the graph and nothing scattered, so the scheduler rebuilds what a lost worker held.
    Use as a context manager: all futures are released at its end.

    Parameters
    ----------
    client : distributed.Client
    source : Source
    extent : Extent
        Of the source and the cluster.
    loaded : dict of int to Future
        Blocks that are loaded already.
    """

    def __init__(self, client: Any, source: Source, extent: Extent, loaded: dict[int, Any] | None = None) -> None:
        self.client = client
        self.source = source
        self.extent = extent
        self.resident = True
        self.transforms: list[Callable[[Block], Block]] = []
        self.n_sweeps = 0
        self.cost = SweepCost()
        self._name = uuid.uuid4().hex[:10]
        self._round = 0
        self._seconds: dict[str, dict[str, float]] = {}  # kernel name -> worker -> seconds of its last sweep
        self._latest = ""  # name of the latest kernel
        self._blocks = dict(loaded or {})
        self._unpacked: list[tuple[str, list[Any], tuple[Any, ...]]] = []  # what parcels nobody asked for are made of
        self._parcels: list[Parcel] = []
        self._stem = ""  # of the parcels' keys, which end in their numbers
        self._chunks: dict[str, Chunks] = {}  # of the user, worker by worker, until parcels are made of them
        self._guess = float("inf")  # seconds that the first sweep may take
        self._regrouped: tuple[list[frozenset[int]], Cut] | None = None  # after the transforms above …
        self._later: list[Callable[[Block], Block]] = []  # … and before these
        self._threads: dict[str, int] = {}  # of each worker; asked again only when a round was disturbed
        self._troubles = 0  # of the fast lane

    # -- residency -----------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Persist every block: where the chunks of X are, if they are on the cluster, else where the scheduler finds
        room; and even out what is uneven."""
        n = len(self.source.blocks)
        known = None if self._blocks or self._round else homes(self.client, self.source)
        blocks: list[Any]
        inputs: tuple[Any, ...]
        places: list[str | None]
        if known is not None:
            places, nbytes = [home.worker for home in known], [home.nbytes for home in known]
            blocks, inputs = self.source.calls, self.source.inputs  # made by the tasks that make the parcels
        else:
            missing = [i for i in range(n) if i not in self._blocks]
            self._blocks.update(load_blocks(self.client, self.source, missing))
            blocks, inputs = [self._blocks[i] for i in range(n)], ()
            wait(self.client, blocks)
            sizes = self.client.nbytes([block.key for block in blocks], summary=False)
            found = self.client.who_has(blocks)
            places = [(found.get(block.key) or (None,))[0] for block in blocks]
            nbytes = [int(sizes.get(block.key, 0)) for block in blocks]
        self._threads = self.client.nthreads()
        if not self._threads:
            raise FitInterrupted("Every worker left while the data were placed: start workers and fit again.")
        reach(self.client, self._threads)
        self.extent = self.extent._replace(workers=len(self._threads), threads=sum(self._threads.values()))
        plan = place(nbytes, places, self._threads)
        if known is not None:
            self._chunks = self._user_chunks(known)
            products = FIRST_PRODUCTS + (0 if self.extent.sparse else self.extent.n_features)
            numbers = sum(nbytes) / self.extent.itemsize
            self._guess = numbers * products * PRODUCT_SECONDS / self.extent.threads
        self._unpacked = [
            (worker, [blocks[i] for i in group], inputs) for worker, groups in plan.items() for group in groups
        ]
        self._pack()
        self._blocks = {}
        if self._regrouped is not None:
            self._regroup()
            for transform in self._later:
                self._replace(transform)

    def _pack(self) -> None:
        self._new_stem()
        transforms = Opaque(self.transforms)
        self._parcels = [
            Parcel(task(pack, blocks, transforms, key=f"{self._stem}{i}", worker=worker, inputs=inputs), worker)
            for i, (worker, blocks, inputs) in enumerate(self._unpacked)
        ]

    def _user_chunks(self, known: list[Home]) -> dict[str, Chunks]:
        """The user's own chunks, if they lie about evenly: the first sweeps need not wait until parcels are made."""
        load = dict.fromkeys(self._threads, 0)
        calls: dict[str, list[Any]] = {}
        elsewhere: dict[str, dict[Any, list[str]]] = {}
        for home, call in zip(known, self.source.calls, strict=True):
            if home.elsewhere is None or home.worker not in load:
                return {}
            elsewhere.setdefault(home.worker, {}).update(home.elsewhere)
            load[home.worker] += home.nbytes
            calls.setdefault(home.worker, []).append(call)
        share = sum(load.values()) / self.extent.threads
        if any(nbytes > ABOUT_EVEN * share * self._threads[worker] for worker, nbytes in load.items()):
            return {}
        return {worker: Chunks(mine, self.transforms, elsewhere[worker]) for worker, mine in calls.items()}

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
        self._chunks = {}
        sources, cut = self._regrouped
        self._threads = self.client.nthreads()
        workers = [worker for worker, threads in self._threads.items() for _ in range(threads)]
        count = min(len(sources), len(workers))
        batches = self._batches("regroup")
        self._new_stem()
        new: list[Parcel] = []
        for k in range(count):
            numbers = range(len(sources) * k // count, len(sources) * (k + 1) // count)
            wanted = Opaque({j: sources[j] for j in numbers})
            name = f"{self._name}-{self._round}-{k}"
            cuts = [
                task(
                    cut_parcels,
                    [parcel.value for parcel in batch],
                    wanted,
                    Opaque(cut),
                    key=f"cut-{name}-{i}",
                    worker=batch[0].worker,
                )
                for i, batch in enumerate(batches)
            ]
            worker = workers[len(workers) * k // count]
            joined = task(join_parcel, cuts, list(numbers), key=f"regroup-{name}", worker=worker)
            parts = min(len(numbers), PARCELS_PER_THREAD)
            for i in range(parts):
                held = slice(len(numbers) * i // parts, len(numbers) * (i + 1) // parts)
                value = task(take_blocks, joined, held, key=f"{self._stem}{len(new)}", worker=worker)
                new.append(Parcel(value, worker))
        self._parcels = new
        self._ask([])
        wait(self.client, [parcel.value for parcel in new])

    def _replace(self, transform: Callable[[Block], Block]) -> None:
        there = not self._lazy()
        self._chunks = {
            worker: replace(chunks, transforms=[*chunks.transforms, transform])
            for worker, chunks in self._chunks.items()
        }
        if self._unpacked:
            self._pack()
        else:
            self._new_stem()
            opaque = Opaque(transform)
            self._parcels = [
                parcel._replace(
                    value=task(transform_parcel, parcel.value, opaque, key=f"{self._stem}{i}", worker=parcel.worker)
                )
                for i, parcel in enumerate(self._parcels)
            ]
        if there:  # at work while the client does what comes before the next sweep
            self._ask([])

    def _new_stem(self) -> None:
        self._round += 1
        self._stem = f"parcel-{self._name}-{self._round}-"

    def _lazy(self) -> list[int]:
        """The parcels that nothing has asked for yet."""
        return [i for i, parcel in enumerate(self._parcels) if not isinstance(parcel.value, distributed.Future)]

    def _ask(self, tasks: list[Any]) -> list[Any]:
        """Futures of tasks, in one message together with the parcels that nothing has asked for yet: the client sends
        at intervals of 10 ms."""
        lazy = self._lazy()
        wanted = [*tasks, *(self._parcels[i].value for i in lazy)]
        futures = self.client.compute(wanted, optimize_graph=False, retries=RETRIES)
        for i, future in zip(lazy, futures[len(tasks) :], strict=True):
            self._parcels[i] = self._parcels[i]._replace(value=future)
        self._unpacked = []  # the parcels hold it now; a lost one is rebuilt from the graph
        return list(futures[: len(tasks)])

    # -- sweeps --------------------------------------------------------------------------------------------------

    def sweep(self, kernel: Kernel) -> Any:
        """Run ``kernel`` on every block and add the results in the fixed tree.

        Raises
        ------
        FitInterrupted
            When the cluster lost the work twice.
        """
        started = time.perf_counter()
        results = self._by_lane(kernel) if self._is_short(kernel) else None
        tasks = 0
        if results is None:
            results = self._by_tasks(kernel)
            tasks = len(results)
        tree = Tree(self.n_blocks)
        seconds = self._seconds[kernel.name] = {}
        self._latest = kernel.name
        for result in results:
            tree.update(result.nodes)
            seconds[result.worker] = seconds.get(result.worker, 0.0) + result.seconds
        self.n_sweeps += 1
        self.cost = SweepCost(
            time.perf_counter() - started, sum(r.rows for r in results), sum(r.nbytes for r in results), tasks
        )
        return tree.root

    def _expected(self, name: str) -> float:
        """Seconds that the slowest worker needed for such a kernel last time, or else for the latest of any kind; a
        guess where there was none."""
        last = self._seconds.get(name) or self._seconds.get(self._latest)
        if last:
            return max(seconds / self._threads.get(worker, 1) for worker, seconds in last.items())
        return self._guess

    def _is_short(self, kernel: Kernel) -> bool:
        """Whether the fixed cost of tasks would show: clocks may decide that, since it changes no bit."""
        return (
            self._troubles < LANE_TROUBLES
            and self._expected(kernel.name) <= LANE_SECONDS
            and dask.sizeof.sizeof(getattr(kernel, "points", None)) * max(len(self._threads), 1) <= LANE_BYTES
        )

    def _by_lane(self, kernel: Kernel) -> list[BatchResult] | None:
        """The results from the fast lane; None if anything is in its way."""
        held = self._held()
        if not held:
            return None
        began = time.perf_counter()
        results = request(self.client, kernel, held, self.n_blocks, self._expected(kernel.name))
        if results is None:
            self._troubles += 1
            self._chunks = {}
            self._threads = {}  # look again who has what
            logger.debug("sweep %d goes by tasks", self.n_sweeps + 1)
            return None
        if any(result.copied for result in results):
            self._chunks = {}  # parcels are made once
        logger.debug(
            "sweep %d (%s): %d workers answered in %.1f ms, and computed %.1f ms",
            self.n_sweeps + 1,
            kernel.name,
            len(results),
            1e3 * (time.perf_counter() - began),
            1e3 * max(result.seconds / self._threads.get(result.worker, 1) for result in results),
        )
        return results

    def _held(self) -> Mapping[str, Parcels | Chunks]:
        """What the workers sweep over: parcels or, until they are made, the user's chunks; nothing if neither is sure
        to be there."""
        if not self._threads:
            self._locate()
        if self._chunks:
            if self.n_sweeps >= CHUNK_SWEEPS and self._lazy():
                self._ask([])
            if self._lazy() or any(parcel.value.status != "finished" for parcel in self._parcels):
                return self._chunks if reach(self.client, list(self._chunks)) else {}
            self._chunks = {}
        if self._lazy():
            return {}
        futures = [parcel.value for parcel in self._parcels]
        pending = [future for future in futures if future.status == "pending"]
        if pending:
            wait(self.client, pending)
        if any(future.status != "finished" for future in futures):
            return {}
        numbers: dict[str, list[int]] = {}
        for i, parcel in enumerate(self._parcels):
            numbers.setdefault(parcel.worker, []).append(i)
        return {worker: Parcels(self._stem, mine) for worker, mine in numbers.items()}

    def _by_tasks(self, kernel: Kernel) -> list[BatchResult]:
        try:
            return self._attempt(kernel)
        except CLUSTER_LOST as error:
            logger.warning("sweep %d was lost (%s): loading the blocks again", self.n_sweeps + 1, describe(error))
        try:
            self.load()
            return self._attempt(kernel)
        except CLUSTER_LOST as again:
            raise FitInterrupted(
                f"The cluster lost sweep {self.n_sweeps + 1} twice: {describe(again)}. Start a cluster with more "
                "workers or memory and fit again; the error holds the coefficients reached so far."
            ) from again

    def _attempt(self, kernel: Kernel) -> list[BatchResult]:
        self._round += 1
        prefix = f"{kernel.name}-{self._name}-{self._round}"
        carried: Any = Opaque(kernel)
        if dask.sizeof.sizeof(getattr(kernel, "points", None)) > INLINE_BYTES:
            carried = task(carry, carried, key=f"carry-{prefix}")
        batches = self._batches(kernel.name)
        futures = self._ask(
            [
                task(
                    run_parcels,
                    carried,
                    [parcel.value for parcel in batch],
                    self.n_blocks,
                    key=f"{prefix}-{i}",
                    worker=batch[0].worker,
                )
                for i, batch in enumerate(batches)
            ]
        )
        try:
            results: list[BatchResult] = collect(self.client, futures, direct=reach(self.client, self._threads))
        except BaseException:
            self._threads = {}
            raise
        if any(r.worker != batch[0].worker for r, batch in zip(results, batches, strict=True)):
            self._threads = {}  # stolen, or its worker is gone: look again who has what before the next sweep
        return results

    def _locate(self) -> None:
        """Ask who has what."""
        self._threads = self.client.nthreads()
        there = [parcel.value for parcel in self._parcels if isinstance(parcel.value, distributed.Future)]
        places = self.client.who_has(there) if there else {}
        self._parcels = [
            parcel._replace(worker=(places.get(parcel.value.key) or (parcel.worker,))[0]) for parcel in self._parcels
        ]

    def _batches(self, name: str) -> list[list[Parcel]]:
        """The parcels of each worker in one to four batches a thread, by how long such a kernel ran last time."""
        last = self._seconds.get(name, {})
        if not self._threads:
            self._locate()
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
            with one_blas_thread():  # as in a task; idle ones would spin, on the cores of workers of this machine
                return job(self)
        blocks = [self._blocks.get(i, call) for i, call in enumerate(self.source.calls)]
        asked = self._ask([task(run_whole, Opaque(job), blocks, key=f"fit-{self._name}", inputs=self.source.inputs)])
        try:
            [result] = collect(self.client, asked)
        except CLUSTER_LOST as error:
            raise FitInterrupted(
                f"The cluster lost the fit: {describe(error)}. "
                "Start a cluster with more workers or memory and fit again."
            ) from error
        return result

    def _loaded_bytes(self) -> float:
        futures = list(self._blocks.values())
        wait(self.client, futures)
        return float(sum(self.client.nbytes([f.key for f in futures], summary=False).values()))

    def close(self) -> None:
        """Release everything on the cluster."""
        self._blocks = {}
        self._parcels = []
        self._unpacked = []
        self._chunks = {}


def load_blocks(client: Any, source: Source, indices: Iterable[int]) -> dict[int, Any]:
    """Start to load blocks; a load that raises is tried twice more."""
    indices = list(indices)
    if not indices:
        return {}
    futures = client.compute([source.blocks[i] for i in indices], optimize_graph=False, retries=RETRIES)
    return dict(zip(indices, futures, strict=True))


# -- tasks -----------------------------------------------------------------------------------------------------------


def pack(blocks: list[Block], transforms: Opaque) -> tuple[Block, ...]:
    """Blocks as one value; the arrays are shared with the blocks, not copied."""
    return tuple(aligned(apply(transforms.value, block)) for block in blocks)


def transform_parcel(parcel: tuple[Block, ...], transform: Opaque) -> tuple[Block, ...]:
    return tuple(transform.value(block) for block in parcel)


def cut_parcels(parcels: list[tuple[Block, ...]], wanted: Opaque, cut: Opaque) -> list[tuple[int, Block]]:
    """The parts of some parcels that go into some new blocks."""
    return cut_blocks((block for parcel in parcels for block in parcel), wanted.value, cut.value)


def join_parcel(cuts: list[list[tuple[int, Block]]], numbers: list[int]) -> tuple[Block, ...]:
    """The new blocks ``numbers``."""
    parts = [pair for cut in cuts for pair in cut]
    return tuple(aligned(join_blocks(j, [part for to, part in parts if to == j])) for j in numbers)


def take_blocks(parcel: tuple[Block, ...], numbers: slice) -> tuple[Block, ...]:
    """Some blocks of a parcel; their arrays are shared with it, not copied."""
    return parcel[numbers]


def carry(kernel: Opaque) -> Any:
    return kernel.value


def run_parcels(kernel: Any, parcels: list[tuple[Block, ...]], n_blocks: int) -> BatchResult:
    """One batch: a kernel over all blocks of some parcels. Its worker may be asked for short sweeps from now on."""
    kernel = kernel.value if isinstance(kernel, Opaque) else kernel
    result = run_batch(kernel, (block for parcel in parcels for block in parcel), n_blocks)
    worker: Any = distributed.get_worker()
    open_lane(worker)
    return result._replace(worker=worker.contact_address)


def run_whole(job: Opaque, blocks: list[Block]) -> Any:
    """A whole fit inside one task."""
    return LocalEngine(blocks, serial=True).run(job.value)
