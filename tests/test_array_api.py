"""Blocks of another array library, by array-api-strict on a device that NumPy cannot read: what works there calls
nothing but the standard, and what leaves the device is counted."""

import inspect

import array_api_strict as strict
import numpy as np
import pytest

import dask_gd.arrays
from dask_gd.kernels import LossKernel
from dask_gd.losses import LOSSES, GeneralizedLinear, OneVsRest, Squared, special
from dask_gd.losses.families import Tweedie
from dask_gd.protocol import (
    DIAGONAL,
    EXPECTED,
    GRADIENT,
    HESSIAN,
    PRODUCT,
    VALUE,
    Block,
    Points,
    Rows,
)

DEVICE = strict.Device("device1")  # NumPy refuses to read from it, and so would CuPy's arrays
N, D, K = 5000, 4, 3  # more rows than are added up in float32
RTOL = {np.float64: 1e-12, np.float32: 2e-5}
WANTS = {
    "value": VALUE,
    "gradient": GRADIENT,
    "hessian": HESSIAN,
    "expected": EXPECTED,
    "diagonal": DIAGONAL,
    "product": PRODUCT,
}


def on_device(array):
    return None if array is None else strict.asarray(array, device=DEVICE)


def moved(block):
    return block._replace(
        **{name: on_device(getattr(block, name)) for name in ("X", "y", "weight", "offset")},
    )


def make(name):
    """A loss of the registry; a factory that must know ``n_outputs`` is told the number of classes."""
    factory = LOSSES[name]
    outputs = inspect.signature(factory).parameters.get("n_outputs")
    return factory(K) if outputs is not None and outputs.default is outputs.empty else factory()


LOSS = {name: make(name) for name in LOSSES} | {
    "squared_error of three": Squared(3),
    "one vs rest": OneVsRest(make("log_loss"), K),
    "poisson-power-inverse": GeneralizedLinear(Tweedie(1.0), -0.5),
}
LOSS |= {f"{name} smoothed": loss.smoothed(0.5) for name, loss in LOSS.items() if not loss.smooth}


def some_block(loss, dtype, rng, n=N):
    """Rows, targets of the loss's kind, weights (some of them 0) and offsets."""
    X = rng.normal(size=(n, D)).astype(dtype)
    if loss.classification:
        k = max(loss.n_outputs, 2)
        y = rng.integers(k, size=n)
        y = y if k > 2 else y.astype(dtype)
    elif loss.targets.high == 1:
        y = rng.random(n)
    else:
        shape = (n, loss.n_outputs) if isinstance(loss, Squared) and loss.n_outputs > 1 else n
        y = np.abs(rng.normal(size=shape)) + 0.1
    weight = rng.random(n) * (rng.random(n) < 0.9)
    return Block(0, X, y, weight.astype(dtype), (0.1 * rng.normal(size=n)).astype(dtype))


def some_points(loss, want, rng, rows=None):
    k = loss.n_outputs
    W = 0.3 * rng.normal(size=(2, k, D))
    if loss.margins.low == 0:
        W *= 0.1
    direction = (rng.normal(size=(2, k, D)), rng.normal(size=(2, k))) if want == PRODUCT else None
    return Points(W, np.full((2, k), 2.0), want, direction, rows)


@pytest.fixture
def leaving(monkeypatch):
    """The sizes of all arrays that leave the device."""
    sizes = []
    move = dask_gd.arrays.np.from_dlpack

    def counted(array, **kwargs):
        sizes.append(array.size)
        return move(array, **kwargs)

    monkeypatch.setattr(dask_gd.arrays.np, "from_dlpack", counted)
    return sizes


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("want", WANTS)
@pytest.mark.parametrize("name", LOSS)
def test_sums_of_a_loss_are_those_of_numpy(name, want, dtype, rng, leaving):
    loss = LOSS[name]
    block = some_block(loss, dtype, rng)
    kernel = LossKernel(loss, (some_points(loss, WANTS[want], rng),), origin=np.full(D, 0.25))
    expected = kernel(block).parts[0]
    found = kernel(moved(block)).parts[0]
    for field, value in zip(expected._fields, expected, strict=True):
        other = getattr(found, field)
        if value is None:
            assert other is None
            continue
        assert isinstance(other, np.ndarray)
        assert other.dtype == np.float64
        # cancellation within a sum is no error: compare with the largest of its kind
        np.testing.assert_allclose(other, value, rtol=RTOL[dtype], atol=RTOL[dtype] * np.abs(value).max())
    assert sum(leaving) <= sum(value.size for value in found if value is not None)
    assert max(leaving) <= (2 * loss.n_outputs * (D + 1)) ** 2 / 2


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_some_rows_without_weights_and_in_float64(weighted, exact, rng):
    loss = make("log_loss")
    block = some_block(loss, np.float32, rng)._replace(offset=None)
    block = block if weighted else block._replace(weight=None)
    points = (some_points(loss, GRADIENT, rng), some_points(loss, GRADIENT, rng, Rows(1, parts=3)))
    kernel = LossKernel(loss, points, exact=exact)
    for a, b in zip(kernel(block).parts, kernel(moved(block)).parts, strict=True):
        rtol = 1e-12 if exact else 1e-5
        np.testing.assert_allclose(b.value, a.value, rtol=rtol)
        np.testing.assert_allclose(b.grad_w, a.grad_w, rtol=rtol, atol=rtol * np.abs(a.grad_w).max())
        assert (a.rows is None) == (b.rows is None)


def test_float32_is_added_in_float64(rng):
    X = np.full((40 * 4096 + 7, 2), np.float32(0.1))
    block = Block(0, X, np.ones(len(X)))
    kernel = LossKernel(Squared(), (Points(np.zeros((1, 1, 2)), np.zeros((1, 1)), GRADIENT),))
    exact = -float(np.float32(0.1)) * len(X)
    np.testing.assert_allclose(kernel(moved(block)).parts[0].grad_w[0, 0], exact, rtol=3e-5)  # 1e-3 in float32


def test_special_functions():
    x = np.concatenate([np.linspace(-30, 30, 2001), [-1e3, 1e3]])
    for name in ("expit", "erfcx", "ndtr", "log_ndtr"):
        with np.errstate(over="ignore"):
            expected = getattr(special, name)(x)
            found = dask_gd.arrays.to_numpy(getattr(special, name)(on_device(x)))
        np.testing.assert_allclose(found, expected, rtol=2e-13, atol=1e-300)
    y = np.array([0.0, 0.5, 2.0])
    found = dask_gd.arrays.to_numpy(special.xlogy(on_device(y), on_device(np.array([0.0, 3.0, 4.0]))))
    np.testing.assert_allclose(found, special.xlogy(y, np.array([0.0, 3.0, 4.0])))
