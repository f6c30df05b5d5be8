"""Fits of data on a GPU against the same fits in main memory, 2,000,000 × 28 float32, and one pass against ``X.sum()``.

X is on the device before the clock starts. Where there is no NVIDIA GPU with CuPy or PyTorch the line says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from common import SEED
from contest import Contest, Rival


def gpu(scale: float) -> Iterator[Contest]:
    from gpu import LIBRARIES, estimators, one_pass, targets, to_gpu

    n, d = int(2_000_000 * scale), 28
    here = "dask_gd in main memory"
    devices = [device for library in LIBRARIES if (device := to_gpu(library)) is not None]
    if not devices:
        nothing = Rival(here, None, missing="no NVIDIA GPU with CuPy or PyTorch")
        yield Contest(f"fits on a GPU, {n:,} × {d}", lambda: None, [nothing])
        return
    move, name = devices[0]
    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((n, d), dtype=np.float32)
    eta = X @ (rng.normal(size=d) / np.sqrt(d)) + 0.3
    there = move(X)
    y = move(targets("LogisticRegression", eta, rng).astype(np.float32))
    read = Rival("X.sum() there", lambda: float(there.sum()))
    yield Contest(f"gradient pass on {name}, {n:,} × {d}", one_pass(there, y), [read], factor=3)

    def contest(title: str, model: Any) -> Contest:
        y = targets(title, eta, rng)
        y_there = move(y)
        in_memory = Rival(here, lambda: model.fit(X, y))
        return Contest(f"{title} on {name}, {n:,} × {d}", lambda: model.fit(there, y_there), [in_memory])

    for title, model in estimators(n).items():
        yield contest(title, model)


ROWS = {"gpu": gpu}
