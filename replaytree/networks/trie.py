"""The network that scores every prefix of some paths at once: a trie of layers, a classifier head after each.

A layer is the nodes that it adds to the graph of its prefix. They may read the maps of any shallower layer of their
path, so skips and joins need nothing more; a head reads its prefix's loose ends, merged as the graph says.

Shapes: B images, K classes, T nodes, that is distinct prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from replaytree.errors import SpaceError
from replaytree.networks.heads import Heads
from replaytree.records import Path
from replaytree.space import GraphSpace, prefixes
from replaytree.space.building import build_layer
from replaytree.space.graph import IMAGE, Graph
from replaytree.space.trie import HEAD_HIDDEN, head_grid, head_shape, head_units, reads_all

# How much of a head's gradient each layer passes on to the one before it. With the plain sum (1) a layer serves every
# later head alike: its own prefix reads low, and the first layers get the gradients of all heads at a rate meant for
# one. No discount that was tried ranks measurably better on both data sets. The discounts and the forms of heads that
# were tried are in reports/benchmarks/heads.md.
DISCOUNT = 0.7


class NodeError(Exception):
    """A layer or head raised an error, which is `__cause__`. `node` is the prefix that the layer ends."""

    def __init__(self, node: Path) -> None:
        super().__init__(node)
        self.node = node


class PrefixNetwork(nn.Module):
    """One layer for every distinct prefix of the paths, and a head after each.

    A head has a hidden layer with `hidden` units a channel, on averages of a few cells: it does the work that a linear
    head would ask of the layers below it. With `hidden` 0, and behind pooling alone, a head is global average pooling
    and a linear layer. Where the head of a prefix's network reads every value, it is that head.

    A prefix that paths share is one node: computed once, with one head. A single path gives a chain with a head after
    every layer. `nodes` is in depth-first order: a node comes after its parent and its parent's earlier subtrees.
    `layers` has the modules of each node by their names in the graph, and `merge`. SpaceError where the space is not
    nested. Raises NodeError where a layer cannot be built or, in forward, run.
    """

    def __init__(
        self,
        space: GraphSpace,
        paths: Sequence[Path],
        num_classes: int,
        *,
        discount: float = DISCOUNT,
        hidden: int = HEAD_HIDDEN,
    ) -> None:
        super().__init__()
        self.nodes = prefixes(paths)
        self._place = {node: place for place, node in enumerate(self.nodes)}
        layers, steps = [], []
        for node in self.nodes:
            graph, before = space.network(node), space.network(node[:-1])
            _require_nested(graph, before, node)
            try:
                layers.append(_modules(graph, since=len(before.nodes)))
            except Exception as error:
                raise NodeError(node) from error
            steps.append(_Step.of(graph, since=len(before.nodes)))
        self.layers = nn.ModuleList(layers)
        self._steps = steps
        self._weights = [discount ** (len(node) - 1) for node in self.nodes]
        self.heads = Heads(
            [head_shape(space, node) for node in self.nodes],
            [head_grid(space, node) for node in self.nodes],
            [head_units(space, node, hidden) for node in self.nodes],
            num_classes,
            passes_on=self._weights,
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits of every node, (T, B, K), in the order of `nodes`."""
        read: dict[int, Tensor] = {}
        # The images, and the maps of the last node's ancestors and its own, in the order of its graph.
        maps = [images_BCHW]
        for node in self.nodes:
            place = self._place[node]
            step, modules = self._steps[place], cast(nn.ModuleDict, self.layers[place])
            del maps[step.since :]
            try:
                for name, sources in step.own:
                    maps.append(modules[name](*[maps[source] for source in sources]))
                    if len(maps[-1]) != len(images_BCHW):
                        raise ValueError(f"{len(images_BCHW)} images went in, {len(maps[-1])} feature maps came out")
                ends = [maps[source] for source in step.ends]
                end = modules["merge"](*ends) if "merge" in modules else ends[0]
                seen, read[place] = self.heads.read(place, end.flatten(1)[:, :, None, None] if step.reads_all else end)
                if end is ends[0] and not step.reads_all:
                    maps[step.ends[0]] = seen
            except Exception as error:
                raise NodeError(node) from error
        logits_TBK: Tensor = self.heads(read)
        return logits_TBK

    def keep(self, paths: Sequence[Path]) -> None:
        """Drop the nodes that lie on none of these paths: neither they nor their heads are computed any more."""
        self.nodes = prefixes(paths)

    def gradient_factors(self) -> list[tuple[nn.Parameter, float]]:
        """Every parameter of a layer with discount^(1 - depth), by which its gradient is to be multiplied.

        A head passes on discount^(depth - 1) of its gradient. Together the two factors give a layer of depth t the sum,
        over the later heads, of discount^(s - t) times the gradient of the head of depth s. No feature map is scaled.
        """
        places = [self._place[node] for node in self.nodes]
        return [
            (parameter, 1.0 / self._weights[place]) for place in places for parameter in self.layers[place].parameters()
        ]

    def modules_of(self, path: Path) -> dict[str, nn.Module]:
        """The layers of a path by their names in its graph, shallow to deep; without merges and heads."""
        return {
            name: module
            for depth in range(1, len(path) + 1)
            for name, module in cast(nn.ModuleDict, self.layers[self._place[path[:depth]]]).items()
            if name != "merge"
        }

    def places(self, path: Path) -> list[int]:
        """Where the nodes of a path stand in `nodes`, shallow to deep."""
        return [self.nodes.index(path[:depth]) for depth in range(1, len(path) + 1)]


@dataclass(frozen=True, slots=True)
class _Step:
    """The layers that a node adds. Maps are counted with the images at 0, so node n of the graph makes map n + 1.

    `own` are their names and the maps they read; the first makes map `since`.
    """

    since: int
    own: tuple[tuple[str, tuple[int, ...]], ...]
    ends: tuple[int, ...]
    reads_all: bool

    @classmethod
    def of(cls, graph: Graph, *, since: int) -> _Step:
        """The nodes of a graph from number `since` on."""
        own = tuple((node.name, tuple(source - IMAGE for source in node.inputs)) for node in graph.nodes[since:])
        return cls(since - IMAGE, own, tuple(source - IMAGE for source in graph.ends), reads_all(graph))


def _modules(graph: Graph, *, since: int) -> nn.ModuleDict:
    modules = nn.ModuleDict()
    for node in graph.nodes[since:]:
        modules[node.name] = build_layer(node.layer, *graph.input_shapes(node))
    if graph.merge is not None:
        modules["merge"] = build_layer(graph.merge, *graph.end_shapes)
    return modules


def _require_nested(graph: Graph, before: Graph, node: Path) -> None:
    """SpaceError unless the layers of a prefix are the first of those of the prefix that is an action longer."""
    since = len(before.nodes)
    if graph.nodes[:since] != before.nodes or any(each.depth != len(node) for each in graph.nodes[since:]):
        raise SpaceError(
            f"the network of {node} is not that of {node[:-1]} and layers of depth {len(node)}, so the space is not "
            f"nested; train with --evaluator separate"
        )


class SingleHead(nn.Module):
    """One network with one head, in the form of a PrefixNetwork with T = 1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits, (1, B, K)."""
        logits_BK: Tensor = self.network(images_BCHW)
        return logits_BK[None]
