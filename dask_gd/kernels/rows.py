"""Slices of rows that stay in the cache while a kernel works on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

CACHE_BYTES = 512 * 1024  # of X and the margins together; 256 KiB to 1 MiB measure alike
MAX_ROWS = 4096  # bounds the rounding of float32 sums before they are added in float64
MAX_SPARSE_ROWS = 16384  # slicing CSR copies, so slices are longer


def row_slices(X: Any, columns: int) -> Iterator[slice]:
    """Cut the rows of X into slices; ``columns`` margins are formed for every row."""
    n, d = X.shape
    if isinstance(X, np.ndarray):
        step = int(np.clip(CACHE_BYTES // ((d + 2 * columns) * X.itemsize), 64, MAX_ROWS))
    else:
        step = MAX_SPARSE_ROWS
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def take_rows(X: Any, rows: slice) -> Any:
    """The rows of a slice: a view of a dense X, and X itself when the slice holds all of a sparse X."""
    if rows.start == 0 and rows.stop == X.shape[0]:
        return X
    return X[rows]
