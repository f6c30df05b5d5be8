"""Arrays of NumPy and of other libraries of the array API standard (CuPy, PyTorch), in one vocabulary.

The arrays of a block stay in the library and on the device of its X. What leaves them goes through :func:`to_numpy`.
"""

from __future__ import annotations

from typing import Any

import array_api_compat as compat
import numpy as np
from scipy.sparse import csr_array, issparse

IN_MAIN_MEMORY = (np.ndarray, np.generic)
FEW_LABELS, SOME_VALUES = 8, 1000  # labels that comparing finds faster than sorting; values that tell whether more are


def namespace(array: Any) -> Any:
    """The functions for an array, named as in the standard; NumPy itself for numbers and for sparse arrays too."""
    return compat.array_namespace(array) if is_device_array(array) else np


def is_device_array(value: Any) -> bool:
    """Whether this is a dense array of another library than NumPy, which may hold it on a device."""
    if isinstance(value, IN_MAIN_MEMORY) or not compat.is_array_api_obj(value):
        return False
    return compat.is_writeable_array(value) and not compat.is_dask_array(value)


def to_numpy(array: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """The same numbers in main memory. Everything that leaves a device passes here."""
    if isinstance(array, IN_MAIN_MEMORY):
        return np.asarray(array)
    if compat.is_cupy_array(array) or compat.is_torch_array(array):
        return np.asarray(compat.to_device(array, "cpu"))
    return np.from_dlpack(array)


def alike(values: Any, X: Any) -> Any:
    """``values`` as an array of the library and on the device of X."""
    if not is_device_array(X):
        return np.asarray(to_numpy(values) if is_device_array(values) else values)
    xp = namespace(X)
    if is_device_array(values) and namespace(values) is not xp:
        values = to_numpy(values)
    return xp.asarray(values, device=compat.device(X))


def zeros(shape: int | tuple[int, ...], X: Any) -> Any:
    """Zeros in float64, in the library and on the device of X."""
    if not is_device_array(X):
        return np.zeros(shape)
    xp = namespace(X)
    return xp.zeros(shape, dtype=xp.float64, device=compat.device(X))


def cast(array: Any, dtype: np.dtype) -> Any:
    """The array, dense or sparse, with this dtype; itself where it has it."""
    if not is_device_array(array):
        return array.astype(dtype, copy=False)
    xp = namespace(array)
    return xp.astype(array, getattr(xp, dtype.name), copy=False)


def concat(arrays: Any, axis: int = 0) -> Any:
    """Arrays of one library, joined where they are."""
    return namespace(arrays[0]).concat(arrays, axis=axis)


def row_sums(array: Any) -> Any:
    """Sums over the last axis, in float64."""
    if not is_device_array(array):
        return array.sum(axis=-1, dtype=np.float64)
    xp = namespace(array)
    return xp.sum(array, axis=-1, dtype=xp.float64)


def average(array: Any, weight: Any) -> Any:
    """The weighted mean over the first axis; ``weight`` None: the plain one."""
    if not is_device_array(array):
        return np.average(array, axis=0, weights=weight)
    xp = namespace(array)
    if weight is None:
        return xp.mean(array, axis=0)
    return xp.sum((array.T if array.ndim == 2 else array) * weight, axis=-1) / xp.sum(weight, dtype=xp.float64)


def take(array: Any, rows: Any) -> Any:
    """The rows of these numbers, in that order, or those of a slice."""
    if not is_device_array(array):
        return array[rows]
    if isinstance(rows, slice):
        return array[rows, ...]
    return namespace(array).take(array, alike(rows, array), axis=0)


def few_labels(values: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], list[np.ndarray[Any, Any]]] | None:
    """The labels, sorted, and of each which values are it; None where there seem to be more than a few, or where they
    are no numbers: sorting finds those faster."""
    if values.dtype.kind not in "biuf":
        return None
    labels = np.unique(values[:SOME_VALUES])
    if not 0 < len(labels) <= FEW_LABELS:
        return None
    same = [values == label for label in labels]
    return (labels, same) if sum(map(np.count_nonzero, same)) == len(values) else None


def numpy_dtype(array: Any) -> np.dtype:
    """The dtype in NumPy's words; others print as "torch.float32" does."""
    return array.dtype if isinstance(array.dtype, np.dtype) else np.dtype(str(array.dtype).rpartition(".")[2])


def float_dtype(dtype: Any) -> np.dtype:
    """float32 stays float32, all else is float64, as in scikit-learn."""
    return np.dtype(np.float32) if dtype == np.float32 else np.dtype(np.float64)


def nbytes(array: Any) -> int:
    """The size of an array."""
    if isinstance(array, np.ndarray):
        return array.nbytes
    return int(compat.size(array) or 0) * numpy_dtype(array).itemsize


def same_memory(array: Any, other: Any) -> bool:
    """Whether two arrays, dense or sparse, hold their numbers at the same place."""
    if is_device_array(array) or is_device_array(other):
        return array is other
    array, other = (v.data if issparse(v) else v for v in (array, other))
    return isinstance(array, np.ndarray) and isinstance(other, np.ndarray) and np.may_share_memory(array, other)


def by_columns(X: Any) -> bool:
    """Whether the numbers of each column of a NumPy matrix lie side by side, and those of each row do not."""
    if not isinstance(X, np.ndarray) or X.flags.c_contiguous or not X.flags.aligned:
        return False
    return X.strides[0] == X.itemsize and X.strides[1] >= X.shape[0] * X.itemsize and X.strides[1] % X.itemsize == 0


def cut_rows(X: Any, rows: slice) -> Any:
    """Some rows of a matrix, whose numbers are shared and not copied."""
    if not issparse(X):
        return X[rows, ...]
    ends = X.indptr[rows.start : rows.stop + 1]
    entries = slice(ends[0], ends[-1])
    part = csr_array((len(ends) - 1, X.shape[1]), dtype=X.dtype)
    part.data, part.indices, part.indptr = X.data[entries], X.indices[entries], ends - ends[0]  # its own way copies
    return part
