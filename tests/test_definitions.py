from pathlib import Path

import pytest
import torch

from hw1.definitions import (
    definition_names,
    describe,
    find_definition,
    find_device,
    load_definition,
)
from hw1.errors import InputError


def test_definitions_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text('"""What it does.\n\nAnd more."""\nstudy = None\n')
    assert definition_names(tmp_path) == ["mine"]
    assert describe(tmp_path / "mine.py") == "What it does."
    assert find_definition("mine", tmp_path) == ("mine", tmp_path / "mine.py")
    assert find_definition(str(tmp_path / "mine.py"), tmp_path)[0] == "mine"
    elsewhere = find_definition(str(tmp_path / "mine.py"), tmp_path / "studies")
    assert elsewhere == (str(tmp_path / "mine.py"), tmp_path / "mine.py")
    with pytest.raises(InputError, match="did you mean 'mine'"):
        find_definition("mien", tmp_path)
    with pytest.raises(InputError, match="no study file"):
        find_definition("nowhere/mine.py", tmp_path)
    with pytest.raises(InputError, match="defines no study"):
        load_definition(tmp_path / "mine.py")


def test_devices_are_checked() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in ("cpu", "cuda")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        find_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            find_device("cuda")
