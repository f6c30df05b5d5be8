"""Where a fit starts: at the constant model, at the last fit's coefficients, or where the user says."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..objective import Objective
from ..protocol import Array


class Start(NamedTuple):
    """What is known of the start before the data are; picklable. ``None`` = not given."""

    coef: Array | None = None
    intercept: Array | None = None
    last: tuple[Array, Array] | None = None  # coefficients (k, d) and intercepts (k,) of a warm start

    def point(self, objective: Objective, default: tuple[Array, Array] | None = None) -> tuple[Array, Array, bool]:
        """Coefficients (k, d), intercepts (k,), and whether they are any others than the ``default``: the constant
        model's.

        Raises
        ------
        ValueError
            Numbers that do not fit the columns, the targets or the classes of the data.
        """
        coef, intercept = default or objective.start()
        if self.last is not None:
            if self.last[0].shape != coef.shape:
                raise ValueError(
                    f"warm_start=True, but the last fit left coefficients of shape {self.last[0].shape} and these data "
                    f"need {coef.shape}: use warm_start=False, or fit a clone."
                )
            coef, intercept = self.last
        outputs = len(coef) - objective.loss.n_constant  # the rest is a scale, which starts as ever
        if self.coef is not None:
            coef = coef.copy()
            coef[:outputs] = _fitting(self.coef, coef[:outputs].shape, "coef_init")
        if self.intercept is not None:
            intercept = intercept.copy()
            intercept[:outputs] = _fitting(self.intercept, intercept[:outputs].shape, "intercept_init")
        return coef, intercept, any(part is not None for part in self)


CONSTANT_MODEL = Start()


def start_of(estimator: Any, coef_init: Any, intercept_init: Any) -> Start:
    """The start of an estimator's fit: what its ``fit`` was given goes before the coefficients of a warm start.

    Raises
    ------
    ValueError
        Something else than finite numbers, or an intercept for a model without one.
    """
    coef, intercept = _numbers(coef_init, "coef_init"), _numbers(intercept_init, "intercept_init")
    if intercept is not None and not estimator.fit_intercept and intercept.any():
        raise ValueError(
            f"{type(estimator).__name__}(fit_intercept=False) has no intercept and cannot honour intercept_init: "
            "leave it out, or use fit_intercept=True."
        )
    last = None
    if estimator.warm_start and hasattr(estimator, "coef_"):
        last = np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_)
        if hasattr(estimator, "scale_"):
            last = np.vstack([last[0], np.zeros_like(last[0])]), np.append(last[1], estimator.scale_)
    return Start(coef, intercept, last)


def _numbers(values: Any, name: str) -> Array | None:
    if values is None:
        return None
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers. Got {values!r} instead.") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contains NaN or infinity.")
    return array


def _fitting(values: Array, shape: tuple[int, ...], name: str) -> Array:
    """The values in that shape, of which a leading 1 may be left out."""
    if values.shape != shape and not (shape[0] == 1 and values.shape in (shape[1:], (1, *shape))):
        needed = " or ".join(str(s) for s in ([shape[1:], shape] if shape[0] == 1 else [shape]))
        raise ValueError(f"Provided {name} does not match dataset. Its shape is {values.shape}, not {needed}.")
    return values.reshape(shape)
