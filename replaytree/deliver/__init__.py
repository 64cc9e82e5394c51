"""From a node to a usable model: retrain, measure test accuracy, export, predict."""

from replaytree.deliver.description import Description
from replaytree.deliver.export import EXPORT_FORMATS, ExportFormat, export, format_of
from replaytree.deliver.full_training import EpochDone, TrainingDiverged
from replaytree.deliver.int8 import Int8Options
from replaytree.deliver.latency import measure_latencies
from replaytree.deliver.load import load
from replaytree.deliver.made import AnyModel
from replaytree.deliver.model import Model
from replaytree.deliver.pareto import fastest, pareto_nodes, within_latency
from replaytree.deliver.picture_inputs import PictureInputs, picture_inputs
from replaytree.deliver.pictures import Prediction, Predictions, find_pictures, predict_pictures
from replaytree.deliver.retrain import (
    Retrained,
    TrainingTooLarge,
    data_again,
    retrain,
    store,
    train_and_load,
    training_text,
)
from replaytree.deliver.subject import Subject, node_subject, path_subject, search_subject
from replaytree.deliver.text_model import NextWords, TextModel, TextPerplexity, read_text_file
from replaytree.deliver.verification import Verification

__all__ = [
    "EXPORT_FORMATS",
    "AnyModel",
    "Description",
    "EpochDone",
    "ExportFormat",
    "Int8Options",
    "Model",
    "NextWords",
    "PictureInputs",
    "Prediction",
    "Predictions",
    "Retrained",
    "Subject",
    "TextModel",
    "TextPerplexity",
    "TrainingDiverged",
    "TrainingTooLarge",
    "Verification",
    "data_again",
    "export",
    "fastest",
    "find_pictures",
    "format_of",
    "load",
    "measure_latencies",
    "node_subject",
    "pareto_nodes",
    "path_subject",
    "picture_inputs",
    "predict_pictures",
    "read_text_file",
    "retrain",
    "search_subject",
    "store",
    "train_and_load",
    "training_text",
    "within_latency",
]
