"""Successive halving in shared sweeps does what scikit-learn's does fit by fit."""

import warnings

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import loguniform
from sklearn import model_selection as sk
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.linear_model import SGDClassifier as SklearnSGDClassifier

import dask_gd as dg
from dask_gd.engine import open_engine
from dask_gd.linear_model.rungs import Rungs
from dask_gd.linear_model.splits import SplitProblems
from dask_gd.model_selection import HalvingGridSearchCV, HalvingRandomSearchCV

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, D = 240, 5
RNG = np.random.default_rng(1)
X = RNG.normal(size=(N, D)) * [1, 2, 0.5, 1, 3] + [0, 1, 0, -2, 0]
MARGIN = X @ [1.0, -0.5, 2.0, 0.3, 0.0]
LABELS = (MARGIN + RNG.logistic(size=N) > 0).astype(int)
THREE = np.array(["a", "b", "c"])[np.digitize(MARGIN + RNG.logistic(size=N), [-1, 1])]
NUMBERS = MARGIN + RNG.normal(size=N)
COUNTS = RNG.poisson(np.exp(0.2 * MARGIN)).astype(float)
WEIGHTS = RNG.uniform(0.2, 3, size=N)
ETAS = [0.0007, 0.001, 0.003, 0.007, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2]
STRENGTHS = [1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0, 10.0]
BUDGET = {"resource": "max_iter", "max_resources": 18, "min_resources": 2, "cv": 3}


def steady(estimator=dg.GDClassifier, **more):
    return estimator(learning_rate="constant", tol=None, **more)


def assert_same(ours, theirs, tol=1e-8):
    assert set(ours.cv_results_) == set(theirs.cv_results_)
    for name, expected in theirs.cv_results_.items():
        found = ours.cv_results_[name]
        if "time" in name:
            assert (np.asarray(found) >= 0).all()
        elif "score" in name and "rank" not in name:
            np.testing.assert_allclose(found, expected, rtol=tol, atol=tol, err_msg=name)
        else:
            assert list(found) == list(expected), name
    for name in (
        "best_params_",
        "best_index_",
        "n_resources_",
        "n_candidates_",
        "n_remaining_candidates_",
        "n_iterations_",
        "n_required_iterations_",
        "n_possible_iterations_",
        "max_resources_",
        "min_resources_",
        "n_splits_",
        "multimetric_",
    ):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.best_score_ == pytest.approx(theirs.best_score_, rel=tol, nan_ok=True)
    np.testing.assert_allclose(ours.best_estimator_.coef_, theirs.best_estimator_.coef_, rtol=1e-6, atol=1e-8)
    assert ours.best_estimator_.get_params() == theirs.best_estimator_.get_params()


@pytest.mark.parametrize(
    ("estimator", "grid", "y", "more"),
    [
        (steady(), {"eta0": ETAS}, LABELS, {}),
        (steady(), {"eta0": ETAS[:5]}, THREE, {"factor": 2, "scoring": "neg_log_loss"}),
        (dg.GDClassifier(learning_rate="adaptive", momentum=0.5), {"eta0": ETAS, "alpha": [1e-4, 1.0]}, LABELS, {}),
        (dg.GDClassifier(learning_rate="bb"), {"eta0": ETAS}, LABELS, {"aggressive_elimination": True}),
        (dg.GDClassifier(), {"alpha": STRENGTHS}, LABELS, {"min_resources": "exhaust", "scoring": "neg_brier_score"}),
        (steady(dg.GDRegressor), {"eta0": ETAS}, NUMBERS, {"return_train_score": False}),
        (dg.GDRegressor(loss="huber"), {"alpha": STRENGTHS}, NUMBERS, {"scoring": "neg_mean_absolute_error"}),
        (dg.LogisticRegression(solver="lbfgs"), {"C": STRENGTHS, "class_weight": [None, "balanced"]}, LABELS, {}),
        (dg.LogisticRegression(solver="newton-cg"), {"C": STRENGTHS}, THREE, {}),
        (dg.LogisticRegression(solver="preconditioned-lbfgs"), {"C": STRENGTHS}, LABELS, {}),
        (dg.LogisticRegression(solver="owlqn", l1_ratio=1.0), {"C": STRENGTHS}, LABELS, {}),
        (dg.ElasticNet(solver="fista"), {"alpha": STRENGTHS, "l1_ratio": [0.1, 0.9]}, NUMBERS, {}),
        (dg.PoissonRegressor(solver="lbfgs"), {"alpha": STRENGTHS}, COUNTS, {"refit": False}),
        (dg.HuberRegressor(solver="lbfgs"), {"alpha": STRENGTHS}, NUMBERS, {}),
        (dg.LinearSVC(loss="hinge", solver="lbfgs"), {"C": STRENGTHS}, LABELS, {}),
    ],
)
@pytest.mark.parametrize("layout", ["numpy", "weighted", "dask"])
def test_what_scikit_learn_finds_fit_by_fit(estimator, grid, y, more, layout):
    options = {**BUDGET, **more}
    params = {"sample_weight": WEIGHTS} if layout == "weighted" else {}
    theirs = sk.HalvingGridSearchCV(estimator, grid, **{**options, "refit": True}).fit(X, y, **params)
    data = X, y
    if layout == "dask":
        data = da.from_array(X, chunks=((100, 40, 100), D)), da.from_array(y, chunks=((100, 40, 100),))
    ours = HalvingGridSearchCV(estimator, grid, **options).fit(*data, **params)
    assert ours.n_sweeps_ is not None
    if more.get("refit", True):
        assert_same(ours, theirs)
        assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-8)
    else:
        assert not hasattr(ours, "best_estimator_")
        np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])


def test_random_candidates():
    for more in ({}, {"n_candidates": 7, "min_resources": "exhaust"}, {"max_resources": 9, "factor": 2}):
        options = {"resource": "max_iter", "max_resources": 27, "cv": 3, "random_state": 2, **more}
        rates = {"eta0": loguniform(1e-4, 0.3), "alpha": loguniform(1e-5, 1)}
        ours = HalvingRandomSearchCV(steady(), rates, **options).fit(sp.csr_array(X), LABELS)
        assert_same(ours, sk.HalvingRandomSearchCV(steady(), rates, **options).fit(X, LABELS))


def test_the_search_takes_few_more_sweeps_than_one_fit():
    search = HalvingGridSearchCV(steady(), {"eta0": ETAS}, **BUDGET).fit(X, LABELS)
    assert search.n_resources_ == [2, 6, 18]
    assert search.n_candidates_ == [10, 4, 2]
    # moments, the gradient at the start, an iteration each; scores a rung; start and iterations of the refit
    assert search.n_sweeps_ == 2 + 18 + 3 + 1 + 18
    squares = HalvingGridSearchCV(steady(dg.GDRegressor), {"eta0": ETAS}, **BUDGET).fit(X, NUMBERS)
    assert squares.n_sweeps_ == 1


def test_another_resource_starts_anew():
    options = {"resource": "C", "max_resources": 18, "min_resources": 2, "cv": 3}
    estimator, grid = dg.LogisticRegression(solver="lbfgs"), {"l1_ratio": [0.0], "fit_intercept": [True, False]}
    ours = HalvingGridSearchCV(estimator, grid, **options).fit(X, LABELS)
    assert ours.n_sweeps_ is not None
    assert_same(ours, sk.HalvingGridSearchCV(estimator, grid, **options).fit(X, LABELS))


@pytest.mark.parametrize(
    "estimator",
    [
        steady(),
        dg.GDClassifier(learning_rate="armijo"),
        dg.GDClassifier(learning_rate="invscaling", momentum=0.9, nesterov=True),
        dg.GDClassifier(learning_rate="adgd", metric="diagonal"),
        *(
            dg.LogisticRegression(solver=name)
            for name in ("newton-cholesky", "lbfgs", "newton-cg", "preconditioned-lbfgs")
        ),
        *(dg.LogisticRegression(solver=name, l1_ratio=1.0) for name in ("prox-newton", "prox-bfgs", "fista", "owlqn")),
        dg.LogisticRegression(),
        dg.GDRegressor(loss="squared_error"),
    ],
)
def test_fits_go_on_to_the_same_bits(estimator):
    # alone: beside others, who may be at other rounds of their iterations, products are of other shapes
    y = NUMBERS if isinstance(estimator, dg.GDRegressor) else LABELS
    problem = clone(estimator).set_params(max_iter=9)._problem(y)
    search = SplitProblems((problem,), 1, 1, None, None, untested=1)

    def legs(*stops):
        with open_engine(X, y, targets=problem.targets, fold=(np.arange(N) % 3 > 0).astype(np.int8)) as engine:
            rungs = Rungs(engine, search, D)
            found = [rungs.advance(search, ["it"], until)[0][0] for until in stops]
            return found, engine.n_sweeps

    (*_, straight), sweeps = legs(9)
    steps, sweeps_in_steps = legs(1, 2, 5, 9)
    assert all(leg.iterations <= until for leg, until in zip(steps, (1, 2, 5, 9), strict=True))
    one, other = straight.outcome.result, steps[-1].outcome.result
    np.testing.assert_array_equal(one.coef, other.coef)
    np.testing.assert_array_equal(one.intercept, other.intercept)
    np.testing.assert_array_equal(one.history["objective"], other.history["objective"])
    assert (one.n_iter, one.n_sweeps, one.converged, one.exhausted) == (
        other.n_iter,
        other.n_sweeps,
        other.converged,
        other.exhausted,
    )
    assert sweeps == sweeps_in_steps


def test_clusters_change_nothing(client):
    Xd, yd = da.from_array(X, chunks=(60, D)), da.from_array(LABELS, chunks=60)
    here = HalvingGridSearchCV(steady(), {"eta0": ETAS}, **BUDGET).fit(Xd, yd)
    with dask.config.set(scheduler=None), client.as_current():
        there = HalvingGridSearchCV(steady(), {"eta0": ETAS}, **BUDGET).fit(Xd, yd)
    np.testing.assert_array_equal(here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(here.best_estimator_.coef_, there.best_estimator_.coef_)
    assert here.n_sweeps_ == there.n_sweeps_


def test_those_who_watch_are_told_of_the_whole_search(capsys):
    HalvingGridSearchCV(steady(), {"eta0": ETAS}, **BUDGET, verbose=2).fit(X, LABELS)
    lines = capsys.readouterr().out.splitlines()
    assert "Fitting 3 folds for each of 10 candidates, totalling 30 fits" in lines
    assert "n_candidates: 4" in lines
    sweeps = [line for line in lines if "sweep" in line]
    assert sweeps[0].startswith("first sweep")
    assert sum(line.startswith("scores") for line in sweeps) == 3
    assert any("10 x 3 fits: 12 alive, 18 converged" in line for line in sweeps)


# -- what goes through scikit-learn's own loop, and edges -----------------------------------------------------------


def test_samples_as_the_resource_are_scikit_learns():
    options = {"cv": 3, "random_state": 0, "scoring": "accuracy"}
    grid = {"C": STRENGTHS}
    ours = HalvingGridSearchCV(dg.LogisticRegression(), grid, **options).fit(X, LABELS)
    assert ours.n_sweeps_ is None
    assert_same(ours, sk.HalvingGridSearchCV(dg.LogisticRegression(), grid, **options).fit(X, LABELS))


def test_fits_that_cannot_share_sweeps():
    options = {**BUDGET, "random_state": 0}
    sgd = SklearnSGDClassifier(random_state=0, tol=None)
    for estimator, grid, more in (
        (sgd, {"alpha": STRENGTHS}, {}),
        (dg.LogisticRegression(solver="lbfgs"), {"C": STRENGTHS}, {"scoring": "roc_auc"}),
        (dg.GDClassifier(), {"loss": ["log_loss", "hinge"]}, {"scoring": "neg_log_loss"}),
        (steady(), {"eta0": ETAS}, {"cv": sk.ShuffleSplit(2, random_state=0)}),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours = HalvingGridSearchCV(estimator, grid, **{**options, **more}).fit(X, LABELS)
            theirs = sk.HalvingGridSearchCV(estimator, grid, **{**options, **more}).fit(X, LABELS)
        assert ours.n_sweeps_ is None
        assert_same(ours, theirs)


def test_one_candidate():
    search = HalvingGridSearchCV(steady(), {"eta0": [0.01]}, **BUDGET).fit(X, LABELS)
    assert_same(search, sk.HalvingGridSearchCV(steady(), {"eta0": [0.01]}, **BUDGET).fit(X, LABELS))
    assert search.n_iterations_ == 1


def test_candidates_that_diverge_are_named_and_the_others_do_not_notice():
    estimator = steady(dg.GDRegressor)
    with pytest.warns(ConvergenceWarning, match=r"\{'eta0': 100000.0\}, \{'eta0': 10000000.0\} diverged"):
        search = HalvingGridSearchCV(estimator, {"eta0": [*ETAS, 1e5, 1e7]}, **BUDGET).fit(X, NUMBERS)
    tame = HalvingGridSearchCV(estimator, {"eta0": ETAS}, **BUDGET).fit(X, NUMBERS)
    assert search.best_params_ == tame.best_params_
    assert search.best_score_ == pytest.approx(tame.best_score_, rel=1e-12)


@pytest.mark.filterwarnings("ignore:One or more of the")
def test_candidates_that_cannot_be_fitted():
    grid = {"learning_rate": ["bb", "constant"], "momentum": [0.5], "eta0": ETAS}
    with pytest.warns(FitFailedWarning, match="30 fits failed out of a total of 60"):
        ours = HalvingGridSearchCV(dg.GDClassifier(), grid, **BUDGET).fit(X, LABELS)
    assert ours.n_sweeps_ is not None
    assert ours.best_params_["learning_rate"] == "constant"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sk.HalvingGridSearchCV(dg.GDClassifier(), grid, **BUDGET).fit(X, LABELS)
    assert_same(ours, theirs)
    with pytest.raises(ValueError, match="cannot honour momentum"):
        HalvingGridSearchCV(dg.GDClassifier(), grid, **BUDGET, error_score="raise").fit(X, LABELS)
    with pytest.raises(ValueError, match="eta0"):
        HalvingGridSearchCV(dg.GDClassifier(), {"eta0": [-1.0, -2.0]}, **BUDGET).fit(X, LABELS)


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ({"max_iter": [1, 2]}, {}, "since it is part of the searched parameters"),
        ({"eta0": ETAS}, {"max_resources": "auto"}, "resource can only be 'n_samples'"),
        ({"eta0": ETAS}, {"min_resources": 20}, "is greater than"),
        ({"eta0": ETAS}, {"resource": "epochs"}, "Cannot use resource=epochs"),
        ({"eta0": ETAS}, {"cv": sk.KFold(3, shuffle=True)}, "must yield consistent folds"),
    ],
)
def test_schedules_that_are_none_are_refused_in_scikit_learns_words(grid, options, message):
    with pytest.raises(ValueError, match=message):
        HalvingGridSearchCV(steady(), grid, **{**BUDGET, **options}).fit(X, LABELS)
