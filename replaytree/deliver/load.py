"""load(): a model from any of the files that replaytree writes. Nothing in a file is run as code."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from replaytree.deliver.made import AnyModel, model_of
from replaytree.deliver.onnx_file import read_onnx
from replaytree.deliver.pt2_file import read_pt2
from replaytree.deliver.tflite_int8 import read_tflite
from replaytree.deliver.weights import read_weights, weights_of_python
from replaytree.errors import ModelError
from replaytree.sources.names import did_you_mean

SUFFIXES = (".safetensors", ".onnx", ".pt2", ".py", ".tflite")


def load(path: str | os.PathLike[str]) -> AnyModel:
    """The model of a .safetensors, .onnx, .pt2, .py or .tflite file that `retrain` or `export` wrote.

    A .py file is not run: its weights are beside it, as .py.safetensors. A .tflite file needs LiteRT, of the extra
    `tflite`. Raises ModelError for a file that is missing, of another kind, changed or damaged.
    """
    file = Path(os.path.expanduser(path))
    suffix = file.suffix.lower()
    require_file(file)
    if suffix not in SUFFIXES:
        raise ModelError(f"{file} is not a model: the name must end in {', '.join(SUFFIXES)}")
    try:
        return _read(file, suffix)
    except MemoryError as error:
        raise ModelError(f"{file} does not fit into memory") from error


def require_file(file: Path) -> None:
    """Raise ModelError unless this file can be read; a pipe is not opened, because reading it may never end."""
    try:
        mode = os.stat(file).st_mode
    except FileNotFoundError:
        near = did_you_mean(file, lambda other: other.suffix.lower() in SUFFIXES and other.is_file())
        raise ModelError(
            f"there is no model file {file}{near or '; `replaytree retrain` and `replaytree export` write them'}"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise ModelError(f"{file} is {kind}, not a model file; give one that `replaytree export` wrote")
    if not os.access(file, os.R_OK):
        raise ModelError(f"{file} cannot be read: permission denied")


def _read(file: Path, suffix: str) -> AnyModel:
    if suffix == ".onnx":
        return read_onnx(file)
    if suffix == ".tflite":
        return read_tflite(file)
    if suffix == ".pt2":
        return model_of(*read_pt2(file))
    if suffix == ".py":
        weights = weights_of_python(file)
        if not weights.exists():
            raise ModelError(f"the weights of {file} are missing: {weights} should lie beside it")
        require_file(weights)
        return model_of(*read_weights(weights))
    return model_of(*read_weights(file))
