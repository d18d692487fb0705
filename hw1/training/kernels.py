"""What compiled functions are made of: elementwise functions that the compiler can vectorize.

All are compiled by Numba when they are first called, for the processor at hand, and kept on disk.
They release Python's lock and use one thread; models are trained on several threads instead.
"""

import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numba
import numba.core.event
import numba.extending
import numpy as np
from numba.core.event import Listener

Function = TypeVar("Function", bound=Callable[..., Any])
Index = Any
"""An ``np.uint64``: negative indices would count from an array's end, which keeps a loop from
being vectorized."""
GOLDEN = np.uint32(0x9E3779B1)
"""2**32 over the golden ratio: multiples of it keep the rows' counters as far apart as can be."""

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
    sources = b"".join(path.read_bytes() for path in sorted(here.rglob("*.py")))
    return str(here / "__pycache__" / f"compiled-{hashlib.sha256(sources).hexdigest()[:16]}")


CACHE = _cache()
SECONDS_BETWEEN_CALLS = 0.1


class _Compilation(Listener):
    """What Numba compiles, one function at a time, and within it those that it calls."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.n, self.seconds, self.started = 0, 0.0, 0.0
        self.stopped = False

    def on_start(self, event: Any) -> None:
        """Called on the thread that compiles; not for what is read from disk."""
        if not self.names:
            self.started = time.monotonic()
        self.names.append(event.data["dispatcher"].py_func.__name__)
        self.n += 1
        if self.stopped:
            raise _Stopped

    def on_end(self, event: Any) -> None:
        """Called in any case."""
        self.names.pop()
        if not self.names:
            self.seconds += time.monotonic() - self.started


class _Stopped(BaseException):
    """Ends a compilation for which nobody waits; Numba takes other exceptions for its own."""


_compilation = _Compilation()
numba.core.event.register("numba:compile", _compilation)  # type: ignore[no-untyped-call]


def being_compiled() -> str | None:
    """What is compiled at this moment, in words; None if nothing is."""
    names, n, seconds = _compilation.names[:1], _compilation.n, _compilation.seconds
    if not names:
        return None
    seconds += time.monotonic() - _compilation.started
    return (
        f"compiling the training code for this processor, once: {names[0]} "
        f"({n} {'function' if n == 1 else 'functions'} so far, {seconds:.0f} s)"
    )


_of_thread = threading.local()


@contextmanager
def hearing(on_step: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Let this thread call ``on_step`` several times a second also while it compiles.

    Yields:
        ``on_step``, which now also ends compilations, soon, on every thread if it raises.
    """

    def call() -> None:
        try:
            on_step()
        except BaseException:
            _compilation.stopped = True
            raise

    before = getattr(_of_thread, "on_step", None)
    _of_thread.on_step = call
    try:
        yield call
    finally:
        _of_thread.on_step, _compilation.stopped = before, False


@lru_cache(maxsize=1)
def _compiler() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="hw1-compiler")


def _on_another_thread(compile_function: Callable[..., Any]) -> Callable[..., Any]:
    def compile_for(*args: Any, **kwargs: Any) -> Any:
        on_step = getattr(_of_thread, "on_step", None)
        if on_step is None:
            return compile_function(*args, **kwargs)
        future = _compiler().submit(compile_function, *args, **kwargs)
        try:
            while wait([future], timeout=SECONDS_BETWEEN_CALLS).not_done:
                on_step()
        finally:
            wait([future])
        return future.result()

    return compile_for


def compiled(function: Function) -> Function:
    """``function``, compiled when it is first called; see also `hearing`."""
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = CACHE  # where it cannot be written, Numba takes another one
    try:
        result: Function = numba.njit(cache=True, nogil=True, **OPTIONS)(function)
    except RuntimeError:  # there is none: it is compiled in every process
        result = numba.njit(nogil=True, **OPTIONS)(function)
    finally:
        config.CACHE_DIR = before
    # Numba calls it where it has no code yet for the types of the arguments.
    dispatcher: Any = result
    dispatcher._compile_for_args = _on_another_thread(dispatcher._compile_for_args)
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


@compiled
def _mix_each(bits: np.ndarray) -> None:
    for i in range(len(bits)):
        bits[i] = mix(bits[i])


def mix_all(bits: np.ndarray) -> np.ndarray:
    """Scramble uint32 ``bits`` in place."""
    _mix_each(bits.reshape(-1))
    return bits


@inlined
def fold_in_key(key: Any, number: int) -> Any:
    """As `hw1.training.keys.fold_in`; ``key`` holds two uint32."""
    first = mix(np.uint32(key[0] + mix(np.uint32(number + 1))))
    return first, mix(np.uint32(key[1] ^ first))


@inlined
def dropout(p: float, real: Any) -> Any:
    """What `hw1.training.keys.dropout_factors` multiplies with, and the bound of `is_kept`."""
    scale = real(1 / (1 - p)) if p < 1 else real(0)
    threshold = min(int(np.round(real(p) * 2**16)) - 2**15, 2**15 - 1)
    return scale, np.int32(threshold * 2**16)


@inlined
def dropout_word(key: Any, row: Any, pair: Any) -> Any:
    """The random bits of two neighbors in a row, the first of which has the lower ones."""
    counter = np.uint32(np.uint32(pair) + np.uint32(np.uint32(row) * GOLDEN))
    return mix(np.uint32(np.uint32(counter * np.uint32(key[1] | np.uint32(1))) + key[0]))


@inlined
def is_kept(word: Any, second: Any, bound: Any) -> Any:
    """Whether dropout keeps one of the two; sixteen bits as a signed number are compared."""
    bits = word if second else np.uint32(word << np.uint32(16))
    return np.uint32(bits).view(np.int32) >= bound


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
