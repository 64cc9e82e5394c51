"""What a search has learned: how it proposes a turn, learns from one, and is taken from the tree again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from replaytree import metric
from replaytree.config import Growth, Pruning, SearchConfig
from replaytree.config.drawing import TEMPERATURE
from replaytree.policy import STRATEGIES, PolicyUpdate, ReplayMemory, Strategy
from replaytree.policy.differentiable import DifferentiableStrategy, MixedSupernet
from replaytree.policy.states import folded, power_below
from replaytree.records import NodeStats, PathEvaluation, Space
from replaytree.search.state import owner, pack, require_loads, restore
from replaytree.search.turns import TrainedBy, Turn
from replaytree.space import SoftReward
from replaytree.space.network import task_of
from replaytree.training import using
from replaytree.tree import Episode, Leader, ReplayTree


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learned from a turn, for the tree to store. There is one evaluation an episode."""

    turn: Turn
    evaluations: list[PathEvaluation]
    update: PolicyUpdate
    checkpoints: list[tuple[int, float]]

    @property
    def episodes(self) -> list[Episode]:
        """The episodes of the turn."""
        return [
            Episode(
                path=proposal.path,
                source=proposal.source,
                depth_bound=self.turn.depth_bound,
                epochs=evaluation.epochs or self.turn.budget.epochs,
                trained=proposal.rewards is None,
                evaluation=evaluation if proposal.rewards is None else None,
                policy_loss=self.update.loss,
                entropy=self.update.entropy,
                mixed=proposal.mixed,
            )
            for proposal, evaluation in zip(self.turn.proposals, self.evaluations, strict=True)
        ]


class Learner:
    """The strategy of a search and all that its choices depend on, from turn to turn.

    A turn goes through `propose`, `learn` and, once its lesson is stored, `recorded`. Where that was interrupted, or
    another process has gone on with the search, `restore` goes back to what the tree holds. `pending` are the turns
    between `propose` and `learn`, in the order of their proposal. `trained_by` are the workers of the last run.
    """

    def __init__(
        self,
        config: SearchConfig,
        space: Space,
        *,
        reward: SoftReward,
        counts_states: bool = False,
        supernet: MixedSupernet | None = None,
    ) -> None:
        """The start of a search; ConfigError or SpaceError where its strategy cannot be made.

        `counts_states`: epochs of the evaluator's scores say of which state they are (policy/states.py). `supernet`:
        what a differentiable strategy derives its paths from.
        """
        self._supernet = supernet
        self._config = config
        self._space = space
        self.metric = metric.of(task_of(space), config.objective.reward)
        self._reward = reward
        self._counts_states = counts_states
        self._last_epochs = 0
        self.strategy = self._new_strategy()
        self.memory = ReplayMemory(temperature=self._temperature)
        self.growth = Growth.start(config)
        self.pruning = Pruning()
        self.episode_count = self.training_count = self.proposed_count = 0
        self.pending: list[Turn] = []
        self.trained_by: TrainedBy | None = None
        self._range_before = self.memory.accuracy_range
        self.leader: Leader | None = None
        self._unstored: list[tuple[int, float]] = []
        self._state_proven = False

    def restore(self, tree: ReplayTree, *, raised_from: SearchConfig | None = None) -> None:
        """Take over the state of the tree, whose limits were raised from those of `raised_from`.

        The counts are read first. If another process records meanwhile, they are too low, and run() notices.
        """
        info = tree.info()
        self.episode_count, self.training_count = info.episode_count, info.training_count
        self.proposed_count = self.episode_count
        self.leader = info.leader
        self._last_epochs = info.max_epochs or 0
        stats = [self._seen(node) for node in tree.node_stats()]
        self.memory = ReplayMemory(stats, temperature=self._temperature, prior=self._prior(tree))
        self.strategy = self._new_strategy()
        self.growth = Growth.start(self._config)
        self._unstored, self.pending, self._range_before = [], [], self.memory.accuracy_range
        if (payload := tree.strategy_state()) is not None:
            # Until revision 0008 a state held the checkpoints that the database holds now; the next record moves them.
            standing = restore(payload, self.strategy, config=self._config, episode_count=self.episode_count)
            self.growth, self._unstored, self.proposed_count = standing.growth, standing.checkpoints, standing.proposed
            self.pending, self.trained_by = standing.pending, standing.trained_by
            self._range_before = standing.accuracy_range
            self.memory.widen_range(self._range_before)
        if raised_from is not None:
            self.growth = self.growth.raised_from(raised_from)
            # They were proposed under the limits before.
            self.pending = []
        self.pruning = Pruning([*tree.checkpoints(), *self._unstored])

    def aim(self, trainings: int | None, *, episodes: int | None = None) -> None:
        """Tell a strategy that wants to know it how many trainings there will be, after `trainings` more.

        With a mixed supernet every episode is a training.
        """
        if self._supernet is not None:
            trainings = min((limit for limit in (trainings, episodes) if limit is not None), default=None)
        if trainings is not None and hasattr(self.strategy, "aim"):
            self.strategy.aim(self.training_count + trainings)

    @property
    def best_accuracy(self) -> float | None:
        """The average accuracy of what `best` ranks first."""
        return None if self.leader is None else self.leader.average_accuracy

    def propose(self, num_paths: int) -> Turn:
        """The next turn, which is the last of the pending ones from now on."""
        budget = self.growth.budget(self._config)
        if self._config.budget.prune:
            budget = self.pruning.budget(budget)
        with using(1):
            proposals = self.strategy.propose(
                self.memory,
                num_paths=num_paths,
                depth_bound=self.growth.depth_bound,
                epochs=power_below(self._last_epochs) if self._counts_states and self._last_epochs else budget.epochs,
                pending=[path for turn in self.pending for path in turn.paths],
            )
        turn = Turn(self.proposed_count, proposals, self.growth.depth_bound, budget)
        self.proposed_count += len(proposals)
        self.pending.append(turn)
        return turn

    def shortened(self, turn: Turn, episodes: int) -> Turn:
        """A pending turn; where it has more episodes than that, the first of them, with the rest pending behind it."""
        if len(turn.proposals) <= episodes:
            return turn
        place = self.pending.index(turn)
        self.pending[place : place + 1] = turn.parted(episodes)
        return self.pending[place]

    def learn(self, turn: Turn, trained: Sequence[PathEvaluation]) -> Lesson:
        """Learn from a turn whose paths are trained."""
        evaluations = turn.evaluations(trained)
        self.pending = [other for other in self.pending if other.number != turn.number]
        self._range_before = self.memory.accuracy_range
        with using(1):
            update = self.strategy.observe(self.memory, turn.proposals, self._rewarded(turn, evaluations))
        if turn.depth_bound == self.growth.depth_bound:
            # A path proposed under an earlier bound is no measure of progress at this one.
            results = zip(turn.proposals, evaluations, strict=True)
            bests = (e.highest if p.rewards is None else None for p, e in results)
            self.growth = self.growth.after(bests, self._config)
        reached = [e.checkpoint_accuracy for e in trained if e.checkpoint_accuracy is not None]
        self.pruning.add(reached, turn.budget)
        checkpoints = [*self._unstored, *((turn.budget.epochs, accuracy) for accuracy in reached)]
        return Lesson(turn, evaluations, update, checkpoints)

    def recorded(self, lesson: Lesson, nodes: Sequence[NodeStats], *, tree: ReplayTree) -> None:
        """Take in the nodes as they are in the tree, now that it holds the lesson."""
        self._unstored = []
        self.memory.update([self._seen(node) for node in nodes])
        measured = [e.epochs for e in lesson.episodes if e.evaluation is not None and e.evaluation.highest is not None]
        self._last_epochs = max([self._last_epochs, *measured])
        self.episode_count += len(lesson.turn.proposals)
        self.training_count += len(lesson.turn.paths)
        if lesson.turn.paths:
            # Asked of the tree, so that there is one definition of the best; an index answers, in any tree in 1 ms.
            self.leader = tree.leader()

    def rescored(self, tree: ReplayTree) -> None:
        """Leaders have new scores: the first of them may be another."""
        self.leader = tree.leader()

    def state(self) -> bytes:
        """What a resumed search goes on from; StorageError where it could not, before anything is stored."""
        state = {
            "strategy": self.strategy.state_dict(),
            "growth": asdict(self.growth),
            "proposed_count": self.proposed_count,
            "pending": [turn.to_plain() for turn in self.pending],
            "accuracy_range": list(self._range_before),
            "trained_by": None if self.trained_by is None else list(self.trained_by),
            "of": owner(self._config),
        }
        payload = pack(state)
        if not self._state_proven:
            # Once a run is enough: what a strategy cannot load is a matter of its code.
            require_loads(self._new_strategy(), payload)
            self._state_proven = True
        return payload

    def _new_strategy(self) -> Strategy:
        config = self._config
        strategy = STRATEGIES[config.strategy](self._space, config.strategy_options, seed=config.seed)
        if self._supernet is not None:
            assert isinstance(strategy, DifferentiableStrategy), "only these have a mixed supernet"
            strategy.attach(self._supernet)
        return strategy

    @property
    def ended(self) -> str | None:
        """Why the strategy proposes nothing more, in words; None where it goes on."""
        return self.strategy.ended if isinstance(self.strategy, DifferentiableStrategy) else None

    @property
    def _temperature(self) -> float:
        """That of draws from the tree; where the strategy draws none, it plays no part."""
        value: float = getattr(self._config.strategy_options, "temperature", TEMPERATURE)
        return value

    def _seen(self, node: NodeStats) -> NodeStats:
        """A node as the strategy sees it."""
        return self._reward.of_node(folded(node) if self._counts_states else node)

    def _prior(self, tree: ReplayTree) -> ReplayMemory | None:
        """The nodes copied from another search (config.warm_start), weighed against cost like this search's own."""
        nodes = [self._reward.of_node(node) for node in tree.prior()]
        return ReplayMemory(nodes, temperature=self._temperature) if nodes else None

    def _rewarded(self, turn: Turn, evaluations: Sequence[PathEvaluation]) -> Sequence[PathEvaluation]:
        """The rewards that the strategy learns from. A replayed path has rewards already, from the memory."""
        return [
            self._reward.of_training(p.path, e) if p.rewards is None else e
            for p, e in zip(turn.proposals, evaluations, strict=True)
        ]
