"""Labels as numbers, and the weights of classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..kernels import EncodeLabels, Moments
from ..protocol import Array


def encode(moments: Moments, class_weight: Any) -> tuple[EncodeLabels, Moments]:
    """How labels become numbers, and the moments under class weights.

    Raises
    ------
    ValueError
        Fewer than two classes, or class weights for labels that are not there.
    """
    labels = labels_of(moments)
    moments, weights = class_balance(moments, labels.classes, class_weight)
    return replace(labels, class_weight=weights), moments


def labels_of(moments: Moments) -> EncodeLabels:
    """How labels become numbers.

    Raises
    ------
    ValueError
        Fewer than two classes, or labels that do not compare.
    """
    labels = list(moments.classes)
    dtype = moments.y_dtype if moments.y_dtype.kind != "O" else object
    try:
        classes = np.unique(np.array(labels, dtype=dtype))
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in labels})
        raise ValueError(f"Labels must be comparable with each other, but y mixes {', '.join(kinds)}.") from error
    if len(classes) < 2:
        raise ValueError(
            "This solver needs samples of at least 2 classes in the data, but the data contains only one class: "
            f"{classes[0]!r}"
        )
    return EncodeLabels(classes)


def class_balance(moments: Moments, classes: Array, class_weight: Any) -> tuple[Moments, Array | None]:
    """The moments under class weights, which are returned beside them (None: all the same).

    Raises
    ------
    ValueError
        Class weights for labels that are not there, or that leave no row.
    """
    counts = np.array([moments.classes[label] for label in classes.tolist()])
    weights = class_weights(class_weight, classes, counts)
    if weights is not None:
        counts = counts * weights
    if counts.sum() <= 0:
        raise ValueError("The class weights leave no row with a weight above zero.")
    if (counts == 0).any():
        raise ValueError("Every class needs a class weight above zero; drop the rows of a class to leave it out.")
    ratio = counts.sum() / moments.weight
    weighted = replace(
        moments,
        classes=dict(enumerate(counts)),
        weight=float(counts.sum()),
        m2=moments.m2 * ratio,
        min_weight=moments.min_weight * (1.0 if weights is None else float(weights.min())),
    )
    return weighted, weights


def class_weights(class_weight: Any, classes: Array, counts: Array) -> Array | None:
    """The weight of each class as scikit-learn's ``compute_class_weight`` has it, from weighted counts."""
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"class_weight must be None, 'balanced' or a dict. Got {class_weight!r} instead.")
        return np.asarray(counts.sum() / (len(classes) * counts))
    if not isinstance(class_weight, dict):
        raise ValueError(f"class_weight must be None, 'balanced' or a dict. Got {class_weight!r} instead.")
    unknown = set(class_weight) - set(classes.tolist())
    if unknown and len(unknown) == len(class_weight):
        raise ValueError(f"The classes, {sorted(classes.tolist())}, are not in class_weight.")
    weights = np.array([float(class_weight.get(label, 1.0)) for label in classes.tolist()])
    if (weights < 0).any() or not np.isfinite(weights).all():
        raise ValueError(f"class_weight must hold finite numbers from 0 upwards. Got {class_weight!r} instead.")
    return weights
