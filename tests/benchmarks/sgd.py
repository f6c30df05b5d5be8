"""SGDClassifier on 1,000,000 × 28 correlated rows: five local epochs on two processes beside scikit-learn's.

    python tests/benchmarks/sgd.py [--rows 1000000] [--repeats 5] [--chunks 16]

Both run the same epochs with the same parameters (scikit-learn's defaults) and seed. X is float32 and in memory: on two
worker processes for dask_gd, in this process for scikit-learn. The fits alternate; seconds are medians. The loss is of
100,000 rows more, which nobody trained on. "sorted": all rows of one class before all rows of the other.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
from common import Figure, higgs_like, local_cluster, machine, median, seconds, table, wait

EPOCHS = 5
HELD_OUT = 100_000


def held_out_loss(model: Any, X: np.ndarray, y: np.ndarray, loss: str) -> float:
    eta = X.astype(np.float64) @ np.ravel(model.coef_).astype(np.float64) + float(np.ravel(model.intercept_)[0])
    sign = 2.0 * y - 1
    return float((np.maximum(1 - sign * eta, 0) if loss == "hinge" else np.logaddexp(0, -sign * eta)).mean())


def layouts(X: np.ndarray, y: np.ndarray, chunks: int) -> dict[str, tuple[Any, Any, Any, Any]]:
    """Name -> (X, y) on the workers and (X, y) here."""
    import dask
    import dask.array as da

    order = np.argsort(y, kind="stable")
    found = {}
    rows = -(-len(X) // chunks)
    for name, (A, b) in {"shuffled": (X, y), "sorted": (np.ascontiguousarray(X[order]), y[order])}.items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            lazy = dask.persist(da.from_array(A, chunks=(rows, -1)), da.from_array(b, chunks=rows))
        wait(*lazy)
        found[name] = (*lazy, A, b)
    return found


def main(arguments: list[str] | None = None) -> list[Figure]:
    from sklearn.linear_model import SGDClassifier as Sklearn

    from dask_gd import SGDClassifier

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=16)
    options = parser.parse_args(arguments)

    print(machine(), flush=True)
    results: dict[tuple[str, str, str], tuple[list[float], list[float]]] = {}
    with local_cluster():
        lazy = higgs_like(options.rows + HELD_OUT, 28, options.chunks)
        # Copies: what arrives in a message may lie at any address, and scikit-learn is three times slower on that.
        X, y = lazy[0].compute().copy(), lazy[1].compute().copy()
        del lazy
        X_held, y_held = X[options.rows :], y[options.rows :]
        data = layouts(X[: options.rows], y[: options.rows], options.chunks)
        first = data["shuffled"]
        began, _ = seconds(lambda: SGDClassifier(max_iter=1, tol=None, random_state=0).fit(first[0], first[1]))
        again, _ = seconds(lambda: SGDClassifier(max_iter=1, tol=None, random_state=0).fit(first[0], first[1]))
        print(f"first use on the workers (imports, and compiling where nothing is kept on disk): {began - again:.1f} s")
        for repeat in range(options.repeats):
            for loss in ("log_loss", "hinge"):
                for layout, (dX, dy, A, b) in data.items():
                    parameters = {"loss": loss, "max_iter": EPOCHS, "tol": None, "random_state": repeat}
                    fits = {
                        "dask_gd": lambda p=parameters, X=dX, y=dy: SGDClassifier(**p).fit(X, y),
                        "scikit-learn": lambda p=parameters, X=A, y=b: Sklearn(**p).fit(X, y),
                    }
                    for name, fit in fits.items():
                        took, model = seconds(fit)
                        times, losses = results.setdefault((loss, layout, name), ([], []))
                        times.append(took)
                        losses.append(held_out_loss(model, X_held, y_held, loss))
    rows = [
        [f"{loss}, {layout}: {name}", f"{median(times):.3f}", f"{min(times):.3f}", f"{median(losses):.5f}"]
        for (loss, layout, name), (times, losses) in results.items()
    ]
    print(f"\nsgd: {options.rows:,} x 28 float32, {options.chunks} chunks, {EPOCHS} epochs, 2 processes x 1 thread")
    print(table(["fit", "median s", "best s", "held-out loss"], rows))
    figures = []
    for loss in ("log_loss", "hinge"):
        ours, theirs = results[loss, "shuffled", "dask_gd"], results[loss, "shuffled", "scikit-learn"]
        ratio = median(results[loss, "sorted", "dask_gd"][1]) / median(ours[1])
        figures += [
            Figure(
                f"sgd {loss}: scikit-learn / dask_gd, seconds", f"{median(theirs[0]) / median(ours[0]):.1f}", ">= 1.5"
            ),
            Figure(
                f"sgd {loss}: dask_gd / scikit-learn, held-out loss",
                f"{median(ours[1]) / median(theirs[1]):.4f}",
                "<= 1",
            ),
            Figure(f"sgd {loss}: sorted / shuffled, held-out loss", f"{ratio:.4f}", "<= 1.01"),
        ]
    return figures


if __name__ == "__main__":
    for figure in main():
        print(*figure)
