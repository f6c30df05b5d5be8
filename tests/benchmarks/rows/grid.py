"""Grids of candidates × 5 folds on 500,000 × 28: against one fit, and against scikit-learn's searches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from common import SEED, here, higgs_like, local_cluster
from contest import Contest, Goal, Rival

CHUNKS = 16
ITERATIONS = 50
ETAS = np.logspace(-2, 0.5, 16)
STRENGTHS = np.logspace(-4, 4, 20)


def independent(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal columns float32, and labels that they tell almost for sure."""
    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((n, d), dtype=np.float32)
    return X, (X @ rng.normal(size=d) + rng.logistic(size=n) > 0).astype(np.int64)


def best_score(search: Any) -> float:
    """Higher is better in a search, lower in a contest."""
    return -float(search.best_score_)


def all_of_them(search: Any) -> float:
    """Fits alone cost the same for every rate."""
    return float(len(ETAS))


def nothing() -> None:
    """No call to warm up."""


def rates(scale: float) -> Iterator[Contest]:
    """16 learning rates: all fits are columns of the same sweeps."""
    from sklearn import model_selection as theirs
    from sklearn.linear_model import SGDClassifier

    from dask_gd import GDClassifier
    from dask_gd.model_selection import GridSearchCV

    n = int(500_000 * scale)
    with local_cluster():
        X, y = higgs_like(n, 28, CHUNKS)
        local_X, local_y = here(X, y)
        estimator = GDClassifier(learning_rate="constant", eta0=0.5, max_iter=ITERATIONS, tol=None)
        alone = {"max_iter": ITERATIONS, "tol": None, "learning_rate": "constant", "random_state": 0}
        yield Contest(
            f"16 eta0 × 5 folds of GDClassifier, {ITERATIONS} iterations, {n:,} × 28, 2 processes",
            lambda: GridSearchCV(estimator, {"eta0": ETAS}, cv=5, refit=False).fit(X, y),
            [
                Rival("one such fit", lambda: estimator.fit(X, y), Goal("cost", 10.0)),
                Rival(
                    "scikit-learn's GridSearchCV over our estimator (one candidate, times 16)",
                    lambda: theirs.GridSearchCV(estimator, {"eta0": ETAS[-1:]}, cv=5, refit=False).fit(X, y),
                    Goal("speedup", 8.0),
                    count=all_of_them,
                ),
                Rival(
                    "scikit-learn's GridSearchCV (n_jobs=2) over its SGDClassifier, as many epochs (likewise)",
                    lambda: theirs.GridSearchCV(
                        SGDClassifier(**alone), {"eta0": ETAS[-1:] / 1000}, cv=5, refit=False, n_jobs=2
                    ).fit(local_X, local_y),
                    Goal("speedup", 1.0),
                    warm_up=nothing,
                    count=all_of_them,
                ),
            ],
        )


def strengths(scale: float) -> Iterator[Contest]:
    """20 values of C: one is solved first, and the others start from its minimum in the metric of its Hessian."""
    import warnings

    import dask.array as da
    import sklearn.linear_model as sklearn_models
    from sklearn import model_selection as theirs

    from dask_gd.linear_model import LogisticRegression
    from dask_gd.model_selection import GridSearchCV, LogisticRegressionCV

    n = int(500_000 * scale)
    warnings.filterwarnings("ignore", category=FutureWarning)
    with local_cluster():
        X, y = higgs_like(n, 28, CHUNKS)
        local_X, local_y = here(X, y)

        def against_cv(what: str, X: Any, y: Any, local_X: Any, local_y: Any) -> Contest:
            own_cv = sklearn_models.LogisticRegressionCV(
                Cs=STRENGTHS, cv=5, n_jobs=2, l1_ratios=(0.0,), scoring=None, use_legacy_attributes=False
            )
            return Contest(
                f"LogisticRegressionCV, 20 C × 5 folds, {n:,} × 28{what}, 2 processes",
                lambda: LogisticRegressionCV(Cs=STRENGTHS, cv=5).fit(X, y),
                [
                    Rival(
                        "scikit-learn's LogisticRegressionCV, n_jobs=2",
                        lambda: own_cv.fit(local_X, local_y),
                        Goal("speedup", 8.0),
                    )
                ],
            )

        own_grid = Rival(
            "scikit-learn's GridSearchCV (n_jobs=2) over its LogisticRegression",
            lambda: theirs.GridSearchCV(sklearn_models.LogisticRegression(), {"C": STRENGTHS}, cv=5, n_jobs=2).fit(
                local_X, local_y
            ),
            Goal("speedup", 8.0),
        )
        yield against_cv("", X, y, local_X, local_y)
        # No conditioning to overcome, and so strong a signal that few values of C have minima near each other.
        plain_X, plain_y = independent(n, 28)
        lazy = (da.from_array(a, chunks=(-(-n // CHUNKS), *a.shape[1:])).persist() for a in (plain_X, plain_y))
        yield against_cv(" independent columns", *lazy, plain_X, plain_y)
        yield Contest(
            f"GridSearchCV over LogisticRegression, 20 C × 5 folds, {n:,} × 28, 2 processes",
            lambda: GridSearchCV(LogisticRegression(), {"C": STRENGTHS}, cv=5).fit(X, y),
            [own_grid],
            best_score,
        )


ROWS = {"grid-eta0": rates, "grid-C": strengths}
