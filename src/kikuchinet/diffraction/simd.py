"""A complex matrix times a complex vector in the processor's vectors, for compiled code.

LLVM vectorises the innermost loop only. In the product of a small matrix with a vector that is either a sum, which takes as
long to reduce as to add up, or a sequence of stores. Here `LANES` rows of the result stay in registers while the columns go
by: half the time for 18 and 48 rows, and no more for 300. It is written in LLVM's terms, so it runs on any processor; it is
best where vectors are 512 bits long.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
"""Rows of a matrix that are worked on together: float32 numbers in the longest vector."""


@nb.njit(cache=True)
def pack(columns):
    """Matrix in the order in which `add_product` reads it, (tiles, n, 2, LANES) float32.

    Parameters
    ----------
    columns
        Real and imaginary part of each column, (n, 2, padded) float32; `padded` is a multiple of `LANES`.
    """
    n = columns.shape[0]
    tiles = columns.shape[2] // LANES
    packed = np.empty((tiles, n, 2, LANES), np.float32)
    for tile in range(tiles):
        for j in range(n):
            for part in range(2):
                for lane in range(LANES):
                    packed[tile, j, part, lane] = columns[j, part, tile * LANES + lane]
    return packed


def _add_product(typing_context, packed, vector, before, kept, factor, after):
    return types.void(packed, vector, before, kept, factor, after), _generate_product


def _generate_product(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    row = ir.VectorType(ir.FloatType(), LANES)
    undefined = ir.Constant(row, ir.Undefined)
    same_lane = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    # Sums in any order, multiplications and additions in one instruction.
    fast = ("fast",)
    arrays = [context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 1, 2, 5)]
    matrix, vector, before, after = (array.data for array in arrays)
    kept, factor = arguments[3], arguments[4]
    n = cgutils.unpack_tuple(builder, arrays[0].shape)[1]
    length, _, padded = (cgutils.unpack_tuple(builder, array.shape)[1] for array in arrays[1:])
    lanes = ir.Constant(padded.type, LANES)

    def spread(value: Any) -> Any:
        first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, undefined, same_lane)

    def lanes_at(base: Any, place: Any) -> Any:
        return builder.bitcast(builder.gep(base, [place]), row.as_pointer())

    sums = [cgutils.alloca_once(builder, row) for _ in range(4)]
    with cgutils.for_range_slice(builder, ir.Constant(padded.type, 0), padded, lanes) as (tile, _):
        for total in sums:
            builder.store(ir.Constant(row, [0.0] * LANES), total)
        tile_start = builder.mul(builder.mul(tile, n), ir.Constant(padded.type, 2))
        with cgutils.for_range(builder, n) as loop:
            place = builder.add(tile_start, builder.mul(loop.index, ir.Constant(padded.type, 2 * LANES)))
            real = builder.load(lanes_at(matrix, place), align=4)
            imaginary = builder.load(lanes_at(matrix, builder.add(place, lanes)), align=4)
            x = spread(builder.load(builder.gep(vector, [loop.index])))
            y = spread(builder.load(builder.gep(vector, [builder.add(length, loop.index)])))
            for total, a, b in zip(sums, (real, imaginary, real, imaginary), (x, y, y, x), strict=True):
                product = builder.fmul(a, b, flags=fast)
                builder.store(builder.fadd(builder.load(total), product, flags=fast), total)
        real_x, imaginary_y, real_y, imaginary_x = (builder.load(total) for total in sums)
        real = builder.fsub(real_x, imaginary_y, flags=fast)
        imaginary = builder.fadd(real_y, imaginary_x, flags=fast)
        for place, value in ((tile, real), (builder.add(padded, tile), imaginary)):
            old = builder.fmul(spread(kept), builder.load(lanes_at(before, place), align=4), flags=fast)
            new = builder.fadd(old, builder.fmul(spread(factor), value, flags=fast), flags=fast)
            builder.store(new, lanes_at(after, place), align=4)
    return context.get_dummy_value()


add_product: Any = intrinsic(_add_product)
"""``after = kept · before + factor · matrix @ vector``, called as add_product(packed, vector, before, kept, factor, after).

Parameters
----------
packed
    The matrix as `pack` gives it.
vector
    Real and imaginary part, (2, n or more) float32, contiguous.
before, after
    (2, padded) float32, contiguous; they may be the same.
kept, factor
    float32.
"""
