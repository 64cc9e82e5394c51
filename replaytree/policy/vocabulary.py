"""What the controller reads and writes in a space: its steps, and a row of the embedding for each thing it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replaytree.records import Decision, Space

# Layers farther away than this are pointed at alike.
FARTHEST = 32


@dataclass(frozen=True, slots=True)
class Step:
    """One decision of the layer at `depth`, from 1: its `place` among the layer's decisions, and whether it ends it."""

    depth: int
    place: int
    decision: Decision
    last: bool


class Vocabulary:
    """Rows: the options of every choice, by name; START; then a row a pointer's name, and rows for what it points at.

    A layer is pointed at by its distance, so that the rows do not depend on the limit of depth, which can be raised.
    """

    def __init__(self, space: Space) -> None:
        self.choices: dict[str, int] = {}
        self.pointers: list[str] = []
        self._steps: list[Step] = []
        self._until: list[int] = [0]
        outside: set[int] = set()
        for depth in range(1, space.max_layers + 1):
            decisions = space.decisions(depth)
            for place, decision in enumerate(decisions):
                self._steps.append(Step(depth, place, decision, place == len(decisions) - 1))
                outside.update(source for source in decision.sources if source < 1)
                if decision.kind == "choice":
                    self.choices.setdefault(decision.name, len(decision.options))
                elif decision.name not in self.pointers:
                    self.pointers.append(decision.name)
            self._until.append(len(self._steps))
        self._first: dict[str, int] = {}
        self.start = 0
        for name, size in self.choices.items():
            self._first[name] = self.start
            self.start += size
        self.size = self.start + 1
        for name in self.pointers:
            self._first[name] = self.size
            self.size += 1
        self._outside = {source: self.size + n for n, source in enumerate(sorted(outside, reverse=True))}
        self.size += len(outside)
        self._nearest = self.size
        self.size += FARTHEST if self.pointers else 0

    def steps(self, depth_bound: int) -> Sequence[Step]:
        """The decisions of `depth_bound` layers, in order."""
        return self._steps[: self._until[depth_bound]]

    def row(self, decision: Decision) -> int:
        """The row of a choice's first option, or of a pointer."""
        return self._first[decision.name]

    def source_rows(self, step: Step, width: int) -> list[int]:
        """The rows of the layers, and of what was there before any, that a step points at; `width` numbers, then 0."""
        rows = [self._source_row(step.depth, source) for source in step.decision.sources]
        return rows + [0] * (width - len(rows))

    def _source_row(self, depth: int, source: int) -> int:
        if source < 1:
            return self._outside[source]
        return self._nearest + min(depth - source, FARTHEST) - 1
