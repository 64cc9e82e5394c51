"""Arrays in files, under the names that Keras, MedMNIST and the unseen-data challenge give them."""

import numpy as np
import pytest
import torch

from replaytree.data import from_arrays, load_data
from replaytree.data.array_files import array_parts, holds_arrays, image_arrays
from replaytree.errors import DataError

rng = np.random.default_rng(0)
TRAIN, VAL, TEST = (rng.integers(0, 256, (count, 3, 8, 10), dtype=np.uint8) for count in (20, 6, 4))
LABELS = {"train": np.arange(20) % 2, "val": np.arange(6) % 2, "test": np.arange(4) % 2}


def stored(folder, names, **more):
    """A .npz with parts under these names: {"x_train": "train images", ...} is written as (part, kind)."""
    images = {"train": TRAIN, "val": VAL, "test": TEST}
    arrays = {name: (images if kind == "images" else LABELS)[part] for name, (part, kind) in names.items()}
    np.savez(folder / "data.npz", **arrays, **more)
    return folder / "data.npz"


def both(scheme, **parts):
    return {
        pattern.format(word): (part, kind)
        for part, word in parts.items()
        for pattern, kind in zip(scheme, ("images", "labels"), strict=True)
    }


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        (("x_{}", "y_{}"), {"train": "train", "test": "test"}),
        (("{}_x", "{}_y"), {"train": "train", "val": "valid", "test": "test"}),
        (("{}_images", "{}_labels"), {"train": "train", "val": "val", "test": "test"}),
    ],
)
def test_known_names(tmp_path, scheme, words):
    file = stored(tmp_path, both(scheme, **words))
    assert array_parts(file) == set(words)
    data = load_data(file)
    assert (data.name, data.image_shape, data.classes, data.flip) == ("data", (3, 8, 10), ("0", "1"), False)
    if "val" in words:
        assert torch.equal(data.train_images, torch.from_numpy(TRAIN))
        assert torch.equal(data.val_images, torch.from_numpy(VAL))
    else:
        assert data.fingerprint == from_arrays(TRAIN, LABELS["train"]).fingerprint
    opening = "data.npz: {} and {} as train, ".format(*(each.format("train") for each in scheme))
    assert data.notes[0].startswith(opening)
    assert data.notes[0].endswith("(not read before a retraining); images of 3 channels, 8 rows, 10 columns")


def test_arrays_without_parts(tmp_path):
    for names in ({"images": ("train", "images"), "labels": ("train", "labels")}, both(("X", "y"), train="")):
        data = load_data(stored(tmp_path, names))
        assert data.fingerprint == from_arrays(TRAIN, LABELS["train"]).fingerprint


def test_npy_files_side_by_side(tmp_path):
    folder = tmp_path / "addnist"
    folder.mkdir()
    for name, array in (("train_x", TRAIN), ("train_y", LABELS["train"]), ("test_x", TEST), ("test_y", LABELS["test"])):
        np.save(folder / f"{name}.npy", array)
    for given in (folder, folder / "train_x.npy"):
        assert holds_arrays(given)
        data = load_data(given)
        assert (data.name, array_parts(given)) == ("addnist", {"train", "test"})
        assert data.fingerprint == from_arrays(TRAIN, LABELS["train"]).fingerprint


def test_a_folder_of_pictures_holds_no_arrays(pets):
    np.save(pets / "train" / "embedding.npy", TRAIN)
    assert not holds_arrays(pets)
    assert not holds_arrays(pets / "missing.npz")


def test_names_of_classes_and_words(tmp_path):
    file = stored(tmp_path, both(("x_{}", "y_{}"), train="train"), classes=np.array(["cat", "dog"]))
    assert load_data(file).classes == ("cat", "dog")
    np.savez(tmp_path / "words.npz", images=TRAIN, labels=np.where(LABELS["train"] == 0, "cat", "dog"))
    assert load_data(tmp_path / "words.npz").fingerprint == load_data(file).fingerprint


def test_the_test_part_is_not_read(tmp_path):
    """Not even where it is no array at all."""
    np.savez(tmp_path / "data.npz", x_train=TRAIN, y_train=LABELS["train"], x_test=np.array([object()]), y_test=[0])
    assert load_data(tmp_path / "data.npz").train_count == 18


def test_the_range_of_train_and_validation_together(tmp_path):
    np.savez(
        tmp_path / "deep.npz", x_train=TRAIN.astype(np.uint16), y_train=LABELS["train"],
        x_val=VAL.astype(np.uint16) * 16, y_val=LABELS["val"],
    )  # fmt: skip
    data = load_data(tmp_path / "deep.npz")
    assert data.ranges == {"integer": (0.0, 4095.0)}
    assert torch.equal(data.val_images, torch.from_numpy(VAL))
    assert torch.equal(data.train_images, torch.from_numpy(TRAIN // 16))
    assert "images of uint16: values from 0 to 4095 become 0 to 255, in all images alike" in data.notes


def test_images_that_are_there_twice_are_told(tmp_path):
    """A copy in validation, and one under another label."""
    train, labels = np.concatenate([TRAIN, TRAIN[:1]]), [*LABELS["train"], 1]
    val, val_labels = np.concatenate([VAL, TRAIN[3:4]]), [*LABELS["val"], 1]
    np.savez(tmp_path / "a.npz", x_train=train, y_train=labels, x_val=val, y_val=val_labels)
    copied, relabelled = load_data(tmp_path / "a.npz").notes[1:]
    assert copied.startswith("1 picture stands in train and in validation, such as image 3 of train and image 6 of val")
    assert relabelled == "1 picture stands under two classes, such as image 0 of train and image 20 of train"


def test_arrays_without_a_pair_are_told(tmp_path):
    file = stored(tmp_path, both(("x_{}", "y_{}"), train="train"), x_test=TEST, weights=np.ones(3), classes=["a", "b"])
    assert load_data(file).notes[1:] == ("not used: weights, x_test",)


def test_size_limit_and_axis(tmp_path):
    file = stored(tmp_path, both(("x_{}", "y_{}"), train="train"))
    data = load_data(file, image_size="4x5", train_limit=6, channel_axis="first", val_fraction=0.2)
    assert (data.image_shape, data.train_count, data.val_count) == ((3, 4, 5), 6, 4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pixels": TRAIN, "y_train": [0]}, "has pixels, y_train, and no images with labels under names known here"),
        ({"x_train": TRAIN, "y_train": LABELS["val"]}, r"data.npz: labels are int64 \(6,\).*one an image"),
        ({"x_train": TRAIN / np.nan, "y_train": LABELS["train"]}, "data.npz: images hold values that are not finite"),
        ({"x_train": TRAIN, "y_train": np.full(20, None)}, "y_train of .* cannot be read .it holds Python objects"),
        ({"x_train": TRAIN[..., 0, 0], "y_train": LABELS["train"]}, r"images are uint8 \(20, 3\); they must be"),
        (
            {"x_train": TRAIN, "y_train": LABELS["train"], "x_val": VAL[:, :, 1:], "y_val": LABELS["val"]},
            "validation images are 3x7x10 .channels x rows x columns., and the training images 3x8x10",
        ),
        (
            {"x_train": TRAIN, "y_train": LABELS["train"], "x_val": VAL, "y_val": LABELS["val"] + 1},
            "labels of the validation images name classes that the training images do not have: 2",
        ),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_data(tmp_path / "data.npz")


def test_files_that_are_no_arrays(tmp_path):
    for name in ("data.npz", "train_x.npy"):
        (tmp_path / name).write_bytes(b"nothing")
        (tmp_path / "train_y.npy").write_bytes(b"nothing")
        with pytest.raises(DataError, match=r"cannot be read .*; save it again with NumPy"):
            load_data(tmp_path / name)
    with pytest.raises(DataError, match=r"the file .*data.npy does not exist; did you mean .*data.npz\?"):
        load_data(tmp_path / "data.npy")
    with pytest.raises(DataError, match=r"missing.npz does not exist; check the path"):
        load_data(tmp_path / "elsewhere" / "missing.npz")
    (tmp_path / "data.txt").write_text("")
    with pytest.raises(DataError, match=r"data.txt is no data set; give the folder .* ends in .npz, .npy, .csv"):
        load_data(tmp_path / "data.txt")


def test_images_of_a_file_alone(tmp_path):
    """Of a data set all parts, by name; else the one array of their form, whatever it is called."""
    images, labels = np.zeros((3, 8, 8), np.uint8), np.zeros(3, int)
    np.savez(tmp_path / "set.npz", x_train=images, y_train=labels, x_test=images[:2], y_test=labels[:2], more=images)
    np.savez(tmp_path / "one.npz", pictures=images, labels=labels)
    np.savez(tmp_path / "two.npz", pictures=images, others=images)
    np.savez(tmp_path / "none.npz", labels=labels)
    np.save(tmp_path / "bare.npy", images)
    found = {
        name: [(place, len(each)) for place, each in image_arrays(tmp_path / name)]
        for name in ("set.npz", "one.npz", "bare.npy")
    }
    assert found == {
        "set.npz": [("set.npz:x_train", 3), ("set.npz:x_test", 2)],
        "one.npz": [("one.npz", 3)],
        "bare.npy": [("bare.npy", 3)],
    }
    several = "has others, pictures, of which several have the form of images; call them images"
    for name, message in (("two.npz", several), ("none.npz", "has labels, of which none has the form of images")):
        with pytest.raises(DataError, match=message):
            list(image_arrays(tmp_path / name))
