"""A space within limits: a layer that would break a limit is illegal, so no training is spent on it. No torch.

The limits hold for every prefix, because every prefix is a network that a user may choose.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

from replaytree.config import option_name
from replaytree.config.limits import LIMITS, Limit, limits_of
from replaytree.errors import ConfigError, SpaceError
from replaytree.records import Decision, Path, Space
from replaytree.space.coding import Values, encode, ended, labels
from replaytree.space.costs import costs_of
from replaytree.space.graph_space import final_space, require_graphs
from replaytree.space.latency_table import LatencyTable

MAX_CACHED_PREFIXES = 65536
LATENCY = Limit("latency_ms", "ms")
_LIMITS = {**LIMITS, "max_latency": LATENCY}


class ConstrainedSpace:
    """The legal paths of another space in which no prefix costs more than the limits say.

    `max_params` and `max_flops` limit what Space.cost says, `max_ram` and `max_flash` the bytes of the network with
    8 bits a number (Network), `max_latency` its milliseconds by a `table`. Costs are those of the network that is
    delivered (`final_space`). A Space (see records.py). A layer is legal if it keeps the limits and can be followed, to
    max_layers or an end of the path, by layers that keep them; so there is always a legal layer. What can follow is
    found by taking the cheapest layer each time, so with several limits a path within them may be left out now and
    then. SpaceError where no first layer keeps them, or costs are unknown.
    """

    def __init__(
        self,
        space: Space,
        *,
        max_params: int | None = None,
        max_flops: int | None = None,
        max_ram: int | None = None,
        max_flash: int | None = None,
        max_latency: float | None = None,
        table: LatencyTable | None = None,
    ) -> None:
        self.max_params = max_params
        self.max_flops = max_flops
        self.max_ram = max_ram
        self.max_flash = max_flash
        self.max_latency = max_latency
        self.limits: dict[str, float] = dict(limits_of(self))
        for name, limit in self.limits.items():
            if limit < 1:
                raise ConfigError(f"{name} is {limit}; it must be a whole number of at least 1 ({option_name(name)})")
        if max_latency is not None:
            if table is None:
                raise ConfigError("max_latency goes by a table of latencies; give one (table=)")
            self.limits["max_latency"] = max_latency
        self._table = table
        self._costs = tuple(_LIMITS[name].cost for name in self.limits)
        self._most = tuple(self.limits.values())
        self.space = space
        self._delivered = final_space(space)
        self._masks: dict[tuple[Path, Values], tuple[bool, ...]] = {}
        self._completes: dict[Path, bool] = {}
        if not any(self.legal(())):
            raise SpaceError(self._why_none())

    def __repr__(self) -> str:
        """The space and its limits."""
        given = (f", {name}={limit}" for name, limit in self.limits.items())
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
            return f"it, or what must follow it, is beyond {' or '.join(written(self.limits))}"
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
        total = before = self._cost(self._completed(prefix, (*chosen, 0)))
        value, mask = 0, []
        for option, may in enumerate(whole):
            path = self._completed(prefix, (*chosen, value | 1 << option))
            cost = self._cost(path)
            # An input that makes the head smaller may save parameters; another combination may not have that saving.
            more = tuple(sum_ + max(0, now - earlier) for sum_, now, earlier in zip(total, cost, before, strict=True))
            taken = may and self._within(more) and self._can_go_on(path)
            mask.append(taken)
            if taken:
                value, before, total = value | 1 << option, cost, more
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

    def share(self, path: Path) -> float:
        """What a path costs, legal or not, as the sum of its shares of the limits."""
        return sum(own / most for own, most in zip(self._cost(path), self._most, strict=True))

    def told(self, path: Path) -> str:
        """What a path costs, in words: '178 parameters and 640 bytes of RAM'."""
        costs = zip(self.limits, self._cost(path), strict=True)
        return " and ".join(f"{_number(own)} {_LIMITS[name].noun}" for name, own in costs)

    def _within(self, cost: tuple[float, ...]) -> bool:
        return all(own <= most for own, most in zip(cost, self._most, strict=True))

    def _obeys(self, prefix: Path) -> bool:
        return self._within(self._cost(prefix))

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
        return self.share(path), self._shape(path) != self._shape(prefix)

    def _shape(self, prefix: Path) -> object:
        output_shape = getattr(self.space, "output_shape", None)
        return None if output_shape is None else output_shape(prefix)

    def _cost(self, prefix: Path) -> tuple[float, ...]:
        """Of the delivered network, what there are limits for."""
        found: dict[str, float | None] = dict(
            costs_of(self._delivered, prefix, [name for name in self._costs if name != LATENCY.cost])
        )
        if self._table is not None and LATENCY.cost in self._costs:
            found[LATENCY.cost] = self._table.latency_ms(require_graphs(self._delivered).network(prefix))
        known = tuple(cost for cost in found.values() if cost is not None)
        if len(known) < len(found):
            name = next(name for name in self.limits if found[_LIMITS[name].cost] is None)
            raise SpaceError(_why_unknown(name))
        return known

    def _why_none(self) -> str:
        """Which limits no path obeys, and what is the least that a path costs."""
        first = self._cheapest(())
        # Most often one limit alone is below all that there is. It is told with the network that costs least by it.
        for name, limit in self.limits.items():
            alone = copy(self)
            alone.limits, alone._costs, alone._most = {name: limit}, (_LIMITS[name].cost,), (limit,)
            alone._masks, alone._completes = {}, {}
            if not any(alone.legal(())):
                return alone._least(alone._cheapest(()))
        return self._least(first)

    def _least(self, path: Path) -> str:
        while self._obeys(path) and not ended(self.space, path):
            path = self._cheapest(path)
        one = len(path) == 1
        names = " ".join(labels(self.space, path))
        smaller = ", or give smaller images (--image-size)" if "max_ram" in self.limits else ""
        otherwise = smaller if one else ", or lower --max-layers"
        what = f"the cheapest first layer, {names}, has" if one else f"already the cheapest layers, {names}, have"
        return (
            f"no path of {self.max_layers} layers obeys {' and '.join(written(self.limits))}: {what} "
            f"{self.told(path)} with {'its' if one else 'their'} head; raise the limit{otherwise}"
        )


def written(limits: Mapping[str, float]) -> list[str]:
    """Limits as they are given on the command line: ['--max-params 1000', '--max-latency 2ms']."""
    units = {"max_latency": "ms"}
    return [f"{option_name(name)} {limit:.15g}{units.get(name, '')}" for name, limit in limits.items()]


def _number(cost: float) -> str:
    return f"{cost:,}" if isinstance(cost, int) else f"{cost:.3g}"


def _why_unknown(name: str) -> str:
    if name in ("max_ram", "max_flash"):
        return f"the space does not know what its networks need of memory, so {name} cannot be kept; leave it out"
    return (
        f"the space does not know what its layers cost, so {name} cannot be kept; give cost= to the LabelSpace, or "
        f"leave the limit out"
    )
