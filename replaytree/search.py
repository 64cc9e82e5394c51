"""The search: the loop that proposes, evaluates, learns and records, and its resumption."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path as FilePath
from typing import Any

from replaytree.assembly import (
    configured,
    created_tree,
    data_of,
    default_space,
    separate_trainer,
    within_limits,
    workers_for,
)
from replaytree.calibrator import Calibrator
from replaytree.callbacks import Callback, Callbacks, EndEvent
from replaytree.config import Growth, Pruning, SearchConfig, command, storage_url
from replaytree.data import NAMED, ImageData, as_image_data, load_again
from replaytree.deliver import FullRecipe, Model, search_subject, train_and_load
from replaytree.deliver.subject import data_options
from replaytree.errors import ConfigError, DataError, LeaseLost, SearchExists, SpaceError
from replaytree.evaluate import RayOptions, Threads, Workers, connect, resolve_device, using
from replaytree.policy import STRATEGIES, ReplayMemory, Strategy
from replaytree.progress import telling
from replaytree.raising import raised, require_depth
from replaytree.records import Evaluator, NodeStats, Path, PathEvaluation, Proposal, Space
from replaytree.space import LayerSpace, SoftReward, checked
from replaytree.state import owner, pack, require_loads, restore
from replaytree.tree import Episode, Goal, ReplayTree, open_engine, require_name, require_writable, search_names
from replaytree.turns import Limits, Progress, Turn, episode_seed

CPU_WIDTH = 0.25

_log = logging.getLogger("replaytree")


class Search:
    """One named search in a database: created here, continued by Search.resume.

    Either `dataset` (a name or a folder), or `data` (an ImageData), or an `evaluator` of your own together with a
    `space`. Every field of SearchConfig can be given as a keyword, or all of them as `config`. Raises ConfigError,
    DataError, SpaceError or StorageError before anything is stored.

    `workers`, `ray_address` and `gpus_per_worker` are the fields of RayOptions: where the trainings run this time. They
    are not stored.
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
        workers: int | None = None,
        ray_address: str | None = None,
        gpus_per_worker: float | None = None,
        **options: Any,
    ) -> None:
        space = None if space is None else checked(space)
        config = configured(config, options, space=space, own=evaluator is not None or data is not None)
        if name is not None:
            require_name(name)
        engine = open_engine(storage_url(storage))
        require_writable(engine)
        if name is not None and name in search_names(engine):
            ReplayTree.open(engine, name).require_free()
            raise SearchExists(
                f"a search named {name!r} exists already; go on with "
                f"`{command('resume', name, storage=storage)}`, or choose another --name"
            )
        self._equip(config, space, evaluator, data, RayOptions(workers, ray_address, gpus_per_worker))
        self.tree = created_tree(engine, name, space=self.space, config=self.config, data=self.data)
        self.callbacks = Callbacks(callbacks)
        self.memory = ReplayMemory(temperature=config.temperature, prior=self._prior())
        self.episode_count = self.training_count = self.proposed_count = 0
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
        threads: int | None = None,
        callbacks: Sequence[Callback] = (),
        take_over: bool = False,
        max_layers: int | None = None,
        epochs: tuple[int, int] | None = None,
        workers: int | None = None,
        ray_address: str | None = None,
        gpus_per_worker: float | None = None,
    ) -> Search:
        """Continue a stored search exactly where it stands, perhaps on another device or with the data elsewhere.

        What is not in the database (a space, an evaluator or data of your own) is given again. One process at a time
        drives a search; with `take_over`, run() ends the lease of one that is dead, elsewhere, or to be relieved.

        `max_layers` and `epochs` (first, last) raise what the search was begun with; run() stores them. The depth bound
        goes on rising from where it stands, and the budget does not fall.
        Raises SearchNotFound, SearchHeld, ConfigError, SpaceError, or DataError where the images are not those of the
        search.
        """
        self = cls.__new__(cls)
        tree = ReplayTree.open(storage_url(storage), name)
        require_writable(tree.engine)
        if not take_over:
            tree.require_free()
        info = tree.info()
        moved = {"device": device, "data_dir": data_dir, "threads": threads}
        begun = info.config
        asked = raised(begun, max_layers=max_layers, epochs=epochs)
        config = asked.with_options(**{key: value for key, value in moved.items() if value is not None})
        if config.dataset is None and data is None and evaluator is None:
            raise ConfigError(
                f"search {name!r} has data or an evaluator of its own; continue it in Python with "
                f"replaytree.Search.resume({name!r}, ...), giving them again"
            )
        if data is None and evaluator is None:
            stored = {**data_options(config), "data_dir": config.data_dir}
            data = load_again(f"search {name!r}", info.data_json, flip=config.flip, **stored)
        self._equip(config, space, evaluator, data, RayOptions(workers, ray_address, gpus_per_worker))
        if self.data is not None and info.data_json != (found := self.data.fingerprint.to_json()):
            raise DataError(f"the images are not those of search {name!r}: {_difference(info.data_json, found)}")
        self.tree = ReplayTree.open(tree.engine, name, space=self.space)
        require_depth(self.space, self.tree, max_layers=asked.max_layers)
        self._raised = None if asked == begun else (begun, asked)
        self.callbacks = Callbacks(callbacks)
        self._take_over = take_over
        self._restore()
        return self

    def _equip(
        self,
        config: SearchConfig,
        space: Space | None,
        evaluator: Evaluator | None,
        data: ImageData | None,
        ray: RayOptions,
    ) -> None:
        if data is not None:
            data = as_image_data(data)
        elif evaluator is None:
            data = data_of(config)
            if config.flip is None and config.dataset not in NAMED:
                config = config.with_options(flip=data.flip)
        cluster = connect(ray, device=config.device, shared_bytes=data.nbytes if data else None) if ray else None
        if config.width is None:
            device = cluster.device if cluster else resolve_device(config.device).type
            config = config.with_options(width=CPU_WIDTH if device == "cpu" else 1.0)
        self.config = config
        self.data = data
        self._whole_space = checked(space) if space is not None else default_space(config, data)
        self.space = within_limits(self._whole_space, config)
        self.workers: Workers = workers_for(config, self._whole_space, data, evaluator, cluster, tree=self._own_tree)
        trainer = None
        if evaluator is None and config.calibrate:
            trainer = separate_trainer(config, self._whole_space, data, tree=self._own_tree)
        self._calibrator = Calibrator(self.space, trainer, share=config.calibrate)
        self._reward = SoftReward(self._whole_space, config.target_params, config.target_flops, config.cost_weight)
        self.strategy: Strategy = STRATEGIES[config.strategy](self.space, config)
        self.growth = Growth.start(config)
        self.pruning = Pruning()
        self._unstored: list[tuple[int, float]] = []
        self._stop = self._take_over = self._stale = self._state_proven = False
        self.lost: LeaseLost | None = None
        self._limits: Limits | None = None
        self._used_seconds = 0.0
        self._raised: tuple[SearchConfig, SearchConfig] | None = None

    def _own_tree(self) -> ReplayTree:
        return self.tree

    def _restore(self) -> None:
        """Take over the state of the tree.

        The counts are read first. If another process records meanwhile, they are too low, and run() notices.
        """
        info = self.tree.info()
        self.episode_count, self.training_count = info.episode_count, info.training_count
        self.proposed_count = self.episode_count
        self._best_accuracy = info.best_accuracy
        self._calibrator.load(self.tree.calibration())
        stats = [self._seen(node) for node in self.tree.node_stats()]
        self.memory = ReplayMemory(stats, temperature=self.config.temperature, prior=self._prior())
        self.strategy = STRATEGIES[self.config.strategy](self.space, self.config)
        self.growth = Growth.start(self.config)
        self._unstored = []
        if (payload := self.tree.strategy_state()) is not None:
            # Until revision 0008 a state held the checkpoints that the database holds now; the next record moves them.
            self.growth, self._unstored, self.proposed_count = restore(
                payload, self.strategy, config=self.config, episode_count=self.episode_count
            )
        if self._raised is not None:
            self.growth = self.growth.raised_from(self._raised[0])
        self.pruning = Pruning([*self.tree.checkpoints(), *self._unstored])

    def _prior(self) -> ReplayMemory | None:
        """The nodes copied from another search (config.warm_start), weighed against cost like this search's own."""
        nodes = [self._reward.of_node(node) for node in self.tree.prior()]
        return ReplayMemory(nodes, temperature=self.config.temperature) if nodes else None

    def __repr__(self) -> str:
        """Name, strategy and how far it is."""
        done = (
            f"{self.training_count} trainings, best {self._best_accuracy or 0.0:.4f}" if self.training_count else "new"
        )
        return f"Search({self.name!r}, {self.config.strategy}, {done})"

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
        progress: bool | None = None,
    ) -> Search:
        """Go on until the first limit is reached; limits count from this call. Returns the search itself.

        The limits are stored as the goal of the search. Without any, the run goes on to what is left of the last goal;
        ConfigError where nothing is.

        `progress` shows a bar; None: in a terminal or a notebook, where no `on_turn` is given.

        A turn is `num_paths` episodes, fewer where a limit leaves less. All that a turn brought is committed in one
        transaction at its end, so a search that is interrupted loses at most the turns under way.

        Raises SearchHeld where another process drives the search. If one takes it over meanwhile, what has just been
        trained is stored, a warning is logged, and the run ends with `lost` saying why.
        """
        is_new = (episodes, trainings, hours) != (None, None, None)
        limits = Limits(episodes, trainings, hours) if is_new else self._to_the_goal()
        self._stop, self.lost = False, None
        try:
            with self.tree.driving(take_over=self._take_over):
                self._take_over = False
                # Another process may have gone on with the search, or a turn of ours may have failed half-way.
                if self._stale or self.tree.episode_count != self.episode_count:
                    self._restore()
                self._stale = True
                if self._raised is not None:
                    self.tree.store_raised(self._raised[1].to_json(), state=self._state())
                    self._raised = None
                self._limits = self._aim(limits) if is_new else self._to_the_goal()
                with telling(on_turn, self._limits, progress=progress) as tell:
                    self._run(self._limits, tell)
                self._stale = False
        except LeaseLost as lost:
            self.lost = lost
            _log.warning("%s", lost)
        finally:
            self._limits = None
            self.workers.close()
            end = EndEvent(self.name, self.episode_count, self.training_count, self._best_accuracy)
            self.callbacks.tell("on_end", end)
        return self

    def goal_left(self) -> Goal | None:
        """What is left of how far the search was last asked to go; None where that is reached, or was never said."""
        return self.tree.goal_left()

    def _to_the_goal(self) -> Limits:
        goal, left = self.tree.goal(), self.goal_left()
        if left is None:
            reached = "" if goal is None else f"; the goal of {goal.text} in all is reached"
            raise ConfigError(f"nothing says when to stop{reached}; give episodes, trainings or hours")
        self._used_seconds = left.used_seconds
        return Limits.towards(left)

    def _aim(self, limits: Limits) -> Limits:
        """Store where a run leads, now that the search is ours."""
        goal = self.tree.goal()
        self._used_seconds = 0.0 if goal is None else goal.used_seconds
        self.tree.set_goal(
            limits.goal(episodes=self.episode_count, trainings=self.training_count, used_seconds=self._used_seconds)
        )
        return limits

    def _run(self, limits: Limits, on_turn: Callable[[Progress], None]) -> None:
        """Keep the workers busy until a limit is reached, and record turns as they end."""
        before = self.episode_count, self.training_count
        under_way: dict[int, Turn] = {}

        def finish(turn: Turn, trained: Sequence[PathEvaluation]) -> None:
            evaluations = self._finish(turn, trained)
            on_turn(
                Progress(
                    episode_count=self.episode_count,
                    training_count=self.training_count,
                    run_episodes=self.episode_count - before[0],
                    run_trainings=self.training_count - before[1],
                    run_seconds=limits.seconds,
                    depth_bound=turn.depth_bound,
                    epochs=turn.budget.epochs,
                    proposals=turn.proposals,
                    evaluations=evaluations,
                    best_accuracy=self._best_accuracy,
                )
            )

        while True:
            while not self._stop and self.workers.free and (room := limits.room(self.config.num_paths)) > 0:
                turn = self._propose(room, pending=[path for other in under_way.values() for path in other.paths])
                limits.spend(turn)
                if turn.paths:
                    under_way[turn.number] = turn
                    self._submit(turn)
                else:
                    finish(turn, ())
            if not under_way:
                return
            stopping = self._stop
            ended = self.workers.next(wait=not stopping)
            if ended is not None:
                finish(under_way.pop(ended[0]), ended[1])
            elif stopping:
                return

    def stop(self) -> None:
        """Ask a run to end with what its workers have finished by then; safe to call from a signal handler."""
        self._stop = True

    def turn(self, num_paths: int) -> tuple[Sequence[Proposal], list[PathEvaluation]]:
        """One turn of the loop by itself: propose, evaluate, observe, record."""
        turn = self._propose(num_paths)
        ended: tuple[int, Sequence[PathEvaluation]] | None = None
        if turn.paths:
            self._submit(turn)
            while ended is None:
                ended = self.workers.next()
        return turn.proposals, self._finish(turn, ended[1] if ended else ())

    def _propose(self, num_paths: int, pending: Sequence[Path] = ()) -> Turn:
        """The next turn. `pending` are the paths that are being trained."""
        budget = self.growth.budget(self.config)
        if self.config.prune:
            budget = self.pruning.budget(budget)
        with using(1):
            proposals = self.strategy.propose(
                self.memory,
                num_paths=num_paths,
                depth_bound=self.growth.depth_bound,
                epochs=budget.epochs,
                pending=pending,
            )
        turn = Turn(self.proposed_count, proposals, self.growth.depth_bound, budget)
        self.proposed_count += len(proposals)
        return turn

    def _submit(self, turn: Turn) -> None:
        seed = episode_seed(self.config.seed, turn.number)
        self.workers.submit(turn.number, turn.paths, budget=turn.budget, seed=seed)

    def _finish(self, turn: Turn, trained: Sequence[PathEvaluation]) -> list[PathEvaluation]:
        """Learn from a turn whose paths are trained, and record it. Returns one evaluation an episode."""
        evaluations = turn.evaluations(trained)
        with using(1):
            update = self.strategy.observe(turn.proposals, self._rewarded(turn, evaluations))
        separate = self._calibrator.after(
            {n: (p.path, evaluations[n]) for n, p in enumerate(turn.proposals) if p.rewards is None},
            budget=turn.budget,
            seed=episode_seed(self.config.seed, turn.number),
        )
        results = list(zip(turn.proposals, evaluations, strict=True))
        if turn.depth_bound == self.growth.depth_bound:
            # A path proposed under an earlier bound is no measure of progress at this one.
            bests = (max(e.accuracies, default=None) if p.rewards is None else None for p, e in results)
            self.growth = self.growth.after(bests, self.config)
        reached = [e.checkpoint_accuracy for e in trained if e.checkpoint_accuracy is not None]
        self.pruning.add(reached, turn.budget)
        nodes = self.tree.record(
            [
                Episode(
                    path=proposal.path,
                    source=proposal.source,
                    depth_bound=turn.depth_bound,
                    epochs=evaluation.epochs or turn.budget.epochs,
                    trained=proposal.rewards is None,
                    evaluation=evaluation if proposal.rewards is None else None,
                    policy_loss=update.loss,
                    entropy=update.entropy,
                )
                for proposal, evaluation in results
            ],
            state=self._state(),
            separate=separate,
            checkpoints=[*self._unstored, *((turn.budget.epochs, accuracy) for accuracy in reached)],
            used_seconds=None if self._limits is None else self._used_seconds + self._limits.seconds,
        )
        self._unstored = []
        self.memory.update([self._seen(node) for node in nodes])
        if separate:
            # A new estimate changes every average of the tree.
            self.memory.reload([self._seen(node) for node in self.tree.node_stats()])
        self.episode_count += len(results)
        self.training_count += len(turn.paths)
        if turn.paths:
            # Asked of the tree, so that there is one definition of the best; an index answers, in any tree in 1 ms.
            self._best_accuracy = self.tree.best_accuracy()
        self.callbacks.tell_turn(
            results,
            search=self.name,
            space=self.space,
            first_episode=self.episode_count - len(results),
            first_training=self.training_count - len(turn.paths),
            depth_bound=turn.depth_bound,
            epochs=turn.budget.epochs,
            best_accuracy=self._best_accuracy,
            policy_loss=update.loss,
            entropy=update.entropy,
        )
        return evaluations

    def _state(self) -> bytes:
        """What a resumed search goes on from; StorageError where it could not, before anything is stored."""
        state = {
            "strategy": self.strategy.state_dict(),
            "growth": asdict(self.growth),
            "proposed_count": self.proposed_count,
            "of": owner(self.config),
        }
        payload = pack(state)
        if not self._state_proven:
            # Once a run is enough: what a strategy cannot load is a matter of its code.
            require_loads(STRATEGIES[self.config.strategy](self.space, self.config), payload)
            self._state_proven = True
        return payload

    def _rewarded(self, turn: Turn, evaluations: Sequence[PathEvaluation]) -> Sequence[PathEvaluation]:
        """The rewards that the strategy learns from. A replayed path has rewards already, from the memory."""
        return [
            self._reward.of_training(p.path, self._calibrator.of_training(e, epochs=turn.budget.epochs))
            if p.rewards is None
            else e
            for p, e in zip(turn.proposals, evaluations, strict=True)
        ]

    def _seen(self, stats: NodeStats) -> NodeStats:
        """A node as the strategy sees it: calibrated, and weighed against its cost."""
        return self._reward.of_node(self._calibrator.of_node(stats))

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
            threads=Threads.of(self.config.threads),
        )


def _difference(stored: str | None, found: str) -> str:
    before, after = json.loads(stored or "{}"), json.loads(found)
    changed = next((key for key in after if before.get(key) != after[key]), None)
    return f"{changed} was {before.get(changed or '')}, is {after.get(changed or '')}"
