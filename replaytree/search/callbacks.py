"""Watching a search from outside: one small protocol, and two logs that implement it.

A callback that raises is reported once and switched off; it never stops a search.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from replaytree.border import reason
from replaytree.errors import ConfigError
from replaytree.metric import ACCURACY, Metric
from replaytree.records import FailureKind, Path, PathEvaluation, Proposal, Source, Space
from replaytree.space.coding import labels


@dataclass(frozen=True, slots=True)
class EpisodeEvent:
    """One episode of a search, replays included. `entropy` and `policy_loss` are those of the update after it.

    `best_accuracy`, here and at the end, is the average of the prefix that `best` ranks first after this turn. What
    is called accuracy is a fraction of `metric`: of text 1 / perplexity.
    """

    search: str
    number: int
    path: Path
    labels: tuple[str, ...]
    source: Source
    depth_bound: int
    epochs: int
    best_accuracy: float | None
    policy_loss: float | None
    entropy: float | None
    metric: Metric = ACCURACY


@dataclass(frozen=True, slots=True)
class TrainingEvent:
    """One training of a search: `accuracies` has a validation accuracy a prefix, None where it was not measured."""

    search: str
    number: int
    episode: int
    path: Path
    labels: tuple[str, ...]
    accuracies: tuple[float | None, ...]
    failure: FailureKind | None
    train_seconds: float | None
    metric: Metric = ACCURACY


@dataclass(frozen=True, slots=True)
class EndEvent:
    """A run has ended, by its limit, by stop() or by an error; counts are of the whole search."""

    search: str
    episode_count: int
    training_count: int
    best_accuracy: float | None
    metric: Metric = ACCURACY


class Callback(Protocol):
    """Called by a search after it has stored a turn. Implement all three methods; leave one empty with `pass`."""

    def on_episode(self, event: EpisodeEvent) -> None:
        """After every episode."""
        ...

    def on_training(self, event: TrainingEvent) -> None:
        """After every episode that was trained, before its on_episode."""
        ...

    def on_end(self, event: EndEvent) -> None:
        """Once, when a run ends."""
        ...


class Callbacks:
    """Calls several callbacks, and drops one that raises."""

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        self._active = list(callbacks)

    def tell_turn(
        self,
        results: Sequence[tuple[Proposal, PathEvaluation]],
        *,
        search: str,
        space: Space,
        first_episode: int,
        first_training: int,
        depth_bound: int,
        epochs: int,
        best_accuracy: float | None,
        policy_loss: float | None,
        entropy: float | None,
        metric: Metric = ACCURACY,
    ) -> None:
        """Report the episodes of a turn one by one, after they have been stored."""
        if not self._active:
            return
        training = first_training
        for number, (proposal, evaluation) in enumerate(results, start=first_episode):
            path, names = proposal.path, labels(space, proposal.path)
            if proposal.rewards is None:
                event = TrainingEvent(
                    search, training, number, path, names, tuple(evaluation.accuracies), evaluation.failure,
                    evaluation.train_seconds, metric,
                )  # fmt: skip
                self.tell("on_training", event)
                training += 1
            episode = EpisodeEvent(
                search,
                number,
                path,
                names,
                proposal.source,
                depth_bound,
                epochs,
                best_accuracy,
                policy_loss,
                entropy,
                metric,
            )
            self.tell("on_episode", episode)

    def tell(self, method: str, event: EpisodeEvent | TrainingEvent | EndEvent) -> None:
        """Call one method of every callback that is still on."""
        for callback in list(self._active):
            try:
                getattr(callback, method)(event)
            except Exception as error:  # a user's code may raise anything, and the search is worth more
                self._active.remove(callback)
                print(
                    f"{type(callback).__name__}.{method} raised {reason(error)}; it is switched off, and the search "
                    f"goes on",
                    file=sys.stderr,
                )


class TensorBoardLog:
    """Scalars for TensorBoard, one event file a run; needs the extra `tensorboard`.

    By episode: search/depth_bound, search/epochs, search/best_accuracy, policy/entropy, policy/loss. By training:
    training/accuracy (the best prefix of the path), training/depth, training/seconds. Of text, perplexity stands for
    accuracy in these names, and is logged instead; so does macro_f1 where a search is rewarded for it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "TensorBoard is not installed; pip install 'replaytree[tensorboard]', or leave out --tensorboard"
            ) from error
        try:
            self._writer: Any = SummaryWriter(os.fspath(folder))
        except OSError as error:
            raise ConfigError(f"nothing can be written to {os.fspath(folder)} ({error}); see --tensorboard") from error

    def on_episode(self, event: EpisodeEvent) -> None:
        """Log the state of the search."""
        for name, value in _episode_scalars(event).items():
            self._writer.add_scalar(name, value, event.number)

    def on_training(self, event: TrainingEvent) -> None:
        """Log the training."""
        for name, value in _training_scalars(event).items():
            self._writer.add_scalar(name, value, event.number)

    def on_end(self, event: EndEvent) -> None:
        """Flush the log."""
        self._writer.flush()


class MLflowLog:
    """The same scalars as an MLflow run, into the active run or a new one; needs the extra `mlflow`."""

    def __init__(self, *, run_name: str | None = None) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise ConfigError("MLflow is not installed; pip install 'replaytree[mlflow]'") from error
        self._mlflow: Any = mlflow
        self._owns = mlflow.active_run() is None
        if self._owns:
            mlflow.start_run(run_name=run_name)

    def on_episode(self, event: EpisodeEvent) -> None:
        """Log the state of the search."""
        self._mlflow.log_metrics(_episode_scalars(event), step=event.number)

    def on_training(self, event: TrainingEvent) -> None:
        """Log the training."""
        self._mlflow.log_metrics(_training_scalars(event), step=event.number)

    def on_end(self, event: EndEvent) -> None:
        """Log the result, and end the run if it was started here."""
        self._mlflow.log_params({"search": event.search, "trainings": event.training_count})
        if self._owns:
            self._mlflow.end_run()


def _episode_scalars(event: EpisodeEvent) -> dict[str, float]:
    scalars = {
        "search/depth_bound": event.depth_bound,
        "search/epochs": event.epochs,
        **_measured("search/best_", event.best_accuracy, event.metric),
        "policy/entropy": event.entropy,
        "policy/loss": event.policy_loss,
    }
    return {name: float(value) for name, value in scalars.items() if value is not None}


def _training_scalars(event: TrainingEvent) -> dict[str, float]:
    scalars = {
        **_measured("training/", max((a for a in event.accuracies if a is not None), default=None), event.metric),
        "training/depth": len(event.path),
        "training/seconds": event.train_seconds,
    }
    return {name: float(value) for name, value in scalars.items() if value is not None}


def _measured(prefix: str, fraction: float | None, metric: Metric) -> dict[str, float | None]:
    """{'training/accuracy': 0.9}; of text, {'training/perplexity': 120.5}."""
    return {f"{prefix}{metric.column}": None if fraction is None else metric.number(fraction)}
