"""The recurrent cells of ENAS (Pham et al., 2018), as released (github.com/melodyguan/enas, src/ptb).

The authors point to a second program (google-research, enas_lm), whose cells differ: the first node always has tanh,
the new h is the mean of all nodes behind it, and the numbers of sigmoid and identity are swapped. `ends` all is that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.plan import Published
from replaytree.space.recurrent import Activation
from replaytree.space.recurrent_plan import WORD, HighwayPlan

# By their codes; enas_lm has the last two the other way round.
ACTIVATIONS: tuple[Activation, ...] = ("tanh", "relu", "identity", "sigmoid")
LM_ACTIVATIONS: tuple[Activation, ...] = ("tanh", "relu", "sigmoid", "identity")

# scripts/ptb_final.sh: the activation of the first node, then earlier node (from 0) and activation of each.
RELEASED_TOKENS = (0, 0, 0, 1, 1, 2, 1, 2, 0, 2, 0, 5, 1, 1, 0, 6, 1, 8, 1, 8, 1, 8, 1)
# enas_lm: earlier node and activation of each node behind the first.
LM_TOKENS = (0, 2, 1, 0, 2, 1, 2, 2, 4, 0, 5, 0, 3, 2, 6, 2)


def path_of_tokens(tokens: Sequence[int]) -> str:
    """The labels of a cell that ENAS writes as numbers. SpaceError for numbers that are no such list."""
    if len(tokens) % 2 == 0:
        raise SpaceError(f"the cell has {len(tokens)} numbers; there is one for the first node, and two for others")
    return _labels(tokens, ACTIVATIONS)


def path_of_lm_tokens(tokens: Sequence[int]) -> str:
    """The labels of a cell that enas_lm writes as numbers, which leave the first node out."""
    if len(tokens) % 2:
        raise SpaceError(f"the cell has {len(tokens)} numbers; there are two for each node")
    return _labels((0, *tokens), LM_ACTIVATIONS)


def tokens_of_path(path: str) -> tuple[int, ...]:
    """The inverse of path_of_tokens."""
    first, *others = path.split()
    tokens = [ACTIVATIONS.index(first)]
    for word in others:
        activation, _, source = word.partition("@")
        tokens += [int(source) - 1, ACTIVATIONS.index(activation)]
    return tuple(tokens)


def _labels(tokens: Sequence[int], activations: Sequence[Activation]) -> str:
    codes, sources = tokens[::2], tokens[1::2]
    if wrong := [code for code in codes if code not in range(len(activations))]:
        raise SpaceError(f"the cell has activation {wrong[0]}; they are 0 to {len(activations) - 1}")
    words = [activations[codes[0]]]
    for node, (source, code) in enumerate(zip(sources, codes[1:], strict=True), start=1):
        if source not in range(node):
            raise SpaceError(f"node {node} of the cell reads node {source}; it may read 0 to {node - 1}")
        words.append(f"{activations[code]}@{source + 1}")  # type: ignore[arg-type]
    return " ".join(words)


class EnasRnn(HighwayPlan):
    """A Plan (plan.py). A layer is a node of the cell; the decoder has no bias."""

    name = "enas-rnn"
    about = "Recurrent cells of ENAS: a node reads an earlier node, and is a highway with one of 4 activations."
    source = "Pham et al. (2018), arXiv 1802.03268"
    activations = ACTIVATIONS
    first_is_given = False
    decoder_bias = False
    defaults: ClassVar[Mapping[str, Any]] = {"hidden": 100, "embedding": None, "ends": "loose"}
    published: ClassVar[Mapping[str, Published]] = {
        name: Published(path, WORD, 10_000, options, params, note)
        for name, path, options, params, note in (
            (
                "ENAS", path_of_tokens(RELEASED_TOKENS), {"hidden": 748}, 22_027_104,
                "the released script for PTB",
            ),
            (
                "ENAS-24M", path_of_tokens(RELEASED_TOKENS), {"hidden": 788}, 24_024_544,
                "at the size of the paper's 24M",
            ),
            (
                "ENAS-LM", path_of_lm_tokens(LM_TOKENS), {"hidden": 800, "ends": "all"}, 20_800_000,
                "google-research, enas_lm",
            ),
        )
    }  # fmt: skip

    def __init__(
        self,
        *,
        input_shape: Shape,
        num_classes: int,
        max_layers: int = 12,
        hidden: int = 100,
        embedding: int | None = None,
        ends: str = "loose",
    ) -> None:
        super().__init__(
            input_shape=input_shape, num_classes=num_classes, max_layers=max_layers, hidden=hidden,
            embedding=embedding, ends=ends,
        )  # fmt: skip
