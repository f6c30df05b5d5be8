"""Training and test part of every row chunk, lazily."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from math import ceil, floor
from numbers import Integral, Real
from typing import Any

import numpy as np
import sklearn.model_selection

from ..engine import is_dask, is_dask_frame
from ..engine.splitting import (
    ROUNDING,
    as_column,
    chunk_lengths,
    codes_of,
    cut_like,
    first_column,
    fold_of_parts,
    known_lengths,
    numbers_by_chunk,
    part_of_chunk,
    take_parts,
)
from .split import in_memory, seed_of


def train_test_split(
    *arrays: Any,
    test_size: float | int | None = None,
    train_size: float | int | None = None,
    random_state: Any = None,
    shuffle: bool = True,
    stratify: Any = None,
) -> list[Any]:
    """Two parts of every array, each with its share of every row chunk; lazy for dask arrays and DataFrames.

    Every chunk is shuffled and split on its own, in one task a part. Arrays in memory alone are split as by
    :func:`sklearn.model_selection.train_test_split`; beside dask arrays they are cut like these.

    Parameters
    ----------
    *arrays : array-likes, dask arrays, DataFrames or Series
        With the same rows. Chunks of unknown length must be as many in all of them, and the parts' are unknown, too.
    test_size, train_size : float or int, optional
        A share of the rows, or (with known chunk lengths) their number; by default a quarter is for testing. The parts
        have as many rows as scikit-learn's where the chunk lengths are known, and within one row a chunk otherwise.
    random_state : int, RandomState or None, default=None
    shuffle : bool, default=True
        False: the first rows are for training and the last ones for testing, as in scikit-learn; chunk lengths must be
        known.
    stratify : array-like or dask array of shape (n,), optional
        Labels of which every part has its share, chunk by chunk.

    Returns
    -------
    list
        Training and test part of each array, in turn.

    Raises
    ------
    ValueError
        Sizes that do not fit, lengths that disagree or would have to be known.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.model_selection import train_test_split
    >>> X = da.zeros((1000, 3), chunks=(100, 3))
    >>> X_train, X_test = train_test_split(X, test_size=0.2, random_state=0)
    >>> X_train.chunks[0] == (80,) * 10, X_test.shape
    (True, (200, 3))
    """
    sizes: dict[str, Any] = {"test_size": test_size, "train_size": train_size}
    if not any(is_dask(array) for array in arrays):
        options = {"random_state": random_state, "shuffle": shuffle, "stratify": in_memory(stratify)}
        return list(sklearn.model_selection.train_test_split(*arrays, **sizes, **options))
    if stratify is not None and not shuffle:
        raise ValueError("Stratified train/test split is not implemented for shuffle=False")
    dasked = [array for array in arrays if is_dask(array)]
    X = next((array for array in dasked if known_lengths(array) is not None), dasked[0])
    arrays = tuple(array if is_dask_frame(array) else rows_like(array, X) for array in arrays)
    counts = [len(chunk_lengths(array)) for array in arrays]
    if len(set(counts)) > 1:
        raise ValueError(f"Arrays of unknown chunk lengths must have as many chunks as the others; these have {counts}")
    lengths = known_lengths(X)
    if not shuffle and lengths is None:
        shares_of(**sizes)
        raise ValueError(
            "The chunk lengths are unknown, so that nothing tells which rows are the last ones: call "
            "compute_chunk_sizes() first, or use shuffle=True."
        )
    if not shuffle:
        n_test, n_train = numbers_of_rows(sum(lengths or ()), **sizes)
        cuts = (slice(n_train), slice(n_train, n_train + n_test))
        return [known(array, lengths or ())[cut] for array in arrays for cut in cuts]
    shares, parts, arguments = parts_of(X, **sizes)
    strata = None
    if stratify is not None:
        labels = strata_of(stratify, X)
        strata = labels.map_blocks(codes_of, dtype=np.intp, meta=np.empty(0, dtype=np.intp))
    seed = seed_of(random_state)
    return [
        take_parts(
            array,
            partial(part_of_chunk, part=part, shares=shares, seed=seed),
            lengths=None if parts is None else parts[part],
            strata=strata,
            arguments=arguments,
        )
        for array in arrays
        for part in (0, 1)
    ]


def fold_of_test(X: Any, *, test_size: float | int, random_state: Any, stratify: Any = None) -> Any:
    """0 for the rows that :func:`train_test_split` would test on, 1 for the others; with the row chunks of X, lazily.

    Returns
    -------
    ndarray or dask array of int of shape (n,)
    """
    if not is_dask(X):
        rows = np.arange(X.shape[0] if hasattr(X, "shape") else len(X))
        options = {"test_size": test_size, "random_state": random_state, "stratify": in_memory(stratify)}
        fold = np.ones(len(rows), dtype=np.int8)
        fold[sklearn.model_selection.train_test_split(rows, **options)[1]] = 0
        return fold
    shares, _, arguments = parts_of(X, test_size, None)
    choose = partial(part_of_chunk, part=1, shares=shares, seed=seed_of(random_state))
    rows = first_column(X) if stratify is None else strata_of(stratify, X)
    stratified = stratify is not None
    calls = [partial(fold_of_parts, choose=choose, arguments=some, stratified=stratified) for some in arguments]
    return numbers_by_chunk(X, calls, rows, dtype=np.dtype(np.int8))


def parts_of(X: Any, test_size: Any, train_size: Any) -> tuple[tuple[float, float], Any, list[tuple[int, ...]]]:
    """How the chunks of dask data are divided: shares (of unknown lengths), rows of each part by chunk (None: unknown),
    and for each chunk what :func:`part_of_chunk` is told."""
    lengths = known_lengths(X)
    if lengths is None:
        return shares_of(test_size, train_size), None, [(i,) for i in range(len(chunk_lengths(X)))]
    n_test, n_train = numbers_of_rows(sum(lengths), test_size, train_size)
    tests = shared_out(lengths, n_test)
    rest = [length - test for length, test in zip(lengths, tests, strict=True)]
    parts = (shared_out(rest, n_train), tests)
    return (0.0, 0.0), parts, [(i, *pair) for i, pair in enumerate(zip(*parts, strict=True))]


def strata_of(stratify: Any, X: Any) -> Any:
    """Labels as a dask vector with the row chunks of X."""
    labels = cut_like(as_column(stratify), X, "stratify")
    if labels.ndim != 1:
        raise ValueError(f"stratify should be a 1d array, got an array of shape {labels.shape} instead.")
    return labels


def rows_like(array: Any, X: Any) -> Any:
    """An array as a dask array with the row chunks of X."""
    if array is X:
        return X
    return array if is_dask(array) and known_lengths(array) is None else cut_like(array, X, "another array")


def known(array: Any, lengths: tuple[int, ...]) -> Any:
    """A dask array with these chunk lengths.

    Raises
    ------
    ValueError
        Of a DataFrame, or where they are unknown.
    """
    if is_dask_frame(array) or known_lengths(array) != lengths:
        raise ValueError(
            "With shuffle=False the chunk lengths of all arrays must be known: call compute_chunk_sizes(), or "
            "to_dask_array(lengths=True) of a frame, first."
        )
    return array


def shares_of(test_size: Any, train_size: Any) -> tuple[float, float]:
    """The share of the test rows, and that of the training rows among all others.

    Raises
    ------
    ValueError
        Sizes that are no shares.
    """
    for name, size in (("test_size", test_size), ("train_size", train_size)):
        if size is None:
            continue
        if not isinstance(size, Real) or isinstance(size, Integral) or not 0 < size < 1:
            raise ValueError(
                f"{name} must be a share of the rows, a float in the (0, 1) range, where chunk lengths are unknown. "
                f"Got {size!r} instead: call compute_chunk_sizes() first to give a number of rows."
            )
    if test_size is None:
        test_size = 0.25 if train_size is None else 1 - train_size
    if train_size is None:
        return test_size, 1.0
    if test_size + train_size > 1 + ROUNDING:
        raise ValueError(
            f"The sum of test_size and train_size = {test_size + train_size}, should be in the (0, 1) range. Reduce "
            "test_size and/or train_size."
        )
    return test_size, min(train_size / (1 - test_size), 1.0)


def numbers_of_rows(n: int, test_size: Any, train_size: Any) -> tuple[int, int]:
    """How many of n rows are for testing and for training, as scikit-learn rounds them.

    Raises
    ------
    ValueError
        In scikit-learn's words.
    """
    if test_size is None and train_size is None:
        test_size = 0.25
    rows = {}
    for name, size, whole in (("test_size", test_size, ceil), ("train_size", train_size, floor)):
        if size is None:
            continue
        share = isinstance(size, Real) and not isinstance(size, Integral)
        if not isinstance(size, Real) or isinstance(size, bool) or not 0 < size < (1 if share else n):
            raise ValueError(
                f"{name}={size} should be either positive and smaller than the number of samples {n} or a float in "
                "the (0, 1) range"
            )
        rows[name] = whole(size * n) if share else int(size)
    n_test = rows["test_size"] if "test_size" in rows else n - rows["train_size"]
    n_train = rows["train_size"] if "train_size" in rows else n - n_test
    if n_train + n_test > n:
        raise ValueError(
            f"The sum of train_size and test_size = {n_train + n_test}, should be smaller than the number of samples "
            f"{n}. Reduce test_size and/or train_size."
        )
    if n_train == 0:
        raise ValueError(
            f"With n_samples={n}, test_size={test_size} and train_size={train_size}, the resulting train set will be "
            "empty. Adjust any of the aforementioned parameters."
        )
    return n_test, n_train


def shared_out(lengths: Any, n: int) -> tuple[int, ...]:
    """``n`` rows from chunks of these lengths, from each its share, rounded so that the sum is right."""
    ends = np.cumsum([0, *lengths]).tolist()
    taken = [-(-end * n // max(ends[-1], 1)) for end in ends]
    return tuple(b - a for a, b in pairwise(taken))
