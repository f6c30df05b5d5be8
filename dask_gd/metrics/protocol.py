"""What a metric is: sums of the rows of a block, and the number that the sums of all blocks make."""

from __future__ import annotations

from typing import Any, Protocol

from ..protocol import Array


class Metric(Protocol):
    """One way to judge predictions.

    Attributes
    ----------
    response : {"predict", "predict_proba", "decision_function"}
        What of a model it judges. Of a classifier of two classes the last two are (n,), of the second class.
    bounded : bool
        Whether its sums stay small however many rows there are.
    weighted : bool
        Whether the rows may have weights.
    """

    bounded: bool
    weighted: bool

    @property
    def response(self) -> str: ...

    def sums(self, y: Array, predicted: Array, weight: Array | None) -> Any:
        """Of the rows of one block, at least one: they can be added with ``+``, in the order of the blocks, and
        pickled. Raises ValueError, in scikit-learn's words, where the block alone shows that no value exists."""
        ...

    def value(self, sums: Any) -> Any:
        """The metric of all rows, from the sum of all sums. Raises ValueError where it does not exist."""
        ...
