"""Models that learn by ``partial_fit``, an epoch at a time, all of them from the same read of the data where it is
chunk by chunk."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import is_classifier
from sklearn.utils.validation import _num_samples

from ..engine import computed, frames_as_arrays, is_dask
from ..linear_model.base import SparseTag
from ..linear_model.folds import in_memory, joined, labels_of
from ..protocol import Array
from .train_test import train_test_split

STOPS = (ValueError, ArithmeticError)  # what stops a model alone


class Rows:
    """Rows to learn from and to be judged by; parts that are not given are None.

    ``whole`` False: a dask collection is handed out chunk by chunk, in memory.
    """

    def __init__(self, X: Any, y: Any, weight: Any, offset: Any, *, whole: bool) -> None:
        self.parts = (X, y, weight, offset)
        self.whole = whole or not is_dask(X)

    def pieces(self) -> Iterator[tuple[Any, ...]]:
        """(X, y, weight, offset), in order."""
        if self.whole:
            yield self.parts
            return
        for chunks in zip(*(_row_chunks(part) for part in self.parts if part is not None), strict=True):
            values = iter(computed(list(chunks)))
            piece = tuple(None if part is None else next(values) for part in self.parts)
            if _num_samples(piece[0]):
                yield piece

    def loaded(self) -> tuple[Any, ...]:
        """(X, y, weight, offset) as models want to be judged by them."""
        if self.whole:
            return self.parts
        return tuple(None if values[0] is None else _joined(values) for values in zip(*self.pieces(), strict=True))


def _joined(chunks: Sequence[Any]) -> Any:
    return sp.vstack(chunks, format="csr") if sp.issparse(chunks[0]) else np.concatenate(chunks)


def _row_chunks(part: Any) -> list[Any]:
    """The chunks of rows of a dask array, lazily and with the keys that they have in any other computation."""
    part = part.rechunk({1: -1}) if part.ndim == 2 and part.numblocks[1] > 1 else part
    return list(part.to_delayed(optimize_graph=False).ravel())


class Learners:
    """Models under way.

    Parameters
    ----------
    estimators : sequence of estimators
        Not fitted; they are.
    train : Rows
    classes : ndarray or None
        All labels, of classifiers.
    """

    def __init__(self, estimators: Sequence[Any], train: Rows, classes: Array | None) -> None:
        self.estimators = estimators
        self.train = train
        self.classes = classes
        self.errors: dict[int, Exception] = {}
        self.epochs = [0] * len(estimators)

    def advance(self, models: list[int], budget: int) -> list[int]:
        """Take models to so many epochs; how many each has had."""
        for epoch in range(min((self.epochs[i] for i in models), default=budget), budget):
            due = [i for i in models if self.epochs[i] == epoch and i not in self.errors]
            for piece in self.train.pieces() if due else ():
                for i in due:
                    if i in self.errors:
                        continue
                    try:
                        learn(self.estimators[i], piece, self.classes)
                    except STOPS as error:
                        self.errors[i] = error
            for i in due:
                self.epochs[i] += i not in self.errors
        return [self.epochs[i] for i in models]

    def scores(self, models: list[int], scorer: Any, test: tuple[Any, ...]) -> Array:
        """Of the test rows; nan where a model failed, or cannot be judged."""
        X, y, weight, _ = test
        found = np.full(len(models), np.nan)
        for place, i in enumerate(models):
            if i in self.errors:
                continue
            try:
                with np.errstate(all="ignore"):
                    found[place] = scorer(self.estimators[i], X, y, **given(sample_weight=weight))
            except STOPS as error:
                self.errors[i] = error
        return found


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def learn(model: Any, piece: tuple[Any, ...], classes: Array | None) -> None:
    """One call of ``partial_fit`` with a piece of :class:`Rows`."""
    X, y, weight, offset = piece
    with np.errstate(all="ignore"):  # a model that diverges has no score
        model.partial_fit(X, y, **given(classes=classes, sample_weight=weight, offset=offset))


def is_own(estimator: Any) -> bool:
    """Whether an estimator takes dask collections as they are."""
    return isinstance(estimator, SparseTag)


def split_rows(
    estimator: Any, X: Any, y: Any, weight: Any, offset: Any, *, test_size: Any, random_state: int
) -> tuple[Rows, Rows, Rows]:
    """All rows, those to train on and those to test on."""
    own = is_own(estimator)
    if is_dask(X) and not own:
        X, y, weight = frames_as_arrays(X, y, weight)
    if not is_dask(X):
        y, weight, offset = (None if part is None else in_memory(part) for part in (y, weight, offset))
    all_parts = (X, y, weight, offset)
    given_parts = [part for part in all_parts if part is not None]
    stratify = y if is_classifier(estimator) else None
    cut = train_test_split(*given_parts, test_size=test_size, random_state=random_state, stratify=stratify)
    sides = []
    for side in (cut[::2], cut[1::2]):
        values = iter(side)
        sides.append([None if part is None else next(values) for part in all_parts])
    return Rows(*all_parts, whole=own), Rows(*sides[0], whole=own), Rows(*sides[1], whole=own)


def classes_of(estimator: Any, X: Any, y: Any) -> Array | None:
    """All labels, where ``partial_fit`` wants to know them."""
    if not is_classifier(estimator) or "classes" not in inspect.signature(estimator.partial_fit).parameters:
        return None
    if is_dask(X) and is_dask(y) and y.ndim == 1:
        return np.unique(joined(labels_of(y, X) or []))
    return np.unique(in_memory(y))
