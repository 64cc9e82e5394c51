"""A search: how one begins or is continued, and what it is asked for. What a run does stands in driver.py."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, Unpack

from replaytree.config import EvaluatorName, Growth, SearchConfig, removed_notes, storage_url
from replaytree.config.final_recipes import with_final
from replaytree.config.keywords import SearchKeywords
from replaytree.config.option import require_known
from replaytree.config.retrain_keywords import RetrainKeywords
from replaytree.config.retraining import RetrainOptions
from replaytree.data import Data
from replaytree.data.images import Transforms
from replaytree.deliver import AnyModel, search_subject
from replaytree.errors import ConfigError, LeaseLost, SpaceError
from replaytree.evaluate import WorkerOptions, Workers
from replaytree.metric import Metric
from replaytree.policy import ReplayMemory, Strategy
from replaytree.records import Evaluator, PathEvaluation, Proposal, Space
from replaytree.search.assembly import Parts, assembled, configured, created_tree
from replaytree.search.beginning import (
    data_again,
    engine_for_a_new,
    given_data,
    is_data,
    require_same_data,
    require_same_limits,
    require_same_table,
    transformed_data,
)
from replaytree.search.callbacks import Callback, Callbacks
from replaytree.search.driver import Driver
from replaytree.search.evaluator_state import EvaluatorState
from replaytree.search.prior import require_prior
from replaytree.search.raising import raised, rebuilt, require_depth
from replaytree.search.retrained import retrained
from replaytree.search.searched_space import table_digest
from replaytree.search.turns import Limits, Progress
from replaytree.search.workforce import require_no_ahead
from replaytree.space import checked
from replaytree.space.graph_space import require_networks
from replaytree.tree import Goal, Node, ReplayTree, require_writable

_log = logging.getLogger("replaytree")


class Search:
    """One named search in a database: created here, continued by Search.resume.

    Either `dataset` (a name, a folder, a file, or a data set of Hugging Face's `datasets`), or `data` (an ImageData or
    a TextData), or an `evaluator` of your own, which needs a `space` of your own. `space` and `evaluator` may also be
    names. Every option of SearchConfig can be given as a keyword, or all of them as `config`. `transforms` are as for
    from_arrays(), of any images; no database holds them, so they are given again to resume(). Raises ConfigError,
    DataError, SpaceError or StorageError before anything is stored.

    `workers`, `ray_address`, `gpus_per_worker`, `as_they_come`, `timeout_per_training` and `concurrent` say where the
    trainings run this time, as the fields of WorkerOptions. They are not stored.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        storage: str | None = None,
        space: Space | str | None = None,
        evaluator: Evaluator | EvaluatorName | None = None,
        data: Data | None = None,
        transforms: Transforms | None = None,
        config: SearchConfig | None = None,
        callbacks: Sequence[Callback] = (),
        workers: int | None = None,
        ray_address: str | None = None,
        gpus_per_worker: float | None = None,
        as_they_come: bool = False,
        timeout_per_training: float | None = None,
        concurrent: int | None = None,
        **options: Unpack[SearchKeywords],
    ) -> None:
        given: dict[str, Any] = dict(options)
        if isinstance(space, str):
            given["space"], space = space, None
        if isinstance(evaluator, str):
            given["evaluator"], evaluator = evaluator, None
        if is_data(given.get("dataset")):
            if data is not None:
                raise ConfigError("dataset and data are both given; leave one of them out")
            data = given.pop("dataset")
        space = None if space is None else checked(space)
        told_options = tuple(given)
        config = configured(config, given, space=space, own=evaluator is not None or data is not None)
        data = given_data(data, config, told_options)
        engine = engine_for_a_new(name, storage, own=evaluator is not None or data is not None)
        told = WorkerOptions(workers, ray_address, gpus_per_worker, as_they_come, timeout_per_training, concurrent)
        require_no_ahead(config, told)
        parts = assembled(config, space, evaluator, data, told, transforms=transforms, tree=lambda: self.tree)
        state = EvaluatorState(parts.state, begun_in=config.machine.state_dir)
        state.require_folder(engine.url)
        require_prior(parts.config, parts.whole_space, parts.data)
        tree = created_tree(engine, name, space=parts.space, config=parts.config, data=parts.data)
        self._drive(parts, Driver(parts, tree, state=state, callbacks=Callbacks(callbacks)), tree)

    @classmethod
    def resume(
        cls,
        name: str,
        *,
        storage: str | None = None,
        space: Space | None = None,
        evaluator: Evaluator | None = None,
        data: Data | None = None,
        transforms: Transforms | None = None,
        device: str | None = None,
        data_dir: str | None = None,
        threads: int | None = None,
        state_dir: str | os.PathLike[str] | None = None,
        callbacks: Sequence[Callback] = (),
        take_over: bool = False,
        restart_weights: bool = False,
        max_layers: int | None = None,
        epochs: tuple[int, int] | None = None,
        workers: int | None = None,
        ray_address: str | None = None,
        gpus_per_worker: float | None = None,
        as_they_come: bool = False,
        timeout_per_training: float | None = None,
        concurrent: int | None = None,
    ) -> Search:
        """Continue a stored search exactly where it stands, perhaps on another device or with the data elsewhere.

        What is not in the database (an evaluator, data, transforms or a space of your own) is given again. One process
        at a time drives a search; with `take_over`, run() ends the lease of one that is dead, elsewhere, or to be
        relieved.

        `max_layers` and `epochs` (first, last) raise what the search was begun with; run() stores them. The depth bound
        goes on rising from where it stands, and the budget does not fall.

        `state_dir` is where the files of an evaluator's state are now, and where the next ones go. `restart_weights`
        goes on with the evaluator as it is given, or a new supernet: the tree stays, and its scores so far are compared
        with none of the later ones.
        Raises SearchNotFound, SearchHeld, ConfigError, SpaceError, StateUnusable where the state cannot be loaded, or
        DataError where the data are not those of the search.
        """
        self = cls.__new__(cls)
        tree = ReplayTree.open(storage_url(storage), name)
        require_writable(tree.engine)
        if not take_over:
            tree.require_free()
        info = tree.info()
        begun = info.config
        # Before there was this option, every proposal knew all results.
        moved = {"device": device, "data_dir": data_dir, "threads": threads, "ahead": begun.ahead or 1}
        asked = raised(begun, max_layers=max_layers, epochs=epochs)
        config = asked.with_options(**{key: value for key, value in moved.items() if value is not None})
        if data is not None or evaluator is not None:
            data = transformed_data(given_data(data, config), transforms)
        if data is not None:
            require_same_data(data, info, name)
        elif evaluator is None:
            data = data_again(config, info, name, transforms=transforms)
        if space is None:
            space = rebuilt(info.space, name, max_layers=asked.space.max_layers)
        told = WorkerOptions(workers, ray_address, gpus_per_worker, as_they_come, timeout_per_training, concurrent)
        require_same_table(table_digest(config), info, name)
        parts = assembled(config, space, evaluator, data, told, tree=lambda: self.tree)
        begun_in = config.machine.state_dir
        state = EvaluatorState(parts.state, state_dir=state_dir, begun_in=begun_in, restart=restart_weights)
        require_same_limits(config, parts.config, name)
        tree = ReplayTree.open(tree.engine, name, space=parts.space)
        require_depth(parts.space, tree, max_layers=asked.space.max_layers)
        driver = Driver(
            parts, tree, state=state, callbacks=Callbacks(callbacks),
            raised=None if asked == begun else (begun, asked), take_over=take_over,
        )  # fmt: skip
        self._drive(parts, driver, tree)
        for note in removed_notes(json.loads(info.config_json)):
            _log.warning("search %s: %s", name, note)
        return self

    def _drive(self, parts: Parts, driver: Driver, tree: ReplayTree) -> None:
        """Take the parts, at what the tree holds."""
        self.config, self.data, self.space, self._whole_space = parts.config, parts.data, parts.space, parts.whole_space
        self.learner, self.tree = parts.learner, tree
        self._driver = driver
        driver.restore()

    def __repr__(self) -> str:
        """Name, strategy and how far it is."""
        done = (
            f"{self.training_count} trainings, best {self.metric.shown(self.learner.best_accuracy or 0.0)}"
            if self.training_count
            else "new"
        )
        return f"Search({self.name!r}, {self.config.strategy}, {done})"

    def _repr_html_(self) -> str:
        return f"<div>{escape(repr(self))}</div>{self.tree._repr_html_()}"

    @property
    def name(self) -> str:
        """The search's name in its database."""
        return self.tree.name

    @property
    def metric(self) -> Metric:
        """What its accuracies are, and how people read them."""
        return self.learner.metric

    @property
    def workers(self) -> Workers:
        """What trains the paths: this process, or others."""
        return self._driver.workers

    @property
    def strategy(self) -> Strategy:
        """What chooses the paths."""
        return self.learner.strategy

    @property
    def memory(self) -> ReplayMemory:
        """The nodes of the tree, as the strategy sees them."""
        return self.learner.memory

    @property
    def growth(self) -> Growth:
        """The depth bound, and what was seen at it."""
        return self.learner.growth

    @property
    def episode_count(self) -> int:
        """Episodes recorded so far."""
        return self.learner.episode_count

    @property
    def training_count(self) -> int:
        """Episodes that went to the evaluator, failures included."""
        return self.learner.training_count

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
        transaction at its end, so a search that is interrupted loses at most the turns under way. Where the evaluator
        has a state, as a supernet has, the leaders are scored once more at the end, so that all are of one state.

        Raises SearchHeld where another process drives the search. If one takes it over meanwhile, what has just been
        trained is stored, a warning is logged, and the run ends with `lost` saying why.
        """
        asked = Limits(episodes, trainings, hours) if (episodes, trainings, hours) != (None, None, None) else None
        self._driver.run(asked, on_turn=on_turn, progress=progress)
        return self

    def goal_left(self) -> Goal | None:
        """What is left of how far the search was last asked to go; None where that is reached, or was never said."""
        return self.tree.goal_left()

    @property
    def ended(self) -> str | None:
        """Why the strategy proposes nothing more, in words; None where it goes on."""
        return self.learner.ended

    @property
    def derived(self) -> Node | None:
        """What a differentiable search ends with: see ReplayTree.derived."""
        return self.tree.derived()

    def stop(self) -> None:
        """Ask a run to end with what its workers have finished by then; safe to call from a signal handler.

        Turns under way are trained again when the search goes on.
        """
        self._driver.stop()

    @property
    def lost(self) -> LeaseLost | None:
        """Why the last run ended, where another process took the search over meanwhile."""
        return self._driver.lost

    def turn(self, num_paths: int) -> tuple[Sequence[Proposal], list[PathEvaluation]]:
        """One turn of the loop by itself: propose, evaluate, observe, record."""
        return self._driver.turn(num_paths)

    def best_model(
        self,
        node: str | None = None,
        *,
        preset: str | None = None,
        epochs: int | None = None,
        seed: int = 0,
        folder: str | os.PathLike[str] | None = "models",
        mirror: bool = False,
        **recipe: Unpack[RetrainKeywords],
    ) -> AnyModel:
        """Retrain the best prefix (or another node) with the full recipe; the model, ready to predict.

        As `replaytree retrain`: weights and checkpoints go into `folder`, a finished training is not repeated, and
        `recipe` are fields of RetrainOptions. `mirror`: the model predicts from an image and its mirror image.
        `preset`: a published recipe (FINAL_RECIPES), which single fields override; its epochs are 30 without one, 100
        on a GPU if images are many. With `folder` None nothing is written. Raises SpaceError for a space that cannot
        be built.
        """
        if not hasattr(self._whole_space, "network") or self.data is None:
            raise SpaceError("this search has no layers to build or no data to train on, so it has no model")
        require_known(RetrainOptions, recipe)
        options = RetrainOptions(**with_final(preset, recipe))
        subject = search_subject(self.tree, require_networks(self._whole_space), self.data, self.config, node=node)
        return retrained(
            subject, self.config, self.tree.engine, preset=preset, epochs=epochs, seed=seed, folder=folder,
            mirror=mirror, options=options,
        )  # fmt: skip
