"""A network of torchvision as one layer: what it makes of images before its last linear layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers.layer import only, require_whole

if TYPE_CHECKING:
    from torch import nn

TorchvisionName = Literal["mobilenet_v3_small", "resnet18"]

# Larger images than those that networks here are for only waste memory.
_MOST_UPSCALE = 64


@dataclass(frozen=True, slots=True)
class TorchvisionFeatures:
    """All layers of a network of torchvision but its last, averaged to one place.

    `width` scales its channels, where the network has such a number; `stem_stride` is that of its first convolution,
    1 for small images; images are made `upscale` times as large first. Its costs are measured on torch's meta device.
    """

    name: TorchvisionName
    width: float = 1.0
    stem_stride: int = 2
    upscale: int = 1

    def __post_init__(self) -> None:
        if self.name not in get_args(TorchvisionName):
            raise SpaceError(f"name of a TorchvisionFeatures is {self.name!r}; it must be {' or '.join(_NAMES)}")
        if not isinstance(self.width, int | float) or isinstance(self.width, bool) or not 0.0 < self.width <= 1.0:
            raise SpaceError(f"width of a TorchvisionFeatures is {self.width!r}; it must be above 0 and at most 1")
        if self.name == "resnet18" and self.width != 1.0:
            raise SpaceError(f"width of a TorchvisionFeatures is {self.width:g}, and resnet18 has one width")
        for name, most in (("stem_stride", 2), ("upscale", _MOST_UPSCALE)):
            require_whole(f"{name} of a TorchvisionFeatures", getattr(self, name), least=1)
            if getattr(self, name) > most:
                raise SpaceError(f"{name} of a TorchvisionFeatures is {getattr(self, name)}; it must be at most {most}")

    @property
    def label(self) -> str:
        """As in 'mobilenet_v3_small' and 'mobilenet_v3_small-w0.5'."""
        return self.name if self.width == 1.0 else f"{self.name}-w{self.width:.3g}"

    @property
    def definitions(self) -> tuple[str, ...]:
        """What builds it, as it stands in `modules`, but for the types: an exported file does not import them."""
        import inspect

        from replaytree.space.layers.modules.torchvision_features import Larger, torchvision_features

        text = "\n\n".join(inspect.getsource(each) for each in (Larger, torchvision_features))
        return ("\n" + text.replace(") -> Tensor:", "):").replace("x: Tensor)", "x)") + "\n",)

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """Its channels at one place: it is legal everywhere."""
        return self._measured(shapes)[0]

    def why_illegal(self, *shapes: Shape) -> str:
        """It is legal everywhere."""
        return "a network of torchvision is legal everywhere"

    def params(self, *shapes: Shape) -> int:
        """Numbers to train."""
        return self._measured(shapes)[1]

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image, as PyTorch counts them."""
        return self._measured(shapes)[2]

    def activations(self, *shapes: Shape) -> int:
        """The outputs of all modules within."""
        return self._measured(shapes)[3]

    def operations(self, *shapes: Shape) -> None:
        """Unknown: torch does not say which of its maps are alive at once."""
        return

    def module(self, *shapes: Shape) -> nn.Module:
        """The network without its last layer."""
        from replaytree.space.layers.modules.torchvision_features import torchvision_features

        return torchvision_features(self.name, only(self, shapes)[0], self.width, self.stem_stride, self.upscale)

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        inputs = only(self, shapes)[0]
        return f"torchvision_features({self.name!r}, {inputs}, {self.width!r}, {self.stem_stride}, {self.upscale})"

    def _measured(self, shapes: tuple[Shape, ...]) -> tuple[Shape, int, int, int]:
        return _measure(self, only(self, shapes))


_NAMES = get_args(TorchvisionName)


@lru_cache(maxsize=256)
def _measure(layer: TorchvisionFeatures, shape: Shape) -> tuple[Shape, int, int, int]:
    """(output shape, parameters, multiply-adds, activations) for one image."""
    import torch

    from replaytree.space.layers.modules.measured import measure

    after, params, flops = measure(layer, shape)
    kept: list[int] = []
    with torch.device("meta"):
        module = layer.module(shape).eval()
        for part in module.modules():
            if not list(part.children()):
                part.register_forward_hook(lambda _, __, output: kept.append(math.prod(output.shape)))
        with torch.no_grad():
            module(torch.empty((1, *shape)))
    return after, params, flops, sum(kept)
