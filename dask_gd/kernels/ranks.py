"""Scores in order, with the weight that every label has at each: what areas under curves are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..protocol import Array

MOST_LABELS = 3  # more are not counted: a curve has two


@dataclass(frozen=True)
class Ranks:
    """The distinct scores of some rows, ascending, and the weight of each label at each of them.

    Adding is merging: exact in the scores, and in the ties.
    """

    labels: Array  # (L,), ascending
    scores: Array  # (m,)
    weights: Array  # (L, m)

    @classmethod
    def of(cls, labels: Array, codes: Array, scores: Array, weight: Array | None) -> Ranks:
        """Of rows whose labels are ``labels[codes]``. Rows of zero weight are left out."""
        if weight is not None and not np.all(weight != 0):
            kept = weight != 0
            codes, scores, weight = codes[kept], scores[kept], weight[kept]
        ones = np.ones(len(scores)) if weight is None else weight.astype(np.float64, copy=False)
        weights = np.stack([np.where(codes == i, ones, 0.0) for i in range(len(labels))])
        return _in_order(labels, scores, weights, counts=weight is None)

    def __len__(self) -> int:
        return len(self.scores)

    def __sizeof__(self) -> int:  # what Dask goes by when it finds room
        return self.scores.nbytes + self.weights.nbytes

    def __add__(self, other: Ranks) -> Ranks:
        return merge_ranks([self, other])

    def sample(self, count: int) -> Array:
        """At most ``count`` of the scores, evenly spread over them; the last is among them."""
        m = len(self.scores)
        return self.scores[np.arange(1, min(count, m) + 1) * m // max(min(count, m), 1) - 1]

    def cut(self, edges: Array) -> list[Ranks]:
        """The scores up to and with each of the edges, and those above the last."""
        places = [0, *np.searchsorted(self.scores, edges, side="right"), len(self.scores)]
        return [Ranks(self.labels, self.scores[a:b], self.weights[:, a:b]) for a, b in pairwise(places)]

    def area(self, limit: float | None = None) -> Area:
        """What these scores have of the area under a curve, the second label being the positive one.

        ``limit``: only up to so much weight of the negative rows, from the highest score down.
        """
        negative, positive = self.weights
        if limit is not None:
            x = np.concatenate([[0.0], np.cumsum(negative[::-1])])
            y = np.concatenate([[0.0], np.cumsum(positive[::-1])])
            stop = int(np.searchsorted(x, limit, side="right"))
            if stop < len(x):
                share = (limit - x[stop - 1]) / (x[stop] - x[stop - 1])
                x = np.append(x[:stop], limit)
                y = np.append(y[:stop], y[stop - 1] + share * (y[stop] - y[stop - 1]))
            return Area(float(np.sum(np.diff(x) * (y[1:] + y[:-1]))) / 2, float(y[-1]), float(x[-1]))
        below = np.cumsum(negative) - negative
        return Area(float(np.sum(positive * (below + negative / 2))), float(np.sum(positive)), float(np.sum(negative)))


class Area(NamedTuple):
    """Weight of the pairs of a positive and a negative row in which the positive one has the higher score, ties counted
    half; and the weights of both kinds. The sum of two is that of lower and of higher scores."""

    pairs: float
    positive: float
    negative: float

    def __add__(self, higher: Area) -> Area:  # type: ignore[override]
        return Area(
            self.pairs + higher.pairs + higher.positive * self.negative,
            self.positive + higher.positive,
            self.negative + higher.negative,
        )


def merge_ranks(parts: Sequence[Ranks]) -> Ranks:
    """All rows of some parts together."""
    if len(parts) == 1:
        return parts[0]
    labels = parts[0].labels
    if not all(np.array_equal(part.labels, labels) for part in parts[1:]):
        labels = np.unique(np.concatenate([part.labels for part in parts]))
    if len(labels) >= MOST_LABELS:
        return Ranks(labels[:MOST_LABELS], parts[0].scores[:0], np.zeros((MOST_LABELS, 0)))
    scores = np.concatenate([part.scores for part in parts])
    weights = np.zeros((len(labels), len(scores)))
    start = 0
    for part in parts:
        stop = start + len(part.scores)
        weights[np.searchsorted(labels, part.labels), start:stop] = part.weights
        start = stop
    return _in_order(labels, scores, weights)


def _in_order(labels: Array, scores: Array, weights: Array, *, counts: bool = False) -> Ranks:
    """Sorted, with the weights of equal scores added in their order; ``counts``: whose sums are exact in any."""
    if not len(scores):
        return Ranks(labels, scores, weights)
    order = np.argsort(scores)  # several times as fast as a stable one, and the same where no two are equal
    ordered = scores[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    if first.all():
        return Ranks(labels, ordered, weights[:, order])
    if not counts:
        order = np.argsort(scores, kind="stable")
    return Ranks(labels, ordered[first], np.add.reduceat(weights[:, order], np.flatnonzero(first), axis=1))
