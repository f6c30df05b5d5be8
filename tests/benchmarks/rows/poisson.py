"""Poisson regression with a log link and L2, 2,000,000 × 28 float32, against scikit-learn and glum.

All minimise (1/n) Σ half deviance + λ/2 ‖w‖² with λ = 1e-4 and a free intercept.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from common import LAMBDA, here, higgs_like, local_cluster, objective, targets
from contest import Contest, Goal, Rival
from peers import missing
from scipy.special import xlogy

CHUNKS = 16


def half_deviance(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """y log(y / μ) - y + μ."""
    y, eta = y.astype(np.float64), eta[:, 0]
    return xlogy(y, y) - y * eta - y + np.exp(eta)


def poisson(scale: float) -> Iterator[Contest]:
    """The fastest of scikit-learn's Newton, its L-BFGS, and glum."""
    from sklearn.linear_model import PoissonRegressor as Sklearn

    from dask_gd import PoissonRegressor

    n, d = int(2_000_000 * scale), 28
    goal = Goal("speedup", 3.0)
    with local_cluster():
        X, _ = higgs_like(n, d, CHUNKS)
        y = targets(X, "counts")
        local_X, local_y = here(X, y)
        columns = np.asfortranarray(local_X)  # faster for both of them

        def sklearn(solver: str) -> Rival:
            model = Sklearn(alpha=LAMBDA, solver=solver, max_iter=1000)
            return Rival(f"scikit-learn {solver}", lambda: model.fit(columns, local_y), goal, "fastest")

        def glum() -> Rival:
            if reason := missing("glum"):
                return Rival("glum", None, goal, "fastest", missing=reason)
            from glum import GeneralizedLinearRegressor

            model = GeneralizedLinearRegressor(family="poisson", alpha=LAMBDA)
            return Rival("glum", lambda: model.fit(columns, local_y), goal, "fastest")

        yield Contest(
            f"Poisson, L2, {n:,} × {d}",
            lambda: PoissonRegressor(alpha=LAMBDA).fit(X, y),
            [*map(sklearn, ("newton-cholesky", "lbfgs")), glum()],
            lambda model: objective(local_X, local_y, model.coef_, model.intercept_, loss=half_deviance),
        )


ROWS = {"poisson": poisson}
