"""Labels -> numbers, and class weights into sample weights, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import alike, cast, is_device_array, namespace, numpy_dtype, take
from ..memory import converted
from ..protocol import Array, Block


@dataclass(frozen=True)
class EncodeLabels:
    """y becomes the index of its label: in the precision of X for two classes, an integer for more.

    ``class_weight`` (K,), if given, multiplies the sample weights. A label that is not in ``classes`` belongs to a
    row of zero weight and gets index 0.
    """

    classes: Array
    class_weight: Array | None = None

    def __call__(self, block: Block) -> Block:
        y = alike(self._codes(block.y), block.X)
        if len(self.classes) == 2:
            dtype = numpy_dtype(block.X)
            y = cast(y, dtype) if is_device_array(y) else converted(y, dtype)
        block = block._replace(y=y)
        return block if self.class_weight is None else weighted_by_class(block, self.class_weight)

    def _codes(self, y: Any) -> Any:
        """Numbers; of two labels booleans."""
        if is_device_array(y):
            return self._device_codes(y)
        if len(self.classes) == 2:
            return np.asarray(y == self.classes[1])  # not as integers first: memory that is new costs more than this
        if y.dtype.kind in "biuf" and len(self.classes) <= 8:  # comparing beats searching
            code = np.zeros(len(y), dtype=np.intp)
            for i, label in enumerate(self.classes[1:], start=1):
                code[y == label] = i
            return code
        code = np.minimum(np.searchsorted(self.classes, y), len(self.classes) - 1)
        return np.where(self.classes[code] == y, code, 0)

    def _device_codes(self, y: Any) -> Any:
        """The same where y is: of two labels by a comparison, of more by a search."""
        xp = namespace(y)
        if len(self.classes) == 2:
            return y == self.classes[1].item()
        classes = cast(alike(self.classes, y), numpy_dtype(y))
        code = xp.minimum(xp.searchsorted(classes, y), len(self.classes) - 1)
        return xp.where(xp.take(classes, code, axis=0) == y, code, 0)


def weighted_by_class(block: Block, class_weight: Array) -> Block:
    """The block with the weights of its rows times those of their classes, whose numbers are in y."""
    xp = namespace(block.y)
    own = take(alike(class_weight, block.X), xp.astype(block.y, xp.int64))
    return block._replace(weight=own if block.weight is None else own * block.weight)
