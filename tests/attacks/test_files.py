"""Damaged files: tables, model files, image data sets and images."""

import gzip
import io
import json
import os
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random

import onnx
import pytest
from attacks.conftest import TRAIN
from attacks.figures import size
from attacks.mutations import ODD, attack, damaged, damaged_json, some, write
from attacks.program import IMPATIENCE, Outcome, Program
from PIL import Image

LITTLE = ("--trials", "1", "--epochs", "1", "--folds", "2", "--sampler", "random")
N_IMAGES = 120
CELLS = (
    *("", " ", "nan", "inf", "-inf", "1e400", "-0", "1_000", "٣", "0x10", "1,5", "1e-400", "--"),
    *('"', '""', '"1', '"1\n2"', "\x00", "\x1b[31m", "\u2028", "é", "😀", "'1", "=1+1"),
    *("1 2", "True", "9" * 400, "9" * 200_000, "a" * 200_000, "3.5e38", "1e39"),
)


def csv_file(random: Random) -> bytes:
    """A CSV file with something wrong, or unusual, about it."""
    rows = [row.split(",") for row in ("a,b,price\n" + TRAIN).splitlines()]
    separator, end, encoding = ",", "\n", "utf-8"
    for _ in range(random.choice((1, 1, 2))):
        row = some(random, rows)
        match random.randrange(14):
            case 0:
                row[random.randrange(len(row))] = some(random, CELLS)
            case 1:
                rows[0][random.randrange(len(rows[0]))] = some(random, (*CELLS, *ODD, "a", "price"))
            case 2:
                row.append("1")
            case 3:
                row.pop()
                row.append("1") if not row else None
            case 4:
                rows.insert(random.randrange(len(rows) + 1), [some(random, ("", " ", "#", "a"))])
            case 5:
                separator = some(random, (";", "\t", "|", " ", ", "))
            case 6:
                end = some(random, ("\r\n", "\r", "\n\r", "\n\n", "\x0b", "\u2028", "\x00\n"))
            case 7:
                encoding = some(random, ("latin-1", "utf-8-sig", "utf-16", "utf-32", "cp1252"))
                row[0] = "é"
            case 8:
                del rows[random.randrange(4) :]
                rows = rows or [[""]]
            case 9:
                more = [str(i) for i in range(some(random, (50, 2000)))]
                rows = [row + more for row in rows[:8]]
                rows[0] = ["a", "b", "price", *(f"c{name}" for name in more)]
            case 10:
                rows = [[f'"{cell}"' for cell in row] for row in rows]
            case 11:
                return damaged(random, "\n".join(map(",".join, rows)).encode())
            case 12:
                return random.randbytes(random.choice((0, 1, 100, 10_000)))
            case _:
                return gzip.compress(",".join(rows[0]).encode()) if random.random() < 0.2 else b""
    text = end.join(separator.join(row) for row in rows) + some(random, (end, ""))
    return text.encode(encoding, errors="replace")


def test_a_damaged_table_is_a_table_or_an_input_error(program: Program, copied: Path) -> None:
    path = copied / "damaged.csv"

    def case(random: Random) -> tuple[str, Outcome]:
        content = csv_file(random)
        run_on = ("run", "regression_mlp", *LITTLE, "--train-csv")
        arguments = some(
            random,
            (
                ("predict", "small.safetensors", path.name),
                ("predict", "small.safetensors", path.name, "--csv"),
                (*run_on, path.name),
                (*run_on, "train.csv", "--test-csv", path.name),
            ),
        )
        if arguments[0] == "run" and random.random() < 0.3:
            arguments += ("--target", some(random, ("price", "b", "c1", "label", "")))

        write(path, content)
        (copied / "studies.db").unlink(missing_ok=True)
        outcome = program.call(*arguments, folder=copied, patience=IMPATIENCE)
        return f"{arguments}, {path.name}: {content!r}", outcome

    attack("CSV files", size(10, 1000), case)


def test_a_table_of_20_000_columns_is_read_or_refused(program: Program, copied: Path) -> None:
    names = [f"c{i}" for i in range(20_000)]
    rows = "\n".join(",".join(str(i * j % 7) for i in range(20_000)) for j in range(8))
    (copied / "wide.csv").write_text(",".join(names) + "\n" + rows + "\n")
    arguments = ("run", "regression_mlp", "--name", "wide", "--train-csv", "wide.csv", *LITTLE)
    program.call(*arguments, folder=copied).check(0)
    missing = program.call("predict", "small.safetensors", "wide.csv", folder=copied).check(2)
    assert len(missing.stderr) < 2000


ENDLESS = {
    "predict": ("predict", "small.safetensors", "{}"),
    "predict with": ("predict", "{}", "test.csv"),
    "train": ("run", "regression_mlp", *LITTLE, "--train-csv", "{}"),
    "test": ("run", "regression_mlp", *LITTLE, "--train-csv", "train.csv", "--test-csv", "{}"),
    "study file": ("run", "{}", *LITTLE),
    "storage": ("list", "--storage", "sqlite:///{}"),
    "new storage": ("run", "regression_mlp", *LITTLE, "--storage", "sqlite:///{}"),
}


@pytest.mark.parametrize("what", ENDLESS)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_has_no_end_is_not_read(kind: str, what: str, program: Program, copied: Path) -> None:
    name = "endless" + {"predict with": ".pt2", "study file": ".py"}.get(what, ".csv")
    if kind == "pipe":
        os.mkfifo(copied / name)
    else:
        (copied / name).symlink_to("/dev/zero")
    arguments = [word.format(name) for word in ENDLESS[what]]
    outcome = program.call(*arguments, folder=copied)
    assert not outcome.interrupted
    outcome.check(2)


@pytest.fixture(scope="session")
def models(small: Path, program: Program) -> dict[str, bytes]:
    """The network of the small study in each format."""
    contents = {}
    for suffix in (".safetensors", ".pt2", ".onnx"):
        output = f"whole{suffix}"
        program.call("export", "small", "--output", output, folder=small, patience=600).check(0)
        contents[suffix] = (small / output).read_bytes()
        (small / output).unlink()
    return contents


def model_file(random: Random, suffix: str, content: bytes) -> bytes:
    """A model file that is damaged, or says something else than its network is."""
    if random.random() < 0.5:
        return damaged(random, content)
    if suffix == ".safetensors":
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        if random.random() < 0.7:
            metadata = header["__metadata__"]
            metadata["hw1"] = damaged_json(random, metadata["hw1"])
            text = json.dumps(header)
        else:
            text = damaged_json(random, json.dumps(header))
        return len(text).to_bytes(8, "little") + text.encode() + content[8 + length :]
    if suffix == ".onnx":
        model = onnx.load_from_string(content)
        for entry in model.metadata_props:
            if entry.key == "hw1":
                changed = damaged_json(random, entry.value)
                entry.value = changed.encode("utf-8", "replace").decode()
        return bytes(model.SerializeToString())
    return _changed_archive(random, content)


def _changed_archive(random: Random, content: bytes) -> bytes:
    """A zip archive one of whose parts is missing, damaged, doubled, compressed or a bomb."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        chosen = some(random, old.namelist())
        kind = random.randrange(6)
        for name in old.namelist():
            part = old.read(name)
            if name == chosen:
                if kind == 0:
                    continue
                if kind == 1 and name.endswith(".json"):
                    part = damaged_json(random, part).encode("utf-8", "replace")
                elif kind == 2:
                    part = bytes(300 * 2**20)  # deflated 300 kB
                elif kind <= 3:
                    part = damaged(random, part)
                elif kind == 4:
                    name += some(random, ODD).encode("utf-8", "replace").decode()
            stored = zipfile.ZIP_STORED if kind not in (2, 5) or name != chosen else 8
            new.writestr(name, part, stored)
    return buffer.getvalue()


def test_a_damaged_model_file_is_a_model_or_an_input_error(
    program: Program, copied: Path, models: dict[str, bytes]
) -> None:
    def case(random: Random) -> tuple[str, Outcome]:
        suffix = some(random, list(models))
        content = model_file(random, suffix, models[suffix])
        arguments = ("predict", f"damaged{suffix}", "test.csv")

        write(copied / f"damaged{suffix}", content)
        outcome = program.call(*arguments, folder=copied, patience=IMPATIENCE)
        return f"{arguments}, {len(content)} bytes", outcome

    attack("model files", size(30, 500), case)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt2", ".onnx"])
def test_a_small_model_file_that_unpacks_to_gigabytes_is_refused(
    suffix: str, program: Program, copied: Path, models: dict[str, bytes]
) -> None:
    bomb = copied / f"bomb{suffix}"
    if suffix == ".pt2":
        with zipfile.ZipFile(io.BytesIO(models[suffix])) as old:
            parts = {name: old.read(name) for name in old.namelist()}
        bomb.write_bytes(_bomb(parts, size(1, 8) * 2**30))
    elif suffix == ".safetensors":
        header = {"weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
        text = json.dumps(header).encode()
        bomb.write_bytes(len(text).to_bytes(8, "little") + text)
    else:
        model = onnx.load_from_string(models[suffix])
        model.graph.initializer[0].dims[:] = [2**30, 2**10]
        bomb.write_bytes(model.SerializeToString())
    program.call("predict", bomb.name, "test.csv", folder=copied).check(2)


def _bomb(parts: dict[str, bytes], unpacked: int) -> bytes:
    """A zip archive of these parts, of which one unpacks to so many bytes of zeros."""
    chosen = next(name for name in parts if "weight" in name)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, part in parts.items():
            if name != chosen:
                archive.writestr(name, part, zipfile.ZIP_STORED)
        with archive.open(chosen, "w", force_zip64=True) as part:
            for _ in range(unpacked // 2**24):
                part.write(bytes(2**24))
    return buffer.getvalue()


def idx(array_type: int, shape: tuple[int, ...], data: bytes) -> bytes:
    """A file in the form of MNIST's."""
    return struct.pack(f">HBB{len(shape)}I", 0, array_type, len(shape), *shape) + data


IMAGES = idx(8, (N_IMAGES, 28, 28), Random(0).randbytes(N_IMAGES * 28 * 28))
LABELS = idx(8, (N_IMAGES,), bytes(i % 10 for i in range(N_IMAGES)))
IDX_FILES = {
    "train-images-idx3-ubyte": IMAGES,
    "train-labels-idx1-ubyte": LABELS,
    "t10k-images-idx3-ubyte": IMAGES,
    "t10k-labels-idx1-ubyte": LABELS,
}
RAW = Path("data/FashionMNIST/raw")
RUN_IMAGES = ("run", "fashion_mlp", "--name", "images", "--data-dir", "data", *LITTLE)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with a FashionMNIST of noise in ``data``."""
    for name, content in IDX_FILES.items():
        write(tmp_path / RAW / name, content)
    return tmp_path


def test_a_damaged_image_data_set_is_one_or_an_input_error(program: Program, raw: Path) -> None:
    def case(random: Random) -> tuple[str, Outcome]:
        name = some(random, list(IDX_FILES))
        content, file = IDX_FILES[name], name
        kind = random.randrange(5)
        if kind == 0:
            at = random.randrange(16)  # the header
            changed = bytes([some(random, (0, 1, 8, 9, 11, 12, 13, 14, 27, 255))])
            content = content[:at] + changed + content[at + 1 :]
        elif kind == 1:
            content = content[: some(random, (0, 1, 4, 8, 12, 16, 17, 100, len(content) - 1))]
        elif kind == 2:
            content += random.randbytes(random.choice((1, 784, 5000)))
        elif kind == 3:
            content = damaged(random, content)
        else:
            file += ".gz"
            content = damaged(random, gzip.compress(content, 1))

        write(raw / RAW / file, content)
        if file != name:
            (raw / RAW / name).unlink()
        (raw / "studies.db").unlink(missing_ok=True)
        outcome = program.call(*RUN_IMAGES, folder=raw, patience=IMPATIENCE)
        (raw / RAW / file).unlink(missing_ok=True)
        write(raw / RAW / name, IDX_FILES[name])
        return f"{file}: {content[:40]!r}..., {len(content)} bytes", outcome

    attack("IDX files", size(5, 100), case)


@pytest.fixture(scope="session")
def picture_model(tmp_path_factory: pytest.TempPathFactory, program: Program) -> bytes:
    """A network on gray images of 28 × 28 pixels."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, content in IDX_FILES.items():
        write(folder / RAW / name, content)
    export = ("export", "images", "--data-dir", "data", "--output", "m.safetensors")
    for arguments in (RUN_IMAGES, export):
        program.call(*arguments, folder=folder, patience=600).check(0)
    return (folder / "m.safetensors").read_bytes()


def picture(random: Random, kind: str) -> bytes:
    """A damaged image, or one that is not what it seems."""
    side = some(random, (28, 28, 28, 1, 29))
    mode = some(random, ("L", "L", "RGB", "P", "1", "RGBA", "I;16", "CMYK", "LA"))
    pixels = Image.frombytes("L", (side, side), random.randbytes(side * side)).convert(
        "L" if mode == "I;16" else mode
    )
    if mode == "I;16":
        pixels = pixels.convert("I;16")
    buffer = io.BytesIO()
    try:
        pixels.save(buffer, kind)
    except (OSError, ValueError):  # this format has no such mode
        pixels.convert("L").save(buffer, kind)
    content = buffer.getvalue()
    if kind == "PNG" and random.random() < 0.3:
        # A header that says something else, with a checksum that is right.
        width, height = some(random, ((28, 28), (50_000, 50_000), (2**31 - 1, 1), (0, 28)))
        depth, color = some(random, ((8, 0), (16, 0), (8, 6), (1, 3), (7, 9)))
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
        return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    if kind == "PNG" and random.random() < 0.2:
        text = b"zTXt" + b"note\0\0" + zlib.compress(bytes(200 * 2**20), 9)
        chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        return content[:33] + chunk + content[33:]
    return damaged(random, content)


def test_a_damaged_image_is_an_image_or_an_input_error(
    program: Program, picture_model: bytes, tmp_path: Path
) -> None:
    write(tmp_path / "m.safetensors", picture_model)
    folder = tmp_path / "pictures"

    def case(random: Random) -> tuple[str, Outcome]:
        kind = some(random, ("PNG", "JPEG", "GIF", "BMP"))
        content = picture(random, kind)
        names = ["a.png", f"b\x1b[31m.{kind.lower()}", "c.txt", "😀.bmp"]
        name = some(random, names)
        input = some(random, (folder.name, f"{folder.name}/{name}"))

        shutil.rmtree(folder, ignore_errors=True)
        write(folder / name, content)
        arguments = ("predict", "m.safetensors", input)
        outcome = program.call(*arguments, folder=tmp_path, patience=IMPATIENCE)
        return f"{input!r} ({kind}): {content!r}", outcome

    attack("images", size(20, 100), case)
