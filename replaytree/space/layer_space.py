"""The space of chains of layers that can be built, one decision a layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.graph import Graph, chain
from replaytree.space.layers import (
    Classifier,
    Layer,
    format_shape,
    layer_to_json,
    require_whole,
)
from replaytree.space.memory import Memory, memory_of_chain
from replaytree.space.network import data_words
from replaytree.space.notation import action_of, checked_labels, read_path, require_actions, require_depth
from replaytree.space.plan import FORMAT
from replaytree.space.returned import require_shape

# Caches are emptied when full. xu24 meets 24 shapes on 32x32 images, so only a user's own layers get near the first.
MAX_CACHED_SHAPES = 4096
MAX_CACHED_GRAPHS = 1024
# How many shapes the constructor checks for dead ends. A measured layer takes about 2 ms at each shape.
MAX_CHECKED_SHAPES = 256


@dataclass(frozen=True, slots=True)
class _Steps:
    """What may follow a feature map, by action; `costs` is (parameters, FLOPs), filled when first asked for."""

    shapes: tuple[Shape | None, ...]
    mask: tuple[bool, ...]
    costs: dict[int, tuple[int, int]] = field(default_factory=dict)


class LayerSpace:
    """Chains of layers on images, with a classifier head: global average pooling and a linear layer.

    `name` and `options` are those of a space of the catalogue, which makes it anew from them.

    A Space (see records.py). Shapes are (channels, height, width). Raises SpaceError for what cannot be a space,
    also where a chain shorter than `max_layers` could reach a feature map that no layer may follow.
    """

    nested = True

    def __init__(
        self,
        layers: Iterable[Layer],
        *,
        input_shape: Shape,
        num_classes: int,
        max_layers: int,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self._options = dict(options or {})
        self.layers = tuple(layers)
        for number, layer in enumerate(self.layers):
            if isinstance(layer, type) or not isinstance(layer, Layer):
                raise SpaceError(
                    f"layer {number} of the space is {layer!r}; it must be a Convolution, ResidualBlock, Pooling or "
                    f"CustomLayer (for plain labels, use LabelSpace)"
                )
        self._labels = checked_labels(layer.label for layer in self.layers)
        self._decisions = (Decision("layer", self._labels),)
        self.input_shape = require_shape("input_shape", input_shape)
        require_whole("num_classes", num_classes, least=2)
        require_whole("max_layers", max_layers, least=1)
        self.num_classes = num_classes
        self._max_layers = max_layers
        self._steps: dict[Shape, _Steps] = {}
        self._graphs: dict[Path, Graph] = {}
        self._last_walk: tuple[Path, tuple[Shape, ...]] = ((), (self.input_shape,))
        self._check_dead_ends()

    def __repr__(self) -> str:
        """How many layers, how deep, and for which images."""
        images = data_words("images", self.input_shape, self.num_classes)
        return f"LayerSpace({len(self.layers)} layers, up to {self._max_layers} of them on {images})"

    @property
    def num_actions(self) -> int:
        """Number of layers to choose from."""
        return len(self.layers)

    @property
    def max_layers(self) -> int:
        """Depth of the deepest path."""
        return self._max_layers

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, by action."""
        return self._labels

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """One decision at every depth: the layer."""
        return self._decisions

    def label(self, prefix: Path, action: int) -> str:
        """The layer's name."""
        require_actions((action,), self.num_actions)
        return self._labels[action]

    def action(self, prefix: Path, label: str) -> int:
        """The layer of that name; SpaceError, with close names, if there is none."""
        return action_of(label, self._labels, depth=len(prefix) + 1)

    def legal(self, prefix: Path, chosen: tuple[int, ...] = ()) -> tuple[bool, ...]:
        """Which actions may follow `prefix`: none at max_layers, else at least one. SpaceError if it is illegal."""
        shape = self.output_shape(prefix)
        if len(prefix) == self._max_layers:
            return (False,) * len(self.layers)
        return self._steps_from(shape).mask

    def output_shape(self, prefix: Path) -> Shape:
        """The feature map after `prefix`, before the head. SpaceError if the prefix is illegal."""
        return self._walk(prefix)[-1]

    def cost(self, prefix: Path) -> tuple[int, int]:
        """(parameters, FLOPs) of the prefix with its head; FLOPs are multiply-adds for one image."""
        shapes = self._walk(prefix)
        channels = shapes[-1][0]
        params, flops = (channels + 1) * self.num_classes, channels * self.num_classes
        for action, shape in zip(prefix, shapes, strict=False):
            costs = self._steps_from(shape).costs
            if action not in costs:
                layer = self.layers[action]
                costs[action] = (layer.params(shape), layer.flops(shape))
            layer_params, layer_flops = costs[action]
            params += layer_params
            flops += layer_flops
        return params, flops

    def memory(self, prefix: Path) -> Memory | None:
        """That of the network of the prefix, without making it; None where it is unknown."""
        shapes = self._walk(prefix)
        layers = [(self.layers[action], (shape,)) for action, shape in zip(prefix, shapes, strict=False)]
        return memory_of_chain([*layers, (Classifier(self.num_classes), (shapes[-1],))])

    def build(self, prefix: Path, num_classes: int | None = None) -> Any:
        """The prefix with its head, as an nn.Module from (images, channels, height, width) to (images, num_classes).

        `num_classes` is the space's own where it is None.
        """
        num_classes = self.num_classes if num_classes is None else num_classes
        require_whole("num_classes", num_classes, least=1)
        from replaytree.space.building import build  # here, because spaces are described without torch

        return build(replace(self.network(prefix), head=Classifier(num_classes)))

    def network(self, prefix: Path) -> Graph:
        """The prefix with its head, as a chain. SpaceError if the prefix is illegal."""
        graph = self._graphs.get(prefix)
        if graph is None:
            self.check(prefix)
            layers = [self.layers[action] for action in prefix]
            graph = chain(layers, input_shape=self.input_shape, head=Classifier(self.num_classes))
            if len(self._graphs) >= MAX_CACHED_GRAPHS:
                self._graphs.clear()
            self._graphs[prefix] = graph
        return graph

    def check(self, path: Path) -> None:
        """SpaceError, saying at which layer and why, unless `path` is legal."""
        self._walk(path)

    def parse(self, text: str) -> Path:
        """'res128 conv32k3', 'res128, conv32k3' or dot-joined indices -> a legal Path, or SpaceError saying why not."""
        path = read_path(text, self)
        self.check(path)
        return path

    def describe(self) -> dict[str, Any]:
        """What makes two spaces the same, for JSON; catalogue.space_of rebuilds the space from it."""
        if self.name is None:
            return self.describe_layers()
        return {
            "kind": self.name,
            "format": FORMAT,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "max_layers": self._max_layers,
            **self._options,
        }

    def describe_layers(self) -> dict[str, Any]:
        """As `describe`, by its layers alone, also where the space has a name."""
        return {
            "kind": "layers",
            "format": FORMAT,
            "labels": list(self._labels),
            "layers": [layer_to_json(layer) for layer in self.layers],
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "max_layers": self._max_layers,
        }

    def _walk(self, path: Path) -> tuple[Shape, ...]:
        """The feature maps before, between and after the layers of `path`; len(path) + 1 shapes.

        Callers usually ask for a prefix and then for its continuation, so the last walk is cached and extended.
        Recording a path of 15 layers then takes 15 steps instead of 240.
        """
        walked, shapes = self._last_walk
        if path == walked:
            return shapes
        require_depth(path, self._max_layers)
        if path[:-1] != walked:
            shapes = (self.input_shape,)
        for depth in range(len(shapes), len(path) + 1):
            shapes = (*shapes, self._shape_after(path, depth, shapes[-1]))
        self._last_walk = (tuple(path), shapes)
        return shapes

    def _shape_after(self, path: Path, depth: int, before: Shape) -> Shape:
        action = path[depth - 1]
        if not 0 <= action < len(self.layers):
            require_actions(path, len(self.layers))
        after = self._steps_from(before).shapes[action]
        if after is None:
            raise SpaceError(
                f"layer {depth}, {self._labels[action]}, is illegal there: {self.layers[action].why_illegal(before)}"
            )
        return after

    def _steps_from(self, shape: Shape) -> _Steps:
        steps = self._steps.get(shape)
        if steps is None:
            shapes = tuple(layer.output_shape(shape) for layer in self.layers)
            mask = tuple(after is not None for after in shapes)
            if not any(mask):
                raise SpaceError(
                    f"no layer may follow a feature map of {format_shape(shape)}, which is reached before max_layers, "
                    f"{self._max_layers}; add a layer of stride 1, or lower max_layers (--max-layers)"
                )
            if len(self._steps) >= MAX_CACHED_SHAPES:
                self._steps.clear()
            steps = self._steps[shape] = _Steps(shapes, mask)
        return steps

    def _check_dead_ends(self) -> None:
        seen = frontier = {self.input_shape}
        for _ in range(self._max_layers):
            if not frontier or len(seen) > MAX_CHECKED_SHAPES:
                return
            after = {shape for before in frontier for shape in self._steps_from(before).shapes if shape is not None}
            frontier = after - seen
            seen = seen | frontier
