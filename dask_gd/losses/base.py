"""What a loss provides, and the registry that property tests and estimators read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from ..protocol import Array


class Interval(NamedTuple):
    """An interval of the real line; each end belongs to it or not."""

    low: float = -np.inf
    high: float = np.inf
    closed_low: bool = False
    closed_high: bool = False

    def holds(self, values: Array) -> Array:
        """Which values lie inside."""
        above = values >= self.low if self.closed_low else values > self.low
        below = values <= self.high if self.closed_high else values < self.high
        return above & below

    def __str__(self) -> str:
        return f"{'[' if self.closed_low else '('}{self.low:g}, {self.high:g}{']' if self.closed_high else ')'}"


REALS = Interval()


class Derivatives(NamedTuple):
    """ℓ and, as far as asked for, its derivatives in the margins.

    The second derivative of a row is the matrix diag(second) + ``sign`` uuᵀ. Where it may be negative ``expected``
    holds a value ≥ 0, for which Newton's method asks where the Hessian is indefinite (Fisher scoring).
    """

    value: Array
    first: Array | None = None
    second: Array | None = None
    rank_one: Array | None = None  # u; None: no such term
    sign: float = -1.0
    expected: Array | None = None


class Loss:
    """The defaults of a loss of one output; a loss overrides what differs.

    A class needs ``derivatives`` alone; the constants say what may be assumed of it. Arrays may be NumPy's or those of
    another library of the array API standard: a formula takes its functions from ``namespace(eta)``.
    """

    n_outputs: int = 1  # margins a row
    n_constant: int = 0  # of them, the last: parameters that no column of X has a part in, such as a scale
    quadratic: bool = False  # the second derivative is the same everywhere
    curvature: float = np.inf  # upper bound of the second derivative
    convex: bool = True
    smooth: bool = True  # False: has kinks; then there is `smoothed`
    classification: bool = False  # y is 0 or 1 (one output) or the number of a class
    probabilities: bool = False  # `inverse_link` gives class probabilities
    gauge: bool = False  # one vector added to the coefficients of every output changes nothing
    separable: bool = False  # ℓ falls to 0 as margins grow, and is below log 2 on the right side of the border only
    likelihood: bool = (
        False  # ℓ/φ is a negative log-likelihood up to a constant, so that standard errors mean something
    )
    known_dispersion: bool = False  # … with φ = 1
    targets: Interval = REALS  # of a regression
    margins: Interval = REALS  # where ℓ is finite for every target

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        """ℓ (order 0), with ∂ℓ/∂η (order 1), with the second derivative (order 2)."""
        raise NotImplementedError

    def inverse_link(self, eta: Array) -> Array:
        """What a model predicts at the margin η."""
        return eta

    def distance(self, y: Array, mean: Array) -> Array:
        """What a regressor's score sums: half the unit deviance of y and the mean, by default ½ (y - μ)²."""
        return 0.5 * (y - mean) ** 2

    def link(self, mean: Array) -> Array:
        """The margins (n_outputs,) of a constant model, from the mean of y (class shares for a classifier)."""
        return mean

    def typical(self, mean: Array, spread: Array) -> float:
        """About how large ℓ is on average where η is the constant model; infinity: not known."""
        return np.inf

    def start(self, mean: Array, spread: Array) -> Array:
        """The margins (n_outputs,) that a fit starts at, from the mean and the standard deviation of y."""
        return self.link(mean)


class Custom(Loss):
    """A user's own loss of y and the margin η from three functions that take and return arrays.

    Parameters
    ----------
    value, first, second : callable (y, eta) -> array
        ℓ, ∂ℓ/∂η and ∂²ℓ/∂η² ≥ 0; ``y`` has shape (n,), ``eta`` (..., n). Functions of a module, so that they can
        travel to other processes.
    inverse_link : callable eta -> mean, optional
        What ``predict`` returns; by default η itself.
    """

    def __init__(
        self,
        value: Callable[[Array, Array], Array],
        first: Callable[[Array, Array], Array],
        second: Callable[[Array, Array], Array],
        inverse_link: Callable[[Array], Array] | None = None,
    ) -> None:
        self.functions = (value, first, second)
        self.mean = inverse_link

    def derivatives(self, y: Array, eta: Array, order: int) -> Derivatives:
        value, first, second = (
            function(y, eta) if number <= order else None for number, function in enumerate(self.functions)
        )
        assert value is not None
        return Derivatives(value, first, second)

    def inverse_link(self, eta: Array) -> Array:
        return eta if self.mean is None else self.mean(eta)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Custom) and (self.functions, self.mean) == (other.functions, other.mean)

    def __hash__(self) -> int:
        return hash((self.functions, self.mean))


class Smoothable(Protocol):
    """A loss with kinks: ``smoothed(width)`` lies below it, by at most a multiple of the width, and has none."""

    def smoothed(self, width: float) -> Loss: ...


LOSSES: dict[str, Any] = {}

T = TypeVar("T")


def register(name: str) -> Callable[[T], T]:
    """Put a loss into :data:`LOSSES`."""

    def add(factory: T) -> T:
        LOSSES[name] = factory
        return factory

    return add
