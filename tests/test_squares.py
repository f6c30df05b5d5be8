"""A squared loss known by its sums of products: they are right, they merge, and they answer like a sweep."""

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from sklearn.model_selection import KFold, ShuffleSplit

import dask_gd
from dask_gd.engine import LocalEngine
from dask_gd.engine.blocks import local_blocks
from dask_gd.expansion import Expansion
from dask_gd.fitting import Fit, minimise
from dask_gd.kernels import EVERYTHING, FirstKernel, FoldKernel, MomentsKernel, SquaresKernel
from dask_gd.losses import Squared
from dask_gd.objective import Model, Objective
from dask_gd.penalties import ElasticNet
from dask_gd.protocol import DIAGONAL, GRADIENT, HESSIAN, PRODUCT, SAMPLED, Block, Query
from dask_gd.solvers import SOLVERS, GradientDescent, NewtonCholesky

F64 = np.dtype(np.float64)


def make(rng, n=120, d=4, m=1, mean=0.0):
    X = rng.normal(size=(n, d)) * np.geomspace(0.5, 5, d) + mean
    y = X @ rng.normal(size=(d, m)) + rng.normal(size=(n, m)) + 3
    return X, y[:, 0] if m == 1 else y


def first(blocks, n_features, n_folds=0):
    kernel = FirstKernel(MomentsKernel(n_features, False, Squared()), SquaresKernel())
    return LocalEngine(blocks, serial=True).sweep(FoldKernel(kernel, n_folds) if n_folds else kernel)


def cut(X, y, weight, offset, cuts, fold=None):
    def part(a, rows):
        return None if a is None else a[rows]

    return [
        Block(i, X[rows], y[rows], part(weight, rows), part(offset, rows), part(fold, rows))
        for i, rows in enumerate(cuts)
    ]


CUTS = {
    "one": [slice(0, None)],
    "three": [slice(0, 40), slice(40, 41), slice(41, None)],
    "empty": [slice(0, 0), slice(0, 50), slice(50, 50), slice(50, None)],
}


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weights"])
@pytest.mark.parametrize("cuts", CUTS)
def test_squares_are_the_sums(cuts, weighted, m, dtype, sparse, rng):
    X, y = make(rng, m=m, mean=2.0)
    X = X.astype(dtype)
    weight = rng.integers(0, 3, len(X)).astype(float) if weighted else None
    offset = rng.normal(size=len(X)) if weighted else None
    stored = sp.csr_array(X) if sparse else X
    found = first(cut(stored, y, weight, offset, CUTS[cuts]), 4).squares
    s = np.ones(len(X)) if weight is None else weight
    z = (y.T - (0 if offset is None else offset)).T.reshape(len(X), -1)
    x_mean, z_mean = np.average(X.astype(float), axis=0, weights=s), np.average(z, axis=0, weights=s)
    A, B = X - x_mean, z - z_mean
    assert found.weight == pytest.approx(s.sum())
    np.testing.assert_allclose(found.x_mean, x_mean, rtol=1e-6 if dtype == np.float32 else 1e-12)
    np.testing.assert_allclose(found.z_mean, z_mean, rtol=1e-12)
    np.testing.assert_allclose(found.xx, (A * s[:, None]).T @ A, rtol=1e-9, atol=1e-9 * s.sum())
    np.testing.assert_allclose(found.xz, (A * s[:, None]).T @ B, rtol=1e-9, atol=1e-9 * s.sum())
    np.testing.assert_allclose(found.zz, s @ B**2, rtol=1e-12)


def test_squares_far_from_zero_keep_their_digits(rng):
    X, y = make(rng, n=2000, mean=1e6)
    found = first(cut(X, y, None, None, [slice(0, 700), slice(700, None)]), 4).squares
    A = X - X.mean(axis=0)
    np.testing.assert_allclose(found.xx, A.T @ A, rtol=1e-9, atol=1e-7)


def test_folds_add_up(rng):
    X, y = make(rng)
    fold = rng.integers(0, 3, len(X))
    folds = first(cut(X, y, None, None, CUTS["three"], fold), 4, 3).of("squares")
    for k in (0, 1, 2, EVERYTHING):
        rows = fold != k
        alone = first([Block(0, X[rows], y[rows])], 4).squares
        for a, b in zip(folds.without(k), alone, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("want", [GRADIENT, HESSIAN, DIAGONAL, PRODUCT], ids=lambda w: "+".join(sorted(w)))
@pytest.mark.parametrize("standardised", [False, True], ids=["raw", "standardised"])
@pytest.mark.parametrize("intercept", [False, True], ids=["no intercept", "intercept"])
@pytest.mark.parametrize("m", [1, 2])
def test_an_expansion_answers_like_a_sweep(m, intercept, standardised, want, rng):
    X, y = make(rng, m=m, mean=1.0)
    weight, offset = rng.random(len(X)) * 2, rng.normal(size=len(X))
    blocks = local_blocks(X, y, weight, offset)
    both = first(blocks, 4)
    known, swept = (
        Objective(Squared(m), both.moments, fit_intercept=intercept, dtype=F64, sparse=False, squares=squares)
        for squares in (both.squares, None)
    )
    penalty = ElasticNet(l2=0.3)
    coordinates = known.coordinates(NewtonCholesky(standardised=standardised), penalty)
    theta = rng.normal(size=(3, known.size))
    query = Query(theta, want, rng.normal(size=theta.shape) if want == PRODUCT else None)
    answer = known.known(query, Model(penalty, coordinates, known.expansion))
    model = Model(penalty, coordinates)
    assert swept.known(query, model) is None
    other = swept.finish(LocalEngine(blocks).sweep(swept.kernel([query], [model])), [query], [model])[0]
    names = want & {"value", "grad", "hess", "hess_diag", "hess_product"}
    for name in names:
        np.testing.assert_allclose(getattr(answer, name), getattr(other, name), rtol=1e-9, atol=1e-9)
    assert answer.value.shape == (3,)


def test_an_expansion_stands_in_for_a_sample(rng):
    X, y = make(rng)
    both = first(local_blocks(X, y, None, None), 4)
    known = Objective(Squared(), both.moments, fit_intercept=True, dtype=F64, sparse=False, squares=both.squares)
    model = Model(ElasticNet(), known.standardised, known.expansion)
    theta = rng.normal(size=(1, known.size))
    np.testing.assert_array_equal(
        known.known(Query(theta, SAMPLED), model).hess, known.known(Query(theta, HESSIAN), model).hess
    )


def ill_conditioned(rng, n=4000, gap=1e-6):
    Z = rng.normal(size=(n, 4))
    X = np.concatenate([Z, Z + gap * rng.normal(size=(n, 4))], axis=1)
    return X, X @ rng.normal(size=8) + rng.normal(size=n)


def test_a_refinement_wins_the_digits_back(rng):
    """Normal equations alone have lost them: κ² is beyond what sums of products hold."""
    X, y = ill_conditioned(rng)
    both = first(local_blocks(X, y, None, None), 8)
    expansion = Expansion.of(both.squares, fit_intercept=True)
    assert expansion.coarse
    plain = np.linalg.solve(expansion.hess, -expansion.grad_w[0])
    model = dask_gd.LinearRegression().fit(X, y)
    best = np.linalg.lstsq(X - X.mean(axis=0), y - y.mean(), rcond=None)[0]
    assert model.n_sweeps_ == 2
    size = np.abs(best).max()
    assert np.abs(model.coef_ - best).max() <= 1e-6 * size
    assert np.abs(plain - best).max() >= 10 * np.abs(model.coef_ - best).max()


def test_an_exact_fit_is_exact(rng):
    X, _ = make(rng)
    model = dask_gd.LinearRegression().fit(X, X @ [1.0, -2.0, 3.0, 0.0] + 4)
    np.testing.assert_allclose(model.coef_, [1, -2, 3, 0], atol=1e-13)
    assert model.n_sweeps_ == 2


def test_a_refinement_is_computed_in_float64(rng):
    X, y = ill_conditioned(rng, gap=3e-3)
    X = X.astype(np.float32)
    model = dask_gd.LinearRegression().fit(X, y)
    best = np.linalg.lstsq(X.astype(float) - X.astype(float).mean(axis=0), y - y.mean(), rcond=None)[0]
    np.testing.assert_allclose(model.coef_, best, rtol=1e-7, atol=1e-7 * np.abs(best).max())


# -- how many sweeps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_every_solver_of_a_squared_loss_takes_one_sweep(solver, rng):
    X, y = make(rng, n=2000)
    model = dask_gd.GDRegressor(penalty="l2", alpha=0.01, solver=solver, max_iter=5000, tol=1e-7).fit(X, y)
    best = sklearn.linear_model.Ridge(alpha=0.01 * len(X)).fit(X, y)
    assert model.n_sweeps_ == 1
    assert model.converged_
    np.testing.assert_allclose(model.coef_, best.coef_, atol=1e-4)


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive", "armijo"])
def test_a_thousand_iterations_take_one_sweep(learning_rate, rng):
    X, y = make(rng, n=2000)
    options = {"learning_rate": learning_rate, "eta0": 0.01, "max_iter": 1000, "tol": None}
    model = dask_gd.GDRegressor(**options).fit(da.from_array(X, chunks=(300, 4)), da.from_array(y, chunks=300))
    assert model.n_sweeps_ == 1
    assert model.n_iter_ == 1000 or learning_rate in ("adaptive", "armijo")  # they stop where nothing is lower
    swept = dask_gd.GDRegressor(precompute=False, **{**options, "max_iter": 50}).fit(X, y)
    known = dask_gd.GDRegressor(**{**options, "max_iter": 50}).fit(X, y)
    assert swept.n_sweeps_ >= 51
    np.testing.assert_allclose(known.history_["objective"], swept.history_["objective"], rtol=1e-10)
    np.testing.assert_allclose(known.coef_, swept.coef_, rtol=1e-9)


def test_a_grid_of_rates_takes_no_sweep_beyond_the_first(rng):
    X, y = make(rng, n=2000)
    engine = LocalEngine(local_blocks(X, y, None, None))
    both = engine.sweep(FirstKernel(MomentsKernel(4, False, Squared()), SquaresKernel()))
    objective = Objective(Squared(), both.moments, fit_intercept=True, dtype=F64, sparse=False, squares=both.squares)
    fits = [
        Fit(GradientDescent("constant", eta0), ElasticNet(l2=1e-4), *objective.start(), 1000, None)
        for eta0 in np.geomspace(1e-5, 1e-2, 16)
    ]
    results = minimise(objective, engine, fits, dtype=F64)
    assert engine.n_sweeps == 1
    assert [result.n_iter for result in results] == [1000] * 16


def test_precompute_can_be_switched_off(rng):
    X, y = make(rng, n=500)
    for cls in (dask_gd.LinearRegression, dask_gd.Ridge, dask_gd.Lasso, dask_gd.ElasticNet):
        one, many = cls().fit(X, y), cls(precompute=False).fit(X, y)
        assert one.n_sweeps_ == 1 < many.n_sweeps_
        np.testing.assert_allclose(one.coef_, many.coef_, atol=1e-8)
    with pytest.raises(ValueError, match=r"precompute=True.*squared loss.*Huber"):
        dask_gd.GDRegressor(loss="huber", precompute=True).fit(X, y)
    with pytest.raises(ValueError, match="'precompute' parameter"):
        dask_gd.Ridge(precompute="yes").fit(X, y)


# -- paths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
@pytest.mark.parametrize("positive", [False, True])
def test_paths_are_those_of_scikit_learn(positive, l1_ratio, rng):
    X, y = make(rng, n=300, d=12)
    alphas, coefs, gaps = dask_gd.enet_path(X, y, l1_ratio=l1_ratio, positive=positive)
    theirs = sklearn.linear_model.enet_path(
        X, y, l1_ratio=l1_ratio, positive=positive, alphas=100, tol=1e-13, max_iter=100_000
    )
    np.testing.assert_allclose(alphas, theirs[0], rtol=1e-10)
    np.testing.assert_allclose(coefs, theirs[1], atol=1e-7 * np.abs(coefs).max())
    assert coefs.shape == (12, 100)
    assert (gaps >= 0).all()
    assert gaps.max() <= 1e-10 * np.var(y)


def test_a_gap_is_an_upper_bound(rng):
    X, y = make(rng, n=300, d=12)
    alphas, coefs, _ = dask_gd.lasso_path(X, y, alphas=5)
    again = dask_gd.lasso_path(X, y, alphas=alphas[::-1])
    np.testing.assert_array_equal(coefs, again[1])  # from strong to weak, however they are given


CV_MODELS = [
    ({}, dask_gd.LassoCV, sklearn.linear_model.LassoCV),
    ({"positive": True, "cv": 3}, dask_gd.LassoCV, sklearn.linear_model.LassoCV),
    ({"fit_intercept": False}, dask_gd.LassoCV, sklearn.linear_model.LassoCV),
    ({"cv": KFold(4, shuffle=True, random_state=0)}, dask_gd.LassoCV, sklearn.linear_model.LassoCV),
    ({"l1_ratio": [0.2, 0.9]}, dask_gd.ElasticNetCV, sklearn.linear_model.ElasticNetCV),
    ({"alphas": [0.01, 1.0, 0.1]}, dask_gd.ElasticNetCV, sklearn.linear_model.ElasticNetCV),
]


@pytest.mark.parametrize("layout", ["numpy", "chunks", "csr"])
@pytest.mark.parametrize(("options", "ours", "theirs"), CV_MODELS)
def test_cross_validation_is_that_of_scikit_learn_in_one_sweep(options, ours, theirs, layout, rng):
    X, y = make(rng, n=401, d=8)
    data = {
        "numpy": (X, y),
        "chunks": (da.from_array(X, chunks=(90, 5)), da.from_array(y, chunks=77)),
        "csr": (sp.csr_array(X), y),
    }[layout]
    model = ours(**options).fit(*data)
    other = theirs(tol=1e-12, max_iter=100_000, **options).fit(X, y)
    assert model.n_sweeps_ == 1
    assert model.alpha_ == pytest.approx(other.alpha_, rel=1e-10)
    np.testing.assert_allclose(model.alphas_, other.alphas_, rtol=1e-10)
    np.testing.assert_allclose(model.mse_path_, other.mse_path_, rtol=1e-8)
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-7)
    assert model.intercept_ == pytest.approx(other.intercept_, abs=1e-7)
    if "l1_ratio" in options:
        assert model.l1_ratio_ == other.l1_ratio_


def test_weights_of_a_cross_validation(rng):
    X, y = make(rng, n=400, d=8)
    weight = rng.random(400)
    model = dask_gd.LassoCV().fit(X, y, weight)
    other = sklearn.linear_model.LassoCV(tol=1e-12, max_iter=100_000).fit(X, y, weight)
    assert model.alpha_ == pytest.approx(other.alpha_)
    np.testing.assert_allclose(model.mse_path_, other.mse_path_, rtol=1e-8)


def test_what_a_path_refuses(rng):
    X, y = make(rng, n=60)
    with pytest.raises(ValueError, match=r"leave rows out|overlap"):
        dask_gd.LassoCV(cv=ShuffleSplit(3, random_state=0)).fit(X, y)
    with pytest.raises(ValueError, match=r"'l1_ratio' parameter of ElasticNetCV must be a float in the range \(0, 1\]"):
        dask_gd.ElasticNetCV(l1_ratio=0.0).fit(X, y)
    with pytest.raises(ValueError, match="n_splits=100 greater than the number of samples"):
        dask_gd.LassoCV(cv=100).fit(X, y)
    with pytest.raises(ValueError, match="alphas must"):
        dask_gd.LassoCV(alphas=[-1.0]).fit(X, y)
    wide = da.zeros((10, 5000), chunks=(5, 5000))
    with pytest.raises(ValueError, match="5,000 columns are more than"):
        dask_gd.lasso_path(wide, da.zeros(10, chunks=5))
    unknown = da.from_array(X, chunks=(20, 4))
    unknown = unknown[unknown[:, 0] > -np.inf]
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        dask_gd.LassoCV().fit(unknown, y)
    with pytest.raises(ValueError, match=r"X.to_dask_array\(lengths=True\)"):
        dask_gd.LassoCV().fit(unknown.to_dask_dataframe(), y)
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        dask_gd.LassoCV().fit(unknown[:, 0], y)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        dask_gd.LassoCV().fit(da.from_array(np.where(X > 2, np.nan, X), chunks=(20, 4)), y)


def test_a_frame_of_known_lengths_has_paths(rng):
    X, y = make(rng, n=60)
    frame = da.from_array(X, chunks=(20, 4)).to_dask_dataframe(columns=list("abcd"))
    model = dask_gd.LassoCV(cv=3).fit(frame.to_dask_array(lengths=True), y)
    np.testing.assert_allclose(model.coef_, dask_gd.LassoCV(cv=3).fit(X, y).coef_, rtol=1e-9)
