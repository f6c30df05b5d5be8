"""Properties of every penalty: those of the registry, elastic nets of every kind, groups.

A new entry of the registry is picked up by itself; a new class needs instances in :data:`EVERY` and nothing else,
for no test looks at more than the protocol.
"""

import inspect
import pickle

import numpy as np
import pytest
import scipy.optimize

from dask_gd.penalties import PENALTIES, ElasticNet, GroupLasso, elastic_net, l1, l2, no_penalty

D = 6
K = 3
STRENGTHS = (0.0, 0.3, 50.0)
STEPS = (1e-3, 0.7, 100.0)

VECTOR = np.array([0.0, 0.1, 0.5, 1.0, 3.0, 20.0])
CENTER = np.array([0.0, 1.0, -1.0, 0.5, -0.2, 2.0])
LOWER = np.array([-np.inf, -0.5, 0.0, 0.3, -np.inf, -2.0])
UPPER = np.array([np.inf, 0.5, np.inf, 0.3, -0.1, 1.0])
GROUPS = np.array([0, 1, 1, 2, 0, 1])
EVEN = np.array([0.5, 2.0, 2.0, 3.0, 0.5, 2.0])  # the same within each of GROUPS


def of_registry():
    for name, factory in PENALTIES.items():
        strengths = STRENGTHS if "alpha" in inspect.signature(factory).parameters else (None,)
        for strength in strengths:
            yield f"{name}-{strength}", factory() if strength is None else factory(strength)
        yield f"{name}-by column", factory(VECTOR)


EVERY = dict(of_registry()) | {
    "l1 by column": ElasticNet(l1=VECTOR),
    "l2 by column": ElasticNet(l2=VECTOR),
    "both by column": ElasticNet(l1=VECTOR, l2=VECTOR[::-1]),
    "ridge with centre": ElasticNet(l2=2.0, center=CENTER),
    "lasso with centre": ElasticNet(l1=0.4, center=CENTER),
    "net with one centre": ElasticNet(l1=VECTOR, l2=0.1, center=0.7),
    "not negative": ElasticNet(lower=0.0),
    "not positive": ElasticNet(upper=0.0),
    "box": ElasticNet(lower=-0.5, upper=0.25),
    "mixed box": ElasticNet(lower=LOWER, upper=UPPER),
    "fixed": ElasticNet(lower=CENTER, upper=CENTER),
    "lasso not negative": ElasticNet(l1=0.3, lower=0.0),
    "kink on a bound": ElasticNet(l1=0.3, center=0.5, lower=0.5, upper=2.0),
    "kink beyond a bound": ElasticNet(l1=0.3, l2=0.2, center=CENTER, lower=-0.3, upper=0.3),
    "net in a mixed box": ElasticNet(l1=VECTOR, l2=VECTOR[::-1], center=CENTER, lower=LOWER, upper=UPPER),
    "one a model": ElasticNet(l1=VECTOR + np.arange(K)[:, None], l2=np.arange(K)[:, None] / 2),
    "groups": GroupLasso(GROUPS, np.array([0.4, 1.0, 0.1])),
    "groups of one": GroupLasso(np.arange(D), np.full(D, 0.3)),
    "one group": GroupLasso(np.zeros(D, dtype=int), np.array([2.0])),
    "a free group": GroupLasso(GROUPS, np.array([0.0, 1.0, 30.0])),
    "groups with l2": GroupLasso(GROUPS, np.array([0.4, 1.0, 0.1]), l2=0.8),
    "groups with scale": GroupLasso(GROUPS, np.array([0.4, 1.0, 0.1]), l2=EVEN / 3, scale=EVEN),
}


@pytest.fixture(params=EVERY)
def penalty(request):
    return EVERY[request.param]


def of_shape(penalty, rng, *leading, spread=1.0):
    """Coefficients (..., D), or (..., K, D) where parameters differ by model."""
    by_model = any(np.ndim(value) == 2 for value in vars(penalty).values())
    return spread * rng.normal(size=(*leading, K, D) if by_model else (*leading, D))


def points(penalty, rng, n):
    """(n, ...) points where Ω is finite: near, far, on bounds and kinks."""
    w = of_shape(penalty, rng, n) * 10 ** rng.uniform(-3, 2, n).reshape(-1, *[1] * of_shape(penalty, rng).ndim)
    w[rng.random(w.shape) < 0.3] = 0
    on_kink = np.broadcast_to(getattr(penalty, "center", 0.0), w.shape)
    return penalty.project(np.where(rng.random(w.shape) < 0.2, on_kink, w))


def total(penalty, w):
    """Ω at the points (n, ...) of :func:`of_shape`, summed over models too."""
    value = penalty.value(w)
    return value.sum(axis=-1) if any(np.ndim(parameter) == 2 for parameter in vars(penalty).values()) else value


# -- values ----------------------------------------------------------------------------------------------------------


def test_value_is_zero_at_the_centre_and_not_negative_elsewhere(penalty, rng):
    center = np.broadcast_to(getattr(penalty, "center", 0.0), of_shape(penalty, rng).shape)
    if np.array_equal(penalty.project(center), center):
        np.testing.assert_array_equal(penalty.value(center), 0)
    assert (penalty.value(of_shape(penalty, rng, 50)) >= 0).all()
    assert np.isfinite(penalty.value(points(penalty, rng, 50))).all()


def test_flags(penalty, rng):
    """``none``: 0 everywhere. ``smooth``: nothing is left without the smooth part."""
    w = of_shape(penalty, rng, 50, spread=10)
    assert penalty.none == (not np.any(penalty.value(w)))
    assert penalty.smooth == (not np.any(penalty.nonsmooth().value(w)))
    assert penalty.nonsmooth().smooth == penalty.smooth
    assert not penalty.none or penalty.smooth


def test_leading_axes(penalty, rng):
    w = of_shape(penalty, rng, 2, 4)
    for method in (penalty.value, penalty.grad, penalty.project, lambda u: penalty.prox(u, 0.3), penalty.snap):
        together = method(w)
        for i, j in np.ndindex(2, 4):
            np.testing.assert_allclose(together[i, j], method(w[i, j]), rtol=1e-14)
    assert penalty.value(w).shape == w.shape[:-1]
    for method in (penalty.grad, penalty.project, lambda u: penalty.prox(u, 0.3), penalty.snap):
        assert method(w).shape == w.shape


def test_outputs_have_their_own_rows(penalty, rng):
    """(t, k, d) coefficients of k outputs: each output is penalised as if it were alone."""
    w = of_shape(penalty, rng, 2) if of_shape(penalty, rng).ndim == 2 else of_shape(penalty, rng, 2, K)
    assert w.shape == (2, K, D)
    value, prox = penalty.value(w), penalty.prox(w, 0.5)
    assert value.shape == (2, K)
    for k in range(K):
        alone = w.copy()
        alone[:, np.arange(K) != k] = penalty.project(np.zeros_like(w))[:, np.arange(K) != k]
        np.testing.assert_allclose(penalty.value(alone)[:, k], value[:, k], rtol=1e-14)
        np.testing.assert_allclose(penalty.prox(alone, 0.5)[:, k], prox[:, k], rtol=1e-14)


def test_gradient_is_that_of_the_smooth_part(penalty, rng):
    """Ω is ``nonsmooth`` and a quadratic about the centre, whose central differences have no error but rounding."""
    rest = penalty.nonsmooth()
    w = points(penalty, rng, 1)[0]
    center = np.broadcast_to(getattr(penalty, "center", 0.0), w.shape)

    def smooth(u):
        return np.sum(penalty.curvature * (u - center) ** 2) / 2

    assert total(penalty, w) == pytest.approx(total(rest, w) + smooth(w), rel=1e-12, abs=1e-14)
    found = penalty.grad(w)
    for index in np.ndindex(w.shape):
        h = np.zeros_like(w)
        h[index] = 0.1
        slope = (smooth(w + h) - smooth(w - h)) / 0.2
        assert found[index] == pytest.approx(slope, rel=1e-9, abs=1e-9 * (1 + np.abs(found).max()))
    inner = penalty.project(w + 0.01)
    two = total(penalty, inner) - total(rest, inner)
    assert two == pytest.approx(smooth(inner), rel=1e-9, abs=1e-9 * (1 + total(penalty, inner)))


def test_what_is_left_has_no_smooth_part(penalty, rng):
    rest = penalty.nonsmooth()
    np.testing.assert_array_equal(rest.grad(of_shape(penalty, rng)), 0)
    assert not np.any(rest.curvature)
    assert rest.separable == penalty.separable


def test_curvature_is_the_slope_of_the_gradient(penalty, rng):
    w, v = of_shape(penalty, rng, 2)
    np.testing.assert_allclose(penalty.grad(w) - penalty.grad(v), penalty.curvature * (w - v), rtol=1e-10, atol=1e-12)


def test_convex(penalty, rng):
    a, b = points(penalty, rng, 200), points(penalty, rng, 200)
    for share in (0.1, 0.5):
        between = total(penalty, share * a + (1 - share) * b)
        chord = share * total(penalty, a) + (1 - share) * total(penalty, b)
        assert (between <= chord * (1 + 1e-12) + 1e-14).all()


# -- prox ------------------------------------------------------------------------------------------------------------


def assert_prox(penalty, w, step, rng):
    """(w - v)/step is a subgradient of Ω at v = prox(w): Ω(u) ≥ Ω(v) + ⟨(w - v)/step, u - v⟩ wherever Ω(u) is finite.

    True of the minimiser and of no other point, as Ω is convex.
    """
    v = penalty.prox(w, step)
    assert np.isfinite(penalty.value(v)).all()
    slope = (w - v) / step
    near = v + 10.0 ** rng.uniform(-7, 0, (400, *[1] * v.ndim)) * rng.normal(size=(400, *v.shape))
    one = v + np.where(rng.random((400, *v.shape)) < 1 / v.size, rng.normal(size=(400, *v.shape)), 0)
    u = np.concatenate([penalty.project(near), penalty.project(one), points(penalty, rng, 200)])
    axes = tuple(range(1, u.ndim))
    promised = np.sum(slope * (u - v), axis=axes)
    rounding = 1e-13 * (1 + total(penalty, v) + total(penalty, u) + np.sum(np.abs(slope * (u - v)), axis=axes))
    size = np.abs(w) + np.abs(getattr(penalty, "center", 0.0))
    rounding += 1e-15 * np.sum(size / step * np.abs(u - v), axis=axes)  # w - v has lost digits
    assert (total(penalty, u) >= total(penalty, v) + promised - rounding).all()


@pytest.mark.parametrize("step", STEPS)
def test_prox_meets_the_conditions_of_its_minimum(penalty, step, rng):
    for spread in (0.1, 1.0, 30.0):
        assert_prox(penalty, of_shape(penalty, rng, spread=spread), step, rng)


def test_prox_with_a_step_for_each_coefficient(penalty, rng):
    """Of a group lasso the same within a group, as solvers take them."""
    steps = np.broadcast_to(VECTOR + 0.01, of_shape(penalty, rng).shape)
    if not penalty.separable:
        steps = steps[penalty.groups]
    assert_prox(penalty, of_shape(penalty, rng), steps, rng)


@pytest.mark.parametrize("step", STEPS)
def test_prox_is_the_minimum_that_scipy_finds(penalty, step, rng):
    """Powell's method knows nothing of kinks and groups; bounds reach it through ``project``."""
    w = of_shape(penalty, rng, spread=2)
    v = penalty.prox(w, step)

    def cost(flat):
        at = flat.reshape(w.shape)
        u = penalty.project(at)
        return float(step * total(penalty, u) + 0.5 * np.sum((u - w) ** 2) + np.sum((at - u) ** 2))

    found = scipy.optimize.minimize(cost, w.ravel(), method="Powell", options={"xtol": 1e-9, "ftol": 1e-15})
    lowest = cost(v.ravel())
    assert lowest <= found.fun + 1e-12 * (1 + abs(found.fun))
    if penalty.separable:  # Powell stalls on the ridge of a norm
        assert found.fun <= lowest + 1e-6 * (1 + abs(lowest))
        np.testing.assert_allclose(penalty.project(found.x.reshape(w.shape)), v, atol=2e-3)


def test_prox_is_firmly_nonexpansive(penalty, rng):
    """‖p - q‖² ≤ ⟨p - q, w - u⟩, in each model."""
    for spread in (0.1, 1.0, 30.0):
        w, u = of_shape(penalty, rng, 2, 50, spread=spread)
        p, q = penalty.prox(w, 0.7), penalty.prox(u, 0.7)
        left, right = np.sum((p - q) ** 2, axis=-1), np.sum((p - q) * (w - u), axis=-1)
        assert (left <= right * (1 + 1e-12) + 1e-14).all()


def test_prox_stays_at_the_minimum(penalty, rng):
    """The smallest point of Ω is a fixed point, and a large step leads to it."""
    center = penalty.project(np.broadcast_to(getattr(penalty, "center", 0.0), of_shape(penalty, rng).shape))
    np.testing.assert_allclose(penalty.prox(center, 3.0), center, rtol=1e-15)
    if np.all(np.asarray(penalty.curvature) > 0):
        np.testing.assert_allclose(penalty.prox(of_shape(penalty, rng), 1e12), center, atol=1e-10)


# -- scales ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_scaled_is_omega_of_scaled_coefficients(penalty, size, rng):
    scale = size * rng.uniform(0.3, 3, D)
    scaled = penalty.scaled(scale)
    v = points(penalty, rng, 50) / scale
    np.testing.assert_allclose(scaled.value(v), penalty.value(scale * v), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(scaled.grad(v), scale * penalty.grad(scale * v), rtol=1e-10, atol=1e-12 * size)
    np.testing.assert_allclose(scaled.curvature * np.ones(D), penalty.curvature * scale**2, rtol=1e-13)
    np.testing.assert_allclose(scaled.project(v), v, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("size", [1e-2, 1.0, 1e2])
def test_prox_of_scaled(penalty, size, rng):
    """Solvers work with θ = even·w, so with Ω(θ/even)."""
    scale = penalty.even(size * rng.uniform(0.3, 3, D))
    scaled = penalty.scaled(1 / scale)
    for step in STEPS:
        assert_prox(scaled, of_shape(penalty, rng, spread=2 * size), step, rng)


def test_even(penalty, rng):
    """Even scales are near those asked for, stay as they are when asked for again, and grow with them."""
    scale = rng.uniform(0.3, 3, D)
    even = penalty.even(scale)
    assert even.shape == (D,)
    assert (even > 0).all()
    np.testing.assert_allclose(penalty.even(even), even, rtol=1e-12)
    np.testing.assert_allclose(penalty.even(10 * scale), 10 * even, rtol=1e-12)
    if penalty.separable:
        np.testing.assert_array_equal(even, scale)


def test_even_is_the_mean_scale_of_a_group():
    scale = np.array([1.0, 2.0, 4.0, 5.0, 9.0, 8.0])
    even = EVERY["groups"].even(scale)
    np.testing.assert_allclose(even, np.array([3.0, 4.0, 4.0, 5.0, 3.0, 4.0]), rtol=1e-14)


def test_scaled_twice_is_scaled_once(penalty, rng):
    a, b = rng.uniform(0.3, 3, (2, D))
    v = points(penalty, rng, 20) / (a * b)
    np.testing.assert_allclose(
        penalty.scaled(a).scaled(b).value(v), penalty.scaled(a * b).value(v), rtol=1e-11, atol=1e-14
    )


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_project(penalty, rng):
    """Onto where Ω is finite, to the nearest point, and no further."""
    w = of_shape(penalty, rng, 50, spread=3)
    p = penalty.project(w)
    assert np.isfinite(penalty.value(p)).all()
    np.testing.assert_array_equal(penalty.project(p), p)
    same = np.all(p == w, axis=-1)
    np.testing.assert_array_equal(np.isfinite(penalty.value(w)), same)
    others = points(penalty, rng, 50)
    assert (np.sum((w - p) * (others - p), axis=-1) <= 1e-9).all()  # the angle at the projection is obtuse


def test_infinite_beyond_the_bounds(penalty, rng):
    low = np.broadcast_to(getattr(penalty, "lower", -np.inf), of_shape(penalty, rng).shape)
    high = np.broadcast_to(getattr(penalty, "upper", np.inf), low.shape)
    for index in np.ndindex(low.shape):
        for bound, away in ((low, -1), (high, 1)):
            w = points(penalty, rng, 1)[0]
            if np.isfinite(bound[index]):
                w[index] = bound[index]
                assert np.isfinite(penalty.value(w)).all()
                w[index] += away * 1e-6 * (1 + abs(bound[index]))
                assert np.isinf(penalty.value(w)).any()
                assert np.isinf(penalty.nonsmooth().value(w)).any()
                assert penalty.project(w)[index] == bound[index]
                assert penalty.snap(w)[index] == bound[index]


def test_snap_undoes_the_rounding_of_scales(penalty, rng):
    """What lay on a bound or kink of the scaled penalty lies on that of Ω again, to the last bit."""
    for _ in range(20):
        scale = penalty.even(rng.uniform(0.01, 100, D))
        scaled = penalty.scaled(1 / scale)
        for name in ("center", "lower", "upper"):
            place = np.broadcast_to(getattr(penalty, name, 0.0), of_shape(penalty, rng).shape)
            there = np.where(np.isfinite(place), place, 0)
            there = penalty.project(there)
            theta = scaled.project(np.where(np.isfinite(place), getattr(scaled, name, 0.0), 0) + np.zeros_like(there))
            np.testing.assert_array_equal(penalty.snap(theta / scale), there)


def test_snap_leaves_the_rest(penalty, rng):
    w = points(penalty, rng, 50)
    np.testing.assert_array_equal(penalty.snap(w), w)


# -- plain values ----------------------------------------------------------------------------------------------------


def test_inputs_are_left_alone(penalty, rng):
    w, scale = of_shape(penalty, rng, 4), rng.uniform(0.5, 2, D)
    before, scale_before = w.copy(), scale.copy()
    parameters = pickle.dumps(vars(penalty))
    for method in (penalty.value, penalty.grad, penalty.project, penalty.snap):
        method(w)
    penalty.prox(w, 0.5)
    penalty.scaled(scale).prox(w, 0.5)
    penalty.even(scale)
    np.testing.assert_array_equal(w, before)
    np.testing.assert_array_equal(scale, scale_before)
    assert pickle.dumps(vars(penalty)) == parameters


def test_pickles(penalty, rng):
    again = pickle.loads(pickle.dumps(penalty))
    w = of_shape(penalty, rng, 5)
    assert type(again) is type(penalty)
    np.testing.assert_array_equal(again.value(w), penalty.value(w))
    np.testing.assert_array_equal(again.prox(w, 0.3), penalty.prox(w, 0.3))


# -- by hand ---------------------------------------------------------------------------------------------------------

W = np.array([3.0, -4.0])


def test_l2_by_hand():
    assert l2(2.0).value(W) == 25.0
    np.testing.assert_array_equal(l2(2.0).grad(W), [6.0, -8.0])
    np.testing.assert_array_equal(l2(2.0).prox(W, 0.5), [1.5, -2.0])


def test_l1_by_hand():
    assert l1(2.0).value(W) == 14.0
    np.testing.assert_array_equal(l1(2.0).grad(W), 0)
    np.testing.assert_array_equal(l1(2.0).prox(W, 1.75), [0.0, -0.5])


def test_elastic_net_by_hand():
    penalty = elastic_net(2.0, l1_ratio=0.25)
    assert penalty.value(W) == 0.5 * 7 + 0.75 * 25
    np.testing.assert_array_equal(penalty.grad(W), [4.5, -6.0])
    np.testing.assert_array_equal(penalty.prox(W, 2.0), [0.5, -0.75])
    assert elastic_net(2.0).l1 == pytest.approx(0.3)  # a ratio of 0.15, that of SGDClassifier


def test_no_penalty_whatever_its_strength():
    assert no_penalty(3.0).none
    np.testing.assert_array_equal(no_penalty(3.0).prox(W, 7.0), W)


def test_groups_by_hand():
    """Norms 5 and 2; the prox takes step·α off each norm, and all of a group whose norm is not above it."""
    penalty = GroupLasso(np.array([0, 1, 0]), np.array([2.0, 3.0]))
    w = np.array([3.0, 2.0, -4.0])
    assert penalty.value(w) == 2 * 5 + 3 * 2
    np.testing.assert_allclose(penalty.prox(w, 1.0), [3 * 0.6, 0.0, -4 * 0.6], rtol=1e-15)


def test_groups_of_one_are_the_lasso(rng):
    w = rng.normal(size=(4, D))
    group, lasso = EVERY["groups of one"], l1(0.3)
    np.testing.assert_allclose(group.value(w), lasso.value(w), rtol=1e-14)
    np.testing.assert_allclose(group.prox(w, 0.7), lasso.prox(w, 0.7), rtol=1e-13, atol=1e-16)


def test_exact_zeros_kinks_and_bounds(rng):
    """What the prox puts on a kink or a bound lies there to the last bit: no threshold ever decides about it."""
    w = rng.normal(size=200)
    v = ElasticNet(l1=0.7, center=0.1, lower=-0.3, upper=0.4).prox(w, 1.0)
    assert {0.1, -0.3, 0.4} <= set(v)
    assert (GroupLasso(np.zeros(3, dtype=int), np.array([1e3])).prox(w[:3], 1.0) == 0).all()
