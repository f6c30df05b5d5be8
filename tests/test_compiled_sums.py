"""Machine code for sums and paths beside its twins: the same numbers, whatever the data are like."""

import numpy as np
import pytest

from dask_gd.arrays import by_columns
from dask_gd.compiled import jit
from dask_gd.kernels import EVERYTHING, FirstKernel, FoldKernel, MomentsKernel, SquaresKernel, moments, squares
from dask_gd.kernels import rows as row_module
from dask_gd.kernels.rows import by_rows
from dask_gd.losses import Squared
from dask_gd.protocol import Block
from dask_gd.solvers import quadratic_model

pytestmark = pytest.mark.skipif(not jit.COMPILED, reason="Numba is not there")


def blocks(rng, n, d, dtype, m):
    """Blocks of every sort: plain, weighted, far from zero, of constant and of sorted columns."""
    X = rng.normal(size=(n, d)) * np.geomspace(0.1, 10, d)
    X[:, 0] = 0.1
    X[:, 1] = np.sort(X[:, 1])
    X[:, 2] += 1e4
    X[:, 3] = np.arange(n) < n // 100
    X = np.ascontiguousarray(X, dtype=dtype)
    z = X.astype(float) @ rng.normal(size=(d, m)) + rng.normal(size=(n, m))
    y = z[:, 0] if m == 1 else z
    weight = rng.integers(0, 3, n).astype(dtype)
    yield Block(0, X, y, None, None)
    yield Block(0, X, y, weight, None)
    yield Block(0, X, y, np.zeros(n), None)
    yield Block(0, X, y, weight, rng.normal(size=n), np.arange(n) * 3 // n)
    yield Block(0, X, y, None, None, rng.integers(0, 3, n))


@pytest.fixture
def switch(monkeypatch):
    """Machine code for every size, or for none."""

    def to(compiled):
        for module, name in ((squares, "COMPILED_SIZE"), (moments, "COMPILED_SIZE")):
            monkeypatch.setattr(module, name, 0 if compiled else np.inf)
        monkeypatch.setattr(quadratic_model, "COMPILED_PATH", 0 if compiled else np.inf)
        monkeypatch.setattr(quadratic_model, "COMPILED_CYCLE", 0 if compiled else np.inf)

    return to


def leaves(value):
    if value is None:
        return []
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple) else [np.asarray(value)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d", "m"), [(1000, 5, 1), (203, 63, 2), (1, 4, 1), (66, 4, 3)])
def test_first_sums(n, d, m, dtype, switch, rng):
    for block in blocks(rng, n, d, dtype, m):
        kernel = FirstKernel(MomentsKernel(d, False, Squared()), SquaresKernel())
        kernel = kernel if block.fold is None else FoldKernel(kernel, 3)
        found = []
        for compiled in (True, False):
            switch(compiled)
            sums = kernel(block)
            found.append(sums if block.fold is None else sums.without(EVERYTHING))
        size = max(float(np.abs(leaf).max(initial=0.0)) for leaf in leaves(found[1].squares))
        for a, b in zip(leaves(found[0].squares), leaves(found[1].squares), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13 * size)
        assert found[0].moments.n_used == found[1].moments.n_used
        np.testing.assert_allclose(found[0].moments.mean, found[1].moments.mean, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_alone(dtype, switch, rng):
    for block in blocks(rng, 1003, 6, dtype, 1):
        switch(True)
        mean, m2, total = moments.column_moments(block.X, block.weight)
        s = np.ones(1003) if block.weight is None else block.weight.astype(float)
        assert total == s.sum()
        if total:
            X = block.X.astype(float)
            np.testing.assert_allclose(mean, s @ X / total, rtol=1e-12)
            np.testing.assert_allclose(m2, s @ (X - s @ X / total) ** 2, rtol=1e-9, atol=1e-12)
        else:
            assert not mean.any()
            assert not m2.any()


def test_constant_columns_have_no_spread(switch):
    block = Block(0, np.full((1000, 2), 0.1), np.arange(1000.0), None, None)
    for compiled in (True, False):
        switch(compiled)
        found = SquaresKernel()(block)
        np.testing.assert_array_equal(found.x_mean, [0.1, 0.1])
        np.testing.assert_array_equal(found.xx, np.zeros((2, 2)))


def test_a_typical_row_that_is_not_typical_costs_no_digits(switch, rng):
    """All sampled rows lie far from the others: the sums are taken again, about the means."""
    X = rng.normal(size=(100 * moments.TYPICAL_ROWS, 3))
    X[::100] += 1e7
    keep = np.arange(len(X)) % 100 != 0
    weight = np.where(keep, 1.0, 1e-12)
    for compiled in (True, False):
        switch(compiled)
        found = SquaresKernel()(Block(0, X, X[:, 0], weight, None))
        mean = weight @ X / weight.sum()
        A = X - mean
        np.testing.assert_allclose(found.xx, (A * weight[:, None]).T @ A, rtol=1e-8, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("with_squares", [False, True])
def test_what_is_not_finite_is_named(value, with_squares, switch, rng):
    X = rng.normal(size=(500, 4)).astype(np.float32)
    X[77, 2] = value
    kernel = FirstKernel(MomentsKernel(4, False, Squared()), SquaresKernel() if with_squares else None)
    for compiled in (True, False):
        switch(compiled)
        found = kernel(Block(3, X, X[:, 0].astype(float), None, None))
        assert found.squares is None
        assert found.moments.problem[0] == 3
        assert "(1 in column 2)" in found.moments.problem[1]


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(("n", "p"), [(300, 12), (60, 40), (20, 40)])
def test_paths(n, p, positive, switch, rng):
    X = rng.normal(size=(n, p)) + rng.normal(size=(n, 1))
    y = X[:, ::3].sum(axis=1) + rng.normal(size=n)
    hess, grad = X.T @ X / n, -X.T @ y / n
    strength = np.abs(grad).max() * np.geomspace(1, 1e-2, 20)[:, None]
    pieces = (
        np.broadcast_to(strength, (20, p)),
        np.zeros((20, p)),
        np.full((20, p), 0.0 if positive else -np.inf),
        np.full((20, p), 0.7),
    )
    l2 = np.broadcast_to(0.1 * strength, (20, p))
    found = []
    for compiled in (True, False):
        switch(compiled)
        found.append(quadratic_model.minimise_path(np.zeros(p), grad, hess, pieces, l2))
    np.testing.assert_allclose(*found, atol=1e-11)
    np.testing.assert_array_equal(found[0] == 0, found[1] == 0)
    slope = grad + found[0] @ hess + l2 * found[0]
    prox = np.clip(np.sign(found[0] - slope) * np.maximum(np.abs(found[0] - slope) - strength, 0), pieces[2], 0.7)
    assert np.abs(found[0] - prox).max() <= 1e-10


def test_a_flat_face_is_left_to_the_twin(switch, rng):
    """Twin columns without a ridge: no Cholesky factor, and the minimum all the same."""
    X = rng.normal(size=(100, 4))
    X = np.concatenate([X, X], axis=1)
    hess, grad = X.T @ X / 100, -X.T @ X.sum(axis=1) / 100
    l1 = np.array([[0.1], [0.0]]) * np.ones(8)
    pieces = (l1, np.zeros((2, 8)), np.full((2, 8), -np.inf), np.full((2, 8), np.inf))
    switch(True)
    theta = np.full(8, 0.1)
    found = quadratic_model.minimise_path(theta, grad + hess @ theta, hess, pieces, np.zeros((2, 8)))
    slope = grad + found @ hess
    assert np.abs(slope[1]).max() <= 1e-9
    assert np.abs(slope[0]).max() <= 0.1 + 1e-9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (3, 2), (4, 4), (5, 9), (129, 5), (400, 30), (1001, 7)])
def test_by_columns(n, d, dtype, switch, rng, monkeypatch):
    """Matrices by columns, whole or some rows of a larger one: the same rows and the same bits."""
    monkeypatch.setattr(row_module, "COMPILED_SIZE", 0)
    switch(True)
    whole = np.asfortranarray(rng.normal(size=(n + 10, d)).astype(dtype))
    y = rng.normal(size=n)
    kernel = FirstKernel(MomentsKernel(d, False, Squared()), SquaresKernel())
    for X in (whole[3 : 3 + n], np.asfortranarray(whole[:n]), whole[10:]):
        rows = np.ascontiguousarray(X)
        assert by_columns(X) == (not X.flags.c_contiguous)
        found = by_rows(X)
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, rows)
        sums = [np.concatenate([np.ravel(a) for a in kernel(Block(0, A, y)).squares[1:]]) for A in (X, rows)]
        assert sums[0].tobytes() == sums[1].tobytes()
    assert not by_columns(np.zeros((6, 6), dtype)[::2])
    assert not by_columns(np.zeros((6, 6), dtype).T[::2])
