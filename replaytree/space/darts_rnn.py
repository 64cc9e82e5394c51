"""The recurrent cells of DARTS (Liu et al., 2019): 8 highways behind one with tanh, and the mean of them all.

The structure is that of the released program (github.com/quark0/darts, rnn). Its search has batch norm in the cell and
an operation that gives nothing, which is never derived; its final networks have neither, and these are final networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.plan import Published
from replaytree.space.recurrent import Activation
from replaytree.space.recurrent_plan import WORD, HighwayPlan

# In their order.
ACTIVATIONS: tuple[Activation, ...] = ("tanh", "relu", "sigmoid", "identity")

Genotype = tuple[tuple[str, int], ...]
"""(activation, earlier node) of each node behind node 0, as rnn/genotypes.py writes them."""

V1: Genotype = (
    ("relu", 0), ("relu", 1), ("tanh", 2), ("relu", 3), ("relu", 4), ("identity", 1), ("relu", 5), ("relu", 1),
)  # fmt: skip
V2: Genotype = (
    ("sigmoid", 0), ("relu", 1), ("relu", 1), ("identity", 1), ("tanh", 2), ("sigmoid", 5), ("tanh", 3), ("relu", 5),
)  # fmt: skip
ENAS: Genotype = (
    ("tanh", 0), ("tanh", 1), ("relu", 1), ("tanh", 3), ("tanh", 3), ("relu", 3), ("relu", 4), ("relu", 7),
    ("relu", 8), ("relu", 8), ("relu", 8),
)  # fmt: skip


def path_of_genotype(genotype: Sequence[tuple[str, int]]) -> str:
    """The labels of a cell as DARTS writes it. SpaceError for what is none."""
    for node, (activation, source) in enumerate(genotype, start=1):
        if activation not in ACTIVATIONS:
            raise SpaceError(f"node {node} has {activation!r}; activations are {', '.join(ACTIVATIONS)}")
        if source not in range(node):
            raise SpaceError(f"node {node} reads node {source}; it may read 0 to {node - 1}")
    return " ".join(f"{activation}@{source}" for activation, source in genotype)


def genotype_of_path(path: str) -> Genotype:
    """The inverse of path_of_genotype."""
    parts = (word.partition("@") for word in path.split())
    return tuple((activation, int(source)) for activation, _, source in parts)


class DartsRnn(HighwayPlan):
    """A Plan (plan.py). A layer is a node of the cell; the decoder has a bias."""

    name = "darts-rnn"
    about = "Recurrent cells of DARTS: a node reads node 0 (a highway of tanh) or an earlier one; 4 activations."
    source = "Liu et al. (2019), arXiv 1806.09055"
    activations = ACTIVATIONS
    first_is_given = True
    decoder_bias = True
    defaults: ClassVar[Mapping[str, Any]] = {"hidden": 100, "embedding": None, "ends": "all"}
    published: ClassVar[Mapping[str, Published]] = {
        name: Published(path_of_genotype(genotype), WORD, words, options, params, note)
        for name, genotype, words, options, params, note in (
            ("DARTS_V1", V1, 10_000, {"hidden": 850}, 22_960_000, "first order; 57.6 on Penn Treebank"),
            ("DARTS_V2", V2, 10_000, {"hidden": 850}, 22_960_000, "second order; 55.7 on Penn Treebank"),
            ("DARTS_V2-WT2", V2, 33_278, {"hidden": 700}, 33_127_878, "at the size for WikiText-2"),
            ("ENAS", ENAS, 10_000, {"hidden": 850, "ends": "loose"}, 27_295_000, "the ENAS cell in the DARTS code"),
        )
    }

    def __init__(
        self,
        *,
        input_shape: Shape,
        num_classes: int,
        max_layers: int = 8,
        hidden: int = 100,
        embedding: int | None = None,
        ends: str = "all",
    ) -> None:
        super().__init__(
            input_shape=input_shape, num_classes=num_classes, max_layers=max_layers, hidden=hidden,
            embedding=embedding, ends=ends,
        )  # fmt: skip
