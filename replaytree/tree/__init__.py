"""The replay tree in SQL: schema, writes, reads, checks."""

from replaytree.tree.calibrations import Calibration
from replaytree.tree.changes import Measured
from replaytree.tree.check import Repaired, check, repair
from replaytree.tree.depth_bias import Bias, Pair, Point, estimate, most_telling_depth
from replaytree.tree.engine import Upgraded, current_revision, head_revision, open_engine, require_writable, upgrade
from replaytree.tree.goals import Goal
from replaytree.tree.manage import delete_search, rename_search
from replaytree.tree.models import ModelInfo, list_models, record_model
from replaytree.tree.names import require_name, usable_name
from replaytree.tree.noise import noise_of
from replaytree.tree.problem import Problem
from replaytree.tree.queries import list_searches, search_names
from replaytree.tree.ranking import Uncertainty, rank, wilson
from replaytree.tree.records import Episode, EpisodeInfo, Node, SearchInfo, SeparateTraining
from replaytree.tree.replay_tree import ReplayTree
from replaytree.tree.storage_errors import shown
from replaytree.tree.transfer import Transferred, export_search, import_search

__all__ = [
    "Bias",
    "Calibration",
    "Episode",
    "EpisodeInfo",
    "Goal",
    "Measured",
    "ModelInfo",
    "Node",
    "Pair",
    "Point",
    "Problem",
    "Repaired",
    "ReplayTree",
    "SearchInfo",
    "SeparateTraining",
    "Transferred",
    "Uncertainty",
    "Upgraded",
    "check",
    "current_revision",
    "delete_search",
    "estimate",
    "export_search",
    "head_revision",
    "import_search",
    "list_models",
    "list_searches",
    "most_telling_depth",
    "noise_of",
    "open_engine",
    "rank",
    "record_model",
    "rename_search",
    "repair",
    "require_name",
    "require_writable",
    "search_names",
    "shown",
    "upgrade",
    "usable_name",
    "wilson",
]
