"""Linear support vector machines."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..losses import LOSSES, Loss, OneVsRest
from .base import penalty_spec
from .docs import shared_docs
from .fit import Problem
from .logistic import LinearClassifierBase
from .params import check_option
from .start import CONSTANT_MODEL, Start, start_of


@shared_docs
class LinearSVC(LinearClassifierBase):
    """Linear support vector classification: minimises C Σ s max(0, 1 - yη)² + ½ ‖w‖², y = ±1; b is not penalised.

    Several classes are fitted one against the rest, all in the same sweeps. Unlike scikit-learn's (liblinear's), the
    intercept is free: no ``intercept_scaling`` is needed.

    Parameters
    ----------
    loss : {"squared_hinge", "hinge"}, default="squared_hinge"
        "hinge": max(0, 1 - yη) in its place, by smoothing that is taken back until the duality gap closes.
    C : float, default=1.0
        C > 0, the weight of the data against the penalty; ``inf``: no penalty.
    {fit_intercept}
    class_weight : dict, "balanced" or None, default=None
        Multiplies the sample weights by class; "balanced" gives every class the same total. (Of several classes,
        liblinear weighs the rows of the class that stands against the rest, and no others.)
    {solver}

    Attributes
    ----------
    coef_ : ndarray of shape (1, d) or (n_classes, d)
    intercept_ : ndarray of shape (1,) or (n_classes,)
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    {fitted}

    References
    ----------
    Hsieh et al., *A Dual Coordinate Descent Method for Large-scale Linear SVM*, ICML 2008.

    Examples
    --------
    >>> from dask_gd import LinearSVC
    >>> LinearSVC().fit([[-2.0], [-1.0], [1.0], [2.0]], [0, 0, 1, 1]).predict([[-3.0], [3.0]])
    array([0, 1])
    """

    def __init__(
        self,
        loss: str = "squared_hinge",
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
        self.loss = loss
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        *,
        coef_init: Any = None,
        intercept_init: Any = None,
    ) -> LinearSVC:
        """Fit to data; parameters and errors as in :meth:`LogisticRegression.fit`.

        Returns
        -------
        self
        """
        problem = self._problem(y, start_of(self, coef_init, intercept_init))
        return self._fit(X, y, sample_weight, offset, problem)

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        check_option(self, "loss", ("squared_hinge", "hinge"))
        penalty = penalty_spec(self, self._inverse_of_C(), of_sum=True)
        return self._of_classes(partial(one_vs_rest, LOSSES[self.loss]()), penalty, start)


def one_vs_rest(loss: Loss, n_classes: int) -> Loss:
    """A loss of two classes, of each class against the rest where there are more."""
    return loss if n_classes == 2 else OneVsRest(loss, n_classes)
