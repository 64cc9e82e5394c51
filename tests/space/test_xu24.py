import pytest

from replaytree.errors import SpaceError
from replaytree.space import Convolution, ResidualBlock, xu24

LABELS = [
    *("conv32k3", "conv32k4", "conv32k5", "conv64k3", "conv64k4", "conv64k5", "conv128k3", "conv128k4", "conv128k5"),
    *("conv32k3s2", "conv64k3s2", "conv128k3s2"),
    *("res32", "res32s2", "res64", "res64s2", "res128", "res128s2"),
    *("avg2s2", "avg3s2", "avg3s1", "max2s2", "max3s2", "max3s1"),
]


def test_the_24_layers_in_their_order():
    assert [layer.label for layer in xu24()] == LABELS
    assert len(set(LABELS)) == 24


@pytest.mark.parametrize(
    ("width", "channels"), [(0.25, [8, 16, 32]), (1.0, [32, 64, 128]), (0.05, [2, 3, 6]), (2, [64, 128, 256])]
)
def test_width_scales_channels_and_leaves_labels(width, channels):
    layers = xu24(width)
    assert [layer.label for layer in layers] == LABELS
    assert [layer.output_channels for layer in layers if isinstance(layer, ResidualBlock)][::2] == channels
    assert [layer.output_channels for layer in layers if isinstance(layer, Convolution)][:9:3] == channels


def test_the_least_width_leaves_one_channel():
    assert xu24(1 / 32)[0].output_shape((3, 8, 8)) == (1, 8, 8)


@pytest.mark.parametrize("width", [0.031, 0, -1, float("inf"), "1"])
def test_widths_that_cannot_be(width):
    with pytest.raises(SpaceError, match=r"width is .*; it must be .* \(--width\)"):
        xu24(width)
