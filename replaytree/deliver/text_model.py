"""A trained language model ready for use: a text in, its perplexity or the words that may follow out.

Shapes: N words of a text, V words of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path

import torch
from torch import Tensor, nn

from replaytree.data.text import END, UNKNOWN, lines
from replaytree.deliver.deployed_text import ROWS, DeployedText, text_likelihood
from replaytree.deliver.description import Description
from replaytree.errors import ConfigError, DataError, ModelError
from replaytree.networks.reading import Reading
from replaytree.sources.named_texts import read_text
from replaytree.sources.names import count_of, did_you_mean
from replaytree.training.diverged import Diverged


@dataclass(frozen=True, slots=True)
class TextPerplexity:
    """What a text was worth: its perplexity over `count` words, ends of lines among them, `unknown` of them <unk>."""

    perplexity: float
    count: int
    unknown: int


@dataclass(frozen=True, slots=True)
class NextWords:
    """The most probable next words of a text, best first, and their probabilities; `unknown` of its words are <unk>."""

    words: tuple[str, ...]
    probabilities: tuple[float, ...]
    unknown: int


class TextModel:
    """A language model with its vocabulary. `network` is a LanguageModel, or does its work (deployed_text.py)."""

    def __init__(self, description: Description, network: nn.Module) -> None:
        self.description = description
        self.network = network.eval()
        self._numbers = {word: number for number, word in enumerate(description.classes)}

    @classmethod
    def of(cls, deployed: DeployedText, description: Description) -> TextModel:
        """A model that runs in torch."""
        return cls(description, deployed.network)

    def __repr__(self) -> str:
        """Layers and vocabulary."""
        return f"TextModel({self.description.labels!r}, {len(self.words):,} words)"

    def _repr_html_(self) -> str:
        return self.description.as_html("one word")

    @property
    def words(self) -> tuple[str, ...]:
        """The vocabulary, in the order of the logits."""
        return self.description.classes

    def perplexity(self, text: str) -> TextPerplexity:
        """That of a text, lines of words with white space between them, from its second word on.

        Raises DataError for a text without words, and for unknown ones where the vocabulary has no <unk>.
        """
        if not text.split():
            raise DataError("the text is empty; give one that has words")
        numbers_N, unknown = self._encoded([word for line in lines(text) for word in line])
        try:
            found = text_likelihood(self.network, numbers_N)
        except Diverged as error:
            raise ModelError(f"{self!r}: {error}; retrain with a lower --learning-rate") from error
        return TextPerplexity(1.0 / found, len(numbers_N) - 1, unknown)

    def next_words(self, text: str, *, top_k: int = 1) -> NextWords:
        """The most probable words behind a text, which begins a line. Raises DataError as `perplexity`."""
        if top_k < 1:
            raise ConfigError(f"top_k is {top_k}; it must be at least 1 (--top-k)")
        if not text.split():
            raise DataError("the text is empty; give one that has words")
        words = [word for line in lines(text) for word in line][:-1]
        numbers_N, unknown = self._encoded([*([END] if END in self._numbers else []), *words])
        reading = Reading(self.network)
        with torch.no_grad():
            for part_T in torch.split(numbers_N, ROWS):
                logits_V = reading(part_T[:, None])[0, -1].float()
        if not torch.isfinite(logits_V).all():
            raise ModelError(
                f"{self!r} gives outputs that are not finite numbers; retrain with a lower --learning-rate"
            )
        chances_V = logits_V.softmax(dim=0)
        order = chances_V.argsort(descending=True, stable=True)[:top_k].tolist()
        return NextWords(
            tuple(self.words[index] for index in order), tuple(float(chances_V[index]) for index in order), unknown
        )

    def _encoded(self, words: list[str]) -> tuple[Tensor, int]:
        """The numbers of words (N), and how many are not in the vocabulary."""
        strange = [word for word in words if word not in self._numbers]
        if strange and UNKNOWN not in self._numbers:
            raise DataError(
                f"{count_of(len(strange), 'word')} of the text, {strange[0]!r:.80} the first, "
                f"{'is' if len(strange) == 1 else 'are'} not in the vocabulary of this model, which has no {UNKNOWN}; "
                f"leave such words out"
            )
        unknown = self._numbers.get(UNKNOWN, 0)
        return torch.tensor([self._numbers.get(word, unknown) for word in words]), len(strange)


def read_text_file(file: Path) -> str:
    """The text of a file, perhaps gzipped; DataError for what is no file, or no text."""
    if not file.is_file():
        kind = "a folder" if file.is_dir() else "not a regular file" if file.exists() else "missing"
        raise DataError(f"it is {kind}{did_you_mean(file) if kind == 'missing' else ''}; give a text file")
    if (guess_type(file.name)[0] or "").startswith("image/"):
        raise DataError("it is a picture by its name, and this is a model of text; give a text file")
    return read_text(file)
