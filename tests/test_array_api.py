"""Blocks of another array library, by array-api-strict on a device that NumPy cannot read: what works there calls
nothing but the standard, and what leaves the device is counted."""

import inspect
import pickle
import warnings

import array_api_strict as strict
import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.base import clone, is_classifier

import dask_gd
import dask_gd.arrays
from dask_gd.engine.batch import join_blocks
from dask_gd.exceptions import DataError
from dask_gd.kernels import (
    BandKernel,
    EncodeLabels,
    FirstKernel,
    FoldKernel,
    HoldOut,
    LossKernel,
    MomentsKernel,
    SampleKernel,
    SquaresKernel,
)
from dask_gd.losses import LOSSES, GeneralizedLinear, OneVsRest, Squared, special
from dask_gd.losses.families import Tweedie
from dask_gd.protocol import (
    DIAGONAL,
    EXPECTED,
    GRADIENT,
    HESSIAN,
    PRODUCT,
    VALUE,
    Block,
    Points,
    Rows,
)

DEVICE = strict.Device("device1")  # NumPy refuses to read from it, and so would CuPy's arrays
N, D, K = 5000, 4, 3  # more rows than are added up in float32
RTOL = {np.float64: 1e-12, np.float32: 2e-5}
WANTS = {
    "value": VALUE,
    "gradient": GRADIENT,
    "hessian": HESSIAN,
    "expected": EXPECTED,
    "diagonal": DIAGONAL,
    "product": PRODUCT,
}


def on_device(array):
    return None if array is None else strict.asarray(array, device=DEVICE)


def moved(block):
    return block._replace(
        **{name: on_device(getattr(block, name)) for name in ("X", "y", "weight", "offset")},
    )


def make(name):
    """A loss of the registry; a factory that must know ``n_outputs`` is told the number of classes."""
    factory = LOSSES[name]
    outputs = inspect.signature(factory).parameters.get("n_outputs")
    return factory(K) if outputs is not None and outputs.default is outputs.empty else factory()


LOSS = {name: make(name) for name in LOSSES} | {
    "squared_error of three": Squared(3),
    "one vs rest": OneVsRest(make("log_loss"), K),
    "poisson-power-inverse": GeneralizedLinear(Tweedie(1.0), -0.5),
}
LOSS |= {f"{name} smoothed": loss.smoothed(0.5) for name, loss in LOSS.items() if not loss.smooth}


def some_block(loss, dtype, rng, n=N):
    """Rows, targets of the loss's kind, weights (some of them 0) and offsets."""
    X = rng.normal(size=(n, D)).astype(dtype)
    if loss.classification:
        k = max(loss.n_outputs, 2)
        y = rng.integers(k, size=n)
        y = y if k > 2 else y.astype(dtype)
    elif loss.targets.high == 1:
        y = rng.random(n)
    else:
        shape = (n, loss.n_outputs) if isinstance(loss, Squared) and loss.n_outputs > 1 else n
        y = np.abs(rng.normal(size=shape)) + 0.1
    weight = rng.random(n) * (rng.random(n) < 0.9)
    return Block(0, X, y, weight.astype(dtype), (0.1 * rng.normal(size=n)).astype(dtype))


def some_points(loss, want, rng, rows=None):
    k = loss.n_outputs
    W = 0.3 * rng.normal(size=(2, k, D))
    if loss.margins.low == 0:
        W *= 0.1
    direction = (rng.normal(size=(2, k, D)), rng.normal(size=(2, k))) if want == PRODUCT else None
    return Points(W, np.full((2, k), 2.0), want, direction, rows)


@pytest.fixture
def leaving(monkeypatch):
    """The sizes of all arrays that leave the device."""
    sizes = []
    move = dask_gd.arrays.np.from_dlpack

    def counted(array, **kwargs):
        sizes.append(array.size)
        return move(array, **kwargs)

    monkeypatch.setattr(dask_gd.arrays.np, "from_dlpack", counted)
    return sizes


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("want", WANTS)
@pytest.mark.parametrize("name", LOSS)
def test_sums_of_a_loss_are_those_of_numpy(name, want, dtype, rng, leaving):
    loss = LOSS[name]
    block = some_block(loss, dtype, rng)
    kernel = LossKernel(loss, (some_points(loss, WANTS[want], rng),), origin=np.full(D, 0.25))
    expected = kernel(block).parts[0]
    found = kernel(moved(block)).parts[0]
    for field, value in zip(expected._fields, expected, strict=True):
        other = getattr(found, field)
        if value is None:
            assert other is None
            continue
        assert isinstance(other, np.ndarray)
        assert other.dtype == np.float64
        # cancellation within a sum is no error: compare with the largest of its kind
        np.testing.assert_allclose(other, value, rtol=RTOL[dtype], atol=RTOL[dtype] * np.abs(value).max())
    assert sum(leaving) == sum(value.size for value in found if value is not None)  # and nothing else left


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_some_rows_without_weights_and_in_float64(weighted, exact, rng):
    loss = make("log_loss")
    block = some_block(loss, np.float32, rng)._replace(offset=None)
    block = block if weighted else block._replace(weight=None)
    points = (some_points(loss, GRADIENT, rng), some_points(loss, GRADIENT, rng, Rows(1, parts=3)))
    kernel = LossKernel(loss, points, exact=exact)
    for a, b in zip(kernel(block).parts, kernel(moved(block)).parts, strict=True):
        rtol = 1e-12 if exact else 1e-5
        np.testing.assert_allclose(b.value, a.value, rtol=rtol)
        np.testing.assert_allclose(b.grad_w, a.grad_w, rtol=rtol, atol=rtol * np.abs(a.grad_w).max())
        assert (a.rows is None) == (b.rows is None)


def test_float32_is_added_in_float64(rng):
    X = np.full((40 * 4096 + 7, 2), np.float32(0.1))
    block = Block(0, X, np.ones(len(X)))
    kernel = LossKernel(Squared(), (Points(np.zeros((1, 1, 2)), np.zeros((1, 1)), GRADIENT),))
    exact = -float(np.float32(0.1)) * len(X)
    np.testing.assert_allclose(kernel(moved(block)).parts[0].grad_w[0, 0], exact, rtol=3e-5)  # 1e-3 in float32


def test_special_functions():
    x = np.concatenate([np.linspace(-30, 30, 2001), [-1e3, 1e3]])
    for name in ("expit", "erfcx", "ndtr", "log_ndtr"):
        with np.errstate(over="ignore"):
            expected = getattr(special, name)(x)
            found = dask_gd.arrays.to_numpy(getattr(special, name)(on_device(x)))
        np.testing.assert_allclose(found, expected, rtol=2e-13, atol=1e-300)
    y = np.array([0.0, 0.5, 2.0])
    found = dask_gd.arrays.to_numpy(special.xlogy(on_device(y), on_device(np.array([0.0, 3.0, 4.0]))))
    np.testing.assert_allclose(found, special.xlogy(y, np.array([0.0, 3.0, 4.0])))


# -- the other kernels -----------------------------------------------------------------------------------------------


def assert_alike(found, expected, rtol):
    """The same numbers, all in main memory."""
    if isinstance(expected, np.ndarray | float):
        assert not dask_gd.arrays.is_device_array(found)
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.max(np.abs(expected), initial=0.0))
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(found[key], value, rtol)
    else:
        assert found == expected


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("targets", ["numbers", "columns", "integers", "floats", "booleans", "many"])
def test_the_first_sweep(targets, dtype, weighted, rng, leaving):
    n = 9000
    X = (rng.normal(size=(n, D)) * [1, 10, 0.1, 0] + [5, 0, 100, 1]).astype(dtype)
    y = {
        "numbers": rng.normal(size=n),
        "columns": rng.normal(size=(n, 2)),
        "integers": rng.integers(3, size=n),
        "floats": rng.integers(2, size=n).astype(float),
        "booleans": rng.random(n) < 0.3,
        "many": rng.integers(20, size=n) * 3,
    }[targets]
    classification = targets not in ("numbers", "columns")
    weight = rng.random(n) * (rng.random(n) < 0.9) if weighted else None
    if weighted and targets == "many":
        weight[y == 9] = 0  # a label that no row of positive weight has
    block = Block(0, X, y, weight, rng.normal(size=n))
    squares = None if classification else SquaresKernel()
    kernel = FirstKernel(MomentsKernel(D, classification), squares, SampleKernel(50, 0.1))
    expected, found = kernel(block), kernel(moved(block))
    rtol = 1e-11 if dtype == np.float64 else 1e-5
    assert_alike(found.moments.__dict__, expected.moments.__dict__, rtol)
    if squares is not None:
        for a, b in zip(found.squares, expected.squares, strict=True):
            assert_alike(a, b, 1e-10)
    for name in ("X", "y", "weight", "offset", "keys"):
        a, b = getattr(found.sample, name), getattr(expected.sample, name)
        assert (a is None) == (b is None)
        assert a is None or (type(a) is np.ndarray and np.array_equal(a, b))
    assert max(leaving) == 50 * D  # the sample
    assert sum(leaving) < 50 * (D + 4) + 3 * (D + 3) ** 2 + 20


@pytest.mark.parametrize("labels", [np.array([False, True]), np.array([2, 5]), np.array([0.0, 1.0, 3.0])])
def test_labels(labels, rng, leaving):
    y = labels[rng.integers(len(labels), size=200)]
    block = Block(0, np.zeros((200, 1), np.float32), y, rng.random(200))
    encode = EncodeLabels(labels, np.arange(1.0, len(labels) + 1))
    expected, found = encode(block), encode(moved(block))
    assert not leaving
    np.testing.assert_array_equal(np.from_dlpack(found.y), expected.y)
    np.testing.assert_allclose(np.from_dlpack(found.weight), expected.weight)


def test_a_label_that_is_not_there_is_the_first(rng):
    encode = EncodeLabels(np.array([1, 2, 3]))
    found = encode(moved(Block(0, np.zeros((4, 1)), np.array([3, 7, 0, 2]))))
    np.testing.assert_array_equal(np.from_dlpack(found.y), [2, 0, 0, 1])


def test_folds_are_taken_apart(rng):
    block = some_block(Squared(), np.float64, rng)._replace(fold=rng.integers(3, size=N))
    kernel = FoldKernel(SquaresKernel(), 3)
    for a, b in zip(kernel(moved(block)).parts, kernel(block).parts, strict=True):
        for x, y in zip(a, b, strict=True):
            assert_alike(x, y, 1e-10)


@pytest.mark.parametrize("collect", [False, True])
def test_the_band(collect, rng, leaving):
    loss = make("quantile")
    block = some_block(loss, np.float64, rng)
    kernel = BandKernel(loss, 0.3 * rng.normal(size=D), 0.2, 0.05, collect)
    expected = kernel(block)
    found = kernel(moved(block))
    for a, b in zip(found, expected, strict=True):
        assert_alike(a, b, 1e-11)
    assert sum(leaving) <= expected.n_inside * (D + 2) + D


def test_rows_change_their_place_where_they_are(rng, leaving):
    block = some_block(Squared(), np.float64, rng, 100)
    for transform in (HoldOut(0, 0.2), lambda b: join_blocks(0, [b, b._replace(index=1)])):
        expected, there = transform(block), moved(block)
        leaving.clear()
        found = transform(there)
        assert not leaving
        for a, b in zip(found, expected, strict=True):
            if isinstance(b, np.ndarray):
                np.testing.assert_array_equal(np.from_dlpack(a), b)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"X": np.array([[1.0, np.nan], [2.0, np.nan]])}, r"Input X contains NaN. \(2 in column 1\)"),
        ({"X": np.array([[1.0, 2.0], [-np.inf, 3.0]])}, r"Input X contains infinity .*\(1 in column 0\)"),
        ({"X": np.array([[1e300, 1.0], [-1e300, 2.0]])}, "their squares overflow float64"),
        ({"y": np.array([1.0, np.nan])}, "Input y contains NaN"),
        ({"weight": np.array([1.0, -1.0])}, "Negative values"),
        ({"offset": np.array([1.0, np.inf])}, "Input offset contains infinity"),
        ({"y": np.array([1.0, 2.0, 3.0])}, "inconsistent numbers of samples"),
    ],
)
def test_what_is_wrong_is_said_in_the_same_words(spoil, message):
    X = np.array([[1.0, 2.0], [3.0, 5.0]])
    block = Block(0, X, np.array([1.0, 2.0]))._replace(**spoil)
    kernel = MomentsKernel(2, False)
    with np.errstate(all="ignore"):
        expected, found = kernel(block).problem, kernel(moved(block)).problem
    assert expected == found
    with pytest.raises(ValueError, match=message):
        raise ValueError(found[1])


# -- estimators ------------------------------------------------------------------------------------------------------


ETA = np.array([1.0, -0.5, 0.0, 0.3])
ESTIMATORS = {
    "least squares": dask_gd.LinearRegression(),
    "two targets": dask_gd.Ridge(),
    "lasso": dask_gd.Lasso(alpha=0.1),
    "cross-validated": dask_gd.LassoCV(cv=3),
    "rows left out": dask_gd.RidgeCV(),
    "folds of two targets": dask_gd.RidgeCV(cv=3),
    "logistic": dask_gd.LogisticRegression(),
    "softmax": dask_gd.LogisticRegression(class_weight="balanced"),
    "L1": dask_gd.LogisticRegression(l1_ratio=1.0, C=0.1),
    "support vectors": dask_gd.LinearSVC(),
    "poisson": dask_gd.PoissonRegressor(solver="lbfgs"),
    "a link with a border": dask_gd.GeneralizedLinearRegressor(family="poisson", link="identity", alpha=0.0),
    "probit": dask_gd.GeneralizedLinearRegressor(family="binomial", link="probit"),
    "huber": dask_gd.HuberRegressor(),
    "quantile": dask_gd.QuantileRegressor(alpha=0.01),
    "gradient descent": dask_gd.GDClassifier(max_iter=5, tol=None),
    "mini-batches": dask_gd.SGDRegressor(mode="synchronous", random_state=0, max_iter=2, tol=None),
}


def some_data(name, rng, n=3000):
    X = rng.normal(size=(n, D))
    y = X @ ETA + 0.3 + rng.normal(size=n)
    if "two targets" in name:
        return X, np.stack([y, X[:, 0] ** 2], axis=1)
    if name in ("softmax",):
        return X, np.digitize(y, [-0.5, 1.0]) * 2 + 1
    if is_classifier(ESTIMATORS[name]):
        return X, (y > 0).astype(int)
    if name == "probit":
        return X, (y > 0).astype(float)
    if name in ("poisson", "a link with a border"):
        return X, rng.poisson(np.exp(0.3 * X @ ETA)).astype(float) + 1
    return X, y


def chunks(array, rows=1000):
    return da.from_array(array, chunks=(rows, *array.shape[1:]))


def device_chunks(array):
    """A dask array whose chunks are on the device; what Dask knows of them is NumPy's, for want of a registration."""
    return chunks(array).map_blocks(on_device, meta=np.empty((0,) * array.ndim, array.dtype))


def gathered(array):
    if isinstance(array, da.Array):
        array = array.map_blocks(dask_gd.arrays.to_numpy, dtype=array.dtype, meta=np.empty((0,) * array.ndim)).compute()
    return dask_gd.arrays.to_numpy(array)


@pytest.mark.parametrize("layout", ["in memory", "dask"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_fits_are_those_of_numpy(name, layout, rng, leaving):
    X, y = some_data(name, rng)
    n = len(X)
    to_device, plain = (on_device, np.asarray) if layout == "in memory" else (device_chunks, chunks)
    expected, found = clone(ESTIMATORS[name]), clone(ESTIMATORS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that so few iterations do not converge
        expected.fit(plain(X), plain(y))
        found.fit(to_device(X), to_device(y))
    rows = n if name == "quantile" or (name == "huber" and layout == "in memory") else 300  # its band, outliers_
    assert max(leaving) <= rows * D
    for attribute, value in vars(found).items():
        assert not dask_gd.arrays.is_device_array(value), attribute
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found.intercept_, expected.intercept_, rtol=1e-9, atol=1e-11)
    assert found.n_sweeps_ == expected.n_sweeps_
    leaving.clear()
    score = found.score(to_device(X), to_device(y))
    assert sum(leaving) <= 4 * 3 * 2
    assert score == pytest.approx(expected.score(plain(X), plain(y)), rel=1e-10)
    for method in ("predict", "decision_function", "predict_proba", "predict_log_proba"):
        if hasattr(expected, method):
            leaving.clear()
            there = getattr(found, method)(to_device(X))
            assert not leaving
            assert layout == "dask" or dask_gd.arrays.is_device_array(there)
            np.testing.assert_allclose(gathered(there), gathered(getattr(expected, method)(plain(X))), rtol=1e-9)


def test_float32_stays_float32(rng):
    X, y = some_data("logistic", rng)
    model = dask_gd.LogisticRegression().fit(on_device(X.astype(np.float32)), on_device(y))
    expected = dask_gd.LogisticRegression().fit(X.astype(np.float32), y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-4)
    assert model.decision_function(on_device(X.astype(np.float32))).dtype == strict.float32
    assert model.decision_function(on_device(np.ones((2, D), int))).dtype == strict.float64


def test_everything_follows_X(rng):
    """y, weights and offsets may be in main memory where X is not, and the other way round."""
    X, y = some_data("least squares", rng)
    weight, offset = rng.random(len(X)), rng.normal(size=len(X))
    expected = dask_gd.Ridge().fit(X, y, weight, offset)
    for data in (
        (on_device(X), y, weight, offset),
        (X, on_device(y), on_device(weight), on_device(offset)),
        (device_chunks(X), y, on_device(weight), chunks(offset, 700)),
        (device_chunks(X), on_device(y), weight, device_chunks(offset)),
        (chunks(X), device_chunks(y), weight, on_device(offset)),
    ):
        model = dask_gd.Ridge().fit(*data)
        np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-11)
        mean = gathered(model.predict(data[0], data[3] if data[0] is X else offset))
        np.testing.assert_allclose(mean, expected.predict(X, offset), rtol=1e-10)
    model = dask_gd.Ridge().fit(on_device(X), y, 2.0)
    np.testing.assert_allclose(model.coef_, dask_gd.Ridge().fit(X, y, 2.0).coef_, rtol=1e-11)


def test_labels_that_are_no_numbers_stay_in_main_memory(rng):
    X, y = some_data("softmax", rng)
    names = np.array(["one", "three", "five"])[y // 2]
    expected = dask_gd.LogisticRegression().fit(X, names)
    model = dask_gd.LogisticRegression().fit(on_device(X), names)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(model.predict(on_device(X)), expected.predict(X))
    assert model.score(on_device(X), names) == expected.score(X, names)


def test_a_model_knows_no_device(rng):
    """What was fitted on a device predicts anywhere, and is pickled without it."""
    X, y = some_data("logistic", rng)
    model = pickle.loads(pickle.dumps(dask_gd.LogisticRegression().fit(on_device(X), on_device(y))))
    np.testing.assert_array_equal(model.predict(X), gathered(model.predict(on_device(X))))


def test_column_chunks_are_joined_where_they_are(rng):
    X, y = some_data("least squares", rng)
    split = da.from_array(X, chunks=(1000, 2)).map_blocks(on_device, meta=np.empty((0, 0)))
    model = dask_gd.LinearRegression().fit(split, y)
    np.testing.assert_allclose(model.coef_, dask_gd.LinearRegression().fit(X, y).coef_, rtol=1e-10)
    np.testing.assert_allclose(gathered(model.predict(split)), model.predict(X), rtol=1e-10)


def test_a_plan_reads_nothing(rng, leaving):
    X = some_data("logistic", rng)[0]
    plan = dask_gd.LogisticRegression().explain(on_device(X))
    assert plan.chosen == dask_gd.LogisticRegression().explain(X).chosen
    assert not leaving


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones(3), np.ones(3), "Expected 2D array, got 1D array"),
        (np.ones((3, 0)), np.ones(3), "0 feature"),
        (np.ones((0, 2)), np.ones(0), "0 sample"),
        (np.ones((3, 2)) * 1j, np.ones(3), "Complex data not supported"),
        (np.ones((3, 2)), np.ones(4), "inconsistent numbers of samples"),
        (np.array([[1.0], [np.nan]]), np.ones(2), "Input X contains NaN"),
        (np.ones((3, 2)), np.ones((3, 2, 2)), "y should be a 1d array"),
    ],
)
def test_data_that_cannot_be_fitted(X, y, message):
    with pytest.raises((ValueError, DataError), match=message):
        dask_gd.LinearRegression().fit(on_device(X), on_device(y))


def test_the_width_is_checked(rng):
    X, y = some_data("least squares", rng)
    model = dask_gd.LinearRegression().fit(on_device(X), on_device(y))
    with pytest.raises(ValueError, match="X has 3 features, but LinearRegression is expecting 4"):
        model.predict(on_device(X[:, :3]))
    with pytest.raises(ValueError, match="Expected 2D array"):
        model.predict(on_device(X[0]))


def test_a_walk_over_single_rows_says_what_to_do(rng):
    X, y = some_data("least squares", rng)
    with pytest.raises(ValueError, match="mode='synchronous'"):
        dask_gd.SGDRegressor(random_state=0).fit(on_device(X), on_device(y))


def test_a_cluster_gives_the_same_bits(rng, client):
    X, y = some_data("softmax", rng)
    data = device_chunks(X), device_chunks(y)
    alone = dask_gd.LogisticRegression().fit(*data)

    def transitions(dask_scheduler):
        return dask_scheduler.transition_counter

    before = client.run_on_scheduler(transitions)
    with dask.config.set(scheduler=None), client.as_current():
        model = dask_gd.LogisticRegression(verbose=1).fit(*data)  # step by step, and not whole in one task
    np.testing.assert_array_equal(model.coef_, alone.coef_)
    assert client.run_on_scheduler(transitions) > before + len(data[0].chunks[0])
