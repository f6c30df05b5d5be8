"""Every model beside scikit-learn's on 100,000 × 20 rows: seconds, sweeps, and by how much theirs is slower.

Each pair alternates in one run, on data that two processes of ours and one array of theirs hold already. Run:
``python tests/benchmarks/models.py [--rows N] [--repeats R]``.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import sklearn.linear_model as theirs
import sklearn.svm
from common import Figure, local_cluster, machine, median, seconds, table, wait

import dask_gd

TIGHT = 1e-8


def pairs() -> dict[str, tuple[Any, Any, str]]:
    """Ours, theirs at a tolerance of its kind, and the kind of target."""
    return {
        "Ridge": (dask_gd.Ridge(), theirs.Ridge(), "real"),
        "Lasso": (dask_gd.Lasso(alpha=0.05), theirs.Lasso(alpha=0.05, tol=TIGHT), "real"),
        "LogisticRegression, L1": (
            dask_gd.LogisticRegression(C=1e-3, l1_ratio=1.0),
            theirs.LogisticRegression(C=1e-3, l1_ratio=1.0, solver="saga", tol=1e-4, max_iter=200),
            "two",
        ),
        "LinearSVC": (dask_gd.LinearSVC(), sklearn.svm.LinearSVC(dual=False, tol=1e-6), "two"),
        "HuberRegressor": (dask_gd.HuberRegressor(), theirs.HuberRegressor(tol=1e-6, max_iter=1000), "outliers"),
        "PoissonRegressor": (
            dask_gd.PoissonRegressor(alpha=1e-3),
            theirs.PoissonRegressor(alpha=1e-3, solver="newton-cholesky", tol=1e-6),
            "counts",
        ),
        "GammaRegressor": (
            dask_gd.GammaRegressor(alpha=1e-3),
            theirs.GammaRegressor(alpha=1e-3, solver="newton-cholesky", tol=1e-6),
            "positive",
        ),
        "QuantileRegressor": (dask_gd.QuantileRegressor(alpha=0.0), None, "outliers"),  # theirs needs hours
    }


def make(rows: int, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """X (n, 20) float32 with correlated columns, and a target of each kind."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, 20), dtype=np.float32) + rng.standard_normal((rows, 1), dtype=np.float32)
    eta = X @ (rng.normal(size=20) * 0.2)
    noise = rng.normal(size=rows)
    return X, {
        "real": eta + noise,
        "outliers": eta + noise + 50 * (rng.random(rows) < 0.05),
        "two": (eta + rng.logistic(size=rows) > 0).astype(np.int64),
        "counts": rng.poisson(np.exp(0.5 * eta)).astype(float),
        "positive": rng.gamma(2.0, np.exp(0.5 * eta)) + 1e-9,
    }


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    import dask.array as da

    print(machine(), flush=True)
    X, targets = make(options.rows)
    rows = []
    with local_cluster() as client:
        chunk = -(-options.rows // 8)
        lazy_X = da.from_array(X, chunks=(chunk, 20)).persist()
        lazy = {kind: da.from_array(y, chunks=chunk).persist() for kind, y in targets.items()}
        wait(lazy_X, *lazy.values())
        for name, (ours, other, kind) in pairs().items():
            ours.fit(lazy_X, lazy[kind])
            times: dict[str, list[float]] = {"ours": [], "theirs": []}
            for _ in range(options.repeats):
                times["ours"].append(seconds(lambda m=ours, k=kind: m.fit(lazy_X, lazy[k]))[0])
                if other is not None:
                    times["theirs"].append(seconds(lambda m=other, k=kind: m.fit(X, targets[k]))[0])
            ratio = f"{median(times['theirs']) / median(times['ours']):.1f}" if other is not None else "-"
            theirs_seconds = f"{median(times['theirs']):.2f}" if other is not None else "-"
            rows.append([name, f"{median(times['ours']):.2f}", str(ours.n_sweeps_), theirs_seconds, ratio])
            print("  ".join(rows[-1]), flush=True)
        del client
    print(f"\nmodels: {options.rows:,} x 20 float32, 8 chunks, 2 processes x 1 thread; scikit-learn in memory")
    print(table(["model", "dask_gd s", "sweeps", "scikit-learn s", "ratio"], rows))
    return [Figure(f"models: scikit-learn / dask_gd, {row[0]}", row[4]) for row in rows if row[4] != "-"]


if __name__ == "__main__":
    main()
