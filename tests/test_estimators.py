"""What scikit-learn asks of an estimator, on its own data and then on dask input, which its checks never feed."""

import pickle
from functools import partial

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score, d2_tweedie_score, r2_score
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import dask_gd
from dask_gd import (
    DataError,
    GDClassifier,
    GDRegressor,
    LinearRegression,
    LogisticRegression,
    SGDClassifier,
    SGDRegressor,
)
from dask_gd.solvers import SOLVERS
from dask_gd.solvers.gradient_descent import LEARNING_RATES

EVERY = [cls for cls in (getattr(dask_gd, name) for name in dask_gd.__all__) if hasattr(cls, "fit")]
# Cross-validated models depend on the order of the rows and have no iterations: tests/test_squares.py asks the rest.
CROSS_VALIDATED = [cls for cls in EVERY if "cv" in cls().get_params()]
ESTIMATORS = [cls for cls in EVERY if cls not in CROSS_VALIDATED]
WORKBENCH = [GDRegressor, GDClassifier]
# They stop near the optimum and not at it: what holds of optima is not asked of them (tests/test_sgd.py asks more).
STOCHASTIC = (SGDRegressor, SGDClassifier)
WALKS = "one row at a time: two rows of weight 1 are two steps, one row of weight 2 is one"
# One estimator of each kind is tried with every solver.
WITH_EVERY_SOLVER = [LinearRegression, LogisticRegression, *WORKBENCH]


def make(cls):
    return cls(random_state=0) if issubclass(cls, STOCHASTIC) else cls()


def expected_failures(estimator):
    names = ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")
    return dict.fromkeys(names, WALKS) if isinstance(estimator, STOCHASTIC) else {}


def exact_only(estimator):
    if isinstance(estimator, STOCHASTIC):
        pytest.skip("of optima")


def every_solver():
    for cls in ESTIMATORS:
        yield make(cls)
        for solver in ("auto", *SOLVERS) if cls in WITH_EVERY_SOLVER else ():
            if solver != cls().solver and (solver != "gd" or cls in WORKBENCH):
                yield cls(solver=solver)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # checks set max_iter=1 and the like
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [*every_solver(), *(cls() for cls in CROSS_VALIDATED)], expected_failed_checks=expected_failures
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# -- the same on dask input ------------------------------------------------------------------------------------------

N, D = 120, 5


class Data:
    """One data set in NumPy, and in dask with uneven, empty and one-row chunks."""

    def __init__(self, estimator, seed=0):
        if is_classifier(estimator):
            X, y = make_classification(N, D, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.3, random_state=seed)
        else:
            X, y = make_regression(N, D, noise=20.0, random_state=seed)
            if get_tags(estimator).target_tags.positive_only:
                y = np.exp(y / 200)
        self.X, self.y = X, y
        self.s = np.random.default_rng(seed).integers(0, 4, N).astype(float)
        self.o = np.random.default_rng(seed + 1).normal(size=N)
        self.rows = ((50, 0, 1, 30, 39),)
        self.dX, self.dy, self.ds, self.do = self.lazy(X), self.lazy(self.y), self.lazy(self.s), self.lazy(self.o)

    def lazy(self, a, rows=None):
        rows = rows or self.rows
        return da.from_array(a, chunks=rows if a.ndim == 1 else (*rows, (D,)))


@pytest.fixture(params=list(every_solver()), ids=repr)
def estimator(request):
    return clone(request.param)


@pytest.fixture(params=ESTIMATORS, ids=lambda cls: cls.__name__)
def plain(request):
    return make(request.param)


@pytest.fixture(params=[cls for cls in ESTIMATORS if is_classifier(cls())], ids=lambda cls: cls.__name__)
def classifier(request):
    return make(request.param)


def same(a, b, rtol=1e-9):
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=rtol, atol=rtol * np.abs(b.coef_).max())
    np.testing.assert_allclose(a.intercept_, b.intercept_, rtol=rtol, atol=rtol * np.abs(b.coef_).max())


def tight(estimator):
    return clone(estimator).set_params(tol=1e-9, max_iter=20_000)


def test_dask_fit_is_the_numpy_fit(estimator):
    data = Data(estimator)
    for extra, lazy in (
        ({}, {}),
        ({"sample_weight": data.s, "offset": data.o}, {"sample_weight": data.ds, "offset": data.do}),
    ):
        ours = tight(estimator).fit(data.dX, data.dy, **lazy)
        same(ours, tight(estimator).fit(data.X, data.y, **extra), rtol=1e-7)


def test_shapes_and_types_of_what_a_fit_leaves(estimator):
    data = Data(estimator)
    model = estimator.fit(data.dX, data.dy)
    k = 3 if is_classifier(model) else None
    assert model.coef_.shape == ((k, D) if k else (D,))
    assert model.coef_.dtype == np.float64
    if k:
        assert model.intercept_.shape == (k,)
        np.testing.assert_array_equal(model.classes_, [0, 1, 2])
    else:
        assert type(model.intercept_) is float
    assert type(model.n_iter_) is int
    assert type(model.n_sweeps_) is int
    assert model.n_iter_ >= 1
    squares = model.plan_.squares if hasattr(model, "plan_") else False
    assert 1 <= model.n_sweeps_ <= 2 if squares else model.n_sweeps_ > model.n_iter_
    assert model.converged_ is True
    assert model.n_features_in_ == D
    assert model.solver_ in (*SOLVERS, "local-sgd")
    assert {len(column) for column in model.history_.values()} == {model.n_iter_}
    fitted = {name: value for name, value in vars(model).items() if name.endswith("_")}
    for name, value in fitted.items():
        assert not hasattr(value, "__dask_graph__"), name
    assert not hasattr(model, "feature_names_in_")


def test_binary_shapes(classifier):
    data = Data(classifier)
    model = classifier.fit(data.dX, data.dy == 1)
    assert model.coef_.shape == (1, D)
    assert model.intercept_.shape == (1,)
    assert model.decision_function(data.dX).shape == (N,)
    if hasattr(model, "predict_proba"):
        assert model.predict_proba(data.dX).shape == (N, 2)


def test_fit_returns_self_and_repeats_its_bits(estimator):
    data = Data(estimator)
    assert estimator.fit(data.dX, data.dy) is estimator
    coef, intercept = estimator.coef_, estimator.intercept_
    estimator.fit(data.dX, data.dy)
    np.testing.assert_array_equal(estimator.coef_, coef)
    np.testing.assert_array_equal(estimator.intercept_, intercept)


def test_fit_leaves_parameters_and_data_alone(estimator):
    data = Data(estimator)
    before, X, y, s = estimator.get_params(), data.X.copy(), data.y.copy(), data.s.copy()
    estimator.fit(data.dX, data.dy, sample_weight=data.ds)
    assert estimator.get_params() == before
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.y, y)
    np.testing.assert_array_equal(data.s, s)


def test_clone_and_params(plain):
    data = Data(plain)
    fitted = plain.set_params(max_iter=77).fit(data.dX, data.dy)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert copy.max_iter == 77
    assert not hasattr(copy, "coef_")
    with pytest.raises(ValueError, match="Invalid parameter 'client'"):
        plain.set_params(client=None)


def test_pickle(plain):
    data = Data(plain)
    model = plain.fit(data.dX, data.dy)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(data.dX).compute(), model.predict(data.dX).compute())
    assert again.get_params() == model.get_params()


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function", "score"])
def test_not_fitted(plain, method):
    data = Data(plain)
    if not hasattr(plain, method):
        assert not is_classifier(plain) or "proba" in method
        return
    for X, y in ((data.X, data.y), (data.dX, data.dy)):
        with pytest.raises(NotFittedError):
            getattr(plain, method)(X, *([y] if method == "score" else []))


def test_wrong_width(plain):
    data = Data(plain)
    model = plain.fit(data.dX, data.dy)
    for call in (lambda: model.predict(data.dX[:, :3]), lambda: model.score(data.dX[:, :3], data.dy)):
        with pytest.raises(ValueError, match="X has 3 features"):
            call()


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_lazy_predictions_are_numpys(estimator, method):
    if not hasattr(estimator, method):
        assert not is_classifier(estimator) or "proba" in method
        return
    data = Data(estimator)
    model = estimator.fit(data.X, data.y)
    call = getattr(model, method)
    lazy, eager = call(data.dX), call(data.X)
    assert isinstance(lazy, da.Array)
    assert isinstance(eager, np.ndarray)
    assert lazy.chunks[0] == data.dX.chunks[0]
    assert (lazy.shape, lazy.dtype) == (eager.shape, eager.dtype)
    found = lazy.compute()
    assert (found.shape, found.dtype) == (eager.shape, eager.dtype)
    if method == "predict" and is_classifier(model):
        np.testing.assert_array_equal(found, eager)
    else:
        np.testing.assert_allclose(found, eager, rtol=1e-12, atol=1e-12)
    shifted = call(data.dX, offset=data.do)
    expected = call(data.X, offset=data.o)
    np.testing.assert_allclose(np.asarray(shifted, dtype=float), expected, rtol=1e-10, atol=1e-10)


def test_predicting_loads_nothing_until_computed(plain):
    data = Data(plain)
    loads = []

    def load(block):
        loads.append(1)
        return block

    X = da.from_array(data.X, chunks=(40, D)).map_blocks(load, meta=np.empty((0, 0)))
    model = plain.fit(data.X, data.y)
    lazy = model.predict(X)
    assert not loads
    lazy.compute()
    assert len(loads) == 3


def test_fit_loads_each_chunk_once(plain):
    data = Data(plain)
    loads = []

    def load(block):
        loads.append(1)
        return block

    X = da.from_array(data.X, chunks=(40, D)).map_blocks(load, meta=np.empty((0, 0)))
    plain.fit(X, data.y)
    assert len(loads) == 3


def test_probabilities(classifier):
    data = Data(classifier)
    for y in (data.y, data.y == 1):
        model = classifier.fit(data.X, y)
        if not hasattr(model, "predict_proba"):
            assert isinstance(model, (dask_gd.LinearSVC, SGDClassifier))
            return
        p = model.predict_proba(data.X)
        assert (p >= 0).all()
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
        np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(data.X))
        np.testing.assert_allclose(np.exp(model.predict_log_proba(data.X)), p, rtol=1e-10)


D2 = {
    "PoissonRegressor": partial(d2_tweedie_score, power=1),
    "GammaRegressor": partial(d2_tweedie_score, power=2),
}


def test_score_is_scikit_learns(estimator):
    data = Data(estimator)
    model = estimator.fit(data.dX, data.dy)
    metric = accuracy_score if is_classifier(model) else D2.get(type(model).__name__, r2_score)
    for lazy, eager in ((None, None), (data.ds, data.s)):
        expected = metric(data.y, model.predict(data.X), sample_weight=eager)
        for found in (
            model.score(data.dX, data.dy, sample_weight=lazy),
            model.score(data.X, data.y, sample_weight=eager),
        ):
            assert type(found) is float
            assert found == pytest.approx(expected, rel=1e-12)
    shifted = model.score(data.dX, data.dy, offset=data.do)
    assert shifted == pytest.approx(metric(data.y, model.predict(data.X, offset=data.o)), rel=1e-12)


def test_score_of_a_constant_target():
    X, y = np.arange(6.0)[:, None], np.ones(6)
    model = LinearRegression().fit(X, y)
    assert model.score(da.from_array(X, chunks=(2, 1)), da.from_array(y, chunks=2)) == model.score(X, y) == 1.0
    other = da.from_array(y + 1, chunks=2)
    assert model.score(da.from_array(X, chunks=(2, 1)), other) == model.score(X, y + 1) == 0.0


def test_order_of_rows(estimator):
    exact_only(estimator)
    data = Data(estimator)
    order = np.random.default_rng(3).permutation(N)
    one = tight(estimator).fit(data.dX, data.dy, sample_weight=data.ds)
    two = tight(estimator).fit(
        data.lazy(data.X[order]), data.lazy(data.y[order]), sample_weight=data.lazy(data.s[order])
    )
    same(one, two, rtol=1e-7)
    np.testing.assert_allclose(
        np.asarray(one.predict(data.dX))[order], np.asarray(one.predict(data.lazy(data.X[order]))), rtol=1e-12
    )


def test_weights_are_repeated_rows(estimator):
    exact_only(estimator)
    data = Data(estimator)
    times = data.s.astype(int)
    one = tight(estimator).fit(data.dX, data.dy, sample_weight=data.ds)
    X, y = np.repeat(data.X, times, axis=0), np.repeat(data.y, times)
    two = tight(estimator).fit(da.from_array(X, chunks=(31, D)), da.from_array(y, chunks=31))
    same(one, two, rtol=1e-6)


def test_a_weight_of_zero_removes_the_row(estimator):
    exact_only(estimator)
    data = Data(estimator)
    keep = np.random.default_rng(4).random(N) < 0.7
    one = tight(estimator).fit(data.dX, data.dy, data.lazy(keep.astype(float)))
    two = tight(estimator).fit(da.from_array(data.X[keep], chunks=(20, D)), da.from_array(data.y[keep], chunks=20))
    same(one, two, rtol=1e-6)


def test_a_class_whose_rows_all_weigh_zero_is_not_there(classifier):
    data = Data(classifier)
    model = classifier.fit(data.dX, data.dy, sample_weight=data.lazy((data.y != 2).astype(float)))
    np.testing.assert_array_equal(model.classes_, [0, 1])


def test_weights_of_the_workbench_have_no_scale():
    """α is relative to the mean loss: only the ratios of weights count."""
    data = Data(GDRegressor())
    one = GDRegressor(solver="newton-cholesky").fit(data.dX, data.dy, sample_weight=data.ds)
    same(one, GDRegressor(solver="newton-cholesky").fit(data.dX, data.dy, 10 * data.ds))


# -- labels ----------------------------------------------------------------------------------------------------------

LABELS = {
    "strings": np.array(["cat", "dog", "a longer name"]),
    "objects": np.array(["cat", "dog", "owl"], dtype=object),
    "negative ints": np.array([-3, 7, 0]),
    "unsigned": np.array([1, 200, 3], dtype=np.uint8),
    "floats": np.array([1.0, 2.0, 5.0]),
    "large ints": np.array([2**53 + 1, 2**53 + 2, 2**53 + 3]),
    "bools": np.array([True, False]),
    "two strings": np.array(["yes", "no"]),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
def test_labels(classifier, kind, lazy):
    names = LABELS[kind]
    data = Data(classifier)
    code = data.y % len(names)
    y = names[code]
    model = classifier.fit(data.dX, data.lazy(y)) if lazy else classifier.fit(data.X, y)
    np.testing.assert_array_equal(model.classes_, np.unique(names))
    assert model.classes_.dtype == names.dtype
    X = data.dX if lazy else data.X
    found = np.asarray(model.predict(X))
    assert found.dtype == names.dtype
    assert set(found) <= set(names)
    assert model.score(X, data.lazy(y) if lazy else y) == pytest.approx((found == y).mean(), rel=1e-12)
    # the same model whatever the classes are called
    ranked = clone(classifier).fit(data.X, np.searchsorted(np.unique(names), y))
    same(model, ranked, rtol=1e-7)


def test_many_labels(classifier):
    """More classes than are counted by comparison, and blocks that hold few of them."""
    rng = np.random.default_rng(0)
    y = np.sort(rng.integers(0, 12, N)) * 10
    X = rng.normal(size=(N, D)) + 0.01 * y[:, None] * rng.normal(size=D)
    data = Data(classifier)
    model = classifier.set_params(tol=1e-2).fit(data.lazy(X), data.lazy(y))
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    assert model.coef_.shape == (len(model.classes_), D)


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
def test_one_class_is_an_error(classifier, lazy):
    data = Data(classifier)
    ones = np.ones(N, dtype=int)
    with pytest.raises(ValueError, match="only one class"):
        classifier.fit(data.dX if lazy else data.X, data.lazy(ones) if lazy else ones)
    assert not hasattr(classifier, "classes_")


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
def test_continuous_y_is_an_error_for_a_classifier(classifier, lazy):
    data = Data(classifier)
    y = data.y + 0.5
    with pytest.raises(ValueError, match=r"Unknown label type: .*continuous"):
        classifier.fit(data.dX if lazy else data.X, data.lazy(y) if lazy else y)


def test_labels_that_do_not_compare(classifier):
    data = Data(classifier)
    y = np.where(data.y == 0, "zero", data.y.astype(object))
    with pytest.raises(ValueError, match=r"comparable.*int, str"):
        classifier.fit(data.dX, data.lazy(y))


@pytest.mark.parametrize("class_weight", ["Balanced", 3, {9: 1.0}, {0: -1.0}, {0: np.nan}, {0: 0.0}], ids=str)
def test_class_weights_that_cannot_be(classifier, class_weight):
    data = Data(classifier)
    with pytest.raises(ValueError, match="class"):
        classifier.set_params(class_weight=class_weight).fit(data.dX, data.dy)


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_numbers_in_x_name_block_and_column(plain, bad):
    data = Data(plain)
    X = data.X.copy()
    X[85, 2] = X[90, 2] = X[90, 4] = bad
    word = "NaN" if np.isnan(bad) else "infinity"
    with pytest.raises(DataError, match=rf"Input X contains {word}.*2 in column 2.*block 4"):
        plain.fit(data.lazy(X), data.dy)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["y", "sample_weight", "offset"])
def test_bad_numbers_in_vectors_name_the_block(plain, where, bad):
    data = Data(plain)
    vectors = {"y": data.y.astype(float), "sample_weight": data.s, "offset": data.o}
    vectors[where] = vectors[where].copy()
    vectors[where][50] = bad
    word = "NaN" if np.isnan(bad) else "infinity"
    with pytest.raises(DataError, match=rf"Input {where} contains {word}.*block 2"):
        plain.fit(data.dX, **{name: data.lazy(v) for name, v in vectors.items()})


def test_negative_weights(plain):
    data = Data(plain)
    s = data.s.copy()
    s[100] = -1
    with pytest.raises(DataError, match=r"Negative values in data passed to `sample_weight`. \(block 4\)"):
        plain.fit(data.dX, data.dy, sample_weight=data.lazy(s))
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        plain.fit(data.X, data.y, sample_weight=s)


def test_all_weights_zero(plain):
    data = Data(plain)
    for X, y, s in ((data.dX, data.dy, 0 * data.ds), (data.X, data.y, 0 * data.s)):
        with pytest.raises(ValueError, match="at least one non-zero number"):
            plain.fit(X, y, sample_weight=s)


@pytest.mark.parametrize("which", ["y", "sample_weight", "offset"])
def test_known_lengths_that_disagree(plain, which):
    data = Data(plain)
    vectors = {"y": data.dy, "sample_weight": data.ds, "offset": data.do}
    vectors[which] = vectors[which][:-1]
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        plain.fit(data.dX, **vectors)


def test_unknown_lengths_that_disagree_name_the_block(plain):
    data = Data(plain)
    keep, other = np.ones(N, dtype=bool), np.ones(N, dtype=bool)
    other[60] = False  # in block 3
    X, y = data.dX[data.lazy(keep)], data.dy[data.lazy(other)]
    with pytest.raises(DataError, match=r"inconsistent numbers of samples: \[30, 29\] \(block 3\)"):
        plain.fit(X, y)


def test_y_is_needed(plain):
    with pytest.raises(ValueError, match="requires y to be passed"):
        plain.fit(Data(plain).dX, None)


def test_y_of_two_columns(plain):
    data = Data(plain)
    y = da.stack([data.dy, 2 * data.dy], axis=1)
    if not get_tags(plain).target_tags.multi_output:
        with pytest.raises(ValueError, match="1d array"):
            plain.fit(data.dX, y)
        return
    model = plain.fit(data.dX, y.rechunk((50, 1)), data.ds)
    assert (model.coef_.shape, model.intercept_.shape) == ((2, D), (2,))
    assert model.predict(data.dX).shape == (N, 2)
    expected = r2_score(y.compute(), model.predict(data.X), sample_weight=data.s)
    for found in (model.score(data.dX, y, data.ds), model.score(data.X, y.compute(), data.s)):
        assert found == pytest.approx(expected, rel=1e-12)
    one = clone(plain).fit(data.dX, data.dy, sample_weight=data.ds)
    np.testing.assert_allclose(model.coef_[0], one.coef_, rtol=1e-9, atol=1e-9)


def test_x_of_one_dimension(plain):
    data = Data(plain)
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        plain.fit(data.dX[:, 0], data.dy)


def test_x_without_columns(plain):
    data = Data(plain)
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        plain.fit(data.dX[:, :0], data.dy)


def test_complex_x(plain):
    data = Data(plain)
    with pytest.raises(ValueError, match="Complex data not supported"):
        plain.fit(data.dX + 1j, data.dy)


def test_text_in_x_names_the_block(plain):
    data = Data(plain)
    with pytest.raises(DataError, match=r"could not convert string to float.*\(block \d\)"):
        plain.fit(data.dX.astype(str).map_blocks(lambda b: np.char.add(b, "?")), data.dy)


# -- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_unknown_parameters(cls):
    with pytest.raises(TypeError, match="unexpected keyword"):
        cls(n_jobs=1)


BAD = {
    "max_iter": [0, -1, 1.5, "many", None, True],
    "tol": [-1e-3, "tight", np.nan, np.inf],
    "solver": ["saga", None, 3],
    "verbose": [-1, "yes"],
    "fit_intercept": ["no", None, 2],
    "warm_start": ["no", None],
    "alpha": [-1.0, "x", None, np.nan, np.inf],
    "C": [0.0, -1.0, "x", None, np.nan],
    "eta0": [0.0, -0.1, None, np.inf, np.nan],
    "power_t": [-0.5, None, np.inf],
    "learning_rate": ["fast", None, 0.1],
    "momentum": [-0.1, 1.0, "x", None],
    "nesterov": ["no", None],
    "metric": ["fast", None],
    "penalty": ["l3", 2, "none"],
    "l1_ratio": [-0.1, 1.1, "x", None],
    "quantile": [0.0, 1.0, -1, "x", None],
    "epsilon": [0.9, "x", None],
    "loss": ["nonsense", None],
    "link": ["nonsense", None],
    "family": ["nonsense"],
    "standardize": ["no", None],
    "positive": ["no", None],
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_parameters_are_named_before_any_work(plain, name):
    if name not in plain.get_params():
        with pytest.raises(ValueError, match=f"Invalid parameter '{name}'"):
            plain.set_params(**{name: 1})
        return
    data = Data(plain)

    def never(block):
        raise AssertionError("data were loaded")

    X = data.dX.map_blocks(never, meta=np.empty((0, 0)))
    for value in BAD[name]:
        if name == "epsilon" and value == 0.9 and isinstance(plain, STOCHASTIC):
            continue  # Huber's shape is at least 1, this one is a distance
        with pytest.raises(ValueError, match=f"'{name}' parameter of {type(plain).__name__} must be"):
            clone(plain).set_params(**{name: value}).fit(X, data.dy)


GD_CHANGES = [
    {"learning_rate": "constant"},
    {"eta0": 0.5},
    {"power_t": 0.5},
    {"momentum": 0.5},
    {"nesterov": True},
    {"metric": "diagonal"},
]


@pytest.mark.parametrize("change", GD_CHANGES, ids=str)
@pytest.mark.parametrize("solver", [*sorted(set(SOLVERS) - {"gd"}), "auto"])
@pytest.mark.parametrize("cls", WORKBENCH)
def test_a_solver_without_learning_rate_refuses_one(cls, solver, change):
    data = Data(cls())
    (name,) = change
    with pytest.raises(ValueError, match=f"{solver}.*no learning rate.*{name}"):
        cls(solver=solver, **change).fit(data.dX, data.dy)


@pytest.mark.parametrize(
    ("change", "who", "what"),
    [
        *(({"learning_rate": rate, "momentum": 0.9}, rate, "momentum") for rate in ("auto", "armijo", "bb", "adgd")),
        ({"learning_rate": "bb", "nesterov": True}, "bb", "nesterov"),
        ({"learning_rate": "constant", "nesterov": True}, "nesterov", "momentum"),
        ({"learning_rate": "constant", "power_t": 0.5}, "constant", "power_t"),
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", WORKBENCH)
def test_a_learning_rate_refuses_what_it_cannot_honour(cls, change, who, what):
    data = Data(cls())
    with pytest.raises(ValueError, match=rf"{who}.*{what}[^:]*: use"):
        cls(**change).fit(data.dX, data.dy)


@pytest.mark.parametrize("rate", ["bb", "adgd"])
def test_rates_of_curvature_refuse_kinks(rate):
    data = Data(GDRegressor())
    with pytest.raises(ValueError, match=rf"{rate}.*quantile.*kinks.*use"):
        GDRegressor("quantile", learning_rate=rate).fit(data.dX, data.dy)
    data = Data(GDClassifier())
    with pytest.raises(ValueError, match=rf"{rate}.*hinge.*kinks.*use"):
        GDClassifier("hinge", learning_rate=rate).fit(data.dX, data.dy)


@pytest.mark.parametrize("change", [{"momentum": 0.8}, {"momentum": 0.8, "nesterov": True}], ids=str)
@pytest.mark.parametrize("cls", WORKBENCH)
def test_momentum_arrives(cls, change):
    data = Data(cls())
    X = data.lazy((data.X - data.X.mean(axis=0)) / data.X.std(axis=0))
    y = data.lazy(data.y / data.y.std()) if cls is GDRegressor else data.dy
    options = {"learning_rate": "constant", "eta0": 0.05, "max_iter": 5000, "tol": 1e-6, "alpha": 0.01}
    fast, slow = cls(**options, **change).fit(X, y), cls(**options).fit(X, y)
    np.testing.assert_allclose(fast.coef_, slow.coef_, atol=1e-4)
    assert fast.n_iter_ < slow.n_iter_ / 2


@pytest.mark.parametrize("rate", LEARNING_RATES)
@pytest.mark.parametrize("cls", WORKBENCH)
def test_the_diagonal_metric_knows_no_units(cls, rate):
    data = Data(cls())
    y = data.lazy(data.y / data.y.std()) if cls is GDRegressor else data.dy
    options = {"learning_rate": rate, "metric": "diagonal", "penalty": None, "max_iter": 20, "tol": None}
    units = np.geomspace(1e-3, 1e3, data.X.shape[1])
    one, two = cls(**options).fit(data.dX, y), cls(**options).fit(data.dX * units, y)
    np.testing.assert_allclose(two.coef_ * units, one.coef_, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("learning_rate", LEARNING_RATES)
@pytest.mark.parametrize("cls", WORKBENCH)
def test_every_learning_rate_arrives(cls, learning_rate):
    data = Data(cls())
    X = data.lazy((data.X - data.X.mean(axis=0)) / data.X.std(axis=0))
    y = data.lazy(data.y / data.y.std()) if cls is GDRegressor else data.dy
    model = cls(learning_rate=learning_rate, eta0=0.4, max_iter=5000, tol=1e-5, alpha=0.01).fit(X, y)
    best = cls(solver="newton-cholesky", alpha=0.01, tol=1e-9).fit(X, y)
    assert model.converged_
    np.testing.assert_allclose(model.coef_, best.coef_, atol=1e-3)
    expected = {
        "constant": lambda t: np.full(len(t), 0.4),
        "invscaling": lambda t: 0.4 / t**0.25,
    }.get(learning_rate)
    if expected:
        np.testing.assert_allclose(model.history_["step"], expected(np.arange(1, model.n_iter_ + 1)), rtol=1e-14)


@pytest.mark.parametrize("cls", WORKBENCH)
def test_a_rate_that_diverges_warns_and_says_what_to_do(cls):
    data = Data(cls())
    estimator = (
        cls(learning_rate="constant", eta0=1e6, penalty=None)
        if cls is GDRegressor
        else cls(learning_rate="constant", eta0=1e6, alpha=1.0)
    )
    with pytest.warns(ConvergenceWarning, match="diverged: lower eta0"):
        model = estimator.fit(data.dX, data.dy)
    assert not model.converged_
    assert model.n_iter_ < 100


def test_too_few_iterations_warn(plain):
    if isinstance(plain, dask_gd.QuantileRegressor):  # one linear program is all that so few rows need
        return
    data = Data(plain)
    if isinstance(plain, STOCHASTIC):
        with pytest.warns(ConvergenceWarning, match="max_iter=1 reached"):
            assert not plain.set_params(max_iter=1).fit(data.dX, data.dy).converged_
        return
    slow = "fista" if getattr(plain, "l1_ratio", 0) or isinstance(plain, dask_gd.Lasso) else "lbfgs"
    with pytest.warns(ConvergenceWarning, match="max_iter=1 reached"):
        model = plain.set_params(max_iter=1, tol=1e-9, solver=slow).fit(data.dX, data.dy)
    assert model.n_iter_ == 1
    assert not model.converged_


def test_alpha_without_penalty_is_nothing():
    data = Data(GDRegressor())
    one = GDRegressor(penalty=None, alpha=5.0, solver="newton-cholesky").fit(data.dX, data.dy)
    same(one, LinearRegression().fit(data.dX, data.dy))


def test_warm_start(estimator):
    data = Data(estimator)
    model = estimator.set_params(warm_start=True).fit(data.dX, data.dy)
    first, coef = model.n_iter_, model.coef_.copy()
    model.fit(data.dX, data.dy)
    if not isinstance(model, STOCHASTIC):
        assert model.n_iter_ <= first
        np.testing.assert_allclose(model.coef_, coef, atol=1e-2 * np.abs(coef).max())
    cold = clone(estimator).set_params(warm_start=False).fit(data.dX, data.dy)
    assert cold.n_iter_ == first


def test_warm_start_of_a_perfect_fit():
    """Nothing is left to gain: that is convergence, not a failure."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3))
    y = X @ [1.0, 2.0, 3.0] + 1
    for solver in ("newton-cholesky", "lbfgs"):
        model = LinearRegression(solver=solver, warm_start=True).fit(X, y)
        for _ in range(3):
            model.fit(X, y)
            assert model.converged_
        np.testing.assert_allclose(model.coef_, [1, 2, 3], rtol=1e-7)


def test_warm_start_of_another_shape_is_refused(classifier):
    """As scikit-learn does: coefficients of other classes or columns are no start. The last fit is kept."""
    data = Data(classifier)
    model = classifier.set_params(warm_start=True).fit(data.X, data.y)
    coef = model.coef_
    for X, y in ((data.X, data.y == 1), (data.X[:, :-1], data.y)):
        with pytest.raises(ValueError, match="warm_start=True, but the last fit left coefficients of shape"):
            model.fit(X, y)
        assert model.coef_ is coef


def test_verbose_prints_a_line_an_iteration(plain, capsys):
    data = Data(plain)
    model = plain.set_params(verbose=1).fit(data.dX, data.dy)
    assert capsys.readouterr().out.count("objective") == model.n_iter_


# -- a fit that fails leaves nothing behind --------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("what", ["NaN", "weights", "lengths"])
def test_a_failed_fit_leaves_the_estimator_as_it_was(plain, what, lazy):
    data = Data(plain)
    X, y, s = data.X[:, :3].copy(), data.y, data.s.copy()
    if what == "NaN":
        X[7, 1] = np.nan
    elif what == "weights":
        s[3] = -1
    else:
        s = s[:-1]
    if lazy:
        X, y, s = (da.from_array(a, chunks=(50, *a.shape[1:])) for a in (X, y, s))
    with pytest.raises(ValueError):  # noqa: PT011 (what it says is tested above)
        plain.fit(X, y, sample_weight=s)
    assert set(vars(plain)) == set(plain.get_params())
    model = plain.fit(data.dX, data.dy)
    before = {name: value for name, value in vars(model).items()}
    with pytest.raises(ValueError):  # noqa: PT011
        model.fit(X, y, sample_weight=s)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is before[name] for name in before)
    assert model.predict(data.dX).compute().shape == (N,)


# -- frames ----------------------------------------------------------------------------------------------------------


def frames(data):
    frame = pd.DataFrame(data.X, columns=list("abcde"))
    frame["y"] = np.where(data.y == 1, "one", "other") if data.y.dtype.kind in "iu" else data.y
    frame["s"] = data.s
    return frame, dd.from_pandas(frame, npartitions=3)


def test_dask_dataframe(plain):
    data = Data(plain)
    frame, lazy = frames(data)
    X = list("abcde")
    model = plain.fit(lazy[X], lazy["y"], sample_weight=lazy["s"])
    np.testing.assert_array_equal(model.feature_names_in_, X)
    assert model.feature_names_in_.dtype == object
    eager = clone(plain).fit(frame[X], frame["y"], sample_weight=frame["s"])
    same(model, eager, rtol=1e-7)
    np.testing.assert_array_equal(eager.feature_names_in_, X)
    found, expected = model.predict(lazy[X]).compute(), eager.predict(frame[X])
    if is_classifier(plain):
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(model.classes_, ["one", "other"])
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert model.score(lazy[X], lazy["y"]) == pytest.approx(eager.score(frame[X], frame["y"]), rel=1e-6)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(lazy[X[::-1]])
    with pytest.raises(ValueError, match="feature names should match"):
        model.score(lazy[X[::-1]], lazy["y"])


def test_missing_values_in_a_frame(plain):
    data = Data(plain)
    _, lazy = frames(data)
    lazy["a"] = lazy["a"].astype("Float64").mask(lazy["a"] > 2)
    with pytest.raises(DataError, match=r"Input X contains NaN.*column 0.*block"):
        plain.fit(lazy[list("abcde")], lazy["y"])


def test_missing_labels_in_a_frame(classifier):
    data = Data(classifier)
    frame, _ = frames(data)
    frame.loc[100, "y"] = None
    lazy = dd.from_pandas(frame, npartitions=3)
    with pytest.raises(DataError, match=r"Input y contains NaN.*block 2"):
        classifier.fit(lazy[list("abcde")], lazy["y"])
