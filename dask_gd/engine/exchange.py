"""Rows that must be put in order as a whole: the workers send each other what belongs together, and only numbers come
to the client.

Blocks are ordered where they are, a few neighbours together; samples of them say where to cut the whole into ranges of
about as many rows each; every range is joined from its pieces of all groups. Groups, cuts and the order of joining
depend on the rows and their chunks alone. No process holds more than the groups and ranges that it works on and keeps.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import dask
import numpy as np

from ..exceptions import FitInterrupted
from ..protocol import Array, Block
from .batch import Opaque
from .graph import task
from .streaming import StreamingEngine
from .tree import Tree

RANGE_ROWS = 2**21  # of a range, and of a group of blocks unless one has more
SAMPLES_PER_RANGE = 8  # of each group: a range has at most so much more than its share as one of them stands for
RETRIES = 2  # of a load that raises


class Ordered(Protocol):
    """Rows in order: what is exchanged."""

    def __len__(self) -> int: ...

    def sample(self, count: int) -> Array:
        """At most ``count`` places, evenly spread over the rows."""
        ...

    def cut(self, edges: Array) -> list[Any]:
        """The rows up to and with each of the edges, and those above the last."""
        ...


class Exchange:
    """The rows of a source, read once and kept until the end.

    Parameters
    ----------
    engine : StreamingEngine
        Opened for these rows; nothing is swept.
    """

    def __init__(self, engine: StreamingEngine) -> None:
        self.client = getattr(engine, "client", None)
        self._name = uuid.uuid4().hex[:10]
        self._round = 0
        held = self._hold(list(engine.source.blocks))
        self._rows = self._ask(_count, [(block,) for block in held])
        self._release([block for block, n in zip(held, self._rows, strict=True) if not n])
        self._blocks = [block for block, n in zip(held, self._rows, strict=True) if n]
        self._rows = [n for n in self._rows if n]

    def add(self, function: Callable[[Block], Any], empty: Any) -> Any:
        """``function`` of every block that has rows, added in the fixed tree; ``empty`` where there are none."""
        if not self._blocks:
            return empty
        hidden = Opaque(function)
        tree = Tree(len(self._blocks))
        for i, part in enumerate(self._ask(_apply, [(hidden, block) for block in self._blocks])):
            tree.add(0, i, part)
        return tree.root

    def in_order(self, order: Callable[[Block], Ordered], join: Callable[[Sequence[Any]], Any]) -> Ranges:
        """Ranges of all rows: ``order`` makes rows in order of a block, and ``join`` of several such one."""
        how = Opaque((order, join))
        runs = self._hold(self._tasks(_order, [(how, group) for group in self._groups()]))
        sizes = self._ask(_size, [(run,) for run in runs])
        count = max(1, math.ceil(sum(sizes) / RANGE_ROWS))
        if count == 1:
            ranges = Ranges(self, self._hold(self._tasks(_join, [(how, runs)])))
        else:
            edges = self._edges(runs, sizes, count)
            cuts = self._tasks(_cut, [(run, Opaque(edges)) for run in runs])
            pieces = [self._tasks(_take, [(cut, i) for cut in cuts]) for i in range(len(edges) + 1)]
            ranges = Ranges(self, self._hold(self._tasks(_join, [(how, parts) for parts in pieces])))
        self._release(runs)  # the scheduler keeps what ranges are still to be made of
        return ranges

    def _groups(self) -> list[list[Any]]:
        groups: list[list[Any]] = []
        room = 0
        for block, n in zip(self._blocks, self._rows, strict=True):
            if n > room:
                groups.append([])
                room = RANGE_ROWS
            groups[-1].append(block)
            room -= n
        return groups

    def _edges(self, runs: list[Any], sizes: list[int], count: int) -> Array:
        """Where to cut, so that every range has about as many rows."""
        samples = self._ask(_sample, [(run, SAMPLES_PER_RANGE * count) for run in runs])
        weights = [np.full(len(s), n / max(len(s), 1)) for s, n in zip(samples, sizes, strict=True)]
        places, weight = np.concatenate(samples), np.concatenate(weights)
        order = np.argsort(places, kind="stable")
        below = np.cumsum(weight[order])
        wanted = below[-1] * np.arange(1, count) / count
        return np.unique(places[order][np.searchsorted(below, wanted)])

    def _tasks(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        self._round += 1
        prefix = f"{function.__name__.strip('_')}-rows-{self._name}-{self._round}"
        return [task(function, *values, key=f"{prefix}-{i}") for i, values in enumerate(calls)]

    def _hold(self, tasks: list[Any]) -> list[Any]:
        """The values of some tasks, where they are made."""
        if self.client is None:
            return list(dask.persist(*tasks, optimize_graph=False))
        return list(self.client.compute(tasks, optimize_graph=False, retries=RETRIES))

    def _release(self, values: list[Any]) -> None:
        """Give back held values now; graphs that mention them would do so at some time."""
        if self.client is not None:
            for future in values:
                future.release()

    def close(self) -> None:
        """Release the rows."""
        self._release(self._blocks)
        self._blocks = []

    def _ask(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """What a function says of some values; it comes here."""
        tasks = self._tasks(function, calls)
        if self.client is None:
            return list(dask.compute(*tasks, optimize_graph=False))
        from .health import CLUSTER_LOST, collect, describe

        try:
            return collect(self.client, self.client.compute(tasks, optimize_graph=False))
        except CLUSTER_LOST as error:
            raise FitInterrupted(
                f"The cluster lost rows that were being put in order: {describe(error)}. Give the workers more memory "
                "or make the chunks smaller."
            ) from error


class Ranges:
    """Rows in order, range by range, where they were joined."""

    def __init__(self, exchange: Exchange, values: list[Any]) -> None:
        self._exchange = exchange
        self._values = values

    def ask(self, function: Callable[[Any], Any]) -> list[Any]:
        """What a function says of every range, in their order."""
        hidden = Opaque(function)
        return self._exchange._ask(_apply, [(hidden, value) for value in self._values])

    def close(self) -> None:
        """Release the ranges."""
        self._exchange._release(self._values)
        self._values = []


# -- tasks -----------------------------------------------------------------------------------------------------------


def _count(block: Block) -> int:
    return block.n_rows


def _apply(function: Opaque, value: Any) -> Any:
    return function.value(value)


def _order(how: Opaque, blocks: list[Block]) -> Any:
    order, join = how.value
    return join([order(block) for block in blocks])


def _join(how: Opaque, parts: list[Any]) -> Any:
    return how.value[1](parts)


def _size(run: Any) -> int:
    return len(run)


def _sample(run: Any, count: int) -> Array:
    return np.asarray(run.sample(count))


def _cut(run: Any, edges: Opaque) -> Any:
    return tuple(run.cut(edges.value))


def _take(parts: Any, i: int) -> Any:
    return parts[i]
