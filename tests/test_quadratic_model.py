"""The subproblem of proximal Newton against the conditions of Karush, Kuhn and Tucker and against scipy."""

import numpy as np
import pytest
import scipy.optimize

from dask_gd.penalties import ElasticNet, GroupLasso, ThetaPenalty
from dask_gd.solvers.quadratic_model import minimise_model

SEEDS = range(6)


def omega_of(penalty, p):
    free = np.ones((1, p + 1), dtype=bool)
    free[:, -1] = False
    return ThetaPenalty(penalty, free)


def rows(kind, p, rng):
    """A design whose Gram matrix is regular, singular, nearly so, or of columns of all sizes."""
    if kind == "fewer rows":
        return rng.normal(size=(max(p // 2, 1), p))
    X = rng.normal(size=(3 * p + 5, p))
    if kind == "near-collinear":
        X[:, p // 2 :] = X[:, : p - p // 2] + 1e-5 * X[:, p // 2 :]
    if kind == "twins":
        X[:, p // 2 :] = X[:, : p - p // 2]
    if kind == "correlated":
        X += 5 * rng.normal(size=(len(X), 1))
    if kind == "columns of all sizes":
        X *= 10.0 ** rng.uniform(-3, 3, p)
    if kind == "empty columns":
        X[:, ::3] = 0
    return X


def model(kind, p, rng):
    """(θ, gradient there, Hessian) of the least squares of some y."""
    X = rows(kind, p, rng)
    theta = rng.normal(size=p)
    residual = X @ theta - rng.normal(size=len(X)) - X @ rng.normal(size=p)
    return theta, X.T @ residual / len(X), X.T @ X / len(X)


def random_net(kind, p, grad, rng):
    """l1, kinks and bounds of each sort, alone and together; strengths are about the size of the gradient."""
    strength = np.abs(grad).max() * 10 ** rng.uniform(-2, 0.3)
    l1 = strength * rng.choice([0.0, 0.3, 1.0], p)
    center = rng.choice([0.0, 0.0, 1.0], p) * rng.normal(size=p)
    low, high = np.sort(rng.normal(size=(2, p)), axis=0)
    low = np.where(rng.random(p) < 0.4, -np.inf, low)
    high = np.where(rng.random(p) < 0.4, np.inf, high)
    return {
        "nothing": ElasticNet(),
        "l1": ElasticNet(l1=strength),
        "l1 by column": ElasticNet(l1=l1),
        "kinks": ElasticNet(l1=l1, center=center),
        "bounds": ElasticNet(lower=low, upper=high),
        "all": ElasticNet(l1=l1, center=center, lower=low, upper=high),
        "fixed": ElasticNet(lower=center, upper=np.where(rng.random(p) < 0.5, center, np.inf)),
    }[kind]


def violation(v, slope, omega):
    """The largest violation of the conditions, slope = g + H(v - θ)."""
    l1, center, lower, upper = omega.pieces()
    assert (v >= lower).all()
    assert (v <= upper).all()
    side = np.sign(v - center)
    low = np.where(side == 0, slope - l1, slope + l1 * side)
    high = np.where(side == 0, slope + l1, slope + l1 * side)
    low = np.where(v == lower, -np.inf, low)
    high = np.where(v == upper, np.inf, high)
    return max(np.max(np.maximum(low, 0)), np.max(np.maximum(-high, 0)))


def value(v, theta, grad, hess, omega):
    move = v - theta
    return grad @ move + 0.5 * move @ hess @ move + omega.value(v)


def by_scipy(theta, grad, hess, omega):
    """The lowest value by L-BFGS-B on v = c + a - b, a and b not negative."""
    p = len(theta)
    l1, center, lower, upper = omega.pieces()
    ends = [(lower - center, upper - center), (center - upper, center - lower)]
    bounds = np.concatenate([np.maximum(np.stack(end, axis=1), 0) for end in ends])

    def both(ab):
        move = center + ab[:p] - ab[p:] - theta
        g = grad + hess @ move
        return 0.5 * move @ (grad + g) + np.tile(l1, 2) @ ab, np.concatenate([g + l1, l1 - g])

    options = {"ftol": 0, "gtol": 1e-12, "maxiter": 20_000, "maxfun": 20_000, "maxcor": 30}
    start = np.clip(np.zeros(2 * p), *bounds.T)
    return scipy.optimize.minimize(both, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun


def assert_solved(theta, grad, hess, omega, tol=1e-10):
    v = minimise_model(theta, grad, hess, omega)
    size = np.abs(grad).max() + np.abs(hess).max()
    assert violation(v, grad + hess @ (v - theta), omega) <= tol * size
    return v


PENALTIES = ["nothing", "l1", "l1 by column", "kinks", "bounds", "all", "fixed"]


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize(
    "kind", ["regular", "correlated", "fewer rows", "near-collinear", "twins", "columns of all sizes", "empty columns"]
)
def test_conditions_of_the_minimum(kind, penalty):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        p = int(rng.integers(2, 25))
        theta, grad, hess = model(kind, p, rng)
        omega = omega_of(random_net(penalty, p, grad, rng), p)
        assert_solved(theta, grad, hess, omega)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("kind", ["regular", "correlated", "fewer rows", "twins"])
def test_no_higher_than_scipy(kind, penalty):
    for seed in SEEDS:
        rng = np.random.default_rng(100 + seed)
        p = int(rng.integers(2, 12))
        theta, grad, hess = model(kind, p, rng)
        omega = omega_of(random_net(penalty, p, grad, rng), p)
        lowest = value(minimise_model(theta, grad, hess, omega), theta, grad, hess, omega)
        peer = by_scipy(theta, grad, hess, omega)
        assert lowest <= peer + 1e-10 * (1 + abs(peer))


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("size", [1e-12, 1e-6, 1e6, 1e12])
def test_units_do_not_matter(size, penalty):
    """The objective in other units (its value times a size) and the coefficients in other units."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        theta, grad, hess = model("regular", 8, rng)
        net = random_net(penalty, 8, grad, rng)
        v = minimise_model(theta, grad, hess, omega_of(net, 8))
        larger = ElasticNet(np.asarray(net.l1) * size, 0.0, net.center, net.lower, net.upper)
        np.testing.assert_allclose(minimise_model(theta, grad * size, hess * size, omega_of(larger, 8)), v, atol=1e-9)
        longer = net.scaled(np.full(8, 1 / size))
        found = minimise_model(theta * size, grad / size, hess / size**2, omega_of(longer, 8))
        np.testing.assert_allclose(found / size, v, atol=1e-9)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_one_coefficient(penalty):
    """The prox of a step of Newton, by hand."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        theta, grad, hess = model("regular", 1, rng)
        net = random_net(penalty, 1, grad, rng)
        v = minimise_model(theta, grad, hess, omega_of(net, 1))
        np.testing.assert_allclose(v, net.prox(theta - grad / hess[0], 1 / hess[0]), rtol=1e-12, atol=1e-14)


def test_no_curvature_at_all():
    """Without a penalty nothing moves; a penalty moves to its kink what its slope cannot hold, and keeps bounds."""
    theta, none = np.array([0.5, -0.5, 0.0]), np.zeros((3, 3))
    zero = np.zeros(3)
    np.testing.assert_array_equal(minimise_model(theta, zero, none, omega_of(ElasticNet(), 3)), theta)
    np.testing.assert_array_equal(minimise_model(theta, zero, none, omega_of(ElasticNet(l1=0.3), 3)), zero)
    box = omega_of(ElasticNet(lower=0.0, upper=0.2), 3)
    np.testing.assert_array_equal(minimise_model(theta, zero, none, box), [0.2, 0.0, 0.0])


def test_a_column_without_curvature_stays():
    """Its gradient is rounding: a coefficient must not run away along it."""
    theta, grad = np.array([1.0, 2.0]), np.array([1e-17, 3.0])
    v = minimise_model(theta, grad, np.diag([0.0, 1.0]), omega_of(ElasticNet(), 2))
    np.testing.assert_array_equal(v, [1.0, -1.0])


def test_the_minimum_is_left_where_it_is(rng):
    """The model at the minimiser of a model has that minimiser, to rounding, and the same exact zeros."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        theta, grad, hess = model("correlated", 10, rng)
        omega = omega_of(random_net("all", 10, grad, rng), 10)
        v = minimise_model(theta, grad, hess, omega)
        again = minimise_model(v, grad + hess @ (v - theta), hess, omega)
        np.testing.assert_allclose(again, v, rtol=1e-9, atol=1e-11)
        _, center, lower, upper = omega.pieces()
        for place in (center, lower, upper):
            np.testing.assert_array_equal(again == place, v == place)


def test_inputs_are_left_alone(rng):
    theta, grad, hess = model("regular", 6, rng)
    before = theta.copy(), grad.copy(), hess.copy()
    for penalty in (random_net("all", 6, grad, rng), ElasticNet(), GroupLasso(np.arange(6) % 2, np.ones(2))):
        minimise_model(theta, grad, hess, omega_of(penalty, 6))
        for array, copy in zip((theta, grad, hess), before, strict=True):
            np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("kind", ["regular", "correlated", "fewer rows"])
def test_groups(kind):
    """slope = -α v/‖v‖ in a group that is there, ‖slope‖ ≤ α in one that is not."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        theta, grad, hess = model(kind, 9, rng)
        groups = np.arange(9) % 4
        alpha = np.abs(grad).max() * rng.choice([0.0, 0.1, 0.5, 3.0], 4)
        v = minimise_model(theta, grad, hess, omega_of(GroupLasso(groups, alpha), 9))
        slope = grad + hess @ (v - theta)
        for g in range(4):
            own, norm = groups == g, np.linalg.norm(v[groups == g])
            off = (
                np.linalg.norm(slope[own] + alpha[g] * v[own] / norm) if norm else np.linalg.norm(slope[own]) - alpha[g]
            )
            assert off <= 1e-8 * (np.abs(grad).max() + np.abs(hess).max())


def test_groups_of_one_are_the_lasso(rng):
    theta, grad, hess = model("correlated", 7, rng)
    group = minimise_model(theta, grad, hess, omega_of(GroupLasso(np.arange(7), np.full(7, 0.4)), 7))
    lasso = minimise_model(theta, grad, hess, omega_of(ElasticNet(l1=0.4), 7))
    np.testing.assert_allclose(group, lasso, atol=1e-8)


def test_groups_without_curvature():
    """Nothing tells where to go: the coefficients stay."""
    theta = np.array([1.0, 2.0])
    omega = omega_of(GroupLasso(np.zeros(2, dtype=int), np.ones(1)), 2)
    np.testing.assert_array_equal(minimise_model(theta, np.zeros(2), np.zeros((2, 2)), omega), theta)
