"""Model files in safetensors: tensors, and the description as JSON in the header. Reading one runs no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from replaytree.deliver.description import Description, plain_json
from replaytree.deliver.made import AnyDeployed, made
from replaytree.deliver.seal import DIGEST_KEY, NO_DIGEST, require_seal, sealed
from replaytree.deliver.writing import write_whole
from replaytree.errors import ModelError, SpaceError

DESCRIPTION_KEY = "replaytree"

# As in safetensors itself.
_LONGEST_HEADER = 100_000_000

# How safetensors spells the types that a network here has.
_DTYPES = {torch.float32: "F32", torch.int64: "I64"}


def weights_of_python(file: Path) -> Path:
    """The weights that a .py file reads: 'net.py' -> 'net.py.safetensors', a name that no other format writes."""
    return file.with_name(f"{file.name}.safetensors")


def weights_content(model: AnyDeployed, description: Description) -> bytes:
    """The content of a model file."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.network.state_dict().items()}
    return sealed(save(tensors, metadata={DESCRIPTION_KEY: description.to_json(), DIGEST_KEY: NO_DIGEST}))


def write_weights(file: Path, model: AnyDeployed, description: Description) -> None:
    """Write a file, whole or not at all; ModelError where it cannot be written."""
    write_whole(file, weights_content(model, description))


def read_weights(file: Path) -> tuple[AnyDeployed, Description]:
    """The model of a file; ModelError for one that is not replaytree's, was changed, or is damaged.

    What the header declares is compared with the description and the size of the file before anything is loaded, so
    that a small file takes little memory.
    """
    origin = str(file)
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > min(size, _LONGEST_HEADER):
                raise ValueError(f"its header is said to have {length} bytes")
            header = plain_json(stream.read(length))
        metadata = header.pop("__metadata__", {})
        declared = {name: (each["dtype"], tuple(each["shape"])) for name, each in header.items()}
        if DESCRIPTION_KEY not in metadata:
            raise ModelError(
                f"{file} holds weights without replaytree's description; give a file that replaytree wrote"
            )
        description = Description.from_json(metadata[DESCRIPTION_KEY], origin=origin)
        expected = expected_tensors(description, most_bytes=size, origin=origin)
        if declared != {name: (_DTYPES[tensor.dtype], tuple(tensor.shape)) for name, tensor in expected.items()}:
            raise other_architecture(description, origin=origin)
        if size != 8 + length + sum(tensor.nbytes for tensor in expected.values()):
            raise ValueError(f"it has {size} bytes, which is not what its header says")
        content = file.read_bytes()
        require_seal(content, metadata.get(DIGEST_KEY), origin=origin)
        tensors = load_tensors(content)
    except ModelError:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{file} cannot be read as safetensors ({type(error).__name__}: {str(error)[:200]}); it is damaged or "
            f"something else: copy or export it anew"
        ) from error
    return assemble(tensors, description, origin=origin)


def expected_tensors(description: Description, *, most_bytes: int, origin: str) -> Mapping[str, Tensor]:
    """The tensors that a description calls for, on the meta device, where they take no memory.

    Raises ModelError if they do not fit into a file of `most_bytes`.
    """
    if 4 * description.params > most_bytes:
        raise ModelError(
            f"{origin} describes {description.params:,} parameters and has {most_bytes:,} bytes, too few for them; it "
            f"was changed or damaged: copy or export it anew"
        )
    try:
        with torch.device("meta"):
            tensors: dict[str, Tensor] = made(description).network.state_dict()
    except (SpaceError, RuntimeError) as error:
        raise other_architecture(description, origin=origin) from error
    return tensors


def assemble(
    tensors: Mapping[str, Tensor], description: Description, *, origin: str
) -> tuple[AnyDeployed, Description]:
    """The model made of tensors and a description; ModelError if they do not fit together."""
    try:
        model = made(description)
        model.network.load_state_dict(tensors)
    except (SpaceError, RuntimeError) as error:
        raise other_architecture(description, origin=origin) from error
    return model.eval(), description


def other_architecture(description: Description, *, origin: str) -> ModelError:
    """The error for tensors that are not those of the layers."""
    return ModelError(f"the weights in {origin} are of another architecture than {description.labels[:200]!r}")
