"""Which scores a search can compute in a sweep."""

from __future__ import annotations

from typing import Any, NamedTuple

from sklearn.metrics import check_scoring

from ..kernels.folds import CLASS_NUMBER


class Judge(NamedTuple):
    """A score by name: its metric (None: the estimator's own), its sign, and the scorer that does the same alone."""

    name: str
    metric: Any
    sign: int
    scorer: Any

    @property
    def response(self) -> str:
        """What of a model is judged; "" where the estimator decides."""
        return "" if self.metric is None else str(self.metric.response)

    def metric_of(self, estimator: Any) -> Any:
        """The metric of an estimator's candidates."""
        return estimator._own_metric() if self.metric is None else self.metric

    def can_judge(self, estimator: Any) -> bool:
        """Whether the estimator has the response."""
        return self.metric is None or self.metric.response == CLASS_NUMBER or hasattr(estimator, self.metric.response)


def judges_of(scoring: Any, estimator: Any) -> list[Judge] | None:
    """The scores that a search is asked for; None where one of them needs more than sums over rows."""
    if scoring is None:
        return [Judge("score", None, 1, check_scoring(estimator, None))]
    return None
