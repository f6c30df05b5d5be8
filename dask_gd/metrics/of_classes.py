"""scikit-learn's metrics of labels and probabilities under their own names, for predictions in memory and on a cluster.

Each reads true values, predictions and weights once, block by block, and adds up; only sums travel. What is in memory
and what is a dask collection may be mixed, in chunks of any length, known or not.
"""

from __future__ import annotations

from typing import Any

from ..protocol import Array
from .checks import hashable
from .docs import shared_docs
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
from .ranking import RocAuc


@shared_docs
def accuracy_score(y_true: Any, y_pred: Any, *, normalize: bool = True, sample_weight: Any = None) -> float:
    """The share of right labels, Σ s_i [p_i = y_i] / Σ s_i.

    Parameters
    ----------
    {labels_in}
    normalize : bool, default=True
        False: Σ s_i [p_i = y_i].
    {weight}

    {float}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import accuracy_score
    >>> y_true, y_pred = da.from_array([0, 1, 1, 1]), da.from_array([0, 1, 0, 1])
    >>> accuracy_score(y_true, y_pred)
    0.75
    """
    return evaluate(Accuracy(normalize), y_true, y_pred, sample_weight)


@shared_docs
def balanced_accuracy_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None, adjusted: bool = False) -> float:
    """The mean over the classes of the share of their rows that is right.

    Parameters
    ----------
    {labels_in}
    {weight}
    adjusted : bool, default=False
        True: 0 is chance and 1 is perfect.

    {float}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import balanced_accuracy_score
    >>> y_true, y_pred = da.from_array([0, 1, 1, 1]), da.from_array([0, 1, 0, 1])
    >>> balanced_accuracy_score(y_true, y_pred)
    0.8333333333333333
    """
    return evaluate(BalancedAccuracy(adjusted), y_true, y_pred, sample_weight)


@shared_docs
def confusion_matrix(
    y_true: Any, y_pred: Any, *, labels: Any = None, sample_weight: Any = None, normalize: str | None = None
) -> Array:
    """C_jk: how many rows of label j are predicted as label k; with weights, their sum.

    Parameters
    ----------
    {labels_in}
    labels : array-like, default=None
        The labels of rows and columns; None: all that occur, ascending.
    {weight}
    normalize : {"true", "pred", "all"} or None, default=None
        Divide by the sums of rows, of columns, or by the sum of all.

    Returns
    -------
    ndarray of shape (n_labels, n_labels)
        Of integers, unless weights or ``normalize`` make it floats.

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import confusion_matrix
    >>> y_true, y_pred = da.from_array([0, 1, 1, 1]), da.from_array([0, 1, 0, 1])
    >>> confusion_matrix(y_true, y_pred)
    array([[1, 0],
           [1, 2]])
    """
    return evaluate(ConfusionMatrix(hashable(labels), normalize), y_true, y_pred, sample_weight)


@shared_docs
def precision_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
    zero_division: Any = "warn",
) -> Any:
    """The share of the rows predicted as a label that are of it.

    Parameters
    ----------
    {labels_in}
    {averages}
    {weight}
    {zero_division}

    {float_or_array}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import precision_score
    >>> y_true, y_pred = da.from_array([0, 1, 1, 1]), da.from_array([0, 1, 0, 1])
    >>> precision_score(y_true, y_pred)
    1.0
    """
    return evaluate(
        Precision(1.0, hashable(labels), pos_label, average, zero_division=zero_division), y_true, y_pred, sample_weight
    )


@shared_docs
def recall_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
    zero_division: Any = "warn",
) -> Any:
    """The share of the rows of a label that are predicted as it.

    Parameters
    ----------
    {labels_in}
    {averages}
    {weight}
    {zero_division}

    {float_or_array}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import recall_score
    >>> y_true, y_pred = da.from_array([0, 1, 1, 1]), da.from_array([0, 1, 0, 1])
    >>> recall_score(y_true, y_pred)
    0.6666666666666666
    """
    return evaluate(
        Recall(1.0, hashable(labels), pos_label, average, zero_division=zero_division), y_true, y_pred, sample_weight
    )


@shared_docs
def f1_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
    zero_division: Any = "warn",
) -> Any:
    """2 · precision · recall / (precision + recall).

    Parameters
    ----------
    {labels_in}
    {averages}
    {weight}
    {zero_division}

    {float_or_array}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import f1_score
    >>> y_true, y_pred = da.from_array([0, 1, 1, 1]), da.from_array([0, 1, 0, 1])
    >>> f1_score(y_true, y_pred)
    0.8
    """
    return evaluate(
        FBeta(1.0, hashable(labels), pos_label, average, zero_division=zero_division), y_true, y_pred, sample_weight
    )


@shared_docs
def fbeta_score(
    y_true: Any,
    y_pred: Any,
    *,
    beta: float,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
    zero_division: Any = "warn",
) -> Any:
    """(1 + β²) · precision · recall / (β² · precision + recall).

    Parameters
    ----------
    {labels_in}
    beta : float
        β ≥ 0: how many times as much recall counts.
    {averages}
    {weight}
    {zero_division}

    {float_or_array}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import fbeta_score
    >>> y_true, y_pred = da.from_array([0, 1, 1, 1]), da.from_array([0, 1, 0, 1])
    >>> fbeta_score(y_true, y_pred, beta=2)
    0.7142857142857143
    """
    return evaluate(
        FBeta(beta, hashable(labels), pos_label, average, zero_division=zero_division), y_true, y_pred, sample_weight
    )


@shared_docs
def precision_recall_fscore_support(
    y_true: Any,
    y_pred: Any,
    *,
    beta: float = 1.0,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = None,
    warn_for: Any = ("precision", "recall", "f-score"),
    sample_weight: Any = None,
    zero_division: Any = "warn",
) -> Any:
    """Precision, recall, F and the rows of every label, or of their average.

    Parameters
    ----------
    {labels_in}
    beta : float, default=1.0
        β ≥ 0 of F: how many times as much recall counts.
    {averages}
    warn_for : tuple of str
        Which of "precision", "recall" and "f-score" may warn.
    {weight}
    {zero_division}

    Returns
    -------
    precision, recall, fscore : float, or ndarray with a value for each label
    support : ndarray with the rows (or their weight) of each label, or None for an average

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import precision_recall_fscore_support
    >>> y_true, y_pred = da.from_array([0, 1, 1, 1]), da.from_array([0, 1, 0, 1])
    >>> precision_recall_fscore_support(y_true, y_pred, average="macro")
    (0.75, 0.8333333333333333, 0.7333333333333334, None)
    """
    return evaluate(
        PrecisionRecallFscoreSupport(beta, hashable(labels), pos_label, average, tuple(warn_for), zero_division),
        y_true,
        y_pred,
        sample_weight,
    )


@shared_docs
def log_loss(
    y_true: Any, y_proba: Any, *, normalize: bool = True, sample_weight: Any = None, labels: Any = None
) -> float:
    """The mean of -log p of the true label, Σ s_i (-log p_i[y_i]) / Σ s_i.

    Parameters
    ----------
    {probabilities_in}
    normalize : bool, default=True
        False: the sum.
    {weight}
    {classes}

    {float}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import log_loss
    >>> y_true, y_proba = da.from_array([0, 1, 1, 0]), da.from_array([0.1, 0.9, 0.8, 0.4])
    >>> round(log_loss(y_true, y_proba), 4)
    0.2362
    """
    return evaluate(LogLoss(normalize, hashable(labels)), y_true, y_proba, sample_weight)


@shared_docs
def brier_score_loss(
    y_true: Any,
    y_proba: Any,
    *,
    sample_weight: Any = None,
    pos_label: Any = None,
    labels: Any = None,
    scale_by_half: bool | str = "auto",
) -> float:
    """The mean of Σ_k (p_i[k] - [y_i = k])², of two classes half of it.

    Parameters
    ----------
    {probabilities_in}
    {weight}
    pos_label : int, float, bool or str, default=None
        The label that (n,) probabilities are of; None: the greater one.
    {classes}
    scale_by_half : bool or "auto", default="auto"
        Whether to take half; "auto": of two classes.

    {float}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import brier_score_loss
    >>> y_true, y_proba = da.from_array([0, 1, 1, 0]), da.from_array([0.1, 0.9, 0.8, 0.4])
    >>> round(brier_score_loss(y_true, y_proba), 4)
    0.055
    """
    return evaluate(Brier(pos_label, hashable(labels), scale_by_half), y_true, y_proba, sample_weight)


@shared_docs
def d2_log_loss_score(y_true: Any, y_proba: Any, *, sample_weight: Any = None, labels: Any = None) -> float:
    """1 - the log loss over that of a model that predicts the shares of the classes.

    Parameters
    ----------
    {probabilities_in}
    {weight}
    {classes}

    {float}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import d2_log_loss_score
    >>> y_true, y_proba = da.from_array([0, 1, 1, 0]), da.from_array([0.1, 0.9, 0.8, 0.4])
    >>> round(d2_log_loss_score(y_true, y_proba), 4)
    0.6593
    """
    return evaluate(D2LogLoss(hashable(labels)), y_true, y_proba, sample_weight)


@shared_docs
def roc_auc_score(
    y_true: Any,
    y_score: Any,
    *,
    average: str | None = "macro",
    sample_weight: Any = None,
    max_fpr: float | None = None,
    multi_class: str = "raise",
    labels: Any = None,
) -> Any:
    """The area under the ROC curve, exact: the share of the pairs of a positive and a negative row in which the
    positive one has the higher score, ties counted half.

    Of more than 131,072 rows in dask collections the scores do not come together in one process: they are kept
    where they were made, cut into ranges of about two million rows, and every range is put in order on its own.

    Parameters
    ----------
    y_true : array-like or dask array, Series of shape (n,)
        Labels: integers, bools or strings; the greater of two is the positive one.
    y_score : array-like or dask array, DataFrame of shape (n,) or (n, n_classes)
        Any scores of the positive label; of more than two labels the probabilities of each.
    average : {"macro", "weighted", "micro"} or None, default="macro"
        Of more than two labels, how their areas are averaged. None: every label's own, of "ovr".
    {weight}
    max_fpr : float, default=None
        Only the part of the curve up to this rate of false positives, standardised to 0.5 for chance.
    multi_class : {"raise", "ovr", "ovo"}, default="raise"
        Of more than two labels: each against the rest, or each pair by itself.
    labels : array-like of shape (n_classes,), default=None
        The labels of the columns, ascending; None: those that occur.

    {float_or_array}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import roc_auc_score
    >>> y_true, y_score = da.from_array([0, 1, 1, 0]), da.from_array([0.1, 0.9, 0.8, 0.4])
    >>> roc_auc_score(y_true, y_score)
    1.0
    """
    return evaluate(RocAuc(average, max_fpr, multi_class, hashable(labels)), y_true, y_score, sample_weight)
