"""Special functions of arrays of any library: SciPy's for NumPy, formulas of the standard's functions for others."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import numpy as np
import scipy.special
from numpy.polynomial.chebyshev import chebinterpolate

from ..arrays import namespace

ERFCX_BEND = 3.0  # erfcx(z) (1 + z/3) is a polynomial of 3/(3 + z) on z ≥ 0 …
ERFCX_DEGREE = 20  # … of this degree, to 6e-15 of its value


def xlogy(x: Any, y: Any) -> Any:
    """x log y, and 0 where x is 0."""
    xp = namespace(y)
    if xp is np:
        return scipy.special.xlogy(x, y)
    return xp.where(x == 0, 0, x * xp.log(xp.where(x == 0, 1, y)))


def _elsewhere_than(function: Callable[[Any], Any]) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any], Any]]:
    """``function`` of NumPy arrays; of others the formula that is decorated, in float64 as SciPy's are within."""

    def choose(formula: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
        @wraps(formula)
        def of_any(x: Any) -> Any:
            xp = namespace(x)
            if xp is np:
                return function(x)
            return xp.astype(formula(xp, xp.astype(x, xp.float64)), x.dtype, copy=False)

        return of_any

    return choose


@_elsewhere_than(scipy.special.expit)
def expit(xp: Any, x: Any) -> Any:
    """1/(1 + e^-x)."""
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1, e) / (1 + e)


@_elsewhere_than(scipy.special.erfcx)
def erfcx(xp: Any, x: Any) -> Any:
    """exp(x²) erfc(x)."""
    above = _erfcx_above(xp.abs(x))
    return xp.where(x >= 0, above, 2 * xp.exp(x * x) - above)


@_elsewhere_than(scipy.special.ndtr)
def ndtr(xp: Any, x: Any) -> Any:
    """Φ(x), the normal distribution function."""
    below = 0.5 * _erfcx_above(xp.abs(x) / 2**0.5) * xp.exp(-0.5 * x * x)
    return xp.where(x >= 0, 1 - below, below)


@_elsewhere_than(scipy.special.log_ndtr)
def log_ndtr(xp: Any, x: Any) -> Any:
    """log Φ(x)."""
    half = 0.5 * _erfcx_above(xp.abs(x) / 2**0.5)
    square = 0.5 * x * x
    return xp.where(x >= 0, xp.log1p(-half * xp.exp(-square)), xp.log(half) - square)


def _erfcx_above(z: Any) -> Any:
    """erfcx(z) for z ≥ 0, by Clenshaw's recurrence."""
    share = ERFCX_BEND / (ERFCX_BEND + z)
    t = 2 * share - 1
    first, *rest = _erfcx_coefficients()
    a, b = 0 * t, 0 * t
    for c in reversed(rest):
        a, b = 2 * t * a - b + c, a
    return (t * a - b + first) * share


@cache
def _erfcx_coefficients() -> tuple[float, ...]:
    """Chebyshev coefficients of erfcx(z) (1 + z/3) as a function of 6/(3 + z) - 1."""

    def scaled(t: Any) -> Any:
        z = ERFCX_BEND * (1 - t) / (1 + t)
        return scipy.special.erfcx(z) * (1 + z / ERFCX_BEND)

    return tuple(chebinterpolate(scaled, ERFCX_DEGREE).tolist())
