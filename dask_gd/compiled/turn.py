"""Four rows of a matrix turned into four columns of a panel, in registers.

A compiler sees sixteen numbers that it moves one by one, which takes longer than all the arithmetic on them. Hence the
instructions themselves: loads of rows, shuffles, stores of columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..protocol import Array
from .jit import COMPILED, jit, numba

__all__ = ["columns_of", "turn_back", "turn_tile"]

STRETCH = 128  # rows at a time: a kilobyte of each column and the lines of the rows stay in the first cache


def turn_tile(X: Array, row: int, column: int, panel: Array, k: int, r: int) -> None:
    """panel[k : k + 4, r : r + 4] = X[row : row + 4, column : column + 4].T, of float32 or float64."""
    panel[k : k + 4, r : r + 4] = X[row : row + 4, column : column + 4].T


if COMPILED:
    from llvmlite import ir
    from numba.core import cgutils

    def _generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of_X, of_panel = signature.args[0], signature.args[3]
        X, row, column, panel, k, r = args

        def four(array_type: Any) -> Any:
            return ir.VectorType(context.get_data_type(array_type.dtype), 4)

        def place(array: Any, array_type: Any, i: Any, j: Any, below: int) -> Any:
            parts = context.make_array(array_type)(context, builder, array)
            width = cgutils.unpack_tuple(builder, parts.shape, 2)[1]
            at = builder.add(builder.mul(builder.add(i, ir.Constant(i.type, below)), width), j)
            return builder.bitcast(builder.gep(parts.data, [at]), four(array_type).as_pointer())

        def shuffled(a: Any, b: Any, *numbers: int) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), 4), list(numbers)))

        rows = []
        for i in range(4):
            loaded = builder.load(place(X, of_X, row, column, i))
            loaded.align = of_X.dtype.bitwidth // 8
            rows.append(loaded if of_X.dtype == of_panel.dtype else builder.fpext(loaded, four(of_panel)))
        a, b, c, d = rows
        left, right = shuffled(a, b, 0, 4, 1, 5), shuffled(c, d, 0, 4, 1, 5)
        columns = [shuffled(left, right, 0, 1, 4, 5), shuffled(left, right, 2, 3, 6, 7)]
        left, right = shuffled(a, b, 2, 6, 3, 7), shuffled(c, d, 2, 6, 3, 7)
        columns += [shuffled(left, right, 0, 1, 4, 5), shuffled(left, right, 2, 3, 6, 7)]
        for i, vector in enumerate(columns):
            stored = builder.store(vector, place(panel, of_panel, k, r, i))
            stored.align = of_panel.dtype.bitwidth // 8
        return context.get_dummy_value()

    @numba.extending.intrinsic
    def turn_tile(typing_context: Any, X: Any, row: Any, column: Any, panel: Any, k: Any, r: Any) -> Any:
        size = numba.types.intp
        return numba.types.void(X, size, size, panel, size, size), _generate


def columns_of(X: Array) -> Array:
    """(d, n or more) The columns of a matrix that lies by columns and may be some rows of a larger one: row j begins
    with column j, and what comes after its n numbers must not be read."""
    shape = X.shape[1], X.strides[1] // X.itemsize
    return np.lib.stride_tricks.as_strided(X.T, shape, (X.strides[1], X.itemsize), writeable=False)


@jit
def turn_back(columns: Array, out: Array) -> None:
    """``out`` (n, d), row by row, of what lies column by column."""
    n, d = out.shape
    whole, wide = n - n % 4, d - d % 4
    for begin in range(0, whole, STRETCH):
        end = min(begin + STRETCH, whole)
        for j in range(0, wide, 4):
            for r in range(begin, end, 4):
                turn_tile(columns, j, r, out, r, j)
        for j in range(wide, d):
            for r in range(begin, end):
                out[r, j] = columns[j, r]
    for r in range(whole, n):
        for j in range(d):
            out[r, j] = columns[j, r]
