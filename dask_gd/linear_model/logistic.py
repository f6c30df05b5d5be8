"""Logistic regression, binary and softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..losses import Loss
from ..protocol import Result
from .base import SOLVER_NAMES, LinearModel, logistic, penalty_spec
from .docs import shared_docs
from .fit import Problem
from .params import check_common, check_real
from .penalty import PenaltySpec
from .predict import LinearClassifierMixin, ProbabilityMixin
from .start import CONSTANT_MODEL, Start, start_of


class LinearClassifierBase(LinearClassifierMixin, LinearModel):
    """A classifier of C Σ s ℓ + Ω: ``coef_``, ``intercept_``, ``classes_`` and how it got them."""

    def _of_classes(self, loss: Callable[[int], Loss], penalty: PenaltySpec, start: Start) -> Problem:
        """The problem of the parameters that every such classifier has."""
        check_common(self, SOLVER_NAMES)
        return Problem(
            penalty,
            loss,
            self.solver,
            self.max_iter,
            self.tol,
            self.fit_intercept,
            targets="labels",
            class_weight=self.class_weight,
            start=start,
        )

    def _keep(self, result: Result) -> None:
        self.coef_, self.intercept_ = result.coef, result.intercept

    def _inverse_of_C(self) -> float:
        """The strength of the penalty beside a plain sum of losses."""
        check_real(self, "C", low=0.0, open_low=True, infinite=True)
        return 0.0 if np.isinf(self.C) else 1.0 / float(self.C)


@shared_docs
class LogisticRegression(ProbabilityMixin, LinearClassifierBase):
    """Logistic regression: minimises C Σ s ℓ(y, x·w + b + o) + ρ ‖w‖₁ + (1 - ρ)/2 ‖w‖²; b is not penalised.

    Two classes: ℓ(y, η) = log(1 + e^η) - yη with y = 1 for ``classes_[1]``. More: the softmax loss
    log Σ_k e^{η_k} - η_y, symmetric over the classes.

    Parameters
    ----------
    C : float, default=1.0
        C > 0, the weight of the data against the penalty, the same as scikit-learn's; ``inf``: no penalty. Classes that
        can be separated have no minimum then: the fit stops with a PerfectSeparationWarning.
    l1_ratio : float, default=0.0
        ρ in [0, 1], as scikit-learn's: 0 is an L2 penalty, 1 an L1 penalty, whose zeros are exact.
    {fit_intercept}
    class_weight : dict, "balanced" or None, default=None
        Multiplies the sample weights by class; "balanced" gives every class the same total.
    {standardize}
    {bounds}
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (1, d) or (n_classes, d)
        Log odds per unit of the column.
    intercept_ : ndarray of shape (1,) or (n_classes,)
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    {fitted}

    References
    ----------
    McCullagh & Nelder, *Generalized Linear Models* (1989), ch. 4; Hastie, Tibshirani & Friedman, *The Elements of
    Statistical Learning* (2009), sec. 4.4.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from dask_gd import LogisticRegression
    >>> X = da.from_array(np.array([[-2.0], [-1.0], [1.0], [2.0]]), chunks=(2, 1))
    >>> y = da.from_array(np.array(["no", "no", "yes", "yes"]), chunks=2)
    >>> model = LogisticRegression().fit(X, y)
    >>> model.classes_, model.predict(X).compute()
    (array(['no', 'yes'], dtype='<U3'), array(['no', 'no', 'yes', 'yes'], dtype='<U3'))
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        l1_ratio: float = 0.0,
        fit_intercept: bool = True,
        class_weight: Any = None,
        standardize: bool = False,
        penalty_factor: Any = None,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _fitted_loss(self) -> Loss:
        return logistic(len(self._fitted_classes()))

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        *,
        coef_init: Any = None,
        intercept_init: Any = None,
    ) -> LogisticRegression:
        """Fit to data.

        Parameters
        ----------
        X : array-like, CSR matrix, or dask array or DataFrame of shape (n, d)
        y : array-like or dask array of shape (n,)
            Labels of any type.
        sample_weight : array-like or dask array of shape (n,), optional
            s ≥ 0; a weight of zero removes the row.
        offset : array-like or dask array of shape (n,), optional
            o, a part of the margin that is known (of two classes).
        coef_init : array-like of the shape of ``coef_``, optional
            Where to start, in the place of 0 or of the coefficients of a warm start.
        intercept_init : float or array-like of the shape of ``intercept_``, optional
            Likewise, in the place of the constant model's.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            NaN or infinity (the message names block and column), lengths that differ, negative weights, a single
            class, continuous y.
        FitInterrupted
            The cluster failed for good.
        """
        problem = self._problem(y, start_of(self, coef_init, intercept_init))
        return self._fit(X, y, sample_weight, offset, problem)

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        check_real(self, "l1_ratio", low=0.0, high=1.0)
        penalty = penalty_spec(self, self._inverse_of_C(), float(self.l1_ratio), of_sum=True)
        return self._of_classes(logistic, penalty, start)
