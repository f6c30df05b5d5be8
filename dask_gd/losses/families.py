"""Generalized linear models: half the unit deviance of a family, seen through a link.

ℓ(y, η) = ½ d(y, μ), μ = h(η), with ∂ℓ/∂μ = (μ - y)/V(μ), V the variance function (McCullagh & Nelder 1989, ch. 2;
Jørgensen, *The Theory of Dispersion Models*, 1997, for the Tweedie powers). A family, a link: one class each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.special import ndtri

from ..arrays import namespace
from ..protocol import Array
from .base import REALS, Derivatives, Interval, Loss, register
from .special import erfcx, expit, log_ndtr, ndtr, xlogy

POSITIVE = Interval(0.0)
ROOT_2_OVER_PI = float(np.sqrt(2 / np.pi))


# -- links -----------------------------------------------------------------------------------------------------------


class Mean(NamedTuple):
    """μ = h(η) and its first two derivatives."""

    value: Array
    first: Array
    second: Array


class Link(Protocol):
    """η = g(μ), and its inverse h."""

    @property
    def margins(self) -> Interval: ...  # where h is defined and one to one, for means above zero
    def link(self, mean: Array) -> Array: ...  # g(μ)
    def mean(self, eta: Array) -> Mean: ...


@dataclass(frozen=True)
class Identity:
    """η = μ."""

    margins = REALS

    def link(self, mean: Array) -> Array:
        return mean

    def mean(self, eta: Array) -> Mean:
        xp = namespace(eta)
        return Mean(eta, xp.ones_like(eta), xp.zeros_like(eta))


@dataclass(frozen=True)
class Log:
    """η = log μ."""

    margins = REALS

    def link(self, mean: Array) -> Array:
        return namespace(mean).log(mean)

    def mean(self, eta: Array) -> Mean:
        e = namespace(eta).exp(eta)
        return Mean(e, e, e)


@dataclass(frozen=True)
class Power:
    """η = μ^exponent, for means above zero; "inverse" is -1, "sqrt" ½, "inverse_squared" -2."""

    exponent: float
    margins = POSITIVE

    def link(self, mean: Array) -> Array:
        xp = namespace(mean)
        return xp.asarray(mean, dtype=xp.float64) ** self.exponent

    def mean(self, eta: Array) -> Mean:
        a = 1 / self.exponent
        mu = eta**a
        first = a * mu / eta
        return Mean(mu, first, (a - 1) * first / eta)


class Logit:
    """η = log(μ/(1 - μ)); -log μ and -log(1 - μ) as functions of η."""

    def link(self, mean: Array) -> Array:
        return np.log(mean / (1 - mean))

    def inverse(self, eta: Array) -> Array:
        return expit(eta)

    def success(self, eta: Array) -> Mean:
        xp = namespace(eta)
        e = xp.exp(-xp.abs(eta))
        p = xp.where(eta >= 0, e, 1) / (1 + e)  # 1 - μ
        return Mean(xp.maximum(-eta, 0) + xp.log1p(e), -p, e / (1 + e) ** 2)

    def failure(self, eta: Array) -> Mean:
        value, first, second = self.success(-eta)
        return Mean(value, -first, second)


class Probit:
    """η = Φ⁻¹(μ)."""

    def link(self, mean: Array) -> Array:
        return ndtri(mean)

    def inverse(self, eta: Array) -> Array:
        return ndtr(eta)

    def success(self, eta: Array) -> Mean:
        xp = namespace(eta)
        mills = ROOT_2_OVER_PI / erfcx(-eta / 2**0.5)  # φ/Φ; for η → -∞ it tends to -η
        far = xp.minimum(eta, -1e3)  # there mills + η cancels
        bend = xp.where(eta < -1e3, 1 - 1 / far**2, mills * (mills + eta))
        return Mean(-log_ndtr(eta), -mills, bend)

    def failure(self, eta: Array) -> Mean:
        value, first, second = self.success(-eta)
        return Mean(value, -first, second)


class CLogLog:
    """η = log(-log(1 - μ))."""

    def link(self, mean: Array) -> Array:
        return np.log(-np.log1p(-np.asarray(mean)))

    def inverse(self, eta: Array) -> Array:
        xp = namespace(eta)
        return -xp.expm1(-xp.exp(eta))

    def success(self, eta: Array) -> Mean:
        xp = namespace(eta)
        t = xp.exp(eta)  # -log(1 - μ)
        few = xp.minimum(t, 1e-4)
        many = xp.clip(t, 1e-4, 700.0)
        rate = many / xp.expm1(many)
        bend = xp.where(t < 1e-4, few / 2 - few**2 / 6, rate * (-many / xp.expm1(-many) - 1))
        log_mean = xp.where(t < 1e-4, eta - few / 2 + few**2 / 24, xp.log(-xp.expm1(-many)))
        return Mean(-log_mean, -xp.where(t < 1e-4, 1 - few / 2 + few**2 / 12, rate), bend)

    def failure(self, eta: Array) -> Mean:
        t = namespace(eta).exp(eta)
        return Mean(t, t, t)


LINKS: dict[str, Any] = {
    "identity": Identity,
    "log": Log,
    "inverse": partial(Power, -1.0),
    "inverse_squared": partial(Power, -2.0),
    "sqrt": partial(Power, 0.5),
    "logit": Logit,
    "probit": Probit,
    "cloglog": CLogLog,
}


# -- families --------------------------------------------------------------------------------------------------------


class Family(Protocol):
    """A distribution of the exponential dispersion class, by its mean μ."""

    @property
    def targets(self) -> Interval: ...
    @property
    def positive(self) -> bool: ...  # means are above zero
    @property
    def canonical(self) -> str: ...
    def half_deviance(self, y: Array, mean: Array) -> Array: ...  # ½ d(y, μ) ≥ 0
    def variance(self, mean: Array) -> Array: ...  # V(μ)
    def log_slope(self, mean: Array) -> Array: ...  # V'(μ)/V(μ)
    def log_link_curvature(self, y: Array, mean: Array) -> Array: ...  # ∂²(½ d)/∂(log μ)², without cancellation


@dataclass(frozen=True)
class Tweedie:
    """V(μ) = μ^power: normal 0, Poisson 1, compound Poisson-gamma (1, 2), gamma 2, inverse Gaussian 3.

    Powers in (0, 1) belong to no distribution.
    """

    power: float

    def __post_init__(self) -> None:
        if 0 < self.power < 1 or not np.isfinite(self.power):
            raise ValueError(f"No Tweedie distribution has power={self.power}: take 0, or 1 and above, or below 0.")

    @property
    def positive(self) -> bool:
        return self.power != 0

    @property
    def targets(self) -> Interval:
        if self.power < 1:
            return REALS
        return Interval(0.0, closed_low=self.power < 2)

    @property
    def canonical(self) -> str:
        return {0: "identity", 1: "log", 2: "inverse", 3: "inverse_squared"}.get(self.power, "log")  # type: ignore[call-overload]

    def half_deviance(self, y: Array, mean: Array) -> Array:
        p = self.power
        if p == 0:
            return 0.5 * (y - mean) ** 2
        if p == 1:
            return xlogy(y, y / mean) - y + mean
        if p == 2:
            ratio = y / mean
            return ratio - 1 - namespace(ratio).log(ratio)
        own = namespace(y).maximum(y, 0) ** (2 - p) / ((1 - p) * (2 - p))
        return own - y * mean ** (1 - p) / (1 - p) + mean ** (2 - p) / (2 - p)

    def variance(self, mean: Array) -> Array:
        return mean**self.power

    def log_slope(self, mean: Array) -> Array:
        return self.power / mean if self.power else namespace(mean).zeros_like(mean)

    def log_link_curvature(self, y: Array, mean: Array) -> Array:
        p = self.power
        return (2 - p) * mean ** (2 - p) + (p - 1) * y * mean ** (1 - p)


@dataclass(frozen=True)
class NegativeBinomial:
    """V(μ) = μ + θμ², counts with a known shape θ > 0 (Hilbe, *Negative Binomial Regression*, 2011)."""

    theta: float = 1.0
    targets = Interval(0.0, closed_low=True)
    positive = True
    canonical = "log"  # the usual one

    def __post_init__(self) -> None:
        if not 0 < self.theta < np.inf:
            raise ValueError(f"The negative binomial's theta must be a number above 0. Got {self.theta!r} instead.")

    def half_deviance(self, y: Array, mean: Array) -> Array:
        t = self.theta
        xp = namespace(y)
        return xlogy(y, y / mean) - (y + 1 / t) * (xp.log1p(t * y) - xp.log1p(t * mean))

    def variance(self, mean: Array) -> Array:
        return mean * (1 + self.theta * mean)

    def log_slope(self, mean: Array) -> Array:
        return (1 + 2 * self.theta * mean) / (mean * (1 + self.theta * mean))

    def log_link_curvature(self, y: Array, mean: Array) -> Array:
        t = self.theta
        return mean / (1 + t * mean) * ((1 + t * y) / (1 + t * mean))


# Families and links whose loss is convex in η wherever it is defined; p: a Tweedie power.
CONVEX = {
    "identity": lambda p: p in (0, 1),
    "log": lambda p: 1 <= p <= 2,
    "sqrt": lambda p: p == 1,
    "inverse": lambda p: p in (2, 3),
    "inverse_squared": lambda p: p == 3,
}


@dataclass(frozen=True)
class GeneralizedLinear(Loss):
    """ℓ(y, η) = ½ d(y, h(η)), half the unit deviance of a ``family`` with the mean h(η).

    Far beyond any mean that data can have (η = ±200 for the log link) ℓ goes on as its tangent and stays finite.
    """

    family: Any
    link_name: str | float
    likelihood = True

    @property
    def known_dispersion(self) -> bool:  # type: ignore[override]
        return isinstance(self.family, NegativeBinomial) or self.family.power == 1

    @property
    def _link(self) -> Any:
        return Power(self.link_name) if isinstance(self.link_name, float) else LINKS[self.link_name]()

    @property
    def quadratic(self) -> bool:  # type: ignore[override]
        return self.family == Tweedie(0) and self.link_name == "identity"

    @property
    def curvature(self) -> float:  # type: ignore[override]
        return 1.0 if self.quadratic else np.inf

    @property
    def targets(self) -> Interval:  # type: ignore[override]
        return self.family.targets

    @property
    def margins(self) -> Interval:  # type: ignore[override]
        if self.link_name == "identity":
            return POSITIVE if self.family.positive else REALS
        return self._link.margins

    @property
    def convex(self) -> bool:  # type: ignore[override]
        if isinstance(self.family, NegativeBinomial):
            return self.link_name == "log"
        if isinstance(self.link_name, float):
            return self.family.power == 1 and 0 < self.link_name <= 1
        return self.link_name in CONVEX and CONVEX[self.link_name](self.family.power)

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        # Powers of the mean must not overflow: the more of them, the sooner the tangent begins.
        power = getattr(self.family, "power", 2.0)
        limit = (28.0 if eta.dtype == xp.float32 else 200.0) / max(1.0, power / 3, (2 - power) / 2.5)
        inside, bounded = None, eta
        if self.link_name == "log":
            bounded = xp.clip(eta, -limit, limit)
        elif self.margins is not REALS:
            inside = eta > 0
            bounded = xp.where(inside, eta, 1)
        mean, first, second = self._link.mean(bounded)
        value = self.family.half_deviance(y, mean)
        if inside is not None:
            value = xp.where(inside, value, np.inf)
        tangent = bounded is not eta and inside is None
        if order == 0 and not tangent:
            return Derivatives(value)
        residual = mean - y
        variance = self.family.variance(mean)
        slope = residual / variance * first
        if tangent:
            # At the low end of a loss that rises, the tangent would fall below 0: there the loss is flat.
            slope = xp.where((eta < bounded) & (slope > 0), 0, slope)
            value = value + slope * xp.clip(eta - bounded, -1e9, 1e9)  # a margin may be infinite, and the slope 0
        if order < 2:
            return Derivatives(value, slope if order else None)
        expected = first * first / variance
        if self.link_name == "log":
            bend = self.family.log_link_curvature(y, mean)
        else:
            bend = expected * (1 - residual * self.family.log_slope(mean)) + residual / variance * second
            bend = xp.maximum(bend, 0) if self.convex else bend  # rounding where the terms cancel
        if tangent:
            bend = xp.where(bounded == eta, bend, 0)
        return Derivatives(value, slope, bend, expected=None if self.convex else expected)

    def inverse_link(self, eta: Array) -> Array:
        if self.link_name == "log":
            xp = namespace(eta)
            limit = 0.999 * math.log(xp.finfo(eta.dtype).max)
            return xp.exp(xp.clip(eta, -limit, limit))
        return self._link.mean(eta).value

    def distance(self, y: Array, mean: Array) -> Array:
        return self.family.half_deviance(y, mean)

    def typical(self, mean: Array, spread: Array) -> float:
        """½ var(y)/V(ȳ), to second order."""
        with np.errstate(all="ignore"):
            typical = float(0.5 * spread[0] ** 2 / self.family.variance(mean[0]))
        return typical if 0 < typical < np.inf else np.inf

    def link(self, mean: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._link.link(mean)


@dataclass(frozen=True)
class Binomial(Loss):
    """ℓ(y, η) = y log(y/μ) + (1 - y) log((1 - y)/(1 - μ)) for shares y in [0, 1]; link logit, probit or cloglog."""

    link_name: str = "logit"
    likelihood = True
    known_dispersion = True
    targets = Interval(0.0, 1.0, closed_low=True, closed_high=True)
    separable = True

    @property
    def _link(self) -> Any:
        return LINKS[self.link_name]()

    @property
    def curvature(self) -> float:  # type: ignore[override]
        return {"logit": 0.25, "probit": 1.0}.get(self.link_name, np.inf)

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        xp = namespace(eta)
        high = 28.0 if eta.dtype == xp.float32 else 200.0
        bounded = xp.minimum(eta, high) if self.link_name == "cloglog" else eta
        with np.errstate(over="ignore", under="ignore"):
            success, failure = self._link.success(bounded), self._link.failure(bounded)
        first, bend = (y * a + (1 - y) * b for a, b in zip(success[1:], failure[1:], strict=True))
        value = y * success.value + (1 - y) * failure.value + (xlogy(y, y) + xlogy(1 - y, 1 - y))
        if bounded is not eta:
            value = value + first * (eta - bounded)
            bend = xp.where(bounded == eta, bend, 0)
        parts = (value, first, bend)[: order + 1]
        return Derivatives(*(xp.astype(part, eta.dtype, copy=False) for part in parts))

    def inverse_link(self, eta: Array) -> Array:
        with np.errstate(over="ignore"):
            return namespace(eta).astype(self._link.inverse(eta), eta.dtype, copy=False)

    def distance(self, y: Array, mean: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return xlogy(y, y / mean) + xlogy(1 - y, (1 - y) / (1 - mean))

    def link(self, mean: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(self._link.link(mean))


BINOMIAL_LINKS = ("logit", "probit", "cloglog")
FAMILIES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "normal": (partial(Tweedie, 0.0), ("identity", "log", "inverse")),
    "poisson": (partial(Tweedie, 1.0), ("log", "identity", "sqrt")),
    "gamma": (partial(Tweedie, 2.0), ("log", "inverse", "identity")),
    "inverse_gaussian": (partial(Tweedie, 3.0), ("log", "inverse_squared", "inverse", "identity")),
    "negative_binomial": (NegativeBinomial, ("log", "identity", "sqrt")),
}
"""The families of a fixed variance function and the links each is known with; the first is the default."""


def _register() -> None:
    for family, (factory, links) in FAMILIES.items():
        for link in links:
            if (family, link) != ("normal", "identity"):  # that is squared_error
                register(family if link == links[0] else f"{family}-{link}")(
                    partial(GeneralizedLinear, factory(), link)
                )
    for power in (1.5, 2.5):
        register(f"tweedie-{power}")(partial(GeneralizedLinear, Tweedie(power), "log"))
    register("poisson-power")(partial(GeneralizedLinear, Tweedie(1.0), 0.75))
    for link in BINOMIAL_LINKS:
        register("binomial" if link == "logit" else f"binomial-{link}")(partial(Binomial, link))


_register()
