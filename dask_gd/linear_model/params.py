"""Checks of constructor parameters, in scikit-learn's words."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral, Real
from typing import Any


def check_real(
    estimator: Any,
    name: str,
    *,
    low: float,
    high: float = float("inf"),
    open_low: bool = False,
    open_high: bool = False,
    none: bool = False,
    infinite: bool = False,
) -> None:
    """The parameter is a real number from ``low`` to ``high`` (or infinity, or None).

    Raises
    ------
    ValueError
    """
    value = getattr(estimator, name)
    if none and value is None:
        return
    number = isinstance(value, Real) and not isinstance(value, bool)
    enough = number and (value > low if open_low else value >= low) and (value < high if open_high else value <= high)
    if not enough or (value == float("inf") and not infinite):
        opening = "(" if open_low else "["
        closing = ")" if open_high or (high == float("inf") and not infinite) else "]"
        raise ValueError(
            f"The {name!r} parameter of {type(estimator).__name__} must be a float in the range "
            f"{opening}{low}, {high}{closing}{' or None' if none else ''}. Got {value!r} instead."
        )


def check_integer(estimator: Any, name: str, *, low: int) -> None:
    """The parameter is an integer from ``low`` upwards.

    Raises
    ------
    ValueError
    """
    value = getattr(estimator, name)
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise ValueError(
            f"The {name!r} parameter of {type(estimator).__name__} must be an int in the range [{low}, inf). "
            f"Got {value!r} instead."
        )


def check_option(estimator: Any, name: str, options: Collection[Any]) -> None:
    """The parameter is one of ``options``.

    Raises
    ------
    ValueError
    """
    value = getattr(estimator, name)
    if not any(value is option or (isinstance(value, str) and value == option) for option in options):
        known = ", ".join(repr(option) for option in options)
        raise ValueError(
            f"The {name!r} parameter of {type(estimator).__name__} must be one of {known}. Got {value!r} instead."
        )


def check_boolean(estimator: Any, name: str) -> None:
    """The parameter is True or False.

    Raises
    ------
    ValueError
    """
    value = getattr(estimator, name)
    if value not in (True, False) or isinstance(value, float):
        raise ValueError(
            f"The {name!r} parameter of {type(estimator).__name__} must be True or False. Got {value!r} instead."
        )


def precompute_of(estimator: Any) -> bool | str:
    """The parameter ``precompute``: True, False or "auto".

    Raises
    ------
    ValueError
    """
    value = getattr(estimator, "precompute", "auto")
    if not (isinstance(value, bool) or value == "auto"):
        raise ValueError(
            f"The 'precompute' parameter of {type(estimator).__name__} must be True, False or 'auto'. "
            f"Got {value!r} instead."
        )
    return value


def check_common(estimator: Any, solvers: Collection[str]) -> None:
    """The parameters that every estimator has."""
    check_option(estimator, "solver", solvers)
    check_integer(estimator, "max_iter", low=1)
    if estimator.tol != "statistical":
        check_real(estimator, "tol", low=0.0, none=True)
    check_integer(estimator, "verbose", low=0)
    check_boolean(estimator, "fit_intercept")
    check_boolean(estimator, "warm_start")
