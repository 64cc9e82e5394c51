"""A space within limits: a layer that would break a limit is illegal, so no training is spent on it. No torch.

The limits hold for every prefix, because every prefix is a network that a user may choose.
"""

from __future__ import annotations

from typing import Any

from replaytree.config import option_name
from replaytree.errors import ConfigError, SpaceError
from replaytree.records import Decision, Path, Space
from replaytree.space.coding import Values, encode, ended, labels
from replaytree.space.graph import final_space

MAX_CACHED_PREFIXES = 65536


class ConstrainedSpace:
    """The legal paths of another space in which no prefix has over `max_params` parameters or `max_flops` FLOPs.

    Costs are those of the network that is delivered (`final_space`). A Space (see records.py). A layer is legal if it
    keeps the limits and can be followed, to max_layers or an end of the path, by layers that keep them; so there is
    always a legal layer. SpaceError where no first layer does, or costs are unknown.
    """

    def __init__(self, space: Space, *, max_params: int | None = None, max_flops: int | None = None) -> None:
        for name, limit in (("max_params", max_params), ("max_flops", max_flops)):
            if limit is not None and limit < 1:
                option = option_name(name)
                raise ConfigError(f"{name} is {limit}; it must be a whole number of at least 1 ({option})")
        self.space = space
        self._delivered = final_space(space)
        self.max_params = max_params
        self.max_flops = max_flops
        self._masks: dict[tuple[Path, Values], tuple[bool, ...]] = {}
        self._completes: dict[Path, bool] = {}
        if not any(self.legal(())):
            raise SpaceError(self._why_none())

    def __repr__(self) -> str:
        """The space and its limits."""
        limits = {"max_params": self.max_params, "max_flops": self.max_flops}
        given = (f", {name}={limit}" for name, limit in limits.items() if limit is not None)
        return f"ConstrainedSpace({self.space!r}{''.join(given)})"

    def __getattr__(self, name: str) -> Any:
        """Everything else is the space's own."""
        if name == "space":
            raise AttributeError(name)
        return getattr(self.space, name)

    @property
    def max_layers(self) -> int:
        """Depth of the deepest path."""
        return self.space.max_layers

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The decisions of a layer."""
        return self.space.decisions(depth)

    def label(self, prefix: Path, action: int) -> str:
        """The layer's name."""
        return self.space.label(prefix, action)

    def action(self, prefix: Path, label: str) -> int:
        """The layer of a name."""
        return self.space.action(prefix, label)

    def build(self, prefix: Path, num_classes: int) -> Any:
        """The prefix with its classifier head."""
        return self.space.build(prefix, num_classes)

    def cost(self, prefix: Path) -> tuple[int, int] | None:
        """(parameters, FLOPs) of the prefix with its head."""
        return self.space.cost(prefix)

    def legal(self, prefix: Path, chosen: Values = ()) -> tuple[bool, ...]:
        """Which options the next decision may take, so that the layer and what can follow it keep the limits."""
        mask = self._masks.get((prefix, chosen))
        if mask is None:
            whole = self.space.legal(prefix, chosen)
            if not chosen and not any(whole):
                return whole
            decision = self.space.decisions(len(prefix) + 1)[len(chosen)]
            mask = (
                self._selectable(prefix, chosen, whole)
                if decision.kind == "inputs"
                else tuple(may and self._leads_on(prefix, (*chosen, value)) for value, may in enumerate(whole))
            )
            if len(self._masks) >= MAX_CACHED_PREFIXES:
                self._masks.clear()
            self._masks[prefix, chosen] = mask
        return mask

    def why(self, prefix: Path, chosen: Values, option: int) -> str | None:
        """Why the next decision may not take an option: the space's own reason, or the limits."""
        if self.space.legal(prefix, chosen)[option]:
            limits = {"--max-params": self.max_params, "--max-flops": self.max_flops}
            given = " or ".join(f"{flag} {limit}" for flag, limit in limits.items() if limit is not None)
            return f"it, or what must follow it, is beyond {given}"
        explain = getattr(self.space, "why", None)
        return None if explain is None else explain(prefix, chosen, option)

    def _leads_on(self, prefix: Path, chosen: Values) -> bool:
        """Whether the layer can be completed within the limits, and something within them can follow it."""
        path = self._completed(prefix, chosen)
        return self._obeys(path) and self._can_go_on(path)

    def _selectable(self, prefix: Path, chosen: Values, whole: tuple[bool, ...]) -> tuple[bool, ...]:
        """The inputs that may be taken in any combination: one after the other, while the sum of what each adds fits.

        So some combinations that would fit are left out where not all fit together. Selecting nothing is legal,
        because the choices before it were made so that this is.
        """
        params, flops = self._cost(self._completed(prefix, (*chosen, 0)))
        value, mask = 0, []
        before = params, flops
        for option, may in enumerate(whole):
            path = self._completed(prefix, (*chosen, value | 1 << option))
            cost = self._cost(path)
            # An input that makes the head smaller may save parameters; another combination may not have that saving.
            more = params + max(0, cost[0] - before[0]), flops + max(0, cost[1] - before[1])
            taken = may and self._within(*more) and self._can_go_on(path)
            mask.append(taken)
            if taken:
                value, before, (params, flops) = value | 1 << option, cost, more
        return tuple(mask)

    def _completed(self, prefix: Path, chosen: Values) -> Path:
        """`prefix` and a layer that begins with `chosen`, each later decision the cheapest there is, no inputs."""
        decisions = self.space.decisions(len(prefix) + 1)
        while len(chosen) < len(decisions):
            if decisions[len(chosen)].kind == "inputs":
                chosen = (*chosen, 0)
                continue
            told = self._told(prefix, chosen)
            if told is not None:
                chosen = (*chosen, told)
                continue
            mask = self.space.legal(prefix, chosen)
            options = [(*chosen, value) for value, may in enumerate(mask) if may]
            chosen = min(options, key=lambda values: self._used(self._first(prefix, values), prefix))
        return (*prefix, encode(decisions, chosen))

    def _told(self, prefix: Path, chosen: Values) -> int | None:
        """The value of the next decision that costs least, where the space knows."""
        cheapest = getattr(self.space, "cheapest", None)
        return None if cheapest is None else cheapest(prefix, chosen)

    def _first(self, prefix: Path, chosen: Values) -> Path:
        """`prefix` and a layer that begins with `chosen`, each later decision the first that is legal."""
        decisions = self.space.decisions(len(prefix) + 1)
        while len(chosen) < len(decisions):
            inputs = decisions[len(chosen)].kind == "inputs"
            chosen = (*chosen, 0 if inputs else self.space.legal(prefix, chosen).index(True))
        return (*prefix, encode(decisions, chosen))

    def _within(self, params: int, flops: int) -> bool:
        return (self.max_params is None or params <= self.max_params) and (
            self.max_flops is None or flops <= self.max_flops
        )

    def _obeys(self, prefix: Path) -> bool:
        return self._within(*self._cost(prefix))

    def _can_go_on(self, prefix: Path) -> bool:
        """Whether a path of the cheapest layers leads from here to max_layers, or an end, within the limits.

        The check that made a prefix legal has found such a path behind it, so a legal prefix has a legal layer after
        it.
        """
        if ended(self.space, prefix):
            return True
        if prefix not in self._completes:
            cheapest = self._cheapest(prefix)
            # A layer that costs nothing and changes no feature map, such as pooling of stride 1, can be repeated.
            shape = self._shape(prefix)
            free = shape is not None and self._shape(cheapest) == shape and self._cost(cheapest) == self._cost(prefix)
            if len(self._completes) >= MAX_CACHED_PREFIXES:
                self._completes.clear()
            self._completes[prefix] = self._obeys(cheapest) and (free or self._can_go_on(cheapest))
        return self._completes[prefix]

    def _cheapest(self, prefix: Path) -> Path:
        """`prefix` and the cheapest layer after it, by share of the limits; of equal ones, one that keeps the shape."""
        return self._completed(prefix, ())

    def _used(self, path: Path, prefix: Path) -> tuple[float, bool]:
        params, flops = self._cost(path)
        share = params / self.max_params if self.max_params is not None else 0.0
        share += flops / self.max_flops if self.max_flops is not None else 0.0
        return share, self._shape(path) != self._shape(prefix)

    def _shape(self, prefix: Path) -> object:
        output_shape = getattr(self.space, "output_shape", None)
        return None if output_shape is None else output_shape(prefix)

    def _cost(self, prefix: Path) -> tuple[int, int]:
        cost = self._delivered.cost(prefix)
        if cost is None:
            raise SpaceError(
                "the space does not know what its layers cost, so max_params and max_flops cannot be kept; give "
                "cost= to the LabelSpace, or leave the limits out"
            )
        return cost

    def _why_none(self) -> str:
        path = self._cheapest(())
        while self._obeys(path) and not ended(self.space, path):
            path = self._cheapest(path)
        params, flops = self._cost(path)
        names = " ".join(labels(self.space, path))
        what = f"the cheapest first layer, {names}," if len(path) == 1 else f"already the cheapest layers, {names},"
        have = f"{'has' if len(path) == 1 else 'have'} {params} parameters and {flops} FLOPs"
        limits = [
            text
            for limit, text in (
                (self.max_params, f"--max-params {self.max_params}"),
                (self.max_flops, f"--max-flops {self.max_flops}"),
            )
            if limit is not None
        ]
        return (
            f"no path of {self.max_layers} layers obeys {' and '.join(limits)}: {what} {have} with "
            f"{'its' if len(path) == 1 else 'their'} head; raise the limit, or lower --max-layers"
        )
