"""Several kernels of queries in one read of a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..protocol import Block, Kernel, Sums


@dataclass(frozen=True)
class Together:
    """The parts of all kernels, one after the other."""

    kernels: tuple[Kernel, ...]
    name: str = "together"

    @property
    def points(self) -> tuple[Any, ...]:
        """What there is to carry."""
        return tuple(getattr(kernel, "points", ()) for kernel in self.kernels)

    def __call__(self, block: Block) -> Sums:
        return Sums(tuple(part for kernel in self.kernels for part in kernel(block).parts))
