"""Metrics of predicted probabilities.

Columns of probabilities belong to labels in their order, and a block may lack some of the labels. Its sums therefore
say what the rows of each of its labels would lose if they belonged to each of the columns; where all labels occur, or
are given, only the column that is theirs is looked at.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..protocol import Array
from .checks import NO_WEIGHT, check_choice, check_finite, check_weight, label_codes, warn_undefined

FEW_LABELS = 8  # whose rows are looked at label by label


class Losses(NamedTuple):
    """What the rows of each label lose as rows of each column."""

    labels: Array  # (L,), ascending
    weights: Array  # (L,)
    losses: Array  # (L, K)
    n_rows: int
    one_column: bool  # (n,) predictions, of the second class
    add_up: bool  # to one: the probabilities of every row

    def __add__(self, other: Losses) -> Losses:  # type: ignore[override]
        labels = self.labels
        if not np.array_equal(labels, other.labels):
            labels = np.union1d(labels, other.labels)
        weights = np.zeros(len(labels))
        losses = np.zeros((len(labels), self.losses.shape[1]))
        for part in (self, other):
            places = np.searchsorted(labels, part.labels)
            weights[places] += part.weights
            losses[places] += part.losses
        n_rows = self.n_rows + other.n_rows
        return Losses(labels, weights, losses, n_rows, self.one_column, self.add_up and other.add_up)


def _probabilities(predicted: Any, too_low: str) -> Array:
    p = np.asarray(predicted)
    if p.dtype.kind != "f" or p.dtype.itemsize < 4:
        p = p.astype(np.float64)
    check_finite(p)
    if p.max() > 1:
        raise ValueError(f"y_prob contains values greater than 1: {p.max()}")
    if p.min() < 0:
        raise ValueError(f"y_prob contains values {too_low} than 0: {p.min()}")
    return p[:, 0] if p.ndim == 2 and p.shape[1] == 1 else p


def _losses(
    y: Any,
    p: Array,
    weight: Any,
    declared: tuple[Any, ...] | None,
    loss: Callable[[Array, Array | int], Array],
) -> Losses:
    """``loss(p, column)`` summed by label and column, where a column is one number, or one of every row; of (n,)
    probabilities 1 is the class that they are of."""
    labels, codes = label_codes(y)
    weight = check_weight(weight)
    width = 2 if p.ndim == 1 else p.shape[1]
    own = None
    if declared is not None:
        classes = np.unique(np.array(declared))
        unknown = sorted(set(labels.tolist()) - set(classes.tolist()))
        if unknown:
            raise ValueError(
                f"y_true contains values { {*unknown} } not belonging to the passed labels {list(declared)}."
            )
        own = np.searchsorted(classes, labels)
        if own.max() >= width:
            raise _other_number(classes, width, declared)
    elif len(labels) == width:
        own = np.arange(width)
    elif len(labels) > width:
        raise _other_number(labels, width, None)
    table = np.zeros((len(labels), width))
    if own is None:
        for column in range(width):
            table[:, column] = _by_label(loss(p, column), codes, weight, len(labels))
    else:
        table[np.arange(len(labels)), own] = _by_label(loss(p, own[codes]), codes, weight, len(labels))
    adds_up = True
    if p.ndim == 2:
        adds_up = bool(np.all(np.abs(np.sum(p, axis=1) - 1) <= math.sqrt(np.finfo(p.dtype).eps)))
    weights = np.bincount(codes, weights=weight, minlength=len(labels)).astype(np.float64)
    return Losses(labels, weights, table, len(p), p.ndim == 1, adds_up)


def _by_label(values: Array, codes: Array, weight: Array | None, count: int) -> Array:
    """Sums over the rows of each label."""
    values = values.astype(np.float64, copy=False)
    values = values if weight is None else values * weight
    if count > FEW_LABELS:
        return np.bincount(codes, weights=values, minlength=count)
    # pairwise sums are more exact than running ones
    return np.array([np.sum(values if count == 1 else values[codes == label]) for label in range(count)])


def _other_number(classes: Array, width: int, declared: Any) -> ValueError:
    if declared is not None:
        return ValueError(
            f"The number of classes in labels is different from that in y_prob. Classes found in labels: {classes}"
        )
    return ValueError(
        f"y_true and y_prob contain different number of classes: {len(classes)} vs {width}. Please provide the true "
        f"labels explicitly through the labels argument. Classes found in y_true: {classes}"
    )


def _own_losses(sums: Losses, declared: tuple[Any, ...] | None) -> tuple[float, Array]:
    """The losses of all rows in the columns that are theirs, and the weight of every class."""
    width = sums.losses.shape[1]
    if declared is not None:
        classes = np.unique(np.array(declared))
        if not np.array_equal(np.array(declared), classes):
            warnings.warn(
                f"Labels passed were {list(declared)}. But this function assumes labels are ordered "
                f"lexicographically. Pass the ordered labels={classes.tolist()} and ensure that the columns of y_prob "
                "correspond to this ordering.",
                UserWarning,
                stacklevel=4,
            )
        if len(classes) == 1:
            raise ValueError(f"The labels array needs to contain at least two labels, got {classes}.")
    else:
        classes = sums.labels
        if len(classes) == 1:
            raise ValueError(
                f"y_true contains only one label ({classes[0]}). Please provide the list of all expected class labels "
                "explicitly through the labels argument."
            )
    if len(classes) != width:
        raise _other_number(classes, width, declared)
    if not sums.add_up:
        warnings.warn(
            "The y_prob values do not sum to one. Make sure to pass probabilities.", UserWarning, stacklevel=4
        )
    if not sums.weights.any():
        raise ValueError(NO_WEIGHT)
    own = np.searchsorted(classes, sums.labels)
    weights = np.zeros(width)
    weights[own] = sums.weights
    return float(np.sum(sums.losses[np.arange(len(own)), own])), weights


def _take(p: Array, column: Array | int) -> Array:
    """The probability of a column: one number, or one of every row."""
    if p.ndim == 1:
        return np.where(column, p, 1 - p) if isinstance(column, np.ndarray) else p if column else 1 - p
    return p[np.arange(len(p)), column] if isinstance(column, np.ndarray) else p[:, column]


def _surprise(p: Array, column: Array | int) -> Array:
    """-log p of the column; as far from 0 and 1 as scikit-learn keeps it in this precision."""
    eps = np.finfo(p.dtype).eps
    return -np.log(np.clip(_take(p, column), eps, 1 - eps).astype(np.float64, copy=False))


def _distance(p: Array, column: Array | int) -> Array:
    """Σ_k (p_k - 1[k = column])²."""
    own = _take(p, column).astype(np.float64, copy=False)
    if p.ndim == 1:
        return 2 * (1 - own) ** 2
    return np.sum(p.astype(np.float64, copy=False) ** 2, axis=1) - own**2 + (1 - own) ** 2


@dataclass(frozen=True)
class LogLoss:
    """The mean of -log p of the true label."""

    normalize: bool = True
    labels: tuple[Any, ...] | None = None
    response = "predict_proba"
    bounded = True
    weighted = True

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Losses:
        return _losses(y, _probabilities(predicted, "lower"), weight, self.labels, _surprise)

    def value(self, sums: Losses) -> float:
        loss, weights = _own_losses(sums, self.labels)
        return loss / float(weights.sum()) if self.normalize else loss


@dataclass(frozen=True)
class D2LogLoss:
    """1 - the log loss over that of the shares of the classes."""

    labels: tuple[Any, ...] | None = None
    response = "predict_proba"
    bounded = True
    weighted = True

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Losses:
        return LogLoss(labels=self.labels).sums(y, predicted, weight)

    def value(self, sums: Losses) -> float:
        if sums.n_rows < 2:
            warn_undefined("D^2 score is not well-defined with less than two samples.", stacklevel=3)
            return math.nan
        loss, weights = _own_losses(sums, self.labels)
        eps = np.finfo(np.float64).eps
        null = -np.sum(weights * np.log(np.clip(weights / weights.sum(), eps, 1 - eps)))
        return float(1 - loss / null)


@dataclass(frozen=True)
class Brier:
    """The mean of Σ_k (p_k - 1[y = k])²; of two classes half of that."""

    pos_label: Any = None
    labels: tuple[Any, ...] | None = None
    scale_by_half: bool | str = "auto"
    response = "predict_proba"
    bounded = True
    weighted = True

    def __post_init__(self) -> None:
        check_choice("scale_by_half", self.scale_by_half, (True, False, "auto"), "brier_score_loss")

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Losses:
        p = np.asarray(predicted)
        if p.ndim == 2 and p.shape[1] > 1:
            return _losses(y, _probabilities(p, "lower"), weight, self.labels, _distance)
        p = _probabilities(p, "less")
        labels, codes = label_codes(y)
        if len(labels) > 2:
            raise self._not_binary()
        weight = check_weight(weight)
        # whether a label is the positive one is known when all have been seen
        table = [_by_label(_distance(p, column), codes, weight, len(labels)) for column in (0, 1)]
        weights = np.bincount(codes, weights=weight, minlength=len(labels)).astype(np.float64)
        return Losses(labels, weights, np.stack(table, axis=1), len(p), True, True)

    def value(self, sums: Losses) -> float:
        width = sums.losses.shape[1]
        if sums.one_column:
            if len(sums.labels) > 2:
                raise self._not_binary()
            if not sums.weights.any():
                raise ValueError(NO_WEIGHT)
            positive = sums.labels == self._positive(sums.labels)
            loss, weight = float(np.sum(np.where(positive, *sums.losses.T[::-1]))), float(sums.weights.sum())
        else:
            loss, weights = _own_losses(sums, self.labels)
            weight = float(weights.sum())
        half = width < 3 if self.scale_by_half == "auto" else self.scale_by_half
        return loss / weight * (0.5 if half else 1.0)

    def _positive(self, labels: Array) -> Any:
        """The positive label: given, or 1 beside 0 and -1, or the greater one of numbers."""
        if self.pos_label is not None:
            return self.pos_label
        if labels.dtype.kind == "U":
            names = ", ".join(repr(label) for label in labels.tolist())
            raise ValueError(
                f"y_true takes value in {{{names}}} and pos_label is not specified: either make y_true take value in "
                "{0, 1} or {-1, 1} or pass pos_label explicitly."
            )
        return 1 if set(labels.tolist()) in ({0, 1}, {-1, 1}, {0}, {-1}, {1}) else labels[-1]

    @staticmethod
    def _not_binary() -> ValueError:
        return ValueError(
            "The type of the target inferred from y_true is multiclass but should be binary according to the shape of "
            "y_prob."
        )
