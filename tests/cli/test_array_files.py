"""A file of arrays from `run` to `export`, moved and changed."""

import json

import numpy as np
import pytest

from replaytree import ImageData, Search, from_arrays, load

QUICK = ["--epochs", "1", "--max-layers", "2", "--trainings", "1", "--width", "0.25"]


def arrays(count, seed):
    """Spectrograms of 12 bits, 2 channels, 6 rows and 12 columns: class 1 is louder."""
    labels = np.arange(count) % 2
    loud = np.random.default_rng(seed).integers(0, 2000, (count, 2, 6, 12), dtype=np.uint16)
    return loud + 2000 * labels[:, None, None, None].astype(np.uint16), labels


@pytest.fixture
def file(here):
    (x, y), (x_test, y_test) = arrays(40, 0), arrays(10, 1)
    np.savez(here / "noise.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return here / "noise.npz"


def test_from_a_search_to_an_export(replaytree, here, file):
    code, _, err = replaytree("run", "--dataset", file, *QUICK)
    assert code == 0
    said = " ".join(err.split())
    assert "x_train and y_train as train, x_test and y_test as test (not read before a retraining)" in said
    for channel in (0, 1):
        assert f"images of uint16: values of channel {channel} from 0 to 4095 become 0 to 255" in said
    code, out, _ = replaytree("retrain", "noise-1", "--epochs", "2")
    assert (code, "train and validation together" in out, "test accuracy" in out) == (0, True, True)
    np.save(here / "more.npy", arrays(10, 1)[0])
    np.save(here / "odd.npy", arrays(10, 1)[0][:, :, 1:])
    (here / "new").mkdir()
    file.rename(here / "new" / "noise.npz")
    assert replaytree("export", "noise-1", "--out", "m.onnx")[0] == 2
    code, out, _ = replaytree("export", "noise-1", "--out", "m.onnx", "--data-dir", "new")
    assert (code, "verified on 4 images: 0 predictions differ" in out) == (0, True)
    said = "images have 2 channels, 6 rows and 12 columns; values of channel 0 from 0 to 4095 become 0 to 255; values"
    assert said in " ".join(out.split())
    model = load("m.onnx")
    assert model.description.ranges == {"integer 0": (0.0, 4095.0), "integer 1": (0.0, 4095.0)}
    images, labels = arrays(10, 1)
    right = [name == str(label) for name, label in zip(model.predict(images), labels, strict=True)]
    assert sum(right) / 10 == pytest.approx(model.description.test_accuracy)
    code, out, err = replaytree("predict", "m.onnx", "more.npy", "odd.npy", "--format", "json")
    assert [row["file"] for row in json.loads(out)] == [f"more.npy[{number}]" for number in range(10)]
    assert [row["class"] for row in json.loads(out)] == model.predict(images)
    assert (code, "odd.npy: images are 5x12 pixels; this model takes 6x12" in err) == (1, True)
    np.save(here / "one.npy", images[0])
    code, out, err = replaytree("predict", "m.onnx", "one.npy", "--format", "json")
    assert [(row["file"], row["class"]) for row in json.loads(out)] == [("one.npy[0]", model.predict(images)[0])]
    np.savez(here / "noise-2.npz", x_test=images, y_test=labels)
    code, out, err = replaytree("predict", "m.onnx", "noise-2.npz", "noise-3.npz", "--format", "json")
    assert [row["file"] for row in json.loads(out)] == [f"noise-2.npz[{number}]" for number in range(10)]
    assert [row["class"] for row in json.loads(out)] == model.predict(images)
    assert (code, "noise-3.npz: there is no such file or folder; did you mean noise-2.npz?" in err) == (1, True)
    code, _, err = replaytree("predict", "n.onnx", "more.npy")
    assert (code, err) == (2, "Error: there is no model file n.onnx; did you mean m.onnx?\n")
    np.savez(here / "new" / "noise.npz", x_train=images, y_train=labels)
    code, _, err = replaytree("resume", "noise-1", "--trainings", 1, "--data-dir", "new")
    assert (code, "train_count was 36, is 8" in err) == (2, True)


def test_a_shape_that_tells_nothing_is_one_line_with_a_way_out(replaytree, here):
    np.savez(here / "a.npz", images=np.zeros((8, 10, 12, 9), np.uint8), labels=np.arange(8) % 2)
    code, out, err = replaytree("run", "--dataset", "a.npz", *QUICK)
    assert (code, out) == (2, "")
    assert "either 10 or 9 may be the number of channels; say which with --channel-axis first or last" in err
    assert replaytree("run", "--dataset", "a.npz", "--channel-axis", "first", "--val-fraction", "0.25", *QUICK)[0] == 0
    path = ["--path", "conv32k3", "--width", "0.25", "--epochs", "1", "--quiet"]
    assert replaytree("retrain", "--dataset", "a.npz", *path)[0] == 2
    assert replaytree("retrain", "--dataset", "a.npz", "--channel-axis", "first", *path)[0] == 0
    assert [each["name"] for each in json.loads(replaytree("list", "--json")[1])] == ["a-1"]


def test_a_test_part_in_memory(here):
    """No evaluator sees it; the best model is measured with it."""
    images, labels = arrays(40, 0)
    data = from_arrays(images, labels, test=arrays(10, 1))
    search = Search(data=data, storage="sqlite://", max_layers=2, epochs_first=1, epochs_last=1, width=0.25)
    search.run(trainings=1)
    assert search.data.test is not None
    seen = [each for each in vars(search.workers.evaluator).values() if isinstance(each, ImageData)]
    assert [each.test for each in seen] == [None]
    model = search.best_model(epochs=2, folder=None)
    images, labels = arrays(10, 1)
    right = [name == str(label) for name, label in zip(model.predict(images), labels, strict=True)]
    assert model.description.test_accuracy == pytest.approx(sum(right) / 10)
