"""Training: every prefix of a path scored on validation images."""

from replaytree.config import EvaluatorName
from replaytree.evaluate.device import available_devices, resolve_device
from replaytree.evaluate.evaluators import JointEvaluator, SeparateEvaluator
from replaytree.evaluate.training import Recipe

EVALUATORS: dict[EvaluatorName, type[JointEvaluator] | type[SeparateEvaluator]] = {
    "joint": JointEvaluator,
    "separate": SeparateEvaluator,
}

__all__ = ["EVALUATORS", "JointEvaluator", "Recipe", "SeparateEvaluator", "available_devices", "resolve_device"]
