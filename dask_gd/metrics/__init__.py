"""scikit-learn's metrics for predictions of any size: sums of every block, one pass, one number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_of

if TYPE_CHECKING:
    from .of_classes import (
        accuracy_score,
        balanced_accuracy_score,
        brier_score_loss,
        confusion_matrix,
        d2_log_loss_score,
        f1_score,
        fbeta_score,
        log_loss,
        precision_recall_fscore_support,
        precision_score,
        recall_score,
        roc_auc_score,
    )
    from .of_numbers import (
        d2_tweedie_score,
        explained_variance_score,
        max_error,
        mean_absolute_error,
        mean_absolute_percentage_error,
        mean_gamma_deviance,
        mean_pinball_loss,
        mean_poisson_deviance,
        mean_squared_error,
        mean_tweedie_deviance,
        r2_score,
        root_mean_squared_error,
    )
    from .protocol import Metric
    from .scorers import Scorer, get_scorer, get_scorer_names, make_scorer

__all__ = [
    "Metric",
    "Scorer",
    "accuracy_score",
    "balanced_accuracy_score",
    "brier_score_loss",
    "confusion_matrix",
    "d2_log_loss_score",
    "d2_tweedie_score",
    "explained_variance_score",
    "f1_score",
    "fbeta_score",
    "get_scorer",
    "get_scorer_names",
    "log_loss",
    "make_scorer",
    "max_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_gamma_deviance",
    "mean_pinball_loss",
    "mean_poisson_deviance",
    "mean_squared_error",
    "mean_tweedie_deviance",
    "precision_recall_fscore_support",
    "precision_score",
    "r2_score",
    "recall_score",
    "roc_auc_score",
    "root_mean_squared_error",
]

__getattr__ = names_of(__name__, ("of_classes", "of_numbers", "protocol", "scorers"), __all__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
