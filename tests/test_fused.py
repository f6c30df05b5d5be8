"""Machine code gives the sums that the reference gives, for every loss and all that may be wanted of it."""

import numpy as np
import pytest

from dask_gd.compiled.jit import COMPILED
from dask_gd.compiled.pointwise import twin_of
from dask_gd.kernels import LossKernel
from dask_gd.kernels.fused import fused_sums
from dask_gd.losses import LOSSES, OneVsRest, Signed, Softmax, Squared
from dask_gd.protocol import DIAGONAL, EXPECTED, GRADIENT, HESSIAN, PRODUCT, VALUE, Block, Points, Rows

pytestmark = pytest.mark.skipif(not COMPILED, reason="Numba is not there")

REFERENCE_ALONE = {
    "huber_with_scale",
    "normal-log",
    "normal-inverse",
    "poisson-identity",
    "poisson-sqrt",
    "poisson-power",
    "gamma-inverse",
    "gamma-identity",
    "inverse_gaussian",
    "inverse_gaussian-inverse_squared",
    "inverse_gaussian-inverse",
    "inverse_gaussian-identity",
    "negative_binomial-identity",
    "negative_binomial-sqrt",
    "tweedie-2.5",
    "binomial-probit",
    "binomial-cloglog",
}


def several(name):
    return LOSSES[name](n_outputs=3) if name == "multinomial" else LOSSES[name]()


ALL = tuple(LOSSES)
NAMES = [name for name in ALL if name not in REFERENCE_ALONE]
CASES = {name: several(name) for name in NAMES}
CASES |= {f"{name}, smoothed": loss.smoothed(0.3) for name, loss in CASES.items() if hasattr(loss, "smoothed")}
CASES |= {
    "signed": Signed(Squared()),
    "one-vs-rest": OneVsRest(LOSSES["log_loss"](), 3),
    "one-vs-rest, signed": OneVsRest(Signed(LOSSES["huber"]()), 3),
    "several targets": Squared(n_outputs=2),
}


def targets_of(loss, rng, n):
    if loss.classification:
        return rng.integers(0, max(loss.n_outputs, 2), n)
    y = rng.normal(size=(n, loss.n_outputs) if loss.n_outputs > 1 else n)
    if loss.targets.low == 0:
        y = np.floor(np.abs(3 * y)) if loss.targets.closed_low else np.abs(y) + 0.1
    return np.clip(y, loss.targets.low, loss.targets.high)


def about(loss, X, rng, *, points, weighted, want, rows, scale):
    """A block of X with targets of the loss, and points to ask about."""
    n, d = X.shape
    y = targets_of(loss, rng, n)
    if loss.classification and loss.n_outputs == 1:
        y = y.astype(X.dtype)
    weight = rng.integers(0, 3, n).astype(float) if weighted else None
    offset = rng.normal(size=n) * 0.1 if weighted else None
    k = loss.n_outputs
    W, b = rng.normal(size=(points, k, d)) * scale, rng.normal(size=(points, k)) * scale
    direction = (rng.normal(size=W.shape), rng.normal(size=b.shape)) if want == PRODUCT else None
    return Block(0, X, y, weight, offset), Points(W, b, want, direction, rows)


def problem(loss, dtype, *, n=5000, d=7, points=2, weighted=True, scale=0.7, want=GRADIENT, rows=None):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, d)).astype(dtype)
    return about(loss, X, rng, points=points, weighted=weighted, want=want, rows=rows, scale=scale)


def both(loss, block, points, origin=None, exact=False):
    kernels = [LossKernel(loss, (points,), origin, exact=exact, compiled=compiled) for compiled in (False, True)]
    return [kernel(block).parts[0] for kernel in kernels]


def assert_alike(found, expected, tolerance):
    for name, a, b in zip(expected._fields, found, expected, strict=True):
        assert (a is None) == (b is None), name
        if b is not None:
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(np.abs(b).max(), 1), err_msg=name)


def test_which_losses_have_a_twin():
    assert REFERENCE_ALONE <= set(ALL)
    for name in ALL:
        assert (twin_of(several(name), np.dtype(float)) is None) == (name in REFERENCE_ALONE), name


@pytest.mark.parametrize("want", [VALUE, GRADIENT, HESSIAN, EXPECTED, DIAGONAL, PRODUCT], ids="-".join)
@pytest.mark.parametrize("name", CASES)
def test_sums_are_those_of_the_reference(name, want):
    loss = CASES[name]
    for weighted in (True, False):
        block, points = problem(loss, np.float64, weighted=weighted, want=want)
        expected, found = both(loss, block, points)
        assert_alike(found, expected, 1e-11)


@pytest.mark.parametrize("want", [GRADIENT, HESSIAN], ids="-".join)
@pytest.mark.parametrize("name", CASES)
def test_single_precision(name, want):
    loss = CASES[name]
    block, points = problem(loss, np.float32, want=want)
    expected, found = both(loss, block, points)
    assert_alike(found, expected, 2e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_margins(name, dtype):
    """Where the reference is finite the twin is finite and the same, at margins of up to thousands."""
    loss = CASES[name]
    scale = 300.0 if loss.classification or dtype == np.float64 else 5.0  # or a gradient is too large for float32
    block, points = problem(loss, dtype, n=300, scale=scale, weighted=False, want=HESSIAN)
    expected, found = both(loss, block, points)
    assert np.isfinite(expected.value).all()
    assert_alike(found, expected, 1e-4 if dtype == np.float32 else 1e-10)


@pytest.mark.parametrize("points", [1, 5, 8, 9, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_few_and_many_models(points, dtype):
    loss = LOSSES["log_loss"]()
    block, asked = problem(loss, dtype, n=9001, d=28, points=points)
    expected, found = both(loss, block, asked)
    assert_alike(found, expected, 2e-5 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("n", [1, 3, 15, 16, 17, 528, 1100])
@pytest.mark.parametrize("name", ["squared_error", "one-vs-rest", "multinomial", "several targets"])
def test_many_models_of_any_number_of_rows(name, n):
    """In groups whose outputs stay together, margins in the precision of y, and the last rows by themselves."""
    loss = CASES[name]
    for dtype, want in ((np.float32, GRADIENT), (np.float64, GRADIENT), (np.float64, VALUE)):
        block, points = problem(loss, dtype, n=n, d=5, points=37, want=want)
        expected, found = both(loss, block, points)
        assert_alike(found, expected, 2e-5 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("d", [1, 3, 4, 50, 511, 512])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hessians_of_narrow_and_wide_blocks(d, dtype):
    loss = LOSSES["log_loss"]()
    block, asked = problem(loss, dtype, n=1201, d=d, want=HESSIAN, scale=d**-0.5)
    expected, found = both(loss, block, asked)
    assert_alike(found, expected, 1e-5 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("n", [0, 1, 63, 4096, 4097])
def test_any_number_of_rows(n):
    loss = LOSSES["poisson"]()
    block, asked = problem(loss, np.float64, n=n)
    expected, found = both(loss, block, asked)
    assert_alike(found, expected, 1e-11)


@pytest.mark.parametrize("want", [GRADIENT, HESSIAN], ids="-".join)
def test_origin_precision_and_some_rows(want):
    loss = LOSSES["log_loss"]()
    block, asked = problem(loss, np.float32, want=want)
    origin = np.linspace(-3, 3, 7)
    shifted = asked._replace(b=asked.b)
    expected, found = both(loss, block, shifted, origin=origin, exact=True)
    assert_alike(found, expected, 1e-6)
    block, asked = problem(loss, np.float64, want=want, rows=Rows(seed=1, number=1, parts=3))
    expected, found = both(loss, block, asked)
    assert found.rows is not None
    assert_alike(found, expected, 1e-11)


def test_nan_stays_nan():
    for name, loss in CASES.items():
        block, asked = problem(loss, np.float64, n=100, weighted=False)
        asked.W[0, 0, 0] = np.nan
        found = fused_sums(loss, [asked], block, None, False)[0]
        assert np.isnan(found.value[0]), name
        assert np.isfinite(found.value[1]), name


def test_the_same_bits_with_a_read_only_block():
    """What came in a message cannot be written to."""
    loss = LOSSES["log_loss"]()
    block, asked = problem(loss, np.float32)
    frozen = block._replace(X=block.X.copy(), y=block.y.copy())
    frozen.X.flags.writeable = frozen.y.flags.writeable = False
    first, second = (fused_sums(loss, [asked], one, None, False)[0] for one in (block, frozen))
    np.testing.assert_array_equal(first.grad_w, second.grad_w)


def test_softmax_has_one_target_a_row():
    loss = Softmax(n_outputs=4)
    block, asked = problem(loss, np.float64, want=HESSIAN)
    expected, found = both(loss, block, asked)
    assert_alike(found, expected, 1e-11)
