"""Solvers without data: their questions are answered by small functions whose minima are known."""

import inspect
import pickle
from typing import NamedTuple

import numpy as np
import pytest

from dask_gd.protocol import GRADIENT, HESSIAN, Answer
from dask_gd.solvers import LBFGS, SOLVERS, GradientDescent, NewtonCholesky
from dask_gd.solvers.lbfgs import two_loop
from dask_gd.solvers.line_search import search, sufficient


class Function(NamedTuple):
    """A smooth function of θ: value, gradient, Hessian, and a minimum."""

    value: object
    grad: object
    hess: object
    start: np.ndarray
    minimum: float


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
        return -Z.T @ (1 / (1 + np.exp(Z @ t))) / len(Z) + alpha * t

    def hess(t):
        p = 1 / (1 + np.exp(Z @ t))
        return (Z.T * (p * (1 - p))) @ Z / len(Z) + alpha * np.eye(4)

    t = np.zeros(4)
    for _ in range(50):
        t = t - np.linalg.solve(hess(t), grad(t))
    return Function(value, grad, hess, np.zeros(4), value(t))


PROBLEMS = {
    "sphere": quadratic([1.0, 1.0, 1.0]),
    "ellipse": quadratic([0.05, 0.3, 1.0, 2.0]),
    "long": quadratic(np.geomspace(1e-1, 1e1, 12)),
    "one parameter": quadratic([3.0]),
    "logistic": logistic(0.0),
    "logistic with penalty": logistic(0.1),
}


def answer(function, query):
    parts = {"value": function.value, "grad": function.grad, "hess": function.hess}
    return Answer(**{name: np.array([parts[name](t) for t in query.theta]) for name in query.want})


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


def minimise(solver, function, iterations, tol=1e-9):
    state, queries = talk(solver.init(function.start), function)
    asked = [queries]
    for _ in range(iterations):
        if np.abs(state.grad).max() <= tol or state.step == 0:
            break
        state, queries = talk(solver.step(state), function)
        asked.append(queries)
    return state, asked


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_every_solver_reaches_every_minimum(name, problem):
    function = PROBLEMS[problem]
    state, _ = minimise(SOLVERS[name](), function, 2000)
    assert function.value(state.theta) <= function.minimum + 1e-12 * max(1, abs(function.minimum))
    np.testing.assert_allclose(state.grad, 0, atol=1e-6)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_states_tell_the_truth(name, problem):
    """value and grad of a state are those at its theta; theta of the first state is the start."""
    function, solver = PROBLEMS[problem], SOLVERS[name]()
    state, _ = talk(solver.init(function.start), function)
    np.testing.assert_array_equal(state.theta, function.start)
    for _ in range(5):
        assert state.value == pytest.approx(function.value(state.theta), rel=1e-12, abs=1e-15)
        np.testing.assert_allclose(state.grad, function.grad(state.theta), rtol=1e-10, atol=1e-14)
        assert state.decrement >= 0
        state, _ = talk(solver.step(state), function)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_the_objective_never_rises(name, problem):
    function, solver = PROBLEMS[problem], SOLVERS[name]()
    state, _ = talk(solver.init(function.start), function)
    for _ in range(30):
        before = state.value
        state, _ = talk(solver.step(state), function)
        assert state.value <= before + 1e-13 * abs(before)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_a_step_repeats_from_its_state(name):
    """A state, pickled and read back, continues with the same bits: what a checkpoint needs."""
    function, solver = PROBLEMS["logistic"], SOLVERS[name]()
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
    assert inspect.isgeneratorfunction(type(solver).init)
    assert inspect.isgeneratorfunction(type(solver).step)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_at_the_minimum_nothing_moves(name):
    function = PROBLEMS["sphere"]
    solver = SOLVERS[name]()
    state, _ = minimise(solver, function, 100, tol=1e-13)
    there = state.theta
    for _ in range(3):
        state, _ = talk(solver.step(state), function)
    np.testing.assert_allclose(state.theta, there, atol=1e-7)
    assert np.isfinite(state.theta).all()


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_answers_that_are_not_finite_do_not_break_a_solver(name):
    """Steps into overflow are refused or reported in the state; no exception, no endless loop."""
    function = PROBLEMS["logistic"]
    solver = SOLVERS[name]()
    state, _ = talk(solver.init(function.start), function)
    wall = function._replace(
        value=lambda t: np.inf, grad=lambda t: np.full(4, np.nan), hess=lambda t: np.full((4, 4), np.nan)
    )
    before = state
    for _ in range(3):
        state, queries = talk(solver.step(state), wall)
        assert len(queries) < 100
    assert np.array_equal(state.theta, before.theta) or not np.isfinite(state.value)


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


@pytest.mark.parametrize("problem", ["sphere", "ellipse", "long", "one parameter"])
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
