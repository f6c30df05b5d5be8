"""SGDClassifier on 1,000,000 × 28 correlated rows: five local epochs on two processes beside scikit-learn's.

Both run the same epochs with the same parameters (scikit-learn's defaults) and seed; they are no minimisers, so what is
compared in place of the objective is the loss of 100,000 rows more that nobody trained on. "sorted": all rows of one
class before all rows of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from common import here, higgs_like, local_cluster, wait
from contest import Contest, Rival

EPOCHS = 5
HELD_OUT = 100_000
CHUNKS = 16


def held_out_loss(model: Any, X: np.ndarray, y: np.ndarray, loss: str) -> float:
    eta = X.astype(np.float64) @ np.ravel(model.coef_).astype(np.float64) + float(np.ravel(model.intercept_)[0])
    sign = 2.0 * y - 1
    return float((np.maximum(1 - sign * eta, 0) if loss == "hinge" else np.logaddexp(0, -sign * eta)).mean())


def stochastic(scale: float) -> Iterator[Contest]:
    import dask
    import dask.array as da
    from sklearn.linear_model import SGDClassifier as Sklearn

    from dask_gd import SGDClassifier

    n, held_out = int(1_000_000 * scale), int(HELD_OUT * scale)
    with local_cluster():
        A, b = here(*higgs_like(n + held_out, 28, CHUNKS))
        held_A, held_b, A, b = A[n:], b[n:], A[:n], b[:n]
        order = np.argsort(b, kind="stable")
        for name, rows in {"shuffled": np.arange(n), "sorted": order}.items():
            local_X, local_y = A[rows], b[rows]
            chunk = -(-n // CHUNKS)
            X, y = dask.persist(da.from_array(local_X, chunks=(chunk, -1)), da.from_array(local_y, chunks=chunk))
            wait(X, y)
            for loss in ("log_loss", "hinge"):
                params = {"loss": loss, "max_iter": EPOCHS, "tol": None, "random_state": 0}
                yield Contest(
                    f"SGDClassifier, {loss}, {name}, {EPOCHS} epochs of {n:,} × 28",
                    lambda p=params, X=X, y=y: SGDClassifier(**p).fit(X, y),
                    [Rival("scikit-learn", lambda p=params, X=local_X, y=local_y: Sklearn(**p).fit(X, y))],
                    lambda model, loss=loss: held_out_loss(model, held_A, held_b, loss),
                )


ROWS = {"stochastic": stochastic}
