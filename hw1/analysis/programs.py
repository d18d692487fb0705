"""Networks as programs that need none of their code: torch's .pt2 archives and ONNX graphs.

They take raw inputs as float32, pixels as 0 to 255, in batches of any size.
"""

import io
import json
import logging
import math
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.export import Dim, ExportedProgram

from hw1.analysis.description import METADATA_KEY, ModelDescription
from hw1.analysis.network import Network
from hw1.errors import InputError

Run = Callable[[Tensor], Tensor]
"""Takes a batch of raw inputs as float32, ``(batch, *input_shape)``, to predictions in the
target's own units or logits, ``(batch, n_outputs)``."""
DESCRIPTION_FILE = f"{METADATA_KEY}.json"
"""In a .pt2 archive."""

# What a .pt2 archive of a network is made of.
RAW_PART = re.compile(r"(weight|tensor)_\d+")
PART = re.compile(
    rf"{RAW_PART.pattern}|.*\.(json|pt)|archive_(format|version)|byteorder|version|serialization_id"
)
ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
PYTHON = re.compile(r"_operator\.(add|sub|mul|floordiv|mod|getitem)")
OPERATIONS = frozenset(
    """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution im2col
    linear addmm mm bmm baddbmm mv matmul dot vdot outer einsum tensordot bilinear mT t numpy_T
    batch_norm _native_batch_norm_legit_no_training layer_norm native_layer_norm group_norm
    native_group_norm instance_norm rms_norm linalg_vector_norm norm cosine_similarity
    _weight_norm
    relu relu6 leaky_relu elu celu selu gelu silu mish glu prelu rrelu hardtanh hardsigmoid
    hardswish hardshrink softshrink softplus log_sigmoid threshold tanh sigmoid softmax _softmax
    log_softmax _log_softmax dropout feature_dropout alpha_dropout feature_alpha_dropout
    native_dropout
    max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d upsample_nearest1d upsample_nearest2d upsample_linear1d
    upsample_bilinear2d upsample_bicubic2d pixel_shuffle pixel_unshuffle channel_shuffle pad
    constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d
    lstm gru rnn_tanh rnn_relu embedding scaled_dot_product_attention
    view view_as reshape flatten unflatten permute transpose swapaxes movedim unsqueeze squeeze
    cat stack slice select narrow expand expand_as repeat repeat_interleave split
    split_with_sizes chunk unbind flip roll unfold index index_select gather take_along_dim
    scatter slice_scatter select_scatter index_put masked_fill where tril triu meshgrid diff
    add sub rsub mul div floor_divide remainder fmod neg abs pow square sqrt rsqrt reciprocal
    exp exp2 expm1 log log2 log10 log1p erf erfc special_erf special_erfc special_erfinv sin cos
    tan sinh cosh asin acos atan atan2 asinh acosh atanh floor ceil round trunc sign clamp
    clamp_min clamp_max maximum minimum lerp addcmul addcdiv nan_to_num isnan isfinite
    eq ne lt le gt ge logical_and logical_or logical_not
    sum mean prod amax amin max min median var std any all argmax argmin logsumexp cumsum
    sort argsort topk one_hot
    zeros ones full arange linspace eye zeros_like ones_like full_like new_zeros new_ones new_full
    scalar_tensor to _to_copy type_as clone contiguous detach alias copy fill lift_fresh_copy
    sym_size sym_numel _assert_tensor_metadata
    """.split()  # noqa: SIM905 (a list would be a line for each)
)
"""What networks and the usual layers of torch consist of: it works on tensors and nothing else."""
WORD = "[A-Za-z_][A-Za-z_0-9]*"
EXPRESSION = re.compile(
    rf"""( \bSymbol\('{WORD}' | \b(Integer|Add|Mul|Min|Max|FloorDiv|Mod|PythonMod)\(
    | \bL\['{WORD}'\]\.size\(\)\[\d{{1,2}}\]
    | \b([su]\d{{1,9}}|positive|nonnegative|integer|True|False|and|or|not)\b | \b\d{{1,18}}\b
    | \*(?!\*) | //? | [<>]=?(?![<>]) | [=!]= | [-+%=,)\s] )*""",
    re.VERBOSE | re.ASCII,
)
"""Sizes and conditions on them: they call nothing else, and take no time and memory to work out."""


def export(network: Network, n_rows: int, input_shape: tuple[int, ...]) -> ExportedProgram:
    """Trace a network in evaluation mode on the CPU, with ``n_rows`` rows of zeros."""
    example = torch.zeros(n_rows, *input_shape)
    with _quiet():
        program = torch.export.export(network, (example,), dynamic_shapes=({0: Dim("batch")},))
        # As the same network that changes no tensor: files whose programs do are not read.
        if any(_is_in_place(node.target) for node in program.graph.nodes):
            program = program.run_decompositions({})
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names the folders of this machine
    return program


def to_pt2(program: ExportedProgram, description: ModelDescription) -> bytes:
    """The content of a .pt2 file."""
    buffer = io.BytesIO()
    with _quiet():
        torch.export.save(program, buffer, extra_files={DESCRIPTION_FILE: description.to_json()})
    return buffer.getvalue()


def from_pt2(content: bytes, path: Path) -> tuple[ModelDescription, Run]:
    """Read the content of a .pt2 file.

    Raises:
        InputError: it is damaged, not written by `to_pt2`, compressed, or holds anything but a
            network.
    """
    with reading(path, "is damaged or no .pt2 file"):
        archive = zipfile.ZipFile(io.BytesIO(content))
        plain = _is_plain(archive, len(content))
        parts = {name: archive.read(name) for name in archive.namelist()} if plain else {}
    if not plain:
        raise InputError(
            f"{path} is compressed, and may be of any size unpacked, which no .pt2 file of hw1 "
            "is: save the model anew"
        )
    texts = [part for name, part in parts.items() if name.endswith(f"/{DESCRIPTION_FILE}")]
    description = ModelDescription.from_json(texts[0] if texts else None, path)
    if len(parts) < len(archive.namelist()) or not _is_harmless(parts):
        raise InputError(
            f"{path} holds code beside the operations of a network, which hw1 does not run: use "
            "a .safetensors file"
        )
    runs = f"holds no program that torch {torch.__version__} can run on the inputs it describes"
    with reading(path, runs), _quiet():
        run = torch.export.load(_packed(parts)).module()
        _try(run, description)
    return description, run


def _is_plain(archive: zipfile.ZipFile, size: int) -> bool:
    """Whether the parts of an archive of ``size`` bytes are stored as they are, each by itself."""
    parts = archive.infolist()
    stored = all(
        part.compress_type == zipfile.ZIP_STORED and part.file_size == part.compress_size
        for part in parts
    )
    return stored and sum(part.file_size for part in parts) <= size


def _packed(parts: dict[str, bytes]) -> io.BytesIO:
    """An archive of these parts: torch reads archives in its own way, and might find others."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    buffer.seek(0)
    return buffer


def _is_harmless(parts: dict[str, bytes]) -> bool:
    """Whether ``torch.export.load`` would run nothing but the operations of a network.

    By itself it unpickles parts that say so, evaluates the expressions of sizes and guards as
    Python, looks up functions by their paths under ``torch``, and loads compiled libraries. A
    network needs none of this. Nor does it make weights that the file does not hold.
    """
    size = sum(map(len, parts.values()))

    def is_raw(values: dict[str, Any]) -> bool:
        sizes = [part["as_int"] for part in values["tensor_meta"]["sizes"]]
        return bool(RAW_PART.fullmatch(values["path_name"])) and math.prod(sizes) <= size

    def check(values: dict[str, Any]) -> dict[str, Any]:
        expressions = [values.get("expr_str") or "", *(values.get("guards_code") or [])]
        harmless = (
            not values.get("use_pickle")
            and ("path_name" not in values or is_raw(values))
            and ("target" not in values or _is_operation(values["target"]))
            and all(map(EXPRESSION.fullmatch, expressions))
        )
        if not harmless:
            raise ValueError
        return values

    try:
        for name, part in parts.items():
            file = name.rpartition("/")[2]
            if not PART.fullmatch(file):
                return False
            if file.endswith(".pt"):
                if not _is_plain(zipfile.ZipFile(io.BytesIO(part)), len(part)):
                    return False
                torch.load(io.BytesIO(part), weights_only=True)
            elif file.endswith(".json"):
                json.loads(part, object_hook=check)
    except Exception:  # what has an unknown form may be anything
        return False
    return True


def _is_operation(target: str) -> bool:
    """Whether a program may call what has this path: it works on tensors and changes none.

    Others read and write files (``aten.from_file``), print, or change what they are given.

    Raises:
        AttributeError: torch knows no such operation.
    """
    if PYTHON.fullmatch(target):
        return True
    match = ATEN.fullmatch(target)
    if match is None or match[1] not in OPERATIONS:
        return False
    operation = getattr(getattr(torch.ops.aten, match[1]), match[2])
    return isinstance(operation, OpOverload) and not _is_in_place(operation)


def _is_in_place(operation: object) -> bool:
    return isinstance(operation, OpOverload) and operation._schema.is_mutable


def to_onnx(program: ExportedProgram, description: ModelDescription) -> bytes:
    """The content of an .onnx file.

    Raises:
        InputError: packages are missing.
    """
    with _onnx_packages():
        import onnx
        import onnxscript  # noqa: F401  (torch needs it)

    assert program.example_inputs is not None
    with _quiet():
        exported = torch.onnx.export(
            program,
            program.example_inputs[0],
            dynamo=True,
            verbose=False,
            input_names=["inputs"],
            output_names=[description.output_name],
            dynamic_shapes=({0: "batch"},),
        )
    assert exported is not None
    model = exported.model_proto
    onnx.helper.set_model_props(model, {METADATA_KEY: description.to_json()})
    content: bytes = model.SerializeToString()
    return content


def from_onnx(content: bytes, path: Path) -> tuple[ModelDescription, Run]:
    """Read the content of an .onnx file.

    Raises:
        InputError: it is damaged or not written by `to_onnx`, refers to other files, or packages
            are missing.
    """
    with _onnx_packages():
        import onnx
        import onnxruntime

    with reading(path, "is damaged or no .onnx file"):
        model = onnx.load_model_from_string(content)
    if not _holds_its_weights(model, len(content)):
        raise InputError(
            f"{path} takes weights from other files, or more than it holds, which no .onnx file "
            "of hw1 does: save the model anew"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors alone
    with reading(path, "is damaged or no .onnx file"):
        session = onnxruntime.InferenceSession(
            content,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it prints
        )
        metadata = session.get_modelmeta().custom_metadata_map
    description = ModelDescription.from_json(metadata.get(METADATA_KEY), path)

    def run(inputs: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"inputs": inputs.numpy()})[0])

    with reading(path, "holds no graph that can be run on the inputs it describes"):
        _try(run, description)
    return description, run


def _holds_its_weights(message: Any, size: int) -> bool:
    """Whether all tensors in an ONNX message are in the file, which has ``size`` bytes.

    Those whose data lie elsewhere would be read from any file.
    """
    kind = message.DESCRIPTOR.name
    if kind == "SparseTensorProto":  # of any size for a few numbers
        return False
    if kind == "TensorProto" and (
        message.external_data
        or message.data_location
        or min(message.dims, default=0) < 0
        or math.prod(message.dims) > 8 * size  # some take less than a byte each
    ):
        return False
    for field, value in message.ListFields():
        if field.message_type is not None:
            messages = [value] if hasattr(value, "DESCRIPTOR") else value
            if not all(_holds_its_weights(each, size) for each in messages):
                return False
    return True


def _try(run: Run, description: ModelDescription) -> None:
    outputs = run(torch.zeros(1, *description.input_shape))
    if outputs.shape != (1, description.n_outputs):
        raise ValueError(f"outputs of shape {tuple(outputs.shape)}")


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Whatever is raised says that the file is not in order: libraries raise anything for those."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{path} {what}: save the model anew") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings, which here are about the insides of torch's exporters; errors are shown."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _onnx_packages() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise InputError(
            "the .onnx format needs more packages: run pip install onnx onnxscript onnxruntime, "
            "or use .safetensors or .pt2"
        ) from error
