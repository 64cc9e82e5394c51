import json
import pickle
import re
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import replaytree.space
from replaytree.errors import SpaceError
from replaytree.records import Space
from replaytree.space import Convolution, CustomLayer, LabelSpace, LayerSpace, Pooling, ResidualBlock, layer_space, xu24

POSTER = "res128, conv32k3, conv32k3, res64, avg2s2, res64, res64, conv128k4, conv64k3"


def xu(shape=(3, 32, 32), max_layers=15, width=1.0, num_classes=10):
    return LayerSpace(xu24(width), input_shape=shape, num_classes=num_classes, max_layers=max_layers)


CIFAR = xu()
SMALL = {shape: xu(shape, max_layers=9, width=1 / 16) for shape in [(3, 32, 32), (1, 8, 8), (3, 7, 5), (1, 1, 1)]}


@st.composite
def legal_paths(draw, space):
    path = ()
    for _ in range(draw(st.integers(0, space.max_layers))):
        path += (draw(st.sampled_from([action for action, may in enumerate(space.legal(path)) if may])),)
    return path


def test_importing_the_spaces_leaves_torch_alone():
    code = (
        "import sys; from replaytree.space import LabelSpace, LayerSpace, xu24; "
        "LayerSpace(xu24(), input_shape=(3, 32, 32), num_classes=10, max_layers=9).cost((0, 1)); "
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_exported_names():
    assert replaytree.space.__all__ == sorted(replaytree.space.__all__)
    assert all(hasattr(replaytree.space, name) for name in replaytree.space.__all__)


def test_both_are_spaces():
    spaces: list[Space] = [CIFAR, LabelSpace(["identity", "mb3k3"], max_layers=8)]
    assert [space.num_actions for space in spaces] == [24, 2]
    assert [space.max_layers for space in spaces] == [15, 8]
    assert [space.label((), 1) for space in spaces] == ["conv32k4", "mb3k3"]


class TestLayerSpace:
    def test_the_posters_network(self):
        path = CIFAR.parse(POSTER)
        assert path == (16, 0, 0, 14, 18, 14, 14, 7, 3)
        assert CIFAR.parse("16.0.0.14.18.14.14.7.3") == path
        assert [CIFAR.output_shape(path[:t]) for t in range(10)] == [
            (3, 32, 32), (128, 32, 32), (32, 32, 32), (32, 32, 32), (64, 32, 32),
            (64, 16, 16), (64, 16, 16), (64, 16, 16), (128, 16, 16), (64, 16, 16),
        ]  # fmt: skip
        # res128 + conv32k3 + conv32k3 + res64 + 2 res64 + conv128k4 + conv64k3 + head
        params = 152_064 + 36_928 + 9_280 + 57_728 + 2 * 73_984 + 131_328 + 73_856 + 650
        macs = (151_296 + 36_864 + 9_216 + 57_344) * 1024 + (2 * 73_728 + 131_072 + 73_728) * 256 + 640
        assert CIFAR.cost(path) == (params, macs) == (609_802, 351_011_456)

    def test_the_empty_prefix_is_the_head(self):
        assert CIFAR.cost(()) == (3 * 10 + 10, 30)
        assert CIFAR.output_shape(()) == (3, 32, 32)
        assert CIFAR.legal(()) == (True,) * 24
        assert CIFAR.build(())(torch.zeros(2, 3, 32, 32)).shape == (2, 10)

    def test_stride_2_is_masked_at_one_pixel(self):
        space = xu((3, 2, 2))
        legal = space.legal(space.parse("avg2s2"))
        illegal = {label for label, may in zip(space.labels, legal, strict=True) if not may}
        assert illegal == {label for label in space.labels if label.endswith("s2")}
        assert len(illegal) == 10

    def test_nothing_is_legal_at_max_layers(self):
        space = xu(max_layers=2)
        assert space.legal((0, 1)) == (False,) * 24
        assert any(space.legal((0,)))

    @settings(max_examples=30, deadline=None)
    @given(st.data())
    def test_random_legal_paths(self, data):
        shape, space = data.draw(st.sampled_from(sorted(SMALL.items())))
        path = data.draw(legal_paths(space))
        assert all(any(space.legal(path[:t])) for t in range(min(len(path) + 1, space.max_layers)))
        shapes = [space.output_shape(path[:t]) for t in range(len(path) + 1)]
        assert all(min(after) >= 1 for after in shapes)
        assert space.parse(".".join(map(str, path))) == path if path else True
        with torch.device("meta"):
            network = space.build(path, 10).eval()
        with FlopCounterMode(display=False) as counter:
            logits = network(torch.empty(1, *shape, device="meta"))
        assert logits.shape == (1, 10)
        params = sum(parameter.numel() for parameter in network.parameters())
        assert space.cost(path) == (params, counter.get_total_flops() // 2)

    def test_caches_never_change_an_answer(self, monkeypatch):
        monkeypatch.setattr(layer_space, "MAX_CACHED_SHAPES", 1)
        tight, path = xu(), CIFAR.parse(POSTER)
        for t in (9, 3, 9, 0, 5):
            assert tight.legal(path[:t]) == CIFAR.legal(path[:t])
            assert tight.cost(path[:t]) == CIFAR.cost(path[:t])
        assert len(tight._steps) == 1

    def test_survives_pickling(self):
        assert pickle.loads(pickle.dumps(CIFAR)).describe() == CIFAR.describe()

    def test_num_classes_can_be_given_when_built(self):
        assert CIFAR.build((0,), 3).head.linear.out_features == 3
        assert CIFAR.build((0,)).head.linear.out_features == 10
        with pytest.raises(SpaceError, match="num_classes is 0; it must be a whole number of at least 1"):
            CIFAR.build((0,), 0)

    def test_description_goes_through_json_and_tells_spaces_apart(self):
        described = xu(width=0.5).describe()
        assert json.loads(json.dumps(described)) == described
        assert described["kind"] == "layers"
        assert described["labels"][16] == "res128"
        assert described["layers"][0] == {"type": "Convolution", "channels": 32, "kernel": 3, "stride": 1, "width": 0.5}
        assert (described["format"], described["max_layers"], described["num_classes"]) == (1, 15, 10)
        assert described["input_shape"] == [3, 32, 32]
        others = [xu(), xu((3, 16, 16), width=0.5), xu(max_layers=9, width=0.5), xu(width=0.5, num_classes=3)]
        assert all(other.describe() != described for other in others)
        assert xu(width=0.5).describe() == described

    def test_description_of_custom_layers(self):
        layers = [Convolution(8, 3), ResidualBlock(8, width=0.5), CustomLayer("mine", lambda s: None, lambda s: s)]
        described = LayerSpace(layers, input_shape=(3, 8, 8), num_classes=2, max_layers=2).describe()
        assert described["layers"][2] == {"type": "CustomLayer", "label": "mine"}

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ((18, 18), "layer 2, avg2s2, is illegal there: stride 2 needs sides of at least 2 pixels, and the feature "
             "map is 3x1x1"),
            ((0, 24), "layer 2 is 24, which is no index of this space; use 0 to 23"),
            ((-1,), "layer 1 is -1, which is no index of this space"),
            ((0,) * 5, "the path has 5 layers, more than max_layers, 4 (--max-layers)"),
        ],
    )  # fmt: skip
    def test_illegal_paths(self, path, message):
        space = xu((3, 2, 2), max_layers=4)
        for method in (space.check, space.legal, space.cost, space.output_shape, space.build):
            with pytest.raises(SpaceError, match=re.escape(message)):
                method(path)

    def test_parse_says_what_is_wrong(self):
        space = xu((3, 2, 2), max_layers=4)
        with pytest.raises(SpaceError, match="layer 2, avg2s2, is illegal there"):
            space.parse("avg2s2 avg2s2")
        with pytest.raises(SpaceError, match=r"layer 2 is 'conv32', .*; did you mean conv32k"):
            space.parse("res64 conv32")

    def test_label_of_no_action(self):
        with pytest.raises(SpaceError, match="which is no index of this space"):
            CIFAR.label((), -1)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"layers": []}, "the space has no layers; give at least one"),
            ({"layers": ["conv32k3"]}, "layer 0 of the space is 'conv32k3'; it must be a Convolution, ResidualBlock,"),
            (
                {"layers": [Pooling]},
                "layer 0 of the space is <class 'replaytree.space.layers.pooling.Pooling'>; it must",
            ),
            ({"layers": [ResidualBlock(8), ResidualBlock(8, width=0.5)]}, "layers 0 and 1 have the same label, 'res8'"),
            ({"input_shape": (32, 32)}, "input_shape is (32, 32); it must be (channels, height, width), each at least"),
            ({"input_shape": 32}, "input_shape is 32; it must be"),
            ({"num_classes": 1}, "num_classes is 1; it must be a whole number of at least 2"),
            ({"max_layers": 0}, "max_layers is 0; it must be a whole number of at least 1"),
            ({"max_layers": 2.0}, "max_layers is 2.0; it must be a whole number"),
            (
                {"layers": [Pooling("avg", 2, 2), Pooling("max", 3, 2)]},
                "no layer may follow a feature map of 3x1x1, which is reached before max_layers, 4; add a layer of "
                "stride 1, or lower max_layers (--max-layers)",
            ),
        ],
    )
    def test_what_cannot_be_a_space(self, change, message):
        options = {"layers": xu24(), "input_shape": (3, 8, 8), "num_classes": 10, "max_layers": 4} | change
        with pytest.raises(SpaceError, match=re.escape(message)):
            LayerSpace(options.pop("layers"), **options)

    def test_a_dead_end_beyond_max_layers_does_no_harm(self):
        space = LayerSpace([Pooling("avg", 2, 2)], input_shape=(3, 8, 8), num_classes=2, max_layers=3)
        assert space.output_shape((0, 0, 0)) == (3, 1, 1)
        assert space.legal((0, 0, 0)) == (False,)

    def test_layers_whose_shapes_never_repeat_do_not_hang_the_constructor(self):
        grow = CustomLayer("grow", lambda s: None, lambda s: (s[0] + 1, *s[1:]), lambda s: (0, 0))
        triple = CustomLayer("triple", lambda s: None, lambda s: (3 * s[0], *s[1:]), lambda s: (0, 0))
        space = LayerSpace([grow, triple], input_shape=(3, 8, 8), num_classes=2, max_layers=40)
        assert space.output_shape((0,) * 20 + (1,) * 2) == (207, 8, 8)
