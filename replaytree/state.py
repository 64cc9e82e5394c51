"""The state of a search as bytes, and back; no code is ever read from it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch


def pack(state: Mapping[str, Any]) -> bytes:
    """A state as bytes."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def unpack(payload: bytes) -> dict[str, Any]:
    """The inverse of pack; only tensors and plain values are read, never code."""
    state: dict[str, Any] = torch.load(io.BytesIO(payload), weights_only=True)
    return state
