"""Neural architecture search that keeps every prefix it trains in a SQL tree."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from replaytree.cpus import wait_passively

if TYPE_CHECKING:
    from replaytree.config import Budget, SearchConfig
    from replaytree.data import ImageData, TextData, from_arrays, load_data, load_text
    from replaytree.deliver import Model
    from replaytree.deliver.load import load
    from replaytree.errors import ReplayTreeError
    from replaytree.records import Decision, Evaluator, NodeStats, Path, PathEvaluation, Proposal, Space
    from replaytree.report import plot_depth, plot_history, plot_layer_effects, plot_pareto, plot_tree
    from replaytree.search.callbacks import Callback, EpisodeEvent, MLflowLog, TensorBoardLog, TrainingEvent
    from replaytree.search.classifier import ReplayTreeClassifier
    from replaytree.search.search import Search
    from replaytree.search.stored import import_search
    from replaytree.search.turns import Progress
    from replaytree.space import (
        Auxiliary,
        ChainPlan,
        Convolution,
        CustomLayer,
        DecisionSpace,
        Graph,
        GraphNode,
        LabelSpace,
        LayerSpace,
        Plan,
        Pooling,
        ResidualBlock,
        chain_space,
        xu24,
    )
    from replaytree.space.catalogue import named_space
    from replaytree.tree import Node, ReplayTree, export_search

# Before torch is loaded.
wait_passively()

# Loaded when first asked for: torch takes two seconds to import, and `replaytree best` needs none of it.
_HOMES = {
    "Auxiliary": "space",
    "Budget": "config",
    "Callback": "search.callbacks",
    "ChainPlan": "space",
    "Convolution": "space",
    "CustomLayer": "space",
    "Decision": "records",
    "DecisionSpace": "space",
    "Graph": "space",
    "GraphNode": "space",
    "EpisodeEvent": "search.callbacks",
    "Evaluator": "records",
    "ImageData": "data",
    "LabelSpace": "space",
    "LayerSpace": "space",
    "MLflowLog": "search.callbacks",
    "Model": "deliver",
    "Node": "tree",
    "NodeStats": "records",
    "Path": "records",
    "Plan": "space",
    "PathEvaluation": "records",
    "Pooling": "space",
    "Progress": "search.turns",
    "Proposal": "records",
    "ReplayTree": "tree",
    "ReplayTreeClassifier": "search.classifier",
    "ReplayTreeError": "errors",
    "ResidualBlock": "space",
    "Search": "search.search",
    "SearchConfig": "config",
    "TextData": "data",
    "Space": "records",
    "TensorBoardLog": "search.callbacks",
    "TrainingEvent": "search.callbacks",
    "chain_space": "space",
    "export_search": "tree",
    "from_arrays": "data",
    "import_search": "search.stored",
    "load": "deliver",
    "load_data": "data",
    "load_text": "data",
    "named_space": "space.catalogue",
    "plot_depth": "report",
    "plot_history": "report",
    "plot_layer_effects": "report",
    "plot_pareto": "report",
    "plot_tree": "report",
    "xu24": "space",
}

__all__ = [
    "Auxiliary",
    "Budget",
    "Callback",
    "ChainPlan",
    "Convolution",
    "CustomLayer",
    "Decision",
    "DecisionSpace",
    "EpisodeEvent",
    "Evaluator",
    "Graph",
    "GraphNode",
    "ImageData",
    "LabelSpace",
    "LayerSpace",
    "MLflowLog",
    "Model",
    "Node",
    "NodeStats",
    "Path",
    "PathEvaluation",
    "Plan",
    "Pooling",
    "Progress",
    "Proposal",
    "ReplayTree",
    "ReplayTreeClassifier",
    "ReplayTreeError",
    "ResidualBlock",
    "Search",
    "SearchConfig",
    "Space",
    "TensorBoardLog",
    "TextData",
    "TrainingEvent",
    "chain_space",
    "export_search",
    "from_arrays",
    "import_search",
    "load",
    "load_data",
    "load_text",
    "named_space",
    "plot_depth",
    "plot_history",
    "plot_layer_effects",
    "plot_pareto",
    "plot_tree",
    "xu24",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'replaytree' has no attribute {name!r}")
    return getattr(import_module(f"replaytree.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
