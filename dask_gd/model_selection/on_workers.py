"""Estimators that know nothing of dask, fitted in tasks: their data go from worker to worker, not to the client."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from ..engine import in_one_task, is_dask, map_row_chunks


def pulls_dask(estimator: Any) -> bool:
    """Whether an estimator would turn dask input into NumPy on the client: scikit-learn's own, and pipelines with one
    of them."""
    if isinstance(estimator, Pipeline):
        return any(step != "passthrough" and step is not None and pulls_dask(step) for _, step in estimator.steps)
    return type(estimator).__module__.split(".")[0] == "sklearn"


def _has(name: str) -> Any:
    return lambda self: hasattr(self.estimator, name)


class OnWorkers(MetaEstimatorMixin, BaseEstimator):
    """An estimator that is fitted and asked in tasks, each of which has all rows that it is about.

    Parameters are the estimator's own, so that a search sees no difference; it minimises what the estimator minimises.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Those of the estimator."""
        return dict(self.estimator.get_params(deep=deep))

    def set_params(self, **params: Any) -> OnWorkers:
        """Those of the estimator."""
        self.estimator.set_params(**params)
        return self

    def __sklearn_clone__(self) -> OnWorkers:
        return OnWorkers(clone(self.estimator))

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fitted_")

    def fit(self, X: Any, y: Any = None, **params: Any) -> OnWorkers:
        """Fit in one task."""
        names = list(params)
        self.fitted_ = in_one_task(_Fit(self.estimator, names), X, y, *params.values())
        for name in ("classes_", "n_features_in_", "feature_names_in_"):
            if hasattr(self.fitted_, name):
                setattr(self, name, getattr(self.fitted_, name))
        return self

    def score(self, X: Any, y: Any = None, **params: Any) -> float:
        """The estimator's own score, in one task."""
        return float(in_one_task(_Score(self.fitted_, list(params)), X, y, *params.values()))

    def _rows(self, name: str, X: Any, width: int | None, dtype: Any) -> Any:
        respond = getattr(self.fitted_, name)
        if not is_dask(X):
            return respond(X)
        return map_row_chunks(_Respond(respond), X, None, width=width, dtype=dtype)

    @available_if(_has("predict"))
    def predict(self, X: Any) -> Any:
        """Lazy for dask input."""
        classes = getattr(self, "classes_", None)
        return self._rows("predict", X, None, float if classes is None else classes.dtype)

    @available_if(_has("predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        """Lazy for dask input."""
        return self._rows("predict_proba", X, len(self.classes_), float)

    @available_if(_has("decision_function"))
    def decision_function(self, X: Any) -> Any:
        """Lazy for dask input."""
        classes = getattr(self, "classes_", ())
        return self._rows("decision_function", X, None if len(classes) <= 2 else len(classes), float)


class _Fit:
    def __init__(self, estimator: Any, names: list[str]) -> None:
        self.estimator, self.names = estimator, names

    def __call__(self, X: Any, y: Any, *values: Any) -> Any:
        return clone(self.estimator).fit(X, y, **dict(zip(self.names, values, strict=True)))


class _Score:
    def __init__(self, fitted: Any, names: list[str]) -> None:
        self.fitted, self.names = fitted, names

    def __call__(self, X: Any, y: Any, *values: Any) -> float:
        return float(self.fitted.score(X, y, **dict(zip(self.names, values, strict=True))))


class _Respond:
    def __init__(self, respond: Any) -> None:
        self.respond = respond

    def __call__(self, X: Any, offset: Any = None) -> Any:
        return self.respond(X)
