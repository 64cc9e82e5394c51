"""Zoph and Le's recurrent cells: both published vectors, shorter cells, and the size of the space."""

import re

import pytest
import torch

from replaytree.errors import SpaceError
from replaytree.space import DecisionSpace
from replaytree.space.nas_rnn import NasRnn
from replaytree.space.recurrent import C, CellNode, H, X
from replaytree.space.size import Size, size_of

NASCELL = NasRnn.published["NASCell"].path


def space(max_layers=16, *, words=10_000, **options):
    return DecisionSpace(NasRnn(input_shape=(1, 1, 1), num_classes=words, max_layers=max_layers, **options))


def built(path, **options):
    """The model of a path, and its parameters by name."""
    made = space(len(path.split()), **options)
    torch.manual_seed(0)
    return made.build(made.parse(path))


def test_the_published_vector_of_nascell():
    # tensorflow/addons, nas_cell_test.py: I = 4, H = 6, weights of 0.5, x of 1, 2 and 3, c = h = 0.1.
    model = built(NASCELL, words=3, hidden=6, embedding=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
        model.embedding.weight.copy_(torch.tensor([1.0, 2.0, 3.0])[:, None].expand(3, 4))
    _, (h, c) = model(torch.tensor([[0, 1, 2]]), torch.full((2, 3, 6), 0.1))
    expected_h = torch.tensor([0.57675076, 0.61893578, 0.62739344])[:, None].expand(3, 6)
    expected_c = torch.tensor([0.71579773, 0.78041636, 0.79457652])[:, None].expand(3, 6)
    torch.testing.assert_close(h, expected_h, atol=5e-8, rtol=1e-7)
    torch.testing.assert_close(c, expected_c, atol=5e-8, rtol=1e-7)


@pytest.mark.parametrize(("bias", "more"), [(False, 0), (True, 8 * 6)])
def test_nascell_has_the_published_parameters(bias, more):
    model = built(NASCELL, words=3, hidden=6, embedding=4, bias=bias)
    cell = [p for name, p in model.named_parameters() if name.startswith("leaf")]
    assert sum(parameter.numel() for parameter in cell) == 8 * 6 * (4 + 6) + more


def test_the_worked_example_of_base_2():
    # Zoph and Le, figure 5, on one number: the path that is sampled there.
    model = built("add-tanh mult-relu mult-sigmoid add-relu@0+c@1", words=2, hidden=1, base=2)
    with torch.no_grad():
        model.embedding.weight.copy_(torch.tensor([[0.5], [-1.0]]))
        for name, value in {
            "leaf0.weight0": 0.2,
            "leaf0.weight1": 0.4,
            "leaf1.weight0": 3.0,
            "leaf1.weight1": 2.0,
        }.items():
            model.get_parameter(name).fill_(value)
    x, h, c = 0.5, 0.25, 0.3
    # a0 = tanh(W1 x + W2 h) = tanh(0.2); a1 = relu(W3 x * W4 h) = relu(1.5 * 0.5).
    a0, before_a1 = torch.tanh(torch.tensor(0.2 * x + 0.4 * h)), torch.tensor(3.0 * x * 2.0 * h)
    injected = torch.relu(a0 + c)
    _, state = model(torch.tensor([[0]]), torch.tensor([[[h]], [[c]]]))
    assert state[0, 0, 0].item() == pytest.approx(torch.sigmoid(injected * torch.relu(before_a1)).item(), rel=1e-6)
    # The new c is leaf 1 before its activation: with x = -1 it is -1.5, and not 0.
    assert state[1, 0, 0].item() == pytest.approx(0.75, rel=1e-6)
    _, state = model(torch.tensor([[1]]), torch.tensor([[[h]], [[c]]]))
    assert state[1, 0, 0].item() == pytest.approx(-1.5, rel=1e-6)


def test_a_bias_is_added_to_the_product_with_h():
    # As TensorFlow's NASCell does it, which matters where the products are multiplied.
    model = built("mult-identity", words=2, hidden=1, base=2, bias=True)
    with torch.no_grad():
        model.embedding.weight.fill_(0.5)
        for name, value in {"leaf0.weight0": 4.0, "leaf0.weight1": 2.0, "leaf0.bias": 0.25}.items():
            model.get_parameter(name).fill_(value)
    _, state = model(torch.tensor([[0]]), torch.tensor([[[0.75]]]))
    assert state.item() == pytest.approx(4.0 * 0.5 * (2.0 * 0.75 + 0.25))


def test_a_whole_cell_by_hand():
    made = space(4, words=7, hidden=5, base=2)
    graph = made.network(made.parse("add-relu mult-tanh add-sigmoid mult-identity@2+c@2"))
    assert graph.nodes == (
        CellNode("leaf0", (X, H), "relu", 1, weighted=True),
        CellNode("leaf1", (X, H), "tanh", 2, combination="mult", weighted=True),
        CellNode("inner2", (0, 1), "sigmoid", 3),
        CellNode("inject", (2, C), "identity", 4, combination="mult"),
    )
    assert (graph.ends, graph.memory) == ((3,), 2)


def test_shorter_paths_are_smaller_cells():
    made = space(words=7, hidden=5)

    def drawn(path):
        graph = made.network(made.parse(path))
        return [(node.name, node.reads, node.label, node.depth) for node in graph.nodes], graph.ends, graph.memory

    assert drawn("mult-relu") == ([("leaf0", (X, H), "mult-relu", 1)], (0,), None)
    # Leaves 0 and 1 make node 8; leaf 2 is node 9 of a tree in which leaf 3 is not there.
    nodes = [
        ("leaf0", (X, H), "add-relu", 1), ("leaf1", (X, H), "add-relu", 2), ("leaf2", (X, H), "mult-tanh", 3),
        ("inner8", (0, 1), "add-tanh", 0), ("inner12", (3, 2), "add-tanh", 0),
    ]  # fmt: skip
    assert drawn("add-relu add-relu mult-tanh") == (nodes, (4,), None)
    # The first inner node is chosen, the others are not.
    nodes, ends, memory = drawn(" ".join(["add-relu"] * 8 + ["mult-identity"]))
    assert nodes[8:10] == [("inner8", (0, 1), "mult-identity", 9), ("inner9", (2, 3), "add-tanh", 0)]
    assert (len(nodes), ends, memory) == (15, (14,), None)


def test_what_reads_the_node_of_injection_reads_what_it_made():
    made = space(words=7, hidden=5)
    graph = made.network(made.parse(NASCELL))
    names = [node.name for node in graph.nodes]
    by_name = {node.name: [names[source] if source >= 0 else source for source in node.reads] for node in graph.nodes}
    assert by_name["inject"] == ["inner8", C]
    assert by_name["inner12"] == ["inject", "inner9"]
    assert names[graph.memory] == "inner12"
    assert by_name["inner14"] == ["inner12", "inner13"]


def test_the_size_of_the_space():
    # 8 choices for each of 15 nodes and for the injection, and two of 15 nodes: the paper's 6e16.
    assert size_of(space()) == Size(8**15 * 8 * 15**2, is_exact=True)
    assert f"{8**15 * 8 * 15**2:.2e}" == "6.33e+16"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("tanh", "layer 1 is 'tanh'; there it is a node, as in 'add-tanh'"),
        ("max-tanh", "layer 1 is 'max-tanh'; 'max' is none of add, mult"),
        ("add-sin", "layer 1 is 'add-sin'; 'sin' is none of identity, tanh, sigmoid, relu"),
        ("add-tanh add-tanh add-tanh add-tanh", "layer 4 is 'add-tanh'; there it is the memory, as in"),
        ("add-tanh add-tanh add-tanh add-tanh@3+c@0", "layer 4 is 'add-tanh@3+c@0'; nodes are 0 to 2"),
    ],
)
def test_words_that_are_no_layers(path, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        space(4, base=2).parse(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": 6}, "base of nas-rnn is 6; it must be 2, 4, 8, ... or 64 (--base)"),
        ({"base": 128}, "base of nas-rnn is 128; it must be"),
        ({"base": 1}, "base of nas-rnn (--base) is 1; it must be a whole number of at least 2"),
        ({"base": 2, "max_layers": 5}, "max_layers is 5; the cells of nas-rnn have at most 4 layers (--max-layers)"),
        ({"bias": 1}, "bias of nas-rnn (--bias) is 1; it must be True or False"),
    ],
)
def test_spaces_that_cannot_be_made(options, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        NasRnn(**{"input_shape": (1, 1, 1), "num_classes": 10, "max_layers": 4, **options})
