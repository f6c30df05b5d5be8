"""What ridges get wrong on rows that they have not seen: folds that are held out, and every row left out in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from ..arrays import alike, cast, concat, is_device_array, namespace, to_numpy, zeros
from ..protocol import Array, Block
from .device import DOUBLE
from .rows import MAX_ROWS, row_slices, take_rows
from .squares import Squares, SquaresKernel

SLICE_BYTES = 2**20  # of all that is formed for a slice of rows
SPARSE_SLICE_BYTES = 2**18  # whose products are new memory each time
GROUP_COLUMNS = 256  # models at a time
LEAST_ROWS = 64
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class TargetSquaresKernel(SquaresKernel):
    """The squares of y - offset and, where that is not the same, of y beside it, which is what a score is held
    against."""

    def __call__(self, block: Block) -> Squares:
        if block.offset is not None:
            y = block.y[:, None] if block.y.ndim == 1 else block.y
            block = block._replace(y=concat([y - block.offset[:, None], y], axis=1), offset=None)
        return super().__call__(block)


@dataclass(frozen=True)
class RotatedKernel:
    """The squares of the rows (x - center) · basis, in slices that stay small whatever X is."""

    center: Array  # (d,)
    basis: Array  # (d, r)
    name: str = "rotated"

    @property
    def points(self) -> tuple[Array, ...]:
        """What there is to carry."""
        return (self.basis,)

    def __call__(self, block: Block) -> Squares:
        d, m = self.basis.shape[1], 1 if block.y.ndim == 1 else block.y.shape[1]
        total = Squares(0.0, np.zeros(d), np.zeros(m), np.zeros((d, d)), np.zeros((d, m)), np.zeros(m))
        for rows, Z in _rotated(block.X, self.center, self.basis, d, Scratch()):
            parts = (None if a is None else a[rows, ...] for a in (block.y, block.weight, block.offset))
            part = SquaresKernel()(Block(block.index, Z, *parts))
            total = total + part
        return total


@dataclass(frozen=True)
class LeaveOneOutKernel:
    """Σ s e² for every strength and target: e is what the ridge of all other rows gets wrong.

    With X̃ᵀX̃ = V diag(λ) Vᵀ of the centred, weighted rows, z = Vᵀ(x - x̄) and g = VᵀX̃ᵀỹ the residual of a row is
    r = ỹ - Σ z g/(λ + α), and left out it is r / (1 - s/S - s Σ z²/(λ + α)) (Rifkin & Lippert, *Notes on Regularized
    Least Squares*, MIT-CSAIL-TR-2007-025). Where the rows are no more than the directions that they span, both are
    small differences of large numbers, and are formed as s Σ z²/λ · α/(λ + α) and so on instead.
    """

    center: Array  # (d,) x̄; zeros without an intercept
    target: Array  # (m,) ȳ; zeros likewise
    vectors: Array  # (d, r) V
    values: Array  # (r,) λ
    slopes: Array  # (r, m) g
    alphas: Array  # (a,)
    weight: float  # S; infinity without an intercept
    spanned: bool = False
    name: str = "leave-one-out"

    @property
    def points(self) -> tuple[Array, ...]:
        """What there is to carry."""
        return (self.vectors, self.slopes)

    def __call__(self, block: Block) -> Array:
        sums = np.zeros((len(self.alphas), len(self.target)))
        for rows, part, error in self._errors(block):
            sums[part] += to_numpy(namespace(error).sum(_weighted_squares(error, block, rows), axis=0))
        return sums

    def per_row(self, block: Block, *, predictions: bool) -> Any:
        """(n, m, a) s e² of every row, or what the ridge of all others predicts for it."""
        found = zeros((block.n_rows, len(self.target), len(self.alphas)), block.X)
        y = block.y[:, None] if block.y.ndim == 1 else block.y
        for rows, part, error in self._errors(block):
            value = y[rows, ...][:, None, :] - error if predictions else _weighted_squares(error, block, rows)
            found[rows, :, part] = namespace(error).permute_dims(value, (0, 2, 1))
        return found

    def _errors(self, block: Block) -> Iterator[tuple[slice, slice, Any]]:
        """(rows, strengths, e of shape (rows, strengths, targets), which the next overwrites), slice after slice."""
        X = block.X
        # Copies in one order: what comes in a message lies in another, and then has other bits.
        values, slopes, alphas = (alike(np.array(a, order="C"), X) for a in (self.values, self.slopes, self.alphas))
        m, r = len(self.target), len(self.values)
        target = alike(np.array(self.target), X)
        share = values[:, None] + alphas[None, :]  # (r, a)
        share = alphas[None, :] / (values[:, None] * share) if self.spanned else 1 / share
        group = max(GROUP_COLUMNS // m, 1)
        parts = [slice(i, min(i + group, len(self.alphas))) for i in range(0, len(self.alphas), group)]
        width = r + min(group, len(self.alphas)) * (m + 1)
        y = block.y[:, None] if block.y.ndim == 1 else block.y
        scratch = Scratch()
        models: Any = None
        for rows, Z in _rotated(X, self.center, self.vectors, width, scratch):
            count = Z.shape[0]
            residual = y[rows, ...] - target
            if block.offset is not None:
                residual = residual - block.offset[rows, ...][:, None]
            s = None if block.weight is None else cast(block.weight[rows, ...], DOUBLE)
            base = 1 - (1.0 if s is None else s[:, None]) / self.weight
            square = scratch("square", "multiply", Z, Z)
            for part in parts:
                own = share[:, part]
                a = own.shape[1]
                if models is None or len(parts) > 1:
                    models = _reshape(own[:, :, None] * slopes[:, None, :], (r, a * m))
                fitted = _reshape(scratch("fitted", "matmul", Z, models), (count, a, m))
                leverage = scratch("leverage", "matmul", square, own)
                if s is not None:
                    leverage *= s[:, None]
                if not self.spanned:
                    leverage -= base
                    leverage *= -1
                    small = leverage < EPS  # there is but rounding
                    leverage[small] = EPS
                    fitted -= residual[:, None, :]
                    fitted *= -1
                fitted /= leverage[:, :, None]
                yield rows, part, fitted


class Scratch:
    """Results of one slice after the other in the same memory: new memory is as slow as the arithmetic, where workers
    give back at once what they free. Of arrays of other libraries, new ones."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}

    def __call__(self, name: str, function: str, a: Any, b: Any) -> Any:
        """The function of NumPy, in float64, of two matrices with as many rows as ``a`` has."""
        if not isinstance(a, np.ndarray):
            return getattr(namespace(a), function)(a, b)
        shape = (len(a), b.shape[-1])
        found = self.arrays.get(name)
        if found is None or found.shape[1] != shape[1] or len(found) < shape[0]:
            found = self.arrays[name] = np.empty(shape)
        return getattr(np, function)(a, b, out=found[: shape[0]])


def _weighted_squares(error: Any, block: Block, rows: slice) -> Any:
    """s e², in the place of e."""
    error *= error
    if block.weight is not None:
        error *= cast(block.weight[rows, ...], DOUBLE)[:, None, None]
    return error


def _rotated(X: Any, center: Array, basis: Array, width: int, scratch: Scratch) -> Iterator[tuple[slice, Any]]:
    """(rows, (x - center) · basis in float64, which the next overwrites) for slices of rows, of which ``width`` more
    numbers a row are formed."""
    basis = alike(np.array(basis, order="C"), X)
    center = alike(np.array(center), X)
    shift = center @ basis if issparse(X) else None  # which is never shifted
    for rows in _slices(X, width):
        A = take_rows(X, rows)
        if shift is not None:
            yield rows, cast(A, DOUBLE) @ basis - shift
        else:
            A = A if isinstance(A, np.ndarray) else cast(A, DOUBLE)
            yield rows, scratch("rotated", "matmul", scratch("centred", "subtract", A, center), basis)


def _slices(X: Any, width: int) -> Iterator[slice]:
    n, d = X.shape
    if is_device_array(X):
        yield from row_slices(X, width)
        return
    nbytes = SPARSE_SLICE_BYTES if issparse(X) else SLICE_BYTES
    step = int(np.clip(nbytes // (8 * (2 * d + width)), LEAST_ROWS, MAX_ROWS))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def _reshape(array: Any, shape: tuple[int, ...]) -> Any:
    return namespace(array).reshape(array, shape)
