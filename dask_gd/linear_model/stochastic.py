"""Stochastic gradient descent with scikit-learn's parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if

from ..losses import (
    EpsilonInsensitive,
    Hinge,
    Huber,
    Logistic,
    Loss,
    ModifiedHuber,
    Signed,
    Squared,
    SquaredEpsilonInsensitive,
    SquaredHinge,
)
from ..protocol import Array, Pace
from ..solvers.sgd import SCHEDULES, Patience
from .base import ModelBase, always, penalty_spec
from .docs import shared_docs
from .epochs import StochasticProblem, solve_epochs
from .fit import fit_model
from .gradient_descent import L1_RATIO
from .params import check_boolean, check_integer, check_option, check_real
from .predict import LinearRegressorMixin, ProbabilityMixin
from .start import start_of
from .svm import one_vs_rest

REGRESSION: dict[str, Callable[[float], Loss]] = {
    "squared_error": lambda epsilon: Squared(),
    "huber": lambda epsilon: Huber(delta=epsilon),
    "epsilon_insensitive": lambda epsilon: EpsilonInsensitive(epsilon=epsilon),
    "squared_epsilon_insensitive": lambda epsilon: SquaredEpsilonInsensitive(epsilon=epsilon),
}
CLASSIFICATION: dict[str, Loss] = {
    "hinge": Hinge(),
    "log_loss": Logistic(),
    "modified_huber": ModifiedHuber(),
    "squared_hinge": SquaredHinge(),
    "perceptron": Hinge(threshold=0.0),
}
PASSIVE_AGGRESSIVE = ("pa1", "pa2")


class _Stochastic(ModelBase):
    """Parameters that SGDRegressor and SGDClassifier share."""

    def _check(self, losses: tuple[str, ...], passive_aggressive: str) -> None:
        check_option(self, "loss", losses)
        check_option(self, "penalty", ("l2", "l1", "elasticnet", None))
        check_real(self, "alpha", low=0.0)
        check_real(self, "l1_ratio", low=0.0, high=1.0)
        check_boolean(self, "fit_intercept")
        check_integer(self, "max_iter", low=1)
        check_real(self, "tol", low=0.0, none=True)
        check_boolean(self, "shuffle")
        check_integer(self, "verbose", low=0)
        check_real(self, "epsilon", low=0.0)
        check_option(self, "learning_rate", SCHEDULES)
        check_real(self, "eta0", low=0.0, open_low=True)
        check_real(self, "power_t", low=0.0)
        check_boolean(self, "early_stopping")
        check_real(self, "validation_fraction", low=0.0, high=1.0, open_low=True, open_high=True)
        check_integer(self, "n_iter_no_change", low=1)
        check_boolean(self, "warm_start")
        check_option(self, "mode", ("local", "synchronous"))
        check_real(self, "momentum", low=0.0, high=1.0, open_high=True)
        check_boolean(self, "nesterov")
        if not isinstance(self.average, bool):
            check_integer(self, "average", low=0)
        if self.batch_size is not None:
            check_integer(self, "batch_size", low=1)
        self._check_together(passive_aggressive)

    def _check_together(self, passive_aggressive: str) -> None:
        """Refuse what does not go together, by name."""
        if self.learning_rate == "optimal" and self.alpha == 0:
            raise ValueError(
                "alpha must be > 0 since learning_rate is 'optimal'. "
                "alpha is used to compute the optimal learning rate."
            )
        if self.learning_rate in PASSIVE_AGGRESSIVE and self.loss != passive_aggressive:
            raise ValueError(f"Learning rate '{self.learning_rate}' only works with loss '{passive_aggressive}'.")
        if self.mode == "local":
            refused = [
                f"{name}={value!r}"
                for name, value, none in (
                    ("batch_size", self.batch_size, (None, 1)),
                    ("momentum", self.momentum, (0,)),
                    ("nesterov", self.nesterov, (False,)),
                )
                if value not in none
            ]
            if refused:
                raise ValueError(
                    f"mode='local' steps at every row and cannot honour {', '.join(refused)}: use mode='synchronous', "
                    "or leave them at their defaults."
                )
        elif self.learning_rate in PASSIVE_AGGRESSIVE:
            raise ValueError(
                f"mode='synchronous' steps by many rows at once and cannot honour learning_rate="
                f"{self.learning_rate!r}, whose steps are of one row: use mode='local'."
            )
        elif self.nesterov and not self.momentum:
            raise ValueError("nesterov=True looks ahead by the momentum, which is 0: set momentum, such as 0.9.")

    def _problem(self, loss: Callable[[int], Loss], **more: Any) -> StochasticProblem:
        schedule = "constant" if self.learning_rate == "adaptive" else self.learning_rate
        alpha = float(self.alpha) if self.penalty is not None else 0.0
        defaults = dict(
            max_iter=self.max_iter,
            patience=Patience(self.tol, self.n_iter_no_change, self.learning_rate == "adaptive"),
            held_out=float(self.validation_fraction) if self.early_stopping else 0.0,
        )
        return StochasticProblem(
            penalty_spec(self, alpha, L1_RATIO.get(self.penalty, float(self.l1_ratio))),
            loss,
            mode=self.mode,
            pace=Pace(schedule, float(self.eta0), float(self.power_t), float(self.alpha), int(self.average)),
            shuffle=bool(self.shuffle),
            batch_size=self.batch_size,
            momentum=float(self.momentum),
            nesterov=bool(self.nesterov),
            fit_intercept=self.fit_intercept,
            **(defaults | more),
        )

    def _run(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        offset: Any,
        loss: Callable[[int], Loss],
        *,
        one_epoch: bool = False,
        **more: Any,
    ) -> tuple[Array, Array]:
        """Fit, or go on by one epoch; coefficients (k, d) and intercepts (k,)."""
        going_on = one_epoch and hasattr(self, "_walk")
        if going_on:
            more |= {"walk": self._walk, "epoch": self._epoch}
        seed = self._seed if going_on else int(check_random_state(self.random_state).randint(2**31 - 1))
        if one_epoch:
            if self.early_stopping:
                raise ValueError("early_stopping should be False with partial_fit")
            more |= {"max_iter": 1, "patience": Patience(None)}
        problem = self._problem(loss, seed=seed, **more)
        outcome = fit_model(self, X, y, sample_weight, offset, problem, solver=solve_epochs, first=not going_on)
        state = outcome.result.state
        self._walk, self._epoch, self._seed = state.walk, state.epoch, seed
        self.t_ = state.walk.t
        return outcome.result.coef, outcome.result.intercept


@shared_docs
class SGDRegressor(LinearRegressorMixin, _Stochastic):
    """Regression by stochastic gradients: minimises (1/n) Σ s ℓ(y, x·w + b + o) + α (ρ ‖w‖₁ + (1 - ρ)/2 ‖w‖²).

    {sgd_modes}

    Parameters
    ----------
    loss : {"squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"}, default="squared_error"
        ½ r², Huber's with δ = ε, max(0, abs(r) - ε) and its square, of the residual r.
    {sgd}
    learning_rate : {"constant", "optimal", "invscaling", "adaptive", "pa1", "pa2"}, default="invscaling"
        Of step t: "constant": η = eta0. "optimal": η = 1/(α (t₀ + t)), t₀ by Bottou. "invscaling":
        η = eta0 / t^power_t. "adaptive": eta0, divided by 5 whenever ``n_iter_no_change`` epochs bring no
        improvement. "pa1", "pa2": passive aggressive, for "epsilon_insensitive" alone; eta0 is their C.
    eta0 : float, default=0.01
        η > 0, in units of w per unit of the gradient.
    power_t : float, default=0.25
        Exponent of "invscaling".
    {sgd_rest}

    Attributes
    ----------
    coef_ : ndarray of shape (d,)
        In units of y per unit of the column.
    intercept_ : float
        In units of y.
    {sgd_fitted}

    References
    ----------
    Bottou, *Stochastic Gradient Descent Tricks* (2012); Zinkevich, Weimer, Smola & Li, *Parallelized Stochastic
    Gradient Descent*, NIPS 2010; Tsuruoka, Tsujii & Ananiadou, ACL 2009 (L1).

    Examples
    --------
    >>> from dask_gd import SGDRegressor
    >>> model = SGDRegressor(alpha=1e-6, eta0=0.1, learning_rate="constant", random_state=0)
    >>> model.fit([[-1.0], [0.0], [1.0]], [-1.0, 1.0, 3.0]).predict([[2.0]]).round(1)
    array([5.])
    """

    def __init__(
        self,
        loss: str = "squared_error",
        *,
        penalty: str | None = "l2",
        alpha: float = 1e-4,
        l1_ratio: float = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        epsilon: float = 0.1,
        random_state: Any = None,
        learning_rate: str = "invscaling",
        eta0: float = 0.01,
        power_t: float = 0.25,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        average: bool | int = False,
        mode: str = "local",
        batch_size: int | None = None,
        momentum: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.average = average
        self.mode = mode
        self.batch_size = batch_size
        self.momentum = momentum
        self.nesterov = nesterov

    def fit(
        self,
        X: Any,
        y: Any,
        coef_init: Any = None,
        intercept_init: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
    ) -> SGDRegressor:
        """Fit to data.

        Parameters
        ----------
        X : array-like, CSR matrix, or dask array or DataFrame of shape (n, d)
        y : array-like or dask array of shape (n,)
        coef_init : array-like of shape (d,), optional
            Coefficients to start from; else zeros, or the last fit's where ``warm_start`` is set.
        intercept_init : float, optional
        sample_weight : array-like or dask array of shape (n,), optional
            s ≥ 0. As in scikit-learn weights have a scale: s = 2 everywhere doubles the losses against the penalty.
        offset : array-like or dask array of shape (n,), optional
            o, a part of the margin that is known.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            NaN or infinity (the message names block and column), lengths that differ, negative weights, parameters
            that do not go together, chunks that are not alike and do not fit the memory.
        FitInterrupted
            The cluster failed for good.
        """
        self._check(tuple(REGRESSION), "epsilon_insensitive")
        start = start_of(self, coef_init, intercept_init)
        return self._set(self._run(X, y, sample_weight, offset, self._losses(), start=start))

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> SGDRegressor:
        """Go on by one epoch over these data; nothing is judged or stopped. Parameters as in :meth:`fit`.

        k calls on the same data are ``fit`` with ``max_iter=k, tol=None`` and the same ``random_state``.

        Returns
        -------
        self
        """
        self._check(tuple(REGRESSION), "epsilon_insensitive")
        return self._set(self._run(X, y, sample_weight, offset, self._losses(), one_epoch=True))

    def _losses(self) -> Callable[[int], Loss]:
        return always(REGRESSION[self.loss](float(self.epsilon)))

    def _set(self, found: tuple[Array, Array]) -> SGDRegressor:
        self.coef_, self.intercept_ = found[0][0], float(found[1][0])
        return self


@shared_docs
class SGDClassifier(ProbabilityMixin, _Stochastic):
    """Classification by stochastic gradients: minimises (1/n) Σ s ℓ(y, x·w + b + o) + α (ρ ‖w‖₁ + (1 - ρ)/2 ‖w‖²).

    Several classes are fitted one against the rest, all in the same sweeps; they stop together.

    {sgd_modes}

    Parameters
    ----------
    loss : str, default="hinge"
        "hinge" (a linear SVM), "log_loss" (logistic regression), "modified_huber", "squared_hinge", "perceptron", or
        a loss of :class:`SGDRegressor` for targets of ±1. "log_loss" and "modified_huber" give probabilities.
    {sgd}
    learning_rate : {"constant", "optimal", "invscaling", "adaptive", "pa1", "pa2"}, default="optimal"
        As in :class:`SGDRegressor`; "pa1" and "pa2" are for "hinge" alone.
    eta0 : float, default=0.01
        η > 0, in units of w per unit of the gradient.
    power_t : float, default=0.5
        Exponent of "invscaling".
    class_weight : dict, "balanced" or None, default=None
        Multiplies the sample weights by class; "balanced" gives every class the same total. (Of several classes,
        scikit-learn weighs the rows of the class that stands against the rest, and no others.)
    {sgd_rest}

    Attributes
    ----------
    coef_ : ndarray of shape (1, d) or (n_classes, d)
    intercept_ : ndarray of shape (1,) or (n_classes,)
    classes_ : ndarray of shape (n_classes,)
    {sgd_fitted}

    References
    ----------
    Bottou, *Stochastic Gradient Descent Tricks* (2012); Zinkevich, Weimer, Smola & Li, *Parallelized Stochastic
    Gradient Descent*, NIPS 2010; Tsuruoka, Tsujii & Ananiadou, ACL 2009 (L1).

    Examples
    --------
    >>> from dask_gd import SGDClassifier
    >>> model = SGDClassifier(random_state=0).fit([[-2.0], [-1.0], [1.0], [2.0]], [0, 0, 1, 1])
    >>> model.predict([[-3.0], [3.0]])
    array([0, 1])
    """

    def __init__(
        self,
        loss: str = "hinge",
        *,
        penalty: str | None = "l2",
        alpha: float = 1e-4,
        l1_ratio: float = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        epsilon: float = 0.1,
        random_state: Any = None,
        learning_rate: str = "optimal",
        eta0: float = 0.01,
        power_t: float = 0.5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        class_weight: Any = None,
        warm_start: bool = False,
        average: bool | int = False,
        mode: str = "local",
        batch_size: int | None = None,
        momentum: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.average = average
        self.mode = mode
        self.batch_size = batch_size
        self.momentum = momentum
        self.nesterov = nesterov

    def fit(
        self,
        X: Any,
        y: Any,
        coef_init: Any = None,
        intercept_init: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
    ) -> SGDClassifier:
        """Fit to data; parameters and errors as in :meth:`SGDRegressor.fit`, and a ValueError for a single class.

        Parameters
        ----------
        X : array-like, CSR matrix, or dask array or DataFrame of shape (n, d)
        y : array-like or dask array of shape (n,)
            Labels of any type.
        coef_init : array-like of shape (1, d) or (n_classes, d), optional
        intercept_init : array-like of shape (1,) or (n_classes,), optional
        sample_weight, offset : array-like or dask array of shape (n,), optional

        Returns
        -------
        self
        """
        self._check((*CLASSIFICATION, *REGRESSION), "hinge")
        more = {
            "targets": "labels",
            "class_weight": self.class_weight,
            "start": start_of(self, coef_init, intercept_init),
        }
        self.coef_, self.intercept_ = self._run(X, y, sample_weight, offset, self._losses(), **more)
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None, offset: Any = None
    ) -> SGDClassifier:
        """Go on by one epoch over these data; nothing is judged or stopped.

        k calls on the same data are ``fit`` with ``max_iter=k, tol=None`` and the same ``random_state``.

        Parameters
        ----------
        X, y, sample_weight, offset
            As in :meth:`fit`; y need not hold all classes.
        classes : array-like of shape (n_classes,), optional
            All labels that there will be. The first call needs them.

        Returns
        -------
        self
        """
        self._check((*CLASSIFICATION, *REGRESSION), "hinge")
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit, which does not see all data at once: pass "
                "a dict, such as compute_class_weight('balanced', classes=classes, y=y) gives for a sample."
            )
        known = self._known_classes(classes)
        more = {"targets": "labels", "class_weight": self.class_weight, "classes": known}
        self.coef_, self.intercept_ = self._run(X, y, sample_weight, offset, self._losses(), one_epoch=True, **more)
        return self

    def _known_classes(self, classes: Any) -> Array:
        before = getattr(self, "classes_", None)
        if before is None and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        known = before if classes is None else np.unique(np.asarray(classes))
        if before is not None and not np.array_equal(known, before):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {before!r}")
        if len(known) < 2:
            raise ValueError(f"The number of classes has to be greater than one; got {len(known)} class")
        return known

    def _losses(self) -> Callable[[int], Loss]:
        loss = CLASSIFICATION.get(self.loss)
        return partial(one_vs_rest, Signed(REGRESSION[self.loss](float(self.epsilon))) if loss is None else loss)

    def _fitted_loss(self) -> Loss:
        return self._losses()(len(self._fitted_classes()))

    def _has_probabilities(self) -> bool:
        if self.loss not in ("log_loss", "modified_huber"):
            raise AttributeError(f"probability estimates are not available for loss={self.loss!r}")
        return True

    predict_proba = available_if(_has_probabilities)(ProbabilityMixin.predict_proba)
    predict_log_proba = available_if(_has_probabilities)(ProbabilityMixin.predict_log_proba)
