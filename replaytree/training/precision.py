"""Which numbers a training computes with: chosen by what the device can do, and said in the search's record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch

from replaytree.config.retraining import PrecisionName
from replaytree.errors import ConfigError

# Compute capability: 8 is Ampere, which has bfloat16; 7 is Volta and Turing, whose matrix units take float16 alone.
BFLOAT16_FROM, FLOAT16_FROM = 8, 7


@dataclass(frozen=True, slots=True)
class Precision:
    """The type of convolutions and matrix products. Weights, sums and losses are float32.

    `scaled`: losses are multiplied by a factor that follows the gradients, which float16 would round to 0 otherwise.
    """

    dtype: torch.dtype
    scaled: bool = False

    @classmethod
    def of(cls, device: torch.device, wanted: PrecisionName | None = None) -> Precision:
        """What is wanted, or what the device is fast in: bfloat16 on GPUs since Ampere, float16 on those before.

        Elsewhere that is float32: on a CPU bfloat16 is faster where layers are wide (reports/benchmarks/precision.md).
        ConfigError for bfloat16 on a GPU that has none, or may have none (Apple's).
        """
        if wanted is not None:
            if wanted == "bfloat16" and device.type != "cpu" and cls.of(device).dtype != torch.bfloat16:
                raise ConfigError(f"bfloat16 is not for {device}; leave out --precision, or give --precision float32")
            return cls(getattr(torch, wanted))
        if device.type != "cuda":
            return cls(torch.float32)
        if torch.version.hip is not None:
            return cls(torch.bfloat16)
        major, _ = torch.cuda.get_device_capability(device)
        if major >= BFLOAT16_FROM:
            return cls(torch.bfloat16)
        return cls(torch.float16, scaled=True) if major >= FLOAT16_FROM else cls(torch.float32)

    @classmethod
    def unscaled(cls, device: torch.device) -> Precision:
        """As `of`, but float32 where losses would be scaled: each path of a supernet would need a scale of its own."""
        found = cls.of(device)
        return cls(torch.float32) if found.scaled else found

    def __str__(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        return f"{name} with scaled losses" if self.scaled else name

    def cast(self, device: torch.device) -> AbstractContextManager[object]:
        """Let what follows compute convolutions and matrix products in this type."""
        if self.dtype == torch.float32:
            return nullcontext()
        # No cache of cast weights: each is used once in a forward pass, and a captured step must cast them anew.
        return torch.autocast(device.type, dtype=self.dtype, cache_enabled=False)


def cpu_has_bfloat16() -> bool:
    """Whether this is an x86 CPU that multiplies bfloat16 by instructions of its own; False where torch cannot tell."""
    capabilities: Any = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


@contextmanager
def whole_float32(device: torch.device) -> Iterator[None]:
    """Let float32 products be products of float32 meanwhile.

    On a GPU torch rounds the factors of float32 convolutions to 10 bits (TF32) unless told otherwise. A training has
    a type of its own for what is large; what it leaves in float32, and the test accuracy, is to be exact.
    """
    if device.type != "cuda":
        yield
        return
    restore = kept_rounding()
    try:
        # The older switch, too: torch refuses to read it where it differs from the newer ones, and torch.compile reads
        # it.
        if _older_switch() is not None:
            torch.backends.cudnn.allow_tf32 = False
        for kind in _kinds():
            kind.fp32_precision = "ieee"
        yield
    finally:
        restore()


def kept_rounding() -> Callable[[], None]:
    """How products of float32 are rounded now, for all threads, as a call that lets it be so again."""
    older, kinds = _older_switch(), _kinds()
    before = [kind.fp32_precision for kind in kinds]

    def restore() -> None:
        if older is not None:
            torch.backends.cudnn.allow_tf32 = older
        for kind, value in zip(kinds, before, strict=True):
            kind.fp32_precision = value

    return restore


def _kinds() -> tuple[Any, ...]:
    cudnn: Any = torch.backends.cudnn
    return (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)


def _older_switch() -> bool | None:
    """The switch for all of cuDNN; None where it cannot be read, because the newer ones differ."""
    with suppress(RuntimeError):
        return bool(torch.backends.cudnn.allow_tf32)
    return None
