"""Spaces: which layers there are, where each is legal, what each costs. Torch is imported by what builds."""

from replaytree.space.catalogue import xu24
from replaytree.space.layers import Convolution, CustomLayer, Layer, Pooling, ResidualBlock
from replaytree.space.space import LabelSpace, LayerSpace

__all__ = ["Convolution", "CustomLayer", "LabelSpace", "Layer", "LayerSpace", "Pooling", "ResidualBlock", "xu24"]
