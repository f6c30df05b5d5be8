"""The engine of data that do not fit a cluster's memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import dask
import distributed
from distributed.protocol import pickle

from ..exceptions import FitInterrupted
from ..protocol import Engine, Extent, Kernel
from .batch import Opaque
from .blas import one_blas_thread
from .blocks import Source
from .cluster import INLINE_BYTES, carry
from .health import CLUSTER_LOST, collect, describe, workers_of
from .pieces import Transforms, cut_pieces
from .placing import on_cluster, place
from .reach import reach
from .room import find_room, open_room
from .streaming import Streamed, StreamingEngine, piece_count, stream

RESIDENT_GRAPHS = 0.05  # of the memory: graphs that weigh more, for vectors of the client are in them, travel each time
ROOM_SECONDS = 5.0  # to wait for workers that are to open their rooms


class ClusterStreamingEngine(StreamingEngine):
    """Streams from the source through the workers of one client.

    A worker keeps blocks of the batches that are its own. What it keeps is known to it alone and is lost with it; who
    runs a batch then reads its blocks.

    Parameters
    ----------
    client : distributed.Client
    source : Source
    keep : bool
        Whether blocks may stay: False for a single sweep.
    """

    def __init__(self, client: Any, source: Source, *, keep: bool = True) -> None:
        super().__init__(source)
        self.client = client
        self.keep = keep
        self._name = ""
        self._round = 0
        self._graphs: list[Any] = []  # of the pieces, pickled; futures where they are light
        self._given: list[dict[Any, Any]] = []
        self._homes: list[str | None] = []
        self._rooms: dict[str, Any] = {}

    @property
    def extent(self) -> Extent:
        """The shape of the source and the size of the cluster."""
        return on_cluster(self.client, self.source.extent._replace(resident=False))

    def _stream(self, kernel: Kernel) -> list[Streamed]:
        self._settle()
        self._round += 1
        carried: Any = kernel
        prefix = f"{kernel.name}-{self._name}-{self._round}"
        if dask.sizeof.sizeof(getattr(kernel, "points", None)) > INLINE_BYTES:
            carried = self.client.submit(carry, Opaque(kernel), key=f"carry-{prefix}")
        futures = [
            self.client.submit(
                stream_here,
                carried,
                graph,
                self.transforms,
                given,
                self.n_blocks,
                self._name,
                home,
                key=f"{prefix}-{i}",
                **_at(home),
            )
            for i, (graph, given, home) in enumerate(zip(self._graphs, self._given, self._homes, strict=True))
        ]
        try:
            return collect(self.client, futures, early=True, direct=reach(self.client, self._rooms))
        except CLUSTER_LOST as error:
            raise FitInterrupted(
                f"The cluster lost a sweep: {describe(error)}. Give the workers more memory or make the chunks smaller."
            ) from error

    def run(self, job: Callable[[Engine], Any], *, interactive: bool = False) -> Any:
        """A whole fit, from here."""
        with one_blas_thread():  # as in a task; idle ones would spin, on the cores of workers of this machine
            return job(self)

    def _settle(self) -> None:
        """Every batch has a home among the workers there are, and every worker a room."""
        workers = workers_of(self.client)
        threads = {address: info["nthreads"] for address, info in workers.items()}
        if not self._graphs:
            self._name = uuid.uuid4().hex[:10]
            self._cut(sum(threads.values()), sum(info["memory_limit"] or 0 for info in workers.values()))
        if self.source.loaded or not workers or workers.keys() == self._rooms.keys():
            return
        sizes = [len(piece.indices) for piece in self._pieces]
        for worker, parcels in place(sizes, self._homes, threads).items():
            for i in (i for parcel in parcels for i in parcel):
                self._homes[i] = worker
        self._rooms = {
            worker: self._rooms.get(worker)
            or self.client.submit(
                open_room,
                self._name,
                worker,
                info["memory_limit"] or float("inf"),
                info["nthreads"],
                self.keep,
                key=f"room-{self._name}-{worker}",
                workers=[worker],
            )
            for worker, info in workers.items()
        }
        try:
            distributed.wait(list(self._rooms.values()), timeout=ROOM_SECONDS)
        except TimeoutError:
            pass  # a worker that went away in the meantime

    def _cut(self, threads: int, memory: float) -> None:
        n, held = self.n_blocks, self.source.held
        # Blocks that are on the cluster are worked on where they are, each for itself.
        count = n if self.source.loaded else piece_count(n, max(threads, 1))
        self._pieces = cut_pieces(self.source.blocks, count, held)
        self._given = [{key: held[key] for key in piece.held} for piece in self._pieces]
        self._homes = [None] * count
        graphs = [pickle.dumps(piece) for piece in self._pieces]
        if not memory or sum(map(len, graphs)) <= RESIDENT_GRAPHS * memory:
            name = self._name
            self._graphs = [
                self.client.submit(carry, Opaque(graph), key=f"piece-{name}-{i}") for i, graph in enumerate(graphs)
            ]
        else:
            self._graphs = [Opaque(graph) for graph in graphs]

    def close(self) -> None:
        """Release everything on the cluster."""
        self._pieces, self._graphs, self._given, self._homes, self._rooms = [], [], [], [], {}


def _at(home: str | None) -> dict[str, Any]:
    return {} if home is None else {"workers": [home], "allow_other_workers": True}


def stream_here(
    kernel: Kernel,
    graph: Any,
    transforms: Transforms,
    given: dict[Any, Any],
    n_blocks: int,
    name: str,
    home: str | None,
) -> Streamed:
    """One batch on a worker; only its home keeps blocks of it."""
    here: Any = distributed.get_worker().contact_address
    room = find_room(name, here)
    piece = pickle.loads(graph.value if isinstance(graph, Opaque) else graph)
    streamed = stream(kernel, piece, transforms, room, given, n_blocks, keep=here == home)
    return streamed._replace(result=streamed.result._replace(worker=here))
