"""What runs where the blocks are: one kernel over a batch of blocks, added as far as the tree allows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp

from ..arrays import by_columns, concat, is_device_array
from ..kernels.rows import by_rows
from ..protocol import Block, Cut, Kernel
from .blas import one_blas_thread
from .tree import Nodes, Tree

T = TypeVar("T")


class BatchResult(NamedTuple):
    """Nodes of the tree and what they cost."""

    nodes: Nodes
    seconds: float
    rows: int
    nbytes: int
    worker: str
    copied: bool = False  # whether rows were copied to make the blocks, as they would be in every sweep


def run_batch(kernel: Kernel, blocks: Iterable[Block], n_blocks: int) -> BatchResult:
    """Run ``kernel`` on each block, with one BLAS thread."""
    started = time.perf_counter()
    tree, rows, nbytes = Tree(n_blocks), 0, 0
    with one_blas_thread():
        for block in blocks:
            block = aligned(block, any_order=takes_any_order(kernel))
            tree.add(0, block.index, kernel(block))
            rows += block.n_rows
            nbytes += block.nbytes
    return BatchResult(tree.nodes, time.perf_counter() - started, rows, nbytes, "")


def takes_any_order(kernel: Kernel) -> bool:
    """Whether X may lie by columns."""
    return bool(getattr(kernel, "any_order", False))


def aligned(block: Block, *, any_order: bool = False) -> Block:
    """The block with its arrays where BLAS takes them: what came in a message may lie at any address, and NumPy then
    computes in a slow loop of its own, with other bits. X is brought row by row unless it may lie in ``any_order``."""
    if is_device_array(block.X):
        return block
    return block._replace(
        X=block.X if any_order and by_columns(block.X) else _aligned_matrix(block.X),
        y=np.require(block.y, requirements="A"),
        weight=None if block.weight is None else np.require(block.weight, requirements="A"),
        offset=None if block.offset is None else np.require(block.offset, requirements="A"),
    )


def _aligned_matrix(X: Any) -> Any:
    if isinstance(X, np.ndarray):
        return by_rows(X)
    parts = (X.data, X.indices, X.indptr)
    if all(part.flags.aligned for part in parts):
        return X
    return type(X)(tuple(np.require(part, requirements="A") for part in parts), shape=X.shape)


def apply(transforms: Iterable[Callable[[Block], Block]], block: Block) -> Block:
    """The block after each transform in turn."""
    for transform in transforms:
        block = transform(block)
    return block


def cut_blocks(blocks: Iterable[Block], sources: dict[int, Any], cut: Cut) -> list[tuple[int, Block]]:
    """(new block, part) for every block that a new block of ``sources`` (number -> old indices) has a part of."""
    found: list[tuple[int, Block]] = []
    for block in blocks:
        targets = [target for target, indices in sources.items() if block.index in indices]
        if targets:
            found += zip(targets, cut(block, targets), strict=True)
    return found


def join_blocks(index: int, parts: list[Block]) -> Block:
    """One block of the rows of some parts, in the order of the blocks that they are from."""
    parts = sorted(parts, key=lambda part: part.index)
    parts = [part for part in parts if part.n_rows] or parts[:1]
    if len(parts) == 1:
        return parts[0]._replace(index=index)
    matrices = [part.X for part in parts]
    sparse = any(sp.issparse(X) for X in matrices)
    X = sp.csr_array(sp.vstack(matrices, format="csr")) if sparse else concat(matrices)

    def join(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else concat(values)

    return Block(index, X, join("y"), join("weight"), join("offset"))


class Opaque:
    """A value that Dask hands to a task as it is instead of walking through it."""

    def __init__(self, value: Any) -> None:
        self.value = value


def run_streamed(kernel: Kernel, transforms: Opaque, block: Block, n_blocks: int) -> BatchResult:
    """Run ``kernel`` on one block that is dropped afterwards."""
    return run_batch(kernel, [apply(transforms.value, block)], n_blocks)


class Shares(Generic[T]):
    """Runs of neighbours, one for each thread; who is done with its own takes the last of the longest that is left.

    Neighbours, because a thread adds up what is next to each other before it hands anything over.
    """

    def __init__(self, items: Sequence[T], threads: int) -> None:
        n = len(items)
        self._runs = [deque(items[n * i // threads : n * (i + 1) // threads]) for i in range(threads)]

    def of(self, thread: int) -> Iterator[T]:
        """What one of the threads works on."""
        own = self._runs[thread]
        while True:
            try:
                item = own.popleft() if own else max(self._runs, key=len).pop()
            except IndexError:  # nothing is left, or somebody was faster
                if not any(self._runs):
                    return
            else:
                yield item

    def clear(self) -> None:
        """Leave the rest."""
        for run in self._runs:
            run.clear()


def join(results: list[BatchResult], n_blocks: int) -> BatchResult:
    """Join the results of neighbouring blocks before they travel."""
    tree = Tree(n_blocks)
    for result in results:
        tree.update(result.nodes)
    return BatchResult(
        tree.nodes,
        sum(r.seconds for r in results),
        sum(r.rows for r in results),
        sum(r.nbytes for r in results),
        "",
    )
