"""Data at the edge of what can be fitted."""

import warnings

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dask_gd
from dask_gd import (
    GDClassifier,
    GDRegressor,
    GeneralizedLinearRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PerfectSeparationWarning,
    Ridge,
)

SOLVERS = ["newton-cholesky", "lbfgs"]
QUIET = pytest.mark.filterwarnings("ignore:.*columns of X are constant")


def lazy(a, cut):
    return da.from_array(a, chunks=(cut, *a.shape[1:]))


def data(n=80, d=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, X @ rng.normal(size=d) + 2 + rng.normal(size=n)


# -- any chunking ----------------------------------------------------------------------------------------------------

N = 40


@st.composite
def cuts(draw):
    """Chunk lengths, zeros among them, that add up to N."""
    inner = sorted(draw(st.lists(st.integers(0, N), max_size=12)))
    return tuple(np.diff([0, *inner, N]).tolist())


def fit(kind, rows, columns=None):
    X, y = data(N)
    s = np.linspace(0, 2, N)
    if kind == "softmax":
        y = np.digitize(y, [1.0, 3.0])
    elif kind == "logistic":
        y = np.where(y > 2, "b", "a")
    model = Ridge() if kind == "ridge" else LogisticRegression()
    if rows is None:
        return model.fit(X, y, s)
    blocks = da.from_array(X, chunks=(rows, columns or 4))
    if kind == "ridge" and len(rows) % 2:
        blocks = blocks.map_blocks(sp.csr_matrix)
    return model.fit(blocks, lazy(y, rows), lazy(s, rows))


@pytest.mark.parametrize("kind", ["ridge", "logistic", "softmax"])
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=cuts(), columns=st.sampled_from([1, 2, 3, 4]))
def test_any_chunking_is_the_same_fit(kind, rows, columns):
    one, other = fit(kind, None), fit(kind, rows, columns)
    np.testing.assert_allclose(other.coef_, one.coef_, rtol=1e-9)
    np.testing.assert_allclose(other.intercept_, one.intercept_, rtol=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exponents=st.lists(st.integers(-12, 12), min_size=4, max_size=4))
def test_units_of_columns_only_change_the_units_of_coefficients(exponents):
    X, y = data()
    unit = 10.0 ** np.array(exponents)
    for solver in SOLVERS:
        one, other = LinearRegression(solver=solver).fit(X, y), LinearRegression(solver=solver).fit(X * unit, y)
        np.testing.assert_allclose(other.coef_ * unit, one.coef_, rtol=1e-6)
        np.testing.assert_allclose(other.predict(X * unit), one.predict(X), rtol=1e-6, atol=1e-8)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shift=st.floats(-1e6, 1e6), scale=st.integers(-6, 6))
def test_unit_and_origin_of_the_target(shift, scale):
    X, y = data()
    one, other = LinearRegression().fit(X, y), LinearRegression().fit(X, y * 10.0**scale + shift)
    noise = 1e-9 * (abs(shift) / 10.0**scale + 1)
    np.testing.assert_allclose(other.coef_ / 10.0**scale, one.coef_, rtol=1e-8, atol=noise)


# -- few rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [LinearRegression, Ridge, GDRegressor])
@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: lazy(a, 1)], ids=["numpy", "dask"])
def test_one_row(cls, wrap):
    model = cls().fit(wrap(np.array([[1.0, 2.0]])), wrap(np.array([3.0])))
    np.testing.assert_allclose(model.coef_, 0, atol=1e-12)
    assert model.intercept_ == 3.0
    assert model.converged_


@pytest.mark.parametrize("cls", [LinearRegression, Ridge, GDRegressor, LogisticRegression, GDClassifier])
def test_no_rows(cls):
    X, y = da.zeros((0, 3), chunks=(1, 3)), da.zeros(0, chunks=1)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        cls().fit(X, y)
    keep = da.zeros(6, chunks=2, dtype=bool)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):  # found out only when the blocks are there
        cls().fit(da.ones((6, 3), chunks=(2, 3))[keep], da.ones(6, chunks=2)[keep])


@pytest.mark.parametrize("cls", [LogisticRegression, GDClassifier])
def test_one_row_of_each_class(cls):
    model = cls().fit(lazy(np.array([[0.0], [1.0]]), 1), lazy(np.array([0, 1]), 1))
    np.testing.assert_array_equal(model.predict([[0.0], [1.0]]), [0, 1])


# -- rank ------------------------------------------------------------------------------------------------------------


def deficient(kind):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 5))
    if kind == "collinear":
        X[:, 4] = X[:, 0] - 2 * X[:, 1]
    elif kind == "twice":
        X[:, 3] = X[:, 2]
    elif kind == "constant":
        X[:, 2] = 7.0
    elif kind == "zero":
        X[:, 2] = 0.0
    elif kind == "constant of a tenth":
        X[:, 2] = 0.1  # its mean is not 0.1 exactly
    elif kind == "fewer rows than columns":
        X = rng.normal(size=(4, 7))
    elif kind == "badly scaled and collinear":
        X[:, 4] = X[:, 0] - 2 * X[:, 1]
        X *= np.geomspace(1e-2, 1e2, 5)
    return X, rng.normal(size=len(X))


RANK = {
    "collinear": 4,
    "twice": 4,
    "constant": 4,
    "zero": 4,
    "constant of a tenth": 4,
    "fewer rows than columns": 3,
    "badly scaled and collinear": 4,
}


@QUIET
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
@pytest.mark.parametrize("kind", RANK)
def test_minimum_norm(kind, fit_intercept, sparse):
    """Of all least-squares solutions the shortest, as numpy.linalg.lstsq and scikit-learn return it."""
    X, y = deficient(kind)
    center, mean = (X.mean(axis=0), y.mean()) if fit_intercept else (0.0, 0.0)
    A = X - center
    if kind.startswith("constant") and fit_intercept:
        A[:, 2] = 0
    coef, _, rank, _ = np.linalg.lstsq(A, y - mean, rcond=1e-10)
    Z = lazy(X, 23)
    model = LinearRegression(solver="newton-cholesky", fit_intercept=fit_intercept).fit(
        Z.map_blocks(sp.csr_matrix) if sparse else Z, lazy(y, 23)
    )
    assert model.rank_ == rank
    if fit_intercept:
        assert rank == RANK[kind]
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-6, atol=1e-7 * np.abs(coef).max())
    np.testing.assert_allclose(model.intercept_, mean - np.sum(center * coef), rtol=1e-6, atol=1e-7)


@QUIET
@pytest.mark.parametrize("kind", RANK)
def test_lbfgs_fits_as_well_where_columns_depend_on_each_other(kind):
    X, y = deficient(kind)
    one, other = LinearRegression(solver="lbfgs").fit(X, y), LinearRegression(solver="newton-cholesky").fit(X, y)
    np.testing.assert_allclose(one.predict(X), other.predict(X), atol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", RANK)
def test_a_penalty_makes_the_answer_unique(kind, solver):
    X, y = deficient(kind)
    model = Ridge(alpha=0.3, solver=solver, tol=1e-10).fit(lazy(X, 17), lazy(y, 17))
    A = X - X.mean(axis=0)
    expected = np.linalg.solve(A.T @ A + 0.3 * np.eye(X.shape[1]), A.T @ (y - y.mean()))
    np.testing.assert_allclose(model.coef_, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["constant", "zero", "constant of a tenth"])
def test_a_constant_column_gets_no_coefficient(kind, solver):
    """The intercept does all that it could do. Without a penalty the user hears of it."""
    X, y = deficient(kind)
    with pytest.warns(UserWarning, match="1 of the columns of X are constant"):
        model = LinearRegression(solver=solver).fit(X, y)
    for other, target in (
        (model, y),
        (LogisticRegression(solver=solver).fit(X, y > 0), y > 0),
        (Lasso(alpha=0.01).fit(X, y), y),
        (LinearRegression(positive=True, fit_intercept=True), y),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.ravel(other.fit(X, target).coef_)[2] == 0


@pytest.mark.parametrize("solver", SOLVERS)
def test_logistic_of_dependent_columns(solver):
    X, y = deficient("twice")
    model = LogisticRegression(C=np.inf, solver=solver, tol=1e-9).fit(X, y > 0)
    alone = LogisticRegression(C=np.inf, solver=solver, tol=1e-9).fit(np.delete(X, 3, axis=1), y > 0)
    np.testing.assert_allclose(model.coef_[0, 2:4], alone.coef_[0, 2] / 2, rtol=1e-5)
    np.testing.assert_allclose(np.delete(model.coef_, 3, axis=1)[0, [0, 1, 3]], alone.coef_[0, [0, 1, 3]], rtol=1e-5)


# -- scales ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
@pytest.mark.parametrize("solver", SOLVERS)
def test_huge_and_tiny_columns(solver, scale):
    X, y = data()
    one, other = LinearRegression(solver=solver).fit(X, y), LinearRegression(solver=solver).fit(X * scale, y)
    np.testing.assert_allclose(other.coef_ * scale, one.coef_, rtol=1e-7)


@pytest.mark.parametrize("scale", [1e-100, 1e100])
@pytest.mark.parametrize("solver", SOLVERS)
def test_huge_and_tiny_targets(solver, scale):
    X, y = data()
    one, other = LinearRegression(solver=solver).fit(X, y), LinearRegression(solver=solver).fit(X, y * scale)
    np.testing.assert_allclose(other.coef_ / scale, one.coef_, rtol=1e-7)


def test_squares_that_overflow_are_an_error():
    X, y = data()
    with pytest.raises(ValueError, match="overflow"):
        LinearRegression().fit(X * 1e160, y)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3 * 1e9])
def test_a_constant_target_is_converged_at_once(solver, value):
    X, _ = data()
    for model in (LinearRegression(solver=solver), Ridge(solver=solver), GDRegressor()):
        model.fit(X, np.full(len(X), value))
        assert model.converged_
        np.testing.assert_allclose(model.coef_, 0, atol=1e-12 * max(value, 1))
        assert model.intercept_ == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_target_without_noise(solver):
    X, _ = data()
    y = X @ [1.0, -2.0, 3.0, 0.0] + 5
    model = LinearRegression(solver=solver).fit(lazy(X, 9), lazy(y, 9))
    np.testing.assert_allclose(model.coef_, [1, -2, 3, 0], atol=1e-6)
    assert model.intercept_ == pytest.approx(5, rel=1e-6)


@pytest.mark.parametrize("C", [1e-12, 1e12])
@pytest.mark.parametrize("solver", SOLVERS)
def test_extreme_penalties(solver, C):
    X, y = data()
    y = (y + 2 * np.random.default_rng(0).normal(size=len(y)) > 2).astype(int)
    model = LogisticRegression(C=C, solver=solver).fit(X, y)
    if C < 1:
        np.testing.assert_allclose(model.coef_, 0, atol=1e-9)
        share = y.mean()
        assert model.intercept_[0] == pytest.approx(np.log(share / (1 - share)), rel=1e-6)
    else:
        free = LogisticRegression(C=np.inf, solver=solver, tol=1e-8).fit(X, y)
        np.testing.assert_allclose(model.coef_, free.coef_, rtol=1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights"])
def test_separable_classes_are_noticed(solver, classes, weighted):
    """Without a penalty there is no minimum: the fit stops, says so, and does not claim to have converged."""
    X = np.array([[-3.0, 0.0], [-2.0, 1.0], [-1.0, 0.5], [1.0, 9.0], [2.0, 8.5], [3.0, 9.5]])
    y = np.array([0, 0, 0, 1, 1, 1] if classes == 2 else [0, 0, 1, 1, 2, 2])
    s = lazy(np.array([0.1, 1, 1, 3, 1, 0]), 4) if weighted else None
    model = LogisticRegression(C=np.inf, solver=solver)
    with pytest.warns(PerfectSeparationWarning, match="perfectly separated"):
        model.fit(lazy(X, 4), lazy(y, 4), sample_weight=s)
    assert not model.converged_
    assert model.n_iter_ < 100
    assert np.isfinite(model.coef_).all()
    assert model.score(X, y) == 1.0


@pytest.mark.parametrize("solver", SOLVERS)
def test_classes_that_overlap_are_not_called_separable(solver):
    X = np.array([[-2.0], [-1.0], [1.0], [2.0], [0.0]])
    model = LogisticRegression(C=np.inf, solver=solver).fit(lazy(X, 3), lazy(np.array([0, 1, 0, 1, 1]), 3))
    assert model.converged_


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_separable_shares_are_noticed(link):
    X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), [0, 0, 1, 1]
    with pytest.warns(PerfectSeparationWarning):
        model = GeneralizedLinearRegressor(family="binomial", link=link, alpha=0.0).fit(X, y)
    assert not model.converged_


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_sorted_by_target(solver):
    """Blocks of one class, and blocks whose targets are far from those of the others."""
    X, y = data()
    order = np.argsort(y)
    for model, target in (
        (Ridge(solver=solver), y),
        (LogisticRegression(solver=solver, tol=1e-9), np.digitize(y, [0.5, 2.5])),
    ):
        one = model.fit(X, target).coef_
        other = model.fit(lazy(X[order], 10), lazy(target[order], 10)).coef_
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-8)


def test_rare_class_in_one_block():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 3))
    y = np.full(1000, "common")
    y[997] = "rare"
    model = LogisticRegression().fit(lazy(X, 100), lazy(y, 100))
    np.testing.assert_array_equal(model.classes_, ["common", "rare"])
    assert model.predict_proba(X)[:, 1].mean() == pytest.approx(1e-3, rel=1e-3)
    heavier = LogisticRegression(class_weight="balanced").fit(lazy(X, 100), lazy(y, 100))
    assert heavier.predict_proba(X)[997, 1] > 0.5


@pytest.mark.parametrize("n_chunks", [1, 200])
def test_many_tiny_blocks(n_chunks):
    X, y = data(200)
    model = Ridge().fit(lazy(X, 200 // n_chunks), lazy(y, 200 // n_chunks))
    np.testing.assert_allclose(model.coef_, Ridge().fit(X, y).coef_, rtol=1e-10)


def test_nan_in_a_large_array_is_found_in_the_first_sweep():
    """No pass of its own looks for it."""
    X = np.ones((2**16, 20))
    X[:, 1] = np.arange(len(X))
    X[40_000, 3] = np.nan
    models = (dask_gd.Ridge(), dask_gd.LassoCV(alphas=3), dask_gd.RidgeCV(), dask_gd.SGDRegressor())
    for model in (*models, dask_gd.PoissonRegressor()):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            model.fit(X, X[:, 1])
