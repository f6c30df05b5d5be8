"""Strengths chosen by cross-validation, on two processes and in NumPy, against scikit-learn's own estimators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from common import here, higgs_like, local_cluster, objective, targets
from contest import Contest, Goal, Rival

CHUNKS = 16
JOBS = (None, 2)
STRENGTHS = np.geomspace(1e-2, 1e5, 10)  # of a ridge


def half_square(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    return 0.5 * np.square(y - eta[:, 0])


def data(n: int, d: int) -> tuple[Any, Any]:
    X, _ = higgs_like(n, d, CHUNKS)
    return X, targets(X, "real")


def lasso(scale: float) -> Iterator[Contest]:
    """100 strengths and 5 folds: ours reads X once, and scikit-learn copies it for every fold."""
    with local_cluster():
        X, y = data(int(1_000_000 * scale), 50)
        local_X, local_y = here(X, y)
        yield lasso_contest(X, y, local_X, local_y, "2 processes")
    yield lasso_contest(local_X, local_y, local_X, local_y, "NumPy")


def lasso_contest(X: Any, y: Any, local_X: np.ndarray, local_y: np.ndarray, where: str) -> Contest:
    import sklearn.linear_model as theirs

    import dask_gd

    n, d = local_X.shape
    strongest = float(np.abs(local_X.T @ (local_y - local_y.mean())).max()) / n
    alphas = np.geomspace(strongest, 1e-3 * strongest, 100)

    def ours() -> Any:
        model = dask_gd.LassoCV(alphas=alphas, cv=5).fit(X, y)
        assert model.n_sweeps_ == 1
        return model

    def rival(n_jobs: int | None) -> Rival:
        def run() -> Any:
            return theirs.LassoCV(alphas=alphas, cv=5, n_jobs=n_jobs).fit(local_X, local_y)

        return Rival(f"scikit-learn's LassoCV, n_jobs={n_jobs}", run, Goal("speedup", 10.0), "scikit-learn")

    def value(model: Any) -> float:
        return objective(local_X, local_y, model.coef_, model.intercept_, 0.0, half_square, l1=model.alpha_)

    return Contest(f"LassoCV, 100 alphas, 5 folds, {n:,} × {d}, {where}", ours, [rival(n) for n in JOBS], value)


def ridge(scale: float) -> Iterator[Contest]:
    """10 strengths; every row left out in turn (two sweeps), and 5 folds (one)."""
    with local_cluster():
        X, y = data(int(500_000 * scale), 50)
        local_X, local_y = here(X, y)
        yield from ridge_contests(X, y, local_X, local_y, "2 processes")
    yield from ridge_contests(local_X, local_y, local_X, local_y, "NumPy")


def ridge_contests(X: Any, y: Any, local_X: np.ndarray, local_y: np.ndarray, where: str) -> Iterator[Contest]:
    import sklearn.linear_model as theirs

    import dask_gd

    n, d = local_X.shape

    def value(model: Any) -> float:
        return objective(local_X, local_y, model.coef_, model.intercept_, model.alpha_ / n, half_square)

    def fit(module: Any, cv: int | None, *fitted: Any) -> Callable[[], Any]:
        return lambda: module.RidgeCV(STRENGTHS, cv=cv).fit(*fitted)

    for cv, what in ((None, "rows left out"), (5, "5 folds")):
        rival = Rival("scikit-learn's RidgeCV", fit(theirs, cv, local_X, local_y), Goal("speedup", 8.0))
        title = f"RidgeCV, {len(STRENGTHS)} alphas, {what}, {n:,} × {d}, {where}"
        yield Contest(title, fit(dask_gd, cv, X, y), [rival], value)


ROWS = {"lasso-cv": lasso, "ridge-cv": ridge}
