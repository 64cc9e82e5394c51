"""The replay tree in SQL: schema, writes, reads, checks."""

from replaytree.tree.check import Problem, Repaired, check, repair
from replaytree.tree.engine import Upgraded, current_revision, head_revision, open_engine, upgrade
from replaytree.tree.models import ModelInfo, list_models, record_model
from replaytree.tree.queries import list_searches, search_names
from replaytree.tree.ranking import rank
from replaytree.tree.records import Episode, EpisodeInfo, Node, SearchInfo
from replaytree.tree.replay_tree import ReplayTree
from replaytree.tree.transfer import Transferred, export_search, import_search

__all__ = [
    "Episode",
    "EpisodeInfo",
    "ModelInfo",
    "Node",
    "Problem",
    "Repaired",
    "ReplayTree",
    "SearchInfo",
    "Transferred",
    "Upgraded",
    "check",
    "current_revision",
    "export_search",
    "head_revision",
    "import_search",
    "list_models",
    "list_searches",
    "open_engine",
    "rank",
    "record_model",
    "repair",
    "search_names",
    "upgrade",
]
