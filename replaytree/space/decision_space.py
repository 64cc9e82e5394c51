"""A space whose layers are several decisions, made from a plan (plan.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import MOST_ACTIONS, Values, count, decode, encode, labels, why_illegal
from replaytree.space.graph import Graph
from replaytree.space.layers import Classifier
from replaytree.space.notation import check_path, parse_path
from replaytree.space.plan import FORMAT, Explaining, Plan

# Caches are emptied when full.
MAX_CACHED = 65536


class DecisionSpace:
    """A Space (records.py) made from a plan: depth, legality of prefixes, labels, networks and costs follow from it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.input_shape = plan.input_shape
        self.num_classes = plan.num_classes
        self._decisions = tuple(_numbered(plan, depth) for depth in range(1, plan.max_layers + 1))
        self._masks: dict[tuple[Path, Values], tuple[bool, ...]] = {}
        self._known: set[Path] = {()}
        self._graphs: dict[Path, Graph] = {}
        if not any(self.legal(())):
            raise SpaceError(f"no layer of {plan.name} may stand first on images of {plan.input_shape}")

    def __repr__(self) -> str:
        """The plan's name, how deep, and for which images."""
        shape = "x".join(map(str, self.input_shape))
        return f"DecisionSpace({self.name}, up to {self.max_layers} layers on images of {shape})"

    @property
    def name(self) -> str:
        """How the space is called on the command line."""
        return self.plan.name

    @property
    def nested(self) -> bool:
        """Whether one training can score all prefixes of a path."""
        return self.plan.nested

    @property
    def max_layers(self) -> int:
        """Depth of the deepest path."""
        return self.plan.max_layers

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The decisions of the layer at `depth`, 1 to max_layers."""
        return self._decisions[depth - 1]

    def legal(self, prefix: Path, chosen: Values = ()) -> tuple[bool, ...]:
        """Which options the next decision may take. SpaceError if the prefix is illegal."""
        mask = self._masks.get((prefix, chosen))
        if mask is None:
            self.check(prefix)
            if len(prefix) == self.max_layers:
                return (False,) * len(self._decisions[-1][0].options)
            mask = self.plan.legal(prefix, chosen)
            if len(self._masks) >= MAX_CACHED:
                self._masks.clear()
            self._masks[prefix, chosen] = mask
        return mask

    def why(self, prefix: Path, chosen: Values, option: int) -> str | None:
        """Why the next decision may not take an option; None where the plan does not tell."""
        return self.plan.why(prefix, chosen, option) if isinstance(self.plan, Explaining) else None

    def label(self, prefix: Path, action: int) -> str:
        """The layer's name."""
        return self.plan.label(prefix, decode(self.decisions(len(prefix) + 1), action))

    def action(self, prefix: Path, label: str) -> int:
        """The layer of a name; SpaceError if there is none."""
        if len(prefix) == self.max_layers:
            raise SpaceError(
                f"layer {len(prefix) + 1} is {label!r}, beyond max_layers, {self.max_layers} (--max-layers)"
            )
        return encode(self.decisions(len(prefix) + 1), self.plan.values(prefix, label))

    def network(self, prefix: Path) -> Graph:
        """The prefix with its head, as a graph of layers. SpaceError if the prefix is illegal."""
        graph = self._graphs.get(prefix)
        if graph is None:
            self.check(prefix)
            graph = self.plan.network(prefix)
            if len(self._graphs) >= MAX_CACHED // 64:
                self._graphs.clear()
            self._graphs[prefix] = graph
        return graph

    def final(self) -> DecisionSpace:
        """The space of the networks that are delivered, with the same paths; this one where its plan has no other."""
        final = getattr(self.plan, "final", None)
        return self if final is None else DecisionSpace(final())

    def output_shape(self, prefix: Path) -> Shape:
        """The feature map that the head reads."""
        return self.network(prefix).end_shape

    def cost(self, prefix: Path) -> tuple[int, int]:
        """(parameters, FLOPs) of the prefix with its head; FLOPs are multiply-adds for one image."""
        graph = self.network(prefix)
        return graph.params, graph.flops

    def build(self, prefix: Path, num_classes: int | None = None) -> Any:
        """The prefix with its head, as an nn.Module from (images, channels, height, width) to (images, num_classes)."""
        graph = self.network(prefix)
        if num_classes is not None and num_classes != self.num_classes:
            assert isinstance(graph.head, Classifier), "built-in heads are classifiers"
            graph = replace(graph, head=replace(graph.head, num_classes=num_classes))
        from replaytree.space.building import build

        return build(graph)

    def check(self, path: Path) -> None:
        """SpaceError, saying at which layer, which decision and why, unless `path` is legal."""
        if path in self._known:
            return
        if len(path) > self.max_layers:
            raise SpaceError(f"the path has {len(path)} layers, more than max_layers, {self.max_layers} (--max-layers)")
        if path[:-1] in self._known:
            reason = why_illegal(self, path[:-1], path[-1])
            if reason is not None:
                raise SpaceError(f"layer {len(path)} is illegal there: {reason}")
        else:
            check_path(self, path)
        if len(self._known) >= MAX_CACHED:
            self._known = {()}
        self._known.add(path)

    def parse(self, text: str) -> Path:
        """Labels or dot-joined actions -> a legal Path, or SpaceError saying why not."""
        return parse_path(text, self)

    def labels(self, path: Path) -> tuple[str, ...]:
        """The labels of a path's layers."""
        return labels(self, path)

    def describe(self) -> dict[str, Any]:
        """What makes two spaces the same, for JSON; catalogue.space_of rebuilds the space from it."""
        return {
            "kind": self.name,
            "format": FORMAT,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "max_layers": self.max_layers,
            **self.plan.options(),
        }


def _numbered(plan: Plan, depth: int) -> tuple[Decision, ...]:
    """The decisions at a depth; SpaceError where they make more layers than can be numbered."""
    decisions = plan.decisions(depth)
    if (made := count(decisions)) > MOST_ACTIONS:
        raise SpaceError(
            f"layer {depth} of {plan.name} could be any of {made:.3g}, and {MOST_ACTIONS:.3g} can be numbered; "
            f"max_layers may be {depth - 1} (--max-layers)"
        )
    return decisions
