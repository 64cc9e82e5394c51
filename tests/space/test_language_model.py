"""Language models with recurrent cells: a step by hand, carried states, and perplexity V before any training."""

import math

import pytest
import torch
from torch.nn import functional

from replaytree.space import DecisionSpace
from replaytree.space.enas_rnn import EnasRnn
from replaytree.space.language_model import LanguageModel

PATH = "tanh relu@1 sigmoid@1 identity@2"


def model(path=PATH, *, words=11, seed=0, **options):
    space = DecisionSpace(EnasRnn(input_shape=(1, 1, 1), num_classes=words, max_layers=12, **options))
    torch.manual_seed(seed)
    return space.build(space.parse(path))


def highway(before, product, activation):
    inner, gate = product.chunk(2, dim=-1)
    gate = torch.sigmoid(gate)
    return before + gate * (activation(inner) - before)


def test_a_word_by_hand():
    net = model(hidden=6)
    words = torch.tensor([[3, 10]])
    state = torch.rand(1, 2, 6)
    logits, after = net(words, state)
    x, h = net.embedding.weight[words[0]], state[0]
    first = highway(h, x @ net.node1.weight0.T + h @ net.node1.weight1.T, torch.tanh)
    second = highway(first, first @ net.node2_in1.weight0.T, torch.relu)
    third = highway(first, first @ net.node3_in1.weight0.T, torch.sigmoid)
    fourth = highway(second, second @ net.node4_in2.weight0.T, lambda values: values)
    expected = (third + fourth) / 2
    assert torch.allclose(after[0], expected, atol=1e-6)
    assert torch.allclose(logits[0], expected @ net.embedding.weight.T, atol=1e-6)


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


@pytest.mark.parametrize("which", ["embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout"])
def test_a_dropout_acts_in_training_only_and_keeps_the_mean(which):
    net = model(hidden=8)
    words = torch.randint(11, (3, 2), generator=torch.Generator().manual_seed(1))
    still, _ = net(words, net.initial_state(2))
    setattr(net, which, 0.5)
    assert not torch.equal(net(words, net.initial_state(2))[0], still)
    assert torch.equal(net.eval()(words, net.initial_state(2))[0], still)


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


def test_an_output_mask_is_one_for_all_words_of_a_chunk():
    net = model(hidden=8)
    net.output_dropout = 0.5
    words = torch.zeros(2, 1, dtype=torch.long)
    outputs = torch.ones(2, 1, 8)
    torch.manual_seed(3)
    first, second = net.decoded(outputs)
    assert torch.equal(first, second)
    assert words.shape == (2, 1)
