"""Errors and warnings of dask_gd. Each says who failed, why, and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["DataError", "FitInterrupted", "PerfectSeparationWarning"]


class DataError(ValueError):
    """The data cannot be fitted as they are; the message names the block and the column."""


class PerfectSeparationWarning(UserWarning):
    """The classes can be told apart without an error and nothing is penalised: no minimum exists."""


class FitInterrupted(RuntimeError):
    """The cluster failed in mid-fit and could not be asked again.

    Parameters
    ----------
    message : str
        Who failed, why, and what to do.
    coef : ndarray of shape (n_features, n_outputs) or None
        The coefficients of the last finished iteration, in original units.
    intercept : ndarray of shape (n_outputs,) or None
        The intercept of the last finished iteration.
    n_iter : int
        Finished iterations.
    """

    def __init__(
        self, message: str, coef: np.ndarray | None = None, intercept: np.ndarray | None = None, n_iter: int = 0
    ) -> None:
        super().__init__(message)
        self.coef = coef
        self.intercept = intercept
        self.n_iter = n_iter

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.coef, self.intercept, self.n_iter)
