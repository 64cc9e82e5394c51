"""The supernet: the weights of all paths of a space, and the networks of single paths, which are made of them.

Shapes: B images, C channels, H rows, W columns, K classes, T heads.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from replaytree.errors import SpaceError
from replaytree.networks.shared_heads import SharedHead
from replaytree.networks.shared_weights import SharedWeights
from replaytree.networks.trie import DISCOUNT, NodeError
from replaytree.records import Path, Shape
from replaytree.space import GraphSpace, prefixes
from replaytree.space.building import build_layer
from replaytree.space.graph import IMAGE, Graph
from replaytree.space.layers import OWN_KIND, Layer, layer_to_json
from replaytree.space.trie import HEAD_HIDDEN, head_grid, head_shape, head_units, reads_all

# The least recently used are dropped. They are small: their weights are the supernet's.
MAX_BLOCKS = 2048
MAX_NETWORKS = 128

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Block:
    """A module whose parameters are parts of the supernet's tensors, and the momenta of these."""

    module: nn.Module
    parameters: tuple[nn.Parameter, ...]
    momenta: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Prefix:
    """The layers that a prefix adds to the prefixes before it, and its head.

    Maps are counted with the images at 0. `own` are modules and the maps that they read; the first makes map `since`.
    """

    path: Path
    since: int
    own: tuple[tuple[nn.Module, tuple[int, ...]], ...]
    ends: tuple[int, ...]
    merge: nn.Module | None
    head: nn.Module


class PathNetwork(nn.Module):
    """The network of some paths, which share the layers of their common prefixes; its weights are the supernet's.

    `prefixes` are those that have a head, in the order of the heads. `blocks` are the parts that the network is made
    of, each with the factor on its gradients, where it is not 1 in `by_factor`. `is_dense`: no weight is a part of a
    tensor that leaves gaps. Raises NodeError where a layer cannot be run.
    """

    def __init__(self, parts: Sequence[Prefix], blocks: Sequence[tuple[Block, float]]) -> None:
        super().__init__()
        self._parts = tuple(parts)
        self.prefixes = tuple(part.path for part in parts)
        self._modules_used = tuple(block.module for block, _ in blocks)
        self.weights_and_momenta = [
            pair for block, _ in blocks for pair in zip(block.parameters, block.momenta, strict=True)
        ]
        self.is_dense = all(_is_dense(weight) for weight, _ in self.weights_and_momenta)
        self.by_factor: dict[float, list[nn.Parameter]] = {}
        for block, factor in blocks:
            if factor != 1.0 and block.parameters:
                self.by_factor.setdefault(factor, []).extend(block.parameters)

    def train(self, mode: bool = True) -> PathNetwork:
        """Let dropout work, or not. Batch norm always takes the statistics of its batch."""
        for module in self._modules_used:
            module.train(mode)
        self.training = mode
        return self

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits (T, B, K)."""
        logits: list[Tensor] = []
        maps = [images_BCHW]
        for part in self._parts:
            del maps[part.since :]
            try:
                for module, sources in part.own:
                    maps.append(module(*[maps[source] for source in sources]))
                ends = [maps[source] for source in part.ends]
                logits.append(part.head(ends[0] if part.merge is None else part.merge(*ends)))
            except Exception as error:
                raise NodeError(part.path) from error
        return torch.stack(logits)


class Supernet:
    """The weights of all paths of a space: a tensor for every (name of a node, layer, parameter).

    In a chain the name of a node is its depth and label; cells name cell, node, input and operation. Where layers of
    one name read different numbers of channels, the smaller tensors are the leading parts of the largest. In a nested
    space each depth has heads, one for each number of channels; else the graph's own head is shared.

    A head's gradient reaches the layers below it discounted by `discount` a layer, as in a PrefixNetwork. SpaceError
    for layers of a user's own, whose weights nobody knows.
    """

    def __init__(
        self,
        space: GraphSpace,
        num_classes: int,
        *,
        seed: int,
        device: torch.device,
        hidden: int = HEAD_HIDDEN,
        discount: float = DISCOUNT,
    ) -> None:
        self._space = space
        self._num_classes = num_classes
        self._hidden = hidden
        self._discount = discount if space.nested else 1.0
        self._weights = SharedWeights(seed=seed, device=device)
        self._blocks: OrderedDict[tuple[str, object, tuple[Shape, ...]], Block] = OrderedDict()
        self._networks: OrderedDict[tuple[Path, ...], PathNetwork] = OrderedDict()

    def network(self, paths: Sequence[Path]) -> PathNetwork:
        """The network of these paths, with a head for every prefix where the space is nested, else of one whole path.

        Take it anew for every step: other paths may have made tensors grow, and then it is made of new parts.
        """
        network = self._cached(self._networks, tuple(paths), lambda: self._network(paths), most=MAX_NETWORKS)
        if self._weights.stale:
            for key in [key for key in self._blocks if key[0] in self._weights.stale]:
                del self._blocks[key]
            self._networks.clear()
            self._weights.stale.clear()
            return self.network(paths)
        return network

    def _network(self, paths: Sequence[Path]) -> PathNetwork:
        assert self._space.nested or len(paths) == 1, "only networks of nested spaces share layers"
        parts: list[Prefix] = []
        blocks: list[tuple[Block, float]] = []
        for path in prefixes(paths) if self._space.nested else paths:
            graph = self._space.network(path)
            since = len(self._space.network(path[:-1]).nodes) if self._space.nested else 0
            factor = self._discount ** (len(path) - 1)

            def add(block: Block, factor: float) -> nn.Module:
                blocks.append((block, factor))
                return block.module

            try:
                own = tuple(
                    (
                        add(self._layer(node.name, node.layer, graph.input_shapes(node)), 1.0 / factor),
                        tuple(source - IMAGE for source in node.inputs),
                    )
                    for node in graph.nodes[since:]
                )
                merge = None
                if graph.merge is not None:
                    merge = add(self._layer(f"merge{len(path)}", graph.merge, graph.end_shapes), 1.0 / factor)
                head = add(self._head(path, graph), 1.0)
            except SpaceError:
                raise
            except Exception as error:
                raise NodeError(path) from error
            ends = tuple(source - IMAGE for source in graph.ends)
            parts.append(Prefix(path, since - IMAGE, own, ends, merge, head))
        return PathNetwork(parts, blocks)

    def _layer(self, name: str, layer: Layer, shapes: tuple[Shape, ...]) -> Block:
        def made() -> Block:
            described = layer_to_json(layer)
            if described["type"] == OWN_KIND:
                raise SpaceError(f"layer {layer.label!r} is one of your own, and a supernet has none of these")
            with torch.random.fork_rng(devices=[]):
                module = build_layer(layer, *shapes)
            return self._tied(f"{name} {json.dumps(described, sort_keys=True)}", module)

        return self._cached(self._blocks, (name, layer, shapes), made, most=MAX_BLOCKS)

    def _head(self, path: Path, graph: Graph) -> Block:
        if not self._space.nested:
            return self._layer("head", graph.head, (graph.end_shape,))
        units, grid = head_units(self._space, path, self._hidden), head_grid(self._space, path)
        name = f"head{len(path)}"
        factor = self._discount ** (len(path) - 1)

        def made() -> Block:
            with torch.random.fork_rng(devices=[]):
                head = SharedHead(
                    head_shape(self._space, path)[0], units, self._num_classes,
                    grid=grid, passes_on=factor, reads_all=reads_all(graph),
                )  # fmt: skip
            return self._tied(f"{name} {units}", head)

        return self._cached(self._blocks, (name, (units, grid), (graph.end_shape,)), made, most=MAX_BLOCKS)

    def _tied(self, name: str, module: nn.Module) -> Block:
        """The module with parts of the supernet's tensors as its parameters, and without running averages."""
        parameters: list[nn.Parameter] = []
        momenta: list[Tensor] = []
        for place, owner in module.named_modules():
            normed = isinstance(owner, nn.BatchNorm1d | nn.BatchNorm2d)
            if normed:
                # They would mix the statistics of all paths.
                owner.track_running_stats = False
                owner.running_mean = owner.running_var = owner.num_batches_tracked = None
            for own, parameter in list(owner.named_parameters(recurse=False)):
                shape = tuple(parameter.shape)
                sized = f" {shape}" if len(shape) == 2 else ""
                constant = None if len(shape) > 1 else 1.0 if normed and own == "weight" else 0.0
                part = self._weights.part(f"{name} {place}.{own}{sized}", shape, constant=constant)
                tied = nn.Parameter(part.weight)
                setattr(owner, own, tied)
                parameters.append(tied)
                momenta.append(part.momentum)
        return Block(module, tuple(parameters), tuple(momenta))

    def _cached(self, cache: OrderedDict[KeyT, ValueT], key: KeyT, made: Callable[[], ValueT], *, most: int) -> ValueT:
        value = cache.get(key)
        if value is None:
            value = cache[key] = made()
            if len(cache) > most:
                cache.popitem(last=False)
        else:
            cache.move_to_end(key)
        return value

    def unchanged(self) -> AbstractContextManager[None]:
        """For scores: layers that no path was trained with have their first weights meanwhile, and none afterwards.

        So the supernet, and what is trained later, does not depend on what was scored.
        """
        return self._weights.unchanged()

    @property
    def nbytes(self) -> int:
        """The memory of all weights and momenta."""
        return self._weights.nbytes

    def state_dict(self) -> dict[str, Any]:
        """The tensors in use."""
        return self._weights.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self._weights.load_state_dict(state)


def _is_dense(weight: Tensor) -> bool:
    """Whether nothing lies between its numbers."""
    last = weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    return last or weight.is_contiguous()
