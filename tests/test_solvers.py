"""Solvers without data: their questions are answered by small functions whose minima are known."""

import inspect
import itertools
import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from dask_gd.penalties import ElasticNet, GroupLasso, ThetaPenalty
from dask_gd.protocol import DIAGONAL, GRADIENT, HESSIAN, PRODUCT, SAMPLED, Answer
from dask_gd.solvers import LBFGS, SOLVERS, GradientDescent, NewtonCG, NewtonCholesky
from dask_gd.solvers.lbfgs import two_loop
from dask_gd.solvers.line_search import search, search_points, sufficient
from dask_gd.solvers.step_sizes import adgd, barzilai_borwein


def omega_of(penalty, p, intercept=False):
    """The penalty of p coefficients, of which the last is an unpenalised intercept or not."""
    free = np.ones((1, p if intercept else p + 1), dtype=bool)
    free[:, -1] = intercept
    return ThetaPenalty(penalty, free)


class Function(NamedTuple):
    """F = f + Ω of θ: value, gradient and Hessian of the smooth f, a start, the minimum of F, and Ω or None."""

    value: Any
    grad: Any
    hess: Any
    start: np.ndarray
    minimum: float
    omega: Any = None

    def whole(self, theta):
        """F(θ)."""
        return self.value(theta) + (0.0 if self.omega is None else self.omega.value(theta))


def make(name, function, **parameters):
    """A solver; one that takes nonsmooth penalties is told the function's, or that there is none."""
    cls = SOLVERS[name]
    if not cls.proximal:
        return cls(**parameters)
    omega = omega_of(ElasticNet(), len(function.start)) if function.omega is None else function.omega
    return cls(nonsmooth=omega, **parameters)


def quadratic(eigenvalues, seed=0):
    rng = np.random.default_rng(seed)
    n = len(eigenvalues)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    A = Q @ np.diag(eigenvalues) @ Q.T
    b = A @ rng.normal(size=n)
    x = np.linalg.lstsq(A, b, rcond=None)[0]
    return Function(
        lambda t: 0.5 * t @ A @ t - b @ t, lambda t: A @ t - b, lambda t: A, np.zeros(n), 0.5 * x @ A @ x - b @ x
    )


def logistic(alpha, seed=0):
    """Mean log(1 + e^{-m}) + α/2 ‖θ‖² on 200 rows of 4 columns; the minimum by 50 plain Newton steps."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(200, 4)) * np.sign(rng.normal(size=200) + 0.5)[:, None]

    def value(t):
        return np.logaddexp(0, -Z @ t).mean() + 0.5 * alpha * t @ t

    def grad(t):
        return -Z.T @ scipy.special.expit(-Z @ t) / len(Z) + alpha * t

    def hess(t):
        p = scipy.special.expit(-Z @ t)
        return (Z.T * (p * (1 - p))) @ Z / len(Z) + alpha * np.eye(4)

    t = np.zeros(4)
    for _ in range(50):
        t = t - np.linalg.solve(hess(t), grad(t))
    return Function(value, grad, hess, np.zeros(4), value(t))


PROBLEMS = {
    "sphere": quadratic([1.0, 1.0, 1.0]),
    "ellipse": quadratic([0.05, 0.3, 1.0, 2.0]),
    "long": quadratic(np.geomspace(1e-1, 1e1, 12)),
    "one number": quadratic([3.0]),
    "logistic": logistic(0.0),
    "logistic with penalty": logistic(0.1),
}


def with_penalty(function, penalty, intercept=False):
    """The function with a penalty, and the minimum of both by scipy."""
    p = len(function.start)
    function = function._replace(omega=omega_of(penalty, p, intercept))
    return function._replace(minimum=split_minimum(function) if penalty.separable else group_minimum(function))


def split_minimum(function):
    """min F by L-BFGS-B on θ = c + a - b, a and b not negative: the kinks become bounds."""
    p = len(function.start)
    l1, center, lower, upper = function.omega.pieces()
    bounds = np.concatenate(
        [
            np.stack([np.maximum(lower - center, 0), np.maximum(upper - center, 0)], axis=1),
            np.stack([np.maximum(center - upper, 0), np.maximum(center - lower, 0)], axis=1),
        ]
    )

    def both(ab):
        theta = center + ab[:p] - ab[p:]
        g = function.grad(theta)
        return function.value(theta) + np.tile(l1, 2) @ ab, np.concatenate([g + l1, l1 - g])

    found = scipy.optimize.minimize(
        both,
        np.clip(np.zeros(2 * p), *bounds.T),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 0, "gtol": 1e-10, "maxiter": 50_000, "maxfun": 50_000, "maxcor": 30},
    )
    return float(found.fun)


def group_minimum(function):
    """min F with each norm smoothed as √(‖θ_g‖² + ε²), ε falling to 1e-9; then F itself there."""
    groups, alpha = function.omega.penalty.groups, function.omega.penalty.alpha
    d = len(groups)
    theta = function.start.copy()
    for epsilon in 10.0 ** -np.arange(1, 10):

        def both(t, epsilon=epsilon):
            norms = np.sqrt(np.bincount(groups, t[:d] ** 2, len(alpha)) + epsilon**2)
            grad = function.grad(t)
            grad[:d] += (alpha / norms)[groups] * t[:d]
            return function.value(t) + alpha @ norms, grad

        options = {"ftol": 0, "gtol": 1e-11, "maxiter": 5000, "maxfun": 5000}
        theta = scipy.optimize.minimize(both, theta, jac=True, method="L-BFGS-B", options=options).x
    return float(function.whole(theta))


LONG = quadratic(np.geomspace(1e-1, 1e1, 12))
BOX = {"lower": np.array([-0.2, 0.1, -np.inf, -1.0]), "upper": np.array([0.1, np.inf, 0.0, -0.5])}
NOT_SMOOTH = {
    "lasso": with_penalty(quadratic([0.5, 1.0, 2.0, 3.0, 4.0]), ElasticNet(l1=0.4)),
    "lasso in a long valley": with_penalty(LONG, ElasticNet(l1=0.2)),
    "lasso by column": with_penalty(LONG, ElasticNet(l1=np.tile([0.0, 0.1, 1.0, 100.0], 3))),
    "lasso of everything": with_penalty(LONG, ElasticNet(l1=1e3)),
    "lasso with centre": with_penalty(LONG, ElasticNet(l1=0.3, center=np.linspace(-1, 1, 12))),
    "one parameter": with_penalty(quadratic([3.0]), ElasticNet(l1=1e-3, upper=-0.2)),
    "box": with_penalty(LONG, ElasticNet(lower=-0.3, upper=0.2)),
    "not negative": with_penalty(LONG, ElasticNet(lower=0.0)),
    "lasso not negative": with_penalty(LONG, ElasticNet(l1=0.1, lower=0.0)),
    "net in a mixed box": with_penalty(logistic(0.05), ElasticNet(l1=0.01, **BOX)),
    "logistic lasso": with_penalty(logistic(0.0), ElasticNet(l1=0.03)),
    "logistic net": with_penalty(logistic(0.1), ElasticNet(l1=0.02)),
    "logistic with an intercept": with_penalty(logistic(0.0), ElasticNet(l1=np.array([0.03, 0.0, 0.02])), True),
    "logistic not negative": with_penalty(logistic(0.0), ElasticNet(lower=0.0)),
    "groups": with_penalty(LONG, GroupLasso(np.arange(12) % 4, np.array([0.1, 0.5, 3.0, 0.0]))),
    "logistic groups": with_penalty(logistic(0.0), GroupLasso(np.array([0, 1, 1]), np.array([0.06, 0.01])), True),
}
SMOOTH_AND_NOT = PROBLEMS | NOT_SMOOTH
PROXIMAL = sorted(name for name, solver in SOLVERS.items() if solver.proximal)


def skip(name, function):
    """A solver without a prox has nothing to do with a penalty without a gradient, nor one of L1 with another."""
    if function.omega is None:
        return False
    pieces = function.omega.pieces()
    kinks_alone = pieces is not None and not np.isfinite(pieces[2:]).any()
    return not SOLVERS[name].proximal or (l1_only(name) and not kinks_alone)


def l1_only(name):
    return SOLVERS[name].l1_only


def answer(function, query):
    if query.want == SAMPLED:
        hess = np.array([sampled(function.hess(t)) for t in query.theta])
        return Answer(np.zeros(0), hess=hess, hess_diag=np.array([np.diag(h) for h in hess]))
    if query.want == PRODUCT:
        products = [function.hess(t) @ u for t, u in zip(query.theta, query.direction, strict=True)]
        return Answer(np.array([function.whole(t) for t in query.theta]), hess_product=np.array(products))
    parts = {"value": function.whole, "grad": function.grad, "hess": function.hess}
    parts["hess_diag"] = lambda t: np.diag(function.hess(t))
    return Answer(**{name: np.array([parts[name](t) for t in query.theta]) for name in query.want})


def sampled(hess):
    """What a row sample may say of a Hessian: each direction's curvature is off by up to a half."""
    scale = 1 + 0.25 * np.cos(np.arange(len(hess)))
    return hess * scale * scale[:, None]


def talk(conversation, function):
    """Answer every query until the generator returns; (what it returned, its queries)."""
    queries = []
    try:
        query = next(conversation)
        while True:
            queries.append(query)
            query = conversation.send(answer(function, query))
    except StopIteration as stop:
        return stop.value, queries


def residual(state, function):
    """How far the conditions of a minimum are from being met; the gradient's largest entry where Ω is nothing."""
    if function.omega is None:
        return np.abs(state.grad).max()
    return np.abs(state.theta - function.omega.prox(state.theta - state.grad, 1.0)).max()


def minimise(solver, function, iterations, tol=1e-9):
    state, queries = talk(solver.init(function.start), function)
    asked = [queries]
    for _ in range(iterations):
        if residual(state, function) <= tol or state.step == 0:
            break
        state, queries = talk(solver.step(state), function)
        asked.append(queries)
    return state, asked


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_every_solver_reaches_every_minimum(name, problem):
    function = PROBLEMS[problem]
    solver = make(name, function)
    state, _ = minimise(solver, function, 2000)
    assert function.value(state.theta) <= function.minimum + 1e-12 * max(1, abs(function.minimum))
    np.testing.assert_allclose(state.grad, 0, atol=1e-6)
    solution = solver.solution(state)
    assert function.value(solution) <= function.minimum + 1e-12 * max(1, abs(function.minimum))


@pytest.mark.parametrize("problem", SMOOTH_AND_NOT)
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_states_tell_the_truth(name, problem):
    """value and grad of a state are those at its theta; theta of the first state is the start."""
    function = SMOOTH_AND_NOT[problem]
    if skip(name, function):
        pytest.skip("takes no such penalty")
    solver = make(name, function)
    state, _ = talk(solver.init(function.start), function)
    start = function.start if function.omega is None else function.omega.project(function.start)
    np.testing.assert_array_equal(state.theta, start)
    assert state.step == np.inf
    for _ in range(5):
        assert state.value == pytest.approx(function.whole(state.theta), rel=1e-12, abs=1e-15)
        np.testing.assert_allclose(state.grad, function.grad(state.theta), rtol=1e-10, atol=1e-14)
        assert state.decrement >= 0
        assert state.step >= 0
        state, _ = talk(solver.step(state), function)


@pytest.mark.parametrize("problem", SMOOTH_AND_NOT)
@pytest.mark.parametrize("name", sorted(set(SOLVERS) - {"fista"}))
def test_the_objective_never_rises(name, problem):
    """Not so of FISTA: its momentum may carry it uphill for a few iterations, which is what makes it fast."""
    function = SMOOTH_AND_NOT[problem]
    if skip(name, function):
        pytest.skip("takes no such penalty")
    solver = make(name, function)
    state, _ = talk(solver.init(function.start), function)
    for _ in range(30):
        before = state.value
        state, _ = talk(solver.step(state), function)
        assert state.value <= before + 1e-13 * abs(before)


@pytest.mark.parametrize("problem", SMOOTH_AND_NOT)
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_every_point_asked_about_is_finite(name, problem):
    """Where Ω is infinite f may have no value: nothing is ever asked there."""
    function = SMOOTH_AND_NOT[problem]
    if skip(name, function):
        pytest.skip("takes no such penalty")
    _, asked = minimise(make(name, function), function, 30)
    for query in (query for queries in asked for query in queries):
        assert np.isfinite([function.whole(theta) for theta in query.theta]).all()


@pytest.mark.parametrize("problem", ["logistic", "lasso", "groups"])
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_a_step_repeats_from_its_state(name, problem):
    """A state, pickled and read back, continues with the same bits: what a checkpoint needs."""
    function = SMOOTH_AND_NOT[problem]
    if skip(name, function):
        pytest.skip("takes no such penalty")
    solver = make(name, function)
    state, _ = minimise(solver, function, 3)
    again = type(state)(*pickle.loads(pickle.dumps(tuple(state))))
    one, queries = talk(solver.step(state), function)
    two, repeated = talk(solver.step(again), function)
    np.testing.assert_array_equal(one.theta, two.theta)
    assert len(queries) == len(repeated)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_solvers_are_plain_values(name):
    solver = SOLVERS[name]()
    assert pickle.loads(pickle.dumps(solver)) == solver
    assert isinstance(solver.standardised, bool)
    assert isinstance(solver.proximal, bool)
    assert hasattr(solver, "nonsmooth") == solver.proximal
    assert inspect.isgeneratorfunction(type(solver).init)
    assert inspect.isgeneratorfunction(type(solver).step)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_at_the_minimum_nothing_moves(name):
    function = PROBLEMS["sphere"]
    solver = make(name, function)
    state, _ = minimise(solver, function, 100, tol=1e-13)
    there = state.theta
    for _ in range(3):
        state, _ = talk(solver.step(state), function)
    np.testing.assert_allclose(state.theta, there, atol=1e-7)
    assert np.isfinite(state.theta).all()


@pytest.mark.parametrize("problem", ["logistic", "logistic lasso", "logistic groups", "net in a mixed box"])
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_answers_that_are_not_finite_do_not_break_a_solver(name, problem):
    """Steps into overflow are refused or reported in the state; no exception, no endless loop."""
    function = SMOOTH_AND_NOT[problem]
    if skip(name, function):
        pytest.skip("takes no such penalty")
    solver, p = make(name, function), len(function.start)
    state, _ = talk(solver.init(function.start), function)
    wall = function._replace(
        value=lambda t: np.inf, grad=lambda t: np.full(p, np.nan), hess=lambda t: np.full((p, p), np.nan)
    )
    before = state
    for _ in range(3):
        state, queries = talk(solver.step(state), wall)
        assert len(queries) < 100
    assert np.array_equal(state.theta, before.theta) or not np.isfinite(state.value)


# -- penalties without a gradient ------------------------------------------------------------------------------------


def violation(theta, grad, omega):
    """The largest violation of the conditions of Karush, Kuhn and Tucker, from their text and not from a prox.

    g = -l1 sign(θ - c) off the kink c, |g| ≤ l1 on it, only the held back sign on a bound; of a group g = -α θ/‖θ‖,
    or ‖g‖ ≤ α where θ is 0.
    """
    if isinstance(omega.penalty, GroupLasso):
        d = omega.free.shape[1] - 1
        worst = np.abs(grad[d:]).max(initial=0.0)  # of the intercept
        for g, alpha in enumerate(omega.penalty.alpha):
            own = np.flatnonzero(omega.penalty.groups == g)
            norm = np.linalg.norm(theta[own])
            if norm > 0:
                worst = max(worst, np.abs(grad[own] + alpha * theta[own] / norm).max())
            else:
                worst = max(worst, np.linalg.norm(grad[own]) - alpha)
        return worst
    l1, center, lower, upper = omega.pieces()
    assert (theta >= lower).all()
    assert (theta <= upper).all()
    side = np.sign(theta - center)
    low = np.where(side == 0, grad - l1, grad + l1 * side)
    high = np.where(side == 0, grad + l1, grad + l1 * side)
    low = np.where(theta == lower, -np.inf, low)
    high = np.where(theta == upper, np.inf, high)
    return max(np.max(np.maximum(low, 0)), np.max(np.maximum(-high, 0)))


@pytest.mark.parametrize("problem", NOT_SMOOTH)
@pytest.mark.parametrize("name", PROXIMAL)
def test_every_proximal_solver_reaches_every_minimum(name, problem):
    """The minimum is scipy's; zeros, kinks and bounds are exact and the same ones in every solver."""
    function = NOT_SMOOTH[problem]
    if skip(name, function):
        pytest.skip("takes L1 alone")
    solver = make(name, function)
    state, _ = minimise(solver, function, 5000, tol=1e-10)
    theta = solver.solution(state)
    assert function.whole(theta) == pytest.approx(function.minimum, rel=1e-9, abs=1e-9)
    assert function.whole(theta) <= function.minimum + 1e-12 * max(1, abs(function.minimum))
    # Gradient descent compares values of F, whose rounding hides what is below the root of it.
    assert violation(theta, function.grad(theta), function.omega) <= (1e-6 if name == "gd" else 1e-8)
    assert violation(state.theta, state.grad, function.omega) <= (1e-6 if name == "gd" else 1e-8)


@pytest.mark.parametrize("problem", NOT_SMOOTH)
def test_solvers_agree_on_what_is_exact(problem):
    """The same coefficients lie on zeros, kinks and bounds, to the last bit, whoever put them there."""
    function = NOT_SMOOTH[problem]
    found = [
        minimise(make(name, function), function, 5000, tol=1e-10)[0].theta
        for name in PROXIMAL
        if not skip(name, function)
    ]
    places = [0.0] if isinstance(function.omega.penalty, GroupLasso) else function.omega.pieces()[1:]
    for place in places:
        for theta in found[1:]:
            np.testing.assert_array_equal(theta == place, found[0] == place)
    if "smooth" not in problem:
        assert any((found[0] == place).any() for place in places)


@pytest.mark.parametrize("problem", NOT_SMOOTH)
@pytest.mark.parametrize("name", PROXIMAL)
def test_at_a_kinked_minimum_nothing_moves(name, problem):
    function = NOT_SMOOTH[problem]
    if skip(name, function):
        pytest.skip("takes L1 alone")
    solver = make(name, function)
    there = minimise(make("prox-newton", function), function, 50, tol=1e-13)[0].theta
    state, _ = talk(solver.init(there), function)
    for _ in range(5):
        state, _ = talk(solver.step(state), function)
    np.testing.assert_allclose(state.theta, there, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in PROXIMAL if not l1_only(name)])
def test_an_infeasible_start_is_projected(name):
    function = NOT_SMOOTH["box"]
    state, _ = talk(make(name, function).init(np.full(len(function.start), 1e3)), function)
    assert np.isfinite(state.value)
    np.testing.assert_array_equal(state.theta, function.omega.project(np.full(len(function.start), 1e3)))


@pytest.mark.parametrize("name", PROXIMAL)
def test_a_penalty_of_nothing_is_no_penalty(name):
    """Ω = 0 given as a penalty: the minimum of the smooth solvers."""
    function = PROBLEMS["logistic"]
    state, _ = minimise(make(name, function), function, 2000)
    smooth, _ = minimise(NewtonCholesky(), function, 50, tol=1e-13)
    np.testing.assert_allclose(state.theta, smooth.theta, atol=1e-7)


# -- FISTA -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", NOT_SMOOTH)
def test_fista_asks_once_an_iteration(problem):
    """The point and the extrapolated one in one query; a second query takes back a step that was too long."""
    function = NOT_SMOOTH[problem]
    _, asked = minimise(make("fista", function), function, 1000)
    assert [len(query.theta) for query in asked[0]] == [1]
    assert all(len(query.theta) == 2 and query.want == GRADIENT for queries in asked[1:] for query in queries)
    assert sum(map(len, asked)) <= 1.3 * len(asked) + 12


def test_fista_is_faster_than_gradient_descent():
    """What the momentum is for: on a long valley the root of the iterations."""
    function = NOT_SMOOTH["lasso in a long valley"]
    fast, asked = minimise(make("fista", function), function, 5000, tol=1e-6)
    _, textbook = minimise(make("gd", function, learning_rate="constant", eta0=0.1), function, 5000, tol=1e-6)
    assert residual(fast, function) <= 1e-6
    assert 2 * len(asked) < len(textbook)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_fista_finds_the_curvature(size):
    """The first guess of the Lipschitz constant is 1, whatever it is."""
    function = quadratic(size * np.array([0.3, 1.0, 2.0]))
    state, _ = minimise(make("fista", function), function, 3000, tol=1e-9 * size)
    np.testing.assert_allclose(state.grad, 0, atol=1e-9 * size)


# -- OWL-QN ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", ["box", "not negative", "groups"])
def test_owlqn_refuses_what_is_not_l1(problem):
    function = NOT_SMOOTH[problem]
    with pytest.raises(ValueError, match="L1 alone and cannot honour groups or bounds: use 'prox-newton'"):
        talk(make("owlqn", function).init(function.start), function)


L1 = [name for name, function in NOT_SMOOTH.items() if not skip("owlqn", function)]


@pytest.mark.parametrize("problem", L1)
def test_owlqn_stays_in_its_orthant(problem):
    """No coefficient changes sides of its kink in one step: it stops on the kink first."""
    function = NOT_SMOOTH[problem]
    l1, center = function.omega.pieces()[:2]
    states, queries = run(make("owlqn", function), function, 40)
    for before, asked in zip(states, queries[1:], strict=False):
        for point in (point for query in asked for point in query.theta):
            assert not np.any(l1 * (before.theta - center) * (point - center) < 0)


@pytest.mark.parametrize("problem", L1)
def test_the_pseudo_gradient_is_the_subgradient_of_smallest_norm(problem):
    """Of all slopes between the one-sided derivatives, taken by finite differences, the one nearest to 0."""
    function = NOT_SMOOTH[problem]
    for state in run(make("owlqn", function), function, 6)[0]:
        h = 1e-7
        sides = np.array(
            [
                [
                    (function.whole(state.theta + side * h * e) - state.value) / (side * h)
                    for e in np.eye(len(state.theta))
                ]
                for side in (-1, 1)
            ]
        )
        np.testing.assert_allclose(state.pseudo, np.clip(0.0, sides[0], sides[1]), atol=1e-5)
        assert state.pseudo @ state.direction <= 0


def test_owlqn_without_l1_is_lbfgs():
    function = PROBLEMS["logistic with penalty"]
    one, _ = run(make("owlqn", function), function, 8)
    two, _ = run(LBFGS(), function, 8)
    for own, other in zip(one[2:], two[2:], strict=True):
        assert own.value == pytest.approx(other.value, rel=1e-6)


def test_owlqn_is_faster_than_fista_in_a_long_valley():
    function = NOT_SMOOTH["lasso in a long valley"]
    asked = {name: minimise(make(name, function), function, 5000, tol=1e-6)[1] for name in ("owlqn", "fista")}
    assert 2 * sum(map(len, asked["owlqn"])) < sum(map(len, asked["fista"]))


# -- gradient descent ------------------------------------------------------------------------------------------------


def textbook(function, rates):
    """θ ← θ - η ∇F(θ), by hand."""
    thetas = [function.start]
    for eta in rates:
        thetas.append(thetas[-1] - eta * function.grad(thetas[-1]))
    return np.array(thetas)


def run(solver, function, n):
    state, asked = talk(solver.init(function.start), function)
    states, queries = [state], [asked]
    for _ in range(n):
        state, asked = talk(solver.step(state), function)
        states.append(state)
        queries.append(asked)
    return states, queries


@pytest.mark.parametrize("problem", ["ellipse", "logistic"])
def test_constant_rate_is_the_textbook(problem):
    function = PROBLEMS[problem]
    states, queries = run(GradientDescent("constant", eta0=0.3), function, 20)
    np.testing.assert_array_equal([s.theta for s in states], textbook(function, [0.3] * 20))
    assert [s.step for s in states[1:]] == [0.3] * 20
    assert all(len(asked) == 1 and asked[0].theta.shape[0] == 1 and asked[0].want == GRADIENT for asked in queries)


@pytest.mark.parametrize("power_t", [0.25, 0.5, 1.0])
def test_invscaling_is_the_textbook(power_t):
    function = PROBLEMS["ellipse"]
    rates = [0.4 / t**power_t for t in range(1, 21)]
    states, _ = run(GradientDescent("invscaling", eta0=0.4, power_t=power_t), function, 20)
    np.testing.assert_array_equal([s.theta for s in states], textbook(function, rates))
    np.testing.assert_allclose([s.step for s in states[1:]], rates, rtol=1e-15)


def test_adaptive_takes_back_a_step_that_rises_and_divides_by_five():
    function = quadratic([1.0, 10.0])
    states, _ = run(GradientDescent("adaptive", eta0=2.0), function, 40)
    theta, eta = function.start, 2.0
    for state in states[1:]:
        trial = theta - eta * function.grad(theta)
        if function.value(trial) < function.value(theta):
            theta = trial
        else:
            eta /= 5
        np.testing.assert_array_equal(state.theta, theta)
        assert state.eta == eta
    assert eta == 2.0 / 5 / 5
    assert states[-1].value < states[0].value


def test_adaptive_gives_up_when_no_rate_is_small_enough():
    """At the minimum every step rises: the state says so with a step of 0 instead of going on for ever."""
    function = Function(lambda t: np.abs(t).sum(), np.sign, None, np.array([1.0]), 0.0)
    uphill = function._replace(grad=lambda t: -np.sign(t))
    states, _ = run(GradientDescent("adaptive", eta0=1.0), uphill, 20)
    assert states[-1].step == 0.0
    assert (states[-1].theta == 1.0).all()


def test_constant_rate_converges_below_two_over_l_and_diverges_above():
    function = quadratic([1.0, 4.0])
    slow, _ = run(GradientDescent("constant", eta0=1.9 / 4), function, 500)
    assert slow[-1].value == pytest.approx(function.minimum, rel=1e-10)
    fast, _ = run(GradientDescent("constant", eta0=2.1 / 4), function, 500)
    assert fast[-1].value > 1e10


@pytest.mark.parametrize("problem", ["lasso", "box", "groups"])
def test_constant_rate_with_a_penalty_is_the_textbook(problem):
    """θ ← prox(θ - η ∇f(θ), η): ISTA."""
    function = NOT_SMOOTH[problem]
    states, _ = run(make("gd", function, learning_rate="constant", eta0=0.1), function, 20)
    theta = function.omega.project(function.start)
    for state in states:
        np.testing.assert_array_equal(state.theta, theta)
        theta = function.omega.prox(theta - 0.1 * function.grad(theta), 0.1)


def test_armijo_asks_many_trial_steps_in_one_query():
    states, queries = run(GradientDescent("armijo", eta0=0.1), PROBLEMS["ellipse"], 10)
    first, later = queries[1], queries[2:]
    assert [len(q.theta) for q in first] == [9]
    assert all([len(q.theta) for q in asked] == [4] for asked in later)
    # the trials lie on the ray of steepest descent, each half as far as the one before
    far = np.linalg.norm(first[0].theta - states[0].theta, axis=1)
    np.testing.assert_allclose(far[1:] / far[:-1], 0.5, rtol=1e-12)


@pytest.mark.parametrize("eta0", [1e-6, 1.0, 1e6])
def test_armijo_forgives_the_first_rate(eta0):
    function = PROBLEMS["ellipse"]
    state, asked = minimise(GradientDescent("armijo", eta0=eta0), function, 400, tol=1e-7)
    assert state.value <= function.minimum + 1e-10
    assert sum(map(len, asked)) < 400


def test_auto_is_armijo():
    one, _ = run(GradientDescent("auto"), PROBLEMS["ellipse"], 10)
    two, _ = run(GradientDescent("armijo"), PROBLEMS["ellipse"], 10)
    np.testing.assert_array_equal(one[-1].theta, two[-1].theta)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_is_the_textbook(nesterov):
    """v ← β v - η ∇F(θ), or that of θ + β v; θ ← θ + v."""
    function = PROBLEMS["ellipse"]
    states, queries = run(GradientDescent("constant", eta0=0.3, momentum=0.7, nesterov=nesterov), function, 20)
    theta, velocity = function.start, 0.0
    for state in states:
        np.testing.assert_allclose(state.theta, theta, rtol=1e-12, atol=1e-14)
        velocity = 0.7 * velocity - 0.3 * function.grad(theta + 0.7 * velocity if nesterov else theta)
        theta = theta + velocity
    assert all(len(asked) == 1 for asked in queries)


def test_adaptive_forgets_its_momentum_where_the_objective_rises():
    function = quadratic([1.0, 10.0])
    state, _ = minimise(GradientDescent("adaptive", eta0=0.5, momentum=0.9, nesterov=True), function, 3000)
    assert state.value == pytest.approx(function.minimum, rel=1e-10)
    states, _ = run(GradientDescent("adaptive", eta0=0.5, momentum=0.9), function, 30)
    for before, after in itertools.pairwise(states):
        assert after.value < before.value or not after.move.any()


RATES = {
    "bb": {"learning_rate": "bb"},
    "adgd": {"learning_rate": "adgd"},
    "heavy ball": {"learning_rate": "adaptive", "momentum": 0.6, "eta0": 0.05},
    "nesterov": {"learning_rate": "adaptive", "momentum": 0.6, "nesterov": True, "eta0": 0.05},
}


@pytest.mark.parametrize("problem", SMOOTH_AND_NOT)
@pytest.mark.parametrize("rate", RATES)
def test_every_rate_reaches_every_minimum(rate, problem):
    function = SMOOTH_AND_NOT[problem]
    state, asked = minimise(make("gd", function, **RATES[rate]), function, 3000, tol=1e-7)
    assert function.whole(state.theta) <= function.minimum + 1e-9 * max(1, abs(function.minimum))
    if rate in ("bb", "adgd"):
        assert np.mean([len(queries) == 1 for queries in asked]) >= 0.9
        assert max(map(len, asked)) < 30


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("eta0", [1e-2, 1e4])
@pytest.mark.parametrize("rate", ["bb", "adgd"])
def test_rates_of_curvature_forgive_the_first_rate(rate, eta0, size):
    function = quadratic(size * np.array([0.3, 1.0, 2.0]))
    solver = make("gd", function, learning_rate=rate, eta0=eta0)
    state, _ = minimise(solver, function, 2000, tol=1e-7 * size)
    assert function.value(state.theta) <= function.minimum + 1e-9 * abs(function.minimum)


def test_barzilai_borwein_is_the_reciprocal_curvature():
    A = np.diag([1.0, 3.0, 9.0])
    s = np.array([0.3, -1.0, 2.0])
    assert barzilai_borwein(s, A @ s, 7.0) == pytest.approx((s @ s) / (s @ A @ s))
    assert barzilai_borwein(s, -A @ s, 7.0) == barzilai_borwein(s, 0 * s, 7.0) == 28.0  # no curvature: go further


def test_adgd_is_the_paper():
    """η min(√(2/3 + θ), 1/√[2η²L² - 1]); where nothing moved the curvature bounds nothing."""
    s, y = np.array([3.0, 4.0]), np.array([0.0, 2.0])  # L = 0.4
    assert adgd(s, y, 1.0, 0.5) == pytest.approx(np.sqrt(2 / 3 + 0.5))
    assert adgd(s, y, 4.0, 0.5) == pytest.approx(4 / np.sqrt(2 * 1.6**2 - 1))
    assert adgd(s, 0 * y, 3.0, 1 / 3) == pytest.approx(3.0)
    assert np.isfinite(adgd(0 * s, 0 * y, 1.0, 1.0))


@pytest.mark.parametrize("problem", ["logistic", "lasso"])
def test_adgd_follows_its_rule(problem):
    """From the second step on, as long as F stays below the start, which it does here."""
    function = SMOOTH_AND_NOT[problem]
    states, queries = run(make("gd", function, learning_rate="adgd"), function, 12)
    assert all(len(asked) == 1 and len(asked[0].theta) == 1 for asked in queries[2:])
    for before, after in itertools.pairwise(states[1:]):
        eta = adgd(before.move, before.turn, before.eta, before.growth)
        assert after.step == eta
        omega = make("gd", function).nonsmooth
        np.testing.assert_array_equal(after.theta, omega.prox(before.theta - eta * before.grad, eta))


@pytest.mark.parametrize("rate", ["bb", "adgd"])
def test_a_first_step_over_a_cliff_is_not_taken(rate):
    """exp(1e4 θ) - θ from 0: at the first trials the value overflows; curvature grows without bound."""

    def value(t):
        with np.errstate(over="ignore"):
            return float(np.exp(1e4 * t[0]) + 1e-3 * np.exp(-t[1]) - t[0] + t[1] * 1e-3)

    def grad(t):
        with np.errstate(over="ignore"):
            return np.array([1e4 * np.exp(1e4 * t[0]) - 1, 1e-3 - 1e-3 * np.exp(-t[1])])

    function = Function(value, grad, None, np.array([0.0, 3.0]), 0.0)
    states, _ = run(GradientDescent(rate), function, 200)
    assert max(state.value for state in states) <= states[0].value * (1 + 1e-9)
    assert states[-1].value < states[0].value


# -- line search -----------------------------------------------------------------------------------------------------


def test_search_returns_the_lowest_sufficient_step():
    function = quadratic([1.0])
    theta, direction = np.array([4.0]), np.array([-1.0])
    steps = np.array([8.0, 4.0, 2.0, 1.0])
    start, slope = function.value(theta), float(function.grad(theta) @ direction)
    (step, value, grad), queries = talk(search(theta, direction, start, slope, steps), function)
    values = [function.value(theta + s * direction) for s in steps]
    assert step == steps[np.argmin(values)]
    assert value == min(values)
    np.testing.assert_array_equal(grad, function.grad(theta + step * direction))
    assert len(queries) == 1


def test_search_returns_none_where_nothing_is_lower():
    function = quadratic([1.0])
    found, _ = talk(
        search(np.array([4.0]), np.array([1.0]), function.value(np.array([4.0])), -1.0, np.ones(1)), function
    )
    assert found is None


def test_search_points_returns_the_lowest_that_keeps_its_promise():
    function = quadratic([1.0])
    theta, points = np.array([4.0]), np.array([[5.0], [3.0], [2.0], [3.9]])
    promised = (points - theta) @ function.grad(theta)
    (best, value, grad), queries = talk(search_points(points, function.value(theta), promised), function)
    assert best == np.argmin([function.value(point) for point in points])
    assert value == function.value(points[best])
    np.testing.assert_array_equal(grad, function.grad(points[best]))
    assert len(queries) == 1


def test_sufficient_is_armijos_condition():
    assert sufficient(0.9999, 1.0, 1.0, -1.0)
    assert not sufficient(0.99995, 1.0, 1.0, -1.0)
    assert not sufficient(np.nan, 1.0, 1.0, -1.0)


# -- L-BFGS ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", ["ellipse", "logistic", "logistic with penalty"])
def test_lbfgs_asks_once_an_iteration(problem):
    _, asked = minimise(LBFGS(), PROBLEMS[problem], 100)
    per_iteration = [len(queries) for queries in asked[2:]]
    assert len(per_iteration) >= 4
    assert np.mean([n == 1 for n in per_iteration]) >= 0.8
    assert max(per_iteration) <= 2


def test_two_loop_is_the_bfgs_inverse(rng):
    """Nocedal & Wright 2006, eq. 6.17, applied pair by pair to the scaled identity."""
    A = np.diag([1.0, 3.0, 9.0])
    s = rng.normal(size=(3, 3))
    y = s @ A
    H = np.eye(3) * (s[-1] @ y[-1]) / (y[-1] @ y[-1])
    for si, yi in zip(s, y, strict=True):
        rho = 1 / (si @ yi)
        V = np.eye(3) - rho * np.outer(yi, si)
        H = V.T @ H @ V + rho * np.outer(si, si)
    grad = rng.normal(size=3)
    np.testing.assert_allclose(two_loop(grad, s, y), -H @ grad, rtol=1e-12)


def test_lbfgs_keeps_so_many_pairs():
    state, _ = minimise(LBFGS(memory=3), PROBLEMS["long"], 12, tol=0)
    assert state.s.shape == state.y.shape == (3, 12)


# -- Newton ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", ["sphere", "ellipse", "long", "one number"])
def test_newton_solves_a_quadratic_without_a_second_look(problem):
    """The solution is known after the first answer: one query for the whole fit."""
    function, solver = PROBLEMS[problem], NewtonCholesky()
    state, queries = talk(solver.init(function.start), function)
    assert [q.want for q in queries] == [HESSIAN]
    assert function.value(solver.solution(state)) == pytest.approx(function.minimum, rel=1e-13)
    assert state.decrement == pytest.approx(function.value(function.start) - function.minimum, rel=1e-10)


def test_newton_converges_quadratically():
    function = PROBLEMS["logistic"]
    _, asked = minimise(NewtonCholesky(), function, 50, tol=1e-12)
    assert len(asked) <= 8
    assert all(len(queries) == 1 for queries in asked)


@pytest.mark.parametrize("eigenvalues", [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0, 5.0], [0.0]])
def test_newton_of_a_singular_hessian_has_minimum_norm(eigenvalues):
    function, solver = quadratic(eigenvalues), NewtonCholesky()
    state, _ = talk(solver.init(function.start), function)
    A, b = function.hess(None), -function.grad(np.zeros(len(eigenvalues)))
    np.testing.assert_allclose(solver.solution(state), np.linalg.pinv(A, rcond=1e-10) @ b, atol=1e-12)
    assert state.factor.null.shape[1] == eigenvalues.count(0.0)
    np.testing.assert_allclose(A @ state.factor.null, 0, atol=1e-12)


def test_newton_shortens_a_step_that_overshoots():
    """√(1 + t²) from t = 3: the full Newton step goes to -27."""
    function = Function(
        lambda t: float(np.sqrt(1 + t @ t)),
        lambda t: t / np.sqrt(1 + t @ t),
        lambda t: np.array([[(1 + t @ t) ** -1.5]]),
        np.array([3.0]),
        1.0,
    )
    state, asked = minimise(NewtonCholesky(), function, 30)
    assert state.value == pytest.approx(1.0, abs=1e-12)
    assert len(asked[1]) == 3  # the full step, the grid of shorter ones, the Hessian at the best
    assert state.step <= 1


def test_newton_finds_its_way_along_a_flat_direction():
    """f = cosh θ₀ - θ₁ is linear in θ₁: the model has no minimum, so steps are damped and F falls for ever."""
    function = Function(
        lambda t: float(np.cosh(t[0]) - t[1]),
        lambda t: np.array([np.sinh(t[0]), -1.0]),
        lambda t: np.diag([np.cosh(t[0]), 0.0]),
        np.array([1.0, 0.0]),
        -np.inf,
    )
    state, _ = talk(NewtonCholesky().init(function.start), function)
    for _ in range(5):
        before = state.value
        state, _ = talk(NewtonCholesky().step(state), function)
        assert state.value < before - 1


# -- truncated Newton ------------------------------------------------------------------------------------------------


def wants(asked):
    return [query.want for queries in asked for query in queries]


@pytest.mark.parametrize("problem", ["ellipse", "long", "one number"])
def test_conjugate_gradients_end_after_p_products(problem):
    """Of a quadratic the second step knows all that the products of the first told of its Hessian."""
    function = PROBLEMS[problem]
    p = len(function.start)
    _, asked = minimise(NewtonCG(loosest=1e-12), function, 3, tol=1e-10)
    assert wants(asked).count(PRODUCT) <= p + 2
    _, loose = minimise(NewtonCG(), function, 50, tol=1e-10)
    assert wants(loose).count(PRODUCT) <= 1.5 * p + 3


def test_the_preconditioner_learns_from_every_product():
    """An L-BFGS matrix of p conjugate directions is the inverse of the Hessian, whatever the diagonal was."""
    function = PROBLEMS["long"]
    solver = NewtonCG(loosest=1e-12)
    state, _ = minimise(solver, function, 1)
    assert state.s.shape == state.y.shape
    vector = np.arange(12.0)
    np.testing.assert_allclose(
        solver._precondition(state, vector), np.linalg.solve(function.hess(None), vector), rtol=1e-6
    )
    far, _ = talk(solver.init(function.start), function)
    np.testing.assert_allclose(solver._precondition(far, vector), vector / np.diag(function.hess(None)))


def test_newton_cg_keeps_so_many_pairs():
    state, _ = minimise(NewtonCG(memory=3), PROBLEMS["long"], 4, tol=0)
    assert state.s.shape == state.y.shape == (3, 12)


def test_newton_cg_converges_superlinearly():
    function = PROBLEMS["logistic"]
    _, asked = minimise(NewtonCG(), function, 50, tol=1e-11)
    assert len(asked) <= 9
    assert wants(asked)[0] == DIAGONAL
    assert GRADIENT in wants(asked)  # near the minimum the diagonal is kept
    assert len(wants(asked)) <= 25


def test_newton_cg_shortens_a_step_that_overshoots():
    """√(1 + t²) from t = 3: the full Newton step goes to -27."""
    function = Function(
        lambda t: float(np.sqrt(1 + t @ t)),
        lambda t: t / np.sqrt(1 + t @ t),
        lambda t: np.array([[(1 + t @ t) ** -1.5]]),
        np.array([3.0]),
        1.0,
    )
    state, asked = minimise(NewtonCG(), function, 30)
    assert state.value == pytest.approx(1.0, abs=1e-12)
    assert 0 < state.step
    assert len(asked) < 15


def test_newton_cg_leaves_negative_curvature():
    """(1 - t²)² from near its hump: conjugate gradients stop, and the steps still fall to a minimum."""
    function = Function(
        lambda t: float(np.sum((1 - t * t) ** 2)),
        lambda t: -4 * t * (1 - t * t),
        lambda t: np.diag(12 * t * t - 4),
        np.array([0.01, -0.3]),
        0.0,
    )
    state, _ = minimise(NewtonCG(), function, 100)
    np.testing.assert_allclose(np.abs(state.theta), 1, atol=1e-8)


def test_newton_cg_leaves_a_column_of_nothing_alone():
    """A direction without curvature or slope, as a column of zeros has."""
    function = quadratic([1.0, 2.0, 3.0])
    flat = Function(
        lambda t: function.value(t[:3]),
        lambda t: np.append(function.grad(t[:3]), 0.0),
        lambda t: np.pad(function.hess(t[:3]), (0, 1)),
        np.zeros(4),
        function.minimum,
    )
    state, _ = minimise(NewtonCG(), flat, 30)
    assert state.value == pytest.approx(function.minimum, rel=1e-12)
    assert state.theta[3] == 0


# -- proximal Newton -------------------------------------------------------------------------------------------------

QUADRATIC = [name for name in NOT_SMOOTH if "logistic" not in name and "net" not in name]


@pytest.mark.parametrize("problem", QUADRATIC)
def test_prox_newton_solves_a_quadratic_without_a_second_look(problem):
    """The model is the function: one query for the whole fit, and the decrement is how far the start was off."""
    function = NOT_SMOOTH[problem]
    solver = make("prox-newton", function)
    state, queries = talk(solver.init(function.start), function)
    assert [q.want for q in queries] == [HESSIAN]
    solution = solver.solution(state)
    assert function.whole(solution) == pytest.approx(function.minimum, rel=1e-9)
    assert violation(solution, function.grad(solution), function.omega) <= 1e-9
    assert state.decrement == pytest.approx(state.value - function.whole(solution), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("problem", [name for name in NOT_SMOOTH if name not in QUADRATIC])
def test_prox_newton_converges_quadratically(problem):
    function = NOT_SMOOTH[problem]
    _, asked = minimise(make("prox-newton", function), function, 50, tol=1e-12)
    assert len(asked) <= 9
    assert all(len(queries) == 1 for queries in asked)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_prox_newton_without_a_penalty_is_newton(problem):
    """Up to a Hessian that is singular: there Newton takes the step of minimum norm."""
    function = PROBLEMS[problem]
    one, asked = minimise(make("prox-newton", function), function, 50)
    two, newton = minimise(NewtonCholesky(), function, 50)
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-8, atol=1e-10)
    assert len(asked) == len(newton)


def test_prox_newton_shortens_a_step_that_overshoots():
    """√(1 + t²) + 0.1 |t| from t = 3: the full step of the model goes far beyond 0."""
    function = Function(
        lambda t: float(np.sqrt(1 + t @ t)),
        lambda t: t / np.sqrt(1 + t @ t),
        lambda t: np.array([[(1 + t @ t) ** -1.5]]),
        np.array([3.0]),
        1.0,
        omega_of(ElasticNet(l1=0.1, lower=-50.0), 1),
    )
    state, asked = minimise(make("prox-newton", function), function, 30)
    np.testing.assert_array_equal(state.theta, 0)
    assert state.value == 1.0
    assert max(len(queries) for queries in asked) == 3


def test_prox_newton_keeps_its_hessian_near_the_minimum():
    """Once the model hardly errs a gradient will do: cheaper sweeps, the same minimum."""
    function = NOT_SMOOTH["logistic net"]
    _, asked = minimise(make("prox-newton", function, reuse=0.5), function, 50, tol=1e-12)
    wants = [query.want for queries in asked for query in queries]
    assert wants[0] == HESSIAN
    assert GRADIENT in wants
    _, exact = minimise(make("prox-newton", function, reuse=0.0), function, 50, tol=1e-12)
    assert {query.want for queries in exact for query in queries} == {HESSIAN}
