"""A language model that reads a text chunk after chunk.

Shapes: T words of a chunk, B columns (texts side by side), V words of the vocabulary.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Reading(nn.Module):
    """A language model in the form of a network with one head, whose state is carried from chunk to chunk.

    `network` is a LanguageModel (space/language_model.py). Gradients end where a chunk begins.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._state: Any = None

    def begin(self) -> None:
        """Forget what was read: the next chunk is the first."""
        self._state = None

    def forward(self, words_TB: Tensor) -> Tensor:
        """Logits of the word behind each word, (1, T * B, V)."""
        state = self.network.initial_state(words_TB.shape[1]) if self._state is None else self._state  # type: ignore[operator]
        logits_TBV, state = self.network(words_TB, state)
        self._state = state.detach()
        logits_NV: Tensor = logits_TBV.flatten(0, 1)
        return logits_NV[None]
