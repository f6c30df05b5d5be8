"""Searches on real clusters: the same bits, nothing copied, nothing pulled, data larger than the memory."""

import os
import signal
import threading
import time
import warnings

import dask
import dask.array as da
import numpy as np
import pytest
from clusters import cluster, watch_gather
from distributed import Client, wait
from sklearn import model_selection as sk
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from dask_gd import GDClassifier, GDRegressor, LogisticRegression
from dask_gd.engine import open_engine
from dask_gd.engine.cluster_streaming import ClusterStreamingEngine
from dask_gd.model_selection import GridSearchCV, LogisticRegressionCV

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Sending large graph"),
]


@pytest.fixture(autouse=True)
def ambient_scheduler():
    """Here the cluster is what is wanted, not the suite's synchronous scheduler."""
    with dask.config.set(scheduler=None):
        yield


@pytest.fixture(scope="module")
def two_processes():
    with cluster(2, 1) as workers, Client(workers) as client:
        yield client


def table(n=200_000, d=25, seed=0):
    """More than the 32 MiB that fit in one task."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = X @ rng.standard_normal(d) + rng.logistic(size=n)
    return X, y


CHUNKS = (30_000, 50_000, 1, 19_999, 60_000, 40_000)


def lazy(X, y):
    return da.from_array(X, chunks=(CHUNKS, -1)), da.from_array(y, chunks=33_000)


def searches(X, y):
    """The scores and coefficients of searches of all kinds, as bytes."""
    rates = GridSearchCV(GDClassifier(max_iter=8, tol=None, learning_rate="constant"), {"eta0": [0.1, 1.0]}, cv=3)
    folds = sk.StratifiedKFold(3, shuffle=True, random_state=0)
    strengths = LogisticRegressionCV(Cs=5, cv=folds, scoring="neg_log_loss")
    squares = GridSearchCV(GDRegressor(max_iter=20, tol=None), {"alpha": [1e-4, 0.1]}, cv=3)
    return [
        rates.fit(X, y > 0).cv_results_["mean_test_score"].tobytes(),
        rates.best_estimator_.coef_.tobytes(),
        strengths.fit(X, y > 0).scores_.tobytes(),
        strengths.coefs_paths_.tobytes(),
        squares.fit(X, y).cv_results_["mean_test_score"].tobytes(),
    ]


def test_bits_are_the_same_on_every_cluster(two_processes):
    X, y = lazy(*table())
    expected = searches(X, y)
    for workers, threads in ((1, 2), (3, 1)):
        with cluster(workers, threads) as other, Client(other):
            assert searches(X, y) == expected
    with dask.config.set(scheduler="synchronous"):
        assert searches(X, y) == expected


def test_bits_survive_the_loss_of_a_worker():
    data = table()
    X, y = lazy(*data)
    estimator = GDClassifier(max_iter=25, tol=None, learning_rate="constant")
    with cluster(2, 1) as workers, Client(workers) as client:

        def fit():
            return GridSearchCV(estimator, {"eta0": [0.1, 0.5, 1.0]}, cv=4, refit=False).fit(X, y > 0)

        expected = fit().cv_results_["mean_test_score"].tobytes()
        pids = list(client.run(os.getpid).values())
        killer = threading.Timer(0.5, os.kill, (pids[0], signal.SIGKILL))
        killer.start()
        found = fit().cv_results_["mean_test_score"].tobytes()
        killer.join()
    assert found == expected


def persisted(client, *collections):
    collections = client.persist(list(collections))
    wait(collections)
    return collections


def gathered_bytes(search, X, y):
    """What the client got from the workers in a search."""
    with pytest.MonkeyPatch.context() as patch:
        gathered = watch_gather(patch)
        search.fit(X, y)
    assert gathered
    return sum(gathered)


def test_neither_x_nor_y_comes_to_the_client(two_processes):
    X, y = persisted(two_processes, *lazy(*table()))
    search = GridSearchCV(GDClassifier(max_iter=10, tol=None), {"eta0": [0.1, 1.0]}, cv=3)
    assert gathered_bytes(search, X, y > 0) < y.nbytes / 8
    assert search.n_sweeps_ is not None


def test_foreign_estimators_are_fitted_on_the_workers(two_processes):
    data, target = table(20_000, 20)
    X, y = persisted(two_processes, da.from_array(data, chunks=(5_000, -1)), da.from_array(target > 0, chunks=5_000))
    search = GridSearchCV(SklearnLogisticRegression(), {"C": [0.01, 1.0]}, cv=sk.KFold(3))
    assert gathered_bytes(search, X, y) < X.nbytes / 10
    theirs = sk.GridSearchCV(SklearnLogisticRegression(), {"C": [0.01, 1.0]}, cv=sk.KFold(3)).fit(data, target > 0)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert isinstance(search.best_estimator_, SklearnLogisticRegression)


def managed_bytes(client, stop, peak):
    while not stop.wait(0.05):
        infos = client.scheduler_info(n_workers=-1)["workers"].values()
        peak.append(sum(info["metrics"].get("memory", 0) for info in infos))


def watched(client, work):
    """The most memory that the workers took together while something was done."""
    stop, peak = threading.Event(), [0]
    thread = threading.Thread(target=managed_bytes, args=(client, stop, peak))
    thread.start()
    try:
        work()
        time.sleep(1)  # workers tell twice a second
    finally:
        stop.set()
        thread.join()
    return max(peak)


def load_libraries():
    import dask_gd
    import dask_gd.metrics

    return dask_gd.__version__, dask_gd.metrics.__name__


def test_a_search_copies_nothing():
    n, d = 1_000_000, 30  # 240 MB
    with cluster(2, 1) as workers, Client(workers) as client:
        X = da.random.default_rng(0).standard_normal((n, d), chunks=(n // 20, d))
        y = (X[:, 0] - X[:, 1] > 0).astype(int)
        X, y = persisted(client, X, y)
        one = GDClassifier(max_iter=3, tol=None, learning_rate="constant")
        search = GridSearchCV(one, {"eta0": np.logspace(-2, 0, 8)}, cv=sk.KFold(5, shuffle=True, random_state=0))
        client.run(load_libraries)  # which take memory of their own
        alone = watched(client, lambda: one.fit(X, y))
        together = watched(client, lambda: search.fit(X, y))
    assert search.n_sweeps_ is not None
    assert together - alone < 0.3 * X.nbytes


def big_chunk(seed, rows, d):
    return np.random.default_rng(seed).standard_normal((rows, d))


def test_data_larger_than_the_clusters_memory():
    k, rows, d = 50, 62_500, 40  # 20 MB a chunk, 1,000 MB in all, on workers of 500 MB, half of which is for data
    load = dask.delayed(big_chunk)
    X = da.concatenate([da.from_delayed(load(i, rows, d), (rows, d), float) for i in range(k)])
    y = (X[:, 0] - 2 * X[:, 1] + 3 > 2).astype(int)
    estimator = GDClassifier(max_iter=2, tol=None, learning_rate="constant")
    options = {"distributed.worker.memory.terminate": 0.98}
    with dask.config.set(options), cluster(2, 1, memory_limit="500MB") as workers, Client(workers) as client:
        with open_engine(X, y) as engine:
            assert isinstance(engine, ClusterStreamingEngine)
        search = GridSearchCV(estimator, {"eta0": [0.1, 1.0, 10.0]}, cv=3, refit=False)
        peak = watched(client, lambda: search.fit(X, y))
        assert len(client.nthreads()) == 2  # nobody was terminated
    assert search.n_sweeps_ == 5
    assert search.best_score_ > 0.9
    assert peak < 2 * 500e6


def test_a_search_inside_a_task(two_processes):
    def nested(seed):
        rng = np.random.default_rng(seed)
        X = da.from_array(rng.standard_normal((200, 3)), chunks=(50, 3))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            search = GridSearchCV(GDClassifier(max_iter=5), {"eta0": [0.1, 1.0]}, cv=3)
            return search.fit(X, np.asarray(X[:, 0] > 0)).best_score_

    scores = two_processes.gather(two_processes.map(nested, range(4), pure=False))
    assert min(scores) > 0.8


def test_logistic_regression_cv_of_dask_labels(two_processes):
    X, y = table(20_000, 6)
    X, y = da.from_array(X, chunks=(7_000, 4)), da.from_array(y, chunks=9_000)
    labels = da.where(y > 0, "yes", "no")
    model = LogisticRegressionCV(Cs=3, cv=3).fit(X, labels)
    alone = LogisticRegression(C=model.C_).fit(X, labels)
    np.testing.assert_allclose(model.coef_, alone.coef_, rtol=1e-6)
    assert list(model.classes_) == ["no", "yes"]
    assert isinstance(model.predict(X), da.Array)
