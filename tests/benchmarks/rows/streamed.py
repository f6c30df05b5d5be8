"""Data five times as large as the memory limit of the cluster, in Parquet files on the local disk.

A fit against its own sweeps × the time in which the same workers read and decode the files once, to nothing but pandas'
columns and, in a line of its own, to the matrix that a sweep needs; and the peak memory of the workers against their
limit, over all that was measured.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import LAMBDA, SEED, local_cluster
from contest import Contest, Goal, Rival

D = 28
ROWS_OF_A_FILE = 150_000  # 16 MiB of float32
WORKERS = 2
LIMIT = 800 * 10**6  # bytes a worker
TIMES = 5  # the data against the limits of all workers
TURNS = itertools.count()  # so that no result is taken from an earlier turn
COLUMNS = [f"x{j}" for j in range(D)]


def write(folder: str, part: int) -> None:
    """One file of a logistic model: columns of float32, and a label."""
    import pyarrow
    import pyarrow.parquet

    rng, common = np.random.default_rng([SEED, part]), np.random.default_rng(SEED)
    X = rng.standard_normal((ROWS_OF_A_FILE, D), dtype=np.float32)
    y = rng.random(len(X)) < 1 / (1 + np.exp(-(X @ common.normal(size=D) / 3 + 0.3)))
    columns = dict(zip(COLUMNS, X.T, strict=True)) | {"y": y.astype(np.int64)}
    pyarrow.parquet.write_table(pyarrow.table(columns), Path(folder) / f"{part:04d}.parquet", use_dictionary=False)


def to_columns(frame: Any, turn: int) -> Any:
    """A row, when all are decoded."""
    return frame["y"].iloc[:1]


def to_matrix(frame: Any, turn: int) -> Any:
    """A row, when all are one C-contiguous matrix."""
    np.ascontiguousarray(frame[COLUMNS].to_numpy())
    return frame["y"].iloc[:1]


def peak() -> float:
    """The most memory that this process ever held, in bytes: since its start, where the maximum of ``getrusage`` may be
    that of the process it was forked from."""
    status = Path("/proc/self/status").read_text()
    return next(1024.0 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def streamed(scale: float) -> Iterator[Contest]:
    import dask
    import dask.dataframe as dd

    from dask_gd import LogisticRegression

    files = max(round(scale * TIMES * WORKERS * LIMIT / (ROWS_OF_A_FILE * D * 4)), 2)
    n = files * ROWS_OF_A_FILE
    with tempfile.TemporaryDirectory() as folder, local_cluster(WORKERS, memory_limit=LIMIT) as client:
        dask.compute(*(dask.delayed(write)(folder, part) for part in range(files)))
        pids = client.run(os.getpid)
        frame = dd.read_parquet(folder)
        X, y = frame[COLUMNS], frame["y"]

        def reading(name: str, decode: Any, goal: Goal | None) -> Rival:
            def read() -> None:
                frame.map_partitions(decode, next(TURNS), meta=("y", np.int64)).compute()

            return Rival(f"its sweeps × reading to {name}", read, goal, count=lambda model: model.n_sweeps_)

        yield Contest(
            f"logistic from Parquet, {n:,} × {D}",
            lambda: LogisticRegression(C=1 / (LAMBDA * n)).fit(X, y),
            [reading("columns", to_columns, Goal("cost", 1.2)), reading("a matrix", to_matrix, None)],
        )

        def held() -> float:
            if client.run(os.getpid) != pids:
                raise RuntimeError("a worker ran out of memory and was restarted")
            return max(client.run(peak).values())

        yield Contest(
            f"peak memory of a worker, {n * D * 4 / 1e9:.1f} GB of X in all",
            held,
            [Rival("its limit", lambda: float(LIMIT), Goal("cost", 1.0))],
            figure=float,
            unit="B",
        )


ROWS = {"streamed": streamed}
