"""How a 1x1 convolution with a stride is written in an exported Python file; see modules/subsampled.py."""

from __future__ import annotations

SUBSAMPLED = '''
class Subsampled(nn.Conv2d):
    """A 1x1 convolution with a stride. Subsampling first is equal, and the strided gradient can crash oneDNN."""

    def forward(self, x):
        return nn.functional.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], self.weight)

'''


def convolution_class(kernel: int | tuple[int, int], stride: int | tuple[int, int]) -> str:
    """The class of a convolution without bias and groups; 'Subsampled' needs SUBSAMPLED among the definitions."""
    return "Subsampled" if kernel in (1, (1, 1)) and stride not in (1, (1, 1)) else "nn.Conv2d"
