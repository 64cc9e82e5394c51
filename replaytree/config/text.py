"""How networks are trained on text, and which options are of images or of text alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from replaytree.config.option import Declared, Options, option
from replaytree.errors import ConfigError
from replaytree.metric import Task


@dataclass(frozen=True, kw_only=True)
class TextOptions(Options):
    """Truncated backpropagation through time, and averaged SGD as in AWD-LSTM (Merity et al., 2018)."""

    bptt: int = option(
        35, "Text: words that a step reads in each of its columns; gradients end there, and the state goes on.",
        "Training", least=1, most=10_000,
    )  # fmt: skip
    text_clip: float | None = option(
        0.25, "Text: the longest gradient; longer ones are shortened to it; or 'none'.", "Training", above=0.0,
        most=1e12, unset_word="none",
    )  # fmt: skip
    text_weight_decay: float = option(1.2e-6, "Text: weight decay.", "Training", least=0.0, most=1e6)
    nonmono: int = option(
        5,
        "Text: weights are averaged from the epoch on that is worse in validation than one more than N epochs before.",
        "Training",
        least=1,
        most=1_000_000,
    )
    embedding_dropout: float = option(0.0, "Text: dropout of whole words.", "Training", least=0.0, below=1.0)
    input_dropout: float = option(0.0, "Text: dropout of what the cell reads.", "Training", least=0.0, below=1.0)
    hidden_dropout: float = option(
        0.0, "Text: dropout of the states that the cell multiplies.", "Training", least=0.0, below=1.0
    )
    output_dropout: float = option(0.0, "Text: dropout of what the decoder reads.", "Training", least=0.0, below=1.0)


# Every option that a task has no use for, with the reason.
_OF_IMAGES: Mapping[str, str] = {
    "image_size": "words have no size",
    "resize": "words have no size",
    "channel_axis": "words have no channels",
    "val_fraction": "valid.txt validates",
    "skip_bad": "no file of a text is left out",
    "momentum": "a text is learned by plain SGD",
    "weight_decay": "that of a text is --text-weight-decay",
    "label_smoothing": "the loss is in nats a word",
    "class_weights": "words are no classes",
    "crop_padding": "words are not shifted",
    "flip": "words are not mirrored",
    "capture": "the steps of a text differ in length",
    "fuse": "cells of texts have no batch norm",
    "supernet_clip": "the longest gradient is --text-clip",
}
_OF_TEXT: Mapping[str, str] = {
    "min_count": "images have no vocabulary",
    **{each.name: "images are not read word by word" for each in fields(TextOptions)},
}


def require_task(task: Task, given: Mapping[str, Any], known: Mapping[str, Declared]) -> None:
    """ConfigError for an option of the other task that is not at its default, and for a `task` that is not this one.

    `given` are the values of all options, `known` their declarations.
    """
    if given["task"] not in (None, task):
        raise ConfigError(f"task is {given['task']}, and the data are {task}; leave out --task")
    for name, why in (_OF_IMAGES if task == "text" else _OF_TEXT).items():
        if given[name] != known[name].default and given[name] is not False:
            other = "images" if task == "text" else "text"
            raise ConfigError(f"{known[name].flag} is for {other}, and the data are {task}: {why}; leave it out")
    if task == "text" and given["reward"] != "accuracy":
        raise ConfigError(
            f"--reward {given['reward']} is for images: a text has no classes to be balanced; leave it out"
        )
