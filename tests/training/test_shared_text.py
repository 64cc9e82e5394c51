"""A supernet of recurrent cells in training."""

import copy
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch.nn import functional

from replaytree.data import TextData
from replaytree.networks.recurrent import RecurrentSupernet
from replaytree.space.catalogue import named_space
from replaytree.training.recipe import Recipe
from replaytree.training.shared import SupernetTraining
from replaytree.training.text import nats

RECIPE = Recipe(
    batch_size=3, learning_rate=1.0, momentum=0.0, weight_decay=1e-3, label_smoothing=0.0, schedule="constant",
    grad_clip=0.05, bptt=4,
)  # fmt: skip
WORDS = ("the", "cat", "sat", "ran", "<eos>", "<unk>")


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    # 60 pairs in 3 columns of 20: 5 steps an epoch.
    train_N, val_N = (torch.randint(len(WORDS), (count,), generator=generator) for count in (61, 33))
    return TextData.of_words("cats", WORDS, train_N, val_N)


@pytest.fixture
def space():
    return named_space("enas-rnn", input_shape=(1, 1, 1), num_classes=len(WORDS), max_layers=3, hidden=5)


def training(space, data):
    supernet = RecurrentSupernet(space, len(WORDS), seed=0, device=torch.device("cpu"))
    return SupernetTraining(supernet, data, recipe=RECIPE, clip=RECIPE.grad_clip)


def steps(trained, paths, number):
    for path, (words, labels) in zip(paths * number, islice(trained.batches(seed=0), number), strict=False):
        assert trained.step(path, words, labels, rate=1.0)


def test_a_step_is_one_of_sgd_from_the_state_that_another_path_left(space, data):
    paths = [space.parse("tanh relu@1"), space.parse("tanh sigmoid@1 tanh@2")]
    trained = training(space, data)
    plain = [copy.deepcopy(trained.supernet.network([path]).reading.network) for path in paths]
    steps(trained, paths, 2)
    words, nexts = data.train_N[:60].view(3, 20).T, data.train_N[1:61].view(3, 20).T
    state = plain[0].initial_state(3)
    for model, rows in zip(plain, (slice(0, 4), slice(4, 8)), strict=True):
        logits, state = model(words[rows], state.detach())
        loss = functional.cross_entropy(logits.flatten(0, 1), nexts[rows].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
        torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=1e-3).step()
        if model is plain[0]:
            # What both share goes on from there; the embedding and the first node are of both paths.
            shared = dict(model.named_parameters())
            for name, parameter in plain[1].named_parameters():
                if name in shared:
                    parameter.data.copy_(shared[name].data)
    ours = dict(trained.supernet.network([paths[1]]).reading.network.named_parameters())
    for name, parameter in plain[1].named_parameters():
        torch.testing.assert_close(ours[name], parameter)


def test_a_turn_goes_on_where_the_last_one_ended(space, data):
    paths = [space.parse("tanh relu@1")]
    together, apart = training(space, data), training(space, data)
    steps(together, paths, 7)
    for number in (2, 1, 4):
        steps(apart, paths, number)
    assert apart.passes == together.passes == 7 / 5
    for ours, theirs in zip(
        apart.supernet.state_dict()["weights"].values(), together.supernet.state_dict()["weights"].values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_it_resumes_to_the_bit_with_the_state_of_the_text(space, data):
    paths = [space.parse("tanh relu@1"), space.parse("sigmoid tanh@1")]
    whole, again = training(space, data), training(space, data)
    steps(whole, paths, 3)
    again.load_state_dict(copy.deepcopy(whole.state_dict()))
    for each in (whole, again):
        steps(each, paths, 3)
    for ours, theirs in zip(
        again.supernet.state_dict()["weights"].values(), whole.supernet.state_dict()["weights"].values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_scores_are_perplexities_of_runs_of_the_validation_text(space, data):
    trained = training(space, data)
    examples = trained.examples
    assert torch.equal(examples.held_out(seed=1), data.val_N)
    runs = [examples.held_out(seed=seed, few=5) for seed in range(6)]
    text = data.val_N.tolist()
    assert all(any(text[k : k + 6] == run.tolist() for k in range(28)) for run in runs)
    assert len({tuple(run.tolist()) for run in runs}) > 1
    assert torch.equal(examples.held_out(seed=3, few=32), data.val_N)
    path = space.parse("tanh relu@1")
    network, [score] = trained.accuracies([path], runs[0], batch_size=40)
    assert score == pytest.approx(torch.exp(torch.tensor(-nats(network, runs[0], rows=4))).item(), rel=1e-6)


def test_pieces_of_a_chunk_keep_words_and_answers_together(space, data):
    examples = training(space, data).examples
    words, labels = next(iter(examples.batches(generator=torch.Generator())))
    pieces = examples.pieces(words, labels, 3)
    assert [len(own) for own, _ in pieces] == [2, 1, 1]
    assert torch.equal(torch.cat([own for own, _ in pieces]), words)
    assert torch.equal(torch.cat([own for _, own in pieces]), labels)
    assert len(examples.pieces(words, labels, 9)) == 4


def test_batches_from_the_middle_of_an_epoch(space, data):
    examples = training(space, data).examples
    every = [labels.tolist() for _, labels in examples.batches(generator=torch.Generator())]
    late = [labels.tolist() for _, labels in examples.batches(generator=torch.Generator(), first=3)]
    assert late == every[3:]
    assert replace(RECIPE).step_units == 12
