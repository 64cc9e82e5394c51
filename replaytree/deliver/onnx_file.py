"""ONNX: written by torch.onnx, run by onnxruntime; description and digest in the model's metadata.

Needs the extra `onnx`. Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.description import Description
from replaytree.deliver.model import Model
from replaytree.errors import ConfigError, ModelError

DESCRIPTION_KEY = "replaytree"
DIGEST_KEY = "replaytree.sha256"
_NO_DIGEST = b"0" * 64
_BATCH = 256


def write_onnx(file: Path, network: Deployed, description: Description) -> None:
    """One file: input `images`, uint8 (N, C, H, W); output `logits`, float32 (N, K); any N."""
    _require("onnx", "onnxscript")
    # Two images: torch.export takes a dimension of one to be fixed.
    example = torch.zeros((2, *description.input_shape), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"images_NCHW": {0: torch.export.Dim("batch")}},
        )
    assert program is not None, "the dynamo exporter returns its program"
    proto: Any = program.model_proto
    entries = {
        DESCRIPTION_KEY: description.to_json(),
        DIGEST_KEY: _NO_DIGEST.decode(),
        "classes": "\n".join(description.classes),
    }
    for key, value in entries.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    content = proto.SerializeToString()
    assert content.count(_NO_DIGEST) == 1, "the digest has one place in the file"
    file.write_bytes(content.replace(_NO_DIGEST, hashlib.sha256(content).hexdigest().encode()))


def read_onnx(file: Path) -> Model:
    """The model of an ONNX file that replaytree wrote; ModelError for another, or one that was changed."""
    _require("onnxruntime")
    import onnxruntime

    content = file.read_bytes()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base of its errors
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ModelError(f"{file} cannot be read as ONNX ({first}); copy or export it anew") from error
    metadata = session.get_modelmeta().custom_metadata_map
    if DESCRIPTION_KEY not in metadata:
        raise ModelError(f"{file} holds a network without replaytree's description; give a file that replaytree wrote")
    found = metadata.get(DIGEST_KEY, "").encode()
    if len(found) != 64 or hashlib.sha256(content.replace(found, _NO_DIGEST)).hexdigest().encode() != found:
        raise ModelError(f"{file} was changed after it was written: it does not match its digest; export it anew")
    description = Description.from_json(metadata[DESCRIPTION_KEY], origin=str(file))

    def logits(images_NCHW: Tensor) -> Tensor:
        parts = [session.run(["logits"], {"images": part.numpy()})[0] for part in torch.split(images_NCHW, _BATCH)]
        return torch.from_numpy(np.concatenate(parts))

    return Model(description, logits)


def _require(*packages: str) -> None:
    import importlib.util

    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"ONNX needs {', '.join(missing)}, which is not installed; pip install 'replaytree[onnx]'")
