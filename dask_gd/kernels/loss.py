"""Sums of a loss and its derivatives over one block, for many points in one read of X: the reference for arrays of any
library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import diags_array, hstack, issparse

from ..arrays import alike, cast, is_device_array, namespace, numpy_dtype, row_sums, to_numpy, zeros
from ..losses import Derivatives, Loss
from ..losses.base import REALS
from ..protocol import DIAGONAL, EXPECTED, GRADIENT, HESSIAN, PRODUCT, VALUE, Array, Block, Points, PointSums, Sums
from .device import cross, weighted_cross
from .fused import fused_sums
from .labels import weighted_by_class
from .rows import chosen_rows, row_slices, take_block, take_rows

ORDER = {VALUE: 0, GRADIENT: 1, HESSIAN: 2, EXPECTED: 2, DIAGONAL: 2, PRODUCT: 2}


@dataclass(frozen=True)
class LossKernel:
    """Σ s ℓ and its derivatives at every point; ``origin`` (d,) is subtracted from the rows of a dense X, or None.

    Work is done in slices of rows that stay in the cache, in the precision of X (``exact``: in float64); sums are kept
    in float64. ``compiled``: by machine code where there is any for the loss and the block. ``class_weight`` (K,)
    multiplies the weights of rows whose y are the numbers of their classes.
    """

    loss: Loss
    points: tuple[Points, ...]
    origin: Array | None = None
    name: str = "gradient"
    exact: bool = False
    compiled: bool = False
    class_weight: Array | None = None

    def __call__(self, block: Block) -> Sums:
        if self.class_weight is not None:
            block = weighted_by_class(block, self.class_weight)
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
        dtype = np.dtype(np.float64) if self.exact else numpy_dtype(X)
        origin = None if self.origin is None else alike(np.array(self.origin, dtype=dtype), X)
        groups = [_Accumulator(self.loss, points, dtype, block) for points in asked]
        # A sparse Gram matrix is added up densely: once for the block, not once a slice.
        whole = issparse(X) and any("hess" in p.want for p in asked)
        for rows in [slice(0, X.shape[0])] if whole else row_slices(X, columns):
            Xr = cast(take_rows(X, rows), dtype)
            if origin is not None:
                Xr = Xr - origin
            y = block.y[rows, ...]
            if y.ndim == 2:
                y = y.T  # of several outputs: rows last, as everywhere in a loss
            weight = None if block.weight is None else block.weight[rows]
            offset = None if block.offset is None else block.offset[rows]
            for group in groups:
                group.add(Xr, y, weight, offset)
        return [group.sums() for group in groups]


class _Accumulator:
    """Running float64 sums for one set of points, where the block is."""

    def __init__(self, loss: Loss, points: Points, dtype: np.dtype, block: Block) -> None:
        t, k, d = points.W.shape
        X, y_dtype = block.X, numpy_dtype(block.y)
        self.loss = loss
        self.shape = (t, k, d)
        self.order = ORDER[points.want]
        self.want = points.want
        self.dtype = dtype
        self.xp = namespace(X)
        # A copy, always: an array fresh from a message may be misaligned, and NumPy then leaves BLAS for a slow loop
        # with other bits.
        self.W = alike(np.array(points.W.reshape(t * k, d), dtype=dtype, order="C"), X)
        # Margins of a float32 X are formed in the precision of y: an intercept of 1e6 must not round the residuals.
        margin_dtype = np.result_type(dtype, y_dtype) if y_dtype.kind == "f" else dtype
        self.b = alike(points.b.reshape(t * k, 1).astype(margin_dtype), X)
        self.value = zeros(t, X)
        self.grad_w = zeros((t * k, d), X)
        self.grad_b = zeros(t * k, X)
        if points.direction is not None:
            self.U = alike(np.array(points.direction[0].reshape(t * k, d), dtype=dtype, order="C"), X)
            self.c = alike(points.direction[1].reshape(t * k, 1).astype(margin_dtype), X)
            self.product_w = zeros((t * k, d), X)
            self.product_b = zeros(t * k, X)
        if self.want == DIAGONAL:
            self.diag_ww = zeros((t * k, d), X)
            self.diag_wb = zeros((t * k, d), X)
            self.diag_bb = zeros(t * k, X)
        if "hess" in self.want:
            self.scratch = np.zeros((0, d), dtype)
            self.hess_ww = zeros((t, k, d, k, d), X)
            self.hess_wb = zeros((t, k, d, k), X)
            self.hess_bb = zeros((t, k, k), X)

    def add(self, X: Any, y: Any, weight: Any, offset: Any) -> None:
        xp = self.xp
        t, k, _ = self.shape
        eta = _margins(X, self.W) + self.b
        if offset is not None:
            eta = eta + offset
        if self.loss.n_outputs > 1:
            eta = xp.reshape(eta, (t, k, -1))
        out = self.loss.derivatives(y, eta, self.order)
        value = out.value if weight is None else self._weighted(out.value, weight)
        self.value += row_sums(value)
        if out.first is None or self.order < 1:  # a loss may give more than it was asked for
            return
        first = out.first if weight is None else out.first * weight
        if k > 1:
            first = xp.reshape(first, (t * k, -1))
        self.grad_b += row_sums(first)
        self.grad_w += _transposed(X, cast(first, self.dtype))
        if out.second is None or self.order < 2:
            return
        second = out.second if self.want == HESSIAN or out.expected is None else out.expected
        if self.want == DIAGONAL:
            self._add_diagonal(X, second, out, weight)
            return
        if self.want == PRODUCT:
            self._add_product(X, second, out, weight)
            return
        second = cast(xp.reshape(second if weight is None else second * weight, (t, k, -1)), self.dtype)
        gram: tuple[Any, Any, Any] | None = None
        for i in range(t):
            for j in range(k):
                if out.rank_one is not None and not xp.any(second[i, j, :]):
                    continue
                if gram is None or not self.loss.quadratic:  # of a quadratic loss they are all the same
                    gram = self._gram(X, second[i, j, :])
                ww, wb, bb = gram
                self.hess_ww[i, j, :, j, :] += ww
                self.hess_wb[i, j, :, j] += wb
                self.hess_bb[i, j, j] += bb
            if out.rank_one is not None:
                u = xp.reshape(out.rank_one, (t, k, -1))[i, ...]
                u = cast(u if weight is None else u * xp.sqrt(weight), self.dtype)
                self._add_rank_one(i, X, u, out.sign)

    def _add_diagonal(self, X: Any, second: Any, out: Derivatives, weight: Any) -> None:
        """Add Σ D x², Σ D x and Σ D, with D_k the second derivative in the margin of output k alone."""
        if out.rank_one is not None:
            second = second + out.sign * out.rank_one**2
        second = self.xp.reshape(second if weight is None else second * weight, (self.W.shape[0], -1))
        self.diag_bb += row_sums(second)
        second = cast(second, self.dtype)
        self.diag_wb += _transposed(X, second)
        self.diag_ww += _transposed(X.power(2) if issparse(X) else X * X, second)

    def _add_product(self, X: Any, second: Any, out: Derivatives, weight: Any) -> None:
        """Add Σ x (D u) with u the margins of the direction and D the second derivative in the margins."""
        xp = self.xp
        u = xp.reshape(_margins(X, self.U) + self.c, second.shape)
        change = second * u
        if out.rank_one is not None:
            change = change + out.sign * out.rank_one * xp.sum(out.rank_one * u, axis=-2, keepdims=True)
        change = xp.reshape(change if weight is None else change * weight, (self.W.shape[0], -1))
        self.product_b += row_sums(change)
        self.product_w += _transposed(X, cast(change, self.dtype))

    def _weighted(self, value: Any, weight: Any) -> Any:
        if self.loss.margins == REALS:
            return value * weight
        xp = self.xp
        return xp.where(weight > 0, value * xp.where(weight > 0, weight, 1), 0)  # 0 · ∞ = 0: the row is not there

    def _gram(self, X: Any, weight: Any) -> tuple[Any, Any, Any]:
        """Xᵀ diag(weight) X, Xᵀ weight and Σ weight."""
        if is_device_array(X):
            return weighted_cross(X, weight), _transposed(X, weight[None, :])[0, :], row_sums(weight)
        if not self.loss.convex and (weight < 0).any():
            return self._signed_gram(X, weight)
        root = np.sqrt(weight)
        if issparse(X):
            A = diags_array(root) @ X
            ww = (A.T @ A).toarray()
        else:
            if self.scratch.shape[0] < X.shape[0]:  # reused: under a nanny a fresh array is fresh memory each time
                self.scratch = np.empty_like(X)
            A = np.multiply(X, root[:, None], out=self.scratch[: X.shape[0]])
            ww = A.T @ A  # one operand twice: BLAS takes the symmetric product
        return ww, X.T @ weight, float(weight.sum(dtype=np.float64))

    def _signed_gram(self, X: Any, weight: Array) -> tuple[Array, Array, float]:
        """The same for weights of either sign: those above zero less those below."""
        above, below = self._gram(X, np.maximum(weight, 0)), self._gram(X, np.maximum(-weight, 0))
        return above[0] - below[0], above[1] - below[1], above[2] - below[2]

    def _add_rank_one(self, i: int, X: Any, u: Any, sign: float) -> None:
        """Add ± Σ_rows (u ⊗ x)(u ⊗ x)ᵀ, one Gram of stacked scaled copies."""
        k, d = self.shape[1:]
        if is_device_array(X):
            self._add_rank_one_by_pairs(i, X, u, sign)
            return
        if issparse(X):
            Z = hstack([diags_array(u[j]) @ X for j in range(k)], format="csr")
            ww = (Z.T @ Z).toarray()
            wb = Z.T @ np.ascontiguousarray(u.T)
        else:
            Z = (X[:, None, :] * u.T[:, :, None]).reshape(X.shape[0], k * d)
            ww = Z.T @ Z
            wb = Z.T @ u.T
        self.hess_ww[i] += sign * ww.reshape(k, d, k, d)
        self.hess_wb[i] += sign * wb.reshape(k, d, k)
        self.hess_bb[i] += sign * (u @ u.T)

    def _add_rank_one_by_pairs(self, i: int, X: Any, u: Any, sign: float) -> None:
        """The same a pair of outputs at a time: on a device the copies would take k times the memory of X."""
        for j in range(self.shape[1]):
            pairs = u * u[j, :]
            self.hess_wb[i, :, :, j] += sign * _transposed(X, pairs)
            self.hess_bb[i, :, j] += sign * row_sums(pairs)
            for other in range(j + 1):
                ww = sign * weighted_cross(X, pairs[other, :])
                self.hess_ww[i, j, :, other, :] += ww
                if other < j:
                    self.hess_ww[i, other, :, j, :] += ww

    def sums(self) -> PointSums:
        """In main memory."""
        t, k, d = self.shape
        value = to_numpy(self.value)
        if self.order == 0:
            return PointSums(value)
        sums = PointSums(value, to_numpy(self.grad_w).reshape(t, k, d), to_numpy(self.grad_b).reshape(t, k))
        if self.order == 1:
            return sums
        if self.want == DIAGONAL:
            return sums._replace(
                diag_ww=to_numpy(self.diag_ww).reshape(t, k, d),
                diag_wb=to_numpy(self.diag_wb).reshape(t, k, d),
                diag_bb=to_numpy(self.diag_bb).reshape(t, k),
            )
        if self.want == PRODUCT:
            return sums._replace(
                product_w=to_numpy(self.product_w).reshape(t, k, d), product_b=to_numpy(self.product_b).reshape(t, k)
            )
        return sums._replace(
            hess_ww=to_numpy(self.hess_ww), hess_wb=to_numpy(self.hess_wb), hess_bb=to_numpy(self.hess_bb)
        )


def _margins(X: Any, W: Any) -> Any:
    """W Xᵀ, (columns, n): one column takes the matrix-vector product, many the matrix-matrix product."""
    if is_device_array(X):
        return W @ X.T
    return (X @ W[0])[None] if len(W) == 1 else np.ascontiguousarray((X @ W.T).T)


def _transposed(X: Any, rows: Any) -> Any:
    """rows X, (columns, d)."""
    if is_device_array(X):
        return cross(rows.T, X)
    return rows[0] @ X if len(rows) == 1 else (X.T @ rows.T).T
