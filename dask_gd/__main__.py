"""``python -m dask_gd``: the main job on real data, beside scikit-learn, on a small cluster of this machine."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

COLUMNS = 28
NOTE = """\
Objective: the sum that both libraries minimise, in float64 by one formula. Lower is better; the two agree to 9 digits.
Seconds: one fit of loaded data. Each sweep costs a cluster some milliseconds: it earns them on large tables only.
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
    sk_solver: str
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


def compare(
    name: str, ours: Any, theirs: Any, dask_data: Any, data: Any, objective: Callable[..., float], solver: str
) -> Row:
    """Fit both on the same data; ``solver`` is scikit-learn's."""
    from .callbacks import ProgressBar

    X, y = data
    stop_if_interrupted()
    with ProgressBar(f"{name:<22} "):
        seconds, _ = timed(lambda: ours.fit(*dask_data))
    with note(f"{name:<22} scikit-learn fits the same ..."):
        sk_seconds, _ = timed(lambda: theirs.fit(X, y))
    X64 = np.asarray(X, dtype=np.float64)
    return Row(
        name,
        f"{X.shape[0]:,} × {X.shape[1]}",
        type(ours).__name__,
        ours.solver_,
        ours.n_sweeps_,
        seconds,
        objective(X64, y, ours.coef_, ours.intercept_),
        ours.score(*dask_data),
        solver,
        sk_seconds,
        objective(X64, y, theirs.coef_, theirs.intercept_),
        theirs.score(X, y),
    )


@contextmanager
def note(text: str) -> Iterator[None]:
    """Text on a terminal for as long as the block runs."""
    terminal = sys.stderr.isatty()
    if terminal:
        print(f"\r{text}", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if terminal:
            print(f"\r{'':<{len(text)}}\r", end="", file=sys.stderr, flush=True)


_interrupts: list[int] = []


def remember_interrupt(number: int, frame: Any) -> None:
    """Ctrl-C. Python swallows an exception raised inside a finaliser, so it is also remembered."""
    _interrupts.append(number)
    raise KeyboardInterrupt


def stop_if_interrupted() -> None:
    """Raise a Ctrl-C that was swallowed."""
    if _interrupts:
        raise KeyboardInterrupt


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes started in the block leave Ctrl-C to this one, which closes them; they would only print tracebacks."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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

    def newton(C: float, tol: float = 1e-8) -> Any:
        return sk.LogisticRegression(C=C, solver="newton-cholesky", tol=tol, max_iter=1000)

    results = []
    with ExitStack() as stack:
        with note("Starting a cluster on this machine ..."), deaf_children():
            cluster = stack.enter_context(LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0"))
            client = stack.enter_context(Client(cluster))
        print(f"A LocalCluster of {workers} worker process{'es' if workers > 1 else ''} on this machine.\n", flush=True)
        cancer = load_breast_cancer(return_X_y=True)
        pixels, digit = load_digits(return_X_y=True)
        digits = pixels / 16, digit
        diabetes = load_diabetes(return_X_y=True)
        scaled = StandardScaler().fit_transform(cancer[0]), cancer[1]
        # A first fit also pays for the imports on the workers: pay here.
        Ridge().fit(*chunked(*diabetes))

        def add(name: str, ours: Any, theirs: Any, data: Any, objective: Callable[..., float], solver: str) -> None:
            results.append(compare(name, ours, theirs, chunked(*data), data, objective, solver))

        cholesky = "newton-cholesky"
        add("diabetes", LinearRegression(), sk.LinearRegression(), diabetes, lambda *a: squares(*a, 0.0), "lstsq")
        ridge = sk.Ridge(alpha=0.1, solver="cholesky")
        add("diabetes", Ridge(alpha=0.1), ridge, diabetes, lambda *a: squares(*a, 0.1), "cholesky")
        add("breast cancer", LogisticRegression(), newton(1.0), cancer, lambda *a: logistic(*a, 1.0), cholesky)
        add("digits, 10 classes", LogisticRegression(), newton(1.0), digits, lambda *a: logistic(*a, 1.0), cholesky)
        alpha = 0.01  # beside the mean of the losses: C = 1 / (alpha n)
        C = 1 / (alpha * len(scaled[0]))
        descent = GDClassifier(alpha=alpha, eta0=1.0, tol=1e-6, max_iter=5000)
        add("breast cancer, scaled", descent, newton(C), scaled, lambda *a: logistic(*a, C), cholesky)

        with note(f"Generating {rows:,} × {COLUMNS} numbers on the workers ..."):
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
        ours, theirs = LogisticRegression(C=C), newton(C, tol=1e-6)  # float32 carries scikit-learn no further
        results.append(compare("generated", ours, theirs, (X, y), data, lambda *a: logistic(*a, C), cholesky))
    return results


def show(results: list[Row]) -> str:
    """The table as text: two lines a fit, so that equal digits stand below each other."""
    pairs = [
        (
            (r.data, r.model, r.solver, str(r.sweeps), f"{r.seconds:.2f}", f"{r.objective:#.10g}", f"{r.score:.4f}"),
            (
                r.shape,
                "scikit-learn",
                r.sk_solver,
                "",
                f"{r.sk_seconds:.2f}",
                f"{r.sk_objective:#.10g}",
                f"{r.sk_score:.4f}",
            ),
        )
        for r in results
    ]
    head = ("data", "model", "solver", "sweeps", "seconds", "objective", "score")
    widths = [max(map(len, column)) for column in zip(head, *(line for pair in pairs for line in pair), strict=True)]

    def text(line: tuple[str, ...]) -> str:
        cells = zip(line, widths, strict=True)
        return "  ".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(cells)).rstrip()

    rule = "  ".join("-" * w for w in widths)
    return "\n".join([text(head), rule, "\n\n".join(f"{text(a)}\n{text(b)}" for a, b in pairs)])


def main() -> int:
    """Parse the arguments, run, print the table."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser = argparse.ArgumentParser(prog="python -m dask_gd", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the generated table (default: 1000000)")
    parser.add_argument(
        "--workers", type=int, default=min(2, cores), help="worker processes of one thread (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.rows < 1000 or arguments.workers < 1:
        parser.error("--rows must be at least 1000 and --workers at least 1")
    started = time.perf_counter()
    signal.signal(signal.SIGINT, remember_interrupt)
    try:
        results = run(arguments.rows, arguments.workers)
        stop_if_interrupted()
    except KeyboardInterrupt:
        print("\nInterrupted; the cluster is closed.", file=sys.stderr)
        return 130
    print("\n" + show(results) + "\n\n" + NOTE + f"All in {time.perf_counter() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
