import json
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.description import FORMAT, Accuracies, Description
from replaytree.errors import ModelError, SpaceError
from replaytree.space import Classifier, CustomLayer
from replaytree.space.layers import layer_to_json

from .conftest import LABELS, layers, network


def test_round_trip(description):
    full = replace(
        description, mirror=True, training={"epochs": 2, "mirror": True}, trained_on="a", measured_on="b",
        max_params=10, max_flops=None, plain=Accuracies(test=0.25), mirrored=Accuracies(test=0.5),
    )  # fmt: skip
    assert Description.from_json(full.to_json(), origin="x") == full
    assert description.labels == "conv32k4 res64s2 max3s1 conv32k3 avg2s2"


def test_the_accuracy_is_that_of_the_way_it_predicts(description):
    measured = replace(description, plain=Accuracies(test=0.25), mirrored=Accuracies(validation=0.5))
    assert (measured.test_accuracy, measured.validation_accuracy) == (0.25, None)
    mirrored = replace(measured, mirror=True)
    assert (mirrored.test_accuracy, mirrored.validation_accuracy) == (None, 0.5)


@pytest.mark.parametrize("mirror", [False, True])
def test_its_costs_are_those_that_torch_counts(description, mirror):
    described = replace(description, mirror=mirror)
    network = Deployed(described).eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros((1, *described.input_shape), dtype=torch.uint8))
    assert described.flops == counter.get_total_flops() // 2
    assert described.params == sum(p.numel() for p in network.parameters())


def test_where_images_lie_and_how_accuracy_is_measured_is_no_part_of_the_identity(description, digits):
    same = replace(
        description, data={"dataset": "moved"}, measured_on="other", mirror=True, search="renamed", node_id=7,
        training={"mirror": True}, plain=Accuracies(test=1.0), max_flops=3,
    )  # fmt: skip
    assert same.identity == description.identity
    for change in ({"trained_on": "other"}, {"seed": 1}, {"training": {"cutout": 3}}, {"std": (0.5,)}):
        assert replace(description, **change).identity != description.identity
    wider = network(digits, *layers(*LABELS, width=0.5))["graph"]
    assert replace(description, graph=wider).identity != description.identity
    flat = replace(description.graph, head=Classifier(10, "flatten"))
    assert replace(description, graph=flat).identity != description.identity


CONVOLUTION = {"type": "Convolution", "channels": 32, "kernel": 3, "stride": 1, "width": 1.0}


def graph(*own, **change):
    nodes = [{"name": f"layer{n}", "layer": layer, "inputs": [n - 2], "depth": n} for n, layer in enumerate(own, 1)]
    head = {"type": "Classifier", "num_classes": 10, "pool": "average"}
    return {
        "input_shape": [1, 8, 8], "nodes": nodes, "ends": [len(nodes) - 1], "merge": None, "head": head, **change
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"graph": 3},
        {"graph": graph()},
        {"graph": graph({"type": "os.system", "command": "true"})},
        {"graph": graph(CONVOLUTION | {"channels": -1})},
        {"graph": graph(CONVOLUTION | {"width": 1e300, "channels": 10**30})},
        {"graph": graph(CONVOLUTION | {"stride": 99})},
        {"graph": graph(CONVOLUTION, head={"type": "Classifier", "num_classes": 9})},
        {"graph": graph(CONVOLUTION, head={"type": "Concatenation"})},
        {"graph": graph(CONVOLUTION, input_shape=[1, 8])},
        {"graph": graph(CONVOLUTION, input_shape=[1, 10**6, 10**6])},
        {"labels": 3},
        {"labels": "conv\n"},
        {"std": [0.0]},
        {"std": ["1"]},
        {"mean": [0.1, 0.2]},
        {"classes": ["one"]},
        {"classes": ["one", 2]},
        {"mirror": "no"},
        {"seed": "0"},
        {"seed": True},
        {"node_id": 1.5},
        {"search": 3},
        {"training": []},
        {"plain": {"test": 1.5, "validation": None}},
        {"plain": {"test": "high", "validation": None}},
        {"plain": None},
        {"data": {"dataset": "digits", "evil": 1}},
        {"data": {"dataset": 5}},
        {"data": "digits"},
        {"ranges": {"I": ["a", 1]}},
        {"ranges": []},
        {"surprise": 1},
    ],
    ids=str,
)
def test_what_is_no_description(description, change):
    values = json.loads(description.to_json()) | change
    with pytest.raises(ModelError, match=r"m\.onnx does not describe"):
        Description.from_json(json.dumps(values), origin="m.onnx")


def test_a_file_of_format_2_is_a_chain(description):
    values = json.loads(description.to_json())
    del values["graph"], values["labels"]
    values |= {"format": 2, "input_shape": [1, 8, 8], "layers": [layer_to_json(layer) for layer in layers(*LABELS)]}
    assert Description.from_json(json.dumps(values), origin="x") == description
    with pytest.raises(ModelError, match=r"does not describe .*KeyError"):
        Description.from_json(json.dumps(values | {"format": FORMAT}), origin="x")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{", '{"format": NaN}', '{"a": -Infinity}', "[" * 10**5])
def test_other_text(text):
    with pytest.raises(ModelError, match="x does not describe a replaytree model"):
        Description.from_json(text, origin="x")


def test_other_versions(description):
    for found, message in ((FORMAT + 1, "newer replaytree .*upgrade"), (1, "older replaytree.*anew")):
        values = json.loads(description.to_json()) | {"format": found}
        with pytest.raises(ModelError, match=message):
            Description.from_json(json.dumps(values), origin="x")


def test_a_layer_of_ones_own_is_not_written(description, digits):
    own = replace(description, graph=network(digits, CustomLayer("mine", lambda shape: nn.Identity()))["graph"])
    with pytest.raises(SpaceError, match=r"'mine' is one of your own.*folder=None"):
        own.to_json()


def test_fewer_large_images_at_a_time(description):
    assert description.batch == 256
    # 8 channels of 1024x1024 and more: over 2^28 bytes an image.
    assert replace(description, graph=replace(description.graph, input_shape=(1, 1024, 1024))).batch == 1
