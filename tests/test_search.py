"""Searches whose fits share sweeps do what scikit-learn's do fit by fit."""

import warnings
from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import model_selection as sk
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.linear_model import LogisticRegressionCV as SklearnLogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dask_gd as dg
from dask_gd.engine import LocalEngine
from dask_gd.model_selection import GridSearchCV, KFold, LogisticRegressionCV, RandomizedSearchCV

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, D = 240, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, D)) * [1, 2, 0.5, 1, 3] + [0, 1, 0, -2, 0]
MARGIN = X @ [1.0, -0.5, 2.0, 0.3, 0.0]
LABELS = (MARGIN + RNG.logistic(size=N) > 0).astype(int)
THREE = np.digitize(MARGIN + RNG.logistic(size=N), [-1, 1])
NUMBERS = MARGIN + RNG.normal(size=N)
COUNTS = RNG.poisson(np.exp(0.2 * MARGIN)).astype(float)
WEIGHTS = RNG.uniform(0.2, 3, size=N)


def grid(rng):
    """A random estimator, its grid and the targets it is for."""

    def some(values, most=4):
        count = int(rng.integers(1, min(most, len(values)) + 1))
        return [values[i] for i in sorted(rng.choice(len(values), count, replace=False))]

    strengths = [float(a) for a in np.logspace(-3, 2, 11)]
    classes = [LABELS, THREE, np.array(["no", "yes"])[LABELS]][int(rng.integers(3))]
    etas = [0.001, 0.003, 0.01, 0.02]
    return [
        (dg.LogisticRegression(), {"C": some(strengths, 6), "class_weight": some([None, "balanced"])}, classes),
        (dg.LogisticRegression(l1_ratio=0.5), {"C": some(strengths[3:], 6)}, LABELS),
        (dg.GDClassifier(tol=None, max_iter=15, learning_rate="constant"), {"eta0": some(etas)}, classes),
        (dg.GDClassifier(max_iter=30), {"alpha": some(strengths), "loss": some(["log_loss", "squared_hinge"])}, LABELS),
        (dg.GDRegressor(tol=None, max_iter=15, learning_rate="constant"), {"eta0": some(etas)}, NUMBERS),
        (dg.GDRegressor(loss="huber"), {"alpha": some(strengths), "fit_intercept": some([True, False])}, NUMBERS),
        (dg.Ridge(), {"alpha": some(strengths, 6), "standardize": some([True, False])}, NUMBERS),
        (dg.ElasticNet(), {"alpha": some(strengths), "l1_ratio": some([0.1, 0.5, 0.9])}, NUMBERS),
        (dg.PoissonRegressor(), {"alpha": some(strengths, 6)}, COUNTS),
        (dg.TweedieRegressor(), {"power": some([0, 1, 1.5]), "alpha": some(strengths)}, COUNTS),
    ][int(rng.integers(10))]


def layout(rng, *arrays):
    """The data as NumPy arrays, with CSR, or as dask arrays of uneven chunks."""
    kind = int(rng.integers(4))
    if kind == 0:
        return arrays
    sparse = sp.csr_array(arrays[0])
    if kind == 1:
        return sparse, *arrays[1:]
    cuts = [0, *sorted(rng.choice(np.arange(1, N), 3, replace=False).tolist()), N]
    rows = tuple(b - a for a, b in pairwise(cuts))
    first = da.from_array(arrays[0], chunks=(rows, D))
    first = first.map_blocks(sp.csr_array, dtype=float, meta=sp.csr_array((0, D))) if kind == 3 else first
    return first, *(None if a is None else da.from_array(a, chunks=(rows,)) for a in arrays[1:])


def assert_same_search(ours, theirs, tol=1e-6):
    assert set(ours.cv_results_) == set(theirs.cv_results_)
    for name, expected in theirs.cv_results_.items():
        found = ours.cv_results_[name]
        if "time" in name:
            assert (np.asarray(found) >= 0).all()
        elif name == "params" or name.startswith("rank_") or name.startswith("param_"):
            assert list(found) == list(expected), name
        else:
            np.testing.assert_allclose(found, expected, rtol=0, atol=tol, err_msg=name)
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_index_ == theirs.best_index_
    assert ours.n_splits_ == theirs.n_splits_


@pytest.mark.parametrize("seed", range(40))
def test_random_grids(seed):
    rng = np.random.default_rng(seed)
    estimator, parameters, y = grid(rng)
    weights = WEIGHTS if rng.integers(2) else None
    data = layout(rng, X, y, weights)
    cv = [3, 5, sk.KFold(4, shuffle=True, random_state=0)][int(rng.integers(3))]
    options = {"cv": cv, "return_train_score": bool(rng.integers(2))}
    fit = {} if weights is None else {"sample_weight": data[2]}
    ours = GridSearchCV(estimator, parameters, **options).fit(*data[:2], **fit)
    theirs = sk.GridSearchCV(estimator, parameters, **options).fit(*data[:2], **fit)
    assert ours.n_sweeps_ is not None
    assert_same_search(ours, theirs)
    np.testing.assert_allclose(ours.best_estimator_.coef_, theirs.best_estimator_.coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("estimator", "y", "scoring", "refit"),
    [
        (dg.LogisticRegression(), LABELS, ["accuracy", "neg_log_loss", "f1", "balanced_accuracy"], "neg_log_loss"),
        (dg.LogisticRegression(), THREE, {"a": "neg_log_loss", "b": "f1_macro", "c": "accuracy"}, "b"),
        (dg.LogisticRegression(), np.array(["no", "yes"])[LABELS], "f1_macro", True),
        (dg.LogisticRegression(), LABELS, "neg_brier_score", True),
        (dg.Ridge(), NUMBERS, ["r2", "neg_mean_squared_error", "neg_mean_absolute_error"], "r2"),
        (dg.Ridge(), np.column_stack([NUMBERS, MARGIN]), "r2", True),
        (dg.PoissonRegressor(), COUNTS, "neg_mean_poisson_deviance", True),
    ],
)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weights"])
def test_scores(estimator, y, scoring, refit, weights):
    name = "C" if hasattr(estimator, "C") else "alpha"
    options = {"scoring": scoring, "refit": refit, "cv": 4, "return_train_score": True}
    fit = {} if weights is None else {"sample_weight": weights}
    ours = GridSearchCV(estimator, {name: [0.01, 1.0, 100.0]}, **options).fit(X, y, **fit)
    theirs = sk.GridSearchCV(estimator, {name: [0.01, 1.0, 100.0]}, **options).fit(X, y, **fit)
    assert ours.n_sweeps_ is not None
    assert_same_search(ours, theirs, tol=1e-9)
    assert abs(ours.score(X, y) - theirs.score(X, y)) < 1e-9
    assert ours.multimetric_ == theirs.multimetric_


def test_refit_by_a_callable_and_none():
    def simplest(results):
        return int(np.argmin([p["C"] for p in results["params"]]))

    ours = GridSearchCV(dg.LogisticRegression(), {"C": [1.0, 0.1]}, refit=simplest).fit(X, LABELS)
    assert ours.best_params_ == {"C": 0.1}
    assert not hasattr(ours, "best_score_")
    alone = dg.LogisticRegression(C=0.1).fit(X, LABELS)
    np.testing.assert_allclose(ours.best_estimator_.coef_, alone.coef_, rtol=1e-12)
    ours = GridSearchCV(dg.LogisticRegression(), {"C": [1.0, 0.1]}, refit=False).fit(X, LABELS)
    assert not hasattr(ours, "best_estimator_")
    assert ours.best_params_ in ({"C": 0.1}, {"C": 1.0})


def test_the_best_estimator_is_that_of_a_fit_alone():
    ours = GridSearchCV(dg.GDClassifier(), {"eta0": [0.01, 0.1]}).fit(da.from_array(X, chunks=(60, D)), LABELS)
    alone = clone(ours.estimator).set_params(**ours.best_params_).fit(da.from_array(X, chunks=(60, D)), LABELS)
    best = ours.best_estimator_
    np.testing.assert_allclose(best.coef_, alone.coef_, rtol=1e-11)
    for name in ("n_iter_", "solver_", "converged_", "n_features_in_"):
        assert getattr(best, name) == getattr(alone, name)
    assert list(best.classes_) == list(alone.classes_)
    assert set(best.history_) == set(alone.history_)


def test_random_search():
    from scipy.stats import loguniform

    options = {"n_iter": 6, "random_state": 3, "cv": 3}
    ours = RandomizedSearchCV(dg.Ridge(), {"alpha": loguniform(1e-3, 1e3)}, **options).fit(X, NUMBERS)
    theirs = sk.RandomizedSearchCV(dg.Ridge(), {"alpha": loguniform(1e-3, 1e3)}, **options).fit(X, NUMBERS)
    assert ours.n_sweeps_ == 1
    assert_same_search(ours, theirs)


# -- sweeps ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def swept(monkeypatch):
    """How many models each sweep of losses has."""
    widths = []
    sweep = LocalEngine.sweep

    def counted(self, kernel):
        for part in getattr(kernel, "kernels", ()):
            splits = getattr(part, "splits", ())
            if splits:
                widths.append(sum(len(split.without) for split in splits))
        return sweep(self, kernel)

    monkeypatch.setattr(LocalEngine, "sweep", counted)
    return widths


def test_one_sweep_answers_all_fits(swept):
    estimator = dg.GDClassifier(learning_rate="constant", tol=None, max_iter=10)
    search = GridSearchCV(estimator, {"eta0": np.logspace(-3, -1, 16)}, cv=5, refit=False).fit(X, LABELS)
    assert search.n_sweeps_ == 1 + 11 + 1  # the data, ten iterations and their start, the scores
    assert swept == [80] * 11


def test_squared_losses_take_one_sweep():
    estimator = dg.GDRegressor(learning_rate="constant", tol=None, max_iter=200)
    etas = np.logspace(-4, -2, 16)
    search = GridSearchCV(estimator, {"eta0": etas}, cv=5).fit(X, NUMBERS)
    assert search.n_sweeps_ == 1
    for i in (0, 7, 15):
        for fold, (train, test) in enumerate(sk.KFold(5).split(X)):
            alone = clone(estimator).set_params(eta0=etas[i]).fit(X[train], NUMBERS[train])
            assert abs(search.cv_results_[f"split{fold}_test_score"][i] - alone.score(X[test], NUMBERS[test])) < 1e-8


def test_converged_fits_leave_the_sweep(swept):
    estimator = dg.GDClassifier(tol=1e-3, learning_rate="constant", max_iter=400)
    GridSearchCV(estimator, {"eta0": [0.01, 0.1, 0.4]}, cv=3, refit=False).fit(X / X.std(axis=0), LABELS)
    assert swept[0] == 9
    assert swept[-1] < 9
    assert all(a >= b for a, b in pairwise(swept))


def test_a_diverging_candidate_disturbs_no_other():
    estimator = dg.GDRegressor(
        loss="squared_error", precompute=False, learning_rate="constant", tol=None, max_iter=60, penalty=None
    )
    grid = {"eta0": [1e-3, 1e4, 1e-2]}
    with pytest.warns(ConvergenceWarning, match=r"10000.*diverged"):
        ours = GridSearchCV(estimator, grid, cv=3).fit(X, NUMBERS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sk.GridSearchCV(estimator, grid, cv=3).fit(X, NUMBERS)
    good = [0, 2]
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_allclose(ours.cv_results_[name][good], theirs.cv_results_[name][good], atol=1e-9)
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-6)
    assert ours.best_params_ == theirs.best_params_


@pytest.mark.parametrize("scoring", ["r2", "neg_mean_squared_error", "neg_root_mean_squared_error"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weights"])
def test_scores_of_squared_losses_take_no_sweep(scoring, weights):
    fit = {} if weights is None else {"sample_weight": weights}
    options = {"scoring": scoring, "return_train_score": True}
    ours = GridSearchCV(dg.Ridge(), {"alpha": [0.1, 10.0]}, **options).fit(X, NUMBERS, **fit)
    theirs = sk.GridSearchCV(dg.Ridge(), {"alpha": [0.1, 10.0]}, **options).fit(X, NUMBERS, **fit)
    assert ours.n_sweeps_ == 1
    assert_same_search(ours, theirs, tol=1e-10)


# -- errors ----------------------------------------------------------------------------------------------------------


def test_a_candidate_that_cannot_be_fitted():
    grid = {"alpha": [1.0, -1.0]}
    with pytest.warns(FitFailedWarning), pytest.warns(UserWarning, match="non-finite"):
        ours = GridSearchCV(dg.Ridge(), grid, cv=3).fit(X, NUMBERS)
    assert np.isnan(ours.cv_results_["mean_test_score"][1])
    assert ours.best_params_ == {"alpha": 1.0}
    assert list(ours.cv_results_["rank_test_score"]) == [1, 2]
    with pytest.raises(ValueError, match="alpha"):
        GridSearchCV(dg.Ridge(), grid, cv=3, error_score="raise").fit(X, NUMBERS)
    with pytest.raises(ValueError, match="alpha"):
        GridSearchCV(dg.Ridge(), {"alpha": [-1.0, -2.0]}, cv=3).fit(X, NUMBERS)


def test_a_score_that_does_not_exist():
    grid, options = {"C": [0.1, 1.0]}, {"scoring": "f1", "cv": 3, "error_score": -1.0}
    with pytest.warns(UserWarning, match=r"Scoring failed.*multiclass"):
        ours = GridSearchCV(dg.LogisticRegression(), grid, **options).fit(X, THREE)
    with pytest.warns(UserWarning, match="Scoring failed"):
        theirs = sk.GridSearchCV(dg.LogisticRegression(), grid, **options).fit(X, THREE)
    assert_same_search(ours, theirs)
    with pytest.raises(ValueError, match="multiclass"):
        GridSearchCV(dg.LogisticRegression(), grid, scoring="f1", error_score="raise").fit(X, THREE)


def test_a_failed_search_leaves_nothing():
    search = GridSearchCV(dg.Ridge(), {"alpha": [1.0]})
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        search.fit(bad, NUMBERS)
    assert not [name for name in vars(search) if name.endswith("_")]


def test_a_parameter_that_is_none():
    with pytest.raises(ValueError, match="Invalid parameter"):
        GridSearchCV(dg.Ridge(), {"gamma": [1.0]}).fit(X, NUMBERS)


# -- what sweeps cannot share ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "grid", "options"),
    [
        (dg.Ridge(), {"alpha": [0.1, 10.0]}, {"cv": sk.ShuffleSplit(3, random_state=0)}),
        (dg.Ridge(), {"alpha": [0.1, 10.0]}, {"cv": sk.TimeSeriesSplit(3)}),
        (make_pipeline(StandardScaler(), dg.Ridge()), {"ridge__alpha": [0.1, 10.0]}, {}),
        (dg.SGDRegressor(random_state=0, max_iter=3, tol=None), {"alpha": [0.1, 10.0]}, {}),
        (dg.Ridge(), {"alpha": [0.1, 10.0]}, {"scoring": "neg_median_absolute_error"}),
        (dg.Ridge(), {"alpha": [0.1, 10.0]}, {"scoring": lambda e, X, y: -float(np.abs(e.predict(X) - y).max())}),
    ],
)
def test_the_rest_is_left_to_scikit_learn(estimator, grid, options):
    ours = GridSearchCV(estimator, grid, **options).fit(X, NUMBERS)
    theirs = sk.GridSearchCV(estimator, grid, **options).fit(X, NUMBERS)
    assert ours.n_sweeps_ is None
    assert_same_search(ours, theirs)


def test_a_training_part_without_a_class():
    y = np.array(["a"] * 100 + ["b"] * 100 + ["c"] * 40)
    options = {"cv": sk.KFold(6)}
    ours = GridSearchCV(dg.LogisticRegression(), {"C": [0.1, 1.0]}, **options).fit(X, y)
    theirs = sk.GridSearchCV(dg.LogisticRegression(), {"C": [0.1, 1.0]}, **options).fit(X, y)
    assert_same_search(ours, theirs)


def test_weights_of_zero():
    weights = WEIGHTS * (RNG.uniform(size=N) > 0.3)
    ours = GridSearchCV(dg.LogisticRegression(), {"C": [0.1, 1.0]}).fit(X, LABELS, sample_weight=weights)
    theirs = sk.GridSearchCV(dg.LogisticRegression(), {"C": [0.1, 1.0]}).fit(X, LABELS, sample_weight=weights)
    assert_same_search(ours, theirs)


def test_groups():
    groups = np.arange(N) % 7
    options = {"cv": sk.GroupKFold(3)}
    ours = GridSearchCV(dg.Ridge(), {"alpha": [0.1, 1.0]}, **options).fit(X, NUMBERS, groups=groups)
    theirs = sk.GridSearchCV(dg.Ridge(), {"alpha": [0.1, 1.0]}, **options).fit(X, NUMBERS, groups=groups)
    assert ours.n_sweeps_ == 1
    assert_same_search(ours, theirs)


# -- data ------------------------------------------------------------------------------------------------------------


def test_unknown_chunk_lengths():
    lazy = da.from_array(X, chunks=(60, D))
    y = da.from_array(NUMBERS, chunks=60)
    some = lazy[lazy[:, 0] > -10], y[lazy[:, 0] > -10]
    search = GridSearchCV(dg.Ridge(), {"alpha": [0.1, 1.0]}, cv=KFold(3)).fit(*some)
    assert search.n_sweeps_ == 1
    with pytest.raises(ValueError, match="number of rows"):
        GridSearchCV(dg.Ridge(), {"alpha": [0.1, 1.0]}, cv=3).fit(*some)


def test_lists_and_frames():
    pd = pytest.importorskip("pandas")
    search = GridSearchCV(dg.Ridge(), {"alpha": [0.1, 1.0]}, cv=3)
    expected = search.fit(X, NUMBERS).best_estimator_.coef_
    np.testing.assert_array_equal(search.fit(X.tolist(), NUMBERS.tolist()).best_estimator_.coef_, expected)
    frame = pd.DataFrame(X, columns=list("abcde"))
    search.fit(frame, pd.Series(NUMBERS))
    np.testing.assert_array_equal(search.best_estimator_.coef_, expected)
    assert list(search.feature_names_in_) == list("abcde")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_interleaved_folds_and_machine_code(dtype):
    """Folds that lie among each other, blocks large enough for machine code, columns far from zero."""
    rng = np.random.default_rng(1)
    many = rng.normal(size=(120_000, 20)).astype(dtype) + np.linspace(-20, 50, 20).astype(dtype)
    y = (many @ rng.normal(size=20) / 5 + rng.logistic(size=len(many)) > 0).astype(int)
    estimator = dg.LogisticRegression(max_iter=50)
    options = {"cv": sk.StratifiedKFold(4, shuffle=True, random_state=0), "scoring": "neg_log_loss"}
    ours = GridSearchCV(estimator, {"C": [1e-4, 1e-2]}, **options).fit(many, y)
    theirs = sk.GridSearchCV(estimator, {"C": [1e-4, 1e-2]}, **options).fit(many, y)
    assert_same_search(ours, theirs, tol=1e-6)


def test_offsets():
    offset = RNG.normal(size=N)
    ours = GridSearchCV(dg.PoissonRegressor(), {"alpha": [0.1, 1.0]}, cv=3).fit(X, COUNTS, offset=offset)
    for fold, (train, test) in enumerate(sk.KFold(3).split(X)):
        alone = dg.PoissonRegressor(alpha=0.1).fit(X[train], COUNTS[train], offset=offset[train])
        score = alone.score(X[test], COUNTS[test], offset=offset[test])
        assert abs(ours.cv_results_[f"split{fold}_test_score"][0] - score) < 1e-9


# -- logistic regression with its own search -------------------------------------------------------------------------


@pytest.mark.parametrize("y", [LABELS, THREE], ids=["two", "three"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_weight": "balanced"},
        {"refit": False},
        {"scoring": "neg_log_loss"},
        {"fit_intercept": False},
        {"cv": sk.StratifiedKFold(3, shuffle=True, random_state=1)},
    ],
    ids=str,
)
def test_logistic_regression_cv(y, options):
    ours = LogisticRegressionCV(Cs=4, **options).fit(X, y)
    precise = {"tol": 1e-10, "max_iter": 10_000, "l1_ratios": (0.0,), "use_legacy_attributes": False}
    theirs = SklearnLogisticRegressionCV(Cs=4, solver="newton-cg", **precise, **{"scoring": None, **options}).fit(X, y)
    assert ours.C_ == pytest.approx(theirs.C_)
    assert ours.l1_ratio_ == theirs.l1_ratio_
    np.testing.assert_allclose(ours.Cs_, theirs.Cs_)
    np.testing.assert_allclose(ours.scores_, theirs.scores_, atol=1e-6)
    np.testing.assert_allclose(ours.coefs_paths_, theirs.coefs_paths_, atol=2e-5)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=2e-5)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=2e-5)
    assert ours.n_iter_.shape == theirs.n_iter_.shape
    assert (ours.predict(X) == theirs.predict(X)).all()


def test_logistic_regression_cv_of_a_mixture():
    ours = LogisticRegressionCV(Cs=[0.05, 0.5], l1_ratios=(0.0, 0.5, 1.0), cv=3).fit(X, LABELS)
    search = sk.GridSearchCV(dg.LogisticRegression(), {"C": [0.05, 0.5], "l1_ratio": [0.0, 0.5, 1.0]}, cv=3)
    search.fit(X, LABELS)
    mean = ours.scores_.mean(axis=0)  # (ratios, Cs)
    for parameters, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
        i, j = [0.0, 0.5, 1.0].index(parameters["l1_ratio"]), [0.05, 0.5].index(parameters["C"])
        assert mean[i, j] == pytest.approx(score)
    assert ours.coefs_paths_.shape == (3, 3, 2, 1, D + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"Cs": 0}, "Cs must be"),
        ({"Cs": [-1.0]}, "Cs must be"),
        ({"l1_ratios": (2.0,)}, "l1_ratios must be"),
        ({"cv": sk.ShuffleSplit(3)}, "hold every row once"),
        ({"scoring": "nonsense"}, "scoring"),
    ],
)
def test_logistic_regression_cv_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        LogisticRegressionCV(**options).fit(X, LABELS)
