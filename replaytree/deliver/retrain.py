"""Retrain one architecture from scratch, one model a seed, and measure test accuracy if there is a test split."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import Engine

from replaytree.data import Data, ImageData, TextData, load_source
from replaytree.deliver.description import Description
from replaytree.deliver.full_training import EpochDone, FullTraining, differing
from replaytree.deliver.made import AnyDeployed, AnyModel, model_of
from replaytree.deliver.parts import Measured, digest, parts_of, training_images
from replaytree.deliver.subject import Subject
from replaytree.deliver.test_split import is_tested
from replaytree.deliver.weights import read_weights, write_weights
from replaytree.deliver.writing import only_writer, require_folder, require_target
from replaytree.errors import ConfigError, DataError, ModelError, ReplayTreeError
from replaytree.memory import is_out_of_memory
from replaytree.sources.names import as_text
from replaytree.training import Recipe, Threads
from replaytree.tree import ClassResults, list_models, record_model


class TrainingTooLarge(ReplayTreeError):
    """A full training does not fit into memory."""


@dataclass(frozen=True, slots=True)
class Retrained:
    """One trained model. Without a test split `test_accuracy` is None and `validation_accuracy` is on held-out images.
    With a test split `validation_accuracy` is None, because the validation images are trained on, too. Of text both are
    1 / perplexity, and the validation words are never trained on.

    `image_count` is the number of images, or words, measured. `seconds` is 0 for a model that was already finished;
    `measured_anew` says that its images had changed, so its accuracy was measured again. `class_results` is what the
    model took each class for on these images; None of text.
    """

    seed: int
    weights: Path
    description: Description
    seconds: float
    image_count: int
    measured_anew: bool = False
    class_results: ClassResults | None = None

    @property
    def test_accuracy(self) -> float | None:
        """On the test split; None if there is none."""
        return self.description.test_accuracy

    @property
    def validation_accuracy(self) -> float | None:
        """On held-out validation images; None if they were trained on."""
        return self.description.validation_accuracy


class Retraining:
    """One architecture and the parts of its data, read once for the trainings of all seeds."""

    def __init__(
        self, subject: Subject, recipe: Recipe, *, epochs: int, mirror: bool = False, threads: Threads | None = None
    ) -> None:
        require_epochs(epochs)
        if mirror and subject.metric.task == "text":
            raise ConfigError("--mirror is for images, and this is a text, which has no mirror image; leave it out")
        self._subject = subject
        self._recipe = recipe
        self._epochs = epochs
        self._mirror = mirror
        self._threads = threads
        self._parts = parts_of(subject)

    @property
    def image_count(self) -> int:
        """How many images, or words, are measured."""
        return self._parts.count

    def description(self, seed: int) -> Description:
        """The description of a seed's model before it is measured."""
        subject = self._subject
        started = {} if subject.start is None else {"pretrained": subject.start.name}
        limits: dict[str, Any] = dict(subject.limits)
        return Description(
            graph=subject.graph,
            labels=" ".join(subject.labels),
            **self._parts.described,
            mirror=self._mirror,
            seed=seed,
            epochs=self._epochs,
            training={"epochs": self._epochs, **self._recipe.values(), **self._own_transforms, **started},
            data=subject.data_options,
            search=subject.search,
            node_id=subject.node_id,
            **limits,
        )

    @property
    def _own_transforms(self) -> dict[str, str]:
        """What a training with transforms of the user's own says of them, so that no other is taken for it."""
        data = self._parts.data
        text = data.fingerprint.transforms if isinstance(data, ImageData) else None
        return {} if text is None else {"transforms": text}

    def run(
        self,
        seed: int,
        *,
        device: torch.device,
        checkpoint: Path | None = None,
        on_epoch: Callable[[EpochDone], None] | None = None,
    ) -> tuple[AnyDeployed, Measured]:
        """The trained model of a seed, and what it came to."""
        description = self.description(seed)
        with _fitting(description, self._recipe):
            start = self._subject.start
            training = FullTraining(
                description, self._parts.data, self._recipe, device=device, threads=self._threads,
                start=None if start is None else start.tensors,
            )  # fmt: skip
            model = training.run(checkpoint=checkpoint, on_epoch=on_epoch)
            return model, self._parts.measured(model, description, device=device, threads=self._threads)

    def finished(self, file: Path, seed: int, *, device: torch.device) -> Retrained:
        """The model that an earlier call wrote, if this call would train the same one; else ModelError.

        It is measured again if the images, or the words, have changed since.
        """
        try:
            model, found = read_weights(file)
        except ModelError as error:
            raise ModelError(f"{error}, or give --force to train it again") from error
        wanted = self.description(seed)
        if difference := differing(found.identity, wanted.identity):
            raise ModelError(
                f"{file} exists and is of another training: {difference}; give --force to replace it, or choose "
                f"another folder with --out"
            )
        anew = found.measured_on != wanted.measured_on
        # The file holds its accuracies, but not what it took each class for.
        measured = self._parts.measured(model, wanted, device=device, threads=self._threads)
        wanted = measured.description if anew else replace(wanted, plain=found.plain, mirrored=found.mirrored)
        if wanted != found:
            model.mirror = wanted.mirror
            write_weights(file, model, wanted)
        return Retrained(
            seed, file, wanted, 0.0, self.image_count, measured_anew=anew, class_results=measured.class_results
        )


def retrain(
    subject: Subject,
    *,
    recipe: Recipe,
    epochs: int,
    seeds: Sequence[int],
    folder: Path,
    device: torch.device,
    mirror: bool = False,
    force: bool = False,
    on_epoch: Callable[[EpochDone], None] | None = None,
    threads: Threads | None = None,
    engine: Engine | None = None,
) -> Iterator[Retrained]:
    """Train with each seed in turn, and write its weights into `folder`; yields each model when it is done.

    `mirror` changes no weight: the trained model predicts from an image and its mirror image, and its accuracy is
    reported that way.

    An interrupted training continues from its checkpoint, and a finished one is not repeated, if the images and the
    recipe are the same; `force` trains again anyway. Anything that would prevent the writing of a model (a custom
    layer, a full disk, another process) is found before the first epoch.

    `engine` is the search's database: finished models in `folder` are found there after a rename, too.
    """
    if not seeds:
        raise ConfigError("seeds are empty; give at least one")
    require_epochs(epochs)

    def trained() -> Iterator[Retrained]:
        training = Retraining(subject, recipe, epochs=epochs, mirror=mirror, threads=threads)
        training.description(seeds[0]).to_json()
        require_folder(folder)
        for seed in seeds:
            file = _place(subject, folder, seed=seed, epochs=epochs, engine=engine)
            checkpoint = file.with_suffix(".checkpoint")
            for each in (file, checkpoint):
                require_target(each, force=True)
            with only_writer(file):
                if force:
                    checkpoint.unlink(missing_ok=True)
                elif file.exists():
                    result = training.finished(file, seed, device=device)
                    checkpoint.unlink(missing_ok=True)
                    yield result
                    continue
                started = time.monotonic()
                model, measured = training.run(seed, device=device, checkpoint=checkpoint, on_epoch=on_epoch)
                seconds = time.monotonic() - started
                write_weights(file, model, measured.description)
                checkpoint.unlink(missing_ok=True)
            yield Retrained(
                seed, file, measured.description, seconds, training.image_count, class_results=measured.class_results
            )

    return trained()


def require_epochs(epochs: int) -> None:
    """ConfigError for a number of epochs that nothing can be trained with."""
    if not isinstance(epochs, int) or epochs < 1:
        raise ConfigError(f"epochs is {epochs!r}; it must be a whole number of at least 1 (--epochs)")


def _place(subject: Subject, folder: Path, *, seed: int, epochs: int, engine: Engine | None) -> Path:
    """The weights file of a seed in `folder`; a finished one keeps the name that its search had then."""
    file = folder / f"{subject.stem}-{epochs}-epochs-seed{seed}.safetensors"
    is_named = subject.node_id is not None or subject.baseline is not None
    if engine is None or subject.search is None or not is_named or file.exists():
        return file
    wanted = seed, epochs, folder.resolve(), subject.node_id, subject.baseline, subject.labels
    for model in list_models(engine, search=subject.search, node_id=subject.node_id):
        weights = Path(model.weights_path)
        found = model.seed, model.epochs, weights.parent, model.node_id, model.baseline, model.labels
        if found == wanted and weights.exists():
            return folder / weights.name
    return file


def has_test_part(subject: Subject) -> bool:
    """Whether its data have a part that no search has seen; nothing of it is read."""
    return is_tested(subject.data_options, subject.data, data_dir=subject.data_dir)


def training_text(subject: Subject) -> str:
    """What a retraining trains on, and what its accuracy is of, as a sentence."""
    data, tested = subject.data, has_test_part(subject)
    train, validation = data.train_count, data.val_count
    if isinstance(data, TextData):
        measured = (
            "the perplexity is that of the test words, which are looked at once, at the end"
            if tested
            else "there is no test split, so the perplexity is theirs"
        )
        return (
            f"training on {train:,} words; the {validation:,} validation words tell when to begin to average, and "
            f"{measured}"
        )
    if not tested:
        return (
            f"training on {train} images; there is no test split, so the {validation} validation images stay out of "
            f"it, and the accuracy is theirs"
        )
    count = min(train + validation, (subject.data_options or {}).get("train_limit") or train + validation)
    return (
        f"training on {count} images, train and validation together; the accuracy is that of the test images, which "
        f"are looked at once, at the end"
    )


def train_and_load(
    subject: Subject,
    *,
    recipe: Recipe,
    epochs: int,
    seed: int,
    folder: Path | None,
    device: torch.device,
    engine: Engine,
    mirror: bool = False,
    threads: Threads | None = None,
) -> AnyModel:
    """One model, ready to predict: stored as retrain() does, or in memory only where `folder` is None."""
    if folder is None:
        training = Retraining(subject, recipe, epochs=epochs, mirror=mirror, threads=threads)
        model, measured = training.run(seed, device=device)
        return model_of(model, measured.description)
    (done,) = retrain(
        subject, recipe=recipe, epochs=epochs, mirror=mirror, seeds=[seed], folder=folder, device=device,
        threads=threads, engine=engine,
    )  # fmt: skip
    store(done, subject, engine)
    return model_of(*read_weights(done.weights))


def store(result: Retrained, subject: Subject, engine: Engine) -> None:
    """A row of `models` for a trained model."""
    description = result.description
    tested, held_out = result.test_accuracy, result.validation_accuracy
    record_model(
        engine,
        labels=subject.labels,
        seed=result.seed,
        epochs=description.epochs,
        test_accuracy=tested,
        test_image_count=None if tested is None else result.image_count,
        # Of text both parts are measured, and `image_count` is of the test part where there is one.
        validation_accuracy=held_out,
        validation_image_count=result.image_count if tested is None and held_out is not None else None,
        weights_path=str(result.weights.resolve()),
        search=subject.search,
        node_id=subject.node_id,
        baseline=subject.baseline,
        params=description.params,
        flops=description.flops,
        ram_bytes=description.ram_bytes,
        training=terms(description),
        class_results=result.class_results,
    )


def terms(description: Description) -> dict[str, Any]:
    """How a model was trained and measured: the recipe and the images, but not the seed; and what its network is."""
    return {
        **description.training,
        "train_limit": (description.data or {}).get("train_limit"),
        "mirror": description.mirror,
        "normed": description.graph.is_normed,
        "flash_bytes": description.flash_bytes,
        "trained_on": description.trained_on,
        "measured_on": description.measured_on,
    }


def data_again(description: Description, *, data_dir: str | None = None) -> Data:
    """The images or the text that a model was trained on, found again even if moved; DataError for others."""
    assert description.data is not None, "data from memory cannot be read again"
    data = load_source(**{**description.data, "skip_bad": True}, data_dir=data_dir)
    if isinstance(data, TextData):
        trained_on, same = digest(data.train_N, data.val_N), description.metric.task == "text"
    else:
        with_validation = description.test_accuracy is not None
        trained_on = digest(*training_images(data, description.data, with_validation=with_validation))
        same = description.metric.task == "images"
    if not same or description.trained_on not in ("", trained_on):
        raise DataError(
            f"the {description.metric.items} of {as_text(description.data['dataset'])} are not those that the model "
            f"was trained on; say where those are with --data-dir, or train anew with `replaytree retrain`"
        )
    return data


@contextmanager
def _fitting(description: Description, recipe: Recipe) -> Iterator[None]:
    """Turn a lack of memory into one line that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingTooLarge(
            f"the training of {description.labels!r} does not fit into memory with batches of {recipe.batch_size} "
            f"{_of_what(description)}, or give another --device"
        ) from error


def _of_what(description: Description) -> str:
    """What batches are made of, and what to lower."""
    if description.metric.task == "text":
        return f"columns of {len(description.classes):,} words; lower --batch-size, --bptt or --hidden"
    return f"images of {'x'.join(map(str, description.input_shape))}; lower --batch-size or --width"
