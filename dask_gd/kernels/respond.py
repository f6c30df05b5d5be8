"""What a model says of rows: margins, (n,) of one output, (n, k) of more, and what follows from them."""

from __future__ import annotations

from typing import Any

from ..arrays import alike, cast, float_dtype, namespace, numpy_dtype, take, to_numpy
from ..losses import Loss
from ..protocol import Array


def as_they_are(eta: Any) -> Any:
    """The margins."""
    return eta


def class_numbers_at(eta: Any) -> Any:
    """The numbers of the most probable labels, as the margins have numbers."""
    return namespace(eta).astype(_most_probable(eta), eta.dtype)


def _most_probable(eta: Any) -> Any:
    return eta > 0 if eta.ndim == 1 else namespace(eta).argmax(eta, axis=1)


def labels_at(eta: Any, *, classes: Array) -> Any:
    """The most probable labels."""
    xp = namespace(eta)
    code = xp.astype(_most_probable(eta), xp.int64)
    if classes.dtype.kind in "biuf":
        return take(alike(classes, eta), code)
    return classes[to_numpy(code)]


def probabilities_of(eta: Any, *, loss: Loss) -> Any:
    """(n, n_classes)."""
    if eta.ndim == 2:
        return loss.inverse_link(eta.T).T
    p: Any = loss.inverse_link(eta)
    return namespace(p).stack([1 - p, p], axis=1)


# -- of rows ---------------------------------------------------------------------------------------------------------


def margins(X: Any, offset: Any = None, *, coef: Array, intercept: Array) -> Array:
    """X wᵀ + b (+ offset) of one block: (n,) for one output, (n, k) for more; in the precision of X."""
    dtype = float_dtype(numpy_dtype(X))
    eta = cast(X, dtype) @ alike(coef.T.astype(dtype), X) + alike(intercept.astype(dtype), X)
    if offset is not None:
        eta = eta + alike(offset, X)[:, None]
    return eta[:, 0] if len(coef) == 1 else eta


def means(X: Any, offset: Array | None, *, loss: Loss, coef: Array, intercept: Array) -> Array:
    """The inverse link of the margins."""
    return loss.inverse_link(margins(X, offset, coef=coef, intercept=intercept))


def labels(X: Any, offset: Any, *, classes: Array, coef: Array, intercept: Array) -> Any:
    """The most probable labels of rows."""
    return labels_at(margins(X, offset, coef=coef, intercept=intercept), classes=classes)


def probabilities(X: Any, offset: Any, *, loss: Loss, coef: Array, intercept: Array) -> Any:
    """(n, n_classes)."""
    return probabilities_of(margins(X, offset, coef=coef, intercept=intercept), loss=loss)


def log_probabilities(X: Any, offset: Any, **model: Any) -> Any:
    """Logarithms of :func:`probabilities`."""
    p = probabilities(X, offset, **model)
    return namespace(p).log(p)
