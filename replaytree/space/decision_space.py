"""A space whose layers are several decisions, made from a plan (plan.py)."""

from __future__ import annotations

from typing import Any

from replaytree.errors import SpaceError
from replaytree.metric import Task
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import MOST_ACTIONS, Values, allows, count, decode, encode, labels
from replaytree.space.layers import require_whole
from replaytree.space.network import Network, data_words, task_of
from replaytree.space.notation import check_path, parse_path, require_depth
from replaytree.space.plan import FORMAT, Explaining, Frugal, Plan, Unconditional

# Caches are emptied when full.
MAX_CACHED = 65536


class DecisionSpace:
    """A Space (records.py) made from a plan: depth, legality of prefixes, labels, networks and costs follow from it."""

    def __init__(self, plan: Plan) -> None:
        require_whole("num_classes", plan.num_classes, least=2)
        require_whole("max_layers", plan.max_layers, least=1)
        self.plan = plan
        self.input_shape = plan.input_shape
        self.num_classes = plan.num_classes
        self._depth = plan.max_layers
        self._decisions = tuple(_numbered(plan, depth) for depth in range(1, plan.max_layers + 1))
        self._fixed = tuple(_fixed(plan, depth) for depth in range(1, plan.max_layers + 1))
        # How many actions a layer has, and the places of those decisions that may not take every option everywhere.
        self._counts = tuple(map(count, self._decisions))
        self._narrow = tuple(
            tuple(place for place, mask in enumerate(masks) if mask is None or not all(mask)) for masks in self._fixed
        )
        self._nothing = (False,) * len(self._decisions[-1][0].options)
        self._masks: dict[tuple[Path, Values], tuple[bool, ...]] = {}
        self._known: set[Path] = {()}
        self._graphs: dict[Path, Network] = {}
        self._final: DecisionSpace | None = None
        if not any(self.legal(())):
            raise SpaceError(f"no layer of {plan.name} may stand first on images of {plan.input_shape}")

    def __repr__(self) -> str:
        """The plan's name, how deep, and for which images or text."""
        data = data_words(self.task, self.input_shape, self.num_classes)
        return f"DecisionSpace({self.name}, up to {self.max_layers} layers on {data})"

    @property
    def name(self) -> str:
        """How the space is called on the command line."""
        return self.plan.name

    @property
    def task(self) -> Task:
        """What the networks are for."""
        return task_of(self.plan)

    @property
    def nested(self) -> bool:
        """Whether one training can score all prefixes of a path."""
        return self.plan.nested

    @property
    def max_layers(self) -> int:
        """Depth of the deepest path."""
        return self._depth

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The decisions of the layer at `depth`, 1 to max_layers."""
        return self._decisions[depth - 1]

    def legal(self, prefix: Path, chosen: Values = ()) -> tuple[bool, ...]:
        """Which options the next decision may take. SpaceError if the prefix is illegal."""
        if prefix not in self._known:
            self.check(prefix)
        if len(prefix) == self._depth:
            return self._nothing
        mask = self._fixed[len(prefix)][len(chosen)]
        if mask is None:
            mask = self._masks.get((prefix, chosen))
        if mask is None:
            mask = self.plan.legal(prefix, chosen)
            if len(self._masks) >= MAX_CACHED:
                self._masks.clear()
            self._masks[prefix, chosen] = mask
        return mask

    def allows(self, prefix: Path, action: int) -> bool:
        """Whether a layer may follow a legal prefix of fewer than max_layers layers."""
        path = (*prefix, action)
        if path in self._known:
            return True
        depth = len(prefix)
        if not 0 <= action < self._counts[depth]:
            return False
        if self._narrow[depth]:
            decisions = self._decisions[depth]
            values = decode(decisions, action)
            for place in self._narrow[depth]:
                if not allows(decisions[place], self.legal(prefix, values[:place]), values[place]):
                    return False
        if len(self._known) >= MAX_CACHED:
            self._known = {()}
        self._known.add(path)
        return True

    def why(self, prefix: Path, chosen: Values, option: int) -> str | None:
        """Why the next decision may not take an option; None where the plan does not tell."""
        return self.plan.why(prefix, chosen, option) if isinstance(self.plan, Explaining) else None

    def cheapest(self, prefix: Path, chosen: Values) -> int | None:
        """The value of the next decision with which a layer costs least; None where the plan does not tell."""
        return self.plan.cheapest(prefix, chosen) if isinstance(self.plan, Frugal) else None

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

    def network(self, prefix: Path) -> Network:
        """The prefix with its head, as plain values. SpaceError if the prefix is illegal."""
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
        if self._final is None:
            # Made once, for its caches. What it delivers is itself.
            final = getattr(self.plan, "final", None)
            self._final = self if final is None else DecisionSpace(final())
            self._final._final = self._final
        return self._final

    def output_shape(self, prefix: Path) -> Shape:
        """The feature map that the head reads."""
        return self.network(prefix).end_shape

    def cost(self, prefix: Path) -> tuple[int, int]:
        """(parameters, FLOPs) of the prefix with its head; FLOPs are multiply-adds for one image, or one word."""
        network = self.network(prefix)
        return network.params, network.flops

    def build(self, prefix: Path, num_classes: int | None = None) -> Any:
        """The prefix with its head, as an nn.Module: from images (B, C, H, W) to logits (B, K), or a LanguageModel."""
        network = self.network(prefix)
        if num_classes is not None and num_classes != self.num_classes:
            network = network.with_classes(num_classes)
        from replaytree.space.building import build

        return build(network)

    def check(self, path: Path) -> None:
        """SpaceError, saying at which layer, which decision and why, unless `path` is legal."""
        if path in self._known:
            return
        require_depth(path, self.max_layers)
        if path[:-1] not in self._known or not self.allows(path[:-1], path[-1]):
            check_path(self, path)

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


def _fixed(plan: Plan, depth: int) -> tuple[tuple[bool, ...] | None, ...]:
    """The masks that the plan says are fixed; None of the others."""
    return plan.fixed(depth) if isinstance(plan, Unconditional) else (None,) * len(plan.decisions(depth))
