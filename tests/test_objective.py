"""The objective against NumPy and finite differences, and the fit loop that talks to it."""

import numpy as np
import pytest
import scipy.sparse as sp

from dask_gd.engine import LocalEngine
from dask_gd.engine.blocks import local_blocks
from dask_gd.exceptions import FitInterrupted
from dask_gd.fitting import HISTORY, Fit, minimise
from dask_gd.kernels import MomentsKernel
from dask_gd.losses import Logistic, Softmax, Squared
from dask_gd.objective import Model, Objective
from dask_gd.penalties import ElasticNet
from dask_gd.protocol import GRADIENT, HESSIAN, VALUE, Block, Query
from dask_gd.solvers import LBFGS, SOLVERS, GradientDescent, NewtonCholesky
from dask_gd.starts import take_block_rows

HALF = slice(None, None, 2)
F64 = np.dtype(np.float64)
HALF = slice(None, None, 2)
LOSS = {"squared": Squared(), "logistic": Logistic(), "softmax": Softmax(3)}


class Problem:
    """Data in 3 blocks, the engine that holds them, and their objective; classes are numbered already."""

    def __init__(
        self, loss="squared", *, intercept=True, sparse=False, mean=0.0, offset=True, weight=True, n=90, d=4, seed=0
    ):
        rng = np.random.default_rng(seed)
        self.loss = LOSS[loss]
        X = rng.normal(size=(n, d)) * np.geomspace(0.5, 5, d) + mean
        if sparse:
            X *= rng.random((n, d)) < 0.4
        self.X = X
        if loss == "squared":
            self.y = (X - mean) @ rng.normal(size=d) + rng.normal(size=n)
        else:
            k = 3 if loss == "softmax" else 2
            margins = (X - mean) @ rng.normal(size=(d, k)) + rng.gumbel(size=(n, k))
            self.y = margins.argmax(axis=1).astype(np.intp if k == 3 else float)
        self.weight = rng.random(n) * 3 if weight else None
        self.offset = rng.normal(size=n) * 0.5 if offset else None
        self.intercept = intercept
        stored = sp.csr_array(X) if sparse else X
        cuts = [slice(0, 40), slice(40, 41), slice(41, n)]
        self.blocks = [
            Block(
                i,
                stored[cut] if sparse else np.ascontiguousarray(stored[cut]),
                self.y[cut],
                None if self.weight is None else self.weight[cut],
                None if self.offset is None else self.offset[cut],
            )
            for i, cut in enumerate(cuts)
        ]
        self.engine = LocalEngine(self.blocks)
        moments = self.engine.sweep(MomentsKernel(d, loss != "squared"))
        (sample,) = local_blocks(stored, self.y, self.weight, self.offset)
        self.objective = Objective(
            self.loss, moments, fit_intercept=intercept, dtype=F64, sparse=sparse, sample=take_block_rows(sample, HALF)
        )
        self.engine.n_sweeps = 0

    def value(self, coef, intercept, penalty):
        """F(w, b) as the architecture writes it, in plain NumPy."""
        eta = (coef @ self.X.T) + intercept[:, None]
        if self.offset is not None:
            eta = eta + self.offset
        s = np.ones(len(self.X)) if self.weight is None else self.weight
        losses = self.loss.derivatives(self.y, eta if self.loss.n_outputs > 1 else eta[0], 0).value
        return s @ losses / s.sum() + penalty.value(coef).sum()

    def ask(self, query, model):
        sums = self.engine.sweep(self.objective.kernel([query], [model]))
        return self.objective.finish(sums, [query], [model])[0]

    def fit(self, solver, penalty=None, max_iter=500, tol=1e-9, start=None):
        coef, intercept = start or self.objective.start()
        return Fit(solver, penalty or ElasticNet(), coef, intercept, max_iter, tol)


CASES = [
    {},
    {"intercept": False},
    {"sparse": True},
    {"sparse": True, "intercept": False},
    {"mean": 1e4},  # the rows are centred inside the kernel
    {"weight": False, "offset": False},
]
CASE_IDS = ["dense", "no intercept", "sparse", "sparse no intercept", "large mean", "plain"]


@pytest.mark.parametrize("standardised", [False, True], ids=["raw", "standardised"])
@pytest.mark.parametrize("case", CASES, ids=CASE_IDS)
@pytest.mark.parametrize("loss", sorted(LOSS))
def test_value_gradient_and_hessian(loss, case, standardised, rng):
    p = Problem(loss, **case)
    penalty = ElasticNet(l2=0.3)
    solver = NewtonCholesky(standardised=standardised)
    model = Model(penalty, p.objective.coordinates(solver, penalty))
    assert (p.objective.origin is not None) == (case.get("mean", 0) > 0)
    coef, intercept = 0.3 * rng.normal(size=(p.loss.n_outputs, 4)), rng.normal(size=p.loss.n_outputs)
    if not p.intercept:
        intercept = np.zeros_like(intercept)
    if case.get("mean"):
        intercept = intercept - coef @ p.X.mean(axis=0)
    theta = p.objective.to_theta(coef, intercept, model.coordinates)
    assert theta.shape == (p.objective.size,)
    answer = p.ask(Query(theta[None], HESSIAN), model)
    assert answer.value[0] == pytest.approx(p.value(coef, intercept, penalty), rel=1e-11)

    def value(t):
        return p.value(*p.objective.to_model(t, model.coordinates), penalty)

    # In raw coordinates far from the origin only the directions that keep the margins small can be checked.
    h = 1e-3 / max(1.0, case.get("mean", 0.0) if not standardised else 1.0)
    numeric = np.array(
        [
            (8 * (value(theta + h * e) - value(theta - h * e)) - (value(theta + 2 * h * e) - value(theta - 2 * h * e)))
            / (12 * h)
            for e in np.eye(len(theta))
        ]
    )
    np.testing.assert_allclose(answer.grad[0], numeric, rtol=1e-6, atol=1e-6 * np.abs(numeric).max())

    directions = np.eye(len(theta))
    grads = p.ask(
        Query(
            np.concatenate(
                [theta + h * directions, theta - h * directions, theta + 2 * h * directions, theta - 2 * h * directions]
            )
        ),
        model,
    ).grad
    plus, minus, plus2, minus2 = np.split(grads, 4)
    numeric = (8 * (plus - minus) - (plus2 - minus2)) / (12 * h)
    hess = answer.hess[0]
    np.testing.assert_allclose(hess, hess.T, rtol=1e-9, atol=1e-9 * np.abs(hess).max())
    if p.loss.n_outputs > 1:  # the directions that move all classes alike are given curvature: look beside them
        k = p.loss.n_outputs
        keep = np.kron(np.eye(k) - 1 / k, np.eye(len(theta) // k))
        hess, numeric = keep @ hess @ keep, keep @ numeric @ keep
    np.testing.assert_allclose(hess, numeric, rtol=1e-5, atol=1e-6 * np.abs(hess).max())


@pytest.mark.parametrize("case", CASES, ids=CASE_IDS)
@pytest.mark.parametrize("loss", sorted(LOSS))
def test_coordinates_go_there_and_back(loss, case, rng):
    p = Problem(loss, **case)
    for solver in (GradientDescent(), NewtonCholesky()):
        coordinates = p.objective.coordinates(solver, ElasticNet(l2=0.1))
        coef = rng.normal(size=(p.loss.n_outputs, 4))
        intercept = rng.normal(size=p.loss.n_outputs) * p.intercept
        theta = p.objective.to_theta(coef, intercept, coordinates)
        coef2, intercept2 = p.objective.to_model(theta, coordinates)
        np.testing.assert_allclose(coef2, coef, rtol=1e-12)
        np.testing.assert_allclose(intercept2, intercept, rtol=1e-9, atol=1e-11 * (1 + case.get("mean", 0)))


@pytest.mark.parametrize("loss", sorted(LOSS))
def test_the_start_is_the_best_constant(loss):
    p = Problem(loss, offset=False)
    model = Model(ElasticNet(), p.objective.raw)
    theta = p.objective.to_theta(*p.objective.start(), model.coordinates)
    grad = p.ask(Query(theta[None]), model).grad[0].reshape(p.loss.n_outputs, -1)
    np.testing.assert_allclose(grad[:, -1], 0, atol=1e-13)


def test_answers_come_in_the_order_of_the_queries():
    p = Problem("logistic")
    models = [Model(ElasticNet(l2=0.1 * (i + 1)), p.objective.raw) for i in range(4)]
    wants = [GRADIENT, HESSIAN, VALUE, GRADIENT]
    sizes = [2, 1, 3, 1]
    rng = np.random.default_rng(1)
    queries = [Query(0.1 * rng.normal(size=(n, p.objective.size)), want) for n, want in zip(sizes, wants, strict=True)]
    together = p.objective.finish(p.engine.sweep(p.objective.kernel(queries, models)), queries, models)
    for query, model, found in zip(queries, models, together, strict=True):
        alone = p.ask(query, model)
        for a, b in zip(found, alone, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
        assert (found.grad.size > 0) == ("grad" in query.want)  # what was not wanted is empty
        assert (found.hess.size > 0) == ("hess" in query.want)


@pytest.mark.parametrize("loss", sorted(LOSS))
def test_decrement_has_no_units(loss, rng):
    """It does not change with the scale of a column, and it is an upper bound of what the loss can still fall, where
    the curvature is at its bound."""
    p = Problem(loss, offset=False)
    theta = 0.1 * rng.normal(size=p.objective.size)
    found = []
    for solver in (GradientDescent(), NewtonCholesky()):
        model = Model(ElasticNet(), p.objective.coordinates(solver, ElasticNet()))
        coef, intercept = p.objective.to_model(theta, p.objective.raw)
        t = p.objective.to_theta(coef, intercept, model.coordinates)
        found.append(p.objective.decrement(t, p.ask(Query(t[None]), model).grad[0], model))
    assert found[0] == pytest.approx(found[1], rel=1e-9)
    assert found[0] > 0


class Eager(Squared):
    """A loss that gives its derivatives whether they were asked for or not."""

    def derivatives(self, y, eta, order):
        return super().derivatives(y, eta, 2)


def test_a_loss_may_give_more_than_it_was_asked_for(rng):
    p = Problem()
    eager = p.objective.with_loss(Eager())
    model = Model(ElasticNet(), p.objective.raw)
    for want in (VALUE, GRADIENT):
        query = Query(rng.normal(size=(2, p.objective.size)), want)
        (own,) = eager.finish(p.engine.sweep(eager.kernel([query], [model])), [query], [model])
        plain = p.ask(query, model)
        for one, two in zip(own, plain, strict=True):
            np.testing.assert_array_equal(one, two)


# -- the fit loop ----------------------------------------------------------------------------------------------------


def many(p):
    """Fits of different solvers, penalties, tolerances and lengths."""
    penalties = [ElasticNet(), ElasticNet(l2=1e-3), ElasticNet(l2=1.0)]
    return [p.fit(SOLVERS[name](), penalty, tol=1e-6) for name in sorted(SOLVERS) for penalty in penalties] + [
        p.fit(GradientDescent("constant", eta0=0.01), ElasticNet(l2=0.1), max_iter=3, tol=None)
    ]


@pytest.mark.parametrize("loss", sorted(LOSS))
def test_fits_in_lock_step_are_the_fits_one_by_one(loss):
    p = Problem(loss)
    together = minimise(p.objective, p.engine, many(p), dtype=F64)
    sweeps = p.engine.n_sweeps
    assert sweeps == max(result.n_sweeps for result in together)  # one sweep answers every fit that talks
    for fit, found in zip(many(p), together, strict=True):
        q = Problem(loss)
        (alone,) = minimise(q.objective, q.engine, [fit], dtype=F64)
        assert q.engine.n_sweeps == alone.n_sweeps <= sweeps
        assert alone.converged == found.converged
        np.testing.assert_allclose(found.coef, alone.coef, rtol=1e-8, atol=1e-8 * np.abs(alone.coef).max())
        np.testing.assert_allclose(found.intercept, alone.intercept, rtol=1e-8, atol=1e-8)


def test_lock_step_saves_sweeps():
    p = Problem("logistic")
    fits = [p.fit(LBFGS(), ElasticNet(l2=alpha)) for alpha in np.geomspace(1e-4, 1, 8)]
    results = minimise(p.objective, p.engine, fits, dtype=F64)
    assert p.engine.n_sweeps < sum(result.n_sweeps for result in results) / 4


@pytest.mark.parametrize("name", sorted(SOLVERS))
@pytest.mark.parametrize("loss", sorted(LOSS))
def test_all_solvers_find_one_minimum(loss, name):
    p = Problem(loss)
    (found,) = minimise(p.objective, p.engine, [p.fit(SOLVERS[name](), ElasticNet(l2=0.1), 5000)], dtype=F64)
    (best,) = minimise(p.objective, p.engine, [p.fit(NewtonCholesky(), ElasticNet(l2=0.1), tol=1e-10)], dtype=F64)
    assert found.converged
    np.testing.assert_allclose(found.coef, best.coef, atol=1e-6)
    np.testing.assert_allclose(found.intercept, best.intercept, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_softmax_is_centred_over_classes_wherever_it_starts(name, alpha, rng):
    """One vector added to the coefficients of every class changes no probability: the one of mean 0 is reported."""
    p = Problem("softmax")
    start = rng.normal(size=(3, 4)) + 5, rng.normal(size=3) + 3
    fit = p.fit(SOLVERS[name](), ElasticNet(l2=alpha), 20_000, 1e-7, start)
    (found,) = minimise(p.objective, p.engine, [fit], dtype=F64)
    (best,) = minimise(p.objective, p.engine, [p.fit(NewtonCholesky(), ElasticNet(l2=alpha))], dtype=F64)
    assert np.mean(found.intercept + found.coef @ p.objective.standardised.center) == pytest.approx(0, abs=1e-13)
    np.testing.assert_allclose(found.coef.mean(axis=0), 0, atol=1e-14 if alpha == 0 else 1e-5)
    np.testing.assert_allclose(found.coef, best.coef, atol=1e-4)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_history(name):
    p = Problem("logistic")
    (result,) = minimise(p.objective, p.engine, [p.fit(SOLVERS[name](), ElasticNet(l2=0.1))], dtype=F64)
    assert tuple(result.history) == HISTORY
    assert {len(column) for column in result.history.values()} == {result.n_iter}
    assert result.n_iter > 1
    if name != "fista":  # momentum may overshoot
        assert (np.diff(result.history["objective"]) <= 1e-13).all()
    assert result.history["objective"][-1] == pytest.approx(
        p.value(result.coef, result.intercept, ElasticNet(l2=0.1)), rel=1e-8
    )
    assert result.history["grad_norm"][-1] <= 1e-6
    assert (result.history["seconds"] > 0).all()
    # every sweep is accounted for, in the iteration that asked for it (the first holds the start's, too)
    assert result.history["rows"].sum() == result.n_sweeps * 90
    assert result.history["bytes"].sum() == result.n_sweeps * sum(block.nbytes for block in p.blocks)


def test_callbacks_see_every_iteration_of_every_fit():
    p = Problem()
    reports = []
    results = minimise(
        p.objective, p.engine, [p.fit(LBFGS()), p.fit(LBFGS(), ElasticNet(l2=1.0))], [reports.append], dtype=F64
    )
    for number, result in enumerate(results):
        mine = [report for report in reports if report.fit == number]
        assert [report.iteration for report in mine] == list(range(1, result.n_iter + 1))
        assert [report.objective for report in mine] == list(result.history["objective"])
        assert [report.converged for report in mine] == [False] * (result.n_iter - 1) + [True]
        assert {report.n_fits for report in mine} == {2}


def test_a_callback_stops_its_fit_and_no_other():
    p = Problem("logistic")
    fits = [p.fit(LBFGS()), p.fit(LBFGS())]
    stopped, whole = minimise(p.objective, p.engine, fits, [lambda r: r.fit == 0 and r.iteration == 2], dtype=F64)
    assert (stopped.n_iter, stopped.converged, stopped.message) == (2, False, "stopped by a callback")
    assert len(stopped.history["objective"]) == 2
    assert whole.converged
    assert whole.n_iter > 2


def test_every_callback_is_called_even_if_one_stops_the_fit():
    p = Problem("logistic")
    seen = []
    minimise(p.objective, p.engine, [p.fit(LBFGS())], [lambda r: True, seen.append], dtype=F64)
    assert len(seen) == 1


def test_divergence_is_reported_not_returned_as_an_answer():
    p = Problem()
    fits = [p.fit(GradientDescent("constant", eta0=100.0)), p.fit(LBFGS())]
    bad, good = minimise(p.objective, p.engine, fits, dtype=F64)
    assert not bad.converged
    assert "diverged" in bad.message
    assert "eta0" in bad.message
    assert bad.n_iter < 50
    assert good.converged  # the neighbour in the same sweeps is not harmed


def test_max_iter_is_kept_and_said():
    p = Problem("logistic")
    (result,) = minimise(p.objective, p.engine, [p.fit(GradientDescent(), max_iter=2, tol=1e-9)], dtype=F64)
    assert result.n_iter == 2
    assert not result.converged
    assert "max_iter=2" in result.message


def test_tol_none_runs_all_iterations():
    p = Problem("logistic")
    (result,) = minimise(
        p.objective, p.engine, [p.fit(GradientDescent("constant", eta0=0.1), max_iter=7, tol=None)], dtype=F64
    )
    assert result.n_iter == 7
    assert result.converged


def test_a_start_at_the_minimum_takes_no_iteration():
    p = Problem("logistic")
    (once,) = minimise(p.objective, p.engine, [p.fit(NewtonCholesky(), ElasticNet(l2=0.1))], dtype=F64)
    again = p.fit(NewtonCholesky(), ElasticNet(l2=0.1), start=(once.coef, once.intercept), tol=1e-6)
    (result,) = minimise(p.objective, p.engine, [again], dtype=F64)
    assert (result.n_iter, result.n_sweeps, result.converged) == (0, 1, True)
    np.testing.assert_allclose(result.coef, once.coef, rtol=1e-9)


def test_an_interrupted_fit_carries_its_last_iteration():
    p = Problem("logistic")
    sweep = p.engine.sweep
    (three,) = minimise(p.objective, p.engine, [p.fit(NewtonCholesky(), max_iter=3, tol=None)], dtype=F64)

    def failing(kernel):
        if p.engine.n_sweeps == three.n_sweeps:
            raise FitInterrupted("the cluster is gone")
        return sweep(kernel)

    p.engine.n_sweeps = 0
    p.engine.sweep = failing
    with pytest.raises(FitInterrupted, match="the cluster is gone") as caught:
        minimise(p.objective, p.engine, [p.fit(NewtonCholesky())], dtype=F64)
    assert caught.value.n_iter == 3
    np.testing.assert_allclose(
        caught.value.intercept,
        p.objective.to_model(
            p.objective.to_theta(caught.value.coef, caught.value.intercept, p.objective.raw), p.objective.raw
        )[1],
    )
    assert p.value(caught.value.coef, caught.value.intercept, ElasticNet()) == pytest.approx(
        three.history["objective"][-1], rel=1e-10
    )


def test_n_sweeps_of_the_engine_counts():
    p = Problem()
    (result,) = minimise(p.objective, p.engine, [p.fit(NewtonCholesky())], dtype=F64)
    assert p.engine.n_sweeps == result.n_sweeps == 2  # the step, and the look that it was right


@pytest.mark.parametrize("loss", sorted(LOSS))
def test_blocks_of_any_cut_add_up_to_the_same(loss):
    p = Problem(loss)
    model = Model(ElasticNet(l2=0.1), p.objective.raw)
    query = Query(np.full((1, p.objective.size), 0.1), HESSIAN)
    whole = p.ask(query, model)
    one = LocalEngine(local_blocks(p.X, p.y, p.weight, p.offset))
    sums = one.sweep(p.objective.kernel([query], [model]))
    other = p.objective.finish(sums, [query], [model])[0]
    for a, b in zip(whole, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
