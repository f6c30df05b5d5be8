"""What every regressor does after it has named its loss and its penalty."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..arrays import is_device_array, to_numpy
from ..engine import is_dask, survey
from ..losses import Logistic, Loss, Softmax, Squared
from ..planner import Plan
from ..plot import plot_history
from ..protocol import Extent, Result
from ..solvers import SOLVERS
from .fit import Problem, fit_model
from .params import check_boolean, check_common
from .penalty import PenaltySpec
from .predict import LinearRegressorMixin
from .start import CONSTANT_MODEL, Start

SOLVER_NAMES = ("auto", *(name for name in SOLVERS if name != "gd"))


class SparseTag(BaseEstimator):
    """Takes CSR matrices."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class ModelBase(SparseTag):
    """Shows how its fit went."""

    def plot_history(self, ax: Any = None) -> Any:
        """Draw the objective and the gradient norm of every iteration; needs Matplotlib, the extra ``plot``.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default those of a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            Of the objective.

        Raises
        ------
        ValueError
            The model is not fitted, or its fit has no iterations.
        """
        return plot_history(self, ax)


class LinearModel(ModelBase):
    """A fit by :func:`fit_model` of the problem that ``_problem`` states."""

    _one_problem = True  # which a search may solve for many parameters and folds at once

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        """What the parameters ask for; raises ValueError where they do not go together. ``y`` may be None."""
        raise NotImplementedError

    def _fit(self, X: Any, y: Any, sample_weight: Any, offset: Any, problem: Problem) -> Any:
        """Fit, and keep what came of it."""
        self._keep(fit_model(self, X, y, sample_weight, offset, problem).result)
        self._look_back(X, y, offset)
        return self

    def _keep(self, result: Result) -> None:
        """Set ``coef_``, ``intercept_`` and what else comes of a fit."""
        raise NotImplementedError

    def _look_back(self, X: Any, y: Any, offset: Any) -> None:
        """Set what needs the data once more."""

    def explain(self, X: Any, y: Any = None) -> Plan:
        """The plan of a fit before anything is read: solver and reason, sweeps, bytes, memory and the runner-up.

        Parameters
        ----------
        X : array-like, CSR matrix, dask array or DataFrame of shape (n, d), or Extent
            Nothing is loaded. A :class:`dask_gd.protocol.Extent` describes data that are not there yet.
        y : array-like or dask array, optional
            Tells the number of targets or, if it is in memory, of classes; two are assumed otherwise.

        Returns
        -------
        Plan
            Prints as text; its fields are the numbers. After a fit ``plan_`` has the same with what it took.

        Raises
        ------
        ValueError
            Parameters that do not go together.
        """
        problem = self._problem(y)
        outputs, note = 1, ""
        if problem.targets == "labels":
            known = y is not None and not is_dask(y)
            outputs = len(np.unique(to_numpy(y) if is_device_array(y) else np.asarray(y))) if known else 2
            note = "" if known else ", two classes assumed"
        elif problem.targets == "columns" and len(getattr(y, "shape", ())) == 2:
            outputs = int(y.shape[1])
        X = X if isinstance(X, Extent) or hasattr(X, "dtype") or is_dask(X) else np.asarray(X)
        extent = X if isinstance(X, Extent) else survey(X)
        return problem.plan(f"{type(self).__name__}{note}", extent, problem.loss(outputs), problem.penalty)


class LinearRegressorBase(LinearRegressorMixin, LinearModel):
    """A regressor of one margin (or of one a target): ``coef_``, ``intercept_`` and how it got them."""

    def _stated(self, loss: Callable[[int], Loss], penalty: PenaltySpec, start: Start, **more: Any) -> Problem:
        """The problem of the parameters that every regressor has."""
        check_common(self, SOLVER_NAMES)
        return Problem(penalty, loss, self.solver, self.max_iter, self.tol, self.fit_intercept, start=start, **more)

    def _keep(self, result: Result) -> None:
        several = len(result.coef) > 1
        self.coef_ = result.coef if several else result.coef[0]
        self.intercept_ = result.intercept if several else float(result.intercept[0])


def penalty_spec(
    estimator: Any,
    alpha: Any,
    l1_ratio: float = 0.0,
    *,
    of_sum: bool = False,
    center: Any = None,
    groups: Any = None,
) -> PenaltySpec:
    """The penalty of an estimator with any of the parameters standardize, penalty_factor, bounds and positive."""
    lower, upper = getattr(estimator, "lower_bounds", None), getattr(estimator, "upper_bounds", None)
    for name in ("standardize", "positive"):
        if hasattr(estimator, name):
            check_boolean(estimator, name)
    if getattr(estimator, "positive", False):
        lower = 0.0 if lower is None else np.maximum(lower, 0.0)
    return PenaltySpec(
        alpha,
        l1_ratio,
        of_sum,
        getattr(estimator, "standardize", False),
        getattr(estimator, "penalty_factor", None),
        lower,
        upper,
        center,
        groups,
    )


def squared(n_targets: int) -> Loss:
    """½ (y - η)² of each target."""
    return Squared(n_targets)


def logistic(n_classes: int) -> Loss:
    """The logistic loss of two classes, softmax of more."""
    return Logistic() if n_classes == 2 else Softmax(n_classes)


def given(loss: Loss, n_targets: int) -> Loss:
    """That loss, whatever the data."""
    return loss


def always(loss: Loss) -> Callable[[int], Loss]:
    """A loss that does not depend on the data."""
    return partial(given, loss)
