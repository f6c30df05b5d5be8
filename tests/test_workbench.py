"""The gradient-descent workbench with every registered loss, with penalties, and with a loss of one's own."""

import dask.array as da
import numpy as np
import pytest
import scipy.optimize
from sklearn.base import clone
from sklearn.linear_model import SGDClassifier

from dask_gd import GDClassifier, GDRegressor
from dask_gd.linear_model.gradient_descent import losses_of
from dask_gd.losses import LOSSES, Custom, Derivatives, Huber, Loss, Pinball, register

N, D = 150, 3
REGRESSION, CLASSIFICATION = losses_of(classification=False), losses_of(classification=True)
KINDS = [*((GDRegressor, name) for name in REGRESSION), *((GDClassifier, name) for name in CLASSIFICATION)]
IDS = [f"{cls.__name__}-{name}" for cls, name in KINDS]


def draw(loss, seed=0):
    """X and targets whose mean the model can have: margins well inside the loss's domain."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(N, D))
    eta = X @ [0.5, -0.3, 0.2]
    if loss.classification:
        return X, (3 * eta + rng.logistic(size=N) > 0).astype(float)
    if loss.margins.low == 0:
        eta = eta + 2
    mean = loss.inverse_link(eta)
    if loss.targets.low == 0 and loss.targets.high == 1:
        return X, (rng.random(N) < mean).astype(float)
    if loss.targets.low == 0:
        y = rng.gamma(8.0, mean / 8)
        return X, np.ceil(2 * y) if loss.targets.closed_low else y
    return X, mean + 0.2 * rng.normal(size=N)


def objective(loss, X, y, alpha, l1_ratio):
    def value(p):
        with np.errstate(all="ignore"):
            losses = loss.derivatives(y, X @ p[:D] + p[D], 0).value.mean()
        return losses + alpha * (l1_ratio * np.abs(p[:D]).sum() + 0.5 * (1 - l1_ratio) * p[:D] @ p[:D])

    return value


@pytest.mark.parametrize(("penalty", "l1_ratio"), [("l2", 0.0), ("l1", 1.0), ("elasticnet", 0.5)])
@pytest.mark.parametrize(("cls", "name"), KINDS, ids=IDS)
def test_every_loss_reaches_its_minimum(cls, name, penalty, l1_ratio):
    """No point that a simplex search finds near by is lower."""
    loss = LOSSES[name]()
    X, y = draw(loss)
    model = cls(name, penalty=penalty, l1_ratio=0.5, alpha=0.01, solver="auto", tol=1e-8)
    model.fit(da.from_array(X, chunks=(60, D)), da.from_array(y, chunks=50))
    assert model.converged_
    value = objective(loss, X, y, 0.01, l1_ratio)
    found = np.append(model.coef_, model.intercept_)
    rng = np.random.default_rng(1)
    options = {"xatol": 1e-10, "fatol": 1e-14, "maxiter": 2000}
    lowest = min(
        scipy.optimize.minimize(value, found + size * rng.normal(size=D + 1), method="Nelder-Mead", options=options).fun
        for size in (1e-4, 1e-2)
    )
    assert value(found) <= lowest + 1e-9 * abs(lowest)


@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize(("cls", "name"), KINDS, ids=IDS)
def test_gradient_descent_gets_near(cls, name, penalty):
    """The plain method, Armijo or subgradients: within a percent of the way from the start, never above it."""
    loss = LOSSES[name]()
    X, y = draw(loss)
    best = cls(name, penalty=penalty, alpha=0.01, solver="auto", tol=1e-8).fit(X, y)
    rate = {} if loss.smooth else {"learning_rate": "invscaling", "eta0": 0.5, "power_t": 0.5}
    near = cls(name, penalty=penalty, alpha=0.01, tol=None, max_iter=300, **rate).fit(X, y)
    value = objective(loss, X, y, 0.01, 1.0 if penalty == "l1" else 0.0)
    lowest = value(np.append(best.coef_, best.intercept_))
    reached = value(np.append(near.coef_, near.intercept_))
    assert lowest - 1e-9 * abs(lowest) <= reached <= lowest + 0.01 * (near.history_["objective"][0] - lowest) + 1e-3


@pytest.mark.parametrize("metric", ["euclidean", "diagonal"])
@pytest.mark.parametrize("rate", ["bb", "adgd"])
def test_poisson_with_wild_columns_never_diverges(rate, metric):
    """The curvature of exp has no bound and the columns no common unit: every objective is below that of the start."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4)) * [1e-3, 1.0, 30.0, 1e3]
    y = rng.poisson(np.exp(X @ [100.0, 0.5, 0.02, -5e-4] + 2)).astype(float)
    model = GDRegressor("poisson", learning_rate=rate, metric=metric, alpha=0.0, tol=None, max_iter=300).fit(X, y)
    history = model.history_["objective"]
    constant = LOSSES["poisson"]().derivatives(y, np.full(N, np.log(y.mean())), 0).value.mean()
    assert history.max() <= constant * (1 + 1e-9)
    assert history[-1] < constant
    if metric == "diagonal":
        best = GDRegressor("poisson", solver="auto", alpha=0.0, tol=1e-8).fit(X, y)
        np.testing.assert_allclose(model.predict(X), best.predict(X), rtol=1e-3)


@pytest.mark.parametrize(("cls", "name"), [(GDRegressor, "epsilon_insensitive"), (GDClassifier, "hinge")])
def test_where_few_rows_bend_the_minimum_stays_the_minimum(cls, name):
    """At the end of the smoothing hardly a row has curvature. The Hessian is singular there, and yet no two columns
    depend on each other: nothing but the null space of X itself may be taken out of the coefficients."""
    rng = np.random.default_rng(5)
    X = rng.uniform(-1, 1, size=(200, 6))
    eta = X @ np.linspace(0.4, -0.3, 6)
    y = eta + 0.3 * rng.standard_t(4, size=200) if cls is GDRegressor else 2 * eta + rng.logistic(size=200) > 0
    found = {solver: cls(name, alpha=0.0, solver=solver, tol=1e-6).fit(X, y) for solver in ("newton-cholesky", "lbfgs")}
    values = {
        solver: LOSSES[name]()
        .derivatives(y.astype(float), X @ np.ravel(model.coef_) + model.intercept_, 0)
        .value.mean()
        for solver, model in found.items()
    }
    assert values["newton-cholesky"] == pytest.approx(values["lbfgs"], rel=1e-6)


@pytest.mark.parametrize("name", [name for name in CLASSIFICATION if name != "log_loss"])
def test_several_classes_are_one_against_the_rest(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D))
    y = (X @ rng.normal(size=(D, 3)) + rng.gumbel(size=(N, 3))).argmax(axis=1)
    model = GDClassifier(name, alpha=0.1, solver="auto", tol=1e-8).fit(X, y)
    assert model.coef_.shape == (3, D)
    for k in range(3):
        alone = clone(model).fit(X, y == k)
        np.testing.assert_allclose(model.coef_[k], alone.coef_[0], atol=1e-4 if "hinge" == name else 1e-6)


def test_probabilities_are_those_of_scikit_learn():
    """modified_huber has them (Zadrozny & Elkan 2002), the hinges do not."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D))
    y = (X @ rng.normal(size=(D, 3)) + rng.gumbel(size=(N, 3))).argmax(axis=1)
    for classes in (y, y == 1):
        ours = GDClassifier("modified_huber", alpha=0.1, solver="auto").fit(X, classes)
        other = SGDClassifier("modified_huber").fit(X, classes)
        other.coef_, other.intercept_ = ours.coef_, ours.intercept_
        np.testing.assert_allclose(ours.predict_proba(X), other.predict_proba(X), atol=1e-12)
        np.testing.assert_array_equal(ours.predict(X), other.predict(X))
    for name in ("hinge", "squared_hinge"):
        assert not hasattr(GDClassifier(name), "predict_proba")


def test_losses_with_parameters():
    X, y = draw(LOSSES["squared_error"]())
    y[:10] += 20
    narrow = GDRegressor(Huber(delta=0.1), solver="auto").fit(X, y)
    wide = GDRegressor(Huber(delta=100.0), solver="auto").fit(X, y)
    np.testing.assert_allclose(wide.coef_, GDRegressor(solver="auto").fit(X, y).coef_, atol=1e-6)
    assert np.abs(narrow.coef_ - wide.coef_).max() > 0.1
    high = GDRegressor(Pinball(0.9), penalty=None, solver="auto").fit(X, y)
    assert np.mean(y < high.predict(X)) == pytest.approx(0.9, abs=0.03)


def log_cosh(y, eta):
    return np.logaddexp(eta - y, y - eta) - np.log(2)


def log_cosh_first(y, eta):
    return np.tanh(eta - y)


def log_cosh_second(y, eta):
    return 1 - np.tanh(eta - y) ** 2


@pytest.mark.parametrize("solver", ["gd", "auto", "lbfgs", "newton-cholesky"])
def test_a_loss_of_three_functions(solver):
    X, y = draw(LOSSES["squared_error"]())
    loss = Custom(log_cosh, log_cosh_first, log_cosh_second)
    model = GDRegressor(loss, solver=solver, alpha=0.01, tol=1e-7, max_iter=5000).fit(X, y)
    assert model.converged_
    value = objective(loss, X, y, 0.01, 0.0)
    found = scipy.optimize.minimize(value, np.zeros(D + 1), tol=1e-12)
    assert value(np.append(model.coef_, model.intercept_)) <= found.fun + 1e-9
    assert clone(model).fit(X, y).coef_ == pytest.approx(model.coef_)


def test_a_registered_class_is_offered_by_its_name():
    """Adding a loss touches its class alone: estimators and property tests find it."""

    class Cubic(Loss):
        """ℓ = |r|³/3."""

        def derivatives(self, y, eta, order):
            r = eta - y
            return Derivatives(np.abs(r) ** 3 / 3, r * np.abs(r), 2 * np.abs(r) if order > 1 else None)

    register("cubic")(Cubic)
    try:
        X, y = draw(LOSSES["squared_error"]())
        model = GDRegressor("cubic", solver="auto", alpha=0.01).fit(X, y)
        assert model.converged_
        assert model.predict(X) == pytest.approx(y, abs=1.0)
    finally:
        del LOSSES["cubic"]


@pytest.mark.parametrize("name", [name for name in REGRESSION if LOSSES[name]().targets.low == 0])
def test_targets_out_of_range_are_named(name):
    X, y = draw(LOSSES[name]())
    y[100] = -1.0
    with pytest.raises(ValueError, match=r"out of the valid range.*block 2"):
        GDRegressor(name).fit(da.from_array(X, chunks=(40, D)), da.from_array(y, chunks=40))
