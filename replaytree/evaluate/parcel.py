"""What workers are sent: a pickle, and beside it the memory of its arrays and tensors, which workers need not copy."""

from __future__ import annotations

import copyreg
import pickle
import warnings
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import torch

from replaytree.border import reason
from replaytree.errors import ConfigError
from replaytree.records import Evaluator

# How far down the attributes of an evaluator the one that cannot be sent is looked for.
DEEPEST = 5


def packed(value: object, *, pickler: Callable[..., Any] = pickle.Pickler) -> tuple[bytes, list[memoryview]]:
    """A pickle, and the memory that it leaves out. Raises whatever pickling raises."""
    table = getattr(pickler, "dispatch_table", None)
    # That of Python's own pickler is no table.
    reducers: dict[Any, Any] = dict(table if isinstance(table, Mapping) else copyreg.dispatch_table)
    own = type("Packer", (pickler,), {"dispatch_table": reducers | {torch.Tensor: _reduced}})  # type: ignore[arg-type]
    buffers: list[pickle.PickleBuffer] = []
    stream = BytesIO()
    own(stream, protocol=5, buffer_callback=buffers.append).dump(value)
    return stream.getvalue(), [buffer.raw() for buffer in buffers]


def require_packed(
    value: object, *, parts: Mapping[str, object], pickler: Callable[..., Any] = pickle.Pickler
) -> tuple[bytes, list[memoryview]]:
    """As `packed`; ConfigError names which of the parts that the value is made of cannot be sent, and of it what."""
    try:
        return packed(value, pickler=pickler)
    except Exception as error:  # what cannot be pickled may raise anything
        found = (_culprit(name, part, pickler, DEEPEST) for name, part in parts.items())
        what = next(
            (told for told in found if told is not None), f"this search cannot be sent to workers ({reason(error)})"
        )
        raise ConfigError(
            f"{what}; make what cannot be pickled inside evaluate(), define classes and functions in a module, or "
            f"leave out workers (--workers)"
        ) from error


def given(evaluator: Evaluator) -> Evaluator:
    """The evaluator itself, where it is a user's, and workers make none."""
    return evaluator


def _culprit(name: str, value: object, pickler: Callable[..., Any], deepest: int) -> str | None:
    """The innermost part of a value that cannot be pickled, and why; None where the value can."""
    try:
        packed(value, pickler=pickler)
    except Exception as error:
        why = reason(error)
    else:
        return None
    if deepest:
        for key, part in _parts(value):
            if (told := _culprit(f"{name}{key}", part, pickler, deepest - 1)) is not None:
                return told
    return f"{name} cannot be sent to workers ({why})"


def _parts(value: object) -> Iterable[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{place}]", part) for place, part in enumerate(value)]
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()) if hasattr(value, name)]
    own = {**{name: getattr(value, name) for name in slots}, **getattr(value, "__dict__", {})}
    return [(f".{name}", part) for name, part in own.items()]


def _reduced(tensor: torch.Tensor) -> Any:
    """A tensor as an array, whose memory is left out of the pickle; torch's own way for what no array can hold."""
    if tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.requires_grad:
        return tensor.__reduce_ex__(4)  # type: ignore[no-untyped-call]
    try:
        return _tensor, (tensor.numpy(),)
    except (TypeError, RuntimeError):
        return tensor.__reduce_ex__(4)  # type: ignore[no-untyped-call]


def _tensor(array: np.ndarray) -> torch.Tensor:
    """The inverse: a view of the array, to which nothing may write where it is read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
