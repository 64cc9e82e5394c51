"""Networks of torchvision that start from the weights it was trained with on ImageNet."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor

from replaytree.data import ImageData
from replaytree.deliver.baseline_networks import Fitted
from replaytree.deliver.subject import Start
from replaytree.errors import ConfigError
from replaytree.space import Classifier, chain
from replaytree.space.building import build
from replaytree.space.layers import TorchvisionFeatures
from replaytree.space.layers.torchvision_features import TorchvisionName

PRETRAINED: Mapping[str, TorchvisionName] = {"resnet18": "resnet18", "mobilenet-v3-small": "mobilenet_v3_small"}

LEAST_SIDE = 96
"""Images are made larger, by a whole factor, until no side is shorter: ImageNet's networks halve them five times."""

RATE_SHARE = 0.1
"""Of the learning rate of the recipe: what was learned is to stay."""

_PATIENCE_SECONDS = 20.0


def pretrained(name: str, data: ImageData) -> tuple[Fitted, Start]:
    """The network as torchvision has it, for images of this kind, and its weights.

    ConfigError for one without weights, for images that are neither grey nor colour, and where they cannot be had.
    """
    if name not in PRETRAINED:
        raise ConfigError(f"{name} has no pretrained weights; these have: {', '.join(PRETRAINED)}")
    channels, *sides = data.image_shape
    if channels not in (1, 3):
        raise ConfigError(
            f"images have {channels} channels, and pretrained weights are for 1 or 3; leave out --pretrained"
        )
    layer = TorchvisionFeatures(PRETRAINED[name], upscale=max(1, -(-LEAST_SIDE // min(sides))))
    graph = chain([layer], input_shape=data.image_shape, head=Classifier(data.num_classes))
    weights = torchvision_weights(name)
    return Fitted(f"{name}-pretrained", 1.0, graph), Start(weights.name, _start(layer, weights.tensors, channels))


def torchvision_weights(name: str) -> Start:
    """The tensors that torchvision has for a network, downloaded at the first time; ConfigError where it cannot."""
    from torchvision.models import get_model_weights

    entry = get_model_weights(PRETRAINED[name]).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    try:
        # torch.hub prints a line of its own.
        with _patiently(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            tensors = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # URLError, OSError, RuntimeError of a hash or a damaged file, UnpicklingError
        damaged = f"; the file {file} may be damaged: delete it" if file.exists() else ""
        raise ConfigError(
            f"the weights of {name} cannot be had from {entry.url} ({_first_line(error)}){damaged}; download them "
            f"where there is a network and put them at {file}, or leave out --pretrained"
        ) from error
    return Start(str(entry), dict(tensors))


def _start(layer: TorchvisionFeatures, tensors: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """The tensors under the names that the network has here; a grey image is read as three equal channels."""
    colour = (3, LEAST_SIDE, LEAST_SIDE)
    own = build(chain([layer], input_shape=colour, head=Classifier(2))).state_dict()
    theirs = [tensor for name, tensor in tensors.items() if not name.startswith(("fc.", "classifier.3."))]
    names = [name for name in own if not name.startswith("head.")]
    if [own[name].shape for name in names] != [tensor.shape for tensor in theirs]:
        raise ConfigError(
            f"the weights of {layer.name} are not those of this torchvision; update it, or delete the file"
        )
    found = dict(zip(names, theirs, strict=True))
    if channels == 1:
        found[names[0]] = found[names[0]].sum(dim=1, keepdim=True)
    return found


@contextmanager
def _patiently() -> Iterator[None]:
    """Give up a connection that says nothing for a while; without this it would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
