"""ONNX: written by torch.onnx, run by onnxruntime; description and digest in the model's metadata.

Needs the extra `onnx`. Shapes: N images, C channels, H rows, W columns, K classes; of text B texts side by side, S
vectors of a state, H hidden size, V words.
"""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.deployed_text import DeployedText, WordByWord
from replaytree.deliver.description import Description
from replaytree.deliver.made import AnyDeployed, AnyModel, dynamic_shapes, example_of
from replaytree.deliver.model import Model
from replaytree.deliver.seal import DIGEST_KEY, NO_DIGEST, require_seal, sealed
from replaytree.deliver.text_model import TextModel
from replaytree.errors import ConfigError, ModelError
from replaytree.versions import lacks

DESCRIPTION_KEY = "replaytree"

# They stand at both ends of every tensor of an int8 file (onnx_int8.py).
QUANTISING = ("QuantizeLinear", "DequantizeLinear")

# The operations of layers, normalisation and mirror image, and the usual ones that a new kind of layer may bring:
# activations, and shuffled channels. None makes a large tensor from a small one. Then those of recurrent cells.
OPERATIONS = frozenset(
    ("Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv", "Div", "Elu", "Flatten", "Gelu",
     "Gemm", "GlobalAveragePool", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "MaxPool", "Mish", "Mul", "Pad",
     "ReduceMean", "Relu", "Reshape", "Sigmoid", "Slice", "Squeeze", "Sub", "Tanh", "Transpose",
     "Abs", "Gather", "Less", "MatMul", "Split", "Unsqueeze", "Where", *QUANTISING)
)  # fmt: skip
_MOST_BYTES = 2**31 - 1


def onnx_content(network: AnyDeployed, description: Description) -> bytes:
    """A file: input `images`, uint8 (N, C, H, W); output `logits`, float32 (N, K); any N.

    Of text: inputs `words`, int64 (B), and `state`, float32 (B, S, H), zeros before the first word; outputs `logits`,
    float32 (B, V), of the words behind these, and `new_state`; any B.

    Batch norm is folded into a convolution right before it. The exporter's notes on the Python source are left out.
    """
    require_onnx()
    if isinstance(network, DeployedText):
        proto = exported(
            copy.deepcopy(network).eval(), example_of(description), dynamic_shapes(description),
            inputs=["words", "state"], outputs=["logits", "new_state"],
        )  # fmt: skip
    else:
        proto = exported(folded(network), example_of(description), dynamic_shapes(description))
    return described(proto, description)


def require_onnx() -> None:
    """ConfigError where a package is missing that writes or runs the files."""
    require_packages("onnx", "onnxruntime", "onnxscript")


def exported(
    network: nn.Module,
    example: tuple[Tensor, ...],
    shapes: dict[str, Any],
    *,
    inputs: Sequence[str] = ("images",),
    outputs: Sequence[str] = ("logits",),
) -> Any:
    """The computation of a network as an onnx.ModelProto, and nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            network, example, dynamo=True, verbose=False, input_names=inputs, output_names=outputs,
            dynamic_shapes=shapes,
        )  # fmt: skip
    assert program is not None, "the dynamo exporter returns its program"
    proto: Any = program.model_proto
    strip(proto)
    return proto


def described(proto: Any, description: Description, notes: Mapping[str, str] | None = None) -> bytes:
    """The content of a file: the computation, and as metadata description, classes, digest and further `notes`."""
    entries = {
        DESCRIPTION_KEY: description.to_json(),
        DIGEST_KEY: NO_DIGEST,
        "classes": "\n".join(description.classes),
        **(notes or {}),
    }
    if description.metric.task == "images":
        entries["images"] = description.preparation
    proto.ClearField("metadata_props")
    for key, value in entries.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    content: bytes = proto.SerializeToString()
    return sealed(content)


def read_onnx(file: Path) -> AnyModel:
    """The model of an ONNX file that replaytree wrote; ModelError for other files and changed ones."""
    if file.stat().st_size > _MOST_BYTES:
        raise ModelError(f"{file} has {file.stat().st_size:,} bytes, more than an ONNX file can have")
    return onnx_model(file.read_bytes(), origin=str(file))


def onnx_model(content: bytes, *, origin: str) -> AnyModel:
    """The model of a file's content; see read_onnx()."""
    require_packages("onnx", "onnxruntime")
    import onnx
    import onnxruntime

    try:
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's DecodeError has no stable import path
        raise _unreadable(origin, error) from error
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    if DESCRIPTION_KEY not in metadata:
        raise ModelError(
            f"{origin} is not an ONNX file with replaytree's description; give a file that replaytree wrote"
        )
    require_seal(content, metadata.get(DIGEST_KEY), origin=origin)
    description = Description.from_json(metadata[DESCRIPTION_KEY], origin=origin)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Waiting threads would spin, and the networks are small.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        _require_modest(proto, description)
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # neither onnx nor onnxruntime has a common base class for its errors
        raise _unreadable(origin, error) from error

    def run(outputs: list[str], inputs: dict[str, Tensor]) -> list[Tensor]:
        try:
            found = session.run(outputs, {name: tensor.numpy() for name, tensor in inputs.items()})
        except Exception as error:
            raise _unreadable(origin, error) from error
        return [torch.from_numpy(each) for each in found]

    def logits(images_NCHW: Tensor) -> Tensor:
        batches = torch.split(images_NCHW, description.batch)
        return torch.cat([run(["logits"], {"images": part})[0] for part in batches])

    def step(words_B: Tensor, state_BSH: Tensor) -> tuple[Tensor, Tensor]:
        logits_BV, new_BSH = run(["logits", "new_state"], {"words": words_B, "state": state_BSH})
        return logits_BV, new_BSH

    if description.metric.task == "text":
        return TextModel(description, WordByWord(description.cell, step))
    return Model(description, logits)


def folded(network: Deployed) -> nn.Module:
    """A copy with each batch norm folded into the convolution before it.

    torch.onnx also does this, but not for layers that are used twice, as with the mirror image.
    """
    own = copy.deepcopy(network).eval()
    for module in list(own.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for (name, convolution), (after, norm) in pairwise(module.named_children()):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(convolution, norm))
                setattr(module, after, nn.Identity())
    return own


def strip(proto: Any) -> None:
    """Remove everything but the computation: names of modules, stack traces, paths, shapes."""
    graph = proto.graph
    for each in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        each.ClearField("metadata_props")
        each.ClearField("doc_string")
    for name in ("value_info", "quantization_annotation"):
        graph.ClearField(name)
    for name in ("metadata_props", "doc_string"):
        proto.ClearField(name)


def _require_modest(proto: Any, description: Description) -> None:
    """Raise ValueError unless the graph holds what it declares and needs no more memory than its layers."""
    from onnx import TensorProto, helper, shape_inference

    graph = proto.graph
    if proto.functions or proto.training_info or graph.sparse_initializer:
        raise ValueError("it has parts that replaytree does not write")
    for tensor in graph.initializer:
        width = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
            raise ValueError(f"tensor {tensor.name} is in another file")
        if len(tensor.raw_data) != math.prod(tensor.dims) * width:
            raise ValueError(f"tensor {tensor.name} has {len(tensor.raw_data)} bytes, not those of {list(tensor.dims)}")
    for node in graph.node:
        if node.domain or node.op_type not in OPERATIONS:
            raise ValueError(f"{node.op_type} is not an operation that replaytree writes")
    of_text = description.metric.task == "text"
    wanted = 2 if of_text else 1
    if len(graph.input) != wanted or len(graph.output) != wanted:
        raise ValueError(f"it does not have {wanted} inputs and outputs")
    inferred = shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph
    known = {value.name: value.type.tensor_type.shape.dim for value in (*inferred.value_info, *inferred.output)}
    values = 0
    # The largest tensor of an int8 file may be one of its weights, of which the first size is no batch.
    weights = {tensor.name for tensor in graph.initializer}
    activations = [node for node in graph.node if node.op_type != "DequantizeLinear" or node.input[0] not in weights]
    for name in (name for node in activations for name in node.output if name):
        sizes = _sizes(list(known[name]), of_text=of_text) if name in known else None
        if sizes is None:
            raise ValueError(f"the size of {name} is unknown")
        values += math.prod(sizes)
    # Each layer keeps at most a few tensors of the size that its description counts; the mirror image doubles them. The
    # matrices of a cell are put side by side first.
    most = 4 * (description.activations + 8 * math.prod(description.input_shape)) + 4096
    if any(node.op_type in QUANTISING for node in graph.node):
        # Each tensor is there three times: computed, quantised, and read again.
        most *= 3
    if values > most + (2 * description.params if of_text else 0):
        raise ValueError(f"it computes {values} values {description.metric.each}, more than its layers have")


def _sizes(dims: list[Any], *, of_text: bool) -> list[int] | None:
    """The known sizes of a tensor but that of its batch; None where more are unknown.

    The batch is the first one; of text it may be any, because words, texts and states change places.
    """
    if not of_text:
        dims = dims[1:]
    unknown = sum(not dim.HasField("dim_value") for dim in dims)
    return None if unknown > (1 if of_text else 0) else [max(1, dim.dim_value) for dim in dims]


def _unreadable(origin: str, error: Exception) -> ModelError:
    first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return ModelError(f"{origin} cannot be read as ONNX ({first}); copy or export it anew")


def require_packages(*packages: str) -> None:
    """ConfigError, with the line that installs them, where packages of the extra are missing."""
    import importlib.util

    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise ConfigError(lacks("onnx", missing))
