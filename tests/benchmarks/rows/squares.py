"""Least squares, ridge and a lasso path, on two processes and in NumPy, against scikit-learn in both layouts of X."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from common import here, higgs_like, local_cluster, objective, targets
from contest import Contest, Goal, Rival

CHUNKS = 16


def half_square(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    return 0.5 * np.square(y - eta[:, 0])


def squares(scale: float) -> Iterator[Contest]:
    """Ours reads X once and solves in float64; scikit-learn's least squares is LAPACK's on the float32 rows."""
    n, d = int(2_000_000 * scale), 28
    with local_cluster():
        X, _ = higgs_like(n, d, CHUNKS)
        y = targets(X, "real")
        local_X, local_y = here(X, y)
        strongest = np.abs(local_X.T @ local_y).max() / n
        problem = Problem(local_X, local_y, np.geomspace(strongest, 1e-3 * strongest, 100))
        yield from problem.contests(X, y, "2 processes")
    yield from problem.contests(local_X, local_y, "NumPy")


class Problem(NamedTuple):
    """The data in this process, and the alphas of the path."""

    X: np.ndarray
    y: np.ndarray
    alphas: np.ndarray

    def contests(self, X: Any, y: Any, where: str) -> Iterator[Contest]:
        """scikit-learn's fits of the data here against ours of the data somewhere."""
        import sklearn.linear_model as theirs

        import dask_gd

        n, d = self.X.shape
        layouts = {"rows": self.X, "columns": np.asfortranarray(self.X)}

        def sklearn(fit: Callable[[np.ndarray, np.ndarray], Any], bound: float) -> list[Rival]:
            goal = Goal("speedup", bound)
            return [
                Rival(f"scikit-learn, X by {name}", lambda A=A: fit(A, self.y), goal, "scikit-learn")
                for name, A in layouts.items()
            ]

        def value(alpha: float) -> Callable[[Any], float]:
            return lambda model: objective(self.X, self.y, model.coef_, model.intercept_, alpha / n, half_square)

        yield Contest(
            f"least squares, {n:,} × {d}, {where}",
            lambda: dask_gd.LinearRegression().fit(X, y),
            sklearn(lambda A, b: theirs.LinearRegression().fit(A, b), 5.0),
            value(0.0),
        )
        yield Contest(
            f"ridge, {n:,} × {d}, {where}",
            lambda: dask_gd.Ridge(alpha=1.0).fit(X, y),
            sklearn(lambda A, b: theirs.Ridge(alpha=1.0).fit(A, b), 3.0),
            value(1.0),
        )
        yield Contest(
            f"lasso path, 100 alphas, {n:,} × {d}, {where}",
            lambda: dask_gd.lasso_path(X, y, alphas=self.alphas),
            sklearn(lambda A, b: theirs.lasso_path(A, b, alphas=self.alphas), 4.0),
            lambda path: path_objectives(self.X, self.y, *path[:2]),
        )


def path_objectives(X: np.ndarray, y: np.ndarray, alphas: np.ndarray, coefs: np.ndarray) -> np.ndarray:
    """(1/2n) ‖y - Xw‖² + α ‖w‖₁ of every point of a path, in float64."""
    W = coefs.astype(np.float64)
    square = np.zeros(W.shape[1])
    for start in range(0, len(X), 50_000):
        rows = slice(start, start + 50_000)
        square += np.square(y[rows, None] - X[rows].astype(np.float64) @ W).sum(axis=0)
    return square / (2 * len(X)) + alphas * np.abs(W).sum(axis=0)


ROWS = {"squares": squares}
