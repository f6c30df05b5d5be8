"""Properties of every penalty in the registry."""

import inspect
import pickle

import numpy as np
import pytest

from dask_gd.penalties import L2, PENALTIES

STRENGTHS = (0.0, 0.3, 50.0)


def variants():
    for name, cls in PENALTIES.items():
        if "alpha" in inspect.signature(cls).parameters:
            yield from (pytest.param(cls(alpha=a), id=f"{name}-{a}") for a in STRENGTHS)
        else:
            yield pytest.param(cls(), id=str(name))


@pytest.fixture(params=variants())
def penalty(request):
    return request.param


def test_value_is_zero_at_zero_and_positive_elsewhere(penalty, rng):
    assert penalty.value(np.zeros(3)) == 0
    assert (penalty.value(rng.normal(size=(5, 3))) >= 0).all()


def test_leading_axes(penalty, rng):
    w = rng.normal(size=(2, 4, 3))
    values = penalty.value(w)
    assert values.shape == (2, 4)
    np.testing.assert_allclose(values[1, 2], penalty.value(w[1, 2]), rtol=1e-15)


def test_gradient_is_that_of_the_value(penalty, rng):
    assert penalty.smooth
    w, h = rng.normal(size=5), 1e-3
    expected = []
    for unit in np.eye(5):
        f = [float(penalty.value(w + step * unit)) for step in (h, -h, 2 * h, -2 * h)]
        expected.append((8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * h))
    np.testing.assert_allclose(penalty.grad(w), expected, rtol=1e-8, atol=1e-9)


def test_curvature_is_the_slope_of_the_gradient(penalty, rng):
    w, v = rng.normal(size=(2, 5))
    np.testing.assert_allclose(penalty.grad(w) - penalty.grad(v), penalty.curvature * (w - v), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("step", [1e-3, 1.0, 100.0])
def test_prox_is_optimal(penalty, step, rng):
    """∇Ω(v) + (v - w)/step = 0 at v = prox(w), and no nearby point is lower."""
    w = rng.normal(size=6)
    v = penalty.prox(w, step)

    def cost(u):
        return penalty.value(u) + ((u - w) ** 2).sum(axis=-1) / (2 * step)

    np.testing.assert_allclose(penalty.grad(v) + (v - w) / step, 0, atol=1e-12)
    assert (cost(v) <= cost(v + 1e-2 * rng.normal(size=(50, 6)))).all()


def test_prox_is_firmly_nonexpansive(penalty, rng):
    w, u = rng.normal(size=(2, 6))
    p, q = penalty.prox(w, 0.7), penalty.prox(u, 0.7)
    assert (p - q) @ (p - q) <= (p - q) @ (w - u) * (1 + 1e-12)


def test_inputs_are_left_alone(penalty, rng):
    w = rng.normal(size=4)
    before = w.copy()
    penalty.value(w), penalty.grad(w), penalty.prox(w, 0.5)
    np.testing.assert_array_equal(w, before)


def test_pickles_and_compares(penalty):
    assert pickle.loads(pickle.dumps(penalty)) == penalty


def test_l2_by_hand():
    w = np.array([3.0, -4.0])
    assert L2(2.0).value(w) == 25.0
    np.testing.assert_array_equal(L2(2.0).grad(w), [6.0, -8.0])
    np.testing.assert_array_equal(L2(2.0).prox(w, 0.5), [1.5, -2.0])
