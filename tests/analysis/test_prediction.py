import csv
import io
import json
import os
import struct
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from analysis.described import HOUSES, of_images
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hw1.analysis.description import ModelDescription
from hw1.analysis.model_files import LoadedModel
from hw1.analysis.prediction import Inputs, predict, read_inputs, to_csv
from hw1.errors import InputError

CLOTHES = of_images((1, 4, 6), "shirt", "boot", "coat")
PHOTOS = replace(CLOTHES, input_shape=(3, 4, 6))
GRAY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
COLOR = np.stack([GRAY, 255 - GRAY, GRAY // 2], axis=2)


def write(folder: Path, text: str, name: str = "new.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def draw(folder: Path, pixels: np.ndarray, name: str = "image.png") -> Path:
    path = folder / name
    Image.fromarray(pixels).save(path)
    return path


def refused(path: Path, description: ModelDescription, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_inputs(path, description)
    assert type(caught.value) is InputError


# Rows of a CSV file.


def test_features_come_in_the_order_of_the_network(tmp_path: Path) -> None:
    path = write(tmp_path, "price,area,id,rooms\n9,70.5,x,3\n\n,50,y,2\n")
    inputs = read_inputs(path, HOUSES)
    assert inputs.rows.tolist() == [[3, 70.5], [2, 50]]
    assert inputs.rows.dtype == torch.float32
    assert (inputs.kind, inputs.names, inputs.skipped) == ("line", (2, 4), ())


def test_what_is_wrong_with_a_table_is_said(tmp_path: Path) -> None:
    message = "no column 'rooms', which is needed: it has area, price"
    refused(write(tmp_path, "area,price\n1,2\n"), HOUSES, message)
    refused(write(tmp_path, "rooms,area\n1,2\n3,big\n"), HOUSES, "'area' holds 'big' in line 3")


def test_a_network_on_features_takes_no_images(tmp_path: Path) -> None:
    takes = "but the model takes a CSV file with the columns rooms and area"
    refused(draw(tmp_path, GRAY), HOUSES, f"image.png is an image, {takes}")
    renamed = draw(tmp_path, GRAY).rename(tmp_path / "image.csv")
    refused(renamed, HOUSES, f"image.csv is an image, {takes}")
    refused(tmp_path, HOUSES, f"is a folder, {takes}")
    many = tuple(f"x{i}" for i in range(784))
    wide = replace(HOUSES, input_shape=(784,), feature_names=many)
    refused(tmp_path, wide, r"columns x0, .*, x8 and 775 more$")


def test_a_network_without_names_takes_arrays_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "rooms,area\n1,2\n")
    refused(path, replace(HOUSES, feature_names=()), r"takes a \.npy file with an array \(n, 2\)")


WAVES = replace(HOUSES, input_shape=(4, 3), feature_names=())


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint8])
def test_sequences_come_as_an_array(tmp_path: Path, dtype: type) -> None:
    values = np.arange(60).reshape(5, 4, 3).astype(dtype)
    np.save(tmp_path / "waves.npy", values)
    inputs = read_inputs(tmp_path / "waves.npy", WAVES)
    assert inputs.rows.dtype == torch.float32
    np.testing.assert_array_equal(inputs.rows, values)
    assert (inputs.kind, inputs.names) == ("row", (0, 1, 2, 3, 4))


def header(n_rows: int) -> bytes:
    said = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({n_rows}, 4, 3)}}"
    return b"\x93NUMPY\1\0v\0" + said.encode().ljust(117) + b"\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.zeros((5, 3, 4)), r"holds an array \(5, 3, 4\), but the model takes \(n, 4, 3\)"),
        (np.zeros((0, 4, 3)), r"holds an array \(0, 4, 3\)"),
        (np.full((2, 4, 3), [1, np.inf, 1]), "row 0 of .* holds NaN or infinity"),
        (np.array(["a"]), "no array of numbers"),
        (np.array([{}], dtype=object), "as an array"),
        (b"", "as an array"),
        (b"PK\3\4 no archive", "as an array"),
        (header(10**9), "as an array"),
        (header(10**30), "as an array"),
        (header(-1), "as an array"),
        (header(2) + b"too short", "as an array"),
    ],
)
def test_an_array_that_a_network_does_not_take_is_refused(
    tmp_path: Path, content: np.ndarray | bytes, words: str
) -> None:
    path = tmp_path / "waves.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    refused(path, WAVES, words)


# Images.


def test_gray_and_color_become_what_the_network_takes(tmp_path: Path) -> None:
    gray, color = draw(tmp_path, GRAY, "gray.png"), draw(tmp_path, COLOR, "color.png")
    inputs = read_inputs(gray, CLOTHES)
    assert (inputs.kind, inputs.names) == ("file", ("gray.png",))
    assert inputs.rows.dtype == torch.uint8
    assert inputs.rows.tolist() == [[GRAY.tolist()]]
    assert read_inputs(gray, PHOTOS).rows.tolist() == [[GRAY.tolist()] * 3]
    assert read_inputs(color, PHOTOS).rows.tolist() == [COLOR.transpose(2, 0, 1).tolist()]
    # ITU-R 601: 0.299 red, 0.587 green, 0.114 blue.
    luma = torch.tensor(COLOR @ [0.299, 0.587, 0.114])
    assert (read_inputs(color, CLOTHES).rows[0, 0] - luma).abs().max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("description", [CLOTHES, PHOTOS], ids=["gray", "color"])
def test_every_kind_of_image_with_8_bits_is_taken(
    tmp_path: Path, mode: str, description: ModelDescription
) -> None:
    path = tmp_path / "image.tif"
    black_and_white = np.where(GRAY > 100, 255, 0).astype(np.uint8)
    Image.fromarray(black_and_white).convert("RGB").convert(mode).save(path)
    (row,) = read_inputs(path, description).rows
    assert (row - torch.from_numpy(black_and_white).float()).abs().max() <= 1


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_more_than_8_bits_are_refused_and_not_clipped(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "deep.tif"
    Image.new(mode, (6, 4), 1000).save(path)
    refused(path, CLOTHES, "deep.tif has more than 8 bits a pixel and channel: save it with 8")


def test_an_image_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    path = draw(tmp_path, GRAY.T)
    refused(path, CLOTHES, r"image.png has 6 x 4 pixels .*, but the model takes 4 x 6")
    refused(tmp_path, CLOTHES, r"image.png has 6 x 4 pixels .*, but the model takes 4 x 6")


def test_an_image_too_large_to_open_is_refused(tmp_path: Path) -> None:
    header = b"P5 20000 20000 255\n"
    (tmp_path / "huge.pgm").write_bytes(header)
    refused(tmp_path / "huge.pgm", CLOTHES, "huge.pgm has many more pixels than the 4 x 6")
    (tmp_path / "large.pgm").write_bytes(header.replace(b"20000", b"10000"))
    refused(tmp_path / "large.pgm", CLOTHES, "many more pixels than the 4 x 6")


def test_a_folder_of_images_is_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    draw(tmp_path, GRAY + 2, "b.png")
    draw(tmp_path, GRAY + 3, "c.bmp")
    draw(tmp_path, GRAY + 1, "a.png")
    write(tmp_path, "a,b\n1,2\n", "labels.csv")
    write(tmp_path, "", ".hidden")
    (tmp_path / "sub").mkdir()
    inputs = read_inputs(tmp_path, CLOTHES)
    assert (inputs.kind, inputs.names) == ("file", ("a.png", "b.png", "c.bmp"))
    assert [row[0, 0, 0].item() for row in inputs.rows] == [1, 2, 3]
    assert inputs.skipped == (".hidden", "labels.csv", "sub")


def test_a_network_on_pixels_takes_nothing_but_images(tmp_path: Path) -> None:
    takes = r"but the model takes gray images of 4 x 6 pixels \(height x width\)"
    path = write(tmp_path, "rooms,area\n1,2\n")
    refused(path, CLOTHES, f"new.csv is no image, {takes}")
    refused(tmp_path, CLOTHES, f"holds no image, {takes}")
    refused(path, PHOTOS, "takes color images of 4 x 6")
    refused(path, replace(CLOTHES, input_shape=(2, 4, 6)), "1 or 3 channels, but the model takes 2")


@pytest.mark.parametrize("description", [HOUSES, CLOTHES], ids=["features", "pixels"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, description: ModelDescription) -> None:
    refused(tmp_path / "nowhere.png", description, "there is no file .*nowhere.png")


@pytest.mark.parametrize("description", [HOUSES, CLOTHES], ids=["features", "pixels"])
def test_what_has_no_end_is_refused(tmp_path: Path, description: ModelDescription) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "zeros", Path("/dev/null")):
        refused(path, description, "is a pipe or a device: give a file")
    refused(tmp_path / ("x" * 300), description, "File name too long")
    refused(Path("a\0b"), description, "cannot read a")


def test_in_a_folder_what_has_no_end_is_skipped(tmp_path: Path) -> None:
    draw(tmp_path, GRAY)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zeros.png").symlink_to("/dev/zero")
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    inputs = read_inputs(tmp_path, CLOTHES)
    assert inputs.names == ("image.png",)
    assert inputs.skipped == ("loop.png", "lost.png", "pipe.png", "zeros.png")


def png(width: int, height: int) -> bytes:
    """A PNG of so many gray pixels, without most of them."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def icon(inner: bytes) -> bytes:
    """An icon that says it is one of 4 × 6 pixels."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 6, 4, 0, 0, 1, 8, len(inner), 22) + inner


@pytest.mark.parametrize("side", [10_000, 12_000, 60_000])
def test_an_image_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, side: int) -> None:
    path = tmp_path / "image"
    path.write_bytes(png(side, side))
    refused(path, CLOTHES, f"many more pixels than the 4 x 6|has {side} x {side} pixels")
    path.write_bytes(icon(png(side, side)))
    refused(path, CLOTHES, "many more pixels than|cannot read .* as an image")


def test_an_icon_of_another_size_than_it_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image"
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "png")
    path.write_bytes(icon(buffer.getvalue()))
    refused(path, CLOTHES, "cannot read .* as an image|has 8 x 8 pixels")


def test_postscript_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "image.eps"
    Image.fromarray(GRAY).save(path)
    refused(path, CLOTHES, "is no image")


@settings(deadline=None)
@given(st.sampled_from(["png", "jpeg", "gif", "bmp", "tiff"]), st.data())
def test_a_damaged_image_is_an_image_or_an_input_error(kind: str, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(content)
        try:
            inputs = read_inputs(path, CLOTHES)
        except InputError as error:
            assert type(error) is InputError
            return
        assert inputs.rows.shape == (1, 1, 4, 6)


# Predictions.


FIXED = torch.tensor([[0.0, 1.0, 3.0], [5.0, 5.0, -100.0]])


def test_a_regression_gives_one_value_a_target() -> None:
    inputs = Inputs("line", (2, 5), torch.tensor([[1.0, 2.0], [3.0, 4.5]]))
    one = predict(LoadedModel(HOUSES, lambda rows: rows.sum(1, keepdim=True)), inputs)
    assert [p.to_json() for p in one] == [
        {"line": 2, "prediction": 3.0},
        {"line": 5, "prediction": 7.5},
    ]
    assert list(to_csv(one)) == [["line", "prediction"], [2, 3.0], [5, 7.5]]
    two = predict(LoadedModel(replace(HOUSES, n_outputs=2), lambda rows: rows * 2), inputs)
    assert two[1].to_json() == {"line": 5, "prediction": [6.0, 9.0]}
    header, *rows = to_csv(two)
    assert header == ["line", "prediction_1", "prediction_2"]
    assert rows == [[2, 2.0, 4.0], [5, 6.0, 9.0]]


def test_a_classification_gives_the_class_and_all_probabilities() -> None:
    inputs = Inputs("file", ("a.png", "b.png"), torch.zeros(2, 1, 4, 6, dtype=torch.uint8))
    first, second = predict(LoadedModel(CLOTHES, lambda rows: FIXED), inputs)
    weights = np.exp([0.0, 1.0, 3.0])
    expected = dict(zip(CLOTHES.class_names, weights / weights.sum(), strict=True))
    assert first.class_name == "coat"
    assert first.probabilities == pytest.approx(expected)
    assert first.to_json() == {
        "file": "a.png",
        "prediction": "coat",
        "probability": first.probabilities["coat"],
        "probabilities": first.probabilities,
    }
    assert second.to_json()["prediction"] == "shirt"  # of two alike, the first
    assert second.to_json()["probability"] == pytest.approx(0.5)
    header, *rows = to_csv([first, second])
    assert header == ["file", "prediction", "probability", "shirt", "boot", "coat"]
    assert rows[0][:3] == ["a.png", "coat", first.probabilities["coat"]]
    assert rows[0][3:] == list(first.probabilities.values())
    assert json.loads(json.dumps(second.to_json())) == second.to_json()


@given(st.lists(st.lists(st.floats(-80, 80), min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_written_table_agrees_with_itself(logits: list[list[float]]) -> None:
    inputs = Inputs("file", tuple(f"{i}.png" for i in range(len(logits))), torch.zeros(len(logits)))
    predictions = predict(LoadedModel(CLOTHES, lambda rows: torch.tensor(logits)), inputs)
    buffer = io.StringIO()
    csv.writer(buffer).writerows(to_csv(predictions))
    for i, row in enumerate(csv.DictReader(io.StringIO(buffer.getvalue()))):
        probabilities = {name: float(row[name]) for name in CLOTHES.class_names}
        assert sum(probabilities.values()) == pytest.approx(1, rel=1e-12)
        assert float(row["probability"]) == max(probabilities.values())
        assert probabilities[row["prediction"]] == float(row["probability"])
        assert row["file"] == f"{i}.png"


@pytest.mark.parametrize("description", [HOUSES, CLOTHES], ids=["regression", "classification"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_prediction_that_is_not_finite_names_its_row(
    description: ModelDescription, value: float
) -> None:
    outputs = torch.zeros(3, description.n_outputs)
    outputs[1, 0] = value
    inputs = Inputs("line", (2, 4, 7), torch.zeros(3, 2))
    with pytest.raises(InputError, match="the prediction for line 4 is not finite"):
        predict(LoadedModel(description, lambda rows: outputs), inputs)
