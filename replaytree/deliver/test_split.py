"""The one door to the test part. Only a retraining opens it: read at first, it is predicted after the last step.

Shapes: N images or words, C channels, H rows, W columns.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from replaytree.data import NAMED, TEXTS, Data, ImageData, TextData, data_folder, find_source, match_channels
from replaytree.data import read_part as read_text_part
from replaytree.data.array_files import array_parts, holds_arrays, read_array_part
from replaytree.data.arrays import ArrayForm
from replaytree.data.folder import read_part
from replaytree.data.images import Labelled
from replaytree.data.layout import layout_of
from replaytree.data.read_named import labelled
from replaytree.data.resize import resized_images
from replaytree.data.table import is_table, read_table_part, table_parts
from replaytree.data.twins import pixel_keys
from replaytree.errors import DataError
from replaytree.sources.named import tree_of
from replaytree.sources.named_texts import holds_text, text_files
from replaytree.sources.names import count_of

_log = logging.getLogger("replaytree")


def has_test_split(dataset: str, *, data_dir: str | None = None) -> bool:
    """Whether there are images that no search has seen: digits has none, files only where they have a part for it.

    Looks at names only.
    """
    if dataset in TEXTS:
        return "test" in text_files(data_folder(data_dir) / dataset, name=dataset)
    if dataset in NAMED:
        return (
            NAMED[dataset].reader is not None
            if tree_of(dataset, data_folder(data_dir)) is None
            else (_test_folder(dataset, data_dir) is not None)
        )
    source = find_source(dataset, data_dir)
    if holds_arrays(source):
        return "test" in array_parts(source)
    if is_table(source):
        return "test" in table_parts(source)
    if holds_text(source):
        return "test" in text_files(source)
    return layout_of(source).test is not None


def is_tested(options: Mapping[str, Any] | None, data: Data, *, data_dir: str | None = None) -> bool:
    """Whether the data of a subject have a test part; `options` are keywords of load_source(), None: from memory."""
    if options is not None:
        return has_test_split(options["dataset"], data_dir=data_dir)
    return isinstance(data, ImageData) and data.test is not None


def read_test_part(
    options: Mapping[str, Any] | None, data: ImageData, *, data_dir: str | None = None
) -> Labelled | None:
    """The test images of a subject; None where there are none."""
    if options is None:
        if data.test is None:
            return None
        test = data.test.unsealed()
        _warn_of_twins(test, data)
        return test
    # Arrays are made to fit only where the search asked for a size: else another size is a mistake.
    size = None if options.get("image_size") is None else data.image_shape[1:]
    form = ArrayForm(options.get("channel_axis"), size, data.resize)
    return read_test(options["dataset"], data, form=form, data_dir=data_dir, skip_bad=options.get("skip_bad", False))


def read_test(
    dataset: str,
    data: ImageData,
    *,
    form: ArrayForm | None = None,
    data_dir: str | None = None,
    skip_bad: bool = False,
) -> Labelled | None:
    """The test images of the data set whose train images are `data`, in the same form; None where there are none.

    Raises DataError where they cannot be read, or have other classes. Logs how many of them were trained on.
    """
    if not has_test_split(dataset, data_dir=data_dir):
        return None
    form = form or ArrayForm(None, data.image_shape[1:], data.resize)
    part = _read(dataset, data, form, data_dir=data_dir, skip_bad=skip_bad)
    if not len(part.labels_N):
        raise DataError(f"the test part of {dataset} holds no images; add some, or remove it")
    test = Labelled(part.classes, match_channels(part.images_NCHW, data.image_shape[0]), part.labels_N)
    if dataset not in NAMED or tree_of(dataset, data_folder(data_dir)) is not None:
        _warn_of_twins(test, data)
    return test


def _read(dataset: str, data: ImageData, form: ArrayForm, *, data_dir: str | None, skip_bad: bool) -> Labelled:
    pictures: dict[str, Any] = {
        "sides": data.image_shape[1:], "resize": data.resize, "skip_bad": skip_bad, "ranges": data.ranges
    }  # fmt: skip
    if dataset not in NAMED:
        source = find_source(dataset, data_dir)
        if holds_arrays(source):
            return read_array_part(source, "test", form=form, data=data)
        if is_table(source):
            return read_table_part(source, "test", data.classes, **pictures)
    folder = _test_folder(dataset, data_dir)
    if folder is None:
        return _read_torchvision(dataset, data_folder(data_dir), data)
    return read_part(folder, data.classes, **pictures)


def read_test_text(dataset: str, data: TextData, *, data_dir: str | None = None) -> Tensor:
    """The test words (N) of the text whose train words are `data`, as their numbers; DataError where there are none."""
    test_N, unknown = data.encoded(read_text_part(dataset, "test", data_dir=data_dir))
    if len(test_N) < 2:
        raise DataError(f"the test text of {dataset} is empty; put words in it, or remove it")
    if unknown:
        verb = "is" if unknown == 1 else "are"
        _log.warning("%s of the test text %s not in the vocabulary: <unk>", count_of(unknown, "word"), verb)
    return test_N


def _test_folder(dataset: str, data_dir: str | None) -> Path | None:
    if dataset in NAMED:
        tree = tree_of(dataset, data_folder(data_dir))
        return None if tree is None else layout_of(tree).test
    return layout_of(find_source(dataset, data_dir)).test


def _warn_of_twins(test: Labelled, data: ImageData) -> None:
    seen = {*pixel_keys(data.train_images), *pixel_keys(data.val_images)}
    if shared := sum(key in seen for key in pixel_keys(test.images_NCHW)):
        _log.warning(
            "%d of %d test images are equal to train or validation images, so the test accuracy is too high",
            shared,
            len(test.labels_N),
        )


def _read_torchvision(name: str, root: Path, data: ImageData) -> Labelled:
    test: dict[str, Any] = {"split": "test"} if name == "svhn" else {"train": False}
    try:
        try:
            dataset = NAMED[name].read(root, download=False, **test)
        except RuntimeError:
            dataset = NAMED[name].read(root, download=True, **test)
    except (OSError, RuntimeError, ValueError, AssertionError, EOFError, IndexError) as error:
        raise DataError(
            f"the test images of {name} under {root} cannot be read ({error}); copy the files again, or say where they "
            f"are with --data-dir"
        ) from error
    _, height, width = data.image_shape
    part = labelled(name, dataset, data.classes)
    return replace(part, images_NCHW=resized_images(part.images_NCHW, (height, width), data.resize))
