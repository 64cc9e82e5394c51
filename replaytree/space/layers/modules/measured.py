"""What a user's own layer costs, measured."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers.layer import Layer, format_shape
from replaytree.space.returned import require_shape


def measure(layer: Layer, input_shape: Shape) -> tuple[Shape, int, int]:
    """(output shape, parameters, multiply-adds for one image), from one pass on the meta device, without data.

    Raises SpaceError where the layer cannot be built or run, changes its input, or gives no feature map.
    """
    features = torch.empty((1, *input_shape), device="meta")
    try:
        # Evaluation mode, because batch norm refuses to train on one image of 1x1.
        with torch.device("meta"):
            module = layer.module(input_shape).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = module(features)
    except SpaceError:
        raise
    except Exception as error:
        raise SpaceError(
            f"layer {layer.label!r} could not be measured at {format_shape(input_shape)}: {error}; fix its builder, "
            f"or give output_shape= (None where the layer is illegal) and cost="
        ) from error
    if features._version:
        raise SpaceError(f"layer {layer.label!r} changes its input; take inplace=True from what reads it first")
    shape = tuple(output.shape[1:]) if isinstance(output, Tensor) and output.shape[:1] == (1,) else output
    params = sum(parameter.numel() for parameter in module.parameters())
    return require_shape(f"the output shape of layer {layer.label!r}", shape), params, counter.get_total_flops() // 2
