"""Machine code gives the sums over CSR rows that the reference gives, for every loss and all that may be wanted."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from test_fused import CASES, about, assert_alike, both

from dask_gd.compiled.jit import COMPILED
from dask_gd.kernels import LossKernel, MomentsKernel, SquaresKernel
from dask_gd.kernels import moments as moments_module
from dask_gd.kernels import squares as squares_module
from dask_gd.kernels.fused_csr import fused_csr_sums
from dask_gd.losses import LOSSES
from dask_gd.protocol import DIAGONAL, EXPECTED, GRADIENT, HESSIAN, PRODUCT, VALUE, Block, Rows

pytestmark = pytest.mark.skipif(not COMPILED, reason="Numba is not there")


def rows_of(rng, n, d, dtype=np.float64, index=np.int32):
    """A CSR matrix with empty rows, full rows and an empty column."""
    X = sp.random_array((n, d), density=0.2, rng=rng, dtype=dtype, format="lil")
    X[n // 2] = rng.normal(size=d)
    X[:, d // 2] = 0
    X[: n // 10] = 0
    X = sp.csr_array(X)
    X.data -= dtype(0.5)
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X


def problem(
    loss, dtype=np.float64, *, n=700, d=31, points=2, weighted=True, want=GRADIENT, rows=None, index=np.int32, scale=0.7
):
    rng = np.random.default_rng(5)
    X = rows_of(rng, n, d, dtype, index)
    return about(loss, X, rng, points=points, weighted=weighted, want=want, rows=rows, scale=scale)


@pytest.mark.parametrize("want", [VALUE, GRADIENT, DIAGONAL, PRODUCT, HESSIAN, EXPECTED], ids="-".join)
@pytest.mark.parametrize("name", CASES)
def test_sums_are_those_of_the_reference(name, want):
    loss = CASES[name]
    for weighted in (True, False):
        block, points = problem(loss, weighted=weighted, want=want)
        assert fused_csr_sums(loss, [points], block) is not None
        expected, found = both(loss, block, points)
        assert_alike(found, expected, 1e-11)


@pytest.mark.parametrize("want", [VALUE, GRADIENT, DIAGONAL, PRODUCT], ids="-".join)
@pytest.mark.parametrize("points", [1, 2, 3, 4, 5, 11, 40])
def test_few_and_many_models(points, want):
    loss = LOSSES["log_loss"]()
    block, asked = problem(loss, points=points, want=want)
    expected, found = both(loss, block, asked)
    assert_alike(found, expected, 1e-11)


@pytest.mark.parametrize("want", [GRADIENT, DIAGONAL, PRODUCT, HESSIAN], ids="-".join)
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes(dtype, index, want):
    """Of a float32 X the sums are those of the same numbers in float64."""
    loss = LOSSES["poisson"]()
    block, points = problem(loss, dtype, want=want, index=index)
    found = LossKernel(loss, (points,), compiled=True)(block).parts[0]
    double = block._replace(X=sp.csr_array(block.X.astype(np.float64)), y=block.y.astype(np.float64))
    assert block.X.indices.dtype == index
    assert_alike(found, LossKernel(loss, (points,))(double).parts[0], 1e-11)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 800, 5000])
def test_any_number_of_rows(n):
    """Of which the last slice holds few, and of sparse rows slices are long."""
    loss = LOSSES["log_loss"]()
    block, points = problem(loss, n=n)
    expected, found = both(loss, block, points)
    assert_alike(found, expected, 1e-11)


def test_rows_without_entries_and_blocks_without_rows():
    loss = LOSSES["log_loss"]()
    block, points = problem(loss, n=50)
    empty = block._replace(X=sp.csr_array((50, 31)))
    expected, found = both(loss, empty, points)
    assert_alike(found, expected, 1e-12)
    none = Block(0, sp.csr_array((0, 31)), np.zeros(0))
    assert LossKernel(loss, (points,), compiled=True)(none).parts[0].value.tolist() == [0.0, 0.0]


def test_some_rows_and_several_points():
    loss = LOSSES["log_loss"]()
    block, asked = problem(loss, rows=Rows(seed=1, number=1, parts=3))
    expected, found = both(loss, block, asked)
    assert found.rows is not None
    assert_alike(found, expected, 1e-11)
    kernels = [
        LossKernel(loss, (asked, asked._replace(want=DIAGONAL, rows=None)), compiled=compiled)
        for compiled in (False, True)
    ]
    for found, expected in zip(kernels[1](block).parts, kernels[0](block).parts, strict=True):
        assert_alike(found, expected, 1e-11)


@pytest.mark.parametrize("want", [GRADIENT, HESSIAN], ids="-".join)
def test_an_exact_pass(want):
    loss = LOSSES["log_loss"]()
    block, points = problem(loss, np.float32, want=want)
    expected, found = both(loss, block, points, exact=True)
    assert_alike(found, expected, 1e-11)


@pytest.mark.parametrize("want", [GRADIENT, DIAGONAL, PRODUCT], ids="-".join)
def test_the_same_bits_in_any_thread_and_from_any_memory(want):
    loss = LOSSES["log_loss"]()
    block, points = problem(loss, n=3000, points=3, want=want)
    kernel = LossKernel(loss, (points,), compiled=True)
    expected = kernel(block).parts[0]
    X = block.X.copy()
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    with ThreadPoolExecutor(4) as pool:
        others = list(pool.map(lambda _: kernel(block._replace(X=X)).parts[0], range(8)))
    for other in others:
        for a, b in zip(other, expected, strict=True):
            if b is not None:
                np.testing.assert_array_equal(a, b)


def test_a_hessian_of_rows_that_hold_a_column_twice():
    """Their products are not those of the entries: the reference answers."""
    loss = LOSSES["log_loss"]()
    block, points = problem(loss, n=50, want=HESSIAN)
    X = block.X
    twice = sp.csr_array(
        (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), X.indptr * np.int32(2)), shape=X.shape, copy=True
    )
    expected, _ = both(loss, block, points)
    assert_alike(both(loss, block._replace(X=twice), points)[1], expected, 1e-11)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_and_squares_are_those_of_the_reference(dtype, weighted, monkeypatch):
    block, _ = problem(LOSSES["squared_error"](), dtype, weighted=weighted)
    found = {}
    for least in (0, np.inf):
        for module in (moments_module, squares_module):
            monkeypatch.setattr(module, "SPARSE_COMPILED_ENTRIES", least)
        moments = MomentsKernel(31, False)(block)
        found[least] = moments, SquaresKernel()(block)
    assert_alike(found[0][1], found[np.inf][1], 1e-6 if dtype == np.float32 else 1e-12)
    for name in ("mean", "m2"):
        np.testing.assert_allclose(getattr(found[0][0], name), getattr(found[np.inf][0], name), rtol=1e-12, atol=1e-12)


def test_nan_stays_nan():
    for name, loss in CASES.items():
        block, asked = problem(loss, n=100, weighted=False)
        asked.W[0, 0] = np.nan
        found = LossKernel(loss, (asked,), compiled=True)(block).parts[0]
        assert np.isnan(found.value[0]), name
        assert np.isfinite(found.value[1]), name
