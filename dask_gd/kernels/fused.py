"""The sums of a loss by machine code: the twin of the reference in :mod:`.loss`, for large blocks.

Value and gradient are one compiled loop over the block. Where second derivatives are asked for, slices of rows go
through the compiled loss and then to BLAS.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import issparse

from ..losses import Loss
from ..memory import in_precision, kept_memory, recycled
from ..protocol import DIAGONAL, GRADIENT, PRODUCT, VALUE, Array, Block, Points, PointSums
from .fused_csr import fused_csr_sums
from .rows import row_slices

NOTHING = np.zeros(0)
NO_GRAMS = np.zeros((0, 0, 0))
GROUP = 32  # models whose margins stay in the cache
TURNED_ROWS = 400  # at a time: enough to hide the sums at the end of a tile …
TURNED_BYTES = 2**19  # … and no more than fit here
VECTOR = 16  # numbers in a line of the cache
TILED = 512  # columns up to which products of columns are summed in registers; beyond, BLAS cuts its work better


def fused_sums(
    loss: Loss, asked: list[Points], block: Block, origin: Array | None, exact: bool
) -> list[PointSums] | None:
    """The sums for each of the points; None where this loss or this block has no compiled twin."""
    X = block.X
    if X.shape[0] == 0:
        return None
    if issparse(X):
        return fused_csr_sums(loss, asked, block)
    if not isinstance(X, np.ndarray):  # on a device
        return None
    from ..compiled.pointwise import twin_of  # imports Numba

    dtype = np.dtype(np.float64) if exact else X.dtype
    # Margins of a float32 X are formed in the precision of y, as in the reference.
    margins = np.result_type(dtype, block.y.dtype) if block.y.dtype.kind == "f" else dtype
    twin = twin_of(loss, margins)
    if twin is None:
        return None
    y = in_precision("targets", block.y, margins).reshape(X.shape[0], -1)
    weight = NOTHING if block.weight is None else in_precision("weights", block.weight, np.float64)
    offset = NOTHING if block.offset is None else in_precision("offsets", block.offset, np.float64)
    sums = [_PointSums(loss, twin, points, dtype, margins) for points in asked]
    whole = origin is None and X.dtype == dtype
    simple = [part for part in sums if whole and part.direct]
    for part in simple:
        part.add_all(X, y, weight, offset)
    if len(simple) == len(sums):
        return [part.sums() for part in sums]
    shift = None if origin is None else origin.astype(dtype)
    for rows in row_slices(X, max(part.columns for part in sums)):
        A = X[rows].astype(dtype, copy=False)
        if shift is not None:
            A = A - shift
        parts = y[rows], weight[rows] if len(weight) else weight, offset[rows] if len(offset) else offset
        for part in sums:
            if not part.direct:
                part.add_slice(A, *parts)
            elif part not in simple:
                part.add_all(A, *parts)
    return [part.sums() for part in sums]


class _PointSums:
    """Running float64 sums for one set of points."""

    def __init__(self, loss: Loss, twin: Any, points: Points, dtype: np.dtype, margins: np.dtype) -> None:
        t, k, d = points.W.shape
        from ..compiled.dense import FEW
        from ..compiled.panels import MANY, padded, panel_shape

        self.shape = (t, k, d)
        self.columns = t * k * (3 if points.want in (VALUE, GRADIENT) else 5)
        self.quadratic = loss.quadratic
        self.twin = twin
        self.want = points.want
        self.order = {VALUE: 0, GRADIENT: 1}.get(points.want, 2)
        self.tiled = "hess" in points.want and not twin.rank_one and d < TILED
        m, diagonal = t * k, points.want == DIAGONAL
        self.many = diagonal or (self.order < 2 and m >= MANY and d < TILED)
        self.direct = self.many or self.tiled or (self.order < 2 and m <= FEW)  # one compiled loop does it all
        self.margins = margins
        self.W = np.array(points.W.reshape(t * k, d), dtype=dtype, order="C")
        self.b = np.array(points.b.reshape(t * k), dtype=np.float64)
        self.value = np.zeros(t)
        self.grad_w, self.grad_b = np.zeros((t * k, d)), np.zeros(t * k)
        if points.direction is not None:
            self.U = np.array(points.direction[0].reshape(t * k, d), dtype=dtype, order="C")
            self.c = points.direction[1].reshape(t * k, 1).astype(margins)
        self.diagonal, self.curvature, self.grams = NO_GRAMS, NOTHING, NO_GRAMS
        self.panel = 0, 0
        if self.want == DIAGONAL:
            self.diagonal, self.curvature = np.zeros((2, t * k, d)), np.zeros(t * k)
        elif self.want == PRODUCT:
            self.product_w, self.product_b = np.zeros((t * k, d)), np.zeros(t * k)
        elif self.tiled:
            side = padded(d + 1)
            self.grams = recycled((t * k, side, side), np.float64)
            self.grams[:] = 0.0
            self.panel = panel_shape(side, dtype)
        elif self.order == 2:
            self.scratch = np.empty((0, d), dtype)
            self.hess_ww = np.zeros((t, k, d, k, d))
            self.hess_wb = np.zeros((t, k, d, k))
            self.hess_bb = np.zeros((t, k, k))

    def add_all(self, X: Array, y: Array, weight: Array, offset: Array) -> None:
        """Add value, gradient and what there is of a Hessian, over all rows of X."""
        step = self._rows(X)
        twin, k = self.twin, self.shape[1]
        loss = (twin.argument, twin.parameters, twin.signed, k if twin.one_vs_rest else 0)
        targets = k if twin.one_vs_rest else y.shape[1]
        whole = len(X) // step * step
        for rows, size in ((slice(0, whole), step), (slice(whole, len(X)), len(X) - whole)):
            if rows.start < rows.stop:
                data = X[rows], y[rows], *(a[rows] if len(a) else a for a in (weight, offset))
                (self._add_many if self.many else self._add_few)(data, loss, targets, size)

    def _rows(self, X: Array) -> int:
        """How many at a time."""
        n = len(X)
        if self.many:  # in whole lines of the cache
            rows = min(TURNED_ROWS, TURNED_BYTES // (max(X.shape[1], 1) * X.itemsize), n)
            return max(rows // VECTOR, 1) * VECTOR if n >= VECTOR else n
        rows = next(iter(row_slices(X, self.columns))).stop
        if self.tiled:  # in whole panels
            width = self.panel[1]
            rows = max(rows // width, 1) * width if n >= width else n
        return int(rows)

    def _add_few(self, data: Any, loss: Any, targets: int, rows: int) -> None:
        from ..compiled.dense import adder

        (m, d), dtype = self.W.shape, self.W.dtype
        panel = kept_memory("panel", self.panel, dtype)
        panel[d + 1 :] = 0
        adder(*data[:2])(
            *data,
            self.W,
            self.b,
            *loss,
            rows,
            self.order > 0,
            self.value,
            self.grad_w,
            self.grad_b,
            self.grams,
            kept_memory("turned", (d, self.panel[1]), dtype),
            panel,
            kept_memory("second", (m if self.tiled else 1, rows), self.margins),
            kept_memory("space", (m + 2, max(rows, d)), dtype),
            kept_memory("work", (2 * m + targets + 1, rows), self.margins),
        )

    def _add_many(self, data: Any, loss: Any, targets: int, rows: int) -> None:
        from ..compiled.many import many_adder
        from ..compiled.panels import TILE, padded

        (m, d), dtype, k = self.W.shape, self.W.dtype, self.shape[1]
        outputs = math.lcm(k, TILE)  # of whole models in whole tiles
        group = min(max(GROUP // outputs, 1) * outputs, m)
        curved = len(self.curvature) > 0
        W = np.zeros((padded(m), padded(d)), dtype)
        W[:m, :d] = self.W
        grad_w = np.zeros(W.shape)
        diagonal = np.zeros((2 if curved else 0, *W.shape))
        panel = kept_memory("panel", (W.shape[1], rows), dtype)
        panel[d:] = 0
        many_adder(*data[:2])(
            *data,
            W,
            self.b,
            *loss,
            group,
            self.order > 0,
            self.twin.rank_one,
            self.value,
            grad_w,
            self.grad_b,
            diagonal,
            self.curvature,
            panel,
            kept_memory("squares", (W.shape[1] if curved else 1, rows), dtype),
            kept_memory("products", (padded(group), rows), dtype),
            kept_memory("work", (2 * padded(group) + targets + 1, rows), self.margins),
        )
        self.grad_w += grad_w[:m, :d]
        if curved:
            self.diagonal += diagonal[:, :m, :d]

    def add_slice(self, A: Array, y: Array, weight: Array, offset: Array) -> None:
        """The same over a slice of rows, step by step: for what no compiled loop does."""
        t, k, _ = self.shape
        r = len(A)
        eta = _products(A, self.W).astype(self.margins, copy=False)
        if len(offset):
            eta += offset.astype(self.margins)
        first, second = np.empty_like(eta), np.empty_like(eta)
        s = weight.astype(self.margins) if len(weight) else np.ones(r, self.margins)
        self.twin.function(
            self._targets(y), eta, self.b, s, self.twin.parameters, self.value, self.grad_b, first, second
        )
        if self.order > 0:
            self.grad_w += _transposed(A, first.astype(A.dtype, copy=False))
        if self.order < 2:
            return
        p = second if self.twin.rank_one else None
        if p is not None:
            second = p * s
        if self.want == PRODUCT:
            self._add_product(A, second, p)
        else:
            self._add_hessian(A, second.reshape(t, k, r), None if p is None else (p * np.sqrt(s)).reshape(t, k, r))

    def _targets(self, y: Array) -> Array:
        """(q, r), as the twin takes them."""
        if self.twin.one_vs_rest:
            targets = (y[:, 0] == np.arange(self.shape[1])[:, None]).astype(self.margins)
        else:
            targets = np.ascontiguousarray(y.T)
        return 2 * targets - 1 if self.twin.signed else targets

    def _add_product(self, A: Array, second: Array, p: Array | None) -> None:
        along = _products(A, self.U).astype(self.margins, copy=False) + self.c
        change = second * along
        if p is not None:
            t, k, _ = self.shape
            mean = (p * along).reshape(t, k, -1).sum(axis=1, keepdims=True)
            change -= (second.reshape(t, k, -1) * mean).reshape(change.shape)
        self.product_b += change.sum(axis=1, dtype=np.float64)
        self.product_w += _transposed(A, change.astype(A.dtype, copy=False))

    def _add_hessian(self, A: Array, second: Array, root: Array | None) -> None:
        t, k, d = self.shape
        second = second.astype(A.dtype, copy=False)
        gram: tuple[Array, Array, float] | None = None
        for i in range(t):
            for j in range(k):
                if gram is None or not self.quadratic:  # of a quadratic loss they are all the same
                    gram = self._gram(A, second[i, j])
                ww, wb, bb = gram
                self.hess_ww[i, j, :, j, :] += ww
                self.hess_wb[i, j, :, j] += wb
                self.hess_bb[i, j, j] += bb
            if root is not None:
                u = root[i].astype(A.dtype, copy=False)
                Z = (A[:, None, :] * u.T[:, :, None]).reshape(len(A), k * d)
                self.hess_ww[i] -= (Z.T @ Z).reshape(k, d, k, d)
                self.hess_wb[i] -= (Z.T @ u.T).reshape(k, d, k)
                self.hess_bb[i] -= u @ u.T

    def _gram(self, A: Array, weight: Array) -> tuple[Array, Array, float]:
        from ..compiled.dense import scale_rows

        if len(self.scratch) < len(A):
            self.scratch = np.empty_like(A)
        Z = scale_rows(A, weight, self.scratch[: len(A)])
        return Z.T @ Z, weight @ A, float(weight.sum(dtype=np.float64))

    def sums(self) -> PointSums:
        t, k, d = self.shape
        if self.order == 0:
            return PointSums(self.value)
        sums = PointSums(self.value, self.grad_w.reshape(t, k, d), self.grad_b.reshape(t, k))
        if self.order == 1:
            return sums
        if self.want == DIAGONAL:
            squares, cross = self.diagonal.reshape(2, t, k, d)
            return sums._replace(diag_ww=squares, diag_wb=cross, diag_bb=self.curvature.reshape(t, k))
        if self.want == PRODUCT:
            return sums._replace(product_w=self.product_w.reshape(t, k, d), product_b=self.product_b.reshape(t, k))
        if self.tiled:
            return sums._replace(**self._blocks())
        return sums._replace(hess_ww=self.hess_ww, hess_wb=self.hess_wb, hess_bb=self.hess_bb)

    def _blocks(self) -> dict[str, Array]:
        """The Hessian of the outputs, each by itself, from its grams."""
        from ..compiled.panels import mirror

        t, k, d = self.shape
        whole = self.grams.reshape(t, k, *self.grams.shape[1:])
        ww, wb, bb = recycled((t, k, d, k, d), np.float64), np.zeros((t, k, d, k)), np.zeros((t, k, k))
        if k > 1:
            ww[:] = 0.0
        for i in range(t):
            for j in range(k):
                mirror(whole[i, j, :d, :d], ww[i, j, :, j, :])
        for j in range(k):
            wb[:, j, :, j] = whole[:, j, :d, d]
            bb[:, j, j] = whole[:, j, d, d]
        return {"hess_ww": ww, "hess_wb": wb, "hess_bb": bb}


def _products(A: Array, W: Array) -> Array:
    """W Aᵀ, (columns, rows)."""
    from ..compiled.dense import FEW

    if len(W) > FEW:
        return np.asarray(W @ A.T)
    out = np.empty((len(W), len(A)), A.dtype)
    for w, row in zip(W, out, strict=True):
        np.dot(A, w, out=row)
    return out


def _transposed(A: Array, rows: Array) -> Array:
    """rows A, (columns, d)."""
    from ..compiled.dense import FEW

    if len(rows) > FEW:
        return np.asarray(rows @ A)
    return np.stack([row @ A for row in rows])
