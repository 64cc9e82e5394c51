"""What every named space builds is what its graph says: parameters, FLOPs, logits."""

import json
from collections import OrderedDict

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from replaytree.space.building import build_layer
from replaytree.space.graph import Graph


def test_networks_have_the_parameters_and_flops_of_their_graphs(every_space, random_paths):
    space = every_space()
    # Networks of cells are large.
    for path in random_paths(space, 12 if space.nested else 4, seed=1):
        for prefix in (path, path[: len(path) // 2]):
            graph = space.network(prefix)
            with torch.device("meta"):
                network = space.build(prefix, 10).eval()
                images = torch.zeros(1, *graph.input_shape)
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                logits = network(images)
            assert logits.shape == (1, 10)
            assert sum(parameter.numel() for parameter in network.parameters()) == graph.params
            assert counter.get_total_flops() == 2 * graph.flops


def test_graphs_come_back_from_json(every_space, random_paths):
    space = every_space()
    for path in random_paths(space, 12, seed=3):
        graph = space.network(path)
        assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


def test_the_source_of_every_layer_is_its_module(every_space, random_paths):
    space = every_space()
    # A layer is looked at once, at the maps that it first reads.
    found = {}
    for path in random_paths(space, 4, seed=4):
        for layer, shapes in space.network(path).parts():
            found.setdefault(layer, shapes)
    for layer, shapes in found.items():
        module = build_layer(layer, *shapes).eval()
        names = {"torch": torch, "nn": nn, "OrderedDict": OrderedDict}
        for definition in layer.definitions:
            exec(definition, names)
        written = eval(layer.source(*shapes), names).eval()
        written.load_state_dict(module.state_dict())
        maps = [torch.randn(2, *shape) for shape in shapes]
        with torch.no_grad():
            # The maps are read again: a module must not change them.
            torch.testing.assert_close(written(*maps), module(*maps))
            torch.testing.assert_close(written(*maps), module(*maps))


def test_labels_are_read_back(every_space, random_paths):
    space = every_space()
    for path in random_paths(space, 12, seed=2):
        words = [space.label(path[:depth], action) for depth, action in enumerate(path)]
        assert space.parse(" ".join(words)) == path
        assert space.parse(".".join(map(str, path))) == path
