import shutil
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hw1.training import kernels
from hw1.training.kernels import compiled, erf, exp, from_bfloat16, mix, to_bfloat16
from hw1.training.keys import _mix_array

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
def scrambled(x: np.ndarray, y: np.ndarray) -> None:
    for i in range(len(x)):
        y[i] = mix(x[i])


@compiled
def rounded(x: np.ndarray, y: np.ndarray) -> None:
    for i in range(len(x)):
        y[i] = from_bfloat16(to_bfloat16(x[i]))


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


def test_bits_are_scrambled_as_those_of_the_keys_are() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 1000, dtype=np.uint32)
    result = np.empty_like(bits)
    scrambled(bits, result)
    assert np.array_equal(result, _mix_array(bits.copy()))


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


def test_code_is_compiled_once_there_are_files_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "CACHE", str(tmp_path / "compiled"))
    assert not kernels.are_compiled()

    def double(x: float) -> float:
        return 2 * x

    function = kernels.compiled(double)
    assert not kernels.are_compiled()  # though there is a folder by now
    assert function(2.0) == 4.0
    assert kernels.are_compiled()
