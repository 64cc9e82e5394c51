"""A state as a safetensors file: tensors that any reader of such files takes, and the plain values around them.

A tensor is called after its place in the state, as in `tensors.0.layer1_conv32k3.0.weight`. The metadata hold the rest
as JSON, where the name of a tensor stands for it: one that stands at several places is written once.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from replaytree.border import reason
from replaytree.errors import CorruptTree

SUFFIX = ".safetensors"
# Readers of safetensors keep several entries in no order of their own, so there is one: equal states are equal bytes.
_ENTRY = "replaytree"
_TENSOR = "tensor of this name"
_HEADER = struct.Struct("<Q")


def write(state: Mapping[str, Any]) -> bytes:
    """A state of dictionaries by text, lists, tensors, texts, numbers, True, False and None; TypeError for others.

    ValueError where a dot in a key gives two tensors one name.
    """
    tensors: dict[str, Tensor] = {}
    names: dict[int, str] = {}

    def plain(value: object, place: str) -> object:
        if isinstance(value, Tensor):
            if id(value) not in names:
                if place in tensors:
                    raise ValueError(f"two tensors would be called {place}")
                names[id(value)] = place
                tensors[place] = value.detach().cpu().contiguous()
            return {_TENSOR: names[id(value)]}
        inside = f"{place}." if place else ""
        if type(value) is dict and all(type(key) is str for key in value) and _TENSOR not in value:
            return {key: plain(inner, f"{inside}{key}") for key, inner in value.items()}
        if type(value) is list:
            return [plain(inner, f"{inside}{number}") for number, inner in enumerate(value)]
        if value is None or type(value) in (bool, int, float, str):
            return value
        raise TypeError(f"{place} is a {type(value).__name__}, which no safetensors file holds")

    values = plain(dict(state), "")
    return save(tensors, metadata={_ENTRY: json.dumps(values)})


def read(payload: bytes) -> dict[str, Any]:
    """The inverse of write; CorruptTree for what it did not write. Nothing of a file is ever run."""
    try:
        [size] = _HEADER.unpack_from(payload)
        values = json.loads(json.loads(payload[_HEADER.size : _HEADER.size + size])["__metadata__"][_ENTRY])
        tensors = load(payload)

        def whole(value: Any) -> Any:
            if isinstance(value, dict):
                if _TENSOR in value:
                    return tensors[value[_TENSOR]]
                return {key: whole(inner) for key, inner in value.items()}
            return [whole(inner) for inner in value] if isinstance(value, list) else value

        state: dict[str, Any] = whole(values)
        if not isinstance(state, dict):
            raise ValueError(f"it is a {type(state).__name__}")
    except Exception as error:  # what is damaged may raise anything
        raise CorruptTree(f"the stored weights cannot be read ({reason(error)}); start anew") from error
    return state
