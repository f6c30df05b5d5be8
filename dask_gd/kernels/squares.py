"""All that a squared loss asks of the data: the second moments of the columns and the targets, from one sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..arrays import alike, average, is_device_array, to_numpy
from ..protocol import Array, Block
from .device import centred_products
from .moments import COMPILED_ENTRIES, Moments, column_moments
from .rows import row_slices, take_block, take_rows


class Squares(NamedTuple):
    """Weighted sums of products about the means, in float64; they merge exactly, as :class:`Moments` do.

    z = y - offset has m columns, one a target.
    """

    weight: float
    x_mean: Array  # (d,)
    z_mean: Array  # (m,)
    xx: Array  # (d, d) Σ s (x - x̄)(x - x̄)ᵀ
    xz: Array  # (d, m) Σ s (x - x̄)(z - z̄)ᵀ
    zz: Array  # (m,) Σ s (z - z̄)²

    def __add__(self, other: Squares) -> Squares:  # type: ignore[override]
        weight = self.weight + other.weight
        share = other.weight / weight if weight > 0 else 0.0
        x, z = other.x_mean - self.x_mean, other.z_mean - self.z_mean
        between = self.weight * share
        xx = self.xx + other.xx
        if between and x.any():
            xx += np.outer(between * x, x)
        return Squares(
            weight,
            self.x_mean + x * share,
            self.z_mean + z * share,
            xx,
            self.xz + other.xz + np.outer(between * x, z),
            self.zz + other.zz + between * z * z,
        )


class FoldSquares(NamedTuple):
    """The squares of each fold; None where no row was seen."""

    parts: tuple[Squares | None, ...]

    def __add__(self, other: FoldSquares) -> FoldSquares:  # type: ignore[override]
        return FoldSquares(tuple(_plus(a, b) for a, b in zip(self.parts, other.parts, strict=True)))

    def without(self, fold: int | None) -> Squares | None:
        """All folds but one: the training rows of a split; None: all."""
        total = None
        for i, part in enumerate(self.parts):
            if i != fold:
                total = _plus(total, part)
        return total


def _plus(a: Squares | None, b: Squares | None) -> Squares | None:
    return b if a is None else a if b is None else a + b


@dataclass(frozen=True)
class SquaresKernel:
    """The squares of one block, about the means of its moments; with folds one for each of them."""

    n_folds: int = 0

    def __call__(self, block: Block, moments: Moments) -> Squares | FoldSquares:
        if not self.n_folds:
            return self._squares(block, moments.mean, moments.m2, moments.weight)
        found: list[Squares | None] = [None] * self.n_folds
        for fold in np.unique(block.fold):
            rows = np.flatnonzero(block.fold == fold)
            part = block if len(rows) == block.n_rows else take_block(block, rows)
            found[fold] = self._squares(part, *column_moments(part.X, part.weight))
        return FoldSquares(tuple(found))

    def _squares(self, block: Block, mean: Array, m2: Array, total: float) -> Squares:
        if is_device_array(block.X):
            return _device_squares(block, mean, total)
        d = len(mean)
        z = block.y if block.offset is None else (block.y.T - block.offset).T
        z = z.reshape(len(z), -1)
        m = z.shape[1]
        if total == 0:
            return Squares(0.0, np.zeros(d), np.zeros(m), np.zeros((d, d)), np.zeros((d, m)), np.zeros(m))
        weight = block.weight
        z_mean = np.average(z, axis=0, weights=weight)
        z = z - z_mean
        if not isinstance(block.X, np.ndarray):
            return _sparse_squares(block.X, z, weight, mean, m2, total, z_mean)
        gram = np.zeros((d + m, d + m))
        first = np.zeros(d + m)
        scratch = np.zeros((0, d + m))
        for rows in row_slices(block.X, 2 * (d + m)):  # slices are copied as float64: count them as margins
            X = block.X[rows]
            if len(scratch) < len(X):
                scratch = np.empty((len(X), d + m))
            A = scratch[: len(X)]
            np.subtract(X, mean, out=A[:, :d])
            A[:, d:] = z[rows]
            if weight is not None:
                first += weight[rows].astype(np.float64) @ A
                A *= np.sqrt(weight[rows].astype(np.float64))[:, None]
            else:
                first += A.sum(axis=0)
            gram += A.T @ A  # one operand twice: BLAS takes the symmetric product
        return _of_products(gram, first, mean, z_mean, total)


def _of_products(gram: Array, first: Array, mean: Array, z_mean: Array, total: float) -> Squares:
    """From Σ s a aᵀ and Σ s a of a = (x - mean, z - z_mean)."""
    d = len(mean)
    # The means of the block are rounded: what is left of the first moments is taken out.
    rest = first / total
    gram -= np.outer(first, rest)
    return Squares(
        total,
        mean + rest[:d],
        z_mean + rest[d:],
        gram[:d, :d].copy(),
        gram[:d, d:].copy(),
        np.maximum(np.diag(gram)[d:], 0.0),
    )


def _device_squares(block: Block, mean: Array, total: float) -> Squares:
    """The same of a block on a device."""
    z = block.y[:, None] if block.y.ndim == 1 else block.y
    if block.offset is not None:
        z = z - block.offset[:, None]
    d, m = len(mean), z.shape[1]
    if total == 0:
        return Squares(0.0, np.zeros(d), np.zeros(m), np.zeros((d, d)), np.zeros((d, m)), np.zeros(m))
    z_mean = average(z, block.weight)
    gram, first = centred_products(block.X, z, block.weight, alike(mean, block.X), z_mean)
    return _of_products(gram, first, mean, to_numpy(z_mean), total)


def _sparse_squares(
    X: Any, z: Array, weight: Array | None, mean: Array, m2: Array, total: float, z_mean: Array
) -> Squares:
    """The same without shifting a sparse X: centring is algebra on the sums."""
    gram, product = _products(X, z, weight)
    square = np.einsum("ij,ij->j", z, z if weight is None else weight[:, None] * z)
    # Σ s z about its mean is 0 but for rounding, so Σ s x z needs no shift.
    gram -= np.outer(total * mean, mean)
    np.fill_diagonal(gram, m2)  # which has no cancellation
    return Squares(total, mean, z_mean, gram, product, square)


def _products(X: Any, z: Array, weight: Array | None) -> tuple[Array, Array]:
    """Xᵀ diag(weight) X and Xᵀ diag(weight) z in float64."""
    from scipy.sparse import diags_array

    if X.nnz >= COMPILED_ENTRIES and X.has_canonical_format:
        from ..compiled.jit import COMPILED

        if COMPILED:
            from ..compiled.sparse import csr_gram

            s = np.ones(len(z)) if weight is None else weight.astype(np.float64)
            return csr_gram(X, s), X.T @ (s[:, None] * z)
    d = X.shape[1]
    gram, product = np.zeros((d, d)), np.zeros((d, z.shape[1]))
    for rows in row_slices(X, 0):
        A, Z = take_rows(X, rows).astype(np.float64), z[rows]
        if weight is not None:
            root = np.sqrt(weight[rows].astype(np.float64))
            A, Z = diags_array(root) @ A, root[:, None] * Z
        gram += (A.T @ A).toarray()
        product += A.T @ Z
    return gram, product
