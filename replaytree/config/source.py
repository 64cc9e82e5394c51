"""The images or the text that a search trains on."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.config.option import Options, option
from replaytree.metric import Task

__all__ = ["SourceOptions", "Task"]


@dataclass(frozen=True, kw_only=True)
class SourceOptions(Options):
    """Where the data come from, and which part of them is used. `dataset` None: they are given in Python, or none.

    `task` None: the data set's own (data/load_text.py).
    """

    dataset: str | None = option(
        "digits",
        "digits, mnist, fashion-mnist, cifar10, cifar100, svhn, ptb, or a folder with train/<class>/<image> or "
        "train.txt, valid.txt and test.txt.",
        "Data",
        first=True,
        path=True,
    )
    task: Task | None = option(
        None, "images are classified; text is modelled word by word.", "Data", unset="by what the folder holds"
    )
    data_dir: str | None = option(
        None,
        "Folder of the named data sets; missing ones are downloaded to it.",
        "Data",
        metavar="FOLDER",
        unset="the user's cache folder",
        envvar="REPLAYTREE_DATA",
        path=True,
    )
    image_size: int | None = option(
        None, "Resize images to this many pixels square.", "Data", least=1, most=4096, unset="32 for folders"
    )
    train_limit: int | None = option(
        None, "Train on a stratified part of this many images, or on the first words of a text.", "Data", least=1,
        unset="all",
    )  # fmt: skip
    val_fraction: float = option(0.1, "Share of train kept for validation.", "Data", above=0.0, below=1.0)
    skip_bad: bool = option(False, "Leave out images that cannot be read.", "Data")
    min_count: int = option(1, "Text: words that train has fewer times become <unk>.", "Data", least=1, most=10**9)
