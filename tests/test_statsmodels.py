"""Parity with statsmodels' GLM: every family with every link that both have.

Targets are drawn from the model itself, so that every margin of the minimum lies inside the link's domain. statsmodels
starts at the true coefficients and runs to a tight tolerance; both deviances come from its own family.
"""

import warnings
from typing import NamedTuple

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from statsmodels.genmod.families import links
from statsmodels.tools.sm_exceptions import DomainWarning

from dask_gd import DataError, GeneralizedLinearRegressor
from dask_gd.losses import GeneralizedLinear
from dask_gd.losses.families import Binomial, NegativeBinomial, Tweedie

N = 400
UNITS = np.array([1.0, 30.0, 0.1, 5.0])  # of the columns
SM_LINKS = {
    "identity": links.Identity,
    "log": links.Log,
    "inverse": links.InversePower,
    "inverse_squared": links.InverseSquared,
    "sqrt": links.Sqrt,
    "logit": links.Logit,
    "probit": links.Probit,
    "cloglog": links.CLogLog,
}


class Case(NamedTuple):
    """A family with a link; ``number`` is the Tweedie power or the negative binomial's theta."""

    family: str
    link: str | float
    number: float = 0.0
    shares: bool = False  # binomial: shares of several trials, not 0 and 1

    def __str__(self):
        parts = [self.family, str(self.link), f"{self.number:g}" * bool(self.number), "shares" * self.shares]
        return "-".join(filter(None, parts))

    @property
    def real(self):
        """Every margin is inside the domain."""
        return self.link in ("log", "logit", "probit", "cloglog") or (self.family, self.link) == ("normal", "identity")

    @property
    def sm_link(self):
        return links.Power(self.link) if isinstance(self.link, float) else SM_LINKS[self.link]()

    @property
    def sm_family(self):
        known = sm.families
        more = {}
        if self.family == "tweedie":
            more = {"var_power": self.number}
        elif self.family == "negative_binomial":
            more = {"alpha": self.number}
        factory = {
            "normal": known.Gaussian,
            "poisson": known.Poisson,
            "gamma": known.Gamma,
            "inverse_gaussian": known.InverseGaussian,
            "tweedie": known.Tweedie,
            "negative_binomial": known.NegativeBinomial,
            "binomial": known.Binomial,
        }[self.family]
        return factory(link=self.sm_link, check_link=False, **more)

    def ours(self, **parameters):
        """Our estimator."""
        if self.family == "tweedie":
            parameters["power"] = self.number
        elif self.family == "negative_binomial":
            parameters["theta"] = self.number
        return GeneralizedLinearRegressor(family=self.family, link=self.link, alpha=0.0, **parameters)

    def draw(self, rng, mean, trials):
        """Targets of these means."""
        if self.family == "normal":
            return mean + 0.1 * rng.normal(size=len(mean))
        if self.family == "poisson":
            return rng.poisson(mean).astype(float)
        if self.family == "gamma":
            return rng.gamma(4.0, mean / 4)
        if self.family == "inverse_gaussian":
            return rng.wald(mean, 8.0)
        if self.family == "negative_binomial":
            return rng.negative_binomial(1 / self.number, 1 / (1 + self.number * mean)).astype(float)
        if self.family == "binomial":
            return rng.binomial(trials, mean) / trials
        p, dispersion = self.number, 0.5
        if p > 2:  # no distribution that is easy to draw from: the gamma of the same variance
            shape = mean ** (2 - p) / dispersion
            return rng.gamma(shape, mean / shape)
        jumps = rng.poisson(mean ** (2 - p) / (dispersion * (2 - p)))
        size = dispersion * (p - 1) * mean ** (p - 1)
        return rng.gamma(np.maximum(jumps, 1) * (2 - p) / (p - 1), size) * (jumps > 0)


CASES = [
    *(Case("normal", link) for link in ("identity", "log", "inverse")),
    *(Case("poisson", link) for link in ("log", "identity", "sqrt")),
    *(Case("gamma", link) for link in ("log", "inverse", "identity")),
    *(Case("inverse_gaussian", link) for link in ("inverse_squared", "inverse", "log", "identity")),
    *(Case("tweedie", "log", power) for power in (1.3, 1.5, 2.5)),
    *(Case("negative_binomial", link, theta) for theta in (0.5, 2.0) for link in ("log", "identity", "sqrt")),
    *(Case("binomial", link, 0.0, shares) for link in ("logit", "probit", "cloglog") for shares in (False, True)),
    *(
        Case(family, power, number)
        for power in (0.5, -1.0, 0.75)
        for family, number in (
            ("normal", 0.0),
            ("poisson", 0.0),
            ("gamma", 0.0),
            ("inverse_gaussian", 0.0),
            ("tweedie", 1.5),
            ("negative_binomial", 0.5),
        )
    ),
]


class Data(NamedTuple):
    """What a model is fitted to, and the coefficients it was drawn with."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    offset: np.ndarray | None
    truth: np.ndarray  # an intercept first, where there is one


def generate(case, *, weighted=False, offset=False, intercept=True, d=4, seed=0, holes=False):
    """N rows drawn from the model; ``offset`` may be the offset itself, ``holes`` makes a third of X zeros."""
    rng = np.random.default_rng(seed)
    if case.real:
        X, coef, b = rng.normal(size=(N, d)) + 0.3, np.array([0.5, -0.4, 0.2, 0.3])[:d], 0.4 * intercept
    else:
        X, coef, b = rng.uniform(0.3, 1.3, size=(N, d)), np.array([0.6, 0.9, 0.3, 0.5])[:d], 0.5 * intercept
    if holes:
        X = X * (rng.random(X.shape) < 0.67)
    given = offset if isinstance(offset, np.ndarray) else None
    if offset is True:
        given = 0.4 * rng.normal(size=N) if case.real else rng.uniform(0.1, 0.5, size=N)
    mean = case.sm_family.link.inverse(X @ coef + b + (0.0 if given is None else given))
    trials = rng.integers(1, 12, size=N) if case.shares else np.ones(N, dtype=int)
    y = case.draw(rng, mean, trials)
    weight = trials.astype(float) if case.shares else None
    if weighted:
        prior = rng.exponential(size=N) + 0.1
        prior[::7] = 0
        weight = prior * trials
    truth = np.concatenate([[b] if intercept else [], coef / UNITS[:d]])
    return Data(X * UNITS[:d], y, weight, given, truth)


def statsmodels_fit(case, data, *, intercept=True):
    """Coefficients, intercept, deviance as a function of means and its minimum, without the rows of weight zero."""
    used = np.ones(len(data.y), dtype=bool) if data.weight is None else data.weight > 0
    X, y, weight, offset = (None if a is None else a[used] for a in data[:4])
    weight = np.ones(len(y)) if weight is None else weight
    family = case.sm_family
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)  # says that a link is not defined everywhere
        model = sm.GLM(
            y, sm.add_constant(X, has_constant="add") if intercept else X, family, offset=offset, var_weights=weight
        )
    start = np.asarray(data.truth, dtype=float)
    params = model.fit(start_params=start, maxiter=300, tol=1e-13, tol_criterion="params").params
    for _ in range(5):  # Fisher scoring may be slow where the link is not canonical: Newton's steps end it
        step = np.linalg.solve(model.hessian(params, scale=1.0, observed=True), model.score(params, scale=1.0))
        params = params - step
    np.testing.assert_allclose(step * np.maximum(np.std(model.exog, axis=0), 0.1), 0, atol=1e-10)
    b, coef = (params[0], params[1:]) if intercept else (0.0, params)

    def deviance(mean):
        return family.deviance(y, np.asarray(mean)[used], var_weights=weight)

    eta = data.X @ coef + b + (0.0 if data.offset is None else data.offset)
    return coef, b, deviance, deviance(family.link.inverse(eta))


def check_parity(case, data, ours, *, intercept=True, mean=None, coefficients=True):
    """A deviance that is no higher, and coefficients within 1e-7 in units of unit spread."""
    coef, b, deviance, best = statsmodels_fit(case, data, intercept=intercept)
    assert ours.converged_
    assert deviance(ours.predict(data.X, data.offset) if mean is None else mean) <= best * (1 + 1e-9)
    if not coefficients:
        return
    spread = data.X.std(axis=0)
    np.testing.assert_allclose(ours.coef_ * spread, coef * spread, rtol=0, atol=1e-7)
    np.testing.assert_allclose(ours.intercept_, b, rtol=0, atol=1e-7)


# -- every family with every link ------------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [True, False], ids=["intercept", "no intercept"])
@pytest.mark.parametrize("offset", [False, True], ids=["", "offset"])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_parity(case, weighted, offset, intercept):
    data = generate(case, weighted=weighted, offset=offset, intercept=intercept)
    ours = case.ours(fit_intercept=intercept, tol=1e-10).fit(data.X, data.y, data.weight, data.offset)
    check_parity(case, data, ours, intercept=intercept)


@pytest.mark.parametrize("intercept", [True, False], ids=["intercept", "no intercept"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_deviance_at_the_default_tolerance(case, intercept):
    data = generate(case, weighted=True, offset=True, intercept=intercept, seed=1)
    ours = case.ours(fit_intercept=intercept).fit(data.X, data.y, data.weight, data.offset)
    check_parity(case, data, ours, intercept=intercept, coefficients=False)


@pytest.mark.parametrize("solver", ["lbfgs", "prox-newton", "fista"])
@pytest.mark.parametrize(
    "case",
    [
        Case("poisson", "log"),
        Case("poisson", "identity"),
        Case("gamma", "log"),
        Case("gamma", "inverse"),
        Case("inverse_gaussian", "log"),
        Case("tweedie", "log", 1.5),
        Case("negative_binomial", "sqrt", 2.0),
        Case("binomial", "cloglog", 0.0, True),
    ],
    ids=str,
)
def test_every_solver_finds_the_same_minimum(case, solver):
    data = generate(case, weighted=True, offset=True)
    ours = case.ours(solver=solver, tol=1e-10, max_iter=20_000).fit(data.X, data.y, data.weight, data.offset)
    check_parity(case, data, ours)


# -- dask input ------------------------------------------------------------------------------------------------------

ROWS = (0, 130, 1, 169, 100)


def lazy(a):
    return None if a is None else da.from_array(a, chunks=(ROWS, *a.shape[1:]))


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize(
    "case",
    [
        Case("normal", "log"),
        Case("poisson", "log"),
        Case("gamma", "inverse"),
        Case("inverse_gaussian", "inverse_squared"),
        Case("tweedie", "log", 1.5),
        Case("negative_binomial", "identity", 0.5),
        Case("binomial", "probit", 0.0, True),
        Case("poisson", 0.75),
    ],
    ids=str,
)
def test_dask_blocks(case, sparse):
    data = generate(case, weighted=True, offset=True, holes=True, seed=3)
    X = lazy(data.X)
    if sparse:
        X = X.map_blocks(sp.csr_matrix)
    ours = case.ours().fit(X, lazy(data.y), lazy(data.weight), lazy(data.offset))
    mean = ours.predict(X, lazy(data.offset)).compute()
    check_parity(case, data, ours, mean=mean)


# -- where a fit starts ----------------------------------------------------------------------------------------------

POSITIVE = [
    Case("normal", "inverse"),
    Case("poisson", "identity"),
    Case("poisson", "sqrt"),
    Case("gamma", "inverse"),
    Case("gamma", "identity"),
    Case("inverse_gaussian", "inverse_squared"),
    Case("inverse_gaussian", "identity"),
    Case("negative_binomial", "identity", 0.5),
    Case("negative_binomial", "sqrt", 2.0),
    Case("poisson", 0.75),
]


@pytest.mark.parametrize("case", POSITIVE, ids=str)
def test_start_without_an_intercept_and_an_offset_below_the_domain(case):
    """At zero coefficients every margin is negative: the fit must first find its way inside."""
    data = generate(case, offset=np.random.default_rng(5).uniform(-0.5, -0.1, size=N), intercept=False)
    ours = case.ours(fit_intercept=False, tol=1e-10).fit(data.X, data.y, offset=data.offset)
    check_parity(case, data, ours, intercept=False)


@pytest.mark.parametrize("case", POSITIVE, ids=str)
def test_start_with_an_offset_wider_than_the_domain(case):
    """The constant model has margins on both sides of zero; a column outweighs the offset."""
    offset = np.random.default_rng(5).uniform(-4, 4, size=N)
    plain = generate(case)
    X = np.column_stack([plain.X, 0.2 * np.random.default_rng(6).normal(size=N) - offset])
    truth = np.append(plain.truth, 1.0)
    eta = X @ truth[1:] + truth[0] + offset
    assert eta.min() > 0.3
    y = case.draw(np.random.default_rng(7), case.sm_family.link.inverse(eta), None)
    data = Data(X, y, None, offset, truth)
    check_parity(case, data, case.ours(tol=1e-10).fit(X, y, offset=offset))


@pytest.mark.parametrize(
    "case",
    [
        Case("gamma", "identity"),
        Case("poisson", "identity"),
        Case("negative_binomial", "identity", 0.5),
        pytest.param(Case("gamma", 0.5)),
        pytest.param(Case("inverse_gaussian", "identity")),
        pytest.param(Case("inverse_gaussian", 0.5)),
    ],
    ids=str,
)
def test_start_that_touches_the_border_of_the_domain(case):
    """An offset next to zero: zero coefficients are inside, by a hair, and the objective there is astronomic."""
    offset = np.random.default_rng(5).uniform(0.1, 0.5, size=N)
    offset[0] = 1e-8
    data = generate(case, offset=offset, intercept=False)
    ours = case.ours(fit_intercept=False).fit(data.X, data.y, offset=offset)
    check_parity(case, data, ours, intercept=False, coefficients=False)


@pytest.mark.parametrize(
    ("case", "width"),
    [
        (Case("poisson", "log"), 15),
        (Case("gamma", "log"), 15),
        (Case("tweedie", "log", 1.5), 25),
        (Case("tweedie", "log", 2.5), 15),
        (Case("normal", "log"), 8),
        (Case("inverse_gaussian", "log"), 8),
        (Case("binomial", "logit"), 25),
        (Case("binomial", "probit"), 25),
        (Case("binomial", "cloglog"), 25),
        pytest.param(Case("normal", "log"), 15),
        pytest.param(Case("inverse_gaussian", "log"), 15),
        pytest.param(Case("tweedie", "log", 2.5), 25),
        pytest.param(Case("negative_binomial", "log", 0.5), 8),
        pytest.param(Case("negative_binomial", "log", 0.5), 15),
        pytest.param(Case("poisson", "log"), 25),
        pytest.param(Case("gamma", "log"), 25),
    ],
    ids=str,
)
def test_an_offset_that_a_column_takes_back(case, width):
    """Margins from -width to width at the start, all of them near zero at the minimum."""
    offset = np.random.default_rng(5).uniform(-width, width, size=N)
    plain = generate(case)
    X = np.column_stack([plain.X, 0.2 * np.random.default_rng(6).normal(size=N) - offset])
    truth = np.append(plain.truth, 1.0)
    mean = case.sm_family.link.inverse(X @ truth[1:] + truth[0] + offset)
    data = Data(X, case.draw(np.random.default_rng(7), mean, np.ones(N, dtype=int)), None, offset, truth)
    check_parity(case, data, case.ours().fit(X, data.y, offset=offset), coefficients=False)


@pytest.mark.parametrize(
    "loss",
    [
        GeneralizedLinear(Tweedie(1.5), "log"),
        GeneralizedLinear(Tweedie(1.0), "sqrt"),
        GeneralizedLinear(Tweedie(2.0), "inverse"),
        GeneralizedLinear(Tweedie(3.0), "inverse_squared"),
        *(Binomial(link) for link in ("logit", "probit", "cloglog")),
        pytest.param(GeneralizedLinear(Tweedie(1.0), "log")),
        pytest.param(GeneralizedLinear(Tweedie(2.0), "log")),
        pytest.param(GeneralizedLinear(NegativeBinomial(0.5), "log")),
    ],
    ids=str,
)
def test_the_second_derivative_of_a_convex_loss_is_never_negative(loss):
    assert loss.convex
    eta = np.linspace(-60, 60, 2400)
    for y in (0.25, 1.0, 3.0, 7.0):
        inside = eta[loss.margins.holds(eta)]
        if loss.targets.holds(np.array([y])).all():
            assert (loss.derivatives(np.full_like(inside, y), inside, 2).second >= 0).all()


@pytest.mark.parametrize("exposure", [1e-4, 1e4])
@pytest.mark.parametrize(
    "case",
    [Case("poisson", "log"), Case("gamma", "log"), Case("tweedie", "log", 1.5), Case("negative_binomial", "log", 0.5)],
    ids=str,
)
def test_start_far_from_the_minimum(case, exposure):
    """An offset that is far from zero on average: the mean of y says nothing about the intercept."""
    offset = np.log(exposure) + 0.3 * np.random.default_rng(5).normal(size=N)
    plain = generate(case)
    truth = plain.truth.copy()
    truth[0] -= np.log(exposure)
    mean = np.exp(plain.X @ truth[1:] + truth[0] + offset)
    data = Data(plain.X, case.draw(np.random.default_rng(7), mean, None), None, offset, truth)
    check_parity(case, data, case.ours().fit(data.X, data.y, offset=offset))


@pytest.mark.parametrize("case", POSITIVE, ids=str)
def test_rows_of_weight_zero_may_lie_outside_the_domain(case):
    data = generate(case, weighted=True)
    X = data.X.copy()
    X[data.weight == 0] *= -10
    ours = case.ours().fit(X, data.y, data.weight)
    coef, b, _, _ = statsmodels_fit(case, data)
    np.testing.assert_allclose(ours.coef_ * data.X.std(axis=0), coef * data.X.std(axis=0), rtol=0, atol=1e-7)
    assert ours.intercept_ == pytest.approx(b, abs=1e-7)


@pytest.mark.parametrize("case", POSITIVE, ids=str)
def test_no_start_exists(case):
    """Rows x and -x without an intercept: no coefficients make both margins positive."""
    data = generate(case, intercept=False)
    X, y = np.vstack([data.X, -data.X]), np.concatenate([data.y, data.y])
    with pytest.raises(ValueError, match="domain"):
        case.ours(fit_intercept=False).fit(X, y)


# -- targets ---------------------------------------------------------------------------------------------------------

OUT_OF_RANGE = [
    (Case("poisson", "log"), -1.0),
    (Case("poisson", "identity"), -1e-9),
    (Case("gamma", "log"), 0.0),
    (Case("gamma", "inverse"), -1.0),
    (Case("inverse_gaussian", "log"), 0.0),
    (Case("tweedie", "log", 1.5), -1.0),
    (Case("tweedie", "log", 2.5), 0.0),
    (Case("negative_binomial", "log", 0.5), -1.0),
    (Case("binomial", "logit"), 1.5),
    (Case("binomial", "probit"), -0.1),
    (Case("binomial", "cloglog"), 2.0),
]


@pytest.mark.parametrize("chunked", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize(("case", "bad"), OUT_OF_RANGE, ids=lambda value: str(value))
def test_a_target_out_of_range_is_named(case, bad, chunked):
    data = generate(case)
    y = data.y.copy()
    y[350] = bad
    wrap = lazy if chunked else np.asarray
    with pytest.raises(DataError, match=r"y are out of the valid range .* y must be in .*\(block \d\)"):
        case.ours().fit(wrap(data.X), wrap(y))


@pytest.mark.parametrize(
    ("case", "end"),
    [
        (Case("poisson", "log"), 0.0),
        (Case("tweedie", "log", 1.5), 0.0),
        (Case("negative_binomial", "log", 0.5), 0.0),
        (Case("binomial", "logit"), 0.0),
        (Case("binomial", "logit"), 1.0),
        (Case("binomial", "probit"), 0.0),
        (Case("binomial", "probit"), 1.0),
        (Case("binomial", "cloglog"), 0.0),
        (Case("binomial", "cloglog"), 1.0),
        (Case("normal", "log"), -1.0),
        (Case("normal", "inverse"), 0.0),
    ],
    ids=lambda value: str(value),
)
def test_a_mean_at_the_end_of_the_links_range(case, end):
    """All targets alike at the end of the range: the intercept would be infinite."""
    data = generate(case)
    with pytest.raises(ValueError, match="end of the range"):
        case.ours().fit(data.X, np.full(N, end))


@pytest.mark.parametrize("case", [Case("poisson", "identity"), Case("poisson", "sqrt")], ids=str)
def test_zeros_where_the_minimum_is_on_the_border_of_the_domain(case):
    with pytest.raises(ValueError, match=r"domain|end of the range"):
        case.ours().fit(generate(case).X, np.zeros(N))


@pytest.mark.parametrize("case", [Case("poisson", "log"), Case("negative_binomial", "log", 0.5)], ids=str)
def test_zeros_without_an_intercept_have_a_minimum(case):
    """Σ exp(x·w) has a minimum where the rows surround the origin."""
    data = generate(case, intercept=False)._replace(y=np.zeros(N), truth=np.zeros(4))
    ours = case.ours(fit_intercept=False).fit(data.X, data.y)
    check_parity(case, data, ours, intercept=False)
