"""One pass of the dense kernels over a block, on one thread unless said, logistic loss.

Reading X once is the least any pass can do: ``X.sum()`` and, with less arithmetic, ``X.max()`` are what it is held
against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from common import SEED
from contest import Contest, Goal, Rival
from threadpoolctl import threadpool_limits

SHAPES = ((2_000_000, 28), (200_000, 500))
MODELS = 80


def block_and_points(n: int, d: int, dtype: Any, models: int = 1) -> tuple[Any, Any]:
    """A block of normal X, and a function of what is wanted that makes the kernel of so many models."""
    from dask_gd.kernels import LossKernel
    from dask_gd.losses import Logistic
    from dask_gd.protocol import Block, Points

    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((n, d), dtype=np.float32).astype(dtype, copy=False)
    y = rng.integers(0, 2, n).astype(dtype)
    W = rng.normal(size=(models, 1, d)) / np.sqrt(d)

    def kernel(want: frozenset[str], count: int = models) -> Any:
        return LossKernel(Logistic(), (Points(W[:count], np.zeros((count, 1)), want),), compiled=True)

    return Block(0, X, y), kernel


def passes(scale: float) -> Iterator[Contest]:
    """Value and gradient against reading X; with the Hessian against the gradient and ``X.T @ X``."""
    with threadpool_limits(1):
        for rows, d in SHAPES:
            for dtype in (np.float32, np.float64):
                yield from of_block(int(rows * scale), d, dtype)


def of_block(n: int, d: int, dtype: Any) -> Iterator[Contest]:
    from dask_gd.protocol import GRADIENT, HESSIAN

    block, kernel = block_and_points(n, d, dtype)
    X, gradient, hessian = block.X, kernel(GRADIENT), kernel(HESSIAN)
    data = f"{n:,} × {d} {np.dtype(dtype).name}"
    limit = Goal("cost", 1.5)
    yield Contest(
        f"gradient pass, {data}",
        lambda: gradient(block),
        [Rival("X.sum()", X.sum, limit), Rival("X.max()", X.max, limit)],
        factor=3,
    )
    yield Contest(
        f"pass with Hessian, {data}",
        lambda: hessian(block),
        [Rival("gradient pass, then X.T @ X", lambda: (gradient(block), X.T @ X), Goal("cost", 2.5))],
    )


def many(scale: float) -> Iterator[Contest]:
    """Eighty models in one pass against one: a sweep of a fit, on all cores, and the kernel alone on one thread."""
    n, d = int(SHAPES[0][0] * scale), SHAPES[0][1]
    for dtype in (np.float32, np.float64):
        yield of_sweeps(n, d, dtype)
    with threadpool_limits(1):
        for dtype in (np.float32, np.float64):
            yield of_models(n, d, dtype)


def of_sweeps(n: int, d: int, dtype: Any) -> Contest:
    from dask_gd.engine import open_engine
    from dask_gd.protocol import GRADIENT

    block, kernel = block_and_points(n, d, dtype, MODELS)

    def sweep(count: int) -> Callable[[], float]:
        def job(engine: Any) -> float:
            engine.sweep(kernel(GRADIENT, count))
            return float(engine.cost.seconds)

        def run() -> float:
            with open_engine(block.X, block.y) as engine:
                return float(engine.run(job, interactive=True))

        return run

    return Contest(
        f"a sweep for the gradients of {MODELS} models, {n:,} × {d} {np.dtype(dtype).name}, all cores",
        sweep(MODELS),
        [Rival("one model", sweep(1), Goal("cost", 12.0))],
        factor=3,
        figure=float,
    )


def of_models(n: int, d: int, dtype: Any) -> Contest:
    from dask_gd.protocol import GRADIENT

    block, kernel = block_and_points(n, d, dtype, MODELS)
    every, one = kernel(GRADIENT), kernel(GRADIENT, 1)
    return Contest(
        f"gradients of {MODELS} models, {n:,} × {d} {np.dtype(dtype).name}, one thread",
        lambda: every(block),
        [Rival("one model", lambda: one(block), Goal("cost", 12.0))],
    )


ROWS = {"passes": passes, "80-models": many}
