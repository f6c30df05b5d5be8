"""Every kind of X, y, weights and offset, chunked in any way: one answer."""

import warnings

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from dask_gd import LinearRegression, LogisticRegression, Ridge
from dask_gd.engine import LocalEngine, StreamingEngine, batch, is_dask, open_engine
from dask_gd.engine.blocks import dask_blocks, make_block

N, D = 60, 4
RNG = np.random.default_rng(7)
X = RNG.normal(size=(N, D)) * (RNG.random((N, D)) < 0.7)
Y = X @ [1.0, -2.0, 0.5, 3.0] + 1 + RNG.normal(size=N)
LABELS = np.where(RNG.normal(size=N) < Y, "up", "down")
S = RNG.integers(0, 3, N).astype(float)
OFFSET = RNG.normal(size=N)
ROWS = ((20, 0, 1, 9, 30),)


def rows(a, cut=ROWS):
    return da.from_array(a, chunks=(*cut, *((k,) for k in a.shape[1:])))


def unknown(a):
    """The same rows with chunk lengths that Dask does not know."""
    out = rows(a)
    return out[rows(np.ones(len(a), dtype=bool))]


KINDS_X = {
    "numpy": lambda: X,
    "fortran": lambda: np.asfortranarray(X),
    "strided": lambda: np.repeat(X, 2, axis=1)[:, ::2],
    "list": lambda: X.tolist(),
    "pandas": lambda: pd.DataFrame(X, columns=list("abcd")),
    "csr array": lambda: sp.csr_array(X),
    "csr matrix": lambda: sp.csr_matrix(X),
    "csc": lambda: sp.csc_matrix(X),
    "coo": lambda: sp.coo_array(X),
    "dask": lambda: rows(X),
    "dask of csr matrices": lambda: rows(X).map_blocks(sp.csr_matrix),
    "dask of csr arrays": lambda: rows(X).map_blocks(sp.csr_array),
    "dask of csc": lambda: rows(X).map_blocks(sp.csc_matrix),
    "dask of coo": lambda: rows(X).map_blocks(sp.coo_array),
    "dask of fortran": lambda: rows(X).map_blocks(np.asfortranarray),
    "dask of objects": lambda: rows(X).astype(object),
    "column chunks": lambda: da.from_array(X, chunks=(ROWS[0], (1, 2, 1))),
    "column chunks of csr": lambda: da.from_array(X, chunks=(ROWS[0], (1, 3))).map_blocks(sp.csr_matrix),
    "unknown lengths": lambda: unknown(X),
    "unknown lengths, column chunks": lambda: da.from_array(X, chunks=(ROWS[0], (2, 2)))[rows(np.ones(N, dtype=bool))],
    "dask frame": lambda: dd.from_pandas(pd.DataFrame(X, columns=list("abcd")), npartitions=4),
}
KINDS_VECTOR = {
    "numpy": lambda v: v,
    "list": lambda v: v.tolist(),
    "pandas": lambda v: pd.Series(v),
    "same chunks": rows,
    "other chunks": lambda v: rows(v, ((7, 53),)),
    "one chunk": lambda v: rows(v, ((N,),)),
    "column": lambda v: rows(v.reshape(-1, 1)),
    "unknown lengths": unknown,
    "series": lambda v: dd.from_pandas(pd.Series(v), npartitions=3),
}


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs"])
@pytest.mark.parametrize("kind", KINDS_X)
def test_kinds_of_x(kind, solver):
    expected = Ridge(solver=solver, tol=1e-10).fit(X, Y)
    data = KINDS_X[kind]()
    found = Ridge(solver=solver, tol=1e-10).fit(data, Y)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-9)
    assert found.intercept_ == pytest.approx(expected.intercept_, rel=1e-9)
    predicted = found.predict(data)
    assert is_dask(predicted) == is_dask(data)
    np.testing.assert_allclose(np.asarray(predicted), expected.predict(X), rtol=1e-8, atol=1e-9)
    assert found.score(data, Y) == pytest.approx(expected.score(X, Y), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS_X)
def test_kinds_of_x_of_a_classifier(kind):
    expected = LogisticRegression(tol=1e-9).fit(X, LABELS)
    data = KINDS_X[kind]()
    found = LogisticRegression(tol=1e-9).fit(data, LABELS)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-8)
    np.testing.assert_array_equal(np.asarray(found.predict(data)), expected.predict(X))
    np.testing.assert_allclose(np.asarray(found.predict_proba(data)), expected.predict_proba(X), rtol=1e-7)
    assert found.score(data, LABELS) == expected.score(X, LABELS)


@pytest.mark.parametrize("x", ["dask", "unknown lengths", "dask of csr matrices", "dask frame"])
@pytest.mark.parametrize("kind", KINDS_VECTOR)
def test_vectors_are_chunked_in_any_way(kind, x):
    wrap = KINDS_VECTOR[kind]
    expected = Ridge().fit(X, Y, S, OFFSET)
    for y, s, o in ((wrap(Y), S, OFFSET), (Y, wrap(S), OFFSET), (Y, S, wrap(OFFSET)), (wrap(Y), wrap(S), wrap(OFFSET))):
        found = Ridge().fit(KINDS_X[x](), y, s, o)
        np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-9)
        assert found.intercept_ == pytest.approx(expected.intercept_, rel=1e-9)


@pytest.mark.parametrize("x", ["dask", "unknown lengths", "dask frame"])
@pytest.mark.parametrize("kind", ["numpy", "list", "same chunks", "other chunks", "unknown lengths", "series"])
def test_labels_are_chunked_in_any_way(kind, x):
    expected = LogisticRegression().fit(X, LABELS)
    found = LogisticRegression().fit(KINDS_X[x](), KINDS_VECTOR[kind](LABELS))
    np.testing.assert_array_equal(found.classes_, ["down", "up"])
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-8)


@pytest.mark.parametrize("kind", ["numpy", "pandas", "list", "same chunks", "one chunk", "series"])
def test_dask_vectors_beside_x_in_memory(kind):
    wrap = KINDS_VECTOR[kind]
    found = Ridge().fit(X, wrap(Y), wrap(S), wrap(OFFSET))
    np.testing.assert_allclose(found.coef_, Ridge().fit(X, Y, S, OFFSET).coef_, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, bool, np.float16])
@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
def test_other_numbers_become_float64(dtype, lazy):
    Z = (np.abs(X) * 3).astype(dtype)
    expected = Ridge().fit(Z.astype(float), Y)
    data = rows(Z) if lazy else Z
    found = Ridge().fit(data, rows(Y) if lazy else Y)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-10)
    predicted = found.predict(data)
    assert predicted.dtype == np.float64
    np.testing.assert_allclose(np.asarray(predicted), expected.predict(Z.astype(float)), rtol=1e-10)


def test_integer_targets_and_weights():
    y, s = np.round(Y).astype(int), S.astype(int)
    for data, vectors in ((X, (y, s)), (rows(X), (rows(y), rows(s)))):
        np.testing.assert_allclose(
            Ridge().fit(data, *vectors).coef_, Ridge().fit(X, y.astype(float), S).coef_, rtol=1e-10
        )


# -- what is in the blocks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [k for k in KINDS_X if "dask" in k or "chunks" in k or "unknown" in k])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_keep_their_precision_and_are_contiguous(kind, dtype):
    data = KINDS_X[kind]()
    if kind == "dask of objects":
        return
    data = data.astype(dtype)
    source = dask_blocks(data, Y, S.astype(np.float32), None, targets="numbers")
    blocks = dask.compute(*source.blocks)
    assert [block.index for block in blocks] == list(range(len(blocks)))
    assert sum(block.n_rows for block in blocks) == N
    for block in blocks:
        assert block.X.dtype == dtype
        assert block.y.dtype == np.float64
        assert block.weight.dtype == np.float32
        assert block.offset is None
        if sp.issparse(block.X):
            assert isinstance(block.X, sp.csr_array)
            assert block.X.has_canonical_format
        else:
            assert block.X.flags.c_contiguous
        assert len(block.y) == len(block.weight) == block.n_rows
    stacked = np.vstack([b.X.toarray() if sp.issparse(b.X) else b.X for b in blocks])
    np.testing.assert_array_equal(stacked, X.astype(dtype))
    np.testing.assert_array_equal(np.concatenate([b.y for b in blocks]), Y)


def test_float32_predictions_stay_float32():
    model = LinearRegression().fit(rows(X.astype(np.float32)), rows(Y))
    for data in (
        X.astype(np.float32),
        rows(X.astype(np.float32)),
        rows(X.astype(np.float32)).map_blocks(sp.csr_matrix),
    ):
        predicted = model.predict(data)
        assert predicted.dtype == np.float32
        assert np.asarray(predicted).dtype == np.float32


def test_repeated_entries_of_a_sparse_block_are_added():
    data = sp.coo_array(([1.0, 2.0, 5.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    block = make_block(0, [data], np.zeros(2), None, None, "numbers")
    np.testing.assert_array_equal(block.X.toarray(), [[0, 3], [5, 0]])
    assert block.X.nnz == 2


def test_block_weighs_what_it_holds():
    block = make_block(3, [X], Y, S.astype(np.float32), None, "numbers")
    assert block.nbytes == X.nbytes + Y.nbytes + S.nbytes // 2
    csr = sp.csr_array(X)
    sparse = make_block(3, [csr], Y, None, None, "numbers")
    assert sparse.nbytes == csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes + Y.nbytes


def test_is_dask():
    assert is_dask(rows(X))
    assert is_dask(KINDS_X["dask frame"]())
    assert is_dask(KINDS_X["dask frame"]()["a"])
    for other in (X, X.tolist(), sp.csr_array(X), pd.DataFrame(X), None):
        assert not is_dask(other)


def test_sparse_and_dense_columns_may_be_mixed():
    one = da.from_array(X[:, :2], chunks=(ROWS[0], (2,)))
    two = da.from_array(X[:, 2:], chunks=(ROWS[0], (2,))).map_blocks(sp.csr_matrix)
    found = Ridge().fit(da.concatenate([one, two], axis=1, allow_unknown_chunksizes=True), Y)
    np.testing.assert_allclose(found.coef_, Ridge().fit(X, Y).coef_, rtol=1e-10)


def test_an_offset_in_memory_beside_unknown_lengths():
    model = Ridge().fit(X, Y)
    with pytest.raises(ValueError, match=r"chunk lengths of X are unknown.*compute_chunk_sizes"):
        model.predict(unknown(X), offset=OFFSET)
    np.testing.assert_allclose(
        model.predict(unknown(X), offset=unknown(OFFSET)).compute(), model.predict(X) + OFFSET, rtol=1e-10
    )


# -- engines without a cluster ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_local_engines_leave_the_same_bits(scheduler):
    rng = np.random.default_rng(0)
    big = rng.normal(size=(20_000, 20))  # large enough for the thread pool
    y = big @ rng.normal(size=20) + rng.normal(size=20_000)
    with dask.config.set(scheduler="synchronous"):
        expected = Ridge(solver="lbfgs").fit(da.from_array(big, chunks=(3000, 20)), y)
    with dask.config.set(scheduler=scheduler):
        found = Ridge(solver="lbfgs").fit(da.from_array(big, chunks=(3000, 20)), y)
    np.testing.assert_array_equal(found.coef_, expected.coef_)
    assert found.intercept_ == expected.intercept_


@pytest.mark.parametrize("estimator", [Ridge(solver="lbfgs"), LogisticRegression(solver="lbfgs")], ids=repr)
def test_streaming_is_the_same_fit(estimator, monkeypatch):
    """Data that do not fit are read again in every sweep: the same bits, and one load a chunk and sweep."""
    y = LABELS if isinstance(estimator, LogisticRegression) else Y
    loads = []

    def load(block):
        loads.append(1)
        return block

    data = rows(X).map_blocks(load, meta=np.empty((0, 0)))
    coef = estimator.fit(data, y).coef_
    assert len(loads) == len(ROWS[0])
    monkeypatch.setattr("dask_gd.engine.MEMORY_SHARE", 0.0)
    with open_engine(rows(X), Y) as engine:
        assert isinstance(engine, StreamingEngine)
    loads.clear()
    again = estimator.fit(data, y)
    np.testing.assert_array_equal(again.coef_, coef)
    # the first block is weighed before the engine is chosen only where X does not say what it weighs
    assert again.n_sweeps_ * len(ROWS[0]) <= len(loads) <= again.n_sweeps_ * len(ROWS[0]) + 1


def test_the_engine_releases_its_blocks():
    with open_engine(X, Y) as engine:
        assert isinstance(engine, LocalEngine)
        assert engine.blocks
    assert not engine.blocks


def test_a_fit_on_a_cluster_is_the_fit_without(client):
    with dask.config.set(scheduler=None), client.as_current():
        found = Ridge().fit(rows(X), rows(Y), rows(S))
        predicted = found.predict(rows(X)).compute()
    expected = Ridge().fit(rows(X), rows(Y), rows(S))
    np.testing.assert_array_equal(found.coef_, expected.coef_)
    np.testing.assert_array_equal(predicted, expected.predict(rows(X)).compute())


def misplaced(X):
    """At an address that is no multiple of the size of a number, as what comes in a message may be."""
    raw = np.empty(X.nbytes + 1, np.uint8)
    copy = raw[1:].view(X.dtype).reshape(X.shape)
    copy[...] = X
    return copy


@pytest.mark.parametrize("lie", [np.asfortranarray, pd.DataFrame, misplaced, lambda X: np.repeat(X, 2, axis=0)[::2]])
@pytest.mark.parametrize("model", [Ridge(), LogisticRegression(), LogisticRegression(solver="lbfgs", max_iter=3)])
def test_large_arrays_may_lie_in_any_way(lie, model, monkeypatch):
    """The bits are those of rows that follow each other, and X is copied once at the most."""
    rng = np.random.default_rng(0)
    large = rng.normal(size=(150_000, 8))
    target = (large[:, 0] + rng.normal(size=len(large)) > 0).astype(int)
    copies = []

    def counted(X):
        rows = by_rows(X)
        copies.append(0 if rows is X else X.nbytes)
        return rows

    by_rows = batch.by_rows
    monkeypatch.setattr(batch, "by_rows", counted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        same = clone(model).fit(lie(large), target)
        assert sum(copies) <= large.nbytes
        assert sum(copies) > 0 or lie is pd.DataFrame or isinstance(model, Ridge)
        plain = clone(model).fit(large, target)
    assert same.coef_.tobytes() == plain.coef_.tobytes()
    if isinstance(model, Ridge) and lie is np.asfortranarray:
        assert not sum(copies)
