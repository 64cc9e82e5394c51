"""The computation of a network in 8-bit whole numbers, by onnxruntime's static quantisation.

Activations are uint8, one scale a tensor; weights are int8, one scale an output channel; biases are int32. Each tensor
stands between QuantizeLinear and DequantizeLinear (QDQ), which runtimes and compilers fuse into whole-number kernels.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.description import Description
from replaytree.deliver.model import Model
from replaytree.deliver.onnx_file import described, exported, onnx_model, require_onnx, strip
from replaytree.deliver.quantisable import Quantisable
from replaytree.errors import ModelError

# What a file tells of itself, beside the description that every file has.
INT8_KEY = "replaytree.int8"
# Images whose activations are computed at once while the ranges are found.
_CALIBRATION_BATCH = 32
_ZERO = np.array(0, np.uint8)


class OnnxInt8:
    """A quantised network: what it answers, and the file that it becomes."""

    def __init__(self, network: Deployed, images_NCHW: Tensor) -> None:
        self._proto = int8_proto(network, images_NCHW)

    def logits(self, images_NCHW: Tensor, description: Description) -> Tensor:
        """Logits (N, K), by onnxruntime."""
        model = onnx_model(described(self._proto, description), origin="the export")
        assert isinstance(model, Model), "the export of a model of images is one"
        return model.logits(images_NCHW)

    def content(self, description: Description, note: str) -> bytes:
        """The file, with a note on how good it is among its metadata."""
        return described(self._proto, description, {INT8_KEY: note})


def int8_proto(network: Deployed, images_NCHW: Tensor) -> Any:
    """The quantised computation as an onnx.ModelProto: input `images`, uint8 (N, C, H, W), output `logits`, float32.

    The range of every tensor is what it takes on `images_NCHW` (uint8), which should be images that were trained on.
    """
    require_onnx()
    import onnx

    network = network.cpu()
    example = (torch.zeros((2, *images_NCHW.shape[1:])),)
    proto = exported(Quantisable(network).eval(), example, {"images_NCHW": {0: torch.export.Dim("batch")}})
    _pool_globally(proto)
    with tempfile.TemporaryDirectory(prefix="replaytree-") as folder:
        file = Path(folder) / "int8.onnx"
        try:
            with _quiet():
                _quantise(proto, images_NCHW, file)
        except Exception as error:  # neither onnx nor onnxruntime has a common base class for its errors
            first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise ModelError(
                f"onnxruntime cannot quantise this network ({first}); nothing was written. Choose --format onnx"
            ) from error
        quantised = onnx.load(file)
    _take_bytes(quantised)
    for tensor in quantised.graph.initializer:
        # Every tensor as raw bytes, as those of the float files, and counted alike when a file is read.
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    strip(quantised)
    return quantised


def _quantise(proto: Any, images_NCHW: Tensor, file: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = iter(torch.split(images_NCHW.cpu().float(), _CALIBRATION_BATCH))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {"images": batch.numpy()}

    quantize_static(
        proto,
        file,
        Images(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=sorted({node.op_type for node in proto.graph.node}),
        extra_options={
            # The bytes of an image are quantised as they are.
            "TensorQuantOverrides": {
                "images": [{"quant_type": QuantType.QUInt8, "scale": np.array(1.0, np.float32), "zero_point": _ZERO}]
            }
        },
    )


def _pool_globally(proto: Any) -> None:
    """Global average pooling as the operation of that name: it has a whole-number kernel, and a mean over axes none."""
    from onnx import numpy_helper

    known = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type != "ReduceMean" or len(node.input) != 2 or node.input[1] not in known:
            continue
        axes = set(numpy_helper.to_array(known[node.input[1]]).tolist())
        keeps = all(each.i == 1 for each in node.attribute if each.name == "keepdims")
        if keeps and axes in ({-1, -2}, {2, 3}):
            node.op_type = "GlobalAveragePool"
            del node.input[1]
            node.ClearField("attribute")
    read = {name for node in proto.graph.node for name in node.input}
    for name in known.keys() - read:
        proto.graph.initializer.remove(known[name])


def _take_bytes(proto: Any) -> None:
    """Images come as the bytes that QuantizeLinear would make of them, so it is left out."""
    from onnx import TensorProto

    graph = proto.graph
    (first,) = (node for node in graph.node if "images" in node.input)
    assert first.op_type == "QuantizeLinear", "images are quantised first"
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == first.output[0]:
                node.input[place] = "images"
    graph.node.remove(first)
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


@contextmanager
def _quiet() -> Iterator[None]:
    """Without onnxruntime's advice on how to prepare a network, which it writes to the root of all logs."""
    root = logging.getLogger()
    # With no handler there, logging would leave one behind.
    nobody = logging.NullHandler()

    def unheard(record: logging.LogRecord) -> bool:
        return False

    root.addHandler(nobody)
    root.addFilter(unheard)
    try:
        yield
    finally:
        root.removeFilter(unheard)
        root.removeHandler(nobody)
