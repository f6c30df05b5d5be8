"""A mean squared loss as its expansion about a point: all that any solver asks of it, without a sweep.

With the columns centred the Hessian in (w, b) is block diagonal, and the same for every output. One exact gradient at
the point found gives the expansion about that point: what is added to the coefficients then no longer carries the
rounding of the sums (iterative refinement: Golub & Van Loan, *Matrix Computations*, 2013, sec. 3.5.3).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from .kernels import Squares
from .kernels.rows import row_slices
from .protocol import Answer, Array, Points, PointSums

COARSE = 1e-6  # reciprocal condition number of the correlations below which sums of products lose too many digits
EXACT_FIT = 1e-10  # a share of the targets' variance below which residuals are lost in it


class Expansion(NamedTuple):
    """f(w, b) = value + grad·Δ + ½ Σ_k (Δw_kᵀ H Δw_k + Δb_k²), margins (x - origin)·w + b."""

    w: Array  # (k, d) the point …
    b: Array  # (k,)
    value: float  # … the loss there …
    grad_w: Array  # … and its gradient
    grad_b: Array
    hess: Array  # (d, d)
    origin: Array  # (d,) the means of the columns; zeros without an intercept
    coarse: bool  # ill-conditioned: one exact gradient is worth a sweep

    @classmethod
    def of(cls, squares: Squares, *, fit_intercept: bool) -> Expansion:
        """The expansion about zero coefficients and the mean of the targets."""
        d, k = squares.xz.shape
        total = squares.weight
        hess, slope, square = squares.xx / total, squares.xz.T / total, squares.zz / total
        coarse = reciprocal_condition(hess) < COARSE
        none = np.zeros((k, d))
        if fit_intercept:
            value = 0.5 * float(square.sum())
            return cls(none, squares.z_mean, value, -slope, np.zeros(k), hess, squares.x_mean, coarse)
        hess = hess + np.outer(squares.x_mean, squares.x_mean)
        slope = slope + np.outer(squares.z_mean, squares.x_mean)
        value = 0.5 * float((square + squares.z_mean**2).sum())
        return cls(none, np.zeros(k), value, -slope, -squares.z_mean, hess, np.zeros(d), coarse)

    def about(self, theta: Array, answer: Answer) -> Expansion:
        """The expansion about another point (k, d + 1), from what a sweep answered there."""
        grad = answer.grad[0].reshape(theta.shape)
        return self._replace(
            w=theta[:, :-1], b=theta[:, -1], value=float(answer.value[0]), grad_w=grad[:, :-1], grad_b=grad[:, -1]
        )

    def sums(self, points: Points, total: float) -> PointSums:
        """What a sweep over rows of this total weight would answer."""
        w, b = points.W - self.w, points.b - self.b
        slope = w @ self.hess
        value = self.value + np.sum((self.grad_w + 0.5 * slope) * w, axis=(1, 2))
        value += np.sum((self.grad_b + 0.5 * b) * b, axis=1)
        sums = PointSums(total * value, total * (self.grad_w + slope), total * (self.grad_b + b))
        t, k, d = points.W.shape
        if "hess" in points.want:
            eye = np.eye(k)
            ww = total * np.einsum("kl,ij->kilj", eye, self.hess)
            sums = sums._replace(
                hess_ww=np.broadcast_to(ww, (t, *ww.shape)),
                hess_wb=np.broadcast_to(0.0, (t, k, d, k)),
                hess_bb=np.broadcast_to(total * eye, (t, k, k)),
            )
        if "hess_diag" in points.want:
            sums = sums._replace(
                diag_ww=np.broadcast_to(total * np.diag(self.hess), (t, k, d)),
                diag_wb=np.broadcast_to(0.0, (t, k, d)),
                diag_bb=np.broadcast_to(total, (t, k)),
            )
        if points.direction is not None:
            u, c = points.direction
            sums = sums._replace(product_w=total * (u @ self.hess), product_b=total * c)
        return sums


def correlation_condition(X: Any) -> float:
    """The condition number of the columns' correlations in a block of rows, in the 1-norm."""
    if isinstance(X, np.ndarray):
        mean, gram = X.mean(axis=0, dtype=np.float64), np.zeros((X.shape[1], X.shape[1]))
        for rows in row_slices(X, X.shape[1]):
            A = X[rows] - mean
            gram += A.T @ A
    else:
        mean = np.asarray(X.mean(axis=0), dtype=np.float64).ravel()
        gram = (X.T @ X).toarray().astype(np.float64) - X.shape[0] * np.outer(mean, mean)
    return 1 / max(reciprocal_condition(gram), 1e-16)


def reciprocal_condition(hess: Array) -> float:
    """That of the matrix scaled to a diagonal of ones, columns without variance left out; 0.0 where it is singular."""
    variance = np.diag(hess)
    used = variance > 0
    if not used.any():
        return 1.0
    scale = 1 / np.sqrt(variance[used])
    scaled = hess[np.ix_(used, used)] * scale * scale[:, None]
    norm = float(np.abs(scaled).sum(axis=0).max())
    try:
        factor = scipy.linalg.cholesky(scaled, check_finite=False)
    except scipy.linalg.LinAlgError:
        return 0.0
    return float(scipy.linalg.lapack.dpocon(factor, norm)[0])
