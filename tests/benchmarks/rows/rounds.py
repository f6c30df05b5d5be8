"""One round over 128 tiny chunks with next to no work, on two processes: what a sweep costs beside its arithmetic."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from common import local_cluster, wait
from contest import Contest, Rival
from round_overhead import SmallArray, first_row

CHUNKS = 128


def rounds(_: float) -> Iterator[Contest]:
    """A sweep of the engine against a dask.array expression and one task a chunk."""
    import dask
    import dask.array as da
    from distributed import futures_of

    from dask_gd.engine import open_engine

    with local_cluster() as client:
        n = 10 * CHUNKS
        X, y = dask.persist(da.ones((n, 4), chunks=(10, 4)), da.ones(n, chunks=10))
        wait(X, y)
        chunks = futures_of(X)
        numbers = itertools.count()  # so that no result is taken from an earlier round
        with open_engine(X, y) as engine:
            engine.load()
            yield Contest(
                f"a round over {CHUNKS} tiny chunks",
                lambda: engine.sweep(SmallArray()),
                [
                    Rival("dask.array expression", lambda: (X + next(numbers)).sum(axis=0).compute()),
                    Rival(
                        "client.map, one task a chunk",
                        lambda: sum(client.gather(client.map(first_row, chunks, [next(numbers)] * CHUNKS, pure=False))),
                    ),
                ],
                factor=4,
            )


ROWS = {"rounds": rounds}
