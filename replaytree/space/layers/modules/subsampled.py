"""Strided 1x1 convolutions without the form of them that kills the process."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class SubsampledConv2d(nn.Conv2d):
    """A 1x1 convolution with a stride: subsampling, then the convolution without a stride.

    Function, parameters, FLOPs and state-dict keys are those of nn.Conv2d. On AVX-512 with several threads oneDNN 3.12
    (torch 2.14) writes out of bounds in the gradient of the strided form, and the process dies.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(images, channels, height, width), as in nn.Conv2d."""
        rows, columns = self.stride
        return functional.conv2d(input[:, :, ::rows, ::columns], self.weight, self.bias, groups=self.groups)


def subsample_first(module: nn.Module) -> None:
    """Make every 1x1 convolution with a stride, in a module of whatever origin, a SubsampledConv2d.

    Padded ones, and larger kernels, do not kill the process. Subclasses of nn.Conv2d and calls of functional.conv2d
    stay as they are: a path that kills the process by them is put aside at its second death.
    """
    for part in module.modules():
        if (
            type(part) is nn.Conv2d
            and part.kernel_size == (1, 1)
            and part.stride != (1, 1)
            and part.padding in ((0, 0), "valid")
        ):
            part.__class__ = SubsampledConv2d
