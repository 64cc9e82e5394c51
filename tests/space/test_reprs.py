"""Spaces say in one short line what they are: in errors, in notebooks, in logs."""

from replaytree.space import ConstrainedSpace, LabelSpace, LayerSpace, checked, xu24


class Own:
    num_actions, max_layers = 2, 3

    def legal(self, prefix):
        return (True, True)

    def label(self, action):
        return "ab"[action]

    def build(self, prefix, num_classes):
        raise AssertionError

    def cost(self, prefix):
        return None


def test_spaces_have_a_short_repr():
    layers = LayerSpace(xu24(0.25), input_shape=(3, 32, 32), num_classes=10, max_layers=6)
    assert repr(layers) == "LayerSpace(24 layers, up to 6 of them on images of 3x32x32, 10 classes)"
    assert repr(LabelSpace(["a", "b", "c"], max_layers=4)) == "LabelSpace('a', 'b', 'c', max_layers=4)"
    many = LabelSpace([f"layer{n}" for n in range(200)], max_layers=4)
    assert repr(many) == "LabelSpace('layer0', 'layer1', 'layer2', ... 200 labels, max_layers=4)"
    limited = ConstrainedSpace(layers, max_params=50_000)
    assert repr(limited) == f"ConstrainedSpace({layers!r}, max_params=50000)"
    both = ConstrainedSpace(layers, max_params=50_000, max_flops=10**7)
    assert repr(both) == f"ConstrainedSpace({layers!r}, max_params=50000, max_flops=10000000)"
    assert repr(checked(Own())).startswith("CheckedSpace(<")
