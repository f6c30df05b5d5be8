"""Sweeps to f - f* ≤ 1e-6 (f₀ - f*) of every solver that draws no row sample, on dense and sparse logistic regression
with L2 and L1: ``python tests/benchmarks/solver_sweeps.py``. Counts and no clock: the same on every machine, but for
rounding.

Twenty thousand rows. Dense: 50 correlated columns of a given condition number κ, standardised, or with scales from 1e-2
to 1e2. Sparse: 4000 columns of 0 and 1, 30 a row, drawn by Zipf's law. f₀ is the constant model.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from common import Figure, table

from dask_gd.engine import LocalEngine
from dask_gd.fitting import Fit, minimise
from dask_gd.kernels import MomentsKernel
from dask_gd.losses import Logistic
from dask_gd.objective import Objective
from dask_gd.penalties import ElasticNet
from dask_gd.protocol import Block
from dask_gd.solvers import SOLVERS, GradientDescent

N, D, WIDE, PER_ROW = 20_000, 50, 4000, 30
NEAR, LIMIT = 1e-6, 600
F64 = np.dtype(np.float64)
WITHOUT_SAMPLE = {name: solver for name, solver in SOLVERS.items() if not solver.sampling}
SOLVERS_AND_RATES: dict[str, Any] = WITHOUT_SAMPLE | {
    f"gd {rate}, {metric}": functools.partial(GradientDescent, rate, standardised=metric == "diagonal")
    for rate in ("armijo", "bb", "adgd")
    for metric in ("euclidean", "diagonal")
}
del SOLVERS_AND_RATES["gd"]


def labels(eta: Any, rng: np.random.Generator) -> np.ndarray:
    eta = 2 * (eta - eta.mean()) / eta.std()
    return (rng.random(N) < 1 / (1 + np.exp(-eta))).astype(float)


def dense(kappa: float, scales: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.normal(size=(D, D)))[0]
    X = rng.normal(size=(N, D)) @ (Q * np.sqrt(np.geomspace(1, 1 / kappa, D))) @ Q.T
    y = labels(X @ rng.normal(size=D), rng)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return (X * np.geomspace(1e-2, 1e2, D)[rng.permutation(D)] if scales else X), y


def sparse() -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, WIDE + 1)
    columns = rng.choice(WIDE, size=(N, PER_ROW), p=share / share.sum())
    X = sp.csr_array((np.ones(columns.size), (np.repeat(np.arange(N), PER_ROW), columns.ravel())), shape=(N, WIDE))
    X.sum_duplicates()
    return X, labels(X @ rng.normal(size=WIDE), rng)


def problems() -> Iterator[tuple[str, tuple[Any, np.ndarray], ElasticNet]]:
    for kind, penalty in (("L2", ElasticNet(l2=1e-6)), ("L1", ElasticNet(l1=1e-3))):
        yield f"{kind} κ=1e2", dense(1e2), penalty
        yield f"{kind} κ=1e4", dense(1e4), penalty
        yield f"{kind} κ=1e4, scales", dense(1e4, scales=True), penalty
    for alpha in (1e-3, 1e-5):
        yield f"L2 sparse, {alpha:.0e}", sparse(), ElasticNet(l2=alpha)
    for alpha in (1e-3, 1e-4):
        yield f"L1 sparse, {alpha:.0e}", sparse(), ElasticNet(l1=alpha)


def takes(name: str, penalty: ElasticNet, width: int) -> bool:
    if width > 1000 and name in ("newton-cholesky", "prox-newton"):  # the Hessian would be the whole cost
        return False
    return penalty.smooth or SOLVERS_AND_RATES[name]().proximal


def sweeps(objective: Objective, engine: LocalEngine, name: str, penalty: ElasticNet, goal: float) -> int | None:
    """Sweeps to the first iterate at or below the goal; None: more than the limit."""
    before, found = engine.n_sweeps, []

    def there(report: Any) -> bool:
        if report.objective <= goal:
            found.append(engine.n_sweeps - before)
        return bool(found) or engine.n_sweeps - before > LIMIT

    fit = Fit(SOLVERS_AND_RATES[name](), penalty, *objective.start(), 10 * LIMIT, 0.0)
    minimise(objective, engine, [fit], [there], dtype=F64)
    return found[0] if found and found[0] <= LIMIT else None


def main(arguments: list[str] | None = None) -> list[Figure]:
    head, columns = ["solver"], []
    for label, (X, y), penalty in problems():
        engine = LocalEngine([Block(0, X, y)], serial=True)
        moments = engine.sweep(MomentsKernel(X.shape[1], True))
        objective = Objective(Logistic(), moments, fit_intercept=True, dtype=F64, sparse=sp.issparse(X))
        exact = "owlqn" if not penalty.smooth else "lbfgs" if X.shape[1] > 1000 else "newton-cholesky"
        (best,) = minimise(
            objective, engine, [Fit(SOLVERS[exact](), penalty, *objective.start(), 5000, 1e-9)], dtype=F64
        )
        lowest, share = best.history["objective"].min(), y.mean()
        first = -(share * np.log(share) + (1 - share) * np.log(1 - share))
        goal = lowest + NEAR * (first - lowest)
        head.append(label)
        columns.append(
            [
                str(sweeps(objective, engine, name, penalty, goal) or f">{LIMIT}")
                if takes(name, penalty, X.shape[1])
                else "-"
                for name in SOLVERS_AND_RATES
            ]
        )
    rows = [[name, *(column[i] for column in columns)] for i, name in enumerate(SOLVERS_AND_RATES)]
    print(table(head, rows))
    return []


if __name__ == "__main__":
    main()
