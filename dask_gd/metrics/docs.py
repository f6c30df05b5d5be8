"""What the docstrings of many metrics say alike, written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

SHARED = {
    "labels_in": """y_true : array-like or dask array, Series of shape (n,)
    Labels: integers, bools or strings.
y_pred : array-like or dask array, Series of shape (n,)
    Predicted labels.""",
    "numbers_in": """y_true : array-like or dask array, Series, DataFrame of shape (n,) or (n, m)
    True values of m targets.
y_pred : array-like or dask array, Series, DataFrame of shape (n,) or (n, m)
    Predicted values.""",
    "one_target_in": """y_true : array-like or dask array, Series of shape (n,)
    True values.
y_pred : array-like or dask array, Series of shape (n,)
    Predicted values.""",
    "probabilities_in": """y_true : array-like or dask array, Series of shape (n,)
    Labels: integers, bools or strings.
y_proba : array-like or dask array, DataFrame of shape (n,) or (n, n_classes)
    Predicted probabilities, in the order of the labels; (n,): of the second of two.""",
    "weight": """sample_weight : array-like or dask array, Series of shape (n,), default=None
    s_i, one weight a row; None: 1.""",
    "classes": """labels : array-like of shape (n_classes,), default=None
    All labels, where some may be missing in ``y_true``; None: those that occur.""",
    "averages": """labels : array-like, default=None
    The labels that are looked at, in this order; None: all that occur.
pos_label : int, float, bool or str, default=1
    The label that ``average="binary"`` is about.
average : {"binary", "micro", "macro", "weighted"} or None, default="binary"
    "binary": of ``pos_label`` alone. "micro": of all pairs of a row and a label. "macro": the mean over the labels.
    "weighted": that mean, weighted by the rows of each label. None: every label.""",
    "zero_division": """zero_division : {"warn", 0.0, 1.0, nan}, default="warn"
    What 0/0 is; "warn": 0, and a warning.""",
    "multioutput": """multioutput : {"raw_values", "uniform_average"} or array-like of shape (m,)
    Every target's value, their mean ("uniform_average", the default), or their mean with these weights.""",
    "outputs": """multioutput : {"raw_values", "uniform_average", "variance_weighted"} or array-like of shape (m,)
    Every target's value, their mean ("uniform_average", the default), or their mean with these weights or with the
    variances.
force_finite : bool, default=True
    True: 1 where nothing is to be explained and nothing is left, 0 where something is left. False: NaN and -inf.""",
    "float": """Returns
-------
float""",
    "float_or_array": """Returns
-------
float, or ndarray with a value for each
    The latter for ``average=None``.""",
    "float_or_targets": """Returns
-------
float, or ndarray of shape (m,)
    The latter for ``multioutput="raw_values"``.""",
    "end": """Raises
------
ValueError
    In scikit-learn's words, where there is no value.

References
----------
The definition is scikit-learn's, https://scikit-learn.org/stable/modules/model_evaluation.html""",
}
F = TypeVar("F", bound=Callable[..., object])


def shared_docs(function: F) -> F:
    """Put the shared descriptions in the place of lines like ``{weight}`` of a function's docstring."""
    lines = inspect.cleandoc(function.__doc__ or "").splitlines()
    shared = (SHARED[line[1:-1]] if line[:1] == "{" and line[-1:] == "}" else line for line in lines)
    function.__doc__ = "\n".join(shared)
    return function
