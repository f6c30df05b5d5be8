"""Properties of every loss in the registry: a new class is picked up by itself."""

import pickle

import numpy as np
import pytest

from dask_gd.losses import LOSSES

K = 4
STEP = 1e-3


def make(name):
    cls = LOSSES[name]
    return cls(K) if name == "multinomial" else cls()


def case(name, rng, n=60, points=3, scale=3.0):
    """A loss, targets in its domain and margins of shape (points, n) or (points, K, n)."""
    loss = make(name)
    if loss.n_outputs > 1:
        return loss, rng.integers(0, K, n), scale * rng.normal(size=(points, K, n))
    y = rng.normal(size=n) if name == "squared_error" else rng.integers(0, 2, n).astype(float)
    return loss, y, scale * rng.normal(size=(points, n))


def full_second(out):
    """The second derivative as (points, n, K, K), or (points, n, 1, 1) for one output."""
    if out.rank_one is None:
        return out.second[..., None, None]
    u = np.moveaxis(out.rank_one, -2, -1)
    return np.eye(u.shape[-1]) * np.moveaxis(out.second, -2, -1)[..., None] - u[..., :, None] * u[..., None, :]


def fourth_order(f, h=STEP):
    """f'(0) from four points; error O(h⁴)."""
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


@pytest.fixture(params=sorted(LOSSES))
def name(request):
    return request.param


def test_shapes(name, rng):
    loss, y, eta = case(name, rng)
    out = loss.derivatives(y, eta, 2)
    assert out.value.shape == (*eta.shape[:1], len(y))
    assert out.first.shape == out.second.shape == eta.shape
    assert (out.rank_one is None) == (loss.n_outputs == 1)
    assert loss.inverse_link(eta).shape == eta.shape


def test_n_outputs(name):
    loss = make(name)
    assert loss.n_outputs == (K if name == "multinomial" else 1)


def test_values_are_not_negative(name, rng):
    loss, y, eta = case(name, rng)
    assert (loss.derivatives(y, eta, 0).value >= 0).all()


def test_first_derivative_is_that_of_the_value(name, rng):
    loss, y, eta = case(name, rng)
    first = loss.derivatives(y, eta, 1).first
    for k in range(loss.n_outputs):
        unit = np.zeros_like(eta)
        unit[(slice(None), k) if loss.n_outputs > 1 else slice(None)] = 1
        expected = fourth_order(lambda h, unit=unit: loss.derivatives(y, eta + h * unit, 0).value)
        found = first[:, k] if loss.n_outputs > 1 else first
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_second_derivative_is_that_of_the_first(name, rng):
    loss, y, eta = case(name, rng)
    second = full_second(loss.derivatives(y, eta, 2))
    for k in range(loss.n_outputs):
        unit = np.zeros_like(eta)
        unit[(slice(None), k) if loss.n_outputs > 1 else slice(None)] = 1
        column = fourth_order(lambda h, unit=unit: loss.derivatives(y, eta + h * unit, 1).first)
        expected = np.moveaxis(column, -2, -1) if loss.n_outputs > 1 else column[..., None]
        np.testing.assert_allclose(second[..., k], expected, rtol=1e-7, atol=1e-9)


def test_orders_agree(name, rng):
    loss, y, eta = case(name, rng)
    zero, one, two = (loss.derivatives(y, eta, order) for order in range(3))
    assert zero.first is None
    assert one.second is None
    np.testing.assert_array_equal(zero.value, one.value)
    np.testing.assert_array_equal(zero.value, two.value)
    np.testing.assert_array_equal(one.first, two.first)


def test_inputs_are_left_alone(name, rng):
    loss, y, eta = case(name, rng)
    y_before, eta_before = y.copy(), eta.copy()
    loss.derivatives(y, eta, 2)
    loss.inverse_link(eta)
    np.testing.assert_array_equal(y, y_before)
    np.testing.assert_array_equal(eta, eta_before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_margins_stay_finite(name, dtype, rng):
    loss, y, eta = case(name, rng)
    eta = (1e4 * np.sign(eta) * rng.choice([0, 1e-4, 1], size=eta.shape)).astype(dtype)
    if y.dtype.kind == "f":
        y = y.astype(dtype)
    out = loss.derivatives(y, eta, 2)
    for part in out:
        if part is not None:
            assert part.dtype == dtype
            assert np.isfinite(part).all()
    mean = loss.inverse_link(eta)
    assert mean.dtype == dtype
    assert np.isfinite(mean).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_losses_keep_their_digits(dtype):
    """log(1 + e^-30) is e^-30, not 0: far from the border the loss must not be rounded away."""
    eta = np.array([30.0, -30.0], dtype=dtype)
    out = make("log_loss").derivatives(np.array([1, 0], dtype=dtype), eta, 2)
    np.testing.assert_allclose(out.second, np.exp(-30.0), rtol=1e-6)
    np.testing.assert_allclose(out.value[1], np.exp(-30.0), rtol=1e-6)


def test_convex(name, rng):
    loss, y, eta = case(name, rng)
    eigenvalues = np.linalg.eigvalsh(full_second(loss.derivatives(y, eta, 2)))
    assert eigenvalues.min() >= -1e-15


def test_curvature_is_an_upper_bound(name, rng):
    for scale in (0.01, 1.0, 30.0):
        loss, y, eta = case(name, rng, scale=scale)
        largest = np.linalg.eigvalsh(full_second(loss.derivatives(y, eta, 2))).max()
        assert largest <= loss.curvature * (1 + 1e-12)
        if scale == 0.01 and name != "multinomial":
            assert largest == pytest.approx(loss.curvature, rel=1e-3)  # and a tight one


def test_inverse_link_undoes_link(name, rng):
    loss = make(name)
    if loss.n_outputs > 1:
        mean = rng.dirichlet(np.ones(K))
    elif name == "squared_error":
        mean = np.array([1.7])
    else:
        mean = np.array([0.8, 0.2])  # shares of the two classes
    eta = loss.link(mean)
    assert eta.shape == (loss.n_outputs,)
    back = loss.inverse_link(eta[:, None])[:, 0]
    np.testing.assert_allclose(back, mean if name != "log_loss" else mean[1:], rtol=1e-12)


def test_link_gives_the_best_constant(name, rng):
    loss, y, _ = case(name, rng, n=500)
    if name == "squared_error":
        mean = np.array([y.mean()])
    else:
        mean = np.bincount(y.astype(int), minlength=max(loss.n_outputs, 2)) / len(y)
    eta = np.broadcast_to(loss.link(mean)[:, None], (loss.n_outputs, len(y)))
    first = loss.derivatives(y, eta if loss.n_outputs > 1 else eta[0], 1).first
    np.testing.assert_allclose(first.mean(axis=-1), 0, atol=1e-14)


def test_first_derivative_is_mean_minus_y(name, rng):
    """True of every loss with a canonical link (McCullagh & Nelder 1989, sec. 2.2.4)."""
    loss, y, eta = case(name, rng)
    target = np.eye(K)[:, y] if loss.n_outputs > 1 else y
    np.testing.assert_allclose(loss.derivatives(y, eta, 1).first, loss.inverse_link(eta) - target, atol=1e-15)


def test_softmax_of_two_classes_is_logistic(rng):
    y, eta = rng.integers(0, 2, 50), rng.normal(size=(2, 50))
    two = LOSSES["multinomial"](2).derivatives(y, eta, 0).value
    one = make("log_loss").derivatives(y.astype(float), eta[1] - eta[0], 0).value
    np.testing.assert_allclose(two, one, rtol=1e-13, atol=1e-15)


def test_pickles_and_compares(name, rng):
    loss, y, eta = case(name, rng)
    again = pickle.loads(pickle.dumps(loss))
    assert again == loss
    np.testing.assert_array_equal(again.derivatives(y, eta, 0).value, loss.derivatives(y, eta, 0).value)
