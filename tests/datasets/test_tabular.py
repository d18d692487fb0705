import csv
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hw1.datasets import Dataset, tabular
from hw1.errors import InputError
from hw1.tasks import TaskName

SPACES = ["", " ", "\t", "  "]
COLUMN_NAMES = st.text(
    # No surrogates, which UTF-8 cannot hold, and no control characters.
    st.characters(exclude_categories=("Cs", "Cc")),
    min_size=1,
    max_size=8,
).filter(lambda name: name == name.strip() and not name.startswith("\ufeff"))
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def write(folder: Path, text: str, name: str = "train.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def train(path: Path, target: str | None = None, task: TaskName = "regression") -> Dataset:
    return tabular.loader(path, target=target, task=task)("train", Path("no-such-folder"))


def test(
    path: Path, test_path: Path, target: str | None = None, task: TaskName = "regression"
) -> Dataset:
    return tabular.loader(path, test_path, target=target, task=task)("test", Path())


test.__test__ = False  # type: ignore[attr-defined]


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# What is read.


def test_a_hand_written_file_becomes_float32_columns_in_the_order_of_the_file(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, "b,y,a\n1,10,-0.5\n2,20,1e-3\n+3,3.0e1,.25\n")
    data = train(path, target="y")
    assert data.feature_names == ("b", "a")
    assert data.inputs.dtype == data.targets.dtype == torch.float32
    assert torch.equal(data.inputs, torch.tensor([[1, -0.5], [2, 1e-3], [3, 0.25]]))
    assert torch.equal(data.targets, torch.tensor([[10.0], [20.0], [30.0]]))
    assert (data.name, data.task, data.target_name) == ("train", "regression", "y")
    assert (data.input_shape, data.n_outputs, data.class_names) == ((2,), 1, ())


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_finite_table_survives_the_round_trip(data: st.DataObject) -> None:
    columns = data.draw(
        st.lists(COLUMN_NAMES, min_size=2, max_size=5, unique=True).filter(
            lambda names: not all(map(is_number, names))
        ),
        label="columns",
    )
    row = st.lists(FLOATS, min_size=len(columns), max_size=len(columns))
    table = data.draw(st.lists(row, min_size=1, max_size=6), label="table")
    target = data.draw(st.sampled_from(columns), label="target")
    quote_all = data.draw(st.booleans(), label="quote all")
    newline = data.draw(st.sampled_from(["\n", "\r\n"]), label="newline")
    blank = st.sampled_from(["", newline, " " + newline, "," * (len(columns) - 1) + newline])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig"]), label="encoding")
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.writer(
                file,
                quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL,
                lineterminator=newline,
            )
            writer.writerow(columns)
            for cells in table:
                file.write(data.draw(blank, label="blank line"))
                space = data.draw(st.sampled_from(SPACES), label="space")
                writer.writerow([f"{space}{cell!r}{space}" for cell in cells])
        loaded = train(path, target=target)
    features = [column for column in columns if column != target]
    positions = [columns.index(column) for column in features]
    assert loaded.feature_names == tuple(features)
    assert loaded.target_name == target
    assert torch.equal(loaded.inputs, torch.tensor([[row[i] for i in positions] for row in table]))
    assert torch.equal(
        loaded.targets, torch.tensor([[row[columns.index(target)]] for row in table])
    )


@settings(deadline=None, max_examples=60)
@given(order=st.permutations(["a", "b", "c", "label"]), rows=st.lists(FLOATS, min_size=1))
def test_test_columns_in_any_order_are_put_in_the_order_of_the_training_columns(
    order: list[str], rows: list[float]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = write(Path(folder), "a,b,c,label\n1,2,3,4\n")
        offsets = {"a": 0.0, "b": 0.5, "c": 0.25, "label": 0.75}
        lines = [",".join(repr(row * offsets[column]) for column in order) for row in rows]
        second = write(Path(folder), "\n".join([",".join(order), *lines]), "test.csv")
        data = test(first, second)
    assert data.feature_names == ("a", "b", "c")
    assert data.name == "train"
    expected = torch.tensor([[row * offsets[c] for c in ("a", "b", "c")] for row in rows])
    assert torch.equal(data.inputs, expected)
    assert torch.equal(data.targets, torch.tensor([[row * 0.75] for row in rows]))


def test_quoted_names_may_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    path = write(tmp_path, '"a, b","say ""x""","two\nlines"\r\n"1",2,"3"\r\n')
    data = train(path)
    assert data.feature_names == ("a, b", 'say "x"')
    assert data.target_name == "two\nlines"
    assert torch.equal(data.inputs, torch.tensor([[1.0, 2.0]]))


def test_blank_lines_are_skipped_at_the_start_within_and_at_the_end(tmp_path: Path) -> None:
    for end in ("\n\n\n", ""):
        data = train(write(tmp_path, "\n\na,b\n\n1,2\n \n3,4" + end))
        assert torch.equal(data.inputs, torch.tensor([[1.0], [3.0]]))


# The target.


@pytest.mark.parametrize(
    ("header", "named", "target"),
    [
        ("label,a,b", None, "label"),
        ("a,label,b", None, "label"),
        ("a,Label,b", None, "b"),
        ("a,b,label", "b", "b"),
    ],
)
def test_the_target_is_the_named_column_or_label_or_the_last(
    tmp_path: Path, header: str, named: str | None, target: str
) -> None:
    data = train(write(tmp_path, f"{header}\n1,2,3\n"), target=named)
    assert data.target_name == target
    assert data.feature_names == tuple(c for c in header.split(",") if c != target)
    assert data.targets.item() == header.split(",").index(target) + 1


# Classification.


def test_text_labels_are_classes_in_alphabetical_order(tmp_path: Path) -> None:
    path = write(tmp_path, "a,kind\n1,dog\n2,cat\n3, dog \n4,eel\n")
    data = train(path, task="classification")
    assert data.class_names == ("cat", "dog", "eel")
    assert data.targets.tolist() == [1, 0, 1, 2]
    assert data.targets.dtype == torch.int64
    assert data.targets.shape == (4,)
    assert data.n_outputs == 3


def test_labels_that_are_partly_numbers_are_ordered_as_text(tmp_path: Path) -> None:
    path = write(tmp_path, "a,label\n1,9\n2,10\n3,other\n")
    assert train(path, task="classification").class_names == ("10", "9", "other")


@settings(deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=2).filter(lambda v: len(set(v)) > 1))
def test_every_row_keeps_its_numeric_class(labels: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines = "".join(f"0,{label}\n" for label in labels)
        data = train(write(Path(folder), f"a,label\n{lines}"), task="classification")
    assert data.class_names == tuple(str(label) for label in sorted(set(labels)))
    assert [int(data.class_names[target]) for target in data.targets] == labels


def test_the_test_part_numbers_classes_like_the_training_part(tmp_path: Path) -> None:
    first = write(tmp_path, "a,kind\n1,x\n2,y\n3,z\n")
    second = write(tmp_path, "kind,a\nz,5\ny,6\nz,7\n", "test.csv")
    data = test(first, second, task="classification")
    assert data.class_names == ("x", "y", "z")
    assert data.targets.tolist() == [2, 1, 2]
    assert data.inputs[:, 0].tolist() == [5, 6, 7]


def test_a_class_only_in_the_test_part_is_named(tmp_path: Path) -> None:
    first = write(tmp_path, "a,kind\n1,x\n2,y\n")
    second = write(tmp_path, "a,kind\n1,x\n2,new\n", "test.csv")
    with pytest.raises(InputError, match=r"'kind' of .*test\.csv holds 'new', a class without"):
        test(first, second, task="classification")


# What is refused.

NUMBERS_ONLY = "holds numbers only: give the columns' names"
CLASSES: dict[str, Any] = {"task": "classification"}
REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    # The header.
    ("label\n1\n", "no feature column beside the target 'label'", {}),
    ("a,b\n1,2\n", "no column 'price': .*--target from a, b", {"target": "price"}),
    *((text, r"train\.csv is empty", {}) for text in ("", "\n", "\n \n,,\n", "\ufeff")),
    *((f"a,b{end}", "has a header but no rows", {}) for end in ("", "\n", "\n\n , \n")),
    *((f"{header}\n1,2,3\n", NUMBERS_ONLY, {}) for header in ("0.5,1,2", "1e3,-2,1", "0,0,1")),
    *((f"{header}\n1,2,3\n", "two columns named 'a'", {}) for header in ("a,b,a", "a,b, a ")),
    (",x,label\n0,1,2\n", r"column 1 of .* has no name", {}),
    # What is no table.
    *((f"{text},b\n1,2\n", "line 1 holds a NUL byte", {}) for text in ("a\0", '"a\0"')),
    ("a,b\n1,2\n3,\0\n", "cannot read .*: line 3 holds a NUL byte", {}),
    (f"a,b\n1,{'9' * 200_000}\n", "cannot read .*field larger than", {}),
    ('a,b\n"1,2\n3,4\n', "cannot read .* as a CSV file", {}),
    ("a,b,c\n1,2,3\n1\n", "line 3 of .* has 1 cells where the header has 3", {}),
    ("a,b,c\n1,2,3\n1,2,3,4\n", "line 3 of .* has 4 cells where the header has 3", {}),
    # Cells that are no numbers. A blank line counts: messages give the line that an editor shows.
    *(
        (
            f"a,b,c\n1,2,3\n\n{row}\n4,5,6\n",
            f"column '{column}' holds 'red' in line 4 of .*n\\.csv",
            {},
        )
        for column, row in (("a", "red,0,0"), ("b", "0,red,0"), ("c", "0,0,red"))
    ),
    *(
        (f"a,b,c\n1,2,3\n{row}\n", f"column '{column}' is empty in line 3 of ", {})
        for column, row in (("a", ",0,0"), ("b", "0,  ,0"), ("c", "0,0,"))
    ),
    *(
        (f'a,b\n1,2\n"{cell}",4\n', f"column 'a' holds '{re.escape(cell)}' in line 3", {})
        for cell in (
            *("1,5", "1.2.3", "0x10", "nan", "NaN", "inf", "-Infinity"),
            *("1_000", "١٢", "1e999", "-1e999", "1e39", "-1e300"),
        )
    ),
    # Classes.
    ("a,kind\n1,x\n2,x\n", "'kind' of .* holds one class only", CLASSES),
    *(
        (
            f"a,kind\n1,x\n2,{cell}\n3,y\n",
            r"column 'kind' holds no class in line 3 of .*n\.csv",
            CLASSES,
        )
        for cell in (" ", "nan")
    ),
    ("a,kind\n1,x\nbig,y\n", "column 'a' holds 'big' in line 3", CLASSES),
    ('a,b,kind\n1,2,"two\nlines"\n3,oops,x\n', "column 'b' holds 'oops' in line 4", CLASSES),
    ("x,label\n0,1\n", "unknown task 'ranking'", {"task": "ranking"}),
]


@pytest.mark.parametrize(("text", "message", "options"), REFUSED)
def test_what_is_no_table_of_numbers_is_refused_by_line_and_column(
    text: str, message: str, options: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        train(write(tmp_path, text), **options)


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        bytes(range(256)),
        "a,b\n1,2\n".encode("utf-16"),
        "a,b\n1,é\n".encode("latin-1"),
    ],
)
def test_a_binary_file_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*save it as a CSV file in UTF-8"):
        train(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.csv", r"no file .*missing\.csv"),
        ("folder", "is a folder: give a file"),
        ("pipe", "is a pipe or a device: give a file"),
        ("device", "is a pipe or a device: give a file"),
        ("x\0.csv", "cannot read "),
        ("x" * 300 + ".csv", "cannot read "),
    ],
    ids=ascii,
)
def test_what_is_no_regular_file_is_refused_at_once(
    name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for a writer
    (tmp_path / "device").symlink_to("/dev/zero")
    with pytest.raises(InputError, match=message):
        train(tmp_path / name)


def test_a_missing_test_file_is_named_when_the_training_part_is_loaded(tmp_path: Path) -> None:
    first = write(tmp_path, "a,b\n1,2\n")
    with pytest.raises(InputError, match=r"no file .*absent\.csv"):
        tabular.loader(first, tmp_path / "absent.csv")("train", tmp_path)


def test_a_column_named_with_a_number_is_allowed_beside_a_name(tmp_path: Path) -> None:
    assert train(write(tmp_path, "2021,2022,y\n1,2,3\n")).feature_names == ("2021", "2022")


class Counted(str):
    """A name that counts how often any is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, str(other))


def test_the_work_grows_with_the_columns_not_with_their_square() -> None:
    columns: list[str] = [Counted(f"column{i}") for i in range(2000)]
    rows = [(2, ["1"] * len(columns))]
    Counted.compared = 0
    for features in ((), columns):
        tabular._check_header(Path("wide.csv"), columns, features)
        tabular._numbers(tabular.Table(Path("wide.csv"), columns, rows), columns)
    assert Counted.compared < 20 * len(columns)


def test_of_many_columns_a_message_names_some(tmp_path: Path) -> None:
    names = ",".join(f"column{i}" for i in range(5000))
    path = write(tmp_path, f"{names}\n{','.join('1' * 5000)}\n")
    with pytest.raises(InputError, match="column8, column9 and 4990 more") as caught:
        train(path, target="price")
    assert len(str(caught.value)) < 500


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=80) | st.text('abnif01.,-e" \r\n', max_size=40).map(str.encode))
@example(b'"')
@example(b"a,b\n1e40,2")
def test_any_bytes_are_a_table_of_finite_numbers_or_an_input_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.csv"
        path.write_bytes(content)
        try:
            with np.errstate(over="ignore"):
                data = train(path)
        except InputError:
            return
    assert torch.isfinite(data.inputs).all()
    assert torch.isfinite(data.targets).all()


# Two files.


@pytest.mark.parametrize(
    "header", ["a,b", "a,b,c,d", "a,b,x", "A,b,c"], ids=["fewer", "more", "other", "case"]
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_columns_that_differ_between_the_files_are_refused_with_either_part(
    tmp_path: Path, part: str, header: str
) -> None:
    first = write(tmp_path, "a,b,c\n1,2,3\n")
    row = ",".join("0" for _ in header.split(","))
    second = write(tmp_path, f"{header}\n{row}\n", "test.csv")
    listed = re.escape(f"({header.replace(',', ', ')})")
    with pytest.raises(InputError, match=rf"{listed} are not those of .*train\.csv \(a, b, c\)"):
        tabular.loader(first, second)(part, tmp_path)  # type: ignore[arg-type]


def test_the_test_part_needs_a_test_file(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n1,2\n")
    with pytest.raises(InputError, match=r"no test file beside .*train\.csv.*--no-test"):
        tabular.loader(path)("test", tmp_path)


def test_a_bad_cell_of_the_test_file_is_named_with_that_file(tmp_path: Path) -> None:
    first = write(tmp_path, "a,b\n1,2\n")
    second = write(tmp_path, "b,a\n1,2\n3,x\n", "test.csv")
    with pytest.raises(InputError, match=r"column 'a' holds 'x' in line 3 of .*test\.csv"):
        test(first, second)


def test_paths_may_be_text_and_the_parts_come_from_their_own_files(tmp_path: Path) -> None:
    first = write(tmp_path, "a,b\n1,2\n3,4\n")
    second = write(tmp_path, "a,b\n5,6\n", "test.csv")
    load = tabular.loader(str(first), str(second))
    values: list[Sequence[float]] = [
        load(part, tmp_path).inputs[:, 0].tolist() for part in ("train", "test")
    ]
    assert values == [[1, 3], [5]]


def test_a_class_is_the_same_however_its_number_is_written(tmp_path: Path) -> None:
    train = write(tmp_path, "x,label\n1,1\n2,2.0\n3,10\n")
    test = tmp_path / "other.csv"
    test.write_text("x,label\n1,1.0\n2,2\n3,1e1\n")
    dataset = tabular.loader(train, test, task="classification")("test", tmp_path)
    assert dataset.class_names == ("1", "2", "10")
    assert dataset.targets.tolist() == [0, 1, 2]


# Features by their names.


def test_features_are_read_by_name_with_the_lines_of_their_rows(tmp_path: Path) -> None:
    # Beside a column without a name, two of one name, text, an empty cell and a cell of two lines.
    rows = ["0,1,red,2,x", '0,3,"two\nlines",4,y', "", "0,5,,6,z"]
    path = write(tmp_path, "\n".join([",b,kind, a ,kind", *rows]))
    lines, values = tabular.read_features(path, ["a", "b"])
    assert lines == [2, 4, 6]
    assert values.tolist() == [[2, 1], [4, 3], [6, 5]]
    assert values.dtype == np.float32


def test_features_that_are_named_with_numbers_are_no_missing_header(tmp_path: Path) -> None:
    path = write(tmp_path, "2022,2021\n1,2\n")
    assert tabular.read_features(path, ["2021", "2022"])[1].tolist() == [[2, 1]]
    with pytest.raises(InputError, match="holds numbers only: give the columns' names"):
        tabular.read_features(path, ["2021", "2023"])


def test_features_that_are_not_all_there_once_are_an_input_error(tmp_path: Path) -> None:
    for text, message in (
        ("a,c\n1,2\n", r"n\.csv has no column 'b', which is needed: it has a, c"),
        ("b,a,b\n1,2,3\n", r"n\.csv has two columns named 'b'"),
    ):
        with pytest.raises(InputError, match=message):
            tabular.read_features(write(tmp_path, text), ["a", "b"])
