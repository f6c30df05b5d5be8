"""Every estimator that scikit-learn has too: our objective is never above theirs, and the coefficients agree.

Each case holds both estimators and the objective as scikit-learn documents it, evaluated here in NumPy.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model as theirs
import sklearn.svm
from layouts import LAYOUTS
from scipy.special import xlogy

import dask_gd

N, D = 240, 5


class Case(NamedTuple):
    """One model in both libraries."""

    ours: Any
    theirs: Any
    objective: Any  # (model, X, y, s) -> float, per unit of weight or in all: only ratios count
    y: str = "real"  # the kind of target
    atol: float = 1e-6  # of coefficients in units of unit columns


def linear(model, X):
    return X @ np.atleast_2d(model.coef_).T + model.intercept_


def residuals(model, X, y):
    return np.reshape(y, (len(y), -1)) - linear(model, X)


def mixture(alpha, l1_ratio):
    def objective(model, X, y, s):
        squares = np.sum(s[:, None] * residuals(model, X, y) ** 2) / (2 * s.sum())
        w = model.coef_
        return squares + alpha * (l1_ratio * np.abs(w).sum() + 0.5 * (1 - l1_ratio) * np.sum(w * w))

    return objective


def ridge(alpha):
    return lambda model, X, y, s: np.sum(s[:, None] * residuals(model, X, y) ** 2) + alpha * np.sum(model.coef_**2)


def log_loss(C, l1_ratio):
    def objective(model, X, y, s):
        eta = linear(model, X)
        code = np.searchsorted(model.classes_, y)
        if eta.shape[1] == 1:
            losses = np.logaddexp(0, eta[:, 0]) - code * eta[:, 0]
        else:
            top = eta.max(axis=1, keepdims=True)
            losses = np.log(np.exp(eta - top).sum(axis=1)) + top[:, 0] - eta[np.arange(len(y)), code]
        w = model.coef_
        return C * np.sum(s * losses) + l1_ratio * np.abs(w).sum() + 0.5 * (1 - l1_ratio) * np.sum(w * w)

    return objective


def hinges(C, power):
    def objective(model, X, y, s):
        eta = linear(model, X)
        signs = np.where(y[:, None] == (model.classes_[1:] if eta.shape[1] == 1 else model.classes_), 1, -1)
        return C * np.sum(s[:, None] * np.maximum(0, 1 - signs * eta) ** power) + 0.5 * np.sum(model.coef_**2)

    return objective


def huber(alpha, epsilon=1.35):
    def objective(model, X, y, s):
        z = np.abs(residuals(model, X, y)[:, 0]) / model.scale_
        h = np.where(z <= epsilon, z * z, 2 * epsilon * z - epsilon**2)
        return np.sum(s * model.scale_ * (1 + h)) + alpha * np.sum(model.coef_**2)

    return objective


def pinball(alpha, q):
    def objective(model, X, y, s):
        r = residuals(model, X, y)[:, 0]
        return np.sum(s * np.maximum(q * r, (q - 1) * r)) / s.sum() + alpha * np.abs(model.coef_).sum()

    return objective


def deviance(alpha, power, log=True):
    def objective(model, X, y, s):
        eta = linear(model, X)[:, 0]
        mu = np.exp(eta) if log else eta
        if power == 0:
            half = 0.5 * (y - mu) ** 2
        elif power == 1:
            half = xlogy(y, y / mu) - y + mu
        elif power == 2:
            half = y / mu - 1 - np.log(y / mu)
        else:
            p = power
            half = y ** (2 - p) / ((1 - p) * (2 - p)) - y * mu ** (1 - p) / (1 - p) + mu ** (2 - p) / (2 - p)
        return np.sum(s * half) / s.sum() + 0.5 * alpha * np.sum(model.coef_**2)

    return objective


TIGHT = {"tol": 1e-13, "max_iter": 200_000}
CASES = {
    "ols positive": Case(
        dask_gd.LinearRegression(positive=True), theirs.LinearRegression(positive=True), mixture(0, 0)
    ),
    "ols targets": Case(dask_gd.LinearRegression(), theirs.LinearRegression(), mixture(0, 0), "three"),
    "ridge positive": Case(
        dask_gd.Ridge(alpha=3.0, positive=True), theirs.Ridge(alpha=3.0, positive=True, tol=1e-12), ridge(3.0)
    ),
    "ridge targets": Case(dask_gd.Ridge(alpha=3.0), theirs.Ridge(alpha=3.0, solver="cholesky"), ridge(3.0), "three"),
    **{
        f"lasso {alpha}": Case(dask_gd.Lasso(alpha=alpha), theirs.Lasso(alpha=alpha, **TIGHT), mixture(alpha, 1.0))
        for alpha in (1e-3, 0.1, 1.0)
    },
    "lasso positive": Case(
        dask_gd.Lasso(alpha=0.1, positive=True), theirs.Lasso(alpha=0.1, positive=True, **TIGHT), mixture(0.1, 1.0)
    ),
    "lasso targets": Case(dask_gd.Lasso(alpha=0.1), theirs.Lasso(alpha=0.1, **TIGHT), mixture(0.1, 1.0), "three"),
    **{
        f"elastic net {rho}": Case(
            dask_gd.ElasticNet(alpha=0.2, l1_ratio=rho),
            theirs.ElasticNet(alpha=0.2, l1_ratio=rho, **TIGHT),
            mixture(0.2, rho),
        )
        for rho in (0.1, 0.5, 0.9)
    },
    **{
        f"l1 logistic C={C}": Case(
            dask_gd.LogisticRegression(C=C, l1_ratio=1.0),
            theirs.LogisticRegression(C=C, l1_ratio=1.0, solver="saga", **TIGHT),
            log_loss(C, 1.0),
            "two",
        )
        for C in (0.05, 1.0)
    },
    "elastic softmax": Case(
        dask_gd.LogisticRegression(C=0.1, l1_ratio=0.5),
        theirs.LogisticRegression(C=0.1, l1_ratio=0.5, solver="saga", **TIGHT),
        log_loss(0.1, 0.5),
        "classes",
    ),
    "squared hinge": Case(
        dask_gd.LinearSVC(C=0.1, fit_intercept=False),
        sklearn.svm.LinearSVC(C=0.1, fit_intercept=False, dual=False, **TIGHT),
        hinges(0.1, 2),
        "two",
    ),
    "squared hinge classes": Case(
        dask_gd.LinearSVC(C=0.1, fit_intercept=False),
        sklearn.svm.LinearSVC(C=0.1, fit_intercept=False, dual=False, **TIGHT),
        hinges(0.1, 2),
        "classes",
    ),
    "huber": Case(
        dask_gd.HuberRegressor(alpha=0.01),
        theirs.HuberRegressor(alpha=0.01, tol=1e-9, max_iter=100_000),
        huber(0.01),
        "outliers",
        1e-4,  # scikit-learn's L-BFGS-B stops there whatever tol is; the objective says that ours is nearer
    ),
    **{
        f"quantile {q}": Case(
            dask_gd.QuantileRegressor(quantile=q, alpha=0.01),
            theirs.QuantileRegressor(quantile=q, alpha=0.01),
            pinball(0.01, q),
        )
        for q in (0.1, 0.5, 0.9)
    },
    "poisson": Case(
        dask_gd.PoissonRegressor(alpha=0.1),
        theirs.PoissonRegressor(alpha=0.1, solver="newton-cholesky", tol=1e-12),
        deviance(0.1, 1),
        "counts",
    ),
    "gamma": Case(
        dask_gd.GammaRegressor(alpha=0.1),
        theirs.GammaRegressor(alpha=0.1, solver="newton-cholesky", tol=1e-12),
        deviance(0.1, 2),
        "positive",
    ),
    **{
        f"tweedie {power}": Case(
            dask_gd.TweedieRegressor(power=power, alpha=0.1),
            theirs.TweedieRegressor(
                power=power,
                alpha=0.1,
                solver="lbfgs" if power == 3 else "newton-cholesky",
                tol=1e-10 if power == 3 else 1e-12,
                max_iter=10_000,
            ),
            deviance(0.1, power, power > 0),
            "positive",
        )
        for power in (0, 1, 1.5, 2.5, 3)
    },
    "tweedie normal log": Case(
        dask_gd.TweedieRegressor(power=0, link="log", alpha=0.1),
        theirs.TweedieRegressor(power=0, link="log", alpha=0.1, tol=1e-10, max_iter=10_000),
        deviance(0.1, 0),
        "positive",
    ),
}


@functools.cache
def data(kind, dtype="float64"):
    """X with zeros, so that it can be sparse, and a target of each kind."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D)) @ (np.eye(D) + 0.3 * rng.normal(size=(D, D)))
    X[rng.random(X.shape) < 0.3] = 0
    X = X.astype(dtype)
    w = np.array([1.0, -0.7, 0.4, 0.0, 0.2])
    eta = X @ w
    y = {
        "real": lambda: eta + 2 + rng.normal(size=N),
        "three": lambda: np.stack([eta + rng.normal(size=N), 3 - eta + rng.normal(size=N), X[:, 0] ** 2], axis=1),
        "outliers": lambda: eta + rng.normal(size=N) + 30 * (rng.random(N) < 0.1),
        "two": lambda: np.where(eta + rng.logistic(size=N) > 0, "yes", "no"),
        "classes": lambda: (np.stack([eta, -eta, 0.5 * X[:, 1]], axis=1) + rng.gumbel(size=(N, 3))).argmax(axis=1),
        "counts": lambda: rng.poisson(np.exp(0.5 * eta)).astype(float),
        "positive": lambda: rng.gamma(2.0, np.exp(0.3 * eta) / 2) + 1e-3,
    }[kind]()
    s = rng.exponential(size=N)
    s[::7] = 0
    return X, y, s


@functools.cache
def reference(name, weighted, fit_intercept=None):
    case = CASES[name]
    X, y, s = data(case.y)
    model = sklearn.clone(case.theirs)
    if fit_intercept is not None:
        model.set_params(fit_intercept=fit_intercept)
    return model.fit(X, y, s if weighted else None)


def agree(a, b, spread, atol):
    scale = max(1.0, np.abs(b.coef_ * spread).max())
    np.testing.assert_allclose(a.coef_ * spread, b.coef_ * spread, rtol=0, atol=atol * scale)
    np.testing.assert_allclose(a.intercept_, b.intercept_, rtol=0, atol=atol * max(scale, np.abs(b.intercept_).max()))


def same_model(name, ours, other, X, y, s):
    case = CASES[name]
    assert ours.converged_
    mine, best = case.objective(ours, X, y, s), case.objective(other, X, y, s)
    assert mine <= best + 1e-9 * abs(best)
    if name == "elastic softmax":  # one number added to all intercepts changes nothing
        ours.intercept_ = ours.intercept_ - ours.intercept_.mean()
        other.intercept_ = other.intercept_ - other.intercept_.mean()
    agree(ours, other, X.std(axis=0), case.atol)
    if "lasso" in name or "elastic" in name or "l1" in name or "positive" in name:
        np.testing.assert_array_equal(ours.coef_ == 0, np.abs(other.coef_) < 1e-10)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("name", CASES)
def test_parity(name, weighted, layout):
    case = CASES[name]
    X, y, s = data(case.y)
    Z, z, t = LAYOUTS[layout](X, y, s)
    ours = sklearn.clone(case.ours).fit(Z, z, t if weighted else None)
    same_model(name, ours, reference(name, weighted), X, y, s if weighted else np.ones(N))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.ours.fit_intercept])
def test_parity_without_intercept(name):
    case = CASES[name]
    X, y, _ = data(case.y)
    ours = sklearn.clone(case.ours).set_params(fit_intercept=False).fit(X, y)
    same_model(name, ours, reference(name, False, fit_intercept=False), X, y, np.ones(N))


@pytest.mark.parametrize("layout", ["even chunks", "dask of csr"])
@pytest.mark.parametrize("name", CASES)
def test_parity_in_float32(name, layout):
    """X of float32: the objective in float64 is within 1e-5 of the best."""
    case = CASES[name]
    X, y, s = data(case.y, "float32")
    Z, z, t = LAYOUTS[layout](X, y, s)
    ours = sklearn.clone(case.ours).fit(Z, z, t)
    other = sklearn.clone(case.theirs).fit(X.astype(float), y, s)
    assert ours.converged_
    best = case.objective(other, X.astype(float), y, s)
    assert case.objective(ours, X.astype(float), y, s) <= best + 1e-5 * abs(best)


@pytest.mark.parametrize("name", ["lasso 0.1", "elastic net 0.5", "l1 logistic C=1.0", "elastic softmax"])
def test_fista_reaches_the_same_minimum(name):
    case = CASES[name]
    X, y, _ = data(case.y)
    ours = sklearn.clone(case.ours).set_params(solver="fista", tol=1e-9, max_iter=5000).fit(X, y)
    same_model(name, ours, reference(name, False), X, y, np.ones(N))


@pytest.mark.parametrize("classes", ["two", "classes"])
def test_hinge(classes):
    """The hinge loss has kinks: liblinear's dual is the reference, and the duality gap ours."""
    X, y, s = data(classes)
    ours = dask_gd.LinearSVC(loss="hinge", C=0.1, fit_intercept=False).fit(X, y, s)
    other = sklearn.svm.LinearSVC(
        loss="hinge", C=0.1, fit_intercept=False, dual=True, tol=1e-10, max_iter=2_000_000
    ).fit(X, y, s)
    assert ours.converged_
    objective = hinges(0.1, 1)
    assert objective(ours, X, y, s) <= objective(other, X, y, s) * (1 + 1e-8)


def test_the_intercept_of_an_svm_is_free():
    """Liblinear penalises it: a shifted column then changes its model, and not ours."""
    X, y, _ = data("two")
    one, two = dask_gd.LinearSVC(C=0.1).fit(X, y), dask_gd.LinearSVC(C=0.1).fit(X + 100, y)
    np.testing.assert_allclose(two.coef_, one.coef_, rtol=1e-6)
    penalised = sklearn.svm.LinearSVC(C=0.1, dual=False, intercept_scaling=1e4, **TIGHT).fit(X, y)
    np.testing.assert_allclose(one.coef_, penalised.coef_, rtol=1e-4)


def test_quantiles_of_many_rows_are_exact():
    """Too many rows for one linear program: smoothing finds the few that matter, and the gap closes."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30_000, 3))
    y = X @ [1.0, 2.0, -1.0] + rng.standard_t(3, size=30_000)
    for q in (0.5, 0.95):
        ours = dask_gd.QuantileRegressor(quantile=q, alpha=0.0).fit(*LAYOUTS["uneven chunks"](X, y))
        assert ours.converged_
        residual = y - ours.predict(X)
        assert np.count_nonzero(np.abs(residual) < 1e-8) == 4  # a vertex: as many rows as parameters are met
        # the subgradient condition (Koenker & Bassett 1978, theorem 3.3)
        below, met = np.count_nonzero(residual < -1e-8), np.count_nonzero(np.abs(residual) <= 1e-8)
        assert below <= q * len(y) <= below + met
        smaller = theirs.QuantileRegressor(quantile=q, alpha=0.0).fit(X[:2000], y[:2000])
        assert pinball(0, q)(ours, X, y, np.ones(len(y))) <= pinball(0, q)(smaller, X, y, np.ones(len(y)))


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "csr"])
def test_huber_outliers(sparse):
    X, y, _ = data("outliers")
    ours = dask_gd.HuberRegressor().fit(sp.csr_array(X) if sparse else X, y)
    other = theirs.HuberRegressor(tol=1e-9, max_iter=10_000).fit(X, y)
    np.testing.assert_array_equal(ours.outliers_, other.outliers_)
    assert ours.scale_ == pytest.approx(other.scale_, rel=1e-4)
    Z, z = LAYOUTS["uneven chunks"](X, y)
    lazy = dask_gd.HuberRegressor().fit(Z, z)
    assert not hasattr(lazy, "outliers_")
    np.testing.assert_array_equal(lazy.outliers(Z, z).compute(), other.outliers_)


def test_huber_of_a_line_without_noise():
    rng = np.random.default_rng(0)
    X = rng.random((50, 3))
    y = X @ [1.0, 2.0, 3.0] + 5
    exact = dask_gd.HuberRegressor().fit(X, y)
    np.testing.assert_allclose(exact.coef_, [1, 2, 3], rtol=1e-7)
    y[:5] += 40
    most = dask_gd.HuberRegressor().fit(X, y)
    assert most.converged_
    np.testing.assert_allclose(most.coef_, [1, 2, 3], rtol=1e-7)
    assert most.scale_ < 1e-6
