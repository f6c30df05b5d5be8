"""F(w, b) = (1/S) Σ s ℓ(y, x·w + b + o) + Ω(w): turns the queries of many fits into one kernel and sums into answers.

Solvers may work in other coordinates than (w, b). :class:`Coordinates` hold the map: θ = (scale·w, b + center·w), so
that a solver sees standardised columns while X is never copied or shifted, and the penalty stays in original units.
Source: the "virtual" standardisation of Spark's block aggregators and of tabmat.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import numpy as np

from .kernels import LossKernel, Moments
from .losses import Loss
from .penalties import Penalty
from .protocol import Answer, Array, Block, Points, PointSums, Query, Solver, Sums

# A column whose mean is so many standard deviations from zero is centred row by row inside the kernel.
CENTERED_ENOUGH = {np.dtype(np.float32): 4.0, np.dtype(np.float64): 1e3}


class Coordinates(NamedTuple):
    """θ = (scale·w, b + center·w) for each output."""

    center: Array  # (d,)
    scale: Array  # (d,)


class Model(NamedTuple):
    """What the objective must know of one fit."""

    penalty: Penalty
    coordinates: Coordinates


class Objective:
    """The objective of all fits that share data, loss and intercept.

    Parameters
    ----------
    loss : Loss
    moments : Moments
        Of the data, from the first sweep; its ``weight`` is S.
    fit_intercept : bool
    dtype : dtype of X
    sparse : bool
        True: rows are never shifted, centring is algebra on the sums.
    """

    def __init__(self, loss: Loss, moments: Moments, *, fit_intercept: bool, dtype: np.dtype, sparse: bool) -> None:
        self.loss = loss
        self.moments = moments
        self.fit_intercept = fit_intercept
        self.n_features = len(moments.mean)
        self.n_outputs = loss.n_outputs
        self.total = moments.weight
        spread = moments.std if fit_intercept else moments.rms
        # Rounding leaves a constant column of mean 0.1 a spread near 1e-17: below this it counts as constant.
        constant = spread <= 1e-14 * moments.rms if fit_intercept else spread == 0
        self.standardised = Coordinates(
            moments.mean if fit_intercept else np.zeros(self.n_features), np.where(constant, 1.0, spread)
        )
        self.raw = Coordinates(np.zeros(self.n_features), np.ones(self.n_features))
        far = np.abs(moments.mean) > CENTERED_ENOUGH[dtype] * spread
        self.origin = moments.mean if fit_intercept and not sparse and bool((far & ~constant).any()) else None

    @property
    def size(self) -> int:
        """Free parameters p of one fit."""
        return self.n_outputs * (self.n_features + self.fit_intercept)

    def coordinates(self, solver: Solver, penalty: Penalty) -> Coordinates:
        """Those a solver works in: original units, or columns centred and scaled so that each has unit curvature at
        the most, the penalty's included."""
        if not solver.standardised:
            return self.raw
        center, spread = self.standardised
        return Coordinates(center, np.sqrt(spread**2 + penalty.curvature / self._curvature))

    @property
    def _curvature(self) -> float:
        return self.loss.curvature if np.isfinite(self.loss.curvature) else 1.0

    @property
    def rounding(self) -> float:
        """A share ε of half the mean square of y: an objective below it comes from rounding (0 for a classifier)."""
        mean_square = self.moments.y_m2 / self.moments.weight + self.moments.y_mean**2
        return float(0.5 * np.finfo(np.float64).eps * mean_square)

    def of_weight(self, block: Block) -> Objective:
        """The same objective over other rows: everything is kept but the sum of weights."""
        other = copy(self)
        other.total = float(block.n_rows if block.weight is None else block.weight.sum(dtype=np.float64))
        return other

    # -- coordinates ---------------------------------------------------------------------------------------------

    def _split(self, theta: Array) -> tuple[Array, Array]:
        """(t, p) -> scaled coefficients (t, k, d) and shifted intercepts (t, k)."""
        parts = theta.reshape(len(theta), self.n_outputs, -1)
        intercept = parts[..., self.n_features] if self.fit_intercept else np.zeros(parts.shape[:2])
        return parts[..., : self.n_features], intercept

    def _join(self, w: Array, b: Array) -> Array:
        parts = np.concatenate([w, b[..., None]], axis=-1) if self.fit_intercept else w
        return parts.reshape(len(parts), -1)

    def to_theta(self, coef: Array, intercept: Array, coordinates: Coordinates) -> Array:
        """Coefficients (k, d) and intercepts (k,) in original units -> θ (p,)."""
        w = coef * coordinates.scale
        return self._join(w[None], (intercept + coef @ coordinates.center)[None])[0]

    def to_model(self, theta: Array, coordinates: Coordinates) -> tuple[Array, Array]:
        """θ (p,) -> coefficients (k, d) and intercepts (k,) in original units."""
        w, b = self._split(theta[None])
        coef = w[0] / coordinates.scale
        return coef, b[0] - coef @ coordinates.center if self.fit_intercept else b[0]

    def start(self) -> tuple[Array, Array]:
        """Zero coefficients and the intercept of the best constant model."""
        intercept = np.zeros(self.n_outputs)
        if self.fit_intercept:
            if self.moments.classes:
                counts = np.array(list(self.moments.classes.values()))
                intercept = self.loss.link(counts / counts.sum()).reshape(self.n_outputs)
            else:
                intercept = self.loss.link(np.array([self.moments.y_mean]))
        return np.zeros((self.n_outputs, self.n_features)), intercept

    # -- queries -> kernel -> answers ----------------------------------------------------------------------------

    def kernel(self, queries: Sequence[Query], models: Sequence[Model]) -> LossKernel:
        """One kernel for the queries of all fits; points that want the same are stacked."""
        stacks: dict[frozenset[str], list[tuple[Array, Array]]] = {}
        for query, model in zip(queries, models, strict=True):
            stacks.setdefault(query.want, []).append(self._data_points(query.theta, model.coordinates))
        points = tuple(
            Points(np.concatenate([W for W, _ in parts]), np.concatenate([b for _, b in parts]), want)
            for want, parts in stacks.items()
        )
        # A name of its own for each kind, so that Dask and the engine learn how long each runs.
        name = "hessian" if any("hess" in want for want in stacks) else "gradient"
        return LossKernel(self.loss, points, self.origin, name)

    def _data_points(self, theta: Array, coordinates: Coordinates) -> tuple[Array, Array]:
        w, b = self._split(theta)
        W = w / coordinates.scale
        origin = 0.0 if self.origin is None else self.origin
        if self.fit_intercept:
            b = b + W @ (origin - coordinates.center)
        return W, b

    def finish(self, sums: Sums, queries: Sequence[Query], models: Sequence[Model]) -> list[Answer]:
        """The answers, in the order of the queries: means of the sums plus the penalty, in solver coordinates."""
        order = list(dict.fromkeys(query.want for query in queries))
        taken = dict.fromkeys(order, 0)
        answers = []
        for query, model in zip(queries, models, strict=True):
            first = taken[query.want]
            taken[query.want] = last = first + len(query.theta)
            part = sums.parts[order.index(query.want)]
            part = PointSums._make(None if a is None else a[first:last] for a in part)
            answers.append(self._answer(part, query, model))
        return answers

    def _answer(self, sums: PointSums, query: Query, model: Model) -> Answer:
        center, scale = model.coordinates
        penalty = model.penalty
        W = self._split(query.theta)[0] / scale
        value = sums.value / self.total + penalty.value(W).sum(axis=-1)
        if sums.grad_w is None or sums.grad_b is None:
            return Answer(value)
        delta = (center if self.origin is None else center - self.origin) if self.fit_intercept else 0.0
        grad_w = (sums.grad_w - delta * sums.grad_b[..., None]) / (self.total * scale) + penalty.grad(W) / scale
        grad = self._join(grad_w, sums.grad_b / self.total)
        if sums.hess_ww is None or sums.hess_wb is None or sums.hess_bb is None:
            return Answer(value, grad)
        hess = np.stack(
            [
                self._hessian(ww, wb, bb, np.broadcast_to(delta, (self.n_features,)), scale, penalty)
                for ww, wb, bb in zip(sums.hess_ww, sums.hess_wb, sums.hess_bb, strict=True)
            ]
        )
        return Answer(value, grad, hess)

    def _hessian(self, ww: Array, wb: Array, bb: Array, delta: Array, scale: Array, penalty: Penalty) -> Array:
        """Σ D (x-δ)(x-δ)ᵀ from sums about the origin, scaled, divided by S, plus Ω″; shape (p, p)."""
        k, d = self.n_outputs, self.n_features
        cross = np.einsum("kil,j->kilj", wb, delta)  # Σ D_kl x_i δ_j, indexed (k, i, l, j)
        full = np.zeros((k, d + self.fit_intercept, k, d + self.fit_intercept))
        centred = ww - cross - cross.transpose(2, 3, 0, 1)
        centred += np.einsum("kl,i,j->kilj", bb, delta, delta)
        full[:, :d, :, :d] = centred / (scale[:, None, None] * scale)
        if self.fit_intercept:
            shifted = (wb - np.einsum("kl,i->kil", bb, delta)) / scale[:, None]
            full[:, :d, :, d] = shifted
            full[:, d, :, :d] = shifted.transpose(2, 0, 1)
            full[:, d, :, d] = bb
        full /= self.total
        if k > 1:
            self._fix_gauge(full, penalised=penalty.curvature > 0)
        diagonal = np.einsum("kiki->ki", full)
        diagonal[:, :d] += penalty.curvature / (scale * scale)
        return full.reshape(self.size, self.size)

    def _fix_gauge(self, full: Array, *, penalised: bool) -> None:
        """Adding one vector to the coefficients of every class changes no margin difference: give those directions
        curvature (the gradient has no part in them, so the Newton step is unchanged)."""
        k, d = self.n_outputs, self.n_features
        for i in range(d if penalised else 0, d + self.fit_intercept):
            full[:, i, :, i] += np.trace(full[:, i, :, i]) / k**2

    def minimum_norm(self, coef: Array, null: Array, coordinates: Coordinates) -> Array:
        """The coefficients (k, d) of smallest norm that give the same margins, from a basis (p, r) of the null space
        of the Hessian in solver coordinates (whose columns are centred: a null direction has no intercept part)."""
        directions = self._split(null.T)[0] / coordinates.scale
        basis = np.linalg.qr(directions.reshape(len(directions), -1).T)[0]
        flat = coef.ravel()
        return np.asarray((flat - basis @ (basis.T @ flat)).reshape(coef.shape))

    # -- stopping ------------------------------------------------------------------------------------------------

    def decrement(self, grad: Array, model: Model) -> float:
        """½ Σ g²/(c + λ) with the gradient in standardised coordinates: an estimate of F - F* that neither the units
        of a column nor a repetition of the rows change (c = the loss's curvature bound)."""
        g_w, g_b = self._split(grad[None])
        center, scale = model.coordinates
        c, s = self.standardised
        # dF/dw at fixed b, then to the standardised coordinates
        g_w = g_w * scale + (center - c) * g_b[..., None] if self.fit_intercept else g_w * scale
        curvature = self._curvature
        total = np.sum((g_w / s) ** 2 / (curvature + model.penalty.curvature / s**2)) + np.sum(g_b**2) / curvature
        return float(0.5 * total)
