"""Metrics of predicted labels."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..protocol import Array
from .checks import NO_WEIGHT, check_choice, check_range, check_weight, encode, label_pair, total, warn_undefined

AVERAGES = (None, "micro", "macro", "weighted")
MOST_LABELS = 5000  # their squares are sums: 200 MB


class Agreement(NamedTuple):
    """Weights of the rows that are right, and of all rows."""

    right: float
    weight: float

    def __add__(self, other: Agreement) -> Agreement:  # type: ignore[override]
        return Agreement(self.right + other.right, self.weight + other.weight)


@dataclass(frozen=True)
class Accuracy:
    """The weighted share of right labels."""

    normalize: bool = True
    response = "predict"
    bounded = True
    weighted = True

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Agreement:
        y, predicted = label_pair(y, predicted)
        weight = check_weight(weight)
        if weight is None:
            return Agreement(float(np.count_nonzero(y == predicted)), float(len(y)))
        return Agreement(float(total(weight, (y == predicted).astype(np.float64))), float(np.sum(weight)))

    def value(self, sums: Agreement) -> float:
        if not sums.weight:
            raise ValueError(NO_WEIGHT)
        return sums.right / sums.weight if self.normalize else sums.right


class Confusion(NamedTuple):
    """The weight of every pair of a true label and a predicted one."""

    labels: Array  # (L,), ascending: all that occur
    counts: Array  # (L, L), true × predicted; integers where the rows have no weights
    are_true: Array  # (L,) bool: which occur as true labels, of whatever weight

    def __add__(self, other: Confusion) -> Confusion:  # type: ignore[override]
        if np.array_equal(self.labels, other.labels):
            return Confusion(self.labels, self.counts + other.counts, self.are_true | other.are_true)
        labels = np.union1d(self.labels, other.labels)
        counts = np.zeros((len(labels), len(labels)), dtype=np.result_type(self.counts, other.counts))
        are_true = np.zeros(len(labels), dtype=bool)
        for part in (self, other):
            places = np.searchsorted(labels, part.labels)
            counts[np.ix_(places, places)] += part.counts
            are_true[places] |= part.are_true
        return Confusion(labels, counts, are_true)

    def of_labels(self, labels: Any) -> Array:
        """The rows and columns of these labels, zeros where one does not occur; None: of all."""
        if labels is None:
            return self.counts
        places = {label: i for i, label in enumerate(self.labels.tolist())}
        found = [places.get(label, -1) for label in labels]
        padded = np.pad(self.counts, (0, 1))
        return padded[np.ix_(found, found)]


def confusion_sums(y: Any, predicted: Any, weight: Any) -> Confusion:
    """The confusion matrix of a block, over the labels that occur in it."""
    y, predicted = label_pair(y, predicted)
    integral = weight is None or np.asarray(weight).dtype.kind in "biu"
    weight = check_weight(weight)
    n = len(y)
    labels, codes = encode(np.concatenate([y, predicted]))
    size = len(labels)
    if size > MOST_LABELS:
        raise ValueError(f"{size} labels in one block are too many for a confusion matrix: at most {MOST_LABELS}.")
    pairs = codes[:n] * size + codes[n:]
    rows = np.bincount(pairs, minlength=size**2).reshape(size, size)
    counts: Array = rows
    if weight is not None:
        counts = np.bincount(pairs, weights=weight, minlength=size**2).reshape(size, size)
        counts = counts.astype(np.int64) if integral else counts
    return Confusion(labels, counts, np.asarray(rows.any(axis=1)))


def _weighed(sums: Confusion) -> Confusion:
    if not sums.counts.any():
        raise ValueError(NO_WEIGHT)
    return sums


@dataclass(frozen=True)
class ConfusionMatrix:
    """C[i, j]: the weight of the rows of label i that are predicted as label j."""

    labels: tuple[Any, ...] | None = None
    normalize: str | None = None
    response = "predict"
    bounded = True
    weighted = True

    def __post_init__(self) -> None:
        check_choice("normalize", self.normalize, ("true", "pred", "all", None), "confusion_matrix")

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Confusion:
        return confusion_sums(y, predicted, weight)

    def value(self, sums: Confusion) -> Array:
        sums = _weighed(sums)
        if self.labels is not None:
            if not self.labels:
                raise ValueError("'labels' should contain at least one label.")
            if not set(self.labels) & set(sums.labels[sums.are_true].tolist()):
                raise ValueError("At least one label specified must be in y_true")
        matrix = sums.of_labels(self.labels)
        over = {"true": (1, True), "pred": (0, True), "all": (None, False)}.get(self.normalize or "")
        if over is not None:
            with np.errstate(all="ignore"):
                matrix = np.nan_to_num(matrix / matrix.sum(axis=over[0], keepdims=over[1]))
        if matrix.shape == (1, 1):
            warnings.warn(
                "A single label was found in 'y_true' and 'y_pred'. For the confusion matrix to have the correct "
                "shape, use the 'labels' parameter to pass all known labels.",
                UserWarning,
                stacklevel=3,
            )
        return matrix


@dataclass(frozen=True)
class BalancedAccuracy:
    """The mean over the classes of the share of their rows that is right."""

    adjusted: bool = False
    response = "predict"
    bounded = True
    weighted = True

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Confusion:
        return confusion_sums(y, predicted, weight)

    def value(self, sums: Confusion) -> float:
        matrix = ConfusionMatrix().value(sums)
        with np.errstate(divide="ignore", invalid="ignore"):
            recall = np.diagonal(matrix) / matrix.sum(axis=1)
        if np.isnan(recall).any():
            warnings.warn("y_pred contains classes not in y_true", stacklevel=3)
            recall = recall[~np.isnan(recall)]
        score = float(np.mean(recall))
        if self.adjusted:
            with np.errstate(divide="ignore", invalid="ignore"):
                score = float((score - 1 / len(recall)) / np.float64(1 - 1 / len(recall)))
        return score


@dataclass(frozen=True)
class PrecisionRecallFscoreSupport:
    """Precision, recall and F of every label or of their average, and the weight of every label."""

    beta: float = 1.0
    labels: tuple[Any, ...] | None = None
    pos_label: Any = 1
    average: str | None = None
    warn_for: tuple[str, ...] = ("precision", "recall", "f-score")
    zero_division: Any = "warn"
    response = "predict"
    bounded = True
    weighted = True

    def __post_init__(self) -> None:
        check_range("beta", self.beta, 0.0, math.inf, "precision_recall_fscore_support")
        if self.average not in (*AVERAGES, "binary"):
            raise ValueError(f"average has to be one of {(*AVERAGES, 'binary')}")
        value = self.zero_division
        known = value == "warn" if isinstance(value, str) else value in (0, 1) or np.isnan(value)
        if not known:
            raise ValueError(
                "The 'zero_division' parameter of precision_recall_fscore_support must be one of {0.0, 1.0}, nan or "
                f"'warn'. Got {value!r} instead."
            )

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Confusion:
        return confusion_sums(y, predicted, weight)

    def value(self, sums: Confusion) -> Any:
        sums = _weighed(sums)
        right, predicted, true = self._counts(sums)
        precision = self._divide(right, predicted, "precision", "predicted")
        recall = self._divide(right, true, "recall", "true")
        if math.isinf(self.beta):
            fscore = recall
        elif self.beta == 0:
            fscore = precision
        else:
            square = self.beta**2
            fscore = self._divide((1 + square) * right, square * true + predicted, "f-score", "true nor predicted")
        if self.average is None:
            return precision, recall, fscore, true
        weights = true if self.average == "weighted" else None
        return (*(_mean(part, weights) for part in (precision, recall, fscore)), None)

    def _counts(self, sums: Confusion) -> tuple[Array, Array, Array]:
        """Weights of the rows that are rightly of a label, that are predicted as it, and that are of it."""
        labels = self._labels(sums)
        right, predicted, true = np.diagonal(sums.counts), sums.counts.sum(axis=0), sums.counts.sum(axis=1)
        if labels is not None:
            places = {label: i for i, label in enumerate(sums.labels.tolist())}
            found = [places.get(label, -1) for label in labels]
            right, predicted, true = (np.append(part, 0)[found] for part in (right, predicted, true))
        if self.average == "micro":
            right, predicted, true = (np.sum(part, keepdims=True) for part in (right, predicted, true))
        return right, predicted, true

    def _labels(self, sums: Confusion) -> tuple[Any, ...] | None:
        if self.average != "binary":
            if self.pos_label not in (None, 1):
                warnings.warn(
                    f"Note that pos_label (set to {self.pos_label!r}) is ignored when average != 'binary' (got "
                    f"{self.average!r}). You may use labels=[pos_label] to specify a single positive class.",
                    UserWarning,
                    stacklevel=4,
                )
            return self.labels
        present = sums.labels
        if len(present) > 2:
            raise ValueError(
                "Target is multiclass but average='binary'. Please choose another average setting, one of "
                f"{list(AVERAGES)!r}."
            )
        if self.pos_label not in present.tolist() and len(present) >= 2:
            raise ValueError(f"pos_label={self.pos_label} is not a valid label. It should be one of {present}")
        return (self.pos_label,)

    def _divide(self, part: Array, whole: Array, name: str, modifier: str) -> Array:
        empty = whole == 0
        result = part / np.where(empty, 1, whole)
        if empty.any():
            result[empty] = 0.0 if isinstance(self.zero_division, str) else self.zero_division
            if isinstance(self.zero_division, str) and name in self.warn_for:
                where = "due to" if len(result) == 1 else "in labels with"
                warn_undefined(
                    f"{name.capitalize()} is ill-defined and being set to 0.0 {where} no {modifier} samples. "
                    "Use `zero_division` parameter to control this behavior.",
                    stacklevel=4,
                )
        return result


def _mean(values: Array, weights: Array | None) -> float:
    """The mean of what is not NaN."""
    kept = ~np.isnan(values)
    if not kept.any():
        return math.nan
    weights = None if weights is None or not weights[kept].any() else weights[kept]
    return float(np.average(values[kept], weights=weights))


@dataclass(frozen=True)
class Precision(PrecisionRecallFscoreSupport):
    """The share of the rows predicted as a label that are of it."""

    average: str | None = "binary"
    warn_for: tuple[str, ...] = ("precision",)

    def value(self, sums: Confusion) -> Any:
        return super().value(sums)[0]


@dataclass(frozen=True)
class Recall(PrecisionRecallFscoreSupport):
    """The share of the rows of a label that are predicted as it."""

    average: str | None = "binary"
    warn_for: tuple[str, ...] = ("recall",)

    def value(self, sums: Confusion) -> Any:
        return super().value(sums)[1]


@dataclass(frozen=True)
class FBeta(PrecisionRecallFscoreSupport):
    """(1 + β²) precision · recall / (β² precision + recall)."""

    average: str | None = "binary"
    warn_for: tuple[str, ...] = ("f-score",)

    def value(self, sums: Confusion) -> Any:
        return super().value(sums)[2]
