import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import replaytree
from replaytree.data import from_arrays, load_data
from replaytree.deliver.test_split import has_test_split, is_tested, read_test, read_test_part
from replaytree.errors import DataError

PACKAGE = Path(replaytree.__file__).parent
DOOR = PACKAGE / "deliver" / "test_split.py"


def test_nothing_else_reads_test_images():
    """Names a test split is opened by, in code; prose and the names of folders that are refused do not count."""
    opens = re.compile(r'train=False|"train": False|"split": "test"|split="test"|t10k-images|/ "test"|test_32x32')
    found = [file for file in PACKAGE.rglob("*.py") if opens.search(file.read_text())]
    assert found == [DOOR]


def test_only_a_retraining_opens_the_door():
    users = {
        file for file in PACKAGE.rglob("*.py") if re.search(r"import.*test_split|test_split import", file.read_text())
    }
    # What is read of a retraining, and what is said of it; and data sets that are made of others, for no search.
    assert users == {PACKAGE / "deliver" / name for name in ("parts.py", "retrain.py", "challenge_files.py")}
    # The test words are a part of a text like the others, which nothing else asks for.
    texts = {file for file in PACKAGE.rglob("*.py") if re.search(r"read_\w*part\([^)]*\"test\"", file.read_text())}
    assert texts == {PACKAGE / "deliver" / "test_split.py"}


def test_digits_have_none(digits):
    assert not has_test_split("digits")
    assert read_test("digits", digits) is None


def test_a_folder_with_test(pictures):
    data = load_data(pictures, image_size=8)
    test = read_test(str(pictures), data)
    assert test.classes == ("blue", "red")
    assert test.images_NCHW.shape == (10, 3, 8, 8)
    assert test.labels_N.tolist() == [0] * 5 + [1] * 5
    blue = test.images_NCHW[:5].float().mean(dim=(0, 2, 3))
    assert blue[2] > blue[0]


def test_grey_test_images_of_a_colour_set(pictures):
    for file in (pictures / "test").rglob("*.png"):
        Image.open(file).convert("L").save(file)
    assert read_test(str(pictures), load_data(pictures, image_size=8)).images_NCHW.shape == (10, 3, 8, 8)


def test_test_images_are_resized_like_the_others(pictures):
    """9 rows and 11 columns become 7 and 8, below a row of black (which a squash has not)."""
    test = read_test(str(pictures), load_data(pictures, image_size=8, resize="pad"))
    assert int(test.images_NCHW[:, :, 0].max()) == 0
    assert int(test.images_NCHW[:, :, 1:].amax(dim=(0, 1)).min()) > 0


def test_a_folder_without_test(tmp_path, pictures):
    (pictures / "test").rename(tmp_path / "elsewhere")
    assert not has_test_split(str(pictures))


def test_other_classes_and_bad_images(pictures):
    data = load_data(pictures, image_size=8)
    (pictures / "test/red/broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1 of 11 images in .*test cannot be read.*broken\.png.*--skip-bad"):
        read_test(str(pictures), data)
    assert len(read_test(str(pictures), data, skip_bad=True).labels_N) == 10
    (pictures / "test/green").mkdir()
    with pytest.raises(DataError, match="other classes than the train images: it alone has green"):
        read_test(str(pictures), data)


def test_a_test_part_in_a_file_of_arrays(tmp_path):
    images = np.arange(8 * 8 * 8, dtype=np.uint16).reshape(8, 8, 8) * 8
    labels = np.arange(8) % 2
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images[:3] + 1, y_test=[1, 1, 0])
    data = load_data(tmp_path / "a.npz", image_size=4, val_fraction=0.3)
    assert has_test_split(str(tmp_path / "a.npz"))
    test = read_test(str(tmp_path / "a.npz"), data)
    assert test.labels_N.tolist() == [1, 1, 0]
    assert test.images_NCHW.shape == (3, 1, 4, 4)
    # 511 * 8 is 4088, so 12 bits: of 4096 values 16 become one.
    assert int(test.images_NCHW.max()) <= 191 * 8 // 16
    np.savez(tmp_path / "b.npz", x_train=images, y_train=labels)
    assert not has_test_split(str(tmp_path / "b.npz"))
    np.savez(tmp_path / "c.npz", x_train=images, y_train=labels, x_test=images[:3] * 100, y_test=[1, 1, 0])
    with pytest.raises(
        DataError, match=r"c.npz: the array of test images holds values from .*, and the training images"
    ):
        read_test(str(tmp_path / "c.npz"), load_data(tmp_path / "c.npz", val_fraction=0.3))


def test_a_test_part_of_another_shape_is_made_to_fit_only_where_a_size_was_asked(tmp_path):
    images, labels = np.arange(8 * 64, dtype=np.uint16).reshape(8, 8, 8) % 251, np.arange(8) % 2
    options = {"dataset": str(tmp_path / "a.npz"), "val_fraction": 0.3}
    for test, found in ((images[:3, 1:], "1x7x8"), (np.stack([images[:3]] * 3, axis=3), "3x8x8")):
        np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=test, y_test=[1, 1, 0])
        with pytest.raises(DataError, match=rf"a.npz: test images are {found} .*, and the training images 1x8x8; give"):
            read_test_part(options, load_data(**options))
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images[:3, 1:] // 2, y_test=[1, 1, 0])
    sized = {**options, "image_size": 8}
    assert read_test_part(sized, load_data(**sized)).images_NCHW.shape == (3, 1, 8, 8)


def test_numbers_for_words_of_digits_in_a_file_are_names(tmp_path):
    images, test = np.arange(8 * 64, dtype=np.uint8).reshape(8, 8, 8), np.zeros((4, 8, 8), np.uint8)
    parts = {"x_train": images, "x_test": test, "y_test": [1, 2, 1, 2]}
    options = {"dataset": str(tmp_path / "a.npz"), "val_fraction": 0.4}
    np.savez(tmp_path / "a.npz", y_train=["1", "2", "3", "1", "2", "3", "1", "2"], **parts)
    assert read_test_part(options, load_data(**options)).labels_N.tolist() == [0, 1, 0, 1]
    np.savez(tmp_path / "a.npz", y_train=[0, 1, 2, 0, 1, 2, 0, 1], classes=["1", "2", "3"], **parts)
    assert read_test_part(options, load_data(**options)).labels_N.tolist() == [1, 2, 1, 2]


def test_the_test_rows_of_a_table(pictures):
    rows = [f"{part}/{name}/{number}.png,{name},{part}" for part in ("train", "test") for name in ("red", "blue")
            for number in range(5)]  # fmt: skip
    file = pictures / "labels.csv"
    file.write_text("\n".join(["file,label,split", *rows]))
    data = load_data(file, image_size=8)
    test = read_test(str(file), data)
    assert test.labels_N.tolist() == [1] * 5 + [0] * 5
    of_folder = read_test(str(pictures), load_data(pictures, image_size=8))
    assert test.images_NCHW[5:].tolist() == of_folder.images_NCHW[:5].tolist()
    file.write_text("\n".join(["file,label", *(row.rpartition(",")[0] for row in rows)]))
    assert not has_test_split(str(file))


def test_nothing_else_opens_test_images_in_memory():
    users = {file for file in PACKAGE.rglob("*.py") if ".unsealed(" in file.read_text()}
    assert users == {DOOR}


def test_test_images_in_memory(digits, caplog):
    images = digits.val_images[:, 0].numpy()
    data = from_arrays(images, digits.val_labels, test=(images[:5] // 2, digits.val_labels[:5]))
    assert is_tested(None, data)
    assert read_test_part(None, data).images_NCHW.tolist() == (digits.val_images[:5] // 2).tolist()
    assert not caplog.records
    read_test_part(None, from_arrays(images, digits.val_labels, test=(images[:3], digits.val_labels[:3])))
    assert caplog.messages[0].startswith("3 of 3 test images are equal to train or validation images")
    assert not is_tested(None, digits)
    assert read_test_part(None, digits) is None


def idx(magic, array):
    header = b"".join(int(n).to_bytes(4, "big") for n in (magic, *array.shape))
    return header + array.astype(np.uint8).tobytes()


def test_mnist_files(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 40), ("t10k", 10)):
        images = np.full((count, 4, 4), 1 if part == "train" else 9)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(2051, images))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(2049, np.arange(count) % 10))
    data = load_data("mnist", data_dir=tmp_path)
    assert int(data.train_images.max()) == int(data.val_images.max()) == 1
    test = read_test("mnist", data, data_dir=str(tmp_path))
    assert test.images_NCHW.unique().tolist() == [9]
    assert test.labels_N.tolist() == list(range(10))
    resized = read_test("mnist", load_data("mnist", data_dir=tmp_path, image_size=6), data_dir=str(tmp_path))
    assert resized.images_NCHW.shape == (10, 1, 6, 6)
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"short")
    with pytest.raises(DataError, match="test images of mnist"):
        read_test("mnist", data, data_dir=str(tmp_path))
