"""The macro space of ENAS (Pham et al., 2018): whole networks of convolutions and poolings with skips between them.

The structure is that of the released program (github.com/melodyguan/enas, general_child.py), because the paper tells of
less. Two of its faults are not repeated. Its search binds the six branches late, so that every code may read the last
one, a maximum pooling; here each code is its own operation. Its final network builds the separable convolutions as
plain ones and has no pooling; here codes 1 and 3 are separable, and 4 and 5 pool. So the parameters counted here are
not those of the released final network, nor those that published tables give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import Values, decode, taken
from replaytree.space.graph import IMAGE, Graph, GraphNode, node_name
from replaytree.space.layers import (
    Classifier,
    Concatenation,
    FactorizedReduction,
    Layer,
    NormedConvolution,
    NormedSum,
    Pooling,
    require_whole,
)
from replaytree.space.layers.normed_convolution import Relu
from replaytree.space.plan import Published
from replaytree.space.returned import require_shape

# By their codes.
OPERATIONS = ("conv3", "sep3", "conv5", "sep5", "avg3", "max3")
OPERATION = Decision("operation", OPERATIONS)

# Its last layer has 6 x 2**60 actions; a database column numbers fewer than 2**63.
MOST_LAYERS = 61

# scripts/cifar10_macro_final.sh: for each layer its operation, and a 0 or 1 for each earlier map it may read.
_RELEASED = """
0 | 3 0 | 0 1 0 | 2 0 0 1 | 2 0 0 0 0 | 3 1 1 0 1 0 | 2 0 0 0 0 0 1 | 2 0 1 1 0 1 1 1
1 0 1 1 1 0 1 0 1 | 0 0 0 0 0 0 0 0 0 0 | 2 0 0 0 0 0 1 0 0 0 0 | 0 1 0 0 1 1 0 0 0 0 1 1
2 0 1 0 0 0 0 0 1 0 1 1 0 | 1 0 0 1 0 0 0 1 1 1 0 1 0 1 | 0 1 1 0 1 0 1 0 0 0 0 0 1 0 0
2 0 0 1 0 0 0 0 0 0 0 1 0 1 0 1 | 2 0 1 0 0 0 1 0 0 1 1 1 1 0 0 1 0
2 0 0 0 0 1 0 1 0 1 0 0 1 0 1 0 0 1 | 3 0 1 1 0 1 0 0 0 0 0 1 0 1 0 1 0 0 0
3 0 1 1 0 0 0 0 0 0 0 0 0 1 1 0 0 0 0 1 | 0 1 0 0 1 0 1 1 0 0 0 1 0 0 0 0 0 1 1 0 0
3 0 1 0 1 1 0 0 1 0 1 1 0 1 1 0 1 0 0 1 0 0 | 0 1 0 1 0 1 0 0 0 0 0 0 0 0 1 0 1 0 0 1 0 0 0
0 1 1 0 0 0 1 1 1 0 1 0 0 0 1 0 1 0 0 1 1 0 0 0
"""
RELEASED_TOKENS = tuple(int(word) for word in _RELEASED.replace("|", " ").split())


def path_of_tokens(tokens: Sequence[int]) -> str:
    """The labels of a network that ENAS writes as numbers: of layer i, from 0, an operation and i bits.

    Bit 0 is of the stem, bit j of layer j, counted from 1. SpaceError for numbers that are no such list.
    """
    labels: list[str] = []
    rest = list(tokens)
    while rest:
        operation, *bits = rest[: len(labels) + 1]
        if operation not in range(len(OPERATIONS)) or len(bits) < len(labels) or not set(bits) <= {0, 1}:
            raise SpaceError(
                f"layer {len(labels) + 1} is {' '.join(map(str, (operation, *bits)))!r}; it must be an operation from "
                f"0 to {len(OPERATIONS) - 1} and {len(labels)} bits"
            )
        labels.append("+".join((OPERATIONS[operation], *(str(source) for source, bit in enumerate(bits) if bit))))
        del rest[: len(labels)]
    return " ".join(labels)


def tokens_of_path(path: str) -> tuple[int, ...]:
    """The inverse of path_of_tokens."""
    tokens: list[int] = []
    for depth, label in enumerate(path.split(), start=1):
        operation, bits = _values(depth, label)
        tokens += [operation, *(bits >> source & 1 for source in range(depth - 1))]
    return tuple(tokens)


class EnasMacro:
    """A Plan (plan.py). A layer is an operation on the map before it, and a set of earlier maps that are joined to it.

    A 3x3 convolution with batch norm is the stem, map 0; layer j makes map j. Layer j reads map j - 1, through a 1x1
    convolution first, and of the maps 0 to j - 2 those that it chooses. While searching, they are summed with its
    operation's output, and batch norm follows; all maps have `channels` channels. In a `final` network they are
    concatenated instead; ReLU, a 1x1 convolution and batch norm follow; the channels double at each reduction.

    Before layers n + 1 and 2n + 1, where n is max_layers // 3, every map so far is reduced to half its sides, whether a
    later layer reads it or not. These places depend on max_layers, never on how long a path is. So the space is nested:
    a prefix is a part of its continuations. Below three layers there is no reduction. The head has no bias, and no
    dropout.
    """

    name = "enas-macro"
    about = "Whole networks of ENAS: 6 operations a layer, and any set of the earlier layers beside it."
    source = "Pham et al. (2018), arXiv 1802.03268"
    nested = True
    defaults: ClassVar[Mapping[str, Any]] = {"channels": 36, "final": False}
    published: ClassVar[Mapping[str, Published]] = {
        f"macro-{channels}": Published(
            path_of_tokens(RELEASED_TOKENS),
            input_shape=(3, 32, 32),
            options={"channels": channels, "final": True},
            params=params,
            note="tokens of the released script; its separable convolutions are separable here",
        )
        for channels, params in ((36, 4_373_604), (48, 7_759_920), (64, 13_774_912), (96, 30_947_424))
    }

    def __init__(
        self, *, input_shape: Shape, num_classes: int, max_layers: int = 12, channels: int = 36, final: bool = False
    ) -> None:
        require_whole("channels of enas-macro (--channels)", channels, least=2)
        if not isinstance(final, bool):
            raise SpaceError(f"final of enas-macro is {final!r}; it must be True or False")
        require_whole("max_layers", max_layers, least=1)
        self.input_shape = require_shape("input_shape", input_shape)
        self.num_classes = num_classes
        self.max_layers = max_layers
        self.channels = channels
        self.is_final = final
        third = max_layers // 3
        # The depths whose layers read reduced maps.
        self._reduced = (third + 1, 2 * third + 1) if third else ()
        if third and min(self.input_shape[1:]) < 3:
            raise SpaceError(
                f"images of {'x'.join(map(str, self.input_shape[1:]))} pixels cannot be halved twice, as enas-macro "
                f"does with three layers or more; give larger ones, or --max-layers 2"
            )
        if max_layers > MOST_LAYERS:
            raise SpaceError(f"max_layers is {max_layers}; enas-macro has at most {MOST_LAYERS} layers (--max-layers)")

    def options(self) -> dict[str, Any]:
        """The channels of a map, and whether the networks are final ones."""
        return {"channels": self.channels, "final": self.is_final}

    def final(self) -> EnasMacro:
        """The plan whose networks are delivered: the same paths, concatenated."""
        return EnasMacro(
            input_shape=self.input_shape, num_classes=self.num_classes, max_layers=self.max_layers,
            channels=self.channels, final=True,
        )  # fmt: skip

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The operation; from the second layer on, the earlier maps: 0, the stem, to depth - 2."""
        earlier = tuple(range(depth - 1))
        skips = Decision("inputs", tuple(map(str, earlier)), "inputs", earlier)
        return (OPERATION, skips) if earlier else (OPERATION,)

    def legal(self, prefix: Path, chosen: Values) -> tuple[bool, ...]:
        """Everything: all maps have the same shape."""
        return (True,) * len(self.decisions(len(prefix) + 1)[len(chosen)].options)

    def state(self, prefix: Path) -> None:
        """Nothing decides what may follow."""

    def reduces(self, depth: int) -> bool:
        """Whether all maps are reduced before the layer at a depth."""
        return depth in self._reduced

    def label(self, prefix: Path, values: Values) -> str:
        """As in 'conv3', and 'sep5+0+2' where maps 0 and 2 are joined to it."""
        operation, *bits = values
        skips = taken(self.decisions(len(prefix) + 1)[1], bits[0]) if bits else ()
        return "+".join((OPERATIONS[operation], *map(str, skips)))

    def values(self, prefix: Path, label: str) -> Values:
        """The inverse of `label`."""
        operation, bits = _values(len(prefix) + 1, label)
        return (operation, bits) if prefix else (operation,)

    def network(self, path: Path) -> Graph:
        """The network with its head."""
        nodes: list[GraphNode] = []

        def add(depth: int, word: str, layer: Layer, *inputs: int) -> int:
            nodes.append(GraphNode(node_name(depth, word), layer, inputs, depth))
            return len(nodes) - 1

        maps: list[int] = []
        channels = self.channels
        for depth, action in enumerate(path, start=1):
            if depth == 1:
                maps.append(add(1, "stem", NormedConvolution(channels, 3, relu="none"), IMAGE))
            if self.reduces(depth):
                channels *= 2 if self.is_final else 1
                reduction = FactorizedReduction(channels)
                maps = [add(depth, f"reduce{place}", reduction, source) for place, source in enumerate(maps)]
            decisions = self.decisions(depth)
            operation, *bits = decode(decisions, action)
            end = maps[-1]
            for word, layer in self.branch(OPERATIONS[operation], channels):
                end = add(depth, word, layer, end)
            if bits:
                sources = [maps[source] for source in taken(decisions[1], bits[0])]
                if not self.is_final:
                    end = add(depth, "sum", NormedSum(), *sources, end)
                else:
                    end = add(depth, "concat", Concatenation(), *sources, end) if sources else end
                    end = add(depth, "join", NormedConvolution(channels, 1, relu="before"), end)
            maps.append(end)
        ends = (maps[-1],) if maps else (IMAGE,)
        return Graph(self.input_shape, tuple(nodes), ends, Classifier(self.num_classes, bias=False))

    def branch(self, operation: str, channels: int) -> tuple[tuple[str, Layer], ...]:
        """A 1x1 convolution and the operation. In a final network ReLU stands before a convolution, else after it."""
        relu: Relu = "before" if self.is_final else "after"
        kernel = int(operation[-1])
        if operation in ("avg3", "max3"):
            pointwise = NormedConvolution(channels, 1, relu="both" if self.is_final else "after")
            return ("pointwise", pointwise), (operation, Pooling("avg" if operation == "avg3" else "max", kernel, 1))
        convolution = NormedConvolution(channels, kernel, operation.startswith("sep"), relu)
        return ("pointwise", NormedConvolution(channels, 1, relu=relu)), (operation, convolution)


def _values(depth: int, label: str) -> tuple[int, int]:
    """The operation and the bits of a layer's label."""
    operation, *skips = label.split("+")
    ascending = [str(source) for source in range(depth - 1) if str(source) in skips]
    if operation not in OPERATIONS or skips != ascending:
        known = f"{', '.join(OPERATIONS)}, with the earlier maps it joins, as in 'conv3+0+2'"
        allowed = f"; layer {depth} may join 0 to {depth - 2}, rising" if depth > 1 else "; the first joins none"
        raise SpaceError(f"layer {depth} is {label!r}, which is not in this space; it has {known}{allowed}")
    return OPERATIONS.index(operation), sum(1 << int(source) for source in skips)
