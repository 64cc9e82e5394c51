"""A network as a TFLite (LiteRT) file in 8-bit whole numbers, for microcontrollers.

Needs the extra `tflite`. Input: one image, int8 (1, H, W, C), each value a byte less 128. Output: int8 (1, K), of which
scale and zero point are in the file. Weights are int8, one scale an output channel. The classes, and how good the file
is, are appended as a zip, as TFLite's own metadata are: unzip reads them, and what runs the file does not see them.
The description with which load() makes a model again is there, too; the digest of the file is the zip's comment.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.description import Description
from replaytree.deliver.model import Model
from replaytree.deliver.quantisable import Quantisable
from replaytree.deliver.seal import NO_DIGEST, changed, ends_with_seal
from replaytree.errors import ConfigError, ModelError
from replaytree.versions import lacks

_PACKAGES = ("litert_torch", "ai_edge_quantizer", "ai_edge_litert")
_SIGNATURE, _INPUT = "serving_default", "args_0"
LABELS_FILE, NOTE_FILE, DESCRIPTION_FILE = "labels.txt", "replaytree.json", "description.json"
# A description may have as many bytes: what is packed small must not fill the memory.
_MOST_DESCRIPTION = 2**24
# What makes a byte an int8.
_OFFSET = 128


class _ChannelsLast(nn.Module):
    """The network on images as TFLite has them, (N, H, W, C)."""

    def __init__(self, network: Quantisable) -> None:
        super().__init__()
        self.network = network
        for name, module in list(network.named_modules()):
            if isinstance(module, nn.AvgPool2d) and module.padding and module.stride != 1:
                network.set_submodule(name, _in_two_steps(module))

    def forward(self, images_NHWC: Tensor) -> Tensor:
        logits_NK: Tensor = self.network(images_NHWC.permute(0, 3, 1, 2))
        return logits_NK


def _in_two_steps(pool: nn.AvgPool2d) -> nn.Module:
    """An average at every place, of which then as few are taken as its stride says.

    TFLite pads as little as a stride needs and all on one side, so that it has no strided average with zeros around.
    """
    everywhere = nn.AvgPool2d(pool.kernel_size, 1, pool.padding, count_include_pad=pool.count_include_pad)
    return nn.Sequential(everywhere, nn.MaxPool2d(1, pool.stride))


class TfliteInt8:
    """A quantised network: what it answers, and the file that it becomes. ConfigError without the extra."""

    def __init__(self, network: Deployed, images_NCHW: Tensor) -> None:
        require_tflite()
        prepared = _ChannelsLast(Quantisable(network.cpu())).eval()
        images_NHWC = images_NCHW.cpu().permute(0, 2, 3, 1).contiguous()
        try:
            with _quiet():
                self._bytes = _quantised(prepared, images_NHWC)
        except Exception as error:  # the packages have no common base class for their errors
            first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise ModelError(
                f"this network cannot be made a TFLite file ({first}); nothing was written. Choose --format onnx-int8"
            ) from error

    def logits(self, images_NCHW: Tensor, description: Description) -> Tensor:
        """Logits (N, K), by LiteRT's interpreter."""
        return run_tflite(self._bytes, images_NCHW)

    def content(self, description: Description, note: str) -> bytes:
        """The file, with a note on how good it is, and the classes in the order of the logits."""
        stream = io.BytesIO()
        stream.write(self._bytes)
        parts = {
            LABELS_FILE: "\n".join(description.classes), NOTE_FILE: note, DESCRIPTION_FILE: description.to_json(),
        }  # fmt: skip
        with zipfile.ZipFile(stream, "a") as archive:
            for name, text in parts.items():
                # A fixed time: equal files have equal bytes. Whoever flashes the whole file flashes the zip, too.
                packing = zipfile.ZIP_DEFLATED if name == DESCRIPTION_FILE else zipfile.ZIP_STORED
                archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), text, packing)
            archive.comment = NO_DIGEST.encode()
        content = stream.getvalue()
        return content.removesuffix(NO_DIGEST.encode()) + hashlib.sha256(content).hexdigest().encode()


def read_tflite(file: Path) -> Model:
    """The model of a .tflite file that `export` wrote, run by LiteRT; ModelError for other files and changed ones."""
    require_tflite("ai_edge_litert")
    try:
        content, is_whole = file.read_bytes(), ends_with_seal(file)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.getinfo(DESCRIPTION_FILE).file_size > _MOST_DESCRIPTION:
                raise ValueError("its description is too large")
            text = archive.read(DESCRIPTION_FILE).decode()
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelError(
            f"{file} holds no description of replaytree's; give a file that `replaytree export` wrote, "
            f"with this version"
        ) from error
    except (OSError, ValueError, RuntimeError, zlib.error) as error:
        raise ModelError(
            f"{file} cannot be read as replaytree's TFLite ({str(error)[:200]}); copy or export it anew"
        ) from error
    if not is_whole:
        raise changed(str(file))
    description = Description.from_json(text, origin=str(file))
    _require_form(content, description, origin=str(file))
    return Model(description, partial(run_tflite, content))


def _require_form(content: bytes, description: Description, *, origin: str) -> None:
    """ModelError unless the computation reads such images and has as many outputs as there are classes."""
    channels, rows, columns = description.input_shape
    try:
        interpreter = _interpreter(content)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{origin} cannot be run by LiteRT ({str(error)[:200]}); export it anew") from error
    (input_,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = tuple(input_["shape"]), tuple(output["shape"])
    if found != ((1, rows, columns, channels), (1, len(description.classes))):
        raise ModelError(f"{origin} computes {found[1]} from {found[0]}, unlike its description; export it anew")


def require_tflite(*packages: str) -> None:
    """ConfigError where a package is missing that writes the files; or one of those named."""
    if missing := [name for name in packages or _PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConfigError(lacks("tflite", [name.replace("_", "-") for name in missing]))


def run_tflite(content: bytes, images_NCHW: Tensor) -> Tensor:
    """Logits (N, K) of bytes (N, C, H, W)."""
    interpreter = _interpreter(content)
    (input_,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = output["quantization"]
    found = []
    for image_HWC in images_NCHW.cpu().permute(0, 2, 3, 1).numpy():
        interpreter.set_tensor(input_["index"], (image_HWC[None].astype(np.int16) - _OFFSET).astype(np.int8))
        interpreter.invoke()
        found.append(scale * (interpreter.get_tensor(output["index"])[0].astype(np.float32) - zero_point))
    return torch.from_numpy(np.stack(found).astype(np.float32))


def _interpreter(content: bytes) -> Any:
    with _quiet():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


def _quantised(network: nn.Module, images_NHWC: Tensor) -> bytes:
    import litert_torch
    from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    in_float = litert_torch.convert(network, (torch.zeros((1, *images_NHWC.shape[1:])),)).model_content()
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(recipe.static_wi8_ai8())
    # The least and the greatest value, as in onnx_int8.py; the usual average of them cuts off what is rare.
    calibration = calibrator.Calibrator(in_float, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    samples = [{_INPUT: image_NHWC.numpy()} for image_NHWC in torch.split(images_NHWC.float(), 1)]
    calibration.calibrate({_SIGNATURE: samples}, manager)
    ranges: dict[str, dict[str, Any]] = calibration.get_model_qsvs()
    # The bytes of an image are quantised as they are: scale 1, zero point -128.
    own = ranges[f"{_SIGNATURE}_{_INPUT}"]
    own["min"], own["max"] = (np.full_like(own[end], value) for end, value in (("min", 0.0), ("max", 255.0)))
    maker = quantizer.Quantizer(in_float)
    maker.load_quantization_recipe(recipe.static_wi8_ai8())
    return bytes(maker.quantize(ranges).quantized_model)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the packages print of their progress, from Python and from C++."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for descriptor, own in zip((1, 2), kept, strict=True):
            os.dup2(own, descriptor)
            os.close(own)
        os.close(nowhere)
