"""Training: every prefix of a path scored on validation images."""

from replaytree.config import EvaluatorName
from replaytree.evaluate.answer import answer_of, require_evaluator
from replaytree.evaluate.device import available_devices, resolve_device
from replaytree.evaluate.evaluators import JointEvaluator, SeparateEvaluator
from replaytree.evaluate.ray_cluster import RayCluster, RayOptions, connect
from replaytree.evaluate.ray_workers import RayWorkers
from replaytree.evaluate.threads import Threads, using
from replaytree.evaluate.training import Recipe
from replaytree.evaluate.workers import InProcess, Workers

EVALUATORS: dict[EvaluatorName, type[JointEvaluator] | type[SeparateEvaluator]] = {
    "joint": JointEvaluator,
    "separate": SeparateEvaluator,
}

__all__ = [
    "EVALUATORS",
    "InProcess",
    "JointEvaluator",
    "RayCluster",
    "RayOptions",
    "RayWorkers",
    "Recipe",
    "SeparateEvaluator",
    "Threads",
    "Workers",
    "answer_of",
    "available_devices",
    "connect",
    "require_evaluator",
    "resolve_device",
    "using",
]
