import gc
import gzip
import hashlib
import http.server
import os
import re
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torchvision.datasets import FashionMNIST

from hw1.datasets import Part, fashion_mnist
from hw1.errors import InputError

# urllib leaves the sockets of refused downloads to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]
ARTICLES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
N_TRAIN, N_TEST = 5, 3


def idx(values: np.ndarray) -> bytes:
    """An IDX file of bytes: http://yann.lecun.com/exdb/mnist describes the format."""
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return struct.pack(">HBB", 0, 8, values.ndim) + sizes + values.astype(np.uint8).tobytes()


def tiny() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        NAMES[0]: rng.integers(0, 256, (N_TRAIN, 28, 28)),
        NAMES[1]: np.array([9, 0, 3, 3, 1]),
        NAMES[2]: rng.integers(0, 256, (N_TEST, 28, 28)),
        NAMES[3]: np.array([2, 7, 0]),
    }


def unpacked(data_dir: Path) -> Path:
    """The tiny files, unpacked, in the data folder; returns the folder that holds them."""
    folder = data_dir / "FashionMNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in tiny().items():
        (folder / name).write_bytes(idx(values))
    return folder


def check_tiny(data_dir: Path) -> None:
    """Both parts load from the data folder and hold the tiny files' values."""
    values = tiny()
    for part, images, labels in [("train", NAMES[0], NAMES[1]), ("test", NAMES[2], NAMES[3])]:
        data = fashion_mnist.load(part, data_dir)  # type: ignore[arg-type]
        assert (data.inputs.dtype, data.targets.dtype) == (torch.uint8, torch.int64)
        np.testing.assert_array_equal(data.inputs.numpy(), values[images][:, None])
        assert data.targets.tolist() == values[labels].tolist()
        assert (data.name, data.task) == ("FashionMNIST", "classification")
        assert data.target_name == "article"
        assert data.class_names == ARTICLES
        assert (data.input_shape, data.n_outputs) == ((1, 28, 28), 10)


def refusal(data_dir: Path) -> str:
    """The message of the InputError, once the sockets of the download are gone."""
    message = None
    try:
        fashion_mnist.load("train", data_dir)
    except InputError as error:
        message = str(error)
    gc.collect()
    assert message is not None
    assert "\n" not in message
    return message


class Server(http.server.ThreadingHTTPServer):
    """Serves a dictionary of files from 127.0.0.1 and notes what is asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(PACKED)
        self.requests: list[str] = []
        self.garbage = False
        self.missing_bytes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def answer(self, with_body: bool) -> None:
        self.server.requests.append(self.path)
        if self.server.garbage:
            self.wfile.write(b"this is no HTTP\r\n\r\n")
            return
        body = self.server.files.get(self.path.removeprefix("/"))
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body[: len(body) - self.server.missing_bytes])

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the requests out of the report."""


PACKED = {f"{name}.gz": gzip.compress(idx(values), mtime=0) for name, values in tiny().items()}


def use_mirror(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Point torchvision to a mirror of the tiny files, packed."""
    sums = [(name, hashlib.md5(body).hexdigest()) for name, body in PACKED.items()]
    monkeypatch.setattr(FashionMNIST, "mirrors", [url])
    monkeypatch.setattr(FashionMNIST, "resources", sums)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        use_mirror(monkeypatch, running.url)
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A mirror that refuses connections: a port that is bound, but not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        use_mirror(monkeypatch, f"http://127.0.0.1:{bound.getsockname()[1]}/")
        yield


# The real data.


@pytest.mark.parametrize(("part", "n_rows"), [("train", 60_000), ("test", 10_000)])
def test_the_real_images_are_the_published_ones(part: Part, n_rows: int) -> None:
    data_dir = os.environ.get("HW1_DATA")
    if not data_dir:
        pytest.skip("set HW1_DATA to the folder that holds FashionMNIST/raw")
    folder = Path(data_dir) / "FashionMNIST" / "raw"
    if not all((folder / name).is_file() for name in NAMES):
        pytest.skip(f"HW1_DATA is {data_dir}, and {folder} lacks the FashionMNIST files")
    data = fashion_mnist.load(part, Path(data_dir))
    assert (data.inputs.shape, data.inputs.dtype) == ((n_rows, 1, 28, 28), torch.uint8)
    assert (data.targets.shape, data.targets.dtype) == ((n_rows,), torch.int64)
    assert np.bincount(data.targets.numpy()).tolist() == [n_rows // 10] * 10
    if part == "train":
        counts = np.bincount(data.inputs.numpy().ravel(), minlength=256)
        levels = np.arange(256) / 255
        mean = np.average(levels, weights=counts)
        deviation = np.sqrt(np.average((levels - mean) ** 2, weights=counts))
        assert mean == pytest.approx(0.2860, abs=5e-5)
        assert deviation == pytest.approx(0.3530, abs=5e-5)
    else:
        first = ["Ankle boot", "Pullover", "Trouser", "Trouser", "Shirt"]
        assert [data.class_names[label] for label in data.targets[:5]] == first


# Files that are there.


@pytest.mark.parametrize("packed", [False, True])
def test_files_are_read_or_unpacked_without_a_network(
    packed: bool, tmp_path: Path, no_server: None
) -> None:
    folder = unpacked(tmp_path)
    for name in NAMES if packed else ():
        (folder / name).unlink()
        (folder / f"{name}.gz").write_bytes(PACKED[f"{name}.gz"])
    check_tiny(tmp_path)


# Files that are downloaded.


def test_missing_files_alone_are_downloaded(tmp_path: Path, server: Server) -> None:
    for missing in (NAMES, [], NAMES[3:]):
        for name in missing:
            for path in (tmp_path / "FashionMNIST" / "raw").glob(f"{name}*"):
                path.unlink()
        server.requests.clear()
        check_tiny(tmp_path)
        assert set(server.requests) == {f"/{name}.gz" for name in missing}


def assert_says_what_to_do(message: str, data_dir: Path) -> None:
    assert "cannot be downloaded" in message
    assert str(data_dir / "FashionMNIST" / "raw") in message
    assert all(f"{name}.gz" in message for name in NAMES)
    assert "--data-dir" in message


def test_an_unreachable_mirror_says_which_files_go_where(tmp_path: Path, no_server: None) -> None:
    assert_says_what_to_do(refusal(tmp_path), tmp_path)


OTHER = {f"{NAMES[0]}.gz": gzip.compress(b"something else")}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # urllib forgets its socket
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda server: server.files.clear(), "404"),
        (lambda server: server.files.update(OTHER), "File not found or corrupted"),
        (lambda server: setattr(server, "garbage", True), ""),
        (lambda server: setattr(server, "missing_bytes", 10), ""),
    ],
    ids=["no files", "another checksum", "no HTTP", "broken off"],
)
def test_a_mirror_without_the_files_says_which_files_go_where(
    spoil: Callable[[Server], None], reason: str, tmp_path: Path, server: Server
) -> None:
    spoil(server)
    message = refusal(tmp_path)
    assert_says_what_to_do(message, tmp_path)
    assert reason in message
    server.garbage, server.missing_bytes = False, 0
    server.files = dict(PACKED)
    check_tiny(tmp_path)


def test_a_data_folder_that_is_a_file_is_an_input_error(tmp_path: Path, server: Server) -> None:
    data_dir = tmp_path / "file"
    data_dir.write_text("no folder")
    assert_says_what_to_do(refusal(data_dir), data_dir)


# Files that are damaged.


@settings(deadline=None, max_examples=60)
@given(which=st.sampled_from([0, 1]), kept=st.floats(0, 1, exclude_max=True))
@example(which=0, kept=0.0)
@example(which=1, kept=0.0)
def test_a_truncated_file_is_an_input_error(which: int, kept: float) -> None:
    with tempfile.TemporaryDirectory() as data_dir:
        folder = unpacked(Path(data_dir))
        content = (folder / NAMES[which]).read_bytes()
        (folder / NAMES[which]).write_bytes(content[: int(kept * len(content))])
        with pytest.raises(InputError, match=r"are damaged .*delete them") as caught:
            fashion_mnist.load("train", Path(data_dir))
        assert str(folder) in str(caught.value)
        assert len(fashion_mnist.load("test", Path(data_dir))) == N_TEST


@settings(deadline=None, max_examples=100)
@given(which=st.sampled_from([0, 1]), start=st.binary(min_size=4, max_size=20))
@example(which=0, start=b"<html>moved</html>")
def test_a_file_with_another_start_is_an_input_error(which: int, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as data_dir:
        folder = unpacked(Path(data_dir))
        content = (folder / NAMES[which]).read_bytes()
        # The length stays, so that only the start tells.
        damaged = start + content[len(start) :]
        assume(damaged[2] != 10)  # the test below
        if damaged[: 4 * (4 - 2 * which)] == content[: 4 * (4 - 2 * which)]:
            return  # only pixels or labels differ
        (folder / NAMES[which]).write_bytes(damaged)
        with pytest.raises(InputError, match=r"are damaged|do not belong together"):
            fashion_mnist.load("train", Path(data_dir))


def of_type(which: int, kind: int, numbers: str) -> bytes:
    """The tiny images or labels as numbers of another type, by its number in the format."""
    values = tiny()[NAMES[which]] % 10
    content = idx(values)[: 4 * (values.ndim + 1)] + values.astype(numbers).tobytes()
    return content[:2] + bytes([kind]) + content[3:]


SHAPES = [(14, 56), (28, 27), (28, 29), (32, 32), (1, 784), (784, 1)]
# Signed bytes, integers of 2 and 4 bytes, floats of 4 and 8; the format has no type 10.
TYPES = {9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8", 10: ">u1"}
DAMAGED = [
    *(
        (0, idx(np.zeros((N_TRAIN, *shape))), "images of {} × {} ".format(*shape))
        for shape in SHAPES
    ),
    *((1, idx(np.array([9, 0, n, 3, 1])), f"the label {n}, where there are 10") for n in (10, 255)),
    *((1, idx(np.zeros(n)), f"together .{N_TRAIN} images, {n} labels") for n in (4, 6)),
    *(
        (n, of_type(n, *kind), "hold images of|are damaged")
        for n in (0, 1)
        for kind in TYPES.items()
    ),
]


@pytest.mark.parametrize(("which", "content", "reason"), DAMAGED)
def test_files_of_another_kind_are_an_input_error(
    which: int, content: bytes, reason: str, tmp_path: Path
) -> None:
    (unpacked(tmp_path) / NAMES[which]).write_bytes(content)
    assert re.search(reason, refusal(tmp_path))


@settings(deadline=None, max_examples=100)
@given(
    which=st.sampled_from([0, 1]),
    kind=st.sampled_from([0, 7, *range(8, 15), 15, 255]),
    sizes=st.lists(
        st.sampled_from([0, 1, 2, N_TRAIN, 14, 28, 56, 784, 2**16, 2**31, 2**32 - 1]), max_size=4
    ),
    body=st.binary(max_size=40) | st.just(bytes(N_TRAIN * 784)),
)
@example(which=0, kind=8, sizes=[N_TRAIN, 28, 28], body=bytes(N_TRAIN * 784))
@example(which=0, kind=8, sizes=[N_TRAIN, 14, 56], body=bytes(N_TRAIN * 784))
@example(which=0, kind=8, sizes=[2**32 - 1, 2**32 - 1, 2**32 - 1], body=b"")
@example(which=0, kind=8, sizes=[2**31, 2**31, 4], body=b"")
@example(which=1, kind=8, sizes=[0], body=b"")
def test_any_header_is_read_or_an_input_error(
    which: int, kind: int, sizes: list[int], body: bytes
) -> None:
    with tempfile.TemporaryDirectory() as data_dir:
        folder = unpacked(Path(data_dir))
        header = struct.pack(">HBB", 0, kind, len(sizes)) + struct.pack(f">{len(sizes)}I", *sizes)
        (folder / NAMES[which]).write_bytes(header + body)
        try:
            data = fashion_mnist.load("train", Path(data_dir))
        except InputError as error:
            assert str(folder) in str(error)
            return
        assert data.inputs.shape == (N_TRAIN, 1, 28, 28)
        assert data.targets.shape == (N_TRAIN,)
        assert set(data.targets.tolist()) <= set(range(10))


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    path = unpacked(tmp_path) / NAMES[0]
    path.unlink()
    os.mkfifo(path)  # to open it would wait for a writer
    assert "is not a regular file: remove it" in refusal(tmp_path)
