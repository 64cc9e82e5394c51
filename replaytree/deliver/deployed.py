"""The network as it is delivered: bytes in, logits out, with normalisation inside and an optional mirror image.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from replaytree.deliver.description import Description
from replaytree.space.building import build
from replaytree.training import Threads, using
from replaytree.training.device import on
from replaytree.training.precision import whole_float32


class Deployed(nn.Module):
    """uint8 images (N, C, H, W) -> float32 logits (N, K). `multiply_adds` are those of one image."""

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.mirror = description.mirror
        self.batch = description.batch
        self.multiply_adds = description.flops
        self.network = build(description.layers)
        for name in ("mean", "std"):
            values_C11 = torch.tensor(getattr(description, name), dtype=torch.float32)[:, None, None]
            self.register_buffer(f"{name}_C11", values_C11, persistent=False)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """The logits; with `mirror`, the mean over each image and its mirror image."""
        inputs_NCHW = (images_NCHW.to(torch.float32) / 255.0 - self.mean_C11) / self.std_C11
        logits_NK: Tensor = self.network(inputs_NCHW)
        if self.mirror:
            logits_NK = (logits_NK + self.network(inputs_NCHW.flip(3))) / 2
        return logits_NK


@torch.no_grad()
def batched_logits(
    network: nn.Module, images_NCHW: Tensor, *, batch: int = 256, threads: Threads | None = None
) -> Tensor:
    """Logits (N, K) of any number of images, on the CPU, computed a batch at a time."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    number = torch.get_num_threads()
    if isinstance(network, Deployed) and device.type == "cpu":
        number = (threads or Threads.of()).number(network.multiply_adds * min(batch, len(images_NCHW)))
    # The accuracy is that of the file, which computes in float32 wherever it is used.
    with using(number), on(device), whole_float32(device):
        return torch.cat([network(part.to(device)).float().cpu() for part in torch.split(images_NCHW, batch)])


def accuracy(logits_NK: Tensor, labels_N: Tensor) -> float:
    """The share of images whose largest logit is that of their class."""
    return int((logits_NK.argmax(dim=1) == labels_N.cpu()).sum()) / len(labels_N)


def both_logits(network: Deployed, images_NCHW: Tensor, *, threads: Threads | None = None) -> tuple[Tensor, Tensor]:
    """Logits (N, K) without and with the mirror image."""
    mirror, network.mirror = network.mirror, False
    try:
        plain_NK = batched_logits(network, images_NCHW, batch=network.batch, threads=threads)
        flipped_NK = batched_logits(network, images_NCHW.flip(3), batch=network.batch, threads=threads)
    finally:
        network.mirror = mirror
    return plain_NK, (plain_NK + flipped_NK) / 2
