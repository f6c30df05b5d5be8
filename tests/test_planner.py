"""Plans: ten shapes as golden text, what decides, and what a fit tells of its plan afterwards.

``python tests/test_planner.py`` writes the golden text again; look at the difference before it is committed.
"""

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp

import dask_gd
from dask_gd.losses import LOSSES
from dask_gd.penalties import ElasticNet
from dask_gd.planner import Plan, check_solver, plan
from dask_gd.protocol import Extent
from dask_gd.solvers import SOLVERS

GOLDEN = Path(__file__).parent / "plans.txt"
CLUSTER = {"workers": 16, "threads": 64, "memory": 1e12}

SHAPES = {
    "small": (dask_gd.LogisticRegression(), Extent(1e3, 10)),
    "a table": (dask_gd.LogisticRegression(), Extent(1e5, 28, 4, itemsize=4, threads=4)),
    "a table, least squares": (dask_gd.Ridge(), Extent(1e6, 50, 40, **CLUSTER)),
    "higgs": (dask_gd.LogisticRegression(), Extent(1.1e7, 28, 88, itemsize=4, **CLUSTER)),
    "many columns": (dask_gd.LogisticRegression(), Extent(1e6, 300, 40, **CLUSTER)),
    "many columns, lasso": (dask_gd.LogisticRegression(l1_ratio=1.0), Extent(1e6, 1000, 80, **CLUSTER)),
    "counts": (dask_gd.PoissonRegressor(), Extent(1e8, 60, 800, itemsize=4, **CLUSTER)),
    "sparse text": (dask_gd.LogisticRegression(), Extent(2e4, 4000, 8, sparse=True, density=0.01, threads=2)),
    "a learning rate": (
        dask_gd.GDRegressor(learning_rate="constant", eta0=0.01),
        Extent(1e7, 100, 100, **CLUSTER),
    ),
    "clicks": (
        dask_gd.LogisticRegression(),
        Extent(1e9, 1_000_000, 10_000, itemsize=4, sparse=True, density=float("nan"), **CLUSTER)._replace(
            memory=1e11, resident=False
        ),
    ),
}


def text():
    return "\n\n".join(f"# {name}\n{model.explain(extent)}" for name, (model, extent) in SHAPES.items()) + "\n"


def test_ten_plans_are_as_they_were():
    assert text() == GOLDEN.read_text()


def test_large_data_are_planned_without_being_there():
    X = da.zeros((10**9, 10**6), chunks=(10**6, 10**6)).map_blocks(sp.csr_matrix)
    found = dask_gd.LogisticRegression().explain(X, da.zeros(10**9, chunks=10**6))
    assert isinstance(found, Plan)
    assert found.extent.sparse
    assert np.isnan(found.extent.density)
    assert found.chosen.solver == "lbfgs"
    assert "a density not known" in str(found)


@pytest.mark.parametrize("name", sorted(n for n in dask_gd.__all__ if hasattr(getattr(dask_gd, n), "explain")))
def test_every_estimator_explains_itself(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = np.exp(rng.normal(size=60)) if name.endswith("Regressor") else (X[:, 0] > 0).astype(int)
    estimator = getattr(dask_gd, name)()
    before = dict(vars(estimator))
    found = estimator.explain(X, y)
    assert str(found).startswith(name)
    assert vars(estimator) == before  # it says, and does nothing
    assert found.actual_sweeps is None
    model = estimator.fit(X, y)
    if not name.endswith("CV"):
        assert found.chosen.solver in (model.solver_, "prox-newton")
        assert model.plan_.actual_sweeps == model.n_sweeps_
        assert model.plan_.actual_seconds > 0
        assert f"{model.n_sweeps_} sweep" in str(model.plan_)


def test_classes_are_counted_where_they_can_be():
    X, y = np.zeros((30, 2)), np.arange(30) % 3
    model = dask_gd.LogisticRegression()
    assert "classes assumed" not in str(model.explain(X, y))
    assert "two classes assumed" in str(model.explain(X, da.from_array(y, chunks=10)))


@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "poisson"])
@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("d", [1, 50, 300, 2000, 5000, 10**6])
def test_a_choice_can_do_what_is_asked_and_depends_on_the_data_alone(d, smooth, loss):
    loss = LOSSES[loss]()
    for n in (10, 1e4, 1e6, 1e9):
        here = plan("", Extent(n, d), loss, smooth=smooth)
        there = plan("", Extent(n, d, threads=96, workers=12, memory=1e12), loss, smooth=smooth)
        assert here.chosen.solver == there.chosen.solver
        assert (here.chosen.sweeps, here.sample_rows) == (there.chosen.sweeps, there.sample_rows)
        penalty = ElasticNet(l1=0.0 if smooth else 1.0)
        check_solver(here.chosen.solver, d + 1, loss, penalty)
        assert here.chosen.sweeps >= 1
        assert here.runner_up is None or here.runner_up.solver != here.chosen.solver or here.squares
        assert here.sample_rows == 0 or SOLVERS[here.chosen.solver].standardised
        assert 0 <= here.sample_rows <= max(n, 20 * d, 2000)


def test_fewer_sweeps_win_unless_they_take_long():
    """At 300 columns a Hessian is the better bargain on few rows, a row sample's on many."""
    loss = LOSSES["log_loss"]()
    few, many = (plan("", Extent(n, 300), loss, smooth=True).chosen.solver for n in (1e4, 1e7))
    assert (few, many) == ("newton-cholesky", "preconditioned-lbfgs")


def test_a_fit_measures_the_conditioning_of_its_sample():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150_000, 8))
    y = X[:, 0] + rng.normal(size=150_000) > 0
    mixed = X @ (np.eye(8) + 0.999 * (np.ones((8, 8)) - np.eye(8)))
    well, badly = (dask_gd.LogisticRegression().fit(Z, y).plan_ for Z in (X, mixed))
    assert 1 <= well.condition < 3 < 1e5 < badly.condition
    assert "condition  about" in str(badly)
    assert well.runner_up.solver == "lbfgs"  # gradients are enough for columns that are hardly correlated
    assert badly.runner_up.solver == "preconditioned-lbfgs"


def test_squares_are_for_squared_losses_of_not_too_many_columns():
    squared, other = LOSSES["squared_error"](), LOSSES["huber"]()
    assert plan("", Extent(1e6, 100), squared, smooth=True).squares
    assert not plan("", Extent(1e6, 100), squared, smooth=True, precompute=False).squares
    assert not plan("", Extent(1e6, 100), other, smooth=True).squares
    assert not plan("", Extent(1e6, 5000), squared, smooth=True).squares
    assert not plan("", Extent(1e9, 4000), squared, smooth=True).squares  # d² a row is too much work
    assert plan("", Extent(1e9, 4000), squared, smooth=True, precompute=True).squares


@pytest.mark.parametrize("name", sorted(name for name, solver in SOLVERS.items() if solver.sampling))
@pytest.mark.parametrize("loss", ["quantile", "huber_with_scale", "gamma-inverse"])
def test_a_sample_is_refused_where_it_says_nothing(loss, name):
    with pytest.raises(ValueError, match=f"solver='{name}' takes its Hessian from a row sample"):
        check_solver(name, 10, LOSSES[loss](), ElasticNet())


def test_a_hessian_that_no_client_holds_is_refused():
    with pytest.raises(ValueError, match=r"needs a Hessian of 30000 × 30000 numbers \(7 GiB\)"):
        check_solver("newton-cholesky", 30_000, LOSSES["log_loss"](), ElasticNet())


@pytest.mark.parametrize("solver", ["auto", "preconditioned-lbfgs"])
def test_lengths_that_are_not_known_change_no_bit(solver):
    """The sample is the rows of the lowest keys, however many rows there turn out to be."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 6))
    y = (X[:, 0] + rng.normal(size=200_000) > 0).astype(int)
    dX, dy = da.from_array(X, chunks=(45_000, 6)), da.from_array(y, chunks=45_000)
    model = dask_gd.LogisticRegression(solver=solver)
    known, sweeps = model.fit(dX, dy).coef_, model.n_sweeps_
    kept = dX[:, 0] > -np.inf
    np.testing.assert_array_equal(model.fit(dX[kept], dy[kept]).coef_, known)
    assert model.n_sweeps_ == sweeps
    assert model.plan_.sample_rows > 0


@pytest.mark.parametrize("solver", ["newton-cholesky", "preconditioned-lbfgs"])
def test_the_threads_of_blas_change_no_bit(solver):
    """Nor does it matter whether the fit loop runs here or inside a task, where BLAS has one thread."""
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 300))
    y = X[:, 0] + rng.normal(size=3000) > 0
    model = dask_gd.LogisticRegression(C=0.01, solver=solver)
    many = model.fit(X, y).coef_
    with threadpool_limits(1, user_api="blas"):
        np.testing.assert_array_equal(model.fit(X, y).coef_, many)


# -- a stop at statistical precision ---------------------------------------------------------------------------------


def statistical_error(model, X, y, expected):
    """The largest distance of a coefficient from the minimum in standard errors; ``expected`` = E[ℓ''] of margins."""
    Z = np.column_stack([X, np.ones(len(X))])
    best = type(model)(**{**model.get_params(), "tol": 1e-10}).fit(X, y)
    theta, optimum = (np.append(np.ravel(m.coef_), m.intercept_) for m in (model, best))
    covariance = np.linalg.inv((Z * expected(Z @ optimum)[:, None]).T @ Z)
    return (np.abs(theta - optimum) / np.sqrt(np.diag(covariance))).max(), best


def logistic_curvature(eta):
    p = 1 / (1 + np.exp(-eta))
    return p * (1 - p)


@pytest.mark.parametrize("solver", ["auto", "newton-cholesky", "preconditioned-lbfgs"])
def test_statistical_precision_is_what_it_says(solver):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 12)) @ rng.normal(size=(12, 12))
    y = rng.random(20_000) < 1 / (1 + np.exp(-X @ rng.normal(size=12) / 4))
    model = dask_gd.LogisticRegression(C=np.inf, solver=solver, tol="statistical").fit(X, y)
    error, best = statistical_error(model, X, y, logistic_curvature)
    assert model.converged_
    assert error <= 0.01
    assert model.n_sweeps_ < best.n_sweeps_


@pytest.mark.parametrize("cls", [dask_gd.PoissonRegressor, dask_gd.GammaRegressor])
def test_statistical_precision_of_counts_and_sizes(cls):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 5))
    mean = np.exp(X @ [0.3, -0.2, 0.1, 0.0, 0.4])
    gamma = cls is dask_gd.GammaRegressor
    y = rng.gamma(0.5, mean / 0.5) if gamma else rng.poisson(mean).astype(float)
    model = cls(alpha=0.0, tol="statistical").fit(X, y)
    error, _ = statistical_error(model, X, y, (lambda eta: np.ones_like(eta) / 2) if gamma else np.exp)
    assert error <= 0.01


def test_statistical_precision_needs_a_likelihood_and_a_hessian():
    X, y = np.random.default_rng(0).normal(size=(100, 2)), np.arange(100) % 2
    with pytest.raises(ValueError, match=r"tol='statistical' needs a loss that is a likelihood, and SquaredHinge"):
        dask_gd.LinearSVC(tol="statistical").fit(X, y)
    with pytest.raises(ValueError, match=r"solver='lbfgs' has no Hessian to tell standard errors from"):
        dask_gd.LogisticRegression(solver="lbfgs", tol="statistical").fit(X, y)
    with pytest.raises(ValueError, match="'tol' parameter"):
        dask_gd.LogisticRegression(tol="loose").fit(X, y)


if __name__ == "__main__":
    GOLDEN.write_text(text())
