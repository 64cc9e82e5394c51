"""Language models with recurrent cells: a step by hand, carried states, and perplexity V before any training."""

import math

import pytest
import torch
from torch.nn import functional

from replaytree.space import DecisionSpace
from replaytree.space.enas_rnn import EnasRnn
from replaytree.space.language_model import LanguageModel
from replaytree.space.recurrent import CellNode, H, RecurrentGraph, X

PATH = "tanh relu@1 sigmoid@1 identity@2"


def model(path=PATH, *, words=11, seed=0, **options):
    space = DecisionSpace(EnasRnn(input_shape=(1, 1, 1), num_classes=words, max_layers=12, **options))
    torch.manual_seed(seed)
    return space.build(space.parse(path))


def highway(before, product, activation):
    inner, gate = product.chunk(2, dim=-1)
    gate = torch.sigmoid(gate)
    return before + gate * (activation(inner) - before)


def by_hand(net, words, state, *, words_kept=1.0, x_kept=1.0, states_kept=1.0, outputs_kept=1.0):
    """The logits of a chunk, and the state behind it, with these factors of dropout."""
    embedding, h, logits = net.embedding.weight * words_kept, state[0], []
    for row in words:
        x = embedding[row] * x_kept
        first = highway(h, x @ net.node1.weight0.T + (h * states_kept) @ net.node1.weight1.T, torch.tanh)
        second = highway(first, (first * states_kept) @ net.node2_in1.weight0.T, torch.relu)
        third = highway(first, (first * states_kept) @ net.node3_in1.weight0.T, torch.sigmoid)
        fourth = highway(second, (second * states_kept) @ net.node4_in2.weight0.T, lambda values: values)
        h = (third + fourth) / 2
        logits.append((h * outputs_kept) @ net.embedding.weight.T)
    return torch.stack(logits), h[None]


def test_two_words_by_hand():
    net = model(hidden=6)
    words, state = torch.tensor([[3, 10], [4, 3]]), torch.rand(1, 2, 6)
    logits, after = net(words, state)
    expected, last = by_hand(net, words, state)
    assert torch.allclose(after, last, atol=1e-6)
    assert torch.allclose(logits, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("rate", "factor", "shape"),
    [
        # A word is dropped wherever it stands.
        ("embedding_dropout", "words_kept", (11, 1)),
        ("input_dropout", "x_kept", (2, 6)),
        # Of what matrices multiply, and not of what a highway carries on.
        ("hidden_dropout", "states_kept", (2, 6)),
        ("output_dropout", "outputs_kept", (2, 6)),
    ],
)
def test_a_dropout_has_one_mask_for_all_words_of_a_chunk(rate, factor, shape):
    net = model(hidden=6)
    words, state = torch.tensor([[3, 10], [4, 3]]), torch.rand(1, 2, 6)
    still, _ = net(words, state)
    setattr(net, rate, 0.25)
    torch.manual_seed(7)
    kept = functional.dropout(torch.ones(shape), 0.25)
    assert {0.0} < set(kept.unique().tolist())
    assert kept.max().item() == pytest.approx(4 / 3)
    torch.manual_seed(7)
    logits, after = net(words, state)
    expected, last = by_hand(net, words, state, **{factor: kept})
    assert torch.allclose(logits, expected, atol=1e-6)
    assert torch.allclose(after, last, atol=1e-6)
    assert not torch.allclose(logits, still, atol=1e-3)
    assert torch.equal(net.eval()(words, state)[0], still)


def test_a_long_text_in_pieces_gives_the_same_logits():
    net = model(hidden=8, embedding=5)
    words = torch.randint(11, (9, 3), generator=torch.Generator().manual_seed(1))
    whole, end = net(words, net.initial_state(3))
    first, carried = net(words[:4], net.initial_state(3))
    second, last = net(words[4:], carried)
    assert torch.allclose(torch.cat([first, second]), whole, atol=1e-6)
    assert torch.allclose(last, end, atol=1e-6)
    # The state matters: without it the second piece is another text.
    assert not torch.allclose(net(words[4:], net.initial_state(3))[0], whole[4:], atol=1e-3)


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary():
    net = model(words=50, hidden=8)
    torch.nn.init.zeros_(net.embedding.weight)
    words = torch.arange(40).view(20, 2)
    logits, _ = net(words, net.initial_state(2))
    loss = functional.cross_entropy(logits.flatten(0, 1), words.flatten()).item()
    assert math.exp(loss) == pytest.approx(50, rel=1e-6)


def test_columns_do_not_see_each_other():
    net = model(hidden=8)
    words = torch.randint(11, (5, 3), generator=torch.Generator().manual_seed(1))
    together, _ = net(words, net.initial_state(3))
    alone, _ = net(words[:, 1:2], net.initial_state(1))
    assert torch.allclose(together[:, 1:2], alone, atol=1e-6)


def test_parameters_are_those_that_were_counted():
    for options in ({"hidden": 8}, {"hidden": 8, "embedding": 5}):
        net = model(**options)
        assert isinstance(net, LanguageModel)
        assert sum(parameter.numel() for parameter in net.parameters()) == net.graph.params


@pytest.mark.parametrize("path", [PATH, "tanh"])
def test_mixed_precision_is_of_the_decoder_alone(path):
    net = model(path, hidden=8)
    words = torch.randint(11, (5, 3), generator=torch.Generator().manual_seed(1))
    logits, state = net(words, net.initial_state(3))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, same = net(words, net.initial_state(3))
    assert torch.equal(same, state)
    assert rounded.dtype == torch.bfloat16
    assert torch.allclose(rounded.float(), logits, atol=0.02)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        # x without a matrix, and a cell that does not look at the word at all.
        ((CellNode("sum", (X, H), "identity", 1),), lambda x, h, w: x + h),
        ((CellNode("next", (H,), "tanh", 1, weighted=True),), lambda x, h, w: torch.tanh(h @ w.T)),
    ],
)
def test_cells_of_other_shapes(nodes, expected):
    net = LanguageModel(RecurrentGraph(nodes, (0,), hidden=6, embedding=6, vocabulary=11))
    words, state = torch.tensor([[3, 10]]), torch.rand(1, 2, 6)
    _, after = net(words, state)
    weight = net.next.weight0 if nodes[0].weighted else None
    assert torch.allclose(after[0], expected(net.embedding.weight[words[0]], state[0], weight), atol=1e-6)
