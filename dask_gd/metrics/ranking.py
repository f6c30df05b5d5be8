"""The area under the ROC curve, exact: of two classes from the scores in order, of more from all rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..engine import Exchange, Ranges
from ..kernels import Area, Ranks, merge_ranks
from ..protocol import Array, Block
from .checks import (
    NO_WEIGHT,
    check_choice,
    check_finite,
    check_range,
    check_weight,
    label_codes,
    outputs,
    warn_undefined,
)
from .judged import Judged, JudgeKernel

SMALL_ROWS = 2**17  # of which the scores may come to the client; those of more meet on the workers


class Curve(Protocol):
    """Scores of one curve, range by range."""

    def areas(self, limit: float | None) -> list[Area]:
        """Of every range, ascending; ``limit``: up to so much weight of its negative rows."""
        ...

    def close(self) -> None:
        """The scores are not needed any more."""


class CurveHere(NamedTuple):
    """One range, in this process."""

    ranks: Ranks

    def areas(self, limit: float | None) -> list[Area]:
        return [self.ranks.area(limit)]

    def close(self) -> None:
        pass


class CurveThere(NamedTuple):
    """Ranges that lie on the workers."""

    ranges: Ranges

    def areas(self, limit: float | None) -> list[Area]:
        return self.ranges.ask(partial(Ranks.area, limit=limit))

    def close(self) -> None:
        self.ranges.close()


class Rows(NamedTuple):
    """Scores of several classes, block by block, with the labels and weights of their rows."""

    parts: tuple[tuple[Array, Array, Array | None], ...]  # (labels (n,), scores (n, K), weights (n,) or None)

    def __add__(self, other: Rows) -> Rows:  # type: ignore[override]
        return Rows(self.parts + other.parts)


class Facts(NamedTuple):
    """What must be known of all rows before any curve is drawn."""

    labels: Array
    counts: Array  # rows of each label
    weights: Array
    width: int | None  # columns of the scores; None: (n,)
    add_up: bool

    def __add__(self, other: Facts) -> Facts:  # type: ignore[override]
        labels = np.union1d(self.labels, other.labels)
        counts, weights = np.zeros(len(labels)), np.zeros(len(labels))
        for part in (self, other):
            places = np.searchsorted(labels, part.labels)
            counts[places] += part.counts
            weights[places] += part.weights
        return Facts(labels, counts, weights, self.width, self.add_up and other.add_up)


class Question(NamedTuple):
    """One curve: which rows, which of them are positive, and by which scores."""

    rows: tuple[Any, ...] | None  # labels of the rows; None: all
    positive: Any  # label; None: every row once with every label, "micro"
    column: int | None
    labels: tuple[Any, ...] = ()


@dataclass(frozen=True)
class RocAuc:
    """The share of the pairs of a positive and a negative row in which the positive one has the higher score."""

    average: str | None = "macro"
    max_fpr: float | None = None
    multi_class: str = "raise"
    labels: tuple[Any, ...] | None = None
    bounded = False
    weighted = True

    def __post_init__(self) -> None:
        check_choice("average", self.average, ("micro", "macro", "weighted", "samples", None), "roc_auc_score")
        check_choice("multi_class", self.multi_class, ("raise", "ovr", "ovo"), "roc_auc_score")
        if self.max_fpr is not None:
            check_range("max_fpr", self.max_fpr, 0.0, 1.0, "roc_auc_score")
            if not self.max_fpr:
                raise ValueError("Expected max_fpr in range (0, 1], got: 0")

    @property
    def response(self) -> str:
        return "decision_function" if self.multi_class == "raise" else "predict_proba"

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Ranks | Rows:
        scores = _scores(predicted)
        labels, codes = label_codes(y)
        weight = check_weight(weight)
        if scores.ndim == 1:
            if len(labels) > 2:
                raise self._not_binary(scores.shape)
            return Ranks.of(labels, codes, scores, weight)
        return Rows(((labels[codes], scores, weight),))

    def value(self, sums: Ranks | Rows) -> Any:
        if isinstance(sums, Ranks):
            if len(sums.labels) > 2:
                raise self._not_binary((0,))
            if not sums.weights.any():
                raise ValueError(NO_WEIGHT)
            if len(sums.labels) < 2:
                return _one_class()
            return self._area(CurveHere(sums))
        blocks = [Block(i, scores, labels, weight) for i, (labels, scores, weight) in enumerate(sums.parts)]
        first, *others = (find_facts(*part) for part in sums.parts)
        facts = sum(others, start=first)

        def curve(question: Question) -> Curve:
            return CurveHere(merge_ranks([rank(block, question) for block in blocks]))

        return self._of(facts, curve)

    def of_rows(self, rows: Exchange) -> Any:
        """The area of rows that lie on many machines: every range of scores is put in order on its own, and only
        numbers come here."""
        facts = rows.add(JudgeKernel(find_facts), Judged(None)).settled()
        if facts.counts.sum() <= SMALL_ROWS:
            return self.value(rows.add(JudgeKernel(self.sums), Judged(None)).settled())

        def curve(question: Question) -> Curve:
            return CurveThere(rows.in_order(partial(rank, question=question), merge_ranks))

        return self._of(facts, curve)

    def _of(self, facts: Facts, curve: Callable[[Question], Curve]) -> Any:
        if not facts.weights.any():
            raise ValueError(NO_WEIGHT)
        classes = facts.labels
        if facts.width is None or (len(classes) <= 2 and facts.width <= 2):
            if len(classes) > 2:
                raise self._not_binary((0,))
            if facts.width is not None:
                raise ValueError(f"y should be a 1d array, got an array of shape (n, {facts.width}) instead.")
            return self._area(curve(_binary(classes))) if len(classes) == 2 else _one_class()
        if self.max_fpr not in (None, 1.0):
            raise ValueError(
                "Partial AUC computation not available in multiclass setting, 'max_fpr' must be set to `None`, "
                f"received `max_fpr={self.max_fpr}` instead"
            )
        if self.multi_class == "raise":
            raise ValueError("multi_class must be in ('ovo', 'ovr')")
        columns = self._columns(facts)
        return self._ovo(facts, columns, curve) if self.multi_class == "ovo" else self._ovr(facts, columns, curve)

    def _columns(self, facts: Facts) -> Array:
        """The labels of the columns."""
        if not facts.add_up:
            raise ValueError(
                "Target scores need to be probabilities for multiclass roc_auc, i.e. they should sum up to 1.0 over "
                "classes"
            )
        averages = ("micro", "macro", "weighted", None) if self.multi_class == "ovr" else ("macro", "weighted", None)
        if self.average not in averages:
            raise ValueError(f"average must be one of {averages} for multiclass problems")
        if self.average is None and self.multi_class == "ovo":
            raise NotImplementedError("average=None is not implemented for multi_class='ovo'.")
        if self.labels is None:
            if len(facts.labels) != facts.width:
                raise ValueError("Number of classes in y_true not equal to the number of columns in 'y_score'")
            return facts.labels
        given = np.array(self.labels)
        if len(np.unique(given)) != len(given):
            raise ValueError("Parameter 'labels' must be unique")
        if not np.array_equal(np.unique(given), given):
            raise ValueError("Parameter 'labels' must be ordered")
        if len(given) != facts.width:
            raise ValueError(
                f"Number of given labels, {len(given)}, not equal to the number of columns in 'y_score', {facts.width}"
            )
        if len(np.setdiff1d(facts.labels, given)):
            raise ValueError("'y_true' contains labels not in parameter 'labels'")
        return given

    def _ovr(self, facts: Facts, columns: Array, curve: Callable[[Question], Curve]) -> Any:
        labels = columns.tolist()
        if self.average == "micro":
            return self._area(curve(Question(None, None, None, tuple(labels))))
        weights = dict(zip(facts.labels.tolist(), facts.weights.tolist(), strict=True))
        shares = np.array([weights.get(label, 0.0) for label in labels])
        present = set(facts.labels.tolist())
        areas = np.array(
            [
                self._area(curve(Question(None, label, i))) if label in present and len(present) > 1 else _one_class()
                for i, label in enumerate(labels)
            ]
        )
        if self.average is None:
            return areas
        if self.average == "weighted":
            return float(np.average(np.where(shares == 0, 0.0, areas), weights=shares))
        return float(np.mean(areas))

    def _ovo(self, facts: Facts, columns: Array, curve: Callable[[Question], Curve]) -> float:
        if facts.weights.tolist() != facts.counts.tolist():
            raise ValueError(
                "sample_weight is not supported for multiclass one-vs-one ROC AUC, 'sample_weight' must be None in "
                "this case."
            )
        places = {label: i for i, label in enumerate(columns.tolist())}
        counts = dict(zip(facts.labels.tolist(), facts.counts.tolist(), strict=True))
        areas, shares = [], []
        for a, b in permutations(counts, 2):  # a pair has the mean of both ways of being positive
            areas.append(self._area(curve(Question((a, b), a, places[a]))))
            shares.append(counts[a] + counts[b])
        return float(np.average(areas, weights=shares if self.average == "weighted" else None))

    def _area(self, curve: Curve) -> float:
        """The area under one curve, or the standardised part of it up to ``max_fpr``."""
        with closing(curve):
            return self._under(curve)

    def _under(self, curve: Curve) -> float:
        parts = curve.areas(None)
        whole = parts[0]
        for part in parts[1:]:
            whole = whole + part
        if not (whole.positive and whole.negative):
            return _one_class()
        if self.max_fpr in (None, 1.0):
            return whole.pairs / (whole.positive * whole.negative)
        assert self.max_fpr is not None
        limit = self.max_fpr * whole.negative
        above = Area(0.0, 0.0, 0.0)
        for i, part in reversed(list(enumerate(parts))):
            if above.negative + part.negative > limit:
                above = curve.areas(limit - above.negative)[i] + above
                break
            above = part + above
        area = above.pairs / (whole.positive * whole.negative)
        least, most = 0.5 * self.max_fpr**2, self.max_fpr
        return 0.5 * (1 + (area - least) / (most - least))

    def _not_binary(self, shape: tuple[int, ...]) -> ValueError:
        if self.max_fpr not in (None, 1.0):
            return ValueError(
                "Partial AUC computation not available in multiclass setting, 'max_fpr' must be set to `None`, "
                f"received `max_fpr={self.max_fpr}` instead"
            )
        if self.multi_class == "raise":
            return ValueError("multi_class must be in ('ovo', 'ovr')")
        return ValueError(
            "`y_score` needs to be of shape `(n_samples, n_classes)`, since `y_true` contains multiple classes. Got "
            f"`y_score.shape={shape}`."
        )


def _scores(predicted: Any) -> Array:
    scores = np.asarray(predicted)
    if scores.dtype.kind != "f" or scores.dtype.itemsize < 4:
        scores = outputs(scores).T
    check_finite(scores)
    return scores[:, 0] if scores.ndim == 2 and scores.shape[1] == 1 else scores


def _binary(classes: Array) -> Question:
    return Question(None, classes[-1:].tolist()[0], None)


def _one_class() -> float:
    warn_undefined(
        "Only one class is present in y_true. ROC AUC score is not defined in that case.",
        stacklevel=4,
    )
    return math.nan


def find_facts(y: Array, predicted: Array, weight: Array | None) -> Facts:
    """Of one block of predictions."""
    scores = _scores(predicted)
    labels, codes = label_codes(y)
    weight = check_weight(weight)
    counts = np.bincount(codes, minlength=len(labels)).astype(np.float64)
    weights = counts if weight is None else np.bincount(codes, weights=weight, minlength=len(labels))
    if scores.ndim == 1:
        return Facts(labels, counts, weights, None, True)
    return Facts(labels, counts, weights, scores.shape[1], bool(np.allclose(1, scores.sum(axis=1))))


def rank(block: Block, question: Question) -> Ranks:
    """The scores of one block that are part of a curve."""
    labels, codes = label_codes(block.y)
    scores = _scores(block.X)
    weight = check_weight(block.weight)
    both = np.array([0, 1])
    if question.positive is None:
        own = np.searchsorted(np.array(question.labels), labels)[codes]
        k = scores.shape[1]
        positive = (np.arange(k) == own[:, None]).ravel()
        return Ranks.of(both, positive, scores.ravel(), None if weight is None else np.repeat(weight, k))
    positive = np.array([label == question.positive for label in labels.tolist()])[codes]
    column = scores if question.column is None else scores[:, question.column]
    if question.rows is not None:
        kept = np.array([label in question.rows for label in labels.tolist()])[codes]
        positive, column = positive[kept], column[kept]
        weight = None if weight is None else weight[kept]
    return Ranks.of(both, positive, column, weight)
