"""The images or the text that a search trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from replaytree.config.image_size import WANTED, ImageSize, image_size
from replaytree.config.option import Form, Options, option
from replaytree.metric import Task

__all__ = ["ChannelAxis", "Resize", "SourceOptions", "Task"]

Resize = Literal["squash", "pad", "crop"]
"""How an image of another shape becomes one of the size asked for (data/resize.py)."""

ChannelAxis = Literal["first", "last"]
"""Where an array of images has its channels: (N, C, H, W) or (N, H, W, C)."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions(Options):
    """Where the data come from, and which part of them is used. `dataset` None: they are given in Python, or none.

    `task` None: the data set's own (data/load_text.py).
    """

    dataset: str | None = option(
        "digits",
        "digits, mnist, fashion-mnist, cifar10, cifar100, svhn, ptb; a folder with train/<class>/<image> or "
        "train.txt, valid.txt and test.txt; arrays, data.npz or train_x.npy; or a table of file and label, labels.csv.",
        "Data",
        first=True,
        path=True,
    )
    task: Task | None = option(
        None, "images are classified; text is modelled word by word.", "Data", unset="by what the folder holds"
    )
    data_dir: str | None = option(
        None,
        "Folder of the named data sets; missing ones are downloaded to it. Or where pictures of one's own were "
        "moved to.",
        "Data",
        metavar="FOLDER",
        unset="the user's cache folder",
        envvar="REPLAYTREE_DATA",
        path=True,
    )
    image_size: ImageSize | None = option(
        None, "Resize images to this many pixels square, or to rows x columns, as in 24x64.", "Data",
        metavar="N|HxW", unset="32 for pictures in files",
        form=Form(read=image_size, wanted=WANTED, types=("int", "str", "tuple[int, int]")),
    )  # fmt: skip
    resize: Resize = option(
        "squash",
        "How pictures of another shape get that size: squash stretches them, pad adds black, crop cuts to the middle.",
        "Data",
    )
    channel_axis: ChannelAxis | None = option(
        None, "Where the arrays of a .npz or .npy file have their channels.", "Data", unset="as their shape tells"
    )
    train_limit: int | None = option(
        None, "Train on a stratified part of this many images, or on the first words of a text.", "Data", least=1,
        unset="all",
    )  # fmt: skip
    val_fraction: float = option(0.1, "Share of train kept for validation.", "Data", above=0.0, below=1.0)
    skip_bad: bool = option(False, "Leave out images that cannot be read.", "Data")
    min_count: int = option(1, "Text: words that train has fewer times become <unk>.", "Data", least=1, most=10**9)
