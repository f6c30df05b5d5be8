"""Predictions and scores of a fitted linear model: in the library and on the device of X; dask in, lazy dask out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from ..arrays import is_device_array
from ..engine import StreamingEngine, device_block, is_dask, map_row_chunks, open_engine, row_count
from ..exceptions import DataError
from ..kernels import CLASS_NUMBER, Accuracy, Explained, ScoreKernel
from ..kernels.respond import (
    as_they_are,
    class_numbers_at,
    labels,
    labels_at,
    log_probabilities,
    margins,
    means,
    probabilities,
    probabilities_of,
)
from ..losses import Loss, Squared
from ..protocol import Array, Block
from .fit import check_vector, frame_names, per_row


def map_rows(
    estimator: Any, function: Callable[..., Array], X: Any, offset: Any, *, width: int | None, dtype: Any = None
) -> Any:
    """``function(X, offset)`` of all rows: (n,) for ``width`` None, else (n, width); ``dtype`` None: that of X."""
    check_is_fitted(estimator)
    if is_device_array(X):
        n = int(row_count(X))
        validate_data(estimator, X, skip_check_array=True, reset=False)
        return function(X, per_row(offset, n, "offset"))
    if not is_dask(X):
        X = validate_data(estimator, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        if sp.issparse(X):
            X = sp.csr_array(X)
        offset = np.asarray(offset) if is_dask(offset) else offset
        return function(X, check_vector(offset, X.shape[0], "offset"))
    validate_data(estimator, frame_names(X), skip_check_array=True, reset=False)
    return map_row_chunks(function, X, offset, width=width, dtype=dtype)


def stream_score(estimator: Any, kernel: ScoreKernel, X: Any, y: Any, sample_weight: Any, offset: Any) -> Any:
    """The sums of one pass over dask data, or over data on a device."""
    validate_data(estimator, frame_names(X), skip_check_array=True, reset=False)
    targets = "labels" if kernel.loss is None else "columns"
    if is_device_array(X):
        n = X.shape[0]
        weight, offset = per_row(sample_weight, n, "sample_weight"), per_row(offset, n, "offset")
        sums = kernel(device_block(X, y, weight, offset, targets))
    else:
        with open_engine(X, y, sample_weight, offset, targets=targets, resident=False) as engine:
            assert isinstance(engine, StreamingEngine)
            sums = engine.sweep(kernel)
    if sums.problem is not None:
        raise DataError(f"{sums.problem[1]} (block {sums.problem[0]})")
    return sums


class LinearRegressorMixin(RegressorMixin):
    """``predict`` and ``score`` from ``coef_`` (d,) or (m, d) and ``intercept_``; ``_fitted_loss`` has the link."""

    def _fitted_loss(self) -> Loss:
        return Squared()

    def _function(self) -> Callable[..., Array]:
        return partial(
            means, loss=self._fitted_loss(), coef=np.atleast_2d(self.coef_), intercept=np.atleast_1d(self.intercept_)
        )

    def predict(self, X: Any, offset: Any = None) -> Any:
        """Predicted means.

        Parameters
        ----------
        X : array-like, CSR matrix or dask collection of shape (n, d)
        offset : array-like of shape (n,), optional
            Added to the margins.

        Returns
        -------
        ndarray of shape (n,), or (n, m) for m targets, or a lazy dask array for dask input
        """
        check_is_fitted(self)
        return map_rows(self, self._function(), X, offset, width=None if self.coef_.ndim == 1 else len(self.coef_))

    def _respond(self, response: str) -> Callable[[Any], Any]:
        """A picklable function of margins -> what a metric judges."""
        return self._fitted_loss().inverse_link

    def _own_metric(self) -> Any:
        """What ``score`` computes."""
        return Explained(self._fitted_loss())

    def score(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> float:
        """The share of the deviance that is explained, 1 - Σ s d(y, μ) / Σ s d(y, ȳ), in one pass over dask input.

        For squared losses that is R² (of several targets the mean), for others D².

        Returns
        -------
        float
        """
        check_is_fitted(self)
        loss = self._fitted_loss()
        if not (is_dask(X) or is_device_array(X)):
            mean = self.predict(X, offset)
            if isinstance(loss, Squared):
                return float(r2_score(y, mean, sample_weight=sample_weight))
            y = column_or_1d(np.asarray(y), dtype=np.float64)
            weight = check_vector(sample_weight, len(y), "sample_weight")
            sums = ScoreKernel(lambda X, offset: mean, self.n_features_in_, loss)(
                Block(0, np.empty((len(mean), self.n_features_in_)), y, weight)
            )
        else:
            kernel = ScoreKernel(self._function(), self.n_features_in_, loss)
            sums = stream_score(self, kernel, X, y, sample_weight, offset)
        if sums.problem is not None:
            raise DataError(sums.problem[1])
        return float("nan") if sums.n_rows < 2 else sums.explained


class LinearClassifierMixin(ClassifierMixin):
    """``decision_function``, ``predict``, ``predict_proba``, ``score`` from ``coef_`` (k, d), ``intercept_`` (k,)."""

    def _shared(self) -> dict[str, Array]:
        check_is_fitted(self)
        return {"coef": self.coef_, "intercept": self.intercept_}

    def _width(self) -> int | None:
        return None if len(self.coef_) == 1 else len(self.coef_)

    def decision_function(self, X: Any, offset: Any = None) -> Any:
        """Margins η = x·w + b (+ offset): of the second class for two classes, of each class for more.

        Returns
        -------
        ndarray of shape (n,) or (n, n_classes), or a lazy dask array for dask input
        """
        function = partial(margins, **self._shared())
        return map_rows(self, function, X, offset, width=self._width())

    def _respond(self, response: str) -> Callable[[Any], Any]:
        """A picklable function of margins -> what a metric judges."""
        if response == "decision_function":
            return as_they_are
        if response == "predict_proba":
            return partial(probabilities_of, loss=self._fitted_loss())  # type: ignore[attr-defined]
        if response == CLASS_NUMBER:
            return class_numbers_at
        return partial(labels_at, classes=self.classes_)

    def predict(self, X: Any, offset: Any = None) -> Any:
        """The most probable label of each row.

        Returns
        -------
        ndarray of shape (n,) of the labels' own type, or a lazy dask array for dask input
        """
        function = partial(labels, classes=self._fitted_classes(), **self._shared())
        return map_rows(self, function, X, offset, width=None, dtype=self.classes_.dtype)

    def _own_metric(self) -> Any:
        """What ``score`` computes."""
        return Accuracy()

    def score(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> float:
        """Accuracy: the weighted share of right labels, in one pass over dask input.

        Returns
        -------
        float
        """
        shared = self._shared()
        if not (is_dask(X) or is_device_array(X)):
            return float(accuracy_score(y, self.predict(X, offset), sample_weight=sample_weight))
        function = partial(labels, classes=self.classes_, **shared)
        sums = stream_score(self, ScoreKernel(function, self.n_features_in_, None), X, y, sample_weight, offset)
        return (sums.weight - sums.loss) / sums.weight if sums.weight else float("nan")

    def _fitted_classes(self) -> Array:
        check_is_fitted(self)
        return self.classes_


class ProbabilityMixin(LinearClassifierMixin):
    """A classifier whose loss gives probabilities: ``_fitted_loss`` has the link."""

    def _fitted_loss(self) -> Loss:
        raise NotImplementedError

    def predict_proba(self, X: Any, offset: Any = None) -> Any:
        """Class probabilities, in the order of ``classes_``.

        Returns
        -------
        ndarray of shape (n, n_classes), or a lazy dask array for dask input
        """
        function = partial(probabilities, loss=self._fitted_loss(), **self._shared())
        return map_rows(self, function, X, offset, width=len(self.classes_))

    def predict_log_proba(self, X: Any, offset: Any = None) -> Any:
        """Logarithms of :meth:`predict_proba`.

        Returns
        -------
        ndarray of shape (n, n_classes), or a lazy dask array for dask input
        """
        function = partial(log_probabilities, loss=self._fitted_loss(), **self._shared())
        return map_rows(self, function, X, offset, width=len(self.classes_))
