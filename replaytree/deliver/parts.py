"""What a retraining trains on and measures with: images or text, read once for the trainings of all seeds.

Shapes: N images or words, C channels, H rows, W columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from replaytree.data import Data, ImageData, TextData, stratified_subset
from replaytree.data.images import Labelled
from replaytree.deliver.class_truth import class_results
from replaytree.deliver.deployed import Deployed, accuracy, both_logits
from replaytree.deliver.deployed_text import DeployedText, text_likelihood
from replaytree.deliver.description import Accuracies, Description
from replaytree.deliver.made import AnyDeployed
from replaytree.deliver.subject import Subject
from replaytree.deliver.test_split import is_tested, read_test_part, read_test_text
from replaytree.records import Part
from replaytree.training import Threads
from replaytree.tree import ClassResults


@dataclass(frozen=True, slots=True)
class Measured:
    """A description with its accuracies, and what the model took each class for; of text None."""

    description: Description
    class_results: ClassResults | None = None


class Parts(Protocol):
    """`data` are trained on, `described` are fields of the description, `count` images or words are measured."""

    data: Data
    described: Mapping[str, Any]
    count: int

    def measured(
        self, model: AnyDeployed, description: Description, *, device: torch.device, threads: Threads | None
    ) -> Measured:
        """What the model came to. The model is moved to the CPU."""
        ...


def parts_of(subject: Subject) -> Parts:
    """The parts of a subject's data."""
    return ImageParts(subject) if isinstance(subject.data, ImageData) else TextParts(subject, subject.data)


class ImageParts:
    """With a test split, training uses train and validation images together. The test images are read before the first
    step, so that a bad one is named at once, but predicted only after the last step. Without one (digits, folders
    without test/, images from memory without any) the validation images are held out, and their accuracy is reported.
    """

    def __init__(self, subject: Subject) -> None:
        data = subject.data
        assert isinstance(data, ImageData), "these are parts of images"
        self._test = read_test_part(subject.data_options, data, data_dir=subject.data_dir)
        self._measured = self._test or Labelled(data.classes, data.val_images, data.val_labels)
        images_NCHW, labels_N = training_images(data, subject.data_options, with_validation=self._test is not None)
        # Without validation images: they are trained on, or held out.
        self.data: Data = replace(
            data,
            train_images=images_NCHW,
            train_labels=labels_N,
            val_images=data.val_images[:0],
            val_labels=data.val_labels[:0],
        )
        self.described: Mapping[str, Any] = {
            "classes": data.classes,
            "mean": data.mean,
            "std": data.std,
            "ranges": dict(data.ranges),
            "resize": data.resize,
            "trained_on": digest(images_NCHW, labels_N),
            "measured_on": digest(self._measured.images_NCHW, self._measured.labels_N),
        }
        self.count = len(self._measured.labels_N)

    def measured(
        self, model: AnyDeployed, description: Description, *, device: torch.device, threads: Threads | None
    ) -> Measured:
        """With the accuracies without and with the mirror image; classes as the description says."""
        assert isinstance(model, Deployed), "a model of images"
        measured = self._measured
        logits = both_logits(model.to(device), measured.images_NCHW, threads=threads)
        model.cpu()
        part: Part = "validation" if self._test is None else "test"
        plain, mirrored = (Accuracies(**{part: accuracy(each_NK, measured.labels_N)}) for each_NK in logits)
        results = class_results(logits[description.mirror], measured, part=part)
        return Measured(replace(description, plain=plain, mirrored=mirrored), results)


class TextParts:
    """The train words are trained on. The validation words tell when to begin to average, so they are never trained on.

    Both they and the test words, where there are any, are measured after the last step.
    """

    def __init__(self, subject: Subject, data: TextData) -> None:
        self.data: Data = data
        self._validation_N = data.val_N
        self._test_N = None
        options = subject.data_options
        if options is not None and is_tested(options, data, data_dir=subject.data_dir):
            self._test_N = read_test_text(options["dataset"], data, data_dir=subject.data_dir)
        measured_N = self._validation_N if self._test_N is None else self._test_N
        self.described: Mapping[str, Any] = {
            "classes": data.words,
            "trained_on": digest(data.train_N, data.val_N),
            "measured_on": digest(measured_N),
        }
        # Of the first word nothing is predicted.
        self.count = len(measured_N) - 1

    def measured(
        self, model: AnyDeployed, description: Description, *, device: torch.device, threads: Threads | None
    ) -> Measured:
        """With 1 / perplexity on both parts."""
        assert isinstance(model, DeployedText), "a model of text"
        found = {
            name: None
            if words_N is None
            else text_likelihood(model.network.to(device), words_N, threads=threads, flops=description.flops)
            for name, words_N in (("test", self._test_N), ("validation", self._validation_N))
        }
        model.cpu()
        return Measured(replace(description, plain=Accuracies(**found)))


def training_images(
    data: ImageData, options: Mapping[str, Any] | None, *, with_validation: bool
) -> tuple[Tensor, Tensor]:
    """What is trained on, where the validation images are held out or not; `options` as in Subject.data_options."""
    if not with_validation:
        return data.train_images, data.train_labels
    images_NCHW = torch.cat([data.train_images, data.val_images])
    labels_N = torch.cat([data.train_labels, data.val_labels])
    limit = None if options is None else options.get("train_limit")
    if limit is not None:
        index_N = stratified_subset(labels_N, limit, seed=0)
        images_NCHW, labels_N = images_NCHW[index_N], labels_N[index_N]
    return images_NCHW, labels_N


def digest(*tensors: Tensor) -> str:
    """SHA-256 over the form and the bytes of tensors."""
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.contiguous().cpu().numpy().data.cast("B"))
    return total.hexdigest()
