"""Model files in safetensors: tensors, and the description as JSON in the header. Reading one runs no code.

The header also holds a digest of both, so that a file that was changed is found out; that is a check against damage and
mix-ups, not a signature.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.description import Description
from replaytree.errors import ModelError, SpaceError

DESCRIPTION_KEY = "replaytree"
DIGEST_KEY = "replaytree.sha256"


def write_weights(file: Path, model: Deployed, description: Description) -> None:
    """Write beside the final name and rename, so that nobody reads half a file."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.network.state_dict().items()}
    text = description.to_json()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".tmp")
    try:
        # Not save_file, which makes files that only their owner may read.
        temporary.write_bytes(save(tensors, metadata={DESCRIPTION_KEY: text, DIGEST_KEY: digest(tensors, text)}))
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def read_weights(file: Path) -> tuple[Deployed, Description]:
    """The model of a file; ModelError for one that is not replaytree's, was changed, or is damaged."""
    try:
        with safe_open(file, framework="pt") as stream:
            metadata = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"{file} cannot be read as safetensors ({error}); it is damaged or something else: copy or export it anew"
        ) from error
    if DESCRIPTION_KEY not in metadata:
        raise ModelError(f"{file} holds weights without replaytree's description; give a file that replaytree wrote")
    return assemble(tensors, metadata[DESCRIPTION_KEY], metadata.get(DIGEST_KEY), origin=str(file))


def assemble(
    tensors: Mapping[str, Tensor], text: str, expected: str | None, *, origin: str
) -> tuple[Deployed, Description]:
    """The model that tensors and a description make; ModelError where the digest or the shapes disagree."""
    if digest(tensors, text) != expected:
        raise ModelError(
            f"{origin} was changed after it was written: its weights or description do not match its digest; copy or "
            f"export it anew"
        )
    description = Description.from_json(text, origin=origin)
    try:
        model = Deployed(description)
        model.network.load_state_dict(tensors)
    except (SpaceError, RuntimeError) as error:
        raise ModelError(f"the weights in {origin} are of another architecture than {description.labels!r}") from error
    return model.eval(), description


def digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 over the description and every tensor's name, form and bytes, in the order of names."""
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
