"""Retraining: one architecture from scratch, a model a seed, and the test accuracy where there is a test split."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sqlalchemy import Engine
from torch import Tensor

from replaytree.data import stratified_subset
from replaytree.deliver.deployed import Deployed
from replaytree.deliver.description import Description
from replaytree.deliver.full_training import EpochDone, FullTraining
from replaytree.deliver.model import Model
from replaytree.deliver.recipe import FullRecipe
from replaytree.deliver.subject import Subject
from replaytree.deliver.test_split import has_test_split, read_test
from replaytree.deliver.weights import read_weights, write_weights
from replaytree.errors import ConfigError, ModelError
from replaytree.tree import record_model


@dataclass(frozen=True, slots=True)
class Retrained:
    """One trained model. Without a test split `test_accuracy` is None and `validation_accuracy` is that of held-out
    images; with one it is the other way round, because validation images are trained on, too.

    `seconds` is 0 for a model that was found finished.
    """

    seed: int
    weights: Path
    description: Description
    seconds: float

    @property
    def test_accuracy(self) -> float | None:
        """On the test split; None where there is none."""
        return self.description.test_accuracy

    @property
    def validation_accuracy(self) -> float | None:
        """On held-out validation images; None where they were trained on."""
        return self.description.validation_accuracy


def retrain(
    subject: Subject,
    *,
    recipe: FullRecipe,
    seeds: Sequence[int],
    folder: Path,
    device: torch.device,
    force: bool = False,
    on_epoch: Callable[[EpochDone], None] | None = None,
) -> Iterator[Retrained]:
    """Train with each seed in turn, and write its weights into `folder`; yields each model when it is done.

    With a test split the images are train and validation together, and test is read after the last step. Without one
    (digits, folders without test/, images from memory) validation stays out of the training and is what is reported.
    An interrupted training goes on from its checkpoint, a finished one is not repeated, unless `force`.
    """
    if not seeds:
        raise ConfigError("seeds are empty; give at least one")
    for seed in seeds:
        file = folder / f"{subject.stem}-{recipe.epochs}-epochs-seed{seed}.safetensors"
        checkpoint = file.with_suffix(".checkpoint")
        if force:
            checkpoint.unlink(missing_ok=True)
        elif file.exists():
            yield _finished(file, subject, recipe)
            continue
        started = time.monotonic()
        model, description = train_model(
            subject,
            recipe=recipe,
            seed=seed,
            device=device,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
        )
        seconds = time.monotonic() - started
        write_weights(file, model, description)
        checkpoint.unlink(missing_ok=True)
        yield Retrained(seed, file, description, seconds)


def train_and_load(
    subject: Subject,
    *,
    recipe: FullRecipe,
    seed: int,
    folder: Path | None,
    device: torch.device,
    engine: Engine,
) -> Model:
    """One model, ready to predict: stored as retrain() does, or in memory only where `folder` is None."""
    if folder is None:
        return Model.of(*train_model(subject, recipe=recipe, seed=seed, device=device))
    (done,) = retrain(subject, recipe=recipe, seeds=[seed], folder=folder, device=device)
    store(done, subject, engine)
    return Model.of(*read_weights(done.weights))


def store(result: Retrained, subject: Subject, engine: Engine) -> None:
    """A row of `models` for a trained model."""
    record_model(
        engine,
        labels=subject.labels,
        seed=result.seed,
        epochs=result.description.epochs,
        test_accuracy=result.test_accuracy,
        weights_path=str(result.weights.resolve()),
        search=subject.search,
        node_id=subject.node_id,
    )


def train_model(
    subject: Subject,
    *,
    recipe: FullRecipe,
    seed: int,
    device: torch.device,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochDone], None] | None = None,
) -> tuple[Deployed, Description]:
    """One model in memory and its description, with the accuracy that can be measured; see retrain()."""
    has_test = _has_test(subject)
    images_NCHW, labels_N = _training_images(subject, with_validation=has_test)
    training = FullTraining(
        _describe(subject, recipe, seed), images_NCHW, labels_N, recipe=recipe, seed=seed, device=device
    )
    model = training.run(checkpoint=checkpoint, on_epoch=on_epoch)
    accuracies = _accuracies(training, subject, has_test=has_test)
    return model, _describe(subject, recipe, seed, **accuracies)


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None for the deviation of fewer than two."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _has_test(subject: Subject) -> bool:
    options = subject.data_options
    return options is not None and has_test_split(options["dataset"], data_dir=subject.data_dir)


def _training_images(subject: Subject, *, with_validation: bool) -> tuple[Tensor, Tensor]:
    data = subject.data
    if not with_validation:
        return data.train_images, data.train_labels
    images_NCHW = torch.cat([data.train_images, data.val_images])
    labels_N = torch.cat([data.train_labels, data.val_labels])
    limit = None if subject.data_options is None else subject.data_options.get("train_limit")
    if limit is not None:
        index_N = stratified_subset(labels_N, limit, seed=0)
        images_NCHW, labels_N = images_NCHW[index_N], labels_N[index_N]
    return images_NCHW, labels_N


def _accuracies(training: FullTraining, subject: Subject, *, has_test: bool) -> dict[str, float | None]:
    data = subject.data
    if has_test and subject.data_options is not None:
        options = subject.data_options
        test = read_test(options["dataset"], data, data_dir=subject.data_dir, skip_bad=options.get("skip_bad", False))
        if test is not None:
            return {"test_accuracy": training.accuracy(test.images_NCHW, test.labels_N)}
    return {"validation_accuracy": training.accuracy(data.val_images, data.val_labels)}


def _describe(subject: Subject, recipe: FullRecipe, seed: int, **accuracies: float | None) -> Description:
    data = subject.data
    return Description(
        layers=subject.layers,
        input_shape=data.image_shape,
        classes=data.classes,
        mean=data.mean,
        std=data.std,
        test_time_flip=recipe.flip,
        seed=seed,
        epochs=recipe.epochs,
        training=recipe.values(),
        data=subject.data_options,
        ranges=dict(data.ranges),
        search=subject.search,
        node_id=subject.node_id,
        **accuracies,
    )


def _finished(file: Path, subject: Subject, recipe: FullRecipe) -> Retrained:
    """The model that an earlier call wrote, if this call would train the same one."""
    _, description = read_weights(file)
    wanted = _describe(subject, recipe, description.seed)
    for name in ("layers", "training", "data", "input_shape", "classes"):
        found, here = getattr(description, name), getattr(wanted, name)
        if found != here:
            raise ModelError(
                f"{file} exists and is of another training: its {name} {_differ(found, here)}; give --force to "
                f"replace it, or choose another folder with --out"
            )
    return Retrained(description.seed, file, description, 0.0)


def _differ(found: object, here: object) -> str:
    if isinstance(found, dict) and isinstance(here, dict):
        name = next(key for key in {**here, **found} if found.get(key) != here.get(key))
        return f"{name} is {found.get(name)!r}, here {here.get(name)!r}"
    return f"are {found!r}, here {here!r}"
