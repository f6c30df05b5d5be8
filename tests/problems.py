"""Data sets on which solvers are counted: seeded, of every difficulty that the sweep counts promise to be free of.

Each :class:`Problem` knows its objective, the optimum F* found by a method that shares no code with the library, and
how near to it a fitted model is. All numbers are float64, whatever X is stored in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import expit
from scipy.stats import random_correlation

TARGET = 1e-6  # relative suboptimality
TOL = 2e-5  # of the estimators: every solver that stops there is within TARGET; what stops at 5e-4 need not be
ROWS = 20_000
CHUNKS = 8
SLICE = 100_000  # rows turned into float64 at a time
DENSE_HESSIAN = 1000  # columns
PROVEN = 1e-10  # relative accuracy of F*, certified


@dataclass(frozen=True)
class Pointwise:
    """ℓ(y, η) with its first two derivatives, written down once more, so that nothing is tested against itself."""

    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    first: Callable[[np.ndarray, np.ndarray], np.ndarray]
    second: Callable[[np.ndarray, np.ndarray], np.ndarray]
    start: Callable[[float], float]  # the margin of the constant model, from the mean of y


def _logistic_second(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    p = expit(eta)
    return p * (1 - p)


def _poisson_value(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    return np.exp(eta) - y * eta - y + y * np.log(np.where(y > 0, y, 1.0))


LOSSES = {
    "logistic": Pointwise(
        lambda y, eta: np.logaddexp(0.0, eta) - y * eta,
        lambda y, eta: expit(eta) - y,
        _logistic_second,
        lambda mean: float(np.log(mean / (1 - mean))),
    ),
    "poisson": Pointwise(
        _poisson_value, lambda y, eta: np.exp(eta) - y, lambda y, eta: np.exp(eta), lambda mean: float(np.log(mean))
    ),
    "gamma": Pointwise(
        lambda y, eta: y * np.exp(-eta) - 1 - np.log(y) + eta,
        lambda y, eta: 1 - y * np.exp(-eta),
        lambda y, eta: y * np.exp(-eta),
        lambda mean: float(np.log(mean)),
    ),
}


@dataclass
class Problem:
    """min (1/n) Σ ℓ(y, x·w + b) + l2/2 ‖w‖² + l1 ‖w‖₁.

    ``zero_start``: the fit begins at w = 0, b = 0 and not at the constant model, and F_0 is meant there.
    """

    name: str
    loss: str
    X: Any  # (n, d) array or CSR array
    y: np.ndarray
    l2: float
    l1: float = 0.0
    zero_start: bool = False

    @property
    def n(self) -> int:
        return int(self.X.shape[0])

    def lazy(self, chunks: int = CHUNKS) -> tuple[Any, Any]:
        """X and y as dask arrays of ``chunks`` row chunks."""
        import dask.array as da

        rows = -(-self.n // chunks)
        y = da.from_array(self.y, chunks=rows)
        if not sp.issparse(self.X):
            return da.from_array(self.X, chunks=(rows, -1)), y
        parts = [self.X[i : i + rows] for i in range(0, self.n, rows)]
        return da.concatenate([da.from_array(part, chunks=part.shape) for part in parts]), y

    def estimator(self, **parameters: Any) -> Any:
        """The library's estimator of this objective."""
        import dask_gd

        if self.loss == "logistic":
            strength = self.l1 + self.l2
            return dask_gd.LogisticRegression(C=1 / (strength * self.n), l1_ratio=self.l1 / strength, **parameters)
        cls = {"poisson": dask_gd.PoissonRegressor, "gamma": dask_gd.GammaRegressor}[self.loss]
        model = cls(alpha=self.l2, warm_start=self.zero_start, **parameters)
        if self.zero_start:
            model.coef_, model.intercept_ = np.zeros(self.X.shape[1]), 0.0
        return model

    # -- the objective -------------------------------------------------------------------------------------------

    def objective(self, coef: Any, intercept: Any) -> float:
        """F(w, b) in float64."""
        w = np.ravel(np.asarray(coef, dtype=np.float64))
        b = float(np.ravel(intercept)[0])
        value = LOSSES[self.loss].value
        total = sum(float(value(y, X @ w + b).sum()) for X, y in self._slices())
        return total / self.n + 0.5 * self.l2 * float(w @ w) + self.l1 * float(np.abs(w).sum())

    @cached_property
    def start(self) -> float:
        """F_0, where a fit begins."""
        b = 0.0 if self.zero_start else LOSSES[self.loss].start(float(self.y.mean()))
        return self.objective(np.zeros(self.X.shape[1]), b)

    @cached_property
    def best(self) -> float:
        """F*, certified to ``PROVEN`` (F_0 - F*)."""
        return self.objective(*(_lasso(self) if self.l1 else _newton(self)))

    def relative(self, value: Any) -> Any:
        """(F - F*) / (F_0 - F*) of objective values."""
        return (value - self.best) / (self.start - self.best)

    def suboptimality(self, model: Any) -> float:
        """The same of a fitted model."""
        return float(self.relative(self.objective(model.coef_, model.intercept_)))

    def _slices(self) -> Iterator[tuple[Any, np.ndarray]]:
        for start in range(0, self.n, SLICE):
            rows = slice(start, start + SLICE)
            yield self.X[rows].astype(np.float64), self.y[rows].astype(np.float64)


def sweeps_to(model: Any, problem: Problem, target: float = TARGET) -> int | None:
    """Sweeps after which a fit was within ``target`` of the optimum; None if it never was.

    From the rows that each iteration read; what was read before the first (moments, a sample) counts from the start.
    """
    read = np.cumsum(model.history_["rows"]) / problem.n
    before = model.n_sweeps_ - (read[-1] if len(read) else 0)
    near = np.flatnonzero(problem.relative(model.history_["objective"]) <= target)
    if len(near):
        return round(before + read[near[0]])
    return model.n_sweeps_ if problem.suboptimality(model) <= target else None


# -- the optimum -----------------------------------------------------------------------------------------------------


class _Scaled:
    """The smooth part of F in columns of unit spread, so that the linear algebra below is well conditioned."""

    def __init__(self, problem: Problem, columns: np.ndarray | None = None) -> None:
        self.problem = problem
        self.loss = LOSSES[problem.loss]
        X = problem.X if columns is None else problem.X[:, columns]
        self.n, self.d = X.shape
        if sp.issparse(X):  # a shift would fill it
            self.mean = np.zeros(self.d)
            square = np.asarray(X.power(2).mean(axis=0)).ravel() - np.asarray(X.mean(axis=0)).ravel() ** 2
            self.std = np.sqrt(square)
        else:
            self.mean, self.std = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
        self.std = np.where(self.std > 0, self.std, 1.0)
        self.columns = columns
        self.parts = [self._scale(Xi) for Xi, _ in problem._slices()]

    def _scale(self, X: Any) -> Any:
        X = X if self.columns is None else X[:, self.columns]
        return sp.csr_array(X @ sp.diags_array(1 / self.std)) if sp.issparse(X) else (X - self.mean) / self.std

    def _rows(self) -> Iterator[tuple[Any, np.ndarray]]:
        for X, (_, y) in zip(self.parts, self.problem._slices(), strict=True):
            yield X, y

    def value(self, u: np.ndarray) -> float:
        with np.errstate(over="ignore"):
            total = sum(float(self.loss.value(y, X @ u[:-1] + u[-1]).sum()) for X, y in self._rows())
        return total / self.n + 0.5 * float(self.curvature @ u[:-1] ** 2)

    @property
    def curvature(self) -> np.ndarray:
        """Of the L2 penalty."""
        return self.problem.l2 / self.std**2

    def gradient(self, u: np.ndarray) -> np.ndarray:
        grad = np.zeros(self.d + 1)
        for X, y in self._rows():
            first = self.loss.first(y, X @ u[:-1] + u[-1])
            grad += np.append(X.T @ first, first.sum())
        grad /= self.n
        grad[:-1] += self.curvature * u[:-1]
        return grad

    def hessian(self, u: np.ndarray) -> np.ndarray:
        hess = np.zeros((self.d + 1, self.d + 1))
        for X, y in self._rows():
            second = self.loss.second(y, X @ u[:-1] + u[-1])
            if sp.issparse(X):
                A = sp.diags_array(np.sqrt(second)) @ X
                hess[:-1, :-1] += (A.T @ A).toarray()
            else:
                A = np.sqrt(second)[:, None] * X
                hess[:-1, :-1] += A.T @ A
            hess[-1, :-1] += X.T @ second
            hess[-1, -1] += second.sum()
        hess[:-1, -1] = hess[-1, :-1]
        hess /= self.n
        hess[np.arange(self.d), np.arange(self.d)] += self.curvature
        return hess

    def newton_move(self, u: np.ndarray, grad: np.ndarray, share: float) -> np.ndarray:
        """-H⁻¹ grad: by eigenvalues, or by conjugate gradients to a residual of ``share`` where H is large."""
        if self.d <= DENSE_HESSIAN:
            values, vectors = scipy.linalg.eigh(self.hessian(u))
            kept = values > 1e-14 * values[-1]  # columns that add up to another leave the model free to choose
            return np.asarray(-vectors[:, kept] @ ((vectors[:, kept].T @ grad) / values[kept]))
        second = [self.loss.second(y, X @ u[:-1] + u[-1]) for X, y in self._rows()]
        diagonal = np.append(self.curvature, 0.0)
        for X, h in zip(self.parts, second, strict=True):
            diagonal += np.append(X.power(2).T @ h, h.sum()) / self.n

        def product(v: np.ndarray) -> np.ndarray:
            out = np.append(self.curvature * v[:-1], 0.0)
            for X, h in zip(self.parts, second, strict=True):
                inner = h * (X @ v[:-1] + v[-1])
                out += np.append(X.T @ inner, inner.sum()) / self.n
            return out

        shape = (self.d + 1, self.d + 1)
        hess, jacobi = LinearOperator(shape, product), LinearOperator(shape, lambda v: v / diagonal)
        return np.asarray(cg(hess, -grad, rtol=share, maxiter=5000, M=jacobi)[0])

    def model(self, u: np.ndarray) -> tuple[np.ndarray, float]:
        w = u[:-1] / self.std
        return w, float(u[-1] - self.mean @ w)


def _descend(smooth: _Scaled, u: np.ndarray, tilt: np.ndarray | None = None) -> np.ndarray:
    """Newton's method with halved steps for F + tilt·u, until the decrement is rounding."""
    tilt = np.zeros(len(u)) if tilt is None else tilt
    value = start = smooth.value(u) + tilt @ u
    first = float(np.linalg.norm(smooth.gradient(u) + tilt))
    for _ in range(100):
        grad = smooth.gradient(u) + tilt
        move = smooth.newton_move(u, grad, min(0.1, float(np.linalg.norm(grad)) / first))
        fall = -0.5 * grad @ move
        step = 1.0
        while True:
            new = u + step * move
            there = smooth.value(new) + tilt @ new
            if there <= value - 0.5 * step * fall or step < 1e-8:
                break
            step /= 2
        if fall <= 1e-13 * max(start - value, 1e-3 * abs(start)):
            return new if there <= value else u
        if step < 1e-8:
            break
        u, value = new, there
    raise RuntimeError(f"no reference optimum of {smooth.problem.name}: decrement {fall:.1e}")


def _newton(problem: Problem) -> tuple[np.ndarray, float]:
    smooth = _Scaled(problem)
    u = np.zeros(smooth.d + 1)
    u[-1] = LOSSES[problem.loss].start(float(problem.y.mean()))
    return smooth.model(_descend(smooth, u))


def _lasso(problem: Problem) -> tuple[np.ndarray, float]:
    """L-BFGS-B on w = w⁺ - w⁻ finds the support, Newton on the support the digits, the duality gap the proof."""
    smooth = _Scaled(problem)
    d, weight = smooth.d, problem.l1 / smooth.std
    if problem.l2 or problem.loss != "logistic":
        raise NotImplementedError("a reference optimum of L1 is at hand for the lasso-penalised logistic loss only")

    def split(v: np.ndarray) -> tuple[float, np.ndarray]:
        u = np.append(v[:d] - v[d:-1], v[-1])
        grad = smooth.gradient(u)
        value = smooth.value(u) + float(weight @ (v[:d] + v[d:-1]))
        return value, np.concatenate([grad[:-1] + weight, weight - grad[:-1], grad[-1:]])

    v = np.zeros(2 * d + 1)
    v[-1] = LOSSES[problem.loss].start(float(problem.y.mean()))
    bounds = [(0, None)] * (2 * d) + [(None, None)]
    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 30}
    v = minimize(split, v, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    u = np.append(v[:d] - v[d:-1], v[-1])
    support = np.abs(u[:-1]) > 1e-7
    for _ in range(30):
        signs = np.sign(u[:-1][support])
        part = _Scaled(problem, np.flatnonzero(support))
        found = _descend(part, np.append(u[:-1][support], u[-1]), np.append(weight[support] * signs, 0.0))
        new = np.zeros(d + 1)
        new[:-1][support], new[-1] = found[:-1], found[-1]
        slack = np.abs(smooth.gradient(new)[:-1]) - weight
        crossed = support & (np.sign(new[:-1]) != np.sign(u[:-1]))
        entering = ~support & (slack > 1e-9 * weight)
        u = np.where(np.append(crossed, False), 0.0, new)
        if not crossed.any() and not entering.any():
            break
        u[:-1][entering] = -1e-12 * np.sign(smooth.gradient(new)[:-1][entering])
        support = (support & ~crossed) | entering
    coef, intercept = smooth.model(u)
    gap = duality_gap(problem, coef, intercept)
    if gap > PROVEN * (problem.start - problem.objective(coef, intercept)):
        raise RuntimeError(f"no reference optimum of {problem.name}: duality gap {gap:.1e}")
    return coef, intercept


def duality_gap(problem: Problem, coef: np.ndarray, intercept: float) -> float:
    """An upper bound of F - F* of the lasso-penalised logistic loss, at the best intercept for ``coef``."""
    eta = np.concatenate([X @ coef + intercept for X, _ in problem._slices()])
    y = problem.y.astype(np.float64)
    residual = expit(eta) - y
    for _ in range(3):  # a dual point must be orthogonal to the intercept
        p = expit(eta)
        eta -= (p - y).sum() / (p * (1 - p)).sum()
        residual = expit(eta) - y
    slope = np.zeros(problem.X.shape[1])
    first = 0
    for X, _ in problem._slices():
        slope += X.T @ residual[first : first + X.shape[0]]
        first += X.shape[0]
    shrink = min(1.0, problem.l1 * problem.n / max(float(np.abs(slope).max()), 1e-300))
    q = np.clip(y + shrink * residual, 1e-300, 1.0)
    entropy = np.where(q < 1, q * np.log(q) + (1 - q) * np.log1p(-np.minimum(q, 1 - 1e-16)), 0.0).sum() / problem.n
    return problem.objective(coef, intercept) + float(entropy)


# -- the data --------------------------------------------------------------------------------------------------------


def correlated(n: int, d: int, kappa: float, seed: int, dtype: Any = np.float64) -> np.ndarray:
    """(n, d) standard normal columns whose correlation matrix has condition number ``kappa``, log-spaced spectrum.

    Rows come in pieces with seeds of their own: the first rows of a larger set are those of a smaller one.
    """
    root = _root(d, kappa, seed)
    X = np.empty((n, d), dtype)
    for start in range(0, n, ROWS):
        rows = np.random.default_rng([seed, start]).standard_normal((ROWS, d))[: n - start]
        X[start : start + ROWS] = rows @ root
    return X


def _root(d: int, kappa: float, seed: int) -> np.ndarray:
    """R of the correlation matrix RᵀR."""
    spectrum = np.logspace(0, -np.log10(kappa), d)
    return np.linalg.cholesky(random_correlation.rvs(spectrum * d / spectrum.sum(), random_state=seed, tol=1e-8)).T


def _labels(eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(len(eta)) < expit(eta)).astype(np.int64)


def _margins(X: Any, w: np.ndarray, spread: float) -> np.ndarray:
    """X w scaled to a standard deviation."""
    eta = np.asarray(X @ w, dtype=np.float64)
    return spread * (eta - eta.mean()) / eta.std()


def dense(
    seed: int,
    *,
    n: int = ROWS,
    d: int = 50,
    kappa: float = 1e2,
    order: str = "shuffled",
    raw: bool = False,
    l2: float = 1e-6,
    dtype: Any = np.float64,
) -> Problem:
    """Correlated columns; ``order`` "sorted": by label; ``raw``: of scales 1e-2 to 1e2 and means of up to 3 spreads.

    Every eigendirection has an equal share of the signal, and the penalty is small enough to leave κ as it is.
    """
    rng = np.random.default_rng([seed, 1])
    X = correlated(n, d, kappa, seed, dtype)
    w = scipy.linalg.solve_triangular(_root(d, kappa, seed), rng.standard_normal(d))
    y = _labels(_margins(X, w, 1.5) + 0.3, rng)
    if raw:
        scale, shift = 10.0 ** rng.permutation(np.linspace(-2, 2, d)), rng.uniform(-3, 3, d)
        X = ((X + shift) * scale).astype(dtype)
    if order == "sorted":
        rows = np.argsort(y, kind="stable")
        X, y = X[rows], y[rows]
    return Problem(f"dense d={d} κ={kappa:.0e} {order}{' raw' if raw else ''}", "logistic", X, y, l2)


LEVELS = (2, 3, 5, 8, 10, 14, 18, 24, 32, 44, 60, 80)  # of twelve categories: 300 columns


def one_hot(
    seed: int, *, n: int = ROWS, l2: float = 1e-5, l1_share: float = 0.0, sparse: bool = False, dtype: Any = np.float64
) -> Problem:
    """Twelve categories of skewed levels, one-hot: 300 columns, twelve ones a row, the rarest in a few rows."""
    rng = np.random.default_rng([seed, 2])
    columns, first = [], 0
    for levels in LEVELS:
        share = np.arange(1, levels + 1) ** -1.4
        columns.append(first + rng.choice(levels, size=n, p=rng.permutation(share / share.sum())))
        first += levels
    index = np.stack(columns, axis=1).astype(np.int32)
    data, indptr = np.ones(index.size, dtype), np.arange(0, index.size + 1, len(LEVELS))
    X: Any = sp.csr_array((data, index.ravel(), indptr), shape=(n, first))
    y = _labels(_margins(X, rng.standard_normal(first), 1.5) - 1.0, rng)
    X = X if sparse else X.toarray()
    return _with_l1("one-hot d=300", X, y, l2, l1_share)


def sparse_wide(
    seed: int, *, n: int = ROWS, d: int = 4000, entries: int = 40, l2: float = 1e-5, heavy: bool = False
) -> Problem:
    """CSR rows of about ``entries`` non-zeros from one of twenty topics, column frequencies by Zipf's law.

    Rare columns matter as much as frequent ones. ``heavy``: steeper frequencies, and values with a heavy tail.
    """
    rng = np.random.default_rng([seed, 3])
    share = np.arange(1.0, d + 1) ** (-1.2 if heavy else -1.0)
    share /= share.sum()
    index, topic = np.empty((n, entries), np.int32), rng.integers(0, 20, n)
    for t in range(20):
        rows, of_topic = np.flatnonzero(topic == t), share * rng.lognormal(0.0, 1.5, d)
        index[rows] = rng.choice(d, size=(len(rows), entries), p=of_topic / of_topic.sum())
    data = rng.lognormal(0.0, 1.0, index.size) if heavy else rng.exponential(size=index.size)
    X = sp.csr_array((data, index.ravel(), np.arange(0, index.size + 1, entries)), shape=(n, d))
    X.sum_duplicates()
    y = _labels(_margins(X, rng.standard_normal(d) / np.sqrt(share), 1.5), rng)
    return Problem(f"sparse d={d}{' heavy' if heavy else ''}", "logistic", X, y, l2)


def lasso(seed: int, *, n: int = ROWS, d: int = 300, kappa: float = 1e2, l1_share: float = 0.02) -> Problem:
    """Correlated columns of which 20 matter; the L1 penalty a share of the one that leaves no column."""
    rng = np.random.default_rng([seed, 4])
    X = correlated(n, d, kappa, seed)
    w = np.zeros(d)
    w[rng.choice(d, 20, replace=False)] = rng.standard_normal(20)
    return _with_l1(f"lasso d={d}", X, _labels(_margins(X, w, 1.5) + 0.3, rng), 0.0, l1_share)


def _with_l1(name: str, X: Any, y: np.ndarray, l2: float, share: float) -> Problem:
    if not share:
        return Problem(name, "logistic", X, y, l2)
    largest = float(np.abs(X.T @ (y - y.mean())).max()) / len(y)
    return Problem(name, "logistic", X, y, 0.0, share * largest)


def counts(seed: int, *, loss: str = "poisson", n: int = ROWS, d: int = 30, zero_start: bool = False) -> Problem:
    """Poisson or gamma targets, log link; columns of scales 1e-2 to 1e2, off centre, with rows far from the rest."""
    rng = np.random.default_rng([seed, 5])
    X = correlated(n, d, 1e2, seed)
    X *= np.sqrt(5 / rng.chisquare(5, size=(n, 1)))  # Student's t: a full step overshoots where the mean is an exp
    eta = np.clip(_margins(X, rng.standard_normal(d), 0.8), -6, 6) + 3.0
    X = (X + rng.uniform(-3, 3, d)) * 10.0 ** rng.permutation(np.linspace(-2, 2, d))
    mean = np.exp(eta)
    y = rng.poisson(mean).astype(float) if loss == "poisson" else rng.gamma(2.0, mean / 2.0) + 1e-9
    return Problem(f"{loss} raw{' from zero' if zero_start else ''}", loss, X, y, 1e-6, zero_start=zero_start)


def squared(seed: int, *, n: int = ROWS, d: int = 50, kappa: float = 1e2) -> tuple[np.ndarray, np.ndarray]:
    """X and a real target, for the models of the squared loss, whose optimum is a line of algebra."""
    rng = np.random.default_rng([seed, 6])
    X = correlated(n, d, kappa, seed)
    return X, _margins(X, rng.standard_normal(d), 1.0) + rng.standard_normal(n) + 2.0
