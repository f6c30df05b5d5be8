"""What a model says of rows, from their margins: (n,) of one output, (n, k) of more."""

from __future__ import annotations

from typing import Any

from ..arrays import alike, namespace, take, to_numpy
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
