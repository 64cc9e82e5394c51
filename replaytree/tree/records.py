"""The frozen records that enter and leave the tree; database rows do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, get_args

from replaytree import metric
from replaytree.border import LARGEST_INTEGER, items, number, whole
from replaytree.config import SearchConfig
from replaytree.errors import CorruptTree, EvaluationError, SpaceError
from replaytree.metric import Metric, Task
from replaytree.notebook import facts
from replaytree.records import FailureKind, Mixed, Path, PathEvaluation, Shape, Source
from replaytree.space.coding import MOST_ACTIONS
from replaytree.space.description import outline
from replaytree.space.graph_space import has_final_form
from replaytree.tree.stored_json import read_config, read_data, read_reward
from replaytree.tree.stored_space import stored_description

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode to record. `evaluation` is what the training measured; None for a path that was not trained.

    Raises SpaceError or EvaluationError for an episode that contradicts itself.
    """

    path: Path
    source: Source
    depth_bound: int
    epochs: int
    trained: bool
    evaluation: PathEvaluation | None = None
    policy_loss: float | None = None
    entropy: float | None = None
    mixed: Mixed | None = None

    def __post_init__(self) -> None:
        self._convert()
        if not self.path:
            raise SpaceError("an episode's path is empty; it needs at least one action")
        if self.source not in get_args(Source):
            raise EvaluationError(f"source is {self.source!r}; it must be one of {', '.join(get_args(Source))}")
        if self.trained != (self.evaluation is not None):
            raise EvaluationError(
                f"the episode of path {self.path} has trained={self.trained} "
                f"and {'no' if self.evaluation is None else 'an'} evaluation; "
                f"a trained episode has one, and no other has"
            )
        if self.evaluation is None:
            return
        measured, layers = len(self.evaluation.accuracies), len(self.path)
        if measured > layers:
            raise EvaluationError(f"{measured} accuracies for path {self.path} of {layers} layers; give one a prefix")
        if measured < layers and self.evaluation.failure is None:
            raise EvaluationError(
                f"{measured} accuracies for path {self.path} of {layers} layers; give one a prefix, or name the failure"
            )
        if self.evaluation.failure is None and self.evaluation.accuracies[-1] is None:
            raise EvaluationError(f"path {self.path} itself was not measured; give its accuracy, or name the failure")

    def _convert(self) -> None:
        """Numbers of NumPy and torch to Python's own: a strategy may choose with theirs."""
        actions = items("path", self.path, want="a tuple of actions", error=SpaceError)
        path = tuple(
            whole("an action of the path", a, least=0, most=MOST_ACTIONS - 1, error=SpaceError) for a in actions
        )
        object.__setattr__(self, "path", path)
        for name in ("depth_bound", "epochs"):
            value = whole(name, getattr(self, name), least=1, most=LARGEST_INTEGER, error=EvaluationError)
            object.__setattr__(self, name, value)
        for name in ("policy_loss", "entropy"):
            if (found := getattr(self, name)) is not None:
                object.__setattr__(self, name, number(name, found, error=EvaluationError))


@dataclass(frozen=True, slots=True)
class Node:
    """A stored prefix.

    `average_accuracy` and `budget_evaluation_count` are at `epochs`: the node's largest budget, or the one a ranking
    asked for. `evaluation_count` is over all budgets. A node that nothing measured has None, None and 0. `ram_bytes`
    and `flash_bytes` are what its network, as it is delivered, needs with 8 bits a number; costs that are unknown are
    None.

    Rankings go by `training_bound`, which counts the noise of trainings. `lower_bound`, "at least" where people read
    it, counts the sampling error of the validation images too (ranking.py). It is None where neither is known: an
    evaluator of one's own, and no prefix trained twice.
    """

    node_id: int
    search: str
    path: Path
    labels: tuple[str, ...]
    depth: int
    action: int
    label: str
    output_shape: Shape | None
    params: int | None
    flops: int | None
    epochs: int | None
    average_accuracy: float | None
    budget_evaluation_count: int
    evaluation_count: int
    visit_count: int
    training_bound: float | None = None
    lower_bound: float | None = None
    ram_bytes: int | None = None
    flash_bytes: int | None = None

    def _repr_html_(self) -> str:
        names = (
            "average_accuracy",
            "lower_bound",
            "epochs",
            "budget_evaluation_count",
            "visit_count",
            "params",
            "flops",
        )
        shape = self.output_shape and "x".join(map(str, self.output_shape))
        rows = [("layers", " ".join(self.labels)), *((name, getattr(self, name)) for name in names)]
        return facts(f"node {self.node_id} of search {self.search}", [*rows, ("output_shape", shape)])


class Priced(NamedTuple):
    """How a prefix ranks, and what it costs, in the order of space.costs.COSTS."""

    node_id: int
    training_bound: float
    costs: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Leader:
    """The prefix that `best` ranks first: its average accuracy, and the budget at which it is ranked."""

    average_accuracy: float
    epochs: int


@dataclass(frozen=True, slots=True)
class SearchInfo:
    """A search as a whole.

    `best_accuracy` is the average of the prefix that `best` ranks first, at the largest budget used (`max_epochs`), and
    `best_lower_bound` its bound; None before a training.
    """

    name: str
    task: Task
    created_at: datetime
    seed: int
    config_json: str
    space_json: str
    data_json: str | None
    versions: dict[str, str]
    episode_count: int
    training_count: int
    node_count: int
    max_depth: int
    best_accuracy: float | None
    best_lower_bound: float | None
    max_epochs: int | None

    @property
    def leader(self) -> Leader | None:
        """What `best` ranks first; None before a training."""
        if self.best_accuracy is None or self.max_epochs is None:
            return None
        return Leader(self.best_accuracy, self.max_epochs)

    @property
    def metric(self) -> Metric:
        """What its accuracies are, and how people read them.

        A broken configuration does not end a list of searches; whatever needs more of it says so.
        """
        return metric.of(self.task, read_reward(self.config_json))

    @property
    def config(self) -> SearchConfig:
        """The configuration; CorruptTree where what is stored is none."""
        return self._read("configuration", read_config, self.config_json)

    @property
    def space(self) -> dict[str, Any]:
        """The description of the space; CorruptTree where what is stored is none."""
        return stored_description(self.space_json, self.name)

    @property
    def has_final_form(self) -> bool:
        """Whether its networks are delivered in another form, of which `ram_bytes` and `flash_bytes` are."""
        return has_final_form(outline(self.space))

    @property
    def data(self) -> dict[str, Any]:
        """The fingerprint of the images, empty for an evaluator of one's own; CorruptTree where it is none."""
        return {} if self.data_json is None else self._read("fingerprint of the images", read_data, self.data_json)

    def _read(self, what: str, read: Callable[[str], _T], text: str) -> _T:
        try:
            return read(text)
        except (TypeError, ValueError) as error:
            raise CorruptTree(
                f"search {self.name!r}: its stored {what} cannot be used ({error}); go back to a backup, or import the "
                f"search from an export"
            ) from error


@dataclass(frozen=True, slots=True)
class EpisodeInfo:
    """A recorded episode. `accuracies` has a value for each prefix, up to the last that its training measured.

    None stands for a shorter one that it did not measure.

    The first `shared` of them are copies of what another episode of the same training has, and are in no sum.
    """

    number: int
    node_id: int
    path: Path
    source: Source
    trained: bool
    depth_bound: int
    epochs: int
    accuracies: tuple[float | None, ...]
    failure: FailureKind | None
    failure_text: str
    train_seconds: float | None
    policy_loss: float | None
    entropy: float | None
    created_at: datetime
    shared: int = 0
    mixed: Mixed | None = None

    @property
    def highest(self) -> float | None:
        """The best accuracy that was measured; None where none was."""
        return max((a for a in self.accuracies if a is not None), default=None)


def path_text(path: Path) -> str:
    """(5, 12, 3) -> '5.12.3'; the root is ''."""
    return ".".join(map(str, path))


def path_from_text(text: str) -> Path:
    """The inverse of path_text."""
    return tuple(map(int, text.split("."))) if text else ()


def shape_text(shape: Shape | None) -> str | None:
    """(32, 8, 8) -> '32x8x8'."""
    return None if shape is None else "x".join(map(str, shape))


def shape_from_text(text: str | None) -> Shape | None:
    """The inverse of shape_text."""
    if text is None:
        return None
    channels, height, width = map(int, text.split("x"))
    return channels, height, width
