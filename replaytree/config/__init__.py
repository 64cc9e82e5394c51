"""The configuration of a search, the budget of a training, and the choice of the database."""

from replaytree.config.growth import Budget, Growth, Pruning
from replaytree.config.option import Declared, by_flag, number, whole_number
from replaytree.config.recipe import EvaluatorName
from replaytree.config.removed import REMOVED, Removed, refuse, removed_flag, removed_notes, without_unused
from replaytree.config.search import SearchConfig, option_name, parse_flag
from replaytree.config.storage import DEFAULT_STORAGE, command, file_url, storage_url, without_password
from replaytree.config.strategies import (
    DIFFERENTIABLE_STRATEGIES,
    SCORED_STRATEGIES,
    STRATEGY_NAMES,
    STRATEGY_OPTIONS,
    WARM_STRATEGIES,
)

__all__ = [
    "DEFAULT_STORAGE",
    "DIFFERENTIABLE_STRATEGIES",
    "REMOVED",
    "SCORED_STRATEGIES",
    "STRATEGY_NAMES",
    "STRATEGY_OPTIONS",
    "WARM_STRATEGIES",
    "Budget",
    "Declared",
    "EvaluatorName",
    "Growth",
    "Pruning",
    "Removed",
    "SearchConfig",
    "by_flag",
    "command",
    "file_url",
    "number",
    "option_name",
    "parse_flag",
    "refuse",
    "removed_flag",
    "removed_notes",
    "storage_url",
    "whole_number",
    "without_password",
    "without_unused",
]
