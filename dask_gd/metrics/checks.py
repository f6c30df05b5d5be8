"""Reading labels, numbers and parameters, with scikit-learn's words where they cannot be read."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..protocol import Array

SPAN = 64  # of integers that are counted in a table and not sorted
FEW_STRINGS = 8

NO_WEIGHT = "Sample weights must contain at least one non-zero number."


def check_choice(name: str, value: Any, allowed: Sequence[Any], owner: str) -> None:
    """Raise where a parameter is none of these."""
    if not any(value is a or (isinstance(value, str) and value == a) for a in allowed):
        names = ", ".join(repr(a) for a in allowed)
        raise ValueError(f"The {name!r} parameter of {owner} must be one of {{{names}}}. Got {value!r} instead.")


def check_range(name: str, value: Any, low: float, high: float, owner: str) -> None:
    """Raise where a parameter is no number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not low <= value <= high:
        raise ValueError(
            f"The {name!r} parameter of {owner} must be a float in the range [{low}, {high}]. Got {value!r} instead."
        )


def hashable(values: Any) -> Any:
    """A parameter that may be an array, as a tuple; None and strings as they are."""
    return values if values is None or isinstance(values, str) else tuple(np.asarray(values).tolist())


def check_finite(values: Array, name: str = "") -> None:
    """Raise in scikit-learn's words where a number is not finite."""
    if values.dtype.kind != "f" or np.isfinite(np.sum(values)) or np.isfinite(values).all():
        return
    what = "NaN" if np.isnan(values).any() else f"infinity or a value too large for {values.dtype!r}"
    raise ValueError(f"Input {name}{' ' if name else ''}contains {what}.")


def outputs(values: Any) -> Array:
    """Numbers as a contiguous (m, n) array in float64: every row an output."""
    values = np.asarray(values)
    if values.ndim > 2:
        raise ValueError(f"Found array with dim {values.ndim}. None expected <= 2.")
    values = np.ascontiguousarray(np.atleast_2d(values.T), dtype=np.float64)
    check_finite(values)
    return values


def check_weight(weight: Array | None) -> Array | None:
    """Weights as float64 of shape (n,), or None."""
    if weight is None:
        return None
    weight = np.asarray(weight, dtype=np.float64)
    if weight.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar, got {weight.ndim}D array. "
            "Expected either a scalar value or a 1D array."
        )
    check_finite(weight, "sample_weight")
    return weight


def total(values: Array, weight: Array | None) -> Any:
    """Σ s v over the last axis. NumPy's pairwise sums: no BLAS, whose threads are somebody else's choice."""
    return np.sum(values if weight is None else values * weight, axis=-1, dtype=np.float64)


def label_vector(values: Any, name: str) -> Array:
    """Labels as a vector of integers, bools, whole floats or strings."""
    values = np.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"{_type_of_target(values)} is not supported")
    if values.dtype.kind in "OT":
        found = values.tolist()
        kinds = {isinstance(v, str) for v in found}
        if len(kinds) > 1:
            raise ValueError(f"Mix of label input types (string and number); Got {name} of both.")
        values = np.array(found)
        if values.dtype.kind not in "biufU":
            raise ValueError("unknown is not supported")
    elif values.dtype.kind == "S":
        raise TypeError(
            "Support for labels represented as bytes is not supported. Convert the labels to a string or integer "
            "format."
        )
    check_finite(values, name)
    return values


def is_continuous(labels: Array) -> bool:
    """Whether some are no whole numbers."""
    return labels.dtype.kind == "f" and bool(np.any(labels != np.rint(labels)))


def label_pair(y: Any, predicted: Any) -> tuple[Array, Array]:
    """True and predicted labels that can be compared."""
    y, predicted = label_vector(y, "y_true"), label_vector(predicted, "y_pred")
    continuous = is_continuous(y), is_continuous(predicted)
    if all(continuous):
        raise ValueError("continuous is not supported")
    if any(continuous):
        mixed = f"{_type_of_target(y)} and {_type_of_target(predicted)}"
        raise ValueError(f"Classification metrics can't handle a mix of {mixed} targets")
    if (y.dtype.kind == "U") != (predicted.dtype.kind == "U"):
        raise ValueError(
            f"Mix of label input types (string and number); Got {np.unique(y)} and {np.unique(predicted)}."
        )
    return y, predicted


def encode(values: Array) -> tuple[Array, Array]:
    """The labels that occur, ascending, and the number of each row's."""
    if values.dtype.kind == "b":
        values = values.view(np.int8)
    if values.dtype.kind in "iuf" and len(values):
        low, high = values.min(), values.max()
        if float(high) - float(low) < SPAN and (values.dtype.kind != "f" or not is_continuous(values)):
            codes = (values - low).astype(np.intp)
            there = np.bincount(codes) > 0
            labels = (np.flatnonzero(there).astype(values.dtype) + low).astype(values.dtype)
            return labels, codes if there.all() else (np.cumsum(there) - 1)[codes]
    found = _few(values) if values.dtype.kind == "U" and len(values) else None
    labels, codes = np.unique(values, return_inverse=True) if found is None else found
    return labels, codes


def _few(values: Array) -> tuple[Array, Array] | None:
    """The same for a few strings, which are sooner compared than sorted; None: there are more."""
    codes = np.full(len(values), -1)
    places: list[int] = []
    while codes[place := int(np.argmin(codes))] < 0:
        if len(places) == FEW_STRINGS:
            return None
        codes[values == values[place]] = len(places)
        places.append(place)
    order = np.argsort(values[places])
    return values[places][order], np.argsort(order)[codes]


def label_codes(y: Any) -> tuple[Array, Array]:
    """True labels that stand beside scores: those that occur, and the number of each row's."""
    y = label_vector(y, "y_true")
    if is_continuous(y):
        raise ValueError("Unknown label type: continuous. A classification metric expects discrete classes.")
    return encode(y)


# -- scikit-learn's words, loaded where they are needed: a worker that sums needs none of it --------------------------


def _type_of_target(values: Array) -> str:
    from sklearn.utils.multiclass import type_of_target

    return str(type_of_target(values))


def warn_undefined(message: str, stacklevel: int) -> None:
    """scikit-learn's ``UndefinedMetricWarning``; ``stacklevel`` as seen by who calls this."""
    from sklearn.exceptions import UndefinedMetricWarning

    warnings.warn(message, UndefinedMetricWarning, stacklevel=stacklevel + 1)
