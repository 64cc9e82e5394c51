import os
import shutil
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from replaytree.data import load_data, walk
from replaytree.data.folder import read_folder
from replaytree.data.layout import layout_of
from replaytree.data.walk import Walk, is_picture
from replaytree.errors import DataError


def read(folder, **options):
    return read_folder(folder, **({"sides": (8, 8), "skip_bad": False} | options))


def counts(found):
    return found.train.labels_N.bincount().tolist()


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", "@eaDir", "__MACOSX", ".thumbnails", "$RECYCLE.BIN"])
def test_hidden_folders_in_a_class(pets, hidden):
    shutil.copytree(pets / "train" / "dog", pets / "train" / "cat" / hidden)
    found = read(pets)
    assert counts(found) == [6, 4]
    assert found.notes == ("pets: train as train; left out: 1 hidden folder",)


@pytest.mark.parametrize("target", [".", "..", "../..", "../dog", "../../../pets/train/cat"])
def test_links_that_lead_back(pets, target):
    (pets / "train" / "cat" / "again").symlink_to(target)
    shutil.copy(pets / "train" / "cat" / "000.png", pets / "train" / "loose.png")
    found = read(pets)
    assert counts(found) == [6, 4]
    assert "1 link to a folder that is read anyway" in found.notes[0]


def test_links_to_pictures_count_once(pets, tmp_path, write_images):
    outside = write_images("store", 1)
    cat, dog = pets / "train" / "cat", pets / "train" / "dog"
    (cat / "000-again.png").symlink_to("000.png")
    (cat / "a-dog.png").symlink_to("../dog/000.png")
    (cat / "new.png").symlink_to(outside / "000.png")
    (dog / "new.png").symlink_to(outside / "000.png")
    found = read(pets)
    assert counts(found) == [7, 4]
    assert "2 links to a picture of another class or part, 1 link to a picture counted already" in found.notes[0]


def test_a_class_that_is_a_link(pets, tmp_path):
    (pets / "train" / "cat").rename(tmp_path / "cats")
    (pets / "train" / "cat").symlink_to(tmp_path / "cats")
    assert counts(read(pets)) == [6, 4]


def test_links_into_the_test_part_are_left_out(pets, write_images):
    write_images("pets/test/cat", 2)
    write_images("pets/test/dog", 2)
    (pets / "train" / "cat" / "more").symlink_to("../../test/cat")
    (pets / "train" / "dog" / "one.png").symlink_to("../../test/dog/000.png")
    found = read(pets)
    assert counts(found) == [6, 4]
    assert "2 links into the test part" in found.notes[0]


def test_dead_links_are_named(pets):
    (pets / "train" / "cat" / "gone.png").symlink_to("nowhere.png")
    (pets / "train" / "cat" / "gone").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"1 of 11 images in .* train/cat/gone\.png \(a link that leads nowhere\)"):
        read(pets)
    found = read(pets, skip_bad=True)
    assert (counts(found), found.skipped) == ([6, 4], ("train/cat/gone.png",))
    assert "1 link that leads nowhere" in found.notes[0]


def test_class_folders_that_are_dead_links_are_named(pets):
    for name in ("bird", ".hidden"):
        (pets / "train" / name).symlink_to("nowhere")
    assert read(pets).notes[1] == "left out, as a link that leads nowhere: train/bird"
    (pets / "train" / "bird").unlink()
    (pets / "bird").symlink_to("nowhere")
    assert read(pets).notes[1] == "left out, as a link that leads nowhere: bird"


def test_a_dead_link_in_place_of_the_second_class(tmp_path, write_images):
    write_images("one/cat", 3)
    (tmp_path / "one" / "dog").symlink_to("nowhere")
    with pytest.raises(DataError, match="only the class 'cat', and dog only as a link that leads nowhere; it needs"):
        read(tmp_path / "one")


def test_folders_that_may_not_be_read_are_named(pets, write_images, monkeypatch):
    closed = write_images("pets/train/cat/closed", 2)
    scandir = os.scandir

    def forbidding(path):
        if os.fspath(path) == os.fspath(closed):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidding)
    with pytest.raises(DataError, match=r"1 of 11 images .* train/cat/closed \(permission denied\).*--skip-bad"):
        read(pets)
    assert counts(read(pets, skip_bad=True)) == [6, 4]


def test_pictures_by_content_and_every_extension(pets):
    cat = pets / "train" / "cat"
    image = Image.open(cat / "000.png")
    for name in ("none", "odd.dat", "upper.PNG", "web.WEBP", "moving.gif", "photo.jfif", "new.avif", "old.jp2"):
        form = {"none": "PNG", "odd.dat": "JPEG", "photo.jfif": "JPEG"}.get(name)
        image.save(cat / name, form)
    (cat / "BMW.txt").write_text("BM is how a bitmap begins, but this is a text")
    (cat / "zero").write_bytes(b"")
    found = read(pets)
    assert counts(found) == [14, 4]
    assert found.notes[0] == "pets: train as train; left out: 1 .txt, 1 file without extension"


def test_nothing_but_regular_files_is_opened(pets):
    os.mkfifo(pets / "train" / "cat" / "pipe.png")
    (pets / "train" / "cat" / "piped.png").symlink_to("pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(pets / "train" / "cat" / "s"))
        found = read(pets)
    assert counts(found) == [6, 4]
    assert "3 special files" in found.notes[0]
    assert not is_picture(str(pets / "train" / "cat" / "pipe.png").replace(".png", ""))


@pytest.mark.parametrize("folder", ["/proc", "/sys", "/dev", "/proc/self"])
def test_parts_of_the_system_are_refused(folder):
    with pytest.raises(DataError, match=f"{folder} is a part of the operating system"):
        load_data(folder)


def test_a_walk_gives_up_and_says_where(pets, monkeypatch):
    monkeypatch.setattr(walk, "_PROBE_ENTRIES", 5)
    for number in range(400):
        (pets / "train" / "cat" / f"{number}.txt").touch()
    with pytest.raises(DataError, match=r"gave up on .*pets after \d+ files and folders in 0 s, at .*cat: \d picture"):
        read(pets)
    monkeypatch.undo()
    monkeypatch.setattr(walk, "MOST_ENTRIES", 9)
    with pytest.raises(DataError, match="after 10 files and folders"):
        read(pets)


def test_names_that_are_no_text(pets, write_images):
    cafe = os.fsencode(pets) + b"/train/caf\xe9"
    os.rename(pets / "train" / "dog", cafe)
    os.rename(cafe + b"/000.png", cafe + b"/\xff\x1b.png")
    (pets / "train" / "cat" / "000.png").write_bytes(b"")
    with open(cafe + b"/bad\xfe.png", "wb"):
        pass
    found = read(pets, skip_bad=True)
    assert found.train.classes == ("caf\\xe9", "cat")
    assert counts(found) == [4, 5]
    assert found.skipped == ("train/caf\\xe9/bad\\xfe.png", "train/cat/000.png")
    assert "caf\\xe9" in load_data(pets, skip_bad=True).fingerprint.to_json().encode("ascii").decode("unicode_escape")


def test_names_that_read_alike(pets, tmp_path):
    (pets / "train" / "dog").rename(pets / "train" / "e\u0301te")
    shutil.copytree(pets / "train" / "cat", pets / "train" / "\u00e9te")
    with pytest.raises(DataError, match="two folders that both read 'éte'"):
        read(pets)


def test_class_major_order_is_that_of_torchvision(pets, write_images):
    """By folder, then by name: what a search has stored of its images must be found again."""
    write_images("pets/train/cat/b", 1)
    write_images("pets/train/cat/a", 1)
    (found, _) = Walk(pets).below([pets / "train" / "cat", pets / "train" / "dog"])
    names = [os.path.relpath(path, pets / "train" / "cat") for path in found.pictures]
    assert names == [f"00{k}.png" for k in range(6)] + ["a/000.png", "b/000.png"]


_NAMES = st.sampled_from(["train", "test", "val", "cat", "dog", "Test", "seg_train", "seg_test", ".hidden", "more"])
_TREES = st.lists(st.tuples(st.lists(_NAMES, max_size=3).map("/".join), st.integers(1, 3)), min_size=1, max_size=12)


@given(_TREES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_picture_is_in_one_place(tmp_path, trees):
    """Trained on, validated on, in the test part, left out and counted, or in a hidden folder; or all is refused."""
    root = tmp_path / "any"
    shutil.rmtree(root, ignore_errors=True)
    every = 0
    for number, (folder, count) in enumerate(trees):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            Image.new("L", (1, 1), every).save(root / folder / f"{number}-{k}.png")
            every += 1
    try:
        layout, found = layout_of(root), read(root, sides=(1, 1))
    except DataError:
        return
    hidden = [file for file in root.rglob("*.png") if ".hidden" in file.parts]
    test = [file for file in layout.test.rglob("*.png") if file not in hidden] if layout.test else []
    left_out = found.notes[0].partition("left out: ")[2].split(", ")
    counted = sum(int(each.split()[0]) for each in left_out if "picture" in each)
    taken = len(found.train.labels_N) + (0 if found.val is None else len(found.val.labels_N))
    loose_in_test = [file for file in test if file.parent == layout.test]
    assert taken + len(test) + len(hidden) + counted == every, (found.notes, loose_in_test)
