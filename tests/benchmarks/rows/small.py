"""Small data, 10,000 × 20 in NumPy, without a cluster and beside one that is there, against scikit-learn's defaults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
from common import SEED, local_cluster, objective
from contest import Contest, Goal, Rival

from rows.poisson import half_deviance
from rows.squares import half_square

LIMIT = Goal("cost", 1.5)


def make(n: int, d: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """X (n, d) of float64, and a target of each kind."""
    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((n, d)) + 0.5 * rng.standard_normal((n, 1))
    eta = X @ rng.normal(size=d) / np.sqrt(d)
    return X, {
        "real": eta + rng.normal(size=n),
        "labels": (eta + rng.logistic(size=n) > 0).astype(np.int64),
        "counts": rng.poisson(np.exp(0.5 * eta)).astype(np.float64),
    }


def small(scale: float) -> Iterator[Contest]:
    """Each model without a cluster and with one."""
    import sklearn.linear_model as theirs

    import dask_gd

    n, d = max(int(10_000 * scale), 1000), 20
    X, targets = make(n, d)
    models: dict[str, tuple[Any, Any, str, dict[str, Any]]] = {
        "LogisticRegression": (dask_gd.LogisticRegression(), theirs.LogisticRegression(), "labels", {"alpha": 1 / n}),
        "Ridge": (dask_gd.Ridge(), theirs.Ridge(), "real", {"alpha": 1 / n, "loss": half_square}),
        "Lasso": (
            dask_gd.Lasso(alpha=0.05),
            theirs.Lasso(alpha=0.05),
            "real",
            {"alpha": 0.0, "l1": 0.05, "loss": half_square},
        ),
        "PoissonRegressor": (
            dask_gd.PoissonRegressor(alpha=1e-3),
            theirs.PoissonRegressor(alpha=1e-3),
            "counts",
            {"alpha": 1e-3, "loss": half_deviance},
        ),
    }
    for where, cluster in {"no cluster": nullcontext(), "with a cluster": local_cluster()}.items():
        with cluster:
            for name, (ours, other, kind, terms) in models.items():
                y = targets[kind]
                yield Contest(
                    f"{name}, {n:,} × {d} NumPy, {where}",
                    lambda m=ours, y=y: m.fit(X, y),
                    [Rival("scikit-learn", lambda m=other, y=y: m.fit(X, y), LIMIT)],
                    lambda m, y=y, terms=terms: objective(X, y, m.coef_, m.intercept_, **terms),
                    factor=4,
                )


ROWS = {"small": small}
