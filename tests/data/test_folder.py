import io
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from replaytree.data.folder import read_folder, read_part
from replaytree.errors import DataError


def read(folder, **options):
    return read_folder(folder, **({"sides": (8, 8), "skip_bad": False} | options))


def spoil(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\nnot an image")


def test_pixels_labels_and_classes(pets):
    found = read(pets)
    assert found.train.classes == ("cat", "dog")
    assert found.train.labels_N.tolist() == [0] * 6 + [1] * 4
    assert found.train.labels_N.dtype == torch.int64
    assert found.val is None
    assert found.skipped == ()
    for position, file in enumerate(sorted(pets.rglob("*.png"))):
        pixels = np.asarray(Image.open(file)).transpose(2, 0, 1)
        assert np.array_equal(found.train.images_NCHW[position].numpy(), pixels)


def test_class_folders_without_train_are_the_same(pets):
    flat, nested = read(pets / "train").train, read(pets).train
    assert torch.equal(flat.images_NCHW, nested.images_NCHW)
    assert torch.equal(flat.labels_N, nested.labels_N)


def test_val_is_read_and_test_is_not(pets, write_images):
    write_images("pets/val/cat", 1)
    write_images("pets/val/dog", 2)
    spoil(write_images("pets/test/cat", 1), "broken.png")
    found = read(pets)
    assert found.val.labels_N.tolist() == [0, 1, 1]
    assert len(found.train.labels_N) == 10
    first = np.asarray(Image.open(pets / "val" / "cat" / "000.png")).transpose(2, 0, 1)
    assert np.array_equal(found.val.images_NCHW[0].numpy(), first)


def test_other_classes_of_test_are_told_before_a_search(pets, write_images):
    """By the names of the folders alone: the picture in test is none."""
    spoil(write_images("pets/test/cat", 1), "000.png")
    write_images("pets/test/dog", 1)
    assert len(read(pets).notes) == 1
    write_images("pets/test/bird", 1)
    (note,) = read(pets).notes[1:]
    assert note.startswith(f"a retraining will refuse the test part: {pets}/test has other classes than {pets}/train: ")
    assert "it alone has bird; give both the same sub-folders, or move test out of the data set" in note


def test_grey_only_where_all_are_grey(tmp_path, write_images):
    write_images("grey/a", 2, mode="L")
    write_images("grey/b", 2, mode="1")
    assert read(tmp_path / "grey").train.images_NCHW.shape == (4, 1, 8, 8)
    write_images("grey/c", 2, mode="RGB")
    images = read(tmp_path / "grey").train.images_NCHW
    assert images.shape == (6, 3, 8, 8)
    assert torch.equal(images[0, 0], images[0, 2])


def test_resized_to_a_square(tmp_path, write_images):
    write_images("wide/a", 2, size=(20, 10))
    write_images("wide/b", 2, size=(5, 30))
    images = read(tmp_path / "wide", sides=(16, 16)).train.images_NCHW
    assert images.shape == (4, 3, 16, 16)
    whole = Image.open(tmp_path / "wide" / "a" / "000.png").resize((16, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(images[0].numpy(), np.asarray(whole).transpose(2, 0, 1))


def test_hidden_files_and_folders_are_left_out(pets):
    spoil(pets / "train" / "cat", "._000.png")
    (pets / "train" / ".ipynb_checkpoints").mkdir()
    (pets / "train" / "cat" / "notes.txt").write_text("not an image")
    assert len(read(pets).train.labels_N) == 10


def test_unreadable_images_are_listed(pets):
    spoil(pets / "train" / "cat", "001.png", "new.png")
    why = "(not a picture that Pillow knows)"
    listed = f"train/cat/001.png {why}, train/cat/new.png {why}"
    for _ in range(2):  # the second answer comes from the cache
        with pytest.raises(DataError) as caught:
            read(pets)
        assert str(caught.value) == (
            f"2 of 11 images in {pets} cannot be read: {listed}; "
            f"repair or remove them, or leave them out with --skip-bad"
        )


def test_unreadable_images_are_listed_up_to_ten(pets):
    spoil(pets / "train" / "dog", *(f"bad{n:02}.png" for n in range(12)))
    with pytest.raises(DataError, match=r"12 of 22 images .*bad09\.png \(.*\) and 2 more; repair") as caught:
        read(pets)
    assert "bad10" not in str(caught.value)


def test_skip_bad_leaves_them_out(pets, write_images):
    whole = read(pets).train.images_NCHW
    spoil(pets / "train" / "cat", "001.png")
    found = read(pets, skip_bad=True)
    assert found.skipped == (os.path.join("train", "cat", "001.png"),)
    assert found.train.labels_N.tolist() == [0] * 5 + [1] * 4
    assert torch.equal(found.train.images_NCHW, torch.cat([whole[:1], whole[2:]]))


def test_skip_bad_in_val(pets, write_images):
    spoil(write_images("pets/val/cat", 1), "bad.png")
    write_images("pets/val/dog", 1)
    found = read(pets, skip_bad=True)
    assert found.skipped == (os.path.join("val", "cat", "bad.png"),)
    assert found.val.labels_N.tolist() == [0, 1]
    assert len(found.train.labels_N) == 10


def test_skip_bad_leaves_out_empty_classes(pets, write_images):
    """In every part; one that only train lacks is a class of the others, and that is an error."""
    for part in ("train", "val", "test"):
        (pets / part / "bird" / "deep").mkdir(parents=True)
        (pets / part / "bird" / "notes.txt").write_text("no picture")
    for name in ("val/cat", "val/dog", "test/cat", "test/dog"):
        write_images(f"pets/{name}", 1)
    with pytest.raises(DataError, match=r"train: bird \(0\).*; add images or remove the class; --skip-bad leaves out"):
        read(pets)
    found = read(pets, skip_bad=True)
    assert (found.train.classes, found.val.labels_N.tolist()) == (("cat", "dog"), [0, 1])
    assert found.notes[1:] == ("left out, as a class without images: bird",)
    test = read_part(pets / "test", ("cat", "dog"), sides=(8, 8), skip_bad=True, ranges={})
    assert test.labels_N.tolist() == [0, 1]
    write_images("pets/val/bird", 1)
    with pytest.raises(DataError, match="it alone has bird"):
        read(pets, skip_bad=True)


def test_skip_bad_may_leave_too_few(pets, write_images):
    spoil(pets / "train" / "dog", "000.png", "001.png", "002.png")
    with pytest.raises(
        DataError, match=r"readable images in .*: dog \(1\) \(left out of the data set: 3 pictures that cannot"
    ):
        read(pets, skip_bad=True)


def test_too_few_images_say_what_was_left_out(pets):
    for file in (pets / "train" / "dog").iterdir():
        file.rename(file.with_suffix(".txt"))
        file.with_suffix(".txt").write_text("no picture")
    (pets / "train" / "cat" / ".hidden").touch()
    with pytest.raises(
        DataError, match=r": dog \(0\) \(left out of the data set: 4 \.txt, 1 hidden file\); add images or"
    ):
        read(pets)


def test_truncated_jpeg_is_unreadable(tmp_path, write_images):
    write_images("photos/a", 2)
    write_images("photos/b", 2)
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(stream, "JPEG")
    (tmp_path / "photos" / "a" / "cut.jpg").write_bytes(stream.getvalue()[:600])
    assert read(tmp_path / "photos", skip_bad=True).skipped == (os.path.join("a", "cut.jpg"),)


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist; check the path"):
        read(tmp_path / "nowhere")


def test_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty has nothing in it; it needs at least two sub-folders"):
        read(tmp_path / "empty")


def test_images_without_class_folders(tmp_path, write_images):
    with pytest.raises(DataError, match="loose has no class folders; it needs at least two"):
        read(write_images("loose", 3))


def test_one_class(tmp_path, write_images):
    write_images("one/train/cat", 3)
    with pytest.raises(DataError, match="has only the class 'cat'; it needs at least two"):
        read(tmp_path / "one")


def test_class_with_one_image(tmp_path, write_images):
    for name, count in (("a", 1), ("b", 3), ("c", 0)):
        write_images(f"few/{name}", count)
    with pytest.raises(DataError, match=r"fewer than 2 readable images in .*few: a \(1\), c \(0\); add images"):
        read(tmp_path / "few")


def test_one_train_image_is_enough_beside_val(tmp_path, write_images):
    for name in ("train/a", "train/b", "val/a", "val/b"):
        write_images(f"tiny/{name}", 1)
    assert len(read(tmp_path / "tiny").train.labels_N) == 2
    shutil.rmtree(tmp_path / "tiny" / "val" / "a")
    (tmp_path / "tiny" / "val" / "a").mkdir()
    with pytest.raises(DataError, match=r"fewer than 1 readable images in .*val: a \(0\)"):
        read(tmp_path / "tiny")


def test_val_with_other_classes(pets, write_images):
    write_images("pets/val/cat", 1)
    write_images("pets/val/bird", 1)
    with pytest.raises(DataError, match="it lacks dog; it alone has bird; give both the same"):
        read(pets)


def test_parts_without_train_are_not_classes(tmp_path, write_images):
    write_images("odd/Test", 3)
    write_images("odd/Training", 3)
    with pytest.raises(DataError, match="has Test, Training but no train with class folders in it; name"):
        read(tmp_path / "odd")
