"""The zoo: every solver × every loss × every kind of penalty reaches one optimum.

Whatever is registered takes part by itself: a solver of ``SOLVERS``, a loss of ``LOSSES``, a row of ``PENALTIES`` here.
All solvers of one problem run in lock-step, so that a sweep answers them all; a fit is stopped once it is there.
"""

import functools
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from dask_gd.continuation import minimising_with_kinks, minimising_with_scale
from dask_gd.engine import LocalEngine
from dask_gd.fitting import Fit, minimise, run_job
from dask_gd.kernels import MomentsKernel
from dask_gd.kernels.rows import take_block
from dask_gd.losses import LOSSES
from dask_gd.objective import Model, Objective
from dask_gd.penalties import ElasticNet, GroupLasso
from dask_gd.planner import samples_tell
from dask_gd.protocol import VALUE, Block, Query
from dask_gd.solvers import SOLVERS, GradientDescent
from dask_gd.starts import start_inside

N, D, K = 200, 6, 3
F64 = np.dtype(np.float64)
NEAR = 1e-6  # relative, of the objective
SWEEPS = 4000
SCALES = np.geomspace(1e-2, 1e2, D)

ZOO = dict(SOLVERS) | {
    f"gd {rate}": functools.partial(GradientDescent, rate, standardised=True) for rate in ("armijo", "bb", "adgd")
}
# Solvers whose steps know the columns' units; plain gradient descent needs as many sweeps as κ = 1e8 of the scales.
UNITLESS = {name: make for name, make in ZOO.items() if make().standardised}

PENALTIES = {
    "none": lambda size, units: ElasticNet(),
    "l2": lambda size, units: ElasticNet(l2=0.3 * size / units**2),
    "l1": lambda size, units: ElasticNet(l1=0.3 * size / units),
    "elastic net": lambda size, units: ElasticNet(l1=0.15 * size / units, l2=0.3 * size / units**2),
    "bounds": lambda size, units: ElasticNet(lower=-0.05 * units, upper=0.1 * units),
    "l1 in bounds": lambda size, units: ElasticNet(l1=0.1 * size / units, lower=-0.05 * units, upper=0.1 * units),
    "group": lambda size, units: GroupLasso(np.arange(D) // 2, np.array([0.6, 1.0, 0.3]) * size, 0.0, 1 / units),
}


def make_loss(name):
    return LOSSES[name](K) if name == "multinomial" else LOSSES[name]()


def targets(loss, eta, rng):
    """y with the mean that the loss gives the margins, within its range."""
    if loss.n_outputs > 1 and loss.classification:
        return (np.outer(eta, [-1, 0, 1]) + rng.gumbel(size=(N, K))).argmax(axis=1)
    if loss.classification:
        return (2 * eta + rng.logistic(size=N) > 0).astype(float)
    if loss.targets.low == 0:
        mean = loss.inverse_link(eta + 2 if loss.margins.low == 0 else eta)
        if loss.targets.high == 1:
            return (rng.random(N) < mean).astype(float)
        y = rng.gamma(8.0, mean / 8)
        return np.ceil(2 * y) if loss.targets.closed_low else y
    return eta + 2 * (loss.margins.low == 0) + 0.3 * rng.standard_t(4, size=N)


class Problem(NamedTuple):
    """A loss on data, its optimum unknown."""

    objective: Objective
    engine: LocalEngine
    units: np.ndarray  # a coefficient of 1 per column of unit variance

    def start(self, penalty):
        fit = Fit(SOLVERS["lbfgs"](), penalty, *self.objective.start(), 1, None)
        found = start_inside(self.objective, self.engine, fit, F64)
        return found.coef, found.intercept

    def value(self, coef, intercept, penalty):
        """F, in one sweep."""
        model = Model(penalty, self.objective.raw)
        query = Query(self.objective.to_theta(coef, intercept, self.objective.raw)[None], VALUE)
        sums = self.engine.sweep(self.objective.kernel([query], [model]))
        return float(self.objective.finish(sums, [query], [model])[0].value[0])


@functools.cache
def problem(name, kind):
    rng = np.random.default_rng(5)
    loss = make_loss(name)
    X = rng.uniform(-1, 1, size=(N, D)) @ (np.eye(D) + 0.2 * rng.normal(size=(D, D)))
    if kind == "sparse":
        X *= rng.random((N, D)) < 0.3
    y = targets(loss, X @ np.linspace(0.4, -0.3, D), rng)
    if kind == "badly scaled":
        X = X * SCALES
    rows = [slice(0, 70), slice(70, 71), slice(71, N)]
    stored = sp.csr_array(X) if kind == "sparse" else X
    blocks = [Block(i, stored[r] if kind == "sparse" else np.ascontiguousarray(X[r]), y[r]) for i, r in enumerate(rows)]
    engine = LocalEngine(blocks, serial=True)
    moments = engine.sweep(MomentsKernel(D, loss.classification))
    sample = take_block(Block(0, stored, y), np.arange(0, N, 2))
    objective = Objective(loss, moments, fit_intercept=True, dtype=F64, sparse=kind == "sparse", sample=sample)
    return Problem(objective, engine, 1 / moments.std)


@functools.cache
def strength(name, kind):
    """The largest slope at the constant model, for columns of unit variance: L1 of that size leaves nothing."""
    p = problem(name, kind)
    model = Model(ElasticNet(), p.objective.standardised)
    query = Query(p.objective.to_theta(*p.start(ElasticNet()), p.objective.standardised)[None])
    sums = p.engine.sweep(p.objective.kernel([query], [model]))
    grad = np.zeros(p.objective.free.shape)
    grad[p.objective.free] = p.objective.finish(sums, [query], [model])[0].grad[0]
    return float(np.abs(grad[:, :-1]).max())


def takes(name, penalty, loss):
    """Whether a solver can honour a penalty and a loss: as the planner has it."""
    make = ZOO[name]()
    if make.sampling and not samples_tell(loss):
        return False
    if penalty.smooth:
        return True
    return make.proximal and (penalty.l1_only or not make.l1_only)


def near(value, best):
    return value <= best + NEAR * abs(best)


def race(p, penalty, names):
    """All solvers in lock-step: the lowest objective of each and the sweeps it took to come near the reference."""
    coef, intercept = p.start(penalty)
    exact = ZOO["newton-cholesky" if penalty.smooth else "prox-newton"]()
    (reference,) = minimise(p.objective, p.engine, [Fit(exact, penalty, coef, intercept, 200, 1e-9)], dtype=F64)
    best = p.value(reference.coef, reference.intercept, penalty)
    before = p.engine.n_sweeps

    def there(report):
        return near(report.objective, best) or p.engine.n_sweeps - before > SWEEPS

    fits = [Fit(ZOO[name](), penalty, coef, intercept, SWEEPS, 0.0) for name in names]
    results = minimise(p.objective, p.engine, fits, [there], dtype=F64)
    reached = {n: p.value(r.coef, r.intercept, penalty) for n, r in zip(names, results, strict=True)}
    return best, reached, {n: r.n_sweeps for n, r in zip(names, results, strict=True)}


def check(p, penalty, names):
    best, reached, sweeps = race(p, penalty, names)
    lowest = min(best, *reached.values())
    assert near(best, lowest)
    late = {name: (value / lowest - 1, sweeps[name]) for name, value in reached.items() if not near(value, lowest)}
    assert not late, late


SMOOTH = [name for name in LOSSES if make_loss(name).smooth and not make_loss(name).n_constant]
KINKED = [name for name in LOSSES if not make_loss(name).smooth]
SCALED = [name for name in LOSSES if make_loss(name).n_constant]
REPRESENTATIVE = ["squared_error", "log_loss", "multinomial", "poisson"]


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", SMOOTH)
def test_every_solver_reaches_the_optimum(name, penalty):
    p = problem(name, "dense")
    omega = PENALTIES[penalty](strength(name, "dense"), p.units)
    check(p, omega, [solver for solver in ZOO if takes(solver, omega, p.objective.loss)])


@pytest.mark.parametrize("kind", ["badly scaled", "sparse"])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_every_solver_reaches_the_optimum_of_hard_data(name, penalty, kind):
    p = problem(name, kind)
    omega = PENALTIES[penalty](strength(name, kind), p.units)
    solvers = UNITLESS if kind == "badly scaled" else ZOO
    check(p, omega, [solver for solver in solvers if takes(solver, omega, p.objective.loss)])


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", SCALED)
def test_every_solver_finds_the_scale_too(name, penalty):
    p = problem(name, "dense")
    omega = PENALTIES[penalty](strength(name, "dense"), p.units)
    reached = {}
    for solver in UNITLESS:
        if takes(solver, omega, p.objective.loss):
            fit = Fit(ZOO[solver](), omega, *p.objective.start(), SWEEPS, 1e-6)
            (result,) = run_job(minimising_with_scale(p.objective, [fit], dtype=F64), p.engine)
            reached[solver] = p.value(result.coef, result.intercept, omega)
    assert max(reached.values()) <= min(reached.values()) * (1 + NEAR), reached


# Between its kinks a loss is straight, and so is nearly what smooths it: without a penalty's curvature conjugate
# gradients come near, and say that it is not the optimum.
STUCK = {("newton-cg", "none")}
# Its model of a group is solved by a first-order method without a sweep: on such Hessians that takes minutes.
SLOW = {("prox-newton", "group")}


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", KINKED)
def test_losses_with_kinks(name, penalty):
    """By smoothing that is taken back. Gradient descent takes subgradients and is left out: it needs 1/ε² sweeps."""
    p = problem(name, "dense")
    omega = PENALTIES[penalty](strength(name, "dense"), p.units)
    reached, stuck = {}, set()
    for solver in SOLVERS:
        if solver != "gd" and takes(solver, omega, p.objective.loss) and (solver, penalty) not in SLOW:
            fit = Fit(ZOO[solver](), omega, *p.objective.start(), 1000, 1e-6)
            (result,) = run_job(minimising_with_kinks(p.objective, [fit], dtype=F64), p.engine)
            if result.converged:
                reached[solver] = p.value(result.coef, result.intercept, omega)
            else:
                stuck.add((solver, penalty))
    assert stuck <= STUCK
    lowest = min(reached.values())
    assert not {name: value / lowest - 1 for name, value in reached.items() if not near(value, lowest)}


def test_the_penalties_do_what_they_are_here_for():
    """L1 and groups put some coefficients on zero and leave others, bounds hold some: no row of the table is empty."""
    p = problem("log_loss", "dense")
    for name, place in (("l1", 0.0), ("bounds", None), ("group", 0.0)):
        omega = PENALTIES[name](strength("log_loss", "dense"), p.units)
        fit = Fit(SOLVERS["prox-newton"](), omega, *p.objective.start(), 100, 1e-9)
        (result,) = minimise(p.objective, p.engine, [fit], dtype=F64)
        if place is None:
            held = (result.coef == omega.lower) | (result.coef == omega.upper)
        else:
            held = result.coef == place
        assert 0 < held.sum() < D, name
