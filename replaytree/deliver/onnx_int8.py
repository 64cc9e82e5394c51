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
from torch import Tensor, nn

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.onnx_file import exported, folded, require_onnx, strip
from replaytree.errors import ModelError

# Images whose activations are computed at once while the ranges are found.
_CALIBRATION_BATCH = 32
_ZERO = np.array(0, np.uint8)


class Quantisable(nn.Module):
    """Images as float32 of 0 to 255 (N, C, H, W) -> logits (N, K), in operations that have a whole-number kernel.

    The normalisation is a depthwise 1x1 convolution, as is each batch norm that no convolution takes in. The first
    convolution could take the normalisation in, too, but for the zeros that it pads with: to the trained network they
    are the mean colour, and a whole-number kernel pads all channels with one value.
    """

    def __init__(self, network: Deployed) -> None:
        super().__init__()
        own = folded(network)
        self.mirror = network.mirror
        self.network = own.get_submodule("network")
        mean_C, std_C = network.mean_C11.flatten(), network.std_C11.flatten()
        self.normalise = _scaling(1.0 / (255.0 * std_C), -mean_C / std_C)
        for name, module in list(self.network.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                self.network.set_submodule(name, _of_norm(module))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """As Deployed."""
        inputs_NCHW = self.normalise(images_NCHW)
        logits_NK: Tensor = self.network(inputs_NCHW)
        if self.mirror:
            logits_NK = (logits_NK + self.network(inputs_NCHW.flip(3))) * 0.5
        return logits_NK


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


def _of_norm(norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A batch norm in use, as a depthwise convolution."""
    mean_C, variance_C = norm.running_mean, norm.running_var
    assert mean_C is not None, "norms of finished networks have running averages"
    assert variance_C is not None, "norms of finished networks have running averages"
    scale_C = torch.rsqrt(variance_C + norm.eps) * (1.0 if norm.weight is None else norm.weight)
    return _scaling(scale_C, (0.0 if norm.bias is None else norm.bias) - mean_C * scale_C)


@torch.no_grad()
def _scaling(scale_C: Tensor, offset_C: Tensor) -> nn.Conv2d:
    """x -> scale x + offset of every channel, as a depthwise 1x1 convolution."""
    channels = len(scale_C)
    made = nn.Conv2d(channels, channels, 1, groups=channels)
    made.weight.copy_(scale_C[:, None, None, None])
    made.bias.copy_(offset_C)  # type: ignore[union-attr]
    return made.eval()


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
