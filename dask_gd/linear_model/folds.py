"""What a user gives as ``cv`` -> the number of the test fold of every row, which is what a sweep can use."""

from __future__ import annotations

import warnings
from functools import partial
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils import check_array
from sklearn.utils.multiclass import type_of_target

from ..arrays import is_device_array, to_numpy
from ..engine import computed, is_dask, row_count
from ..engine.splitting import (
    LabelCounts,
    as_column,
    as_rows_of,
    count_labels,
    cut_like,
    fold_dtype,
    folds_by_rank,
    known_lengths,
    numbers_by_chunk,
)
from ..protocol import Array

CLASSES = ("binary", "multiclass")  # what StratifiedKFold takes


class NotPartitionError(ValueError):
    """Splits that do not put every row into one test fold, with all others to train on."""


def fold_numbers_of(cv: Any, X: Any, y: Any, *, classifier: bool, groups: Any = None) -> tuple[Any, int] | None:
    """:func:`partition_of`, or None for splits that are no partition of the rows.

    An iterator of splits is used up by this: pass a list or a splitter to use it again.
    """
    cv = check_cv(cv) if not (cv is None or isinstance(cv, Integral)) else cv
    state = getattr(cv, "random_state", None)
    before = state.get_state() if isinstance(state, np.random.RandomState) else None
    try:
        return partition_of(cv, X, y, classifier=classifier, groups=groups)
    except NotPartitionError:
        if before is not None:
            state.set_state(before)  # whoever splits by it now gets the splits that were looked at here
        return None


def partition_of(cv: Any, X: Any, y: Any, *, classifier: bool, groups: Any = None) -> tuple[Any, int]:
    """The number of the test fold of every row, and how many folds there are: the splits are scikit-learn's own.

    X is not read. Of a dask y the labels of every chunk are counted, for a splitter that needs no more; others get y
    and groups in memory.

    Parameters
    ----------
    cv : int, splitter, iterable of (train, test) or None
        By the rules of :func:`sklearn.model_selection.check_cv`; None: 5. A splitter that has ``fold_numbers(X, y)`` is
        asked for them.
    X : ndarray, CSR array, array of a device, dask array or DataFrame of shape (n, d)
    y, groups : array-like or dask collection of shape (n,), or None
    classifier : bool

    Returns
    -------
    fold : ndarray, or dask array with the row chunks of X, of small integers
    n_folds : int

    Raises
    ------
    NotPartitionError
        Test folds that overlap or leave rows out, or rows that are neither tested nor trained on.
    ValueError
        What scikit-learn's splitter raises; rows of an unknown number.
    """
    if hasattr(cv, "fold_numbers"):
        return cv.fold_numbers(X, y), int(cv.get_n_splits())
    n = rows_of(X)
    vector = as_column(y) if is_dask(y) else y
    if not is_dask(X) and is_dask(vector):
        y = vector = in_memory(vector)
    labels = None
    if cv is None or isinstance(cv, Integral):
        stratified = False
        if classifier and vector is not None:
            labels = labels_of(vector, X)
            stratified = target_of(vector, labels) in CLASSES
        cv = (StratifiedKFold if stratified else KFold)(5 if cv is None else int(cv))
    cv = check_cv(cv)
    if type(cv) is KFold and not cv.shuffle:
        warn_of_groups(cv, groups)
        check_rows(cv.n_splits, n)
        sizes = np.full(cv.n_splits, n // cv.n_splits)
        sizes[: n % cv.n_splits] += 1
        return ranges(X, sizes), cv.n_splits
    if type(cv) is StratifiedKFold and not cv.shuffle and is_dask(vector) and vector.ndim == 1:
        warn_of_groups(cv, groups)
        check_rows(cv.n_splits, n)
        return stratified_folds(cv.n_splits, X, vector, labels or labels_of(vector, X)), cv.n_splits
    rows = np.empty((n, 0)) if is_device_array(X) else X
    splits = list(cv.split(rows, *(None if v is None else in_memory(v) for v in (y, groups))))
    return as_rows_of(X, numbers_of(splits, n)), len(splits)


def rows_of(X: Any) -> int:
    """The number of rows.

    Raises
    ------
    ValueError
        Where it is not known.
    """
    rows = row_count(X)
    if np.isnan(rows):
        raise ValueError(
            "Folds need to know the number of rows: call X.compute_chunk_sizes() first, or "
            "X.to_dask_array(lengths=True) of a frame. The splitters of dask_gd.model_selection do without."
        )
    return int(rows)


def in_memory(values: Any) -> Any:
    """The numbers or labels as they are, in main memory."""
    if is_device_array(values):
        return to_numpy(values)
    return computed([as_column(values)])[0] if is_dask(values) else values


def warn_of_groups(splitter: Any, groups: Any) -> None:
    """scikit-learn's warning about groups that nobody asks for."""
    if groups is not None:
        warnings.warn(f"The groups parameter is ignored by {type(splitter).__name__}", UserWarning, stacklevel=3)


def check_rows(n_splits: int, n: int) -> None:
    """Raise in scikit-learn's words where there are fewer rows than folds."""
    if n_splits > n:
        raise ValueError(
            f"Cannot have number of splits n_splits={n_splits} greater than the number of samples: n_samples={n}."
        )


def numbers_of(splits: Any, n: int) -> Array:
    """The fold numbers of some splits of n rows.

    Raises
    ------
    NotPartitionError
    """
    splits = list(splits)
    fold = np.full(n, -1, dtype=fold_dtype(max(len(splits), 1)))
    for number, pair in enumerate(splits):
        train, test = (np.asarray(rows) for rows in pair)
        tested, trained = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        tested[test], trained[train] = True, True
        if (fold[tested] >= 0).any() or (test.dtype != bool and tested.sum() < len(test)):
            raise NotPartitionError(
                "The test folds of cv overlap: use a splitter whose test folds hold every row once."
            )
        if (trained == tested).any() or (train.dtype != bool and trained.sum() < len(train)):
            raise NotPartitionError(
                "The training rows of cv are not all those that are not tested: use a splitter that trains on every "
                "row of the other folds, once."
            )
        fold[tested] = number
    if (fold < 0).any():
        raise NotPartitionError(
            "The test folds of cv leave rows out: use a splitter whose test folds hold every row once."
        )
    return fold


def ranges(X: Any, sizes: Array) -> Any:
    """The folds of rows in ranges of these sizes, one after the other."""
    dtype, ends = fold_dtype(len(sizes)), np.cumsum(sizes)
    if not is_dask(X):
        return np.repeat(np.arange(len(sizes), dtype=dtype), sizes)
    lengths = known_lengths(X)
    assert lengths is not None  # the number of rows was known
    starts = np.cumsum([0, *lengths]).tolist()
    calls = [partial(folds_of_range, start, stop, ends=ends, dtype=dtype) for start, stop in pairwise(starts)]
    return numbers_by_chunk(X, calls, dtype=dtype)


def folds_of_range(start: int, stop: int, *, ends: Array, dtype: np.dtype) -> Array:
    """The folds of rows ``start`` to ``stop``, where fold k ends at row ``ends[k]``."""
    borders = np.clip(ends, start, stop)
    return np.repeat(np.arange(len(ends), dtype=dtype), np.diff(borders, prepend=start))


# -- stratified ------------------------------------------------------------------------------------------------------


def labels_of(y: Any, X: Any) -> list[LabelCounts] | None:
    """The labels of the chunks of a dask vector, cut like X; None of one in memory."""
    return computed(count_labels(cut_like(y, X, "y"))) if is_dask(y) and y.ndim == 1 else None


def target_of(y: Any, labels: list[LabelCounts] | None) -> str:
    """What scikit-learn calls the kind of y."""
    values = in_memory(y) if labels is None else joined(labels)
    with warnings.catch_warnings():  # that there are many classes for so few rows: each is here once
        warnings.filterwarnings("ignore", "The number of unique classes is greater")
        return str(type_of_target(values, input_name="y"))


def joined(labels: list[LabelCounts]) -> Array:
    """The labels of all chunks, each as often as there are chunks that have it."""
    parts = [part.labels for part in labels if part.n_rows]
    return np.concatenate(parts) if parts else labels[0].labels


def stratified_folds(n_splits: int, X: Any, y: Any, labels: list[LabelCounts]) -> Any:
    """The folds of scikit-learn's StratifiedKFold without shuffling; no label leaves its chunk but once.

    A row's fold follows from its rank among the rows of its class.
    """
    lengths = known_lengths(X)
    found = tuple(part.n_rows for part in labels)
    if found != lengths:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples in the chunks of X, {lengths}, and y, {found}"
        )
    values = check_array(joined(labels), input_name="y", ensure_2d=False, dtype=None)
    kind = target_of(y, labels)
    if kind not in CLASSES:
        raise ValueError(f"Supported target types are: {CLASSES}. Got {kind!r} instead.")
    _, first, codes = np.unique(values, return_index=True, return_inverse=True)
    chunk = np.concatenate([np.full(len(part.labels), i) for i, part in enumerate(labels)])
    counts = np.zeros((len(labels), len(first)), dtype=np.int64)  # of the classes, as they are sorted
    counts[chunk, codes] = np.concatenate([part.counts for part in labels])
    seen = np.full(len(first), np.iinfo(np.int64).max)  # the row that has a class first
    starts = np.cumsum([0, *found])
    np.minimum.at(seen, codes, starts[chunk] + np.concatenate([part.first for part in labels]))
    totals = counts.sum(axis=0)
    check_members(totals, n_splits)
    ends = np.cumsum(allocation(totals, np.argsort(seen), n_splits), axis=0)
    ranks = np.cumsum(counts, axis=0) - counts
    dtype = fold_dtype(n_splits)
    calls = []
    for i, part in enumerate(labels):
        mine = codes[chunk == i]
        calls.append(partial(folds_by_rank, counted=part, ranks=ranks[i, mine], ends=ends[:, mine], dtype=dtype))
    return numbers_by_chunk(X, calls, cut_like(y, X, "y"), dtype=dtype)


def check_members(counts: Array, n_splits: int) -> None:
    """scikit-learn's error and warning about classes that have fewer members than there are folds."""
    if (n_splits > counts).all():
        raise ValueError(f"n_splits={n_splits} cannot be greater than the number of members in each class.")
    if n_splits > counts.min():
        warnings.warn(
            f"The least populated class in y has only {counts.min()} members, which is less than n_splits={n_splits}.",
            UserWarning,
            stacklevel=4,
        )


def allocation(counts: Array, order: Array, n_splits: int) -> Array:
    """(n_splits, k) rows of each class in each fold: every n-th of the rows sorted by class, classes in this order."""
    last = np.zeros(len(counts), dtype=np.int64)
    last[order] = np.cumsum(counts[order])
    fold = np.arange(n_splits)[:, None]

    def before(position: Array) -> Array:  # how many of the rows before it are every n-th from the fold's number on
        return (position - fold + n_splits - 1) // n_splits

    return before(last) - before(last - counts)
