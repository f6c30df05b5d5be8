"""Metrics of predicted numbers: means of what a row loses, and shares of what is explained."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import xlogy

from ..kernels import Squares, squared_errors
from ..protocol import Array
from .checks import NO_WEIGHT, check_range, check_weight, outputs, total, warn_undefined


class Means(NamedTuple):
    """Σ s ℓ of every output, and Σ s."""

    losses: Array  # (m,)
    weight: float

    def __add__(self, other: Means) -> Means:  # type: ignore[override]
        return Means(self.losses + other.losses, self.weight + other.weight)

    def mean(self) -> Array:
        if not self.weight:
            raise ValueError(NO_WEIGHT)
        return self.losses / self.weight


def _pair(y: Any, predicted: Any) -> tuple[Array, Array]:
    y, predicted = outputs(y), outputs(predicted)
    if len(y) != len(predicted):
        raise ValueError(f"y_true and y_pred have different number of output ({len(y)}!={len(predicted)})")
    return y, predicted


def _weight_of(y: Array, weight: Array | None) -> float:
    return float(y.shape[1]) if weight is None else float(np.sum(weight))


def _check_multioutput(value: Any, owner: str, *, variance: bool = False) -> None:
    allowed = ("raw_values", "uniform_average", *(("variance_weighted",) if variance else ()))
    if isinstance(value, str) and value not in allowed:
        raise ValueError(
            f"The 'multioutput' parameter of {owner} must be a str among {{{', '.join(map(repr, allowed))}}} or an "
            f"array-like. Got {value!r} instead."
        )


def _average(values: Array, multioutput: Any) -> Any:
    """One number of those of all outputs, unless all are wanted."""
    if isinstance(multioutput, str):
        return values if multioutput == "raw_values" else float(np.mean(values))
    if len(values) == 1:
        raise ValueError("Custom weights are useful only in multi-output cases.")
    if len(multioutput) != len(values):
        raise ValueError(f"There must be equally many custom weights ({len(multioutput)}) as outputs ({len(values)}).")
    return float(np.average(values, weights=np.asarray(multioutput, dtype=np.float64)))


@dataclass(frozen=True)
class MeanLoss:
    """A weighted mean over the rows, output by output; ``loss`` says of what."""

    multioutput: str | tuple[float, ...] = "uniform_average"
    response = "predict"
    bounded = True
    weighted = True

    def __post_init__(self) -> None:
        _check_multioutput(self.multioutput, re.sub(r"(?<=.)(?=[A-Z])", "_", type(self).__name__).lower())

    def loss(self, y: Array, predicted: Array) -> Array:
        """Of every row and output."""
        raise NotImplementedError

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Means:
        y, predicted = _pair(y, predicted)
        weight = check_weight(weight)
        return Means(total(self.loss(y, predicted), weight), _weight_of(y, weight))

    def value(self, sums: Means) -> Any:
        return _average(sums.mean(), self.multioutput)


@dataclass(frozen=True)
class MeanSquaredError(MeanLoss):
    """The mean of (y - p)²."""

    def loss(self, y: Array, predicted: Array) -> Array:
        return (y - predicted) ** 2

    def of_squares(self, squares: Squares, n_rows: int, coef: Array, intercept: Array) -> Any:
        """The metric of a linear model, from the sums of products of the rows."""
        return self.value(Means(squared_errors(squares, coef, intercept), squares.weight))


@dataclass(frozen=True)
class RootMeanSquaredError(MeanSquaredError):
    """Its root, output by output."""

    def value(self, sums: Means) -> Any:
        return _average(np.sqrt(sums.mean()), self.multioutput)


@dataclass(frozen=True)
class MeanAbsoluteError(MeanLoss):
    """The mean of |y - p|."""

    def loss(self, y: Array, predicted: Array) -> Array:
        return np.abs(y - predicted)


@dataclass(frozen=True)
class MeanAbsolutePercentageError(MeanLoss):
    """The mean of |y - p| / |y|."""

    def loss(self, y: Array, predicted: Array) -> Array:
        return np.abs(y - predicted) / np.maximum(np.abs(y), np.finfo(np.float64).eps)


@dataclass(frozen=True)
class MeanPinballLoss(MeanLoss):
    """The mean of max(α (y - p), (α - 1)(y - p))."""

    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("alpha", self.alpha, 0.0, 1.0, "mean_pinball_loss")

    def loss(self, y: Array, predicted: Array) -> Array:
        return np.maximum(self.alpha * (y - predicted), (self.alpha - 1) * (y - predicted))


class Largest(NamedTuple):
    """The largest of some numbers."""

    number: float

    def __add__(self, other: Largest) -> Largest:  # type: ignore[override]
        return Largest(max(self.number, other.number))


@dataclass(frozen=True)
class MaxError:
    """The largest |y - p| of all rows, whatever they weigh."""

    response = "predict"
    bounded = True
    weighted = False

    def sums(self, y: Array, predicted: Array, weight: Array | None = None) -> Largest:
        y, predicted = _pair(y, predicted)
        if len(y) > 1:
            raise ValueError("Multioutput not supported in max_error")
        return Largest(float(np.max(np.abs(y - predicted))))

    def value(self, sums: Largest) -> float:
        return sums.number


def unit_deviance(y: Any, mean: Any, power: float) -> Any:
    """The deviance of one row of the Tweedie family: 0 where the mean is y."""
    if power == 0:
        return (y - mean) ** 2
    if power == 1:
        return 2 * (xlogy(y, y / mean) - y + mean)
    if power == 2:
        return 2 * (np.log(mean / y) + y / mean - 1)
    base = np.maximum(y, 0.0) if power < 0 else y
    return 2 * (
        base ** (2 - power) / ((1 - power) * (2 - power))
        - y * mean ** (1 - power) / (1 - power)
        + mean ** (2 - power) / (2 - power)
    )


def _check_power(power: Any, owner: str) -> None:
    if isinstance(power, bool) or not isinstance(power, int | float | np.number) or not (power <= 0 or power >= 1):
        raise ValueError(
            f"The 'power' parameter of {owner} must be a float in the range (-inf, 0.0] or a float in the range "
            f"[1.0, inf). Got {power!r} instead."
        )


def _tweedie_pair(y: Any, predicted: Any, power: float, owner: str) -> tuple[Array, Array]:
    """Numbers that have such a deviance."""
    y, predicted = _pair(y, predicted)
    if len(y) > 1:
        raise ValueError(f"Multioutput not supported in {owner}")
    message = f"Mean Tweedie deviance error with power={power} can only be used on "
    if power < 0 and np.any(predicted <= 0):
        raise ValueError(message + "strictly positive y_pred.")
    if 1 <= power < 2 and (np.any(y < 0) or np.any(predicted <= 0)):
        raise ValueError(message + "non-negative y and strictly positive y_pred.")
    if power >= 2 and (np.any(y <= 0) or np.any(predicted <= 0)):
        raise ValueError(message + "strictly positive y and y_pred.")
    return y, predicted


@dataclass(frozen=True)
class MeanTweedieDeviance:
    """The mean unit deviance of a power of the Tweedie family: 0 normal, 1 Poisson, 2 gamma."""

    power: float = 0
    response = "predict"
    bounded = True
    weighted = True

    def __post_init__(self) -> None:
        _check_power(self.power, "mean_tweedie_deviance")

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Means:
        y, predicted = _tweedie_pair(y, predicted, self.power, "mean_tweedie_deviance")
        weight = check_weight(weight)
        return Means(total(unit_deviance(y, predicted, self.power), weight), _weight_of(y, weight))

    def value(self, sums: Means) -> float:
        return float(sums.mean()[0])


class Deviances(NamedTuple):
    """The mean of y, its deviance from that mean (``null``), and what the predictions leave.

    Deviances add exactly: Σ s d(y, m) = Σ s d(y, ȳ) + S d(ȳ, m) for every m, for squares and for every power of at
    least 0. With a power below 0 that holds for no mean that is not positive, so there ``null`` is the deviance from 1.
    """

    n_rows: int
    weight: float
    mean: Array  # (m,)
    null: Array  # (m,)
    left: Array  # (m,)
    power: float

    def __add__(self, other: Deviances) -> Deviances:  # type: ignore[override]
        weight = self.weight + other.weight
        mean = self.mean + (other.mean - self.mean) * (other.weight / weight if weight else 0.0)
        null = self.null + other.null
        if self.power >= 0:
            for part in (self, other):
                if part.weight:
                    moved = part.mean != mean  # a mean of 0 has no deviance from itself that can be computed
                    own, common = np.where(moved, part.mean, 1.0), np.where(moved, mean, 1.0)
                    null = null + part.weight * np.where(moved, unit_deviance(own, common, self.power), 0.0)
        return Deviances(self.n_rows + other.n_rows, weight, mean, null, self.left + other.left, self.power)


def _deviances(y: Array, predicted: Array, weight: Array | None, power: float) -> Deviances:
    weight = check_weight(weight)
    total_weight = _weight_of(y, weight)
    mean = total(y, weight) / total_weight if total_weight else np.zeros(len(y))
    if not total_weight:
        null = np.zeros(len(y))
    elif power < 0:
        null = total(unit_deviance(y, np.ones((1, 1)), power), weight)
    else:
        centre = np.where(mean > 0, mean, 1.0) if power else mean  # a mean of 0 is that of zeros, and left below
        null = np.where((mean > 0) | (power == 0), total(unit_deviance(y, centre[:, None], power), weight), 0.0)
    left = total(unit_deviance(y, predicted, power), weight)
    return Deviances(y.shape[1], total_weight, mean, null, left, power)


def _too_few(n_rows: int, name: str) -> bool:
    if n_rows >= 2:
        return False
    message = f"{name} score is not well-defined with less than two samples."
    warn_undefined(message, stacklevel=4)
    return True


def _share(left: Array, null: Array, multioutput: Any, force_finite: bool) -> Any:
    """1 - left / null of every output, and their average."""
    if force_finite:
        safe = np.where(null != 0, null, 1.0)
        scores = np.where(null != 0, 1 - left / safe, np.where(left != 0, 0.0, 1.0))
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = 1 - left / null
    if isinstance(multioutput, str) and multioutput == "variance_weighted":
        return float(np.average(scores, weights=null if np.any(null != 0) else None))
    return _average(scores, multioutput)


@dataclass(frozen=True)
class R2:
    """1 - Σ s (y - p)² / Σ s (y - ȳ)²."""

    multioutput: str | tuple[float, ...] | None = "uniform_average"
    force_finite: bool = True
    response = "predict"
    bounded = True
    weighted = True

    def __post_init__(self) -> None:
        _check_multioutput(self.multioutput, "r2_score", variance=True)

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Deviances:
        return _deviances(*_pair(y, predicted), weight, 0)

    def value(self, sums: Deviances) -> Any:
        if _too_few(sums.n_rows, "R^2"):
            return math.nan
        if not sums.weight:
            raise ValueError(NO_WEIGHT)
        return _share(sums.left, sums.null, self.multioutput or "uniform_average", self.force_finite)


@dataclass(frozen=True)
class D2Tweedie:
    """1 - the deviance over that of the mean of y."""

    power: float = 0
    response = "predict"
    bounded = True
    weighted = True

    def __post_init__(self) -> None:
        _check_power(self.power, "d2_tweedie_score")

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Deviances:
        return _deviances(*_tweedie_pair(y, predicted, self.power, "d2_tweedie_score"), weight, self.power)

    def value(self, sums: Deviances) -> float:
        if _too_few(sums.n_rows, "D^2"):
            return math.nan
        if not sums.weight:
            raise ValueError(NO_WEIGHT)
        null, p = sums.null, self.power
        with np.errstate(divide="ignore", invalid="ignore"):
            if p < 0:
                mean = sums.mean
                moved = (mean ** (2 - p) - 1) / (2 - p) - mean * (mean ** (1 - p) - 1) / (1 - p)
                null = null + 2 * sums.weight * moved
            return float((1 - sums.left / null)[0])


class Spread(NamedTuple):
    """Means, and sums of squares about them, of y and of y - p."""

    weight: float
    means: Array  # (2, m)
    squares: Array  # (2, m)

    def __add__(self, other: Spread) -> Spread:  # type: ignore[override]
        weight = self.weight + other.weight
        share = other.weight / weight if weight else 0.0
        step = other.means - self.means
        squares = self.squares + other.squares + self.weight * share * step**2
        return Spread(weight, self.means + share * step, squares)


@dataclass(frozen=True)
class ExplainedVariance:
    """1 - Var(y - p) / Var(y)."""

    multioutput: str | tuple[float, ...] = "uniform_average"
    force_finite: bool = True
    response = "predict"
    bounded = True
    weighted = True

    def __post_init__(self) -> None:
        _check_multioutput(self.multioutput, "explained_variance_score", variance=True)

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Spread:
        y, predicted = _pair(y, predicted)
        weight = check_weight(weight)
        both = np.stack([y, y - predicted])
        total_weight = _weight_of(y, weight)
        if not total_weight:
            return Spread(0.0, np.zeros(both.shape[:2]), np.zeros(both.shape[:2]))
        means = total(both, weight) / total_weight
        return Spread(total_weight, means, total((both - means[:, :, None]) ** 2, weight))

    def value(self, sums: Spread) -> Any:
        if not sums.weight:
            raise ValueError(NO_WEIGHT)
        null, left = sums.squares / sums.weight
        return _share(left, null, self.multioutput, self.force_finite)
