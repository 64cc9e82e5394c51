"""A turn of the loop: episodes that are proposed together and recorded together; and the limits of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from replaytree.border import number, whole
from replaytree.config import Budget
from replaytree.config.option import LARGEST
from replaytree.errors import ConfigError
from replaytree.metric import ACCURACY, Metric
from replaytree.records import Path, PathEvaluation, Proposal
from replaytree.tree import Goal, Leader


@dataclass(frozen=True, slots=True)
class Turn:
    """Proposed episodes and what they were proposed under.

    `number` is the number of episodes that the search had proposed before. With the search's seed it gives the seed of
    the trainings, whichever worker does them and in whatever order they end.
    """

    number: int
    proposals: Sequence[Proposal]
    depth_bound: int
    budget: Budget

    @property
    def paths(self) -> list[Path]:
        """The paths to train; replayed episodes have none."""
        return [proposal.path for proposal in self.proposals if proposal.rewards is None]

    def evaluations(self, trained: Sequence[PathEvaluation]) -> list[PathEvaluation]:
        """One evaluation an episode, from those of `paths`."""
        assert len(trained) == len(self.paths), "workers answer for every path"
        rest = iter(trained)
        return [next(rest) if p.rewards is None else PathEvaluation(p.rewards) for p in self.proposals]

    def parted(self, episodes: int) -> tuple[Turn, Turn]:
        """Its first episodes, and the others as a turn of their own; their trainings have other seeds then."""
        rest = replace(self, number=self.number + episodes, proposals=self.proposals[episodes:])
        return replace(self, proposals=self.proposals[:episodes]), rest

    def to_plain(self) -> dict[str, Any]:
        """Plain values, which a search's state holds."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Turn:
        """The inverse; whatever is raised where they are no such values."""
        proposals = [Proposal(**proposal) for proposal in values["proposals"]]
        return cls(**{**values, "proposals": proposals, "budget": Budget(**values["budget"])})


class TrainedBy(NamedTuple):
    """The workers of a run, as far as its tree depends on them. This process alone is one worker."""

    workers: int
    in_order: bool

    def __str__(self) -> str:
        count = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return count if self.in_order else f"{count} whose results were taken as they came"


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run after a turn. Counts are of the search; `run_*` and seconds are of this call of run().

    `leader` is the prefix that `best` ranks first, at the largest budget so far: its accuracy falls where that rises.
    `counts_turns`: the budget is the turns of a supernet, so that it is the best of the last turn alone.
    `metric` says how people read accuracies.
    """

    episode_count: int
    training_count: int
    run_episodes: int
    run_trainings: int
    run_seconds: float
    depth_bound: int
    epochs: int
    proposals: Sequence[Proposal]
    evaluations: Sequence[PathEvaluation]
    leader: Leader | None
    counts_turns: bool = False
    metric: Metric = ACCURACY


@dataclass
class Limits:
    """When a run stops proposing. Proposed episodes count, finished or not. ConfigError where no limit is given."""

    episodes: int | None = None
    trainings: int | None = None
    hours: float | None = None
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        limits = {"episodes": self.episodes, "trainings": self.trainings, "hours": self.hours}
        if all(limit is None for limit in limits.values()):
            raise ConfigError("nothing says when to stop; give episodes, trainings or hours")
        for name, limit in limits.items():
            if limit is None:
                continue
            checked = number(name, limit, error=ConfigError)
            if not checked > 0:
                raise ConfigError(f"{name} is {limit}; it must be over 0 (--{name})")
            setattr(self, name, checked if name == "hours" else whole(name, limit, least=1, error=ConfigError))

    @classmethod
    def towards(cls, left: Goal) -> Limits:
        """What is left of a goal."""
        return cls(left.episodes, left.trainings, left.hours)

    def goal(self, *, episodes: int, trainings: int, used_seconds: float) -> Goal:
        """Where a search that has had so much is when a run reaches these limits."""
        return Goal(
            None if self.episodes is None else min(episodes + self.episodes, LARGEST),
            None if self.trainings is None else min(trainings + self.trainings, LARGEST),
            None if self.hours is None else used_seconds + self.hours * 3600.0,
            used_seconds,
        )

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.started

    def room(self, num_paths: int) -> int:
        """How many episodes a turn that begins now may have, at most `num_paths`; 0 or less where there is none."""
        if self.hours is not None and self.seconds >= self.hours * 3600.0:
            return 0
        return self.left(num_paths)

    def left(self, num_paths: int, *, behind: Sequence[Turn] = ()) -> int:
        """The same without the hours, and behind turns that are yet to begin."""
        episodes = sum(len(turn.proposals) for turn in behind)
        trainings = sum(len(turn.paths) for turn in behind)
        counts = ((self.episodes, episodes), (self.trainings, trainings))
        return min([num_paths, *(limit - used for limit, used in counts if limit is not None)])

    def spend(self, turn: Turn) -> None:
        """Take a turn off what is left."""
        if self.episodes is not None:
            self.episodes -= len(turn.proposals)
        if self.trainings is not None:
            self.trainings -= len(turn.paths)


def episode_seed(seed: int, episode: int) -> int:
    """The seed of the trainings that start at an episode: a function of both numbers alone."""
    return int(np.random.SeedSequence([seed, episode]).generate_state(1)[0])
