"""Graphs of recurrent cells: costs by hand, files of JSON, and what cannot be a cell; and every named space of text."""

import json
import re
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from replaytree.errors import SpaceError
from replaytree.space.catalogue import meant, named_space
from replaytree.space.network import Row
from replaytree.space.recurrent import C, CellNode, H, RecurrentGraph, X
from replaytree.space.sketch import Box, Sketch

# A leaf, a highway that reads it, and their product; c is the leaf before its activation.
LEAF = CellNode("leaf", (X, H), "tanh", 1, weighted=True, bias=1.0)
HIGHWAY = CellNode("highway", (0,), "relu", 2, weighted=True, gated=True)
PRODUCT = CellNode("product", (0, 1, C), "identity", 0, combination="mult")


def graph(*nodes, ends=(2,), hidden=3, embedding=2, vocabulary=7, memory=0, **options):
    return RecurrentGraph(nodes or (LEAF, HIGHWAY, PRODUCT), ends, hidden, embedding, vocabulary, memory, **options)


def test_costs_by_hand():
    made = graph(decoder_bias=True)
    assert made.rows() == (
        Row("embedding", None, "embedding", ("word",), (2,), 14, 0),
        # 3x2 for x, 3x3 for h, and 3 biases.
        Row("leaf", 1, "add-tanh", ("x", "h"), (3,), 18, 15),
        Row("highway", 2, "highway-relu", ("leaf",), (3,), 18, 18),
        Row("product", None, "mult-identity", ("leaf", "highway", "c"), (3,), 0, 0),
        Row("projection", None, "projection", ("product",), (2,), 6, 6),
        Row("decoder", None, "tied-decoder", ("projection",), (7,), 7, 14),
    )
    assert (made.params, made.flops) == (63, 53)
    assert [made.own_params(depth) for depth in (1, 2, 3)] == [18, 18, 0]
    # x and c; the leaf, three of the highway, the product; three times the words.
    assert made.activations == 2 + 3 + 3 + 9 + 3 + 21
    # While logits are made: the product, the leaf (for c), the new h, and 7 logits.
    assert made.peak_bytes == 4 * (3 + 3 + 3 + 7)
    assert (made.states, graph(HIGHWAY_OF_H, ends=(0,), memory=None).states) == (2, 1)
    assert made.module_names == ("embedding", "leaf", "highway")


CELLS = [
    ("enas-rnn", "ENAS"),
    ("darts-rnn", "DARTS_V1"),
    ("darts-rnn", "DARTS_V2"),
    ("nas-rnn", "NASCell"),
    ("plain-rnn", "rnn"),
    ("plain-rnn", "lstm"),
]


@pytest.mark.parametrize(("name", "path"), CELLS)
def test_what_is_kept_for_the_backward_pass_is_what_torch_keeps(name, path):
    each = meant(name, path)
    written = each.path if each else path
    space = named_space(name, input_shape=(1, 1, 1), num_classes=11, max_layers=len(written.split()), hidden=50)
    model = space.build(space.parse(written))
    # Not of a word: parameters, the first state, and the copies of matrices side by side.
    state = model.initial_state(3)
    kept, own = {}, {tensor.untyped_storage().data_ptr() for tensor in (state, *model.parameters())}
    copies = sum(parameter.numel() for name, parameter in model.named_parameters() if "weight" in name) - 11 * 50
    words = torch.arange(8 * 3).view(8, 3) % 11

    def look(tensor):
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (tensor, storage.nbytes() // 4)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor):
        model.outputs(words, state)
    found = (sum(size for _, size in kept.values()) - copies) / words.numel()
    # What the decoder keeps is beside this.
    assert found <= model.graph.activations - 3 * 11 <= 1.3 * found


def test_a_cell_to_be_drawn_by_hand():
    assert graph().sketch() == Sketch(
        "The recurrent cell",
        (Box("x", ("the word",)), Box("h", ("the state before",)), Box("c", ("the memory before",))),
        (
            Box("leaf", ("add-tanh",), (0, 1), 1),
            Box("highway", ("highway-relu",), (3,), 2),
            Box("product", ("mult-identity",), (3, 4, 2)),
        ),
        (Box("new h", ("product",), (5,)), Box("new c", ("leaf, before activation",), (3,))),
    )
    two = graph(HIGHWAY_OF_H, replace(HIGHWAY_OF_H, name="node12_in3"), ends=(0, 1), memory=None).sketch()
    assert [box.title for box in (*two.inputs, *two.nodes)] == ["x", "h", "highway", "node 12"]
    assert two.outputs == (Box("new h", ("mean of highway, 12",), (2, 3)),)


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((2,), "node 2"),
        ((1, 2, 3), "mean of 1 to 3"),
        ((1, 3), "mean of 1, 3"),
        ((1, 3, 5, 7, 9, 11, 13, 14), "mean of 8 nodes"),
    ],
)
def test_the_new_h_in_few_words(ends, words):
    nodes = (replace(HIGHWAY_OF_H, name=f"node{number}") for number in range(15))
    [output] = graph(*nodes, ends=ends, memory=None).sketch().outputs
    assert output.lines == (words,)


def test_every_space_of_text_draws_its_cells(every_text_space, random_paths):
    space = every_text_space()
    for path in random_paths(space, 6, seed=4):
        [sketch] = space.plan.sketches(path)
        assert [box.depth for box in sketch.nodes if box.depth] == sorted(
            box.depth for box in sketch.nodes if box.depth
        )
        for place, box in enumerate(sketch.nodes, start=len(sketch.inputs)):
            assert all(source < place for source in box.reads)


HIGHWAY_OF_H = CellNode("highway", (X, H), "relu", 1, weighted=True, gated=True)


def test_networks_have_the_parameters_and_flops_of_their_graphs(every_text_space, random_paths):
    for options in ({}, {"embedding": 4}):
        space = every_text_space(**options)
        for path in random_paths(space, 6, seed=1):
            for prefix in (path, path[:1]):
                made = space.network(prefix)
                network = space.build(prefix, 10)
                assert sum(parameter.numel() for parameter in network.parameters()) == made.with_classes(10).params
                with torch.no_grad(), FlopCounterMode(display=False) as counter:
                    logits, state = network(torch.zeros(1, 1, dtype=torch.long), network.initial_state(1))
                assert logits.shape == (1, 1, 10)
                assert state.shape == (made.states, 1, 6)
                assert counter.get_total_flops() == 2 * made.with_classes(10).flops


def test_a_path_of_no_layers_is_a_network_as_in_all_spaces(every_text_space):
    space = every_text_space()
    made, model = space.network(()), space.build(())
    assert space.output_shape(()) == (6, 1, 1)
    words = torch.tensor([[1, 1], [2, 1]])
    logits, state = model(words, model.initial_state(2))
    assert state.shape == (made.states, 2, 6)
    # But for node 0 of DARTS, which all paths have, it sees the last word alone.
    assert torch.allclose(logits[0, 0], logits[1, 1], atol=1e-5) is (space.name != "darts-rnn")


def test_graphs_come_back_from_json(every_text_space, random_paths):
    space = every_text_space()
    for path in random_paths(space, 6, seed=3):
        made = space.network(path)
        assert RecurrentGraph.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_labels_are_read_back(every_text_space, random_paths):
    space = every_text_space()
    for path in random_paths(space, 12, seed=2):
        assert space.parse(" ".join(space.labels(path))) == path
        assert space.parse(".".join(map(str, path))) == path


@pytest.mark.parametrize(
    ("nodes", "options", "message"),
    [
        ((CellNode("a", (), "tanh", 1),), {}, "node a of the cell reads nothing; give it at least one input"),
        ((CellNode("a", (0,), "tanh", 1),), {}, "node a of the cell reads 0; it may read -3 to -1"),
        ((CellNode("a", (C,), "tanh", 1),), {"memory": None}, "node a of the cell reads -3; it may read -2 to -1"),
        ((CellNode("a b", (H,), "tanh", 1),), {}, "node 0 is named 'a b'; it must be a Python name"),
        ((LEAF, LEAF), {}, "node 1 is named 'leaf'; it must be a Python name that no other has"),
        ((CellNode("a", (H,), "gelu", 1),), {}, "node a of the cell is 'add', 'gelu'; there are add, mult and tanh"),
        ((CellNode("a", (X,), "tanh", 1),), {}, "node a of the cell reads x without a matrix, and x has another size"),
        ((CellNode("a", (H,), "tanh", 1, gated=True),), {}, "node a of the cell is gated; such a node adds products"),
        ((CellNode("a", (H,), "tanh", 1, bias=0.0),), {}, "node a of the cell has the bias 0.0; only a node with"),
        ((CellNode("a", (H, H), "tanh", 1, weighted=True),), {}, "node a of the cell reads one thing twice"),
        ((LEAF,), {"ends": (1,)}, "the new h reads 1; it may read 0 to 0"),
        ((LEAF, HIGHWAY), {"ends": (1,), "memory": 1}, "node highway is gated, and the new c is no highway's"),
        ((LEAF,), {"hidden": 0}, "hidden of a recurrent cell is 0; it must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be_a_cell(nodes, options, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        graph(*nodes, **{"ends": (0,), **options})


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("cell"),
        lambda values: values["cell"][0].update(reads="x"),
        lambda values: values["cell"][0].update(activation=["tanh"]),
        lambda values: values["cell"][0].update(own=1),
        lambda values: values["cell"][0].update(weighted=1),
        lambda values: values["cell"][0].update(depth="1"),
        lambda values: values.update(hidden="3"),
        lambda values: values.update(memory="0"),
    ],
)
def test_json_that_describes_no_cell(change):
    values = graph().to_json()
    change(values)
    with pytest.raises(SpaceError):
        RecurrentGraph.from_json(values)
