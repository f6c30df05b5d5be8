"""Generalized linear models: Poisson, gamma, Tweedie, and any family with any link."""

from __future__ import annotations

from numbers import Real
from typing import Any

from ..losses import FAMILIES, LINKS, GeneralizedLinear, Loss, Squared
from ..losses.families import BINOMIAL_LINKS, Binomial, NegativeBinomial, Tweedie
from .base import LinearRegressorBase, always, penalty_spec
from .docs import shared_docs
from .fit import Problem
from .params import check_option, check_real
from .start import CONSTANT_MODEL, Start, start_of

FAMILY_NAMES = (*FAMILIES, "tweedie", "binomial")
# As other libraries write them.
SYNONYMS = {"gaussian": "normal", "inversegaussian": "inverse_gaussian", "negativebinomial": "negative_binomial"}


class GeneralizedLinearBase(LinearRegressorBase):
    """(1/S) Σ s ½ d(y, μ) + Ω(w), by the loss that ``_fitted_loss`` names."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        try:
            tags.target_tags.positive_only = self._fitted_loss().targets.low == 0
        except ValueError:  # parameters that fit will refuse
            pass
        return tags

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        return self._family(start)

    def _family(self, start: Start, l1_ratio: float = 0.0, **more: Any) -> Problem:
        check_real(self, "alpha", low=0.0)
        penalty = penalty_spec(self, float(self.alpha), l1_ratio, **more)
        return self._stated(always(self._fitted_loss()), penalty, start)


@shared_docs
class PoissonRegressor(GeneralizedLinearBase):
    """Poisson regression, log link: minimises (1/2S) Σ s d(y, μ) + α/2 ‖w‖², μ = exp(x·w + b + o), S = Σ s.

    d(y, μ) = 2 (y log(y/μ) - y + μ) is the unit deviance. For rates, give the log of the exposure as ``offset``.

    Parameters
    ----------
    alpha : float, default=1.0
        α ≥ 0, the same as scikit-learn's.
    {fit_intercept}
    {standardize}
    {bounds}
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (d,)
    intercept_ : float
    {fitted}

    References
    ----------
    McCullagh & Nelder, *Generalized Linear Models* (1989), ch. 6.

    Examples
    --------
    >>> from dask_gd import PoissonRegressor
    >>> model = PoissonRegressor(alpha=0.0).fit([[0.0], [1.0], [2.0]], [1, 2, 4])
    >>> model.predict([[3.0]]).round(4)
    array([8.])
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        standardize: bool = False,
        penalty_factor: Any = None,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _fitted_loss(self) -> Loss:
        return GeneralizedLinear(Tweedie(1.0), "log")

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        *,
        coef_init: Any = None,
        intercept_init: Any = None,
    ) -> PoissonRegressor:
        """Fit to data; parameters and errors as in :meth:`GeneralizedLinearRegressor.fit`.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, offset, self._problem(y, start_of(self, coef_init, intercept_init)))


@shared_docs
class GammaRegressor(GeneralizedLinearBase):
    """Gamma regression, log link: minimises (1/2S) Σ s d(y, μ) + α/2 ‖w‖², μ = exp(x·w + b + o), y > 0, S = Σ s.

    d(y, μ) = 2 (y/μ - 1 - log(y/μ)) is the unit deviance.

    Parameters
    ----------
    alpha : float, default=1.0
        α ≥ 0, the same as scikit-learn's.
    {fit_intercept}
    {standardize}
    {bounds}
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (d,)
    intercept_ : float
    {fitted}

    References
    ----------
    McCullagh & Nelder, *Generalized Linear Models* (1989), ch. 8.

    Examples
    --------
    >>> from dask_gd import GammaRegressor
    >>> model = GammaRegressor(alpha=0.0).fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 4.0])
    >>> model.predict([[3.0]]).round(4)
    array([8.])
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        standardize: bool = False,
        penalty_factor: Any = None,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _fitted_loss(self) -> Loss:
        return GeneralizedLinear(Tweedie(2.0), "log")

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        *,
        coef_init: Any = None,
        intercept_init: Any = None,
    ) -> GammaRegressor:
        """Fit to data; parameters and errors as in :meth:`GeneralizedLinearRegressor.fit`.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, offset, self._problem(y, start_of(self, coef_init, intercept_init)))


@shared_docs
class TweedieRegressor(GeneralizedLinearBase):
    """Tweedie regression: minimises (1/2S) Σ s d(y, μ) + α/2 ‖w‖², μ = h(x·w + b + o), variance ∝ μ^power, S = Σ s.

    Parameters
    ----------
    power : float, default=0.0
        Variance power: 0 normal, 1 Poisson, between 1 and 2 compound Poisson-gamma (claims with zeros), 2 gamma,
        3 inverse Gaussian. None exists between 0 and 1.
    alpha : float, default=1.0
        α ≥ 0, the same as scikit-learn's.
    {fit_intercept}
    link : {"auto", "identity", "log"}, default="auto"
        "auto": identity for power ≤ 0, log otherwise.
    {standardize}
    {bounds}
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (d,)
    intercept_ : float
    {fitted}

    References
    ----------
    Jørgensen, *The Theory of Dispersion Models* (1997), ch. 4.

    Examples
    --------
    >>> from dask_gd import TweedieRegressor
    >>> model = TweedieRegressor(power=1.5, alpha=0.0).fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 4.0])
    >>> model.predict([[3.0]]).round(4)
    array([8.])
    """

    def __init__(
        self,
        *,
        power: float = 0.0,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        link: str = "auto",
        standardize: bool = False,
        penalty_factor: Any = None,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.power = power
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.link = link
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _fitted_loss(self) -> Loss:
        check_real(self, "power", low=float("-inf"), open_low=True)
        check_option(self, "link", ("auto", "identity", "log"))
        power = float(self.power)
        link = ("identity" if power <= 0 else "log") if self.link == "auto" else self.link
        return Squared() if (power, link) == (0.0, "identity") else GeneralizedLinear(Tweedie(power), link)

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        *,
        coef_init: Any = None,
        intercept_init: Any = None,
    ) -> TweedieRegressor:
        """Fit to data; parameters and errors as in :meth:`GeneralizedLinearRegressor.fit`.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, offset, self._problem(y, start_of(self, coef_init, intercept_init)))


@shared_docs
class GeneralizedLinearRegressor(GeneralizedLinearBase):
    """Any family with any link: minimises (1/2S) Σ s d(y, μ) + α (ρ ‖w‖₁ + (1 - ρ)/2 ‖w‖²), S = Σ s.

    d is the unit deviance of the family and μ = h(x·w + b + o). Families and links that are not convex together are
    fitted by Fisher scoring; links that hold for part of the margins only start inside and stay there.

    Parameters
    ----------
    family : str, default="normal"
        "normal", "poisson", "gamma", "inverse_gaussian", "tweedie", "negative_binomial" or "binomial" (y: shares in
        [0, 1], weights: numbers of trials).
    link : str or float, default="auto"
        "identity", "log", "inverse", "inverse_squared", "sqrt", a number p for η = μ^p; of the binomial "logit",
        "probit", "cloglog". "auto": identity for the normal, logit for the binomial, log for all others.
    power : float, default=1.5
        Variance power of "tweedie".
    theta : float, default=1.0
        Shape θ > 0 of "negative_binomial": the variance is μ + θμ².
    alpha : float, default=1.0
        α ≥ 0.
    l1_ratio : float, default=0.0
        ρ in [0, 1].
    {fit_intercept}
    {standardize}
    {bounds}
    prior_coef : array-like of shape (d,), default=None
        What the penalty draws the coefficients towards; None: 0.
    groups : array-like of shape (d,), default=None
        Labels of groups of features: the L1 part becomes α ρ Σ_g √d_g ‖w_g‖, which drops whole groups.
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (d,)
    intercept_ : float
    {fitted}

    References
    ----------
    McCullagh & Nelder, *Generalized Linear Models* (1989); Yuan & Lin (2006) for groups.

    Examples
    --------
    >>> from dask_gd import GeneralizedLinearRegressor
    >>> model = GeneralizedLinearRegressor(family="gamma", link="inverse", alpha=0.0)
    >>> model.fit([[1.0], [2.0], [4.0]], [1.0, 0.5, 0.25]).predict([[8.0]]).round(4)
    array([0.125])
    """

    def __init__(
        self,
        *,
        family: str = "normal",
        link: str | float = "auto",
        power: float = 1.5,
        theta: float = 1.0,
        alpha: float = 1.0,
        l1_ratio: float = 0.0,
        fit_intercept: bool = True,
        standardize: bool = False,
        penalty_factor: Any = None,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        prior_coef: Any = None,
        groups: Any = None,
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.family = family
        self.link = link
        self.power = power
        self.theta = theta
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.prior_coef = prior_coef
        self.groups = groups
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _fitted_loss(self) -> Loss:
        name = str(self.family).lower().replace("-", "_").replace(" ", "_").replace(".", "_")
        name = SYNONYMS.get(name.replace("_", ""), name)
        if name not in FAMILY_NAMES:
            check_option(self, "family", FAMILY_NAMES)
        number = isinstance(self.link, Real) and not isinstance(self.link, bool)
        if name == "binomial":
            check_option(self, "link", ("auto", *BINOMIAL_LINKS))
            return Binomial("logit" if self.link == "auto" else str(self.link))
        if not number:
            check_option(self, "link", ("auto", *(link for link in LINKS if link not in BINOMIAL_LINKS)))
        elif self.link == 0:
            raise ValueError("link=0 is no power: take link='log'.")
        link: Any = ("identity" if name == "normal" else "log") if self.link == "auto" else self.link
        link = float(link) if number else link
        if link == 1.0:
            link = "identity"
        if name == "normal" and link == "identity":
            return Squared()
        if name == "tweedie":
            check_real(self, "power", low=float("-inf"), open_low=True)
            return GeneralizedLinear(Tweedie(float(self.power)), link)
        if name == "negative_binomial":
            check_real(self, "theta", low=0.0, open_low=True)
            return GeneralizedLinear(NegativeBinomial(float(self.theta)), link)
        return GeneralizedLinear(FAMILIES[name][0](), link)

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        *,
        coef_init: Any = None,
        intercept_init: Any = None,
    ) -> GeneralizedLinearRegressor:
        """Fit to data.

        Parameters
        ----------
        X : array-like, CSR matrix, or dask array or DataFrame of shape (n, d)
        y : array-like or dask array of shape (n,)
            Within the family's range.
        sample_weight : array-like or dask array of shape (n,), optional
            s ≥ 0, prior (variance) weights; a weight of zero removes the row.
        offset : array-like or dask array of shape (n,), optional
            o, a part of the margin that is known.
        coef_init : array-like of the shape of ``coef_``, optional
            Where to start, in the place of 0 or of the coefficients of a warm start.
        intercept_init : float or array-like of the shape of ``intercept_``, optional
            Likewise, in the place of the constant model's.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            NaN or infinity (the message names block and column), y out of the family's range, lengths that differ,
            negative weights, no start inside the link's domain.
        FitInterrupted
            The cluster failed for good.
        """
        return self._fit(X, y, sample_weight, offset, self._problem(y, start_of(self, coef_init, intercept_init)))

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        check_real(self, "l1_ratio", low=0.0, high=1.0)
        return self._family(start, float(self.l1_ratio), center=self.prior_coef, groups=self.groups)
