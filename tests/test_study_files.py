import sys
import tempfile
from pathlib import Path

import optuna
import pytest
import torch
from conftest import ROOT, TINY_REGRESSION
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hw1.errors import InputError
from hw1.study_files import (
    IN_PYTHON,
    describe,
    find_definition,
    find_device,
    known_studies,
    load_definition,
    naming,
    stored_definition,
)


def test_studies_are_found_by_name_and_by_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the working folder, and those that ship with hw1, of which it may have its own."""
    monkeypatch.chdir(tmp_path)
    shipped = ROOT / "studies"
    assert find_definition("fashion_cnn") == ("fashion_cnn", shipped / "fashion_cnn.py")
    assert find_definition(str(shipped / "fashion_cnn.py"))[0] == "fashion_cnn"
    mine = tmp_path / "studies" / "mine.py"
    mine.parent.mkdir()
    mine.write_text('"""What it does.\n\nAnd more."""\nstudy = None\n')
    (mine.parent / "fashion_cnn.py").touch()
    Path("mine").touch()  # a file of its name
    assert find_definition("fashion_cnn")[1] == mine.parent / "fashion_cnn.py"
    assert sorted(known_studies()) == sorted(["mine", *(p.stem for p in shipped.glob("*.py"))])
    assert describe(mine) == "What it does."
    assert find_definition("mine") == find_definition("studies/mine.py") == ("mine", mine)
    elsewhere = tmp_path / "mine.py"
    elsewhere.touch()
    assert find_definition(str(elsewhere)) == (str(elsewhere), elsewhere)
    with pytest.raises(InputError, match="did you mean 'mine'"):
        find_definition("mien")
    with pytest.raises(InputError, match="no study file"):
        find_definition("nowhere/mine.py")
    with pytest.raises(InputError, match="defines no study"):
        load_definition(mine)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("data.csv", "data.csv is data, not a study: use it with python .* --train-csv data.csv"),
        ("x/my data.CSV", "--train-csv 'x/my data.CSV'"),
        ("data.parquet", "data.parquet is not a study file: name one that ends in .py"),
        ("./data.parquet", "is not a study file"),
        ("nowhere/data.parquet", "there is no study file nowhere/data.parquet"),
        (".", "unknown study"),
        ("./", "is a folder"),
        ("x" * 300, "unknown study"),
        ("x" * 300 + ".py", "there is no study file"),
        ("circle.py", "there is no study file"),
    ],
)
def test_what_is_no_study_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.parquet").touch()
    Path("circle.py").symlink_to("circle.py")
    with pytest.raises(InputError, match=words):
        find_definition(name)


# What a database or a model file asks for.


def folders(here: Path) -> tuple[Path, Path]:
    """Studies of the working folder, with a link that leads to a file elsewhere; and that file."""
    studies, elsewhere = here / "studies", here / "elsewhere" / "other.py"
    studies.mkdir()
    elsewhere.parent.mkdir()
    elsewhere.touch()
    (studies / "mine.py").touch()
    (studies / "link.py").symlink_to(elsewhere)
    return studies, elsewhere


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    return folders(tmp_path)


def test_a_stored_name_stands_for_a_study_that_comes_with_hw1(found: tuple[Path, Path]) -> None:
    studies, elsewhere = found
    with pytest.raises(InputError, match="only if you name it"):  # the working folder's
        stored_definition("mine", origin="x")
    assert stored_definition("mine", "mine", origin="x") == ("mine", studies / "mine.py")
    assert stored_definition("mine", (elsewhere, "mine"), origin="x")[1] == studies / "mine.py"
    shipped = ROOT / "studies" / "regression_mlp.py"
    assert stored_definition("regression_mlp", origin="x")[1] == shipped


@pytest.mark.parametrize(
    "stored",
    [
        "{elsewhere}",
        "{studies}/mine.py",  # no run stores it like that
        "../elsewhere/other.py",
        "../elsewhere/other",
        "other.py",
        "other",
        "./other",
        "mine.py",
        "studies/mine",
        "link",
        "..",
        "",
        "/",
        "~/other.py",
        "\0",
        "/\x1b]0;title\x07.py",
        "/" + "x" * 5000,
    ],
)
def test_anything_else_that_is_stored_must_be_named(
    found: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, stored: str
) -> None:
    studies, elsewhere = found
    monkeypatch.chdir(elsewhere.parent)
    stored = stored.format(elsewhere=elsewhere, studies=studies)
    with pytest.raises(InputError, match="is run only if you name it") as caught:
        stored_definition(stored, origin="the study 'x'")
    assert str(caught.value).startswith("the study 'x' was made with the study file '")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


PARTS = [
    *("mine", "link", "other", "studies", "elsewhere"),
    *("..", ".", "/", ".py", "~", "\0", "\x1b[2J"),
]


@settings(deadline=None, max_examples=300)
@given(stored=st.text(max_size=20) | st.lists(st.sampled_from(PARTS), max_size=6).map("/".join))
@example("mine")
@example("link")
@example("fashion_cnn")
def test_of_all_that_can_be_stored_names_of_shipped_studies_alone_are_found(stored: str) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        folders(Path(folder).resolve())
        try:
            found = stored_definition(stored, origin="x")
        except InputError as error:
            assert stored != "fashion_cnn"
            assert str(error).isprintable()
        else:
            assert found[1] == ROOT / "studies" / f"{stored}.py"


def test_a_named_file_is_taken_where_it_is_the_stored_one_or_that_is_gone(
    found: tuple[Path, Path],
) -> None:
    studies, elsewhere = found
    second = elsewhere.with_name("second.py")
    second.touch()
    both = [second, elsewhere]
    assert stored_definition(str(elsewhere), both, origin="x")[1] == elsewhere
    assert stored_definition("link", str(elsewhere), origin="x")[1] == elsewhere
    assert stored_definition("link", studies / "link.py", origin="x")[1] == elsewhere
    # It has another name than the stored one, which is there.
    with pytest.raises(InputError, match="run only if you name it"):
        stored_definition(str(elsewhere), second, origin="x")
    for gone in ("/gone/other.py", "other.py", "was-in-studies"):
        assert stored_definition(gone, second, origin="x") == (gone, second)
        assert stored_definition(gone, "mine", origin="x")[1] == studies / "mine.py"
        with pytest.raises(InputError, match="run only if you name it"):
            stored_definition(gone, both, origin="x")
    with pytest.raises(InputError, match="there is no study file"):
        stored_definition("mine", "none.py", origin="x")


def test_commands_name_the_files_that_do_not_come_with_hw1() -> None:
    assert naming("mine", "regression_mlp", IN_PYTHON, "/b.py", "/a.py", "/b.py") == [
        *("--definition", "/a.py"),
        *("--definition", "/b.py"),
        *("--definition", "mine"),
    ]


# Study files that fail.


def write(folder: Path, old: str = "", new: str = "", name: str = "tiny.py") -> Path:
    assert old in TINY_REGRESSION
    path = folder / name
    path.write_text(TINY_REGRESSION.replace(old, new, 1) if old else TINY_REGRESSION)
    return path


def line_of(path: Path, text: str) -> int:
    """The first line of a file that holds a text."""
    return next(i for i, line in enumerate(path.read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        ("n_trials=4", "n_trails=4", "study = ", "TypeError: .*unexpected .*'n_trails'"),
        ("model=MLP,", "", "study = ", "TypeError: .* missing .* 'model'"),
        ("n_trials=4", 'defaults={"lr": 1e-2}', "study = ", "no grid or defaults any more"),
        ("n_trials=4", "n_trials='4'", "study = ", "n_trials = '4' is not a whole number from 1"),
        ("n_splits=3", "n_splits=1", "study = ", "n_splits = 1 is not a whole number from 2"),
        ('task="regression"', 'task="regresion"', "study = ", "did you mean 'regression'"),
        ("model=MLP,", "model=None,", "study = ", "model = None is not a class"),
        ("search_space=search_space", "search_space=3", "study = ", "search_space = 3 is not a"),
        ("study = ", "study == ", "study == ", "NameError: name 'study' is not defined"),
        ("def search_space(trial):", "def search_space(trial)", "def ", "SyntaxError: expected"),
        ("from hw1.models", "import nothing_of_that_name\nfrom hw1.models", "nothing_of",
         "ModuleNotFoundError: .*install that module, or put it beside the study file"),
        ("from hw1.models", "from hw1.modles", "modles", "ModuleNotFoundError: .*hw1.modles"),
    ],
)  # fmt: skip
def test_a_study_file_that_fails_is_one_line_that_names_the_users(
    tmp_path: Path, old: str, new: str, at: str, words: str
) -> None:
    path = write(tmp_path, old, new)
    with pytest.raises(InputError, match=words) as caught:
        load_definition(path)
    assert str(caught.value).startswith(f"{path}:{line_of(path, at)}: ")
    assert "\n" not in str(caught.value)
    assert str(tmp_path.parent) not in str(caught.value).replace(str(path), "")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tiny.py"
    for content in (b"\0", b"x = '\xff'", b"\x89PNG\r\n"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"tiny\.py"):
            load_definition(path)
        assert describe(path).startswith("cannot be read: ")


def test_the_line_of_a_module_beside_the_study_is_named_with_the_line_that_led_there(
    tmp_path: Path,
) -> None:
    helper = tmp_path / "helper.py"
    helper.write_text("def scale(x):\n    return 1 / x\n")
    path = write(tmp_path, "def search_space", "import helper\n\ndef search_space")
    path.write_text(path.read_text().replace('"adam",', '"adam", l1=helper.scale(0),'))
    definition = load_definition(path)
    trial = optuna.create_study().ask()
    with pytest.raises(InputError) as caught:
        definition.configure(trial)
    led = f"{path}:{line_of(path, 'helper.scale')}"
    assert str(caught.value) == (
        f"{helper}:2: ZeroDivisionError: division by zero (called from {led}): correct it"
    )


def test_modules_of_one_name_in_two_folders_are_not_mixed_up(tmp_path: Path) -> None:
    epochs = []
    for number, name in enumerate(("one", "two"), 7):
        folder = tmp_path / name
        (folder / "parts").mkdir(parents=True)
        (folder / "helper.py").write_text("from parts.inner import N\n")
        (folder / "parts" / "__init__.py").touch()
        (folder / "parts" / "inner.py").write_text(f"N = {number}\n")
        path = write(folder, "study =", "from helper import N\nstudy =", name="same.py")
        path.write_text(path.read_text().replace("epochs=2", "epochs=N"))
        before = list(sys.path)
        epochs.append(load_definition(path).epochs)
        assert sys.path == before
        assert not {"helper", "parts", "parts.inner"} & sys.modules.keys()
    assert epochs == [7, 8]


def test_a_file_beside_the_study_takes_the_place_of_no_library(tmp_path: Path) -> None:
    marker = tmp_path / "run"
    (tmp_path / "this.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    path = write(tmp_path, "study =", "import this\nstudy =")  # in the standard library
    sys.modules.pop("this", None)
    load_definition(path)
    assert not marker.exists()


def test_modules_of_hw1_and_of_libraries_stay_when_they_lie_below_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / ".venv" / "site-packages"
    library.mkdir(parents=True)
    (library / "a_library_of_the_test.py").touch()
    monkeypatch.syspath_prepend(library)
    path = write(tmp_path, "study =", "import a_library_of_the_test\nstudy =")
    load_definition(path)
    assert "a_library_of_the_test" in sys.modules
    del sys.modules["a_library_of_the_test"]


def test_devices_are_checked() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in ("cpu", "cuda")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        find_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            find_device("cuda")
