"""Least squares, ridge, lasso paths and their cross-validation beside scikit-learn's: seconds and how much lower F is.

Each pair alternates in one run. 2,000,000 × 28 float32 rows are resident on two processes, or one NumPy array without a
cluster; the small data are a NumPy array. Run:
``python tests/benchmarks/least_squares.py [--rows N] [--repeats R] [--only TEXT]``.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.linear_model as theirs
from common import RHO, Figure, local_cluster, machine, median, seconds, table, wait

import dask_gd

SIZE = 28
SMALL = (1000, 50)
CHUNKS = 8


def make(rows: int, d: int, dtype: Any, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated centred columns of unit variance, and a target of half as many of them; no intercept is needed."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, d), dtype=np.float32)
    X[:, 1:] *= np.float32(np.sqrt(1 - RHO**2))
    for j in range(1, d):
        X[:, j] += np.float32(RHO) * X[:, j - 1]
    X -= X.mean(axis=0, dtype=np.float64).astype(np.float32)
    y = X[:, ::2] @ rng.normal(size=X[:, ::2].shape[1]) + 2 * rng.standard_normal(rows)
    return X.astype(dtype), (y - y.mean()).astype(dtype)


def lasso_objective(X: np.ndarray, y: np.ndarray, coefs: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """(1/2n) ‖y - Xw‖² + α ‖w‖₁ of every column of ``coefs``, in float64."""
    coefs = coefs.astype(np.float64)
    square = np.zeros(coefs.shape[1])
    for start in range(0, len(X), 50_000):
        rows = slice(start, start + 50_000)
        square += np.square(y[rows, None] - X[rows].astype(np.float64) @ coefs).sum(axis=0)
    return square / (2 * len(X)) + alphas * np.abs(coefs).sum(axis=0)


def ridge_objective(X: np.ndarray, y: np.ndarray, model: Any, alpha: float) -> float:
    """‖y - Xw - b‖² + α ‖w‖² in float64."""
    w = np.ravel(model.coef_).astype(np.float64)
    y = y.astype(np.float64) - float(model.intercept_)
    return 2 * len(X) * float(lasso_objective(X, y, w[:, None], np.zeros(1))[0]) + alpha * float(w @ w)


def alternating(pairs: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, float], dict[str, Any]]:
    """The median seconds of each, after one call that is not counted, and what it returned."""
    results = {name: call() for name, call in pairs.items()}
    times: dict[str, list[float]] = {name: [] for name in pairs}
    for _ in range(repeats):
        for name, call in pairs.items():
            times[name].append(seconds(call)[0])
    return {name: median(values) for name, values in times.items()}, results


def large(rows: int, repeats: int, only: str) -> list[list[str]]:
    """The rows of the table for data of 2,000,000 rows."""
    import dask.array as da

    X, y = make(rows, SIZE, np.float32)
    chunk = -(-rows // CHUNKS)

    def gap(ours: Any, other: Any, alpha: float) -> float:
        best = ridge_objective(X, y, other, alpha)
        return (ridge_objective(X, y, ours, alpha) - best) / best

    def path_gap(ours: Any, other: Any) -> float:
        best = lasso_objective(X, y, other[1], other[0])
        return float(np.max((lasso_objective(X, y, ours[1], ours[0]) - best) / best))

    problems: dict[str, tuple[Callable[..., Any], Callable[[], Any], Callable[..., float], str]] = {
        "LinearRegression": (
            lambda *data: dask_gd.LinearRegression().fit(*data),
            lambda: theirs.LinearRegression().fit(X, y),
            lambda a, b: gap(a, b, 0.0),
            ">= 5",
        ),
        "Ridge": (
            lambda *data: dask_gd.Ridge().fit(*data),
            lambda: theirs.Ridge().fit(X, y),
            lambda a, b: gap(a, b, 1.0),
            ">= 3",
        ),
        "lasso_path": (dask_gd.lasso_path, lambda: theirs.lasso_path(X, y), path_gap, ">= 4"),
    }
    found = []
    with local_cluster() as client:
        lazy = (da.from_array(X, chunks=(chunk, SIZE)).persist(), da.from_array(y, chunks=chunk).persist())
        wait(*lazy)
        client.rebalance()
        for name, (ours, other, excess, target) in problems.items():
            if only in name:
                measured = alternating({"o": lambda f=ours: f(*lazy), "t": other}, repeats)
                found.append(row(f"{name}, 2 processes", measured, excess, target))
    for name, (ours, other, excess, target) in problems.items():
        if only in name:
            measured = alternating({"o": lambda f=ours: f(X, y), "t": other}, repeats)
            found.append(row(f"{name}, NumPy", measured, excess, target))
    return found


def small(repeats: int, only: str) -> list[list[str]]:
    """The rows of the table for 1,000 × 50 rows."""
    X, y = make(*SMALL, np.float64)

    def path_gap(ours: Any, other: Any) -> float:
        best = lasso_objective(X, y, other[1], other[0])
        return float(np.max((lasso_objective(X, y, ours[1], ours[0]) - best) / best))

    def model_gap(ours: Any, other: Any) -> float:
        l1_ratio, alpha = getattr(ours, "l1_ratio", 1.0), other.alpha_
        values = [
            lasso_objective(X, y - m.intercept_, m.coef_[:, None], np.full(1, alpha * l1_ratio))[0]
            + 0.5 * alpha * (1 - l1_ratio) * m.coef_ @ m.coef_
            for m in (ours, other)
        ]
        return float((values[0] - values[1]) / values[1])

    problems: dict[str, tuple[Callable[[], Any], Callable[[], Any], Callable[..., float]]] = {
        "lasso_path": (lambda: dask_gd.lasso_path(X, y), lambda: theirs.lasso_path(X, y), path_gap),
        "Lasso": (lambda: dask_gd.Lasso(0.1).fit(X, y), lambda: theirs.Lasso(0.1).fit(X, y), lambda a, b: 0.0),
        "LassoCV": (lambda: dask_gd.LassoCV().fit(X, y), lambda: theirs.LassoCV().fit(X, y), model_gap),
        "ElasticNetCV": (lambda: dask_gd.ElasticNetCV().fit(X, y), lambda: theirs.ElasticNetCV().fit(X, y), model_gap),
    }
    found = []
    for name, (ours, other, excess) in problems.items():
        if only in name:
            measured = alternating({"o": ours, "t": other}, 4 * repeats)
            found.append(row(f"{name}, {SMALL[0]:,} x {SMALL[1]}", measured, excess, ">= 1"))
    return found


def row(name: str, measured: Any, excess: Callable[..., float], target: str) -> list[str]:
    """One line of the table."""
    times, results = measured
    line = [
        name,
        f"{1000 * times['o']:.1f}",
        f"{1000 * times['t']:.1f}",
        f"{times['t'] / times['o']:.1f}",
        target,
        f"{excess(results['o'], results['t']):+.0e}",
    ]
    print("  ".join(line), flush=True)
    return line


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="models whose name has this text")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    print(machine(), flush=True)
    found = small(options.repeats, options.only) + large(options.rows, options.repeats, options.only)
    print(f"\nleast squares: {options.rows:,} x {SIZE} float32; F: ours over theirs, relative, the worst of a path")
    print(table(["model", "dask_gd ms", "scikit-learn ms", "ratio", "target", "F"], found))
    return [Figure(f"least squares: scikit-learn / dask_gd, {line[0]}", line[3], line[4]) for line in found]


if __name__ == "__main__":
    main()
