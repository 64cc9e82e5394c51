"""Which path to try next: the controller, returns, replay and the strategies."""

from collections.abc import Callable
from importlib import import_module

from replaytree.config import STRATEGY_OPTIONS
from replaytree.policy.controller import Controller
from replaytree.policy.evolution import EvolutionStrategy
from replaytree.policy.guided import GuidedStrategy
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.puct import PuctStrategy
from replaytree.policy.random_search import RandomStrategy
from replaytree.policy.replay import ReplayStrategy
from replaytree.policy.strategy import PolicyUpdate, Strategy


def _maker(place: str) -> Callable[..., Strategy]:
    module, _, name = place.rpartition(".")
    maker: Callable[..., Strategy] = getattr(import_module(f"{__name__}.{module}"), name)
    return maker


# Each is called with the space, its own options and the seed.
STRATEGIES: dict[str, Callable[..., Strategy]] = {
    name: _maker(options.made_by) for name, options in STRATEGY_OPTIONS.items()
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
