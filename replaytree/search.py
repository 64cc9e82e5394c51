"""The search: the loop that proposes, evaluates, learns and records, and its resumption."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch

from replaytree.assembly import (
    configured,
    data_of,
    default_evaluator,
    default_space,
    free_name,
    versions,
    within_limits,
)
from replaytree.callbacks import Callback, Callbacks, EndEvent
from replaytree.config import Growth, SearchConfig, storage_url
from replaytree.data import ImageData
from replaytree.deliver import FullRecipe, Model, search_subject, train_and_load
from replaytree.errors import ConfigError, DataError, EvaluationError, SearchExists, SpaceError
from replaytree.evaluate import resolve_device
from replaytree.policy import STRATEGIES, ReplayMemory, Strategy
from replaytree.records import Evaluator, PathEvaluation, Proposal, Space
from replaytree.space import LayerSpace, SoftReward
from replaytree.tree import Episode, ReplayTree, list_searches, open_engine

CPU_WIDTH = 0.25


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands after a turn; counts are of this search, `run_*` and seconds of this call of run()."""

    episode_count: int
    training_count: int
    run_episodes: int
    run_trainings: int
    run_seconds: float
    depth_bound: int
    epochs: int
    proposals: Sequence[Proposal]
    evaluations: Sequence[PathEvaluation]
    best_accuracy: float | None


class Search:
    """One named search in a database: created here, continued by Search.resume.

    Either `dataset` (a name or a folder), or `data` (an ImageData), or an `evaluator` of your own together with a
    `space`. Every field of SearchConfig can be given as a keyword, or all of them as `config`. Raises ConfigError,
    DataError, SpaceError or StorageError before anything is stored.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        storage: str | None = None,
        space: Space | None = None,
        evaluator: Evaluator | None = None,
        data: ImageData | None = None,
        config: SearchConfig | None = None,
        callbacks: Sequence[Callback] = (),
        **options: Any,
    ) -> None:
        config = configured(config, options, space=space, own=evaluator is not None or data is not None)
        engine = open_engine(storage_url(storage))
        taken = [info.name for info in list_searches(engine)]
        name = name or free_name(config.dataset or "search", taken)
        if name in taken:
            raise SearchExists(
                f"a search named {name!r} exists already; go on with `replaytree resume {name}`, "
                f"or choose another --name"
            )
        if config.width is None:
            config = config.with_options(width=CPU_WIDTH if resolve_device(config.device).type == "cpu" else 1.0)
        self._equip(config, space, evaluator, data)
        self.tree = ReplayTree.create(
            engine,
            name,
            space=self.space,
            seed=config.seed,
            config_json=config.to_json(),
            data_json=self.data.fingerprint.to_json() if self.data else None,
            versions=versions(),
        )
        self.callbacks = Callbacks(callbacks)
        self.memory = ReplayMemory(temperature=config.temperature)
        self.episode_count = self.training_count = 0
        self._best_accuracy: float | None = None

    @classmethod
    def resume(
        cls,
        name: str,
        *,
        storage: str | None = None,
        space: Space | None = None,
        evaluator: Evaluator | None = None,
        data: ImageData | None = None,
        device: str | None = None,
        data_dir: str | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Search:
        """Continue a stored search exactly where it stands, perhaps on another device or with the data elsewhere.

        What is not in the database (a space, an evaluator or data of your own) is given again. Raises SearchNotFound,
        ConfigError, SpaceError, or DataError where the images are not those of the search.
        """
        self = cls.__new__(cls)
        tree = ReplayTree.open(storage_url(storage), name)
        info = tree.info()
        moved = {"device": device, "data_dir": data_dir}
        config = SearchConfig.from_json(info.config_json)
        config = config.with_options(**{key: value for key, value in moved.items() if value is not None})
        if config.dataset is None and data is None and evaluator is None:
            raise ConfigError(
                f"search {name!r} has data or an evaluator of its own; continue it in Python with "
                f"replaytree.Search.resume({name!r}, ...), giving them again"
            )
        self._equip(config, space, evaluator, data)
        if self.data is not None and info.data_json != (found := self.data.fingerprint.to_json()):
            raise DataError(f"the images are not those of search {name!r}: {_difference(info.data_json, found)}")
        self.tree = ReplayTree.open(tree.engine, name, space=self.space)
        self.callbacks = Callbacks(callbacks)
        stats = [self._reward.of_node(node) for node in self.tree.node_stats()]
        self.memory = ReplayMemory(stats, temperature=config.temperature)
        self.episode_count, self.training_count = info.episode_count, info.training_count
        self._best_accuracy = info.best_accuracy
        if (payload := self.tree.strategy_state()) is not None:
            state = unpack(payload)
            self.strategy.load_state_dict(state["strategy"])
            self.growth = Growth(**state["growth"])
        return self

    def _equip(
        self, config: SearchConfig, space: Space | None, evaluator: Evaluator | None, data: ImageData | None
    ) -> None:
        if data is None and evaluator is None:
            data = data_of(config)
        self.config = config
        self.data = data
        self._whole_space = space or default_space(config, data)
        self.space = within_limits(self._whole_space, config)
        self.evaluator = evaluator or default_evaluator(config, self._whole_space, data)
        self._reward = SoftReward(self._whole_space, config.target_params, config.target_flops, config.cost_weight)
        self.strategy: Strategy = STRATEGIES[config.strategy](self.space, config)
        self.growth = Growth.start(config)
        self._stop = False

    @property
    def name(self) -> str:
        """The search's name in its database."""
        return self.tree.name

    def run(
        self,
        *,
        episodes: int | None = None,
        trainings: int | None = None,
        hours: float | None = None,
        on_turn: Callable[[Progress], None] | None = None,
    ) -> Search:
        """Go on until the first limit is reached; limits count from this call. Returns the search itself.

        A turn is `num_paths` episodes, fewer where a limit leaves less. All that a turn brought is committed in one
        transaction at its end, so a search that is interrupted loses at most the turn under way.
        """
        _check_limits(episodes=episodes, trainings=trainings, hours=hours)
        started = time.monotonic()
        self._stop = False
        try:
            self._run(started, episodes=episodes, trainings=trainings, hours=hours, on_turn=on_turn)
        finally:
            end = EndEvent(self.name, self.episode_count, self.training_count, self._best_accuracy)
            self.callbacks.tell("on_end", end)
        return self

    def _run(
        self,
        started: float,
        *,
        episodes: int | None,
        trainings: int | None,
        hours: float | None,
        on_turn: Callable[[Progress], None] | None,
    ) -> None:
        run_episodes = run_trainings = 0
        while not self._stop:
            left = [self.config.num_paths]
            left += [] if episodes is None else [episodes - run_episodes]
            left += [] if trainings is None else [trainings - run_trainings]
            if min(left) <= 0 or (hours is not None and time.monotonic() - started >= hours * 3600.0):
                break
            depth_bound, budget = self.growth.depth_bound, self.growth.budget(self.config)
            proposals, evaluations = self.turn(min(left))
            run_episodes += len(proposals)
            run_trainings += sum(proposal.rewards is None for proposal in proposals)
            if on_turn is not None:
                on_turn(
                    Progress(
                        episode_count=self.episode_count,
                        training_count=self.training_count,
                        run_episodes=run_episodes,
                        run_trainings=run_trainings,
                        run_seconds=time.monotonic() - started,
                        depth_bound=depth_bound,
                        epochs=budget.epochs,
                        proposals=proposals,
                        evaluations=evaluations,
                        best_accuracy=self._best_accuracy,
                    )
                )

    def stop(self) -> None:
        """Ask a run to end after the turn under way; safe to call from a signal handler."""
        self._stop = True

    def turn(self, num_paths: int) -> tuple[list[Proposal], list[PathEvaluation]]:
        """One turn of the loop: propose, evaluate, observe, record."""
        depth_bound, budget = self.growth.depth_bound, self.growth.budget(self.config)
        with _one_thread():
            proposals = self.strategy.propose(
                self.memory, num_paths=num_paths, depth_bound=depth_bound, epochs=budget.epochs
            )
        paths = [proposal.path for proposal in proposals if proposal.rewards is None]
        seed = episode_seed(self.config.seed, self.episode_count)
        trained = iter(_checked(paths, self.evaluator.evaluate(paths, budget=budget, seed=seed)) if paths else ())
        evaluations = [
            next(trained) if proposal.rewards is None else PathEvaluation(proposal.rewards) for proposal in proposals
        ]
        with _one_thread():
            update = self.strategy.observe(proposals, self._rewarded(proposals, evaluations))
        results = list(zip(proposals, evaluations, strict=True))
        self.growth = self.growth.after(
            (max(e.accuracies, default=None) if p.rewards is None else None for p, e in results), self.config
        )
        nodes = self.tree.record(
            [
                Episode(
                    path=proposal.path,
                    source=proposal.source,
                    depth_bound=depth_bound,
                    epochs=budget.epochs,
                    trained=proposal.rewards is None,
                    evaluation=evaluation if proposal.rewards is None else None,
                    policy_loss=update.loss,
                    entropy=update.entropy,
                )
                for proposal, evaluation in results
            ],
            state=pack({"strategy": self.strategy.state_dict(), "growth": asdict(self.growth)}),
        )
        self.memory.update([self._reward.of_node(node) for node in nodes])
        self.episode_count += len(results)
        self.training_count += len(paths)
        averages = (node.average_accuracy for node in nodes)
        self._best_accuracy = max((a for a in (self._best_accuracy, *averages) if a is not None), default=None)
        self.callbacks.tell_turn(
            results,
            search=self.name,
            space=self.space,
            first_episode=self.episode_count - len(results),
            first_training=self.training_count - len(paths),
            depth_bound=depth_bound,
            epochs=budget.epochs,
            best_accuracy=self._best_accuracy,
            policy_loss=update.loss,
            entropy=update.entropy,
        )
        return proposals, evaluations

    def _rewarded(
        self, proposals: Sequence[Proposal], evaluations: Sequence[PathEvaluation]
    ) -> Sequence[PathEvaluation]:
        """What the strategy learns from; a replayed path comes from the memory, which holds rewards already."""
        return [
            self._reward.of_training(p.path, e) if p.rewards is None else e
            for p, e in zip(proposals, evaluations, strict=True)
        ]

    def best_model(
        self,
        node: str | None = None,
        *,
        epochs: int = 30,
        seed: int = 0,
        folder: str | os.PathLike[str] | None = "models",
        **recipe: Any,
    ) -> Model:
        """Retrain the best prefix (or another node) with the full recipe; the model, ready to predict.

        As `replaytree retrain`: weights and checkpoints go into `folder`, a finished training is not repeated, and
        `recipe` are fields of FullRecipe. With `folder` None nothing is written. Raises SpaceError for a space that
        cannot be built.
        """
        if not isinstance(self._whole_space, LayerSpace) or self.data is None:
            raise SpaceError("this search has no layers to build or no images to train on, so it has no model")
        subject = search_subject(self.tree, self._whole_space, self.data, self.config, node=node)
        full = FullRecipe.of(subject.data, epochs=epochs, **recipe)
        return train_and_load(
            subject,
            recipe=full,
            seed=seed,
            folder=None if folder is None else FilePath(folder),
            device=resolve_device(self.config.device),
            engine=self.tree.engine,
        )


def episode_seed(seed: int, episode: int) -> int:
    """The seed of the trainings that start at an episode: a function of both numbers alone."""
    return int(np.random.SeedSequence([seed, episode]).generate_state(1)[0])


def pack(state: Mapping[str, Any]) -> bytes:
    """A state as bytes."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def unpack(payload: bytes) -> dict[str, Any]:
    """The inverse of pack; only tensors and plain values are read, never code."""
    state: dict[str, Any] = torch.load(io.BytesIO(payload), weights_only=True)
    return state


@contextmanager
def _one_thread() -> Iterator[None]:
    """The controller's small matrices gain nothing from threads, and lose much where a core is busy elsewhere.

    An episode at depth 15 beside another process took 33 ms with two threads (95th percentile 163), 10 with one (16).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _checked(paths: Sequence[Any], evaluations: Sequence[PathEvaluation]) -> Sequence[PathEvaluation]:
    if len(evaluations) != len(paths):
        raise EvaluationError(f"the evaluator returned {len(evaluations)} evaluations for {len(paths)} paths")
    for path, evaluation in zip(paths, evaluations, strict=True):
        got = len(evaluation.accuracies)
        if got > len(path) or (got < len(path) and evaluation.failure is None):
            raise EvaluationError(
                f"the evaluator returned {got} accuracies for a path of {len(path)} layers: one a prefix is needed"
            )
    return evaluations


def _check_limits(**limits: float | None) -> None:
    if all(limit is None for limit in limits.values()):
        raise ConfigError("nothing says when to stop; give episodes, trainings or hours")
    for name, limit in limits.items():
        if limit is not None and not limit > 0:
            raise ConfigError(f"{name} is {limit}; it must be over 0 (--{name})")


def _difference(stored: str | None, found: str) -> str:
    before, after = json.loads(stored or "{}"), json.loads(found)
    changed = next((key for key in after if before.get(key) != after[key]), None)
    return f"{changed} was {before.get(changed or '')}, is {after.get(changed or '')}"
