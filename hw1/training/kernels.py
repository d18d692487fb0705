"""What compiled functions are made of: elementwise functions that the compiler can vectorise.

All are compiled by Numba when they are first called, for the processor at hand, and kept on disk.
They release Python's lock and use one thread; models are trained on several threads instead.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numba.extending
import numpy as np

from hw1.training.keys import GOLDEN as SIGNED_GOLDEN

Function = TypeVar("Function", bound=Callable[..., Any])
Index = Any
"""An ``np.uint64``: negative indices would count from an array's end, which keeps a loop from
being vectorised."""
GOLDEN = np.uint32(SIGNED_GOLDEN % 2**32)

# Sums may be reordered, but what is not finite has to stay so: it tells that a network diverged.
OPTIONS: dict[str, Any] = {
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    "error_model": "numpy",
}


def _cache() -> str:
    """A folder for what is compiled of these very sources.

    Numba looks at a function's own file alone, and would miss a change in one that it calls.
    """
    here = Path(__file__).parent
    sources = b"".join(path.read_bytes() for path in sorted(here.glob("*.py")))
    return str(here / "__pycache__" / f"compiled-{hashlib.sha256(sources).hexdigest()[:16]}")


CACHE = _cache()


def are_compiled() -> bool:
    """Whether compiled code is kept for this processor and these sources; if not, it takes time."""
    return any(Path(CACHE).rglob("*.nbc"))


def compiled(function: Function) -> Function:
    """``function``, compiled when it is first called."""
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = CACHE  # where it cannot be written, Numba takes another one
    try:
        result: Function = numba.njit(cache=True, nogil=True, **OPTIONS)(function)
    except RuntimeError:  # there is none: it is compiled in every process
        result = numba.njit(nogil=True, **OPTIONS)(function)
    finally:
        config.CACHE_DIR = before
    return result


def inlined(function: Function) -> Function:
    """``function`` as a part of the compiled ones that call it."""
    result: Function = numba.njit(forceinline=True, **OPTIONS)(function)
    return result


@inlined
def mix(bits: Any) -> Any:
    """A uint32, scrambled; see `hw1.training.keys`."""
    bits = np.uint32(bits ^ (bits >> np.uint32(16)))
    bits = np.uint32(bits * np.uint32(0x7FEB352D))
    bits = np.uint32(bits ^ (bits >> np.uint32(15)))
    bits = np.uint32(bits * np.uint32(0x846CA68B))
    return np.uint32(bits ^ (bits >> np.uint32(16)))


@inlined
def from_bfloat16(bits: Any) -> Any:
    """The float32 that the uint16 ``bits`` stand for in bfloat16."""
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@inlined
def to_bfloat16(value: Any) -> Any:
    """A float32 as the bits (uint16) of the nearest bfloat16, of two the even one."""
    bits = np.float32(value).view(np.uint32)
    odd = np.uint32((bits >> np.uint32(16)) & np.uint32(1))
    rounded = np.uint16(np.uint32(bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))
    return rounded if value == value else np.uint16(0x7FC0)


def exp(x: Any) -> Any:
    """The exponential of a float; in single precision to two units in the last place."""
    raise NotImplementedError  # there are compiled versions alone, below


def erf(x: Any) -> Any:
    """The error function of a float; in single precision to 2e-7."""
    raise NotImplementedError


@inlined
def _exp32(x: Any) -> Any:
    # Infinite where two to the power of n is beyond the largest float, NaN where x is.
    clamped = min(max(x, np.float32(-87.3)), np.float32(88.37))
    n = np.floor(clamped * np.float32(1.4426950408889634) + np.float32(0.5))
    # ln 2 in two parts, the first exact in few bits, so that nothing of x is lost.
    r = clamped - n * np.float32(0.693359375)
    r = r + n * np.float32(2.12194440e-4)
    # Taylor's series suffices for |r| up to ln(2) / 2.
    p = np.float32(1 / 5040)
    p = p * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(0.5)
    p = p * r + np.float32(1)
    p = p * r + np.float32(1)
    scale = np.int32(np.int32(np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    value = np.float32(np.inf) if x > np.float32(88.37) else p * scale
    return value if x == x else x


@inlined
def _erf32(x: Any) -> Any:
    # 1 - t P(t) exp(-x²) with t = 1 / (1 + |x| / 2), after the form of W. H. Press et al.,
    # Numerical Recipes; P interpolates the scaled complementary error function over t.
    z = abs(x)
    t = np.float32(1) / (np.float32(1) + np.float32(0.5) * z)
    p = np.float32(-0.05235712602734566)
    p = p * t + np.float32(0.25402361154556274)
    p = p * t + np.float32(-0.42926156520843506)
    p = p * t + np.float32(0.21884174644947052)
    p = p * t + np.float32(0.008622662164270878)
    p = p * t + np.float32(0.19038935005664825)
    p = p * t + np.float32(0.24550308287143707)
    p = p * t + np.float32(0.2821437418460846)
    p = p * t + np.float32(0.28209447860717773)
    value = np.float32(1) - p * t * _exp32(-z * z)
    return value if x >= np.float32(0) else -value


def _in_single_precision(function: Any, fast: Any, exact: Any) -> None:
    """Compile ``function`` as ``fast`` for float32, and as ``exact`` for float64."""

    def choose(x):  # type: ignore[no-untyped-def]  # Numba compares it with the lambda
        chosen = fast if x == numba.types.float32 else exact
        return lambda x: chosen(x)

    numba.extending.overload(function, jit_options={"forceinline": True})(choose)


_in_single_precision(exp, _exp32, numba.njit(lambda x: math.exp(x)))
_in_single_precision(erf, _erf32, numba.njit(lambda x: math.erf(x)))
