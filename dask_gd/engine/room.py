"""What one process may hold of data that do not fit: blocks that stay between sweeps, and the next one read ahead."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import psutil

from ..protocol import Block
from .batch import apply

KEEP_SHARE = 0.6  # of a worker's memory limit, by which Dask means to hold data
AHEAD_SHARE = 0.7  # … from which it would write them to disk
IN_FLIGHT = 4  # a thread's blocks at the worst: one worked on, and the next read, decoded and copied to one matrix


class Room:
    """The blocks that stay in this process, as far as its memory, which is measured, allows.

    A copy of it elsewhere is empty: the blocks are read again there.

    Parameters
    ----------
    keep : float
        Bytes of the blocks that stay, at the most.
    keep_until, ahead_until : float
        Bytes of the process up to which blocks are kept, and read ahead.
    threads : int
        That may work on blocks at a time.
    """

    def __init__(self, keep: float, keep_until: float, ahead_until: float, threads: int) -> None:
        self.keep = keep
        self.keep_until = keep_until
        self.ahead_until = ahead_until
        self.threads = threads
        self.largest = 0
        self.kept = 0
        self._blocks: dict[int, tuple[int, Block]] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return Room, (self.keep, self.keep_until, self.ahead_until, self.threads)

    def __contains__(self, index: int) -> bool:
        return index in self._blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def clear(self) -> None:
        """Keep nothing."""
        self.kept = 0
        self._blocks = {}

    def take(self, index: int, transforms: Sequence[Callable[[Block], Block]]) -> Block:
        """A block that is here; the transforms that came after it are applied, and it stays as it is then."""
        done, block = self._blocks[index]
        if done < len(transforms):
            block = apply(transforms[done:], block)
            self._blocks[index] = len(transforms), block
        return block

    def weigh(self, block: Block) -> None:
        """Learn how large blocks are."""
        self.largest = max(self.largest, block.nbytes)

    def offer(self, index: int, done: int, block: Block) -> None:
        """Keep a block to which ``done`` transforms were applied, if there is room for it."""
        with self._lock:
            streaming = IN_FLIGHT * self.threads * self.largest
            if 0 < self.keep >= self.kept + block.nbytes and process_bytes() + streaming <= self.keep_until:
                self.kept += block.nbytes
                self._blocks[index] = done, block

    def relieve(self) -> None:
        """Where memory is short, have Arrow give back what it holds of files that are decoded."""
        pyarrow = sys.modules.get("pyarrow")
        if pyarrow is not None and process_bytes() > self.ahead_until:
            pyarrow.default_memory_pool().release_unused()

    def may_read_ahead(self) -> bool:
        """Whether there is room for one block more than the one that is worked on."""
        return self.largest > 0 and process_bytes() + (IN_FLIGHT - 1) * self.threads * self.largest <= self.ahead_until


def process_bytes() -> int:
    """What this process holds."""
    return int(psutil.Process().memory_info().rss)


# A room lives as long as somebody holds it: a future of its fit, on a cluster.
_rooms: WeakValueDictionary[tuple[str, str], Room] = WeakValueDictionary()


def open_room(name: str, worker: str, memory: float, threads: int, keep: bool) -> Room:
    """The room of a fit on this worker."""
    limit = KEEP_SHARE * memory
    room = Room(limit if keep else 0.0, limit, AHEAD_SHARE * memory, threads)
    _rooms[name, worker] = room
    return room


def find_room(name: str, worker: str) -> Room | None:
    """The room of a fit on this worker, if it was opened."""
    return _rooms.get((name, worker))
