"""Properties of every loss in the registry: a new class is picked up by itself.

Targets and margins are drawn from what a loss says of itself (``classification``, ``n_outputs``, ``targets``,
``margins``), and the flags of a loss decide which properties it must have.
"""

import inspect
import pickle

import numpy as np
import pytest
import sklearn.metrics
import statsmodels.api as sm

from dask_gd.losses import (
    FAMILIES,
    LINKS,
    LOSSES,
    Custom,
    GeneralizedLinear,
    Huber,
    HuberWithScale,
    Interval,
    Logistic,
    Pinball,
    Softmax,
    Squared,
)
from dask_gd.losses import OneVsRest as Rest
from dask_gd.losses.families import Binomial, NegativeBinomial, Tweedie

K = 4
MAGNITUDES = {"small": 0.01, "ordinary": 1.0, "large": 100.0}


def log_cosh(y, eta):
    r = np.abs(eta - y)
    return r + np.log1p(np.exp(-2 * r)) - np.log(np.float32(2)).astype(r.dtype)


def log_cosh_first(y, eta):
    return np.tanh(eta - y)


def log_cosh_second(y, eta):
    e = np.exp(-2 * np.abs(eta - y))
    return 4 * e / (1 + e) ** 2


def make(name):
    """A loss of the registry; a factory that must know ``n_outputs`` is told the number of classes."""
    factory = LOSSES[name]
    outputs = inspect.signature(factory).parameters.get("n_outputs")
    return factory(K) if outputs is not None and outputs.default is outputs.empty else factory()


def every_loss():
    """The registry, what the registry's losses can be turned into, and parameters away from their defaults."""
    losses = {name: make(name) for name in LOSSES}
    losses |= {
        "multinomial of two": Softmax(2),
        "squared_error of three": Squared(3),
        "huber-0.3": Huber(0.3),
        "huber_with_scale-3": HuberWithScale(3.0),
        "quantile-0.9": Pinball(0.9),
        "tweedie-1.1": GeneralizedLinear(Tweedie(1.1), "log"),
        "tweedie-1.9": GeneralizedLinear(Tweedie(1.9), "log"),
        "tweedie-minus a half": GeneralizedLinear(Tweedie(-0.5), "log"),
        "negative_binomial-0.2": GeneralizedLinear(NegativeBinomial(0.2), "log"),
        "negative_binomial-5": GeneralizedLinear(NegativeBinomial(5.0), "log"),
        "gamma-power": GeneralizedLinear(Tweedie(2.0), 0.4),
        "custom": Custom(log_cosh, log_cosh_first, log_cosh_second),
        "custom with a mean": Custom(log_cosh, log_cosh_first, log_cosh_second, np.tanh),
    }
    for family, (factory, _) in FAMILIES.items():  # every pair, those that nobody registered too
        for link in set(LINKS) - {"logit", "probit", "cloglog"}:
            loss = GeneralizedLinear(factory(), link)
            losses |= {} if loss in losses.values() else {f"{family}-{link}": loss}
    for name in LOSSES:
        if losses[name].classification and losses[name].n_outputs == 1:
            losses[f"one vs rest {name}"] = Rest(losses[name], K)
    for name, loss in list(losses.items()):
        if not loss.smooth:
            losses |= {f"{name} smoothed {width}": loss.smoothed(width) for width in (0.5, 0.01)}
    return losses


EVERY = every_loss()
NOT_SMOOTH = [name for name, loss in EVERY.items() if not loss.smooth]
GLM = [
    name
    for name, loss in EVERY.items()
    if isinstance(loss, GeneralizedLinear | Binomial | Logistic | Softmax | Squared)
]
DEVIANCES = [name for name, loss in EVERY.items() if isinstance(loss, GeneralizedLinear | Binomial)]


@pytest.fixture(params=EVERY)
def loss(request):
    return EVERY[request.param]


# -- draws from the domain of a loss ---------------------------------------------------------------------------------


def inside(interval, away):
    """The point of an interval that lies ``away`` from its finite end; of one with two ends, a share of the way.

    For the real line ``away`` has a sign of its own.
    """
    low, high = interval.low, interval.high
    if np.isfinite(low) and np.isfinite(high):
        return low + (high - low) * np.abs(away) / (1 + np.abs(away))
    return low + np.abs(away) if np.isfinite(low) else high - np.abs(away) if np.isfinite(high) else away


def draw_targets(loss, rng, n):
    """(n,) targets, from every order of magnitude, with the ends of the interval that belong to it."""
    if loss.classification:
        return rng.integers(0, loss.n_outputs, n) if loss.n_outputs > 1 else rng.integers(0, 2, n).astype(float)
    outputs = loss.n_outputs - loss.n_constant
    shape = (outputs, n) if outputs > 1 else (n,)
    y = inside(loss.targets, rng.choice([-1, 1], shape) * 10 ** rng.uniform(-1, 2, shape))
    for closed, end in ((loss.targets.closed_low, loss.targets.low), (loss.targets.closed_high, loss.targets.high)):
        if closed:
            y[..., rng.random(n) < 0.2] = end
    return y


def draw_margins(loss, rng, points, n, magnitude=1.0):
    """(points, n) or (points, K, n) margins in the domain of ℓ; ``magnitude`` is about their size."""
    shape = (points, loss.n_outputs, n) if loss.n_outputs > 1 else (points, n)
    real = 3 * magnitude * rng.normal(size=shape)
    bounded = inside(loss.margins, magnitude * rng.uniform(0.05, 5, shape))
    if loss.margins == Interval():
        return real
    if loss.n_constant:  # the domain is that of the parameters which no column has a part in
        real[:, -loss.n_constant :] = bounded[:, -loss.n_constant :]
        return real
    return bounded


def case(loss, rng, n=80, points=3, magnitude=1.0):
    return draw_targets(loss, rng, n), draw_margins(loss, rng, points, n, magnitude)


def grid(loss, n=4001):
    """Margins (n, ...) along a wide and fine grid: in each output in turn, and in all at once."""
    away = np.linspace(-60, 60, n) if loss.margins == Interval() else np.geomspace(1e-4, 1e4, n)
    line = inside(loss.margins, away)
    if loss.n_outputs == 1:
        return line
    rng = np.random.default_rng(0)
    real = np.linspace(-60, 60, n)
    rows = []
    for k in range(loss.n_outputs):
        eta = rng.normal(size=(loss.n_outputs, n))
        eta[k] = line if k >= loss.n_outputs - loss.n_constant else real
        if loss.n_constant and k < loss.n_outputs - loss.n_constant:
            eta[-loss.n_constant :] = np.abs(eta[-loss.n_constant :]) + 0.01
        rows.append(eta)
    return np.concatenate(rows, axis=-1)


def some_targets(loss, rng, n=40):
    """A few targets one by one, so that each can meet a whole grid of margins."""
    y = draw_targets(loss, rng, n)
    return [y[..., i : i + 1] for i in range(n)]


def on_grid(loss, y, eta, order):
    """Derivatives at one target and all margins of a grid."""
    return loss.derivatives(np.repeat(y, eta.shape[-1], axis=-1), eta, order)


def output(loss, k):
    """The index of output ``k`` in margins."""
    return (..., k, slice(None)) if loss.n_outputs > 1 else ...


def full_second(loss, out):
    """The second derivative as (..., n, K, K), or (..., n, 1, 1) for one output."""
    if loss.n_outputs == 1:
        return out.second[..., None, None]
    second = np.eye(loss.n_outputs) * np.moveaxis(out.second, -2, -1)[..., None]
    if out.rank_one is None:
        return second
    u = np.moveaxis(out.rank_one, -2, -1)
    return second + out.sign * u[..., :, None] * u[..., None, :]


# -- what every loss is ----------------------------------------------------------------------------------------------


def test_every_loss_is_here():
    """A loss that cannot be made from its registry entry would silently not be tested."""
    assert set(LOSSES) <= set(EVERY)
    assert len(EVERY) > len(LOSSES)


def test_shapes(loss, rng):
    y, eta = case(loss, rng)
    out = loss.derivatives(y, eta, 2)
    assert out.value.shape == (3, 80)
    assert out.first.shape == out.second.shape == eta.shape
    assert out.rank_one is None or (loss.n_outputs > 1 and out.rank_one.shape == eta.shape)
    assert out.expected is None or out.expected.shape == eta.shape
    means = loss.inverse_link(eta)
    if loss.n_outputs > 1:
        assert means.shape == (3, loss.n_outputs - loss.n_constant, 80)
    else:
        assert means.shape == eta.shape


def test_one_point_without_leading_axes(loss, rng):
    y, eta = case(loss, rng)
    np.testing.assert_array_equal(loss.derivatives(y, eta[1], 0).value, loss.derivatives(y, eta, 0).value[1])


@pytest.mark.parametrize("magnitude", MAGNITUDES.values(), ids=MAGNITUDES)
def test_values_are_not_negative(loss, magnitude, rng):
    """Up to the rounding of the terms, whose size is that of the largest value at the same target, or 1."""
    y, eta = case(loss, rng, points=9, magnitude=magnitude)
    value = loss.derivatives(y, eta, 0).value
    assert np.isfinite(value).all()
    assert (value >= -1e-12 * np.maximum(1, value.max(axis=0))).all()


def test_orders_agree(loss, rng):
    y, eta = case(loss, rng)
    zero, one, two = (loss.derivatives(y, eta, order) for order in range(3))
    assert zero.first is None
    assert zero.second is None
    assert one.second is None
    np.testing.assert_array_equal(zero.value, one.value)
    np.testing.assert_array_equal(zero.value, two.value)
    np.testing.assert_array_equal(one.first, two.first)


def test_inputs_are_left_alone(loss, rng):
    y, eta = case(loss, rng)
    y_before, eta_before = y.copy(), eta.copy()
    loss.derivatives(y, eta, 2)
    loss.inverse_link(eta)
    loss.distance(y, np.full(y.shape, inside(loss.targets, 1.0)))
    np.testing.assert_array_equal(y, y_before)
    np.testing.assert_array_equal(eta, eta_before)


def test_results_share_no_memory_with_the_margins(loss, rng):
    """A kernel multiplies what it gets by weights."""
    y, eta = case(loss, rng)
    for part in loss.derivatives(y, eta, 2)[:4]:
        assert not isinstance(part, np.ndarray) or not np.shares_memory(part, eta)


def test_pickles_and_compares(loss, rng):
    y, eta = case(loss, rng)
    again = pickle.loads(pickle.dumps(loss))
    assert type(again) is type(loss)
    if not isinstance(loss, Custom):  # a user's functions: the loss is the object
        assert again == loss
        assert hash(again) == hash(loss)
    for one, two in zip(again.derivatives(y, eta, 2), loss.derivatives(y, eta, 2), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(again.inverse_link(eta), loss.inverse_link(eta))


# -- derivatives -----------------------------------------------------------------------------------------------------


def differences(f, h):
    """f'(0) from four points, error O(h⁴), and how much of it rounding may be."""
    points = [f(step) for step in (h, -h, 2 * h, -2 * h)]
    largest = np.max(np.abs(points), axis=0)
    slope = (8 * (points[0] - points[1]) - (points[2] - points[3])) / (12 * h)
    return slope, 1000 * np.finfo(float).eps * largest / h


def assert_slope(f, h, found):
    """``found`` is f'(0), to 1e-6, wherever the differences with a step and with half of it agree.

    They disagree next to a kink, and there a derivative means nothing; at most one point in twenty may be so.
    """
    rough, _ = differences(f, h)
    fine, noise = differences(f, h / 2)
    noise = noise + 1e-12  # a derivative such as p - y is itself a difference of numbers near 1
    sure = np.abs(rough - fine) <= 1e-6 * np.abs(fine) + noise
    assert sure.mean() >= 0.95
    wrong = sure & (np.abs(found - fine) > 1e-6 * np.abs(fine) + noise)
    assert not wrong.any(), (found[wrong], fine[wrong])


def unit_step(loss, eta, k):
    """A step of 1 in output ``k``, shorter where the domain of ℓ is near its end."""
    unit = np.zeros_like(eta)
    short = loss.margins != Interval() and k >= loss.n_outputs - max(loss.n_constant, 1)
    unit[output(loss, k)] = np.minimum(1, np.abs(eta[output(loss, k)] - loss.margins.low)) if short else 1
    return unit, unit[output(loss, k)]


@pytest.mark.parametrize("magnitude", MAGNITUDES.values(), ids=MAGNITUDES)
def test_first_derivative_is_that_of_the_value(loss, magnitude, rng):
    y, eta = case(loss, rng, n=200, magnitude=magnitude)
    first = loss.derivatives(y, eta, 1).first
    for k in range(loss.n_outputs):
        unit, length = unit_step(loss, eta, k)
        found = first[output(loss, k)] * length
        assert_slope(lambda h, unit=unit: loss.derivatives(y, eta + h * unit, 0).value, 1e-3, found)


@pytest.mark.parametrize("magnitude", MAGNITUDES.values(), ids=MAGNITUDES)
def test_second_derivative_is_that_of_the_first(loss, magnitude, rng):
    y, eta = case(loss, rng, n=200, magnitude=magnitude)
    second = full_second(loss, loss.derivatives(y, eta, 2))
    for k in range(loss.n_outputs):
        unit, length = unit_step(loss, eta, k)
        for j in range(loss.n_outputs):
            assert_slope(
                lambda h, unit=unit, j=j: loss.derivatives(y, eta + h * unit, 1).first[output(loss, j)],
                1e-3,
                second[..., j, k] * length,
            )


def test_convex_says_so(loss, rng):
    """Convex: no second derivative is ever below zero, for its root is taken (of a matrix: up to rounding).

    Else it is below zero somewhere, and there is an expected one that never is.
    """
    eta = grid(loss)
    lowest = np.inf
    for y in some_targets(loss, rng):
        out = on_grid(loss, y, eta, 2)
        if out.rank_one is None:
            lowest = min(lowest, out.second.min())
        else:
            eigenvalues = np.linalg.eigvalsh(full_second(loss, out))
            lowest = min(lowest, (eigenvalues[:, 0] + 1e-14 * (1 + eigenvalues[:, -1])).min())
            assert (out.second >= 0).all()
        if not loss.convex:
            assert (out.expected >= 0).all()
    assert (lowest >= 0) == loss.convex


def test_curvature_is_an_upper_bound(loss, rng):
    """And, for one output, not twice too large. A loss with kinks has none."""
    largest = 0.0
    for y in some_targets(loss, rng):
        out = on_grid(loss, y, grid(loss), 2)
        largest = max(largest, np.linalg.eigvalsh(full_second(loss, out)).max())
    assert largest <= loss.curvature * (1 + 1e-12)
    if not loss.smooth:
        assert loss.curvature == np.inf
    if np.isfinite(loss.curvature) and loss.n_outputs == 1:
        assert largest >= 0.5 * loss.curvature


def test_quadratic_has_one_second_derivative(loss, rng):
    y, eta = case(loss, rng)
    second = full_second(loss, loss.derivatives(y, eta, 2))
    if loss.quadratic:
        np.testing.assert_array_equal(second, np.broadcast_to(second[0, 0], second.shape))


def test_gauge_adds_nothing(loss, rng):
    y, eta = case(loss, rng)
    if loss.gauge:
        shifted = loss.derivatives(y, eta + rng.normal(size=(3, 1, 80)), 1)
        np.testing.assert_allclose(shifted.value, loss.derivatives(y, eta, 0).value, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(shifted.first.sum(axis=-2), 0, atol=1e-14)


# -- the ends of the domain ------------------------------------------------------------------------------------------


def extreme(loss, rng, dtype):
    """Every one of the far margins with every target."""
    y = draw_targets(loss, rng, 60)
    away = np.array([1e-4, 1e-2, 1.0, 30.0, 100.0, 1e3, 1e4])
    real = np.concatenate([-away[::-1], [0.0], away])
    ends = real if loss.margins == Interval() else inside(loss.margins, away)
    shape = (len(real), loss.n_outputs, 60) if loss.n_outputs > 1 else (len(ends), 60)
    if loss.n_outputs == 1:
        eta = np.broadcast_to(ends[:, None], shape).copy()
    else:
        eta = rng.choice(real, shape)
        eta[:, 0] = real[:, None]
        if loss.n_constant:
            eta[:, -loss.n_constant :] = rng.choice(ends, (len(real), loss.n_constant, 60))
    return y.astype(dtype) if y.dtype.kind == "f" else y, eta.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_margins_stay_finite(loss, dtype, rng):
    """A line search looks far out; no answer may be nan, change its type or warn (warnings are errors here)."""
    y, eta = extreme(loss, rng, dtype)
    out = loss.derivatives(y, eta, 2)
    for part in (out.value, out.first, out.second, out.rank_one, out.expected):
        if part is not None:
            assert part.dtype == dtype
            assert np.isfinite(part).all()
    mean = loss.inverse_link(eta)
    assert mean.dtype == dtype
    assert np.isfinite(mean).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_curvatures_of_extreme_margins_have_roots(loss, dtype, rng):
    """A kernel takes roots of what a convex loss calls its second derivative, so rounding must not turn its sign."""
    y, eta = extreme(loss, rng, dtype)
    out = loss.derivatives(y, eta, 2)
    weight = out.second if out.expected is None else out.expected
    assert (weight >= 0).all()


def test_float32_and_float64_say_the_same(loss, rng):
    """float32 loses digits, not the answer: the values of ordinary margins agree to its precision."""
    y, eta = case(loss, rng)
    eta = eta.astype(np.float32)
    y = y.astype(np.float32) if y.dtype.kind == "f" else y
    wide = y.astype(float) if y.dtype.kind == "f" else y
    single = loss.derivatives(y, eta, 2)
    double = loss.derivatives(wide, eta.astype(float), 2)
    for one, two in zip((single.value, single.first), (double.value, double.first), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(two).max() * 0.01))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outside_of_the_margins_the_value_is_infinite(loss, dtype, rng):
    """So a line search turns back; derivatives there are finite, for nothing may spoil the sums of other rows."""
    y, eta = case(loss, rng)
    y = y.astype(dtype) if y.dtype.kind == "f" else y
    eta = eta.astype(dtype)
    last = (slice(None), slice(-max(loss.n_constant, 1), None)) if loss.n_outputs > 1 else slice(None)
    for end, sign in ((loss.margins.low, -1), (loss.margins.high, 1)):
        if np.isinf(end):
            continue
        for away in (0.0, 1e-3, 1.0, 1e4):
            eta[last] = end + sign * away
            out = loss.derivatives(y, eta, 2)
            assert (out.value == np.inf).all()
            assert (loss.derivatives(y, eta, 0).value == np.inf).all()
            for part in (out.first, out.second, out.rank_one, out.expected):
                assert part is None or np.isfinite(part).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["log_loss", "binomial"])
def test_small_losses_keep_their_digits(name, dtype):
    """log(1 + e^-30) is e^-30, not 0: far from the border the loss must not be rounded away."""
    eta = np.array([30.0, -30.0], dtype=dtype)
    out = make(name).derivatives(np.array([1, 0], dtype=dtype), eta, 2)
    np.testing.assert_allclose(out.second, np.exp(-30.0), rtol=1e-6)
    np.testing.assert_allclose(out.value[1], np.exp(-30.0), rtol=1e-6)


# -- kinks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NOT_SMOOTH)
@pytest.mark.parametrize("width", [1.0, 0.1, 1e-4])
def test_smoothed_lies_just_below(name, width, rng):
    loss = EVERY[name]
    smoothed = loss.smoothed(width)
    assert smoothed.smooth
    assert smoothed.convex
    assert np.isfinite(smoothed.curvature)
    assert smoothed.classification == loss.classification
    y = draw_targets(loss, rng, 300)
    shape = (8, loss.n_outputs, 300) if loss.n_outputs > 1 else (8, 300)
    eta = (2 * y - 1 if loss.classification and loss.n_outputs == 1 else y) + rng.normal(size=shape) * np.geomspace(
        1e-3, 10, 8
    ).reshape(-1, *[1] * (len(shape) - 1))
    whole, part = loss.derivatives(y, eta, 0).value, smoothed.derivatives(y, eta, 0).value
    rounding = 1e-13 * (1 + np.abs(whole))
    assert (part <= whole + rounding).all()
    assert (whole - part <= width * loss.n_outputs + rounding).all()
    assert (whole - part).max() > 0


@pytest.mark.parametrize("name", NOT_SMOOTH)
def test_first_derivative_of_a_kink_is_a_subgradient(name, rng):
    """ℓ(y, ξ) ≥ ℓ(y, η) + ℓ'(y, η)(ξ - η) for all η and ξ, kinks included."""
    loss = EVERY[name]
    for y in some_targets(loss, rng):
        if loss.n_outputs > 1:
            continue
        kinks = np.array([y[0], y[0] - 0.1, y[0] + 0.1, 1.0, -1.0])
        eta = np.concatenate([kinks, y[0] + rng.normal(size=60)])
        out = on_grid(loss, y, eta, 1)
        plane = out.value[:, None] + out.first[:, None] * (eta - eta[:, None])
        assert (out.value >= plane - 1e-12 * (1 + np.abs(plane))).all()


# -- means -----------------------------------------------------------------------------------------------------------


def shares(loss, rng, n=1):
    """Means that a constant model can have: (classes, n) shares of a classifier, or (n,) means of targets."""
    if loss.classification:
        return rng.dirichlet(np.ones(max(loss.n_outputs, 2)), n).T
    outputs = loss.n_outputs - loss.n_constant
    mean = inside(loss.targets, 10 ** rng.uniform(-1, 1, (outputs, n)))
    return mean if outputs > 1 else mean[0]


def test_start_is_in_the_domain(loss, rng):
    """A fit begins where ℓ and its derivatives are finite, with one margin an output."""
    for spread in (0.0, 2.0):
        mean = shares(loss, rng)
        mean = mean[:, 0] if mean.ndim > 1 else mean
        start = np.asarray(loss.start(mean, np.full(len(mean), spread)))
        assert start.shape == (loss.n_outputs,)
        assert np.isfinite(start).all()
        y = draw_targets(loss, rng, 30)
        eta = np.repeat(start[:, None], 30, axis=1)
        out = loss.derivatives(y, eta if loss.n_outputs > 1 else eta[0], 2)
        assert np.isfinite(out.value).all()
        assert np.isfinite(out.first).all()


@pytest.mark.parametrize("name", GLM)
def test_inverse_link_undoes_link(name, rng):
    loss = EVERY[name]
    for _ in range(20):
        mean = shares(loss, rng)
        eta = loss.link(mean[:, 0] if mean.ndim > 1 else mean)
        assert eta.shape == (loss.n_outputs,)
        back = loss.inverse_link(eta[:, None] if loss.n_outputs > 1 else eta)
        expected = mean[1:, 0] if loss.classification and loss.n_outputs == 1 else mean
        np.testing.assert_allclose(back, expected, rtol=1e-10)


@pytest.mark.parametrize("name", GLM)
def test_link_gives_the_best_constant(name, rng):
    loss = EVERY[name]
    y = draw_targets(loss, rng, 500)
    if loss.classification:
        mean = np.bincount(y.astype(int), minlength=max(loss.n_outputs, 2)) / 500
    else:
        y = np.abs(y)  # a mean above zero has a margin under every link
        mean = np.atleast_1d(y.mean(axis=-1))
    eta = np.broadcast_to(loss.link(mean)[:, None], (loss.n_outputs, 500))
    first = loss.derivatives(y, eta if loss.n_outputs > 1 else eta[0], 1).first
    np.testing.assert_allclose(first.mean(axis=-1), 0, atol=1e-12 * np.abs(first).max())


@pytest.mark.parametrize("name", GLM)
def test_at_the_true_mean(name, rng):
    """Where y is the mean, ℓ is 0 with slope 0, and the second derivative is the expected one: it is linear in y."""
    loss = EVERY[name]
    if loss.classification:
        pytest.skip("y is a class, never a mean")
    eta = draw_margins(loss, rng, 1, 200)[0]
    y = loss.inverse_link(eta)
    out = loss.derivatives(y, eta, 2)
    away = loss.derivatives(y, 1.1 * eta + (0.1 if loss.margins == Interval() else 0), 1)
    assert (np.abs(out.value) <= 1e-10 * (1 + np.abs(away.value))).all()
    assert (np.abs(out.first) <= 1e-12 * (1 + np.abs(away.first))).all()
    if out.expected is not None:
        np.testing.assert_allclose(out.second, out.expected, rtol=1e-10)


@pytest.mark.parametrize("name", GLM)
def test_first_derivative_is_linear_in_the_target(name, rng):
    """ℓ' = (μ - y) μ'/V(μ): the slope of a mean of targets is the mean of their slopes (so sums of y suffice)."""
    loss = EVERY[name]
    if loss.classification:
        pytest.skip("y is a class, never a mean")
    y, eta = case(loss, rng)
    other = draw_targets(loss, rng, 80)
    one, two, between = (loss.derivatives(t, eta, 1).first for t in (y, other, 0.3 * y + 0.7 * other))
    np.testing.assert_allclose(between, 0.3 * one + 0.7 * two, rtol=1e-9, atol=1e-12 * np.abs(one).max())


@pytest.mark.parametrize("name", ["log_loss", "multinomial", "squared_error", "poisson", "binomial"])
def test_first_derivative_is_mean_minus_y(name, rng):
    """True of every loss with a canonical link (McCullagh & Nelder 1989, sec. 2.2.4)."""
    loss = EVERY[name]
    y, eta = case(loss, rng)
    target = np.eye(K)[:, y] if loss.n_outputs > 1 else y
    first = loss.derivatives(y, eta, 1).first
    np.testing.assert_allclose(first, loss.inverse_link(eta) - target, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", GLM)
def test_distance_is_the_value(name, rng):
    """A score sums ``distance`` of the target and the mean; a fit sums the value at the margin."""
    loss = EVERY[name]
    if loss.classification:
        pytest.skip("classifiers are scored by their accuracy")
    y, eta = case(loss, rng, magnitude=0.3)  # where no probability rounds to 1
    value = loss.derivatives(y, eta, 0).value
    distance = loss.distance(y, loss.inverse_link(eta))
    if loss.n_outputs > 1:
        distance = distance.sum(axis=-2)
    np.testing.assert_allclose(distance, value, rtol=1e-9, atol=1e-10)


def test_probabilities(loss, rng):
    """Class probabilities lie in [0, 1]; of several classes they sum to 1."""
    if not loss.probabilities:
        pytest.skip("no probabilities")
    for magnitude in MAGNITUDES.values():
        p = loss.inverse_link(draw_margins(loss, rng, 3, 80, magnitude))
        assert ((p >= 0) & (p <= 1)).all()
        if loss.n_outputs > 1:
            np.testing.assert_allclose(p.sum(axis=-2), 1, rtol=1e-12)


def test_separable_losses_vanish_on_the_right_side(loss, rng):
    """Below log 2 exactly where the target is the likelier answer, and 0 far beyond: the test for separable data."""
    if not loss.separable:
        pytest.skip("not separable")
    eta = draw_margins(loss, rng, 3, 200)
    p = loss.inverse_link(eta)
    if loss.n_outputs > 1:
        y = rng.integers(0, loss.n_outputs, 200)
        of_y = p[..., y, np.arange(200)]
        far = 1e4 * np.where(np.arange(loss.n_outputs)[:, None] == y, 1.0, -1.0)
    else:
        y = rng.integers(0, 2, 200).astype(float)
        of_y = np.where(y == 1, p, 1 - p)
        far = 1e4 * (2 * y - 1)
    np.testing.assert_array_equal(loss.derivatives(y, eta, 0).value < np.log(2), of_y > 0.5)
    np.testing.assert_allclose(loss.derivatives(y, far, 0).value, 0, atol=1e-100)


# -- other packages --------------------------------------------------------------------------------------------------


def peer_family(loss):
    """The same family in statsmodels."""
    if isinstance(loss, Binomial):
        return sm.families.Binomial()
    if isinstance(loss.family, NegativeBinomial):
        return sm.families.NegativeBinomial(alpha=loss.family.theta)
    own = {0: "Gaussian", 1: "Poisson", 2: "Gamma", 3: "InverseGaussian"}.get(loss.family.power)
    return getattr(sm.families, own)() if own else sm.families.Tweedie(var_power=loss.family.power)


@pytest.mark.parametrize("name", DEVIANCES)
def test_deviance_is_that_of_statsmodels(name, rng):
    loss = EVERY[name]
    y, eta = case(loss, rng, n=300, points=1)
    if isinstance(loss, GeneralizedLinear) and isinstance(loss.family, Tweedie) and loss.family.power < 0:
        y = np.abs(y)  # statsmodels takes no others
    mean = loss.inverse_link(eta[0])
    if isinstance(loss, Binomial):
        mean = np.clip(mean, 1e-6, 1 - 1e-6)
    peer = peer_family(loss)
    found = 2 * loss.distance(y, mean)
    np.testing.assert_allclose(found, peer.resid_dev(y, mean) ** 2, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.sum(), peer.deviance(y, mean), rtol=1e-8)


@pytest.mark.parametrize("name", [name for name in DEVIANCES if isinstance(EVERY[name], GeneralizedLinear)])
def test_deviance_is_that_of_sklearn(name, rng):
    loss = EVERY[name]
    if not isinstance(loss.family, Tweedie):
        pytest.skip("not in scikit-learn")
    y, eta = case(loss, rng, n=300, points=1)
    mean = loss.inverse_link(eta[0])
    power = loss.family.power
    found = 2 * loss.derivatives(y, eta[0], 0).value.mean()
    assert found == pytest.approx(sklearn.metrics.mean_tweedie_deviance(y, mean, power=power), rel=1e-9)
    named = {1: sklearn.metrics.mean_poisson_deviance, 2: sklearn.metrics.mean_gamma_deviance}.get(power)
    if named:
        assert found == pytest.approx(named(y, mean), rel=1e-9)


@pytest.mark.parametrize(("link", "peer"), [("log", "Log"), ("inverse", "InversePower"), ("sqrt", "Sqrt")])
def test_links_are_those_of_statsmodels(link, peer, rng):
    mean = 10 ** rng.uniform(-2, 2, 100)
    own, other = LINKS[link](), getattr(sm.families.links, peer)()
    np.testing.assert_allclose(own.link(mean), other(mean), rtol=1e-12)
    eta = other(mean)
    np.testing.assert_allclose(own.mean(eta).value, mean, rtol=1e-12)
    np.testing.assert_allclose(own.mean(eta).first, other.inverse_deriv(eta), rtol=1e-10)


@pytest.mark.parametrize(("link", "peer"), [("logit", "Logit"), ("probit", "Probit"), ("cloglog", "CLogLog")])
def test_binomial_links_are_those_of_statsmodels(link, peer, rng):
    mean = rng.uniform(0.01, 0.99, 100)
    own, other = Binomial(link), getattr(sm.families.links, peer)()
    eta = own.link(mean)
    np.testing.assert_allclose(eta, other(mean), rtol=1e-12)
    np.testing.assert_allclose(own.inverse_link(eta), other.inverse(eta), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "scorer"),
    [("squared_error", "mean_squared_error"), ("log_loss", "log_loss"), ("hinge", "hinge_loss")],
)
def test_mean_is_that_of_sklearn(name, scorer, rng):
    loss = EVERY[name]
    y, eta = case(loss, rng, n=300, points=1)
    found = loss.derivatives(y, eta[0], 0).value.mean()
    prediction = loss.inverse_link(eta[0]) if loss.probabilities else eta[0]
    peer = getattr(sklearn.metrics, scorer)(y, prediction)
    assert found == pytest.approx(0.5 * peer if name == "squared_error" else peer, rel=1e-9)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_pinball_is_that_of_sklearn(quantile, rng):
    y, eta = rng.normal(size=(2, 100))
    found = Pinball(quantile).derivatives(y, eta, 0).value.mean()
    assert found == pytest.approx(sklearn.metrics.mean_pinball_loss(y, eta, alpha=quantile), rel=1e-12)


# -- relations among losses ------------------------------------------------------------------------------------------


def test_softmax_of_two_classes_is_logistic(rng):
    y, eta = rng.integers(0, 2, 50), rng.normal(size=(2, 50))
    two = Softmax(2).derivatives(y, eta, 0).value
    one = make("log_loss").derivatives(y.astype(float), eta[1] - eta[0], 0).value
    np.testing.assert_allclose(two, one, rtol=1e-13, atol=1e-15)


def test_binomial_of_classes_is_logistic(rng):
    y, eta = case(make("log_loss"), rng, magnitude=10)
    for one, two in zip(
        make("binomial").derivatives(y, eta, 2)[:3], make("log_loss").derivatives(y, eta, 2)[:3], strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-15)


def test_one_vs_rest_is_a_sum(rng):
    loss = Rest(make("squared_hinge"), K)
    y, eta = case(loss, rng)
    value = sum(make("squared_hinge").derivatives((y == k).astype(float), eta[:, k], 0).value for k in range(K))
    np.testing.assert_allclose(loss.derivatives(y, eta, 0).value, value, rtol=1e-14)


def test_one_vs_rest_without_any_probability_is_even(rng):
    loss = Rest(make("modified_huber"), K)
    np.testing.assert_array_equal(loss.inverse_link(np.full((K, 3), -2.0)), 1 / K)


def test_huber_with_scale_at_its_best_scale(rng):
    """min_σ of σ + σ H(r/σ) over rows has slope 0 in σ where Σ (1 - u²) = 0, u = r/σ cut at ±ε."""
    loss = HuberWithScale()
    r = rng.normal(size=100)
    grid = np.linspace(0.01, 3, 3000)
    eta = np.stack([np.zeros((3000, 100)), np.repeat(grid[:, None], 100, axis=1)], axis=1)
    sums = loss.derivatives(r, eta, 1)
    best = int(np.argmin(sums.value.sum(axis=-1)))
    slope = sums.first[:, 1].sum(axis=-1)
    assert slope[best - 1] < 0 < slope[best + 1]


def test_power_of_a_tweedie_distribution():
    for power in (0.5, np.inf, np.nan):
        with pytest.raises(ValueError, match="No Tweedie distribution"):
            Tweedie(power)


@pytest.mark.parametrize("theta", [0.0, -1.0, np.inf, np.nan])
def test_shape_of_the_negative_binomial(theta):
    with pytest.raises(ValueError, match="above 0"):
        NegativeBinomial(theta)


def test_intervals():
    closed = Interval(0.0, 1.0, closed_low=True)
    np.testing.assert_array_equal(
        closed.holds(np.array([-0.1, 0.0, 0.5, 1.0, np.nan])), [False, True, True, False, False]
    )
    assert str(closed) == "[0, 1)"
    assert str(Interval()) == "(-inf, inf)"
