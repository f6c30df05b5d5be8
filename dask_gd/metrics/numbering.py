"""Metrics of class numbers: whoever has numbered the classes once need not look labels up for every prediction."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from ..protocol import Array
from .labels import PrecisionRecallFscoreSupport
from .probabilities import Brier
from .protocol import Metric

LABELLED = ("labels", "pos_label")


def numbered(metric: Metric, classes: Array) -> Metric | None:
    """The metric that says of class numbers what this one says of the labels ``classes`` (ascending).

    Returns
    -------
    Metric or None
        None: where it would not, so that it needs the labels themselves.
    """
    metric_: Any = metric
    numbers = {label: i for i, label in enumerate(classes.tolist())}
    given = {field.name: getattr(metric, field.name) for field in fields(metric_) if field.name in LABELLED}
    changed: dict[str, Any] = {}
    if given.get("labels") is not None:
        if not set(given["labels"]) <= set(numbers):
            return None
        changed["labels"] = tuple(numbers[label] for label in given["labels"])
    if isinstance(metric, PrecisionRecallFscoreSupport) and metric.average == "binary":
        if metric.pos_label not in numbers:
            return None
        changed["pos_label"] = numbers[metric.pos_label]
    if isinstance(metric, Brier):
        if metric.pos_label is not None and metric.pos_label not in numbers:
            return None
        if metric.pos_label is None and set(numbers) != {0, 1}:
            return None  # which of the labels is the positive one depends on what they are
        changed["pos_label"] = None if metric.pos_label is None else numbers[metric.pos_label]
    return replace(metric_, **changed) if changed else metric
