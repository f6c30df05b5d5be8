"""Data five times as large as the memory limit of the cluster, in Parquet files on the local disk.

A fit against (its sweeps × the time in which the same workers read and decode the files once), and the peak memory of
every worker against its limit. ``--quick``: a tenth of the data.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import tempfile
from functools import partial
from typing import Any

import numpy as np
from common import Figure, machine, seconds

D = 28
ROWS = 150_000  # of a file: 16 MiB of float32
WORKERS = 2
LIMIT = 800 * 10**6  # bytes a worker
TIMES = 5  # the data against the limits of all workers
REPEATS = 3
TURNS = itertools.count()  # so that no result is taken from an earlier turn


def write(folder: str, part: int, rows: int) -> None:
    """One file of a logistic model: D columns of float32 and a label."""
    import pyarrow
    import pyarrow.parquet

    rng, common = np.random.default_rng([0, part]), np.random.default_rng(0)
    X = rng.standard_normal((rows, D), dtype=np.float32)
    y = rng.random(rows) < 1 / (1 + np.exp(-(X @ common.normal(size=D) / 3 + 0.3)))
    columns = {f"x{j}": X[:, j] for j in range(D)} | {"y": y.astype(np.int64)}
    pyarrow.parquet.write_table(
        pyarrow.table(columns), os.path.join(folder, f"{part:04d}.parquet"), use_dictionary=False
    )


def look(frame: Any, turn: int) -> Any:
    """Nothing but its rows."""
    return frame["y"].iloc[:1]


def as_block(frame: Any, turn: int) -> Any:
    """To one C-contiguous matrix and the labels, as every sweep needs them."""
    np.ascontiguousarray(frame[[f"x{j}" for j in range(D)]].to_numpy())
    return look(frame, turn)


def read(frame: Any, function: Any) -> None:
    """Read and decode all files and call a function on each partition."""
    frame.map_partitions(function, next(TURNS), meta=("y", np.int64)).compute()


def peak(dask_worker: Any = None) -> float:
    """The most memory that this process ever held, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def now(dask_worker: Any = None) -> float:
    import psutil

    return float(psutil.Process().memory_info().rss)


def main(args: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", default=None, help="where the files go; they are deleted afterwards")
    options = parser.parse_args(args)
    times, repeats = (0.5, 1) if options.quick else (TIMES, REPEATS)
    print(__doc__.splitlines()[0], machine(), sep="\n")
    folder = tempfile.mkdtemp(prefix="out-of-core-", dir=options.folder)
    try:
        return measure(folder, times, repeats)
    finally:
        shutil.rmtree(folder)


def measure(folder: str, times: float, repeats: int) -> list[Figure]:
    import dask
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    from dask_gd import LogisticRegression

    files = round(times * WORKERS * LIMIT / (ROWS * D * 4))
    dask.compute(*(dask.delayed(write)(folder, i, ROWS) for i in range(files)), scheduler="processes", num_workers=2)
    size = sum(entry.stat().st_size for entry in os.scandir(folder))
    print(
        f"{files} files, {size / 1e9:.2f} GB, {files * ROWS * D * 4 / 1e9:.2f} GB as float32 in memory; "
        f"{WORKERS} workers of {LIMIT / 1e6:.0f} MB\n"
    )
    rows, ratios, peaks = [], {}, []
    for solver in ("auto", "lbfgs"):
        with (
            LocalCluster(
                n_workers=WORKERS, threads_per_worker=1, memory_limit=LIMIT, dashboard_address=":0"
            ) as cluster,
            Client(cluster) as client,
        ):
            frame = dd.read_parquet(folder)
            X, y = frame[[f"x{j}" for j in range(D)]], frame["y"]
            pids = set(client.run(os.getpid).values())
            read(frame, look)  # to warm up: imports and the page cache
            before = max(client.run(now).values())
            kept: list[float] = []
            for _ in range(repeats):
                plain, _ = seconds(partial(read, frame, look))
                matrix, _ = seconds(partial(read, frame, as_block))
                model = LogisticRegression(
                    solver=solver, C=1e-4 * files * ROWS, **({"max_iter": 6} if solver != "auto" else {})
                )
                fit, _ = seconds(partial(model.fit, X, y))
                ratios.setdefault(solver, []).append(fit / (model.n_sweeps_ * plain))
                kept.append(fit / (model.n_sweeps_ * matrix))
                rows.append(
                    [
                        f"{solver}: {model.plan_.chosen.solver}",
                        f"{plain:.2f}",
                        f"{matrix:.2f}",
                        f"{model.n_sweeps_}",
                        f"{fit:.2f}",
                        f"{ratios[solver][-1]:.2f}",
                        f"{kept[-1]:.2f}",
                        f"{before / 1e6:.0f}",
                        f"{max(client.run(peak).values()) / 1e6:.0f}",
                    ]
                )
                print(rows[-1], flush=True)
            peaks.append(max(client.run(peak).values()))
            assert set(client.run(os.getpid).values()) == pids, "a worker was restarted"
    return []


if __name__ == "__main__":
    main()
