"""Products of bfloat16 matrices in compiled code, where the processor and torch's MKL have them.

Processors with AMX multiply in bfloat16 five to seven times faster than in float32. MKL's
``gemm_bf16bf16f32`` (oneAPI Math Kernel Library reference, "gemm_*") sums in float32. torch
brings MKL in its packages for x86 and exports the function; where it does not, matrices are
multiplied in float32.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np
import torch

from hw1.training.kernels import compiled, to_bfloat16
from hw1.training.precision import processor_flags

SYMBOL = "hw1_gemm_bf16bf16f32"
WORTH_ROUNDING = 2**21
"""Multiplications in a product from which on it pays to round both matrices first."""
SCRATCH = np.array([0, 0, 0, 0, 0, 0, 0x3F800000, 0, ord("N"), ord("T")], np.int32)
"""What a product needs in memory, to be copied: sizes, the float 1 and 0, whether transposed."""


def _find() -> Callable[..., Any] | None:
    """The function in torch's library."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        found: Callable[..., Any] = ctypes.CDLL(str(library)).GEMM_BF16BF16F32
    except (OSError, AttributeError):
        return None
    return found


_function: Any = _find()
available = _function is not None
"""Whether `multiply` may be called."""
fast = available and "amx_bf16" in processor_flags()
"""Whether that is faster than float32; not measured without AMX."""
# Compiled code finds it by its name, so that it can be kept on disk; a name has to stand for
# something even where it is never called.
llvmlite.binding.add_symbol(
    SYMBOL, ctypes.cast(_function or ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value
)
_gemm: Any = numba.types.ExternalFunction(SYMBOL, numba.void(*[numba.uintp] * 13))


@compiled
def round_all(values: np.ndarray, rounded: np.ndarray) -> None:
    """Write ``values`` as the bits of bfloat16, uint16."""
    for i in range(len(values)):
        rounded[i] = to_bfloat16(values[i])


@compiled
def multiply(
    a: np.ndarray,
    transposes_a: bool,
    b: np.ndarray,
    transposes_b: bool,
    out: np.ndarray,
    scratch: np.ndarray,
) -> None:
    """``out = a @ b``.

    Args:
        a, b: bfloat16 as uint16.
        transposes_a, transposes_b: whether the transpose is meant.
        out: float32.
        scratch: a copy of `SCRATCH`.
    """
    # To Fortran each matrix is its transpose, so the two change places.
    scratch[0], scratch[1] = out.shape[1], out.shape[0]
    scratch[2] = len(a) if transposes_a else a.shape[1]
    scratch[3], scratch[4], scratch[5] = b.shape[1], a.shape[1], out.shape[1]
    at = scratch.ctypes.data
    one, zero, plain, transposed = at + 24, at + 28, at + 32, at + 36
    _gemm(
        transposed if transposes_b else plain, transposed if transposes_a else plain,
        at, at + 4, at + 8, one, b.ctypes.data, at + 12, a.ctypes.data, at + 16, zero,
        out.ctypes.data, at + 20,
    )  # fmt: skip
