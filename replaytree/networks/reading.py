"""A language model that reads a text chunk after chunk.

Shapes: T words of a chunk, B columns (texts side by side), V words of the vocabulary.
"""

from __future__ import annotations

from torch import Tensor, nn


class Reading(nn.Module):
    """A language model in the form of a network with one head, whose state is carried from chunk to chunk.

    `network` is a LanguageModel (space/language_model.py), `state` that behind the last chunk; None: there was none.
    Gradients end where a chunk begins.
    """

    # A captured step would begin every chunk with the state of the one that was captured.
    capturable = False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.state: Tensor | None = None

    def begin(self) -> None:
        """Forget what was read: the next chunk is the first."""
        self.state = None

    def forward(self, words_TB: Tensor) -> Tensor:
        """Logits of the word behind each word, (1, T * B, V)."""
        state = self.network.initial_state(words_TB.shape[1]) if self.state is None else self.state  # type: ignore[operator]
        logits_TBV, state = self.network(words_TB, state)
        self.state = state.detach()
        logits_NV: Tensor = logits_TBV.flatten(0, 1)
        return logits_NV[None]
