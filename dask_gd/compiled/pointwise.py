"""Losses and their derivatives in the margins, compiled: the twins of ``Loss.derivatives``.

A formula takes one target, one margin and up to two parameters, all of one precision, and returns the value and two
derivatives. It has no branch and calls nothing but :mod:`.elementary`, so that the loop over rows around it becomes
vector instructions. A constant of another precision would make float64 of all: hence ``same``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..losses import (
    EpsilonInsensitive,
    GeneralizedLinear,
    Hinge,
    Huber,
    Logistic,
    Loss,
    ModifiedHuber,
    OneVsRest,
    Pinball,
    Signed,
    Softmax,
    Squared,
    SquaredEpsilonInsensitive,
    SquaredHinge,
)
from ..losses.families import Binomial, NegativeBinomial, Tweedie
from ..protocol import Array
from .elementary import decay, exp, log, log1p, same, twice_artanh
from .jit import COMPILED, EXACT, FAST, as_argument, jit, numba

__all__ = ["Twin", "signature", "twin_of"]

formula: Any = lambda function: function  # noqa: E731
if COMPILED:
    formula = numba.extending.register_jitable(fastmath=EXACT, error_model="numpy", forceinline=True)

FAR = 1e9  # a margin may be infinite, and the slope there 0


@formula
def positive(x: Any) -> Any:
    """max(x, 0), and NaN of NaN."""
    return same(x, 0.0) if x < same(x, 0.0) else x


@formula
def clipped(x: Any, low: Any, high: Any) -> Any:
    """x between ``low`` and ``high``, and NaN of NaN."""
    x = low if x < low else x
    return high if x > high else x


@formula
def logistic(t: Any, h: Any, p: Any, q: Any) -> Any:
    """log(1 + e^h) - th."""
    one = same(h, 1.0)
    e = decay(abs(h))
    total = one + e
    shared = one / (total * (total + one))  # one division for 1/(1 + e) and for e/(2 + e)
    share = shared * (total + one)
    value = positive(h) - t * h + twice_artanh(e * total * shared)
    return value, (one if h >= same(h, 0.0) else e) * share - t, e * share * share


@formula
def binomial(t: Any, h: Any, p: Any, q: Any) -> Any:
    """The same of a share t, less its least value."""
    one, zero = same(h, 1.0), same(h, 0.0)
    value, first, second = logistic(t, h, p, q)
    rest = one - t
    own = t * log(t if t > zero else one) + rest * log(rest if rest > zero else one)
    return value + own, first, second


@formula
def hinge(t: Any, h: Any, threshold: Any, width: Any) -> Any:
    """max(0, threshold - z), z = (2t - 1) h; smoothed where the width is not 0."""
    one, zero = same(h, 1.0), same(h, 0.0)
    sign = t + t - one
    gap = threshold - sign * h
    kinked = width == zero
    slope = one / (one if kinked else width)
    u = (one if gap >= zero else zero) if kinked else clipped(gap * slope, zero, one)
    return u * gap - same(h, 0.5) * width * u * u, -sign * u, slope if zero < u < one else zero


@formula
def squared_hinge(t: Any, h: Any, p: Any, q: Any) -> Any:
    """max(0, 1 - z)²."""
    one, zero, two = same(h, 1.0), same(h, 0.0), same(h, 2.0)
    sign = two * t - one
    gap = positive(one - sign * h)
    return gap * gap, -two * sign * gap, two if gap > zero else zero


@formula
def modified_huber(t: Any, h: Any, p: Any, q: Any) -> Any:
    """max(0, 1 - z)², beyond z = -1 its tangent."""
    one, zero, two = same(h, 1.0), same(h, 0.0), same(h, 2.0)
    sign = two * t - one
    z = sign * h
    gap = clipped(one - z, zero, two)
    value = gap * gap + same(h, 4.0) * positive(-(z + one))
    return value, -two * sign * gap, two if zero < gap < two else zero


@formula
def squared(t: Any, h: Any, p: Any, q: Any) -> Any:
    """½ r², r = h - t."""
    r = h - t
    return same(h, 0.5) * r * r, r, same(h, 1.0)


@formula
def huber(t: Any, h: Any, delta: Any, q: Any) -> Any:
    """½ r², beyond delta its tangent."""
    r = h - t
    u = clipped(r, -delta, delta)
    return u * (r - same(h, 0.5) * u), u, same(h, 1.0) if abs(r) <= delta else same(h, 0.0)


@formula
def pinball(t: Any, h: Any, quantile: Any, width: Any) -> Any:
    """quantile · max(r, 0) + (1 - quantile) · max(-r, 0), r = t - h; smoothed where the width is not 0."""
    one, zero = same(h, 1.0), same(h, 0.0)
    r = t - h
    low = quantile - one
    kinked = width == zero
    slope = one / (one if kinked else width)
    u = (quantile if r > zero else low) if kinked else clipped(r * slope, low, quantile)
    return u * r - same(h, 0.5) * width * u * u, -u, slope if low < u < quantile else zero


@formula
def epsilon_insensitive(t: Any, h: Any, epsilon: Any, width: Any) -> Any:
    """max(0, |r| - epsilon); smoothed where the width is not 0."""
    one, zero = same(h, 1.0), same(h, 0.0)
    r = h - t
    gap = positive(abs(r) - epsilon)
    kinked = width == zero
    slope = one / (one if kinked else width)
    u = (one if gap > zero else zero) if kinked else clipped(gap * slope, zero, one)
    value = u * gap - same(h, 0.5) * width * u * u
    return value, u if r > zero else -u, slope if zero < u < one else zero


@formula
def squared_epsilon_insensitive(t: Any, h: Any, epsilon: Any, q: Any) -> Any:
    """max(0, |r| - epsilon)²."""
    zero, two = same(h, 0.0), same(h, 2.0)
    r = h - t
    gap = positive(abs(r) - epsilon)
    return gap * gap, two * gap if r > zero else -two * gap, two if gap > zero else zero


@formula
def with_tangent(value: Any, first: Any, second: Any, h: Any, inside: Any) -> Any:
    """A log link beyond ``inside``: its tangent, which is flat where the loss would fall below 0."""
    zero = same(h, 0.0)
    slope = zero if (h < inside and first > zero) else first
    beyond = clipped(h - inside, same(h, -FAR), same(h, FAR))
    return value + slope * beyond, slope, second if h == inside else zero


@formula
def poisson(t: Any, h: Any, limit: Any, q: Any) -> Any:
    """t log(t/μ) - t + μ, μ = e^h."""
    inside = clipped(h, -limit, limit)
    mean = exp(inside)
    own = t * (log(t if t > same(h, 0.0) else same(h, 1.0)) - inside)
    return with_tangent(own + (mean - t), mean - t, mean, h, inside)


@formula
def gamma(t: Any, h: Any, limit: Any, q: Any) -> Any:
    """t/μ - 1 - log(t/μ)."""
    one = same(h, 1.0)
    inside = clipped(h, -limit, limit)
    ratio = t * exp(-inside)
    return with_tangent(ratio - one - (log(t) - inside), one - ratio, ratio, h, inside)


@formula
def tweedie(t: Any, h: Any, limit: Any, power: Any) -> Any:
    """Half the deviance of a power above 1 and below 2."""
    one, zero = same(h, 1.0), same(h, 0.0)
    a, c = one - power, same(h, 2.0) - power
    inside = clipped(h, -limit, limit)
    lower, upper = t * exp(a * inside), exp(c * inside)  # y μ^(1-p) and μ^(2-p)
    own = exp(c * log(t if t > zero else one)) if t > zero else zero
    value = own / (a * c) - lower / a + upper / c
    return with_tangent(value, upper - lower, c * upper - a * lower, h, inside)


@formula
def negative_binomial(t: Any, h: Any, limit: Any, theta: Any) -> Any:
    """Half the deviance of V(μ) = μ + θμ²."""
    one = same(h, 1.0)
    inside = clipped(h, -limit, limit)
    mean = exp(inside)
    spread = one + theta * mean
    own = t * (log(t if t > same(h, 0.0) else one) - inside)
    value = own - (t + one / theta) * (log1p(theta * t) - log1p(theta * mean))
    return with_tangent(value, (mean - t) / spread, mean / spread * ((one + theta * t) / spread), h, inside)


def rowwise(derivatives: Callable[..., Any]) -> Callable[..., None]:
    """The loop around a formula of one output."""

    def pointwise(
        y: Array,
        eta: Array,
        b: Array,
        weight: Array,
        parameters: Array,
        value: Array,
        slope: Array,
        first: Array,
        second: Array,
    ) -> None:
        """Of m margins a row, weighted: derivatives in ``first`` and ``second`` (m, R), sums added to ``value`` (t,)
        and ``slope`` (m,). The margins are ``eta`` (m, R), written over, plus ``b``; row j of them has the targets
        ``y[j % q]`` and belongs to point j t/m. A ``second`` that is not wanted has one row, written over for each j:
        a store under a condition takes hundreds of cycles where it is not made and the memory was never touched."""
        m, n = eta.shape
        k = m // len(value)
        for j in range(m):
            targets = y[j % len(y)]
            curvature = second[min(j, len(second) - 1)]
            shift = same(weight[0], b[j])
            p, q = same(weight[0], parameters[0]), same(weight[0], parameters[1])
            for i in range(n):
                v, g, c = derivatives(targets[i], eta[j, i] + shift, p, q)
                eta[j, i] = weight[i] * v
                first[j, i] = weight[i] * g
                curvature[i] = weight[i] * c
            # A loop of its own, or the float64 of the sums would halve the vectors above.
            total, rise = 0.0, 0.0
            for i in range(n):
                total += eta[j, i]
                rise += first[j, i]
            value[j // k] += total
            slope[j] += rise

    return pointwise


def softmax(
    y: Array,
    eta: Array,
    b: Array,
    weight: Array,
    parameters: Array,
    value: Array,
    slope: Array,
    first: Array,
    second: Array,
) -> None:
    """The same for K margins a row together; ``second`` are the probabilities, unweighted."""
    m, n = eta.shape
    k = m // len(value)
    top, total = np.empty(n, eta.dtype), np.empty(n, eta.dtype)
    for start in range(0, m, k):
        top[:] = eta[start] + same(top[0], b[start])
        for j in range(start + 1, start + k):
            shift = same(top[0], b[j])
            for i in range(n):
                h = eta[j, i] + shift
                top[i] = top[i] if h < top[i] else h
        total[:] = same(top[0], 0.0)
        for j in range(start, start + k):
            shift = same(top[0], b[j])
            for i in range(n):
                h = eta[j, i] + shift - top[i]
                eta[j, i] = h
                e = decay(-h)
                first[j, i] = e
                total[i] += e
        gathered = 0.0
        for i in range(n):
            gathered += weight[i] * log(total[i])
            total[i] = same(top[0], 1.0) / total[i]
        value[start // k] += gathered
        for j in range(start, start + k):
            gathered, rise = 0.0, 0.0
            share = second[min(j, len(second) - 1)]
            for i in range(n):
                p = first[j, i] * total[i]
                own = same(p, 1.0) if y[0, i] == j - start else same(p, 0.0)
                gathered -= own * weight[i] * eta[j, i]
                share[i] = p
                p = (p - own) * weight[i]
                rise += p
                first[j, i] = p
            value[start // k] += gathered
            slope[j] += rise


class Twin(NamedTuple):
    """The compiled twin of a loss, and how it takes its targets."""

    function: Any  # compiled, for one precision
    argument: Any  # the same as other compiled functions take it
    parameters: Array  # (2,)
    signed: bool = False  # y is 0 or 1, the formula wants -1 or 1
    one_vs_rest: bool = False  # the formula is of one output: of each class against the rest
    rank_one: bool = False  # the second derivative of a row is diag(p) - ppᵀ, with p in ``second``


def _of_glm(loss: Any, high: float) -> tuple[Any, tuple[float, ...]] | None:
    family = loss.family
    if loss.link_name != "log" or not loss.convex:
        return None
    power = getattr(family, "power", 2.0)
    limit = high / max(1.0, power / 3, (2 - power) / 2.5)
    if isinstance(family, NegativeBinomial):
        return negative_binomial, (limit, family.theta)
    if not isinstance(family, Tweedie):
        return None
    if power in (1, 2):
        return (poisson if power == 1 else gamma), (limit,)
    return tweedie, (limit, power)


# Of each class: the formula and its parameters; ``high``: where a log link goes on as its tangent.
FORMULAS: dict[type, Callable[[Any, float], tuple[Any, tuple[float, ...]] | None]] = {
    Logistic: lambda loss, high: (logistic, ()),
    Softmax: lambda loss, high: (softmax, ()),
    Hinge: lambda loss, high: (hinge, (loss.threshold, loss.width)),
    SquaredHinge: lambda loss, high: (squared_hinge, ()),
    ModifiedHuber: lambda loss, high: (modified_huber, ()),
    Squared: lambda loss, high: (squared, ()),
    Huber: lambda loss, high: (huber, (loss.delta,)),
    Pinball: lambda loss, high: (pinball, (loss.quantile, loss.width)),
    EpsilonInsensitive: lambda loss, high: (epsilon_insensitive, (loss.epsilon, loss.width)),
    SquaredEpsilonInsensitive: lambda loss, high: (squared_epsilon_insensitive, (loss.epsilon,)),
    GeneralizedLinear: _of_glm,
    Binomial: lambda loss, high: (binomial, ()) if loss.link_name == "logit" else None,
}


def twin_of(loss: Loss, dtype: np.dtype) -> Twin | None:
    """The twin of a loss for margins of this precision; None where it has none."""
    inner, signed, one_vs_rest = loss, False, False
    if isinstance(inner, OneVsRest):
        inner, one_vs_rest = inner.loss, True
    if isinstance(inner, Signed):
        inner, signed = inner.loss, True
    make = FORMULAS.get(type(inner))
    found = make(inner, 28.0 if dtype == np.float32 else 200.0) if COMPILED and make is not None else None
    if found is None:
        return None
    function, parameters = found
    padded = np.array([*parameters, 0.0, 0.0][:2])
    return Twin(*_compiled(function, dtype.char), padded, signed, one_vs_rest, function is softmax)


def signature(real: Any) -> Any:
    """Of every twin for margins of the precision ``real``."""
    own, rows, matrix = numba.float64[::1], real[::1], real[:, ::1]
    return numba.types.void(matrix, matrix, own, rows, own, own, own, matrix, matrix)


@cache
def _compiled(function: Any, char: str) -> tuple[Any, Any]:
    loop = function if function is softmax else rowwise(function)
    compiled = jit(loop, signature(numba.from_dtype(np.dtype(char))), fastmath=FAST)
    return compiled, as_argument(compiled)
