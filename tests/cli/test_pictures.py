"""A folder of pictures from `run` to `export`: from another directory, moved, changed and damaged."""

import json
import re
import shlex
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import replaytree as package
from replaytree import Search, cli
from replaytree.errors import ConfigError, DataError

QUICK = ["--epochs", "1", "--max-layers", "2", "--trainings", "1", "--image-size", "8"]
EXPORT = ["export", "mine", "--format", "safetensors", "--out", "m.safetensors"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working directory with pictures/: 8 and 3 pictures a class in train and test, blue and red."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 3)):
        for name, channel in (("red", 0), ("blue", 2)):
            folder = tmp_path / "here" / "pictures" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 90, (9, 11, 3), dtype=np.uint8)
                pixels[:, :, channel] += 150
                Image.fromarray(pixels).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("REPLAYTREE_STORAGE", f"sqlite:///{tmp_path}/replaytree.db")
    monkeypatch.delenv("REPLAYTREE_DATA", raising=False)
    return tmp_path


@pytest.fixture
def replaytree(capsys):
    def run(*args):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, " ".join(err.split())

    return run


@pytest.fixture
def searched(replaytree):
    code, _, err = replaytree("run", "--dataset", "pictures", "--name", "mine", *QUICK)
    assert code == 0
    return err


def configuration(place):
    with sqlite3.connect(place / "replaytree.db") as connection:
        return json.loads(connection.execute("select config_json from searches").fetchone()[0])


def test_a_run_on_pictures_says_for_about_how_long(replaytree, place):
    out = replaytree("run", "--dataset", "pictures", *QUICK, "--max-layers", 1)[1]
    assert ", up to 1 layer, epochs 1 to 1, " in out.splitlines()[0]
    assert "; 1 training to do, less than a minute on this machine; Ctrl-C stops" in out.splitlines()[0]


def test_run_says_what_it_took_and_that_it_does_not_mirror(searched, place):
    assert "note: pictures: train as train, test as test (not read before a retraining)" in searched
    assert "note: images are not mirrored while training; where left and right mean the same, give --flip" in searched
    assert "note: only 2 validation images: one is 50.0 points of accuracy" in searched
    stored = configuration(place)
    assert (stored["dataset"], stored["flip"]) == (str(place / "here" / "pictures"), False)


def test_flips_where_asked_for(replaytree, place):
    code, _, err = replaytree("run", "--dataset", "pictures", "--flip", *QUICK)
    assert (code, "mirrored" in err, configuration(place)["flip"]) == (0, False, True)


def test_another_working_directory(searched, replaytree, place, monkeypatch):
    (place / "there").mkdir()
    monkeypatch.chdir(place / "there")
    assert replaytree("resume", "mine", "--trainings", 1)[0] == 0
    code, out, _ = replaytree("retrain", "mine", "--epochs", 1, "--quiet")
    assert (code, "test accuracy" in out) == (0, True)
    code, out, _ = replaytree("export", "mine", "--format", "safetensors", "--out", "m.safetensors")
    assert (code, "verified on 2 images: " in out) == (0, True)


@pytest.mark.parametrize("given", ["new", "new/pictures", "other"])
def test_moved_pictures(searched, replaytree, place, given):
    assert replaytree("retrain", "mine", "--epochs", 1, "--quiet")[0] == 0
    target = place / ("other" if given == "other" else "new/pictures")
    target.parent.mkdir(exist_ok=True)
    (place / "here" / "pictures").rename(target)
    # The export comes first: a retraining stores where it found the pictures.
    for command in (EXPORT, ["resume", "mine", "--trainings", 1], ["retrain", "mine", "--epochs", 1, "--force"]):
        code, _, err = replaytree(*command)
        assert code == 2
        assert f"the folder {place}/here/pictures does not exist" in err
        assert "--data-dir" in err
        code, out, _ = replaytree(*command, "--data-dir", place / given)
        assert code == 0
        for printed in re.findall(r"^  replaytree ((?:resume|retrain|export) .*)$", out, re.MULTILINE):
            quick = {"resume": ["--trainings", 1], "retrain": ["--epochs", 1], "export": ["--force"]}
            words = shlex.split(printed)
            assert replaytree(*words, *quick[words[0]])[0] == 0, printed
    assert replaytree(*EXPORT, "--force")[0] == 0


def test_pictures_that_were_moved_are_found_without_a_search(place, replaytree):
    (place / "here" / "pictures").rename(place / "other")
    words = ["retrain", "--dataset", place / "here" / "pictures", "--path", "convx"]
    assert "pictures does not exist" in replaytree(*words)[2]
    code, _, err = replaytree(*words, "--data-dir", place / "other")
    assert code == 2
    assert err.startswith("Error: layer 1 is 'convx'")


def test_moved_pictures_are_not_sought_among_the_named_data_sets(searched, replaytree, place, monkeypatch):
    (place / "named").mkdir()
    monkeypatch.setenv("REPLAYTREE_DATA", str(place / "named"))
    (place / "here" / "pictures").rename(place / "other")
    for command in (["resume", "mine", "--trainings", 1], ["retrain", "mine", "--epochs", 1]):
        code, _, err = replaytree(*command)
        assert code == 2
        assert f"the folder {place}/here/pictures does not exist, nor pictures in {place}/named" in err


def test_other_pictures_are_refused(searched, replaytree, place):
    assert replaytree("retrain", "mine", "--epochs", 1, "--quiet")[0] == 0
    (place / "here" / "pictures").rename(place / "other")
    Image.new("RGB", (9, 9), (1, 2, 3)).save(place / "other" / "train" / "red" / "0.png")
    for command in (EXPORT, ["resume", "mine", "--trainings", 1], ["retrain", "mine", "--epochs", 1, "--force"]):
        code, _, err = replaytree(*command, "--data-dir", place / "other")
        assert code == 2
        assert "are not those" in err


def test_a_bad_training_picture_is_named_by_resume(searched, replaytree, place):
    (place / "here" / "pictures" / "train" / "red" / "3.png").write_bytes(b"gone")
    code, _, err = replaytree("resume", "mine", "--trainings", 1)
    assert code == 2
    assert "are not those of search 'mine'" in err
    assert "train/red/3.png cannot be read; put them back" in err


def test_a_bad_test_picture_is_found_before_the_first_epoch(searched, replaytree, place):
    (place / "here" / "pictures" / "test" / "red" / "x.png").write_bytes(b"no picture")
    code, out, err = replaytree("retrain", "mine", "--epochs", 1)
    assert (code, "epoch" in out, out.count("\n")) == (2, False, 1)  # only what it is about to train on
    assert "red/x.png (not a picture that Pillow knows)" in err
    assert "leave them out with --skip-bad" in err
    code, out, _ = replaytree("retrain", "mine", "--epochs", 1, "--skip-bad")
    assert (code, "test accuracy" in out) == (0, True)


def test_test_pictures_that_were_trained_on_are_named(searched, replaytree, place, caplog):
    pictures = place / "here" / "pictures"
    shutil.copy(pictures / "train" / "red" / "0.png", pictures / "test" / "red" / "again.png")
    assert replaytree("retrain", "mine", "--epochs", 1)[0] == 0
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("1 of 7 test images are equal to train or validation images")


def test_searches_of_before_mirrored_their_folders(searched, replaytree, place):
    """Their configuration holds a relative path and no word on flips."""
    old = configuration(place) | {"dataset": "pictures", "flip": None}
    with sqlite3.connect(place / "replaytree.db") as connection:
        connection.execute("update searches set config_json = ?", [json.dumps(old)])
    search = Search.resume("mine")
    assert search.data.flip
    assert search.config.recipe.flip is None


def test_a_search_in_python(place):
    pictures = place / "here" / "pictures"
    quick = {"max_layers": 2, "epochs_first": 1, "epochs_last": 1, "storage": "sqlite://"}
    search = Search(dataset=pictures, image_size=8, **quick)
    assert search.config.source.dataset == str(pictures)
    search.config.to_json()
    images, labels = np.zeros((20, 3, 8, 8), np.uint8), np.arange(20) % 2
    assert Search(data=(images, labels), **quick).data.image_shape == (3, 8, 8)
    with pytest.raises(
        ConfigError, match=r"image_size says how data are read, and these were given as they are: leave"
    ):
        Search(data=(images, labels), image_size=4, **quick)
    with pytest.raises(DataError, match=r"data is a str; .*goes to dataset="):
        Search(data="pictures", **quick)
    with pytest.raises(ConfigError, match="dataset is 7"):
        Search(dataset=7, **quick)


def test_the_range_of_deep_pictures_travels_with_the_model(replaytree, place):
    """12-bit values in 16 bits; the model file knows that 4095 is white, and refuses what lies beyond."""
    for part in ("train", "test"):
        for number, file in enumerate(sorted((place / "here" / "pictures" / part).rglob("*.png"))):
            values = np.arange(64, dtype=np.uint16).reshape(8, 8) * (60 if "red" in file.parts else 30) + number
            Image.fromarray(values).save(file)
    code, _, err = replaytree("run", "--dataset", "pictures", "--name", "deep", *QUICK)
    assert (code, "values from 0 to 4095 become 0 to 255, in all of them alike" in err) == (0, True)
    assert replaytree("retrain", "deep", "--epochs", 1, "--quiet")[0] == 0
    for form, file in (("onnx", "m.onnx"), ("python", "m.py")):
        assert replaytree("export", "deep", "--format", form, "--out", file)[0] == 0
        assert package.load(file).description.ranges == {"integer": (0.0, 4095.0)}
    Image.fromarray(np.full((8, 8), 5000, np.uint16)).save("bright.png")
    code, out, err = replaytree("predict", "m.onnx", "bright.png", "pictures/test/red/0.png", "--format", "csv")
    assert (code, len(out.splitlines())) == (1, 2)
    assert "bright.png: holds values from 5000 to 5000, and the training images 0 to 4095" in err


def test_rows_by_columns_with_black_beside_travel_with_the_model(replaytree, place):
    """Pictures of 9x11 in 16x12: 10 rows of them, and 3 of black above and below, in every file of the model."""
    quick = ["--epochs", "1", "--max-layers", "2", "--trainings", "1", "--image-size", "16x12", "--resize", "pad"]
    assert replaytree("run", "--dataset", "pictures", "--name", "wide", *quick)[0] == 0
    stored = configuration(place)
    assert (stored["image_size"], stored["resize"]) == ("16x12", "pad")
    assert replaytree("resume", "wide", "--trainings", 1)[0] == 0
    assert replaytree("retrain", "wide", "--epochs", 1, "--quiet")[0] == 0
    said = "pictures become 16x12 pixels (rows x columns): scaled to fit, bilinear, antialiased, with black beside them"
    found = []
    for form, file in (("onnx", "m.onnx"), ("python", "m.py")):
        code, out, _ = replaytree("export", "wide", "--format", form, "--out", file)
        assert (code, f"{said}, as in training" in out) == (0, True)
        found.append(replaytree("predict", file, "pictures/test", "--format", "json")[1])
    assert said in Path("m.py").read_text()
    assert found[0] == found[1]
    model = package.load("m.onnx")
    with Image.open("pictures/test/red/0.png") as picture:
        image = np.zeros((16, 12, 3), np.uint8)
        image[3:13] = np.asarray(picture.resize((12, 10), Image.Resampling.BILINEAR))
    row = next(row for row in json.loads(found[0]) if row["file"] == "pictures/test/red/0.png")
    assert row["probability"] == pytest.approx(model.predict_proba(image[None]).max(), abs=1e-5)


def test_retrain_without_a_search_takes_a_size(replaytree):
    given = ["--dataset", "pictures", "--path", "conv32k3", "--width", "0.25", "--epochs", "1", "--quiet"]
    assert replaytree("retrain", *given, "--image-size", "8x16", "--resize", "crop")[0] == 0
    code, _, err = replaytree("retrain", *given, "--image-size", "8x")
    assert (code, "image_size is '8x'; it must be rows x columns, as in 24x64" in err) == (2, True)


def test_a_table_from_a_search_to_a_model(replaytree, place):
    """Its test rows measure the model; a table moved with its pictures is found; missing pictures are named."""
    pictures = place / "here" / "pictures"
    rows = [
        f"{file.relative_to(pictures)},{file.parent.name},{file.parts[-3]}" for file in sorted(pictures.rglob("*.png"))
    ]
    (pictures / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
    code, _, err = replaytree("run", "--dataset", "pictures/labels.csv", "--name", "rows", *QUICK)
    assert (code, "labels.csv: 16 rows as train, 6 rows as test (not read before a retraining)" in err) == (0, True)
    code, out, _ = replaytree("retrain", "rows", "--epochs", 1)
    assert (code, "test accuracy" in out) == (0, True)
    pictures.rename(place / "moved")
    assert replaytree("resume", "rows", "--trainings", 1, "--data-dir", place / "moved")[0] == 0
    (place / "moved" / "train" / "red" / "0.png").unlink()
    code, out, err = replaytree("run", "--dataset", place / "moved" / "labels.csv", *QUICK)
    assert (code, out, "1 of 22 files that" in err, "does not exist: train/red/0.png;" in err) == (2, "", True, True)


def test_mirrored_digits_are_told(replaytree):
    assert "mirrored" not in replaytree("run", "--dataset", "digits", *QUICK, "--train-limit", 50)[2]
    err = replaytree("run", "--dataset", "digits", "--name", "flipped", "--flip", *QUICK, "--train-limit", 50)[2]
    assert "note: images of digits are mirrored while training, which makes other signs" in err
    err = replaytree("retrain", "flipped", "--epochs", 1)[2]
    assert "note: images of digits are mirrored while training, which makes other signs" in err
