"""A language model as it is delivered: a word of each text and a state in, logits of the next word and the state out.

Shapes: B texts side by side, T words of each, S vectors of a state, H hidden size, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from replaytree.deliver.description import Description
from replaytree.networks.reading import Reading
from replaytree.space.building import build
from replaytree.space.recurrent import RecurrentGraph
from replaytree.training import Threads, using
from replaytree.training.device import on
from replaytree.training.precision import whole_float32
from replaytree.training.text import VALIDATION_COLUMNS, likelihood

WordStep = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Words (B) and a state (B, S, H) -> logits (B, V) of the words behind them, and the state then."""

# Words of each text that are read at once; it changes no result.
ROWS = 35
# A column begins without a state, which costs its first words.
LEAST_WORDS_A_COLUMN = 1000


class DeployedText(nn.Module):
    """Words int64 (B) and a state (B, S, H) -> logits float32 (B, V) and the state: what ONNX and pt2 files hold.

    `network` reads many words at once (space/language_model.py).
    """

    def __init__(self, description: Description) -> None:
        super().__init__()
        # There is no mirror image of a text.
        self.mirror = False
        self.network = build(description.graph)

    def forward(self, words_B: Tensor, state_BSH: Tensor) -> tuple[Tensor, Tensor]:
        """One word of each text."""
        logits_1BV, state_SBH = self.network(words_B[None], state_BSH.transpose(0, 1))
        return logits_1BV[0], state_SBH.transpose(0, 1)


class WordByWord(nn.Module):
    """A language model of many words at once, made of one that takes a step, as a file in another form does."""

    def __init__(self, graph: RecurrentGraph, step: WordStep) -> None:
        super().__init__()
        self._graph = graph
        self._step = step

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (S, B, H), before the first word."""
        return torch.zeros(self._graph.states, batch, self._graph.hidden)

    def forward(self, words_TB: Tensor, state_SBH: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (T, B, V) of the word behind each word, and the state (S, B, H) behind the last."""
        state_BSH = state_SBH.transpose(0, 1).contiguous()
        logits = []
        for words_B in words_TB:
            logits_BV, state_BSH = self._step(words_B, state_BSH)
            logits.append(logits_BV)
        return torch.stack(logits), state_BSH.transpose(0, 1)


def text_likelihood(
    network: nn.Module, words_N: Tensor, *, columns: int | None = None, threads: Threads | None = None, flops: int = 0
) -> float:
    """1 / perplexity of a language model on the words of a text behind its first, on the model's device.

    `columns` None: as many as in validation, but fewer of a short text. Diverged where the perplexity overflows.
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    if columns is None:
        columns = max(1, min(VALIDATION_COLUMNS, len(words_N) // LEAST_WORDS_A_COLUMN))
    chooses = flops and device.type == "cpu"
    number = (threads or Threads.of()).number(flops * ROWS) if chooses else torch.get_num_threads()
    with using(number), on(device), whole_float32(device):
        return likelihood(Reading(network), words_N.to(device), rows=ROWS, number=columns)
