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
from .squares import FoldSquares, Squares, SquaresKernel

SLICE_BYTES = 2**20  # of all that is formed for a slice of rows
GROUP_COLUMNS = 256  # models at a time
LEAST_ROWS = 64
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class TargetSquaresKernel(SquaresKernel):
    """The squares of y - offset and, where that is not the same, of y beside it, which is what a score is held
    against."""

    def __call__(self, block: Block) -> Squares | FoldSquares:
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
        for rows, Z in _rotated(block.X, self.center, self.basis, d):
            parts = (None if a is None else a[rows, ...] for a in (block.y, block.weight, block.offset))
            part = SquaresKernel()(Block(block.index, Z, *parts))
            assert isinstance(part, Squares)
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
            xp = namespace(error)
            square = error * error
            if block.weight is not None:
                square = square * cast(block.weight[rows, ...], DOUBLE)[:, None, None]
            sums[part] += to_numpy(xp.sum(square, axis=0))
        return sums

    def per_row(self, block: Block, *, predictions: bool) -> Any:
        """(n, m, a) s e² of every row, or what the ridge of all others predicts for it."""
        n, m, a = block.n_rows, len(self.target), len(self.alphas)
        found = zeros((n, m, a), block.X)
        y = block.y[:, None] if block.y.ndim == 1 else block.y
        for rows, part, error in self._errors(block):
            xp = namespace(error)
            error = xp.permute_dims(error, (0, 2, 1))
            if predictions:
                value = y[rows, ...][:, :, None] - error
            else:
                value = error * error
                if block.weight is not None:
                    value = value * cast(block.weight[rows, ...], DOUBLE)[:, None, None]
            found[rows, :, part] = value
        return found

    def _errors(self, block: Block) -> Iterator[tuple[slice, slice, Any]]:
        """(rows, strengths, e of shape (rows, strengths, targets)) for one slice after the other."""
        X = block.X
        # Copies in one order: what comes in a message lies in another, and then has other bits.
        values, slopes, alphas = (alike(np.array(a, order="C"), X) for a in (self.values, self.slopes, self.alphas))
        m = len(self.target)
        target = alike(np.array(self.target), X)
        share = values[:, None] + alphas[None, :]  # (r, a)
        share = alphas[None, :] / (values[:, None] * share) if self.spanned else 1 / share
        group = max(GROUP_COLUMNS // m, 1)
        parts = [slice(i, min(i + group, len(self.alphas))) for i in range(0, len(self.alphas), group)]
        width = len(self.values) + min(group, len(self.alphas)) * (m + 1)
        y = block.y[:, None] if block.y.ndim == 1 else block.y
        for rows, Z in _rotated(X, self.center, self.vectors, width):
            count = Z.shape[0]
            residual = y[rows, ...] - target
            if block.offset is not None:
                residual = residual - block.offset[rows, ...][:, None]
            s = None if block.weight is None else cast(block.weight[rows, ...], DOUBLE)
            square = Z * Z
            for part in parts:
                own = share[:, part]
                a = own.shape[1]
                models = _reshape(own[:, :, None] * slopes[:, None, :], (len(self.values), a * m))
                fitted = _reshape(Z @ models, (count, a, m))
                leverage = square @ own
                if s is not None:
                    leverage = leverage * s[:, None]
                if self.spanned:
                    yield rows, part, fitted / leverage[:, :, None]
                    continue
                rest = 1 - leverage - (1.0 if s is None else s[:, None]) / self.weight
                rest = namespace(rest).where(rest > EPS, rest, EPS)  # below it there is but rounding
                yield rows, part, (residual[:, None, :] - fitted) / rest[:, :, None]


def _rotated(X: Any, center: Array, basis: Array, width: int) -> Iterator[tuple[slice, Any]]:
    """(rows, (x - center) · basis in float64) for slices of rows, of which ``width`` more numbers a row are formed."""
    basis = alike(np.array(basis, order="C"), X)
    center = alike(np.array(center), X)
    shift = center @ basis if issparse(X) else None  # which is never shifted
    for rows in _slices(X, width):
        A = cast(take_rows(X, rows), DOUBLE)
        yield rows, (A - center) @ basis if shift is None else A @ basis - shift


def _slices(X: Any, width: int) -> Iterator[slice]:
    n, d = X.shape
    if is_device_array(X):
        yield from row_slices(X, width)
        return
    step = int(np.clip(SLICE_BYTES // (8 * (2 * d + width)), LEAST_ROWS, MAX_ROWS))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def _reshape(array: Any, shape: tuple[int, ...]) -> Any:
    return namespace(array).reshape(array, shape)
