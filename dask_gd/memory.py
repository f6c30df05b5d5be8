"""Memory that is used again.

Under a nanny what is freed goes back to the system at once, so that every array of more than 64 kB is fresh memory, of
which the page faults cost as much as the arithmetic.
"""

from __future__ import annotations

import math
import threading
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

LINE_BYTES = 64  # of the cache
KEPT_BYTES = 2**22  # of the memory that a thread keeps for one purpose, and of an array that is recycled …
LEAST_BYTES = 2**16  # … which is no smaller than this
POOL_BYTES = 2**24  # of the arrays that are gone, at the most

_KEPT = threading.local()
_pool: dict[int, list[Array]] = {}


def line_aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """Zeros that begin with a line of the cache: vectors across two lines load half as fast."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + LINE_BYTES, np.uint8)
    start = -memory.ctypes.data % LINE_BYTES
    return np.asarray(memory[start : start + size].view(dtype).reshape(shape))


def kept_memory(purpose: str, shape: tuple[int, ...], dtype: Any) -> Array:
    """An array that this thread writes over when it next asks for one of the same purpose."""
    size = math.prod(shape)
    if size * np.dtype(dtype).itemsize > KEPT_BYTES:
        return np.empty(shape, dtype)
    name = f"{purpose}-{np.dtype(dtype).char}"
    kept = getattr(_KEPT, name, None)
    if kept is None or len(kept) < size:
        kept = line_aligned((size,), dtype)
        setattr(_KEPT, name, kept)
    return np.asarray(kept[:size].reshape(shape))


def in_precision(purpose: str, values: Array, dtype: Any) -> Array:
    """The values themselves if they have this dtype, else a copy in :func:`kept_memory`."""
    if values.dtype == dtype:
        return values
    copy = kept_memory(purpose, values.shape, dtype)
    copy[...] = values
    return copy


class _Loan:
    """Owns the memory of an array and of its views; when the last of them is gone it goes back to the pool."""

    def __init__(self, size: int) -> None:
        free = _pool.get(size)
        try:
            self.memory = free.pop() if free else line_aligned((size,), np.uint8)
        except IndexError:  # another thread was faster
            self.memory = line_aligned((size,), np.uint8)
        self.__array_interface__ = self.memory.__array_interface__

    def __del__(self) -> None:
        size = len(self.memory)
        if sum(of * len(free) for of, free in list(_pool.items())) + size > POOL_BYTES:
            _pool.clear()  # of other sizes, likely those of another fit
        _pool.setdefault(size, []).append(self.memory)


def recycled(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array of any content, in the memory of one that is gone; for results, which nobody can say when they go."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not LEAST_BYTES <= size <= KEPT_BYTES:
        return np.empty(shape, dtype)
    return np.asarray(np.asarray(_Loan(size)).view(dtype).reshape(shape))


def converted(values: Any, dtype: Any) -> Array:
    """The values themselves if they are an array of this dtype in one piece, else a copy in recycled memory."""
    values = np.asarray(values)
    if values.dtype == dtype and values.flags.c_contiguous:
        return values
    copy = recycled(values.shape, dtype)
    copy[...] = values
    return copy


def added(a: Any, b: Any) -> Any:
    """a + b in recycled memory, in the order of its axes that a has."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.nbytes < LEAST_BYTES:
        return a + b
    if a.shape != b.shape or a.dtype != b.dtype:
        return a + b
    axes = sorted(range(a.ndim), key=lambda axis: -abs(a.strides[axis]))
    out = recycled(tuple(a.shape[axis] for axis in axes), a.dtype)
    return np.add(a, b, out=out.transpose(np.argsort(axes)))
