"""The fast lane: the bits of tasks without their cost, and tasks at the first sign of trouble."""

import builtins
import logging
import os
import signal
import threading
import time
import warnings

import dask
import dask.array as da
import numpy as np
import pytest
from clusters import cluster
from distributed import Client, wait, worker_client
from distributed.protocol import dumps, to_serialize
from sklearn.exceptions import ConvergenceWarning

from dask_gd import GDClassifier, LogisticRegression, Ridge, SGDClassifier
from dask_gd.engine import cluster as cluster_module
from dask_gd.engine import lane, open_engine
from dask_gd.engine import reach as reach_module
from dask_gd.engine.cluster import ClusterEngine
from dask_gd.engine.reach import reach
from dask_gd.kernels import MomentsKernel

pytestmark = pytest.mark.timeout(240)
N, D = 6_000, 7
CHUNKS = (1_000, 1_700, 1, 299, 2_000, 1_000)


@pytest.fixture(autouse=True)
def ambient_scheduler():
    """Here the cluster is what is wanted, not the suite's synchronous scheduler."""
    with dask.config.set(scheduler=None):
        yield


@pytest.fixture(autouse=True)
def every_sweep_is_short(monkeypatch):
    """No fit is small enough for one task, no sweep too long for the lane."""
    monkeypatch.setattr(cluster_module, "SMALL_BYTES", 0)
    monkeypatch.setattr(cluster_module, "LANE_SECONDS", np.inf)


@pytest.fixture
def answers(monkeypatch):
    """What every request for a sweep brought: True or, where tasks had to help out, False."""
    brought = []

    def watched(*args):
        results = ask(*args)
        brought.append(results is not None)
        return results

    ask = cluster_module.request
    monkeypatch.setattr(cluster_module, "request", watched)
    return brought


@pytest.fixture
def held_by(monkeypatch):
    """What every request swept over: the user's chunks or parcels."""
    kinds = []

    def watched(client, kernel, held, *args):
        kinds.append({type(what).__name__ for what in held.values()})
        return ask(client, kernel, held, *args)

    ask = cluster_module.request
    monkeypatch.setattr(cluster_module, "request", watched)
    return kinds


@pytest.fixture(scope="module")
def two_processes():
    with cluster(2, 1) as workers, Client(workers) as client:
        yield client


def chunk(seed, rows):
    return np.random.default_rng(seed).standard_normal((rows, D))


def lazy(chunks=CHUNKS):
    load = dask.delayed(chunk)
    X = da.concatenate([da.from_delayed(load(i, rows), (rows, D), float) for i, rows in enumerate(chunks)])
    return X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)


def bits(model):
    return model.coef_.tobytes() + np.float64(model.intercept_).tobytes()


def fits(X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [
            bits(model.fit(X, y))
            for model in (
                LogisticRegression(),
                LogisticRegression(solver="lbfgs", max_iter=8),
                GDClassifier(max_iter=5),
                LogisticRegression(solver="prox-bfgs", l1_ratio=1.0, C=0.01),
                Ridge(precompute=False),
                SGDClassifier(max_iter=3, tol=None, random_state=0),
            )
        ]


@pytest.fixture(scope="module")
def expected():
    """The bits on Dask's threaded scheduler."""
    with dask.config.set(scheduler="threads"):
        return fits(*lazy())


LAYOUTS = [(1, 1, True), (2, 1, True), (1, 2, True), (2, 2, True), (2, 2, False)]


@pytest.mark.parametrize(("n_workers", "threads", "processes"), LAYOUTS)
def test_the_lane_changes_no_bit(n_workers, threads, processes, answers, expected, monkeypatch):
    with cluster(n_workers, threads, processes=processes) as workers, Client(workers):
        X, y = lazy()
        assert fits(X, y) == expected
        assert len(answers) > 20
        assert all(answers)
        X, y = dask.persist(X, y)
        assert fits(X, y) == expected  # … where the chunks are on the cluster already
        assert all(answers)
        count = len(answers)
        monkeypatch.setattr(cluster_module, "LANE_SECONDS", -1.0)
        assert fits(X, y) == expected
        assert len(answers) == count


def test_encrypted(answers, expected):
    with cluster(2, 1, security=True) as workers, Client(workers) as client:
        assert fits(*lazy()) == expected
        assert answers
        assert all(answers)
        assert reach(client, list(client.nthreads()))


@pytest.fixture
def direct(monkeypatch):
    """The workers that were asked without the scheduler, request for request."""
    asked = []

    def watched(client, workers, message):
        asked.append(workers)
        return each(client, workers, message)

    each = lane._each
    monkeypatch.setattr(lane, "_each", watched)
    return asked


@pytest.mark.parametrize("way", ["setting", "firewall", "open"])
def test_with_and_without_the_scheduler(way, answers, direct, expected, monkeypatch):
    if way == "firewall":
        monkeypatch.setattr(reach_module, "SECONDS", 0.0)
    with cluster(2, 1) as workers, Client(workers, direct_to_workers=False if way == "setting" else None) as client:
        if way == "open":
            assert not reach(client, [])
            assert not reach(client, list(client.nthreads()))  # nobody waits for the answer …
            while not reach(client, list(client.nthreads())):
                time.sleep(0.01)
        assert fits(*lazy()) == expected
        assert answers
        assert all(answers)
        if way == "open":
            assert len(direct) == len(answers)  # … but it comes
        else:
            assert not direct


def labels(seed, rows):
    X = chunk(seed, rows)
    return (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)


def spread(client, *, swapped=False):
    """What ``lazy(FOUR)`` has, persisted: the first half on one worker and the second on the other, both reached by
    the client; ``swapped``: y is where X is not."""
    workers = list(client.nthreads())
    while not reach(client, workers):
        time.sleep(0.01)
    parts = {"X": [], "y": []}
    for i, rows in enumerate(FOUR):
        for name, function, shape in (("X", chunk, (rows, D)), ("y", labels, (rows,))):
            with dask.annotate(workers=[workers[(i // 2 + (swapped and name == "y")) % 2]], allow_other_workers=True):
                part = dask.delayed(function)(i, rows)
                parts[name].append(da.from_delayed(part, shape, float if name == "X" else int))
    X, y = client.persist([da.concatenate(parts["X"]), da.concatenate(parts["y"])], optimize_graph=False)
    wait([X, y])
    return X, y


FOUR = (1_500,) * 4


def test_chunks_are_swept_where_they_lie(two_processes, answers, held_by):
    """The first sweeps need no parcels; later ones take those."""
    with dask.config.set(scheduler="threads"):
        expected = bits(LogisticRegression(solver="lbfgs").fit(*lazy(FOUR)))
    X, y = spread(two_processes)
    model = LogisticRegression(solver="lbfgs").fit(X, y)
    assert bits(model) == expected
    assert set(model.history_["tasks"].tolist()) == {0}
    assert held_by[0] == {"Chunks"}
    assert held_by[-1] == {"Parcels"}
    assert all(answers)


@pytest.mark.parametrize("change", [np.asfortranarray, lambda X: np.round(X).astype(int)])
def test_chunks_that_must_be_copied_are_copied_once(two_processes, answers, held_by, change):
    """By columns, or of integers: after the first sweep blocks are made for good."""
    plain, labels = lazy(FOUR)
    with dask.config.set(scheduler="threads"):
        expected = bits(LogisticRegression(solver="lbfgs").fit(plain.map_blocks(change), labels))
    X, y = spread(two_processes)
    X = X.map_blocks(change).persist()
    wait(X)
    assert bits(LogisticRegression(solver="lbfgs").fit(X, y)) == expected
    assert held_by[0] == {"Chunks"}
    assert set.union(*held_by[1:]) == {"Parcels"}
    assert all(answers)


def test_one_sweep_without_a_task(two_processes, answers):
    def ran(dask_scheduler):
        return dask_scheduler.transition_counter

    X, y = spread(two_processes)
    with dask.config.set(scheduler="threads"):
        expected = bits(Ridge().fit(*lazy(FOUR)))
    time.sleep(0.2)  # what the persisting asked for is released
    before = two_processes.run_on_scheduler(ran)
    model = Ridge().fit(X, y)
    assert bits(model) == expected
    assert model.n_sweeps_ == 1
    assert answers == [True]
    assert two_processes.run_on_scheduler(ran) == before


def test_y_that_lies_apart_is_fetched_once(two_processes, answers, held_by):
    with dask.config.set(scheduler="threads"):
        expected = bits(LogisticRegression(solver="lbfgs").fit(*lazy(FOUR)))
    X, y = spread(two_processes, swapped=True)
    assert bits(LogisticRegression(solver="lbfgs").fit(X, y)) == expected
    assert held_by[0] == {"Chunks"}
    assert set.union(*held_by[1:]) == {"Parcels"}
    assert all(answers)


def test_chunks_of_one_worker_go_by_tasks(two_processes, answers):
    """They move, for the others would stand idle."""
    X, y = two_processes.persist(list(lazy(FOUR)), workers=[next(iter(two_processes.nthreads()))])
    wait([X, y])
    with open_engine(X, y) as engine:
        engine.load()
        assert engine.sweep(MomentsKernel(D, False)).n_rows == N
        assert engine.cost.tasks == 2
        assert not answers


def test_what_is_on_disk_is_not_read_all_at_once(answers):
    X, y = lazy((2_000,) * 8)
    with dask.config.set(scheduler="threads"):
        expected = bits(LogisticRegression(solver="lbfgs", max_iter=50).fit(X, y))
    few = {"distributed.worker.memory.target": 1e-4}  # 200 kB of the 900 stay
    with (
        dask.config.set(few),
        cluster(1, 1, processes=False, memory_limit="2GB") as workers,
        Client(workers, set_as_default=True) as client,
    ):
        X, y = dask.persist(X, y)
        wait([X, y])
        while not reach(client, list(client.nthreads())):
            time.sleep(0.01)
        assert client.run(spilled) == {address: True for address in client.nthreads()}
        assert bits(LogisticRegression(solver="lbfgs", max_iter=50).fit(X, y)) == expected
        assert answers[0] is False


def spilled(dask_worker):
    return len(dask_worker.data.slow) > 4


def test_a_worker_killed_before_the_first_sweep(answers):
    with dask.config.set(scheduler="threads"):
        expected = bits(LogisticRegression().fit(*lazy(FOUR)))
    with cluster(2, 1) as workers, Client(workers) as client:
        X, y = spread(client)
        load = ClusterEngine.load

        def killed_after(self):
            load(self)
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ClusterEngine, "load", killed_after)
            assert bits(LogisticRegression().fit(X, y)) == expected
        assert not answers[0]


class Meet:
    """A kernel that ends only where two threads are at work at once."""

    name = "meet"

    def __call__(self, block):
        builtins.meeting.wait(20)
        return 1


def arrange():
    builtins.meeting = threading.Barrier(2)


def test_both_threads_of_a_process_work():
    X, y = lazy((100, 100, 100, 100))
    with cluster(1, 2) as workers, Client(workers) as client, open_engine(X, y) as engine:
        client.run(arrange)
        engine.load()
        engine.sweep(MomentsKernel(D, False))
        assert engine.sweep(Meet()) == 4
        assert engine.cost.tasks == 0


def test_without_a_task_on_the_scheduler(two_processes):
    def ran(dask_scheduler):
        return dask_scheduler.transition_counter

    X, y = lazy()
    with open_engine(X, y) as engine:
        engine.load()
        engine.sweep(MomentsKernel(D, False))
        assert engine.cost.tasks == 2
        time.sleep(0.2)  # what was asked for is released
        before = two_processes.run_on_scheduler(ran)
        for _ in range(5):
            assert engine.sweep(MomentsKernel(D, False)).n_rows == N
            assert engine.cost.tasks == 0
            assert engine.cost.rows == N
        assert two_processes.run_on_scheduler(ran) == before


def held(dask_worker):
    return sum(str(key).startswith("parcel-") for key in dask_worker.data)


def test_the_lane_keeps_nothing(two_processes):
    X, y = lazy()
    for _ in range(2):
        with open_engine(X, y) as engine:
            engine.load()
            for _ in range(3):
                engine.sweep(MomentsKernel(D, False))
            assert sum(two_processes.run(held).values()) == len(engine._parcels)
        del engine
        deadline = time.monotonic() + 10
        while any(two_processes.run(held).values()):
            assert time.monotonic() < deadline, "parcels were left on the workers"
            time.sleep(0.1)


def test_bytes_of_a_round(two_processes, monkeypatch):
    """Out goes the kernel, back come the nodes of the tree that a worker cannot add."""
    sent, came = [], []
    ask = cluster_module.request

    def weighed(client, kernel, held, *args):
        results = ask(client, kernel, held, *args)
        sent.append(size(kernel) + size(held))
        came.append((sum(map(size, results)), sum(len(result.nodes) for result in results)))
        return results

    def size(value):
        return sum(len(memoryview(frame).cast("B")) for frame in dumps({"x": to_serialize(value)}))

    monkeypatch.setattr(cluster_module, "request", weighed)
    X, y = lazy((500,) * 16)
    X, y = two_processes.persist([X, y], workers=[next(iter(two_processes.nthreads()))])
    wait([X, y])
    LogisticRegression(solver="lbfgs", max_iter=5, tol=None).fit(X, y)  # half of the blocks move, as one run
    assert len(sent) >= 5
    assert max(sent) < 2048 + 8 * D
    for nbytes, nodes in came:
        assert nodes == 2
        assert nbytes < 2 * 512 + nodes * (1024 + 8 * (D + 2))


class Slow:
    """A kernel that takes its time."""

    name = "slow"

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, block):
        time.sleep(self.seconds)
        return block.X.sum(axis=0)


@pytest.mark.parametrize("when", ["between", "during"])
def test_a_worker_killed(when, answers):
    X, y = lazy()
    with dask.config.set(scheduler="threads"), open_engine(X, y) as engine:
        whole = engine.sweep(Slow(0)).tobytes()
    with cluster(2, 1) as workers, Client(workers) as client, open_engine(X, y) as engine:
        engine.load()
        for _ in range(2):
            assert engine.sweep(Slow(0)).tobytes() == whole
        assert answers == [True]
        victim = next(iter(client.run(os.getpid).values()))
        began = time.monotonic()
        if when == "between":
            os.kill(victim, signal.SIGKILL)
            time.sleep(0.05)
        else:
            threading.Timer(0.5, os.kill, (victim, signal.SIGKILL)).start()
        assert engine.sweep(Slow(0.4)).tobytes() == whole
        assert time.monotonic() - began < 30
        assert engine.cost.tasks > 0
        assert not answers[-1] or when == "between"
        for _ in range(3):  # and the lane is open again
            assert engine.sweep(Slow(0)).tobytes() == whole
        assert answers[-1]


def test_a_worker_may_retire(answers, two_processes):
    X, y = lazy()
    with dask.config.set(scheduler="threads"):
        expected = bits(GDClassifier(max_iter=30, tol=None).fit(X, y))
    with cluster(3, 1) as workers, Client(workers) as client:
        with open_engine(X, y) as engine:
            engine.load()
            engine.sweep(MomentsKernel(D, False))
            engine.sweep(MomentsKernel(D, False))
            assert answers == [True]
            leaving = next(iter(client.nthreads()))
            assert leaving in client.retire_workers([leaving])  # which a worker with an actor refuses
            for _ in range(3):
                assert engine.sweep(MomentsKernel(D, False)).n_rows == N
            assert answers[-1]
        assert bits(GDClassifier(max_iter=30, tol=None).fit(X, y)) == expected


def test_a_worker_closed_in_mid_fit(answers):
    X, y = lazy()
    model = GDClassifier(max_iter=40, tol=None)
    with dask.config.set(scheduler="threads"):
        expected = bits(model.fit(X, y))
    with cluster(2, 1) as workers, Client(workers) as client:
        victim = next(iter(workers.workers.values()))
        sweep, closed = ClusterEngine.sweep, []

        def watched(self, kernel):
            if self.n_sweeps == 9 and not closed:
                closed.append(client.sync(victim.close, reason="test"))
            return sweep(self, kernel)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ClusterEngine, "sweep", watched)
            assert bits(model.fit(X, y)) == expected
        assert closed
        assert answers[0]
        assert answers[-1]


def occupy(seconds):
    time.sleep(seconds)


def test_busy_threads_are_no_hang(two_processes, answers, monkeypatch):
    """Others' tasks hold the threads: the lane gives up, tasks wait their turn."""
    monkeypatch.setattr(lane, "PATIENCE", 0.3)
    X, y = lazy()
    with open_engine(X, y) as engine:
        engine.load()
        whole = engine.sweep(Slow(0)).tobytes()
        busy = two_processes.map(occupy, [2.0, 2.1], pure=False)
        time.sleep(0.3)
        assert engine.sweep(Slow(0)).tobytes() == whole
        assert answers == [False]
        wait(busy)
        assert engine.sweep(Slow(0)).tobytes() == whole
        assert answers == [False, True]


class Broken:
    name = "broken"

    def __call__(self, block):
        raise ZeroDivisionError(f"block {block.index}")


def test_an_error_is_that_of_a_task(two_processes, answers):
    X, y = lazy()
    with open_engine(X, y) as engine:
        engine.load()
        engine.sweep(MomentsKernel(D, False))
        for _ in range(cluster_module.LANE_TROUBLES + 2):
            with pytest.raises(ZeroDivisionError, match="block"):
                engine.sweep(Broken())
        assert answers == [False] * cluster_module.LANE_TROUBLES  # then it is left alone
        assert engine.sweep(MomentsKernel(D, False)).n_rows == N


def test_two_fits_at_once(two_processes, answers, expected):
    found = {}

    def fit(i):
        with two_processes.as_current():
            found[i] = fits(*lazy())

    threads = [threading.Thread(target=fit, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == {0: expected, 1: expected}
    assert answers


def test_a_fit_inside_a_task(two_processes, expected):
    def nested():
        from dask_gd.engine import cluster

        before = cluster.SMALL_BYTES, cluster.LANE_SECONDS
        cluster.SMALL_BYTES, cluster.LANE_SECONDS = 0, np.inf
        try:
            with worker_client():
                X, y = lazy()
                model = LogisticRegression().fit(X, y)
                return bits(model), model.history_["tasks"].tolist()
        finally:
            cluster.SMALL_BYTES, cluster.LANE_SECONDS = before

    found, tasks = two_processes.submit(nested, pure=False).result(timeout=60)
    assert found == expected[0]
    assert set(tasks) == {0}


def test_adaptive(expected, answers):
    with cluster(0, 1) as workers, Client(workers):
        workers.adapt(minimum=0, maximum=2, interval="100 ms", wait_count=1)
        for _ in range(2):
            assert fits(*lazy()) == expected
        assert any(answers)


def test_seen_in_the_log(two_processes, caplog):
    X, y = lazy()
    with caplog.at_level(logging.DEBUG, "dask_gd"):
        LogisticRegression().fit(X, y)
    assert "2 workers answered" in caplog.text


def test_long_sweeps_go_by_tasks(two_processes, answers, monkeypatch):
    monkeypatch.setattr(cluster_module, "LANE_SECONDS", 0.1)
    X, y = lazy()
    with open_engine(X, y) as engine:
        engine.load()
        engine.sweep(Slow(0.1))  # three blocks a worker
        engine.sweep(Slow(0.0))
        assert answers == []
        engine.sweep(Slow(0.0))
        assert answers == [True]
