"""The first sweep: counts, weighted moments of the columns, what the targets are, and whether the data are sound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import issparse

from ..arrays import alike, average, few_labels, is_device_array, namespace, numpy_dtype, row_sums, take, to_numpy
from ..losses import Loss
from ..losses.base import REALS
from ..memory import added, kept_memory, recycled
from ..protocol import Array, Block
from .device import device_moments, weights_of
from .rows import row_slices

COMPILED_SIZE = 2**20  # numbers in X from which machine code is worth its import, whatever X holds
SPARSE_COMPILED_ENTRIES = 2**19  # of a sparse block; with fewer, loading machine code costs more than it saves
TYPICAL_ROWS = 256

NO_WEIGHT = np.zeros(0)

ColumnMoments: TypeAlias = tuple[Array, Array, float]  # mean and m2 of each column, sum of weights


@dataclass(frozen=True)
class Moments:
    """Weighted moments that merge exactly (Chan, Golub & LeVeque, *The American Statistician* 37, 1983).

    ``mean`` and ``m2`` = Σ s (x - mean)² have shape (d,). ``classes`` maps each label with positive weight to its
    weight. ``problem`` = (block index, message) of the first block that cannot be fitted.
    """

    n_rows: int
    n_used: int  # rows of positive weight
    weight: float
    mean: Array
    m2: Array
    y_mean: Any = 0.0  # of several outputs (m,)
    y_m2: Any = 0.0
    min_weight: float = np.inf  # the smallest above zero
    binary: bool = True  # no y is other than 0 or 1
    classes: dict[Any, float] = field(default_factory=dict)
    nonzeros: int = 0
    sparse: bool = False  # any block is
    dtype: Any = None  # of X; None until a row was seen
    y_dtype: Any = None
    problem: tuple[int, str] | None = None
    unused: frozenset[Any] = frozenset()  # labels of rows of weight 0
    about: Array | None = None  # (d,) where columns far from zero are shifted to, if not to their own mean

    def __add__(self, other: Moments) -> Moments:
        problems = [p for p in (self.problem, other.problem) if p is not None]
        classes = dict(self.classes)
        for label, weight in other.classes.items():
            classes[label] = classes.get(label, 0.0) + weight
        weight = self.weight + other.weight
        share = other.weight / weight if weight > 0 else 0.0
        y_delta = other.y_mean - self.y_mean
        delta = np.subtract(other.mean, self.mean, out=recycled(self.mean.shape, np.float64))
        mean = np.multiply(delta, share, out=recycled(delta.shape, np.float64))
        mean += self.mean
        delta *= delta
        delta *= self.weight * share
        m2 = added(self.m2, other.m2)
        m2 += delta
        return Moments(
            n_rows=self.n_rows + other.n_rows,
            n_used=self.n_used + other.n_used,
            weight=weight,
            mean=mean,
            m2=m2,
            y_mean=self.y_mean + y_delta * share,
            y_m2=self.y_m2 + other.y_m2 + y_delta * y_delta * (self.weight * share),
            min_weight=min(self.min_weight, other.min_weight),
            binary=self.binary and other.binary,
            classes=classes,
            nonzeros=self.nonzeros + other.nonzeros,
            sparse=self.sparse or other.sparse,
            dtype=_common(self.dtype, other.dtype),
            y_dtype=_common(self.y_dtype, other.y_dtype),
            problem=min(problems) if problems else None,
            unused=self.unused | other.unused,
        )

    @property
    def std(self) -> Array:
        """Weighted population standard deviation (ddof 0) of each column."""
        return np.asarray(np.sqrt(self.m2 / self.weight))

    @property
    def rms(self) -> Array:
        """Root of the weighted mean square of each column."""
        return np.asarray(np.hypot(self.std, self.mean))


@dataclass(frozen=True)
class MomentsKernel:
    """Moments of one block; ``classification`` collects labels instead of moments of y.

    ``loss``: the regression loss whose ``targets`` every y must be among.
    """

    n_features: int
    classification: bool
    loss: Loss | None = None
    name: str = "moments"

    def __call__(self, block: Block) -> Moments:
        refused = self.refused(block)
        return self.of(block, column_moments(block.X, block.weight)) if refused is None else refused

    def refused(self, block: Block) -> Moments | None:
        """What a block without rows adds, or one that cannot be fitted, whatever is in its X; None for another."""
        d = self.n_features
        message = shape_problem(block, d)
        if message is None and block.n_rows == 0:
            return Moments(0, 0, 0.0, np.zeros(d), np.zeros(d))
        if message is None:
            message = _value_problem(block, self.classification)
        given = None if self.loss is None or self.loss.targets == REALS else self.loss.targets
        if message is None and given is not None and not namespace(block.y).all(given.holds(block.y)):
            name = type(self.loss).__name__
            message = f"Some value(s) of y are out of the valid range of the loss {name}: y must be in {given}."
        return None if message is None else self._problem(block, message)

    def _problem(self, block: Block, message: str) -> Moments:
        none = np.zeros(self.n_features)
        return Moments(0, 0, 0.0, none, none, problem=(block.index, message))

    def of(self, block: Block, columns: ColumnMoments) -> Moments:
        """The moments of a block that was not refused, from those of its columns."""
        mean, m2, total = columns
        if not (np.isfinite(mean).all() and np.isfinite(m2).all()):
            return self._problem(block, _name_nonfinite(block.X))
        weight = block.weight
        used, min_weight = block.n_rows, 1.0
        if weight is not None:
            xp = namespace(weight)
            used, min_weight = int(xp.count_nonzero(weight)), float(xp.min(weight))
            if min_weight == 0:
                min_weight = float(xp.min(xp.where(weight > 0, weight, np.inf)))
        y_mean: Any = 0.0
        y_m2: Any = 0.0
        binary = True
        classes: dict[Any, float] = {}
        unused: frozenset[Any] = frozenset()
        if self.classification:
            classes = _count_labels(block.y, weight)
            if used < block.n_rows:
                unused = _unused_labels(block.y, weight)
        elif total > 0:
            y_mean, y_m2 = _target_moments(block.y, weight, total)
            binary = _binary(block.y[:TYPICAL_ROWS, ...]) and _binary(block.y)
        X = block.X
        nonzeros = X.nnz if issparse(X) else X.shape[0] * X.shape[1]
        return Moments(
            block.n_rows,
            used,
            total,
            mean,
            m2,
            y_mean,
            y_m2,
            min_weight,
            binary,
            classes,
            int(nonzeros),
            issparse(X),
            numpy_dtype(X),
            numpy_dtype(block.y),
            unused=unused,
        )


def _target_moments(y: Array, weight: Array | None, total: float) -> tuple[Any, Any]:
    """Mean of y and sum of squares about it, of each target."""
    if is_device_array(y):
        mean = average(y, weight)
        return to_numpy(mean), to_numpy(average((y - mean) ** 2, weight)) * total
    weight = None if weight is None else weight.astype(np.float64, copy=False)
    mean = y.mean(axis=0) if weight is None else weight @ y / total
    rest = np.subtract(y, mean, out=kept_memory("rest", y.shape, np.float64))
    rest *= rest
    return mean, rest.sum(axis=0) if weight is None else weight @ rest


def _binary(y: Array) -> bool:
    return bool(namespace(y).all((y == 0) | (y == 1)))


def _common(a: Any, b: Any) -> Any:
    """The dtype that holds both; None holds nothing."""
    if a is None or b is None:
        return b if a is None else a
    return a if a == b else np.result_type(a, b)


def shape_problem(block: Block, n_features: int) -> str | None:
    """What is wrong with the lengths and widths of a block, in scikit-learn's words; None: nothing."""
    n, d = block.X.shape
    lengths = [n] + [a.shape[0] for a in (block.y, block.weight, block.offset, block.fold) if a is not None]
    if len(set(lengths)) > 1:
        return f"Found input variables with inconsistent numbers of samples: {lengths}"
    if d != n_features:
        return f"X has {d} features in this block, but {n_features} in the first"
    return None


def _value_problem(block: Block, classification: bool) -> str | None:
    y, weight, offset = block.y, block.weight, block.offset
    kind, xp = numpy_dtype(y).kind, namespace(y)
    if kind == "f":
        if not xp.all(xp.isfinite(y)):
            what = "NaN" if xp.any(xp.isnan(y)) else f"infinity or a value too large for {numpy_dtype(y)!r}"
            return f"Input y contains {what}."
        if classification and xp.any(y != xp.floor(y)):
            return (
                "Unknown label type: continuous. Maybe you are trying to fit a classifier, which expects discrete "
                "classes on a regression target with continuous values."
            )
    elif kind == "O" and any(map(_missing, y)):
        return "Input y contains NaN."
    xp = namespace(block.X)
    for name, values in (("sample_weight", weight), ("offset", offset)):
        if values is not None and not xp.all(xp.isfinite(values)):
            return f"Input {name} contains {'NaN' if xp.any(xp.isnan(values)) else 'infinity'}."
    if weight is not None and xp.any(weight < 0):
        return "Negative values in data passed to `sample_weight`."
    return None


def _missing(label: Any) -> bool:
    try:
        return label is None or bool(label != label)
    except TypeError:  # pandas' NA, which is neither true nor false
        return True


def _name_nonfinite(X: Any) -> str:
    """Sklearn's words for NaN and infinity, with the first column that holds any and how many."""
    xp = namespace(X)
    data = X.data if issparse(X) else X
    found, what = xp.isnan(data), "NaN."
    if not xp.any(found):
        found, what = xp.isinf(data), f"infinity or a value too large for {numpy_dtype(X)!r}."
    if not xp.any(found):
        return f"Input X contains {what} (their squares overflow float64)"
    counts = np.bincount(X.indices[found]) if issparse(X) else to_numpy(xp.count_nonzero(found, axis=0))
    column = int(np.flatnonzero(counts)[0])
    return f"Input X contains {what} ({counts[column]} in column {column})"


def column_moments(X: Any, weight: Array | None) -> ColumnMoments:
    """Mean and centred sum of squares of each column, and the sum of weights; not finite where X is not."""
    total = float(X.shape[0] if weight is None else row_sums(weight))
    with np.errstate(over="ignore", invalid="ignore"):
        if is_device_array(X):
            mean, m2 = device_moments(X, weight)
        elif issparse(X):
            mean, m2 = _sparse_moments(X, weight)
        elif X.size >= COMPILED_SIZE and (code := machine_code()) is not None:
            mean, m2 = _compiled_moments(code, X, weight, total)
        else:
            mean, m2 = _dense_moments(X, weight)
    return mean, m2, total


def typical_row(X: Array, weight: Array | None) -> Array:
    """(d,) the mean of some rows all over a dense X, exact for constant columns: sums about it keep their digits."""
    used = slice(None, None, max(len(X) // TYPICAL_ROWS, 1))
    some = np.ascontiguousarray(X[used] if weight is None else X[used][weight[used] > 0])  # the order decides the bits
    if not len(some):
        return np.zeros(X.shape[1])
    first = some[0].astype(np.float64)
    return first + (some - first).mean(axis=0)


def machine_code() -> Any:
    """The module of compiled sums, which imports Numba; None where that is not there."""
    from ..compiled import jit, moments

    return moments if jit.COMPILED else None


def _compiled_moments(code: Any, X: Array, weight: Array | None, total: float) -> tuple[Array, Array]:
    """Sums in float64, from one read in machine code."""
    if total == 0:
        return np.zeros(X.shape[1]), np.zeros(X.shape[1])
    shift = typical_row(X, weight)
    first, second = code.column_sums(X, NO_WEIGHT if weight is None else weight.astype(np.float64, copy=False), shift)
    first /= total
    return shift + first, np.maximum(second - total * first * first, 0.0)


def _dense_moments(X: Array, weight: Array | None) -> tuple[Array, Array]:
    mean, m2 = _sliced_moments(X, weight, X.dtype)
    if X.dtype != np.float64 and not (np.isfinite(mean).all() and np.isfinite(m2).all()):
        mean, m2 = _sliced_moments(X, weight, np.dtype(np.float64))  # the squares may only be too large for float32
    return mean, m2


def _sliced_moments(X: Array, weight: Array | None, dtype: np.dtype) -> tuple[Array, Array]:
    """Sums of a slice in ``dtype``, of all slices in float64."""
    d = X.shape[1]
    shift = X[0].astype(dtype)  # near the mean: keeps the digits of columns whose mean dwarfs their spread
    total, first, second = 0.0, np.zeros(d), np.zeros(d)
    scratch = np.zeros((0, d), dtype)  # reused: under a nanny a fresh array of this size is fresh memory each time
    for rows in row_slices(X, d):  # a copy of the slice is made: count it as margins
        Xr = X[rows]
        if len(scratch) < len(Xr):
            scratch = np.empty((len(Xr), d), dtype)
        A = np.subtract(Xr, shift, out=scratch[: len(Xr)])
        s = np.ones(len(A), dtype=dtype) if weight is None else weight[rows].astype(dtype, copy=False)
        total += s.sum(dtype=np.float64)
        first += s @ A
        np.multiply(A, A, out=A)
        second += s @ A
    if total == 0:
        return np.zeros(d), np.zeros(d)
    first /= total
    return shift + first, np.maximum(second - total * first * first, 0.0)


def _sparse_moments(X: Any, weight: Array | None) -> tuple[Array, Array]:
    n, d = X.shape
    total = float(n if weight is None else weight.sum(dtype=np.float64))
    if total == 0:
        return np.zeros(d), np.zeros(d)
    if X.nnz >= SPARSE_COMPILED_ENTRIES:
        from ..compiled.jit import COMPILED

        if COMPILED:
            from ..compiled.sparse import csr_moments

            return csr_moments(X, np.zeros(0) if weight is None else weight.astype(np.float64), total)
    data = X.data.astype(np.float64, copy=False)
    s = np.ones_like(data) if weight is None else np.repeat(weight, np.diff(X.indptr)).astype(np.float64)
    mean = np.bincount(X.indices, weights=s * data, minlength=d) / total
    stored = np.bincount(X.indices, weights=s, minlength=d)
    m2 = np.bincount(X.indices, weights=s * (data - mean[X.indices]) ** 2, minlength=d)
    return mean, m2 + np.maximum(total - stored, 0.0) * mean * mean


def _unused_labels(y: Any, weight: Any) -> frozenset[Any]:
    """Those of rows of weight 0."""
    if not is_device_array(y):
        return frozenset(y[to_numpy(weight) == 0].tolist())
    xp = namespace(y)
    rows = xp.nonzero(alike(weight, y) == 0)[0]
    return frozenset(to_numpy(xp.unique_values(take(y, rows))).tolist())


def _count_labels(y: Any, weight: Any) -> dict[Any, float]:
    if is_device_array(y):
        return weights_of(to_numpy(namespace(y).unique_values(y)).tolist(), y, weight)
    if weight is not None:
        used = weight > 0
        if not used.all():
            y, weight = y[used], weight[used]
    if len(y) == 0:
        return {}
    few = few_labels(y)
    if few is not None:
        return {
            label.item(): float(np.count_nonzero(same) if weight is None else same @ weight.astype(np.float64))
            for label, same in zip(*few, strict=True)
        }
    if y.dtype.kind == "O":  # not sorted here: whether labels compare is for all blocks together to see
        weights: dict[Any, float] = {}
        for label, s in zip(y.tolist(), np.ones(len(y)) if weight is None else weight, strict=True):
            weights[label] = weights.get(label, 0.0) + float(s)
        return weights
    labels, code = np.unique(y, return_inverse=True)
    return dict(zip(labels.tolist(), np.bincount(code, weights=weight).astype(float).tolist(), strict=True))
