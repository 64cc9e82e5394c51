"""ENAS's recurrent cells: tokens, a cell by hand, published counts, and the size of the space."""

import math
import re

import pytest

from replaytree.errors import SpaceError
from replaytree.space import DecisionSpace
from replaytree.space.enas_rnn import (
    LM_TOKENS,
    RELEASED_TOKENS,
    EnasRnn,
    path_of_lm_tokens,
    path_of_tokens,
    tokens_of_path,
)
from replaytree.space.recurrent import CellNode, H, X
from replaytree.space.size import Size, size_of


def space(max_layers=12, *, words=10_000, **options):
    return DecisionSpace(EnasRnn(input_shape=(1, 1, 1), num_classes=words, max_layers=max_layers, **options))


def test_the_released_cell_from_its_tokens_and_back():
    path = path_of_tokens(RELEASED_TOKENS)
    assert path == "tanh tanh@1 relu@2 relu@3 tanh@3 tanh@3 relu@6 tanh@2 relu@7 relu@9 relu@9 relu@9"
    assert tokens_of_path(path) == RELEASED_TOKENS
    # Nodes 4, 5, 8, 10, 11 and 12 are read by none.
    assert space().network(space().parse(path)).ends == (3, 4, 7, 9, 10, 11)


def test_enas_lm_swaps_two_activations_and_leaves_the_first_node_out():
    path = path_of_lm_tokens(LM_TOKENS)
    assert path == "tanh sigmoid@1 tanh@2 relu@3 sigmoid@3 tanh@5 tanh@6 sigmoid@4 sigmoid@7"


def test_a_cell_by_hand():
    small = space(4, words=7, hidden=5)
    graph = small.network(small.parse("relu sigmoid@1 tanh@1 identity@2"))
    assert graph.nodes == (
        CellNode("node1", (X, H), "relu", 1, weighted=True, gated=True),
        CellNode("node2_in1", (0,), "sigmoid", 2, weighted=True, gated=True),
        CellNode("node3_in1", (0,), "tanh", 3, weighted=True, gated=True),
        CellNode("node4_in2", (1,), "identity", 4, weighted=True, gated=True),
    )
    assert graph.ends == (2, 3)
    assert graph.memory is None
    assert small.output_shape(small.parse("relu")) == (5, 1, 1)
    everything = space(4, words=7, hidden=5, ends="all")
    assert everything.network(everything.parse("relu sigmoid@1 tanh@1 identity@2")).ends == (1, 2, 3)
    assert everything.network(everything.parse("relu")).ends == (0,)


@pytest.mark.parametrize(
    ("hidden", "nodes", "params"),
    [(720, 12, 20_678_400), (748, 12, 22_027_104), (788, 12, 24_024_544), (800, 9, 20_800_000), (200, 10, 2_880_000)],
)
def test_published_parameter_counts(hidden, nodes, params):
    made = space(hidden=hidden)
    path = made.parse(" ".join(["tanh", *["relu@1"] * (nodes - 1)]))
    # 4 H^2 of the first node, 2 H^2 of each other one, and the embedding: one multiply-add each.
    assert made.cost(path) == (params, params)


def test_the_space_has_the_published_size():
    assert size_of(space()) == Size(4**12 * math.factorial(11), is_exact=True)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("relu@1", "layer 1 is 'relu@1'; there it is an activation, as in 'tanh'"),
        ("tanh relu", "layer 2 is 'relu'; there it is an activation and the node that it reads, as in 'tanh@1'"),
        ("tanh relu@2", "layer 2 is 'relu@2'; it may read node 1, and '2' is none of them"),
        ("gelu", "'gelu' is no activation of enas-rnn, which are tanh, relu, identity, sigmoid"),
    ],
)
def test_words_that_are_no_layers(path, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        space().parse(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (3, 32, 32)}, "enas-rnn is for text, one word at a time (shape 1x1x1), and not for images"),
        ({"hidden": 0}, "hidden of enas-rnn (--hidden) is 0; it must be a whole number of at least 1"),
        ({"embedding": 0}, "embedding of enas-rnn (--embedding) is 0; it must be a whole number of at least 1"),
        ({"ends": "some"}, "ends of enas-rnn is 'some'; it must be loose or all (--ends)"),
        ({"max_layers": 33}, "max_layers is 33; the cells of enas-rnn have at most 32 layers (--max-layers)"),
    ],
)
def test_spaces_that_cannot_be_made(options, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        EnasRnn(**{"input_shape": (1, 1, 1), "num_classes": 10, "max_layers": 4, **options})


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ((0, 0), "the cell has 2 numbers; there is one for the first node, and two for others"),
        ((0, 0, 4), "the cell has activation 4; they are 0 to 3"),
        ((0, 1, 0), "node 1 of the cell reads node 1; it may read 0 to 0"),
    ],
)
def test_numbers_that_are_no_cell(tokens, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        path_of_tokens(tokens)
