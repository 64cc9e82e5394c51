"""The frozen records that travel between the folders: plain values, no torch, no SQL."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, get_args

from replaytree.border import LARGEST_INTEGER, fraction, items, number, text, told, whole
from replaytree.config import Budget
from replaytree.errors import EvaluationError, SpaceError
from replaytree.notebook import grid

Path = tuple[int, ...]
"""Actions from the root; depth = number of actions. An action codes the decisions of a layer (space/coding.py)."""

Shape = tuple[int, int, int]
"""(channels, height, width) of a feature map."""

FailureKind = Literal["diverged", "out_of_memory", "error"]
FAILURE_KINDS: tuple[FailureKind, ...] = ("diverged", "out_of_memory", "error")

Source = Literal["sample", "continue", "replay"]
"""Where an episode's path came from: the policy alone, a tree prefix the policy continued, or the tree."""

Part = Literal["test", "validation"]
"""What a trained model is measured on."""


@dataclass(frozen=True, slots=True)
class PathEvaluation:
    """What one training of a path measured.

    `accuracies[t]` is the validation accuracy, in [0, 1], of the prefix of t + 1 layers; None where that was not
    measured, which only the whole path must be. After a failure there may be fewer than layers; those that were
    measured still count. `epochs` is the number of epochs spent; None means the budget. `best_accuracies`, if given,
    are what the strategy is rewarded for instead: of each prefix the best after any of the last epochs.
    `checkpoint_accuracy` is the accuracy of the best prefix at the budget's checkpoint; None without one.

    The first `shared` accuracies are copies of what an earlier path of the same call reports. They are stored with the
    episode and counted nowhere.

    Numbers of NumPy and torch become Python's own; EvaluationError names a value that is none of what is said here.
    """

    accuracies: Sequence[float | None]
    failure: FailureKind | None = None
    failure_text: str = ""
    train_seconds: float | None = None
    epochs: int | None = None
    checkpoint_accuracy: float | None = None
    shared: int = 0
    best_accuracies: Sequence[float | None] | None = None

    def __post_init__(self) -> None:
        bad = EvaluationError
        given = items("accuracies", self.accuracies, want="a list of one fraction a prefix", error=bad)
        values = tuple(
            None if a is None else fraction(f"accuracy at depth {depth}", a, error=bad)
            for depth, a in enumerate(given, start=1)
        )
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
        if self.best_accuracies is not None:
            bests = items("best_accuracies", self.best_accuracies, want="one fraction an accuracy", error=bad)
            if len(bests) != len(values):
                raise EvaluationError(
                    f"there are {len(bests)} best_accuracies for {len(values)} accuracies; give as many"
                )
            own["best_accuracies"] = tuple(
                None if best is None else fraction("a best accuracy", best, error=bad) for best in bests
            )
            if [best is None for best in bests] != [value is None for value in values]:
                raise EvaluationError("best_accuracies lack others than accuracies; give those of what was measured")
        if self.train_seconds is not None:
            own["train_seconds"] = number("train_seconds", self.train_seconds, low=0.0, error=bad)
        if self.epochs is not None:
            own["epochs"] = whole("epochs", self.epochs, least=1, most=LARGEST_INTEGER, error=bad)
        if self.checkpoint_accuracy is not None:
            own["checkpoint_accuracy"] = fraction("checkpoint_accuracy", self.checkpoint_accuracy, error=bad)
        for name, value in own.items():
            object.__setattr__(self, name, value)

    @property
    def highest(self) -> float | None:
        """The best accuracy that was measured; None where none was."""
        return max((a for a in self.accuracies if a is not None), default=None)


def filled(accuracies: Sequence[float | None], length: int) -> tuple[float, ...]:
    """One value for each of the `length` prefixes of a path, with which a strategy can compute.

    A prefix that was not measured takes the value of its shortest continuation in the path that was. Behind the last
    one that was, where a failure left none, it is 0.
    """
    values: list[float] = []
    later = 0.0
    for accuracy in reversed([*accuracies, *[None] * (length - len(accuracies))]):
        later = later if accuracy is None else accuracy
        values.append(later)
    return tuple(reversed(values))


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

    def _repr_html_(self) -> str:
        rows = [(each.epochs, each.evaluation_count, f"{each.average_accuracy:.4f}") for each in self.budgets]
        title = f"path {'.'.join(map(str, self.path))}, {self.visit_count:,} visits"
        return grid(title, ("epochs", "trainings", "average_accuracy"), rows)


@dataclass(frozen=True, slots=True)
class Mixed:
    """What the numbers of a differentiable strategy were like when they said a path.

    `entropies` are those of each decision, in nats, by its name. `skip_share` is the share of the path's operations
    that pass their input on; None where a space has no such operation. `eigenvalue` is the largest one of the Hessian
    of the validation loss in the numbers; None where it was not computed. `behind` is how many episodes earlier the
    path was derived that a search ends with if it ends here.
    """

    entropies: Mapping[str, float]
    skip_share: float | None = None
    eigenvalue: float | None = None
    behind: int = 0

    def to_json(self) -> str:
        """As a JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text_: str) -> Mixed:
        """The inverse of to_json; EvaluationError for a text that is none."""
        try:
            given = json.loads(text_)
            entropies = {str(name): float(value) for name, value in given.pop("entropies").items()}
            behind = given.pop("behind", 0)
            if type(behind) is not int or behind < 0:
                raise ValueError(f"behind is {behind!r:.40}")
            numbers = {name: None if value is None else float(value) for name, value in given.items()}
            return cls(entropies, behind=behind, **numbers)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise EvaluationError(f"{text_[:60]!r} does not say what numbers were like ({error})") from error


@dataclass(frozen=True, slots=True)
class Proposal:
    """One episode that a strategy proposes.

    `behaviour[t]` is mu(a_t | a_<t), the probability with which this path's source chose the action. `rewards` is
    None for a path to train; a replayed path brings the stored average accuracies of its prefixes. `mixed` is what a
    differentiable strategy's numbers were like.
    """

    path: Path
    source: Source
    behaviour: tuple[float, ...]
    rewards: tuple[float, ...] | None = None
    mixed: Mixed | None = None


class Evaluator(Protocol):
    """Anything that scores all prefixes of paths."""

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> Sequence[PathEvaluation]:
        """Train each path; return one evaluation for each, in order."""
        ...


class StatefulEvaluator(Evaluator, Protocol):
    """An evaluator whose scores depend on what it did before, as those of a supernet do.

    Its state is a part of the search: a file beside the database holds it, as of the last turn that was recorded. It
    may be made of tensors, numbers, texts, lists, tuples and dictionaries.

    """

    def state_dict(self) -> Mapping[str, Any]:
        """All that later scores depend on."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict` returned, perhaps in another process."""
        ...


class RescoringEvaluator(StatefulEvaluator, Protocol):
    """One that can score paths once more, so that a search ends by scoring its leaders with its last state.

    `epochs` of all its evaluations says of which state they are: a number from 1 that rises whenever the state changes.
    Only scores of one state are compared.
    """

    def rescore(self, paths: Sequence[Path]) -> Sequence[PathEvaluation]:
        """One evaluation a path, in order, with the state as it is, which stays so."""
        ...


DecisionKind = Literal["choice", "input", "inputs"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One choice within a layer, made by the controller. A layer is one or more decisions.

    * `choice`: one of the options.
    * `input`: one of the earlier layers; the options are their numbers.
    * `inputs`: any subset of them (set selection; Zoph and Le, 2017, section 3.3).

    `sources` says, for each option of `input` and `inputs`, the depth of the layer that it stands for, from 1; 0 or
    less is what was there before any layer: the image, or a cell's own inputs.

    A **value** of a decision is the index of an option; of `inputs` it is a bit mask, in which bit j stands for option
    j. Raises SpaceError for what cannot be a decision.
    """

    name: str
    options: tuple[str, ...]
    kind: DecisionKind = "choice"
    sources: tuple[int, ...] = ()
    size: int = field(init=False, repr=False, compare=False)
    """The number of values."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(DecisionKind):
            raise SpaceError(
                f"kind of a Decision is {self.kind!r}; it must be one of {', '.join(get_args(DecisionKind))}"
            )
        for what, word in (("name of a Decision", self.name), *((f"option of {self.name!r}", o) for o in self.options)):
            if not isinstance(word, str) or word.split() != [word] or not word.isprintable():
                raise SpaceError(f"{what} is {word!r}; give one word")
        if len(set(self.options)) < len(self.options):
            raise SpaceError(f"decision {self.name!r} has an option twice: {', '.join(self.options)}")
        if not self.options and self.kind != "inputs":
            raise SpaceError(f"decision {self.name!r} has no options; give at least one")
        wanted = 0 if self.kind == "choice" else len(self.options)
        if len(self.sources) != wanted:
            raise SpaceError(f"decision {self.name!r} has {len(self.sources)} sources; it must have {wanted}")
        size = 2 ** len(self.options) if self.kind == "inputs" else len(self.options)
        object.__setattr__(self, "size", size)


class Space(Protocol):
    """The layers that a search chooses from.

    A space may also have `output_shape(prefix) -> Shape`, the feature map before the head; it is then stored, too.
    """

    @property
    def max_layers(self) -> int:
        """Depth of the deepest path."""
        ...

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The decisions that make up the layer at `depth`, 1 to max_layers.

        The first is a `choice` or an `input`. A `choice` of one name has the same options at every depth.
        """
        ...

    def legal(self, prefix: Path, chosen: tuple[int, ...] = ()) -> tuple[bool, ...]:
        """Which options the next decision may take, in the layer after `prefix`, after the values `chosen` in it.

        Of `inputs`: which may be taken, in any combination. Where nothing may be chosen first, the path has ended: at
        max_layers, or behind a layer that ends it. In all other places at least one option of `choice` and `input` may.
        """
        ...

    def label(self, prefix: Path, action: int) -> str:
        """The name of a layer after `prefix`, one word."""
        ...

    def action(self, prefix: Path, label: str) -> int:
        """The inverse of `label`; SpaceError for a label that no layer has there."""
        ...

    def build(self, prefix: Path, num_classes: int) -> Any:
        """The prefix with its classifier head, as an nn.Module."""
        ...

    def cost(self, prefix: Path) -> tuple[int, int] | None:
        """(parameters, FLOPs) of the prefix with its head; FLOPs are multiply-adds for one image. None: unknown."""
        ...
