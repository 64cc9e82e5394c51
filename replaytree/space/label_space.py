"""The space of chains of plain labels, one decision a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path
from replaytree.space.layers import require_whole
from replaytree.space.notation import action_of, checked_labels, read_path, require_actions, require_depth
from replaytree.space.plan import FORMAT
from replaytree.space.returned import called, require_cost, require_mask

# Labels in the repr of a space.
MOST_SHOWN = 6
# The cache is emptied when full.
MAX_CACHED_PREFIXES = 65536


class LabelSpace:
    """Chains of plain labels, for evaluators that need no modules, such as tables.

    A Space (see records.py). `legal(prefix)` returns one bool a label, True where it may follow the prefix;
    without it, all may. Where it allows nothing, the path has ended. `cost(prefix)` returns (parameters, FLOPs). Both
    must be pure functions: answers are cached.
    """

    def __init__(
        self,
        labels: Sequence[str],
        *,
        max_layers: int,
        legal: Callable[[Path], Sequence[bool]] | None = None,
        cost: Callable[[Path], tuple[int, int] | None] | None = None,
    ) -> None:
        if isinstance(labels, str):
            raise SpaceError(f"labels is one text, {labels!r}; it must be a list, as in {labels.split()!r}")
        self._labels = checked_labels(labels)
        self._decisions = (Decision("layer", self._labels),)
        require_whole("max_layers", max_layers, least=1)
        self._max_layers = max_layers
        self._legal = legal
        self._cost = cost
        self._masks: dict[Path, tuple[bool, ...]] = {}

    def __repr__(self) -> str:
        """The labels, or the first of many, and how deep."""
        first = [repr(label) for label in self._labels[:MOST_SHOWN]]
        if len(self._labels) > MOST_SHOWN:
            first = [*first[:3], f"... {len(self._labels)} labels"]
        return f"LabelSpace({', '.join(first)}, max_layers={self._max_layers})"

    @property
    def num_actions(self) -> int:
        """Number of labels to choose from."""
        return len(self._labels)

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
        """Which actions may follow `prefix`: none where the path has ended. SpaceError if it is illegal."""
        self.check(prefix)
        if len(prefix) == self._max_layers:
            return (False,) * len(self._labels)
        return self._mask(prefix)

    def output_shape(self, prefix: Path) -> None:
        """Unknown: None."""
        return

    def cost(self, prefix: Path) -> tuple[int, int] | None:
        """(parameters, FLOPs) as the space's maker gave them; None: unknown. SpaceError if the prefix is illegal."""
        self.check(prefix)
        if self._cost is None:
            return None
        asked = f"cost({prefix})"
        cost = called(asked, self._cost, prefix)
        return None if cost is None else require_cost(asked, cost)

    def build(self, prefix: Path, num_classes: int | None = None) -> Any:
        """Raises SpaceError: labels cannot be built."""
        raise SpaceError(
            "a LabelSpace has labels and no layers, so no network can be built from it; use a LayerSpace, or an "
            "evaluator that needs no network"
        )

    def check(self, path: Path) -> None:
        """SpaceError, saying at which layer and why, unless `path` is legal."""
        require_depth(path, self._max_layers)
        require_actions(path, len(self._labels))
        if self._legal is None:
            return
        for depth, action in enumerate(path):
            if not self._mask(path[:depth])[action]:
                raise SpaceError(
                    f"layer {depth + 1}, {self._labels[action]}, is illegal there: the space's legal() says so "
                    f"after {_quote(self._labels[a] for a in path[:depth])}"
                )

    def parse(self, text: str) -> Path:
        """'mb3k3 identity', 'mb3k3, identity' or dot-joined indices -> a legal Path, or SpaceError saying why not."""
        path = read_path(text, self)
        self.check(path)
        return path

    def describe(self) -> dict[str, Any]:
        """What makes two spaces the same, for JSON; `functions` are those that only their author has."""
        labels = list(self._labels)
        described = {"kind": "labels", "format": FORMAT, "labels": labels, "max_layers": self._max_layers}
        functions = [name for name, own in (("legal", self._legal), ("cost", self._cost)) if own is not None]
        return described | {"functions": functions} if functions else described

    def _mask(self, prefix: Path) -> tuple[bool, ...]:
        if self._legal is None:
            return (True,) * len(self._labels)
        mask = self._masks.get(prefix)
        if mask is None:
            asked = f"legal({prefix}), after {_quote(self._labels[a] for a in prefix)},"
            mask = require_mask(asked, called(asked, self._legal, prefix), len(self._labels), may_end=bool(prefix))
            if len(self._masks) >= MAX_CACHED_PREFIXES:
                self._masks.clear()
            self._masks[prefix] = mask
        return mask


def _quote(labels: Iterable[str]) -> str:
    return repr(" ".join(labels))
