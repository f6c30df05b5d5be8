"""Data on which linear models go wrong: columns far from zero, huge weights, wide and sparse rows, all models alike."""

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from test_parity_models import CASES, N, data

import dask_gd

# One case of each loss.
NAMES = [
    "ridge targets",
    "lasso 0.1",
    "l1 logistic C=1.0",
    "elastic softmax",
    "squared hinge",
    "huber",
    "quantile 0.5",
    "poisson",
    "gamma",
    "tweedie 1.5",
]


def lazy(a, cut=70):
    return da.from_array(a, chunks=(cut, *a.shape[1:]))


def prediction(model, X):
    return model.decision_function(X) if hasattr(model, "decision_function") else model.predict(X)


@pytest.mark.parametrize("wrap", [lazy, lambda X: lazy(X).map_blocks(sp.csr_array)], ids=["dense", "csr"])
@pytest.mark.parametrize("name", NAMES)
def test_columns_far_from_zero(name, wrap):
    """A column of mean 1e5 and spread 1: the model is that of the centred column (Spark had it wrong: SPARK-34448)."""
    X, y, s = data(CASES[name].y)
    far = X + np.array([1e5, 0, -3e4, 0, 1e3])
    model = clone(CASES[name].ours).set_params(fit_intercept=True)
    one = clone(model).fit(X, y, s)
    two = model.fit(wrap(far), lazy(y), lazy(s))
    assert two.converged_
    scale = np.abs(one.coef_).max()
    np.testing.assert_allclose(two.coef_, one.coef_, rtol=0, atol=2e-6 * scale)
    found, expected = prediction(two, far), prediction(one, X)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_nearly_constant_columns(name):
    """A spread of 1e-4 about a mean of 10: what an unpenalised model makes of it does not depend on the unit."""
    X, y, s = data(CASES[name].y)
    X = X.copy()
    near = X.copy()
    near[:, 0] = 10 + 1e-4 * X[:, 0]
    free = {"C": np.inf} if hasattr(CASES[name].ours, "C") else {"alpha": 0.0}
    model = clone(CASES[name].ours).set_params(fit_intercept=True, **free)
    one, two = clone(model).fit(X, y, s), clone(model).fit(lazy(near), lazy(y), lazy(s))
    assert two.converged_
    np.testing.assert_allclose(
        np.atleast_2d(two.coef_)[:, 0] * 1e-4, np.atleast_2d(one.coef_)[:, 0], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_weights_of_any_size(name, size):
    """Where the penalty is relative to the mean of the losses, only ratios of weights count."""
    X, y, s = data(CASES[name].y)
    model = clone(CASES[name].ours)
    one = clone(model).fit(X, y, s)
    if hasattr(model, "C"):
        model.set_params(C=model.C / size)
    if type(model).__name__ in ("Ridge", "HuberRegressor"):
        model.set_params(alpha=model.alpha * size)
    two = model.fit(X, y, s * size)
    np.testing.assert_allclose(two.coef_, one.coef_, rtol=1e-6, atol=1e-8)


def test_one_row_that_outweighs_all_others():
    X, y, _ = data("real")
    s = np.ones(N)
    s[7] = 1e12
    model = dask_gd.LinearRegression().fit(X, y, s)
    assert model.predict(X[7:8])[0] == pytest.approx(y[7], abs=1e-6)
    model = dask_gd.PoissonRegressor(alpha=0.0).fit(X, np.exp(y), s)
    assert model.predict(X[7:8])[0] == pytest.approx(np.exp(y[7]), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_block_of_one_class_or_one_value_and_blocks_without_rows(name):
    X, y, s = data(CASES[name].y)
    order = np.argsort(y if y.ndim == 1 else y[:, 0], kind="stable")
    X, y, s = X[order], y[order], s[order]
    rows = (0, 60, 0, 1, 100, N - 161, 0)
    chunked = (da.from_array(v, chunks=(rows, *v.shape[1:])) for v in (X, y, s))
    one, two = clone(CASES[name].ours).fit(X, y, s), clone(CASES[name].ours).fit(*chunked)
    np.testing.assert_allclose(two.coef_, one.coef_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_lengths_that_nobody_knows(name):
    X, y, s = data(CASES[name].y)
    keep = np.random.default_rng(0).random(N) < 0.7
    mask = lazy(keep)
    model = clone(CASES[name].ours).fit(lazy(X)[mask], lazy(y)[mask], lazy(s)[mask])
    other = clone(CASES[name].ours).fit(X[keep], y[keep], s[keep])
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "model",
    [
        dask_gd.LogisticRegression(tol=1e-5),
        dask_gd.LogisticRegression(l1_ratio=1.0, C=10.0, tol=1e-4),
        dask_gd.PoissonRegressor(alpha=1e-3, tol=1e-5),
        dask_gd.Ridge(alpha=1.0, tol=1e-5),
        dask_gd.Lasso(alpha=1e-3, tol=1e-4),
        dask_gd.LinearSVC(tol=1e-5),
    ],
    ids=lambda model: type(model).__name__,
)
def test_wide_sparse_rows_are_never_dense(model, monkeypatch):
    """60,000 columns: a dense block would take 480 MB, a Hessian 29 GB. Nothing but vectors of d may be dense."""
    rng = np.random.default_rng(0)
    d = 60_000
    X = sp.random_array((1000, d), density=2e-4, format="csr", rng=rng)
    eta = X @ rng.normal(size=d) * 3
    y = (eta > 0).astype(float) + (0 if hasattr(model, "C") else 0.1 * rng.random(1000))

    def refuse(self, *args, **kwargs):
        raise AssertionError("a sparse matrix was made dense")

    for cls in (sp.csr_array, sp.csr_matrix, sp.csc_array):
        monkeypatch.setattr(cls, "toarray", refuse)
        monkeypatch.setattr(cls, "todense", refuse)
    model.fit(sparse_chunks(X), lazy(y, 300))
    assert model.converged_
    assert model.solver_ in ("lbfgs", "owlqn", "fista")
    assert model.coef_.size == d
    assert model.predict(sparse_chunks(X)).compute().shape == (1000,)


def sparse_chunks(X):
    """A dask array of CSR blocks of 300 rows."""
    import dask

    n, d = X.shape
    blocks = [
        da.from_delayed(dask.delayed(X[i : i + 300]), (min(300, n - i), d), meta=sp.csr_array((0, d)))
        for i in range(0, n, 300)
    ]
    return da.concatenate(blocks)
