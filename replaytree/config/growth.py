"""The budget of a training, and how depth and budget grow during a search."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, replace

from replaytree.config.search import SearchConfig

# A bar computed from fewer paths would stop good paths as often as bad ones.
LEAST_SEEN = 8


@dataclass(frozen=True, slots=True)
class Budget:
    """The epochs of one training, and the point where it may end early.

    After `checkpoint` epochs, a path whose prefixes are all less accurate than `bar` is stopped. Without a
    checkpoint or a bar no path is stopped early.
    """

    epochs: int
    checkpoint: int | None = None
    bar: float | None = None


@dataclass(frozen=True, slots=True)
class Growth:
    """The growth of a search: the depth bound, and what was measured at this bound.

    `best_accuracy` is the best accuracy of a training at this bound, `stale` the trainings since it improved. The
    budget is at least `least_epochs`: raising the limit on layers does not lower the budget already reached.

    A training measures all prefixes of its path, so the sooner the bound rises, the more a training measures. Raising
    the bound with every episode is best, or close to it, for all strategies. Waiting for a lack of improvement costs
    `guided` most, because it improves a little with nearly every training (reports/benchmarks/strategies.md).
    """

    depth_bound: int
    trainings: int = 0
    episodes: int = 0
    best_accuracy: float | None = None
    stale: int = 0
    least_epochs: int = 0

    @classmethod
    def start(cls, config: SearchConfig) -> Growth:
        """The first state: the bound is min_layers."""
        return cls(depth_bound=config.space.min_layers)

    def after(self, accuracies: Iterable[float | None], config: SearchConfig) -> Growth:
        """The state after a batch of episodes.

        `accuracies` has one entry an episode: the best accuracy on its path, or None if nothing was trained. The
        bound rises by `grow_by` when `grow_every` episodes have passed at it, or, if that is None ("auto"), when
        `grow_patience` trainings in a row have not improved on the best of this bound. It stops at max_layers.
        """
        state = self
        for accuracy in accuracies:
            state = replace(state, episodes=state.episodes + 1)
            if accuracy is not None:
                better = state.best_accuracy is None or accuracy > state.best_accuracy
                state = replace(
                    state,
                    trainings=state.trainings + 1,
                    best_accuracy=accuracy if better else state.best_accuracy,
                    stale=0 if better else state.stale + 1,
                )
            due = (
                state.stale >= config.growth.grow_patience
                if config.growth.grow_every is None
                else state.episodes >= config.growth.grow_every
            )
            if due and state.depth_bound < config.space.max_layers:
                bound = min(state.depth_bound + config.growth.grow_by, config.space.max_layers)
                state = Growth(depth_bound=bound, least_epochs=state.least_epochs)
        return state

    def budget(self, config: SearchConfig) -> Budget:
        """Epochs: linear in the bound, from epochs_first at min_layers to epochs_last half-way to max_layers, rounded.

        Half-way, because rankings compare equal budgets: the deeper half of the search should share one.
        """
        half = (config.space.max_layers - config.space.min_layers) / 2
        share = min(1.0, (self.depth_bound - config.space.min_layers) / half) if half else 1.0
        epochs = round(config.budget.epochs_first + share * (config.budget.epochs_last - config.budget.epochs_first))
        return Budget(epochs=max(epochs, self.least_epochs))

    def raised_from(self, config: SearchConfig) -> Growth:
        """The state after the limits of `config` were raised: the budget grows more slowly, but it does not fall."""
        return replace(self, least_epochs=self.budget(config).epochs)


class Pruning:
    """Stops paths that fall behind half-way: successive halving over paths (Jamieson and Talwalkar, 2016).

    `reached` holds (epochs of the budget, accuracy) for each path that came to its checkpoint: the best of its prefixes
    there. A path is stopped if all of its prefixes are below the median of these at the same budget. The database
    keeps them, not the strategy's state, which is written again with every training.

    It costs no measurable accuracy and saves a little time; more if a strategy proposes worse paths
    (reports/benchmarks/strategies.md).
    """

    def __init__(self, reached: Iterable[tuple[int, float]] = ()) -> None:
        self._reached: dict[int, list[float]] = {}
        for epochs, accuracy in reached:
            self._reached.setdefault(epochs, []).append(accuracy)
        for accuracies in self._reached.values():
            accuracies.sort()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pruning) and self._reached == other._reached

    __hash__ = None  # type: ignore[assignment]

    def budget(self, budget: Budget) -> Budget:
        """The budget with its checkpoint, half-way, and its bar, once LEAST_SEEN paths have been there."""
        checkpoint = budget.epochs // 2
        if not checkpoint:
            return budget
        earlier = self._reached.get(budget.epochs, [])
        bar = earlier[len(earlier) // 2] if len(earlier) >= LEAST_SEEN else None
        return replace(budget, checkpoint=checkpoint, bar=bar)

    def add(self, accuracies: Iterable[float], budget: Budget) -> None:
        """Add the best accuracies that trainings of a budget reached at its checkpoint."""
        for accuracy in accuracies:
            insort(self._reached.setdefault(budget.epochs, []), accuracy)
