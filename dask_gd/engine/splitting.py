"""Row chunks cut into folds and parts: lazily, chunk by chunk, so that whatever is lost can be made again by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ..arrays import few_labels, is_device_array, take, to_numpy
from ..protocol import Array
from .blocks import as_dask_array, is_dask, is_dask_frame

FOLD_DTYPES = (np.int8, np.int16, np.int32)
ROUNDING = 1e-9  # of a share times a number of rows


def fold_dtype(n_folds: int) -> np.dtype:
    """The smallest integers that can number the folds."""
    return next(np.dtype(t) for t in FOLD_DTYPES if n_folds - 1 <= np.iinfo(t).max)


def chunk_lengths(data: Any) -> tuple[float, ...]:
    """The rows of every chunk of dask data, nan where that is not known."""
    if is_dask_frame(data):
        return (math.nan,) * int(data.npartitions)
    return tuple(float(length) for length in data.chunks[0])


def known_lengths(data: Any) -> tuple[int, ...] | None:
    """The rows of every chunk of dask data, or None."""
    lengths = chunk_lengths(data)
    return None if any(math.isnan(length) for length in lengths) else tuple(int(length) for length in lengths)


def as_column(values: Any) -> Any:
    """A vector with one entry a row, from an array or frame of one column too; lazy where it was."""
    values = as_dask_array(values) if is_dask(values) else to_numpy(values) if is_device_array(values) else values
    values = values if is_dask(values) else np.asarray(values)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def cut_like(values: Any, X: Any, name: str) -> Any:
    """An array as a dask array with the row chunks of X, and of its lengths where these alone are known.

    Raises
    ------
    ValueError
        Lengths that disagree, or unknown ones of which nothing tells how they go together.
    """
    import dask.array as da

    if is_dask(values):
        values = as_dask_array(values)
    elif not sp.issparse(values):
        values = to_numpy(values) if is_device_array(values) else np.asarray(values)
    lengths = known_lengths(X)
    own = known_lengths(values) if is_dask(values) else (int(values.shape[0]),)
    if lengths is not None and own is not None:
        if sum(lengths) != sum(own):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: {[sum(lengths), sum(own)]} (X, {name})"
            )
        if not is_dask(values):
            return da.from_array(values, chunks=(lengths, *values.shape[1:]), asarray=not sp.issparse(values))
        return values if own == lengths else values.rechunk({0: lengths})
    if not is_dask(values) or values.numblocks[0] != len(chunk_lengths(X)):
        raise ValueError(
            f"The chunk lengths of X or {name} are unknown, so that nothing tells which rows belong together: give "
            "both the same chunks, or call compute_chunk_sizes() (of a frame, to_dask_array(lengths=True)) first."
        )
    return values


def numbers_by_chunk(
    X: Any, calls: Sequence[Callable[..., Array]], values: Any = None, *, dtype: np.dtype, lengths: Any = None
) -> Any:
    """A lazy dask array of integers, one for each row of X, chunked as X is.

    Parameters
    ----------
    X : dask array or DataFrame
        Its numbers are not used.
    calls : sequence of callables
        One for each chunk: without an argument where ``values`` is None, else of the chunk of ``values``.
    values : dask array, optional
        With the row chunks of X.
    lengths : sequence of int, optional
        Of the chunks, where X does not tell.
    """
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

    name = f"numbers-{tokenize(list(calls), values, lengths)}"
    tail = () if values is None else (0,) * (values.ndim - 1)
    graph = {(name, i): (call,) if values is None else (call, (values.name, i, *tail)) for i, call in enumerate(calls)}
    inputs = [] if values is None else [values]
    layers = HighLevelGraph.from_collections(name, MaterializedLayer(graph), dependencies=inputs)
    rows = chunk_lengths(X) if lengths is None else tuple(lengths)
    rows = tuple(length if math.isnan(length) else int(length) for length in rows)
    return da.Array(layers, name, (rows,), dtype=dtype)


def first_column(X: Any) -> Any:
    """A dask array that has the rows of X and as few of its columns as can be read."""
    if is_dask_frame(X):
        return as_dask_array(X[[X.columns[0]]] if X.ndim == 2 else X)
    return X


def rows_in(chunk: Any) -> int:
    """The length of a chunk."""
    return int(chunk.shape[0])


def as_rows_of(X: Any, numbers: Array) -> Any:
    """Integers in memory, one for each row, as a dask array with the row chunks of X, if it is one."""
    if not is_dask(X):
        return numbers
    import dask.array as da

    return da.from_array(numbers, chunks=(X.chunks[0],))


# -- labels ----------------------------------------------------------------------------------------------------------


class LabelCounts(NamedTuple):
    """The labels of one chunk: how often each is there, and where first."""

    labels: Array
    counts: Array
    first: Array
    n_rows: int


def count_labels(y: Any) -> list[Any]:
    """The :class:`LabelCounts` of every chunk of a dask vector, lazily."""
    from dask.core import flatten

    from .graph import delayed_calls

    name = f"labels-{y.name}"
    calls = {f"{name}-{i}": (_count_labels, key) for i, key in enumerate(flatten(y.__dask_keys__()))}
    return delayed_calls(name, calls, [y])


def label_codes(values: Any) -> tuple[Array, Array]:
    """The labels of a chunk and the number of each row's; those that can be sorted fast are sorted."""
    values = np.asarray(to_numpy(values) if is_device_array(values) else values)
    few = few_labels(values)
    if few is not None:
        return few[0], np.asarray(np.sum([i * mask for i, mask in enumerate(few[1])], axis=0, dtype=np.uint8))
    if values.dtype.kind != "O":
        labels, codes = np.unique(values, return_inverse=True)
        return labels, codes.reshape(-1)
    rows = values.tolist()
    numbers = {label: i for i, label in enumerate(dict.fromkeys(rows))}
    labels = np.empty(len(numbers), dtype=object)
    labels[:] = list(numbers)
    return labels, np.fromiter((numbers[label] for label in rows), dtype=np.intp, count=len(rows))


def _count_labels(values: Any) -> LabelCounts:
    values = np.asarray(to_numpy(values) if is_device_array(values) else values)
    if values.dtype.kind == "f":
        odd = values[~(values == np.floor(values)) | np.isinf(values)]  # no labels: a few tell what y is
        if len(odd):
            return LabelCounts(odd[:3], np.ones(len(odd[:3]), dtype=np.intp), np.arange(len(odd[:3])), len(values))
    labels, codes = label_codes(values)
    first = np.zeros(len(labels), dtype=np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return LabelCounts(labels, np.bincount(codes, minlength=len(labels)), first, len(values))


def folds_by_rank(values: Any, *, counted: LabelCounts, ranks: Array, ends: Array, dtype: np.dtype) -> Array:
    """The folds of a chunk's rows by their rank among the rows of their class.

    Parameters
    ----------
    values : ndarray of shape (m,)
    counted : LabelCounts
        The k labels of this chunk.
    ranks : ndarray of shape (k,)
        How many rows of the class come before this chunk.
    ends : ndarray of shape (n_folds, k)
        The rank at which each fold ends.
    """
    labels, codes = label_codes(values)
    counts = np.bincount(codes, minlength=len(labels))
    if len(labels) != len(counted.labels) or (labels != counted.labels).any() or (counts != counted.counts).any():
        raise ValueError("The labels of a chunk changed between two passes: y must be the same whenever it is read.")
    order = np.argsort(codes, kind="stable")
    cuts = np.cumsum([0, *counts])
    folds = np.empty(len(codes), dtype=dtype)
    for k in range(len(labels)):
        rows = order[cuts[k] : cuts[k + 1]]
        folds[rows] = np.searchsorted(ends[:, k], ranks[k] + np.arange(len(rows)), side="right")
    return folds


def codes_of(labels: Any) -> Array:
    """The classes of a chunk's rows as integers.

    Raises
    ------
    ValueError
        Numbers that are no labels.
    """
    found, codes = label_codes(labels)
    if found.dtype.kind == "f" and not (found == np.floor(found)).all():
        raise ValueError("Supported target types are: ('binary', 'multiclass'). Got 'continuous' instead.")
    return codes


def folds_of_chunk(rows: Any, *, index: int, n_splits: int, seed: int | None, stratified: bool) -> Array:
    """The fold of each row of chunk ``index``: dealt out in turn along the rows sorted by class, beginning with fold
    ``index``, and in order within each class unless there is a seed.

    ``rows``: their labels, or whatever has their number.
    """
    n = rows if isinstance(rows, int) else rows_in(rows)
    codes = codes_of(rows) if stratified else np.zeros(n, dtype=np.intp)
    if seed is None:
        order = np.argsort(codes, kind="stable")
    else:
        order = np.random.default_rng([seed, index]).permutation(n)
        order = order[np.argsort(codes[order], kind="stable")]
    dealt = (np.arange(n) + index) % n_splits
    folds = np.empty(n, dtype=fold_dtype(n_splits))
    folds[order] = dealt if seed is not None else np.sort(codes[order] * n_splits + dealt) % n_splits
    return folds


# -- parts -----------------------------------------------------------------------------------------------------------


def take_parts(
    data: Any,
    choose: Callable[..., Array],
    *,
    lengths: Sequence[int] | None,
    strata: Any = None,
    arguments: Sequence[tuple[int, ...]],
) -> Any:
    """The rows that ``choose`` names in every chunk of a dask array or DataFrame, lazily and one task a chunk.

    Parameters
    ----------
    data : dask array, DataFrame or Series
    choose : callable
        ``choose(n_rows, labels, *arguments[i])`` of chunk i: row numbers.
    lengths : sequence of int, optional
        How many rows there will be in every chunk, if that is known.
    strata : dask array of shape (n,), optional
        Labels with the row chunks of the data; without, ``labels`` is None.
    """
    if is_dask_frame(data):
        return _take_partitions(data, choose, strata, arguments)
    import dask.array as da
    from dask.base import tokenize
    from dask.core import flatten
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

    name = f"part-{tokenize(data, choose, strata, arguments)}"
    graph = {}
    for key in flatten(data.__dask_keys__()):
        i = key[1]
        labels = () if strata is None else ((strata.name, i),)
        graph[(name, *key[1:])] = (partial(_take_chunk, choose=choose, arguments=arguments[i]), key, *labels)
    inputs = [data] if strata is None else [data, strata]
    layers = HighLevelGraph.from_collections(name, MaterializedLayer(graph), dependencies=inputs)
    rows = (math.nan,) * data.numblocks[0] if lengths is None else tuple(lengths)
    return da.Array(layers, name, (rows, *data.chunks[1:]), meta=data._meta)


def _take_chunk(chunk: Any, labels: Any = None, *, choose: Callable[..., Array], arguments: tuple[Any, ...]) -> Any:
    rows = choose(rows_in(chunk), labels, *arguments)
    if sp.issparse(chunk):
        return chunk.tocsr()[rows]
    return take(chunk, rows)


def _take_partitions(
    frame: Any, choose: Callable[..., Array], strata: Any, arguments: Sequence[tuple[int, ...]]
) -> Any:
    """Of a DataFrame, as part of its expression, so that Dask plans it together with all that comes before.

    The arguments travel as a series of their own: Dask's ``partition_info`` counts the partitions that are left when
    somebody picks a few of them.
    """
    import dask.array as da
    import dask.dataframe as dd

    given = np.array(arguments, dtype=np.int64)
    others = [dd.from_dask_array(da.from_array(given.ravel(), chunks=given.shape[1]))]
    if strata is not None:
        others.append(dd.from_dask_array(strata))
    return frame.map_partitions(
        _take_partition, *others, choose=choose, meta=frame._meta, align_dataframes=False, enforce_metadata=False
    )


def _take_partition(part: Any, arguments: Any, labels: Any = None, *, choose: Callable[..., Array]) -> Any:
    rows = choose(len(part), None if labels is None else labels.to_numpy(), *arguments.tolist())
    return part.iloc[rows]


def fold_of_parts(values: Any, *, choose: Callable[..., Array], arguments: tuple[int, ...], stratified: bool) -> Array:
    """0 for the rows of a chunk that ``choose`` names, 1 for the others."""
    fold = np.ones(rows_in(values), dtype=np.int8)
    fold[choose(rows_in(values), codes_of(values) if stratified else None, *arguments)] = 0
    return fold


def part_of_chunk(
    n: int,
    codes: Array | None,
    index: int,
    n_train: int | None = None,
    n_test: int | None = None,
    *,
    part: int,
    shares: tuple[float, float],
    seed: int,
) -> Array:
    """The rows of chunk ``index`` for training (``part`` 0) or for testing (1), in random order.

    Along the rows sorted by class, shuffled within each, evenly spaced ones are chosen from a random start on: every
    row with the same probability, and from every class its share but for one or two rows. Without the numbers the
    ``shares`` are rounded so that errors of equal chunks cancel.
    """
    rng = np.random.default_rng([seed, index])
    if n_test is None or n_train is None:
        test, train = shares
        n_test = ceil((index + 1) * n * test - ROUNDING) - ceil(index * n * test - ROUNDING)
        n_test = min(n_test, n)
        rest = n - n_test
        n_train = min(floor((index + 1) * rest * train + ROUNDING) - floor(index * rest * train + ROUNDING), rest)
    line = rng.permutation(n)
    if codes is not None:
        line = line[np.argsort(codes[line], kind="stable")]
    tested = evenly(n, n_test, rng)
    rows = line[tested]
    if part == 0:
        rows = line[~tested]
        rows = rows[evenly(len(rows), n_train, rng)]
    return rows if codes is None else rng.permutation(rows)


def evenly(n: int, count: int, rng: np.random.Generator) -> Array:
    """``count`` of n places, evenly spaced on a ring, from a random place on: a mask."""
    mask = np.zeros(n, dtype=bool)
    if n:
        mask[(np.arange(count) * n // max(count, 1) + rng.integers(n)) % n] = True
    return mask
