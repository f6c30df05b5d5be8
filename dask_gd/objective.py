"""F(w, b) = (1/S) Σ s ℓ(y, x·w + b + o) + Ω(w): turns the queries of many fits into one kernel and sums into answers.

Solvers may work in other coordinates than (w, b). :class:`Coordinates` hold the map: θ = (scale·w, b + center·w), so
that a solver sees standardised columns while X is never copied or shifted, and the penalty stays in original units.
Source: the "virtual" standardisation of Spark's block aggregators and of tabmat.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .expansion import EXACT_FIT, Expansion
from .kernels import EpochKernel, LossKernel, Moments, Squares, Together
from .losses import Loss
from .losses.base import REALS
from .penalties import ElasticNet, Penalty, ThetaPenalty
from .protocol import (
    DIAGONAL,
    EXPECTED,
    GRADIENT,
    HESSIAN,
    VALUE,
    Answer,
    Array,
    Block,
    Kernel,
    Points,
    PointSums,
    Query,
    Rows,
    Solver,
    Stride,
    Sums,
    Walk,
    WalkSums,
)

COMPILED_ENTRIES = 2**21  # of X; with fewer, loading machine code costs more than it saves
# A column whose mean is so many standard deviations from zero is centred row by row inside the kernel.
CENTERED_ENOUGH = {np.dtype(np.float32): 4.0, np.dtype(np.float64): 1e3}
KNOWN = (VALUE, GRADIENT, EXPECTED, DIAGONAL)  # what a landmark may know
STANDARD_ERRORS = 0.01  # from the minimum, at which more precision tells nothing


class Coordinates(NamedTuple):
    """θ = (scale·w, b + center·w) for each output."""

    center: Array  # (d,)
    scale: Array  # (d,)


class Model(NamedTuple):
    """What the objective must know of one fit."""

    penalty: Penalty
    coordinates: Coordinates
    expansion: Expansion | None = None  # of a squared loss: answers every query without a sweep


class Landmark(NamedTuple):
    """A point where the sums of the loss and its first and second derivatives are known."""

    coef: Array  # (k, d)
    intercept: Array  # (k,)
    sums: PointSums  # of one point


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
    squares : Squares, optional
        Of a squared loss: no query needs a sweep then.
    sample : Block, optional
        Rows whose Hessian stands for that of all.
    class_weight : ndarray of shape (K,), optional
        Multiplies the weights of the rows, where the blocks do not hold the product.
    """

    def __init__(
        self,
        loss: Loss,
        moments: Moments,
        *,
        fit_intercept: bool,
        dtype: np.dtype,
        sparse: bool,
        squares: Squares | None = None,
        sample: Block | None = None,
        class_weight: Array | None = None,
    ) -> None:
        self.class_weight = class_weight
        self.landmark: Landmark | None = None  # near by: its second derivatives stand for those elsewhere
        self.loss = loss
        self.moments = moments
        self.fit_intercept = fit_intercept
        self.dtype = dtype
        self.sparse = sparse
        self.sample = sample
        self.expansion = None if squares is None else Expansion.of(squares, fit_intercept=fit_intercept)
        self.n_features = len(moments.mean)
        self.n_outputs = loss.n_outputs
        self.total = moments.weight
        # Which of the (k, d + 1) coefficients and intercepts are free parameters: θ holds those, row by row.
        self.free = np.ones((self.n_outputs, self.n_features + 1), dtype=bool)
        self.free[:, -1] = fit_intercept
        if loss.n_constant:
            self.free[-loss.n_constant :, :-1] = False
            self.free[-loss.n_constant :, -1] = True
        spread = moments.std if fit_intercept else moments.rms
        # Rounding leaves a constant column of mean 0.1 a spread near 1e-17: below this it counts as constant.
        constant = spread <= 1e-14 * moments.rms if fit_intercept else spread == 0
        self.standardised = Coordinates(
            moments.mean if fit_intercept else np.zeros(self.n_features), np.where(constant, 1.0, spread)
        )
        self.constant = constant if fit_intercept else np.zeros_like(constant)
        self.raw = Coordinates(np.zeros(self.n_features), np.ones(self.n_features))
        far = np.abs(moments.mean) > CENTERED_ENOUGH[dtype] * spread
        shifted = fit_intercept and not sparse and bool((far & ~constant).any())
        about = moments.mean if moments.about is None else moments.about
        self.origin = about if shifted else None

    def pin_constant(self, penalty: Penalty) -> int:
        """Take the constant columns out of the fit, where the intercept does all that they could do: their
        coefficients are 0, if the penalty has its minimum there. Returns their number."""
        if not self.constant.any():
            return 0
        zero = np.zeros((self.n_outputs, self.n_features))
        pinned = self.constant & (penalty.prox(zero, 1.0) == 0).all(axis=0)
        self.free[:, :-1] &= ~pinned
        return int(pinned.sum())

    @property
    def size(self) -> int:
        """Free parameters p of one fit."""
        return int(self.free.sum())

    def coordinates(self, solver: Solver, penalty: Penalty) -> Coordinates:
        """Those a solver works in: original units (as far as the penalty has a simple prox there), or columns centred
        and scaled so that each has unit curvature at the most, the penalty's included."""
        if not solver.standardised:
            return self.raw._replace(scale=penalty.even(self.raw.scale))
        center, spread = self.standardised
        curvature = np.asarray(penalty.curvature)
        if curvature.ndim == 2:  # one a model of several outputs: columns have one scale
            curvature = curvature.min(axis=0)
        return Coordinates(center, penalty.even(np.sqrt(spread**2 + curvature / self.curvature)))

    @cached_property
    def curvature(self) -> float:
        """An upper bound of the loss's second derivative; where there is none, its value at the constant model."""
        if np.isfinite(self.loss.curvature):
            return self.loss.curvature
        if self.moments.classes:
            return 1.0
        eta = self.start_margins().reshape(-1, 1)
        out = self.loss.derivatives(np.atleast_1d(self.moments.y_mean)[:1], eta if self.n_outputs > 1 else eta[0], 2)
        second = out.second if out.expected is None else out.expected
        if second is None:
            return 1.0
        square = 0.0 if out.rank_one is None else out.sign * out.rank_one**2
        largest = float(np.max(second + square))
        return largest if np.isfinite(largest) and largest > 0 else 1.0

    @property
    def rounding(self) -> float:
        """A share ε of half the mean square of y: an objective below it comes from rounding (0 for a classifier)."""
        mean_square = np.sum(self.moments.y_m2) / self.moments.weight + np.sum(np.square(self.moments.y_mean))
        return float(0.5 * np.finfo(np.float64).eps * mean_square)

    def of_weight(self, block: Block) -> Objective:
        """The same objective over other rows: everything is kept but the sum of weights."""
        other = copy(self)
        other.__dict__.pop("curvature", None)
        other.class_weight = None  # they are in the block's weights
        other.landmark = None
        other.total = float(block.n_rows if block.weight is None else block.weight.sum(dtype=np.float64))
        return other

    # -- coordinates ---------------------------------------------------------------------------------------------

    def _split(self, theta: Array) -> tuple[Array, Array]:
        """(t, p) -> scaled coefficients (t, k, d) and shifted intercepts (t, k); what is not free is 0."""
        if theta.shape[1] == self.free.size:
            parts = theta.reshape(len(theta), *self.free.shape)
        else:
            parts = np.zeros((len(theta), *self.free.shape))
            parts[:, self.free] = theta
        return parts[..., :-1], parts[..., -1]

    def _join(self, w: Array, b: Array) -> Array:
        """The inverse of :meth:`_split`."""
        joined = np.concatenate([w, b[..., None]], axis=-1)
        return joined.reshape(len(joined), -1) if self.free.all() else joined[:, self.free]

    def to_theta(self, coef: Array, intercept: Array, coordinates: Coordinates) -> Array:
        """Coefficients (k, d) and intercepts (k,) in original units -> θ (p,)."""
        w = coef * coordinates.scale
        return self._join(w[None], (intercept + coef @ coordinates.center)[None])[0]

    def to_model(self, theta: Array, coordinates: Coordinates) -> tuple[Array, Array]:
        """θ (p,) -> coefficients (k, d) and intercepts (k,) in original units."""
        w, b = self._split(theta[None])
        coef = w[0] / coordinates.scale
        return coef, b[0] - coef @ coordinates.center if self.fit_intercept else b[0]

    def start_margins(self) -> Array:
        """The margins (k,) of the constant model that a fit starts from."""
        return np.asarray(self.loss.start(*self.targets()), dtype=float).reshape(self.n_outputs)

    @property
    def advice(self) -> str:
        """What to change where a fit is stuck."""
        if self.loss.margins == REALS:
            return "scale the columns"
        return "the minimum may lie on the border of the link's domain; take another link, or scale the columns"

    @property
    def typical(self) -> float:
        """About F of the constant model, where the loss can tell; else infinity."""
        return self.loss.typical(*self.targets())

    def targets(self) -> tuple[Array, Array]:
        """Mean and standard deviation of each target; shares and zeros of classes."""
        moments = self.moments
        if moments.classes:
            counts = np.array(list(moments.classes.values()))
            return counts / counts.sum(), np.zeros(len(counts))
        return np.atleast_1d(moments.y_mean), np.sqrt(np.atleast_1d(moments.y_m2) / moments.weight)

    def start(self) -> tuple[Array, Array]:
        """Zero coefficients and the intercepts of the constant model."""
        coef = np.zeros((self.n_outputs, self.n_features))
        free = self.free[:, -1]
        return coef, np.where(free, self.start_margins(), 0.0) if free.any() else np.zeros(self.n_outputs)

    # -- queries -> kernel -> answers ----------------------------------------------------------------------------

    def known(self, query: Query, model: Model) -> Answer | None:
        """The answer, where it needs no sweep: from the expansion of a squared loss, or on the row sample."""
        if "sample" in query.want and model.expansion is None:
            if self.landmark is not None:
                answer = self._answer(self.landmark.sums, query, model, self.origin)
                diagonals = np.stack([self._even(np.diag(hess)) for hess in answer.hess])
                return answer._replace(hess_diag=diagonals, fixed=True)
            if self.sample is None:
                raise ValueError("This solver needs a row sample, and none was drawn.")
            rows = self.of_weight(self.sample)
            query = query._replace(want=EXPECTED)
            answer = rows.finish(rows.kernel([query], [model])(self.sample), [query], [model])[0]
            return answer._replace(hess_diag=np.stack([self._even(np.diag(hess)) for hess in answer.hess]))
        if model.expansion is None:
            return self._at_landmark(query, model)
        parts = self._data_points(query.theta, model.coordinates, model.expansion.origin)
        direction = None
        if query.direction is not None:
            direction = self._data_points(query.direction, model.coordinates, model.expansion.origin)
        sums = model.expansion.sums(Points(*parts, query.want, direction), self.total)
        answer = self._answer(sums, query, model, model.expansion.origin)
        if "sample" in query.want:
            answer = answer._replace(hess_diag=np.stack([np.diag(hess) for hess in answer.hess]))
        return answer

    def _at_landmark(self, query: Query, model: Model) -> Answer | None:
        """The answer, if the one point asked about is the landmark and no more is wanted than is known there."""
        if self.landmark is None or len(query.theta) != 1 or query.rows is not None:
            return None
        if query.want not in KNOWN and not (query.want == HESSIAN and self.loss.convex):
            return None
        coef, intercept, sums = self.landmark
        if not np.array_equal(self.to_theta(coef, intercept, model.coordinates), query.theta[0]):
            return None
        if query.want == DIAGONAL:
            assert sums.hess_ww is not None and sums.hess_wb is not None and sums.hess_bb is not None
            sums = sums._replace(
                diag_ww=np.einsum("tkiki->tki", sums.hess_ww),
                diag_wb=np.einsum("tkik->tki", sums.hess_wb),
                diag_bb=np.einsum("tkk->tk", sums.hess_bb),
            )
        return self._answer(sums, query, model, self.origin)

    def refinement(self, theta: Array, model: Model) -> tuple[Query, Model]:
        """What to ask, and of which model, for the expansion about θ."""
        assert model.expansion is not None
        origin = model.expansion.origin
        plain = Model(ElasticNet(), Coordinates(origin, np.ones(self.n_features)))
        coef, intercept = self.to_model(theta, model.coordinates)
        return Query(self.to_theta(coef, intercept, plain.coordinates)[None]), plain

    def refined(self, query: Query, answer: Answer, model: Model) -> Model:
        """The model with its expansion about the point of the :meth:`refinement`."""
        assert model.expansion is not None
        w, b = self._split(query.theta)
        grad_w, grad_b = self._split(answer.grad)
        point = np.concatenate([w[0], b[0][:, None]], axis=1)
        whole = Answer(answer.value, np.concatenate([grad_w[0], grad_b[0][:, None]], axis=1)[None])
        return model._replace(expansion=model.expansion.about(point, whole))

    def coarse(self, value: float, model: Model) -> bool:
        """Whether sums of products have lost digits that an exact gradient would win back."""
        expansion = model.expansion
        if expansion is None:
            return False
        return expansion.coarse or value < EXACT_FIT * float(np.sum(self.moments.y_m2)) / self.total

    def kernel(self, queries: Sequence[Query], models: Sequence[Model], *, exact: bool = False) -> Kernel:
        """One kernel for the queries of all fits; points that want the same of the same rows are stacked.

        ``exact``: computed in float64 whatever the precision of X.
        """
        strides = tuple(
            self._stride(query, model) for query, model in zip(queries, models, strict=True) if query.walk is not None
        )
        stacks: dict[tuple[frozenset[str], Rows | None], list[tuple[Array, ...]]] = {}
        for query, model in zip(queries, models, strict=True):
            if query.walk is not None:
                continue
            parts: tuple[Array, ...] = self._data_points(query.theta, model.coordinates, self.origin)
            if query.direction is not None:
                parts += self._data_points(query.direction, model.coordinates, self.origin)
            stacks.setdefault((query.want, query.rows), []).append(parts)
        points = []
        for (want, rows), stack in stacks.items():
            W, b, *direction = (np.concatenate(parts) for parts in zip(*stack, strict=True))
            points.append(Points(W, b, want, (direction[0], direction[1]) if direction else None, rows))
        # A name of its own for each kind, so that Dask and the engine learn how long each runs.
        name = "hessian" if any("hess" in want for want, _ in stacks) else "gradient"
        # By the size of the data alone, so that the bits depend on nothing else.
        compiled = self.moments.nonzeros >= COMPILED_ENTRIES
        of_points = LossKernel(self.loss, tuple(points), self.origin, name, exact, compiled, self.class_weight)
        if not strides:
            return of_points
        walks = EpochKernel(self.loss, strides)
        return Together((of_points, walks)) if points else walks

    def _stride(self, query: Query, model: Model) -> Stride:
        """The walk of a query in data coordinates, which must be the solver's own."""
        assert query.walk is not None and query.rows is not None
        walk, pace = query.walk
        pull = np.zeros_like(walk.theta) if walk.pull is None else walk.pull
        W, b = self._split(np.stack([walk.theta, walk.average, pull]))
        penalty = model.penalty
        return Stride(
            query.rows,
            pace,
            W[0],
            b[0],
            W[1],
            b[1],
            walk.averaged,
            W[2],
            walk.pulled,
            walk.t,
            float(getattr(penalty, "l1", 0.0)),
            float(getattr(penalty, "l2", 0.0)),
            self.fit_intercept,
        )

    def per_row(self) -> Objective:
        """The same objective with the losses divided by the number of rows and not by their weights."""
        other = copy(self)
        other.__dict__.pop("curvature", None)
        other.total = float(self.moments.n_rows)
        return other

    def _data_points(self, theta: Array, coordinates: Coordinates, origin: Array | None) -> tuple[Array, Array]:
        w, b = self._split(theta)
        W = w / coordinates.scale
        if self.fit_intercept:
            b = b + W @ ((0.0 if origin is None else origin) - coordinates.center)
        return W, b

    def with_loss(self, loss: Loss) -> Objective:
        """The same objective with another loss."""
        other = Objective(
            loss,
            self.moments,
            fit_intercept=self.fit_intercept,
            dtype=self.dtype,
            sparse=self.sparse,
            class_weight=self.class_weight,
        )
        other.free[:, :-1] &= self.free[0, :-1]
        return other

    def finish(self, sums: Sums, queries: Sequence[Query], models: Sequence[Model]) -> list[Answer]:
        """The answers, in the order of the queries: means of the sums plus the penalty, in solver coordinates."""
        order = list(dict.fromkeys((query.want, query.rows) for query in queries if query.walk is None))
        taken = dict.fromkeys(order, 0)
        walks = iter(sums.parts[len(order) :])
        answers = []
        for query, model in zip(queries, models, strict=True):
            if query.walk is not None:
                answers.append(self._walked(next(walks), query.walk[0], model))
                continue
            key = (query.want, query.rows)
            first = taken[key]
            taken[key] = last = first + len(query.theta)
            part = sums.parts[order.index(key)]
            part = PointSums._make(None if a is None else a[first:last] for a in part)
            answers.append(self._answer(part, query, model, self.origin))
        return answers

    def _walked(self, sums: WalkSums, before: Walk, model: Model) -> Answer:
        """Where the walks over all blocks ended on average, and the mean loss on the way."""
        n = sums.rows
        if n == 0:
            raise ValueError(
                "validation_fraction leaves no row to train on: make it smaller, or set early_stopping=False."
            )
        mean = WalkSums._make(part / n for part in sums)
        walk = Walk(
            self._join(mean.W[None], mean.b[None])[0],
            self._join(mean.average_W[None], mean.average_b[None])[0],
            mean.averaged,
            self._join(mean.pull[None], np.zeros((1, self.n_outputs)))[0],
            mean.pulled,
            before.t + n,
        )
        return Answer(mean.loss + model.penalty.value(mean.W).sum(axis=-1, keepdims=True), walk=walk)

    def _answer(self, sums: PointSums, query: Query, model: Model, origin: Array | None) -> Answer:
        """From sums whose derivatives were taken about ``origin``."""
        center, scale = model.coordinates
        penalty = model.penalty
        W = self._split(query.theta)[0] / scale
        total = self.total if sums.rows is None else max(float(sums.rows[0]), 1.0)  # no row: no part in the mean
        value = sums.value / total
        if query.rows is None or not query.rows.held_out:  # what is held out judges the loss alone
            value = value + penalty.value(W).sum(axis=-1)
        if sums.grad_w is None or sums.grad_b is None:
            return Answer(value)
        delta = (center if origin is None else center - origin) if self.fit_intercept else 0.0
        grad_w = (sums.grad_w - delta * sums.grad_b[..., None]) / (total * scale) + penalty.grad(W) / scale
        grad = self._join(grad_w, sums.grad_b / total)
        if sums.diag_ww is not None and sums.diag_wb is not None and sums.diag_bb is not None:
            diagonal = sums.diag_ww - 2 * delta * sums.diag_wb + np.square(delta) * sums.diag_bb[..., None]
            diagonal = np.maximum(diagonal, 0.0) / total + penalty.curvature
            diagonal = self._join(diagonal / (scale * scale), sums.diag_bb / total)
            return Answer(value, grad, hess_diag=np.stack([self._even(row) for row in diagonal]))
        if query.direction is not None and sums.product_w is not None and sums.product_b is not None:
            product = (sums.product_w - delta * sums.product_b[..., None]) / (total * scale)
            product = product + penalty.curvature * self._split(query.direction)[0] / (scale * scale)
            return Answer(value, grad, hess_product=self._join(product, sums.product_b / total))
        if sums.hess_ww is None or sums.hess_wb is None or sums.hess_bb is None:
            return Answer(value, grad)
        hess = np.stack(
            [
                self._hessian(ww, wb, bb, np.broadcast_to(delta, (self.n_features,)), scale, total, penalty)
                for ww, wb, bb in zip(sums.hess_ww, sums.hess_wb, sums.hess_bb, strict=True)
            ]
        )
        return Answer(value, grad, hess)

    def _hessian(
        self, ww: Array, wb: Array, bb: Array, delta: Array, scale: Array, total: float, penalty: Penalty
    ) -> Array:
        """Σ D (x-δ)(x-δ)ᵀ from sums about the origin, scaled, divided by the total, plus Ω″; shape (p, p)."""
        k, d = self.n_outputs, self.n_features
        cross = np.einsum("kil,j->kilj", wb, delta)  # Σ D_kl x_i δ_j, indexed (k, i, l, j)
        full = np.zeros((k, d + 1, k, d + 1))
        centred = ww - cross - cross.transpose(2, 3, 0, 1)
        centred += np.einsum("kl,i,j->kilj", bb, delta, delta)
        full[:, :d, :, :d] = centred / (scale[:, None, None] * scale)
        shifted = (wb - np.einsum("kl,i->kil", bb, delta)) / scale[:, None]
        full[:, :d, :, d] = shifted
        full[:, d, :, :d] = shifted.transpose(2, 0, 1)
        full[:, d, :, d] = bb
        full /= total
        if self.loss.gauge:
            broken = not penalty.smooth or bool(np.all(np.asarray(penalty.curvature) > 0))
            self._fix_gauge(full, penalised=broken)
        diagonal = np.einsum("kiki->ki", full)
        diagonal[:, :d] += penalty.curvature / (scale * scale)
        free = self.free.ravel()
        return full.reshape(free.size, free.size)[np.ix_(free, free)]

    def _even(self, diagonal: Array) -> Array:
        """(p,) the same for every class where one vector added to all of them changes nothing: steps in a metric that
        differs between classes would leave the symmetric gauge, to which a weak penalty hardly leads back."""
        if not self.loss.gauge:
            return diagonal
        full = np.zeros(self.free.shape)
        full[self.free] = diagonal
        return np.asarray(np.broadcast_to(full.mean(axis=0), full.shape)[self.free])

    def _fix_gauge(self, full: Array, *, penalised: bool) -> None:
        """Adding one vector to the coefficients of every class changes no margin difference: give those directions
        curvature (the gradient has no part in them, so the Newton step is unchanged)."""
        k, d = self.n_outputs, self.n_features
        for i in range(d if penalised else 0, d + 1):
            full[:, i, :, i] += np.trace(full[:, i, :, i]) / k**2

    def symmetric(self, coef: Array, intercept: Array, penalty: Penalty) -> tuple[Array, Array]:
        """The same margin differences from parameters that are centred over the classes wherever F leaves that open,
        so that they depend on neither the start nor the solver; margins are centred at the column means."""
        if not self.loss.gauge:
            return coef, intercept
        if penalty.smooth:
            curvature = np.broadcast_to(np.asarray(penalty.curvature), coef.shape)
            coef = np.where((curvature == 0).all(axis=0), coef - coef.mean(axis=0), coef)
        if self.fit_intercept:
            intercept = intercept - np.mean(intercept + coef @ self.standardised.center)
        return coef, intercept

    def minimum_norm(self, coef: Array, null: Array, coordinates: Coordinates) -> Array:
        """The coefficients (k, d) of smallest norm that give the same margins, from a basis (p, r) of the null space
        of the Hessian in solver coordinates (whose columns are centred: a null direction has no intercept part)."""
        directions = self._split(null.T)[0] / coordinates.scale
        basis = np.linalg.qr(directions.reshape(len(directions), -1).T)[0]
        flat = coef.ravel()
        return np.asarray((flat - basis @ (basis.T @ flat)).reshape(coef.shape))

    # -- stopping ------------------------------------------------------------------------------------------------

    def decrement(self, theta: Array, grad: Array, model: Model) -> float:
        """By how much the objective falls, as far as one gradient tells, if its curvature is the bound c everywhere.

        F(u) - min_v [g·(v - u) + c/2 ‖v - u‖² + Ω(v) - Ω(u)] in standardised coordinates u; without a nonsmooth part
        that is ½ Σ g²/(c + λ). An estimate of F - F* that neither the units of a column nor a repetition of the rows
        change.
        """
        g_w, g_b = self._split(grad[None])
        center, scale = model.coordinates
        std_center, std_scale = self._standard_coordinates(model.penalty)
        # dF/dw at fixed b, then to the standardised coordinates
        g_w = g_w * scale + (center - std_center) * g_b[..., None] if self.fit_intercept else g_w * scale
        g_w = g_w[0] / std_scale
        c = self.curvature
        fall_b = 0.5 * g_b**2 / c
        if self.loss.n_constant and self.loss.margins.low == 0:  # a scale cannot fall further than to 0
            scales = np.where(g_b > 0, g_b * self._split(theta[None])[1], np.inf)
            fall_b[:, -self.loss.n_constant :] = np.minimum(fall_b, scales)[:, -self.loss.n_constant :]
        total = np.sum(fall_b)
        if model.penalty.smooth:
            return float(total + 0.5 * np.sum(g_w**2) / c)
        penalty = model.penalty.nonsmooth().scaled(1 / std_scale)
        u = self._split(theta[None])[0][0] * (std_scale / scale)
        v = penalty.prox(u - g_w / c, 1 / c)
        move = v - u
        fall = np.sum(penalty.change(u, v, g_w)) + 0.5 * c * np.sum(move**2)
        return float(max(total - fall, 0.0))

    def statistical_tol(self, solver: Solver, value: float, scale: float) -> float:
        """The tolerance at which no coefficient is further than 0.01 standard errors from the minimum.

        By Cauchy and Schwarz |Δw_j| / se_j ≤ √(S ΔᵀHΔ / φ) = √(2 S δ / φ), with δ the decrement. Where it comes from a
        sample, half of that.
        """
        dispersion = 1.0 if self.loss.known_dispersion else 2 * value
        error = STANDARD_ERRORS / 2 if solver.sampling else STANDARD_ERRORS
        return float(np.sqrt(error**2 * dispersion / (2 * self.total * scale)))

    def _standard_coordinates(self, penalty: Penalty) -> Coordinates:
        center, spread = self.standardised
        return Coordinates(center, penalty.even(np.sqrt(spread**2 + penalty.curvature / self.curvature)))

    def penalty_curvature(self, model: Model) -> Array:
        """(p,) the second derivative of the smooth part of Ω in each θ."""
        full = np.zeros(self.free.shape)
        full[:, :-1] = model.penalty.curvature / np.square(model.coordinates.scale)
        return np.asarray(full[self.free])

    def nonsmooth(self, model: Model) -> ThetaPenalty:
        """The part of Ω that has no gradient, as a function of θ."""
        return ThetaPenalty(model.penalty.nonsmooth().scaled(1 / model.coordinates.scale), self.free)

    def separated(self, value: float, penalty: Penalty) -> bool:
        """Whether an unpenalised fit of classes has put every row on its own side of the border.

        The sum of the losses then is below log 2 times the smallest weight, so that every row's own loss is below
        log 2: a certificate that the classes are separable and that no minimum exists.
        """
        if not (self.loss.separable and penalty.none and self.moments.min_weight > 0):
            return False
        if not self.moments.classes and not self.moments.binary:
            return False
        return bool(value * self.total < np.log(2.0) * self.moments.min_weight)
