"""Penalty factors, bounds, standardisation, prior centres and groups: the conditions of Karush, Kuhn and Tucker.

At the minimum the gradient g of the smooth part satisfies, coefficient by coefficient: g = -l1 sign(w - c) away from
the kink c, |g| ≤ l1 on it, and on a bound only the sign that the bound holds back. g is computed here, in NumPy.
"""

import functools

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from layouts import LAYOUTS

import dask_gd

N, D = 200, 6
KKT = 1e-8
LAYOUT_NAMES = ["numpy", "uneven chunks", "dask of csr"]


@functools.cache
def data(kind):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N, D)) @ (np.eye(D) + 0.4 * rng.normal(size=(D, D))) * np.array([1, 2, 0.5, 1, 3, 1])
    X[rng.random(X.shape) < 0.2] = 0
    eta = X @ np.array([0.5, -0.3, 0.0, 0.4, 0.1, -0.2]) / 2
    y = {
        "real": lambda: eta + 1 + 0.5 * rng.normal(size=N),
        "two": lambda: (eta + rng.logistic(size=N) > 0).astype(int),
        "counts": lambda: rng.poisson(np.exp(eta)).astype(float),
        "positive": lambda: rng.gamma(3.0, np.exp(eta) / 3) + 1e-3,
    }[kind]()
    return X, y, rng.exponential(size=N) + 0.1


def loss_gradient(kind, w, b, s):
    """Gradient in (w, b) of the weighted mean of the losses of :func:`data`."""
    X, y, _ = data(kind)
    eta = X @ w + b
    r = {
        "real": lambda: eta - y,
        "two": lambda: 1 / (1 + np.exp(-eta)) - y,
        "counts": lambda: np.exp(eta) - y,
        "positive": lambda: 1 - y * np.exp(-eta),
    }[kind]()
    return X.T @ (s * r) / s.sum(), s @ r / s.sum()


def loss_value(kind, w, b, s):
    X, y, _ = data(kind)
    eta = X @ w + b
    losses = {
        "real": lambda: 0.5 * (y - eta) ** 2,
        "two": lambda: np.logaddexp(0, eta) - y * eta,
        "counts": lambda: np.exp(eta) - y * eta,
        "positive": lambda: y * np.exp(-eta) + eta,
    }[kind]()
    return s @ losses / s.sum()


MODELS = {
    "real": lambda **more: dask_gd.ElasticNet(**more),
    "two": None,  # LogisticRegression has C: made in `fit`
    "counts": lambda **more: dask_gd.GeneralizedLinearRegressor(family="poisson", **more),
    "positive": lambda **more: dask_gd.GeneralizedLinearRegressor(family="gamma", **more),
}


def fit(kind, layout, alpha, l1_ratio, weighted=True, **more):
    X, y, s = data(kind)
    s = s if weighted else np.ones(N)
    if kind == "two":
        model = dask_gd.LogisticRegression(C=1 / (alpha * s.sum()), l1_ratio=l1_ratio, **more)
    else:
        model = MODELS[kind](alpha=alpha, l1_ratio=l1_ratio, **more)
    Z, z, t = LAYOUTS[layout](X, y, s)
    model.fit(Z, z, t)
    assert model.converged_
    return np.ravel(model.coef_), float(np.ravel(model.intercept_)[0]), s


def residual(kind, w, b, s, l1, l2, center=0.0, lower=-np.inf, upper=np.inf):
    """The largest violation of the conditions."""
    g_w, g_b = loss_gradient(kind, w, b, s)
    g = g_w + l2 * (w - center)
    l1, center = np.broadcast_to(l1, w.shape), np.broadcast_to(center, w.shape)
    low, high = g - l1, g + l1  # the subgradients on a kink
    low = np.where(w != center, g + l1 * np.sign(w - center), low)
    high = np.where(w != center, g + l1 * np.sign(w - center), high)
    low = np.where(w <= lower, -np.inf, low)  # the bound itself pushes upwards
    high = np.where(w >= upper, np.inf, high)
    return max(np.max(np.maximum(low, 0)), np.max(np.maximum(-high, 0)), abs(g_b))


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("alpha", [1e-3, 0.03, 0.3])
@pytest.mark.parametrize("kind", MODELS)
def test_elastic_net(kind, alpha, l1_ratio, layout):
    w, b, s = fit(kind, layout, alpha, l1_ratio)
    assert residual(kind, w, b, s, alpha * l1_ratio, alpha * (1 - l1_ratio)) <= KKT


FACTOR = np.array([0.0, 1.0, 3.0, 0.5, 0.0, 10.0])


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", MODELS)
def test_penalty_factor(kind, l1_ratio, layout):
    w, b, s = fit(kind, layout, 0.1, l1_ratio, penalty_factor=FACTOR)
    assert residual(kind, w, b, s, 0.1 * l1_ratio * FACTOR, 0.1 * (1 - l1_ratio) * FACTOR) <= KKT


BOUNDS = {
    "positive": (0.0, None),
    "box": (np.array([-0.1, -np.inf, 0.1, 0.0, -0.02, -1.0]), np.array([0.1, 0.0, np.inf, 0.05, 0.02, -0.5])),
    "fixed": (np.array([0.2] * D), np.array([0.2, 0.5, 0.2, 0.2, 0.3, 0.2])),
}


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("kind", MODELS)
def test_bounds(kind, bounds, l1_ratio, layout):
    lower, upper = BOUNDS[bounds]
    w, b, s = fit(kind, layout, 0.02, l1_ratio, lower_bounds=lower, upper_bounds=upper)
    low = np.full(D, -np.inf) if lower is None else np.broadcast_to(lower, (D,))
    high = np.full(D, np.inf) if upper is None else np.broadcast_to(upper, (D,))
    assert (w >= low).all()
    assert (w <= high).all()
    assert residual(kind, w, b, s, 0.02 * l1_ratio, 0.02 * (1 - l1_ratio), 0.0, low, high) <= KKT


@pytest.mark.parametrize("kind", MODELS)
def test_bounds_against_scipy(kind):
    lower, upper = BOUNDS["box"]
    w, b, s = fit(kind, "numpy", 0.02, 0.0, lower_bounds=lower, upper_bounds=upper)

    def value(p):
        return loss_value(kind, p[:-1], p[-1], s) + 0.01 * p[:-1] @ p[:-1]

    def gradient(p):
        g_w, g_b = loss_gradient(kind, p[:-1], p[-1], s)
        return np.append(g_w + 0.02 * p[:-1], g_b)

    box = [*zip(lower, upper, strict=True), (None, None)]
    start = np.append(np.clip(np.zeros(D), lower, upper), 0.0)
    options = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 10_000, "maxfun": 100_000}
    found = scipy.optimize.minimize(value, start, jac=gradient, method="L-BFGS-B", bounds=box, options=options)
    assert value(np.append(w, b)) <= found.fun + 1e-10 * abs(found.fun)
    np.testing.assert_allclose(w, found.x[:-1], atol=1e-5)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.7])
@pytest.mark.parametrize("kind", ["real", "counts", "two"])
def test_standardize_penalises_unit_columns(kind, l1_ratio):
    """The same as scaling the columns by hand and scaling the coefficients back; X itself is not touched."""
    X, _, _ = data(kind)
    w, b, s = fit(kind, "uneven chunks", 0.05, l1_ratio, standardize=True)
    mean = s @ X / s.sum()
    spread = np.sqrt(s @ (X - mean) ** 2 / s.sum())
    assert residual(kind, w, b, s, 0.05 * l1_ratio * spread, 0.05 * (1 - l1_ratio) * spread**2) <= KKT


def test_standardize_of_sparse_rows_is_that_of_dense_rows():
    one = fit("real", "numpy", 0.05, 0.5, standardize=True)
    two = fit("real", "dask of csr", 0.05, 0.5, standardize=True)
    np.testing.assert_allclose(one[0], two[0], atol=1e-10)


def test_standardize_changes_no_unpenalised_fit():
    X, y, _ = data("counts")
    one = dask_gd.PoissonRegressor(alpha=0.0).fit(X, y)
    two = dask_gd.PoissonRegressor(alpha=0.0, standardize=True).fit(X, y)
    np.testing.assert_allclose(one.coef_, two.coef_, rtol=1e-8)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_prior_coef(l1_ratio):
    """The penalty draws towards a centre; with enough of it the coefficients are there."""
    X, y, _ = data("real")
    center = np.array([0.3, -0.1, 0.0, 0.5, 0.0, 1.0])
    model = dask_gd.GeneralizedLinearRegressor(alpha=0.1, l1_ratio=l1_ratio, prior_coef=center).fit(X, y)
    w = np.where(np.abs(model.coef_ - center) < 1e-12, center, model.coef_)
    assert residual("real", w, model.intercept_, np.ones(N), 0.1 * l1_ratio, 0.1 * (1 - l1_ratio), center) <= KKT
    strong = dask_gd.GeneralizedLinearRegressor(alpha=1e9, l1_ratio=l1_ratio, prior_coef=center).fit(X, y)
    np.testing.assert_allclose(strong.coef_, center, atol=1e-7)


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
@pytest.mark.parametrize("standardize", [False, True], ids=["", "standardize"])
@pytest.mark.parametrize("kind", ["real", "counts"])
def test_groups(kind, standardize, layout):
    """‖g_group‖ ≤ α √d_g where a group is left out, and g = -α √d_g w/‖w‖ where it is in (Yuan & Lin 2006)."""
    X, y, s = data(kind)
    groups = np.array(["a", "b", "a", "b", "c", "b"])
    alpha = 0.12
    model = dask_gd.GeneralizedLinearRegressor(
        family="normal" if kind == "real" else "poisson",
        alpha=alpha,
        l1_ratio=1.0,
        groups=groups,
        standardize=standardize,
    )
    Z, z, t = LAYOUTS[layout](X, y, s)
    model.fit(Z, z, t)
    assert model.converged_
    w = model.coef_
    spread = np.sqrt(s @ (X - s @ X / s.sum()) ** 2 / s.sum()) if standardize else np.ones(D)
    g_w, g_b = loss_gradient(kind, w, model.intercept_, s)
    assert abs(g_b) <= KKT
    inside = set()
    for group in np.unique(groups):
        own = groups == group
        strength = alpha * np.sqrt(own.sum())
        v, g = w[own] * spread[own], g_w[own] / spread[own]
        if np.any(v):
            inside.add(group)
            np.testing.assert_allclose(g, -strength * v / np.linalg.norm(v), atol=1e-7)
        else:
            assert np.linalg.norm(g) <= strength + KKT
    assert 0 < len(inside)


@pytest.mark.parametrize("solver", ["prox-newton", "fista"])
def test_groups_by_both_solvers(solver):
    X, y, _ = data("real")
    model = dask_gd.GeneralizedLinearRegressor(
        alpha=0.2, l1_ratio=0.5, groups=[0, 0, 1, 1, 2, 2], solver=solver, max_iter=5000, tol=1e-9
    ).fit(X, y)
    other = dask_gd.GeneralizedLinearRegressor(alpha=0.2, l1_ratio=0.5, groups=[0, 0, 1, 1, 2, 2]).fit(X, y)
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-6)


BAD = {
    "penalty_factor": ([1.0] * 3, -np.ones(D), np.full(D, np.nan), np.full(D, np.inf)),
    "lower_bounds": (np.zeros(2), np.full(D, np.nan)),
    "upper_bounds": (np.zeros(2), np.full(D, np.nan)),
    "prior_coef": (np.zeros(2),),
    "groups": ([1, 2],),
}


@pytest.mark.parametrize("name", BAD)
def test_constraints_that_do_not_fit(name):
    X, y, _ = data("real")
    for value in BAD[name]:
        model = dask_gd.GeneralizedLinearRegressor(**{name: value})
        with pytest.raises(ValueError, match=name):
            model.fit(X, y)
        assert not hasattr(model, "coef_")


def test_bounds_that_cross():
    X, y, _ = data("real")
    with pytest.raises(ValueError, match="lower_bounds must not be above upper_bounds"):
        dask_gd.Ridge(lower_bounds=1.0, upper_bounds=0.0).fit(X, y)


def test_groups_go_with_no_bounds():
    X, y, _ = data("real")
    with pytest.raises(ValueError, match="groups cannot be combined"):
        dask_gd.GeneralizedLinearRegressor(groups=[0] * D, lower_bounds=0.0).fit(X, y)


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs"])
@pytest.mark.parametrize(
    "model",
    [dask_gd.Lasso(), dask_gd.LogisticRegression(l1_ratio=0.5), dask_gd.Ridge(positive=True)],
    ids=["lasso", "logistic", "positive"],
)
def test_a_smooth_solver_refuses_a_penalty_that_is_not(model, solver):
    X, y, _ = data("two")
    with pytest.raises(ValueError, match=f"{solver}.*cannot honour.*prox-newton"):
        model.set_params(solver=solver).fit(X, y)


def test_a_hessian_that_fits_no_memory_is_refused():
    X = sp.random_array((30, 25_000), density=1e-3, format="csr", rng=np.random.default_rng(0))
    y = np.arange(30.0)
    for solver in ("newton-cholesky", "prox-newton"):
        with pytest.raises(ValueError, match=f"{solver}.*GiB.*lbfgs"):
            dask_gd.Ridge(solver=solver).fit(X, y)


def test_a_lasso_of_more_columns_than_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 120))
    y = X[:, :3] @ [3.0, -2.0, 1.0] + 0.1 * rng.normal(size=40)
    import sklearn.linear_model as theirs

    ours = dask_gd.Lasso(alpha=0.1).fit(X, y)
    other = theirs.Lasso(alpha=0.1, tol=1e-14, max_iter=100_000).fit(X, y)
    np.testing.assert_array_equal(ours.coef_ == 0, other.coef_ == 0)
    np.testing.assert_allclose(ours.coef_, other.coef_, atol=1e-8)


def test_a_lasso_of_twin_columns():
    """Two equal columns: the minimum is not unique, its value is."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    X[:, 3] = X[:, 0]
    y = X @ [1.0, 2.0, 0.0, 1.0] + rng.normal(size=60)
    model = dask_gd.Lasso(alpha=0.1).fit(X, y)
    assert model.converged_
    g = -X.T @ (y - model.predict(X)) / 60
    w = model.coef_
    assert np.max(np.abs(np.where(w != 0, g + 0.1 * np.sign(w), np.maximum(np.abs(g) - 0.1, 0)))) <= KKT


@pytest.mark.parametrize("change", [{"lower_bounds": 0.0}, {"upper_bounds": [1.0, 2.0]}, {"groups": [0, 0]}], ids=str)
def test_a_solver_of_l1_alone_refuses_groups_and_bounds(change):
    X, y = np.arange(12.0).reshape(6, 2) ** 0.5, np.arange(6.0)
    model = dask_gd.GeneralizedLinearRegressor(alpha=0.1, l1_ratio=0.5, solver="owlqn", **change)
    with pytest.raises(ValueError, match="'owlqn' knows L1 alone and cannot honour groups or bounds: use"):
        model.fit(X, y)
