from itertools import groupby
from typing import ClassVar

import pytest
import torch
from torch import nn

from replaytree import PathEvaluation, ReplayTree
from replaytree.deliver import latency
from replaytree.deliver.latency import FromBytes, latencies, measure_latencies, measured_table, onnx_runner
from replaytree.space import Convolution, Pooling
from replaytree.space.catalogue import named_space
from replaytree.space.latency_table import distinct_layers, key_of
from replaytree.space.layers import Classifier
from replaytree.tree import Episode


class Timed:
    """Takes `seconds` of a clock of its own; the first run of all takes much longer, as a cold start does."""

    now = 0.0
    order: ClassVar[list[float]] = []

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self):
        assert torch.get_num_threads() == 1
        Timed.order.append(self.seconds)
        Timed.now += self.seconds if len(Timed.order) > 1 else 0.39


def test_latencies_are_medians_in_turn_whatever_comes_first():
    Timed.order.clear()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = latencies([Timed(0.002), Timed(0.001), Timed(0.004)], clock=lambda: Timed.now)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert found == pytest.approx([2.0, 1.0, 4.0])
    turns = [seconds for seconds, _ in groupby(Timed.order)]
    there, back = [0.002, 0.001, 0.004], [0.001, 0.002]
    assert turns == [*there, *back, 0.001, 0.004, *back, 0.001, 0.004]


def test_the_file_that_is_timed_computes_what_the_network_does():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten()).eval()
    (found,) = onnx_runner(FromBytes(network), [(3, 8, 8)])()
    # A byte of 0 is -2 after the normalisation.
    torch.testing.assert_close(torch.from_numpy(found), network(torch.full((1, 3, 8, 8), -2.0)).detach())


def test_every_layer_is_measured_with_the_heads():
    space = named_space("xu24", input_shape=(1, 8, 8), num_classes=4, max_layers=1, width=0.25)
    parts = distinct_layers(space)[:7]
    steps = [(done, len(table.layers)) for done, table in measured_table(parts, (1, 8, 8), at_once=3)]
    assert steps == [(3, 3), (6, 6), (7, 7)]
    *_, (_, table) = measured_table(parts, (1, 8, 8))
    assert set(table.layers) == {key_of(*part) for part in parts}
    assert table.network > 0.0


def test_a_layer_takes_its_time_less_that_of_a_call(monkeypatch):
    parts = [(Convolution(2, 3), ((1, 4, 4),)), (Pooling("max", 2, 2), ((1, 4, 4),)), (Classifier(2), ((1, 2, 2),))]
    # The call and the layers, then the network without layers; of two layers, and of the third.
    times = iter([[0.5, 2.0, 0.25], [3.0], [1.0, 1.5], [5.0]])
    monkeypatch.setattr(latency, "latencies", lambda runners: next(times))
    monkeypatch.setattr(latency, "onnx_runner", lambda module, shapes: None)
    *_, (_, table) = measured_table(parts, (1, 4, 4), at_once=2)
    # None takes less than nothing.
    assert [table.layers[key_of(*part)] for part in parts] == [1.5, 0.0, 0.5]
    assert table.network == 4.0


def test_networks_are_timed_in_onnxruntime_or_else_in_pytorch(monkeypatch):
    space = named_space("xu24", input_shape=(3, 8, 8), num_classes=4, max_layers=2, width=0.25)
    tree = ReplayTree.create("sqlite://", "s", space=space, seed=0, config_json='{"seed": 0}', versions={})
    tree.record([Episode((0, 5), "sample", 2, 4, True, PathEvaluation([0.5, 0.6]))], state=b"")
    nodes, cpu = tree.best(2), torch.device("cpu")
    found = measure_latencies(tree, nodes, device=cpu)
    assert (found.runtime, len(found.milliseconds)) == ("onnxruntime", 2)
    assert min(found.milliseconds) > 0.0
    monkeypatch.setattr(latency, "has_onnxruntime", lambda: False)
    monkeypatch.setattr(latency, "onnx_runner", None)
    assert measure_latencies(tree, nodes, device=cpu).runtime == "pytorch"
