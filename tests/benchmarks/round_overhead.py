"""What one round over 128 tiny chunks costs in milliseconds when the work is next to nothing.

    python tests/benchmarks/round_overhead.py [--chunks 128] [--rounds 50]

One process each for client and scheduler and two single-threaded workers. A round sums a small array over all chunks:
as one sweep of dask_gd's engine (past the queue of tasks, and by tasks), as a dask.array expression, and as one
``client.map`` task a chunk.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import Figure, local_cluster, machine, median, table


class SmallArray:
    """A kernel without work: one row of numbers from every block."""

    name = "trivial"

    def __call__(self, block: Any) -> np.ndarray:
        return block.X[0].astype(np.float64)


def first_row(X: np.ndarray, _: int) -> np.ndarray:
    return X[0]


def rounds(function: Callable[[int], Any], count: int, warm_up: int = 5) -> list[float]:
    """Milliseconds of each round after warm-up."""
    for i in range(warm_up):
        function(i)
    times = []
    for i in range(count):
        began = time.perf_counter()
        function(warm_up + i)
        times.append(1e3 * (time.perf_counter() - began))
    return times


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args(arguments)
    print(machine(), flush=True)

    import dask
    import dask.array as da
    from distributed import futures_of, wait

    from dask_gd.engine import cluster, open_engine

    with local_cluster() as client:
        n = options.chunks * 10
        X, y = da.ones((n, 4), chunks=(10, 4)), da.ones(n, chunks=10)
        X, y = dask.persist(X, y)
        wait([X, y])
        chunks = futures_of(X)
        with open_engine(X, y) as engine:
            engine.load()
            ours = rounds(lambda i: engine.sweep(SmallArray()), options.rounds)
            lane, cluster.LANE_SECONDS = cluster.LANE_SECONDS, -1.0
            batches = rounds(lambda i: engine.sweep(SmallArray()), options.rounds)
            cluster.LANE_SECONDS, tasks = lane, engine.cost.tasks
        few = min(options.rounds, 10)  # these are slow
        expression = rounds(lambda i: (X + i).sum(axis=0).compute(), few)
        mapped = rounds(lambda i: sum(client.gather(client.map(first_row, chunks, [i] * len(chunks), pure=False))), few)
    print(f"\nround_overhead: one round over {options.chunks} tiny chunks, 2 processes x 1 thread")
    rows = [
        [name, str(len(times)), f"{median(times):.1f}", f"{np.quantile(times, 0.9):.1f}", count]
        for name, times, count in (
            ("dask_gd sweep, fast lane", ours, "0"),
            ("dask_gd sweep, tasks", batches, str(tasks)),
            ("client.map, one task a chunk", mapped, str(options.chunks)),
            ("dask.array expression", expression, ""),
        )
    ]
    print(table(["round", "rounds", "median ms", "p90 ms", "tasks"], rows))
    return [
        Figure("round_overhead: dask_gd sweep, fast lane, ms", f"{median(ours):.1f}", "<= 5"),
        Figure("round_overhead: dask_gd sweep, tasks, ms", f"{median(batches):.1f}", "<= 25"),
        Figure("round_overhead: client.map / dask_gd", f"{median(mapped) / median(ours):.1f}"),
        Figure("round_overhead: dask.array expression / dask_gd", f"{median(expression) / median(ours):.1f}"),
    ]


if __name__ == "__main__":
    main()
