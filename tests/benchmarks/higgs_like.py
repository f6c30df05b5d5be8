"""L2 logistic regression on 2,000,000 × 28 correlated rows: dask_gd, scikit-learn and dask-ml in one run.

    python tests/benchmarks/higgs_like.py [--rows 2000000] [--repeats 5] [--no-dask-ml]

All fits minimise (1/n) Σ log(1 + e^η) - yη + λ/2 ‖w‖² with λ = 1e-4 and a free intercept (dask-ml penalises its
intercept too). X is float32 and in memory: on two worker processes for dask_gd and dask-ml, in this process for
scikit-learn. The fits alternate; seconds are medians. The objective is evaluated in float64 for all.
"""

from __future__ import annotations

import argparse
import importlib.util
import warnings
from typing import Any

from common import LAMBDA, Figure, higgs_like, local_cluster, machine, median, objective, seconds, table


def contestants(X: Any, y: Any, local_X: Any, local_y: Any, dask_ml: bool) -> dict[str, tuple[Any, int]]:
    """Name -> (fit, runs at the most)."""
    from sklearn.linear_model import LogisticRegression as Sklearn

    from dask_gd import LogisticRegression

    C = 1 / (LAMBDA * len(local_y))
    fits: dict[str, tuple[Any, int]] = {
        "dask_gd": (lambda: LogisticRegression(C=C).fit(X, y), 99),
        "dask_gd, solver lbfgs": (lambda: LogisticRegression(C=C, solver="lbfgs").fit(X, y), 3),
        "sklearn newton-cholesky": (
            lambda: Sklearn(C=C, solver="newton-cholesky", tol=1e-6).fit(local_X, local_y),
            99,
        ),
        "sklearn lbfgs": (lambda: Sklearn(C=C, solver="lbfgs", tol=1e-6, max_iter=1000).fit(local_X, local_y), 1),
    }
    if dask_ml:
        from dask_ml.linear_model import LogisticRegression as DaskML

        fits["dask-ml lbfgs"] = (lambda: DaskML(C=C, solver="lbfgs", max_iter=200).fit(X, y), 1)
    return fits


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=16)
    parser.add_argument("--no-dask-ml", action="store_true")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", FutureWarning)

    print(machine(), flush=True)
    dask_ml = importlib.util.find_spec("dask_ml") is not None and not options.no_dask_ml
    if not dask_ml:
        print('dask-ml is left out (pip install -e ".[bench]" brings it)')
    with local_cluster() as client:
        X, y = higgs_like(options.rows, 28, options.chunks)
        # Copies: what arrives in a message may lie at any address, and scikit-learn is three times slower on that.
        local_X, local_y = X.compute().copy(), y.compute().copy()
        fits = contestants(X, y, local_X, local_y, dask_ml)
        times: dict[str, list[float]] = {name: [] for name in fits}
        found: dict[str, Any] = {}
        fits["dask_gd"][0]()  # the first fit imports modules on the workers
        for repeat in range(options.repeats):
            for name, (fit, runs) in fits.items():
                if repeat < runs:
                    took, found[name] = seconds(fit)
                    times[name].append(took)
        del client
    values = {name: objective(local_X, local_y, model.coef_, model.intercept_) for name, model in found.items()}
    best = min(values.values())
    ours = median(times["dask_gd"])
    rows = [
        [
            name,
            str(len(times[name])),
            f"{median(times[name]):.3f}",
            f"{min(times[name]):.3f}",
            str(getattr(found[name], "n_sweeps_", "")),
            f"{values[name] / best - 1:.1e}",
            f"{median(times[name]) / ours:.1f}",
        ]
        for name in fits
    ]
    print(f"\nhiggs_like: {options.rows:,} x 28 float32, {options.chunks} chunks, 2 processes x 1 thread")
    print(table(["fit", "runs", "median s", "best s", "sweeps", "objective above best", "x dask_gd"], rows))
    figures = [
        Figure(
            "higgs_like: scikit-learn newton-cholesky / dask_gd",
            f"{median(times['sklearn newton-cholesky']) / ours:.2f}",
            ">= 1.5",
        ),
        Figure("higgs_like: dask_gd objective above the best", f"{values['dask_gd'] / best - 1:.1e}", "<= 1e-9"),
    ]
    if dask_ml:
        ratio = median(times["dask-ml lbfgs"]) / ours
        figures.insert(1, Figure("higgs_like: dask-ml lbfgs / dask_gd", f"{ratio:.1f}", ">= 20"))
    return figures


if __name__ == "__main__":
    main()
