"""Which worker keeps which blocks."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from ..protocol import Extent
from .blocks import Source
from .health import workers_of

PARCELS_PER_THREAD = 4  # at the most; a batch holds one to all of a thread's parcels
PARCEL_BYTES = 64 * 2**20  # with less a parcel is not worth the scheduler's time
UNEVEN = 1.1  # blocks move when a worker holds this much more than its share


def on_cluster(client: Any, extent: Extent) -> Extent:
    """With the workers, threads and memory of a cluster."""
    workers = workers_of(client).values()
    limits = [worker["memory_limit"] for worker in workers]
    memory = float(sum(limits)) if limits and all(limits) else float("inf")
    return extent._replace(workers=len(limits), threads=sum(worker["nthreads"] for worker in workers), memory=memory)


def homes(client: Any, source: Source) -> tuple[list[str | None], list[int]] | None:
    """Where the chunks of X are and how many bytes they have, block by block; None unless all are on the cluster."""
    rows: list[list[Any]] = [[source.held.get(key) for key in keys] for _, _, keys, *_ in source.calls]
    if any(future is None or future.status != "finished" for row in rows for future in row):
        return None
    futures = [future for row in rows for future in row]
    places = client.who_has(futures)
    nbytes = client.nbytes([future.key for future in futures], summary=False)
    if not all(places.get(future.key) and future.key in nbytes for future in futures):
        return None
    return [places[row[0].key][0] for row in rows], [sum(nbytes[future.key] for future in row) for row in rows]


def place(nbytes: list[int], homes: list[str | None], threads: dict[str, int]) -> dict[str, list[list[int]]]:
    """Which worker keeps which blocks, in parcels: by bytes in proportion to threads, moving as little as possible.

    A block stays at home unless its worker holds more than :data:`UNEVEN` of its share; the largest that fit move to
    the emptiest worker.
    """
    total = sum(nbytes) or 1
    workers = list(threads)
    share = {w: max(total * threads[w] / sum(threads.values()), 1.0) for w in workers}
    load = dict.fromkeys(workers, 0)
    kept: dict[str, list[int]] = {w: [] for w in workers}
    moving = []
    for i, home in enumerate(homes):
        if home in load:
            kept[home].append(i)
            load[home] += nbytes[i]
        else:
            moving.append(i)
    for worker in workers:
        for i in sorted(kept[worker], key=lambda i: -nbytes[i]):
            emptiest = min(workers, key=lambda w: load[w] / share[w])
            after = (load[emptiest] + nbytes[i]) / share[emptiest]
            if load[worker] > UNEVEN * share[worker] and after < load[worker] / share[worker]:
                kept[worker].remove(i)
                load[worker] -= nbytes[i]
                kept[emptiest].append(i)
                load[emptiest] += nbytes[i]
    for i in moving:
        emptiest = min(workers, key=lambda w: load[w] / share[w])
        kept[emptiest].append(i)
        load[emptiest] += nbytes[i]
    plan = {}
    for worker, blocks in kept.items():
        blocks.sort()
        per_thread = min(max(math.ceil(load[worker] / threads[worker] / PARCEL_BYTES), 1), PARCELS_PER_THREAD)
        count = min(len(blocks), threads[worker] * per_thread)
        cuts = [len(blocks) * i // count for i in range(count + 1)] if count else [0]
        plan[worker] = [blocks[a:b] for a, b in pairwise(cuts)]
    return plan
