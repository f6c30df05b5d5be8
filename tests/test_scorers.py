"""Scorers of models: scikit-learn's scores from one read, in scikit-learn's own tools."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
from metric_cases import Loads, N, chunked, weights, words
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression as TheirLogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate

import dask_gd
from dask_gd import metrics
from dask_gd.metrics import ranking
from dask_gd.metrics.scorers import NAMED


def test_a_scorer_reads_X_once():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 3)), rng.integers(0, 2, N)
    model = dask_gd.LogisticRegression().fit(X, y)
    for name in ("accuracy", "neg_log_loss", "roc_auc"):
        loads = Loads()
        found = metrics.get_scorer(name)(model, loads.array(X, 50), loads.array(y, 50))
        assert loads.count == 10
        assert found == pytest.approx(reference.get_scorer(name)(model, X, y), rel=1e-12)


def test_frames_of_one_source_are_read_once(tmp_path):
    import dask.dataframe as dd

    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(N, 3)), columns=list("abc"))
    table["y"] = (table.a + rng.normal(size=N) > 0).astype(int)
    calls = []

    def load(i):
        calls.append(i)
        return table.iloc[i * 51 : (i + 1) * 51]

    frame = dd.from_map(load, range(4), meta=table.iloc[:0])
    model = dask_gd.LogisticRegression().fit(table[["a", "b", "c"]], table.y)
    calls.clear()
    found = metrics.get_scorer("neg_log_loss")(model, frame[["a", "b", "c"]], frame.y)
    assert sorted(calls) == [0, 1, 2, 3]
    wanted = reference.get_scorer("neg_log_loss")(model, table[["a", "b", "c"]], table.y)
    assert found == pytest.approx(wanted, rel=1e-12)
    with pytest.raises(ValueError, match="feature names"):
        metrics.get_scorer("accuracy")(model, frame[["a", "b"]], frame.y)
    assert hasattr(model, "feature_names_in_")


def _models():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(N, 4))
    y = X @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=N)
    counts = rng.poisson(np.exp(np.clip(y / 3, -2, 2))) + 1.0
    labels = np.digitize(y, [-0.7, 0.7])
    return X, {
        "numbers": (dask_gd.PoissonRegressor().fit(X, counts), counts),
        "binary": (dask_gd.LogisticRegression().fit(X, (y > 0).astype(int)), (y > 0).astype(int)),
        "classes": (dask_gd.LogisticRegression().fit(X, labels), labels),
    }


@pytest.mark.parametrize("name", sorted(NAMED))
def test_scorers_score_as_scikit_learns(name):
    X, models = _models()
    scorer, theirs = metrics.get_scorer(name), reference.get_scorer(name)
    tried = 0
    for model, y in models.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = words(theirs, model, X, y, sample_weight=None)
            if isinstance(wanted, Exception) or (not hasattr(model, "classes_")) != _judges_numbers(name):
                continue
            tried += 1
            assert scorer(model, X, y) == pytest.approx(wanted, rel=1e-12)
            found = scorer(model, chunked(50)(X), chunked(50)(y))
        assert type(found) is float
        assert found == pytest.approx(wanted, rel=1e-12)
    assert tried
    assert scorer.name == name
    assert scorer.sign == (-1 if name.startswith("neg_") else 1)


def _judges_numbers(name):
    return any(part in name for part in ("error", "deviance", "variance")) or name == "r2"


def test_scorer_names_are_scikit_learns():
    assert metrics.get_scorer_names() == sorted(NAMED)
    assert set(metrics.get_scorer_names()) <= set(reference.get_scorer_names())
    with pytest.raises(ValueError, match="'nonsense' is not a valid scoring value"):
        metrics.get_scorer("nonsense")
    assert metrics.get_scorer(len) is len


def test_scorers_are_values():
    scorer = metrics.get_scorer("roc_auc")
    again = pickle.loads(pickle.dumps(scorer))
    assert again == scorer
    assert hash(again) == hash(scorer)
    assert again != metrics.get_scorer("accuracy")
    search = clone(GridSearchCV(dask_gd.Ridge(), {"alpha": [1.0]}, scoring=scorer))
    assert search.scoring == scorer
    assert repr(metrics.get_scorer("neg_mean_squared_error")) == (
        "Scorer(MeanSquaredError(multioutput='uniform_average'), sign=-1, name='neg_mean_squared_error')"
    )
    assert "response_method=('decision_function', 'predict_proba')" in repr(scorer)


def test_make_scorer():
    X, models = _models()
    model, y = models["classes"]
    ours = metrics.make_scorer(metrics.fbeta_score, beta=2, average=None, labels=[1])
    theirs = reference.make_scorer(reference.fbeta_score, beta=2, average="macro", labels=[1])
    assert ours(model, X, y)[0] == pytest.approx(theirs(model, X, y), rel=1e-12)
    model, y = models["numbers"]
    ours = metrics.make_scorer(metrics.mean_pinball_loss, alpha=0.9, greater_is_better=False)
    theirs = reference.make_scorer(reference.mean_pinball_loss, alpha=0.9, greater_is_better=False)
    assert ours(model, chunked(50)(X), y) == pytest.approx(theirs(model, X, y), rel=1e-12)
    assert ours.name == "mean_pinball_loss"
    assert metrics.make_scorer(ranking.RocAuc(), response_method="predict_proba").responses == ("predict_proba",)
    with pytest.raises(ValueError, match=r"sklearn\.metrics\.make_scorer takes other functions"):
        metrics.make_scorer(reference.accuracy_score)
    with pytest.raises(TypeError, match="gamma"):
        metrics.make_scorer(metrics.f1_score, gamma=1)


def test_the_positive_column():
    X, models = _models()
    model, y = models["binary"]
    ours = metrics.make_scorer(metrics.brier_score_loss, greater_is_better=False, pos_label=0)
    theirs = reference.make_scorer(
        reference.brier_score_loss, greater_is_better=False, response_method="predict_proba", pos_label=0
    )
    for layout in (X, chunked(60)(X)):
        assert ours(model, layout, y) == pytest.approx(theirs(model, X, y), rel=1e-12)
    with pytest.raises(ValueError, match="pos_label=5 is not a valid label"):
        metrics.make_scorer(metrics.brier_score_loss, pos_label=5)(model, X, y)
    with pytest.raises(AttributeError, match="has none of the following attributes: decision_function, predict_proba"):
        metrics.get_scorer("roc_auc")(models["numbers"][0], X, y)


def test_weights_of_scorers():
    X, models = _models()
    model, y = models["binary"]
    weight = weights()
    found = metrics.get_scorer("neg_log_loss")(model, chunked(50)(X), y, sample_weight=chunked(50)(weight))
    assert found == pytest.approx(reference.get_scorer("neg_log_loss")(model, X, y, sample_weight=weight), rel=1e-12)
    with pytest.raises(TypeError, match="neg_max_error takes no sample_weight"):
        metrics.get_scorer("neg_max_error")(model, X, y, weight)


def test_scorers_judge_models_of_others():
    X, models = _models()
    y = models["binary"][1]
    model = TheirLogisticRegression().fit(X, y)
    for name in ("accuracy", "neg_log_loss", "roc_auc", "f1", "neg_brier_score"):
        assert metrics.get_scorer(name)(model, X, y) == pytest.approx(
            reference.get_scorer(name)(model, X, y), rel=1e-12
        )


@pytest.mark.parametrize("lazy", [False, True])
def test_scikit_learns_searches_take_our_scorers(lazy):
    X, models = _models()
    y = models["binary"][1]
    names = ["accuracy", "neg_log_loss", "roc_auc", "f1"]
    data = (chunked(50)(X), chunked(50)(y)) if lazy else (X, y)
    # scikit-learn's splitters index rows of a dask array; scores of ours are computed by us
    folds = [(np.arange(N)[np.arange(N) % 3 != i], np.arange(N)[np.arange(N) % 3 == i]) for i in range(3)]
    ours = cross_validate(
        dask_gd.LogisticRegression(), *data, cv=folds, scoring={name: metrics.get_scorer(name) for name in names}
    )
    theirs = cross_validate(dask_gd.LogisticRegression(), X, y, cv=folds, scoring=names)
    for name in names:
        np.testing.assert_allclose(ours[f"test_{name}"], theirs[f"test_{name}"], rtol=1e-6)
    scores = cross_val_score(dask_gd.LogisticRegression(), *data, cv=folds, scoring=metrics.get_scorer("roc_auc"))
    np.testing.assert_allclose(scores, theirs["test_roc_auc"], rtol=1e-6)
    search = GridSearchCV(
        dask_gd.LogisticRegression(), {"C": [0.01, 1.0]}, cv=folds, scoring=metrics.get_scorer("neg_log_loss")
    ).fit(*data)
    plain = GridSearchCV(dask_gd.LogisticRegression(), {"C": [0.01, 1.0]}, cv=folds, scoring="neg_log_loss").fit(X, y)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"], rtol=1e-6)
    assert search.best_params_ == plain.best_params_


def test_metadata_routing():
    import sklearn

    X, models = _models()
    y = models["binary"][1]
    weight = weights()
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = metrics.get_scorer("accuracy").set_score_request(sample_weight=True)
        model = TheirLogisticRegression().set_fit_request(sample_weight=False)
        found = cross_val_score(model, X, y, cv=3, scoring=scorer, params={"sample_weight": weight})
        theirs = reference.get_scorer("accuracy").set_score_request(sample_weight=True)
        wanted = cross_val_score(model, X, y, cv=3, scoring=theirs, params={"sample_weight": weight})
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
