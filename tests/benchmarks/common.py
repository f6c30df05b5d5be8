"""What the benchmarks share: the reference data, the cluster, the clock and the table."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LAMBDA = 1e-4  # of the penalty beside the mean of the losses
RHO = 0.9
SEED = 0
PACKAGES = "numpy scipy numba scikit-learn dask distributed dask-ml glum pyspark statsmodels".split()


class Figure(NamedTuple):
    """One line of the summary that ``run.py`` prints."""

    what: str
    value: str
    target: str = ""


def higgs_chunk(_: Any, d: int, n: int, seed: int, block_info: Any = None) -> np.ndarray:
    """(rows, d + 1) float32: AR(1) columns of very different scales, and the label in the last column."""
    rows, first = block_info[None]["chunk-shape"][0], block_info[None]["array-location"][0][0]
    rng = np.random.default_rng([seed, first])
    common = np.random.default_rng(seed)
    coef = common.normal(size=d) / np.sqrt(d)
    scale = 10.0 ** common.uniform(-1, 1, size=d)
    X = rng.standard_normal((rows, d), dtype=np.float32)
    X[:, 1:] *= np.float32(np.sqrt(1 - RHO**2))
    for j in range(1, d):
        X[:, j] += np.float32(RHO) * X[:, j - 1]
    p = 1 / (1 + np.exp(-(X @ coef + 0.3)))
    y = rng.random(rows) < p
    return np.concatenate([X * scale.astype(np.float32), y[:, None]], axis=1, dtype=np.float32)


def higgs_like(n: int, d: int, chunks: int) -> tuple[Any, Any]:
    """Standardised X (n, d) float32 and labels y (n,) as dask arrays, made on the workers and persisted there."""
    import dask
    import dask.array as da

    rows = -(-n // chunks)
    lengths = tuple(min(rows, n - start) for start in range(0, n, rows))
    raw = da.map_blocks(
        higgs_chunk,
        da.zeros((n, 1), chunks=(lengths, 1), dtype=np.float32),
        d=d,
        n=n,
        seed=SEED,
        chunks=(lengths, (d + 1,)),
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    ).persist()
    X, y = raw[:, :d], raw[:, d].astype(np.int64)
    mean, std = dask.compute(X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64))
    X = X.map_blocks(standardise, mean, std, dtype=np.float32)
    X, y = dask.persist(X, y)
    wait(X, y)
    return X, y


def standardise(X: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    return ((X - mean) / std).astype(np.float32)


def wait(*collections: Any) -> None:
    """Wait until persisted collections are there."""
    from distributed import wait

    wait(list(collections))


def logistic_loss(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """log(1 + e^η) - yη of one column of margins."""
    eta = eta[:, 0]
    return np.logaddexp(0.0, eta) - y * eta


def objective(
    X: Any,
    y: np.ndarray,
    coef: Any,
    intercept: Any,
    alpha: float = LAMBDA,
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray] = logistic_loss,
    l1: float = 0.0,
) -> float:
    """(1/n) Σ loss(y, η) + α/2 ‖w‖² + l1 ‖w‖₁ in float64, whatever the data are stored in; η is (n, k)."""
    W = np.atleast_2d(np.asarray(coef, dtype=np.float64))
    b = np.ravel(np.asarray(intercept, dtype=np.float64))
    total = 0.0
    for start in range(0, X.shape[0], 100_000):
        rows = slice(start, start + 100_000)
        eta = X[rows].astype(np.float64) @ W.T + b
        total += float(loss(y[rows], eta).sum())
    return total / X.shape[0] + 0.5 * alpha * float(np.square(W).sum()) + l1 * float(np.abs(W).sum())


def targets(X: Any, kind: str) -> Any:
    """A persisted dask array of targets, each chunk beside its chunk of X.

    ``kind`` is "real" (a linear model with noise), "counts" (Poisson, log link) or "classes" (softmax of ten).
    """
    import dask

    dtype = np.dtype(np.int64 if kind == "classes" else X.dtype)
    y = X.map_blocks(draw, kind, dtype, drop_axis=1, dtype=dtype, meta=np.empty(0, dtype))
    (y,) = dask.persist(y)
    wait(y)
    return y


def draw(X: np.ndarray, kind: str, dtype: Any, block_info: Any = None) -> np.ndarray:
    """The targets of one chunk; the same model for all."""
    rng = np.random.default_rng([SEED, 1, block_info[0]["array-location"][0][0]])
    common = np.random.default_rng([SEED, 2])
    d, k = X.shape[1], 10 if kind == "classes" else 1
    eta = X @ (common.normal(size=(d, k)) / np.sqrt(d))
    if kind == "classes":
        return np.argmax(eta + rng.gumbel(size=eta.shape), axis=1).astype(dtype)
    if kind == "counts":
        return rng.poisson(np.exp(0.3 * eta[:, 0])).astype(dtype)
    return (1.0 + eta[:, 0] + rng.normal(size=len(X))).astype(dtype)


def here(*collections: Any) -> tuple[np.ndarray, ...]:
    """Dask arrays in this process.

    Copies: what arrives in a message may lie at any address, and scikit-learn is three times slower on that.
    """
    return tuple(collection.compute().copy() for collection in collections)


@contextmanager
def local_cluster(n_workers: int = 2, threads: int = 1, memory_limit: int = 0) -> Iterator[Any]:
    """A client of a cluster of processes, single-threaded and without a limit (in bytes a worker) unless told."""
    from distributed import Client, LocalCluster

    options = {"n_workers": n_workers, "threads_per_worker": threads, "memory_limit": memory_limit}
    with LocalCluster(dashboard_address=":0", **options) as cluster, Client(cluster) as client:
        yield client


def seconds(function: Callable[[], Any], rest: float = 0.0) -> tuple[float, Any]:
    """Wall time of one call, after so many seconds of rest, and what it returned."""
    gc.collect()
    time.sleep(rest)
    began = time.perf_counter()
    result = function()
    return time.perf_counter() - began, result


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text: the first flush left, the others flush right."""
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [
            str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), "  ".join("-" * w for w in widths), *map(line, rows)])


def machine() -> str:
    """CPU, cores and versions in two lines."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = dict(part.split(":", 1) for part in info.read_text().split("\n\n")[0].splitlines() if ":" in part)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        name = fields.get("model name", cpu)
        cpu = f"{name}, family {fields.get('cpu family', '?')} model {fields.get('model', '?')}"
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            pass
    return f"{cpu}; {os.cpu_count()} cores\n{', '.join(versions)}"
