import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hw1.training import kernels
from hw1.training.kernels import compiled, erf, exp, from_bfloat16, to_bfloat16
from hw1.training.threads import run

SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 88.3, 88.5, 88.8, -87.2, -200.0, 1e-30]


@compiled
def exponentials(x: np.ndarray, y: np.ndarray) -> None:
    for i in range(len(x)):
        y[i] = exp(x[i])


@compiled
def errors(x: np.ndarray, y: np.ndarray) -> None:
    for i in range(len(x)):
        y[i] = erf(x[i])


@compiled
def rounded(x: np.ndarray, y: np.ndarray) -> None:
    for i in range(len(x)):
        y[i] = from_bfloat16(to_bfloat16(x[i]))


def make_twice() -> Callable[[float], float]:
    """A function of many others, each of them new to Numba."""

    def add_one(inner: Any) -> Any:
        return numba.njit(lambda x: inner(x) + 1)

    chain: Any = numba.njit(lambda x: x)
    for _ in range(20):
        chain = add_one(chain)

    def twice(x: float) -> float:
        return chain(x) - 20 + x

    return twice


def numbers(dtype: type) -> np.ndarray:
    random = np.random.default_rng(0).normal(size=20_000)
    return np.concatenate([random, random * 30, SPECIAL]).astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2.5e-7), (np.float64, 1e-14)])
def test_exponentials_are_torchs(dtype: type, tolerance: float) -> None:
    x = numbers(dtype)
    y = np.empty_like(x)
    exponentials(x, y)
    expected = torch.from_numpy(x).double().exp().numpy()
    # Where single precision runs out of numbers, the smallest will do, and infinity.
    smallest = 2e-38 if dtype is np.float32 else 0.0
    expected[expected > (2.4e38 if dtype is np.float32 else np.inf)] = np.inf
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=smallest)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2.5e-7), (np.float64, 1e-14)])
def test_the_error_function_is_torchs(dtype: type, tolerance: float) -> None:
    x = numbers(dtype)
    y = np.empty_like(x)
    errors(x, y)
    expected = torch.erf(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_numbers_are_rounded_to_bfloat16_as_torch_rounds(values: list[float]) -> None:
    x = np.array(values, np.float32)
    y = np.empty_like(x)
    rounded(x, y)
    expected = torch.from_numpy(x).to(torch.bfloat16).float().numpy()
    assert np.array_equal(y, expected)


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No folder is to be had in a file that is none.
    monkeypatch.setattr(kernels, "CACHE", "/dev/null/cache")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "/dev/null/home")
    namespace: dict[str, Any] = {}
    exec(compile("def double(x):\n    return 2 * x\n", "/dev/null/code.py", "exec"), namespace)
    double = namespace["double"]
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(double)
    assert compiled(double)(21) == 42


def test_what_was_compiled_of_other_sources_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "training"
    shutil.copytree(Path(kernels.__file__).parent, copy, ignore=shutil.ignore_patterns("__*"))
    monkeypatch.setattr(kernels, "__file__", str(copy / "kernels.py"))
    before = kernels._cache()
    assert kernels._cache() == before
    (copy / "update.py").write_text("# another one\n")
    assert kernels._cache() != before


COMPILING = r"compiling the training code for this processor, once: twice \((\d+) functions? so far"


def test_a_compilation_says_so_while_it_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "CACHE", str(tmp_path / "compiled"))
    twice = make_twice()

    def calls() -> list[str | None]:
        """What is said meanwhile by a thread that compiles and calls a function."""
        said = []

        def hear() -> None:
            assert threading.current_thread() is threading.main_thread()
            said.append(kernels.being_compiled())

        function = kernels.compiled(twice)
        with kernels.hearing(hear):
            assert function(2.0) == 4.0
            before = len(said)
            assert function(3.0) == 6.0
        assert len(said) == before  # there was code by then
        return said

    found = [re.match(COMPILING, text) for text in filter(None, calls())]
    assert found and all(found)
    counts = [int(match[1]) for match in found if match is not None]
    assert counts == sorted(counts)
    assert kernels.being_compiled() is None
    assert not any(calls())  # of what is kept on disk


@pytest.mark.parametrize("n_threads", [1, 2])
def test_what_is_heard_ends_a_compilation(
    n_threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "CACHE", str(tmp_path / "compiled"))
    function = kernels.compiled(make_twice())

    def task() -> Iterator[None]:
        function(2.0)
        yield

    def hear() -> None:
        if kernels.being_compiled():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([task() for _ in range(n_threads)], n_threads, hear)
    assert kernels.being_compiled() is None
    # Nothing is broken by it.
    run([task()], 1, lambda: None)
    assert function(2.0) == 4.0


def test_an_error_of_compiled_code_is_raised_where_it_is_called() -> None:
    @compiled
    def wrong(x: float) -> float:
        return x + "a"

    with (
        kernels.hearing(lambda: None),
        pytest.raises(numba.core.errors.TypingError, match="No implementation of function"),
    ):
        wrong(2.0)
    assert kernels.being_compiled() is None
