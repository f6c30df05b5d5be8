"""Many fits in one read of a block, each over all rows but those of its own test fold.

Every piece of a fold's rows is read once, for all the fits that train on it or are judged by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..arrays import alike, is_device_array, numpy_dtype
from ..memory import kept_memory
from ..protocol import Array, Block, Kernel, Points, PointSums, Sums
from .folds import EVERYTHING, fold_pieces, plus
from .loss import LossKernel
from .rows import row_range, take_block

MARGIN_BYTES = 48 * 1024  # of one output of one model; more would be fresh memory each time under a nanny
CLASS_NUMBER = "class_number"  # the response of a metric that is content with the numbers of classes


@dataclass(frozen=True)
class WithoutKernel:
    """The sums of a kernel over the rows outside one fold."""

    kernel: Kernel
    fold: int

    @property
    def name(self) -> str:
        return self.kernel.name

    def __call__(self, block: Block) -> Any:
        if self.fold == EVERYTHING:
            return self.kernel(block)
        return self.kernel(take_block(block, np.flatnonzero(block.fold != self.fold)))


class Split(NamedTuple):
    """Points of many fits, and the fold (t,) that each leaves out."""

    points: Points
    without: Array


@dataclass(frozen=True)
class SplitLossKernel:
    """The sums of a loss at the points of many fits: one :class:`PointSums` for each of the splits.

    ``kernel`` has loss, origin, precision and class weights; it has no points of its own.
    """

    kernel: LossKernel
    splits: tuple[Split, ...]

    @property
    def name(self) -> str:
        return self.kernel.name

    @property
    def points(self) -> tuple[Any, ...]:
        """What there is to carry."""
        return self.splits

    def __call__(self, block: Block) -> Sums:
        if block.n_rows == 0:
            return replace(self.kernel, points=tuple(split.points for split in self.splits))(block)
        found: dict[int, Sums] = {}
        training: dict[int, list[Points | None]] = {}
        for fold, piece in fold_pieces(block):
            if fold not in training:
                training[fold] = [_training(split, fold) for split in self.splits]
            asked = tuple(points for points in training[fold] if points is not None)
            if asked:
                sums = replace(self.kernel, points=asked)(piece)
                found[fold] = found[fold] + sums if fold in found else sums
        parts = {
            fold: dict(zip([i for i, p in enumerate(training[fold]) if p is not None], sums.parts, strict=True))
            for fold, sums in found.items()
        }
        return Sums(tuple(self._joined(i, split, parts) for i, split in enumerate(self.splits)))

    def _joined(self, i: int, split: Split, found: dict[int, dict[int, PointSums]]) -> PointSums:
        """The sums of all points, from those of the pieces of each fold."""
        totals: list[Any] | None = None
        for fold, parts in found.items():
            if i not in parts:
                continue
            mine = split.without != fold
            if totals is None:
                totals = [None if a is None else np.zeros((len(mine), *a.shape[1:])) for a in parts[i]]
            for total, part in zip(totals, parts[i], strict=True):
                if total is not None:
                    total[mine] += part
        if totals is None:  # no row is for these fits
            nothing = Block(0, np.zeros((0, split.points.W.shape[-1])), np.zeros(0))
            none: PointSums = replace(self.kernel, points=(split.points,), class_weight=None)(nothing).parts[0]
            return none
        return PointSums._make(totals)


def _training(split: Split, fold: int) -> Points | None:
    """The points of the fits that train on a fold's rows; None: there is none."""
    mine = split.without != fold
    if mine.all():
        return split.points
    if not mine.any():
        return None
    points = split.points
    direction = None if points.direction is None else (points.direction[0][mine], points.direction[1][mine])
    return points._replace(W=points.W[mine], b=points.b[mine], direction=direction)


class JudgedModel(NamedTuple):
    """A model, the metrics that judge it, and its test fold.

    ``metrics``: each with the name of what it judges; ``responses``: by name a function of the margins, which are (n,)
    of one output, else (n, k).
    """

    coef: Array  # (k, d)
    intercept: Array  # (k,)
    metrics: tuple[tuple[Any, Any], ...]
    responses: dict[Any, Callable[[Any], Any]]
    fold: int


class Unjudged(NamedTuple):
    """A metric has no value on some rows: the first block of these, and why."""

    block: int
    why: str


class Verdicts(NamedTuple):
    """The sums of each metric of each model, or that it has none; None where no row was seen."""

    parts: tuple[Any, ...]

    def __add__(self, other: Verdicts) -> Verdicts:  # type: ignore[override]
        return Verdicts(tuple(_joined(a, b) for a, b in zip(self.parts, other.parts, strict=True)))


def _joined(a: Any, b: Any) -> Any:
    refused = [part for part in (a, b) if isinstance(part, Unjudged)]
    return min(refused) if refused else plus(a, b)


@dataclass(frozen=True)
class HeldOutKernel:
    """What metrics make of models on the rows of their test folds, and if wanted (``train``) on those they trained on.

    The sums of one model after the other: of every metric on its test rows, then on its training rows.
    """

    models: tuple[JudgedModel, ...]
    train: bool = False
    classes: Array | None = None
    weighted: bool = False
    name: str = "score"

    def __call__(self, block: Block) -> Verdicts:
        sides = 2 if self.train else 1
        found: list[Any] = [None] * (sides * sum(len(model.metrics) for model in self.models))
        for fold, piece in self._slices(block):
            numbers = piece.y
            y = numbers if self.classes is None or not self._labels else self.classes[numbers.astype(np.intp)]
            weight = piece.weight if self.weighted else None
            place = 0
            margins = self._margins(piece, fold)
            for model in self.models:
                start, place = place, place + sides * len(model.metrics)
                tested = model.fold == fold
                if not (tested or self.train):
                    continue
                eta = next(margins)
                predicted = {name: respond(eta) for name, respond in model.responses.items()}
                for j, (metric, name) in enumerate(model.metrics, start if tested else start + len(model.metrics)):
                    try:
                        sums: Any = metric.sums(numbers if name == CLASS_NUMBER else y, predicted[name], weight)
                    except (ValueError, TypeError) as error:  # an error would stop all other models too
                        sums = Unjudged(block.index, str(error))
                    found[j] = _joined(found[j], sums)
        return Verdicts(tuple(found))

    def _slices(self, block: Block) -> Iterator[tuple[int, Block]]:
        """The pieces of each fold, in slices whose margins stay in the cache model by model."""
        for fold, piece in fold_pieces(block):
            rows = piece.n_rows if is_device_array(piece.X) else MARGIN_BYTES // numpy_dtype(piece.X).itemsize
            for start in range(0, piece.n_rows, rows):
                yield fold, row_range(piece, start, min(start + rows, piece.n_rows))

    def _margins(self, piece: Block, fold: int) -> Iterator[Any]:
        """Those of each model that is judged on a fold, all from one product."""
        X = piece.X
        dtype = numpy_dtype(X)
        models = [model for model in self.models if self.train or model.fold == fold]
        if not models:
            return
        W = np.concatenate([model.coef for model in models]).astype(dtype)
        if isinstance(X, np.ndarray):  # all margins of a model side by side
            eta = np.matmul(W, X.T, out=kept_memory("margins", (len(W), len(X)), dtype))
        else:
            eta = (X @ alike(W.T.copy(), X)).T
        first = 0
        for model in models:
            own = eta[first : first + len(model.coef), ...] + alike(model.intercept.astype(dtype)[:, None], X)
            first += len(model.coef)
            if piece.offset is not None:
                own = own + piece.offset
            yield own[0, ...] if len(model.coef) == 1 else own.T

    @property
    def _labels(self) -> bool:
        """Whether any metric judges by the labels themselves."""
        return any(name != CLASS_NUMBER for model in self.models for _, name in model.metrics)
