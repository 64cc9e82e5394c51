"""The frozen records that travel between the folders: plain values, no torch, no SQL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from replaytree.border import LARGEST_INTEGER, fraction, items, number, text, told, whole
from replaytree.config import Budget
from replaytree.errors import EvaluationError

Path = tuple[int, ...]
"""Action indices from the root; depth = number of actions."""

Shape = tuple[int, int, int]
"""(channels, height, width) of a feature map."""

FailureKind = Literal["diverged", "out_of_memory", "error"]
FAILURE_KINDS: tuple[FailureKind, ...] = ("diverged", "out_of_memory", "error")

Source = Literal["sample", "continue", "replay"]
"""Where an episode's path came from: the policy alone, a tree prefix the policy continued, or the tree."""


@dataclass(frozen=True, slots=True)
class PathEvaluation:
    """What one training of a path measured.

    `accuracies[t]` is the validation accuracy, in [0, 1], of the prefix of t + 1 layers. After a failure there may be
    fewer than layers; those that were measured still count. `epochs` is the number of epochs spent; None means the
    budget. `checkpoint_accuracy` is the accuracy of the best prefix at the budget's checkpoint; None without one.

    The first `shared` accuracies are copies of what an earlier path of the same call reports. They are stored with the
    episode and counted nowhere.

    Numbers of NumPy and torch become Python's own; EvaluationError names a value that is none of what is said here.
    """

    accuracies: Sequence[float]
    failure: FailureKind | None = None
    failure_text: str = ""
    train_seconds: float | None = None
    epochs: int | None = None
    checkpoint_accuracy: float | None = None
    shared: int = 0

    def __post_init__(self) -> None:
        bad = EvaluationError
        given = items("accuracies", self.accuracies, want="a list of one fraction a prefix", error=bad)
        values = tuple(fraction(f"accuracy at depth {depth}", a, error=bad) for depth, a in enumerate(given, start=1))
        if self.failure is not None and not (isinstance(self.failure, str) and self.failure in FAILURE_KINDS):
            raise EvaluationError(
                f"failure is {told(self.failure)}; it must be one of {', '.join(FAILURE_KINDS)}, or None"
            )
        own: dict[str, object] = {
            "accuracies": values,
            "failure": None if self.failure is None else text("failure", self.failure, error=bad),
            "failure_text": text("failure_text", self.failure_text, error=bad),
            "shared": whole(f"shared, of {len(values)} accuracies,", self.shared, least=0, most=len(values), error=bad),
        }
        if self.train_seconds is not None:
            own["train_seconds"] = number("train_seconds", self.train_seconds, low=0.0, error=bad)
        if self.epochs is not None:
            own["epochs"] = whole("epochs", self.epochs, least=1, most=LARGEST_INTEGER, error=bad)
        if self.checkpoint_accuracy is not None:
            own["checkpoint_accuracy"] = fraction("checkpoint_accuracy", self.checkpoint_accuracy, error=bad)
        for name, value in own.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class BudgetSums:
    """The sums of one node at one budget."""

    epochs: int
    evaluation_count: int
    total_accuracy: float

    @property
    def average_accuracy(self) -> float | None:
        """W/N, or None where N is 0."""
        return self.total_accuracy / self.evaluation_count if self.evaluation_count else None


@dataclass(frozen=True, slots=True)
class NodeStats:
    """A node as strategies see it: counts and sums, per budget (ascending epochs)."""

    path: Path
    visit_count: int
    budgets: tuple[BudgetSums, ...] = ()

    @property
    def evaluation_count(self) -> int:
        """Trainings that measured this prefix, over all budgets."""
        return sum(b.evaluation_count for b in self.budgets)

    @property
    def total_accuracy(self) -> float:
        """Sum of the measured accuracies, over all budgets."""
        return math.fsum(b.total_accuracy for b in self.budgets)

    @property
    def average_accuracy(self) -> float | None:
        """The average at the largest budget this prefix was trained with; None if it never was."""
        return self.budgets[-1].average_accuracy if self.budgets else None


@dataclass(frozen=True, slots=True)
class Proposal:
    """One episode that a strategy proposes.

    `behaviour[t]` is mu(a_t | a_<t), the probability with which this path's source chose the action. `rewards` is
    None for a path to train; a replayed path brings the stored average accuracies of its prefixes.
    """

    path: Path
    source: Source
    behaviour: tuple[float, ...]
    rewards: tuple[float, ...] | None = None


class Evaluator(Protocol):
    """Anything that scores all prefixes of paths."""

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> Sequence[PathEvaluation]:
        """Train each path; return one evaluation for each, in order."""
        ...


class Space(Protocol):
    """The layers that a search chooses from.

    A space may also have `output_shape(prefix) -> Shape`, the feature map before the head; it is then stored, too.
    """

    @property
    def num_actions(self) -> int:
        """Size of the catalogue."""
        ...

    @property
    def max_layers(self) -> int:
        """Depth of the deepest path."""
        ...

    def legal(self, prefix: Path) -> tuple[bool, ...]:
        """Which actions may follow `prefix`; length num_actions, at least one True below max_layers."""
        ...

    def label(self, action: int) -> str:
        """The layer's name, without white space."""
        ...

    def build(self, prefix: Path, num_classes: int) -> Any:
        """The prefix with its classifier head, as an nn.Module."""
        ...

    def cost(self, prefix: Path) -> tuple[int, int] | None:
        """(parameters, FLOPs) of the prefix with its head; FLOPs are multiply-adds for one image. None: unknown."""
        ...
