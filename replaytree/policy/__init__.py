"""Which path to try next: the controller, returns, replay and the strategies."""

from collections.abc import Callable

from replaytree.config import SearchConfig, StrategyName
from replaytree.policy.controller import Controller
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.random_search import RandomStrategy
from replaytree.policy.replay import ReplayStrategy
from replaytree.policy.strategy import PolicyUpdate, Strategy
from replaytree.records import Space

STRATEGIES: dict[StrategyName, Callable[[Space, SearchConfig], Strategy]] = {
    "replay": ReplayStrategy,
    "random": RandomStrategy,
}

__all__ = [
    "STRATEGIES",
    "Controller",
    "PolicyUpdate",
    "RandomStrategy",
    "ReplayMemory",
    "ReplayStrategy",
    "Strategy",
]
