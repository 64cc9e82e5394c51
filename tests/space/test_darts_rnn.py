"""DARTS's recurrent cells: genotypes and back, a cell by hand, and published counts."""

import re

import pytest

from replaytree.errors import SpaceError
from replaytree.space import DecisionSpace
from replaytree.space.darts_rnn import ENAS, V1, V2, DartsRnn, genotype_of_path, path_of_genotype
from replaytree.space.enas_rnn import path_of_lm_tokens
from replaytree.space.recurrent import CellNode, H, X
from replaytree.space.size import Size, size_of


def space(max_layers=8, *, words=10_000, **options):
    return DecisionSpace(DartsRnn(input_shape=(1, 1, 1), num_classes=words, max_layers=max_layers, **options))


@pytest.mark.parametrize(("genotype", "layers"), [(V1, 8), (V2, 8), (ENAS, 11)])
def test_published_genotypes_are_read_back(genotype, layers):
    path = path_of_genotype(genotype)
    assert genotype_of_path(path) == genotype
    assert len(space(layers).parse(path)) == layers


def test_the_cells_as_they_are_printed():
    assert path_of_genotype(V1) == "relu@0 relu@1 tanh@2 relu@3 relu@4 identity@1 relu@5 relu@1"
    assert path_of_genotype(V2) == "sigmoid@0 relu@1 relu@1 identity@1 tanh@2 sigmoid@5 tanh@3 relu@5"


def test_what_the_cells_give():
    assert space().network(space().parse(path_of_genotype(V2))).ends == tuple(range(1, 9))
    # The list of unused nodes in the genotype of ENAS.
    loose = space(11, ends="loose")
    assert loose.network(loose.parse(path_of_genotype(ENAS))).ends == (2, 5, 6, 9, 10, 11)


def test_enas_lm_writes_the_second_cell_in_its_own_numbers():
    # There nodes count from 1, and the first, of tanh, is written.
    tokens = (0, 2, 1, 1, 1, 1, 1, 3, 2, 0, 5, 2, 3, 0, 5, 1)
    words = (f"{activation}@{source + 1}" for activation, source in V2)
    assert path_of_lm_tokens(tokens) == " ".join(["tanh", *words])


def test_a_cell_by_hand():
    small = space(2, words=7, hidden=5)
    graph = small.network(small.parse("sigmoid@0 identity@0"))
    assert graph.nodes == (
        CellNode("node0", (X, H), "tanh", 0, weighted=True, gated=True),
        CellNode("node1_in0", (0,), "sigmoid", 1, weighted=True, gated=True),
        CellNode("node2_in0", (0,), "identity", 2, weighted=True, gated=True),
    )
    assert graph.decoder_bias
    assert graph.ends == (1, 2)


@pytest.mark.parametrize(
    ("words", "hidden", "layers", "params"),
    [
        (10_000, 850, 8, 22_960_000),
        (10_000, 300, 8, 4_810_000),
        (33_278, 700, 8, 33_127_878),
        (10_000, 850, 11, 27_295_000),
    ],
)
def test_published_parameter_counts(words, hidden, layers, params):
    made = space(layers, words=words, hidden=hidden)
    assert made.cost(made.parse(" ".join(["tanh@0"] * layers)))[0] == params


def test_the_size_of_the_space():
    # 4 activations and an earlier node each.
    assert size_of(space()) == Size(4**8 * 40_320, is_exact=True)


@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        ((("gelu", 0),), "node 1 has 'gelu'; activations are tanh, relu, sigmoid, identity"),
        ((("tanh", 1),), "node 1 reads node 1; it may read 0 to 0"),
    ],
)
def test_what_is_no_genotype(genotype, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        path_of_genotype(genotype)
