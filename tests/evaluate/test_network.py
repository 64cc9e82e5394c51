import torch

from replaytree.evaluate.network import PrefixNetwork
from replaytree.space import LayerSpace, xu24

SPACE = LayerSpace(xu24(0.25), input_shape=(3, 16, 16), num_classes=5, max_layers=4)
PATH = SPACE.parse("conv32k4 res64s2 avg2s2 max3s1")


def test_one_head_for_every_prefix():
    logits = PrefixNetwork(SPACE, PATH, 5)(torch.randn(2, 3, 16, 16))
    assert [tuple(logits_BK.shape) for logits_BK in logits] == [(2, 5)] * 4


def test_a_head_reads_what_its_prefix_alone_would_give():
    joint = PrefixNetwork(SPACE, PATH, 5).eval()
    images = torch.randn(2, 3, 16, 16)
    logits = joint(images)
    for t in range(4):
        alone = torch.nn.Sequential(*joint.layers[: t + 1], joint.heads[t])
        torch.testing.assert_close(alone(images), logits[t])


def test_parameters_are_the_layers_once_and_every_head():
    joint = PrefixNetwork(SPACE, PATH, 5)
    heads = sum((SPACE.output_shape(PATH[:t])[0] + 1) * 5 for t in range(1, 4))
    assert sum(p.numel() for p in joint.parameters()) == SPACE.cost(PATH)[0] + heads
