"""What must not change a fit: how rows are cut, ordered, repeated or weighed, and the units of columns.

Every model that has a case in ``test_parity_models`` takes part. Fits are compared by the objective at their answer,
computed in NumPy on the plain data: the same optimum to 1e-9.
"""

import threading
import time

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from test_parity_models import CASES, D, N, data

from dask_gd.engine.batch import Shares

SETTINGS = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = list(CASES)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def cuts(draw, n=N):
    """Chunk lengths, zeros among them, that add up to n."""
    inner = sorted(draw(st.lists(st.integers(0, n), max_size=10)))
    return tuple(np.diff([0, *inner, n]).tolist())


def value(name, model, X, y, s):
    return CASES[name].objective(model, X, y, s)


def same_optimum(name, one, two, X, y, s, rtol=1e-9):
    a, b = value(name, one, X, y, s), value(name, two, X, y, s)
    assert abs(a - b) <= rtol * max(abs(a), abs(b))


def fit(name, X, y, s=None, rows=None, sparse=False):
    model = clone(CASES[name].ours)
    if rows is None:
        return model.fit(X, y, s)
    Z = da.from_array(X, chunks=(rows, (D,)))
    if sparse:
        Z = Z.map_blocks(sp.csr_array)
    vectors = [None if v is None else da.from_array(v, chunks=(rows, *v.shape[1:])) for v in (y, s)]
    return model.fit(Z, *vectors)


@pytest.mark.parametrize("name", NAMES)
@SETTINGS
@given(rows=cuts(), sparse=st.booleans())
def test_any_chunking(name, rows, sparse):
    X, y, s = data(CASES[name].y)
    same_optimum(name, fit(name, X, y, s), fit(name, X, y, s, rows, sparse), X, y, s)


@pytest.mark.parametrize("name", NAMES)
@SETTINGS
@given(seed=seeds, rows=cuts())
def test_order_of_rows(name, seed, rows):
    X, y, s = data(CASES[name].y)
    order = np.random.default_rng(seed).permutation(N)
    same_optimum(name, fit(name, X, y, s), fit(name, X[order], y[order], s[order], rows), X, y, s)


@pytest.mark.parametrize("name", NAMES)
@SETTINGS
@given(seed=seeds)
def test_weights_are_repeated_rows(name, seed):
    """A weight of zero is a row that is not there."""
    X, y, _ = data(CASES[name].y)
    times = np.random.default_rng(seed).integers(0, 4, N)
    one = fit(name, X, y, times.astype(float))
    X, y = np.repeat(X, times, axis=0), np.repeat(y, times, axis=0)
    same_optimum(name, one, fit(name, X, y), X, y, np.ones(len(y)))


@pytest.mark.parametrize("name", NAMES)
@SETTINGS
@given(seed=seeds, rows=cuts())
def test_a_weight_of_zero_deletes_the_row(name, seed, rows):
    X, y, s = data(CASES[name].y)
    keep = np.random.default_rng(seed).random(N) < 0.8
    one = fit(name, X, y, s * keep, rows)
    same_optimum(name, one, fit(name, X[keep], y[keep], s[keep]), X[keep], y[keep], s[keep])


def unpenalised(name):
    model = clone(CASES[name].ours)
    params = model.get_params()
    if "C" in params:
        return model.set_params(C=np.inf)
    return model.set_params(alpha=0.0) if "alpha" in params else model


def prediction(model, X):
    return model.decision_function(X) if hasattr(model, "decision_function") else model.predict(X)


@pytest.mark.parametrize("name", NAMES)
@SETTINGS
@given(exponents=st.lists(st.integers(-6, 6), min_size=D, max_size=D))
def test_units_of_columns_change_no_unpenalised_prediction(name, exponents):
    X, y, s = data(CASES[name].y)
    unit = 10.0 ** np.array(exponents)
    one, two = unpenalised(name).fit(X, y, s), unpenalised(name).fit(X * unit, y, s)
    assert one.n_iter_ == pytest.approx(two.n_iter_, abs=1)
    expected = prediction(one, X)
    size = np.abs(expected).max()
    np.testing.assert_allclose(prediction(two, X * unit), expected, rtol=0, atol=3e-7 * size)


STANDARDIZED = [name for name in NAMES if "standardize" in CASES[name].ours.get_params()]


@pytest.mark.parametrize("name", STANDARDIZED)
@SETTINGS
@given(exponents=st.lists(st.integers(-6, 6), min_size=D, max_size=D))
def test_units_of_columns_change_no_standardized_prediction(name, exponents):
    X, y, s = data(CASES[name].y)
    unit = 10.0 ** np.array(exponents)
    models = [clone(CASES[name].ours).set_params(standardize=True) for _ in range(2)]
    expected = prediction(models[0].fit(X, y, s), X)
    found = prediction(models[1].fit(X * unit, y, s), X * unit)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-7 * np.abs(expected).max())
    np.testing.assert_array_equal(models[0].coef_ == 0, models[1].coef_ == 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_thousandfold_x_and_repeated_rows_stop_where_they_did(name):
    """The stopping rule has no scale: the same number of iterations."""
    X, y, s = data(CASES[name].y)
    one = unpenalised(name).fit(X, y, s)
    assert unpenalised(name).fit(X * 1000, y, s).n_iter_ == pytest.approx(one.n_iter_, abs=1)
    if name.startswith("quantile"):
        return  # more rows need no more iterations, but may need a smoothed stage
    many = unpenalised(name).fit(np.tile(X, (5, 1)), np.concatenate([y] * 5), np.tile(s, 5))
    assert many.n_iter_ == pytest.approx(one.n_iter_, abs=1)


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 20])
def test_threads_that_take_from_each_other_leave_nothing_and_take_nothing_twice(threads):
    shares = Shares(range(1000), threads)
    taken = [[] for _ in range(threads)]

    def work(i):
        for item in shares.of(i):
            taken[i].append(item)
            if i % 2:
                time.sleep(1e-4)  # the others finish first

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert sorted(item for part in taken for item in part) == list(range(1000))
    if threads == 1:
        assert taken == [list(range(1000))]


def test_who_never_comes_leaves_its_share_to_others():
    shares = Shares("abcdef", 3)
    assert list(shares.of(1)) == ["c", "d", "b", "f", "a", "e"]
    assert list(shares.of(0)) == []
    rest = Shares("abcdef", 2)
    first = rest.of(0)
    assert next(first) == "a"
    rest.clear()
    assert list(first) == []
