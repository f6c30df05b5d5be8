"""scikit-learn's own tools on our estimators with dask input: no deadlock, no X on the client, clear errors."""

import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import dask
import dask.array as da
import numpy as np
import pytest
import sklearn
from clusters import watch_gather
from dask.highlevelgraph import HighLevelGraph
from distributed import Client, LocalCluster, wait
from joblib import Parallel, delayed, parallel_config
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from dask_gd import GDRegressor, LogisticRegression, Ridge
from dask_gd.engine.blocks import dask_blocks

pytestmark = pytest.mark.timeout(120)
BACKENDS = [None, "threading", "dask"]
CHUNKS, ROWS, D = 6, 3000, 20


@pytest.fixture(scope="module")
def two_processes():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit="2GiB") as workers,
        Client(workers) as client,
    ):
        yield client


@pytest.fixture
def on_the_cluster(two_processes):
    with dask.config.set(scheduler=None):
        yield two_processes


def chunk(seed):
    return np.random.default_rng(seed).standard_normal((ROWS, D))


def lazy_table():
    """Chunks that a graph makes; what tasks are called and how they are fused depends on what is asked for."""
    load = dask.delayed(chunk)
    X = da.concatenate([da.from_delayed(load(i), (ROWS, D), float) for i in range(CHUNKS)])
    return X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)


@pytest.fixture(scope="module")
def in_memory():
    with dask.config.set(scheduler="synchronous"):
        return dask.compute(*lazy_table())


@pytest.fixture(scope="module")
def persisted(two_processes):
    with dask.config.set(scheduler=None):
        X, y = two_processes.persist(list(lazy_table()))
        wait([X, y])
        return X, y


@pytest.fixture
def gathered(monkeypatch):
    """Bytes of what comes to the client."""
    return watch_gather(monkeypatch)


def run(tool, backend, X, y):
    if backend is None:
        return tool(X, y)
    with parallel_config(backend, n_jobs=2):
        return tool(X, y)


def halved(X):
    return X / 2


MODEL = LogisticRegression(C=0.1)
TOOLS = {
    "GridSearchCV": lambda X, y: (
        GridSearchCV(MODEL, {"C": [0.001, 0.1]}, cv=3).fit(X, y).cv_results_["mean_test_score"]
    ),
    "RandomizedSearchCV": lambda X, y: (
        RandomizedSearchCV(MODEL, {"C": [0.001, 0.1]}, n_iter=2, cv=StratifiedKFold(2), random_state=0)
        .fit(X, y)
        .score(X, y)
    ),
    "cross_val_score": lambda X, y: cross_val_score(MODEL, X, y, cv=3),
    "log loss": lambda X, y: cross_val_score(MODEL, X, y, cv=3, scoring="neg_log_loss"),
    "time series": lambda X, y: cross_val_score(MODEL, X, y, cv=TimeSeriesSplit(2)),
    "cross_validate": lambda X, y: cross_validate(MODEL, X, y, cv=3, return_train_score=True)["train_score"],
    "cross_val_predict": lambda X, y: np.asarray(cross_val_predict(MODEL, X, y, cv=3)).mean(),
    "cross_val_predict, probabilities": lambda X, y: np.asarray(
        cross_val_predict(MODEL, X, y, cv=3, method="predict_proba").mean(axis=0)
    ),
    "Pipeline, passthrough": lambda X, y: cross_val_score(make_pipeline("passthrough", MODEL), X, y, cv=3),
    "Pipeline, FunctionTransformer": lambda X, y: cross_val_score(
        make_pipeline(FunctionTransformer(halved), MODEL), X, y, cv=3
    ),
    "search of a Pipeline": lambda X, y: (
        GridSearchCV(make_pipeline("passthrough", MODEL), {"logisticregression__C": [0.001, 0.1]}, cv=3)
        .fit(X, y)
        .best_score_
    ),
    "learning_curve": lambda X, y: learning_curve(MODEL, X, y, cv=3, train_sizes=[0.3, 1.0])[2],
    "learning_curve, shuffled": lambda X, y: learning_curve(
        MODEL, X, y, cv=3, train_sizes=[0.3, 1.0], shuffle=True, random_state=0
    )[2],
    "validation_curve": lambda X, y: validation_curve(MODEL, X, y, param_name="C", param_range=[0.001, 0.1], cv=3)[1],
    "OneVsRestClassifier": lambda X, y: np.asarray(
        OneVsRestClassifier(MODEL).fit(X, y + (X[:, 3] > 0)).predict_proba(X[:100])
    ),
    "CalibratedClassifierCV": lambda X, y: np.asarray(
        CalibratedClassifierCV(MODEL, cv=3).fit(X, np.asarray(y)).predict_proba(X[:100])
    ),
    "CalibratedClassifierCV, one": lambda X, y: np.asarray(
        CalibratedClassifierCV(MODEL, cv=3, ensemble=False).fit(X, np.asarray(y)).predict_proba(X[:100])
    ),
    "CalibratedClassifierCV, frozen": lambda X, y: np.asarray(
        CalibratedClassifierCV(FrozenEstimator(LogisticRegression().fit(X, y))).fit(X, np.asarray(y)).predict_proba(X)
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tool", TOOLS)
def test_tools_on_persisted_data(on_the_cluster, in_memory, persisted, gathered, tool, backend):
    found = run(TOOLS[tool], backend, *persisted)
    # Splitters and scorers of scikit-learn read y and predictions, log_loss nine times: never more than two columns.
    assert max(gathered, default=0) < 2.1 * persisted[1].nbytes
    assert sum(gathered) < persisted[0].nbytes * 0.7
    np.testing.assert_allclose(found, TOOLS[tool](*in_memory), atol=2e-3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tool", ["GridSearchCV", "cross_validate", "cross_val_predict", "learning_curve"])
def test_tools_on_data_that_are_loaded_again_and_again(on_the_cluster, in_memory, gathered, tool, backend):
    X, y = lazy_table()
    found = run(TOOLS[tool], backend, X, y)
    assert max(gathered, default=0) < 2.1 * y.nbytes
    np.testing.assert_allclose(found, TOOLS[tool](*in_memory), atol=2e-3)


def keys_of(source):
    return set(HighLevelGraph.merge(*(block.__dask_graph__() for block in source.blocks)).to_dict())


@pytest.mark.parametrize("where", ["lazy", "persisted"])
def test_two_fits_have_no_task_in_common(on_the_cluster, persisted, where):
    X, y = lazy_table() if where == "lazy" else persisted
    half = X[: len(X) // 2]
    first, second = (dask_blocks(x, y[: len(x)], None, None, targets="labels") for x in (X, half))
    assert keys_of(first) & keys_of(second) == set(first.held) & set(second.held)
    assert first.loaded is (where == "persisted")
    assert bool(first.held) is first.loaded


def test_fits_at_the_same_time_in_threads(on_the_cluster, in_memory):
    X, y = lazy_table()

    def fit(part):
        with dask.config.set(scheduler=None):
            return Ridge().fit(X[part], y[part]).coef_

    parts = [slice(0, n * ROWS // 2) for n in range(3, 11)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fit, parts))
    for part, coef in zip(parts, found, strict=True):
        np.testing.assert_allclose(coef, Ridge().fit(in_memory[0][part], in_memory[1][part]).coef_, atol=1e-10)


# -- where the contract ends -----------------------------------------------------------------------------------------


def test_a_scaler_of_scikit_learn_pulls_x(on_the_cluster, persisted, gathered):
    """It works, in memory: a scaler returns NumPy, and the fit has nothing of dask any more."""
    X, y = persisted
    with pytest.warns(FutureWarning, match=r"numpy\.may_share_memory"):
        cross_val_score(make_pipeline(StandardScaler(), MODEL), X, y, cv=3)
    assert sum(gathered) > 3 * X.nbytes
    gathered.clear()
    np.testing.assert_allclose(Ridge(standardize=True).fit(X, y).score(X, y), Ridge().fit(X, y).score(X, y), atol=1e-3)
    assert sum(gathered) < X.nbytes / 10


def test_one_versus_rest_predicts_chunk_by_chunk():
    """Its ``predict`` writes into a NumPy array, which dask refuses; all else works, and ``predict`` on chunks does."""
    X, y = lazy_table()
    y = y + (X[:, 3] > 0)
    model = OneVsRestClassifier(MODEL).fit(X, y)
    with pytest.raises(NotImplementedError, match="out parameter"):
        model.predict(X)
    labels = X.map_blocks(model.predict, drop_axis=1, dtype=int)
    np.testing.assert_array_equal(labels, model.predict(X.compute()))
    np.testing.assert_array_equal(labels, model.decision_function(X).argmax(axis=1))


def test_calibration_needs_y_in_memory():
    X, y = lazy_table()
    with pytest.raises(TypeError, match="equal_nan"):
        CalibratedClassifierCV(MODEL, cv=3).fit(X, y)


def fit_and_listen(X, y):
    """What a fit warns of; in some other process."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        coef = Ridge().fit(X, y).coef_
    return coef, [str(w.message) for w in caught]


def test_a_process_that_cannot_see_the_cluster_says_so(on_the_cluster, persisted):
    message = re.compile(
        r"fits failed.*RuntimeError: The data .* this process cannot see.*parallel_config\('dask'\)", re.DOTALL
    )
    with pytest.raises(ValueError, match=message):
        GridSearchCV(MODEL, {"C": [0.1]}, cv=2, n_jobs=2).fit(*persisted)


def test_a_process_that_fits_past_the_cluster_says_so(on_the_cluster, in_memory, monkeypatch):
    X, y = lazy_table()
    with parallel_config("loky", n_jobs=2):
        [(coef, messages)] = Parallel()([delayed(fit_and_listen)(X, y)])
    np.testing.assert_allclose(coef, Ridge().fit(*in_memory).coef_, atol=1e-10)
    assert len(messages) == 1
    assert re.search(r"a cluster is not used.*parallel_config\('threading'\).*DASK_SCHEDULER", messages[0])
    with parallel_config("loky", n_jobs=2):
        [(_, messages)] = Parallel()([delayed(fit_and_listen)(*in_memory)])
        assert messages == []
        [(_, messages)] = Parallel()([delayed(fit_on_purpose)(X, y)])
        assert messages == []


def fit_on_purpose(X, y):
    with dask.config.set(scheduler="threads"):
        return fit_and_listen(X, y)


# -- weights ---------------------------------------------------------------------------------------------------------


def weighted_table(n=600, d=3):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    y = X @ np.arange(1.0, d + 1) + (X[:, 0] > 1) * rng.standard_normal(n) * 5
    return X, y, rng.random(n)


def chunked(X, y, weight):
    """Weights in other chunks than X and y."""
    return da.from_array(X, chunks=(100, 2)), da.from_array(y, chunks=150), da.from_array(weight, chunks=70)


def weighted_search(X, y, weight, model=None):
    model = GDRegressor(max_iter=300) if model is None else model
    search = GridSearchCV(model, {"alpha": [1e-4, 1.0]}, cv=3, return_train_score=True)
    search.fit(X, y, sample_weight=weight)
    keys = [key for key in search.cv_results_ if key.startswith(("split", "mean_test", "mean_train"))]
    return np.array([search.cv_results_[key] for key in keys]), search.best_estimator_.coef_


def assert_weights_count(model=None):
    data = weighted_table()
    for found, expected in zip(weighted_search(*chunked(*data), model), weighted_search(*data, model), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    plain = weighted_search(*data[:2], np.ones(len(data[1])), model)
    assert not np.allclose(weighted_search(*data, model)[1], plain[1], rtol=1e-6)


def test_weights_without_metadata_routing():
    assert_weights_count()


@pytest.mark.parametrize("score", [True, False])
def test_weights_with_metadata_routing(score):
    with sklearn.config_context(enable_metadata_routing=True):
        model = GDRegressor(max_iter=300).set_fit_request(sample_weight=True).set_score_request(sample_weight=score)
        assert_weights_count(model)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            weighted_search(*chunked(*weighted_table()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_on_a_cluster(on_the_cluster, backend):
    data = weighted_table()
    found = run(lambda X, y: weighted_search(X, y, chunked(*data)[2]), backend, *chunked(*data)[:2])
    with dask.config.set(scheduler="synchronous"):
        expected = weighted_search(*data)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)
