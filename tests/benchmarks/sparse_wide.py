"""Hashed features: 1,000,000 rows × 200,000 columns in CSR blocks, fits in bounded memory.

Prints seconds, sweeps and the peak memory of the process above what the data themselves take. Run:
``python tests/benchmarks/sparse_wide.py [--rows N] [--columns D]``.
"""

import argparse
import resource
import time
from functools import partial

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp

from dask_gd import LogisticRegression, PoissonRegressor, Ridge

ENTRIES = 20  # a row
BLOCK = 50_000


def block(number: int, rows: int, columns: int, kind: str):
    """One block of rows, made where it is needed; hashed features are rare but for a few."""
    rng = np.random.default_rng(number)
    index = (columns * rng.random((rows, ENTRIES)) ** 3).astype(np.int32)
    data = np.ones(rows * ENTRIES)
    X = sp.csr_array((data, index.ravel(), np.arange(0, rows * ENTRIES + 1, ENTRIES)), shape=(rows, columns))
    X.sum_duplicates()
    if kind == "X":
        return X
    w = np.random.default_rng(10**6).normal(size=columns) * 0.5
    eta = X @ w
    return (
        rng.poisson(np.exp(0.3 * eta)).astype(float)
        if kind == "counts"
        else (eta > rng.logistic(size=rows)).astype(float)
    )


def lazy(kind: str, rows: int, columns: int):
    """The dask array of all blocks."""
    make = dask.delayed(partial(block, rows=BLOCK, columns=columns, kind=kind))
    shape = (BLOCK, columns) if kind == "X" else (BLOCK,)
    meta = sp.csr_array((0, columns)) if kind == "X" else np.zeros(0)
    blocks = [da.from_delayed(make(i), shape, meta=meta) for i in range(rows // BLOCK)]
    return da.concatenate(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=200_000)
    args = parser.parse_args()
    X = lazy("X", args.rows, args.columns)
    bytes_of_x = args.rows * ENTRIES * 12
    print(f"X: {args.rows:,} × {args.columns:,}, {ENTRIES} entries a row, {bytes_of_x / 2**20:.0f} MiB")
    for name, model, kind in (
        ("logistic, L2", LogisticRegression(C=1.0, tol=1e-4), "labels"),
        ("Poisson, L2", PoissonRegressor(alpha=1e-4, tol=1e-4), "counts"),
        ("ridge", Ridge(alpha=10.0, tol=1e-4), "counts"),
        ("logistic, L1", LogisticRegression(C=0.1, l1_ratio=1.0, tol=1e-3), "labels"),
    ):
        y = lazy(kind, args.rows, args.columns)
        started = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(
            f"{name:14s} {model.solver_:8s} {seconds:6.1f} s  {model.n_sweeps_:4d} sweeps  "
            f"converged {model.converged_}  peak {peak:,.0f} MiB  non-zero {np.count_nonzero(model.coef_):,}"
        )


if __name__ == "__main__":
    main()
