"""load_data(): from the name of a data set, or the path of a folder, to ImageData; and whatever a search was made of.


Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any, get_args

import torch

from replaytree.config.image_size import sides
from replaytree.config.source import ChannelAxis, Resize
from replaytree.data.array_files import holds_arrays, read_arrays
from replaytree.data.arrays import ArrayForm
from replaytree.data.folder import DEFAULT_SIDES, read_folder
from replaytree.data.images import ImageData, Labelled, SourceImages, Transforms
from replaytree.data.load_text import load_text
from replaytree.data.read_named import read_named
from replaytree.data.resize import SQUASH, resized_images
from replaytree.data.split import stratified_split, stratified_subset
from replaytree.data.table import is_table, read_table
from replaytree.data.text import TextData
from replaytree.data.transforms import with_transforms
from replaytree.errors import DataError
from replaytree.metric import Task
from replaytree.sources.named import NAMED, data_folder, tree_of
from replaytree.sources.named_texts import TEXTS
from replaytree.sources.names import as_text, some
from replaytree.sources.place import find_source, source_name
from replaytree.sources.task import task_of

Data = ImageData | TextData
"""What a search is made on."""


def load_data(
    dataset: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | str | tuple[int, int] | None = None,
    resize: Resize = SQUASH,
    channel_axis: ChannelAxis | None = None,
    val_fraction: float = 0.1,
    train_limit: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> ImageData:
    """The train and validation images of a named data set, a folder or a file; the test split is never read.

    A name in NAMED is looked up first, then a folder (write ./digits for a folder called digits) or a file. `data_dir`
    is the folder of the named data sets, or where a folder was moved to. Validation is a stratified `val_fraction` of
    the train split, or the data set's own validation part. `train_limit` then keeps a stratified part of train. Images
    are resized to `image_size`, a square or (rows, columns), in the way that `resize` says; None leaves them as they
    are, and makes those of folders 32x32 pixels. `channel_axis`, 'first' or 'last', says where arrays in a file have
    their channels. Raises DataError, which says what to do.
    """
    size = None if image_size is None else sides(image_size)
    if resize not in get_args(Resize):
        raise DataError(f"resize is {resize!r}; it must be one of {', '.join(get_args(Resize))} (--resize)")
    if not isinstance(dataset, str | os.PathLike):
        raise DataError(
            f"dataset is a {type(dataset).__name__}; it must be a name ({', '.join(NAMED)}) or the path of a folder; "
            f"images in memory go through replaytree.from_arrays(images, labels)"
        )
    name = os.fspath(dataset)
    if name in TEXTS:
        raise DataError(f"{name} is a text, and load_data() reads images; take load_text({name!r})")
    known = NAMED.get(name)
    source = _read(name, data_dir, ArrayForm(channel_axis, size, resize), skip_bad=skip_bad)
    whole, val = source.train, source.val
    if val is None:
        train_indices, val_indices = stratified_split(whole.labels_N, val_fraction, seed=seed)
        train, val = _part(whole, train_indices), _part(whole, val_indices)
    else:
        train = whole
    if train_limit is not None:
        train = _part(train, stratified_subset(train.labels_N, train_limit, seed=seed))
    side = min(train.images_NCHW.shape[2:])
    data = ImageData.from_parts(
        name if known else source_name(name, data_dir),
        train=train,
        val=val,
        crop_padding=round(known.crop_padding * side / known.side) if known else side // 8,
        flip=known.flip if known else False,
        skipped=source.skipped,
    )
    return replace(data, ranges=source.ranges, notes=source.notes, resize=resize)


def load_source(
    dataset: str | os.PathLike[str],
    *,
    task: Task | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    train_limit: int | None = None,
    min_count: int = 1,
    **of_images: Any,
) -> Data:
    """The images or the text that a search is of; keywords of load_data() that a text has no use for are left out."""
    if task_of(dataset, data_dir=data_dir, task=task) == "text":
        return load_text(dataset, data_dir=data_dir, min_count=min_count, train_limit=train_limit)
    return load_data(dataset, data_dir=data_dir, train_limit=train_limit, **of_images)


def load_again(
    whose: str,
    fingerprint: str | None,
    *,
    flip: bool | None = None,
    data_dir: str | None = None,
    transforms: Transforms | None = None,
    **options: Any,
) -> Data:
    """The data of an earlier search, from its keywords of load_source(); `data_dir` says where they were moved to.

    `fingerprint` is the search's, as JSON. Unreadable files are left out: either they were left out then, too, or the
    images have changed, which raises a DataError that says what differs. `flip` is what the search stored. A search of
    a folder that stored nothing is older than the present default and mirrored its images. `transforms` of the user's
    own are given again, as no file holds them.
    """
    data = load_source(**{**options, "skip_bad": True}, data_dir=data_dir)
    if transforms is not None and isinstance(data, ImageData):
        data = with_transforms(data, transforms)
    require_transforms(whose, fingerprint, data)
    found = json.loads(data.fingerprint.to_json())
    before = json.loads(fingerprint or "{}") or found
    if changed := next((key for key in sorted(found, key="sha256".__eq__) if before.get(key) != found[key]), None):
        images = isinstance(data, ImageData)
        skipped = data.skipped if isinstance(data, ImageData) else ()
        bad = f"; {some(skipped, 3)} cannot be read" if skipped and not options.get("skip_bad") else ""
        raise DataError(
            f"the {'images' if images else 'words'} of {as_text(options['dataset'])} are not those of {whose}: "
            f"{changed} was {before.get(changed)}, is {found[changed]}{bad}; put them back, or say where those are "
            f"with --data-dir"
        )
    if isinstance(data, TextData):
        return data
    if flip is None:
        flip = data.flip or options["dataset"] not in NAMED
    return replace(data, flip=flip)


def require_transforms(whose: str, fingerprint: str | None, data: Data) -> None:
    """DataError where data are not trained on with the transforms of a stored fingerprint."""
    before = json.loads(fingerprint or "{}").get("transforms")
    now = data.fingerprint.transforms if isinstance(data, ImageData) else None
    if before == now:
        return
    if now is None:
        raise DataError(
            f"{whose} trains with transforms of your own, {before:.200}, which no file holds; go on with it in Python, "
            f"and give them again: replaytree.Search.resume(..., transforms=...), and .best_model() to retrain"
        )
    was = "none" if before is None else f"{before:.200}"
    raise DataError(f"the transforms of {whose} were {was}, and those given are {now:.200}; give the same")


def _read(name: str, data_dir: str | os.PathLike[str] | None, form: ArrayForm, *, skip_bad: bool) -> SourceImages:
    known, size, resize = NAMED.get(name), form.size, form.resize
    if known is None:
        path = find_source(name, data_dir)
        if holds_arrays(path):
            return read_arrays(path, form)
        if is_table(path):
            return read_table(path, sides=size or DEFAULT_SIDES, resize=resize, skip_bad=skip_bad)
        return read_folder(path, sides=size or DEFAULT_SIDES, resize=resize, skip_bad=skip_bad)
    root = data_folder(data_dir)
    if tree := tree_of(name, root):
        return read_folder(tree, sides=size or (known.side, known.side), resize=resize, skip_bad=skip_bad)
    whole = read_named(name, root)
    if size is not None:
        whole = replace(whole, images_NCHW=resized_images(whole.images_NCHW, size, resize))
    return SourceImages(whole, val=None)


def _part(whole: Labelled, indices: torch.Tensor) -> Labelled:
    return Labelled(whole.classes, whole.images_NCHW[indices], whole.labels_N[indices])
