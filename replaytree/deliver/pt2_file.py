"""torch.export's pt2 files: a graph for torch.export.load, with the description beside it.

torch.export.load may unpickle objects and evaluates expressions in the file, so files from elsewhere are never given to
it. Instead the weights are read as plain bytes from the zip, and the network is built from the description. The digest
of the whole file is the comment of the zip.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from replaytree.deliver.description import Description, plain_json
from replaytree.deliver.made import AnyDeployed, dynamic_shapes, example_of
from replaytree.deliver.seal import NO_DIGEST, changed, ends_with_seal
from replaytree.deliver.weights import assemble, expected_tensors
from replaytree.errors import ModelError

DESCRIPTION_FILE = "replaytree.json"
_CONFIG = "data/weights/model_weights_config.json"

# An upper limit on the graph and the zip's own directory, which come with the weights.
_MOST_OVERHEAD = 2**26


def pt2_content(network: AnyDeployed, description: Description) -> bytes:
    """A file: a graph from uint8 images (N, C, H, W) to float32 logits (N, K), any N; of text, see DeployedText.

    Made in memory, because torch's own writer kills the process on a full disk.
    """
    program = torch.export.export(network, example_of(description), dynamic_shapes=dynamic_shapes(description))
    for node in program.graph.nodes:
        # Paths of the source on this machine are private.
        for name in ("stack_trace", "source_fn_stack", "from_node"):
            node.meta.pop(name, None)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, stream, extra_files={DESCRIPTION_FILE: description.to_json()})
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = NO_DIGEST.encode()
    content = stream.getvalue()
    return content.removesuffix(NO_DIGEST.encode()) + hashlib.sha256(content).hexdigest().encode()


def run_own_pt2(content: bytes, images_NCHW: Tensor, *, batch: int) -> Tensor:
    """Logits from the graph itself, only for a file that this process has just made: see the module's docstring."""
    module = own_pt2(content)
    with torch.no_grad():
        return torch.cat([module(part) for part in torch.split(images_NCHW, batch)])


def own_pt2(content: bytes) -> Any:
    """The graph of such a file as a module."""
    return torch.export.load(io.BytesIO(content)).module()


def read_pt2(file: Path) -> tuple[AnyDeployed, Description]:
    """The model of a pt2 file that replaytree wrote; ModelError for other files and changed ones."""
    origin = str(file)
    try:
        whole = ends_with_seal(file)
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            root = next((name.removesuffix(_CONFIG) for name in entries if name.endswith(f"/{_CONFIG}")), None)
            if root is None or f"{root}extra/{DESCRIPTION_FILE}" not in entries:
                raise ModelError(f"{file} holds no description of replaytree's; give a file that replaytree wrote")
            if not whole:
                raise changed(origin)
            size = file.stat().st_size
            if any(entry.compress_type or entry.file_size > size for entry in entries.values()):
                raise ValueError("its parts are compressed or larger than the file")
            text = archive.read(f"{root}extra/{DESCRIPTION_FILE}").decode()
            description = Description.from_json(text, origin=origin)
            expected = expected_tensors(description, most_bytes=size, origin=origin)
            total = sum(tensor.nbytes for tensor in expected.values())
            if not total <= size <= 2 * total + _MOST_OVERHEAD:
                raise ValueError(f"it has {size} bytes, and its weights {total}")
            places = plain_json(archive.read(root + _CONFIG))["config"]
            tensors = {
                name: _plain_tensor(archive, root, places[f"network.{name}"], like=tensor)
                for name, tensor in expected.items()
            }
    except ModelError:
        raise
    # zipfile raises RuntimeErrors for a password and for compression that it does not know.
    except (
        zipfile.BadZipFile,
        struct.error,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OSError,
        RuntimeError,
    ) as error:
        raise ModelError(
            f"{file} cannot be read as replaytree's pt2 ({type(error).__name__}: {str(error)[:200]}); copy or export "
            f"it anew"
        ) from error
    return assemble(tensors, description, origin=origin)


def _plain_tensor(archive: zipfile.ZipFile, root: str, place: dict[str, Any], *, like: Tensor) -> Tensor:
    if place["use_pickle"]:
        raise ValueError("a weight is pickled, and nothing is unpickled")
    entry = archive.getinfo(f"{root}data/weights/{place['path_name']}")
    if entry.file_size != like.nbytes:
        raise ValueError(f"weight {entry.filename} has {entry.file_size} bytes, not {like.nbytes}")
    return torch.frombuffer(bytearray(archive.read(entry)), dtype=like.dtype).reshape(like.shape)
