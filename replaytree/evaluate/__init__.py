"""Training: every prefix of a path scored on validation images."""

from replaytree.config import EvaluatorName
from replaytree.evaluate.alone import SeparateEvaluator, WholeEvaluator
from replaytree.evaluate.answer import answer_of, require_evaluator, rescores_of, rescoring, stateful
from replaytree.evaluate.differentiable import DifferentiableEvaluator
from replaytree.evaluate.evaluators import JointEvaluator
from replaytree.evaluate.inherited import InheritedEvaluator
from replaytree.evaluate.ray_cluster import RayCluster, RayOptions, connect
from replaytree.evaluate.ray_workers import RayWorkers
from replaytree.evaluate.shared import SharedEvaluator
from replaytree.evaluate.workers import InProcess, Workers

EVALUATORS: dict[EvaluatorName, type[JointEvaluator] | type[SeparateEvaluator] | type[WholeEvaluator]] = {
    "joint": JointEvaluator,
    "separate": SeparateEvaluator,
    "whole": WholeEvaluator,
}

__all__ = [
    "EVALUATORS",
    "DifferentiableEvaluator",
    "InProcess",
    "InheritedEvaluator",
    "JointEvaluator",
    "RayCluster",
    "RayOptions",
    "RayWorkers",
    "SeparateEvaluator",
    "SharedEvaluator",
    "WholeEvaluator",
    "Workers",
    "answer_of",
    "connect",
    "require_evaluator",
    "rescores_of",
    "rescoring",
    "stateful",
]
