import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from replaytree.data import TextData
from replaytree.networks.reading import Reading
from replaytree.space.catalogue import named_space
from replaytree.training.averaging import TriggeredAverage
from replaytree.training.diverged import Diverged
from replaytree.training.loop import Training
from replaytree.training.recipe import Recipe
from replaytree.training.text import MOST_NATS, chunks, columns, likelihood, nats

RECIPE = Recipe(
    batch_size=4, learning_rate=1.0, momentum=0.0, weight_decay=1e-3, label_smoothing=0.0, schedule="constant",
    grad_clip=0.05, bptt=6,
)  # fmt: skip
WORDS = ("the", "cat", "sat", "ran", "<eos>", "<unk>")


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    train_N, val_N = (torch.randint(len(WORDS), (count,), generator=generator) for count in (82, 33))
    return TextData.of_words("cats", WORDS, train_N, val_N)


def model(seed=0):
    """A cell of three nodes of hidden size 5."""
    space = named_space("enas-rnn", input_shape=(1, 1, 1), num_classes=len(WORDS), max_layers=3, hidden=5)
    torch.manual_seed(seed)
    return Reading(space.build(space.parse("tanh relu@1 sigmoid@2"), len(WORDS)))


class Fixed(nn.Module):
    """Gives every word the same logits, and counts what it has read."""

    def __init__(self, logits_V):
        super().__init__()
        self.logits_V = nn.Parameter(torch.as_tensor(logits_V))

    def initial_state(self, batch):
        return torch.zeros(1, batch, 1)

    def forward(self, words_TB, state_SBH):
        return self.logits_V.expand(*words_TB.shape, -1), state_SBH + len(words_TB)


def test_columns_and_chunks_by_hand():
    words, nexts = columns(torch.arange(12), 2)
    # 11 pairs are 2 columns of 5; the last pair is left out.
    assert words.T.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert nexts.T.tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    found = [(inputs.tolist(), labels.tolist()) for inputs, labels in chunks(words, nexts, rows=4)]
    # Not 4 rows and 1, but 3 and 2.
    assert found == [([[0, 5], [1, 6], [2, 7]], [1, 6, 2, 7, 3, 8]), ([[3, 8], [4, 9]], [4, 9, 5, 10])]
    with pytest.raises(ValueError, match="4 words fill no 4 columns"):
        columns(torch.arange(4), 4)


@pytest.mark.parametrize("number", [1, 3, 10])
def test_a_model_that_knows_nothing_has_the_perplexity_of_the_vocabulary(number):
    text_N = torch.arange(23) % 10_000
    uniform = Reading(Fixed(torch.zeros(10_000)))
    assert nats(uniform, text_N, rows=5, number=number) == pytest.approx(math.log(10_000), rel=1e-6)
    assert 1 / likelihood(uniform, text_N, rows=5, number=number) == pytest.approx(10_000, rel=1e-5)


@pytest.mark.parametrize("number", [1, 4, 10, 50])
def test_every_word_but_the_first_is_predicted_once(number):
    logits = torch.tensor([0.0, 1.0, 2.0])
    text_N = torch.tensor([2, 0, 0, 1, 2, 1, 0, 2, 1, 1, 2])
    losses = -torch.log_softmax(logits, 0)[text_N[1:]]
    assert nats(Reading(Fixed(logits)), text_N, rows=2, number=number) == pytest.approx(losses.mean().item(), rel=1e-6)


def test_the_state_is_carried_over_the_whole_text(data):
    network = model()
    state = network.network.initial_state(1)
    losses = []
    for word, following in zip(data.val_N[:-1], data.val_N[1:], strict=True):
        logits, state = network.network(word.view(1, 1), state)
        losses.append(functional.cross_entropy(logits[0], following.view(1)).item())
    by_hand = sum(losses) / len(losses)
    for rows in (1, 7, 100):
        assert nats(network, data.val_N, rows=rows, number=1) == pytest.approx(by_hand, rel=1e-5)
    assert nats(network, data.val_N, rows=7, number=8) != pytest.approx(by_hand, rel=1e-5)


def test_training_is_a_plain_loop_of_torch(data):
    network, plain = model(), model().network
    training = Training(network, data, epochs=2, recipe=RECIPE, seed=0)
    training.run(until=2)

    optimizer = torch.optim.SGD(plain.parameters(), lr=1.0, weight_decay=1e-3)
    # 81 pairs in 4 columns of 20: chunks of 5.
    words, nexts = data.train_N[:80].view(4, 20).T, data.train_N[1:81].view(4, 20).T
    for _ in range(2):
        state, losses = plain.initial_state(4), []
        for start in range(0, 20, 5):
            logits, state = plain(words[start : start + 5], state.detach())
            loss = functional.cross_entropy(logits.flatten(0, 1), nexts[start : start + 5].flatten())
            optimizer.zero_grad()
            loss.backward()
            assert torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.05) > 0.05
            optimizer.step()
            losses.append(loss.item())
    assert training.loss == pytest.approx(sum(losses) / 4)
    for ours, theirs in zip(network.network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_training_learns_what_follows():
    pattern = torch.arange(len(WORDS)).repeat(40)
    data = TextData.of_words("cycle", WORDS, pattern, pattern[:60])
    training = Training(model(), data, epochs=30, recipe=replace(RECIPE, learning_rate=5.0, grad_clip=1.0), seed=0)
    before = training.validate()[0]
    training.run(until=30)
    assert before == pytest.approx(1 / 6, abs=0.03)
    assert training.validate()[0] > 0.8


def test_dropouts_are_those_of_the_recipe_and_validation_has_none(data):
    recipe = replace(RECIPE, embedding_dropout=0.1, input_dropout=0.2, hidden_dropout=0.3, output_dropout=0.4)
    network = model()
    training = Training(network, data, epochs=1, recipe=recipe, seed=0)
    own = network.network
    assert (own.embedding_dropout, own.input_dropout, own.hidden_dropout, own.output_dropout) == (0.1, 0.2, 0.3, 0.4)
    assert (
        training.validate()
        == training.validate()
        == Training(model(), data, epochs=1, recipe=RECIPE, seed=0).validate()
    )
    torch.manual_seed(0)
    training.run(until=1)
    dropped = training.loss
    training = Training(model(), data, epochs=1, recipe=RECIPE, seed=0)
    training.run(until=1)
    assert training.loss != dropped


def test_weights_are_averaged_since_validation_stopped_to_improve():
    linear = nn.Linear(1, 1, bias=False)

    def set_to(value):
        linear.weight.data.fill_(value)

    average = TriggeredAverage(linear, patience=2)
    for fraction in (0.5, 0.4, 0.45):
        average.heard(fraction)
        # 0.5 is not more than two epochs ago.
        assert average.network is linear
    average.heard(0.49)
    assert average.network is not linear
    average = TriggeredAverage(linear, patience=2)
    for fraction in (0.1, 0.5, 0.4, 0.2):
        average.heard(fraction)
        assert average.network is linear
    average.update(0)
    average.heard(0.45)
    assert average.network is not linear
    for value in (3.0, 6.0, 0.0):
        set_to(value)
        average.update(1)
    assert average.network.weight.item() == pytest.approx(3.0)
    again = TriggeredAverage(linear, patience=2)
    again.load_state_dict(average.state_dict())
    set_to(7.0)
    for each in (average, again):
        each.update(2)
        assert each.network.weight.item() == pytest.approx(4.0)


def test_validations_that_can_decide_nothing_are_left_out():
    average = TriggeredAverage(nn.Linear(1, 1), patience=5)
    # The earliest trigger is after the seventh epoch.
    assert not average.can_begin(epoch=1, epochs=7)
    assert average.can_begin(epoch=1, epochs=8)
    assert not average.can_begin(epoch=8, epochs=8)


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(data):
    recipe = replace(RECIPE, learning_rate=20.0, nonmono=1, hidden_dropout=0.3, output_dropout=0.3)

    def fresh():
        return Training(model(), data, epochs=12, recipe=recipe, seed=0)

    torch.manual_seed(1)
    whole = fresh()
    whole.run(until=12)
    # The weights are averaged by then.
    assert whole.trained is not whole._network
    for cut in (2, 9):
        torch.manual_seed(1)
        first = fresh()
        first.run(until=cut)
        state = copy.deepcopy(first.state_dict())
        first.run(until=12)
        second = fresh()
        torch.manual_seed(5)
        second.load_state_dict(state)
        second.run(until=12)
        assert second.validate() == first.validate() == whole.validate()
        for ours, theirs in zip(second.trained.parameters(), whole.trained.parameters(), strict=True):
            assert torch.equal(ours, theirs)


def test_a_perplexity_that_overflows_is_a_divergence(data):
    logits = torch.zeros(len(WORDS))
    logits[0] = 5_000.0
    broken = Reading(Fixed(logits))
    with pytest.raises(Diverged, match=r"the perplexity overflowed: the loss is .* nats a word"):
        likelihood(broken, data.val_N, rows=5)
    assert math.isfinite(math.exp(MOST_NATS))
    with pytest.raises(Diverged, match="the perplexity overflowed: the loss is nan"):
        likelihood(Reading(Fixed(logits * math.nan)), data.val_N, rows=5)


def test_a_training_whose_loss_is_no_number_diverges(data):
    network = model()
    network.network.embedding.weight.data.fill_(math.inf)
    with pytest.raises(Diverged, match="the training loss became nan in epoch 1"):
        Training(network, data, epochs=1, recipe=RECIPE, seed=0).run(until=1)
