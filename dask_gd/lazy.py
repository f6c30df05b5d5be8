"""Names of a package that are loaded when one is asked for.

A worker runs kernels, for which it needs none of scikit-learn, pandas and Arrow, which take 125 MB of its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def names_of(package: str, modules: Sequence[str], names: Sequence[str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package: ``names`` from the first of its ``modules`` that has them."""

    def get(name: str) -> Any:
        if name in names:
            for module in modules:
                found = import_module(f".{module}", package)
                if hasattr(found, name):
                    return getattr(found, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
