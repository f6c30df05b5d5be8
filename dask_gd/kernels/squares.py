"""All that a squared loss asks of the data: the second moments of the columns and the targets, from one sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from ..arrays import alike, average, is_device_array, to_numpy
from ..protocol import Array, Block
from .device import centred_products
from .moments import NO_WEIGHT, SPARSE_COMPILED_ENTRIES, ColumnMoments, column_moments, machine_code, typical_row
from .rows import row_slices, take_rows

COMPILED_SIZE = 2**23  # products from which machine code is worth its import, whatever X holds
COMPILED_FEATURES = 512  # beyond so many BLAS cuts its work better
FAR = 100.0  # mean squares about a typical row over those about the mean, at which two digits are lost


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

    @property
    def columns(self) -> ColumnMoments:
        """Mean and centred sum of squares of each column, and the sum of weights."""
        return self.x_mean, np.diag(self.xx).copy(), self.weight

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


@dataclass(frozen=True)
class SquaresKernel:
    """The squares of one block that has rows. Not finite where X is not."""

    def __call__(self, block: Block) -> Squares:
        with np.errstate(over="ignore", invalid="ignore"):
            return _squares(block)


def _squares(block: Block) -> Squares:
    if is_device_array(block.X):
        return _device_squares(block)
    d = block.X.shape[1]
    z = block.y if block.offset is None else (block.y.T - block.offset).T
    z = np.ascontiguousarray(z.reshape(len(z), -1), dtype=np.float64)
    m = z.shape[1]
    weight = None if block.weight is None else block.weight.astype(np.float64, copy=False)
    total = float(len(z) if weight is None else weight.sum())
    if total == 0:
        return Squares(0.0, np.zeros(d), np.zeros(m), np.zeros((d, d)), np.zeros((d, m)), np.zeros(m))
    if issparse(block.X):
        mean, m2, total = column_moments(block.X, weight)
        z_mean = np.average(z, axis=0, weights=weight)
        return _sparse_squares(block.X, z - z_mean, weight, mean, m2, total, z_mean)
    shift = np.concatenate([typical_row(block.X, weight), typical_row(z, weight)])
    for _ in range(2):
        sums = products(block.X, z, NO_WEIGHT if weight is None else np.sqrt(weight), shift)
        first = sums[-1, :-1] / np.sqrt(total)
        about = sums[:-1, :-1]
        gram = about - np.outer(first, first)
        shift = shift + first / np.sqrt(total)  # the means
        if not (np.diag(about) > FAR * np.diag(gram)).any():
            break
    gram[np.diag_indices(d + m)] = np.maximum(np.diag(gram), 0.0)
    return Squares(total, shift[:d], shift[d:], gram[:d, :d].copy(), gram[:d, d:].copy(), np.diag(gram)[d:].copy())


def _device_squares(block: Block) -> Squares:
    """The same where the block is: about the means of its columns."""
    z = block.y[:, None] if block.y.ndim == 1 else block.y
    if block.offset is not None:
        z = z - block.offset[:, None]
    mean, _, total = column_moments(block.X, block.weight)
    d, m = len(mean), z.shape[1]
    if total == 0:
        return Squares(0.0, np.zeros(d), np.zeros(m), np.zeros((d, d)), np.zeros((d, m)), np.zeros(m))
    z_mean = average(z, block.weight)
    gram, first = centred_products(block.X, z, block.weight, alike(mean, block.X), z_mean)
    # The means are rounded: what is left of the first moments is taken out.
    rest = first / total
    gram -= np.outer(first, rest)
    return Squares(
        total,
        mean + rest[:d],
        to_numpy(z_mean) + rest[d:],
        gram[:d, :d].copy(),
        gram[:d, d:].copy(),
        np.maximum(np.diag(gram)[d:], 0.0),
    )


def products(X: Array, z: Array, root: Array, shift: Array) -> Array:
    """(d + m + 1, d + m + 1) Σ a aᵀ over the rows a = root · (x - shift, z - shift, 1), in float64, from one read of X.

    An empty ``root`` is one of ones.
    """
    p = len(shift) + 1
    if p <= COMPILED_FEATURES and len(X) * p * p >= COMPILED_SIZE and (code := machine_code()) is not None:
        compiled: Array = code.products(X, z, root, shift)
        return compiled
    d = X.shape[1]
    gram = np.zeros((p, p))
    scratch = np.zeros((0, p))
    for rows in row_slices(X, p):  # slices are copied as float64: count them as margins
        count = rows.stop - rows.start
        if len(scratch) < count:
            scratch = np.empty((count, p))
        A = scratch[:count]
        np.subtract(X[rows], shift[:d], out=A[:, :d])
        np.subtract(z[rows], shift[d:], out=A[:, d:-1])
        A[:, -1] = 1.0
        if len(root):
            A *= root[rows, None]
        gram += A.T @ A  # one operand twice: BLAS takes the symmetric product
    return gram


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

    if X.nnz >= SPARSE_COMPILED_ENTRIES and X.has_canonical_format:
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
