"""Logistic regression on wide sparse rows, L2 and L1, 500,000 × 50,000 with about 40 entries a row.

Columns are drawn as hashed words are: few are frequent. scikit-learn has the whole CSR matrix, dask_gd CSR blocks of it
on two processes. All minimise (1/n) Σ loss + λ/2 ‖w‖² or + λ ‖w‖₁ with λ = 1e-5 and a free intercept, which liblinear
penalises as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from common import SEED, local_cluster, objective, wait
from contest import Contest, Goal, Rival

LAMBDA = 1e-5
ENTRIES = 40
CHUNKS = 16
L2_SOLVERS = {"lbfgs": 1e-6, "newton-cg": 1e-5, "liblinear": 1e-3, "saga": 1e-3}
L1_SOLVERS = {"liblinear": 5e-3, "saga": 1e-3}


def rows_of(first: int, n: int, d: int) -> tuple[Any, np.ndarray]:
    """CSR rows and their labels."""
    import scipy.sparse as sp

    rng, common = np.random.default_rng([SEED, first]), np.random.default_rng(SEED)
    coef = common.normal(size=d)
    index = (d * rng.random((n, ENTRIES)) ** 3).astype(np.int32)
    data = np.exp(0.5 * rng.normal(size=n * ENTRIES)) / np.sqrt(ENTRIES)
    X = sp.csr_array((data, index.ravel(), np.arange(0, n * ENTRIES + 1, ENTRIES, dtype=np.int32)), shape=(n, d))
    X.sum_duplicates()
    return X, (X @ coef + rng.logistic(size=n) > 0).astype(np.int64)


def sparse(scale: float) -> Iterator[Contest]:
    """The fastest of scikit-learn's solvers for each penalty."""
    import dask
    import dask.array as da
    import scipy.sparse as sp
    from sklearn.linear_model import LogisticRegression as Sklearn

    from dask_gd import LogisticRegression

    n, d = int(500_000 * scale), int(50_000 * scale**0.5)
    lengths = [len(part) for part in np.array_split(np.arange(n), CHUNKS)]
    firsts = np.cumsum([0, *lengths[:-1]])
    pairs = [dask.delayed(rows_of, nout=2)(int(first), m, d) for first, m in zip(firsts, lengths, strict=True)]
    with local_cluster():
        X = da.concatenate(
            [da.from_delayed(p[0], (m, d), meta=sp.csr_array((0, d))) for p, m in zip(pairs, lengths, strict=True)]
        )
        y = da.concatenate([da.from_delayed(p[1], (m,), dtype=np.int64) for p, m in zip(pairs, lengths, strict=True)])
        X, y = dask.persist(X, y)
        wait(X, y)
        local_X = sp.csr_matrix(sp.vstack([part for part in dask.compute(*X.to_delayed().ravel())]))
        local_y = y.compute().copy()
        C = 1 / (LAMBDA * n)

        def contest(penalty: str, l1_ratio: float, bound: float, solvers: dict[str, float]) -> Contest:
            def sklearn(solver: str, tol: float) -> Rival:
                model = Sklearn(C=C, l1_ratio=l1_ratio, solver=solver, tol=tol, max_iter=1000)
                return Rival(
                    f"scikit-learn {solver}",
                    lambda: model.fit(local_X, local_y),
                    Goal("speedup", bound),
                    "scikit-learn",
                )

            terms = {"alpha": LAMBDA * (1 - l1_ratio), "l1": LAMBDA * l1_ratio}
            return Contest(
                f"sparse logistic, {penalty}, {n:,} × {d:,}",
                lambda: LogisticRegression(C=C, l1_ratio=l1_ratio, tol=1e-4).fit(X, y),
                [sklearn(*pair) for pair in solvers.items()],
                lambda model: objective(local_X, local_y, model.coef_, model.intercept_, **terms),
            )

        # Tolerances mean something else to each solver; these bring them, and ours, within 1e-6 of the minimum.
        yield contest("L2", 0.0, 2.0, L2_SOLVERS)
        yield contest("L1", 1.0, 4.0, L1_SOLVERS)


ROWS = {"sparse": sparse}
