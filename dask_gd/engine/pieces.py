"""What a batch of blocks is made of: the part of the graph that loads them, which a task carries and runs by itself.

The scheduler knows nothing of what is inside, so it can load nothing before its turn and hold nothing after it: a batch
holds the block that is worked on and, where there is room, the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import pairwise
from typing import Any, NamedTuple

import dask
from dask.highlevelgraph import HighLevelGraph
from dask.optimization import cull

from ..exceptions import DataError
from ..protocol import Block
from .batch import apply
from .room import Room

TRIES = 3  # of a load that raises

Transforms = Sequence[Callable[[Block], Block]]


class Piece(NamedTuple):
    """Neighbouring blocks and the graph that loads them."""

    indices: range
    keys: list[Any]  # of the blocks
    graph: dict[Any, Any]
    shared: dict[Any, int]  # key of a value that several blocks need -> position of the last of them
    held: list[Any]  # keys of values that are on the cluster already and come with the task


def cut_pieces(blocks: Sequence[Any], count: int, held: Collection[Any]) -> list[Piece]:
    """``count`` pieces of the delayed blocks, with as many blocks each as can be."""
    n = len(blocks)
    merged = HighLevelGraph.merge(*(block.__dask_graph__() for block in blocks)).to_dict()
    graph = {**merged, **dict.fromkeys(held)}
    cuts = [n * i // count for i in range(count + 1)]
    return [_piece(graph, range(a, b), [block.key for block in blocks[a:b]], set(held)) for a, b in pairwise(cuts)]


def _piece(graph: Mapping[Any, Any], indices: range, keys: list[Any], held: set[Any]) -> Piece:
    parts = [cull(graph, [key]) for key in keys]
    users: dict[Any, list[int]] = {}
    for position, (part, _) in enumerate(parts):
        for key in part:
            users.setdefault(key, []).append(position)
    # Of what several blocks need, that which something else needs too: the rest is inside of it.
    edge = {
        key
        for _, needs in parts
        for consumer, keys_needed in needs.items()
        for key in keys_needed
        if len(users[key]) > 1 and users[key] != users[consumer]
    }
    merged = {key: task for part, _ in parts for key, task in part.items() if key not in held}
    return Piece(
        indices, keys, merged, {key: users[key][-1] for key in edge - held}, [key for key in users if key in held]
    )


class Given:
    """A task without arguments that returns a value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        return self.value


class Loader:
    """Loads the blocks of a piece, in their order; a value that two of them need is computed once.

    Parameters
    ----------
    piece : Piece
    given : dict
        The values of ``piece.held``.
    """

    def __init__(self, piece: Piece, given: Mapping[Any, Any]) -> None:
        self.piece = piece
        self.known: dict[Any, Any] = {key: (Given(value),) for key, value in given.items()}
        self.n_loads = 0

    def __call__(self, position: int) -> Block:
        """The block; a load that raises is tried twice more."""
        key, last = self.piece.keys[position], self.piece.shared
        part, _ = cull({**self.piece.graph, **self.known}, [key])
        keep = [k for k in part if last.get(k, -1) > position and k not in self.known]
        for attempt in range(TRIES):
            try:
                block, *values = dask.get(part, [key, *keep])
                break
            except DataError:
                raise
            except Exception:
                if attempt == TRIES - 1:
                    raise
        self.n_loads += 1
        self.known.update((k, (Given(value),)) for k, value in zip(keep, values, strict=True))
        for k in [k for k in self.known if last.get(k, position + 1) <= position]:
            del self.known[k]
        return block


def read_blocks(loader: Loader, transforms: Transforms, room: Room | None, keep: bool) -> Iterator[Block]:
    """The blocks of a piece, those that stay from the room, the others loaded: the next one while this one is used.

    ``keep``: others may stay, too.
    """
    indices, done = loader.piece.indices, len(transforms)

    def load(position: int) -> Block:
        return apply(transforms, loader(position))

    missing = [p for p, index in enumerate(indices) if room is None or index not in room]
    with ThreadPoolExecutor(1, thread_name_prefix="dask_gd-read") as reader:

        def start() -> Future[Block] | None:
            if room is None or not missing or not room.may_read_ahead():
                return None
            return reader.submit(copy_context().run, load, missing[0])

        ahead = start() if missing and missing[0] else None
        for position, index in enumerate(indices):
            if not missing or position < missing[0]:
                assert room is not None
                yield room.take(index, transforms)
                continue
            block = load(position) if ahead is None else ahead.result()
            del missing[0]
            if room is not None:
                room.relieve()
                room.weigh(block)
                if keep:
                    room.offer(index, done, block)
            ahead = start()
            yield block
