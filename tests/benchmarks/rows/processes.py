"""The same fits on one process, on two, and on one of two threads: the same bits, and what the second core brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
from common import LAMBDA, higgs_like, local_cluster
from contest import Contest, Goal, Rival

CHUNKS = 16
CLUSTERS = {"1 process": (1, 1), "2 processes": (2, 1), "1 process of 2 threads": (1, 2)}


def processes(scale: float) -> Iterator[Contest]:
    """Sweeps of 100 ms and more, and whole fits, where the client has its part, on 1,000,000 × 200."""
    from dask_gd import LogisticRegression
    from dask_gd.engine import open_engine

    n, d = int(1_000_000 * scale), 200

    def sweep(name: str) -> Callable[[], float]:
        """Each time on a cluster of its own, for an idle one takes its part of two cores, too."""

        def run() -> float:
            with local_cluster(*CLUSTERS[name]) as client, client.as_current():
                with open_engine(*higgs_like(n, d, CHUNKS)) as engine:
                    return float(engine.run(seconds_of_a_sweep, interactive=True))

        return run

    yield Contest(
        f"a sweep with the Hessian, {n:,} × {d}: 2 processes",
        sweep("2 processes"),
        [Rival("1 process", sweep("1 process"), Goal("speedup", 1.85))],
        figure=float,
    )
    yield Contest(
        f"a sweep with the Hessian, {n:,} × {d}: 1 process of 2 threads",
        sweep("1 process of 2 threads"),
        [Rival("2 processes", sweep("2 processes"), Goal("cost", 1.1))],
        figure=float,
    )
    with ExitStack() as stack:
        data = {}
        for name, (workers, threads) in CLUSTERS.items():
            client = stack.enter_context(local_cluster(workers, threads))
            with client.as_current():
                data[name] = (client, *higgs_like(n, d, CHUNKS))

        def fit(name: str, solver: str) -> Callable[[], Any]:
            client, X, y = data[name]

            def run() -> Any:
                with client.as_current():
                    return LogisticRegression(C=1 / (LAMBDA * n), solver=solver).fit(X, y)

            return run

        for solver in ("newton-cholesky", "lbfgs"):
            what = f"logistic, {solver}, {n:,} × {d}"
            yield Contest(
                f"{what}: 2 processes",
                fit("2 processes", solver),
                [Rival("1 process", fit("1 process", solver))],
                same_bits,
            )
            yield Contest(
                f"{what}: 1 process of 2 threads",
                fit("1 process of 2 threads", solver),
                [Rival("2 processes", fit("2 processes", solver), Goal("cost", 1.1))],
                same_bits,
            )


def seconds_of_a_sweep(engine: Any) -> float:
    """The median of some, after one that is not counted."""
    from dask_gd.kernels import LossKernel
    from dask_gd.losses import Logistic
    from dask_gd.protocol import HESSIAN, Points

    d = engine.extent.n_features
    kernel = LossKernel(Logistic(), (Points(np.full((1, 1, d), 0.01), np.zeros((1, 1)), HESSIAN),), compiled=True)
    taken = []
    for _ in range(6):
        engine.sweep(kernel)
        taken.append(engine.cost.seconds)
    return float(np.median(taken[1:]))


def same_bits(model: Any) -> Any:
    """In place of an objective: no coefficient is larger, nor smaller, if the difference is 0."""
    return np.concatenate([model.coef_.ravel(), -model.coef_.ravel()])


ROWS = {"processes": processes}
