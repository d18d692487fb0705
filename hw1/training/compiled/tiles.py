"""Products of small matrices in compiled code, a tile of the result at a time.

A tile is some rows by two vectors of columns, few enough to stay in the processor's registers while
its sums are formed (K. Goto and R. van de Geijn, 2008, "Anatomy of High-Performance Matrix
Multiplication", https://doi.org/10.1145/1356052.1356053; without packing, which matrices that fit
in a cache do not need).

Numba has no vectors, so a tile is written in the intermediate language of LLVM.
"""

from typing import Any

import numba.core.cgutils
import numba.extending
import numpy as np
from llvmlite import ir
from numba.core import types

from hw1.training.kernels import compiled
from hw1.training.precision import processor_flags

cgutils: Any = numba.core.cgutils
intrinsic: Any = numba.extending.intrinsic
VECTOR = 64 if "avx512f" in processor_flags() else 32
"""Bytes in a vector."""
ROWS = 8 if VECTOR == 64 else 6
"""Of a tile: with 32 registers for vectors, or with 16."""


def is_worth_tiles(n_in: int, n_out: int, itemsize: int) -> bool:
    """Whether `multiply` is faster than BLAS with a matrix of this shape.

    Twice as fast with 32 units, as fast with 256; columns that fill no vector are slow.
    """
    return min(n_in, n_out) * itemsize >= VECTOR and n_in * n_out <= 2**16


class _Vectors:
    """Writes operations with vectors of numbers at addresses."""

    def __init__(self, builder: Any, number: Any) -> None:
        self.builder = builder
        self.itemsize = number.bitwidth // 8
        self.lanes = VECTOR // self.itemsize
        self.number = ir.FloatType() if self.itemsize == 4 else ir.DoubleType()
        self.type = ir.VectorType(self.number, self.lanes)

    def at(self, address: Any, kind: Any) -> Any:
        return self.builder.inttoptr(address, kind.as_pointer())

    def load(self, address: Any) -> Any:
        return self.builder.load(self.at(address, self.type), align=self.itemsize)

    def store(self, vector: Any, address: Any) -> None:
        self.builder.store(vector, self.at(address, self.type), align=self.itemsize)

    def shuffle(self, a: Any, b: Any, lanes: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), lanes)
        return self.builder.shuffle_vector(a, b, mask)

    def spread(self, address: Any) -> Any:
        """A vector of one number."""
        number = self.builder.load(self.at(address, self.number))
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.IntType(32)(0))
        return self.shuffle(first, undefined, [0] * self.lanes)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(self.type, [self.type] * 3),
            f"llvm.fma.v{self.lanes}f{8 * self.itemsize}",
        )
        return self.builder.call(function, [a, b, c])


def _make_tile(n_rows: int, n_vectors: int) -> Any:
    """Sums of ``n`` products for a tile; distances and addresses are in bytes.

    Args of the tile:
        a, b, out: where in the matrices it begins.
        down, along: from one row of ``a`` to the next, and from one column to the next.
        of_b, of_out: from one row to the next.
        n: columns of ``a``, rows of ``b``.
        start: what the sums start from, by column; 0 for none.
        like: a number of the type of all matrices.
    """

    @intrinsic
    def tile(context, a, down, along, b, of_b, out, of_out, n, start, like):  # type: ignore[no-untyped-def]
        def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            a, down, along, b, of_b, out, of_out, n, start, _ = values
            v = _Vectors(builder, signature.args[-1])
            add, multiply, constant = builder.add, builder.mul, ir.IntType(64)
            columns = [constant(i * VECTOR) for i in range(n_vectors)]
            # Memory in name only: LLVM keeps the sums in registers.
            sums = [[cgutils.alloca_once(builder, v.type) for _ in columns] for _ in range(n_rows)]
            with builder.if_else(builder.icmp_signed("!=", start, constant(0))) as (given, none):
                with given:
                    for row in sums:
                        for one, column in zip(row, columns, strict=True):
                            builder.store(v.load(add(start, column)), one)
                with none:
                    for row in sums:
                        for one in row:
                            builder.store(ir.Constant(v.type, [0.0] * v.lanes), one)
            rows = [add(a, multiply(down, constant(i))) for i in range(n_rows)]
            with cgutils.for_range(builder, n) as loop:
                from_b = add(b, multiply(loop.index, of_b))
                some_b = [v.load(add(from_b, column)) for column in columns]
                for row, from_a in zip(sums, rows, strict=True):
                    some_a = v.spread(add(from_a, multiply(loop.index, along)))
                    for one, factor in zip(row, some_b, strict=True):
                        builder.store(v.multiply_add(some_a, factor, builder.load(one)), one)
            for i, row in enumerate(sums):
                to_out = add(out, multiply(of_out, constant(i)))
                for one, column in zip(row, columns, strict=True):
                    v.store(builder.load(one), add(to_out, column))
            return context.get_dummy_value()

        return types.void(*[types.intp] * 9, like), write

    return tile


_wide, _narrow, _wide_row, _narrow_row = (
    _make_tile(rows, vectors) for rows in (ROWS, 1) for vectors in (2, 1)
)


@intrinsic
def _transpose_square(context, a, of_a, out, of_out, like):  # type: ignore[no-untyped-def]
    """Of a square as wide as a vector; addresses and distances in bytes."""

    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        a, of_a, out, of_out, _ = values
        v = _Vectors(builder, signature.args[-1])
        constant, lanes = ir.IntType(64), range(v.lanes)
        rows = [v.load(builder.add(a, builder.mul(of_a, constant(i)))) for i in lanes]
        half = 1
        while half < v.lanes:  # squares of twice the size: their off-diagonal parts change places
            for i in (i for i in lanes if not i & half):
                upper, lower = rows[i], rows[i + half]
                mask = [k if not k & half else v.lanes + k - half for k in lanes]
                rows[i] = v.shuffle(upper, lower, mask)
                rows[i + half] = v.shuffle(upper, lower, [k + half for k in mask])
            half *= 2
        for i, row in enumerate(rows):
            v.store(row, builder.add(out, builder.mul(of_out, constant(i))))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4, like), write


@compiled
def transpose(a: np.ndarray, out: np.ndarray) -> None:
    """``out = a.T``; both have at least as many rows and columns as a vector has numbers."""
    height, width = a.shape
    size, lanes = a.itemsize, VECTOR // a.itemsize
    at_a, at_out = a.ctypes.data, out.ctypes.data
    for i in range(0, height, lanes):
        row = min(i, height - lanes)  # what is left overlaps with what is done
        for j in range(0, width, lanes):
            column = min(j, width - lanes)
            _transpose_square(
                at_a + size * (row * width + column), size * width,
                at_out + size * (column * height + row), size * height,
                a.dtype.type(0),
            )  # fmt: skip


@compiled
def multiply(
    a: np.ndarray, transposes: bool, b: np.ndarray, out: np.ndarray, start: np.ndarray
) -> None:
    """``out = a @ b + start``.

    Args:
        a, b: in the order of their rows.
        transposes: whether ``a`` stands for its transpose.
        out: at least as wide as a vector.
        start: ``(n_columns,)``, or empty for zeros.
    """
    (height, width), n, size = out.shape, len(b), a.itemsize
    down, along = size * a.shape[1], size
    if transposes:
        down, along = along, down
    lanes, line, like = VECTOR // size, size * width, a.dtype.type(0)
    n_rows = ROWS if height >= ROWS else 1
    column = 0
    while column < width:
        # The last tiles overlap with those before.
        is_wide = width - column > lanes and width >= 2 * lanes
        n_columns = 2 * lanes if is_wide else lanes
        shift = size * min(column, width - n_columns)
        from_b = b.ctypes.data + shift
        first = start.ctypes.data + shift if len(start) else 0
        for i in range(0, height, n_rows):
            row = min(i, height - n_rows)
            from_a, to = a.ctypes.data + row * down, out.ctypes.data + row * line + shift
            if n_rows == 1:
                if is_wide:
                    _wide_row(from_a, down, along, from_b, line, to, line, n, first, like)
                else:
                    _narrow_row(from_a, down, along, from_b, line, to, line, n, first, like)
            elif is_wide:
                _wide(from_a, down, along, from_b, line, to, line, n, first, like)
            else:
                _narrow(from_a, down, along, from_b, line, to, line, n, first, like)
        column += n_columns
