"""Training: every prefix of a path scored on validation images."""

from replaytree.config import EvaluatorName
from replaytree.evaluate.alone import SeparateEvaluator, WholeEvaluator
from replaytree.evaluate.answer import answer_of, require_evaluator, rescores_of, rescoring, stateful
from replaytree.evaluate.concurrent import Concurrent
from replaytree.evaluate.differentiable import DifferentiableEvaluator
from replaytree.evaluate.evaluators import JointEvaluator
from replaytree.evaluate.inherited import InheritedEvaluator
from replaytree.evaluate.parcel import given
from replaytree.evaluate.pool import WorkerPool
from replaytree.evaluate.process_crew import ProcessCrew
from replaytree.evaluate.ray_cluster import RayCluster, connect
from replaytree.evaluate.ray_crew import RayCrew
from replaytree.evaluate.shared import SharedEvaluator
from replaytree.evaluate.worker_options import WorkerOptions
from replaytree.evaluate.workers import InProcess, Workers

EVALUATORS: dict[EvaluatorName, type[JointEvaluator] | type[SeparateEvaluator] | type[WholeEvaluator]] = {
    "joint": JointEvaluator,
    "separate": SeparateEvaluator,
    "whole": WholeEvaluator,
}

__all__ = [
    "EVALUATORS",
    "Concurrent",
    "DifferentiableEvaluator",
    "InProcess",
    "InheritedEvaluator",
    "JointEvaluator",
    "ProcessCrew",
    "RayCluster",
    "RayCrew",
    "SeparateEvaluator",
    "SharedEvaluator",
    "WholeEvaluator",
    "WorkerOptions",
    "WorkerPool",
    "Workers",
    "answer_of",
    "connect",
    "given",
    "require_evaluator",
    "rescores_of",
    "rescoring",
    "stateful",
]
