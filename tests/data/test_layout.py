import os

import pytest

from replaytree.data.folder import read_folder
from replaytree.data.layout import layout_of, part_of
from replaytree.errors import DataError


@pytest.fixture
def make(tmp_path, write_images):
    """make("d", "train/cat", "test/cat") writes one picture into each of these folders of d, and returns d."""

    def folders(name, *paths):
        for path in paths:
            write_images(f"{name}/{path}", 1)
        return tmp_path / name

    return folders


def parts(layout, folder):
    return tuple(
        None if root is None else os.path.relpath(root, folder) for root in (layout.train, layout.val, layout.test)
    )


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"), ("Train", "train"), ("TRAINING", "train"), ("training_set", "train"), ("train1", "train"),
        ("train_images", "train"), ("TrainSet", "train"), ("trainset", "train"), ("train2017", "train"),
        ("Training Data", "train"), ("train_val", "train"), ("trainval", "train"), ("01-train", "train"),
        ("val", "val"), ("valid", "val"), ("Validation", "val"), ("val2017", "val"), ("dev", "val"), ("dev_set", "val"),
        ("validation-images", "val"), ("Val", "val"), ("test", "test"), ("Test", "test"), ("test_set", "test"),
        ("testing", "test"), ("test1", "test"), ("TestImages", "test"), ("evaluation", "test"), ("test_data", "test"),
        ("trains", None), ("training shoes", None), ("valley", None), ("testudo", None), ("development", None),
        ("contest", None), ("validity", None), ("devil", None), ("test tube", None), ("seg_train", None),
        ("train-test-split", None), ("cat", None), ("", None), ("7", None), ("тест", None),
    ],
)  # fmt: skip
def test_names_of_parts(name, part):
    assert part_of(name) == part


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("training_set", None, "test_set"),
        ("seg_train", None, "seg_test"),
        ("train1", None, "test1"),
        ("train_images", "val_images", "test_images"),
        ("Train", "Validation", "Test"),
        ("training", "validation", "evaluation"),
        ("asl_alphabet_train", None, "asl_alphabet_test"),
        ("train2017", "val2017", None),
        ("train", "dev", None),
        ("train", "valid", None),
        ("train", None, None),
    ],
)
def test_parts_by_their_stems(make, train, val, test):
    names = [name for name in (train, val, test) if name]
    folder = make("d", *(f"{name}/{label}" for name in names for label in ("a", "b")))
    layout = layout_of(folder)
    assert parts(layout, folder) == (train, val, test)
    assert layout.classes == ("a", "b")


def test_parts_within_a_folder_of_their_own_name(make):
    folder = make("d", *(f"seg_{p}/seg_{p}/{label}" for p in ("train", "test") for label in ("a", "b")))
    assert parts(layout_of(folder), folder) == ("seg_train/seg_train", None, "seg_test/seg_test")


def test_a_data_set_within_a_folder_of_its_own_name(make):
    folder = make("d", "d/train/a", "d/train/b", "d/test/a", "d/test/b")
    assert parts(layout_of(folder), folder) == ("d/train", None, "d/test")


@pytest.mark.parametrize(
    "classes",
    [
        ("boots", "training shoes", "test shoes"),
        ("alley", "testudo", "trains", "valley"),
        ("business", "development"),
        ("bus", "car", "train"),
        ("train station", "test tube"),
    ],
)
def test_classes_that_sound_like_parts(make, classes):
    folder = make("d", *classes)
    layout = layout_of(folder)
    assert (layout.train, layout.classes) == (folder, tuple(sorted(classes)))
    assert layout.test is layout.val is None
    if "train" in classes:
        assert layout.notes == ("train is taken for a class, because it holds pictures as the others do",)


def test_within_train_every_name_is_a_class(make):
    folder = make("d", "train/train", "train/test", "train/bus")
    assert layout_of(folder).classes == ("bus", "test", "train")


def test_a_test_part_beside_the_classes(make):
    folder = make("d", "cat", "dog", "test/cat", "test/dog")
    layout = layout_of(folder)
    assert (layout.classes, parts(layout, folder)) == (("cat", "dog"), (".", None, "test"))


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("train/a", "training/a"), "train, training in .* could each be the train part; rename"),
        (("train/a", "Train/a"), "could each be the train part"),
        (("train/a", "val/a", "validation/a"), "val, validation in .* could each be the val part"),
        (("cat", "dog", "test"), "has test but no train with class folders in it.*if test is a class"),
        (("test/a", "test/b"), "has test but no train"),
        (("test/a", "val/b"), "has test, val but no train"),
        (("train", "test"), "has test, train but no train with class folders in it"),
        (("bus", "car", "train/steam", "train/diesel"), "may be a part of the data set, or a class beside bus, car"),
        (("cat/train", "cat/test", "dog/train"), r"cat has test, train inside.*as in train/cat"),
        (("seg_train/a", "seg_train/b", "seg_pred"), r"seg_train sounds like a part .* holds folders \(a, b\); give"),
        (("images/train/a", "images/val/a", "labels/train/a"), r"images has train, val inside.*--dataset .*images"),
    ],
)
def test_what_can_be_read_in_two_ways(make, paths, message):
    with pytest.raises(DataError, match=message):
        layout_of(make("d", *paths))


@pytest.mark.parametrize(
    "names", [("fold1", "fold2"), ("tr", "te"), ("mytrain", "mytest"), ("Xtrain", "Xtest"), ("обучение", "тест")]
)
def test_parts_by_other_names_are_not_trained_on_as_classes(make, names):
    folder = make("d", *(f"{name}/{label}" for name in names for label in ("a", "b")))
    with pytest.raises(
        DataError, match=r"hold a, b: if they are parts .* train, val and test; .*put them into .*/d/train"
    ):
        layout_of(folder)
    nested = make("e", *(f"train/{name}/{label}" for name in names for label in ("a", "b")))
    assert layout_of(nested).classes == tuple(sorted(names))


def test_classes_with_one_folder_each_or_pictures_beside_are_classes(make):
    assert layout_of(make("d", "cat/images", "dog/images")).classes == ("cat", "dog")
    assert layout_of(make("e", "cat", "cat/a", "cat/b", "dog", "dog/a", "dog/b")).classes == ("cat", "dog")


@pytest.mark.parametrize("inner", ["data", "Data/images", "a/b/c", "archive"])
def test_parts_deep_inside_are_found(make, inner):
    folder = make("d", *(f"{inner}/{part}/{label}" for part in ("train", "test") for label in ("a", "b")))
    assert parts(layout_of(folder), folder / inner) == ("train", None, "test")


def test_classes_in_a_folder_whose_name_says_nothing(make):
    folder = make("d", "images/cat", "images/dog")
    assert (layout_of(folder).train, layout_of(folder).classes) == (folder / "images", ("cat", "dog"))
    assert layout_of(make("e", "cat/old", "cat/new")).classes == ("cat",)


def test_one_folder_with_a_link_back_ends(make):
    folder = make("d", "a/b")
    for file in (folder / "a" / "b").iterdir():
        file.unlink()
    (folder / "a" / "b" / "c").symlink_to(folder)
    assert layout_of(folder).classes == ("a",)


def test_parts_that_are_one_folder(make):
    folder = make("d", "train/a", "train/b")
    (folder / "test").symlink_to(folder / "train")
    with pytest.raises(DataError, match="are links to one folder"):
        layout_of(folder)


def test_what_is_beside_the_parts_is_counted(make, write_images):
    folder = make("d", "train/a", "train/b", "val/a", "val/b")
    write_images("d/seg_pred", 3)
    write_images("d/test", 2)
    write_images("d", 1)
    write_images("d/train", 1)
    (folder / "val" / "a" / "notes.txt").write_text("a note")
    found = read_folder(folder, sides=(2, 2), skip_bad=False)
    assert found.notes[:2] == (
        "d: train as train, val as validation; left out: 3 pictures in seg_pred, 2 pictures in no class folder, "
        "2 pictures in test, 1 .txt",
        "test holds no class folders and is not used",
    )


def test_what_was_taken_is_said(make):
    folder = make("d", "training_set/a", "training_set/b", "test_set/a", "test_set/b", "Val/a", "Val/b")
    (note,) = read_folder(folder, sides=(2, 2), skip_bad=False).notes
    assert note == ("d: training_set as train, Val as validation, test_set as test (not read before a retraining)")
