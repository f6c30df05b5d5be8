"""Sums of a loss and its derivatives over one block, for many points in one read of X (NumPy reference)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..losses import Derivatives, Loss
from ..losses.base import REALS
from ..protocol import DIAGONAL, EXPECTED, GRADIENT, HESSIAN, PRODUCT, VALUE, Array, Block, Points, PointSums, Sums
from .fused import fused_sums
from .rows import chosen_rows, row_slices, take_block, take_rows

ORDER = {VALUE: 0, GRADIENT: 1, HESSIAN: 2, EXPECTED: 2, DIAGONAL: 2, PRODUCT: 2}


@dataclass(frozen=True)
class LossKernel:
    """Σ s ℓ and its derivatives at every point; ``origin`` (d,) is subtracted from the rows of a dense X, or None.

    Work is done in slices of rows that stay in the cache, in the precision of X (``exact``: in float64); sums are kept
    in float64. ``compiled``: by machine code where there is any for the loss and the block.
    """

    loss: Loss
    points: tuple[Points, ...]
    origin: Array | None = None
    name: str = "gradient"
    exact: bool = False
    compiled: bool = False

    def __call__(self, block: Block) -> Sums:
        found: dict[int, PointSums] = {}
        for rows in dict.fromkeys(points.rows for points in self.points):
            mine = [i for i, points in enumerate(self.points) if points.rows == rows]
            taken = block if rows is None else take_block(block, chosen_rows(block.n_rows, block.index, rows))
            asked = [self.points[i] for i in mine]
            sums = fused_sums(self.loss, asked, taken, self.origin, self.exact) if self.compiled else None
            if sums is None:
                sums = self._sums(taken, asked)
            found.update(
                (i, part if rows is None else part._replace(rows=np.full(len(points.W), float(taken.n_rows))))
                for i, part, points in zip(mine, sums, asked, strict=True)
            )
        return Sums(tuple(found[i] for i in range(len(self.points))))

    def _sums(self, block: Block, asked: list[Points]) -> list[PointSums]:
        X = block.X
        columns = max((p.W.shape[0] * p.W.shape[1] for p in asked), default=1)
        dtype = np.dtype(np.float64) if self.exact else X.dtype
        origin = None if self.origin is None else np.array(self.origin, dtype=dtype)
        groups = [_Accumulator(self.loss, points, dtype, block.y.dtype) for points in asked]
        # A sparse Gram matrix is added up densely: once for the block, not once a slice.
        whole = not isinstance(X, np.ndarray) and any("hess" in p.want for p in asked)
        for rows in [slice(0, X.shape[0])] if whole else row_slices(X, columns):
            Xr = take_rows(X, rows).astype(dtype, copy=False)
            if origin is not None:
                Xr = Xr - origin
            y = block.y[rows].T  # of several outputs: rows last, as everywhere in a loss
            weight = None if block.weight is None else block.weight[rows]
            offset = None if block.offset is None else block.offset[rows]
            for group in groups:
                group.add(Xr, y, weight, offset)
        return [group.sums() for group in groups]


class _Accumulator:
    """Running float64 sums for one set of points."""

    def __init__(self, loss: Loss, points: Points, dtype: Any, y_dtype: Any) -> None:
        t, k, d = points.W.shape
        self.loss = loss
        self.shape = (t, k, d)
        self.order = ORDER[points.want]
        self.want = points.want
        # A copy, always: an array fresh from a message may be misaligned, and NumPy then leaves BLAS for a slow loop
        # with other bits.
        self.W = np.array(points.W.reshape(t * k, d), dtype=dtype, order="C")
        # Margins of a float32 X are formed in the precision of y: an intercept of 1e6 must not round the residuals.
        margin_dtype = np.result_type(dtype, y_dtype) if y_dtype.kind == "f" else dtype
        self.b = points.b.reshape(t * k, 1).astype(margin_dtype)
        self.value = np.zeros(t)
        self.grad_w = np.zeros((t * k, d))
        self.grad_b = np.zeros(t * k)
        if points.direction is not None:
            self.U = np.array(points.direction[0].reshape(t * k, d), dtype=dtype, order="C")
            self.c = points.direction[1].reshape(t * k, 1).astype(margin_dtype)
            self.product_w = np.zeros((t * k, d))
            self.product_b = np.zeros(t * k)
        if self.want == DIAGONAL:
            self.diag_ww = np.zeros((t * k, d))
            self.diag_wb = np.zeros((t * k, d))
            self.diag_bb = np.zeros(t * k)
        if "hess" in self.want:
            self.scratch = np.zeros((0, d), dtype)
            self.hess_ww = np.zeros((t, k, d, k, d))
            self.hess_wb = np.zeros((t, k, d, k))
            self.hess_bb = np.zeros((t, k, k))

    def add(self, X: Any, y: Array, weight: Array | None, offset: Array | None) -> None:
        t, k, _ = self.shape
        eta = _margins(X, self.W) + self.b
        if offset is not None:
            eta = eta + offset
        if self.loss.n_outputs > 1:
            eta = eta.reshape(t, k, -1)
        out = self.loss.derivatives(y, eta, self.order)
        value = out.value if weight is None else self._weighted(out.value, weight)
        self.value += value.sum(axis=-1, dtype=np.float64)
        if out.first is None or self.order < 1:  # a loss may give more than it was asked for
            return
        first = out.first if weight is None else out.first * weight
        first = first.reshape(t * k, -1)
        self.grad_b += first.sum(axis=-1, dtype=np.float64)
        self.grad_w += _transposed(X, first.astype(X.dtype, copy=False))
        if out.second is None or self.order < 2:
            return
        second = out.second if self.want == HESSIAN or out.expected is None else out.expected
        if self.want == DIAGONAL:
            self._add_diagonal(X, second, out, weight)
            return
        if self.want == PRODUCT:
            self._add_product(X, second, out, weight)
            return
        second = (second if weight is None else second * weight).reshape(t, k, -1).astype(X.dtype, copy=False)
        gram: tuple[Array, Array, float] | None = None
        for i in range(t):
            for j in range(k):
                if out.rank_one is not None and not second[i, j].any():
                    continue
                if gram is None or not self.loss.quadratic:  # of a quadratic loss they are all the same
                    gram = self._gram(X, second[i, j])
                ww, wb, bb = gram
                self.hess_ww[i, j, :, j, :] += ww
                self.hess_wb[i, j, :, j] += wb
                self.hess_bb[i, j, j] += bb
            if out.rank_one is not None:
                u = out.rank_one.reshape(t, k, -1)[i]
                u = (u if weight is None else u * np.sqrt(weight)).astype(X.dtype, copy=False)
                self._add_rank_one(i, X, u, out.sign)

    def _add_diagonal(self, X: Any, second: Array, out: Derivatives, weight: Array | None) -> None:
        """Add Σ D x², Σ D x and Σ D, with D_k the second derivative in the margin of output k alone."""
        if out.rank_one is not None:
            second = second + out.sign * out.rank_one**2
        second = (second if weight is None else second * weight).reshape(len(self.W), -1)
        self.diag_bb += second.sum(axis=-1, dtype=np.float64)
        second = second.astype(X.dtype, copy=False)
        self.diag_wb += _transposed(X, second)
        self.diag_ww += _transposed(X * X if isinstance(X, np.ndarray) else X.power(2), second)

    def _add_product(self, X: Any, second: Array, out: Derivatives, weight: Array | None) -> None:
        """Add Σ x (D u) with u the margins of the direction and D the second derivative in the margins."""
        u = (_margins(X, self.U) + self.c).reshape(second.shape)
        change = second * u
        if out.rank_one is not None:
            change = change + out.sign * out.rank_one * (out.rank_one * u).sum(axis=-2, keepdims=True)
        change = (change if weight is None else change * weight).reshape(len(self.W), -1)
        self.product_b += change.sum(axis=-1, dtype=np.float64)
        self.product_w += _transposed(X, change.astype(X.dtype, copy=False))

    def _weighted(self, value: Array, weight: Array) -> Array:
        if self.loss.margins == REALS:
            return value * weight
        return np.where(weight > 0, value * np.where(weight > 0, weight, 1), 0)  # 0 · ∞ = 0: the row is not there

    def _gram(self, X: Any, weight: Array) -> tuple[Array, Array, float]:
        """Xᵀ diag(weight) X, Xᵀ weight and Σ weight."""
        if not self.loss.convex and (weight < 0).any():
            return self._signed_gram(X, weight)
        root = np.sqrt(weight)
        if isinstance(X, np.ndarray):
            if self.scratch.shape[0] < X.shape[0]:  # reused: under a nanny a fresh array is fresh memory each time
                self.scratch = np.empty_like(X)
            A = np.multiply(X, root[:, None], out=self.scratch[: X.shape[0]])
            ww = A.T @ A  # one operand twice: BLAS takes the symmetric product
        else:
            from scipy.sparse import diags_array

            A = diags_array(root) @ X
            ww = (A.T @ A).toarray()
        return ww, X.T @ weight, float(weight.sum(dtype=np.float64))

    def _signed_gram(self, X: Any, weight: Array) -> tuple[Array, Array, float]:
        """The same for weights of either sign: those above zero less those below."""
        above, below = self._gram(X, np.maximum(weight, 0)), self._gram(X, np.maximum(-weight, 0))
        return above[0] - below[0], above[1] - below[1], above[2] - below[2]

    def _add_rank_one(self, i: int, X: Any, u: Array, sign: float) -> None:
        """Add ± Σ_rows (u ⊗ x)(u ⊗ x)ᵀ, one Gram of stacked scaled copies."""
        k, d = self.shape[1:]
        if isinstance(X, np.ndarray):
            Z = (X[:, None, :] * u.T[:, :, None]).reshape(X.shape[0], k * d)
            ww = Z.T @ Z
            wb = Z.T @ u.T
        else:
            from scipy.sparse import diags_array, hstack

            Z = hstack([diags_array(u[j]) @ X for j in range(k)], format="csr")
            ww = (Z.T @ Z).toarray()
            wb = Z.T @ np.ascontiguousarray(u.T)
        self.hess_ww[i] += sign * ww.reshape(k, d, k, d)
        self.hess_wb[i] += sign * wb.reshape(k, d, k)
        self.hess_bb[i] += sign * (u @ u.T)

    def sums(self) -> PointSums:
        t, k, d = self.shape
        grad_w, grad_b = self.grad_w.reshape(t, k, d), self.grad_b.reshape(t, k)
        if self.order == 0:
            return PointSums(self.value)
        sums = PointSums(self.value, grad_w, grad_b)
        if self.order == 1:
            return sums
        if self.want == DIAGONAL:
            diagonal = self.diag_ww.reshape(t, k, d), self.diag_wb.reshape(t, k, d), self.diag_bb.reshape(t, k)
            return sums._replace(diag_ww=diagonal[0], diag_wb=diagonal[1], diag_bb=diagonal[2])
        if self.want == PRODUCT:
            return sums._replace(product_w=self.product_w.reshape(t, k, d), product_b=self.product_b.reshape(t, k))
        return PointSums(self.value, grad_w, grad_b, self.hess_ww, self.hess_wb, self.hess_bb)


def _margins(X: Any, W: Array) -> Array:
    """W Xᵀ, (columns, n): one column takes the matrix-vector product, many the matrix-matrix product."""
    return np.asarray((X @ W[0])[None] if len(W) == 1 else np.ascontiguousarray((X @ W.T).T))


def _transposed(X: Any, rows: Array) -> Array:
    """rows X, (columns, d)."""
    return np.asarray(rows[0] @ X if len(rows) == 1 else (X.T @ rows.T).T)
