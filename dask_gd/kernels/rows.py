"""Which rows a kernel works on: slices that stay in the cache, and parts of an epoch's random order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import issparse

from ..arrays import by_columns, cut_rows, is_device_array, numpy_dtype, take, to_numpy
from ..protocol import Array, Block, Rows

CACHE_BYTES = 512 * 1024  # of X and the margins together; 256 KiB to 1 MiB measure alike
MAX_ROWS = 4096  # bounds the rounding of float32 sums before they are added in float64
MAX_SPARSE_ROWS = 16384  # slicing CSR copies, so slices are longer
DEVICE_BYTES = 256 * 2**20  # of X and the margins together on a device, where a call costs as much as a megabyte
FEISTEL_ROUNDS = 6
COMPILED_SIZE = 2**20  # numbers in a matrix from which machine code is worth its import


def row_slices(X: Any, columns: int) -> Iterator[slice]:
    """Cut the rows of X into slices; ``columns`` margins are formed for every row."""
    n, d = X.shape
    if is_device_array(X):
        groups = DEVICE_BYTES // ((d + 2 * columns) * numpy_dtype(X).itemsize * MAX_ROWS)
        yield from _device_slices(n, max(groups, 1) * MAX_ROWS)
        return
    if isinstance(X, np.ndarray):
        step = int(np.clip(CACHE_BYTES // ((d + 2 * columns) * X.itemsize), 64, MAX_ROWS))
    else:
        step = MAX_SPARSE_ROWS
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def _device_slices(n: int, step: int) -> Iterator[slice]:
    """Slices of whole groups of ``MAX_ROWS`` rows, and the rest."""
    whole = n - n % MAX_ROWS
    for start in range(0, whole, step):
        yield slice(start, min(start + step, whole))
    if whole < n:
        yield slice(whole, n)


def by_rows(X: Array) -> Array:
    """A NumPy matrix row by row: itself or a copy."""
    if X.size < COMPILED_SIZE or X.dtype.kind != "f" or not by_columns(X):
        return np.require(X, requirements=["C", "A"])
    from ..compiled.turn import columns_of, turn_back  # imports Numba

    out = np.empty(X.shape, X.dtype)
    turn_back(columns_of(X), out)
    return out


def take_rows(X: Any, rows: slice) -> Any:
    """The rows of a slice: a view of a dense X, and X itself when the slice holds all of a sparse X."""
    if rows.start == 0 and rows.stop == X.shape[0]:
        return X
    return X[rows] if issparse(X) else X[rows, ...]


def held_out_rows(n: int, share: float) -> int:
    """How many of the ``n`` rows of a block are held out: its last."""
    return min(math.ceil(share * n), n) if share else 0


def chosen_rows(n: int, index: int, rows: Rows) -> Array:
    """The rows of block ``index`` that ``rows`` means, in their order.

    Whole epochs are shuffled by PCG64, parts of one by a permutation of which any stretch can be had alone.
    """
    kept = n - held_out_rows(n, rows.share)
    if rows.held_out:
        return np.arange(kept, n)
    number = (rows.number + index) % rows.parts if rows.shuffle else rows.number  # or all tiny blocks had one number
    start, stop = kept * number // rows.parts, kept * (number + 1) // rows.parts
    if not rows.shuffle:
        return np.arange(start, stop)
    key = [rows.seed, rows.epoch, index]
    return np.random.default_rng(key).permutation(kept) if rows.parts == 1 else permuted(kept, start, stop, key)


def permuted(n: int, start: int, stop: int, key: list[int]) -> Array:
    """Places ``start`` to ``stop`` of a permutation of 0 … n - 1 that ``key`` seeds, in time of their number.

    A Feistel network on the smallest even number of bits, walked until it falls below n (Black & Rogaway, *Ciphers
    with Arbitrary Finite Domains*, 2002).
    """
    half = max(((n - 1).bit_length() + 1) // 2, 1) if n else 1
    mask = np.uint64((1 << half) - 1)
    shift = np.uint64(half)
    keys = np.random.default_rng(key).integers(0, 2**63, FEISTEL_ROUNDS, dtype=np.uint64)
    found = np.arange(start, stop, dtype=np.uint64)
    moving = np.arange(len(found))
    while len(moving):
        values = found[moving]
        left, right = values >> shift, values & mask
        for k in keys:
            mixed = (right + k) * np.uint64(0x9E3779B97F4A7C15)  # wraps around, as it should
            mixed ^= mixed >> np.uint64(29)
            mixed *= np.uint64(0xBF58476D1CE4E5B9)
            left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
        found[moving] = (left << shift) | right
        moving = moving[found[moving] >= n]
    return found.astype(np.intp)


def take_block(block: Block, rows: Any) -> Block:
    """A block of some rows, in that order."""
    parts = (None if a is None else take(a, rows) for a in (block.X, block.y, block.weight, block.offset))
    return Block(block.index, *parts)


def in_main_memory(block: Block) -> Block:
    """The block with its arrays as NumPy's; for few rows."""
    parts = (to_numpy(a) if is_device_array(a) else a for a in (block.X, block.y, block.weight, block.offset))
    return Block(block.index, *parts)


def row_range(block: Block, start: int, stop: int) -> Block:
    """A block of the rows from ``start`` to ``stop``, whose numbers are shared and not copied."""
    if start == 0 and stop == block.n_rows:
        return block
    rows = slice(start, stop)
    parts = (None if a is None else a[rows, ...] for a in (block.y, block.weight, block.offset, block.fold))
    return Block(block.index, cut_rows(block.X, rows), *parts)
