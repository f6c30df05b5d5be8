"""Memory that is asked for before it is needed, while there is something else to compute."""

from __future__ import annotations

from typing import Any

from ..protocol import Array
from .jit import COMPILED, numba

__all__ = ["prefetch"]


def prefetch(array: Array, index: Any) -> None:
    """Start to load ``array[index]``, counted through all rows, into the cache: nothing that Python could do."""


if COMPILED:
    from llvmlite import ir
    from numba.extending import intrinsic

    @intrinsic
    def _prefetch(context: Any, array: Any, index: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, values[0]).data
            address = builder.bitcast(builder.gep(data, [values[1]]), ir.IntType(8).as_pointer())
            number = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), number, number, number])
            call = numba.core.cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
            builder.call(call, [address, number(0), number(3), number(1)])  # for reading, to stay, data
            return context.get_dummy_value()

        return numba.types.void(array, index), code

    prefetch: Any = _prefetch  # type: ignore[no-redef]
