"""Metrics and scorers: scikit-learn's numbers and words, however the data are cut; one read; sums alone travel."""

import inspect
import math
import pickle
import time
import warnings
from functools import partial
from itertools import pairwise

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
from clusters import watch_gather
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_cases import CASES, CUTS, IDS, STRINGS, Loads, N, chunked, close, data, unknown, weights, words
from sklearn.exceptions import UndefinedMetricWarning

import dask_gd
from dask_gd import metrics
from dask_gd.engine import Exchange, exchange, in_pairs, open_engine
from dask_gd.kernels import Ranks
from dask_gd.metrics import ranking
from dask_gd.metrics.checks import encode
from dask_gd.metrics.scorers import METRICS


def _both(name):
    return getattr(metrics, name), getattr(reference, name)


def _keywords(name, weighted, parameters):
    if name == "max_error":
        return parameters, None
    if parameters.get("multi_class") == "ovo":
        return parameters, None
    return parameters, weights() if weighted else None


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "parameters", "kind"), CASES, ids=IDS)
def test_scikit_learns_number_for_every_cut(name, parameters, kind, weighted):
    ours, theirs = _both(name)
    y, predicted = data(kind)
    parameters, weight = _keywords(name, weighted, parameters)
    wanted = theirs(y, predicted, **parameters, **({} if weight is None else {"sample_weight": weight}))
    for label, cut in CUTS.items():
        a, b, w = cut(y, predicted, weight)
        found = ours(a, b, **parameters, **({} if w is None else {"sample_weight": w}))
        # scikit-learn judges float32 in float32; it takes the logarithms in the dtype of the probabilities
        close(found, wanted, rtol=1e-12 if kind != "single precision" else 1e-6)
        if isinstance(wanted, float):
            assert type(found) is float, label


def test_every_function_is_in_the_table_of_cases():
    assert {name for name, _, _ in CASES} == {function.__name__ for function in METRICS}
    assert {function.__name__ for function in METRICS} <= set(metrics.__all__)


@pytest.mark.parametrize(("name", "parameters", "kind"), CASES, ids=IDS)
def test_sums_add_up_in_any_tree_and_can_be_pickled(name, parameters, kind):
    hashable = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()}
    metric = METRICS[getattr(metrics, name)](**hashable)
    y, predicted = data(kind)
    weight = _keywords(name, True, parameters)[1]
    edges = [0, 1, 2, 40, 41, 120, N]
    parts = [
        pickle.loads(pickle.dumps(metric.sums(y[a:b], predicted[a:b], None if weight is None else weight[a:b])))
        for a, b in pairwise(edges)
    ]
    left = parts[0]
    for part in parts[1:]:
        left = left + part
    right = parts[-1]
    for part in parts[-2::-1]:
        right = part + right
    middle = (parts[0] + parts[1]) + ((parts[2] + parts[3]) + (parts[4] + parts[5]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        wanted = metric.value(metric.sums(y, predicted, weight))
        for sums in (left, right, middle):
            close(metric.value(sums), wanted, rtol=1e-11)
    if metric.bounded and kind != "objects":
        assert len(pickle.dumps(left)) < 2000


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6), st.integers(0, 3)), min_size=2, max_size=60),
    st.lists(st.integers(0, 60), max_size=6),
)
def test_ranks_of_any_rows_cut_anywhere(rows, cuts):
    y, scores, weight = (np.array(column) for column in zip(*rows, strict=True))
    scores = scores / 7
    metric = ranking.RocAuc()
    edges = [0, *sorted(min(c, len(y)) for c in cuts), len(y)]
    parts = [metric.sums(y[a:b], scores[a:b], weight[a:b]) for a, b in pairwise(edges) if b > a]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    positive, negative = weight[y == 1].sum(), weight[y == 0].sum()
    if not positive + negative:
        return
    if not (positive and negative):
        with pytest.warns(UndefinedMetricWarning):
            assert math.isnan(metric.value(total))
        return
    wins = scores[y == 1][:, None] - scores[y == 0]
    pairs = weight[y == 1][:, None] * weight[y == 0] * ((wins > 0) + 0.5 * (wins == 0))
    assert metric.value(total) == pytest.approx(pairs.sum() / (positive * negative), rel=1e-12)


@pytest.mark.parametrize("count", [1, 2, 8, 9, 30, 100])
@pytest.mark.parametrize("dtype", ["U5", "i8", "u1", "i1", "f4", "f8", "?"])
def test_labels_are_numbered_in_their_order(count, dtype, rng):
    values = rng.integers(0, count, 500)
    values = values.astype(dtype) if dtype[0] in "Uu?" else (values - 9).astype(dtype)
    for labels_of in (values, values[::-1], values[:1]):
        labels, codes = encode(labels_of)
        wanted, numbers = np.unique(labels_of, return_inverse=True)
        np.testing.assert_array_equal(labels, wanted)
        np.testing.assert_array_equal(codes, numbers)


# -- one read --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "parameters", "kind"), CASES, ids=IDS)
def test_every_chunk_is_read_once(name, parameters, kind, monkeypatch):
    monkeypatch.setattr(ranking, "SMALL_ROWS", 0)
    monkeypatch.setattr(exchange, "RANGE_ROWS", 40)
    y, predicted = data(kind)
    weight = _keywords(name, True, parameters)[1]
    loads = Loads()
    given = {"sample_weight": loads.array(weight, 50)} if weight is not None else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        getattr(metrics, name)(loads.array(y, 50), loads.array(predicted, 50), **parameters, **given)
    assert loads.count == 5 * (2 + len(given))


def test_every_chunk_is_read_once_to_learn_its_length():
    y, predicted = data("probability")
    for lengths in ("predictions", "both, other chunks"):
        loads = Loads()
        lazy = loads.array(predicted, 50)
        lazy._chunks = ((math.nan,) * 5,)
        true, n_chunks = y, 5
        if lengths != "predictions":
            true, n_chunks = loads.array(y, 40), 11
            true._chunks = ((math.nan,) * 6,)
        assert metrics.roc_auc_score(true, lazy) == pytest.approx(reference.roc_auc_score(y, predicted), rel=1e-12)
        assert loads.count == n_chunks


def test_targets_in_column_chunks():
    y, predicted = data("targets")
    found = metrics.r2_score(da.from_array(y, chunks=(50, 1)), da.from_array(predicted, chunks=(60, 1)))
    assert found == pytest.approx(reference.r2_score(y, predicted), rel=1e-12)


def test_arrays_of_other_libraries():
    xp = pytest.importorskip("array_api_strict")
    y, predicted = data("probability")
    wanted = reference.log_loss(y, predicted, sample_weight=weights())
    given = [xp.asarray(v) for v in (y, predicted, weights())]
    assert metrics.log_loss(*given[:2], sample_weight=given[2]) == pytest.approx(wanted, rel=1e-12)
    lazy = chunked(50)(predicted)
    assert metrics.log_loss(given[0], lazy, sample_weight=given[2]) == pytest.approx(wanted, rel=1e-12)


def test_series_and_frames():
    import dask.dataframe as dd

    y, predicted = data("labels")
    table = dd.from_pandas(pd.DataFrame({"y": y, "p": predicted, "w": weights()}), npartitions=3)
    found = metrics.accuracy_score(table.y, table.p, sample_weight=table.w)
    assert found == pytest.approx(reference.accuracy_score(y, predicted, sample_weight=weights()), rel=1e-12)
    y, predicted = data("targets")
    a, b = (dd.from_pandas(pd.DataFrame(v, columns=["a", "b"]), npartitions=3) for v in (y, predicted))
    assert metrics.r2_score(a, b) == pytest.approx(reference.r2_score(y, predicted), rel=1e-12)


# -- the same bits, and words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [10**6, 60, 9])
def test_areas_of_many_ranges(ranges, monkeypatch):
    monkeypatch.setattr(ranking, "SMALL_ROWS", 0)
    monkeypatch.setattr(exchange, "RANGE_ROWS", ranges)
    for kind, parameters in (
        ("probability", {}),
        ("probability", {"max_fpr": 0.2}),
        ("probability of strings", {"max_fpr": 0.9}),
        ("probabilities", {"multi_class": "ovr"}),
        ("probabilities", {"multi_class": "ovr", "average": "micro"}),
        ("probabilities", {"multi_class": "ovo", "average": "weighted"}),
    ):
        y, p = data(kind)
        weight = None if parameters.get("multi_class") == "ovo" else weights()
        wanted = reference.roc_auc_score(y, p, sample_weight=weight, **parameters)
        for cut in ("uneven and empty chunks", "chunks of their own", "unknown lengths"):
            a, b, w = CUTS[cut](y, p, weight)
            assert metrics.roc_auc_score(a, b, sample_weight=w, **parameters) == pytest.approx(wanted, rel=1e-12)


def test_ranges_hold_even_shares(monkeypatch):
    monkeypatch.setattr(exchange, "RANGE_ROWS", 500)
    rng = np.random.default_rng(0)
    scores = np.sort(rng.normal(size=10_000)) ** 3  # every block has scores of its own
    y = rng.integers(0, 2, len(scores))
    pairs = in_pairs(da.from_array(y, chunks=400), da.from_array(scores, chunks=400), None)
    question = ranking.Question(None, 1, None)
    with open_engine(*pairs, targets="pairs", resident=False) as engine:
        ranges = Exchange(engine).in_order(partial(ranking.rank, question=question), ranking.merge_ranks)
        sizes = ranges.ask(len)
        places = ranges.ask(lambda ranks: (ranks.scores[0], ranks.scores[-1]))
    assert len(sizes) == 20
    assert sum(sizes) == len(scores)
    assert max(sizes) < 700
    assert all(a[1] < b[0] for a, b in pairwise(places))


@pytest.mark.parametrize("name", ["accuracy_score", "log_loss", "roc_auc_score", "r2_score", "f1_score"])
def test_same_bits_on_any_scheduler(name, monkeypatch):
    monkeypatch.setattr(ranking, "SMALL_ROWS", 0)
    monkeypatch.setattr(exchange, "RANGE_ROWS", 40)
    kinds = {"log_loss": "probability", "roc_auc_score": "probability", "r2_score": "numbers"}
    y, p = data(kinds.get(name, "binary labels"))
    arguments = [chunked(10)(v) for v in (y, p)]
    found = set()
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            found.add(getattr(metrics, name)(*arguments, sample_weight=chunked(10)(weights())))
    assert len(found) == 1


a_, b_ = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
half = np.full(4, 0.5)
three = np.array([0, 1, 2, 1])
WRONG = [  # scikit-learn refuses, or answers NaN or a number with a warning
    ("accuracy_score", (a_, half), {}),
    ("accuracy_score", (half, half), {}),
    ("accuracy_score", (STRINGS[a_], a_), {}),
    ("accuracy_score", (a_, b_), {"sample_weight": np.zeros(4)}),
    ("accuracy_score", (a_.astype(float), np.array([0, np.nan, 1, 1])), {}),
    ("confusion_matrix", (a_, b_), {"labels": []}),
    ("confusion_matrix", (a_, b_), {"labels": [7]}),
    ("confusion_matrix", (a_ * 0, b_ * 0), {}),
    ("balanced_accuracy_score", (a_ * 0, b_), {}),
    ("f1_score", (three, a_), {}),
    ("f1_score", (a_, b_), {"pos_label": 2}),
    ("f1_score", (a_ * 0, b_ * 0), {}),
    ("f1_score", (STRINGS[a_], STRINGS[b_]), {}),
    ("precision_score", (a_, b_ * 0), {}),
    ("recall_score", (a_ * 0, b_), {}),
    ("log_loss", (a_, half * 3), {}),
    ("log_loss", (a_, half - 1), {}),
    ("log_loss", (a_ * 0, half), {}),
    ("log_loss", (a_ * 0, half), {"labels": [0, 1]}),
    ("log_loss", (three, half), {}),
    ("log_loss", (three, half), {"labels": [0, 1]}),
    ("log_loss", (a_, np.full((4, 3), 1 / 3)), {}),
    ("log_loss", (a_, np.full((4, 2), 0.4)), {}),
    ("brier_score_loss", (three, half), {}),
    ("brier_score_loss", (STRINGS[a_], half), {}),
    ("brier_score_loss", (a_ * 0, half), {}),
    ("brier_score_loss", (a_ * 0 + 7, half), {}),
    ("brier_score_loss", (a_, half * 3), {}),
    ("brier_score_loss", (a_, half - 1), {}),
    ("d2_log_loss_score", (a_ * 0, half), {}),
    ("roc_auc_score", (a_ * 0, half), {}),
    ("roc_auc_score", (three, half), {}),
    ("roc_auc_score", (three, np.full((4, 3), 0.5)), {"multi_class": "ovr"}),
    ("roc_auc_score", (three, np.full((4, 4), 0.25)), {"multi_class": "ovr"}),
    ("roc_auc_score", (three, np.full((4, 3), 1 / 3)), {}),
    ("roc_auc_score", (three, np.full((4, 3), 1 / 3)), {"multi_class": "ovr", "max_fpr": 0.5}),
    ("roc_auc_score", (three, np.full((4, 3), 1 / 3)), {"multi_class": "ovo", "average": "micro"}),
    ("roc_auc_score", (three, np.full((4, 3), 1 / 3)), {"multi_class": "ovo", "average": None}),
    ("roc_auc_score", (three, np.full((4, 3), 1 / 3)), {"multi_class": "ovr", "labels": [0, 2, 1]}),
    ("roc_auc_score", (three, np.full((4, 4), 1 / 4)), {"multi_class": "ovr", "labels": [0, 1, 2, 3]}),
    ("roc_auc_score", (a_, np.array([0.1, np.nan, 0.2, 0.4])), {}),
    ("mean_squared_error", (a_, np.array([0.1, np.inf, 0.2, 0.4])), {}),
    ("mean_squared_error", (a_, half), {"multioutput": [1, 2]}),
    ("mean_squared_error", (np.zeros((4, 2)), np.ones((4, 2))), {"multioutput": [1, 2, 3]}),
    ("mean_squared_error", (np.zeros((4, 2)), np.ones((4, 3))), {}),
    ("mean_squared_error", (half, half), {"sample_weight": np.zeros(4)}),
    ("mean_squared_error", (STRINGS[a_], half), {}),
    ("max_error", (np.zeros((4, 2)), np.ones((4, 2))), {}),
    ("r2_score", (half, half), {}),
    ("r2_score", (half, a_), {}),
    ("r2_score", (half, a_), {"force_finite": False}),
    ("explained_variance_score", (half, a_), {}),
    ("r2_score", (half[:1], half[:1]), {}),
    ("d2_tweedie_score", (half[:1], half[:1]), {}),
    ("mean_poisson_deviance", (half - 1, half), {}),
    ("mean_gamma_deviance", (half, half - 1), {}),
    ("mean_tweedie_deviance", (half, half - 1), {"power": -1}),
    ("mean_tweedie_deviance", (np.zeros((4, 2)), np.ones((4, 2))), {}),
]


@pytest.mark.parametrize("cut", ["in memory", "chunks"])
@pytest.mark.parametrize(("name", "arguments", "parameters"), WRONG)
def test_what_scikit_learn_refuses_we_refuse_in_its_words(name, arguments, parameters, cut):
    ours, theirs = _both(name)
    wanted = words(theirs, *arguments, **parameters)
    if cut == "chunks":
        arguments = [chunked(len(arguments[0]))(v) for v in arguments]
    found = words(ours, *arguments, **parameters)
    if isinstance(wanted, Exception):
        assert isinstance(found, ValueError | TypeError | NotImplementedError)
        first = str(wanted).split("Got")[0].split("Please")[0].split("array of shape")[0].split("{0, 1}")[0]
        assert first.split("{")[0].split("[")[0].strip() in str(found)
    else:
        close(found, wanted)


@pytest.mark.parametrize(("name", "arguments", "parameters"), WRONG)
def test_warnings_are_scikit_learns(name, arguments, parameters):
    ours, theirs = _both(name)
    said = []
    for function in (theirs, ours):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                function(*arguments, **parameters)
            except (ValueError, TypeError, NotImplementedError):
                said.append("refused")
                continue
        said.append({(w.category, str(w.message).split(". ")[0]) for w in caught if w.category is not RuntimeWarning})
    assert said[0] == said[1]


def test_rows_that_do_not_match():
    y, p = data("labels")
    message = "Found input variables with inconsistent numbers of samples"
    for a, b in ((y[:-1], p), (da.from_array(y[:-1], chunks=50), da.from_array(p, chunks=50))):
        with pytest.raises(ValueError, match=message):
            metrics.accuracy_score(a, b)
    lazy = da.from_array(y[:-1], chunks=68)
    lazy._chunks = ((math.nan,) * 3,)
    with pytest.raises(ValueError, match=message + r".*block 2"):
        metrics.accuracy_score(lazy, unknown(p))


@pytest.mark.parametrize("name", ["accuracy_score", "mean_squared_error", "log_loss", "roc_auc_score"])
def test_no_rows(name):
    for empty in (np.array([]), da.from_array(np.array([]), chunks=1)):
        with pytest.raises(ValueError, match="minimum of 1 is required"):
            getattr(metrics, name)(empty, empty)


def test_the_first_wrong_block_is_named():
    y, p = data("probability")
    p = p.copy()
    p[120:] = 2
    with pytest.raises(dask_gd.DataError, match=r"greater than 1: 2.0 \(block 2\)"):
        metrics.log_loss(chunked(50)(y), chunked(50)(p))


@pytest.mark.parametrize(
    ("function", "parameters", "message"),
    [
        (
            metrics.mean_pinball_loss,
            {"alpha": 2},
            "The 'alpha' parameter of mean_pinball_loss must be a float in the r",
        ),
        (metrics.mean_squared_error, {"multioutput": "x"}, "The 'multioutput' parameter of mean_squared_error must be"),
        (metrics.confusion_matrix, {"normalize": "x"}, "The 'normalize' parameter of confusion_matrix must be"),
        (metrics.mean_tweedie_deviance, {"power": 0.5}, "The 'power' parameter of mean_tweedie_deviance must be a flo"),
        (metrics.f1_score, {"average": "x"}, "average has to be one of"),
        (metrics.f1_score, {"zero_division": "x"}, "The 'zero_division' parameter"),
        (metrics.fbeta_score, {"beta": -1}, "The 'beta' parameter"),
        (metrics.roc_auc_score, {"max_fpr": 0}, "max_fpr"),
        (metrics.roc_auc_score, {"multi_class": "x"}, "The 'multi_class' parameter"),
    ],
)
def test_parameters_that_are_none(function, parameters, message):
    with pytest.raises(ValueError, match=message):
        function(a_, b_, **parameters)


# -- on a cluster ----------------------------------------------------------------------------------------------------


def test_on_a_client_as_on_one_thread(client, monkeypatch):
    monkeypatch.setattr(ranking, "SMALL_ROWS", 50)
    monkeypatch.setattr(exchange, "RANGE_ROWS", 40)
    for name, kind in (("accuracy_score", "labels"), ("roc_auc_score", "probability"), ("r2_score", "numbers")):
        y, p = (chunked(20)(v) for v in data(kind))
        w = chunked(20)(weights())
        alone = getattr(metrics, name)(y, p, sample_weight=w)
        with dask.config.set(scheduler=None), client.as_current():
            assert getattr(metrics, name)(y, p, sample_weight=w) == alone
            assert getattr(metrics, name)(*client.persist([y, p]), sample_weight=w) == alone
            future = client.submit(_score_inside, name, y, p, w, pure=False)
            assert future.result(timeout=60) == alone


def _score_inside(name, y, p, w):
    return getattr(metrics, name)(y, p, sample_weight=w)


@pytest.mark.timeout(180)
def test_areas_of_large_data_leave_the_scores_where_they_are():
    from distributed import Client, LocalCluster

    n, rows = 1_000_000, 50_000
    state = da.random.RandomState(0)
    y = state.randint(0, 2, n, chunks=rows)
    scores = state.normal(size=n, chunks=rows) + y
    with dask.config.set(scheduler=None), dask.config.set({"distributed.worker.memory.terminate": False}):
        y_here, scores_here = dask.compute(y, scores, scheduler="threads")
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
            Client(cluster) as client,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(exchange, "RANGE_ROWS", 100_000)
            came = watch_gather(patch)
            found = metrics.roc_auc_score(y, scores)
            for _ in range(100):  # futures are given back a little later
                held = sum(client.run(lambda dask_worker: dask_worker.state.nbytes).values())
                if not held:
                    break
                time.sleep(0.05)
        assert found == pytest.approx(reference.roc_auc_score(y_here, scores_here), rel=1e-12)
        assert 0 < sum(came) < 64_000  # of 16 MB
        assert not held


def test_ranks_say_their_size():
    ranks = Ranks.of(np.array([0, 1]), np.array([0, 1, 1, 0]), np.array([0.3, 0.1, 0.3, 0.2]), None)
    assert len(ranks) == 3
    assert ranks.sample(2).tolist() == [0.1, 0.3]
    assert [len(part) for part in ranks.cut(np.array([0.1, 0.25]))] == [1, 1, 1]


@pytest.mark.parametrize("name", sorted(set(metrics.__all__) - {"Metric", "Scorer", "get_scorer_names"}))
def test_public_functions_are_documented(name):
    doc = getattr(metrics, name).__doc__
    for section in ("Parameters", "Returns", "Raises", "Examples"):
        assert f"{section}\n" in doc
        assert f"{'-' * len(section)}\n" in doc
    for parameter in inspect.signature(getattr(metrics, name)).parameters.values():
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        assert f"{stars}{parameter.name}" in doc, parameter
    assert "{" + "weight" + "}" not in doc
