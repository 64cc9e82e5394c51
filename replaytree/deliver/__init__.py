"""From a node to a model that people use: retrain, test accuracy, export, predict."""

from replaytree.deliver.description import Description
from replaytree.deliver.full_training import EpochDone, TrainingDiverged
from replaytree.deliver.recipe import FullRecipe
from replaytree.deliver.retrain import Retrained, mean_and_deviation, retrain
from replaytree.deliver.subject import Subject, node_subject, path_subject

__all__ = [
    "Description",
    "EpochDone",
    "FullRecipe",
    "Retrained",
    "Subject",
    "TrainingDiverged",
    "mean_and_deviation",
    "node_subject",
    "path_subject",
    "retrain",
]
