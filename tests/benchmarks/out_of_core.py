"""Data five times as large as the memory limit of the cluster, in Parquet files on the local disk.

A fit against its sweeps × the time in which the same workers read and decode the files once (to DataFrames, and to the
matrices that a sweep needs); the peak memory of the workers against their limit. ``--quick``: one and a half times the
limit, once.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import LAMBDA, Figure, machine, median, seconds, table

D = 28
ROWS = 150_000  # of a file: 16 MiB of float32
WORKERS = 2
LIMIT = 800 * 10**6  # bytes a worker; the libraries and what Arrow holds of files take half of it
REPEATS = 3
COLUMNS = [f"x{j}" for j in range(D)]
TURNS = itertools.count()  # so that no result is taken from an earlier turn


def write(folder: str, part: int) -> None:
    """One file of a logistic model: D columns of float32 and a label."""
    import pyarrow
    import pyarrow.parquet

    rng, common = np.random.default_rng([0, part]), np.random.default_rng(0)
    X = rng.standard_normal((ROWS, D), dtype=np.float32)
    y = rng.random(ROWS) < 1 / (1 + np.exp(-(X @ common.normal(size=D) / 3 + 0.3)))
    columns = {name: X[:, j] for j, name in enumerate(COLUMNS)} | {"y": y.astype(np.int64)}
    pyarrow.parquet.write_table(pyarrow.table(columns), f"{folder}/{part:04d}.parquet", use_dictionary=False)


def frames(frame: Any, turn: int) -> Any:
    return frame["y"].iloc[:1]


def matrices(frame: Any, turn: int) -> Any:
    np.ascontiguousarray(frame[COLUMNS].to_numpy())
    return frames(frame, turn)


def read(frame: Any, into: Any) -> None:
    """Read and decode all files."""
    frame.map_partitions(into, next(TURNS), meta=("y", np.int64)).compute()


def peak_bytes() -> float:
    """The most memory that this process ever held."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])


def cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system


def main(args: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--solvers", nargs="*", default=["auto", "lbfgs"])
    parser.add_argument("--folder", default=None, help="where the files go; they are deleted afterwards")
    options = parser.parse_args(args)
    times, repeats = (1.5, 1) if options.quick else (5.0, options.repeats)
    print(machine())
    folder = tempfile.mkdtemp(prefix="out-of-core-", dir=options.folder)
    try:
        return measure(folder, times, repeats, options.solvers)
    finally:
        shutil.rmtree(folder)


def measure(folder: str, times: float, repeats: int, solvers: list[str]) -> list[Figure]:
    import dask
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    from dask_gd import LogisticRegression

    files = round(times * WORKERS * LIMIT / (4 * ROWS * D))
    dask.compute(*(dask.delayed(write)(folder, i) for i in range(files)), scheduler="processes", num_workers=WORKERS)
    on_disk = sum(entry.stat().st_size for entry in os.scandir(folder))
    print(
        f"{files} files, {on_disk / 1e9:.2f} GB; X is {4 * files * ROWS * D / 1e9:.2f} GB in memory; "
        f"{WORKERS} workers of {LIMIT / 1e6:.0f} MB\n",
        flush=True,
    )
    rows, ratios = [], {}
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, memory_limit=LIMIT, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        frame = dd.read_parquet(folder)
        few = frame.partitions[: 4 * WORKERS]
        processes = client.run(os.getpid)
        read(few, matrices)
        LogisticRegression(solver="newton-cholesky", max_iter=1, tol=1.0).fit(few[COLUMNS], few["y"])  # to warm up

        def measured(function: Any) -> tuple[float, float, Any]:
            before = sum(client.run(cpu_seconds).values())
            wall, result = seconds(function)
            return wall, sum(client.run(cpu_seconds).values()) - before, result

        for solver in solvers:
            ratios[solver] = []
            for _ in range(repeats):
                plain, plain_cpu, _ = measured(partial(read, frame, frames))
                full, full_cpu, _ = measured(partial(read, frame, matrices))
                model = LogisticRegression(solver=solver, C=1 / (LAMBDA * files * ROWS))
                fit, fit_cpu, _ = measured(partial(model.fit, frame[COLUMNS], frame["y"]))
                assert not model.plan_.extent.resident
                sweeps = model.n_sweeps_
                ratios[solver].append(fit / (sweeps * plain))
                rows.append(
                    [
                        model.plan_.chosen.solver,
                        f"{plain:.2f}",
                        f"{full:.2f}",
                        f"{sweeps}",
                        f"{fit:.2f}",
                        f"{fit / (sweeps * plain):.2f}",
                        f"{fit / (sweeps * full):.2f}",
                        f"{fit_cpu / (sweeps * plain_cpu):.2f}",
                        f"{fit_cpu / (sweeps * full_cpu):.2f}",
                        f"{max(client.run(peak_bytes).values()) / 1e6:.0f}",
                    ]
                )
        peak = max(client.run(peak_bytes).values())
        assert client.run(os.getpid) == processes, "a worker was restarted"
    head = ["solver", "frames, s", "matrices, s", "sweeps", "fit, s", "ratio", "ratio", "CPU", "CPU", "peak, MB"]
    print(table(head, rows))
    print("ratio, CPU: of wall time, of the workers' CPU seconds; each against frames, then against matrices")
    return [
        *(
            Figure(f"data {times:g}× the memory limit, {solver}: fit / (sweeps × read)", f"{median(found):.2f}", "1.2")
            for solver, found in ratios.items()
        ),
        Figure("peak memory of a worker / limit", f"{peak / LIMIT:.2f}", "< 1"),
    ]


if __name__ == "__main__":
    main()
