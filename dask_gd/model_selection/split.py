"""Splitters that cut every row chunk by itself: parts stay lazy, chunks even, and the graphs small.

Data in memory are split as scikit-learn splits them. Of dask data each row chunk is split on its own, by a seed of
``(random_state, number of the chunk)``: a chunk that was lost is split again in the same way, wherever that is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import sklearn.model_selection
from sklearn.utils import check_random_state

from ..engine import computed, is_dask
from ..engine.splitting import (
    as_column,
    chunk_lengths,
    cut_like,
    first_column,
    fold_dtype,
    folds_of_chunk,
    known_lengths,
    numbers_by_chunk,
)
from ..linear_model.folds import check_rows, numbers_of, warn_of_groups
from ..protocol import Array


class KFold(sklearn.model_selection.KFold):
    """K folds, each with its share of every row chunk.

    Of dask data every chunk is cut into K ranges of rows (shuffled: into K random parts) that differ by one row at
    most; where the surplus rows go rotates from chunk to chunk. Chunks of training rows are as even as the chunks were.
    Data in memory are split as by :class:`sklearn.model_selection.KFold`.

    Parameters
    ----------
    n_splits : int, default=5
    shuffle : bool, default=False
        Within each chunk.
    random_state : int, RandomState or None, default=None
        The seed of shuffling; None: another one for every call.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.model_selection import KFold
    >>> X = da.zeros((8, 2), chunks=(4, 2))
    >>> for train, test in KFold(2).split(X):
    ...     print(train, test)
    [2 3 6 7] [0 1 4 5]
    [0 1 4 5] [2 3 6 7]
    """

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Array, Array]]:
        """Training and test rows of each split, sorted; the chunk lengths of dask data must be known.

        Yields
        ------
        train, test : ndarray of int
        """
        if not is_dask(X):
            yield from super().split(X, y, groups)
        else:
            warn_of_groups(self, groups)
            yield from splits_of(self, X, y)

    def fold_numbers(self, X: Any, y: Any = None) -> Any:
        """The number of each row's test fold, with the row chunks of X; lazy where X is, and nothing is loaded for it
        but the length of a chunk where that is unknown.

        Returns
        -------
        ndarray or dask array of int of shape (n,)
        """
        if not is_dask(X):
            return numbers_of(super().split(X, y), len(X) if not hasattr(X, "shape") else X.shape[0])
        return lazy_folds(self, X, None)


class StratifiedKFold(sklearn.model_selection.StratifiedKFold):
    """K folds, each with its share of every class in every row chunk.

    As :class:`KFold`, class by class: in every chunk the folds of a class differ by one row at most. Data in memory are
    split as by :class:`sklearn.model_selection.StratifiedKFold`.

    Parameters
    ----------
    n_splits : int, default=5
    shuffle : bool, default=False
        Within each chunk.
    random_state : int, RandomState or None, default=None
        The seed of shuffling; None: another one for every call.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.model_selection import StratifiedKFold
    >>> y = da.from_array([0, 0, 0, 0, 1, 1], chunks=6)
    >>> StratifiedKFold(2).fold_numbers(da.zeros((6, 2), chunks=6), y).compute()
    array([0, 0, 1, 1, 0, 1], dtype=int8)
    """

    def split(self, X: Any, y: Any, groups: Any = None) -> Iterator[tuple[Array, Array]]:
        """Training and test rows of each split, sorted; the chunk lengths of a dask X must be known. Only the numbers
        of folds leave the chunks of y.

        Yields
        ------
        train, test : ndarray of int
        """
        if not is_dask(X):
            yield from super().split(X, in_memory(y), groups)
        else:
            warn_of_groups(self, groups)
            yield from splits_of(self, X, y)

    def fold_numbers(self, X: Any, y: Any) -> Any:
        """The number of each row's test fold, with the row chunks of X; lazy where X is.

        Returns
        -------
        ndarray or dask array of int of shape (n,)
        """
        if not is_dask(X):
            y = in_memory(y)
            return numbers_of(super().split(X, y), len(y))
        if y is None:
            raise ValueError("StratifiedKFold needs y: the labels that every fold is to have its share of.")
        return lazy_folds(self, X, y)


class TimeSeriesSplit(sklearn.model_selection.TimeSeriesSplit):
    """Splits that train on the past and test on what comes next, in whole row chunks.

    Of dask data the sizes below count row chunks, so that every part is made of chunks as they are, none of them cut.
    Data in memory are split as by :class:`sklearn.model_selection.TimeSeriesSplit`, and sizes count rows.

    Parameters
    ----------
    n_splits : int, default=5
    max_train_size : int or None, default=None
        The most that a split is trained on; None: all that comes before.
    test_size : int or None, default=None
        What a split is tested on; None: as much as an even division leaves.
    gap : int, default=0
        What is left out between training and test.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.model_selection import TimeSeriesSplit
    >>> for train, test in TimeSeriesSplit(2).split(da.zeros((6, 2), chunks=(2, 2))):
    ...     print(train, test)
    [0 1] [2 3]
    [0 1 2 3] [4 5]
    """

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Array, Array]]:
        """Training and test rows of each split; the chunk lengths of dask data must be known.

        Yields
        ------
        train, test : ndarray of int
        """
        if not is_dask(X):
            yield from super().split(X, y, groups)
            return
        warn_of_groups(self, groups)
        lengths = lengths_of(X)
        used = self.gap + self.n_splits * (self.test_size or 1)
        if used >= len(lengths):
            raise ValueError(
                f"TimeSeriesSplit with n_splits={self.n_splits}, test_size={self.test_size} and gap={self.gap} needs "
                f"at least {used + 1} row chunks, and X has {len(lengths)}: rechunk X, or use fewer splits."
            )
        ends = np.cumsum([0, *lengths])
        for train, test in super().split(np.empty((len(lengths), 0))):
            yield tuple(np.arange(ends[part[0]], ends[part[-1] + 1]) for part in (train, test))


def in_memory(values: Any) -> Any:
    """A dask vector computed, everything else as it is."""
    return computed([values])[0] if is_dask(values) else values


def lengths_of(X: Any) -> tuple[int, ...]:
    """The chunk lengths.

    Raises
    ------
    ValueError
        Unknown ones.
    """
    lengths = known_lengths(X)
    if lengths is None:
        raise ValueError(
            "Row numbers need to know the chunk lengths of X: call X.compute_chunk_sizes() first, or "
            "X.to_dask_array(lengths=True) of a frame. fold_numbers and train_test_split do without."
        )
    return lengths


def seed_of(random_state: Any) -> int:
    """The seed that all chunks share."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


# -- folds -----------------------------------------------------------------------------------------------------------


def lazy_folds(splitter: Any, X: Any, y: Any) -> Any:
    """The folds of dask data; ``y`` None: unstratified."""
    seed = seed_of(splitter.random_state) if splitter.shuffle else None
    dtype = fold_dtype(splitter.n_splits)
    fold = partial(folds_of_chunk, n_splits=splitter.n_splits, seed=seed, stratified=y is not None)
    lengths = known_lengths(X)
    if y is None and lengths is not None:
        return numbers_by_chunk(X, [partial(fold, n, index=i) for i, n in enumerate(lengths)], dtype=dtype)
    rows = first_column(X) if y is None else cut_like(as_column(y), X, "y")
    calls = [partial(fold, index=i) for i in range(len(chunk_lengths(X)))]
    return numbers_by_chunk(X, calls, rows, dtype=dtype)


def splits_of(splitter: Any, X: Any, y: Any) -> Iterator[tuple[Array, Array]]:
    """Sorted row numbers of each split of dask data."""
    lengths = lengths_of(X)
    check_rows(splitter.n_splits, sum(lengths))
    folds = computed([splitter.fold_numbers(X, y)])[0]
    sizes = np.bincount(folds, minlength=splitter.n_splits)
    if not sizes.all():
        raise ValueError(
            f"Fold {int(np.argmin(sizes))} of {splitter.n_splits} got no row from any of {len(lengths)} chunks of "
            f"at most {max(lengths)} rows, each of which is split on its own: use larger chunks or fewer folds."
        )
    for number in range(splitter.n_splits):
        yield np.flatnonzero(folds != number), np.flatnonzero(folds == number)
