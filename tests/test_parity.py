"""Parity with scikit-learn: our objective is never above theirs, and the coefficients agree.

The objective is evaluated here, in NumPy, as scikit-learn documents it; scikit-learn solves to a tight tolerance.
"""

import functools

import numpy as np
import pytest
import sklearn.linear_model as theirs
from layouts import LAYOUTS
from scipy.special import expit
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

import dask_gd
from dask_gd import GDClassifier, GDRegressor, LinearRegression, LogisticRegression, Ridge

C_GRID = [1e-4, 1e-2, 1.0, 100.0, np.inf]
TIGHT = {"tol": 1e-12, "max_iter": 100_000}
SOLVERS = ["newton-cholesky", "lbfgs"]

# -- objectives ------------------------------------------------------------------------------------------------------


def squares(model, X, y, alpha=0.0, s=1.0, offset=0.0):
    """Σ s (y - η)² + α ‖w‖²."""
    residual = y - (X @ model.coef_ + model.intercept_ + offset)
    return float(np.sum(s * residual**2) + alpha * model.coef_ @ model.coef_)


def log_loss(model, X, y, C=np.inf, s=1.0, offset=0.0):
    """Σ s ℓ + ‖w‖² / 2C, of two classes or of more."""
    eta = X @ model.coef_.T + model.intercept_
    code = np.searchsorted(model.classes_, y)
    if eta.shape[1] == 1:
        eta = eta[:, 0] + offset
        losses = np.logaddexp(0, eta) - code * eta
    else:
        top = eta.max(axis=1, keepdims=True)
        losses = np.log(np.exp(eta - top).sum(axis=1)) + top[:, 0] - eta[np.arange(len(y)), code]
    return float(np.sum(s * losses) + 0.5 * np.sum(model.coef_**2) / C)


def centred(model):
    """Softmax coefficients without a penalty are fixed up to one vector that all classes share."""
    if len(model.coef_) == 1:
        return model.coef_, model.intercept_
    return model.coef_ - model.coef_.mean(axis=0), model.intercept_ - model.intercept_.mean()


def agree(ours, other, spread, atol=1e-6):
    """Coefficients within ``atol`` in units in which each column has unit spread, and so the intercept."""
    (a, a0), (b, b0) = (centred(m) if hasattr(m, "classes_") else (m.coef_, m.intercept_) for m in (ours, other))
    scale = max(1.0, np.abs(b * spread).max())
    np.testing.assert_allclose(a * spread, b * spread, rtol=0, atol=atol * scale)
    np.testing.assert_allclose(a0, b0, rtol=1e-6, atol=atol * max(scale, np.abs(b0).max()))


# -- data ------------------------------------------------------------------------------------------------------------


@functools.cache
def regression(n=300, d=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 * rng.normal(size=(d, d)))
    return X, X @ rng.normal(size=d) + 2 + rng.normal(size=n)


@functools.cache
def classification(classes=2, n=300, d=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 * rng.normal(size=(d, d)))
    return X, (X @ rng.normal(size=(d, classes)) + 1.5 * rng.gumbel(size=(n, classes))).argmax(axis=1)


def sample_weight(n, seed=1):
    s = np.random.default_rng(seed).exponential(size=n)
    s[::7] = 0
    return s


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return LAYOUTS[request.param]


# -- least squares ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_linear_regression(solver, fit_intercept, weighted, layout):
    X, y = regression()
    s = sample_weight(len(y)) if weighted else np.ones(len(y))
    Z, z, t = layout(X, y, s)
    ours = LinearRegression(solver=solver, fit_intercept=fit_intercept).fit(Z, z, t if weighted else None)
    other = theirs.LinearRegression(fit_intercept=fit_intercept).fit(X, y, s)
    assert ours.converged_
    assert squares(ours, X, y, s=s) <= squares(other, X, y, s=s) * (1 + 1e-9)
    agree(ours, other, X.std(axis=0))


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("alpha", [0.0, 1e-6, 1.0, 1e4])
@pytest.mark.parametrize("solver", SOLVERS)
def test_ridge(solver, alpha, weighted, layout):
    X, y = regression()
    s = sample_weight(len(y)) if weighted else np.ones(len(y))
    Z, z, t = layout(X, y, s)
    ours = Ridge(alpha=alpha, solver=solver).fit(Z, z, t if weighted else None)
    other = theirs.Ridge(alpha=alpha, solver="svd").fit(X, y, s)
    assert squares(ours, X, y, alpha, s) <= squares(other, X, y, alpha, s) * (1 + 1e-9)
    agree(ours, other, X.std(axis=0))


def test_ridge_has_no_hidden_scale():
    """Twice every row is twice alpha's opponent: Ridge(2α) on doubled rows is Ridge(α)."""
    X, y = regression()
    one = Ridge(alpha=3.0).fit(X, y)
    two = Ridge(alpha=6.0).fit(np.vstack([X, X]), np.concatenate([y, y]))
    np.testing.assert_allclose(two.coef_, one.coef_, rtol=1e-12)


# -- logistic --------------------------------------------------------------------------------------------------------


@functools.cache
def reference(classes, C, fit_intercept=True, weighted=False, class_weight=None):
    X, y = classification(classes)
    s = sample_weight(len(y)) if weighted else None
    solver = "newton-cholesky" if np.isfinite(C) else "lbfgs"
    weight = dict(class_weight) if isinstance(class_weight, tuple) else class_weight
    tight = TIGHT if np.isfinite(C) or classes == 2 else {"tol": 1e-10, "max_iter": 100_000}
    return theirs.LogisticRegression(C=C, solver=solver, fit_intercept=fit_intercept, class_weight=weight, **tight).fit(
        X, y, s
    )


@pytest.mark.parametrize("C", C_GRID)
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("solver", SOLVERS)
def test_logistic(solver, classes, C, layout):
    X, y = classification(classes)
    ours = LogisticRegression(C=C, solver=solver, tol=1e-8).fit(*layout(X, y))
    other = reference(classes, C)
    assert log_loss(ours, X, y, C) <= log_loss(other, X, y, C) * (1 + 1e-9)
    agree(ours, other, X.std(axis=0))


@pytest.mark.parametrize("C", C_GRID)
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
def test_logistic_at_its_default_tolerance(solver, classes, C):
    X, y = classification(classes)
    ours = LogisticRegression(C=C, solver=solver).fit(X, y)
    other = reference(classes, C)
    assert log_loss(ours, X, y, C) <= log_loss(other, X, y, C) * (1 + 1e-9)


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_without_intercept(classes, layout):
    X, y = classification(classes)
    ours = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-8).fit(*layout(X, y))
    other = reference(classes, 1.0, fit_intercept=False)
    assert (ours.intercept_ == 0).all()
    assert log_loss(ours, X, y, 1.0) <= log_loss(other, X, y, 1.0) * (1 + 1e-9)
    agree(ours, other, X.std(axis=0))


@pytest.mark.parametrize("class_weight", [None, "balanced", ((0, 0.2), (1, 3.0))], ids=["", "balanced", "dict"])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("solver", SOLVERS)
def test_weights(solver, classes, class_weight, layout):
    X, y = classification(classes)
    s = sample_weight(len(y))
    weight = dict(class_weight) if isinstance(class_weight, tuple) else class_weight
    ours = LogisticRegression(C=0.5, solver=solver, class_weight=weight, tol=1e-8).fit(*layout(X, y, s))
    other = reference(classes, 0.5, weighted=True, class_weight=class_weight)
    by_class = {None: dict.fromkeys(range(classes), 1.0), "balanced": balanced(y, s, classes)}.get(class_weight, weight)
    t = s * np.array([by_class.get(label, 1.0) for label in y])
    assert log_loss(ours, X, y, 0.5, t) <= log_loss(other, X, y, 0.5, t) * (1 + 1e-9)
    agree(ours, other, X.std(axis=0))


def balanced(y, s, classes):
    counts = np.bincount(y, weights=s, minlength=classes)
    return dict(enumerate(s.sum() / (classes * counts)))


# -- offset (scikit-learn has none: the gradient must vanish) -------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_offset_of_a_regression_moves_to_the_other_side(solver, layout):
    X, y = regression()
    offset = 3 * np.random.default_rng(5).normal(size=len(y))
    Z, z, o = layout(X, y, offset)
    ours = Ridge(alpha=0.7, solver=solver, tol=1e-10).fit(Z, z, offset=o)
    agree(ours, theirs.Ridge(alpha=0.7).fit(X, y - offset), X.std(axis=0))
    residual = X @ ours.coef_ + ours.intercept_ + offset - y
    np.testing.assert_allclose(X.T @ residual + 0.7 * ours.coef_, 0, atol=1e-7 * len(y))
    assert abs(residual.sum()) < 1e-6


@pytest.mark.parametrize("C", [0.5, np.inf])
@pytest.mark.parametrize("solver", SOLVERS)
def test_offset_of_a_classifier(solver, C, layout):
    X, y = classification()
    offset, s = 2 * np.random.default_rng(5).normal(size=len(y)), sample_weight(len(y))
    Z, z, t, o = layout(X, y, s, offset)
    ours = LogisticRegression(C=C, solver=solver, tol=1e-9).fit(Z, z, t, offset=o)
    error = s * (expit(X @ ours.coef_[0] + ours.intercept_[0] + offset) - y)
    np.testing.assert_allclose(X.T @ error + ours.coef_[0] / C, 0, atol=1e-5)
    assert abs(error.sum()) < 1e-5


def test_offset_of_a_softmax_shifts_all_classes_alike():
    X, y = classification(4)
    offset = np.random.default_rng(5).normal(size=len(y))
    one = LogisticRegression(tol=1e-9).fit(X, y)
    two = LogisticRegression(tol=1e-9).fit(X, y, offset=offset)
    np.testing.assert_allclose(two.coef_, one.coef_, atol=1e-7)


# -- data that make it hard ------------------------------------------------------------------------------------------


def scaled(X):
    return X * np.geomspace(1e-3, 1e3, X.shape[1])


HARD = {
    "sorted by label": lambda X, y: (X[np.argsort(y, kind="stable")], np.sort(y)),
    "shuffled": lambda X, y: tuple(a[np.random.default_rng(9).permutation(len(y))] for a in (X, y)),
    "badly scaled": lambda X, y: (scaled(X), y),
    "mean 1e4 times the spread": lambda X, y: (X + 1e4, y),
    "both": lambda X, y: (scaled(X + 1e4), y),
}


@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize("solver", SOLVERS)
def test_hard_regression(solver, hard):
    X, y = HARD[hard](*regression())
    Z, z = LAYOUTS["uneven chunks"](X, y)
    ours = LinearRegression(solver=solver).fit(Z, z)
    other = theirs.LinearRegression().fit(X, y)
    assert squares(ours, X, y) <= squares(other, X, y) * (1 + 1e-9)
    agree(ours, other, X.std(axis=0), atol=2e-6 if "1e4" in hard or hard == "both" else 1e-6)


@pytest.mark.parametrize("C", [1e-2, 100.0, np.inf])
@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("solver", SOLVERS)
def test_hard_classification(solver, classes, hard, C):
    """Without a penalty the solution moves with the columns; with one, scikit-learn is given the data centred, which
    changes only its intercept, because its own solvers lose digits far from the origin."""
    X, y = HARD[hard](*classification(classes))
    Z, z = LAYOUTS["uneven chunks"](X, y)
    ours = LogisticRegression(C=C, solver=solver, tol=1e-8).fit(Z, z)
    center = X.mean(axis=0)
    unit = X.std(axis=0) if np.isinf(C) else np.ones(X.shape[1])
    name = "lbfgs" if np.isinf(C) else "newton-cholesky"
    tight = {"tol": 1e-10, "max_iter": 100_000}
    other = theirs.LogisticRegression(C=C, solver=name, **tight).fit((X - center) / unit, y)
    other.coef_ = other.coef_ / unit
    ours.intercept_ = ours.intercept_ + ours.coef_ @ center  # both in centred columns now
    assert log_loss(ours, X - center, y, C) <= log_loss(other, X - center, y, C) * (1 + 1e-9)
    agree(ours, other, X.std(axis=0), atol=1e-6 if "1e4" not in hard and hard != "both" else 1e-5)


# -- real data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_breast_cancer_raw(solver):
    """569 × 30, columns from 1e-3 to 1e3, not standardised; the classes are separable, so C is finite."""
    X, y = load_breast_cancer(return_X_y=True)
    Z, z = LAYOUTS["even chunks"](X, y)
    ours = LogisticRegression(solver=solver).fit(Z, z)
    other = theirs.LogisticRegression(solver="newton-cholesky", **TIGHT).fit(X, y)
    assert log_loss(ours, X, y, 1.0) <= log_loss(other, X, y, 1.0) * (1 + 1e-9)
    assert ours.score(Z, z) == other.score(X, y)


def test_digits():
    """1797 × 64, ten classes, three constant columns."""
    X, y = load_digits(return_X_y=True)
    Z, z = LAYOUTS["even chunks"](X, y)
    ours = LogisticRegression(C=0.01, tol=1e-8).fit(Z, z)
    other = theirs.LogisticRegression(C=0.01, solver="newton-cholesky", **TIGHT).fit(X, y)
    assert log_loss(ours, X, y, 0.01) <= log_loss(other, X, y, 0.01) * (1 + 1e-9)
    np.testing.assert_allclose(ours.coef_, other.coef_, atol=1e-6)
    assert ours.score(Z, z) == other.score(X, y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_diabetes(solver):
    X, y = load_diabetes(return_X_y=True, scaled=False)
    Z, z = LAYOUTS["even chunks"](X, y)
    ours, other = LinearRegression(solver=solver).fit(Z, z), theirs.LinearRegression().fit(X, y)
    assert squares(ours, X, y) <= squares(other, X, y) * (1 + 1e-9)
    agree(ours, other, X.std(axis=0))
    assert ours.score(Z, z) == pytest.approx(other.score(X, y), rel=1e-9)


# -- the workbench ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["gd", *SOLVERS])
def test_gd_regressor_is_ridge_of_the_mean(solver):
    X, y = regression()
    ours = GDRegressor(alpha=0.1, solver=solver, tol=1e-8, max_iter=20_000).fit(X, y)
    agree(ours, theirs.Ridge(alpha=0.1 * len(y)).fit(X, y), X.std(axis=0))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("solver", ["gd", *SOLVERS])
def test_gd_classifier_is_logistic_of_the_mean(solver, classes):
    X, y = classification(classes)
    ours = GDClassifier(alpha=0.1, solver=solver, tol=1e-8, max_iter=20_000).fit(X, y)
    C = 1 / (0.1 * len(y))
    other = theirs.LogisticRegression(C=C, solver="newton-cholesky", **TIGHT).fit(X, y)
    assert log_loss(ours, X, y, C) <= log_loss(other, X, y, C) * (1 + 1e-9)
    agree(ours, other, X.std(axis=0))


# -- float32 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["numpy", "even chunks", "csr", "dask of csr"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_float32_regression(solver, name):
    X, y = regression()
    X = X.astype(np.float32)
    ours = LinearRegression(solver=solver).fit(*LAYOUTS[name](X, y))
    best = theirs.LinearRegression().fit(X.astype(float), y)
    assert squares(ours, X, y) <= squares(best, X, y) * (1 + 1e-5)
    agree(ours, best, X.std(axis=0), atol=1e-3)


@pytest.mark.parametrize("mean", [0.0, 100.0])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("solver", SOLVERS)
def test_float32_classification(solver, classes, mean):
    X, y = classification(classes)
    X = (X + mean).astype(np.float32)
    ours = LogisticRegression(solver=solver).fit(*LAYOUTS["even chunks"](X, y))
    best = LogisticRegression(tol=1e-9).fit(X.astype(float), y)
    assert log_loss(ours, X.astype(float), y, 1.0) <= log_loss(best, X.astype(float), y, 1.0) * (1 + 1e-5)


def test_a_large_fit_that_starts_from_a_sample_ends_at_the_same_minimum():
    X, y = classification(n=40_000, d=3)
    Z, z = LAYOUTS["uneven chunks"](X, y)
    ours = LogisticRegression(tol=1e-8).fit(Z, z)
    other = theirs.LogisticRegression(solver="newton-cholesky", **TIGHT).fit(X, y)
    assert log_loss(ours, X, y, 1.0) <= log_loss(other, X, y, 1.0) * (1 + 1e-9)
    agree(ours, other, X.std(axis=0))


def test_the_package_says_what_it_is():
    assert dask_gd.__version__.count(".") == 2
