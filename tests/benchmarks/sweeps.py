"""Sweeps over the data to a relative suboptimality of 1e-6, problem by problem, the worst of several seeds.

    python tests/benchmarks/sweeps.py [--seeds 5] [--rows 20000] [--solvers auto newton-cholesky lbfgs] [--only TEXT]

Every fit runs twice: by its own stopping rule at ``--tol``, which should stop it soon after it is near enough, and at
the default tolerance, whose history tells at which sweep it was. Optima are found by another method
(``tests/problems.py``). Counts do not depend on the machine; nothing is timed.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import Figure, machine, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from problems import (
    TARGET,
    TOL,
    Problem,
    counts,
    dense,
    lasso,
    one_hot,
    sparse_wide,
    squared,
    sweeps_to,
)

SMOOTH = ("auto", "newton-cholesky", "lbfgs")
PROXIMAL = {"auto": "auto", "newton-cholesky": "prox-newton", "lbfgs": "fista"}
NEWTON = 7  # sweeps of Newton's method, whatever the problem


class Row(NamedTuple):
    """One line: how the problem of a seed is made, and how many sweeps ``auto`` may take."""

    make: Callable[[int, int], Problem]  # (seed, rows)
    limit: int
    newton: bool = True  # a Hessian is affordable
    proximal: bool = False


ROWS = {
    "d=50 κ=1e2 shuffled": Row(lambda seed, n: dense(seed, n=n), 12),
    "d=50 κ=1e2 sorted": Row(lambda seed, n: dense(seed, n=n, order="sorted"), 12),
    "d=50 κ=1e4 shuffled": Row(lambda seed, n: dense(seed, n=n, kappa=1e4), 12),
    "d=50 κ=1e4 sorted": Row(lambda seed, n: dense(seed, n=n, kappa=1e4, order="sorted"), 12),
    "d=50 κ=1e4 scales 1e-2..1e2": Row(lambda seed, n: dense(seed, n=n, kappa=1e4, raw=True), 14),
    "d=300 κ=1e4 shuffled": Row(lambda seed, n: dense(seed, n=n, d=300, kappa=1e4), 12),
    "d=300 rare one-hot": Row(lambda seed, n: one_hot(seed, n=n), 20),
    "d=300 rare one-hot CSR": Row(lambda seed, n: one_hot(seed, n=n, sparse=True), 20),
    "sparse d=4000 λ=1e-5": Row(lambda seed, n: sparse_wide(seed, n=n), 40, newton=False),
    "sparse d=4000 λ=1e-5 heavy tails": Row(lambda seed, n: sparse_wide(seed, n=n, heavy=True), 40, newton=False),
    "lasso d=300 κ=1e2": Row(lambda seed, n: lasso(seed, n=n), 18, proximal=True),
    "lasso d=300 rare one-hot": Row(lambda seed, n: one_hot(seed, n=n, l1_share=0.02), 18, proximal=True),
    "Poisson scales 1e-2..1e2": Row(lambda seed, n: counts(seed, n=n), 15),
    "gamma scales 1e-2..1e2": Row(lambda seed, n: counts(seed, n=n, loss="gamma"), 15),
    "Poisson from zero": Row(lambda seed, n: counts(seed, n=n, zero_start=True), 15),
    "gamma from zero": Row(lambda seed, n: counts(seed, n=n, loss="gamma", zero_start=True), 15),
}
GRID = (1e-3, 1e-2, 1e-1)  # of eta0


class Count(NamedTuple):
    """What one solver needed on one problem."""

    chosen: str
    stopped: int  # sweeps at ``--tol``
    reached: float  # relative suboptimality there
    needed: float  # sweeps to the target; inf: never
    default: int  # sweeps at the default tolerance
    settled: float  # relative suboptimality there
    converged: bool


def count(problem: Problem, solver: str, tol: float) -> Count:
    """Both fits of one problem."""
    X, y = problem.lazy()
    soon = problem.estimator(solver=solver, tol=tol).fit(X, y)
    late = problem.estimator(solver=solver).fit(X, y)
    needed = sweeps_to(late, problem)
    return Count(
        late.solver_,
        soon.n_sweeps_,
        problem.suboptimality(soon),
        np.inf if needed is None else needed,
        late.n_sweeps_,
        problem.suboptimality(late),
        soon.converged_ and late.converged_,
    )


def spread(values: list[float]) -> str:
    """The best and the worst of the seeds, or the one number they all have."""
    low, high = min(values), max(values)
    text = [f"{v:.0f}" if np.isfinite(v) else "-" for v in (low, high)]
    return text[0] if low == high else f"{text[0]}-{text[1]}"


def squares(seeds: int, n: int) -> list[list[str]]:
    """The squared loss: one sweep and one of refinement is all that its algebra asks for."""
    import dask.array as da

    import dask_gd

    def path(X: Any, y: Any, largest: float) -> int:
        return sum(dask_gd.Lasso(alpha=a).fit(X, y).n_sweeps_ for a in largest * np.logspace(0, -3, 100))

    def grid(X: Any, y: Any, largest: float) -> int:
        options = {"loss": "squared_error", "learning_rate": "constant", "max_iter": 1000, "tol": None}
        return sum(dask_gd.GDRegressor(eta0=eta0, **options).fit(X, y).n_sweeps_ for eta0 in GRID)

    models: dict[str, Callable[[Any, Any, float], int]] = {
        "least squares": lambda X, y, _: dask_gd.LinearRegression().fit(X, y).n_sweeps_,
        "ridge": lambda X, y, _: dask_gd.Ridge().fit(X, y).n_sweeps_,
        "lasso": lambda X, y, largest: dask_gd.Lasso(alpha=0.02 * largest).fit(X, y).n_sweeps_,
        "lasso, 100 fits of a path": path,
        f"GDRegressor, 1,000 iterations, {len(GRID)} eta0": grid,
    }
    rows = []
    for name, sweeps in models.items():
        found: list[float] = []
        for seed in range(seeds if "," not in name else 1):
            X, y = squared(seed, n=n)
            largest = float(np.abs(X.T @ (y - y.mean())).max()) / n
            lazy = (da.from_array(X, chunks=(-(-n // 8), -1)), da.from_array(y, chunks=-(-n // 8)))
            found.append(sweeps(*lazy, largest))
        rows.append([name, spread(found), "<= 2"])
        print("  ".join(rows[-1]), flush=True)
    return rows


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--tol", type=float, default=TOL)
    parser.add_argument("--solvers", nargs="+", default=list(SMOOTH), choices=SMOOTH)
    parser.add_argument("--only", default="", help="rows of the table whose name has this text")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    import dask

    print(machine(), flush=True)
    rows, figures = [], []
    with dask.config.set(scheduler="synchronous"):
        for name, row in ROWS.items():
            if options.only not in name:
                continue
            found: dict[str, list[Count]] = {}
            for seed in range(options.seeds):
                problem = row.make(seed, options.rows)
                for solver in options.solvers:
                    if solver == "newton-cholesky" and not row.newton:
                        continue
                    own = PROXIMAL[solver] if row.proximal else solver
                    found.setdefault(own, []).append(count(problem, own, options.tol))
            for solver, each in found.items():
                limit = row.limit if solver == "auto" else None
                if solver == "newton-cholesky" and problem.loss == "logistic":
                    limit = NEWTON
                rows.append(
                    [
                        name,
                        solver,
                        " ".join(sorted({c.chosen for c in each})) if solver == "auto" else "",
                        spread([c.needed for c in each]),
                        spread([c.stopped for c in each]),
                        f"{max(c.reached for c in each):.0e}",
                        spread([c.default for c in each]),
                        f"{max(c.settled for c in each):.0e}",
                        "" if limit is None else f"<= {limit}",
                        "" if all(c.converged for c in each) else "not converged",
                    ]
                )
                print("  ".join(rows[-1]), flush=True)
                if limit is not None:
                    worst = max(c.needed for c in each)
                    figures.append(Figure(f"sweeps: {name}, {solver}", f"{worst:.0f}", f"<= {limit}"))
        single = [] if options.only and options.only != "squared" else squares(options.seeds, options.rows)
    head = ["problem", "solver", "chosen", "needed", "at tol", "reached", "at default", "reached", "target", ""]
    print(f"\nsweeps: {options.rows:,} rows, 8 blocks, {options.seeds} seeds, to {TARGET:.0e}, tol {options.tol:.0e}")
    print(table(head, rows))
    if single:
        print("\nsquared loss: all sweeps of all fits")
        print(table(["model", "sweeps", "target"], single))
    return figures + [Figure(f"sweeps: {name}", value, target) for name, value, target in single]


if __name__ == "__main__":
    main()
