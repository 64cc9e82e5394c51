"""The replay tree in SQL: schema, writes, reads, checks."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replaytree.tree.changes import Measured
    from replaytree.tree.check import Repaired, check, repair
    from replaytree.tree.class_results import ClassFigures, ClassResults, Confusion, list_class_results, together
    from replaytree.tree.digest import tree_digest
    from replaytree.tree.engine import Upgraded, current_revision, head_revision, open_engine, require_writable, upgrade
    from replaytree.tree.evaluator_states import lost_states
    from replaytree.tree.failures import failure_note
    from replaytree.tree.goals import Goal
    from replaytree.tree.manage import delete_search, rename_search
    from replaytree.tree.mean_accuracy import MeanAccuracy
    from replaytree.tree.models import (
        ModelInfo,
        Retraining,
        answer_of,
        is_like,
        list_models,
        record_model,
        retrainings,
    )
    from replaytree.tree.names import require_name, usable_name
    from replaytree.tree.noise import noise_of
    from replaytree.tree.problem import Problem
    from replaytree.tree.ranking import Uncertainty, rank
    from replaytree.tree.records import Episode, EpisodeInfo, Leader, Node, SearchInfo
    from replaytree.tree.replay_tree import ReplayTree
    from replaytree.tree.search_queries import list_searches, search_names
    from replaytree.tree.state_files import StateFile, StateFolder, needs_folder, read_state
    from replaytree.tree.storage_errors import advice, shown
    from replaytree.tree.transfer import Transferred, export_search, import_search

# Loaded when first asked for: `list` needs no checks, and checks take as long to import as SQLAlchemy.
_HOMES = {
    "ClassFigures": "class_results",
    "ClassResults": "class_results",
    "Confusion": "class_results",
    "Episode": "records",
    "EpisodeInfo": "records",
    "Goal": "goals",
    "Leader": "records",
    "MeanAccuracy": "mean_accuracy",
    "Measured": "changes",
    "ModelInfo": "models",
    "Node": "records",
    "Problem": "problem",
    "Repaired": "check",
    "ReplayTree": "replay_tree",
    "Retraining": "models",
    "SearchInfo": "records",
    "StateFile": "state_files",
    "StateFolder": "state_files",
    "Transferred": "transfer",
    "Uncertainty": "ranking",
    "Upgraded": "engine",
    "advice": "storage_errors",
    "answer_of": "models",
    "check": "check",
    "current_revision": "engine",
    "delete_search": "manage",
    "export_search": "transfer",
    "failure_note": "failures",
    "head_revision": "engine",
    "import_search": "transfer",
    "is_like": "models",
    "list_class_results": "class_results",
    "list_models": "models",
    "list_searches": "search_queries",
    "lost_states": "evaluator_states",
    "needs_folder": "state_files",
    "noise_of": "noise",
    "open_engine": "engine",
    "rank": "ranking",
    "read_state": "state_files",
    "record_model": "models",
    "rename_search": "manage",
    "repair": "check",
    "require_name": "names",
    "require_writable": "engine",
    "retrainings": "models",
    "search_names": "search_queries",
    "shown": "storage_errors",
    "together": "class_results",
    "tree_digest": "digest",
    "upgrade": "engine",
    "usable_name": "names",
}

__all__ = [
    "ClassFigures",
    "ClassResults",
    "Confusion",
    "Episode",
    "EpisodeInfo",
    "Goal",
    "Leader",
    "MeanAccuracy",
    "Measured",
    "ModelInfo",
    "Node",
    "Problem",
    "Repaired",
    "ReplayTree",
    "Retraining",
    "SearchInfo",
    "StateFile",
    "StateFolder",
    "Transferred",
    "Uncertainty",
    "Upgraded",
    "advice",
    "answer_of",
    "check",
    "current_revision",
    "delete_search",
    "export_search",
    "failure_note",
    "head_revision",
    "import_search",
    "is_like",
    "list_class_results",
    "list_models",
    "list_searches",
    "lost_states",
    "needs_folder",
    "noise_of",
    "open_engine",
    "rank",
    "read_state",
    "record_model",
    "rename_search",
    "repair",
    "require_name",
    "require_writable",
    "retrainings",
    "search_names",
    "shown",
    "together",
    "tree_digest",
    "upgrade",
    "usable_name",
]


class _Package(ModuleType):
    """A package in which a name that is listed stays what is listed, also where a module is called so: check."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'replaytree.tree' has no attribute {name!r}")
    return getattr(import_module(f"replaytree.tree.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
