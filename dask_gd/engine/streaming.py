"""The engine of data that do not fit: a sweep reads the blocks from their source, in bounded memory."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import dask

from ..protocol import Block, Cut, Engine, Extent, Kernel, SweepCost
from .batch import BatchResult, Opaque, apply, join_blocks, run_batch
from .blocks import Source
from .pieces import Loader, Piece, Transforms, cut_pieces, read_blocks
from .room import Room
from .tree import Tree

PIECES_PER_THREAD = 4  # at the least, so that a thread that is done early finds something to do …
MOST_PIECES_PER_THREAD = 16
READ_BLOCKS = 8  # … but so many blocks in each, of which all but the first are read ahead


class Streamed(NamedTuple):
    """What a batch sends back."""

    result: BatchResult
    n_loads: int  # blocks that were read


class StreamingEngine:
    """Reads the blocks from their source in every sweep, but for those that there is room for, on whatever scheduler
    Dask is set to.

    Parameters
    ----------
    source : Source
    room : Room, optional
        What this process may hold. None: one block a thread.
    """

    def __init__(self, source: Source, room: Room | None = None) -> None:
        self.source = source
        self.resident = False
        self.transforms: list[Callable[[Block], Block]] = []
        self.n_sweeps = 0
        self.n_loads = 0  # blocks read in the latest sweep
        self.cost = SweepCost()
        self._room = room
        self._pieces: list[Piece] = []

    @property
    def extent(self) -> Extent:
        """The shape of the source."""
        return self.source.extent._replace(threads=os.cpu_count() or 1, resident=False)

    def sweep(self, kernel: Kernel) -> Any:
        """Run ``kernel`` on every block as it is loaded, drop the block, add the results in the fixed tree."""
        started = time.perf_counter()
        streamed = self._stream(kernel)
        tree = Tree(self.n_blocks)
        for result, _ in streamed:
            tree.update(result.nodes)
        self.n_sweeps += 1
        self.n_loads = sum(n_loads for _, n_loads in streamed)
        self.cost = SweepCost(
            time.perf_counter() - started,
            sum(r.rows for r, _ in streamed),
            sum(r.nbytes for r, _ in streamed),
            len(streamed),
        )
        return tree.root

    def _stream(self, kernel: Kernel) -> list[Streamed]:
        if not self._pieces:
            self._pieces = cut_pieces(self.source.blocks, piece_count(self.n_blocks, os.cpu_count() or 1), ())
        run = dask.delayed(stream_piece, pure=False)
        hidden = [Opaque((piece, self.transforms, self._room)) for piece in self._pieces]
        return list(dask.compute(*(run(kernel, each, self.n_blocks) for each in hidden), optimize_graph=False))

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
        done = Opaque(self.transforms)
        blocks = self.source.blocks
        self.close()  # what is kept are old blocks
        self.transforms = []
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
        """Forget the blocks that stayed."""
        self._pieces = []
        if self._room is not None:
            self._room.clear()


def piece_count(n_blocks: int, threads: int) -> int:
    """Batches of a sweep."""
    wanted = min(MOST_PIECES_PER_THREAD * threads, n_blocks // READ_BLOCKS)
    return min(n_blocks, max(PIECES_PER_THREAD * threads, wanted))


# -- tasks -----------------------------------------------------------------------------------------------------------


def stream_piece(kernel: Kernel, hidden: Opaque, n_blocks: int) -> Streamed:
    """One batch: a kernel over the blocks of a piece as they are read."""
    piece, transforms, room = hidden.value
    return stream(kernel, piece, transforms, room, {}, n_blocks, keep=True)


def stream(
    kernel: Kernel,
    piece: Piece,
    transforms: Transforms,
    room: Room | None,
    given: Mapping[Any, Any],
    n_blocks: int,
    *,
    keep: bool,
) -> Streamed:
    """A kernel over the blocks of a piece as they are read."""
    loader = Loader(piece, given)
    result = run_batch(kernel, read_blocks(loader, transforms, room, keep), n_blocks)
    return Streamed(result, loader.n_loads)


def glue_blocks(index: int, transforms: Opaque, cut: Opaque, blocks: list[Block]) -> Block:
    """One block of several that were just loaded."""
    return join_blocks(index, [cut.value(apply(transforms.value, block), [index])[0] for block in blocks])
