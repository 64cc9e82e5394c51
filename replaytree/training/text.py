"""Training on text: truncated backpropagation through time, and perplexities.

Shapes: N words, B columns, R rows, T rows of a chunk, V words of the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from replaytree.data import TextData
from replaytree.networks.reading import Reading
from replaytree.networks.recurrent import PathReading
from replaytree.training.diverged import Diverged
from replaytree.training.recipe import Recipe
from replaytree.training.step import logits_of

# Columns of a text that is not trained on, as in AWD-LSTM. More are faster, and begin in more places without a state.
VALIDATION_COLUMNS = 10
# What exp() bears.
MOST_NATS = math.log(torch.finfo(torch.float64).max)
# Of a label that is none.
IGNORED = -100

DROPOUTS = ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout")


class TextExamples:
    """A text as a training reads it, in `batch_size` columns side by side.

    An epoch is one pass in the order of the text: chunks of at most `bptt` rows, as equal as they can be. The state is
    carried from chunk to chunk, and gradients end where a chunk begins. The last words, which fill no row, are left
    out.
    """

    def __init__(self, data: TextData, recipe: Recipe) -> None:
        assert recipe.bptt is not None, "the recipe is of a text"
        self._data = data
        self._recipe = recipe
        self._inputs_RB, self._labels_RB = columns(data.train_N, recipe.batch_size)
        self._bptt = recipe.bptt

    @property
    def epoch_steps(self) -> int:
        """The steps of an epoch."""
        return math.ceil(len(self._inputs_RB) / self._bptt)

    def placed(self, network: nn.Module) -> nn.Module:
        """The network on the device of the text, with the recipe's dropouts."""
        network = network.to(self._data.device)
        for name in DROPOUTS:
            setattr(reading(network).network, name, getattr(self._recipe, name))
        return network

    def batches(self, *, generator: torch.Generator, first: int = 0, epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The chunks of an epoch: words (T, B), and those behind them (T * B)."""
        yield from chunks(self._inputs_RB, self._labels_RB, rows=self._bptt, first=first)

    def pieces(self, inputs: Tensor, labels_B: Tensor, number: int) -> list[tuple[Tensor, Tensor]]:
        """A chunk in so many shorter ones."""
        labels_TB = labels_B.view_as(inputs)
        parts = zip(torch.tensor_split(inputs, number), torch.tensor_split(labels_TB, number), strict=True)
        return [(words_TB, own_TB.flatten()) for words_TB, own_TB in parts if len(words_TB)]

    def validated(self, network: nn.Module) -> list[float]:
        """1 / perplexity on the validation text."""
        return [likelihood(network, self._data.val_N, rows=self._bptt)]

    def held_out(self, *, seed: int, few: int | None = None) -> Tensor:
        """The validation text, or a run of it of which a `few` words are predicted (N)."""
        words_N = self._data.val_N
        if few is None:
            return words_N
        generator = torch.Generator().manual_seed(seed)
        first = int(torch.randint(max(1, len(words_N) - few), (), generator=generator))
        return words_N[first : first + few + 1]

    def scores(self, network: nn.Module, held_out: Tensor, *, batch_size: int) -> list[float]:
        """1 / perplexity on a text."""
        return [likelihood(network, held_out, rows=max(1, batch_size // VALIDATION_COLUMNS))]


def reading(network: nn.Module) -> Reading:
    """What reads a text in a network."""
    found = network.reading if isinstance(network, PathReading) else network
    assert isinstance(found, Reading), "a network of a text is a Reading"
    return found


def columns(words_N: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """A text cut into `number` columns of R = (N - 1) // number words: the words, and those behind them; both (R, B).

    A column begins where the one before it ends. ValueError where there are fewer words than that.
    """
    rows = (len(words_N) - 1) // number
    if rows < 1:
        raise ValueError(f"{len(words_N)} words fill no {number} columns")
    words_N, next_N = words_N[: rows * number], words_N[1 : rows * number + 1]
    return words_N.view(number, rows).T.contiguous(), next_N.view(number, rows).T.contiguous()


def chunks(inputs_RB: Tensor, labels_RB: Tensor, *, rows: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunks of at most so many rows, whose lengths differ by one at most: words (T, B) and labels (T * B).

    From chunk number `first` on.
    """
    number = math.ceil(len(inputs_RB) / rows)
    both = zip(torch.tensor_split(inputs_RB, number), torch.tensor_split(labels_RB, number), strict=True)
    for words_TB, labels_TB in islice(both, first, None):
        yield words_TB, labels_TB.flatten()


def nats(network: nn.Module, words_N: Tensor, *, rows: int, number: int = VALIDATION_COLUMNS) -> float:
    """The mean loss of every word but the first, in nats: -log of the probability that the network gave it.

    The text is read in `number` columns, the last of which may be shorter, in chunks of so many rows.
    """
    pairs = len(words_N) - 1
    number = max(1, min(number, pairs))
    length = math.ceil(pairs / number)
    inputs_P, labels_P = words_N[:-1], words_N[1:]
    missing = number * length - pairs
    inputs_RB = functional.pad(inputs_P, (0, missing)).view(number, length).T
    labels_RB = functional.pad(labels_P, (0, missing), value=IGNORED).view(number, length).T
    was_training = network.training
    network.eval()
    reading(network).begin()
    totals: list[Tensor] = []
    with torch.no_grad():
        for words_TB, labels_M in chunks(inputs_RB, labels_RB, rows=rows):
            [logits_MV] = logits_of(network, words_TB)
            losses_M = functional.cross_entropy(logits_MV, labels_M, ignore_index=IGNORED, reduction="none")
            totals.append(losses_M.sum())
    reading(network).begin()
    network.train(was_training)
    return math.fsum(torch.stack(totals).tolist()) / pairs


def likelihood(network: nn.Module, words_N: Tensor, *, rows: int, number: int = VALIDATION_COLUMNS) -> float:
    """1 / perplexity of a network on a text: exp(-nats). Diverged where the perplexity overflows."""
    found = nats(network, words_N, rows=rows, number=number)
    if not found <= MOST_NATS:
        raise Diverged(f"the perplexity overflowed: the loss is {found} nats a word", (0,))
    return math.exp(-found)
