"""How many sweeps a fit takes: counts, so that a lost one is seen on any machine (tests/benchmarks/sweeps.py: more)."""

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from problems import TARGET, TOL, counts, dense, duality_gap, lasso, one_hot, sparse_wide, squared, sweeps_to

import dask_gd

# What "auto" may take to a relative suboptimality of 1e-6, the sweep for the moments included.
ROWS = {
    "d=50 1e2": (lambda seed: dense(seed), 12),
    "d=50 1e2 sorted": (lambda seed: dense(seed, order="sorted"), 12),
    "d=50 1e4": (lambda seed: dense(seed, kappa=1e4), 12),
    "d=50 1e4 sorted": (lambda seed: dense(seed, kappa=1e4, order="sorted"), 12),
    "d=50 1e4 raw": (lambda seed: dense(seed, kappa=1e4, raw=True), 14),
    "one-hot": (lambda seed: one_hot(seed), 20),
    "one-hot csr": (lambda seed: one_hot(seed, sparse=True), 20),
    "sparse": (lambda seed: sparse_wide(seed), 40),
    "sparse heavy": (lambda seed: sparse_wide(seed, heavy=True), 40),
    "lasso": (lambda seed: lasso(seed), 18),
    "lasso one-hot": (lambda seed: one_hot(seed, l1_share=0.02), 18),
    "poisson": (lambda seed: counts(seed), 15),
    "gamma": (lambda seed: counts(seed, loss="gamma"), 15),
    "poisson zero": (lambda seed: counts(seed, zero_start=True), 15),
    "gamma zero": (lambda seed: counts(seed, loss="gamma", zero_start=True), 15),
}
NEWTON = 7
NEWTON_ROWS = [name for name in ROWS if name.startswith(("d=50", "one-hot"))]
SEEDS = (0, 1)


def fitted(problem, **parameters):
    return problem.estimator(tol=TOL, **parameters).fit(*problem.lazy())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ROWS)
def test_auto(name, seed):
    make, limit = ROWS[name]
    problem = make(seed)
    model = fitted(problem)
    assert model.converged_
    assert problem.suboptimality(model) <= TARGET
    assert sweeps_to(model, problem) <= limit


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NEWTON_ROWS)
def test_newton_cholesky(name, seed):
    problem = ROWS[name][0](seed)
    model = fitted(problem, solver="newton-cholesky")
    assert model.converged_
    assert problem.suboptimality(model) <= TARGET
    assert sweeps_to(model, problem) <= NEWTON


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", ["poisson", "gamma"])
@pytest.mark.parametrize("solver", ["auto", "newton-cholesky", "lbfgs"])
def test_a_log_link_never_diverges_from_zero(solver, loss, seed):
    """No iterate is above the start, where a full step overshoots by many powers of ten."""
    problem = counts(seed, loss=loss, n=4000, zero_start=True)
    model = fitted(problem, solver=solver)
    assert model.converged_
    assert np.isfinite(model.history_["objective"]).all()
    assert model.history_["objective"].max() <= problem.start
    assert problem.suboptimality(model) <= TARGET


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("zero", [False, True], ids=["constant", "zero"])
@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_log_links_by_their_own_rule(loss, zero, seed):
    """The whole fit, with the sweep that finds out that the last one was enough."""
    problem = counts(seed, loss=loss, zero_start=zero)
    assert problem.estimator(tol=TOL).fit(*problem.lazy()).n_sweeps_ <= 15


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs"])
def test_the_order_of_the_rows_costs_nothing(solver):
    """Sums over all rows do not know in which block a row is: blocks of one class take what mixed blocks take."""
    mixed = fitted(dense(0, n=4000), solver=solver)
    other = fitted(dense(0, n=4000, order="sorted"), solver=solver)
    assert abs(other.n_sweeps_ - mixed.n_sweeps_) <= 2


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kappa", [1e2, 1e4])
@pytest.mark.parametrize(
    "model",
    [
        dask_gd.LinearRegression(),
        dask_gd.Ridge(),
        dask_gd.Lasso(alpha=0.05),
        dask_gd.ElasticNet(alpha=0.05),
        dask_gd.LassoCV(),
        dask_gd.RidgeCV(cv=5),
        dask_gd.ElasticNetCV(l1_ratio=[0.3, 0.8], cv=10),
        dask_gd.GDRegressor(learning_rate="constant", eta0=1e-3, max_iter=1000, tol=None),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_squared_loss_is_one_sweep(model, kappa, seed):
    X, y = squared(seed, kappa=kappa)
    model.fit(da.from_array(X, chunks=(2500, -1)), da.from_array(y, chunks=2500))
    assert model.n_sweeps_ == 1


@pytest.mark.parametrize("name", ["d=50 1e4", "one-hot", "lasso"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sampled_hessian(name, seed):
    """What "auto" takes where there are too many rows for the whole Hessian."""
    make, limit = ROWS[name]
    problem = make(seed)
    model = fitted(problem, solver="prox-bfgs" if problem.l1 else "preconditioned-lbfgs")
    assert model.converged_
    assert problem.suboptimality(model) <= TARGET
    assert sweeps_to(model, problem) <= limit - 2


@pytest.mark.parametrize(
    "parameters",
    [{}, {"kappa": 1e4}, {"kappa": 1e4, "order": "sorted"}, {"kappa": 1e4, "raw": True}],
    ids=["1e2", "1e4", "1e4 sorted", "1e4 raw"],
)
def test_statistical_precision(parameters):
    """2 S (F - F*) ≤ τ² bounds the error of every coefficient by τ = 0.01 standard errors."""
    problem = dense(0, n=200_000, **parameters)
    model = problem.estimator(tol="statistical").fit(*problem.lazy())
    assert model.converged_
    assert 2 * problem.n * (problem.objective(model.coef_, model.intercept_) - problem.best) <= 1e-4
    assert model.n_sweeps_ <= 5


# -- the measure itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [dense, one_hot, lambda seed, n: sparse_wide(seed, n=n, d=300)])
def test_the_optimum_is_that_of_scikit_learn(make):
    problem = make(0, n=4000)
    other = sklearn.linear_model.LogisticRegression(
        C=1 / (problem.l2 * problem.n), solver="newton-cholesky", tol=1e-9, max_iter=200
    )
    X = problem.X.toarray() if sp.issparse(problem.X) else problem.X
    other.fit(X, problem.y)
    assert abs(problem.suboptimality(other)) < 1e-9


def test_the_optimum_of_a_lasso_is_proven():
    problem = lasso(0, n=4000, d=60)
    coef = np.zeros(60)
    assert duality_gap(problem, coef, 0.0) >= problem.start - problem.best > 0
    model = problem.estimator().fit(*problem.lazy())
    gap = duality_gap(problem, model.coef_[0], model.intercept_[0])
    assert -1e-15 <= problem.objective(model.coef_, model.intercept_) - problem.best <= gap + 1e-15
    assert gap <= 1e-10


def test_sweeps_are_those_of_the_engine():
    """Rows read, divided by the rows there are, count the sweeps of an iteration."""
    problem = dense(0, n=4000)
    model = problem.estimator(solver="lbfgs").fit(*problem.lazy())
    read = model.history_["rows"] / problem.n
    np.testing.assert_array_equal(read, np.round(read))
    needed = sweeps_to(model, problem)
    stopped = problem.estimator(
        solver="lbfgs", max_iter=int(np.searchsorted(np.cumsum(read), needed - 1)) + 1, tol=None
    )
    stopped.fit(*problem.lazy())
    assert stopped.n_sweeps_ == needed
    assert problem.suboptimality(stopped) <= TARGET


@pytest.mark.parametrize("solver", ["newton-cholesky", "preconditioned-lbfgs"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_last_step_without_a_sweep_ends_below_the_precision_of_the_data(solver, seed):
    """In single precision a fit may stop a sweep early: where its last step ends is as near as ever."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20_000, 12)).astype(np.float32)
    y = (X @ rng.normal(size=12) + rng.logistic(size=len(X)) > 0).astype(int)
    single = dask_gd.LogisticRegression(solver=solver).fit(X, y)
    double = dask_gd.LogisticRegression(solver=solver, tol=1e-10).fit(X.astype(np.float64), y)
    assert single.converged_

    def objective(model):
        margins = X.astype(np.float64) @ model.coef_[0] + model.intercept_
        return np.logaddexp(0, np.where(y == 1, -margins, margins)).sum() + 0.5 * (model.coef_**2).sum()

    assert objective(single) - objective(double) <= 1e-9 * objective(double)
