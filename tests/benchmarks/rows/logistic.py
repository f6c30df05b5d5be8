"""Logistic regression with L2 and a free intercept on correlated, standardised columns, float32.

All minimise (1/n) Σ loss + λ/2 ‖w‖² with λ = 1e-4; dask-ml's intercept is penalised too. The data lie on two processes
of one thread for dask_gd and dask-ml, in this process with all its BLAS threads for scikit-learn, and as a cached
DataFrame of vectors in Spark.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
from common import LAMBDA, here, higgs_like, local_cluster, objective, targets
from contest import Contest, Goal, Rival
from peers import missing, spark

CHUNKS = 16


def higgs(scale: float) -> Iterator[Contest]:
    """Two classes, against scikit-learn's fastest solver, Spark MLlib and dask-ml."""
    from sklearn.linear_model import LogisticRegression as Sklearn

    from dask_gd import LogisticRegression

    n, d = int(2_000_000 * scale), 28
    C = 1 / (LAMBDA * n)
    with ExitStack() as stack:
        stack.enter_context(local_cluster())
        X, y = higgs_like(n, d, CHUNKS)
        local_X, local_y = here(X, y)

        def sklearn(solver: str) -> Rival:
            model = Sklearn(C=C, solver=solver, max_iter=1000)
            return Rival(
                f"scikit-learn {solver}", lambda: model.fit(local_X, local_y), Goal("speedup", 8.0), "scikit-learn"
            )

        yield Contest(
            f"logistic, L2, {n:,} × {d}",
            lambda: LogisticRegression(C=C).fit(X, y),
            [
                *map(sklearn, ("newton-cholesky", "lbfgs", "newton-cg")),
                mllib(stack, local_X, local_y),
                dask_ml(X, y, C),
            ],
            lambda model: objective(local_X, local_y, model.coef_, model.intercept_),
        )


def mllib(stack: ExitStack, X: Any, y: Any) -> Rival:
    name, goal, reason = "Spark MLlib, warm", Goal("speedup", 40.0), missing("pyspark")
    if reason:
        return Rival(name, None, goal, missing=reason)
    peer = stack.enter_context(spark(X, y))
    # The columns are standardised already: without it Spark's penalty is ours to the digit.
    params = {"regParam": LAMBDA, "elasticNetParam": 0.0, "standardization": False, "tol": 1e-6, "maxIter": 500}
    return Rival(name, lambda: peer.logistic(**params), goal)


def dask_ml(X: Any, y: Any, C: float) -> Rival:
    name, goal, reason = "dask-ml lbfgs", Goal("speedup", 100.0), missing("dask_ml")
    if reason:
        return Rival(name, None, goal, missing=reason)
    from dask_ml.linear_model import LogisticRegression as DaskML

    def fit(max_iter: int = 200) -> Any:
        return DaskML(C=C, solver="lbfgs", max_iter=max_iter).fit(X, y)

    return Rival(name, fit, goal, warm_up=lambda: fit(1))


def cross_entropy(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """log Σ_k e^η_k - η_y."""
    top = eta.max(axis=1)
    return top + np.log(np.exp(eta - top[:, None]).sum(axis=1)) - eta[np.arange(len(y)), y]


def softmax(scale: float) -> Iterator[Contest]:
    """Ten classes, against scikit-learn."""
    from sklearn.linear_model import LogisticRegression as Sklearn

    from dask_gd import LogisticRegression

    n, d = int(500_000 * scale), 50
    C = 1 / (LAMBDA * n)
    with local_cluster():
        X, _ = higgs_like(n, d, CHUNKS)
        y = targets(X, "classes")
        local_X, local_y = here(X, y)

        def sklearn(solver: str) -> Rival:
            tol = 5e-5 if solver == "lbfgs" else 1e-4  # which brings it within 1e-6 of the minimum
            model = Sklearn(C=C, solver=solver, tol=tol, max_iter=1000)
            return Rival(
                f"scikit-learn {solver}", lambda: model.fit(local_X, local_y), Goal("speedup", 3.0), "scikit-learn"
            )

        yield Contest(
            f"softmax, 10 classes, L2, {n:,} × {d}",
            lambda: LogisticRegression(C=C).fit(X, y),
            [*map(sklearn, ("lbfgs", "newton-cholesky", "newton-cg"))],
            lambda model: objective(local_X, local_y, model.coef_, model.intercept_, loss=cross_entropy),
        )


ROWS = {"higgs": higgs, "softmax": softmax}
