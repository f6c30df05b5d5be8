"""Metrics of models: scorers for scikit-learn's ``scoring=`` and for our own searches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import validate_data

from ..engine import frames_as_arrays, is_dask_frame
from ..linear_model.fit import frame_names
from ..linear_model.predict import LinearClassifierMixin, LinearRegressorMixin
from . import of_classes, of_numbers
from .checks import hashable
from .evaluate import evaluate
from .labels import (
    Accuracy,
    BalancedAccuracy,
    ConfusionMatrix,
    FBeta,
    Precision,
    PrecisionRecallFscoreSupport,
    Recall,
)
from .probabilities import Brier, D2LogLoss, LogLoss
from .protocol import Metric
from .ranking import RocAuc
from .regression import (
    R2,
    D2Tweedie,
    ExplainedVariance,
    MaxError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanPinballLoss,
    MeanSquaredError,
    MeanTweedieDeviance,
    RootMeanSquaredError,
)

# What each function computes: its parameters, without the data, make the metric.
METRICS: dict[Callable[..., Any], Callable[..., Any]] = {
    of_classes.accuracy_score: Accuracy,
    of_classes.balanced_accuracy_score: BalancedAccuracy,
    of_classes.brier_score_loss: Brier,
    of_classes.confusion_matrix: ConfusionMatrix,
    of_classes.d2_log_loss_score: D2LogLoss,
    of_classes.f1_score: partial(FBeta, 1.0),
    of_classes.fbeta_score: FBeta,
    of_classes.log_loss: LogLoss,
    of_classes.precision_recall_fscore_support: PrecisionRecallFscoreSupport,
    of_classes.precision_score: partial(Precision, 1.0),
    of_classes.recall_score: partial(Recall, 1.0),
    of_classes.roc_auc_score: RocAuc,
    of_numbers.d2_tweedie_score: D2Tweedie,
    of_numbers.explained_variance_score: ExplainedVariance,
    of_numbers.max_error: MaxError,
    of_numbers.mean_absolute_error: MeanAbsoluteError,
    of_numbers.mean_absolute_percentage_error: MeanAbsolutePercentageError,
    of_numbers.mean_gamma_deviance: partial(MeanTweedieDeviance, 2),
    of_numbers.mean_pinball_loss: MeanPinballLoss,
    of_numbers.mean_poisson_deviance: partial(MeanTweedieDeviance, 1),
    of_numbers.mean_squared_error: MeanSquaredError,
    of_numbers.mean_tweedie_deviance: MeanTweedieDeviance,
    of_numbers.r2_score: R2,
    of_numbers.root_mean_squared_error: RootMeanSquaredError,
}


class Scorer:
    """Judges a fitted model: ``scorer(estimator, X, y)`` is a float, the greater the better, from one compute.

    Made by :func:`get_scorer` and :func:`make_scorer`; usable wherever scikit-learn takes ``scoring``.

    Parameters
    ----------
    metric : Metric
    sign : {1, -1}, default=1
        -1: a loss.
    name : str, default=""
    response_method : str or tuple of str, default=None
        What of a model is judged, the first of these that it has; None: what the metric is made for.

    Attributes
    ----------
    metric, sign, name
        As given.
    responses : tuple of str

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd import LinearRegression
    >>> from dask_gd.metrics import get_scorer
    >>> X, y = da.from_array([[0.0], [1.0], [2.0], [3.0]]), da.from_array([1.0, 1.0, 2.0, 3.0])
    >>> score = get_scorer("neg_mean_squared_error")(LinearRegression().fit(X, y), X, y)
    >>> round(score, 4)
    -0.075
    """

    def __init__(
        self, metric: Metric, sign: int = 1, name: str = "", response_method: str | tuple[str, ...] | None = None
    ) -> None:
        self.metric = metric
        self.sign = sign
        self.name = name
        wanted = response_method or metric.response
        self.responses = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        self._request: bool | str | None = None

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The score of a fitted model.

        Parameters
        ----------
        estimator : estimator
        X : array-like, CSR matrix or dask collection of shape (n, d)
            Lazy predictions of an estimator that makes them of dask input are computed chunk by chunk, each in the
            task that judges it.
        y : array-like or dask collection of shape (n,) or (n, m)
        sample_weight : array-like or dask array of shape (n,), default=None

        Returns
        -------
        float
        """
        if sample_weight is not None and not self.metric.weighted:
            raise TypeError(f"{self.name or type(self.metric).__name__} takes no sample_weight.")
        estimator, X, y, sample_weight = _read_together(estimator, X, y, sample_weight)
        predicted = respond(estimator, X, self.responses, getattr(self.metric, "pos_label", None))
        return self.sign * evaluate(self.metric, y, predicted, sample_weight)

    def __repr__(self) -> str:
        given = [f"{self.metric!r}"]
        given += [f"sign={self.sign}"] if self.sign != 1 else []
        given += [f"name={self.name!r}"] if self.name else []
        given += [f"response_method={self.responses!r}"] if self.responses != (self.metric.response,) else []
        return f"Scorer({', '.join(given)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scorer) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.metric, self.sign, self.name, self.responses))

    def set_score_request(self, *, sample_weight: bool | str | None) -> Scorer:
        """Whether weights are routed here, as for scikit-learn's scorers.

        Returns
        -------
        Scorer
            This one.
        """
        self._request = sample_weight
        return self

    def get_metadata_routing(self) -> Any:
        """What scikit-learn's metadata routing asks for.

        Returns
        -------
        MetadataRequest
        """
        requests = MetadataRequest(owner=self)
        if self.metric.weighted:
            requests.score.add_request(param="sample_weight", alias=self._request)
        return requests

    def _accept_sample_weight(self) -> bool:  # asked by scikit-learn's searches
        return self.metric.weighted


def _read_together(estimator: Any, X: Any, y: Any, weight: Any) -> tuple[Any, Any, Any, Any]:
    """Frames as arrays that are read together, and a model that does not miss their names."""
    if not is_dask_frame(X) or not isinstance(estimator, LinearRegressorMixin | LinearClassifierMixin):
        return estimator, X, y, weight
    validate_data(estimator, frame_names(X), skip_check_array=True, reset=False)
    nameless = copy.copy(estimator)
    if hasattr(nameless, "feature_names_in_"):
        del nameless.feature_names_in_
    return nameless, *frames_as_arrays(X, y, weight)


def respond(estimator: Any, X: Any, responses: tuple[str, ...], pos_label: Any = None) -> Any:
    """What a fitted model says of X: by the first of these methods that it has; of two classes the positive column.

    Raises
    ------
    AttributeError
        When it has none of them.
    """
    name = next((name for name in responses if hasattr(estimator, name)), None)
    if name is None:
        raise AttributeError(
            f"{type(estimator).__name__} has none of the following attributes: {', '.join(responses)}."
        )
    predicted = getattr(estimator, name)(X)
    if name == "predict" or not is_classifier(estimator) or len(estimator.classes_) > 2:
        return predicted
    classes = estimator.classes_.tolist()
    if pos_label is not None and pos_label not in classes:
        raise ValueError(f"pos_label={pos_label} is not a valid label: It should be one of {estimator.classes_}")
    positive = len(classes) - 1 if pos_label is None else classes.index(pos_label)
    if name == "predict_proba":
        if predicted.shape[1] < 2:
            raise ValueError(f"Got predict_proba of shape {predicted.shape}, but need classifier with two classes.")
        return predicted[:, positive]
    return predicted if positive == len(classes) - 1 else -predicted


NAMED: dict[str, Metric] = {
    "accuracy": Accuracy(),
    "balanced_accuracy": BalancedAccuracy(),
    "d2_log_loss_score": D2LogLoss(),
    "explained_variance": ExplainedVariance(),
    "neg_brier_score": Brier(),
    "neg_log_loss": LogLoss(),
    "neg_max_error": MaxError(),
    "neg_mean_absolute_error": MeanAbsoluteError(),
    "neg_mean_absolute_percentage_error": MeanAbsolutePercentageError(),
    "neg_mean_gamma_deviance": MeanTweedieDeviance(2),
    "neg_mean_poisson_deviance": MeanTweedieDeviance(1),
    "neg_mean_squared_error": MeanSquaredError(),
    "neg_root_mean_squared_error": RootMeanSquaredError(),
    "r2": R2(),
    "roc_auc": RocAuc(),
    "roc_auc_ovo": RocAuc(multi_class="ovo"),
    "roc_auc_ovo_weighted": RocAuc("weighted", multi_class="ovo"),
    "roc_auc_ovr": RocAuc(multi_class="ovr"),
    "roc_auc_ovr_weighted": RocAuc("weighted", multi_class="ovr"),
    **{
        name if average == "binary" else f"{name}_{average}": metric(average=average)
        for name, metric in (("f1", FBeta), ("precision", Precision), ("recall", Recall))
        for average in ("binary", "macro", "micro", "weighted")
    },
}
RESPONSES = {"roc_auc": ("decision_function", "predict_proba")}  # of those that are content with either


def get_scorer_names() -> list[str]:
    """The names that :func:`get_scorer` knows: scikit-learn's, of the metrics that are sums.

    Returns
    -------
    list of str
        In alphabetical order.
    """
    return sorted(NAMED)


def get_scorer(scoring: str | Callable[..., Any]) -> Any:
    """The scorer of a name, as scikit-learn names them.

    Parameters
    ----------
    scoring : str or callable
        A callable is returned as it is.

    Returns
    -------
    Scorer

    Raises
    ------
    ValueError
        An unknown name.

    Examples
    --------
    >>> from dask_gd.metrics import get_scorer
    >>> get_scorer("neg_mean_squared_error").sign
    -1
    """
    if not isinstance(scoring, str):
        return scoring
    if scoring not in NAMED:
        raise ValueError(
            f"{scoring!r} is not a valid scoring value. Use dask_gd.metrics.get_scorer_names() to get valid options."
        )
    sign = -1 if scoring.startswith("neg_") else 1
    return Scorer(NAMED[scoring], sign, scoring, RESPONSES.get(scoring))


def make_scorer(
    score_func: Callable[..., Any] | Metric,
    *,
    response_method: str | tuple[str, ...] | None = None,
    greater_is_better: bool = True,
    **kwargs: Any,
) -> Scorer:
    """A scorer of one of this module's metrics.

    Parameters
    ----------
    score_func : function of this module, or Metric
    response_method : {"predict", "predict_proba", "decision_function"} or tuple of these, default=None
        What of a model is judged, the first that it has; None: what the metric is made for.
    greater_is_better : bool, default=True
        False: a loss, whose sign is changed.
    **kwargs
        Parameters of the function.

    Returns
    -------
    Scorer

    Raises
    ------
    ValueError
        Another function than one of these.

    Examples
    --------
    >>> from dask_gd.metrics import fbeta_score, make_scorer
    >>> make_scorer(fbeta_score, beta=2).metric.beta
    2
    """
    sign, name = (1 if greater_is_better else -1), getattr(score_func, "__name__", "")
    if score_func in METRICS:
        given = {key: hashable(v) if isinstance(v, list | tuple | np.ndarray) else v for key, v in kwargs.items()}
        return Scorer(METRICS[score_func](**given), sign, name, response_method)
    metric: Any = score_func
    if not (hasattr(metric, "sums") and hasattr(metric, "value")) or kwargs:
        raise ValueError(
            f"make_scorer takes a metric function of dask_gd.metrics or an instance of a Metric, got {score_func!r}. "
            "sklearn.metrics.make_scorer takes other functions."
        )
    return Scorer(metric, sign, name, response_method)
