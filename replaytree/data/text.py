"""What a search sees of a text: its train and validation words as numbers, its vocabulary and its fingerprint.

Shapes: N words of a text, in their order.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from replaytree.errors import DataError
from replaytree.records import Shape
from replaytree.sources.names import count_of

UNKNOWN, END = "<unk>", "<eos>"
"""What stands for a word that is not in the vocabulary, and for the end of a line."""

# What a recurrent network reads at once: one word.
ONE_WORD: Shape = (1, 1, 1)


@dataclass(frozen=True, slots=True)
class TextFingerprint:
    """Identifies a text. `sha256` is over the vocabulary and the numbers of the train and validation words."""

    sha256: str
    train_count: int
    val_count: int
    word_count: int
    task: str = "text"

    def to_json(self) -> str:
        """The fingerprint as a JSON object, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TextData:
    """The train and validation parts of a text in memory; the test part is never in it.

    `words` is the vocabulary, the most frequent word first; `train_N` and `val_N` are int64 places in it. Every line
    ends with <eos>. `notes` are sentences on what became <unk>.
    """

    name: str
    words: tuple[str, ...]
    train_N: Tensor
    val_N: Tensor
    fingerprint: TextFingerprint
    notes: tuple[str, ...] = ()

    @classmethod
    def from_text(
        cls, name: str, *, train: str, valid: str, min_count: int = 1, train_limit: int | None = None
    ) -> TextData:
        """From a train and a validation text: lines of words with white space between them.

        The vocabulary is that of the whole train text, so that it is the same whatever `train_limit`, the number of
        its first words that are trained on. Words that are there fewer than `min_count` times become <unk>. DataError
        for a text without words, or with one word only.
        """
        for part, text in (("train", train), ("validation", valid)):
            if not text.split():
                raise DataError(f"the {part} text of {name} is empty; it must hold lines of words (--dataset)")
        words = vocabulary(train, name=name, min_count=min_count)
        numbers = {word: number for number, word in enumerate(words)}
        train_N, unknown = encoded(train, numbers)
        val_N, strange = encoded(valid, numbers)
        notes = [
            f"{count_of(count, 'word')} of the {part} text {verb} {UNKNOWN}"
            for part, count, verb in (
                ("train", unknown, "became"),
                ("validation", strange, "is not in the vocabulary:" if strange == 1 else "are not in the vocabulary:"),
            )
            if count
        ]
        return cls.of_words(name, words, train_N[:train_limit], val_N, notes=tuple(notes))

    @classmethod
    def of_words(
        cls, name: str, words: Sequence[str], train_N: Tensor, val_N: Tensor, *, notes: tuple[str, ...] = ()
    ) -> TextData:
        """From a vocabulary and the numbers of the words."""
        digest = hashlib.sha256("\n".join(words).encode())
        for part_N in (train_N, val_N):
            digest.update(part_N.cpu().numpy().astype("<i8").tobytes())
        fingerprint = TextFingerprint(digest.hexdigest(), len(train_N), len(val_N), len(words))
        return cls(name, tuple(words), train_N, val_N, fingerprint, notes)

    def __repr__(self) -> str:
        """Name and counts, without the words."""
        counts = f"{self.train_count:,} train and {self.val_count:,} validation words"
        return f"TextData({self.name!r}, {counts}, {self.num_classes:,} different ones)"

    @property
    def num_classes(self) -> int:
        """The size of the vocabulary: what a network tells apart."""
        return len(self.words)

    @property
    def input_shape(self) -> Shape:
        """What a network reads at once: one word."""
        return ONE_WORD

    @property
    def train_count(self) -> int:
        """Words that are trained on, ends of lines included."""
        return len(self.train_N)

    @property
    def val_count(self) -> int:
        """Words that validate."""
        return len(self.val_N)

    @property
    def device(self) -> torch.device:
        """Where the words are."""
        return self.train_N.device

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers of all words."""
        return self.train_N.nbytes + self.val_N.nbytes

    def first(self, train: int, *, validation: int) -> TextData:
        """So many words to predict of both parts, behind a first one; the fingerprint stays that of all."""
        return replace(self, train_N=self.train_N[: train + 1], val_N=self.val_N[: validation + 1])

    def to(self, device: torch.device | str) -> TextData:
        """A copy with its tensors on the device."""
        return replace(self, train_N=self.train_N.to(device), val_N=self.val_N.to(device))

    def encoded(self, text: str) -> tuple[Tensor, int]:
        """Another text in the words of this one: their numbers (N), and how many became <unk>."""
        return encoded(text, {word: number for number, word in enumerate(self.words)})


def vocabulary(text: str, *, name: str, min_count: int = 1) -> tuple[str, ...]:
    """The words that are in a text at least `min_count` times, most frequent first, <unk> and <eos> among them.

    Words that are equally frequent stand in the order in which they come. DataError where fewer than two are left.
    """
    counts = Counter(word for line in lines(text) for word in line)
    kept = [word for word, count in counts.most_common() if count >= min_count or word in (UNKNOWN, END)]
    if len(set(kept) - {UNKNOWN, END}) < 2:
        others = sorted(set(counts) - {UNKNOWN, END})
        if len(others) > 1:
            raise DataError(
                f"min_count is {min_count}, and {len(others)} words of {name} are rarer; give a lower one (--min-count)"
            )
        only = f"the one word {others[0]!r:.80}" if others else f"only {UNKNOWN} and {END}"
        raise DataError(f"the train text of {name} has {only}, so there is nothing to predict; give a longer text")
    return tuple(kept) if UNKNOWN in counts else (*kept, UNKNOWN)


def encoded(text: str, numbers: dict[str, int]) -> tuple[Tensor, int]:
    """The numbers of a text's words and line ends (N), and how many words became <unk> that are written otherwise."""
    unknown = numbers[UNKNOWN]
    found_N = np.fromiter((numbers.get(word, -1) for line in lines(text) for word in line), dtype=np.int64)
    strange_N = found_N < 0
    found_N[strange_N] = unknown
    return torch.from_numpy(found_N), int(strange_N.sum())


def lines(text: str) -> Iterator[list[str]]:
    """The words of each line, and <eos>; blank lines have one, too."""
    for line in text.removesuffix("\n").split("\n"):
        yield [*line.split(), END]
