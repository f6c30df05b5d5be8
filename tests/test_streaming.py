"""Data that are read again in every sweep: what is read and how often, what stays, and that no bit depends on it."""

import os
import signal
import threading
import time

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster

from dask_gd import LogisticRegression, Ridge
from dask_gd.engine import LocalEngine, StreamingEngine, open_engine
from dask_gd.engine.blocks import dask_blocks
from dask_gd.engine.cluster_streaming import ClusterStreamingEngine
from dask_gd.engine.pieces import Loader, cut_pieces
from dask_gd.engine.room import Room
from dask_gd.engine.streaming import piece_count
from dask_gd.exceptions import DataError

ROWS, D, N = 50, 3, 7  # of a chunk, columns, chunks
COLUMNS = list("abc")


class Sum:
    """A kernel: the sums of the columns, and which blocks it saw."""

    name = "sum"

    def __call__(self, block):
        return np.append(block.X.sum(axis=0), block.y.sum())


def chunk(i):
    rng = np.random.default_rng(i)
    X = rng.standard_normal((ROWS, D))
    return np.column_stack([X, X @ [1.0, -2.0, 0.5] + rng.standard_normal(ROWS)])


def lazy(load):
    """The chunks, X and y side by side, as one array."""
    chunks = [da.from_delayed(dask.delayed(load)(i), (ROWS, D + 1), float) for i in range(N)]
    return da.concatenate(chunks)


class Counted:
    """Loads of chunks, counted by their number."""

    def __init__(self):
        self.loads = [0] * N
        self.lock = threading.Lock()

    def __call__(self, i):
        with self.lock:
            self.loads[i] += 1
        return chunk(i)

    def __dask_tokenize__(self):
        return id(self)

    def array(self):
        return lazy(self)

    def table(self, i):
        return pd.DataFrame(self(i), columns=[*COLUMNS, "y"])

    def frame(self):
        return dd.from_map(self.table, range(N), meta=pd.DataFrame(chunk(0)[:0], columns=[*COLUMNS, "y"]))

    def forget(self):
        self.loads = [0] * N


def room(blocks, *, ahead=0.0):
    """Room for so many blocks."""
    return Room(blocks * ROWS * (D + 1) * 8, np.inf, ahead, 1)


def source(load):
    raw = lazy(load)
    return dask_blocks(raw[:, :D], raw[:, D], None, None, targets="numbers")


def resident_sum():
    return LocalEngine(list(dask.compute(*source(chunk).blocks, scheduler="synchronous"))).sweep(Sum())


@pytest.fixture
def nothing_fits(monkeypatch):
    monkeypatch.setattr("dask_gd.engine.MEMORY_SHARE", 0.0)


# -- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["array", "frame"])
def test_x_and_y_of_one_source_are_one_read(layout, nothing_fits, monkeypatch):
    counted = Counted()
    data = getattr(counted, layout)()
    X, y = (data[:, :D], data[:, D]) if layout == "array" else (data[COLUMNS], data["y"])
    model = Ridge(solver="lbfgs", precompute=False).fit(X, y)
    assert model.n_sweeps_ > 2
    weighed = [int(layout == "frame" and i == 0) for i in range(N)]  # the lengths are not known: one block tells
    assert counted.loads == [model.n_sweeps_ + w for w in weighed]
    counted.forget()
    monkeypatch.undo()
    resident = Ridge(solver="lbfgs", precompute=False).fit(X, y)
    assert counted.loads == [1] * N
    np.testing.assert_array_equal(model.coef_, resident.coef_)
    assert model.intercept_ == resident.intercept_


@pytest.mark.parametrize("lazy", ["frames", "arrays"])
def test_parquet_files_are_read_once_a_sweep(tmp_path, nothing_fits, monkeypatch, lazy):
    parquet = pytest.importorskip("pyarrow.parquet")
    for i in range(N):
        frame = pd.DataFrame(chunk(i), columns=[*COLUMNS, "y"]).assign(unused=1.0)
        frame.to_parquet(tmp_path / f"{i}.parquet")
    reads = []
    read = parquet.ParquetFile.read
    monkeypatch.setattr(parquet.ParquetFile, "read", lambda self, *a, **k: reads.append(1) or read(self, *a, **k))
    files = dd.read_parquet(str(tmp_path))
    X, y = files[COLUMNS], files["y"]
    if lazy == "arrays":  # Dask reads y by itself then, in fewer partitions: chunk lengths have to be found out
        X, y = X.to_dask_array(), y.to_dask_array()
    model = Ridge(solver="lbfgs", precompute=False).fit(X, y)
    blocks = model.plan_.extent.n_blocks
    assert model.n_sweeps_ > 2
    if lazy == "frames":
        assert len(reads) == model.n_sweeps_ * N + N / blocks  # and the block that was weighed
    raw = np.concatenate([chunk(i) for i in range(N)])
    np.testing.assert_allclose(model.coef_, Ridge().fit(raw[:, :D], raw[:, D]).coef_, rtol=1e-3)


def test_zarr_chunks_are_read_once_a_sweep(tmp_path, nothing_fits):
    pytest.importorskip("zarr")
    raw = np.concatenate([chunk(i) for i in range(N)])
    da.from_array(raw, chunks=(ROWS, D + 1)).to_zarr(str(tmp_path / "raw"))
    stored = da.from_zarr(str(tmp_path / "raw"))
    model = Ridge(solver="lbfgs", precompute=False).fit(stored[:, :D], stored[:, D])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dask_gd.engine.MEMORY_SHARE", 0.5)
        resident = Ridge(solver="lbfgs", precompute=False).fit(stored[:, :D], stored[:, D])
    np.testing.assert_array_equal(model.coef_, resident.coef_)


def test_a_chunk_of_several_blocks_is_loaded_once_for_all_of_a_batch():
    counted = Counted()
    raw = counted.array().rechunk({0: ROWS // 2})  # two blocks of each chunk
    blocks = dask_blocks(raw[:, :D], raw[:, D], None, None, targets="numbers").blocks
    for count in (1, 3, 2 * N):
        counted.forget()
        pieces = cut_pieces(blocks, count, ())
        loaders = [Loader(piece, {}) for piece in pieces]
        found = [loader(p) for loader in loaders for p in range(len(loader.piece.keys))]
        assert [block.index for block in found] == list(range(2 * N))
        np.testing.assert_array_equal(found[3].X, chunk(1)[ROWS // 2 :, :D])
        assert all(not loader.known for loader in loaders)  # what nobody needs any more is forgotten
        assert sum(counted.loads) == N + {1: 0, 3: 1, 2 * N: N}[count]  # a batch's border may cut through a chunk


def test_vectors_of_other_partitions_and_unknown_lengths(nothing_fits):
    raw = np.concatenate([chunk(i) for i in range(N)])
    table = pd.DataFrame(raw, columns=[*COLUMNS, "y"])
    X = dd.from_pandas(table[COLUMNS], npartitions=5)
    y = dd.from_pandas(table["y"], npartitions=3)
    model = Ridge().fit(X, y)
    np.testing.assert_allclose(model.coef_, Ridge().fit(raw[:, :D], raw[:, D]).coef_, rtol=1e-9)


def test_a_load_is_tried_again_and_data_that_are_wrong_are_not():
    calls = []

    def flaky(block):
        calls.append(1)
        if len(calls) < 3:
            raise OSError("storage is away")
        return block

    def wrong(block):
        calls.append(1)
        raise DataError("these are no numbers")

    raw = da.from_array(chunk(0), chunks=(ROWS, D + 1))
    for function in (flaky, wrong):
        calls.clear()
        X = raw.map_blocks(function, meta=np.empty((0, 0)))[:, :D]
        engine = StreamingEngine(dask_blocks(X, raw[:, D], None, None, targets="numbers"))
        if function is flaky:
            assert engine.sweep(Sum()).shape == (D + 1,)
            assert len(calls) == 3
        else:
            with pytest.raises(DataError, match="no numbers"):
                engine.sweep(Sum())
            assert len(calls) == 1


# -- what stays and what is read ahead -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("blocks", [0, 1, 4, N])
def test_blocks_that_fit_stay(blocks, scheduler):
    counted = Counted()
    expected = resident_sum()
    with dask.config.set(scheduler=scheduler):
        engine = StreamingEngine(source(counted), room(blocks, ahead=np.inf))
        sums = [engine.sweep(Sum()) for _ in range(3)]
        assert sum(counted.loads) == N + 2 * (N - blocks)
        assert engine.n_loads == N - blocks
        engine.close()
        engine.sweep(Sum())
        assert engine.n_loads == N
    for found in sums:
        np.testing.assert_array_equal(found, expected)


def test_blocks_stay_as_the_latest_transform_left_them():
    def double(block):
        return block._replace(y=2 * block.y)

    engine, other = StreamingEngine(source(Counted()), room(4)), StreamingEngine(source(Counted()))
    for _ in range(3):
        np.testing.assert_array_equal(engine.sweep(Sum()), other.sweep(Sum()))
        engine.replace(double)
        other.replace(double)
    assert engine.n_loads == N - 4


def test_a_room_elsewhere_is_empty():
    import pickle

    engine = StreamingEngine(source(Counted()), room(4))
    engine.sweep(Sum())
    copy = pickle.loads(pickle.dumps(engine._room))
    assert len(engine._room) == 4
    assert len(copy) == 0
    assert copy.keep == engine._room.keep


def test_a_room_counts_the_memory_of_the_process():
    block = dask.compute(source(Counted()).blocks[0])[0]
    full = Room(np.inf, 0.0, 0.0, 1)  # the process holds more than that already
    full.weigh(block)
    full.offer(0, 0, block)
    assert len(full) == 0
    assert not full.may_read_ahead()


def test_the_next_block_is_read_while_this_one_is_worked_on():
    started = [threading.Event() for _ in range(N)]

    def load(i):
        started[i].set()
        return chunk(i)

    class Waits(Sum):
        def __call__(self, block):
            if block.index < N - 1:
                assert started[block.index + 1].wait(20)
            return super().__call__(block)

    engine = StreamingEngine(source(load), room(0, ahead=np.inf))
    with pytest.MonkeyPatch.context() as patch, dask.config.set(scheduler="threads"):
        patch.setattr("dask_gd.engine.streaming.piece_count", lambda n_blocks, threads: 1)
        np.testing.assert_array_equal(engine.sweep(Waits()), resident_sum())


def test_batches_are_few_and_hold_blocks_enough_to_read_ahead():
    assert piece_count(3, 2) == 3
    assert piece_count(100, 2) == 12
    assert piece_count(10_000, 2) == 32
    assert piece_count(10_000, 64) == 1024


# -- on a cluster ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_processes():
    with (
        dask.config.set(scheduler=None),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit="2GiB"
        ) as workers,
        Client(workers) as client,
    ):
        yield client


@pytest.fixture
def streaming(two_processes):
    """The engine of some chunks that are on no worker."""
    engines = []
    two_processes.wait_for_workers(2, timeout=60)

    def start(load, **options):
        engines.append(ClusterStreamingEngine(two_processes, source(load), **options))
        return engines[-1]

    with dask.config.set(scheduler=None):
        yield start
    for engine in engines:
        engine.close()


@pytest.mark.parametrize("keep", [False, True])
def test_a_cluster_keeps_what_fits(streaming, keep):
    engine = streaming(chunk, keep=keep)
    for again in range(3):
        np.testing.assert_array_equal(engine.sweep(Sum()), resident_sum())
        assert engine.n_loads == (0 if keep and again else N)
        assert engine.cost.rows == N * ROWS
        assert engine.cost.tasks == N


def test_what_a_lost_worker_kept_is_read_again(streaming, two_processes):
    engine = streaming(chunk)
    engine.sweep(Sum())
    pid = two_processes.run(os.getpid)
    lost = min(pid)
    os.kill(pid[lost], signal.SIGKILL)
    while lost in two_processes.scheduler_info(n_workers=-1)["workers"]:
        time.sleep(0.05)
    np.testing.assert_array_equal(engine.sweep(Sum()), resident_sum())
    assert 0 < engine.n_loads < N
    two_processes.wait_for_workers(2, timeout=60)
    np.testing.assert_array_equal(engine.sweep(Sum()), resident_sum())


def test_a_worker_killed_in_mid_sweep_changes_no_bit(streaming, tmp_path):
    def deadly(i, marker=str(tmp_path / "killed")):
        if i == 4 and not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return chunk(i)

    engine = streaming(deadly)
    np.testing.assert_array_equal(engine.sweep(Sum()), resident_sum())
    assert (tmp_path / "killed").exists()


def test_vectors_that_are_on_the_cluster_come_with_the_batches(two_processes):
    raw = lazy(chunk)
    with dask.config.set(scheduler=None):
        y = raw[:, D].persist()
        found = dask_blocks(raw[:, :D], y, None, None, targets="numbers")
        assert len(found.held) == N
        assert not found.loaded
        engine = ClusterStreamingEngine(two_processes, found)
        np.testing.assert_array_equal(engine.sweep(Sum()), resident_sum())
        assert sum(len(given) for given in engine._given) == N
        engine.close()


def test_a_fit_that_streams_on_a_cluster_has_the_same_bits(two_processes, monkeypatch):
    raw = lazy(chunk)
    X, y = raw[:, :D], raw[:, D] > 0
    expected = LogisticRegression().fit(X, y)
    monkeypatch.setattr("dask_gd.engine.MEMORY_SHARE", 0.0)
    with dask.config.set(scheduler=None):
        with open_engine(X, y) as engine:
            assert isinstance(engine, ClusterStreamingEngine)
        found = LogisticRegression().fit(X, y)
        X, y = dask.persist(X, y)
        assert found.score(X, y) == pytest.approx(float(expected.score(X, y)))
    np.testing.assert_array_equal(found.coef_, expected.coef_)
    assert found.n_sweeps_ == expected.n_sweeps_
