"""torch.export's pt2 files: a graph for torch.export.load, with the description beside it.

torch.export.load may unpickle, and evaluates expressions in the file, so a file from elsewhere is never given to it
here: its weights are plain bytes in a zip, which are read as such, and the network is built from the description.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.description import Description
from replaytree.deliver.weights import assemble, digest
from replaytree.errors import ModelError

DESCRIPTION_FILE = "replaytree.json"
DIGEST_FILE = "replaytree.sha256"
_CONFIG = "data/weights/model_weights_config.json"


def write_pt2(file: Path, network: Deployed, description: Description) -> None:
    """One file: a graph from uint8 images (N, C, H, W) to float32 logits (N, K), any N."""
    text = description.to_json()
    example = torch.zeros((2, *description.input_shape), dtype=torch.uint8)
    program = torch.export.export(network, (example,), dynamic_shapes={"images_NCHW": {0: torch.export.Dim("batch")}})
    extra = {DESCRIPTION_FILE: text, DIGEST_FILE: digest(network.network.state_dict(), text)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, file, extra_files=extra)


def run_own_pt2(file: Path, images_NCHW: Tensor) -> Tensor:
    """Logits from the graph itself, for a file that this process has just written: see the top of this file."""
    module: Any = torch.export.load(file).module()
    with torch.no_grad():
        return torch.cat([module(part) for part in torch.split(images_NCHW, 256)])


def read_pt2(file: Path) -> tuple[Deployed, Description]:
    """The model of a pt2 file that replaytree wrote; ModelError for another, or one that was changed."""
    try:
        with zipfile.ZipFile(file) as archive:
            root = next((n.removesuffix(_CONFIG) for n in archive.namelist() if n.endswith(f"/{_CONFIG}")), None)
            if root is None or f"{root}extra/{DESCRIPTION_FILE}" not in archive.namelist():
                raise ModelError(f"{file} holds no description of replaytree's; give a file that replaytree wrote")
            text = archive.read(f"{root}extra/{DESCRIPTION_FILE}").decode()
            expected = archive.read(f"{root}extra/{DIGEST_FILE}").decode()
            places = json.loads(archive.read(root + _CONFIG))["config"]
            description = Description.from_json(text, origin=str(file))
            shapes = Deployed(description).network.state_dict()
            tensors = {
                name: _plain_tensor(archive, root, places[f"network.{name}"], like=tensor)
                for name, tensor in shapes.items()
            }
    # zipfile raises RuntimeErrors for a password and for compression that it does not know.
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, OSError, RuntimeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"{file} cannot be read as replaytree's pt2 ({type(error).__name__}: {error}); copy or export it anew"
        ) from error
    return assemble(tensors, text, expected, origin=str(file))


def _plain_tensor(archive: zipfile.ZipFile, root: str, place: dict[str, Any], *, like: Tensor) -> Tensor:
    if place["use_pickle"]:
        raise ValueError("a weight is pickled, and nothing is unpickled")
    content = bytearray(archive.read(f"{root}data/weights/{place['path_name']}"))
    if len(content) != like.numel() * like.element_size():
        raise ValueError(f"weight {place['path_name']} has {len(content)} bytes")
    return torch.frombuffer(content, dtype=like.dtype).reshape(like.shape)
