"""The default catalogue of layers."""

from __future__ import annotations

from replaytree.space.layers import Convolution, Layer, Pooling, PoolingKind, ResidualBlock

CHANNELS = (32, 64, 128)


def xu24(width: float = 1.0) -> tuple[Layer, ...]:
    """The 24 layers of "Augmented Neural Architecture Search with REINFORCE" (O. Xu, poster), reconstructed.

    The order gives the action indices and never changes:

    * 0-8    conv32k3, conv32k4, conv32k5, and the same for 64 and 128 channels
    * 9-11   conv32k3s2, conv64k3s2, conv128k3s2
    * 12-17  res32, res32s2, res64, res64s2, res128, res128s2
    * 18-20  avg2s2, avg3s2, avg3s1
    * 21-23  max2s2, max3s2, max3s1

    `width` multiplies all channel numbers, and the result is rounded. Labels keep the nominal numbers. Raises
    SpaceError where 32 channels would become 0.
    """
    kinds: tuple[PoolingKind, ...] = ("avg", "max")
    return (
        *(Convolution(channels, kernel, width=width) for channels in CHANNELS for kernel in (3, 4, 5)),
        *(Convolution(channels, 3, 2, width) for channels in CHANNELS),
        *(ResidualBlock(channels, stride, width) for channels in CHANNELS for stride in (1, 2)),
        *(Pooling(kind, kernel, stride) for kind in kinds for kernel, stride in ((2, 2), (3, 2), (3, 1))),
    )
