"""Where a fit starts: ``coef_init``, ``intercept_init`` and ``warm_start`` of every estimator with every solver."""

import functools

import dask.array as da
import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.datasets import make_classification
from sklearn.utils import get_tags

import dask_gd
from dask_gd.losses import LOSSES
from dask_gd.solvers import SOLVERS

N, D = 150, 4
ESTIMATORS = [
    cls
    for cls in (getattr(dask_gd, name) for name in dask_gd.__all__)
    if hasattr(cls, "fit") and "solver" in cls().get_params() and "cv" not in cls().get_params()
]
# By smoothing that is taken back, or from least squares: a start helps them little, and harms them never.
INDIRECT = {"QuantileRegressor", "HuberRegressor"}


@functools.cache
def data(kind):
    rng = np.random.default_rng(0)
    if kind == "classes":
        return make_classification(N, D, n_informative=3, n_redundant=0, n_classes=3, flip_y=0.4, random_state=0)
    X = rng.normal(size=(N, D)) * [1.0, 2.0, 0.5, 1.0]
    eta = X @ [0.4, -0.2, 0.0, 0.3] / 2
    return X, np.exp(eta + 0.3 * rng.normal(size=N)) if kind == "positive" else eta + rng.normal(size=N)


def data_of(estimator):
    if is_classifier(estimator):
        return data("classes")
    return data("positive" if get_tags(estimator).target_tags.positive_only else "real")


@functools.cache
def optimum(cls):
    estimator = cls()
    if hasattr(estimator, "alpha"):
        estimator.set_params(alpha=0.05)
    X, y = data_of(estimator)
    return estimator, clone(estimator).set_params(tol=1e-10, solver="auto").fit(X, y)


def solvers_of(cls):
    """The solvers that an estimator with its default penalty takes."""
    for name in sorted(SOLVERS):
        if name == "gd" and not cls.__name__.startswith("GD"):
            continue
        if cls.__name__ in ("Lasso", "ElasticNet") and not SOLVERS[name].proximal:
            continue
        if cls.__name__ in INDIRECT and SOLVERS[name].sampling:
            continue  # refused: a row sample says nothing of kinks and scales
        yield name


EVERY = [
    (cls, name)
    for cls in ESTIMATORS
    for name in solvers_of(cls)
    if cls.__name__ != "QuantileRegressor" or SOLVERS[name].proximal
]
IDS = [f"{cls.__name__}-{name}" for cls, name in EVERY]


def close(model, best, rtol=1e-4):
    size = np.abs(best.coef_).max()
    np.testing.assert_allclose(model.coef_, best.coef_, rtol=0, atol=rtol * size)
    np.testing.assert_allclose(model.intercept_, best.intercept_, rtol=0, atol=rtol * max(size, 1.0))


@pytest.mark.parametrize(("cls", "name"), EVERY, ids=IDS)
def test_a_start_at_the_optimum_ends_there(cls, name):
    """NumPy and dask input, starts given or of the last fit: few sweeps, the same answer."""
    estimator, best = optimum(cls)
    X, y = data_of(estimator)
    lazy = da.from_array(X, chunks=(40, D)), da.from_array(y, chunks=40)
    model = clone(estimator).set_params(solver=name, max_iter=10_000)
    warm = clone(model).set_params(warm_start=True)
    for attribute in ("coef_", "intercept_", "scale_"):
        if hasattr(best, attribute):
            setattr(warm, attribute, getattr(best, attribute))
    model.fit(*lazy, coef_init=best.coef_, intercept_init=best.intercept_)
    warm.fit(X, y)
    for fitted in (model, warm):
        assert fitted.converged_
        close(fitted, best)
        if cls.__name__ not in INDIRECT:
            assert fitted.n_iter_ <= 2
            assert fitted.n_sweeps_ <= 8


@pytest.mark.parametrize(("cls", "name"), EVERY, ids=IDS)
def test_a_start_anywhere_ends_at_the_optimum(cls, name):
    """Nothing but the way changes. One of the two may be left out."""
    estimator, best = optimum(cls)
    X, y = data_of(estimator)
    rng = np.random.default_rng(1)
    model = clone(estimator).set_params(solver=name, max_iter=10_000)
    coef = 0.5 * rng.normal(size=best.coef_.shape)
    for start in ({"coef_init": coef}, {"intercept_init": best.intercept_ + 0.3}):
        close(model.fit(X, y, **start), best, 2e-2 if model.tol > 1e-6 else 1e-4)


@pytest.mark.parametrize("cls", [cls for cls in ESTIMATORS if cls.__name__ not in INDIRECT])
def test_the_start_is_where_the_fit_begins(cls):
    """No iteration: the first objective is that of the point given, whatever the last fit was."""
    estimator, best = optimum(cls)
    X, y = data_of(estimator)
    model = clone(estimator).set_params(tol=None, max_iter=1, warm_start=True, solver="fista")
    model.fit(X, y)
    far = model.fit(X, y, coef_init=np.zeros_like(best.coef_)).history_["objective"][0]
    near = model.fit(X, y, coef_init=best.coef_, intercept_init=best.intercept_).history_["objective"][0]
    assert near < far
    np.testing.assert_allclose(model.coef_, best.coef_, atol=1e-4 * np.abs(best.coef_).max())


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("cls", ESTIMATORS)
def test_a_start_that_does_not_fit_is_named(cls, lazy):
    estimator, best = optimum(cls)
    X, y = data_of(estimator)
    if lazy:
        X, y = da.from_array(X, chunks=(40, D)), da.from_array(y, chunks=40)
    model = clone(estimator)
    wrong = best.coef_[..., :-1]
    with pytest.raises(ValueError, match=r"Provided coef_init does not match dataset\. Its shape is"):
        model.fit(X, y, coef_init=wrong)
    with pytest.raises(ValueError, match=r"Provided intercept_init does not match dataset\. Its shape is"):
        model.fit(X, y, intercept_init=np.zeros(7))
    bad = best.coef_.copy()
    bad[..., 0] = np.nan
    with pytest.raises(ValueError, match="coef_init contains NaN or infinity"):
        model.fit(X, y, coef_init=bad)
    with pytest.raises(ValueError, match="intercept_init contains NaN or infinity"):
        model.fit(X, y, intercept_init=best.intercept_ + np.inf)
    with pytest.raises(ValueError, match="coef_init must hold numbers"):
        model.fit(X, y, coef_init="zero")
    with pytest.raises(ValueError, match=r"fit_intercept=False\) has no intercept and cannot honour intercept_init"):
        model.set_params(fit_intercept=False).fit(X, y, intercept_init=best.intercept_ + 1)
    assert not hasattr(model, "coef_")


def test_one_output_takes_one_row_or_a_vector():
    X, y = data("classes")
    shapes = {}
    for coef in (np.full(D, 0.1), np.full((1, D), 0.1)):
        for intercept in (0.2, [0.2]):
            model = dask_gd.GDClassifier(max_iter=1, tol=None, learning_rate="constant", eta0=1e-12, alpha=0.0)
            model.fit(X, y == 1, coef_init=coef, intercept_init=intercept)
            shapes[np.shape(coef), np.shape(intercept)] = model.coef_, model.intercept_
    assert len(shapes) == 4
    for coef, intercept in shapes.values():
        np.testing.assert_allclose(coef, np.full((1, D), 0.1), atol=1e-10)
        np.testing.assert_allclose(intercept, [0.2], atol=1e-10)


def test_several_targets():
    X, y = data("real")
    both = np.stack([y, -2 * y], axis=1)
    best = dask_gd.Ridge().fit(X, both)
    model = dask_gd.Ridge(solver="lbfgs").fit(X, both, coef_init=best.coef_, intercept_init=best.intercept_)
    assert model.n_iter_ == 0
    with pytest.raises(ValueError, match="Provided coef_init does not match dataset"):
        model.fit(X, both, coef_init=best.coef_[0])


def test_a_start_outside_the_links_domain_is_not_taken():
    """The identity link of a Poisson mean: a start with negative means gives way to one inside."""
    X, y = data("positive")
    model = dask_gd.GeneralizedLinearRegressor(family="poisson", link="identity", alpha=0.0)
    best = clone(model).fit(X, y)
    model.fit(X, y, coef_init=np.full(D, 10.0), intercept_init=-5.0)
    close(model, best)


def test_a_constant_column_keeps_its_part_of_the_margins():
    """Its coefficient is not fitted; what the start gave it goes to the intercept."""
    X, y = data("real")
    X = np.column_stack([X, np.full(N, 2.0)])
    best = dask_gd.Ridge(alpha=0.1).fit(X, y)
    coef = best.coef_.copy()
    coef[-1] += 1.5
    model = dask_gd.Ridge(alpha=0.1, solver="lbfgs").fit(X, y, coef_init=coef, intercept_init=best.intercept_ - 3.0)
    assert model.n_iter_ == 0
    close(model, best)


@pytest.mark.parametrize("name", ["hinge", "quantile"])
def test_losses_with_kinks_take_a_start(name):
    classification = LOSSES[name]().classification
    X, y = data("classes" if classification else "real")
    y = y == 1 if classification else y
    cls = dask_gd.GDClassifier if classification else dask_gd.GDRegressor
    best = cls(name, solver="auto", alpha=0.05, tol=1e-8).fit(X, y)
    model = cls(name, solver="auto", alpha=0.05, tol=1e-8).fit(X, y, coef_init=best.coef_ + 0.1)
    close(model, best, 1e-3)
