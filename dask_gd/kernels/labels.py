"""Labels -> numbers, and class weights into sample weights, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
        code = self._codes(block.y)
        weight = block.weight
        if self.class_weight is not None:
            own = self.class_weight[code]
            weight = own if weight is None else own * weight
        y = code.astype(block.X.dtype) if len(self.classes) == 2 else code
        return block._replace(y=y, weight=weight)

    def _codes(self, y: Array) -> Array:
        if len(self.classes) == 2:
            return np.asarray(y == self.classes[1]).astype(np.intp)
        if y.dtype.kind in "biuf" and len(self.classes) <= 8:  # comparing beats searching
            code = np.zeros(len(y), dtype=np.intp)
            for i, label in enumerate(self.classes[1:], start=1):
                code[y == label] = i
            return code
        code = np.minimum(np.searchsorted(self.classes, y), len(self.classes) - 1)
        return np.where(self.classes[code] == y, code, 0)
