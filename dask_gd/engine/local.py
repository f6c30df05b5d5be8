"""The engine without a cluster: blocks in this process, worked on by Dask's threaded scheduler."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import dask
import dask.local
import dask.threaded
import numpy as np
from scipy.sparse import issparse

from ..arrays import numpy_dtype
from ..protocol import Block, Cut, Engine, Extent, Kernel, SweepCost
from .batch import Shares, aligned, cut_blocks, join_blocks, run_batch, takes_any_order
from .blas import one_blas_thread
from .tree import Tree

T = TypeVar("T")
SERIAL_BYTES = 2 * 2**20  # below this a thread pool costs more than it saves


class LocalEngine:
    """Runs sweeps in this process.

    Parameters
    ----------
    blocks : list of Block
        Resident blocks.
    serial : bool
        True: one thread, as inside a task of a cluster.
    """

    def __init__(self, blocks: list[Block], *, serial: bool = False) -> None:
        self.blocks = blocks
        nbytes = sum(block.nbytes for block in blocks)
        self.resident = True
        self.serial = serial or len(blocks) == 1 or nbytes <= SERIAL_BYTES
        self._in_order = False  # nothing is known of X
        self.n_sweeps = 0
        self.cost = SweepCost()

    @property
    def extent(self) -> Extent:
        """The shape of the blocks."""
        first = self.blocks[0].X
        rows = sum(block.n_rows for block in self.blocks)
        sparse = issparse(first)
        stored = sum(block.X.nnz for block in self.blocks) if sparse else 0
        density = stored / max(rows * first.shape[1], 1) if sparse else 1.0
        threads = 1 if self.serial else os.cpu_count() or 1
        return Extent(
            float(rows), first.shape[1], len(self.blocks), numpy_dtype(first).itemsize, sparse, density, threads=threads
        )

    def sweep(self, kernel: Kernel) -> Any:
        """Run ``kernel`` on every block and add the results in the fixed tree."""
        started = time.perf_counter()
        n = len(self.blocks)
        if not (self._in_order or takes_any_order(kernel)):
            self._put_in_order()
        if self.serial:
            results = [run_batch(kernel, self.blocks, n)]
        else:
            results = self._in_threads(lambda blocks: run_batch(kernel, blocks, n))
        return self._finish(results, started, 0 if self.serial else len(results))

    def _in_threads(self, work: Callable[[Iterator[Block]], T]) -> list[T]:
        """What becomes of the blocks of each thread."""
        alone = dask.config.get("scheduler", None) in ("sync", "synchronous", "single-threaded")
        count = min(len(self.blocks), os.cpu_count() or 1)
        shares = Shares(self.blocks, count)
        graph = {f"thread-{i}": (partial(work, shares.of(i)),) for i in range(count)}
        # Blocks are in this process: sending them to others would cost more than it saves.
        return list((dask.local.get_sync if alone else dask.threaded.get)(graph, list(graph)))

    def _put_in_order(self) -> None:
        """Blocks of which a sweep would have to copy X are copied once."""
        self._in_order = True
        if not any(
            isinstance(b.X, np.ndarray) and not (b.X.flags.c_contiguous and b.X.flags.aligned) for b in self.blocks
        ):
            return
        if self.serial:
            self.blocks = [aligned(block) for block in self.blocks]
        else:
            done = [block for part in self._in_threads(lambda blocks: list(map(aligned, blocks))) for block in part]
            self.blocks = sorted(done, key=lambda block: block.index)

    def _finish(self, results: Any, started: float, tasks: int) -> Any:
        tree = Tree(len(self.blocks))
        for result in results:
            tree.update(result.nodes)
        self.n_sweeps += 1
        self.cost = SweepCost(
            time.perf_counter() - started, sum(r.rows for r in results), sum(r.nbytes for r in results), tasks
        )
        return tree.root

    def replace(self, transform: Callable[[Block], Block]) -> None:
        """Put ``transform(block)`` in the place of every block."""
        self.blocks = [transform(block) for block in self.blocks]

    def regroup(self, sources: Sequence[Sequence[int]], cut: Cut) -> None:
        """New blocks: number j joins what ``cut`` gives it of each of the blocks ``sources[j]``."""
        parts = cut_blocks(self.blocks, {j: frozenset(old) for j, old in enumerate(sources)}, cut)
        self.blocks = [join_blocks(j, [part for to, part in parts if to == j]) for j in range(len(sources))]

    def run(self, job: Callable[[Engine], Any], *, interactive: bool = False) -> Any:
        """A whole fit, here; with one BLAS thread from end to end, because to set and lift the limit takes 50 µs."""
        with one_blas_thread():
            return job(self)

    @property
    def n_blocks(self) -> int:
        return len(self.blocks)

    def close(self) -> None:
        self.blocks = []
