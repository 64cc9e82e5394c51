"""The mixed supernet of chains: a layer is the weighted sum of what all layers of the space make of the map before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import product

from replaytree.errors import SpaceError
from replaytree.records import Path, Shape
from replaytree.space.coding import encode, named
from replaytree.space.layer_space import LayerSpace
from replaytree.space.layers import KINDS, Classifier, Layer
from replaytree.space.mixed import (
    MixedDrawing,
    MixedEdge,
    MixedOption,
    Mixing,
    Projection,
    Row,
    Weight,
    best_option,
    normed,
    one_hot,
)
from replaytree.space.tiny import Tiny

_NO_PARTS = (
    "layers of {name} change the number of channels, so that the channels that pc-darts passes by would mean nothing; "
    "choose --strategy darts or gdas"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layer that may be derived: its action, and which option of each of its decisions it is, by name."""

    action: int
    layer: Layer
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Depth:
    """The layers that may be derived at a depth, and the numbers of their decisions, by name."""

    candidates: tuple[Candidate, ...]
    decisions: dict[str, int]


class ChainMixture:
    """A Mixture (mixed.py) of chains that have a layer at every depth.

    All maps have as many channels as the widest layer makes; behind those of a narrower layer stand zeros, as if later
    layers had only the leading part of their weights. Layers that differ in their channels alone share weights: the
    narrower is the leading part of the wider. So a residual block adds its input as it is wherever the stride allows
    that, also where the network of a path has a 1x1 convolution there, or nothing.

    Maps of different sides cannot be added, and strides are not mixed: the layer behind a third and that behind two
    thirds of all layers halve the sides, as in whole networks of ENAS, and no others. Of the space, only such paths
    are derived.
    """

    def __init__(
        self, candidates: Iterable[Candidate], *, input_shape: Shape, num_classes: int, max_layers: int
    ) -> None:
        every = tuple(candidates)
        drawing = MixedDrawing(input_shape)
        # Poolings keep the channels of the image, and may be the widest.
        shapes = [each.layer.output_shape(input_shape) for each in every]
        widest = max(shape[0] for shape in shapes if shape is not None)
        third = max_layers // 3
        self._depths: list[_Depth] = []
        read = 0
        for depth in range(1, max_layers + 1):
            shape = drawing.shape(read)
            halves = third > 0 and depth in (third + 1, 2 * third + 1) and min(shape[1:]) > 1
            height, width = (-(-side // (1 + halves)) for side in shape[1:])
            own = tuple(each for each in every if (each.layer.output_shape(shape) or ())[1:] == (height, width))
            if not own:
                raise SpaceError(
                    f"no layer of this space makes maps of {height}x{width} at depth {depth}; give other images"
                )
            self._depths.append(_Depth(own, _decided(drawing, depth, own)))
            edge = MixedEdge(read, tuple(_options(self._depths[-1], shape)))
            read = drawing.mix(f"layer{depth}", (widest, height, width), [edge])
        self.graph = drawing.graph(Classifier(num_classes))

    def derive(self, weights: Sequence[Row]) -> Path:
        """The path of some weights, one row a decision: of each the largest, among what goes with those before."""
        path = []
        for depth in self._depths:
            left = depth.candidates
            for name, of in depth.decisions.items():
                mixing = self.graph.decisions[of]
                if all(name in dict(each.options) for each in left):
                    word = mixing.options[best_option(mixing, weights[of])]
                    left = tuple(each for each in left if (name, word) in each.options)
            path.append(left[0].action)
        return tuple(path)

    def rows(self, path: Path) -> list[Row]:
        """The weights with which the supernet is the network of a path: ones and zeros."""
        rows = [one_hot(len(mixing.options)) for mixing in self.graph.decisions]
        for number, (depth, action) in enumerate(zip(self._depths, path, strict=True), start=1):
            found = next((each for each in depth.candidates if each.action == action), None)
            if found is None:
                raise SpaceError(f"layer {number} of path {path} is none that the supernet mixes there")
            for name, word in found.options:
                of = depth.decisions[name]
                options = self.graph.decisions[of].options
                rows[of] = one_hot(len(options), options.index(word))
        return rows

    def projections(self) -> list[Projection]:
        """Every decision by itself."""
        return [Projection(mixing.name, (of,)) for of, mixing in enumerate(self.graph.decisions)]

    def skips(self, path: Path) -> None:
        """No layer passes its input on."""


def mixed_layers(space: LayerSpace, *, share: int = 1) -> ChainMixture:
    """Of a space of layers: one decision a depth."""
    _require_whole_channels(str(space.name), share)
    if own := [layer.label for layer in space.layers if KINDS.get(type(layer).__name__) is not type(layer)]:
        raise SpaceError(f"layer {own[0]!r} is one of your own, which no supernet mixes; choose another --strategy")
    candidates = (Candidate(action, layer, (("layer", layer.label),)) for action, layer in enumerate(space.layers))
    return ChainMixture(
        candidates, input_shape=space.input_shape, num_classes=space.num_classes, max_layers=space.max_layers
    )


def mixed_tiny(plan: Tiny, *, share: int = 1) -> ChainMixture:
    """Of small layers: the kind and, but for poolings, the channels."""
    _require_whole_channels(plan.name, share)
    decisions = plan.decisions(1)
    candidates = []
    for values in product(*(range(decision.size) for decision in decisions)):
        layer = plan.layer_of(values)
        if layer is not None:
            words = {name: str(word) for name, word in named(decisions, values).items() if name != "stride"}
            is_pooling = not hasattr(layer, "channels")
            options = tuple(words.items())[: 1 if is_pooling else 2]
            candidates.append(Candidate(encode(decisions, values), layer, options))
    return ChainMixture(
        candidates, input_shape=plan.input_shape, num_classes=plan.num_classes, max_layers=plan.max_layers
    )


def _require_whole_channels(name: str, share: int) -> None:
    if share > 1:
        raise SpaceError(_NO_PARTS.format(name=name))


def _decided(drawing: MixedDrawing, depth: int, candidates: Sequence[Candidate]) -> dict[str, int]:
    """The decisions of a depth, by the names that its layers give them."""
    words: dict[str, dict[str, None]] = {}
    for candidate in candidates:
        for name, word in candidate.options:
            words.setdefault(name, {})[word] = None
    return {name: drawing.decide(Mixing(f"{depth} {name}", tuple(options))) for name, options in words.items()}


def _options(depth: _Depth, shape: Shape) -> Iterable[MixedOption]:
    """What the edge of a depth may do: one option for all layers that differ in their channels alone."""
    alike: dict[object, list[Candidate]] = {}
    for candidate in depth.candidates:
        layer = candidate.layer
        others = tuple((f.name, getattr(layer, f.name)) for f in fields(layer) if f.name != "channels")  # type: ignore[arg-type]
        alike.setdefault((type(layer), others), []).append(candidate)
    drawn = {each: (_weight(depth, each), (each.layer.output_shape(shape) or (0,))[0]) for each in depth.candidates}
    for some in alike.values():
        widest = max(some, key=lambda each: drawn[each][1])
        layers = normed((widest.layer,))
        if len(some) == 1:
            yield MixedOption(layers, drawn[widest][0])
        else:
            yield MixedOption(layers, (), tuple(drawn[each] for each in some))


def _weight(depth: _Depth, candidate: Candidate) -> Weight:
    """The product of the weights of its options."""
    return (tuple((depth.decisions[name], _place(depth, name, word)) for name, word in candidate.options),)


def _place(depth: _Depth, name: str, word: str) -> int:
    """The number of an option in its decision: the order in which the layers first name it."""
    words = dict.fromkeys(own for each in depth.candidates for other, own in each.options if other == name)
    return list(words).index(word)
