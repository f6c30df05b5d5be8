"""Hyperband in shared sweeps does what its schedule says, and what the fits would do one by one."""

import sys
import warnings

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from distributed import Client, LocalCluster
from scipy.stats import loguniform
from sklearn import linear_model as sklearn_models
from sklearn import model_selection as sk
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.linear_model import SGDClassifier as SklearnSGDClassifier
from sklearn.linear_model import SGDRegressor as SklearnSGDRegressor
from sklearn.utils import check_random_state

import dask_gd as dg
from dask_gd.callbacks import Watcher
from dask_gd.metrics import get_scorer
from dask_gd.model_selection import HyperbandSearchCV, train_test_split
from dask_gd.model_selection.brackets import Race, best_of, brackets_of
from dask_gd.model_selection.train_test import fold_of_test

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, D = 300, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, D)) * [1, 2, 0.5, 1, 3] + [0, 1, 0, -2, 0]
MARGIN = X @ [1.0, -0.5, 2.0, 0.3, 0.0]
LABELS = (MARGIN + RNG.logistic(size=N) > 0).astype(int)
THREE = np.array(["a", "b", "c"])[np.digitize(MARGIN + RNG.logistic(size=N), [-1, 1])]
NUMBERS = MARGIN + RNG.normal(size=N)
COUNTS = RNG.poisson(np.exp(0.2 * MARGIN)).astype(float)
WEIGHTS = RNG.uniform(0.2, 3, size=N)
RATES = {"eta0": loguniform(1e-3, 1), "alpha": loguniform(1e-5, 1)}
STRENGTHS = {"alpha": loguniform(1e-5, 10)}
BUDGETS = {9: (17, 69), 15: (17, 101), 27: (49, 357), 81: (143, 1581)}  # as published


def steady(estimator=dg.GDClassifier, **more):
    """Gradient descent that asks for one sweep an iteration and never stops by itself."""
    return estimator(learning_rate="constant", tol=None, **more)


def seeds_of(random_state):
    return check_random_state(random_state).randint(2**31 - 1, size=2)


def one_by_one(search, X, y, **params):
    """(parameters, score) of every model of the schedule, every fit by itself and from its start."""
    draw, split = seeds_of(search.random_state)
    stratify = y if hasattr(search.estimator, "predict_proba") or y.dtype.kind in "iU" else None
    rows = np.arange(len(y))
    train, test = sk.train_test_split(rows, test_size=search.test_size, random_state=split, stratify=stratify)
    found = []
    for bracket in brackets_of(search.max_iter, search.aggressiveness):
        drawn = list(sk.ParameterSampler(search.parameters, bracket.n_models, random_state=draw + bracket.number))
        scores, alive = [np.nan] * len(drawn), list(range(len(drawn)))
        for n, budget in bracket.rungs:
            alive = best_of(alive, [scores[i] for i in alive])[:n]
            for i in alive:
                model = clone(search.estimator).set_params(**drawn[i], max_iter=budget)
                model.fit(X[train], y[train], **{name: value[train] for name, value in params.items()})
                scorer = get_scorer(search.scoring) if search.scoring else type(model).score
                weight = {"sample_weight": params["sample_weight"][test]} if "sample_weight" in params else {}
                scores[i] = scorer(model, X[test], y[test], **weight)
        found += list(zip(drawn, scores, strict=True))
    return found


@pytest.mark.parametrize("max_iter", BUDGETS)
def test_budgets_are_those_published(max_iter):
    search = HyperbandSearchCV(steady(), RATES, max_iter, random_state=0).fit(X, LABELS)
    n_models, calls = BUDGETS[max_iter]
    assert search.metadata["n_models"] == search.metadata_["n_models"] == n_models
    assert search.metadata["partial_fit_calls"] == search.metadata_["partial_fit_calls"] == calls
    assert search.metadata_ == search.metadata
    assert len(search.cv_results_["params"]) == n_models
    assert search.cv_results_["partial_fit_calls"].sum() == calls
    assert search.cv_results_["partial_fit_calls"].max() == max_iter


def test_a_power_of_the_aggressiveness_has_all_its_brackets():
    brackets = brackets_of(243, 3)
    assert [bracket.rungs[0] for bracket in brackets] == [(243, 1), (98, 3), (41, 9), (18, 27), (9, 81), (6, 243)]
    assert brackets_of(1, 3)[0].rungs == ((1, 1),)


def test_the_whole_search_takes_few_more_sweeps_than_one_fit():
    rounds = {1: [1], 9: [1, 3, 9], 15: [1, 3, 5, 9, 15], 81: [1, 3, 9, 27, 81]}
    for max_iter, budgets in rounds.items():
        search = HyperbandSearchCV(steady(), RATES, max_iter, random_state=0, refit=False).fit(X, LABELS)
        # moments, the gradient at the start, one an iteration, one a budget for the scores
        assert search.n_sweeps_ == 2 + max_iter + len(budgets)
        refitted = HyperbandSearchCV(steady(), RATES, max_iter, random_state=0).fit(X, LABELS)
        assert refitted.n_sweeps_ == search.n_sweeps_ + 1 + refitted.best_estimator_.max_iter
    squares = HyperbandSearchCV(steady(dg.GDRegressor), RATES, 81, random_state=0).fit(X, NUMBERS)
    assert squares.n_sweeps_ == 1


@pytest.mark.parametrize(
    ("estimator", "parameters", "y", "scoring"),
    [
        (steady(), RATES, LABELS, "neg_log_loss"),
        (dg.GDClassifier(learning_rate="constant"), RATES, THREE, None),
        (dg.GDClassifier(loss="hinge", learning_rate="invscaling"), RATES, LABELS, "roc_auc"),
        (dg.GDRegressor(learning_rate="constant"), RATES, NUMBERS, None),
        (dg.GDRegressor(loss="huber"), STRENGTHS, NUMBERS, "neg_mean_absolute_error"),
        (dg.LogisticRegression(solver="lbfgs"), {"C": loguniform(1e-3, 1e3)}, LABELS, "neg_log_loss"),
        (dg.ElasticNet(solver="fista"), STRENGTHS, NUMBERS, None),
        (dg.PoissonRegressor(solver="newton-cg"), STRENGTHS, COUNTS, None),
        (dg.HuberRegressor(solver="lbfgs"), STRENGTHS, NUMBERS, None),
        (dg.LinearSVC(loss="hinge", solver="lbfgs"), {"C": loguniform(1e-3, 1e3)}, LABELS, "f1"),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_models_score_what_they_score_one_by_one(estimator, parameters, y, scoring, weighted):
    params = {"sample_weight": WEIGHTS} if weighted else {}
    search = HyperbandSearchCV(estimator, parameters, 9, random_state=3, scoring=scoring).fit(X, y, **params)
    expected = one_by_one(search, X, y, **params)
    assert search.cv_results_["params"] == [some for some, _ in expected]
    scores = np.array([score for _, score in expected])
    np.testing.assert_allclose(search.cv_results_["test_score"], scores, rtol=1e-8, atol=1e-8)
    assert search.best_score_ == search.cv_results_["test_score"].max()
    assert search.best_params_ == search.cv_results_["params"][search.best_index_]
    assert search.cv_results_["rank_test_score"][search.best_index_] == 1
    best = clone(search.best_estimator_).fit(X, y, **params)
    np.testing.assert_allclose(search.best_estimator_.coef_, best.coef_, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(search.predict(X), search.best_estimator_.predict(X))


def test_held_out_rows_are_those_of_train_test_split():
    layouts = [(X, LABELS), (sp.csr_array(X), THREE)]
    layouts.append((da.from_array(X, chunks=((100, 7, 193), D)), da.from_array(LABELS, chunks=((100, 7, 193),))))
    unknown = da.from_array(X, chunks=(100, D))
    layouts.append((unknown[unknown[:, 0] < 9], da.from_array(THREE, chunks=100)[unknown[:, 0] < 9]))
    for data, y in layouts:
        for stratify in (None, y):
            fold = fold_of_test(data, test_size=0.3, random_state=5, stratify=stratify)
            rows = data if isinstance(data, np.ndarray | da.Array) else data.toarray()
            test = train_test_split(rows, test_size=0.3, random_state=5, stratify=stratify)[1]
            fold, rows, test = dask.compute(fold, rows, test)
            assert set(np.unique(fold)) == {0, 1}
            found, wanted = rows[fold == 0], np.asarray(test)
            np.testing.assert_array_equal(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)])


def test_chunks_sparse_and_clusters_change_nothing(client):
    def search(*data):
        return HyperbandSearchCV(steady(), RATES, 9, random_state=1, scoring="neg_log_loss").fit(*data)

    Xd, yd = da.from_array(X, chunks=(75, D)), da.from_array(LABELS, chunks=75)
    here = search(Xd, yd)
    with dask.config.set(scheduler=None), client.as_current():
        there = search(Xd, yd)
        frame = search(Xd.to_dask_dataframe(columns=list("abcde")), yd)
    sparse = search(Xd.map_blocks(sp.csr_array, dtype=float, meta=sp.csr_array((0, D))), yd)
    np.testing.assert_array_equal(here.cv_results_["test_score"], there.cv_results_["test_score"])
    np.testing.assert_array_equal(here.best_estimator_.coef_, there.best_estimator_.coef_)
    np.testing.assert_allclose(here.cv_results_["test_score"], sparse.cv_results_["test_score"], rtol=1e-8)
    assert list(frame.feature_names_in_) == list("abcde")
    assert frame.n_sweeps_ == here.n_sweeps_ == there.n_sweeps_
    assert isinstance(there.score(Xd, yd), float)


def counting(max_iter):
    """Labels that need the parameters to be right, and a grid where few are."""
    grid = {"eta0": np.logspace(-4, 1, 11).tolist(), "alpha": [1e-4, 1e-3, 1e-2, 1e-1, 1.0]}
    return grid, {"max_iter": max_iter, "learning_rate": "constant", "metric": "diagonal", "tol": None}


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes"])
def test_the_best_score_is_that_of_an_exhaustive_search(name):
    grid, fixed = counting(27)
    if name == "breast_cancer":
        data, y = load_breast_cancer(return_X_y=True)
        estimator = dg.GDClassifier(**fixed)
    else:
        data, y = load_diabetes(return_X_y=True)
        estimator = dg.GDRegressor(**fixed)
    search = HyperbandSearchCV(estimator, grid, 27, random_state=0, test_size=0.3).fit(data, y)
    stratify = y if name == "breast_cancer" else None
    fold = fold_of_test(data, test_size=0.3, random_state=seeds_of(0)[1], stratify=stratify)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        split = sk.PredefinedSplit(np.where(fold == 0, 0, -1))
        exhaustive = sk.GridSearchCV(estimator, grid, cv=split).fit(data, y)
    assert search.best_score_ >= exhaustive.best_score_ * (1 - 0.005)
    assert search.metadata_["n_models"] == 49


def test_fits_that_converge_leave_the_sweeps_and_stay_candidates():
    estimator = dg.LogisticRegression(solver="newton-cholesky")
    search = HyperbandSearchCV(estimator, {"C": loguniform(1e-2, 1e2)}, 81, random_state=0).fit(X, LABELS)
    calls = search.cv_results_["partial_fit_calls"]
    assert calls.max() < 15
    assert search.n_sweeps_ < 30
    assert search.metadata_["partial_fit_calls"] < search.metadata["partial_fit_calls"]
    assert search.best_estimator_.max_iter == 81
    assert search.best_estimator_.converged_


def test_the_best_is_refitted_for_as_long_as_it_was_judged_after():
    # a rate at which a fit is best after few iterations: it overfits
    noisy = np.random.default_rng(5).normal(size=(40, 30))
    y = noisy[:, 0] + 2 * np.random.default_rng(6).normal(size=40)
    search = HyperbandSearchCV(
        steady(dg.GDRegressor, penalty=None), {"eta0": loguniform(1e-3, 0.3)}, 81, random_state=0
    )
    search.fit(noisy, y)
    calls = search.cv_results_["partial_fit_calls"][search.best_index_]
    assert search.best_estimator_.max_iter == search.best_estimator_.n_iter_ == calls
    history = [
        entry for entry in search.history_ if entry["model_id"] == search.cv_results_["model_id"][search.best_index_]
    ]
    assert history[-1]["score"] == search.best_score_
    assert [entry["partial_fit_calls"] for entry in history] == sorted(entry["partial_fit_calls"] for entry in history)


def test_equal_scores_go_to_the_model_of_most_iterations():
    separable = np.concatenate([X[:, :2] - 50, X[:, :2] + 50])
    y = np.repeat([0, 1], N)
    search = HyperbandSearchCV(steady(), {"eta0": loguniform(1e-6, 1e-5)}, 9, random_state=0).fit(separable, y)
    assert (search.cv_results_["test_score"] == 1).all()
    assert search.cv_results_["partial_fit_calls"][search.best_index_] == 9


def test_data_larger_than_the_clusters_memory():
    k, rows, d = 72, 62_500, 40  # 20 MB a chunk, 1.44 GB in all, on one worker of 400 MB

    @dask.delayed  # of a local function, which travels whole: a worker that imported this file would hold 120 MB more
    def load(i):
        rng = np.random.default_rng(i)
        return np.tile(rng.standard_normal((rows // 100, d)), (100, 1))  # cheap to make: a few rows many times

    data = da.concatenate([da.from_delayed(load(i), (rows, d), float) for i in range(k)])
    y = (data[:, 0] - 2 * data[:, 1] + 0.5 > 0).astype(int)
    options = {"distributed.worker.memory.terminate": 0.98, "scheduler": None}
    limits = {"n_workers": 1, "threads_per_worker": 1, "memory_limit": "400MB", "dashboard_address": ":0"}
    with dask.config.set(options), LocalCluster(**limits) as workers, Client(workers) as client:
        (address,) = client.scheduler_info(n_workers=-1)["workers"]
        search = HyperbandSearchCV(
            steady(), {"eta0": loguniform(1e-2, 10)}, 2, aggressiveness=2, random_state=0, refit=False
        )
        search.fit(data, y)
        assert list(client.scheduler_info(n_workers=-1)["workers"]) == [address]  # nobody was terminated
        assert client.run(lambda: "sklearn" in sys.modules) == {address: False}
    assert search.n_sweeps_ == 2 + 2 + 2
    assert search.metadata_["n_models"] == 4
    assert search.best_score_ > 0.9


# -- edges -----------------------------------------------------------------------------------------------------------


def test_fewer_parameters_than_models():
    with pytest.warns(UserWarning, match="fewer combinations than the 9 models"):
        search = HyperbandSearchCV(steady(), {"eta0": [0.01, 0.1, 1.0, 0.5]}, 9, random_state=0).fit(X, LABELS)
    brackets = {b["bracket"]: b for b in search.metadata_["brackets"]}
    assert {s: b["n_models"] for s, b in brackets.items()} == {2: 4, 1: 4, 0: 3}
    with pytest.warns(UserWarning, match="fewer combinations"):
        one = HyperbandSearchCV(steady(), {"eta0": [0.1]}, 9, random_state=0).fit(X, LABELS)
    assert one.best_params_ == {"eta0": 0.1}
    assert one.metadata_["n_models"] == 3
    # one fit in three brackets: whatever it scores, it is taken to the end
    assert (one.cv_results_["partial_fit_calls"] == 9).all()


@pytest.mark.filterwarnings("ignore:The (parameters hold|total space)")
def test_candidates_that_diverge_never_win_and_the_others_do_not_notice():
    rates = [1e-3, 1e-2, 0.1, 1e6, 1e8]
    estimator = steady(dg.GDRegressor)
    search = HyperbandSearchCV(estimator, {"eta0": rates}, 9, random_state=0)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        search.fit(X, NUMBERS)
    results = search.cv_results_
    wild = np.array([some["eta0"] > 1 for some in results["params"]])
    assert np.isnan(results["test_score"][wild]).all()
    assert np.isfinite(results["test_score"][~wild]).all()
    assert results["rank_test_score"][wild].min() > results["rank_test_score"][~wild].max()
    assert search.best_params_["eta0"] < 1
    tame = one_by_one(HyperbandSearchCV(estimator, {"eta0": rates[:3]}, 9, random_state=0), X, NUMBERS)
    assert search.best_score_ == pytest.approx(max(score for _, score in tame), rel=1e-10)


def test_all_candidates_diverge():
    search = HyperbandSearchCV(steady(dg.GDRegressor), {"eta0": loguniform(1e5, 1e8)}, 9, random_state=0)
    with pytest.warns(ConvergenceWarning, match="diverged and have no score"):
        search.fit(X, NUMBERS)
    assert np.isnan(search.best_score_)
    assert (search.cv_results_["rank_test_score"] == 1).all()
    assert search.best_index_ == 0  # as scikit-learn has it


def test_parameters_that_do_not_go_together():
    parameters = {"learning_rate": ["constant", "bb"], "momentum": [0.5], "eta0": loguniform(1e-2, 1)}
    with pytest.warns(FitFailedWarning, match="cannot honour momentum"):
        search = HyperbandSearchCV(dg.GDClassifier(), parameters, 9, random_state=0).fit(X, LABELS)
    failed = np.array([some["learning_rate"] == "bb" for some in search.cv_results_["params"]])
    assert np.isnan(search.cv_results_["test_score"][failed]).all()
    assert (search.cv_results_["partial_fit_calls"][failed] == 0).all()
    assert np.isfinite(search.cv_results_["test_score"][~failed]).all()
    with pytest.raises(ValueError, match="All 17 models failed"):
        HyperbandSearchCV(dg.GDClassifier(eta0=-1.0), STRENGTHS, 9).fit(X, LABELS)
    losses = {"loss": ["hinge", "log_loss"], "alpha": loguniform(1e-4, 1)}
    with pytest.warns(FitFailedWarning, match="predict_proba"):
        search = HyperbandSearchCV(dg.GDClassifier(), losses, 9, random_state=0, scoring="neg_log_loss").fit(X, LABELS)
    assert search.best_params_["loss"] == "log_loss"


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (HyperbandSearchCV(dg.GDClassifier(), {"max_iter": [1, 2]}), "cannot be among the parameters"),
        (
            HyperbandSearchCV(sklearn_models.LogisticRegression(), {"C": [1]}),
            "no iterations that Hyperband could allot",
        ),
        (HyperbandSearchCV(dg.RidgeCV(), {"fit_intercept": [True]}), "no iterations that Hyperband could allot"),
        (HyperbandSearchCV(dg.GDClassifier(), RATES, scoring=lambda *_: 0.0), "sweeps can share"),
        (HyperbandSearchCV(dg.GDClassifier(), RATES, scoring=["accuracy"]), "sweeps can share"),
        (HyperbandSearchCV(dg.GDClassifier(), RATES, 0), "max_iter"),
        (HyperbandSearchCV(dg.GDClassifier(), RATES, aggressiveness=1), "aggressiveness"),
        (HyperbandSearchCV(dg.GDClassifier(), RATES, refit="accuracy"), "refit"),
        (HyperbandSearchCV(dg.GDClassifier(), RATES, test_size=1.5), "test_size"),
    ],
)
@pytest.mark.filterwarnings("ignore:The parameters hold")
def test_what_cannot_be_searched_is_refused(search, message):
    with pytest.raises(ValueError, match=message):
        search.fit(X, LABELS)


def test_parameters_and_attributes(capsys):
    search = HyperbandSearchCV(steady(), RATES, 9, random_state=0, verbose=1, refit=False)
    assert clone(search).get_params()["max_iter"] == 9
    search.fit(X.tolist(), THREE.tolist())
    assert "17 models in 3 brackets" in capsys.readouterr().out
    assert not hasattr(search, "best_estimator_")
    assert not hasattr(search, "predict")
    assert {"params", "param_eta0", "param_alpha", "model_id", "bracket", "partial_fit_calls"} <= set(
        search.cv_results_
    )
    assert list(search.cv_results_["model_id"][:2]) == ["bracket=2-0", "bracket=2-1"]
    assert search.cv_results_["bracket"].tolist() == [2] * 9 + [1] * 5 + [0] * 3
    assert search.n_splits_ == 1
    assert not search.multimetric_
    offset = np.full(N, 0.5)
    assert HyperbandSearchCV(steady(), RATES, 3, random_state=0).fit(X, LABELS, offset=offset).best_score_ > 0.6


class Reports(Watcher):
    def __init__(self, most=np.inf):
        self.seen, self.most = [], most

    def on_search(self, report):
        self.seen.append(report)
        return report.n_sweeps >= self.most


def test_those_who_watch_are_told_of_the_whole_search():
    with Reports() as reports:
        search = HyperbandSearchCV(steady(), RATES, 9, random_state=0).fit(X, LABELS)
    seen = reports.seen
    stages = [report.stage for report in seen]
    assert (stages[0], stages[-1], stages.count("scores")) == ("first sweep", "done", 3)
    assert {report.n_candidates for report in seen} == {17}
    assert [report.n_sweeps for report in seen] == sorted(report.n_sweeps for report in seen)
    assert seen[-1].n_sweeps == search.n_sweeps_
    done = [report.done for report in seen]
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert seen[-1].best_score == search.best_score_
    alive = [report.alive for report in seen if report.stage == "fits" and report.alive]
    assert (max(alive), min(alive)) == (17, 5)
    with Reports(most=4) as reports, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stopped = HyperbandSearchCV(steady(), RATES, 81, random_state=0, refit=False).fit(X, LABELS)
    assert stopped.n_sweeps_ < 20
    assert np.isfinite(stopped.best_score_)


def test_a_race_takes_everybody_along():
    brackets = tuple(brackets_of(9, 3))
    race = Race(brackets, (tuple(range(9)), tuple(range(9, 14)), (14, 15, 16)))
    steps = []

    def advance(models, budget):
        steps.append((budget, len(models)))
        return [budget] * len(models)

    standings = race.run(advance, lambda models: np.array([-float(model) for model in models]))
    assert steps == [(1, 17), (3, 11), (9, 5)]
    assert [s.model for s in standings if s.budget == 9] == [0, 9, 14, 15, 16]


# -- estimators that learn by partial_fit ----------------------------------------------------------------------------


def test_stochastic_gradients_by_epochs():
    parameters = {"alpha": loguniform(1e-6, 1e-1), "eta0": loguniform(1e-3, 1)}
    estimator = dg.SGDClassifier(learning_rate="constant", random_state=0)
    search = HyperbandSearchCV(estimator, parameters, 9, random_state=0).fit(X, THREE)
    assert search.metadata_ == search.metadata
    assert search.n_sweeps_ is None
    _, split = seeds_of(0)
    X_train, X_test, y_train, y_test = sk.train_test_split(X, THREE, test_size=0.2, random_state=split, stratify=THREE)
    for some, calls, score in zip(
        *(search.cv_results_[name] for name in ("params", "partial_fit_calls", "test_score")), strict=True
    ):
        model = clone(estimator).set_params(**some, max_iter=calls, tol=None).fit(X_train, y_train)
        assert model.score(X_test, y_test) == pytest.approx(score, abs=1e-8)
    best = clone(estimator).set_params(**search.best_params_, max_iter=9, tol=None)
    best.max_iter = int(search.cv_results_["partial_fit_calls"][search.best_index_])
    np.testing.assert_array_equal(best.fit(X, THREE).coef_, search.best_estimator_.coef_)


def test_stochastic_gradients_on_dask(client):
    Xd, yd = da.from_array(X, chunks=(75, D)), da.from_array(NUMBERS, chunks=75)
    estimator = dg.SGDRegressor(random_state=0)

    def search():
        found = HyperbandSearchCV(estimator, {"alpha": loguniform(1e-6, 1)}, 3, random_state=0)
        return found.fit(Xd, yd, sample_weight=da.from_array(WEIGHTS, chunks=75))

    here = search()
    with dask.config.set(scheduler=None), client.as_current():
        there = search()
    assert here.metadata_["n_models"] == 5
    np.testing.assert_array_equal(here.cv_results_["test_score"], there.cv_results_["test_score"])
    np.testing.assert_array_equal(here.best_estimator_.coef_, there.best_estimator_.coef_)


def test_estimators_of_others_get_the_chunks_one_by_one():
    reads = []

    def chunk(block, block_info=None):
        reads.append(1)
        return block

    Xd = da.from_array(X, chunks=(75, D)).map_blocks(chunk, dtype=float, meta=np.zeros((0, D)))
    reads.clear()
    yd = da.from_array(LABELS, chunks=75)
    estimator = SklearnSGDClassifier(random_state=0)
    search = HyperbandSearchCV(estimator, {"alpha": loguniform(1e-6, 1)}, 9, random_state=0)
    search.fit(Xd, yd)
    epochs = int(search.cv_results_["partial_fit_calls"][search.best_index_])
    assert len(reads) == 4 * (9 + 1 + epochs)  # for all models together; the test rows; the refit
    assert search.metadata_ == search.metadata
    model = clone(estimator).set_params(**search.best_params_)
    for _ in range(epochs):
        for i in range(4):
            model.partial_fit(X[75 * i : 75 * i + 75], LABELS[75 * i : 75 * i + 75], classes=[0, 1])
    np.testing.assert_array_equal(model.coef_, search.best_estimator_.coef_)
    in_memory = HyperbandSearchCV(estimator, {"alpha": loguniform(1e-6, 1)}, 9, random_state=0)
    assert in_memory.fit(X, LABELS, sample_weight=WEIGHTS).best_score_ > 0.7
    assert in_memory.scorer_(in_memory.best_estimator_, X, LABELS) == in_memory.score(X, LABELS)


def test_frames_and_sparse_chunks_for_estimators_of_others():
    estimator, parameters = SklearnSGDClassifier(random_state=0), {"alpha": loguniform(1e-6, 1)}
    Xd, yd = da.from_array(X, chunks=(75, D)), da.from_array(THREE, chunks=75)
    sparse = Xd.map_blocks(sp.csr_array, dtype=float, meta=sp.csr_array((0, D)))
    other = HyperbandSearchCV(estimator, parameters, 3, random_state=0).fit(sparse, yd)
    assert other.best_score_ > 0.5
    assert other.metadata_ == other.metadata
    frame = HyperbandSearchCV(estimator, parameters, 3, random_state=0)
    frame.fit(Xd.to_dask_dataframe(columns=list("abcde")), yd.to_dask_dataframe())
    assert frame.best_score_ > 0.5
    assert frame.classes_.tolist() == ["a", "b", "c"]


def test_scores_that_take_their_rows_at_once_are_taken_in_several_sweeps(monkeypatch):
    search = HyperbandSearchCV(steady(), RATES, 9, random_state=0, scoring="roc_auc", refit=False).fit(X, LABELS)
    assert search.n_sweeps_ == 2 + 9 + 3
    monkeypatch.setattr("dask_gd.model_selection.hyperband.MOST_HELD", 4 * N // 5)  # four models of 60 test rows
    slow = HyperbandSearchCV(steady(), RATES, 9, random_state=0, scoring="roc_auc", refit=False).fit(X, LABELS)
    # judged: 9, then 3 and 5, then 1, 1 and 3
    assert slow.n_sweeps_ == 2 + 9 + (3 + 2 + 2)
    np.testing.assert_array_equal(slow.cv_results_["test_score"], search.cv_results_["test_score"])


def test_labels_that_sweeps_cannot_share():
    weight = np.r_[0.0, 0.0, np.ones(N - 2)]
    assert HyperbandSearchCV(steady(), RATES, 3, random_state=0).fit(X, LABELS, sample_weight=weight).best_score_ > 0.5
    with pytest.raises(ValueError, match="needs every class among the rows it trains on"):
        HyperbandSearchCV(steady(), RATES, 3).fit(X, np.r_[2, 2, LABELS[2:]], sample_weight=weight)
    with pytest.raises(ValueError, match="only 1 member"):
        HyperbandSearchCV(steady(), RATES, 3).fit(X, np.r_[0, np.ones(N - 1)])


def test_models_that_fail_on_their_way_have_no_score():
    rates = {"eta0": [1e-4, 1e-3, 1e300, 1e200, 0.01, 0.005, 0.002, 0.0005, 0.0002]}
    estimator = SklearnSGDRegressor(learning_rate="constant", random_state=0)
    with pytest.warns(FitFailedWarning, match="could not be fitted"):
        search = HyperbandSearchCV(estimator, rates, 9, random_state=0).fit(X, NUMBERS)
    wild = np.array([some["eta0"] > 1 for some in search.cv_results_["params"]])
    assert wild.any()
    assert not np.isfinite(search.cv_results_["test_score"][wild]).any()
    assert search.best_params_["eta0"] < 1
    with pytest.raises(ValueError, match=r"All 17 models failed, the first one with: .*alpha"):
        HyperbandSearchCV(dg.SGDRegressor(alpha=-1.0), {"eta0": loguniform(1e-3, 1)}, 9).fit(X, NUMBERS)
