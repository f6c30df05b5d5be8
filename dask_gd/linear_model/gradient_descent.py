"""The gradient-descent workbench: any loss × penalty × solver, with the learning rate in the user's hands."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sklearn.utils.metaestimators import available_if

from ..losses import LOSSES, Logistic, Loss
from ..protocol import Result
from ..solvers import SOLVERS
from ..solvers.gradient_descent import LEARNING_RATES, MOMENTUM_RATES
from .base import LinearModel, always, logistic, penalty_spec
from .docs import shared_docs
from .fit import Problem
from .params import check_boolean, check_common, check_option, check_real, precompute_of
from .predict import LinearRegressorMixin, ProbabilityMixin
from .start import CONSTANT_MODEL, Start, start_of
from .svm import one_vs_rest

GD_DEFAULTS = {
    "learning_rate": "auto",
    "eta0": 0.1,
    "power_t": 0.25,
    "momentum": 0.0,
    "nesterov": False,
    "metric": "euclidean",
}
L1_RATIO = {None: 0.0, "l2": 0.0, "l1": 1.0}


def losses_of(*, classification: bool) -> dict[str, Callable[[], Loss]]:
    """The registered losses of one output that a workbench offers by name."""
    found = {}
    for name, factory in LOSSES.items():
        if name != "multinomial":  # log_loss becomes it where there are more than two classes
            loss = factory()
            if loss.n_outputs == 1 and loss.classification == classification:
                found[name] = factory
    return found


class _Workbench(LinearModel):
    """Parameters that GDRegressor and GDClassifier share."""

    def _named_loss(self, *, classification: bool) -> Loss:
        """The loss of the parameter: a registered name, or an object of one's own."""
        if isinstance(self.loss, Loss):
            return self.loss
        known = losses_of(classification=classification)
        check_option(self, "loss", tuple(known))
        return known[self.loss]()

    def _stated(self, loss: Callable[[int], Loss], start: Start, **more: Any) -> Problem:
        check_common(self, ("auto", *SOLVERS))
        check_option(self, "penalty", (None, "l2", "l1", "elasticnet"))
        check_real(self, "alpha", low=0.0)
        check_real(self, "l1_ratio", low=0.0, high=1.0)
        options = self._descent()
        alpha = float(self.alpha) if self.penalty is not None else 0.0
        return Problem(
            penalty_spec(self, alpha, L1_RATIO.get(self.penalty, float(self.l1_ratio))),
            loss,
            solver=self.solver,
            max_iter=self.max_iter,
            tol=self.tol,
            fit_intercept=self.fit_intercept,
            solver_options=tuple(options.items()),
            start=start,
            **more,
        )

    def _descent(self) -> dict[str, Any]:
        """The options of gradient descent; none for another solver.

        Raises
        ------
        ValueError
            A parameter out of its range, or one that the solver or the learning rate cannot honour.
        """
        check_option(self, "learning_rate", LEARNING_RATES)
        check_real(self, "eta0", low=0.0, open_low=True)
        check_real(self, "power_t", low=0.0)
        check_real(self, "momentum", low=0.0, high=1.0, open_high=True)
        check_boolean(self, "nesterov")
        check_option(self, "metric", ("euclidean", "diagonal"))
        changed = [name for name, default in GD_DEFAULTS.items() if getattr(self, name) != default]
        if self.solver != "gd":
            if changed:
                raise ValueError(
                    f"solver={self.solver!r} has no learning rate and cannot honour {', '.join(changed)}: "
                    "use solver='gd', or leave the learning rate at its defaults."
                )
            return {}
        rate = self.learning_rate
        if rate != "invscaling" and "power_t" in changed:
            raise ValueError(
                f"learning_rate={rate!r} has no exponent and cannot honour power_t: use 'invscaling', or leave power_t "
                "at its default."
            )
        if rate not in MOMENTUM_RATES and (self.momentum or self.nesterov):
            raise ValueError(
                f"learning_rate={rate!r} finds each step by itself and cannot honour momentum or nesterov: "
                f"use one of {', '.join(map(repr, MOMENTUM_RATES))}, or leave momentum at 0."
            )
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True looks ahead along the momentum, and momentum is 0: use momentum=0.9, say.")
        options = {name: getattr(self, name) for name in GD_DEFAULTS if name != "metric"}
        return {**options, "standardised": self.metric == "diagonal"}

    def _refuse_kinks(self, loss: Loss) -> None:
        """Raise where the learning rate needs curvature and the loss is made of kinks."""
        if self.solver == "gd" and self.learning_rate in ("bb", "adgd") and not loss.smooth:
            raise ValueError(
                f"learning_rate={self.learning_rate!r} measures the curvature of the loss and {self.loss!r} has kinks "
                "in its place: use learning_rate='invscaling', or solver='auto'."
            )


@shared_docs
class GDRegressor(LinearRegressorMixin, _Workbench):
    """Regression by gradient descent: minimises (1/S) Σ s ℓ(y, x·w + b + o) + α (ρ ‖w‖₁ + (1 - ρ)/2 ‖w‖²), S = Σ s.

    w ← prox(w - η ∇F(w)): an iteration is one sweep over all blocks, and no sweep at all of a squared loss, which is
    known by its sums of products (``precompute``). ``learning_rate="auto"`` finds η by Armijo's
    rule; the other rates are the classics to learn and tune, and can diverge: a fit that does is stopped with a
    ConvergenceWarning.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        A name of ``dask_gd.losses.LOSSES``: "squared_error", "huber", "quantile", "epsilon_insensitive",
        "squared_epsilon_insensitive", "poisson", "gamma", "tweedie-1.5", "binomial-probit" and more; or an object of
        a class of ``dask_gd.losses``, such as ``Huber(delta=2.0)`` or ``Custom(value, first, second)``.
    penalty : {"l2", "l1", "elasticnet", None}, default="l2"
    alpha : float, default=1e-4
        α ≥ 0, relative to the mean of the losses, as in scikit-learn's SGDRegressor.
    l1_ratio : float, default=0.15
        ρ in [0, 1], of "elasticnet" alone; 1 for "l1" and 0 for "l2".
    fit_intercept : bool, default=True
        False: b = 0.
    {precompute}
    solver : str, default="gd"
        "gd", "auto", or one of "newton-cholesky", "preconditioned-lbfgs", "lbfgs", "newton-cg", "prox-newton",
        "prox-bfgs", "fista", "owlqn". Any but "gd" has no learning rate and refuses one. A loss with kinks
        ("quantile", "hinge") is smoothed by all but "gd", which takes subgradients.
    learning_rate : {"auto", "constant", "invscaling", "adaptive", "armijo", "bb", "adgd"}, default="auto"
        "constant": η = eta0. "invscaling": η = eta0 / t^power_t at iteration t. "adaptive": η = eta0 until the
        objective rises; that step is taken back and η divided by 5. "armijo", which is what "auto" takes: the best of
        several trial steps around the last one, all answered by one sweep; eta0 is the first trial. "bb": Barzilai and
        Borwein's rate from the last two gradients, with a non-monotone safeguard; eta0 is the first trial. "adgd":
        Malitsky and Mishchenko's adaptive rate, safe for losses whose curvature has no bound, such as Poisson's; eta0
        is the longest first trial.
    eta0 : float, default=0.1
        η > 0, in units of w per unit of ∇F. A constant rate converges below 2/L, with L the largest eigenvalue of
        the Hessian.
    power_t : float, default=0.25
        Exponent of "invscaling"; the other rates have none and refuse one.
    momentum : float, default=0.0
        β in [0, 1), of the rates "constant", "invscaling" and "adaptive": each step adds β times the last one
        (Polyak's heavy ball).
    nesterov : bool, default=False
        True: the gradient is that at the point where the momentum alone would lead.
    metric : {"euclidean", "diagonal"}, default="euclidean"
        "diagonal": steps are taken in standardised coordinates (every column of mean 0 and unit variance), which
        no unit of a column changes; X is neither copied nor shifted, and η is in those coordinates.
    max_iter : int, default=1000
        Iterations at the most.
    tol : float, "statistical" or None, default=1e-4
        The fit stops when √((F - F*) / F at the start), as estimated from the gradient in standardised units, is at
        most this. "statistical", of a solver with a Hessian: as soon as every coefficient is within 0.01 of its
        standard error of the minimum. None: always ``max_iter`` iterations.
    warm_start : bool, default=False
        Start from the last fit's coefficients.
    verbose : int, default=0
        Above 0: print a line an iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (d,)
        In units of y per unit of the column.
    intercept_ : float
        In units of y.
    n_iter_, n_sweeps_ : int
        Iterations, and passes over the data including the one for the moments.
    converged_ : bool
    history_ : dict of ndarray of shape (n_iter_,)
        "objective", "grad_norm", "step", "seconds", "rows", "bytes", "tasks" of every iteration.
    solver_ : str
    plan_ : Plan
        What ``explain`` says, with what the data showed and what the fit took.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    Nocedal & Wright, *Numerical Optimization* (2006), ch. 3; Polyak (1964) and Nesterov (1983) for momentum; Barzilai &
    Borwein (1988) and Raydan (1997); Malitsky & Mishchenko, *Adaptive Proximal Gradient Method for Convex
    Optimization*, NeurIPS 2024.

    Examples
    --------
    >>> from dask_gd import GDRegressor
    >>> model = GDRegressor(learning_rate="constant", eta0=0.5, penalty=None, tol=1e-8)
    >>> model.fit([[-1.0], [0.0], [1.0]], [-1.0, 1.0, 3.0]).coef_.round(6)
    array([2.])
    """

    def __init__(
        self,
        loss: Any = "squared_error",
        *,
        penalty: str | None = "l2",
        alpha: float = 1e-4,
        l1_ratio: float = 0.15,
        fit_intercept: bool = True,
        precompute: bool | str = "auto",
        solver: str = "gd",
        learning_rate: str = "auto",
        eta0: float = 0.1,
        power_t: float = 0.25,
        momentum: float = 0.0,
        nesterov: bool = False,
        metric: str = "euclidean",
        max_iter: int = 1000,
        tol: float | None = 1e-4,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.solver = solver
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.momentum = momentum
        self.nesterov = nesterov
        self.metric = metric
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _fitted_loss(self) -> Loss:
        return self._named_loss(classification=False)

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        *,
        coef_init: Any = None,
        intercept_init: Any = None,
    ) -> GDRegressor:
        """Fit to data.

        Parameters
        ----------
        X : array-like, CSR matrix, or dask array or DataFrame of shape (n, d)
        y : array-like or dask array of shape (n,)
        sample_weight : array-like or dask array of shape (n,), optional
            s ≥ 0; a weight of zero removes the row.
        offset : array-like or dask array of shape (n,), optional
            o, a part of the margin that is known.
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
            NaN or infinity (the message names block and column), lengths that differ, negative weights, a learning
            rate for a solver that has none.
        FitInterrupted
            The cluster failed for good.
        """
        problem = self._problem(y, start_of(self, coef_init, intercept_init))
        return self._fit(X, y, sample_weight, offset, problem)

    def _keep(self, result: Result) -> None:
        self.coef_ = result.coef[0]
        self.intercept_ = float(result.intercept[0])

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        loss = self._fitted_loss()
        self._refuse_kinks(loss)
        precompute = precompute_of(self)
        if precompute is True and not (loss.quadratic and loss.curvature == 1.0):
            raise ValueError(
                f"precompute=True needs the squared loss, and {type(loss).__name__} is not known by sums of products: "
                "use precompute='auto', or loss='squared_error'."
            )
        return self._stated(always(loss), start, precompute=precompute)


@shared_docs
class GDClassifier(ProbabilityMixin, _Workbench):
    """Classification by gradient descent: minimises (1/S) Σ s ℓ(y, x·w + b + o) + α (ρ ‖w‖₁ + (1 - ρ)/2 ‖w‖²), S = Σ s.

    The log loss becomes softmax where there are more than two classes; any other loss is then fitted one class against
    the rest, all in the same sweeps. Every iteration is one sweep over all blocks; ``learning_rate="auto"`` finds η by
    Armijo's rule.

    Parameters
    ----------
    loss : str or Loss, default="log_loss"
        "log_loss", "hinge", "squared_hinge" or "modified_huber", or an object of a class of ``dask_gd.losses``.
    penalty : {"l2", "l1", "elasticnet", None}, default="l2"
    alpha : float, default=1e-4
        α ≥ 0, relative to the mean of the losses, as in scikit-learn's SGDClassifier.
    l1_ratio : float, default=0.15
        ρ in [0, 1], of "elasticnet" alone; 1 for "l1" and 0 for "l2".
    fit_intercept : bool, default=True
        False: b = 0.
    class_weight : dict, "balanced" or None, default=None
        Multiplies the sample weights by class; "balanced" gives every class the same total.
    solver : str, default="gd"
        "gd", "auto", or one of "newton-cholesky", "preconditioned-lbfgs", "lbfgs", "newton-cg", "prox-newton",
        "prox-bfgs", "fista", "owlqn". Any but "gd" has no learning rate and refuses one. A loss with kinks
        ("quantile", "hinge") is smoothed by all but "gd", which takes subgradients.
    learning_rate : {"auto", "constant", "invscaling", "adaptive", "armijo", "bb", "adgd"}, default="auto"
        As in :class:`GDRegressor`.
    eta0 : float, default=0.1
        η > 0, in units of w per unit of ∇F.
    power_t : float, default=0.25
        Exponent of "invscaling"; the other rates have none and refuse one.
    momentum : float, default=0.0
        β in [0, 1), of the rates "constant", "invscaling" and "adaptive": each step adds β times the last one
        (Polyak's heavy ball).
    nesterov : bool, default=False
        True: the gradient is that at the point where the momentum alone would lead.
    metric : {"euclidean", "diagonal"}, default="euclidean"
        "diagonal": steps are taken in standardised coordinates (every column of mean 0 and unit variance), which
        no unit of a column changes; X is neither copied nor shifted, and η is in those coordinates.
    max_iter : int, default=1000
        Iterations at the most.
    tol : float, "statistical" or None, default=1e-4
        The fit stops when √((F - F*) / F at the start), as estimated from the gradient in standardised units, is at
        most this. "statistical", of a solver with a Hessian: as soon as every coefficient is within 0.01 of its
        standard error of the minimum. None: always ``max_iter`` iterations.
    warm_start : bool, default=False
        Start from the last fit's coefficients.
    verbose : int, default=0
        Above 0: print a line an iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (1, d) or (n_classes, d)
    intercept_ : ndarray of shape (1,) or (n_classes,)
    classes_ : ndarray of shape (n_classes,)
    n_iter_, n_sweeps_ : int
        Iterations, and passes over the data including the one for the moments.
    converged_ : bool
    history_ : dict of ndarray of shape (n_iter_,)
        "objective", "grad_norm", "step", "seconds", "rows", "bytes", "tasks" of every iteration.
    solver_ : str
    plan_ : Plan
        What ``explain`` says, with what the data showed and what the fit took.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    Nocedal & Wright, *Numerical Optimization* (2006), ch. 3; Hastie, Tibshirani & Friedman (2009), sec. 4.4.

    Examples
    --------
    >>> from dask_gd import GDClassifier
    >>> model = GDClassifier(eta0=1.0).fit([[-2.0], [-1.0], [1.0], [2.0]], [0, 1, 0, 1])
    >>> model.predict([[-3.0], [3.0]])
    array([0, 1])
    """

    def __init__(
        self,
        loss: Any = "log_loss",
        *,
        penalty: str | None = "l2",
        alpha: float = 1e-4,
        l1_ratio: float = 0.15,
        fit_intercept: bool = True,
        class_weight: Any = None,
        solver: str = "gd",
        learning_rate: str = "auto",
        eta0: float = 0.1,
        power_t: float = 0.25,
        momentum: float = 0.0,
        nesterov: bool = False,
        metric: str = "euclidean",
        max_iter: int = 1000,
        tol: float | None = 1e-4,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.momentum = momentum
        self.nesterov = nesterov
        self.metric = metric
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
    ) -> GDClassifier:
        """Fit to data; parameters and errors as in :meth:`LogisticRegression.fit`, and a ValueError for a learning
        rate with a solver that has none.

        Returns
        -------
        self
        """
        problem = self._problem(y, start_of(self, coef_init, intercept_init))
        return self._fit(X, y, sample_weight, offset, problem)

    def _keep(self, result: Result) -> None:
        self.coef_, self.intercept_ = result.coef, result.intercept

    def _problem(self, y: Any, start: Start = CONSTANT_MODEL) -> Problem:
        self._refuse_kinks(self._named_loss(classification=True))
        return self._stated(self._losses(), start, targets="labels", class_weight=self.class_weight)

    def _losses(self) -> Callable[[int], Loss]:
        """The loss for a number of classes."""
        loss = self._named_loss(classification=True)
        return logistic if isinstance(loss, Logistic) else partial(one_vs_rest, loss)

    def _fitted_loss(self) -> Loss:
        return self._losses()(len(self._fitted_classes()))

    def _has_probabilities(self) -> bool:
        loss = self._named_loss(classification=True)
        if not loss.probabilities:
            raise AttributeError(f"probability estimates are not available for loss={self.loss!r}")
        return True

    predict_proba = available_if(_has_probabilities)(ProbabilityMixin.predict_proba)
    predict_log_proba = available_if(_has_probabilities)(ProbabilityMixin.predict_log_proba)
