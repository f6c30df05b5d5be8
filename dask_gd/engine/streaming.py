"""The engine of data that do not fit: every block is read from its source in every sweep, in bounded memory."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import dask

from ..protocol import Block, Cut, Engine, Extent, Kernel, SweepCost
from .batch import BatchResult, Opaque, apply, join, join_blocks, run_streamed
from .blocks import Source
from .tree import Tree

JOIN = 16  # streamed results joined before they travel


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
