import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import safetensors.torch
import torch
from analysis.described import HOUSES, of_images
from conftest import TINY_REGRESSION, with_family
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from hw1.analysis.description import ModelDescription, import_path
from hw1.analysis.model_files import load, save
from hw1.analysis.network import CHUNK, Network
from hw1.errors import InputError
from hw1.models import CNN, MLP, ResNet
from hw1.places import MODEL_FILE
from hw1.study_files import Named, load_definition
from hw1.training.augmentation import Views
from hw1.training.networks import ModelClass

ROOT = Path(__file__).resolve().parents[2]


class Case(NamedTuple):
    """A network, its description, and a function that draws raw inputs for it."""

    network: Network
    description: ModelDescription
    draw: Callable[[int], Tensor]

    def save(self, path: Path, n_rows: int = 3, **changes: Any) -> float:
        """Write it to a file, whose description has some other values."""
        description = replace(self.description, **changes)
        return save(self.network, description, path, self.draw(n_rows))

    def outputs(self, inputs: Tensor) -> Tensor:
        """What the network says."""
        with torch.no_grad():
            return self.network(inputs)


def make(
    build: ModelClass,
    name: str,
    shape: tuple[int, ...],
    n_outputs: int,
    *,
    views: Views = "one",
    **model: object,
) -> Case:
    """Always the same network, in evaluation mode, no number of which is its usual first one."""
    torch.manual_seed(0)
    plain = build(shape, n_outputs, **model)
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                nn.init.uniform_(tensor, 0.5, 2.0)
    pixels = len(shape) == 3
    of_inputs = (shape[0], *[1] * (len(shape) - 1))
    network = Network(
        plain,
        torch.linspace(50, 90, shape[0]).view(of_inputs),
        torch.linspace(20, 30, shape[0]).view(of_inputs),
        torch.zeros(n_outputs) if pixels else torch.full((n_outputs,), 40.0),
        torch.ones(n_outputs) if pixels else torch.linspace(3, 5, n_outputs),
        views=views,
    ).eval()
    labels = tuple(f"class {i}" for i in range(n_outputs))
    description = replace(
        of_images(shape, *labels) if len(shape) == 3 else HOUSES,
        family=name,
        definition="tiny",
        input_shape=shape,
        n_outputs=n_outputs,
        feature_names=() if pixels else tuple(f"x{i}" for i in range(shape[0])),
        configuration={"model": model, "lr": 0.01, "views": views},
    )

    def draw(n_rows: int) -> Tensor:
        generator = torch.Generator().manual_seed(n_rows)
        drawn = torch.rand(n_rows, *shape, generator=generator) * 255
        return drawn.to(torch.uint8) if pixels else drawn

    return Case(network, description, draw)


MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"widths": [5, 4], "batch_norm": True, "dropout": 0.5},
    "cnn": {"channels": [4], "head": "flatten", "hidden": 5, "dropout": 0.5},
    "resnet": {"width": 3, "stages": 2, "dropout": 0.5},
}
mlp = partial(make, MLP, "hw1.models.mlp.MLP", (3,), 2, **MODELS["mlp"])
cnn = partial(make, CNN, "hw1.models.cnn.CNN", (1, 6, 6), 3, **MODELS["cnn"])
resnet = partial(
    make, ResNet, "hw1.models.resnet.ResNet", (3, 5, 7), 2, views="all", **MODELS["resnet"]
)
CASES = {"mlp": mlp, "cnn": cnn, "resnet": resnet}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Every network in every format, in one folder: its path and the difference `save` found."""
    folder = tmp_path_factory.mktemp("models")
    return {
        str(path): case.save(path, 7)
        for name, make_case in CASES.items()
        for case in [make_case()]
        for suffix in MODEL_FILE[0]
        for path in [folder / f"{name}{suffix}"]
    }


def find(saved: dict[str, float], name: str) -> Path:
    return next(Path(path) for path in saved if path.endswith(f"/{name}"))


def refused(path: Path, message: str, definition: Named = ()) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(path, definition=definition)
    assert type(caught.value) is InputError
    assert path.name in str(caught.value)


def state(case: Case) -> dict[str, Tensor]:
    return dict(case.network.state_dict())


# What is saved is what is loaded.


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("suffix", MODEL_FILE[0])
def test_a_file_predicts_as_its_network(saved: dict[str, float], name: str, suffix: str) -> None:
    case = CASES[name]()
    model = load(find(saved, name + suffix))
    assert model.description == case.description
    for n_rows in (1, 2, 5, CHUNK + 3):
        inputs = case.draw(n_rows)
        expected = case.outputs(inputs)
        found = model.predict(inputs)
        assert found.shape == (n_rows, case.description.n_outputs)
        assert not found.requires_grad
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
        assert expected.std() > 1e-3


@pytest.mark.parametrize("name", CASES)
def test_weights_come_back_bit_for_bit(saved: dict[str, float], name: str) -> None:
    case, path = CASES[name](), find(saved, f"{name}.safetensors")
    again = safetensors.torch.load_file(path)
    assert again.keys() == state(case).keys()
    assert all(torch.equal(again[key], value) for key, value in state(case).items())
    inputs = case.draw(9)
    assert torch.equal(load(path).predict(inputs), case.outputs(inputs))
    assert saved[str(path)] == 0


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_the_largest_difference_is_told(saved: dict[str, float], name: str, suffix: str) -> None:
    case, path = CASES[name](), find(saved, name + suffix)
    model, inputs = load(path), case.draw(7)
    together = (model.predict(inputs) - case.outputs(inputs)).abs().max()
    first = (model.predict(inputs[:1]) - case.outputs(inputs[:1])).abs().max()
    assert saved[str(path)] == pytest.approx(float(max(together, first)))


def test_images_in_another_memory_layout_predict_the_same(saved: dict[str, float]) -> None:
    case = resnet()
    inputs = case.draw(4)
    turned = inputs.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert not turned.is_contiguous()
    for suffix in MODEL_FILE[0]:
        model = load(find(saved, f"resnet{suffix}"))
        torch.testing.assert_close(model.predict(turned), model.predict(inputs))


def test_others_can_run_the_programs(saved: dict[str, float]) -> None:
    import onnxruntime

    case = cnn()
    inputs = case.draw(5).float()
    expected = case.outputs(inputs)
    session = onnxruntime.InferenceSession(
        find(saved, "cnn.onnx"), providers=["CPUExecutionProvider"]
    )
    (outputs,) = session.run(None, {"inputs": inputs.numpy()})
    np.testing.assert_allclose(outputs, expected.numpy(), rtol=1e-5, atol=1e-5)
    assert [entry.shape for entry in session.get_inputs()] == [["batch", 1, 6, 6]]
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["hw1"])["class_names"] == ["class 0", "class 1", "class 2"]

    files = {"hw1.json": ""}
    program = torch.export.load(find(saved, "cnn.pt2"), extra_files=files)
    assert torch.equal(program.module()(inputs), expected)
    assert json.loads(files["hw1.json"])["study"] == "houses"


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_a_program_names_no_folder_of_this_machine(saved: dict[str, float], suffix: str) -> None:
    content = find(saved, f"resnet{suffix}").read_bytes()
    assert b"network.py" not in content
    assert str(ROOT).encode() not in content


def test_exporters_are_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    case = mlp()
    for suffix in MODEL_FILE[0]:
        case.save(tmp_path / f"a{suffix}", 2)
        load(tmp_path / f"a{suffix}")
    assert capfd.readouterr() == ("", "")


def test_a_network_in_training_mode_is_saved_for_evaluation_and_left_alone(tmp_path: Path) -> None:
    case, path = mlp(), tmp_path / "a.pt2"
    before = {name: value.clone() for name, value in state(case).items()}
    inputs = case.draw(6)
    expected = case.outputs(inputs)
    case.network.train()
    save(case.network, case.description, path, inputs)
    torch.testing.assert_close(load(path).predict(inputs), expected)
    assert case.network.network.training
    assert all(torch.equal(before[name], value) for name, value in state(case).items())


def test_weights_that_are_shared_are_saved(tmp_path: Path) -> None:
    def tied(shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        layers[1].weight = layers[0].weight
        return layers

    case = make(tied, "elsewhere.tied", (2,), 2)
    assert case.save(tmp_path / "a.safetensors") == 0


# Writing.


@pytest.mark.parametrize("name", ["model.pth", "model", "model.onnx.zip", ".safetensors"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    case = mlp()
    with pytest.raises(InputError, match=r"\.safetensors, \.pt2 or \.onnx"):
        case.save(tmp_path / name)
    with pytest.raises(InputError, match=r"\.safetensors, \.pt2 or \.onnx"):
        load(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_folders_are_made_and_files_replaced(tmp_path: Path) -> None:
    case, path = mlp(), tmp_path / "a" / "b" / "model.safetensors"
    path.parent.mkdir(parents=True)
    path.write_text("old")
    case.save(path)
    assert load(path).description == case.description
    path = tmp_path / "c" / "d" / "model.safetensors"
    case.save(path)
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def test_a_path_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    case = mlp()
    (tmp_path / "file").touch()
    (tmp_path / "folder.safetensors").mkdir()
    long = f"{'x' * 300}.safetensors"
    for name in ("file/model.safetensors", "folder.safetensors", long):
        with pytest.raises(InputError, match="cannot write"):
            case.save(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.safetensors"}


def test_a_network_that_has_diverged_leaves_the_old_file(tmp_path: Path) -> None:
    case, path = mlp(), tmp_path / "model.safetensors"
    path.write_text("old")
    case.network.target_std.fill_(torch.nan)
    with pytest.raises(InputError, match="not finite"):
        case.save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


class Restless(nn.Module):
    """A network that says something else every time, which no file can do."""

    calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        Restless.calls += 1
        return inputs[:, :1] + Restless.calls


def test_a_file_that_would_predict_something_else_is_an_error(tmp_path: Path) -> None:
    case = make(lambda *_: Restless(), "elsewhere.Restless", (2,), 1)
    with pytest.raises(RuntimeError, match="would predict something else"):
        case.save(tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_a_configuration_of_another_network_is_refused_at_once(tmp_path: Path) -> None:
    case = mlp()
    with pytest.raises(InputError, match="do not fit its configuration"):
        case.save(tmp_path / "a.safetensors", configuration={"model": {"widths": [5, 6]}})


def test_onnx_says_which_packages_it_needs(
    tmp_path: Path, saved: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = mlp()
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "onnxscript", None)
        with pytest.raises(InputError, match="pip install onnx onnxscript onnxruntime"):
            case.save(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="pip install onnx onnxscript onnxruntime"):
        load(find(saved, "mlp.onnx"))


# The family of a .safetensors file.


OWN = with_family(TINY_REGRESSION, "pass")


def of_own(tmp_path: Path) -> tuple[Case, Path]:
    """A network of a study file, saved."""
    study = tmp_path / "studies" / "tiny.py"
    study.parent.mkdir()
    study.write_text(OWN)
    family = load_definition(study).model
    assert import_path(family) == "hw1_study_tiny.Own"
    case = make(family, import_path(family), (2,), 1, widths=[3])
    path = tmp_path / "model.safetensors"
    case.save(path)
    return case, path


def test_the_family_of_a_study_file_is_found_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, path = of_own(tmp_path)
    inputs = case.draw(5)
    expected = case.outputs(inputs)
    monkeypatch.chdir(tmp_path)
    assert torch.equal(load(path, definition="tiny").predict(inputs), expected)
    monkeypatch.chdir("/")
    study = tmp_path / "studies" / "tiny.py"
    case.save(path, definition=str(study))
    assert torch.equal(load(path, definition=study).predict(inputs), expected)
    # The file may have been moved since.
    case.save(path, definition="/gone/tiny.py")
    assert torch.equal(load(path, definition=[study]).predict(inputs), expected)


def test_the_family_of_a_study_file_needs_that_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = of_own(tmp_path)
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "studies" / "tiny.py"
    study.write_text(OWN.replace("Own", "Renamed"))
    refused(path, "the model class of .*tiny.py is hw1_study_tiny.Renamed", definition=study)
    study.unlink()
    refused(path, "made with the study file 'tiny', which does not come with hw1")


@pytest.mark.parametrize("family", ["harmful.MLP", "hw1.models.mlp.math.prod", "os.system"])
def test_a_file_says_nothing_of_what_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    case, path = mlp(), tmp_path / "model.safetensors"
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "tiny.py").write_text(OWN)
    (tmp_path / "harmful.py").write_text("from hw1.models import MLP")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    case.save(path, family=family)
    refused(path, f"needs {family}, but the model class of", definition="tiny")
    assert "harmful" not in sys.modules


# Files that are no models.


@pytest.mark.parametrize("suffix", MODEL_FILE[0])
def test_what_is_no_model_file_is_an_input_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    refused(path, "there is no file")
    path.mkdir()
    refused(path, "is a folder: give a file")
    path.rmdir()
    os.mkfifo(path)
    refused(path, "is a pipe or a device: give a file")
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(path, "is a pipe or a device: give a file")
    path.unlink()
    for length in (2, 10**6, 90 * 10**6, 2**63, 2**64 - 1):  # of a header that is not there
        path.write_bytes(length.to_bytes(8, "little") + b"{")
        refused(path, "is damaged or no")
    path.write_bytes(b"")
    refused(path, "is damaged or no")
    Image.new("L", (8, 8)).save(path, "png")
    refused(path, f"is damaged or no {suffix} file")


@pytest.mark.parametrize("suffix", MODEL_FILE[0])
@pytest.mark.parametrize("other", MODEL_FILE[0])
def test_a_format_under_another_name_is_an_input_error(
    saved: dict[str, float], tmp_path: Path, suffix: str, other: str
) -> None:
    if suffix != other:
        path = tmp_path / f"renamed{suffix}"
        path.write_bytes(find(saved, f"mlp{other}").read_bytes())
        refused(path, f"is damaged or no {suffix} file")


def test_files_of_others_are_input_errors(tmp_path: Path) -> None:
    import onnx

    undescribed = "does not describe its network: save the model with hw1"
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}):
        safetensors.torch.save_file(state(mlp()), path, metadata)
        refused(path, undescribed)

    path = tmp_path / "other.pt2"
    torch.export.save(torch.export.export(nn.Linear(3, 2), (torch.zeros(2, 3),)), path)
    refused(path, undescribed)

    path = tmp_path / "other.onnx"
    info = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3])
        for name in ("inputs", "outputs")
    ]
    node = onnx.helper.make_node("Identity", ["inputs"], ["outputs"])
    graph = onnx.helper.make_graph([node], "other", info[:1], info[1:])
    opset = onnx.helper.make_opsetid("", 20)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    path.write_bytes(model.SerializeToString())
    refused(path, undescribed)
    # With our description, but of an image, and of as many inputs, but fewer outputs.
    for case in (cnn(), mlp()):
        onnx.helper.set_model_props(model, {"hw1": case.description.to_json()})
        path.write_bytes(model.SerializeToString())
        refused(path, "holds no graph that can be run on the inputs it describes")


def test_a_program_that_does_not_fit_its_description_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pt2"
    program = torch.export.export(nn.Linear(3, 5), (torch.zeros(1, 3),))
    torch.export.save(program, path, extra_files={"hw1.json": mlp().description.to_json()})
    refused(path, "holds no program that torch .* can run on the inputs it describes")


def rewrite(tmp_path: Path, tensors: dict[str, Tensor], **changes: object) -> Path:
    path = tmp_path / "changed.safetensors"
    description = replace(mlp().description, **changes)
    safetensors.torch.save_file(tensors, path, {"hw1": description.to_json()})
    return path


def test_weights_that_do_not_fit_the_configuration_are_named(tmp_path: Path) -> None:
    weights = state(mlp())
    path = rewrite(tmp_path, weights, configuration={"model": MODELS["mlp"] | {"widths": [5, 6]}})
    refused(path, r"network.layers.5.weight is float32 \(4, 5\) and should be float32 \(6, 5\)")
    path = rewrite(tmp_path, weights, input_shape=(4,), feature_names=())
    refused(path, r"input_mean is float32 \(3,\) and should be float32 \(4,\)")
    path = rewrite(tmp_path, {k: v for k, v in weights.items() if k != "target_std"})
    refused(path, r"target_std is missing and should be float32 \(2,\)")
    path = rewrite(tmp_path, weights | {"other": torch.zeros(1)})
    refused(path, r"other is float32 \(1,\) and should be missing")
    path = rewrite(tmp_path, {k: v.double() for k, v in weights.items()})
    refused(path, r"input_mean is float64 \(3,\) and should be float32 \(3,\)")


@pytest.mark.parametrize(
    "model",
    [
        {"widths": [0]},
        {"widths": "wide"},
        {"widths": [-1, "a"]},
        {"depth": 3},
        {"activation": "step"},
        {"n_outputs": 3},
        {"widths": [8], "dropout": 7},
    ],
)
def test_a_configuration_without_a_network_is_refused(
    tmp_path: Path, model: dict[str, object]
) -> None:
    path = rewrite(tmp_path, state(mlp()), configuration={"model": model})
    refused(path, "builds no hw1.models.mlp.MLP: ")


@pytest.mark.parametrize("suffix", MODEL_FILE[0])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_that_is_cut_short_is_an_input_error(
    saved: dict[str, float], suffix: str, data: st.DataObject
) -> None:
    content = find(saved, f"mlp{suffix}").read_bytes()
    length = data.draw(st.integers(0, len(content) - 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"cut{suffix}"
        path.write_bytes(content[:length])
        refused(path, r"damaged or no|does not describe")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_weights_file_is_a_model_or_an_input_error(
    saved: dict[str, float], data: st.DataObject
) -> None:
    content = bytearray(find(saved, "mlp.safetensors").read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.safetensors"
        path.write_bytes(content)
        try:
            load(path)
        except InputError as error:
            assert type(error) is InputError


@pytest.mark.parametrize(
    "widths", [[10**7, 10**7], [10**4] * 9, [100] * 10**5], ids=["wide", "square", "deep"]
)
def test_a_configuration_that_takes_all_memory_is_refused(
    tmp_path: Path, widths: list[int]
) -> None:
    path = rewrite(tmp_path, state(mlp()), configuration={"model": {"widths": widths}})
    refused(path, "builds no .*: it would have many more parameters than the file holds")
