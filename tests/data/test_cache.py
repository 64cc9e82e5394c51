import os
import pwd

import numpy as np
import pytest
import torch
from PIL import Image

from replaytree.data import cache as cache_module
from replaytree.data.cache import content_hashes, decode_cached
from replaytree.data.folder import read_folder, read_part
from replaytree.sources.named import cache_folder


def read(folder, **options):
    return read_folder(folder, **({"sides": (8, 8), "skip_bad": False} | options))


def cache_files(cache):
    return sorted((cache / "replaytree" / "images").iterdir())


def test_cache_answers_without_the_images(pets, cache, monkeypatch):
    first = read(pets)
    assert len(cache_files(cache)) == 1
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("decoded again"))
    again = read(pets)
    assert torch.equal(first.train.images_NCHW, again.train.images_NCHW)


def test_another_part_is_answered_by_the_cache_where_its_values_have_the_same_range(tmp_path, cache, monkeypatch):
    for name, values in (("cat", [1000, 2000]), ("dog", [2000, 4000])):
        folder = tmp_path / "test" / name
        folder.mkdir(parents=True)
        Image.fromarray(np.array([values] * 2, dtype=np.uint16)).save(folder / "0.tif")

    def part(high):
        span = {"integer": (0.0, high)}
        found = read_part(tmp_path / "test", ("cat", "dog"), sides=(2, 2), skip_bad=False, ranges=span)
        return found.images_NCHW[:, 0, 0].tolist()

    # The upper 8 bits of 12, and of 16.
    assert part(4095.0) == [[62, 125], [125, 250]]
    assert part(65535.0) == [[3, 7], [7, 15]]
    assert len(cache_files(cache)) == 2
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("decoded again"))
    assert part(4095.0) == [[62, 125], [125, 250]]


@pytest.mark.parametrize("damage", ["cut", "flipped byte", "other file", "empty"])
def test_damaged_cache_is_rebuilt(pets, cache, damage):
    first = read(pets)
    (file,) = cache_files(cache)
    whole = file.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "cut": whole[:middle],
        "flipped byte": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "other file": b"no array at all",
        "empty": b"",
    }[damage]
    file.write_bytes(damaged)
    assert torch.equal(read(pets).train.images_NCHW, first.train.images_NCHW)
    assert [f.read_bytes() for f in cache_files(cache)] == [whole]


def test_cache_of_another_shape_is_rebuilt(pets, cache):
    first = read(pets)
    (file,) = cache_files(cache)
    np.savez(file, images=np.zeros((10, 2, 8, 8), dtype=np.uint8), bad=np.array([], dtype=np.int64))
    assert torch.equal(read(pets).train.images_NCHW, first.train.images_NCHW)


def test_changed_image_and_other_size_are_decoded_anew(pets, cache):
    first = read(pets)
    target = pets / "train" / "cat" / "000.png"
    Image.new("RGB", (8, 8), (1, 2, 3)).save(target)
    assert read(pets).train.images_NCHW[0, :, 0, 0].tolist() == [1, 2, 3]
    assert read(pets, sides=(4, 4)).train.images_NCHW.shape == (10, 3, 4, 4)
    assert len(cache_files(cache)) == 3
    assert first.train.images_NCHW.shape == (10, 3, 8, 8)


def test_cache_does_not_depend_on_where_the_folder_is(pets, cache):
    read(pets)
    moved = pets.rename(pets.parent / "moved")
    read(moved)
    assert len(cache_files(cache)) == 1


def test_unwritable_cache_means_no_cache(pets, cache):
    cache.write_text("a file where the folder should be")
    assert len(read(pets).train.labels_N) == 10
    assert cache.read_text() == "a file where the folder should be"


def test_failed_write_leaves_no_file(pets, cache, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert len(read(pets).train.labels_N) == 10
    assert cache_files(cache) == []


def test_cache_folder_without_xdg(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "replaytree"


def test_folders_that_swap_places_swap_their_pixels(pets, write_images):
    """Sizes and times of the files are equal, and only their content tells them apart."""
    for name, value in (("cat", 10), ("dog", 200)):
        for file in (pets / "train" / name).iterdir():
            Image.new("RGB", (8, 8), (value,) * 3).save(file.with_suffix(".bmp"))
            file.unlink()
            os.utime(file.with_suffix(".bmp"), (1e9, 1e9))
    for name in ("004", "005"):
        (pets / "train" / "cat" / f"{name}.bmp").unlink()
    assert read(pets).train.images_NCHW[:, 0, 0, 0].tolist() == [10] * 4 + [200] * 4
    for old, new in (("cat", "other"), ("dog", "cat"), ("other", "dog")):
        (pets / "train" / old).rename(pets / "train" / new)
    assert read(pets).train.images_NCHW[:, 0, 0, 0].tolist() == [200] * 4 + [10] * 4


def test_what_is_known_of_the_files_is_kept(tmp_path, cache):
    Image.fromarray(np.full((8, 8), 1023, np.uint16)).save(tmp_path / "deep.png")
    Image.new("L", (8, 8), 1).save(tmp_path / "two.gif", save_all=True, append_images=[Image.new("L", (8, 8), 2)])
    (tmp_path / "bad.png").write_bytes(b"")
    paths = [str(tmp_path / name) for name in ("deep.png", "two.gif", "bad.png")]
    first = decode_cached(paths, sides=(8, 8))
    assert first.ranges == {"integer": (0.0, 1023.0)}
    again = decode_cached(paths, sides=(8, 8))
    assert (again.bad, again.ranges, again.deep, again.framed) == (first.bad, first.ranges, 1, 1)
    assert np.array_equal(again.images_NCHW, first.images_NCHW)
    assert len(cache_files(cache)) == 1


def test_the_oldest_files_go_where_the_cache_grows(pets, cache, monkeypatch):
    read(pets)
    (old,) = cache_files(cache)
    os.utime(old, (1e9, 1e9))
    read(pets, sides=(4, 4))
    assert len(cache_files(cache)) == 2
    monkeypatch.setattr(cache_module, "MOST_BYTES", 1)
    read(pets, sides=(6, 6))
    (newest,) = cache_files(cache)
    assert newest != old


def test_hashes_are_of_content(tmp_path):
    for name, content in (("a", b"x"), ("b", b"x"), ("c", b"y")):
        (tmp_path / name).write_bytes(content)
    a, b, c, missing = content_hashes([str(tmp_path / name) for name in "abcd"])
    assert a == b
    assert len({a, c, missing}) == 3


def test_no_home_at_all(monkeypatch):
    """As in a container that runs under a number without a name."""

    def nobody(_):
        raise KeyError("uid not found")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert cache_folder().name == f"replaytree-{os.getuid()}"
