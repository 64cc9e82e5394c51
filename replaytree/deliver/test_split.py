"""The one door to the test images. Only a retraining opens it, once, after its last step.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from replaytree.data import NAMED, ImageData, data_folder, match_channels, read_images
from replaytree.data.images import Labelled
from replaytree.data.named import tree_of
from replaytree.errors import DataError


def has_test_split(dataset: str, *, data_dir: str | None = None) -> bool:
    """Whether there are images that no search has seen: digits has none, a folder only where it has test/.

    Looks at names only.
    """
    if dataset in NAMED:
        tree = tree_of(dataset, data_folder(data_dir))
        return NAMED[dataset].reader is not None if tree is None else (tree / "test").is_dir()
    return (Path(dataset).expanduser() / "test").is_dir()


def read_test(dataset: str, data: ImageData, *, data_dir: str | None = None, skip_bad: bool = False) -> Labelled | None:
    """The test images of the data set whose train images are `data`, in the same form; None where there are none.

    Raises DataError where they cannot be read, or have other classes.
    """
    if not has_test_split(dataset, data_dir=data_dir):
        return None
    root = data_folder(data_dir)
    if dataset not in NAMED:
        part = _read_folder(Path(dataset).expanduser() / "test", data, skip_bad=skip_bad)
    elif tree := tree_of(dataset, root):
        part = _read_folder(tree / "test", data, skip_bad=skip_bad)
    else:
        part = _read_torchvision(dataset, root, data)
    if not len(part.labels_N):
        raise DataError(f"the test part of {dataset} holds no images; add some, or remove its folder")
    return Labelled(part.classes, match_channels(part.images_NCHW, data.image_shape[0]), part.labels_N)


def _read_folder(root: Path, data: ImageData, *, skip_bad: bool) -> Labelled:
    classes = tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if classes != data.classes:
        differing = ", ".join(sorted(set(classes) ^ set(data.classes))[:10])
        raise DataError(f"{root} has other classes than the train images: {differing}; give both the same sub-folders")
    numbers = {name: number for number, name in enumerate(classes)}
    found = make_dataset(str(root), numbers, extensions=IMG_EXTENSIONS, allow_empty=True)
    samples = [(path, label) for path, label in found if not Path(path).name.startswith(".")]
    decoded = read_images([path for path, _ in samples], image_size=data.image_shape[-1])
    if decoded.bad and not skip_bad:
        names = ", ".join(samples[position][0] for position in decoded.bad[:10])
        raise DataError(
            f"{len(decoded.bad)} of {len(samples)} test images cannot be read: {names}; repair or remove them, or "
            f"leave them out with --skip-bad"
        )
    good_N = np.ones(len(samples), dtype=bool)
    good_N[list(decoded.bad)] = False
    labels_N = np.array([label for _, label in samples], dtype=np.int64)[good_N]
    return Labelled(classes, torch.from_numpy(decoded.images_NCHW[good_N]), torch.from_numpy(labels_N))


def _read_torchvision(name: str, root: Path, data: ImageData) -> Labelled:
    test: dict[str, Any] = {"split": "test"} if name == "svhn" else {"train": False}
    try:
        try:
            dataset = NAMED[name].reader(str(root), **test, download=False)
        except RuntimeError:
            dataset = NAMED[name].reader(str(root), **test, download=True)
    except (OSError, RuntimeError, ValueError, AssertionError, EOFError, IndexError) as error:
        raise DataError(
            f"the test images of {name} under {root} cannot be read ({error}); copy the files anew, or say where they "
            f"are with --data-dir"
        ) from error
    images = torch.as_tensor(dataset.data)
    labels = dataset.labels if name == "svhn" else dataset.targets
    if images.ndim == 3:
        images_NCHW = images[:, None]
    else:
        images_NCHW = images if images.shape[1] == 3 else images.permute(0, 3, 1, 2)
    images_NCHW = _resized(images_NCHW.contiguous(), data.image_shape[1:])
    return Labelled(data.classes, images_NCHW, torch.as_tensor(np.asarray(labels), dtype=torch.int64))


def _resized(images_NCHW: Tensor, sides: tuple[int, int]) -> Tensor:
    if images_NCHW.shape[2:] == sides:
        return images_NCHW
    parts = torch.split(images_NCHW, 4096)
    return torch.cat([functional.interpolate(part, sides, mode="bilinear", antialias=True) for part in parts])
