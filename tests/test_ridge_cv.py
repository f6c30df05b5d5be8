"""Ridge with its strength chosen by cross-validation is scikit-learn's, from one sweep or from two."""

import warnings

import array_api_strict as strict
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from layouts import LAYOUTS
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold, LeaveOneOut, ShuffleSplit

import dask_gd
from dask_gd.kernels import left_out
from dask_gd.kernels.left_out import LeaveOneOutKernel
from dask_gd.linear_model import ridge_cv
from dask_gd.protocol import Block
from dask_gd.ridges import RidgeSums, ridges

ALPHAS = (0.01, 30.0, 1.0, 1000.0)
SCORINGS = (None, "r2", "neg_mean_squared_error", "neg_root_mean_squared_error")


def make(rng, n=211, d=6, m=1, mean=2.0):
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + mean
    y = X @ rng.normal(size=(d, m)) + 4 * rng.normal(size=(n, m)) * np.arange(1, m + 1) + 3
    return X, y[:, 0] if m == 1 else y


def theirs(model, X, y, weight=None, **more):
    options = {name: value for name, value in model.get_params().items()} | more
    return sklearn.linear_model.RidgeCV(**options).fit(X, y, weight)


def assert_alike(model, other, tol=1e-8):
    np.testing.assert_array_equal(model.alpha_, other.alpha_)
    np.testing.assert_allclose(model.best_score_, other.best_score_, rtol=tol)
    size = np.abs(other.coef_).max()
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=tol, atol=tol * size)
    np.testing.assert_allclose(model.intercept_, other.intercept_, rtol=tol, atol=tol)
    assert np.shape(model.coef_) == np.shape(other.coef_)
    if hasattr(other, "cv_results_"):
        found = np.asarray(model.cv_results_)
        assert found.shape == other.cv_results_.shape
        np.testing.assert_allclose(found, other.cv_results_, rtol=tol, atol=tol * other.cv_results_.max())


# -- every row left out in turn --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "none"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weights"])
def test_rows_left_out_are_those_of_scikit_learn_in_two_sweeps(weighted, fit_intercept, layout, rng):
    X, y = make(rng)
    weight = (rng.random(len(X)),) if weighted else ()
    model = dask_gd.RidgeCV(ALPHAS, fit_intercept=fit_intercept, store_cv_results=True)
    model.fit(*LAYOUTS[layout](X, y, *weight))
    assert model.n_sweeps_ == 2
    assert_alike(model, theirs(model, X, y, *weight))


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("per_target", [False, True], ids=["one alpha", "each its own"])
@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weights"])
def test_targets_and_scores(weighted, m, per_target, scoring, rng):
    X, y = make(rng, n=40, m=m)
    y = y + 30 * rng.normal(size=y.shape) * (np.arange(m) == 1 if m > 1 else 0)
    weight = rng.random(len(X)) if weighted else None
    model = dask_gd.RidgeCV(np.logspace(-2, 4, 9), scoring=scoring, store_cv_results=True)
    if m > 1:
        model.set_params(alpha_per_target=per_target)
    dX, dy = da.from_array(X, chunks=(13, 4)), da.from_array(y, chunks=17)
    model.fit(dX, dy, weight)
    assert_alike(model, theirs(model, X, y, weight))
    if per_target and m > 1:
        assert len(set(model.alpha_)) > 1
    else:
        assert isinstance(model.alpha_, float)
        assert isinstance(model.best_score_, float)


def test_they_are_what_fits_without_the_row_get_wrong(rng):
    X, y = make(rng, n=25, m=2)
    weight, offset = rng.random(25), rng.normal(size=25)
    model = dask_gd.RidgeCV([0.7, 5.0], store_cv_results=True).fit(X, y, weight, offset)
    predicted = clone(model).set_params(scoring="r2").fit(X, y, weight, offset)
    for a, alpha in enumerate(model.alphas):
        ridge = dask_gd.Ridge(alpha, tol=1e-12)
        for i in range(25):
            rest = np.arange(25) != i
            found = ridge.fit(X[rest], y[rest], weight[rest], offset[rest]).predict(X[[i]], offset[[i]])[0]
            np.testing.assert_allclose(predicted.cv_results_[i, :, a], found, rtol=1e-9)
            np.testing.assert_allclose(model.cv_results_[i, :, a], weight[i] * (y[i] - found) ** 2, rtol=1e-7)
    errors = y[:, :, None] - predicted.cv_results_
    spread = np.average((y - np.average(y, axis=0, weights=weight)) ** 2, axis=0, weights=weight)
    r2 = 1 - np.average(errors**2, axis=0, weights=weight) / spread[:, None]
    assert predicted.best_score_ == pytest.approx(r2.mean(axis=0).max(), rel=1e-10)
    assert model.best_score_ == pytest.approx(-model.cv_results_.mean(axis=(0, 1)).min(), rel=1e-10)


def test_float32_is_summed_in_float64(rng):
    X, y = make(rng, n=5000)
    X = X.astype(np.float32)
    model = dask_gd.RidgeCV(ALPHAS).fit(da.from_array(X, chunks=(1500, 6)), y)
    assert_alike(model, theirs(model, X.astype(float), y))


@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "none"])
@pytest.mark.parametrize("n", [5, 8, 9, 10, 11])
def test_no_more_rows_than_columns(n, fit_intercept, rng):
    """Both sides of the quotient vanish with the strength."""
    X, y = rng.normal(size=(n, 9)) + 1, rng.normal(size=n)
    model = dask_gd.RidgeCV([1e-7, 1e-3], fit_intercept=fit_intercept, store_cv_results=True)
    model.fit(da.from_array(X, chunks=(3, 9)), y)
    assert_alike(model, theirs(model, X, y), 1e-4)  # which lose digits themselves
    if fit_intercept:
        exact = np.stack([left_out_in_long_doubles(X, y, alpha) ** 2 for alpha in model.alphas], axis=1)
        np.testing.assert_allclose(model.cv_results_, exact, rtol=1e-7, atol=1e-7 * exact.max())


def test_a_row_of_no_weight_changes_only_the_mean(rng):
    X, y = make(rng, n=30)
    weight = np.ones(30)
    weight[[3, 29]] = 0
    model = dask_gd.RidgeCV(ALPHAS, store_cv_results=True).fit(X, y, weight)
    assert_alike(model, theirs(model, X, y, weight))
    other = dask_gd.RidgeCV(ALPHAS).fit(X[weight > 0], y[weight > 0])
    assert other.alpha_ == model.alpha_
    assert other.best_score_ * 28 == pytest.approx(model.best_score_ * 30, rel=1e-12)
    wide, y = rng.normal(size=(5, 9)), rng.normal(size=5)
    model.fit(wide, y, [1, 1, 0, 1, 1])
    assert_alike(model, theirs(model, wide, y, np.array([1.0, 1, 0, 1, 1]), gcv_mode="svd"))


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_constant_and_collinear_columns(sparse, rng):
    X, y = make(rng, n=60)
    X = np.column_stack([X, np.full(60, 7.0), np.zeros(60), X[:, 0], X[:, 1] + X[:, 2]])
    model = dask_gd.RidgeCV((0.1, 1.0, 10.0), store_cv_results=True).fit(sp.csr_array(X) if sparse else X, y)
    assert model.n_sweeps_ == 2
    assert_alike(model, theirs(model, X, y, gcv_mode="svd"))
    assert model.coef_[6] == pytest.approx(0, abs=1e-12)
    assert model.coef_[7] == pytest.approx(0, abs=1e-12)
    constant = dask_gd.RidgeCV().fit(np.ones((6, 2)), np.arange(6.0))
    np.testing.assert_allclose(constant.coef_, 0, atol=1e-15)
    assert constant.intercept_ == 2.5


def columns_of(kappa, rng, n=400, d=8):
    U, V = np.linalg.qr(rng.normal(size=(n, d)))[0], np.linalg.qr(rng.normal(size=(d, d)))[0]
    return (U * np.geomspace(1, 1 / kappa, d)) @ V.T * np.sqrt(n)


def left_out_in_long_doubles(X, y, alpha):
    """Errors of rows left out, by Gram-Schmidt (twice) on the rows and √α beneath them in long double."""
    A = np.vstack([X - X.mean(axis=0, dtype=np.longdouble), np.sqrt(np.longdouble(alpha)) * np.eye(X.shape[1])])
    Q, _ = orthogonal(A.astype(np.longdouble))
    Q = Q[: len(X)]
    residual = y - y.mean(dtype=np.longdouble)
    residual = residual - Q @ (Q.T @ residual)
    return (residual / (1 - (Q * Q).sum(axis=1) - np.longdouble(1) / len(X))).astype(float)


def orthogonal(A):
    Q = A.copy()
    for j in range(A.shape[1]):
        for _ in range(2):
            Q[:, j] -= Q[:, :j] @ (Q[:, :j].T @ Q[:, j])
        Q[:, j] /= np.sqrt((Q[:, j] ** 2).sum())
    return Q, None


@pytest.mark.parametrize("kappa", [1e2, 1e5, 1e8])
@pytest.mark.parametrize("alpha", [1e-1, 1e-6, 1e-12])
def test_ill_conditioned_columns_keep_their_digits(alpha, kappa, rng):
    X = columns_of(kappa, rng)
    y = X @ rng.normal(size=8) + 0.1 * rng.normal(size=400)
    model = dask_gd.RidgeCV([alpha], store_cv_results=True).fit(da.from_array(X, chunks=(100, 8)), y)
    exact = left_out_in_long_doubles(X, y, alpha) ** 2
    np.testing.assert_allclose(model.cv_results_[:, 0], exact, rtol=1e-6, atol=1e-8 * exact.max())
    A, z = np.vstack([X - X.mean(axis=0), np.sqrt(alpha) * np.eye(8)]), np.concatenate([y - y.mean(), np.zeros(8)])
    coef = np.linalg.lstsq(A, z, rcond=None)[0]
    np.testing.assert_allclose(model.coef_, coef, atol=1e-8 * np.abs(coef).max())
    assert model.n_sweeps_ == (3 if kappa >= 1e5 and alpha <= 1e-6 else 2)


@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "none"])
@pytest.mark.parametrize("kind", ["several targets and weights", "csr", "device"])
def test_the_sweep_of_rotated_rows_takes_all_that_blocks_may_be(kind, fit_intercept, rng):
    X = columns_of(1e6, rng) + 0.5
    y = X @ rng.normal(size=(8, 2)) + 0.1 * rng.normal(size=(400, 2))
    model = dask_gd.RidgeCV([1e-6], fit_intercept=fit_intercept, store_cv_results=True)
    weight = rng.random(400) if kind == "several targets and weights" else None
    data = {
        "csr": lambda: (da.from_array(X, chunks=(100, 8)).map_blocks(sp.csr_matrix), y),
        "device": lambda: (strict.asarray(X), strict.asarray(y)),
        "several targets and weights": lambda: (da.from_array(X, chunks=(150, 3)), y, weight),
    }[kind]()
    model.fit(*data)
    assert model.n_sweeps_ == 3
    found = model.cv_results_
    found = dask_gd.arrays.to_numpy(found) if kind == "device" else np.asarray(found)
    other = theirs(model, X, y, weight, gcv_mode="svd")
    np.testing.assert_allclose(found, other.cv_results_, rtol=1e-6, atol=1e-8 * found.max())
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-7, atol=1e-7 * np.abs(other.coef_).max())


def test_units_of_columns_cost_no_sweep(rng):
    X, y = make(rng, n=300)
    units = 10.0 ** np.array([-6, 0, 6, 3, -3, 0])
    model = dask_gd.RidgeCV([1e-9], store_cv_results=True).fit(X * units, y)
    assert model.n_sweeps_ == 2
    exact = left_out_in_long_doubles(X * units, y, 1e-9) ** 2
    np.testing.assert_allclose(model.cv_results_[:, 0], exact, rtol=1e-7, atol=1e-8 * exact.max())


def test_sparse_rows_without_a_dense_block(rng, monkeypatch):
    X = sp.random_array((4000, 300), density=0.02, rng=rng, format="csr")
    y = X @ rng.normal(size=300) + rng.normal(size=4000)
    seen = []
    slices = left_out._slices

    def watched(X, width):
        for rows in slices(X, width):
            seen.append(rows.stop - rows.start)
            yield rows

    monkeypatch.setattr(left_out, "_slices", watched)
    model = dask_gd.RidgeCV(np.logspace(-2, 2, 40)).fit(X, y)
    assert max(seen) * (2 * 300 + 300 + 80) * 8 <= left_out.SLICE_BYTES
    assert_alike(model, theirs(model, X.toarray(), y))


def test_many_strengths_and_targets_go_in_groups(rng, monkeypatch):
    X, y = make(rng, n=60, m=3)
    whole = dask_gd.RidgeCV(np.logspace(-2, 3, 30), store_cv_results=True).fit(X, y)
    monkeypatch.setattr(left_out, "GROUP_COLUMNS", 7)
    parts = clone(whole).fit(X, y)
    assert_alike(parts, whole, 1e-12)
    assert parts.cv_results_.shape == (60, 3, 30)


def test_stored_results_are_lazy_for_dask_input(rng):
    X, y = make(rng)
    dX = da.from_array(X, chunks=(50, 3))
    dX = dX[dX[:, 0] > -np.inf]  # chunks of unknown length
    model = dask_gd.RidgeCV(store_cv_results=True).fit(dX, da.from_array(y[:, None], chunks=50))
    other = theirs(model, X, y[:, None])
    assert isinstance(model.cv_results_, da.Array)
    assert np.isnan(model.cv_results_.shape[0])
    assert model.cv_results_.shape[1:] == (1, 3)
    np.testing.assert_allclose(model.cv_results_[:, 0].compute(), other.cv_results_[:, 0], rtol=1e-8)
    assert not hasattr(dask_gd.RidgeCV().fit(dX, y), "cv_results_")


# -- folds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weights"])
def test_folds_are_those_of_scikit_learn_in_one_sweep(weighted, scoring, layout, rng):
    X, y = make(rng, m=2)
    weight = (rng.random(len(X)),) if weighted else ()
    model = dask_gd.RidgeCV(np.logspace(-2, 4, 25), scoring=scoring, cv=4).fit(*LAYOUTS[layout](X, y, *weight))
    assert model.n_sweeps_ == 1
    assert_alike(model, theirs(model, X, y, *weight))


@pytest.mark.parametrize(
    "cv", [KFold(3, shuffle=True, random_state=0), LeaveOneOut(), list(KFold(2).split(np.zeros((60, 1))))]
)
@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "none"])
def test_splitters_whose_folds_hold_every_row_once(fit_intercept, cv, rng):
    X, y = make(rng, n=60)
    model = dask_gd.RidgeCV([0.0, *ALPHAS], fit_intercept=fit_intercept, scoring="neg_mean_squared_error", cv=cv)
    model.fit(da.from_array(X, chunks=(25, 6)), y)
    assert model.n_sweeps_ == 1
    assert_alike(model, theirs(model, X, y))


def test_folds_of_offsets_are_judged_by_what_the_targets_were(rng):
    X, y = make(rng, n=90)
    offset = 20 * rng.normal(size=90)
    model = dask_gd.RidgeCV(ALPHAS, cv=3).fit(X, y + offset, offset=offset)
    means = []
    for alpha in ALPHAS:
        values = []
        for train, test in KFold(3).split(X):
            ridge = dask_gd.Ridge(alpha).fit(X[train], (y + offset)[train], offset=offset[train])
            values.append(ridge.score(X[test], (y + offset)[test], offset=offset[test]))
        means.append(np.mean(values))
    assert model.best_score_ == pytest.approx(max(means), rel=1e-9)
    assert model.alpha_ == ALPHAS[np.argmax(means)]


@pytest.mark.parametrize("n_alphas", [3, 40])
def test_folds_of_collinear_columns(n_alphas, rng):
    X, y = make(rng, n=60)
    X = np.column_stack([X, X[:, 0] + X[:, 1]])
    alphas = np.logspace(-3, 3, n_alphas)
    model = dask_gd.RidgeCV(alphas, cv=5).fit(X, y)
    assert_alike(model, theirs(model, X, y), 1e-7)
    free = dask_gd.RidgeCV([0.0], cv=5).fit(X, y)  # of smallest norm, as least squares have it
    np.testing.assert_allclose(free.coef_, sklearn.linear_model.LinearRegression().fit(X, y).coef_, rtol=1e-6)


def test_one_more_sweep_refines_what_sums_of_products_are_too_coarse_for(rng):
    X = columns_of(1e5, rng)
    y = X @ rng.normal(size=8) + 0.1 * rng.normal(size=400)
    model = dask_gd.RidgeCV([1e-6], cv=5).fit(da.from_array(X, chunks=(100, 8)), y)
    assert model.n_sweeps_ == 2
    A = np.vstack([X - X.mean(axis=0), 1e-3 * np.eye(8)])
    exact = np.linalg.lstsq(A, np.concatenate([y - y.mean(), np.zeros(8)]), rcond=None)[0]
    np.testing.assert_allclose(model.coef_, exact, rtol=1e-8, atol=1e-8 * np.abs(exact).max())


def test_many_strengths_by_one_decomposition(rng):
    X, y = make(rng, n=50, m=2)
    X = X - X.mean(axis=0)
    sums = RidgeSums(X.T @ X, X.T @ y, np.zeros(6), np.zeros(2))
    alphas = np.logspace(-2, 2, 30)
    one_by_one = np.concatenate([ridges(sums, alphas[[i]]) for i in range(30)])
    np.testing.assert_allclose(ridges(sums, alphas), one_by_one, rtol=1e-10)


# -- what it does with other input -----------------------------------------------------------------------------------


def test_constant_targets(rng):
    X = rng.normal(size=(40, 2))
    y = np.stack([np.full(40, 0.1), X[:, 0]], axis=1)
    for cv in (None, 4):
        model = dask_gd.RidgeCV(cv=cv).fit(X, y)
        assert np.isfinite(model.best_score_)
        np.testing.assert_allclose(model.coef_[0], 0, atol=1e-16)


def test_what_it_refuses(rng):
    X, y = make(rng, n=12)
    for options, message in {
        "0.0": ({"alphas": [1.0, 0.0]}, "alphas must be a number, or several, above 0"),
        "negative": ({"alphas": [-1.0], "cv": 3}, "from 0 upwards"),
        "words": ({"alphas": "many"}, "alphas must be"),
        "table": ({"alphas": [[1.0]]}, "alphas must be"),
        "none": ({"alphas": []}, "alphas must be"),
        "absolute": ({"scoring": "neg_mean_absolute_error"}, r"'neg_mean_absolute_error' instead: .* GridSearchCV"),
        "callable": ({"scoring": lambda *_: 0.0}, r"use GridSearchCV\(Ridge\(\)"),
        "stored": ({"cv": 3, "store_cv_results": True}, "store_cv_results=True are incompatible"),
        "targets": ({"cv": 3, "alpha_per_target": True}, "alpha_per_target=True are incompatible"),
        "intercept": ({"fit_intercept": 2}, "'fit_intercept' parameter of RidgeCV must be True or False"),
        "overlap": ({"cv": ShuffleSplit(3, random_state=0)}, r"leave rows out|overlap"),
        "folds": ({"cv": 100}, "n_splits=100 greater than the number of samples"),
        "r2 of one row": ({"cv": LeaveOneOut()}, "R² needs them"),
    }.values():
        with pytest.raises(ValueError, match=message):
            dask_gd.RidgeCV(**options).fit(X, y)
    with pytest.raises(TypeError, match="gcv_mode"):
        dask_gd.RidgeCV(gcv_mode="svd")
    with pytest.raises(ValueError, match=r"5,000 columns are more than .* fit Ridge at single"):
        dask_gd.RidgeCV().fit(da.zeros((10, 5000), chunks=(5, 5000)), da.zeros(10, chunks=5))
    with pytest.raises(ValueError, match="n_samples = 1"):
        dask_gd.RidgeCV().fit(X[:1], y[:1])
    with pytest.raises(ValueError, match="n_samples = 12 rows must leave another of positive weight"):
        dask_gd.RidgeCV().fit(X, y, np.eye(12)[0])
    with pytest.raises(ValueError, match="R² needs two rows"):
        dask_gd.RidgeCV(fit_intercept=False, scoring="r2").fit(X[:1], y[:1])
    with pytest.raises(ValueError, match="Fold 0 has no row of positive weight, or all"):
        dask_gd.RidgeCV(cv=2).fit(X, y, np.repeat([1.0, 0.0], 6))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        dask_gd.RidgeCV().fit(da.from_array(np.where(X > 2, np.nan, X), chunks=(5, 6)), y)
    alone = dask_gd.RidgeCV([1.0], fit_intercept=False).fit(X[:1], y[:1])
    assert alone.best_score_ == pytest.approx(-(y[0] ** 2))


def test_a_failed_fit_leaves_the_model_as_it_was(rng):
    X, y = make(rng, n=30)
    model = dask_gd.RidgeCV().fit(X, y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 2, np.nan, X), y)
    assert vars(model) == before


def test_a_number_is_one_strength(rng):
    X, y = make(rng, n=30)
    for cv in (None, 3):
        model = dask_gd.RidgeCV(2.0, cv=cv).fit(X, y)
        assert model.alpha_ == 2.0
        np.testing.assert_allclose(model.coef_, dask_gd.Ridge(2.0).fit(X, y).coef_, rtol=1e-9)


def test_chunks_of_another_order_have_the_same_bits(rng):
    """What arrives in a message may lie in another order in memory."""
    X, y = make(rng, n=100)
    V, rest = np.linalg.qr(X.T @ X)[0], (np.full(6, 1e3), np.ones((6, 1)), np.ones(3), 100.0)
    kernel, other = (
        LeaveOneOutKernel(X.mean(axis=0), np.array([y.mean()]), vectors, *rest) for vectors in (V, np.asfortranarray(V))
    )
    np.testing.assert_array_equal(kernel(Block(0, X, y)), other(Block(0, X, y)))


def test_the_plan_counts_the_sweep_of_rows_left_out():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dask_gd.RidgeCV().explain(np.zeros((100, 3))).chosen.sweeps == 2
        assert dask_gd.RidgeCV(cv=3).explain(np.zeros((100, 3))).chosen.sweeps == 1


def test_groups_are_a_splitter_of_ones_own(rng):
    X, y = make(rng, n=60)
    splits = list(GroupKFold(3).split(X, y, np.arange(60) % 7))
    model = dask_gd.RidgeCV(ALPHAS, cv=splits).fit(X, y)
    assert_alike(model, theirs(model, X, y))
    assert ridge_cv.RidgeCV is dask_gd.RidgeCV
