"""Fits of many columns: no sweep asks about a grid of points where one product tells how far to step."""

import numpy as np
import pytest
import scipy.sparse as sp

from dask_gd import LogisticRegression
from dask_gd.engine import LocalEngine
from dask_gd.engine.blocks import local_blocks
from dask_gd.kernels import LossKernel
from dask_gd.protocol import PRODUCT
from dask_gd.solvers.line_search import MANY


def wide(n=3000, d=MANY + 100, entries=30):
    rng = np.random.default_rng(0)
    columns = (d * rng.random((n, entries)) ** 2).astype(np.int32)
    X = sp.csr_array((rng.random(n * entries), columns.ravel(), np.arange(0, n * entries + 1, entries)), shape=(n, d))
    X.sum_duplicates()
    return X, (X @ rng.normal(size=d) > rng.logistic(size=n) * 0.1).astype(int)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0], ids=["lbfgs", "owlqn"])
def test_the_first_step_takes_a_product(l1_ratio, monkeypatch):
    X, y = wide()
    asked = []
    sweep = LocalEngine.sweep

    def noted(self, kernel):
        if isinstance(kernel, LossKernel):
            asked.extend(kernel.points)
        return sweep(self, kernel)

    monkeypatch.setattr(LocalEngine, "sweep", noted)
    model = LogisticRegression(C=1.0, l1_ratio=l1_ratio, tol=1e-8).fit(X, y)
    assert model.solver_ == ("owlqn" if l1_ratio else "lbfgs")
    assert model.converged_
    assert sum(points.want == PRODUCT for points in asked) == 1
    assert max(len(points.W) for points in asked) == 1
    eta = X @ model.coef_[0] + model.intercept_[0]
    gradient = X.T @ (1 / (1 + np.exp(-eta)) - y)
    if l1_ratio:
        at_zero = model.coef_[0] == 0
        assert np.abs(gradient[at_zero]).max() <= 1 + 1e-4
        np.testing.assert_allclose(gradient[~at_zero], -np.sign(model.coef_[0])[~at_zero], atol=1e-4)
    else:
        np.testing.assert_allclose(gradient, -model.coef_[0], atol=1e-4)


def test_blocks_of_csr_rows_share_the_memory_of_the_whole():
    X, y = wide(n=40_000, entries=40)
    blocks = local_blocks(X, y, None, None)
    assert len(blocks) > 1
    assert all(np.shares_memory(block.X.data, X.data) for block in blocks)
    assert all(np.shares_memory(block.X.indices, X.indices) for block in blocks)
    whole = sp.vstack([block.X for block in blocks])
    assert (whole != X).nnz == 0
