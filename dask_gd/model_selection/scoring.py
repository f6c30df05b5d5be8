"""Which scores a search can compute in a sweep."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from sklearn.base import is_classifier
from sklearn.metrics import check_scoring

from .. import kernels
from ..kernels import CLASS_NUMBER
from ..losses import Squared
from ..metrics import Scorer, get_scorer, get_scorer_names
from ..metrics.labels import Accuracy
from ..metrics.regression import R2


class Judge(NamedTuple):
    """A score by name: its metric (None: the estimator's own), its sign, and the scorer that does the same alone."""

    name: str
    metric: Any
    sign: int
    scorer: Any
    responses: tuple[str, ...] = ()  # of which a model must have one, where the metric is not the estimator's own

    def can_judge(self, estimator: Any) -> bool:
        """Whether the estimator has a response."""
        return self.metric is None or any(_has(estimator, name) for name in self.responses)

    def of_model(self, model: Any) -> tuple[Any, Any, Callable[[Any], Any]]:
        """The metric of a fitted model, and by name what of it is judged: a function of the margins."""
        if self.metric is None:
            metric = model._own_metric()
            return metric, metric.response, model._respond(metric.response)
        name = next(name for name in self.responses if _has(model, name))
        respond = model._respond(name)
        if name in ("predict", CLASS_NUMBER) or not is_classifier(model) or len(model.classes_) > 2:
            return self.metric, name, respond
        positive = _positive(model.classes_.tolist(), getattr(self.metric, "pos_label", None))
        if name == "predict_proba":
            return self.metric, (name, positive), partial(_column, respond, positive)
        return self.metric, (name, positive), respond if positive else partial(_negative, respond)


def _has(estimator: Any, response: str) -> bool:
    return response == CLASS_NUMBER or hasattr(estimator, response)


def _positive(classes: list[Any], pos_label: Any) -> int:
    if pos_label is not None and pos_label not in classes:
        raise ValueError(f"pos_label={pos_label} is not a valid label: It should be one of {classes}")
    return len(classes) - 1 if pos_label is None else classes.index(pos_label)


def _column(respond: Callable[[Any], Any], column: int, eta: Any) -> Any:
    return respond(eta)[:, column]


def _negative(respond: Callable[[Any], Any], eta: Any) -> Any:
    return -respond(eta)


def judges_of(scoring: Any, estimator: Any, *, bounded: bool = True) -> list[Judge] | None:
    """The scores that a search is asked for; None where one of them needs more than sums over rows.

    ``bounded`` False: sums may grow with the rows.
    """
    if scoring is None:
        return [Judge("score", None, 1, check_scoring(estimator, None))]
    if isinstance(scoring, (list, tuple, set)):
        if not all(isinstance(name, str) for name in scoring):
            return None
        scoring = {name: name for name in scoring}
    if not isinstance(scoring, dict):
        scoring = {"score": scoring}
    judges = []
    for name, wanted in scoring.items():
        if isinstance(wanted, str) and wanted in get_scorer_names():
            wanted = get_scorer(wanted)
        if not isinstance(wanted, Scorer) or (bounded and not wanted.metric.bounded):
            return None
        metric, responses = _cheaper(wanted, estimator)
        judges.append(Judge(name, metric, wanted.sign, wanted, responses))
    return judges


def _cheaper(scorer: Scorer, estimator: Any) -> tuple[Any, tuple[str, ...]]:
    """The metric and what it judges; in the place of some a twin that a sweep has for less, or for nothing."""
    if scorer.metric == Accuracy() and is_classifier(estimator):
        return kernels.Accuracy(), (CLASS_NUMBER,)
    if scorer.metric == R2() and scorer.responses == ("predict",):
        return kernels.Explained(Squared()), ("predict",)
    return scorer.metric, scorer.responses
