"""``python -m dask_gd``: the main job on real data, beside scikit-learn, on a small cluster of this machine."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

COLUMNS = 28
NOTE = """\
objective: what both libraries minimise, computed by the same formula; lower is better, equal digits are the same model.
seconds: one fit, data loaded. A cluster pays a few milliseconds a sweep: it wins on the large table, not on the small.
"""


class Row(NamedTuple):
    """One line of the table."""

    data: str
    shape: str
    model: str
    solver: str
    sweeps: int
    seconds: float
    objective: float
    score: float
    sk_seconds: float
    sk_objective: float
    sk_score: float


def squares(X: Any, y: Any, coef: Any, intercept: Any, alpha: float) -> float:
    """Σ (y - x·w - b)² + α ‖w‖²."""
    residual = y - X @ np.ravel(coef) - np.ravel(intercept)[0]
    return float(residual @ residual + alpha * np.sum(np.square(coef)))


def logistic(X: Any, y: Any, coef: Any, intercept: Any, C: float) -> float:
    """C Σ ℓ(y, x·w + b) + ½ ‖w‖² for y in {0, …, K-1}."""
    eta = X @ np.asarray(coef, dtype=np.float64).T + intercept
    if eta.shape[1] == 1:
        eta = np.hstack([np.zeros_like(eta), eta])
    top = eta.max(axis=1)
    losses = top + np.log(np.exp(eta - top[:, None]).sum(axis=1)) - eta[np.arange(len(y)), y]
    return float(C * losses.sum() + 0.5 * np.sum(np.square(coef)))


def table_chunk(seed: int, rows: int) -> Any:
    """(rows, 29) float32: correlated columns and a label from a logistic model in the last."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, COLUMNS), dtype=np.float32)
    for j in range(1, COLUMNS):
        X[:, j] = 0.9 * X[:, j - 1] + np.float32(np.sqrt(1 - 0.81)) * X[:, j]
    coef = np.random.default_rng(0).standard_normal(COLUMNS).astype(np.float32)
    p = 1 / (1 + np.exp(-(X @ coef) / 2))
    return np.column_stack([X, rng.random(rows) < p]).astype(np.float32)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the function returned."""
    started = time.perf_counter()
    out = function()
    return time.perf_counter() - started, out


def compare(name: str, ours: Any, theirs: Any, dask_data: Any, data: Any, objective: Callable[..., float]) -> Row:
    """Fit both on the same data."""
    from .callbacks import ProgressBar

    X, y = data
    with ProgressBar(f"{name[:21]:<21} {type(ours).__name__[:18]:<18} "):
        seconds, _ = timed(lambda: ours.fit(*dask_data))
    sk_seconds, _ = timed(lambda: theirs.fit(X, y))
    X64 = np.asarray(X, dtype=np.float64)
    return Row(
        name,
        f"{X.shape[0]} × {X.shape[1]}",
        type(ours).__name__,
        ours.solver_,
        ours.n_sweeps_,
        seconds,
        objective(X64, y, ours.coef_, ours.intercept_),
        ours.score(*dask_data),
        sk_seconds,
        objective(X64, y, theirs.coef_, theirs.intercept_),
        theirs.score(X, y),
    )


def run(rows: int, workers: int) -> list[Row]:
    """All fits of the demonstration on one LocalCluster."""
    import dask
    import dask.array as da
    import sklearn.linear_model as sk
    from distributed import Client, LocalCluster, wait
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
    from sklearn.preprocessing import StandardScaler

    from . import GDClassifier, LinearRegression, LogisticRegression, Ridge

    def chunked(X: Any, y: Any) -> Any:
        size = -(-len(X) // 4)
        return da.from_array(X, chunks=(size, -1)), da.from_array(y, chunks=size)

    results = []
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        print(f"A LocalCluster of {workers} worker process{'es' if workers > 1 else ''} on this machine.\n")
        cancer = load_breast_cancer(return_X_y=True)
        digits = load_digits(return_X_y=True)
        diabetes = load_diabetes(return_X_y=True)
        scaled = StandardScaler().fit_transform(cancer[0]), cancer[1]
        # A fit on a fresh cluster also pays for the imports on the workers: pay here.
        Ridge().fit(*chunked(*diabetes))

        def add(name: str, ours: Any, theirs: Any, data: Any, objective: Callable[..., float]) -> None:
            results.append(compare(name, ours, theirs, chunked(*data), data, objective))

        tight = {"tol": 1e-10, "max_iter": 10_000}
        add("diabetes", LinearRegression(), sk.LinearRegression(), diabetes, lambda *a: squares(*a, 0.0))
        add("diabetes", Ridge(alpha=0.1), sk.Ridge(alpha=0.1), diabetes, lambda *a: squares(*a, 0.1))
        newton = sk.LogisticRegression(solver="newton-cholesky", **tight)
        add("breast cancer", LogisticRegression(), newton, cancer, lambda *a: logistic(*a, 1.0))
        softmax = sk.LogisticRegression(C=0.01, solver="newton-cholesky", **tight)
        add("digits, 10 classes", LogisticRegression(C=0.01), softmax, digits, lambda *a: logistic(*a, 0.01))
        alpha = 0.01  # beside the mean of the losses: C = 1 / (alpha n)
        C = 1 / (alpha * len(scaled[0]))
        descent = GDClassifier(alpha=alpha, eta0=1.0, tol=1e-6, max_iter=5000)
        newton = sk.LogisticRegression(C=C, solver="newton-cholesky", **tight)
        add("breast cancer, scaled", descent, newton, scaled, lambda *a: logistic(*a, C))

        print(f"Generating a table of {rows} × {COLUMNS} on the workers ...", file=sys.stderr)
        lengths = [rows * (i + 1) // 8 - rows * i // 8 for i in range(8)]
        made = [
            da.from_delayed(dask.delayed(table_chunk)(i, n), (n, COLUMNS + 1), np.float32)
            for i, n in enumerate(lengths)
        ]
        both = da.concatenate(made)
        X, y = client.persist([both[:, :COLUMNS], both[:, COLUMNS].astype(np.int64)])
        wait([X, y])
        local = np.concatenate([table_chunk(i, n) for i, n in enumerate(lengths)])
        data = np.ascontiguousarray(local[:, :COLUMNS]), local[:, COLUMNS].astype(np.int64)
        C = 1 / (1e-4 * rows)
        newton = sk.LogisticRegression(C=C, solver="newton-cholesky", tol=1e-6)
        ours = LogisticRegression(C=C)
        results.append(compare("generated", ours, newton, (X, y), data, lambda *a: logistic(*a, C)))
    return results


def show(results: list[Row]) -> str:
    """The table as text."""
    head = ("data", "rows × columns", "model", "solver", "sweeps", "seconds", "objective", "score")
    lines = [(*head, "sklearn: seconds", "objective", "score")]
    for r in results:
        ours = (f"{r.seconds:.2f}", f"{r.objective:.9g}", f"{r.score:.4f}")
        theirs = (f"{r.sk_seconds:.2f}", f"{r.sk_objective:.9g}", f"{r.sk_score:.4f}")
        lines.append((r.data, r.shape, r.model, r.solver, str(r.sweeps), *ours, *theirs))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            cell.ljust(w) if i < 4 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    text.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in text)


def main() -> int:
    """Parse the arguments, run, print the table."""
    parser = argparse.ArgumentParser(prog="python -m dask_gd", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the generated table (default: 1000000)")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="worker processes")
    arguments = parser.parse_args()
    if arguments.rows < 1000 or arguments.workers < 1:
        parser.error("--rows must be at least 1000 and --workers at least 1")
    started = time.perf_counter()
    try:
        results = run(arguments.rows, arguments.workers)
    except KeyboardInterrupt:
        print("\nInterrupted; the cluster is closed.", file=sys.stderr)
        return 130
    print("\n" + show(results) + "\n\n" + NOTE + f"All in {time.perf_counter() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
