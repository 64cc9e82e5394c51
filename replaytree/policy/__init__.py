"""Which path to try next: the controller, returns, replay and the strategies."""

from collections.abc import Callable

from replaytree.config import SearchConfig, StrategyName
from replaytree.policy.controller import Controller
from replaytree.policy.evolution import EvolutionStrategy
from replaytree.policy.guided import GuidedStrategy
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.puct import PuctStrategy
from replaytree.policy.random_search import RandomStrategy
from replaytree.policy.replay import ReplayStrategy, reinforce
from replaytree.policy.strategy import PolicyUpdate, Strategy
from replaytree.records import Space

STRATEGIES: dict[StrategyName, Callable[[Space, SearchConfig], Strategy]] = {
    "replay": ReplayStrategy,
    "random": RandomStrategy,
    "evolution": EvolutionStrategy,
    "reinforce": reinforce,
    "puct": PuctStrategy,
    "guided": GuidedStrategy,
}

__all__ = [
    "STRATEGIES",
    "Controller",
    "EvolutionStrategy",
    "GuidedStrategy",
    "PolicyUpdate",
    "PuctStrategy",
    "RandomStrategy",
    "ReplayMemory",
    "ReplayStrategy",
    "Strategy",
]
