"""Spaces: which layers there are, where each is legal, and what each costs. Networks import torch when built."""

from replaytree.space.chain_plan import ChainPlan, chain_space
from replaytree.space.checked import CheckedSpace, checked
from replaytree.space.constraints import ConstrainedSpace
from replaytree.space.decision_space import DecisionSpace
from replaytree.space.graph import Auxiliary, Graph, GraphNode, chain
from replaytree.space.graph_space import GraphSpace
from replaytree.space.label_space import LabelSpace
from replaytree.space.layer_space import LayerSpace
from replaytree.space.layers import (
    Classifier,
    Concatenation,
    Convolution,
    CustomLayer,
    Layer,
    Pooling,
    ResidualBlock,
)
from replaytree.space.plan import Plan
from replaytree.space.soft_reward import SoftReward, soft_reward
from replaytree.space.trie import TrieCost, batches_of_paths, prefixes, trie_cost
from replaytree.space.xu24 import xu24

__all__ = [
    "Auxiliary",
    "ChainPlan",
    "CheckedSpace",
    "Classifier",
    "Concatenation",
    "ConstrainedSpace",
    "Convolution",
    "CustomLayer",
    "DecisionSpace",
    "Graph",
    "GraphNode",
    "GraphSpace",
    "LabelSpace",
    "Layer",
    "LayerSpace",
    "Plan",
    "Pooling",
    "ResidualBlock",
    "SoftReward",
    "TrieCost",
    "batches_of_paths",
    "chain",
    "chain_space",
    "checked",
    "prefixes",
    "soft_reward",
    "trie_cost",
    "xu24",
]
