"""Fold numbers are scikit-learn's splits; block-wise splitters stay lazy, even, and the same wherever they run."""

import warnings
from itertools import pairwise
from math import isnan

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.model_selection as skl
from dask.highlevelgraph import HighLevelGraph
from layouts import LAYOUTS
from sklearn.linear_model import LassoCV as PeerLassoCV

from dask_gd import ElasticNetCV, LassoCV, LogisticRegression, Ridge
from dask_gd.linear_model.folds import fold_numbers_of
from dask_gd.model_selection import KFold, StratifiedKFold, TimeSeriesSplit, train_test_split

LABELS = {
    "two": lambda code: (code > 2).astype(int),
    "five, not sorted": lambda code: 7 - code,
    "floats": lambda code: code.astype(float),
    "texts": lambda code: np.array(["fig", "date", "apple", "cherry", "banana"])[code],
    "objects": lambda code: np.array(["fig", "date", "apple", "cherry", "banana"], dtype=object)[code],
    "booleans": lambda code: code > 2,
    "numbers": lambda code: code + 0.5,
}
PARTITIONS = {
    "None": None,
    "4": 4,
    "KFold": skl.KFold(3),
    "shuffled": skl.KFold(3, shuffle=True, random_state=1),
    "StratifiedKFold": skl.StratifiedKFold(3),
    "stratified, shuffled": skl.StratifiedKFold(3, shuffle=True, random_state=2),
    "GroupKFold": skl.GroupKFold(3),
    "StratifiedGroupKFold": skl.StratifiedGroupKFold(2),
    "LeaveOneGroupOut": skl.LeaveOneGroupOut(),
    "LeaveOneOut": skl.LeaveOneOut(),
    "PredefinedSplit": skl.PredefinedSplit(np.arange(70) % 3),
    "list": [(np.arange(20, 70), np.arange(20)), (np.arange(20), np.arange(20, 70))],
    "masks": [(np.arange(70) % 2 == 0, np.arange(70) % 2 == 1), (np.arange(70) % 2 == 1, np.arange(70) % 2 == 0)],
}


def outcome(function):
    """What a function returns, or its error, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = function()
        except ValueError as error:
            value = str(error)
    return value, sorted({str(w.message) for w in caught})


def assert_same_folds(cv, given, expected, *, classifier=True):
    """``given``: X, y, groups in some layout; ``expected``: in memory."""
    X, y, groups = expected
    splits, warned = outcome(lambda: list(skl.check_cv(cv, y, classifier=classifier).split(X, y, groups)))
    found, also = outcome(lambda: fold_numbers_of(cv, *given[:2], classifier=classifier, groups=given[2]))
    assert also == warned
    if isinstance(splits, str):
        assert found == splits
        return
    fold, n_folds = found
    assert n_folds == len(splits)
    if isinstance(given[0], da.Array):
        assert fold.chunks == given[0].chunks[:1]
    else:
        assert isinstance(fold, np.ndarray)
    fold = np.asarray(fold)
    assert fold.dtype == np.int8
    for number, (train, test) in enumerate(splits):
        train, test = (np.flatnonzero(r) if r.dtype == bool else r for r in (train, test))
        np.testing.assert_array_equal(np.flatnonzero(fold == number), np.sort(test))
        np.testing.assert_array_equal(np.flatnonzero(fold != number), np.sort(train))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cv", PARTITIONS)
def test_fold_numbers_are_those_of_scikit_learn(rng, cv, layout):
    n = 70
    X, groups, code = rng.normal(size=(n, 4)), rng.integers(0, 6, size=n), rng.integers(0, 5, size=n)
    for labels in LABELS.values():
        y = labels(code)
        assert_same_folds(PARTITIONS[cv], LAYOUTS[layout](X, y, groups), (X, y, groups))


def test_fold_numbers_of_many_small_tables(rng):
    for _ in range(150):
        n, classes = int(rng.integers(6, 60)), int(rng.integers(1, 6))
        X, y = np.zeros((n, 1)), rng.integers(0, classes, size=n)
        cuts = np.sort(rng.integers(0, n + 1, size=3))
        dX = da.from_array(X, chunks=(tuple(np.diff([0, *cuts, n]).tolist()), 1))
        dy = da.from_array(y, chunks=int(rng.integers(1, n)))
        for cv in (int(rng.integers(2, 12)), skl.StratifiedKFold(int(rng.integers(2, 8)))):
            for given in ((dX, dy), (dX, y), (X, dy), (dX, dy[:, None])):
                assert_same_folds(cv, (*given, None), (X, y, None))


def test_an_integer_means_plain_folds_for_regressors(rng):
    X, y = rng.normal(size=(30, 2)), rng.integers(0, 2, size=30)
    given = LAYOUTS["even chunks"](X, y)
    assert_same_folds(4, (*given, None), (X, y, None), classifier=False)
    assert_same_folds(4, (*given[:1], None, None), (X, None, None))


@pytest.mark.parametrize(("n_folds", "dtype"), [(128, np.int8), (129, np.int16), (40_000, np.int32)])
def test_fold_numbers_are_small_integers(n_folds, dtype):
    X = da.zeros((50_000, 1), chunks=(20_000, 1))
    fold, _ = fold_numbers_of(n_folds, X, None, classifier=False)
    assert fold.dtype == fold.compute().dtype == dtype
    assert fold[-1].compute() == n_folds - 1


@pytest.mark.parametrize("layout", ["numpy", "uneven chunks"])
@pytest.mark.parametrize(
    "cv",
    [
        skl.TimeSeriesSplit(3),
        TimeSeriesSplit(2),
        skl.ShuffleSplit(3, random_state=0),
        skl.StratifiedShuffleSplit(3, random_state=0),
        skl.RepeatedKFold(n_splits=3, random_state=0),
        skl.LeavePOut(1),
        skl.PredefinedSplit(np.arange(40) % 3 - 1),
        [(np.arange(20), np.arange(20, 40))],
        [(np.arange(20), np.arange(20, 40)), (np.arange(21, 40), np.arange(20))],
        [(np.repeat(np.arange(10), 2), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))],
    ],
    ids=lambda cv: type(cv).__name__,
)
def test_splits_that_are_no_partition_have_none(rng, cv, layout):
    X, y = LAYOUTS[layout](rng.normal(size=(40, 2)), rng.integers(0, 2, size=40))
    found = fold_numbers_of(cv, X, y, classifier=True)
    if isinstance(cv, skl.LeavePOut):
        assert found[1] == 40
        return
    assert found is None
    with pytest.raises(ValueError, match=r"overlap|leave rows out|not all those"):
        LassoCV(cv=cv).fit(X, y)


def test_looking_at_splits_in_vain_leaves_the_random_state(rng):
    state = np.random.RandomState(3)
    assert fold_numbers_of(skl.ShuffleSplit(2, random_state=state), np.zeros((20, 1)), None, classifier=False) is None
    assert state.randint(2**31) == np.random.RandomState(3).randint(2**31)


def test_a_splitter_of_ones_own(rng):
    class Odd:
        """Sees what it is given."""

        def get_n_splits(self, X=None, y=None, groups=None):
            return 2

        def split(self, X, y, groups=None):
            assert isinstance(X, da.Array)  # lazy
            assert isinstance(y, np.ndarray)
            rows = np.arange(X.shape[0])
            yield rows[::2], rows[1::2]
            yield rows[1::2], rows[::2]

    X, y = LAYOUTS["uneven chunks"](rng.normal(size=(30, 2)), rng.normal(size=30))
    fold, n_folds = fold_numbers_of(Odd(), X, y, classifier=False)
    assert n_folds == 2
    np.testing.assert_array_equal(fold, (np.arange(30) + 1) % 2)


def test_errors_of_fold_numbers(rng):
    X, y = LAYOUTS["even chunks"](rng.normal(size=(40, 2)), rng.integers(0, 2, size=40))
    unknown = X[X[:, 0] > -np.inf]
    for cv in (3, skl.KFold(3, shuffle=True), skl.StratifiedKFold(3)):
        with pytest.raises(ValueError, match="compute_chunk_sizes"):
            fold_numbers_of(cv, unknown, y, classifier=True)
        with pytest.raises(ValueError, match=r"to_dask_array\(lengths=True\)"):
            fold_numbers_of(cv, X.to_dask_dataframe(), y, classifier=True)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[40, 39\]"):
        fold_numbers_of(3, X, y[1:], classifier=True)
    with pytest.raises(ValueError, match="chunk lengths of X or y are unknown"):
        fold_numbers_of(3, X, y.rechunk(20)[y.rechunk(20) >= 0], classifier=True)
    with pytest.raises(ValueError, match="inconsistent numbers of samples in the chunks"):
        fold_numbers_of(3, X, y[y > 0], classifier=True)
    with pytest.raises(ValueError, match="Expected `cv` as an integer"):
        fold_numbers_of("five", X, y, classifier=True)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        fold_numbers_of(skl.StratifiedKFold(3), X, da.where(y == 1, np.nan, 0.0), classifier=True)
    seen = []
    changing = da.zeros(40, chunks=10).map_blocks(
        lambda b: seen.append(0) or b + len(seen) % 3, dtype=float, meta=np.empty(0)
    )
    fold, _ = fold_numbers_of(skl.StratifiedKFold(3), X, changing, classifier=True)
    with pytest.raises(ValueError, match="changed between two passes"):
        fold.compute()


def test_labels_of_unknown_chunk_lengths_beside_known_rows(rng):
    X, y = rng.normal(size=(40, 2)), rng.integers(0, 3, size=40)
    dX, dy = LAYOUTS["uneven chunks"](X, y)
    assert_same_folds(3, (dX, dy[dy >= 0], None), (X, y, None))


# -- nothing is loaded -----------------------------------------------------------------------------------------------


def forbidden(*args, **kwargs):
    raise AssertionError("X was loaded")


def not_to_be_loaded(n=40, chunks=10, d=3):
    return da.zeros((n, d), chunks=(chunks, d)).map_blocks(forbidden, dtype=float, meta=np.empty((0, 0)))


def test_fold_numbers_never_load_x(rng):
    X, y = not_to_be_loaded(), da.from_array(rng.integers(0, 2, size=40), chunks=15)
    for cv in (3, *PARTITIONS.values(), KFold(3), StratifiedKFold(3, shuffle=True)):
        if isinstance(cv, (list, skl.PredefinedSplit)):  # of 70 rows
            continue
        groups = np.arange(40) % 5 if "Group" in type(cv).__name__ else None
        fold, _ = fold_numbers_of(cv, X, y, classifier=True, groups=groups)
        assert fold.compute().shape == (40,)
    for splitter in (KFold(3), StratifiedKFold(3), TimeSeriesSplit(2)):
        assert len(list(splitter.split(X, y))) == splitter.get_n_splits()


def test_parts_are_lazy():
    X = not_to_be_loaded()
    parts = train_test_split(X, X[:, 0], stratify=X[:, 0] > 0, random_state=0)
    assert [part.shape for part in parts] == [(30, 3), (10, 3), (30,), (10,)]
    with pytest.raises(AssertionError, match="X was loaded"):
        parts[1].compute()


def tasks(collections):
    return len(HighLevelGraph.merge(*(c.__dask_graph__() for c in collections)).to_dict())


@pytest.mark.parametrize("stratify", [False, True])
def test_tasks_of_two_hundred_chunks(stratify):
    X, y = da.zeros((1_000_000, 5), chunks=(5000, 5)), da.zeros(1_000_000, chunks=5000, dtype=int)
    parts = train_test_split(X, y, stratify=y if stratify else None, random_state=0)
    assert tasks(parts) <= (6 + stratify) * 200  # what makes a chunk, and its two parts; and the classes of y
    for cv in (KFold(5), StratifiedKFold(5, shuffle=True)):
        assert tasks([cv.fold_numbers(X, y)]) <= 2 * 200
    assert (
        tasks(
            [fold_numbers_of(skl.StratifiedKFold(5), X, y + da.arange(1_000_000, chunks=5000) % 2, classifier=True)[0]]
        )
        <= 5 * 200
    )
    assert tasks([fold_numbers_of(5, X, None, classifier=False)[0]]) <= 200


def test_folds_of_a_frame_read_one_column():
    read = []

    def load(i, columns=None):
        read.append(columns)
        return pd.DataFrame({name: np.arange(10.0) for name in columns or "abc"})

    frame = dd.from_map(load, range(4), meta=pd.DataFrame({name: [0.0] for name in "abc"}), enforce_metadata=False)
    assert np.bincount(KFold(4).fold_numbers(frame).compute()).tolist() == [10] * 4
    assert read == [["a"]] * 4


# -- block-wise splitters --------------------------------------------------------------------------------------------

SPLITTERS = {
    "KFold": lambda k: KFold(k),
    "shuffled": lambda k: KFold(k, shuffle=True, random_state=3),
    "StratifiedKFold": lambda k: StratifiedKFold(k),
    "stratified, shuffled": lambda k: StratifiedKFold(k, shuffle=True, random_state=3),
}
DASK_LAYOUTS = sorted(set(LAYOUTS) - {"numpy", "csr"})


@pytest.mark.parametrize("layout", DASK_LAYOUTS)
@pytest.mark.parametrize("name", SPLITTERS)
def test_block_wise_folds_partition_the_rows(rng, name, layout):
    n, splitter = 90, SPLITTERS[name](4)
    X, y = LAYOUTS[layout](rng.normal(size=(n, 3)), rng.integers(0, 3, size=n))
    fold = splitter.fold_numbers(X, y)
    assert fold.chunks == X.chunks[:1]
    assert fold_numbers_of(splitter, X, y, classifier=False)[1] == 4
    fold = fold.compute()
    assert fold.dtype == np.int8
    for number, (train, test) in enumerate(splitter.split(X, y)):
        np.testing.assert_array_equal(test, np.flatnonzero(fold == number))
        np.testing.assert_array_equal(train, np.flatnonzero(fold != number))
    y = np.asarray(y)
    ends = np.cumsum([0, *X.chunks[0]])
    for a, b in pairwise(ends):
        sizes = np.bincount(fold[a:b], minlength=4)
        assert sizes.max() - sizes.min() <= 1
        for label in range(3 if "tratified" in name else 0):
            sizes = np.bincount(fold[a:b][y[a:b] == label], minlength=4)
            assert sizes.max() - sizes.min() <= 1


def test_folds_of_equal_chunks_are_even():
    X = da.zeros((200 * 53, 2), chunks=(53, 2))
    for splitter in (KFold(5), KFold(5, shuffle=True, random_state=0)):
        sizes = np.bincount(splitter.fold_numbers(X))
        assert sizes.max() - sizes.min() <= 3
        for train, _ in splitter.split(X):
            lengths = X[train].chunks[0]
            assert max(lengths) - min(lengths) <= 1


def test_a_class_of_one_row_a_chunk_is_in_every_fold():
    y = da.from_array(np.tile(np.arange(50) == 17, 20), chunks=50)
    X = da.zeros((1000, 1), chunks=(50, 1))
    for _, test in StratifiedKFold(5).split(X, y):
        assert y[test].sum().compute() == 4


@pytest.mark.parametrize("name", SPLITTERS)
def test_in_memory_the_splits_are_those_of_scikit_learn(rng, name):
    X, y = rng.normal(size=(50, 2)), rng.integers(0, 3, size=50)
    ours = SPLITTERS[name](4)
    theirs = type(ours).__mro__[1](4, shuffle=ours.shuffle, random_state=ours.random_state)
    folds = ours.fold_numbers(X, da.from_array(y, chunks=20))
    for number, (a, b) in enumerate(zip(ours.split(X, y), theirs.split(X, y), strict=True)):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
        np.testing.assert_array_equal(np.flatnonzero(folds == number), b[1])
    assert repr(ours) == repr(theirs)


def test_time_series_in_whole_chunks(rng):
    X = da.zeros((60, 2), chunks=((10, 5, 15, 10, 12, 8), 2))
    splits = list(TimeSeriesSplit(2).split(X))
    assert [(train[-1], test[0], test[-1]) for train, test in splits] == [(14, 15, 39), (39, 40, 59)]
    for train, test in splits:
        assert set(X[train].chunks[0]) | set(X[test].chunks[0]) <= {10, 5, 15, 12, 8}
    [(train, test)] = list(TimeSeriesSplit(2, max_train_size=1, test_size=1, gap=1).split(X))[:1]
    np.testing.assert_array_equal(train, np.arange(15, 30))
    np.testing.assert_array_equal(test, np.arange(40, 52))
    for ours, theirs in zip(
        TimeSeriesSplit(3).split(np.zeros(9)), skl.TimeSeriesSplit(3).split(np.zeros(9)), strict=True
    ):
        np.testing.assert_array_equal(np.r_[ours], np.r_[theirs])
    with pytest.raises(ValueError, match="at least 7 row chunks, and X has 6"):
        next(TimeSeriesSplit(6).split(X))


@pytest.mark.parametrize("name", SPLITTERS)
def test_unknown_chunk_lengths_have_the_same_folds(rng, name):
    X, y = LAYOUTS["uneven chunks"](rng.normal(size=(70, 3)), rng.integers(0, 3, size=70))
    splitter = SPLITTERS[name](4)
    unknown = X[X[:, 0] > -np.inf]
    fold = splitter.fold_numbers(unknown, y[y >= 0])
    assert isnan(fold.shape[0])
    np.testing.assert_array_equal(fold, splitter.fold_numbers(X, y))
    frame = unknown.to_dask_dataframe(columns=list("abc"))
    np.testing.assert_array_equal(splitter.fold_numbers(frame, y[y >= 0]), fold)
    with pytest.raises(ValueError, match="fold_numbers and train_test_split do without"):
        next(splitter.split(unknown, y))


def test_a_path_over_chunks_of_unknown_length(rng):
    X = rng.normal(size=(90, 3))
    y = X[:, 0] + rng.normal(size=90)
    dX, dy = LAYOUTS["uneven chunks"](X, y)
    unknown, labels = dX[dX[:, 0] > -np.inf], dy[dX[:, 0] > -np.inf]
    model = LassoCV(cv=KFold(4)).fit(unknown, labels)
    peer = PeerLassoCV(cv=list(KFold(4).split(dX)), tol=1e-12).fit(X, y)
    np.testing.assert_allclose(model.mse_path_, peer.mse_path_, rtol=1e-8)
    frame = unknown.to_dask_dataframe(columns=list("abc"))
    assert LassoCV(cv=KFold(4)).fit(frame, labels).alpha_ == model.alpha_
    assert ElasticNetCV(cv=skl.StratifiedKFold(3)).fit(X, (y > 0).astype(int)).mse_path_.shape == (100, 3)


@pytest.mark.parametrize("cv", [KFold(3, shuffle=True, random_state=0), StratifiedKFold(3), TimeSeriesSplit(2)])
def test_in_the_tools_of_scikit_learn(rng, cv):
    X = rng.normal(size=(400, 3))
    y = (X[:, 0] + rng.normal(size=400) > 0).astype(int)
    dX, dy = da.from_array(X, chunks=(100, 3)), da.from_array(y, chunks=100)
    scores = skl.cross_val_score(LogisticRegression(), dX, dy, cv=cv)
    expected = [LogisticRegression().fit(X[a], y[a]).score(X[b], y[b]) for a, b in cv.split(dX, dy)]
    np.testing.assert_allclose(scores, expected, atol=0.01)


def test_errors_of_block_wise_splitters(rng):
    X = da.zeros((12, 2), chunks=(3, 2))
    with pytest.raises(ValueError, match="n_splits=13 greater than the number of samples: n_samples=12"):
        next(KFold(13).split(X))
    with pytest.raises(ValueError, match=r"Fold 6 of 12 got no row from any of 4 chunks of at most 3 rows"):
        next(KFold(12).split(X))
    with pytest.raises(ValueError, match="StratifiedKFold needs y"):
        StratifiedKFold(3).fold_numbers(X, None)
    with pytest.raises(ValueError, match="Got 'continuous' instead"):
        StratifiedKFold(3).fold_numbers(X, da.from_array(np.arange(12) + 0.5, chunks=3)).compute()
    with pytest.raises(ValueError, match="Setting a random_state has no effect"):
        KFold(3, random_state=0)
    with pytest.warns(UserWarning, match="groups parameter is ignored by KFold"):
        next(KFold(3).split(X, groups=np.zeros(12)))


# -- train_test_split ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("layout", DASK_LAYOUTS)
def test_parts_hold_every_row_once(rng, layout, stratify):
    n = 90
    X, y = rng.normal(size=(n, 3)), rng.integers(0, 3, size=n)
    dX, dy = LAYOUTS[layout](X, y)
    parts = train_test_split(dX, dy, np.arange(n), random_state=0, test_size=0.3, stratify=y if stratify else None)
    assert [part.shape[0] for part in parts] == [63, 27] * 3
    assert [c for p in parts for c in p.chunks[0]] == [
        len(p.blocks[i].compute()) if p.ndim == 1 else p.blocks[i].compute().shape[0]
        for p in parts
        for i in range(p.numblocks[0])
    ]
    computed = [part.compute() for part in parts]
    computed[:2] = [part.toarray() if sp.issparse(part) else part for part in computed[:2]]
    train, test = computed[4:]
    assert sorted([*train, *test]) == list(range(n))
    for number, rows in enumerate((train, test)):
        np.testing.assert_array_equal(computed[number], X[rows])
        np.testing.assert_array_equal(computed[2 + number], y[rows])
    for part in parts[:2]:
        assert part.numblocks == dX.numblocks


def test_parts_of_chunks_are_their_shares():
    X = da.zeros((200 * 53, 2), chunks=(53, 2))
    train, test = train_test_split(X, test_size=0.3, random_state=1)
    for part, share in ((train, 0.7), (test, 0.3)):
        assert abs(part.shape[0] - share * len(X)) < 1
        assert {abs(length - share * 53) < 1 for length in part.chunks[0]} == {True}


@pytest.mark.parametrize("n", [10, 97])
@pytest.mark.parametrize(
    ("test_size", "train_size"), [(None, None), (0.3, None), (None, 0.3), (0.2, 0.5), (3, None), (None, 4), (3, 0.33)]
)
def test_sizes_are_those_of_scikit_learn(n, test_size, train_size):
    X = np.arange(n)
    sizes = {"test_size": test_size, "train_size": train_size}
    expected = [len(part) for part in skl.train_test_split(X, **sizes)]
    for chunks in (1, 3, 50):
        parts = train_test_split(da.from_array(X, chunks=chunks), **sizes, random_state=0)
        assert [part.shape[0] for part in parts] == [len(part.compute()) for part in parts] == expected
        assert len(set(parts[0].compute()) & set(parts[1].compute())) == 0


@pytest.mark.parametrize("sizes", [(0.25, None), (0.1, None), (None, 0.6), (0.2, 0.5)])
def test_sizes_of_unknown_chunks_are_near(sizes):
    X = da.arange(2000, chunks=(100,))
    unknown = X[X >= 0]
    options = {"test_size": sizes[0], "train_size": sizes[1], "random_state": 0}
    train, test = train_test_split(unknown, **options)
    assert isnan(train.shape[0])
    expected = [len(part) for part in skl.train_test_split(np.arange(2000), **options)]
    train, test = train.compute(), test.compute()
    assert abs(len(train) - expected[0]) <= 1
    assert abs(len(test) - expected[1]) <= 1
    assert not set(train) & set(test)


def test_stratified_parts_have_their_share_of_every_class(rng):
    y = rng.choice(3, p=[0.9, 0.09, 0.01], size=10_000)
    dy = da.from_array(y, chunks=500)
    _, test = train_test_split(dy, stratify=dy, test_size=0.2, random_state=0)
    for label in range(3):
        share = (test == label).sum().compute() / (y == label).sum()
        assert abs(share - 0.2) < (0.001, 0.01, 0.08)[label]
    for i in range(20):
        whole = np.bincount(y[i * 500 : (i + 1) * 500], minlength=3)
        part = np.bincount(test.blocks[i].compute(), minlength=3)
        assert (abs(part - 0.2 * whole) < 2).all()


def test_rows_are_chosen_with_equal_probability():
    y = da.from_array(np.arange(20) == 7, chunks=20)
    rows = da.arange(20, chunks=20)
    counts = np.zeros(20)
    for seed in range(300):
        counts[train_test_split(rows, stratify=y, test_size=0.25, random_state=seed)[1].compute()] += 1
    assert (abs(counts - 75) < 5 * np.sqrt(75 * 0.75)).all()


def test_without_shuffling_the_last_rows_are_for_testing():
    X = da.arange(100, chunks=(30,))
    train, test = train_test_split(X, shuffle=False, test_size=0.2)
    np.testing.assert_array_equal(train, np.arange(80))
    np.testing.assert_array_equal(test, np.arange(80, 100))


def test_in_memory_the_parts_are_those_of_scikit_learn(rng):
    X, y = rng.normal(size=(50, 2)), rng.integers(0, 2, size=50)
    arrays = (X, y, pd.DataFrame(X), list(y), sp.csr_array(X))
    ours = train_test_split(*arrays, random_state=0, stratify=da.from_array(y, chunks=20))
    theirs = skl.train_test_split(*arrays, random_state=0, stratify=y)
    for a, b in zip(ours, theirs, strict=True):
        assert type(a) is type(b)
        if sp.issparse(a):
            a, b = a.toarray(), b.toarray()
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("stratify", [False, True])
def test_frames_stay_frames(rng, stratify):
    frame = pd.DataFrame({"a": np.arange(50.0), "b": rng.normal(size=50), "y": rng.integers(0, 2, size=50)})
    lazy = dd.from_pandas(frame, npartitions=5)
    parts = train_test_split(
        lazy[["a", "b"]], lazy["y"], test_size=0.4, random_state=0, stratify=lazy["y"] if stratify else None
    )
    assert [type(part).__name__ for part in parts] == ["DataFrame", "DataFrame", "Series", "Series"]
    X_train, X_test, y_train, y_test = dask.compute(*parts)
    pd.testing.assert_frame_equal(pd.concat([X_train, X_test]).sort_index(), frame[["a", "b"]])
    pd.testing.assert_series_equal(y_train, frame["y"][X_train.index])
    pd.testing.assert_series_equal(y_test, frame["y"][X_test.index])
    assert len(X_test) == 20
    # a partition that is picked is the same partition
    picked = parts[0].partitions[3].compute()
    pd.testing.assert_frame_equal(picked, X_train.loc[picked.index])
    assert {int(i) // 10 for i in picked.index} == {3}
    pd.testing.assert_frame_equal(parts[0].get_partition(3)[["b"]].compute(), picked[["b"]])


def test_frames_beside_arrays(rng):
    X = da.from_array(rng.normal(size=(60, 2)), chunks=(20, 2))
    frame = X.to_dask_dataframe(columns=["a", "b"])
    labels = X[:, 0] > 0
    parts = train_test_split(frame, X, X[:, 1], random_state=0, stratify=labels)
    F_train, (X_train, v_train) = parts[0].compute(), dask.compute(*parts[2::2])
    np.testing.assert_array_equal(F_train.to_numpy(), X_train)
    np.testing.assert_array_equal(X_train[:, 1], v_train)


@pytest.mark.parametrize("stratify", [False, True])
def test_every_chunk_can_be_made_again_by_itself(client, rng, stratify):
    X, y = LAYOUTS["uneven chunks"](rng.normal(size=(90, 3)), rng.integers(0, 2, size=90))
    parts = train_test_split(X, y, random_state=5, stratify=y if stratify else None)
    folds = [SPLITTERS[name](3).fold_numbers(X, y) for name in SPLITTERS]
    whole = dask.compute(*parts, *folds)
    with dask.config.set(scheduler="threads"):
        threaded = dask.compute(*parts, *folds)
    distributed = client.gather(client.compute([*parts, *folds]))
    for lazy, *values in zip([*parts, *folds], whole, threaded, distributed, strict=True):
        alone = np.concatenate([lazy.blocks[i].compute() for i in reversed(range(3))][::-1])
        assert len({value.tobytes() for value in (alone, *values)}) == 1
    again = train_test_split(X, y, random_state=5, stratify=y if stratify else None)
    assert [part.name for part in again] == [part.name for part in parts]
    other = train_test_split(X, y, random_state=6)[0].compute()
    assert not np.array_equal(other, whole[0])


def test_a_random_state_seeds_what_follows():
    X = da.arange(50, chunks=10)
    a, b = (train_test_split(X, random_state=np.random.RandomState(0))[0].compute() for _ in range(2))
    np.testing.assert_array_equal(a, b)
    a, b = (train_test_split(X)[0].compute() for _ in range(2))
    assert not np.array_equal(a, b)


def test_fits_to_parts(rng):
    X = rng.normal(size=(500, 3))
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abc")).assign(y=X @ [1.0, 2.0, 3.0]), npartitions=4)
    X_train, X_test, y_train, y_test = train_test_split(frame[["a", "b", "c"]], frame["y"], random_state=0)
    model = Ridge(alpha=1e-8).fit(X_train, y_train)
    np.testing.assert_allclose(model.coef_, [1, 2, 3], rtol=1e-6)
    assert model.score(X_test, y_test) > 1 - 1e-9


def test_errors_of_train_test_split():
    X = da.zeros((40, 2), chunks=(10, 2))
    unknown = X[X[:, 0] == 0]
    with pytest.raises(ValueError, match=r"test_size=1.5 should be either positive"):
        train_test_split(X, test_size=1.5)
    with pytest.raises(ValueError, match="test_size=40 should be either positive"):
        train_test_split(X, test_size=40)
    with pytest.raises(ValueError, match="sum of train_size and test_size = 50"):
        train_test_split(X, test_size=20, train_size=30)
    with pytest.raises(ValueError, match="resulting train set will be empty"):
        train_test_split(X, train_size=0.01)
    with pytest.raises(ValueError, match="not implemented for shuffle=False"):
        train_test_split(X, shuffle=False, stratify=X[:, 0])
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[40, 39\]"):
        train_test_split(X, np.zeros(39))
    with pytest.raises(ValueError, match="stratify should be a 1d array"):
        train_test_split(X, stratify=X)
    with pytest.raises(ValueError, match="chunk lengths of X or another array are unknown"):
        train_test_split(unknown, np.zeros(40))
    with pytest.raises(ValueError, match=r"as many chunks as the others; these have \[4, 1\]"):
        train_test_split(unknown, da.concatenate([unknown]).blocks[:1])
    with pytest.raises(ValueError, match="test_size must be a share of the rows"):
        train_test_split(unknown, test_size=10)
    with pytest.raises(ValueError, match="sum of test_size and train_size"):
        train_test_split(unknown, test_size=0.6, train_size=0.6)
    with pytest.raises(ValueError, match="which rows are the last ones"):
        train_test_split(unknown, shuffle=False)
    with pytest.raises(ValueError, match="chunk lengths of all arrays must be known"):
        train_test_split(X, X.to_dask_dataframe(), shuffle=False)
