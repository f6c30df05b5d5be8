"""Which worker keeps which blocks."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from ..protocol import Extent
from .blocks import Source, keys_of
from .health import workers_of

PARCELS_PER_THREAD = 4  # at the most; a batch holds one to all of a thread's parcels
PARCEL_BYTES = 64 * 2**20  # with less a parcel is not worth the scheduler's time
UNEVEN = 1.1  # blocks move when a worker holds this much more than its share
KEYS = (str, tuple)  # everything else among the pieces of a block is a task
TOLERANCE = 0.03  # of its share; within it the sums decide, of how many parts they are


def on_cluster(client: Any, extent: Extent) -> Extent:
    """With the workers, threads and memory of a cluster."""
    workers = workers_of(client).values()
    limits = [worker["memory_limit"] for worker in workers]
    memory = float(sum(limits)) if limits and all(limits) else float("inf")
    return extent._replace(workers=len(limits), threads=sum(worker["nthreads"] for worker in workers), memory=memory)


class Home(NamedTuple):
    """Where one block is to stay."""

    worker: str  # that holds its rows of X
    nbytes: int  # of X
    elsewhere: dict[Any, list[str]] | None  # of its vectors, who holds those that are not there; None: nobody knows


def homes(client: Any, source: Source) -> list[Home] | None:
    """Of the blocks, where all chunks of X are on the cluster; else None."""
    rows: list[list[Any]] = [[source.held.get(key) for key in keys] for _, _, keys, *_ in source.calls]
    if any(future is None or future.status != "finished" for row in rows for future in row):
        return None
    places = client.who_has(list(source.held.values()))
    nbytes = client.nbytes([future.key for row in rows for future in row], summary=False)
    if not all(places.get(future.key) and future.key in nbytes for row in rows for future in row):
        return None
    found = []
    for row, call in zip(rows, source.calls, strict=True):
        size = sum(nbytes[future.key] for future in row)
        together = set.intersection(*(set(places[future.key]) for future in row))
        vectors = keys_of(call)[len(row) :]
        if together and all(isinstance(key, KEYS) and places.get(key) for key in vectors):
            away = {w: {k: list(places[k]) for k in vectors if w not in places[k]} for w in sorted(together)}
            worker = min(away, key=lambda w: len(away[w]))  # what was moved once is on several workers
            found.append(Home(worker, size, away[worker]))
        else:
            found.append(Home(places[row[0].key][0], size, None))
    return found


def place(nbytes: list[int], homes: list[str | None], threads: dict[str, int]) -> dict[str, list[list[int]]]:
    """Which worker keeps which blocks, in parcels: by bytes in proportion to threads, moving as little as possible.

    A block stays at home unless its worker holds more than :data:`UNEVEN` of its share. Those that move, or have no
    home, go as runs of neighbours, which a worker adds up before it sends their sums; one by one, the largest first,
    where that is more even.
    """
    total = sum(nbytes) or 1
    share = {w: max(total * n / sum(threads.values()), 1.0) for w, n in threads.items()}

    def unevenness(held: dict[str, list[int]]) -> float:
        return max((sum(nbytes[i] for i in blocks) / share[w] for w, blocks in held.items()), default=1.0)

    held = in_runs(nbytes, homes, share)
    if unevenness(held) > UNEVEN:
        held = min(held, one_by_one(nbytes, homes, share), key=unevenness)
    plan = {}
    for worker, blocks in held.items():
        nbytes_here = sum(nbytes[i] for i in blocks)
        per_thread = min(max(math.ceil(nbytes_here / threads[worker] / PARCEL_BYTES), 1), PARCELS_PER_THREAD)
        count = min(len(blocks), threads[worker] * per_thread)
        cuts = [len(blocks) * i // count for i in range(count + 1)] if count else [0]
        plan[worker] = [blocks[a:b] for a, b in pairwise(cuts)]
    return plan


def in_runs(nbytes: list[int], homes: list[str | None], share: dict[str, float]) -> dict[str, list[int]]:
    """Each worker keeps the first of its blocks, up to its share; the others go to whom has less, in their order."""
    kept: dict[str, list[int]] = {w: [] for w in share}
    moving: list[int] = []
    for i, home in enumerate(homes):
        (kept[home] if home in kept else moving).append(i)
    room = {}
    for worker, blocks in kept.items():
        load = sum(nbytes[i] for i in blocks)
        if load > UNEVEN * share[worker]:
            [stay] = cut_points(blocks, nbytes, [share[worker]], [TOLERANCE * share[worker]])
            moving += blocks[stay:]
            del blocks[stay:]
            load = sum(nbytes[i] for i in blocks)
        room[worker] = max(share[worker] - load, 0.0)
    moving.sort()
    scale = sum(nbytes[i] for i in moving) / (sum(room.values()) or 1.0)
    wanted = [scale * part for part in accumulate(room.values())]
    cuts = cut_points(moving, nbytes, wanted, [TOLERANCE * share[worker] for worker in kept])
    for blocks, (first, stop) in zip(kept.values(), pairwise([0, *cuts[:-1], len(moving)]), strict=True):
        blocks += moving[first:stop]
        blocks.sort()
    return kept


def cut_points(blocks: list[int], nbytes: list[int], wanted: list[float], tolerances: list[float]) -> list[int]:
    """After how many blocks their bytes come to what is wanted; where several numbers are near enough, the one after
    which the largest subtree of the sum begins."""
    sums = np.cumsum([0, *(nbytes[i] for i in blocks)])
    cuts = [0]
    for goal, tolerance in zip(wanted, tolerances, strict=True):
        distance = np.abs(sums - goal)
        low = int(np.searchsorted(sums, goal - tolerance))
        high = int(np.searchsorted(sums, goal + tolerance, side="right"))
        near = range(max(low, 1), min(high, len(blocks)))
        cut = max(near, key=lambda k: (blocks[k] & -blocks[k], -distance[k]), default=int(np.argmin(distance)))
        cuts.append(max(cut, cuts[-1]))
    return cuts[1:]


def one_by_one(nbytes: list[int], homes: list[str | None], share: dict[str, float]) -> dict[str, list[int]]:
    """The largest blocks that fit move from who has too much to the emptiest worker."""
    load = dict.fromkeys(share, 0)
    kept: dict[str, list[int]] = {w: [] for w in share}
    moving = []
    for i, home in enumerate(homes):
        if home in load:
            kept[home].append(i)
            load[home] += nbytes[i]
        else:
            moving.append(i)
    for worker in share:
        for i in sorted(kept[worker], key=lambda i: -nbytes[i]):
            emptiest = min(share, key=lambda w: load[w] / share[w])
            after = (load[emptiest] + nbytes[i]) / share[emptiest]
            if load[worker] > UNEVEN * share[worker] and after < load[worker] / share[worker]:
                kept[worker].remove(i)
                load[worker] -= nbytes[i]
                kept[emptiest].append(i)
                load[emptiest] += nbytes[i]
    for i in moving:
        emptiest = min(share, key=lambda w: load[w] / share[w])
        kept[emptiest].append(i)
        load[emptiest] += nbytes[i]
    return {worker: sorted(blocks) for worker, blocks in kept.items()}
