"""The tensors of a supernet: one for every parameter of every layer at every place, and its momentum."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The leading part of a tensor and of its momentum: views, so that what changes them changes the whole."""

    weight: Tensor
    momentum: Tensor


class SharedWeights:
    """Tensors by name, made when they are first asked for.

    What is asked for is the leading part of a tensor that is as large as the largest part so far. Where
    one had to grow, the parts that were taken before are parts of nothing: `stale` has the first words of such names.
    The first values depend on the seed, the name and the place in the tensor alone, and not on what was asked for
    before; of a matrix, on its shape, too, so the name of a matrix is to say its shape.
    """

    def __init__(self, *, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._device = device
        self._weights: dict[str, Tensor] = {}
        self._momenta: dict[str, Tensor] = {}
        self.stale: set[str] = set()

    def part(self, name: str, shape: Shape, *, constant: float | None = None) -> Part:
        """The part of a shape. Its first values are the `constant`, or random as a convolution's or linear layer's."""
        weight = self._weights.get(name)
        if weight is None or any(has < wanted for has, wanted in zip(weight.shape, shape, strict=True)):
            weight = self._made(name, shape, constant)
        leading = tuple(slice(size) for size in shape)
        return Part(weight[leading], self._momenta[name][leading])

    def _made(self, name: str, shape: Shape, constant: float | None) -> Tensor:
        before = self._weights.get(name)
        whole = shape if before is None else tuple(map(max, before.shape, shape))
        weight = self._placed(
            _random(f"{self._seed} {name}", whole) if constant is None else torch.full(whole, constant)
        )
        momentum = self._placed(torch.zeros(whole))
        if before is not None:
            leading = tuple(slice(size) for size in before.shape)
            weight[leading], momentum[leading] = before, self._momenta[name]
            self._outdate([name])
        self._weights[name], self._momenta[name] = weight, momentum
        return weight

    def _placed(self, values: Tensor) -> Tensor:
        """A copy on the device, in the layout in which convolutions are fastest.

        Always in the very same strides, on which the last bit of later results depends, also where a side is 1.
        """
        layout = torch.channels_last if values.ndim == 4 else torch.contiguous_format
        return torch.empty(values.shape, device=self._device, memory_format=layout).copy_(values)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Forget afterwards what was made or has grown meanwhile."""
        weights, momenta = dict(self._weights), dict(self._momenta)
        try:
            yield
        finally:
            self._outdate(name for name, weight in self._weights.items() if weights.get(name) is not weight)
            self._weights, self._momenta = weights, momenta

    def _outdate(self, names: Iterable[str]) -> None:
        self.stale |= {name.split(" ", 1)[0] for name in names}

    @property
    def nbytes(self) -> int:
        """The memory of all tensors and their momenta."""
        return 2 * sum(weight.nbytes for weight in self._weights.values())

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The tensors in use."""
        return {"weights": dict(self._weights), "momenta": dict(self._momenta)}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """The inverse of state_dict; takes copies. ValueError for tensors and momenta that do not belong together."""
        weights, momenta = state["weights"], state["momenta"]
        if {name: each.shape for name, each in weights.items()} != {name: m.shape for name, m in momenta.items()}:
            raise ValueError("the weights and momenta of the supernet do not belong together")
        before = self._weights
        self._weights = {name: self._placed(weight) for name, weight in weights.items()}
        self._momenta = {name: self._placed(momentum) for name, momentum in momenta.items()}
        self._outdate(before)


def _random(name: str, shape: Shape) -> Tensor:
    """First values that depend on the name and the place in the tensor: a part of a larger tensor is the smaller one.

    Of convolutions He's normal distribution (fan out), as in space/layers/modules/convolution.py; of matrices torch's
    uniform distribution. For each row of the first dimension there is a generator.
    """
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")
    uniform = torch.empty(shape[0], math.prod(shape[1:]))
    for row, values in enumerate(uniform):
        values.uniform_(generator=torch.Generator().manual_seed(number + row))
    spread = uniform.mul_(2.0).sub_(1.0).view(shape)
    if len(shape) == 2:
        return spread.div_(math.sqrt(shape[1]))
    # uniform_ may give 0, whose quantile is infinite.
    normal = spread.clamp_(min=-1.0 + 2.0**-23).erfinv_().mul_(math.sqrt(2.0))
    return normal.mul_(math.sqrt(2.0 / (shape[0] * math.prod(shape[2:]))))
