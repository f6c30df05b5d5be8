"""exp and log without branches or calls, so that loops over them become vector instructions.

Errors are a few units in the last place; NaN stays NaN. Polynomials are near the best of their degree, and summed in
pairs so that the sums do not wait for each other. (Muller, *Elementary Functions*, 2016, ch. 3, 4, 5 and 11.)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .jit import COMPILED, EXACT, numba

__all__ = ["decay", "exp", "log", "log1p", "same", "twice_artanh"]

LN2 = math.log(2.0)


def exp(x: Any) -> Any:
    """e^x; 0 where it is not a normal number."""
    return math.exp(x)


def decay(x: Any) -> Any:
    """e^-x for x ≥ 0; where that is no normal number, one that hardly is."""
    return math.exp(-x)


def log(x: Any) -> Any:
    """log x of a normal number above zero."""
    return math.log(x)


def log1p(x: Any) -> Any:
    """log(1 + x) for x ≥ 0."""
    return math.log1p(x)


def twice_artanh(s: Any) -> Any:
    """2 artanh s for |s| ≤ 1/3; with s = x/(2 + x) it is log(1 + x) for 0 ≤ x ≤ 1."""
    return 2 * math.atanh(s)


def same(x: Any, constant: float) -> Any:
    """A constant in the precision of ``x``: a bare one would make float64 of it all."""
    return constant


def near_best(series: list[float], low: float, high: float, degree: int) -> list[float]:
    """The coefficients of the polynomial that meets a power series at the Chebyshev points of an interval."""
    power_series = np.polynomial.Polynomial(series)
    found = np.polynomial.Chebyshev.interpolate(power_series, degree, domain=[low, high])
    return [float(c) for c in found.convert(kind=np.polynomial.Polynomial).coef]


if COMPILED:
    intrinsic, overload, types = numba.extending.intrinsic, numba.extending.overload, numba.types
    OPTIONS = {"fastmath": EXACT, "error_model": "numpy", "forceinline": True}
    KINDS = {types.float32: types.int32, types.float64: types.int64}

    @intrinsic
    def bits(context: Any, x: Any) -> Any:
        """The bits of a float as an integer."""

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return builder.bitcast(values[0], context.get_value_type(signature.return_type))

        return KINDS[x](x), code

    @intrinsic
    def number(context: Any, k: Any) -> Any:
        """The float that has these bits."""

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return builder.bitcast(values[0], context.get_value_type(signature.return_type))

        return {whole: real for real, whole in KINDS.items()}[k](k), code

    def _precision(x: Any) -> Any:
        return np.float32 if x == types.float32 else np.float64

    @overload(same, jit_options=OPTIONS, inline="always")
    def _same(x: Any, constant: float) -> Any:
        T = _precision(x)

        def converted(x: Any, constant: float) -> Any:
            return T(constant)

        return converted

    @overload(exp, jit_options=OPTIONS)
    def _exp(x: Any) -> Any:
        return _exponential(_precision(x))[0]

    @overload(decay, jit_options=OPTIONS)
    def _decay(x: Any) -> Any:
        return _exponential(_precision(x))[1]

    def _exponential(T: Any) -> tuple[Any, Any]:
        """:func:`exp` and :func:`decay` in this precision."""
        single = T is np.float32
        whole = np.int32 if single else np.int64
        digits = whole(23 if single else 52)
        magic = T(1.5 * 2.0 ** (23 if single else 52))  # adding it rounds to whole numbers, kept in the last bits
        low, high = (T(-87.3), T(88.7)) if single else (T(-708.3), T(709.7))
        per_ln2, zero, infinity = T(1 / LN2), T(0), T(np.inf)
        # ln 2 in two parts, the first of few digits, so that its products are exact.
        above = T(0.693359375) if single else T(float.fromhex("0x1.62e42fee00000p-1"))
        below = T(-2.12194440054690583e-4) if single else T(1.90821492927058770002e-10)
        # Of (e^r - 1 - r)/r² for |r| ≤ ln 2/2.
        series = [1 / math.factorial(i) for i in range(2, 24)]
        degree = 4 if single else 9
        c2, c3, c4, c5, c6, *more = map(T, near_best(series, -LN2 / 2, LN2 / 2, degree))
        c7, c8, c9, c10, c11 = more or [T(0)] * 5
        one = T(1)
        unit = one.view(whole)  # its bits

        def single_decay(x: Any) -> Any:
            a = low if -x < low else -x
            m = a * per_ln2 + magic
            k = m - magic
            r = (a - k * above) - k * below
            r2 = r * r
            p = (one + r) + r2 * ((c2 + r * c3) + r2 * ((c4 + r * c5) + r2 * c6))
            return p * number(whole(unit + (bits(m) << digits)))

        def double_decay(x: Any) -> Any:
            a = low if -x < low else -x
            m = a * per_ln2 + magic
            k = m - magic
            r = (a - k * above) - k * below
            r2 = r * r
            r4 = r2 * r2
            p = ((c6 + r * c7) + r2 * (c8 + r * c9)) + r4 * (c10 + r * c11)
            p = one + (r + r2 * (((c2 + r * c3) + r2 * (c4 + r * c5)) + r4 * p))
            return p * number(whole(unit + (bits(m) << digits)))

        def single_exp(x: Any) -> Any:
            a = low if x < low else x
            a = high if a > high else a
            m = a * per_ln2 + magic
            k = m - magic
            r = (a - k * above) - k * below
            r2 = r * r
            p = (one + r) + r2 * ((c2 + r * c3) + r2 * ((c4 + r * c5) + r2 * c6))
            y = number(whole(bits(p) + (bits(m) << digits)))  # whole(): sums of int32 are int64 to Numba
            y = zero if x < low else y
            y = infinity if x > high else y
            return y if x == x else x

        def double_exp(x: Any) -> Any:
            a = low if x < low else x
            a = high if a > high else a
            m = a * per_ln2 + magic
            k = m - magic
            r = (a - k * above) - k * below
            r2 = r * r
            r4 = r2 * r2
            p = ((c6 + r * c7) + r2 * (c8 + r * c9)) + r4 * (c10 + r * c11)
            p = one + (r + r2 * (((c2 + r * c3) + r2 * (c4 + r * c5)) + r4 * p))
            y = number(bits(p) + (bits(m) << digits))
            y = zero if x < low else y
            y = infinity if x > high else y
            return y if x == x else x

        return (single_exp, single_decay) if single else (double_exp, double_decay)

    @overload(log, jit_options=OPTIONS)
    def _log(x: Any) -> Any:
        T = _precision(x)
        single = T is np.float32
        whole = np.int32 if single else np.int64
        digits = whole(23 if single else 52)
        root = whole(int(np.sqrt(T(0.5)).view(whole)))
        one, two, ln2 = T(1), T(2), T(LN2)
        a3, a5, a7, a9, a11, a13, a15, a17, a19, a21 = (T(1 / i) for i in range(3, 22, 2))

        def single_log(x: Any) -> Any:
            power = whole(bits(x) - root) >> digits
            f = number(whole(bits(x) - (power << digits))) - one  # x = 2^power (1 + f)
            s = f / (two + f)
            z = s * s
            p = z * (a3 + z * (a5 + z * (a7 + z * a9)))
            return T(power) * ln2 + two * (s + s * p)

        def double_log(x: Any) -> Any:
            power = (bits(x) - root) >> digits
            f = number(bits(x) - (power << digits)) - one
            s = f / (two + f)
            z = s * s
            p = a13 + z * (a15 + z * (a17 + z * (a19 + z * a21)))
            p = z * (a3 + z * (a5 + z * (a7 + z * (a9 + z * (a11 + z * p)))))
            return T(power) * ln2 + two * (s + s * p)

        return single_log if single else double_log

    @overload(log1p, jit_options=OPTIONS)
    def _log1p(x: Any) -> Any:
        one = _precision(x)(1)

        def whole(x: Any) -> Any:
            u = one + x
            return log(u) + (x - (u - one)) / u  # what was lost in the sum (Kahan)

        return whole

    @overload(twice_artanh, jit_options=OPTIONS)
    def _twice_artanh(s: Any) -> Any:
        T = _precision(s)
        two = T(2)
        # Of (artanh s - s)/s³ in z = s² ≤ 1/9.
        degree = 3 if T is np.float32 else 9
        a0, a1, a2, a3, *more = map(T, near_best([1 / i for i in range(3, 80, 2)], 0.0, 1 / 9, degree))
        a4, a5, a6, a7, a8, a9 = more or [T(0)] * 6

        def single(s: Any) -> Any:
            z = s * s
            p = (a0 + z * a1) + z * z * (a2 + z * a3)
            return two * (s + s * (z * p))

        def double(s: Any) -> Any:
            z = s * s
            z2 = z * z
            z4 = z2 * z2
            p = ((a0 + z * a1) + z2 * (a2 + z * a3)) + z4 * (((a4 + z * a5) + z2 * (a6 + z * a7)) + z4 * (a8 + z * a9))
            return two * (s + s * (z * p))

        return single if T is np.float32 else double
