"""What holds for every kind of layer."""

import json
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from replaytree.space.building import build_layer
from replaytree.space.layers import layer_from_json, layer_to_json


@pytest.fixture
def agrees():
    """A check that all that a layer says of itself is so, on maps of some shapes, one an input."""
    return _agrees


def _agrees(layer, *shapes):
    torch.manual_seed(0)
    assert layer_from_json(json.loads(json.dumps(layer_to_json(layer)))) == layer
    module = build_layer(layer, *shapes)
    _costs(layer, module, *shapes)
    _source(layer, module, *shapes)
    _training(layer, module, *shapes)


def _costs(layer, module, *shapes):
    module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = module(*(torch.randn(2, *shape) for shape in shapes))
    after = layer.output_shape(*shapes)
    # Heads make logits, and no map.
    assert tuple(output.shape) == (2, *(after if output.ndim == 4 else after[:1]))
    assert sum(parameter.numel() for parameter in module.parameters()) == layer.params(*shapes)
    assert counter.get_total_flops() == 2 * 2 * layer.flops(*shapes)


def _source(layer, module, *shapes):
    """The written module has the same keys and, with the same weights, the same output."""
    names = {"torch": torch, "nn": nn, "OrderedDict": OrderedDict}
    exec("".join(layer.definitions), names)
    written = eval(layer.source(*shapes), names).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    written.load_state_dict(module.state_dict())
    maps = [torch.randn(2, *shape) for shape in shapes]
    torch.testing.assert_close(written(*maps), module.eval()(*maps), rtol=0, atol=1e-5)


def _training(layer, module, *shapes):
    """Gradients reach every weight and input, inputs stay as they were, and as much is kept as is said."""
    images, kept = 4, {}

    def place(tensor):
        return tensor.untyped_storage().data_ptr()

    def keep(tensor):
        kept[place(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    maps = [
        torch.randn(images, *shape).contiguous(memory_format=torch.channels_last).requires_grad_() for shape in shapes
    ]
    before = [each.detach().clone() for each in maps]
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        output = module.train()(*maps)
        output.mul(torch.rand_like(output))  # the next layer keeps its input
    output.square().sum().backward()
    assert all(torch.equal(each, old) for each, old in zip(maps, before, strict=True))
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in (*maps, *module.parameters()))
    # The inputs belong to the layers before; the random factor and a few numbers a channel are not of the layer.
    kept[place(output)] = output.untyped_storage().nbytes()
    for each in (*maps, *module.parameters()):
        kept.pop(place(each), None)
    measured = (sum(kept.values()) - 4 * output.numel()) / 4
    few = 20 * sum(part.num_features for part in module.modules() if isinstance(part, nn.BatchNorm2d))
    assert 0 <= measured - images * layer.activations(*shapes) <= few
