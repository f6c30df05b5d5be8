"""Models that have no row of their own, on 100,000 × 20 float32 in eight chunks on two processes, each against
scikit-learn's: seconds only, for these are not the same function to the digit everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import models
from common import local_cluster, wait
from contest import Contest, Rival


def others(scale: float) -> Iterator[Contest]:
    import dask.array as da

    n = max(int(100_000 * scale), 2000)
    X, targets = models.make(n)
    chunk = -(-n // 8)
    with local_cluster():
        lazy_X = da.from_array(X, chunks=(chunk, -1)).persist()
        lazy = {kind: da.from_array(y, chunks=chunk).persist() for kind, y in targets.items()}
        wait(lazy_X, *lazy.values())
        for name, (ours, theirs, kind) in models.pairs().items():
            if theirs is not None:
                yield Contest(
                    f"{name}, {n:,} × {X.shape[1]}",
                    lambda m=ours, y=lazy[kind]: m.fit(lazy_X, y),
                    [Rival("scikit-learn", lambda m=theirs, y=targets[kind]: m.fit(X, y))],
                )


ROWS = {"others": others}
