"""What a run of a search does: the loop that proposes, evaluates, learns and records, until a limit is reached."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from replaytree.config import SearchConfig
from replaytree.errors import LeaseLost
from replaytree.records import PathEvaluation, Proposal
from replaytree.search.assembly import Parts
from replaytree.search.callbacks import Callbacks, EndEvent
from replaytree.search.course import Course
from replaytree.search.evaluator_state import EvaluatorState
from replaytree.search.forecast import about, prior_seconds
from replaytree.search.prior import name_of, shared_prior
from replaytree.search.progress import telling
from replaytree.search.turn_queue import TurnQueue
from replaytree.search.turns import Limits, Progress, Turn, episode_seed
from replaytree.search.unfinished_prior import UnfinishedPrior
from replaytree.tree import ReplayTree

_log = logging.getLogger("replaytree")


class Driver:
    """Drives one search, whose parts and tree it is given; `workers` train its paths.

    `raised` are the options of a search before and after they were raised, which the first run stores. With `take_over`
    it ends the lease of another process. `lost` is why the last run ended where another process took the search over.
    """

    def __init__(
        self,
        parts: Parts,
        tree: ReplayTree,
        *,
        state: EvaluatorState,
        callbacks: Callbacks,
        raised: tuple[SearchConfig, SearchConfig] | None = None,
        take_over: bool = False,
    ) -> None:
        self._parts = parts
        self._tree = tree
        self._learner, self._config = parts.learner, parts.config
        self.workers = parts.workers
        self._state = state
        self._callbacks = callbacks
        self._raised = raised
        self._take_over = take_over
        self._course = Course()
        self._stop = self._stale = False
        self.lost: LeaseLost | None = None

    def restore(self) -> None:
        """Go back to what the tree holds."""
        self._state.restore(self._tree)
        self._learner.restore(self._tree, raised_from=None if self._raised is None else self._raised[0])

    def run(
        self, limits: Limits | None, *, on_turn: Callable[[Progress], None] | None = None, progress: bool | None = None
    ) -> None:
        """Go on until the first limit is reached; None: to what is left of the goal. As Search.run."""
        if limits is None and self._tree.goal_left() is None and self._state.needs_rescoring(self._tree):
            # A run was killed behind its last turn.
            self._rescored()
            return
        asked, limits = limits, limits or self._course.to_the_goal(self._tree)
        self._stop, self.lost = False, None
        try:
            with self._tree.driving(take_over=self._take_over):
                self._take_over = False
                # Another process may have gone on with the search, or a turn of ours may have failed half-way.
                if self._stale or self._tree.episode_count != self._learner.episode_count:
                    self.restore()
                self._stale = True
                self._state.begin(self._tree)
                if self._raised is not None:
                    self._tree.store_raised(self._raised[1].to_json(), state=self._learner.state())
                    self._raised = None
                done = {"episodes": self._learner.episode_count, "trainings": self._learner.training_count}
                limits = self._course.begin(self._tree, asked, **done)
                self._learn_first()
                self._learner.aim(limits.trainings, episodes=limits.episodes)
                with telling(on_turn, limits, progress=progress) as tell:
                    self._run(limits, tell)
                self._rescore()
                self._stale = False
        except LeaseLost as lost:
            self.lost = lost
            _log.warning("%s", lost)
        finally:
            self._course.end()
            self.workers.close()
            end = EndEvent(
                self._tree.name,
                self._learner.episode_count,
                self._learner.training_count,
                self._learner.best_accuracy,
                metric=self._learner.metric,
            )
            self._callbacks.tell("on_end", end)

    def _learn_first(self) -> None:
        """Make the prior that was asked for, where none is stored: before the first training, or it was interrupted."""
        if self._config.prior_passes is None or self._learner.training_count:
            return
        unfinished = UnfinishedPrior(self._state.own_folder(self._tree), of=name_of(self._config))
        if not self._tree.prior():
            parts = self._parts
            assert parts.data is not None, "a prior was refused without images"
            seconds = prior_seconds(self._config, parts.space, parts.data)
            _log.info(
                "before the first training, the prior%s",
                "" if seconds is None else f": {about(seconds)} on this machine",
            )
            prior = shared_prior(
                self._config, parts.space, parts.whole_space, parts.data,
                is_stopped=lambda: self._stop, unfinished=unfinished,
            )  # fmt: skip
            if prior is None:
                return
            self._tree.store_prior(prior)
            self.restore()
        unfinished.remove()

    def _rescored(self) -> None:
        """Score the leaders once more, and nothing else."""
        try:
            with self._tree.driving(take_over=self._take_over):
                self.restore()
                self._state.begin(self._tree)
                self._rescore()
        except LeaseLost as lost:
            self.lost = lost
            _log.warning("%s", lost)

    def _rescore(self) -> None:
        """Score the leaders with the last state of the evaluator, where it has one and can."""
        if self._state.rescore(self._tree, apart=self._config.weights.score_images is not None):
            self._learner.rescored(self._tree)

    def _run(self, limits: Limits, on_turn: Callable[[Progress], None]) -> None:
        """Keep the workers busy until a limit is reached, and record their turns."""
        before = self._learner.episode_count, self._learner.training_count
        queue = TurnQueue(
            self._learner, self.workers, limits, num_paths=self._config.num_paths, seed=self._config.seed,
            is_stopped=lambda: self._stop or self._learner.ended is not None,
        )  # fmt: skip
        while (done := queue.next()) is not None:
            turn, trained = done
            evaluations = self._finish(turn, trained)
            on_turn(
                Progress(
                    episode_count=self._learner.episode_count,
                    training_count=self._learner.training_count,
                    run_episodes=self._learner.episode_count - before[0],
                    run_trainings=self._learner.training_count - before[1],
                    run_seconds=limits.seconds,
                    depth_bound=turn.depth_bound,
                    epochs=turn.budget.epochs,
                    proposals=turn.proposals,
                    evaluations=evaluations,
                    leader=self._learner.leader,
                    counts_turns=self._config.weights.weights == "shared",
                    metric=self._learner.metric,
                )
            )

    def stop(self) -> None:
        """Ask a run to end; as Search.stop."""
        self._stop = True

    def turn(self, num_paths: int) -> tuple[Sequence[Proposal], list[PathEvaluation]]:
        """One turn of the loop by itself: propose, evaluate, observe, record."""
        turn = self._learner.propose(num_paths)
        ended: tuple[int, Sequence[PathEvaluation] | Exception] | None = None
        if turn.paths:
            seed = episode_seed(self._config.seed, turn.number)
            self.workers.submit(turn.number, turn.paths, budget=turn.budget, seed=seed)
            while ended is None:
                ended = self.workers.next()
        trained = ended[1] if ended else ()
        if isinstance(trained, Exception):
            raise trained
        return turn.proposals, self._finish(turn, trained)

    def _finish(self, turn: Turn, trained: Sequence[PathEvaluation]) -> list[PathEvaluation]:
        """Learn from a turn whose paths are trained, and record it. Returns one evaluation an episode."""
        lesson = self._learner.learn(turn, self._state.timed(trained))
        written = None
        if turn.paths:
            written = self._state.written(self._tree, episode_count=self._learner.episode_count + len(turn.proposals))
        nodes = self._tree.record(
            lesson.episodes,
            state=self._learner.state(),
            checkpoints=lesson.checkpoints,
            used_seconds=self._course.used_seconds,
            evaluator_state=written,
        )
        self._state.recorded(self._tree)
        self._learner.recorded(lesson, nodes, tree=self._tree)
        self._callbacks.tell_turn(
            list(zip(turn.proposals, lesson.evaluations, strict=True)),
            search=self._tree.name,
            space=self._parts.space,
            first_episode=self._learner.episode_count - len(turn.proposals),
            first_training=self._learner.training_count - len(turn.paths),
            depth_bound=turn.depth_bound,
            epochs=turn.budget.epochs,
            best_accuracy=self._learner.best_accuracy,
            policy_loss=lesson.update.loss,
            entropy=lesson.update.entropy,
            metric=self._learner.metric,
        )
        return lesson.evaluations
