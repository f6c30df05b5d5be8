"""Stochastic gradients: scikit-learn's updates, the same bits everywhere, sorted data, early stopping, streams."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from distributed import Client, LocalCluster
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier as SklearnClassifier
from sklearn.linear_model import SGDRegressor as SklearnRegressor
from sklearn.preprocessing import scale

import dask_gd.engine
from dask_gd import DataError, GDRegressor, SGDClassifier, SGDRegressor
from dask_gd.engine import LocalEngine, open_engine
from dask_gd.kernels import Deal, MomentsKernel, SpreadKernel, whole
from dask_gd.kernels.rows import chosen_rows, permuted
from dask_gd.linear_model.stochastic import CLASSIFICATION, REGRESSION
from dask_gd.protocol import Block, Rows

MODEL_ROWS = 2**13
LOSSES = [*CLASSIFICATION, *REGRESSION]
PENALTIES = ["l2", "l1", "elasticnet", None]
ROOT = Path(dask_gd.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _small_models(monkeypatch):
    """Models of few rows, so that little data make several."""
    monkeypatch.setattr("dask_gd.linear_model.epochs.MODEL_ROWS", MODEL_ROWS)


def table(n=300, d=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    X[rng.random((n, d)) < 0.4] = 0
    return X, X @ rng.normal(size=d) + rng.normal(size=n), 2 * rng.random(n)


def same(one, two, tol=1e-9):
    size = max(1.0, np.abs(two.coef_).max())
    np.testing.assert_allclose(one.coef_, two.coef_, rtol=0, atol=tol * size)
    np.testing.assert_allclose(one.intercept_, two.intercept_, rtol=0, atol=tol * size)


def bits(model):
    return np.asarray(model.coef_).tobytes() + np.asarray(model.intercept_).tobytes()


def pair(loss, y):
    """Ours, scikit-learn's and the targets, of every kind of estimator that has the loss."""
    yield SGDClassifier, SklearnClassifier, y > 0
    if loss in REGRESSION:
        yield SGDRegressor, SklearnRegressor, y


# -- scikit-learn's updates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_three_epochs_are_scikit_learns(loss, penalty):
    X, y, s = table()
    for schedule in ("constant", "optimal", "invscaling", "adaptive", "pa1", "pa2"):
        if schedule == "optimal" and loss.startswith("squared_"):
            continue  # the first steps explode in both, and rounding with them
        for average in (False, True, 37):
            if average and penalty in ("l1", "elasticnet"):
                continue  # scikit-learn's is not the mean of the iterates then
            for ours, theirs, target in pair(loss, y):
                if schedule.startswith("pa") and loss != ("hinge" if ours is SGDClassifier else "epsilon_insensitive"):
                    continue
                parameters = dict(loss=loss, penalty=penalty, learning_rate=schedule, average=average, alpha=0.01)
                parameters |= dict(eta0=0.02, max_iter=3, tol=None, shuffle=False)
                one = ours(**parameters).fit(X, target, sample_weight=s)
                two = theirs(**parameters).fit(X, target, sample_weight=s)
                same(one, two)
                assert one.t_ == two.t_
                assert one.n_iter_ == two.n_iter_ == 3


@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
def test_the_average_is_the_mean_of_all_iterates(penalty):
    X, y, _ = table(60)
    parameters = dict(loss="log_loss", penalty=penalty, alpha=0.05, learning_rate="constant", eta0=0.1, shuffle=False)
    one = SGDClassifier(**parameters)
    iterates = []
    for i in [*range(60), *range(60)]:
        one.partial_fit(X[i : i + 1], y[i : i + 1] > 0, classes=[False, True])
        iterates.append(np.append(one.coef_, one.intercept_))
    for data in (X, sp.csr_array(X)) if penalty == "l2" else (X,):
        mean = SGDClassifier(max_iter=2, tol=None, average=True, **parameters).fit(data, y > 0)
        found = np.append(mean.coef_, mean.intercept_)
        np.testing.assert_allclose(found, np.mean(iterates, axis=0), rtol=0, atol=1e-12)


def test_several_classes_are_binary_fits():
    X, y, s = table()
    code = np.digitize(y, [-1, 1])
    parameters = dict(loss="modified_huber", max_iter=4, tol=None, random_state=3, average=50, alpha=0.01)
    model = SGDClassifier(**parameters).fit(X, code, sample_weight=s)
    for k in range(3):
        one = SGDClassifier(**parameters).fit(X, code == k, sample_weight=s)
        np.testing.assert_allclose(model.coef_[k], one.coef_[0], rtol=1e-12)
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    theirs = SklearnClassifier(shuffle=False, **parameters).fit(X, code, sample_weight=s)
    ours = SGDClassifier(shuffle=False, **parameters).fit(X, code, sample_weight=s)
    same(ours, theirs)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-9)


def test_sparse_rows_step_as_dense_ones():
    X, y, s = table()
    for penalty in ("l2", None):
        one = SGDClassifier(penalty=penalty, random_state=0, average=True).fit(X, y > 0, sample_weight=s)
        two = SGDClassifier(penalty=penalty, random_state=0, average=True).fit(sp.csr_array(X), y > 0, sample_weight=s)
        same(one, two, 1e-12)


def test_l1_on_sparse_rows_is_scikit_learns():
    X, y, s = table()
    parameters = dict(penalty="l1", alpha=0.01, shuffle=False, max_iter=3, tol=None, fit_intercept=False)
    X = sp.csr_array(X)
    same(
        SGDRegressor(**parameters).fit(X, y, sample_weight=s), SklearnRegressor(**parameters).fit(X, y, sample_weight=s)
    )


def test_float32_and_an_offset():
    X, y, _ = table()
    one = SGDRegressor(random_state=0).fit(X, y)
    two = SGDRegressor(random_state=0).fit(X.astype(np.float32), y)
    same(one, two, 1e-5)
    assert two.coef_.dtype == np.float64
    shifted = SGDRegressor(random_state=0).fit(X, y + 5, offset=np.full(len(y), 5.0))
    same(one, shifted, 1e-10)


REFERENCE = """
import sys, numpy as np
from dask_gd.compiled.jit import COMPILED
from dask_gd import SGDClassifier
import test_sgd
assert not COMPILED
np.savez(sys.argv[1], *test_sgd.all_walks())
"""


def all_walks():
    import itertools

    X, y, s = table(40, 5)
    found = []
    for loss, penalty, data in itertools.product(LOSSES, PENALTIES, (X, sp.csr_array(X))):
        schedule = {"hinge": "pa1", "log_loss": "optimal", "perceptron": "constant"}.get(loss, "invscaling")
        model = SGDClassifier(loss=loss, penalty=penalty, learning_rate=schedule, average=20, max_iter=2, tol=None)
        model.set_params(alpha=0.01, random_state=0).fit(data, y > 0, sample_weight=s, offset=0.1 * s)
        found.append(np.append(model.coef_, model.intercept_))
    return found


def test_machine_code_does_what_the_source_says(tmp_path):
    path = tmp_path / "reference.npz"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    subprocess.run([sys.executable, "-c", REFERENCE, str(path)], check=True, env=environment, timeout=100)
    with np.load(path) as reference:
        for one, two in zip(all_walks(), reference.values(), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-13)


def test_importing_the_package_does_not_import_numba():
    code = "import sys, dask_gd; print('numba' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == "False"


# -- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 63, 64, 65, 1000, 4097])
def test_any_stretch_of_a_permutation(n):
    whole_one = permuted(n, 0, n, [1, 2, 3])
    np.testing.assert_array_equal(np.sort(whole_one), np.arange(n))
    cut = n // 3
    np.testing.assert_array_equal(np.append(permuted(n, 0, cut, [1, 2, 3]), permuted(n, cut, n, [1, 2, 3])), whole_one)
    if n > 60:
        assert not np.array_equal(whole_one, permuted(n, 0, n, [1, 3, 3]))
        assert abs(np.corrcoef(whole_one, np.arange(n))[0, 1]) < 5 / np.sqrt(n)


@pytest.mark.parametrize("parts", [1, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 5, 100])
def test_the_parts_of_an_epoch_share_out_its_rows(n, parts):
    for shuffle in (True, False):
        for share in (0.0, 0.25):
            rows = [Rows(5, 2, i, parts, shuffle, share) for i in range(parts)]
            found = np.concatenate([chosen_rows(n, 4, r) for r in rows])
            held = chosen_rows(n, 4, rows[0]._replace(held_out=True))
            np.testing.assert_array_equal(np.sort(np.append(found, held)), np.arange(n))
            assert len(held) == np.ceil(share * n)


def test_tiny_blocks_share_out_their_rows_too():
    sizes = [sum(len(chosen_rows(1, i, Rows(0, 0, k, 4))) for i in range(100)) for k in range(4)]
    assert sizes == [25] * 4


def blocks_of(X, y, cuts):
    return [Block(i, X[a:b], y[a:b]) for i, (a, b) in enumerate(zip([0, *cuts], [*cuts, len(X)], strict=True))]


def test_dealing_keeps_every_row_and_mixes_them():
    y = np.arange(1000.0)
    X = y[:, None] * [1.0, 2.0]
    for cuts in ([], [0, 10, 11, 500], list(range(1, 1000))):
        engine = LocalEngine(blocks_of(X, y, cuts))
        engine.regroup([range(engine.n_blocks)] * 4, Deal(0, 4))
        assert [block.index for block in engine.blocks] == [0, 1, 2, 3]
        rows = np.concatenate([block.y for block in engine.blocks])
        np.testing.assert_array_equal(np.sort(rows), y)
        for block in engine.blocks:
            assert 180 < block.n_rows < 320
            assert abs(block.y.mean() - 499.5) < 60
            np.testing.assert_array_equal(block.X[:, 0], block.y)


def test_gluing_whole_blocks():
    X, y, _ = table(100)
    engine = LocalEngine(blocks_of(X, y, [10, 10, 40]))
    engine.regroup([[0, 1], [2, 3]], whole)
    assert [block.n_rows for block in engine.blocks] == [10, 90]
    np.testing.assert_array_equal(np.concatenate([block.y for block in engine.blocks]), y)


@pytest.mark.parametrize("classification", [False, True])
def test_what_lies_between_blocks(classification):
    X, y, _ = table(4000)
    target = (y > 0).astype(float) if classification else y
    order = np.argsort(target, kind="stable")
    kernel = SpreadKernel(MomentsKernel(6, classification))
    cuts = [1000, 1000, 2500]
    alike = LocalEngine(blocks_of(X, target, cuts)).sweep(kernel)
    assert abs(alike.between) < 0.005
    assert LocalEngine(blocks_of(X[order], target[order], cuts)).sweep(kernel).between > 0.5
    by_column = np.argsort(X[:, 2])
    assert LocalEngine(blocks_of(X[by_column], target[by_column], cuts)).sweep(kernel).between > 0.5


# -- many chunks -----------------------------------------------------------------------------------------------------


def large(n=60_000, d=8, seed=1):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, X @ rng.normal(size=d) + 2 * rng.logistic(size=n)


def log_loss(model, X, y):
    eta = X @ model.coef_[0] + model.intercept_[0]
    return np.logaddexp(0, np.where(y, -eta, eta)).mean()


def test_chunks_make_models_and_sorted_ones_exchange_rows():
    X, y = large()
    y = y > 0
    order = np.argsort(y, kind="stable")
    parameters = dict(loss="log_loss", max_iter=5, tol=None, random_state=0)
    lazy = [da.from_array(a, chunks=(10_000, *a.shape[1:])) for a in (X, y, X[order], y[order])]
    mixed = SGDClassifier(**parameters).fit(*lazy[:2])
    in_order = SGDClassifier(**parameters).fit(*lazy[2:])
    theirs = SklearnClassifier(**parameters).fit(X, y)
    losses = [log_loss(model, X, y) for model in (mixed, in_order, theirs)]
    assert losses[0] <= losses[2] * 1.001
    assert losses[1] <= losses[0] * 1.01
    assert mixed.n_sweeps_ == 6
    assert mixed.t_ == 5 * 60_000 + 1


def test_blocks_too_small_for_a_model_are_joined():
    X, y = large(2 * MODEL_ROWS)
    parameters = dict(max_iter=2, tol=None, random_state=0)
    small = SGDRegressor(**parameters).fit(da.from_array(X, chunks=(128, 8)), da.from_array(y, chunks=128))
    two = SGDRegressor(**parameters).fit(da.from_array(X, chunks=(MODEL_ROWS, 8)), da.from_array(y, chunks=MODEL_ROWS))
    assert bits(small) == bits(two)
    few = SGDRegressor(**parameters).fit(da.from_array(X[:999], chunks=(100, 8)), da.from_array(y[:999], chunks=100))
    assert bits(few) == bits(SGDRegressor(**parameters).fit(X[:999], y[:999]))


@pytest.mark.parametrize("mode", ["local", "synchronous"])
def test_empty_and_unknown_chunks(mode):
    X, y, s = table()
    parameters = dict(mode=mode, max_iter=3, tol=None, random_state=0)
    expected = SGDRegressor(**parameters).fit(X, y, sample_weight=s)
    chunks = ((0, 100, 0, 1, 199, 0), (6,))
    dX, dy, ds = (da.from_array(a, chunks=chunks[: a.ndim]) for a in (X, y, s))
    keep = da.from_array(np.ones(len(y), dtype=bool), chunks=chunks[:1])
    for args in ((dX, dy, ds), (dX[keep], dy[keep], ds[keep]), (dX.map_blocks(sp.csr_array), dy, ds)):
        same(SGDRegressor(**parameters).fit(args[0], args[1], sample_weight=args[2]), expected, 1e-10)


def test_data_that_are_read_again_in_every_epoch(monkeypatch):
    X, y = large()
    lazy = da.from_array(X, chunks=(10_000, 8)), da.from_array(y > 0, chunks=10_000)
    parameters = dict(max_iter=3, tol=None, random_state=0)
    resident = SGDClassifier(**parameters).fit(*lazy)
    tiny = lazy[0].rechunk((2_500, 8)), lazy[1].rechunk(2_500)
    joined = SGDClassifier(**parameters).fit(*tiny)
    monkeypatch.setattr(dask_gd.engine, "MEMORY_SHARE", 0.0)
    assert bits(SGDClassifier(**parameters).fit(*lazy)) == bits(resident)
    assert bits(SGDClassifier(**parameters).fit(*tiny)) == bits(joined)
    order = np.argsort(y, kind="stable")
    by_label = da.from_array(X[order], chunks=(10_000, 8)), da.from_array(y[order] > 0, chunks=10_000)
    with pytest.raises(ValueError, match=r"not alike.*mode='local'.*shuffle the rows"):
        SGDClassifier(**parameters).fit(*by_label)
    SGDClassifier(mode="synchronous", batch_size=30_000, **parameters).fit(*by_label)


# -- the same bits ---------------------------------------------------------------------------------------------------


def fits(X, y):
    """Shuffled and sorted chunks of more than what fits in one task, both modes, early stopping."""
    order = np.argsort(y > 0, kind="stable")
    batches = {"mode": "synchronous", "batch_size": 80_000, "momentum": 0.9}
    found = []
    for A, b, more in ((X, y > 0, {}), (X[order], y[order] > 0, {}), (X[order], y[order] > 0, batches)):
        lazy = da.from_array(A, chunks=((30_000, 50_000, 1, 19_999, 70_000), 25)), da.from_array(b, chunks=33_000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "Sending large graph")
            model = SGDClassifier(max_iter=2, random_state=7, early_stopping=True, **more)
            found.append(bits(model.fit(*lazy)))
    return found


@pytest.mark.timeout(240)
def test_the_same_bits_on_every_scheduler():
    X, y = large(170_000, 25)
    expected = fits(X, y)
    with dask.config.set(scheduler="threads"):
        assert fits(X, y) == expected
    for n_workers, threads in ((1, 2), (2, 1)):
        with (
            dask.config.set(scheduler=None),
            LocalCluster(n_workers=n_workers, threads_per_worker=threads, dashboard_address=":0") as cluster,
            Client(cluster),
        ):
            assert fits(X, y) == expected, (n_workers, threads)


@pytest.mark.timeout(240)
def test_a_lost_worker_loses_no_row_of_regrouped_blocks():
    X, y = large(200_000, 25)
    kernel = MomentsKernel(25, False)
    with (
        dask.config.set(scheduler=None),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Sending large graph")
        lazy = da.from_array(X, chunks=(20_000, 25)), da.from_array(y, chunks=20_000)
        with open_engine(*lazy) as engine:
            engine.load()
            engine.regroup([range(10)] * 5, Deal(0, 5))
            engine.replace(scaled)
            before = engine.sweep(kernel)
            os.kill(client.run(os.getpid).popitem()[1], signal.SIGKILL)
            time.sleep(0.2)
            after = engine.sweep(kernel)
            engine.load()  # as after a sweep that was lost
            again = engine.sweep(kernel)
    assert before.n_rows == 200_000
    for other in (after, again):
        np.testing.assert_array_equal(before.mean, other.mean)
        np.testing.assert_array_equal(before.m2, other.m2)
    np.testing.assert_allclose(before.mean, 2 * X.mean(axis=0), atol=1e-12)


def scaled(block):
    return block._replace(X=2 * block.X)


# -- mini-batches ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", PENALTIES)
def test_one_batch_of_all_rows_is_gradient_descent(penalty):
    X, y, _ = table()
    lazy = da.from_array(X, chunks=(70, 6)), da.from_array(y, chunks=70)
    shared = dict(penalty=penalty, alpha=0.05, learning_rate="constant", eta0=0.1, tol=None)
    one = SGDRegressor(mode="synchronous", batch_size=300, max_iter=20, **shared).fit(*lazy)
    start = SGDRegressor(mode="synchronous", batch_size=300, max_iter=1, **shared).fit(*lazy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        two = GDRegressor(max_iter=400, **shared).fit(*lazy)
        far = SGDRegressor(mode="synchronous", batch_size=300, max_iter=400, **shared).fit(*lazy)
    same(far, two, 1e-8)
    np.testing.assert_allclose(start.intercept_, 0.1 * y.mean(), rtol=1e-12)
    assert one.n_sweeps_ == 21
    assert one.t_ == 21


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("schedule", ["constant", "invscaling", "optimal"])
def test_mini_batches_as_the_formula_says(schedule, nesterov):
    X, y, s = table()
    model = SGDRegressor(mode="synchronous", batch_size=64, momentum=0.8, nesterov=nesterov, learning_rate=schedule)
    model.set_params(max_iter=3, tol=None, alpha=0.1, random_state=5, average=4, eta0=0.05)
    model.fit(X, y, sample_weight=s)
    w, v, mean, k = np.zeros(7), np.zeros(7), np.zeros(7), 0
    Z = np.column_stack([X, np.ones(len(X))])
    t0 = 0.1**-0.75
    for t in range(1, 16):
        epoch, number = divmod(t - 1, 5)
        rows = chosen_rows(300, 0, Rows(model._seed, epoch, number, 5))
        at = w + 0.8 * v if nesterov else w
        g = Z[rows].T @ (s[rows] * (Z[rows] @ at - y[rows])) / len(rows) + 0.1 * np.append(at[:-1], 0)
        v = (
            0.8 * v
            - {"constant": 0.05, "invscaling": 0.05 / t**0.25, "optimal": 1 / (0.1 * (t0 + t - 1))}[schedule] * g
        )
        w = w + v
        if t >= 4:
            k += 1
            mean += (w - mean) / k
    np.testing.assert_allclose(np.append(model.coef_, model.intercept_), mean, rtol=0, atol=1e-12)
    assert model.n_sweeps_ == 16


def test_mini_batches_of_sorted_data():
    X, y = large(20_000)
    order = np.argsort(y)
    model = SGDClassifier("log_loss", mode="synchronous", max_iter=20, tol=None, learning_rate="constant", eta0=0.5)
    model.set_params(momentum=0.5, random_state=0)
    lazy = da.from_array(X[order], chunks=(3_000, 8)), da.from_array(y[order] > 0, chunks=3_000)
    model.fit(*lazy)
    local = SGDClassifier("log_loss", random_state=0).fit(X, y > 0)
    assert log_loss(model, X, y > 0) < 1.01 * log_loss(local, X, y > 0)


# -- when it stops ---------------------------------------------------------------------------------------------------


def test_stops_as_scikit_learn_does():
    X, y, _ = table(2000)
    for parameters in ({}, {"penalty": None}, {"tol": 1e-5}, {"n_iter_no_change": 2}, {"alpha": 1e-2}):
        parameters = {"shuffle": False, "loss": "log_loss", "learning_rate": "constant"} | parameters
        one, two = SGDClassifier(**parameters).fit(X, y > 0), SklearnClassifier(**parameters).fit(X, y > 0)
        assert abs(one.n_iter_ - two.n_iter_) <= 1
        assert one.converged_
        assert one.n_iter_ < 1000


def test_adaptive_rates():
    X, y, _ = table()
    model = SGDRegressor(learning_rate="adaptive", eta0=0.1, random_state=0).fit(X, y)
    rates = np.unique(model.history_["step"])[::-1]
    assert rates[0] == 0.1
    np.testing.assert_allclose(rates[:-1] / rates[1:], 5)
    assert rates[-1] < 1e-6


@pytest.mark.parametrize("mode", ["local", "synchronous"])
def test_early_stopping(mode):
    X, y = large(20_000 if mode == "local" else 5_000)
    model = SGDClassifier("log_loss", mode=mode, early_stopping=True, validation_fraction=0.3, random_state=0)
    model.set_params(tol=1e-4).fit(da.from_array(X, chunks=(9_000, 8)), da.from_array(y > 0, chunks=9_000))
    assert model.converged_
    assert model.n_iter_ < 100
    best = model.history_["objective"].min()
    assert (model.history_["objective"][-5:] > best - 1e-4).all()
    assert best == pytest.approx(log_loss(model, X, y > 0), rel=0.1)
    assert model.t_ == (14_000 if mode == "local" else 100) * model.n_iter_ + 1


def test_held_out_rows_are_not_learnt_from():
    X, y, _ = table(100)
    one = SGDRegressor(early_stopping=True, random_state=0, max_iter=2, tol=None).fit(X, y)
    held = np.random.default_rng([one._seed, 2**32 + 1, 0]).permutation(100)[90:]
    other = y.copy()
    other[held] = 1e6
    two = SGDRegressor(early_stopping=True, random_state=0, max_iter=2, tol=None).fit(X, other)
    assert bits(one) == bits(two)
    assert two.history_["objective"][0] > 1e9 > one.history_["objective"][0]


def test_too_few_epochs_warn_and_none_asks_for_all_of_them():
    X, y, _ = table()
    with pytest.warns(ConvergenceWarning, match=r"SGDRegressor.*max_iter=2 reached before tol=0\.001"):
        SGDRegressor(max_iter=2).fit(X, y)
    assert SGDRegressor(max_iter=2, tol=None).fit(X, y).converged_


def test_a_walk_that_diverges_says_so():
    X, y, _ = table()
    with pytest.warns(ConvergenceWarning, match="diverged: lower eta0, or scale the columns"):
        model = SGDRegressor(learning_rate="constant", eta0=10.0, penalty=None, shuffle=False).fit(1e3 * X, y)
    assert not model.converged_


# -- seeds, starts and streams ---------------------------------------------------------------------------------------


def test_seeds():
    X, y, _ = table()
    one, two = (SGDRegressor(max_iter=2, tol=None, random_state=4).fit(X, y) for _ in range(2))
    assert bits(one) == bits(two)
    assert bits(one) != bits(SGDRegressor(max_iter=2, tol=None, random_state=5).fit(X, y))
    free = SGDRegressor(max_iter=2, tol=None)
    assert bits(free.fit(X, y)) != bits(free.fit(X, y))
    state = np.random.RandomState(4)
    assert bits(SGDRegressor(max_iter=2, tol=None, random_state=state).fit(X, y)) == bits(one)
    assert bits(SGDRegressor(max_iter=2, tol=None, random_state=state).fit(X, y)) != bits(one)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("mode", ["local", "synchronous"])
def test_calls_of_partial_fit_are_epochs(mode, penalty):
    X, y, s = table()
    parameters = dict(mode=mode, penalty=penalty, alpha=0.01, average=100, random_state=3)
    stream, lazy = SGDRegressor(**parameters), da.from_array(X, chunks=(100, 6))
    for _ in range(4):
        assert stream.partial_fit(lazy, y, sample_weight=s) is stream
    whole_fit = SGDRegressor(max_iter=4, tol=None, **parameters).fit(lazy, y, sample_weight=s)
    assert bits(stream) == bits(whole_fit)
    assert stream.t_ == whole_fit.t_
    assert stream.n_iter_ == 1


def test_a_stream_of_batches_that_lack_classes():
    X, y = large(3_000)
    names = np.array(["high", "low", "middle"])
    label = names[np.digitize(y, [-2, 2])]
    model = SGDClassifier("log_loss", learning_rate="constant", random_state=0)
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        model.partial_fit(X, label)
    order = np.argsort(label[:1500], kind="stable")
    for rows in (*np.array_split(order, 10), *np.array_split(np.arange(1500, 3000), 10)):
        model.partial_fit(X[rows], label[rows], classes=names if not hasattr(model, "t_") else None)
    assert model.t_ == 3001
    np.testing.assert_array_equal(model.classes_, names)
    assert model.score(X, label) > 0.55
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(X, label, classes=["high", "low"])
    with pytest.raises(ValueError, match=r"not among the classes: \['odd'\]"):
        model.partial_fit(X[:3], ["low", "odd", "high"])
    with pytest.raises(ValueError, match="8 features"):
        model.partial_fit(X[:, :3], label)
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(np.full((2, 8), np.nan), label[:2])
    assert model.t_ == 3001


def test_partial_fit_goes_on_from_a_fit():
    X, y, _ = table()
    one = SGDClassifier(max_iter=3, tol=None, random_state=0).fit(X, y > 0).partial_fit(X, y > 0)
    assert bits(one) == bits(SGDClassifier(max_iter=4, tol=None, random_state=0).fit(X, y > 0))


def test_starts():
    X, y, _ = table()
    parameters = dict(max_iter=1, tol=None, shuffle=False)
    start = np.arange(6.0)
    one = SGDRegressor(**parameters).fit(X, y, coef_init=start, intercept_init=2.0)
    same(one, SklearnRegressor(**parameters).fit(X, y, coef_init=start.copy(), intercept_init=[2.0]))
    warm = SGDRegressor(warm_start=True, **parameters).fit(X, y).fit(X, y)
    same(warm, SklearnRegressor(warm_start=True, **parameters).fit(X, y).fit(X, y))
    for name, value in (("coef_init", np.ones(5)), ("intercept_init", np.ones(2))):
        with pytest.raises(ValueError, match=rf"Provided {name} does not match dataset"):
            SGDRegressor().fit(X, y, **{name: value})
    with pytest.raises(ValueError, match=r"has no intercept and cannot honour intercept_init"):
        SGDRegressor(fit_intercept=False).fit(X, y, intercept_init=1.0)


def test_class_weights():
    X, y, _ = table()
    parameters = dict(class_weight={False: 1.0, True: 3.0}, shuffle=False, max_iter=2, tol=None)
    same(SGDClassifier(**parameters).fit(X, y > 0), SklearnClassifier(**parameters).fit(X, y > 0))
    parameters["class_weight"] = "balanced"
    same(SGDClassifier(**parameters).fit(X, y > 1), SklearnClassifier(**parameters).fit(X, y > 1))
    with pytest.raises(ValueError, match=r"'balanced' is not supported for partial_fit.*compute_class_weight"):
        SGDClassifier(class_weight="balanced").partial_fit(X, y > 0, classes=[False, True])


# -- edges -----------------------------------------------------------------------------------------------------------


def test_one_row():
    for mode in ("local", "synchronous"):
        model = SGDRegressor(mode=mode, eta0=0.1, learning_rate="constant", random_state=0).fit([[2.0]], [4.0])
        assert model.predict([[2.0]])[0] == pytest.approx(4.0, abs=0.1)
    with pytest.raises(ValueError, match=r"validation_fraction=0\.1 led to an empty set"):
        SGDRegressor(early_stopping=True).fit([[2.0]], [4.0])
    with pytest.raises(ValueError, match="only one class"):
        SGDClassifier().fit([[2.0]], [4])


def test_a_lone_large_chunk_is_cut(monkeypatch):
    monkeypatch.setattr("dask_gd.linear_model.epochs.LONE_ROWS", 5_000)
    X, y = large(20_000)
    lazy = da.from_array(X, chunks=-1), da.from_array(y, chunks=-1)
    model = SGDRegressor(max_iter=3, tol=None, random_state=0).fit(*lazy)
    whole_one = SGDRegressor(max_iter=3, tol=None, random_state=0, shuffle=False).fit(*lazy)
    same(whole_one, SklearnRegressor(max_iter=3, tol=None, shuffle=False).fit(X, y))
    np.testing.assert_allclose(model.coef_, whole_one.coef_, atol=0.3)
    assert bits(model) != bits(whole_one)


def test_scaled_data_are_learnt():
    X, y = large(5_000)
    model = SGDRegressor(random_state=0).fit(scale(X), y)
    exact = np.linalg.lstsq(np.column_stack([scale(X), np.ones(len(X))]), y, rcond=None)[0]
    np.testing.assert_allclose(np.append(model.coef_, model.intercept_), exact, atol=0.25)


REFUSALS = [
    (SGDClassifier, {"batch_size": 32}, r"mode='local' steps at every row and cannot honour batch_size=32: use mode="),
    (SGDRegressor, {"momentum": 0.9, "nesterov": True}, r"cannot honour momentum=0\.9, nesterov=True"),
    (SGDRegressor, {"mode": "synchronous", "nesterov": True}, r"nesterov=True looks ahead by the momentum"),
    (SGDClassifier, {"mode": "synchronous", "learning_rate": "pa1"}, r"mode='synchronous'.*'pa1'.*use mode='local'"),
    (SGDClassifier, {"learning_rate": "pa2", "loss": "log_loss"}, "'pa2' only works with loss 'hinge'"),
    (SGDRegressor, {"learning_rate": "pa1"}, "'pa1' only works with loss 'epsilon_insensitive'"),
    (SGDClassifier, {"alpha": 0.0}, "alpha must be > 0 since learning_rate is 'optimal'"),
    (SGDClassifier, {"batch_size": 0, "mode": "synchronous"}, "'batch_size' parameter of SGDClassifier must be"),
    (SGDRegressor, {"loss": "hinge"}, "'loss' parameter of SGDRegressor must be one of"),
    (SGDRegressor, {"average": -1}, "'average' parameter"),
    (SGDRegressor, {"validation_fraction": 1.0}, "'validation_fraction' parameter"),
    (SGDRegressor, {"mode": "hogwild"}, "'mode' parameter"),
    (SGDRegressor, {"momentum": 1.0}, "'momentum' parameter"),
    (SGDRegressor, {"shuffle": "no"}, "'shuffle' parameter"),
    (SGDRegressor, {"n_iter_no_change": 0}, "'n_iter_no_change' parameter"),
]


@pytest.mark.parametrize(("cls", "parameters", "words"), REFUSALS, ids=str)
def test_refusals(cls, parameters, words):
    X, y, _ = table()
    with pytest.raises(ValueError, match=words):
        cls(**parameters).fit(X, y > 0)
    with pytest.raises(ValueError, match=words):
        cls(**parameters).partial_fit(X, y > 0, **({"classes": [0, 1]} if cls is SGDClassifier else {}))


def test_early_stopping_is_refused_by_partial_fit():
    X, y, _ = table()
    with pytest.raises(ValueError, match="early_stopping should be False with partial_fit"):
        SGDRegressor(early_stopping=True).partial_fit(X, y)


def test_nan_in_a_chunk_names_it():
    X, y, _ = table()
    X[250, 3] = np.nan
    for mode in ("local", "synchronous"):
        with pytest.raises(DataError, match=r"NaN.*column 3.*block 2"):
            SGDRegressor(mode=mode).fit(da.from_array(X, chunks=(100, 6)), da.from_array(y, chunks=100))


def test_probabilities_only_where_the_loss_has_them():
    X, y, _ = table()
    assert not hasattr(SGDClassifier(), "predict_proba")
    for loss in ("log_loss", "modified_huber"):
        model = SGDClassifier(loss, random_state=0).fit(X, y > 0)
        theirs = SklearnClassifier(loss).fit(X, y > 0)
        theirs.coef_, theirs.intercept_ = model.coef_, model.intercept_
        np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
