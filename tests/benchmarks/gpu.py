"""Fits of data on a GPU beside the same fits in main memory; says so where there is no GPU.

    python tests/benchmarks/gpu.py [--rows 2000000] [--columns 28] [--repeats 5] [--library cupy]

Needs an NVIDIA GPU with CuPy (pip install -e ".[cupy]") or PyTorch. X is float32, and on the device before the clock
starts; both fits run in this process, in memory. They alternate; seconds are medians. A pass is value and gradient of
the logistic loss at one point, and is compared with summing X on the same device.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from common import Figure, machine, median, seconds, table

LIBRARIES = ("cupy", "torch")


def to_gpu(library: str) -> tuple[Callable[[np.ndarray], Any], str] | None:
    """What brings an array to the GPU, and the GPU's name; None where this library or a GPU is missing."""
    try:
        module = importlib.import_module(library)
    except ImportError:
        return None
    if library == "torch":
        if not module.cuda.is_available():
            return None
        return (lambda a: module.asarray(a, device="cuda")), module.cuda.get_device_name()
    try:
        name = module.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except module.cuda.runtime.CUDARuntimeError:
        return None
    return module.asarray, name


def estimators(n: int) -> dict[str, Any]:
    """One fit for each kind of sweep: gradients, Hessians, sums of products, several outputs."""
    from dask_gd import LinearRegression, LogisticRegression, PoissonRegressor

    return {
        "LogisticRegression": LogisticRegression(C=1e4 / n),
        "LogisticRegression, L-BFGS": LogisticRegression(C=1e4 / n, solver="lbfgs"),
        "LogisticRegression, 10 classes": LogisticRegression(C=1e4 / n, solver="lbfgs"),
        "LinearRegression": LinearRegression(),
        "PoissonRegressor": PoissonRegressor(alpha=1e-4),
    }


def targets(name: str, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """y of the kind that an estimator takes."""
    if name.endswith("classes"):
        return np.digitize(eta + rng.logistic(size=len(eta)), np.linspace(-2, 2, 9))
    if name.startswith("Logistic"):
        return (eta + rng.logistic(size=len(eta)) > 0).astype(np.int64)
    if name == "PoissonRegressor":
        return rng.poisson(np.exp(0.5 * eta)).astype(np.float64)
    return eta + rng.normal(size=len(eta))


def one_pass(X: Any, y: Any) -> Callable[[], Any]:
    """Value and gradient of the logistic loss at one point."""
    from dask_gd.kernels import LossKernel
    from dask_gd.losses import Logistic
    from dask_gd.protocol import GRADIENT, Block, Points

    d = X.shape[1]
    kernel = LossKernel(Logistic(), (Points(np.full((1, 1, d), 0.01), np.zeros((1, 1)), GRADIENT),))
    block = Block(0, X, y)
    return lambda: kernel(block)


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--columns", type=int, default=28)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--library", choices=LIBRARIES)
    options = parser.parse_args(arguments)

    found = ((library, to_gpu(library)) for library in ([options.library] if options.library else LIBRARIES))
    library, gpu = next(((library, gpu) for library, gpu in found if gpu is not None), (None, None))
    if gpu is None:
        print('gpu: nothing is timed, for there is no NVIDIA GPU with CuPy (pip install -e ".[cupy]") or PyTorch here')
        return []
    move, name = gpu
    print(f"{machine()}\n{name}, {library}", flush=True)
    n, d = options.rows, options.columns
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), dtype=np.float32)
    eta = X @ (rng.normal(size=d) / np.sqrt(d)) + 0.3
    there = move(X)

    labels = targets("LogisticRegression", eta, rng).astype(np.float32)
    passes = one_pass(there, move(labels))
    times = {"pass": [], "sum": []}
    for _ in range(3 + options.repeats):
        times["pass"].append(seconds(passes)[0])
        times["sum"].append(seconds(lambda: float(there.sum()))[0])
    reading = median(times["pass"][3:]) / median(times["sum"][3:])

    rows, figures = [], [Figure("gpu: one gradient pass / summing X", f"{reading:.2f}")]
    for title, estimator in estimators(n).items():
        y = targets(title, eta, rng)
        y_there = move(y)
        here, on_gpu = [], []
        estimator.fit(there, y_there)  # the first calls load and choose kernels
        for _ in range(options.repeats):
            took, expected = seconds(lambda e=estimator, y=y: (e.fit(X, y).coef_, e.n_sweeps_))
            here.append(took)
            took, result = seconds(lambda e=estimator, y=y_there: (e.fit(there, y).coef_, e.n_sweeps_))
            on_gpu.append(took)
        differ = np.max(np.abs(result[0] - expected[0])) / np.max(np.abs(expected[0]))
        ratio = median(here) / median(on_gpu)
        rows.append(
            [title, f"{median(here):.4f}", f"{median(on_gpu):.4f}", f"{result[1]}", f"{differ:.1e}", f"{ratio:.1f}"]
        )
        figures.append(Figure(f"gpu: {title}, main memory / GPU", f"{ratio:.1f}"))
    print(f"\ngpu: {n:,} x {d} float32; a gradient pass takes {reading:.2f} times summing X")
    print(table(["fit", "main memory s", "GPU s", "sweeps", "coefficients differ", "ratio"], rows))
    return figures


if __name__ == "__main__":
    main()
