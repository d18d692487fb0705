import copy
import io
import json
import logging
import os
import pickle
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from analysis.described import HOUSES
from torch import Tensor, nn

from hw1.analysis.network import Network
from hw1.analysis.programs import EXPRESSION, export, from_onnx, from_pt2, to_onnx, to_pt2
from hw1.errors import InputError
from hw1.models import CNN, MLP, ResNet
from hw1.models.activations import ACTIVATIONS

FILE = Path("model.pt2")
DESCRIPTION = replace(
    HOUSES, family="elsewhere.Sums", input_shape=(4,), feature_names=("a", "b", "c", "d")
)


class Sums(nn.Module):
    """The sum of each example, by way of a shape in which the batch is twice as large."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, inputs: Tensor) -> Tensor:
        halves = inputs.reshape(inputs.shape[0] * 2, 2) * self.factor
        return halves.reshape(-1, 4).sum(1, keepdim=True)


def network() -> Network:
    """Ten more than the sum of the doubled inputs."""
    of_inputs = torch.zeros(4), torch.full((4,), 0.5)
    return Network(Sums(), *of_inputs, torch.full((1,), 10.0), torch.ones(1)).eval()


def test_sizes_that_are_made_from_the_batch_are_no_obstacle() -> None:
    program = export(network(), 2, (4,))
    inputs = torch.arange(20.0).view(5, 4)
    expected = 2 * inputs.sum(1, keepdim=True) + 10
    for content, read in [
        (to_pt2(program, DESCRIPTION), from_pt2),
        (to_onnx(program, DESCRIPTION), from_onnx),
    ]:
        description, run = read(content, FILE)
        assert description == DESCRIPTION
        for n_rows in (1, 2, 5):
            torch.testing.assert_close(run(inputs[:n_rows]).detach(), expected[:n_rows])


class Recurrent(nn.Module):
    """A network of somebody's own on four features as a sequence."""

    def __init__(self, layer: nn.LSTM | nn.GRU | nn.RNN) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.LazyLinear(1)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden, _ = self.layer(inputs.unsqueeze(-1))
        return self.head(hidden[:, -1])


class Transformer(nn.Module):
    """A network of somebody's own that knows the places of the features."""

    def __init__(self, activation: str, norm_first: bool) -> None:
        super().__init__()
        self.places = nn.Embedding(4, 8)
        self.layer = nn.TransformerEncoderLayer(
            8, 2, 16, activation=activation, batch_first=True, norm_first=norm_first
        )
        self.head = nn.Linear(8, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        places = self.places(torch.arange(inputs.shape[1]))
        return self.head(self.layer(inputs.unsqueeze(-1) * places).mean(1))


class InPlace(nn.Module):
    """A network of somebody's own that changes its hidden units where they are."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 1)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.activation(self.layer(inputs))
        hidden += inputs
        hidden[:, 0] = 1
        return self.head(hidden)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{
        f"MLP {name}": partial(
            MLP, (4,), 1, widths=[5], activation=name, batch_norm=True, dropout=0.5
        )
        for name in ACTIVATIONS
    },
    "CNN": partial(CNN, (3, 8, 8), 2, channels=[4, 5], hidden=3, dropout=0.5),
    "CNN average": partial(CNN, (3, 8, 8), 2, channels=[4], pooling="average", head="average"),
    "ResNet": partial(ResNet, (3, 8, 8), 2, width=3, stages=2, dropout=0.5),
    "LSTM": lambda: Recurrent(nn.LSTM(1, 3, 2, batch_first=True, bidirectional=True)),
    "GRU": lambda: Recurrent(nn.GRU(1, 3, batch_first=True)),
    "RNN": lambda: Recurrent(nn.RNN(1, 3, batch_first=True)),
    "Transformer": lambda: Transformer("relu", norm_first=False),
    "Transformer, norm first": lambda: Transformer("gelu", norm_first=True),
    "in place": InPlace,
    "other layers": lambda: nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding="same"), nn.GroupNorm(2, 6), nn.Mish(), nn.Upsample(4)),
        *(nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.LayerNorm(24), nn.GLU(), nn.Linear(12, 2)),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_usual_layers_are_read(name: str) -> None:
    torch.manual_seed(0)
    plain, image = NETWORKS[name](), name.startswith(("CNN", "ResNet", "other"))
    shape, n_outputs = ((3, 8, 8), 2) if image else ((4,), 1)
    plain(torch.rand(3, *shape))  # makes lazy layers
    of_inputs = torch.zeros(shape), torch.ones(shape)
    network = Network(plain, *of_inputs, torch.zeros(n_outputs), torch.ones(n_outputs)).eval()
    description = replace(
        DESCRIPTION,
        input_shape=shape,
        n_outputs=n_outputs,
        feature_names=() if image else DESCRIPTION.feature_names,
        pixels=image,
    )
    _, run = from_pt2(to_pt2(export(network, 2, shape), description), FILE)
    inputs = torch.rand(5, *shape)
    with torch.no_grad():
        torch.testing.assert_close(run(inputs), network(inputs))


# What a .pt2 archive could be made to run.


@pytest.fixture(scope="module")
def archive() -> dict[str, bytes]:
    """The parts of a .pt2 file by their names."""
    content = to_pt2(export(network(), 2, (4,)), DESCRIPTION)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def pack(parts: dict[str, bytes], *more: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, part in [*parts.items(), *more]:
            file.writestr(name, part)
    return buffer.getvalue()


def name_of(parts: dict[str, bytes], end: str) -> str:
    (name,) = [name for name in parts if name.endswith(end)]
    return name


def edit(parts: dict[str, bytes], end: str, field: str, value: object, old: object = None) -> bytes:
    """The archive with another value wherever a JSON part has this field (that is ``old``)."""

    def hook(values: dict[str, Any]) -> dict[str, Any]:
        changes = field in values and old in (None, values[field])
        return values | {field: value} if changes else values

    name = name_of(parts, end)
    return pack(parts | {name: json.dumps(json.loads(parts[name], object_hook=hook)).encode()})


def retarget(parts: dict[str, bytes], target: object) -> bytes:
    """The archive with another function in place of a subtraction."""

    return edit(parts, "/model.json", "target", target, "torch.ops.aten.sub.Tensor")


def refused(content: bytes) -> None:
    with pytest.raises(InputError, match=re.escape("model.pt2 holds code beside the operations")):
        from_pt2(content, FILE)


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_an_archive_that_was_packed_anew_is_read(archive: dict[str, bytes]) -> None:
    assert from_pt2(pack(archive), FILE)[0] == DESCRIPTION
    assert from_pt2(edit(archive, "/model.json", "none", 0), FILE)[0] == DESCRIPTION


def test_pickles_are_not_run(archive: dict[str, bytes], tmp_path: Path) -> None:
    made = tmp_path / "made"
    buffer = io.BytesIO()
    torch.save((Touch(made),), buffer)
    content = pack(archive | {name_of(archive, "/model.pt"): buffer.getvalue()})
    refused(content)
    assert not made.exists()
    refused(pack(archive | {name_of(archive, "/model.pt"): pickle.dumps((Touch(made),))}))
    assert not made.exists()


def test_weights_that_want_to_be_unpickled_are_refused(archive: dict[str, bytes]) -> None:
    refused(edit(archive, "_weights_config.json", "use_pickle", True))
    refused(edit(archive, "_weights_config.json", "path_name", "opaque_obj_0"))


FORBIDDEN = (
    *("from_file.default", "from_file.out", "_print.default", "save.default"),
    *("sub_.Tensor", "sub.out", "set_.source_Tensor", "copy_.default", "resize_.default"),
    *("relu_.default", "max.dim_max", "__class__.default", "sub.__class__", "sub.later"),
)


@pytest.mark.parametrize(
    "target",
    [
        *(f"torch.ops.aten.{name}" for name in FORBIDDEN),
        "torch.os.system",
        "torch.ops.aten.add.Tensor.__class__",
        "torch.ops.load_library",
        "torch.load",
        "_operator.call",
        "_operator.attrgetter",
        "math.sin",
        "#other",
        7,
    ],
)
def test_calls_of_anything_but_operations_are_refused(
    archive: dict[str, bytes], target: object
) -> None:
    refused(retarget(archive, target))


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').mkdir('made')",
        "exit()",
        "os.mkdir",
        "[print for x in ()]()",
        "Symbol('a').__class__",
        "mySymbol('a')",
        "a.size().b",
        "lambda: 0",
        'open("made")',
        'f"{exit()}"',
        ["exit()"],
        # What never ends, or takes all memory.
        "9**9**9**9 > 1",
        "9**9**9",
        "9 ** 9 ** 9",
        "1 << 99999999999",
        "9" * 19,
        "9" * 10_000 + " > 1",
        "1e999999999",
        "99999999!",
        "'a' * 9999999999",
        "Add(x for x in sieve)",
    ],
    ids=lambda expression: str(expression)[:30],
)
def test_expressions_of_anything_but_sizes_are_refused(
    archive: dict[str, bytes], expression: object
) -> None:
    refused(edit(archive, "/model.json", "expr_str", expression))
    refused(edit(archive, "/model.json", "guards_code", [expression]))


@pytest.mark.parametrize(
    "expression",
    [
        "Mul(Integer(2), Min(Integer(4), Symbol('s85', positive=True, integer=True)))",
        "3*s85 + 1",
        "L['inputs'].size()[0] % 3 == 0 and L['inputs'].size()[0] // 2 >= 1",
        "9" * 18,
    ],
)
def test_sizes_are_no_harm(expression: str) -> None:
    assert EXPRESSION.fullmatch(expression)


def test_parts_of_another_kind_are_refused(archive: dict[str, bytes]) -> None:
    refused(pack(archive, ("archive/data/aotinductor/model/model.so", b"")))
    refused(pack(archive, ("archive/data/constants/opaque_obj_0", b"")))
    refused(pack(archive, ("archive/models/other.json", b"{")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_part_that_is_there_twice_is_refused(archive: dict[str, bytes]) -> None:
    name = name_of(archive, "/model.json")
    refused(pack(archive, (name, archive[name])))


def test_a_compressed_archive_is_refused_before_it_is_unpacked(archive: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, part in archive.items():
            file.writestr(name, part)
        with file.open("archive/data/weights/weight_9", "w", force_zip64=True) as part:
            for _ in range(100):
                part.write(bytes(1 << 20))  # 100 MiB, if it is unpacked
    content = buffer.getvalue()
    assert len(content) < 200_000
    tracemalloc.start()
    with pytest.raises(InputError, match="is compressed"):
        from_pt2(content, FILE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_parts_that_share_their_bytes_are_refused(archive: dict[str, bytes]) -> None:
    """Many entries of one part: each is as large as the file."""
    name = name_of(archive, "/weight_0")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for other, part in archive.items():
            file.writestr(other, part)
        file.writestr("archive/data/weights/weight_7", bytes(10_000))
        for i in range(8, 30):
            again = copy.copy(file.getinfo("archive/data/weights/weight_7"))
            again.filename = f"archive/data/weights/weight_{i}"
            file.filelist.append(again)
            file.NameToInfo[again.filename] = again
    assert name in archive
    with pytest.raises(InputError, match="is compressed"):
        from_pt2(buffer.getvalue(), FILE)


def test_a_compressed_archive_within_the_archive_is_refused(archive: dict[str, bytes]) -> None:
    name = name_of(archive, "/model.pt")
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive[name])) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for part in old.namelist():
            new.writestr(part, old.read(part))
    refused(pack(archive | {name: buffer.getvalue()}))


def test_weights_larger_than_the_file_are_refused(archive: dict[str, bytes]) -> None:
    empty = {name: b"" for name in archive if re.search(r"/weight_\d+$", name)}
    assert empty
    sizes = [{"as_int": 10**6}, {"as_int": 10**6}]
    refused(edit(archive | empty, "_weights_config.json", "sizes", sizes))


def test_torch_is_given_the_parts_that_were_checked(archive: dict[str, bytes]) -> None:
    """Torch would not find them here: it reads archives in another way than Python."""
    assert from_pt2(b"#!/bin/sh\n" + pack(archive), FILE)[0] == DESCRIPTION


@cache
def onnx_file() -> bytes:
    return to_onnx(export(network(), 2, (4,)), DESCRIPTION)


def graph() -> Any:
    return onnx.load_model_from_string(onnx_file())


def external(tensor: Any) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")


def test_a_graph_that_reads_other_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret.bin").write_bytes(bytes(1000))
    initializer, constant, function, nested = (graph() for _ in range(4))
    external(initializer.graph.initializer[0])
    tensor = onnx.helper.make_tensor("t", onnx.TensorProto.FLOAT, [1], [0.0])
    external(tensor)
    node = onnx.helper.make_node("Constant", [], ["unused"], value=tensor)
    constant.graph.node.insert(0, node)
    function.functions.append(
        onnx.helper.make_function("own", "f", [], ["unused"], [node], constant.opset_import)
    )
    branch = onnx.helper.make_graph([node], "branch", [], [])
    nested.graph.node.insert(
        0, onnx.helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch)
    )
    for model in (initializer, constant, function, nested):
        with pytest.raises(InputError, match="takes weights from other files"):
            from_onnx(model.SerializeToString(), FILE)


def test_a_graph_with_more_weights_than_it_holds_is_refused() -> None:
    large, negative, sparse = (graph() for _ in range(3))
    large.graph.initializer.add(name="x", data_type=1, dims=[10**6, 10**6])
    negative.graph.initializer.add(name="x", data_type=1, dims=[-(10**6), -(10**6)])
    sparse.graph.sparse_initializer.add(dims=[10**12])
    for model in (large, negative, sparse):
        with pytest.raises(InputError, match="or more than it holds"):
            from_onnx(model.SerializeToString(), FILE)


def test_outputs_are_called_what_they_are() -> None:
    for description, name in [
        (DESCRIPTION, "prediction"),
        (
            replace(DESCRIPTION, task="classification", n_outputs=1, class_names=("a",)),
            "logits",
        ),
    ]:
        content = to_onnx(export(network(), 2, (4,)), description)
        assert [o.name for o in onnx.load_model_from_string(content).graph.output] == [name]
        assert from_onnx(content, FILE)[0] == description


def test_a_program_that_does_not_run_is_refused_in_silence(
    archive: dict[str, bytes], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="holds no program that torch"):
        from_pt2(retarget(archive, "torch.ops.aten.conv2d.default"), FILE)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert capfd.readouterr() == ("", "")


def test_a_damaged_graph_is_refused_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    content = onnx_file()
    # No UTF-8: once in the name of an output, once among the metadata.
    for text in (b"\n\nprediction", b"elsewhere.Sums"):
        position = content.rindex(text) + 2
        damaged = content[:position] + b"\xff" + content[position + 1 :]
        with pytest.raises(InputError, match=r"damaged or no \.onnx file"):
            from_onnx(damaged, FILE)
    assert capfd.readouterr() == ("", "")


def test_a_program_for_other_inputs_is_refused(archive: dict[str, bytes]) -> None:
    other = replace(DESCRIPTION, input_shape=(3,), feature_names=())
    name = name_of(archive, "/hw1.json")
    with pytest.raises(InputError, match="on the inputs it describes"):
        from_pt2(pack(archive | {name: other.to_json().encode()}), FILE)
