"""Memory that is used again: never while somebody still looks at it."""

import gc
import pickle
import threading

import numpy as np
import pytest

from dask_gd import memory
from dask_gd.memory import LEAST_BYTES, POOL_BYTES, added, in_precision, kept_memory, line_aligned, recycled

N = LEAST_BYTES // 8


@pytest.fixture(autouse=True)
def empty_pool():
    memory._pool.clear()
    yield
    memory._pool.clear()


def address(array):
    return array.ctypes.data


def test_what_is_gone_is_used_again():
    first = recycled((N,), np.float64)
    place = address(first)
    del first
    assert address(recycled((N // 2, 2), np.float64)) == place
    assert address(recycled((2 * N,), np.float32)) == place  # the size is what counts
    assert place % memory.LINE_BYTES == 0


@pytest.mark.parametrize("view", [lambda a: a[5:7], lambda a: a.reshape(-1, 4).T, lambda a: a.view(np.int64), np.ravel])
def test_a_view_keeps_it(view):
    array = recycled((N,), np.float64)
    array[:] = 3.0
    part = view(array)
    before = part.copy()
    del array
    gc.collect()
    other = recycled((N,), np.float64)
    other[:] = 7.0
    assert not np.shares_memory(part, other)
    np.testing.assert_array_equal(part, before)


def test_small_and_huge_ones_are_plain():
    for n in (0, N - 1, memory.KEPT_BYTES // 8 + 1):
        assert recycled((n,), np.float64).flags.owndata


def test_the_pool_is_bounded_and_follows_the_sizes_in_use():
    held = [recycled((N + 64 * i,), np.float64) for i in range(POOL_BYTES // LEAST_BYTES + 9)]
    del held
    assert sum(size * len(free) for size, free in memory._pool.items()) <= POOL_BYTES
    last = recycled((2 * N,), np.float64)
    place = address(last)
    del last
    assert address(recycled((2 * N,), np.float64)) == place


def test_from_many_threads():
    wrong = []

    def work(number):
        for _ in range(300):
            array = recycled((N,), np.float64)
            array[:] = number
            other = added(array, array)
            if (array != number).any() or (other != 2 * number).any():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sums_are_numpys_in_its_layout(order, dtype):
    rng = np.random.default_rng(0)
    shape = np.array([3, 40, 200])
    a, b = (rng.normal(size=shape[list(order)]).astype(dtype).transpose(np.argsort(order)) for _ in range(2))
    total = added(a, b)
    np.testing.assert_array_equal(total, a + b)
    assert total.strides == (a + b).strides
    assert total.dtype == dtype


def test_sums_of_other_things():
    assert added(1, 2) == 3
    wide, row = np.ones((N, 2)), np.ones(2)
    np.testing.assert_array_equal(added(wide, row), 2 * wide)
    assert added(np.ones(N, np.float32), np.ones(N)).dtype == np.float64
    assert added(np.float64(1), np.ones(N)).shape == (N,)
    assert added(np.ones(N)[::-1], np.ones(N)).tolist() == [2.0] * N


def test_recycled_arrays_travel():
    array = recycled((N,), np.float64)
    array[:] = np.arange(N)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array, protocol=5)), np.arange(N))


def test_a_thread_keeps_memory_for_itself():
    mine = kept_memory("test", (3, 4), np.float64)
    assert address(kept_memory("test", (2, 2), np.float64)) == address(mine)
    theirs = []
    thread = threading.Thread(target=lambda: theirs.append(kept_memory("test", (3, 4), np.float64)))
    thread.start()
    thread.join()
    assert not np.shares_memory(mine, theirs[0])
    assert address(line_aligned((5,), np.float32)) % memory.LINE_BYTES == 0


def test_a_copy_only_where_the_precision_differs():
    values = np.arange(5)
    assert in_precision("test", values, np.int64) is values
    copy = in_precision("test", values, np.float32)
    assert copy.dtype == np.float32
    assert copy.tolist() == values.tolist()
