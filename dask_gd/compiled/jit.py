"""Numba, where it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["COMPILED", "EXACT", "FAST", "as_argument", "jit", "numba"]

numba: Any
try:
    import numba
    import numba.extending
except ImportError:  # the same source runs as Python, a hundred times slower
    numba = None

COMPILED = numba is not None and not numba.config.DISABLE_JIT
# Sums may be reordered (as vectors), but NaN stays NaN and the same machine gives the same bits.
FAST = {"reassoc", "contract", "nsz"}
EXACT = {"contract", "nsz"}  # where every rounding is meant


def jit(function: Callable[..., Any], *signature: Any, fastmath: Any = frozenset(FAST)) -> Any:
    """Compiled, at once for a signature and else at the first call."""
    if not COMPILED:
        return function
    options = {"nogil": True, "fastmath": set(fastmath), "error_model": "numpy"}
    try:
        return numba.njit(*signature, cache=True, **options)(function)
    except RuntimeError:  # no directory to keep it in
        return numba.njit(*signature, **options)(function)


def as_argument(function: Any) -> Any:
    """What other compiled functions are given of one that was compiled for a signature: Numba would look up the
    address of the function itself at every call, which takes as long as a thousand rows."""
    if not COMPILED:
        return function
    [compiled] = function.overloads.values()
    return numba.types.CompileResultWAP(compiled)
