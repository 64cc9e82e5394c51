import json
from dataclasses import replace

import pytest
from torch import nn

from replaytree.deliver.description import Description
from replaytree.errors import ModelError, SpaceError
from replaytree.space import CustomLayer


def test_round_trip(description):
    assert Description.from_json(description.to_json(), origin="x") == description
    assert description.labels == "conv32k4 res64s2 max3s1 conv32k3 avg2s2"


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"layers": []},
        {"layers": [{"type": "os.system", "command": "true"}]},
        {"layers": [{"type": "Convolution", "channels": -1, "kernel": 3}]},
        {"std": [0.0]},
        {"mean": [float("nan")]},
        {"mean": [0.1, 0.2]},
        {"classes": ["one"]},
        {"input_shape": [1, 8]},
        {"surprise": 1},
    ],
    ids=str,
)
def test_what_is_no_description(description, change):
    values = json.loads(description.to_json()) | change
    with pytest.raises(ModelError, match=r"m\.onnx"):
        Description.from_json(json.dumps(values), origin="m.onnx")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{"])
def test_other_text(text):
    with pytest.raises(ModelError, match="x does not describe a replaytree model"):
        Description.from_json(text, origin="x")


def test_a_layer_of_ones_own_is_not_written(description):
    own = replace(description, layers=(CustomLayer("mine", lambda shape: nn.Identity()),))
    with pytest.raises(SpaceError, match="'mine' is one of your own"):
        own.to_json()
