"""The engine without a cluster: blocks in this process, worked on by Dask's threaded scheduler."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import dask
from scipy.sparse import issparse

from ..arrays import numpy_dtype
from ..protocol import Block, Cut, Engine, Extent, Kernel, SweepCost
from .batch import (
    BatchResult,
    Opaque,
    apply,
    cut_blocks,
    join,
    join_blocks,
    run_batch,
    run_resident,
    run_streamed,
)
from .blocks import Source
from .tree import Tree

SERIAL_BYTES = 2 * 2**20  # below this a thread pool costs more than it saves
JOIN = 16  # streamed results joined before they travel


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
        if self.serial:
            results = [run_batch(kernel, self.blocks, n)]
        else:
            count = min(n, os.cpu_count() or 1)
            cuts = [n * i // count for i in range(count + 1)]
            task = dask.delayed(run_resident, pure=False)
            batches = [Opaque(self.blocks[a:b]) for a, b in pairwise(cuts)]
            scheduler = dask.config.get("scheduler", None)
            # Blocks are in this process: sending them to others would cost more than it saves.
            results = dask.compute(
                *(task(kernel, batch, n) for batch in batches),
                scheduler=scheduler if scheduler in ("sync", "synchronous", "single-threaded") else "threads",
                optimize_graph=False,
            )
        return self._finish(results, started, 0 if self.serial else len(results))

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
        """A whole fit, here."""
        return job(self)

    @property
    def n_blocks(self) -> int:
        return len(self.blocks)

    def close(self) -> None:
        self.blocks = []


def glue_blocks(index: int, transforms: Opaque, cut: Opaque, blocks: list[Block]) -> Block:
    """One block of several that were just loaded."""
    return join_blocks(index, [cut.value(apply(transforms.value, block), [index])[0] for block in blocks])


class StreamingEngine:
    """Reads every block from its source in every sweep, on whatever scheduler Dask is set to, in bounded memory."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.resident = False
        self.transforms: list[Callable[[Block], Block]] = []
        self.n_sweeps = 0
        self.cost = SweepCost()

    @property
    def extent(self) -> Extent:
        """The shape of the source."""
        return self.source.extent._replace(threads=os.cpu_count() or 1, resident=False)

    def sweep(self, kernel: Kernel) -> Any:
        """Run ``kernel`` on every block as it is loaded, drop the block, add the results in the fixed tree."""
        started = time.perf_counter()
        n = len(self.source.blocks)
        run = dask.delayed(run_streamed, pure=False)
        leaves = [run(kernel, Opaque(self.transforms), block, n) for block in self.source.blocks]
        merge = dask.delayed(join, pure=False)
        joined = [merge(leaves[i : i + JOIN], n) for i in range(0, n, JOIN)] if n > JOIN else leaves
        tree = Tree(n)
        results: list[BatchResult] = self._compute(joined)
        for result in results:
            tree.update(result.nodes)
        self.n_sweeps += 1
        self.cost = SweepCost(
            time.perf_counter() - started,
            sum(r.rows for r in results),
            sum(r.nbytes for r in results),
            len(leaves) + (len(joined) if n > JOIN else 0),
        )
        return tree.root

    def _compute(self, tasks: list[Any]) -> Any:
        return dask.compute(*tasks)

    def replace(self, transform: Callable[[Block], Block]) -> None:
        """Apply ``transform`` to every block after it is loaded."""
        self.transforms = [*self.transforms, transform]

    def regroup(self, sources: Sequence[Sequence[int]], cut: Cut) -> None:
        """New blocks of whole old ones, for more would have to be read again for every new block.

        Raises
        ------
        ValueError
            When a block is to be cut.
        """
        if max(Counter(i for old in sources for i in old).values()) > 1:
            raise ValueError(
                "The data are read from their source in every sweep, because they do not fit the memory, and rows "
                "cannot be exchanged between blocks then: use more memory or larger workers, or shuffle the source."
            )
        glue = dask.delayed(glue_blocks, pure=False)
        done, self.transforms = Opaque(self.transforms), []
        blocks = self.source.blocks
        self.source = self.source._replace(
            blocks=[glue(j, done, Opaque(cut), [blocks[i] for i in old]) for j, old in enumerate(sources)]
        )

    def run(self, job: Callable[[Engine], Any], *, interactive: bool = False) -> Any:
        """A whole fit, from here."""
        return job(self)

    @property
    def n_blocks(self) -> int:
        return len(self.source.blocks)

    def close(self) -> None:
        pass
