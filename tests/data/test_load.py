import pytest
import torch
from PIL import Image
from torch.nn import functional

import replaytree.data
from replaytree.data import KNOWN, load_data
from replaytree.errors import ConfigError, DataError


def test_every_exported_name_is_there():
    assert replaytree.data.__all__ == sorted(replaytree.data.__all__, key=lambda name: (not name.isupper(), name))
    assert all(hasattr(replaytree.data, name) for name in replaytree.data.__all__)


def test_folder_defaults(tmp_path, write_images):
    for name in ("a", "b"):
        write_images(f"things/train/{name}", 20)
    data = load_data(tmp_path / "things")
    assert (data.name, data.classes, data.image_shape) == ("things", ("a", "b"), (3, 32, 32))
    assert (data.crop_padding, data.flip) == (4, False)
    assert torch.bincount(data.train_labels).tolist() == [18, 18]
    assert torch.bincount(data.val_labels).tolist() == [2, 2]
    assert data.fingerprint.train_counts == (18, 18)


def test_train_and_validation_share_no_image(pets):
    data = load_data(pets, image_size=8, val_fraction=0.4)
    train, val = ({bytes(i.numpy().tobytes()) for i in part} for part in (data.train_images, data.val_images))
    assert len(train) + len(val) == 10
    assert not train & val


def test_seed_decides_the_split(tmp_path, write_images):
    for name in ("a", "b"):
        write_images(f"things/{name}", 20)
    first, again, other = (load_data(tmp_path / "things", image_size=8, seed=seed).fingerprint for seed in (0, 0, 1))
    assert first == again
    assert first.sha256 != other.sha256


def test_own_validation_is_kept_whole(pets, write_images):
    write_images("pets/val/cat", 3)
    write_images("pets/val/dog", 1)
    data = load_data(pets, val_fraction=0.5)
    assert data.val_labels.tolist() == [0, 0, 0, 1]
    assert len(data.train_labels) == 10


def test_train_limit_leaves_validation_alone(tmp_path, write_images):
    write_images("things/a", 30)
    write_images("things/b", 10)
    whole = load_data(tmp_path / "things", image_size=8)
    part = load_data(tmp_path / "things", image_size=8, train_limit=8)
    assert torch.bincount(part.train_labels).tolist() == [6, 2]
    assert torch.equal(part.val_images, whole.val_images)
    assert torch.equal(load_data(tmp_path / "things", image_size=8, train_limit=999).train_images, whole.train_images)
    with pytest.raises(DataError, match="train_limit is 1, but there are 2 classes"):
        load_data(tmp_path / "things", image_size=8, train_limit=1)


def test_skipped_files_are_named(pets):
    (pets / "train" / "cat" / "bad.png").write_bytes(b"")
    assert load_data(pets, skip_bad=True).skipped == ("train/cat/bad.png",)


def test_named_data_set_as_a_tree(tmp_path, write_images):
    for label in range(10):
        write_images(f"data/mnist/train/{label}", 2, mode="L", size=(28, 28))
    data = load_data("mnist", data_dir=tmp_path / "data", val_fraction=0.5)
    assert (data.name, data.image_shape, data.crop_padding, data.flip) == ("mnist", (1, 28, 28), 2, False)
    assert data.classes == tuple("0123456789")


def test_the_environment_says_where(tmp_path, write_images, monkeypatch):
    for label in range(10):
        write_images(f"data/cifar10/train/{label}", 2)
    monkeypatch.setenv("REPLAYTREE_DATA", str(tmp_path / "data"))
    data = load_data("cifar10", image_size=16)
    assert data.image_shape == (3, 16, 16)
    assert data.crop_padding == 2  # 4 of 32, so 2 of 16


@pytest.mark.parametrize("name", ["cifr10", "CIFAR10", "cifar_10"])
def test_unknown_name_suggests(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"'{name}' is neither .*did you mean cifar10\?") as caught:
        load_data(name)
    assert ", ".join(KNOWN) in str(caught.value)


def test_unknown_name_without_a_guess(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        load_data("zzz")
    assert str(caught.value) == (
        f"'zzz' is neither a data set nor a folder. Known data sets: {', '.join(KNOWN)}; or give the path of a folder "
        f"with train/<class>/ images, of one with train.txt and valid.txt, or of a file that ends in .npz, .npy, .csv"
    )


def test_missing_path(tmp_path):
    with pytest.raises(DataError, match="does not exist; check the path"):
        load_data(tmp_path / "no" / "such")


@pytest.mark.parametrize("size", [0, -1, "24x", (24,), 2.5])
def test_bad_image_size(size, pets):
    with pytest.raises(ConfigError, match=r"image_size is .*24.*--image-size"):
        load_data(pets, image_size=size)


def test_bad_resize(pets):
    with pytest.raises(DataError, match=r"resize is 'stretch'; it must be one of squash, pad, crop \(--resize\)"):
        load_data(pets, resize="stretch")


def test_rows_and_columns(pets):
    """Their own crop padding is an eighth of the shorter side."""
    for size in ("16x24", (16, 24)):
        data = load_data(pets, image_size=size, val_fraction=0.4)
        assert (data.image_shape, data.crop_padding) == ((3, 16, 24), 2)
    named = load_data("digits", image_size="16x8")
    assert (named.image_shape, named.crop_padding) == ((1, 16, 8), 1)


def test_the_way_to_resize_is_remembered_and_changes_the_fingerprint(tmp_path, write_images):
    for name in ("a", "b"):
        write_images(f"things/{name}", 4, size=(16, 8))
    found = {how: load_data(tmp_path / "things", image_size=8, resize=how) for how in ("squash", "pad", "crop")}
    assert [data.resize for data in found.values()] == ["squash", "pad", "crop"]
    assert len({data.fingerprint.sha256 for data in found.values()}) == 3
    # 16 columns become 8, so 8 rows become 4, between two rows of black each.
    rows = found["pad"].train_images.amax(dim=(0, 1, 3))
    assert [int(row) for row in rows[[0, 1, 6, 7]]] == [0, 0, 0, 0]
    assert int(rows[2:6].min()) > 0
    assert load_data(tmp_path / "things", image_size=8).fingerprint == found["squash"].fingerprint


def test_digits():
    data = load_data("digits")
    assert (data.train_images.shape, data.val_images.shape) == ((1617, 1, 8, 8), (180, 1, 8, 8))
    assert (data.crop_padding, data.flip) == (1, False)
    resized = load_data("digits", image_size=16)
    assert (resized.image_shape, resized.crop_padding) == ((1, 16, 16), 2)


def test_real_mnist(real_data):
    data = load_data("mnist", data_dir=real_data, train_limit=1000)
    assert (len(data.train_labels), len(data.val_labels)) == (1000, 6000)
    assert data.classes == tuple("0123456789")
    half = load_data("mnist", data_dir=real_data, image_size=14)
    assert half.image_shape == (1, 14, 14)
    assert half.crop_padding == 1
    # antialiased bilinear is what Pillow does; a whole image through both
    whole = load_data("mnist", data_dir=real_data)
    by_pillow = Image.fromarray(whole.train_images[0, 0].numpy()).resize((14, 14), Image.Resampling.BILINEAR)
    ours = half.train_images[0, 0].int()
    assert int((ours - torch.tensor(list(by_pillow.tobytes())).view(14, 14)).abs().max()) <= 1
    exact = functional.interpolate(whole.train_images[:1].float(), (14, 14), mode="bilinear", antialias=True)
    assert float((ours - exact[0, 0]).abs().max()) <= 1.0


def test_real_cifar10(real_data):
    data = load_data("cifar10", data_dir=real_data)
    assert data.fingerprint.train_counts == (4500,) * 10
    assert torch.bincount(data.val_labels).tolist() == [500] * 10
    assert data.classes[:2] == ("airplane", "automobile")
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-3)
    assert data.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=1e-3)
