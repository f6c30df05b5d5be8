"""Ridges of many strengths from sums of products, judged on rows that they have not seen: folds, or each row left out.

With X̃ᵀX̃ = V diag(λ) Vᵀ the ridge of strength α is V (λ + α)⁻¹ Vᵀ X̃ᵀỹ, so that one decomposition has them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg

from .expansion import COARSE, reciprocal_condition
from .kernels import LeaveOneOutKernel, LossKernel, Moments, RotatedKernel, Squares
from .losses import Squared
from .protocol import GRADIENT, Array, Engine, Points

EVEN = 1e-6  # the smallest curvature over the largest from which an eigendecomposition keeps its digits
SCORINGS = ("r2", "neg_mean_squared_error", "neg_root_mean_squared_error")
MANY = 20  # strengths, from which one decomposition is cheaper than a factor each


@dataclass(frozen=True, eq=False)
class RidgeSums:
    """Gram matrix and slopes of centred rows; without an intercept about zero."""

    gram: Array  # (d, d)
    slope: Array  # (d, m)
    origin: Array  # (d,)
    target: Array  # (m,)

    @classmethod
    def of(cls, squares: Squares, n_targets: int, *, fit_intercept: bool) -> RidgeSums:
        """Those of some rows and of the first of their targets."""
        squares = squares._replace(xz=squares.xz[:, :n_targets], z_mean=squares.z_mean[:n_targets])
        if fit_intercept:
            return cls(squares.xx, squares.xz, squares.x_mean, squares.z_mean)
        gram = squares.xx + squares.weight * np.outer(squares.x_mean, squares.x_mean)
        slope = squares.xz + squares.weight * np.outer(squares.x_mean, squares.z_mean)
        return cls(gram, slope, np.zeros(len(gram)), np.zeros(slope.shape[1]))

    def coarse(self, alpha: float) -> bool:
        """Whether the sums have lost too many digits for a ridge of this strength."""
        return reciprocal_condition(self.gram + alpha * np.eye(len(self.gram))) < COARSE

    def intercepts(self, coefs: Array) -> Array:
        """Those of coefficients (…, m, d)."""
        return np.asarray(self.target - coefs @ self.origin)


class Spectrum(NamedTuple):
    """λ ≥ 0, V and VᵀX̃ᵀỹ."""

    values: Array  # (d,)
    vectors: Array  # (d, d)
    slopes: Array  # (d, m)


def ridges(sums: RidgeSums, alphas: Array) -> Array:
    """(a, m, d) the coefficients for every strength; of smallest norm where they are not unique."""
    if len(alphas) >= MANY and len(sums.gram):
        found = _even_spectrum(sums, float(alphas.min()))
        if found is not None:
            shrunk = found.slopes / (found.values + alphas[:, None])[:, :, None]
            return np.swapaxes(found.vectors @ shrunk, 1, 2)
    return np.stack([_ridge(sums.gram, sums.slope, float(alpha)).T for alpha in alphas])


def _ridge(gram: Array, slope: Array, alpha: float) -> Array:
    """(d, m) the solution of (gram + α) w = slope, in columns of unit curvature: their units change nothing."""
    matrix = gram + alpha * np.eye(len(gram))
    curvature = np.diag(matrix)
    scale = 1 / np.sqrt(np.where(curvature > 0, curvature, 1.0))
    try:
        factor = scipy.linalg.cho_factor(matrix * scale * scale[:, None], lower=True, check_finite=False)
    except scipy.linalg.LinAlgError:
        return np.asarray(scipy.linalg.pinvh(matrix) @ slope)
    if np.diag(factor[0]).min() ** 2 <= len(gram) * np.finfo(float).eps:  # a pivot of rounding alone
        return np.asarray(scipy.linalg.pinvh(matrix) @ slope)
    return np.asarray(scale[:, None] * scipy.linalg.cho_solve(factor, scale[:, None] * slope, check_finite=False))


def _even_spectrum(sums: RidgeSums, alpha: float) -> Spectrum | None:
    """By the matrix itself; None where its smallest eigenvalues are lost beside the largest."""
    values, vectors = scipy.linalg.eigh(sums.gram, check_finite=False)
    values = np.maximum(values, 0.0)
    return Spectrum(values, vectors, vectors.T @ sums.slope) if values[0] + alpha >= EVEN * values[-1] else None


def spectrum(sums: RidgeSums, alpha: float, engine: Engine, *, fit_intercept: bool) -> Spectrum:
    """The eigenvalues and eigenvectors of the Gram matrix, as exact as ridges from the strength ``alpha`` upwards need.

    Where the largest eigenvalues drown the smallest, a root M of the matrix, XᵀX = MᵀM, in columns of unit length has
    them as singular values. Where even the correlations are ill-conditioned one more sweep sums the products of rows
    that the first root has made nearly orthogonal (Fukaya et al., *Shifted Cholesky QR*, SIAM J. Sci. Comput. 42,
    2020): that is as good as the singular values of X.
    """
    found = _even_spectrum(sums, alpha)
    if found is not None:
        return found
    values, vectors, scale = _correlations(sums.gram)
    if not sums.coarse(alpha):
        _, singular, transposed = scipy.linalg.svd(np.sqrt(values)[:, None] * vectors.T * scale, check_finite=False)
        return Spectrum(singular**2, np.ascontiguousarray(transposed.T), transposed @ sums.slope)
    lengths = np.sqrt(values + 4 * len(values) * np.finfo(float).eps * values[-1])
    squares = engine.sweep(RotatedKernel(sums.origin, vectors / lengths / scale[:, None]))
    rotated = RidgeSums.of(squares, len(sums.target), fit_intercept=fit_intercept)
    own_values, own_vectors, own_scale = _correlations(rotated.gram)
    root = (np.sqrt(own_values)[:, None] * own_vectors.T * own_scale) @ (lengths[:, None] * vectors.T * scale)
    left, singular, transposed = scipy.linalg.svd(root, check_finite=False)
    # The left singular vectors of X times y, of which no digit is lost beside larger ones.
    sure = own_values > len(values) * np.finfo(float).eps * own_values[-1]
    inverse = np.where(sure, 1 / np.sqrt(np.where(sure, own_values, 1.0)), 0.0)
    along = left.T @ (inverse[:, None] * (own_vectors.T @ (rotated.slope / own_scale[:, None])))
    return Spectrum(singular**2, np.ascontiguousarray(transposed.T), singular[:, None] * along)


def _correlations(gram: Array) -> tuple[Array, Array, Array]:
    """Eigenvalues and eigenvectors of the matrix scaled to a diagonal of ones, and the scale; columns that are 0 keep
    theirs."""
    curvature = np.diag(gram)
    scale = np.sqrt(np.where(curvature > 0, curvature, 1.0))
    values, vectors = scipy.linalg.eigh(gram / scale / scale[:, None], check_finite=False)
    return np.maximum(values, 0.0), vectors, scale


def leave_one_out(
    sums: RidgeSums, moments: Moments, alphas: Array, engine: Engine, *, fit_intercept: bool
) -> LeaveOneOutKernel:
    """What one more sweep needs to leave out every row in turn."""
    least = float(alphas.min())
    found = spectrum(sums, least, engine, fit_intercept=fit_intercept)
    order = np.argsort(-found.values, kind="stable")
    rank = moments.n_used - fit_intercept  # of rows that span no more, unless some are alike
    spanned = 0 < rank <= len(order) and moments.n_used == moments.n_rows
    smallest = len(order) * np.finfo(float).eps * float(found.values.max(initial=0.0))
    spanned = spanned and bool(found.values[order[rank - 1]] > smallest)
    if spanned:
        order = order[:rank]
    return LeaveOneOutKernel(
        sums.origin,
        sums.target,
        found.vectors[:, order],
        found.values[order],
        found.slopes[order],
        alphas,
        moments.weight if fit_intercept else np.inf,
        spanned,
    )


def coefficients(kernel: LeaveOneOutKernel, chosen: Array) -> Array:
    """(m, d) the ridges of the chosen strengths, one a target."""
    shrunk = kernel.slopes / (kernel.values[:, None] + kernel.alphas[chosen])
    return np.asarray((kernel.vectors @ shrunk).T)


def refined(sums: RidgeSums, coefs: Array, alpha: float, moments: Moments, engine: Engine) -> Array:
    """The coefficients (m, d) after one Newton step from their exact gradient, for one sweep."""
    origin = None if moments.sparse else sums.origin
    centre = np.zeros(len(sums.origin)) if origin is None else origin
    intercepts = sums.target - coefs @ (sums.origin - centre)
    points = Points(coefs[None], intercepts[None], GRADIENT)
    found = engine.sweep(LossKernel(Squared(len(coefs)), (points,), origin, exact=True)).parts[0]
    slope = found.grad_w[0] - np.outer(found.grad_b[0], sums.origin - centre) + alpha * coefs
    return coefs - _ridge(sums.gram, slope.T, alpha).T


class Errors(NamedTuple):
    """Sums over rows that were not in the fit, for every strength and target."""

    rows: float
    squares: Array  # (a, m) of the errors
    spread: Array  # (m,) of the targets about their mean


def judge(coefs: Array, intercepts: Array, test: Squares) -> Errors:
    """What coefficients (a, m, d) and intercepts (a, m) get wrong on these rows, from their sums of products.

    ``test`` may have targets twice: less the offset, and as they are.
    """
    m = coefs.shape[1]
    bias = test.z_mean[:m] - coefs @ test.x_mean - intercepts
    about = coefs @ test.xx - 2 * test.xz[:, :m].T
    square = test.zz[:m] + np.sum(about * coefs, axis=2) + test.weight * bias**2
    return Errors(test.weight, np.maximum(square, 0.0), test.zz[-m:])


def scores(errors: Errors, scoring: str) -> Array:
    """(a, m) what scikit-learn's scorer of that name says of each target."""
    if scoring == "r2":
        spread = np.broadcast_to(errors.spread, errors.squares.shape)
        constant = np.where(errors.squares > 0, 0.0, 1.0)
        return np.where(spread > 0, 1 - errors.squares / np.where(spread > 0, spread, 1.0), constant)
    mean = errors.squares / errors.rows
    return np.asarray(-np.sqrt(mean) if scoring == "neg_root_mean_squared_error" else -mean)
