"""Logistic regression, binary and softmax."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..penalties import L2, NoPenalty, Penalty
from .fit import Problem, fit_model
from .least_squares import SOLVER_NAMES
from .params import check_common, check_real
from .predict import LinearClassifierMixin


class LogisticRegression(LinearClassifierMixin, BaseEstimator):
    """Logistic regression: minimises C Σ s ℓ(y, x·w + b + o) + ½ ‖w‖²; b is not penalised.

    Two classes: ℓ(y, η) = log(1 + e^η) - yη with y = 1 for ``classes_[1]``. More: the softmax loss
    log Σ_k e^{η_k} - η_y, symmetric over the classes.

    Parameters
    ----------
    C : float, default=1.0
        C > 0, the weight of the data against the penalty, the same as scikit-learn's; ``inf``: no penalty.
    fit_intercept : bool, default=True
        False: b = 0.
    class_weight : dict, "balanced" or None, default=None
        Multiplies the sample weights by class; "balanced" gives every class the same total.
    solver : {"auto", "newton-cholesky", "lbfgs"}, default="auto"
        "auto" takes Newton where the Hessian of p = (d + 1) × outputs parameters is cheap.
    max_iter : int, default=1000
        Iterations at the most.
    tol : float or None, default=1e-8
        The fit stops when √((F - F*) / F at the start), as estimated from gradient and curvature, is at most this. No
        unit of X and no repetition of the rows changes it. None: always ``max_iter`` iterations.
    warm_start : bool, default=False
        Start from the last fit's coefficients.
    verbose : int, default=0
        Above 0: print a line an iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (1, d) or (n_classes, d)
        Log odds per unit of the column.
    intercept_ : ndarray of shape (1,) or (n_classes,)
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    n_iter_, n_sweeps_ : int
        Iterations, and passes over the data including the one for the moments.
    converged_ : bool
    history_ : dict of ndarray of shape (n_iter_,)
        "objective" (F divided by C·S), "grad_norm", "step", "seconds", "rows", "bytes", "tasks" of every iteration.
    solver_ : str
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    Hastie, Tibshirani & Friedman, *The Elements of Statistical Learning* (2009), sec. 4.4.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd import LogisticRegression
    >>> X = da.from_array([[-2.0], [-1.0], [1.0], [2.0]], chunks=(2, 1))
    >>> y = da.from_array(["no", "yes", "no", "yes"], chunks=2)
    >>> model = LogisticRegression().fit(X, y)
    >>> model.classes_, model.predict(X).compute()
    (array(['no', 'yes'], dtype='<U3'), array(['no', 'no', 'yes', 'yes'], dtype='<U3'))
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        class_weight: Any = None,
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float | None = 1e-8,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> LogisticRegression:
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
        check_common(self, SOLVER_NAMES)
        check_real(self, "C", low=0.0, open_low=True, infinite=True)
        start = (self.coef_, self.intercept_) if self.warm_start and hasattr(self, "coef_") else None
        problem = Problem(
            partial(inverse_penalty, float(self.C)),
            None,
            self.solver,
            self.max_iter,
            self.tol,
            self.fit_intercept,
            classification=True,
            class_weight=self.class_weight,
            start=start,
        )
        result = fit_model(self, X, y, sample_weight, offset, problem).result
        self.coef_, self.intercept_ = result.coef, result.intercept
        return self


def inverse_penalty(C: float, total: float) -> Penalty:
    """½‖w‖² beside C times a sum is 1/(C·S) · ½‖w‖² beside the mean."""
    return NoPenalty() if np.isinf(C) else L2(1.0 / (C * total))
