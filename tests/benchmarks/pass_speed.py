"""One pass of the logistic gradient kernel against the time ``X.sum()`` takes, on one thread.

    python tests/benchmarks/pass_speed.py [--repeats 7]

Reading X once is the least any pass can do. The figure is how many such reads one gradient costs.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from common import SEED, Figure, machine, median, seconds, table
from threadpoolctl import threadpool_limits

SHAPES = ((2_000_000, 28), (200_000, 500))


def measure(n: int, d: int, dtype: Any, repeats: int) -> tuple[float, float, float]:
    """Median seconds of reading, of a gradient, and of a gradient with the Hessian."""
    from dask_gd.kernels import LossKernel
    from dask_gd.losses import Logistic
    from dask_gd.protocol import GRADIENT, HESSIAN, Block, Points

    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((n, d), dtype=np.float32).astype(dtype, copy=False)
    y = rng.integers(0, 2, n).astype(dtype)
    block = Block(0, X, y)
    W, b = rng.normal(size=(1, 1, d)) / np.sqrt(d), np.zeros((1, 1))
    kernels = [LossKernel(Logistic(), (Points(W, b, want),), compiled=True) for want in (GRADIENT, HESSIAN)]
    times: list[list[float]] = [[], [], []]
    for repeat in range(repeats + 1):
        for into, function in zip(times, (X.sum, *(lambda k=k: k(block) for k in kernels)), strict=True):
            took = seconds(function)[0]
            if repeat:  # the first touches memory for the first time
                into.append(took)
    read, gradient, hessian = map(median, times)
    return read, gradient, hessian


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args(arguments)
    print(machine(), flush=True)
    rows, figures = [], []
    with threadpool_limits(1):
        for n, d in SHAPES:
            for dtype in (np.float32, np.float64):
                read, gradient, hessian = measure(n, d, dtype, options.repeats)
                name = f"{n:,} x {d} {np.dtype(dtype).name}"
                rows.append(
                    [
                        name,
                        f"{n * d * np.dtype(dtype).itemsize / read / 1e9:.1f}",
                        f"{1e3 * read:.0f}",
                        f"{1e3 * gradient:.0f}",
                        f"{gradient / read:.1f}",
                        f"{1e3 * hessian:.0f}",
                    ]
                )
                figures.append(Figure(f"pass_speed: gradient / X.sum(), {name}", f"{gradient / read:.1f}"))
    print("\npass_speed: one pass of the dense kernel, logistic loss, one thread")
    print(table(["data", "read GB/s", "X.sum() ms", "gradient ms", "x read", "with Hessian ms"], rows))
    return figures


if __name__ == "__main__":
    main()
