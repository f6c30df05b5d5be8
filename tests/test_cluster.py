"""The engine on real clusters: the same bits everywhere, losses survived, counts of tasks, loads and bytes."""

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
from distributed import Client, SchedulerPlugin, wait
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from dask_gd import (
    FitInterrupted,
    GDClassifier,
    GDRegressor,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeCV,
)
from dask_gd.engine import health, open_engine
from dask_gd.engine.blocks import dask_blocks
from dask_gd.engine.cluster import ClusterEngine
from dask_gd.engine.cluster_streaming import ClusterStreamingEngine
from dask_gd.engine.placing import place
from dask_gd.kernels import MomentsKernel

pytestmark = pytest.mark.timeout(240)


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


CHUNKS = ((30_000, 50_000, 1, 19_999, 60_000, 40_000), (10, 15))


def bits(model):
    return model.coef_.tobytes() + np.float64(model.intercept_).tobytes()


def fit_all(X, y):
    dX, dy = da.from_array(X, chunks=CHUNKS), da.from_array(y, chunks=33_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Sending large graph")
        return [
            bits(LogisticRegression().fit(dX, dy > 0)),
            bits(LogisticRegression(solver="lbfgs", max_iter=8).fit(dX, dy > 0)),
            bits(GDClassifier(max_iter=5).fit(dX, dy > 0)),
            bits(LogisticRegression(solver="preconditioned-lbfgs").fit(dX, dy > 0)),
            bits(LogisticRegression(solver="prox-bfgs", l1_ratio=1.0, C=0.01).fit(dX, dy > 0)),
            bits(LogisticRegression(C=np.inf, tol="statistical").fit(dX, dy > 0)),
            bits(Ridge().fit(dX, dy)),
            bits(Ridge(precompute=False).fit(dX, dy)),
            bits(LassoCV(alphas=10).fit(dX, dy)),
            bits(RidgeCV().fit(dX, dy)),
            bits(RidgeCV(alphas=np.geomspace(0.1, 1e3, 30), cv=5).fit(dX, dy)),
            bits(GDRegressor(max_iter=20).fit(dX, dy)),
        ]


def test_the_same_bits_on_every_scheduler():
    X, y = table()
    with dask.config.set(scheduler="synchronous"):
        expected = fit_all(X, y)
    with dask.config.set(scheduler="threads"):
        assert fit_all(X, y) == expected
    for n_workers, threads in ((1, 2), (2, 1), (3, 1)):
        with cluster(n_workers, threads) as workers, Client(workers):
            assert fit_all(X, y) == expected, (n_workers, threads)


def test_small_data_has_the_same_bits_in_one_task(two_processes):
    X, y = table(n=2000)
    dX, dy = da.from_array(X, chunks=(300, 25)), da.from_array(y, chunks=300)
    model = LogisticRegression().fit(dX, dy > 0)
    with dask.config.set(scheduler="synchronous"):
        assert bits(LogisticRegression().fit(dX, dy > 0)) == bits(model)
    assert set(model.history_["tasks"]) == {0}  # no sweep went through the scheduler


def slow_chunk(seed, rows, d):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, d))


def lazy_table(k=24, rows=20_000, d=20):
    load = dask.delayed(slow_chunk)
    X = da.concatenate([da.from_delayed(load(i, rows, d), (rows, d), float) for i in range(k)])
    return X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)


@pytest.mark.parametrize("restart", [True, False], ids=["restarted", "gone"])
def test_a_worker_killed_in_mid_fit_changes_no_bit(restart):
    X, y = lazy_table()
    model = GDClassifier(max_iter=25, tol=None)
    with dask.config.set(scheduler="threads"):
        expected = bits(model.fit(X, y))
    with cluster(3, 1) as workers, Client(workers) as client:
        pids = client.run(os.getpid)
        victim = next(iter(pids.values()))
        name = next(w.name for w in workers.workers.values() if w.worker_address == next(iter(pids)))
        seen = threading.Event()
        killed = threading.Event()

        def kill():
            seen.wait(60)
            if restart:
                os.kill(victim, signal.SIGKILL)
            else:
                client.sync(workers.workers[name].close, reason="test")
            killed.set()

        thread = threading.Thread(target=kill)
        thread.start()
        sweep = ClusterEngine.sweep

        def watched(self, kernel):
            if self.n_sweeps == 6:
                seen.set()
                killed.wait(5)
            return sweep(self, kernel)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ClusterEngine, "sweep", watched)
            with dask.config.set({"distributed.scheduler.allowed-failures": 5}):
                got = bits(model.fit(X, y))
        thread.join()
        assert killed.is_set()
    assert got == expected


def test_killed_while_a_sweep_runs(two_processes):
    """Kills at arbitrary times, also in mid-task."""
    X, y = lazy_table(k=16)
    model = GDClassifier(max_iter=60, tol=None)
    with dask.config.set(scheduler="threads"):
        expected = bits(model.fit(X, y))
    stop = threading.Event()
    kills = []

    def chaos():
        while not stop.wait(1.2) and len(kills) < 2:
            pids = list(two_processes.run(os.getpid, on_error="ignore").values())
            if pids:  # the nanny may not have brought the last victim back yet
                os.kill(pids[len(kills) % len(pids)], signal.SIGKILL)
                kills.append(pids)

    thread = threading.Thread(target=chaos)
    thread.start()
    try:
        got = bits(model.fit(X, y))
    finally:
        stop.set()
        thread.join()
    assert kills
    assert got == expected
    two_processes.wait_for_workers(2, timeout=60)


class CountTasks(SchedulerPlugin):
    """Counts tasks that ran, by prefix."""

    def __init__(self):
        self.ran = {}
        self.name = "count-tasks"

    def transition(self, key, start, finish, *args, **kwargs):
        if start == "processing" and finish == "memory":
            prefix = str(key).split("-")[0].strip("('")
            self.ran[prefix] = self.ran.get(prefix, 0) + 1


@pytest.fixture
def counter(two_processes):
    def install(dask_scheduler):
        plugin = CountTasks()
        dask_scheduler.add_plugin(plugin)

    def remove(dask_scheduler):
        dask_scheduler.remove_plugin("count-tasks")

    two_processes.run_on_scheduler(install)
    yield lambda: two_processes.run_on_scheduler(lambda dask_scheduler: dask_scheduler.plugins["count-tasks"].ran)
    two_processes.run_on_scheduler(remove)


def test_tasks_of_a_sweep_over_a_thousand_tiny_chunks(two_processes, counter):
    X = da.random.default_rng(0).standard_normal((10_000, 4), chunks=(10, 4))
    with open_engine(X, X[:, 0]) as engine:
        engine.load()
        before = counter()
        for _ in range(3):
            assert engine.sweep(MomentsKernel(4, False)).n_rows == 10_000
            assert engine.cost.tasks <= 16
        after = counter()
    assert after["moments"] - before.get("moments", 0) <= 3 * 16
    assert sum(after.values()) - sum(before.values()) <= 3 * 16 + 16  # … and the parcels, once


def counted_load(path, i, rows, d):
    with open(os.path.join(path, f"{i}-{time.monotonic_ns()}-{os.getpid()}"), "w"):
        pass
    return np.random.default_rng(i).standard_normal((rows, d))


@pytest.mark.parametrize("rows", [10, 30_000], ids=["small", "resident"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("where", ["cluster", "threads"])
def test_each_chunk_is_loaded_exactly_once(two_processes, tmp_path, rows, known, where):
    k, d = 12, 15
    load = dask.delayed(counted_load)
    X = da.concatenate(
        [da.from_delayed(load(str(tmp_path), i, rows, d), (rows if known else np.nan, d), float) for i in range(k)]
    )
    y = (X[:, 0] > 0.1) & (X[:, 1] > 0)  # from the same chunks
    scheduler = None if where == "cluster" else "threads"
    with dask.config.set(scheduler=scheduler):
        model = LogisticRegression(C=0.01).fit(X, y)
    assert model.n_sweeps_ > 3
    assert len(os.listdir(tmp_path)) == k


def weight_of_parcels(dask_worker):
    parcels = [value for key, value in dask_worker.data.items() if str(key).startswith("parcel-")]
    return sum(block.X.nbytes for parcel in parcels for block in parcel)


def test_blocks_are_spread_evenly_and_released(two_processes):
    client = two_processes
    first = next(iter(client.nthreads()))
    X, y = lazy_table(k=16, rows=10_000)
    X, y = client.persist([X, y], workers=[first])  # all on one worker
    wait([X, y])
    before = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
    with open_engine(X, y) as engine:
        engine.load()
        engine.sweep(MomentsKernel(20, False))
        load = client.run(weight_of_parcels)
    assert sum(load.values()) == 16 * 10_000 * 20 * 8
    assert max(load.values()) <= 1.25 * min(load.values())
    del engine
    deadline = time.monotonic() + 10
    while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) > before:
        assert time.monotonic() < deadline, "tasks were left on the scheduler"
        time.sleep(0.1)


def test_place_moves_only_what_it_must():
    MB = 10**6
    sizes = [70 * MB] * 8
    assert place(sizes, ["a", "b"] * 4, {"a": 1, "b": 1}) == {"a": [[0], [2], [4], [6]], "b": [[1], [3], [5], [7]]}
    runs = {"a": [[0], [1], [2], [3]], "b": [[4], [5], [6], [7]]}
    assert place(sizes, ["a"] * 8, {"a": 1, "b": 1}) == place(sizes, [None] * 8, {"a": 1, "b": 1}) == runs
    plan = place([100 * MB, MB, MB, MB], [None] * 4, {"a": 1, "b": 3})
    assert sorted(i for parcels in plan.values() for group in parcels for i in group) == [0, 1, 2, 3]
    assert place([], [], {"a": 1}) == {"a": []}
    assert place([200 * MB, 0, 0], ["a", "gone", None], {"a": 1}) == {"a": [[0], [1], [2]]}
    assert place([MB, 3 * MB, MB, MB], ["a"] * 4, {"a": 1, "b": 1}) == {"a": [[0, 2, 3]], "b": [[1]]}  # no even runs
    [[run], _] = place([1] * 67, [None] * 67, {"a": 1, "b": 1}).values()
    assert run == list(range(34))
    [[run], _] = place([1] * 130, [None] * 130, {"a": 1, "b": 1}).values()
    assert run == list(range(64))  # within 3 % of half, and one subtree
    assert place([MB] * 4, ["a"] * 4, {"a": 2}) == {"a": [[0, 1], [2, 3]]}  # one for each thread, if they are small


def test_data_larger_than_the_clusters_memory():
    def big_chunk(seed, rows, d):  # here, so that the workers import nothing but what the fit needs
        return np.random.default_rng(seed).standard_normal((rows, d))

    k, rows, d = 40, 62_500, 40  # 20 MB a chunk, 800 MB in all, on workers of 400 MB, half of which is for data
    load = dask.delayed(big_chunk)
    X = da.concatenate([da.from_delayed(load(i, rows, d), (rows, d), float) for i in range(k)])
    y = X[:, 0] - 2 * X[:, 1] + 3
    options = {"distributed.worker.memory.terminate": 0.98}
    with dask.config.set(options), cluster(2, 1, memory_limit="400MB") as workers, Client(workers) as client:
        peak = {}
        stop = threading.Event()

        def watch():
            while not stop.wait(0.1):
                for address, info in client.scheduler_info(n_workers=-1)["workers"].items():
                    peak[address] = max(peak.get(address, 0), info["metrics"].get("memory", 0))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            with open_engine(X, y) as engine:
                assert isinstance(engine, ClusterStreamingEngine)
            model = LinearRegression().fit(X, y)
        finally:
            stop.set()
            thread.join()
        assert len(client.nthreads()) == 2  # nobody was terminated
    np.testing.assert_allclose(model.coef_[:3], [1, -2, 0], atol=1e-10)
    assert model.intercept_ == pytest.approx(3)
    assert max(peak.values()) < 320e6  # where they would be paused


def test_what_was_streamed_is_not_read_again_when_a_worker_is_lost(tmp_path, monkeypatch):
    path, fetched_all = tmp_path / "reads", tmp_path / "fetched"
    path.mkdir()

    def load(i):
        with open(os.path.join(path, str(i)), "a+") as f:
            f.write("x")
            f.flush()
            last = len(os.listdir(path)) == 16 and f.tell() == 1  # of the batches, whichever that is
        while last:
            time.sleep(0.05)
            if fetched_all.exists():
                time.sleep(0.5)  # in which the client lets go of them
                os.kill(os.getpid(), signal.SIGKILL)
        return np.random.default_rng(i).standard_normal((50, 3))

    X = da.concatenate([da.from_delayed(dask.delayed(load)(i), (50, 3), float) for i in range(16)])
    with cluster(1, 1) as workers, Client(workers) as client:
        source = dask_blocks(X, np.ones(800), None, None, targets="columns")
        engine = ClusterStreamingEngine(client, source, keep=False)
        came = []

        def fetched(*args):
            values = fetch(*args)
            came.extend(values or [])
            if len(came) == 3:
                fetched_all.touch()
            return values

        fetch = health._fetched
        monkeypatch.setattr(health, "_fetched", fetched)
        engine.sweep(MomentsKernel(3, classification=False))
        engine.close()
    reads = [(path / str(i)).stat().st_size for i in range(16)]
    assert sorted(reads[::4]) == [1, 1, 1, 2]  # of four batches one is read again
    assert reads == [reads[i - i % 4] for i in range(16)]


def test_a_load_that_fails_twice_is_tried_again(two_processes, tmp_path):
    def flaky(path, i):
        with open(os.path.join(path, str(i)), "a+") as f:
            f.write("x")
            f.flush()
            if f.tell() < 3:
                raise OSError("storage is away")
        return np.random.default_rng(i).standard_normal((50, 3))

    X = da.concatenate([da.from_delayed(dask.delayed(flaky)(str(tmp_path), i), (50, 3), float) for i in range(3)])
    assert Ridge().fit(X, X[:, 0]).converged_


def test_the_error_of_a_load_reaches_the_user(two_processes):
    def broken(i):
        raise OSError(f"no such partition {i}")

    X = da.concatenate([da.from_delayed(dask.delayed(broken)(i), (50, 3), float) for i in range(3)])
    model = Ridge()
    with pytest.raises(OSError, match="no such partition"):
        model.fit(X, X[:, 0])
    assert not hasattr(model, "coef_")
    assert not hasattr(model, "n_features_in_")


def suicidal(X):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_chunk_that_kills_every_worker_is_a_typed_error():
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        cluster(2, 1) as workers,
        Client(workers) as client,
    ):
        X = da.zeros((100, 3), chunks=(50, 3)).map_blocks(suicidal, dtype=float, meta=np.zeros((0, 0)))
        with pytest.raises(FitInterrupted, match="KilledWorker"):
            Ridge().fit(X, da.zeros(100, chunks=50))
        client.wait_for_workers(2, timeout=60)
        good = da.random.default_rng(0).standard_normal((100, 3), chunks=(50, 3))
        assert Ridge().fit(good, good[:, 0]).converged_  # the cluster is usable


def test_a_cluster_without_workers_is_a_typed_error():
    with (
        dask.config.set({"dask_gd.no-workers-timeout": 2}),
        cluster(0, 1) as workers,
        Client(workers),
        pytest.raises(FitInterrupted, match="no worker"),
    ):
        Ridge().fit(da.zeros((100, 3), chunks=(50, 3)), da.zeros(100, chunks=50))


def test_workers_too_small_for_the_libraries_are_a_typed_error():
    options = {"dask_gd.no-workers-timeout": 2, "distributed.worker.memory.terminate": False}
    with (
        dask.config.set(options),
        cluster(1, 1, memory_limit="110MB") as workers,  # paused from 88 MB
        Client(workers),
        pytest.raises(FitInterrupted, match=r"1 of 1 are paused, because their processes hold up to .* 110 MB"),
    ):
        Ridge().fit(da.zeros((100, 3), chunks=(50, 3)), da.zeros(100, chunks=50))


def test_interrupted_in_mid_fit_carries_the_coefficients(two_processes):
    X, y = lazy_table(k=16)
    sweep = ClusterEngine._attempt

    def lost(self, kernel):
        if self.n_sweeps > 5:
            raise ConnectionError("the scheduler is gone")
        return sweep(self, kernel)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClusterEngine, "_attempt", lost)
        patch.setattr(ClusterEngine, "_by_lane", lambda self, kernel: None)
        with pytest.raises(FitInterrupted, match="scheduler is gone") as caught:
            GDClassifier().fit(X, y)
    assert caught.value.coef.shape == (1, 20)
    assert np.isfinite(caught.value.coef).all()
    assert caught.value.n_iter > 0


@pytest.mark.parametrize("backend", [None, "threading", "dask"])
def test_grid_search_never_pulls_x(two_processes, backend):
    from joblib import parallel_config

    X, y = lazy_table(k=8, rows=5_000)
    X, y = client_persist(two_processes, X, y)
    grid = GridSearchCV(GDClassifier(max_iter=20, tol=1e-2), {"eta0": [0.01, 0.1, 1.0]}, cv=3)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        gathered = watch_gather(patch)
        warnings.simplefilter("ignore", ConvergenceWarning)
        if backend is None:
            grid.fit(X, y)
        else:
            with parallel_config(backend, n_jobs=2):
                grid.fit(X, y)
    assert grid.best_score_ > 0.6
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()
    # X is 6.4 MB; scikit-learn's stratified splitter reads y (0.32 MB), nothing reads X
    assert sum(gathered) < X.nbytes / 4
    if backend is None:
        predicted = grid.best_estimator_.predict(X)
        assert isinstance(predicted, da.Array)


def client_persist(client, *collections):
    collections = client.persist(list(collections))
    wait(collections)
    return collections


def test_a_fit_inside_a_task_does_not_deadlock(two_processes):
    def nested(seed):
        X = da.random.default_rng(seed).standard_normal((200, 3), chunks=(50, 3))
        return Ridge().fit(X, X[:, 0]).coef_

    for coef in two_processes.gather(two_processes.map(nested, range(4), pure=False)):
        assert coef[0] == pytest.approx(1, rel=0.05)


def test_threads_in_one_process_share_blas_politely():
    from threadpoolctl import threadpool_info

    X, y = lazy_table(k=10, rows=30_000)
    before = [pool["num_threads"] for pool in threadpool_info()]
    with cluster(1, 2, processes=False) as workers, Client(workers):
        with open_engine(X, y) as engine:
            engine.load()
            engine.sweep(MomentsKernel(20, False))
            assert engine.cost.tasks >= 2
        assert Ridge(precompute=False).fit(X, y).converged_
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_an_asynchronous_client_is_refused():
    import asyncio

    async def go():
        async with Client(processes=False, dashboard_address=":0", n_workers=1, asynchronous=True):
            with pytest.raises(RuntimeError, match="asynchronous Client"):
                Ridge().fit(da.zeros((10, 2), chunks=5), da.zeros(10, chunks=5))

    asyncio.run(go())


def test_errors_of_rows_left_out_stay_on_the_cluster(two_processes):
    X, y = table(n=30_000, d=4)
    dX, dy = da.from_array(X, chunks=(7000, 4)), da.from_array(y, chunks=9000)
    expected = RidgeCV(store_cv_results=True).fit(X, y)
    for wrap in (lambda a: a, two_processes.persist):
        model = RidgeCV(store_cv_results=True).fit(wrap(dX), wrap(dy))
        assert isinstance(model.cv_results_, da.Array)
        assert model.cv_results_.chunks == (dX.chunks[0], (3,))
        np.testing.assert_allclose(model.cv_results_.compute(), expected.cv_results_, rtol=1e-9)
        assert model.cv_results_.mean(axis=0).min().compute() == pytest.approx(-model.best_score_, rel=1e-12)


@pytest.mark.filterwarnings("ignore:Sending large graph")
def test_near_collinear_columns_have_the_same_bits(two_processes):
    """Bases and rotations that travel to the workers lie in one order there."""
    X, y = table()
    X[:, 7] = X[:, 3] + 1e-6 * X[:, 7]

    def fit():
        model = RidgeCV([1e-9, 1e-7], store_cv_results=True).fit(da.from_array(X, chunks=CHUNKS), y)
        assert model.n_sweeps_ == 3
        return bits(model) + np.float64(model.best_score_).tobytes(), model.cv_results_

    with dask.config.set(scheduler="threads"):
        expected, results = fit()
        results = results.compute()
    found, lazy = fit()
    assert found == expected
    np.testing.assert_array_equal(lazy.compute(), results)
