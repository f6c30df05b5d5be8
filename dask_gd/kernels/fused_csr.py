"""The sums of a loss over a block of CSR rows by machine code: margins, losses and sums are float64 whatever X is."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..losses import Loss
from ..memory import in_precision, kept_memory, recycled
from ..protocol import DIAGONAL, EXPECTED, GRADIENT, HESSIAN, PRODUCT, VALUE, Array, Block, Points, PointSums

NOTHING = np.zeros(0)
ORDERS = {VALUE: 0, GRADIENT: 1, DIAGONAL: 2, PRODUCT: 3, HESSIAN: 1, EXPECTED: 1}


def fused_csr_sums(loss: Loss, asked: list[Points], block: Block) -> list[PointSums] | None:
    """The sums for each of the points; None where the loss has no compiled twin."""
    from ..compiled.pointwise import twin_of  # imports Numba

    X = block.X
    twin = twin_of(loss, np.dtype(np.float64))
    if twin is None or (any("hess" in points.want for points in asked) and not X.has_canonical_format):
        return None
    y = in_precision("targets", block.y, np.float64).reshape(X.shape[0], -1)
    weight = NOTHING if block.weight is None else in_precision("weights", block.weight, np.float64)
    offset = NOTHING if block.offset is None else in_precision("offsets", block.offset, np.float64)
    return [_point_sums(loss, twin, points, X, y, weight, offset) for points in asked]


def _point_sums(loss: Loss, twin: Any, points: Points, X: Any, y: Array, weight: Array, offset: Array) -> PointSums:
    from ..compiled.sparse import add_csr_sums, padded

    t, k, d = points.W.shape
    m, order = t * k, ORDERS[points.want]
    parts = [points.W.reshape(m, d)]
    b, c = points.b.reshape(m).astype(np.float64), NOTHING
    if points.direction is not None:
        parts.append(points.direction[0].reshape(m, d))
        c = points.direction[1].reshape(m).astype(np.float64)
    value, grad_b, curved_b = np.zeros(t), np.zeros(m), np.zeros(m)
    sum_w = recycled((d, (0, padded(m), padded(2 * m), padded(2 * m))[order]), np.float64)
    sum_ww = recycled((d, padded(m) if order == 2 else 0), np.float64)
    sum_w[:], sum_ww[:] = 0.0, 0.0
    curvature = np.zeros((m, X.shape[0])) if "hess" in points.want else np.zeros((0, 0))
    classes = k if twin.one_vs_rest else 0
    out = (value, grad_b, curved_b, sum_w, sum_ww, curvature)
    W = kept_memory("coefficients", (d, padded(m * len(parts))), np.float64)  # column by column, filled up
    W[:] = 0.0
    for i, part in enumerate(parts):
        W[:, i * m : (i + 1) * m] = part.T
    add_csr_sums(X, y, weight, offset, W, b, c, twin, classes, order, *out)
    if order == 0:
        return PointSums(value)

    def rows(sums: Array) -> Array:
        return sums.T.reshape(t, k, d)  # a view

    sums = PointSums(value, rows(sum_w[:, :m]), grad_b.reshape(t, k))
    if len(curvature):
        hess = _hessians(loss, twin, X, curvature.reshape(t, k, -1), weight)
        return sums._replace(hess_ww=hess[0], hess_wb=hess[1], hess_bb=hess[2])
    if order == 1:
        return sums
    behind, curved_b = rows(sum_w[:, m : 2 * m]), curved_b.reshape(t, k)
    if order == 2:
        return sums._replace(diag_ww=rows(sum_ww[:, :m]), diag_wb=behind, diag_bb=curved_b)
    return sums._replace(product_w=behind, product_b=curved_b)


def _hessians(loss: Loss, twin: Any, X: Any, curvature: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Σ D x xᵀ, Σ D x and Σ D for each point and each pair of outputs."""
    from ..compiled.sparse import csr_gram

    t, k, _ = curvature.shape
    d = X.shape[1]
    ww, wb, bb = np.zeros((t, k, d, k, d)), np.zeros((t, k, d, k)), np.zeros((t, k, k))
    gram: tuple[Array, Array, float] | None = None
    for i in range(t):
        for j in range(k):
            for other in range(j, k) if twin.rank_one else (j,):
                if gram is None or not loss.quadratic:  # of a quadratic loss they are all the same
                    D = curvature[i, j]
                    if twin.rank_one:
                        D = D * ((other == j) - curvature[i, other])
                        D = D * weight if len(weight) else D
                    gram = csr_gram(X, D), X.T @ D, float(D.sum())
                for one, two in {(j, other), (other, j)}:
                    ww[i, one, :, two], wb[i, one, :, two], bb[i, one, two] = gram
    return ww, wb, bb
