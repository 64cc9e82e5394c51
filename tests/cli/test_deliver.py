"""`retrain`, `export`, `predict`, and choosing with `best`, as a user meets them."""

import csv
import io
import json
import re
import shutil
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import replaytree as package
from replaytree import cli

QUICK = ["--epochs", "1", "--train-limit", "200", "--max-layers", "2", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which digits were searched with 3 trainings, and its best node retrained with 2 seeds."""
    return tmp_path_factory.mktemp("deliver")


@pytest.fixture
def replaytree(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for name in ("REPLAYTREE_STORAGE", "REPLAYTREE_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    if not (folder / "replaytree.db").exists():
        assert run("run", "--name", "first", "--trainings", 3, *QUICK)[0] == 0
        code, out, err = run("retrain", "first", "--epochs", 3, "--seeds", 2, "--quiet")
        assert (code, err) == (0, "")
        (folder / "retrained.txt").write_text(out)
    return run


def test_an_export_takes_the_width_that_was_retrained_last(replaytree):
    storage = ["--storage", "sqlite:///wide.db"]
    assert replaytree("run", "--name", "wide", "--trainings", 1, *QUICK, *storage)[0] == 0
    params = []
    for width in (0.25, 1):
        place = f"at-{width}"
        code, _out, err = replaytree(
            "retrain", "wide", "--width", width, "--epochs", 1, "--out", place, "--quiet", *storage
        )
        assert (code, err) == (0, "")
        [file] = Path(place).glob("*.safetensors")
        params.append(package.load(file).description.params)
    assert params[0] < params[1]
    code, _out, err = replaytree("export", "wide", "--out", "wide.onnx", *storage)
    assert code == 0
    assert "note: wide has 2 retrainings; this is the last" in err
    assert package.load("wide.onnx").description.params == params[1]


@pytest.fixture
def weights(replaytree, folder):
    return next((folder / "models").glob("*-seed0.safetensors"))


def test_retrain_prints_each_seed_the_mean_and_what_is_next(replaytree, folder):
    out = (folder / "retrained.txt").read_text()
    accuracies = [float(text) for text in re.findall(r"seed \d: validation accuracy (0\.\d{4}) \(no test split\)", out)]
    mean, deviation = re.search(r"mean (\S+), standard deviation (\S+), over 2 seeds", out).groups()
    assert float(mean) == pytest.approx(np.mean(accuracies), abs=1e-4)
    assert float(deviation) == pytest.approx(np.std(accuracies, ddof=1), abs=1e-4)
    # Both seeds are measured on the 180 validation images.
    assert re.search(r"\n95 % interval 0\.\d{4} to \S+ \(seeds alone: .*; 180 images alone: ", out)
    assert "Next:" not in out
    with sqlite3.connect("replaytree.db") as connection:
        rows = connection.execute("select seed, epochs, test_accuracy, weights_path from models").fetchall()
    assert [row[:3] for row in rows] == [(0, 3, None), (1, 3, None)]
    assert rows[0][3].endswith("-3-epochs-seed0.safetensors")


def test_retrain_a_path_without_a_search(replaytree, tmp_path):
    storage = f"sqlite:///{tmp_path}/new.db"
    options = ["--dataset", "digits", "--width", 0.25, "--epochs", 1, "--storage", storage, "--out", tmp_path]
    code, out, err = replaytree("retrain", "--path", "conv32k3, max2s2", *options)
    assert (code, err) == (0, "")
    assert "seed 0  epoch 1/1  loss" in out
    assert re.match(r"training on \d+ images; there is no test split, so the 180 validation images stay out of it", out)
    assert f"--format onnx --out model.onnx\n  replaytree predict {tmp_path}" in out
    weights = next(tmp_path.glob("digits-2-layers-*-1-epochs-seed0.safetensors"))
    assert replaytree("export", weights, "--format", "python", "--out", tmp_path / "net.py")[0] == 0
    code, out, _ = replaytree("retrain", "--path", "conv32k3 max2s2", *options)
    assert "trained earlier" in out
    wider = [*options[:3], 0.5, *options[4:]]
    assert "digits-2-layers" in replaytree("retrain", "--path", "conv32k3 max2s2", *wider)[1]


def test_a_search_keeps_its_finished_models_under_another_name(replaytree, folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    assert replaytree("retrain", "first", "--epochs", 1, "--quiet")[0] == 0
    before = sorted(file.name for file in (tmp_path / "models").glob("*.safetensors"))
    assert replaytree("rename", "first", "cars")[0] == 0
    out = replaytree("retrain", "cars", "--epochs", 1, "--quiet")[1]
    assert re.search(r"seed 0: .*, trained earlier, models/first-node\d+-1-epochs-seed0.safetensors", out)
    assert sorted(file.name for file in (tmp_path / "models").glob("*.safetensors")) == before
    # Other epochs, or another folder, are another training.
    assert "models/cars-node" in replaytree("retrain", "cars", "--epochs", 2, "--quiet")[1]
    assert "other/cars-node" in replaytree("retrain", "cars", "--epochs", 1, "--quiet", "--out", "other")[1]


@pytest.mark.parametrize("form", ["onnx", "pt2", "safetensors", "python"])
def test_export_verifies_and_predict_reads_it(replaytree, tmp_path, form):
    file = tmp_path / f"model{ {'python': '.py'}.get(form, '.' + form) }"
    # The name of the file says which form is meant.
    code, out, err = replaytree("export", "first", "--out", file)
    assert (code, err) == (0, "")
    assert re.search(
        r"^verified on 180 images: 0 predictions differ from PyTorch's, outputs within \d\.\de[-+]\d\d$", out, re.M
    )
    # The only accuracy is that of images that the training had not seen.
    assert re.findall(r"accuracy.*", out) == [re.search(r"accuracy 0\.\d{4} \(no test split\), as retrained", out)[0]]
    Image.new("L", (8, 8), 9).save(tmp_path / "a.png")
    code, out, _ = replaytree("predict", file, tmp_path / "a.png", "--format", "json")
    assert code == 0
    assert json.loads(out)[0]["file"] == str(tmp_path / "a.png")


def test_an_int8_file_says_what_it_lost_and_predict_reads_it(replaytree, tmp_path):
    file = tmp_path / "small.onnx"
    code, out, err = replaytree("export", "first", "--format", "onnx-int8", "--out", file, "--accept-drop",
                                "--calibration-images", 50)  # fmt: skip
    assert (code, err) == (0, "")
    assert re.search(r"^validation accuracy 0\.\d{4} \(no test split\), as retrained, in float$", out, re.M)
    said = (
        r"^verified on 180 validation images: accuracy (\S+) in int8, (\S+) in float; (\d+) predictions differ; ranges "
    )
    assert re.search(said + "from 50 training images$", out, re.M)
    Image.new("L", (8, 8), 9).save(tmp_path / "a.png")
    code, out, _ = replaytree("predict", file, tmp_path / "a.png", "--format", "json")
    assert (code, json.loads(out)[0]["file"]) == (0, str(tmp_path / "a.png"))


def test_export_to_a_name_that_says_no_form(replaytree, tmp_path):
    code, out, err = replaytree("export", "first", "--out", tmp_path / "model")
    assert (code, out) == (2, "")
    ends = "must end in .onnx, .pt2, .safetensors, .py, .tflite (--out)"
    assert err == f"Error: out is {tmp_path}/model; the name of the file {ends}\n"


def test_export_of_a_node_and_a_seed(replaytree, tmp_path):
    node = json.loads(replaytree("best", "first", "-k", 1, "--format", "json")[1])[0]
    options = ["--format", "safetensors", "--node", node["labels"], "--seed", 1]
    assert replaytree("export", "first", *options, "--out", tmp_path / "m.safetensors")[0] == 0
    assert package.load(tmp_path / "m.safetensors").description.seed == 1


def test_export_takes_what_was_retrained_last_and_says_so(replaytree, folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    to = ["--out", "m.safetensors", "--force"]
    node = json.loads(replaytree("best", "first", "-k", 1, "--format", "json")[1])[0]["node_id"]
    retrain = ("retrain", "first", "--epochs", 1, "--width", 0.1, "--quiet")
    assert replaytree(*retrain, "--out", "early")[0] == 0
    assert replaytree(*retrain, "--out", "late", "--flip")[0] == 0
    for options in ([], ["--node", node], ["--node", node, "--seed", 0]):
        code, out, err = replaytree("export", "first", *options, "--format", "safetensors", *to)
        assert (code, f", from first-node{node}-1-epochs-seed0.safetensors" in out) == (0, True)
        # That of the fixture, with two seeds, and two here.
        early = (tmp_path / "early" / f"first-node{node}-1-epochs-seed0.safetensors").resolve()
        assert err == (
            f"note: first has 3 retrainings; this is the last, of node {node}, 1 epoch, seed 0; name another by "
            f"--node, --seed, or its file instead of first, as {early}\n"
        )
        assert package.load("m.safetensors").description.training["flip"] is True
    # The models that were trained before: of a seed that the last retraining had not, and of an epoch more.
    code, out, err = replaytree("export", "first", "--seed", 1, "--format", "safetensors", *to)
    assert (code, "3-epochs-seed1" in out, err) == (0, True, "")
    code, out, err = replaytree("export", early, "--format", "safetensors", *to)
    assert (code, package.load("m.safetensors").description.training["flip"], err) == (0, False, "")
    assert replaytree("retrain", "first", "--epochs", 3, "--quiet")[0] == 0
    assert "3-epochs-seed0" in replaytree("export", "first", "--format", "safetensors", *to)[1]
    readable = stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode)
    (tmp_path / "plain").touch()
    assert readable == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_predictions_as_table_json_and_csv(replaytree, weights, tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("L", (8, 8), len(name)).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"no picture")
    found = {
        form: replaytree("predict", weights, tmp_path, "-k", 2, "--format", form) for form in ("table", "json", "csv")
    }
    rows = json.loads(found["json"][1])
    assert [row["rank"] for row in rows] == [1, 2, 1, 2]
    assert [{**row, "rank": str(row["rank"]), "probability": str(row["probability"])} for row in rows] == list(
        csv.DictReader(io.StringIO(found["csv"][1]))
    )
    assert all(f"{row['probability']:.4f}" in found["table"][1] for row in rows)
    for code, _, err in found.values():
        assert code == 1
        assert f"cannot be read: {tmp_path / 'c.png'}" in err
        assert "1 of 3 images cannot be read" in err


def test_what_is_no_picture_says_what_predict_takes(replaytree, weights, tmp_path):
    """A path alone is one line, and what is no picture does not count as one that cannot be read."""
    (tmp_path / "labels.csv").write_text("file,label\na.png,3\n")
    Image.new("L", (8, 8), 1).save(tmp_path / "a.png")
    code, out, err = replaytree("predict", weights, tmp_path / "labels.csv")
    assert (code, out) == (2, "")
    assert err == (
        f"cannot be read: {tmp_path / 'labels.csv'}: it is no picture; predict takes pictures, folders of them, and "
        f".npy and .npz files of images\n"
    )
    code, _, err = replaytree("predict", weights, tmp_path / "gone")
    assert (code, err) == (2, f"cannot be read: {tmp_path / 'gone'}: there is no such file or folder\n")
    code, out, err = replaytree("predict", weights, tmp_path / "gone", tmp_path / "a.png")
    assert (code, "a.png" in out, err.count("\n")) == (1, True, 1)


def test_a_search_is_no_model_to_predict_with(replaytree, weights, folder, tmp_path):
    Image.new("L", (8, 8), 1).save(tmp_path / "a.png")
    code, out, err = replaytree("predict", "first", tmp_path / "a.png")
    assert (code, out) == (2, "")
    said = re.fullmatch(
        r"Error: first is a search, and predict takes the file of a model; .*: `replaytree (.*)`\n", err
    )
    words = said[1].split()
    last = Path(words[1])
    assert (words[0], last.parent, words[2]) == ("predict", folder / "models", str(tmp_path / "a.png"))
    assert replaytree(*words)[0] == 0
    assert "there is no model file second" in replaytree("predict", "second", tmp_path / "a.png")[2]


def test_a_model_of_images_predicts_no_words(replaytree, weights):
    code, out, err = replaytree("predict", weights, "--text", "the number of")
    assert (code, out) == (2, "")
    assert err.strip() == (f"Error: --text is for models of text, and {weights} is one of images; give pictures")


def test_best_on_the_front_with_latency(replaytree):
    rows = json.loads(replaytree("best", "first", "-k", 99, "--format", "json")[1])
    front = json.loads(replaytree("best", "first", "--pareto", "-k", 99, "--format", "json")[1])
    assert 0 < len(front) <= len(rows)
    for row in front:
        assert not any(
            other["average_accuracy"] > row["average_accuracy"]
            and other["params"] <= row["params"]
            and other["flops"] <= row["flops"]
            for other in rows
        )
    timed = json.loads(replaytree("best", "first", "--measure-latency", "-k", 2, "--format", "json")[1])
    assert all(row["latency_ms"] > 0.0 for row in timed)
    assert " ms  layers" in replaytree("best", "first", "--measure-latency", "-k", 2)[1]


def test_limits_hold_for_every_node(replaytree):
    limits = {"--max-params": 2000, "--max-flops": 50_000, "--max-ram": 600, "--max-flash": 1800}
    options = ["--trainings", 4, *(word for limit in limits.items() for word in limit), "--name", "small", *QUICK]
    assert replaytree("run", *options)[0] == 0
    assert replaytree("resume", "small", "--trainings", 1, "--quiet")[0] == 0
    rows = json.loads(replaytree("best", "small", "-k", 99, "--format", "json")[1])
    assert rows
    costs = ("params", "flops", "ram_bytes", "flash_bytes")
    assert all(row[cost] <= limit for row in rows for cost, limit in zip(costs, limits.values(), strict=True))


def test_run_writes_for_tensorboard_and_says_what_is_imbalanced(replaytree, tmp_path):
    rng = np.random.default_rng(0)
    for name, count, mode in (("few", 6, "RGBA"), ("many", 40, "L")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (11, 7, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(tmp_path / "pictures" / name / f"{number}.png")
    code, _, err = replaytree(
        "run", "--dataset", tmp_path / "pictures", "--image-size", 8, "--trainings", 1, "--epochs", 1,
        "--max-layers", 2, "--reward", "macro-f1", "--class-weights", "balanced", "--tensorboard", tmp_path / "log",
    )  # fmt: skip
    assert code == 0
    assert "note: classes with fewer than 20 training images: few (5)" in err
    assert "note: classes are imbalanced: many has 36 training images, few 5 (7.2 times)" in err
    assert "the figures of this search are macro F1 on the validation images (--reward macro-f1)" in err
    assert len(list((tmp_path / "log").iterdir())) == 1


def idx(magic, array):
    header = b"".join(int(n).to_bytes(4, "big") for n in (magic, *array.shape))
    return header + array.astype(np.uint8).tobytes()


def test_the_search_remembers_where_its_data_lie(replaytree, tmp_path):
    raw = tmp_path / "elsewhere" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 200), ("t10k", 30)):
        labels = np.arange(count) % 10
        images = np.zeros((count, 8, 8)) + 25 * labels[:, None, None]
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(2051, images))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(2049, labels))
    options = ["--dataset", "mnist", "--data-dir", tmp_path / "elsewhere", "--name", "m", "--trainings", 1]
    assert replaytree("run", *options, "--epochs", 1, "--max-layers", 2, "--quiet")[0] == 0
    code, out, err = replaytree("retrain", "m", "--epochs", 1, "--quiet")
    assert (code, err) == (0, "")
    assert re.search(r"seed 0: test accuracy [01]\.\d{4}, ", out)
    assert "verified on 20 " in replaytree("export", "m", "--format", "pt2", "--out", tmp_path / "m.pt2")[1]
    search = package.Search.resume("m")
    assert search.best_model(epochs=2).description.test_accuracy is not None


MISTAKES = [
    (["retrain"], "give the name of a search.*or --dataset and --path"),
    (["retrain", "--dataset", "digits"], "or --dataset and --path"),
    (["retrain", "--path", "conv32k3"], "or --dataset and --path"),
    (["retrain", "nobody"], "no search 'nobody'.*it has: first"),
    (["retrain", "first", "--node", "99999"], "search 'first' has no node '99999'"),
    (["retrain", "first", "--node", "1", "--path", "conv32k3"], "--node and --path were both given"),
    (["retrain", "first", "--dataset", "mnist"], "brings its own images"),
    (["retrain", "--dataset", "digits", "--path", "conv32k3", "--node", "3"], "--node 3 is a node of a search"),
    (["retrain", "first", "--path", "max2s2 max2s2 max2s2 conv32k3s2"], "layer 4, conv32k3s2, is illegal"),
    (["retrain", "first", "--path", "conv32k3 conf64k3"], "layer 2 is 'conf64k3'.*did you mean"),
    (["retrain", "first", "--path", "99"], "layer 1 is 99, which is no index"),
    (["retrain", "first", "--epochs", "0"], "'--epochs': 0 is less than 1"),
    (["export", "first", "--max-drop", "nan"], "'--max-drop': nan is not a finite number;"),
    (["retrain", "first", "--width", "-1"], r"width is -1.0.*\(--width\)"),
    (["retrain", "first", "--device", "cuda:9"], "device is 'cuda:9'"),
    (["export", "first", "--format", "onnx", "--out", "m.pt"], r"must end in \.onnx"),
    (["export", "first", "--format", "onnx", "--out", "nowhere/m.onnx"], "folder nowhere does not exist"),
    (["export", "first", "--format", "onnx", "--out", "m.onnx", "--seed", "7"], "no trained model with seed 7"),
    (["export", "first", "--format", "onnx", "--out", "m.onnx", "--node", "99999"], "has no node '99999'"),
    (["export", "gone.safetensors", "--format", "onnx", "--out", "m.onnx"], "there is no model file gone.safetensors"),
    (["export", "first", "--format", "keras", "--out", "m"], "'keras' is not one of"),
    (["export", "first", "--out", "m.onnx", "--max-drop", "0.1"], "--format onnx is not of 8 bits"),
    (["export", "first", "--out", "m.onnx", "--format", "onnx-int8", "--max-drop", "2"],
     r"max_drop is 2.*\(--max-drop\)"),
    (["export", "first", "--out", "m.onnx", "--format", "onnx-int8", "--calibration-images", "9999"],
     "calibration_images is 9,999, and there are 1,617 training images"),
    (["predict", "gone.onnx", "a.png"], "there is no model file gone.onnx"),
    (["run", "--max-params", "10"], "no path of 6 layers obeys --max-params 10"),
    (["run", "--max-flops", "0"], "max_flops is 0"),
    (["run", "--max-ram", "50"], r"obeys --max-ram 50: the cheapest first layer, avg2s2, has 80 bytes of RAM"),
    (["run", "--max-flash", "10"], r"obeys --max-flash 10: the cheapest first layer, \S+, has 50 bytes of flash"),
    (["run", "--max-ram", "a lot"], "--max-ram is 'a lot'; write a whole number, as in 12, 100k or 5M"),
    (["run", "--cost-weight", "0.5", "--target-params", "100"], "cost_weight is 0.5"),
    (["run", "--reward", "f1"], "reward is 'f1'; it must be one of accuracy, balanced, macro-f1"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "message"), MISTAKES, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_a_mistake_gets_exit_code_2_and_one_clear_message(replaytree, args, message):
    code, out, err = replaytree(*args)
    assert code == 2
    assert re.search(message, " ".join(err.split()))
    assert "Traceback" not in out + err


def test_a_node_of_another_search(replaytree):
    assert replaytree("run", "--name", "second", "--trainings", 1, "--seed", 5, *QUICK)[0] == 0
    other = json.loads(replaytree("best", "second", "-k", 1, "--format", "json")[1])[0]
    code, _, err = replaytree("retrain", "first", "--node", other["node_id"])
    assert code == 2
    assert f"search 'first' has no node '{other['node_id']}'" in err


def test_a_taken_output_and_a_tampered_model(replaytree, weights, tmp_path):
    out = tmp_path / "m.safetensors"
    command = ["export", "first", "--format", "safetensors", "--out", out]
    assert replaytree(*command)[0] == 0
    code, _, err = replaytree(*command)
    assert code == 2
    assert "exists; choose another --out, or give --force" in err
    assert replaytree(*command, "--force")[0] == 0
    content = bytearray(out.read_bytes())
    content[-1] ^= 1
    out.write_bytes(content)
    code, _, err = replaytree("predict", out, tmp_path)
    assert code == 2
    assert "was changed after it was written" in err


def test_the_python_interface(replaytree):
    search = package.Search.resume("first")
    model = search.best_model(epochs=1)
    assert search.best_model(epochs=1).predict(search.data.val_images) == model.predict(search.data.val_images)
    memory = search.best_model("1", epochs=1, folder=None)
    assert memory.predict_proba(search.data.val_images).shape == (180, 10)
    data = package.from_arrays(np.zeros((40, 8, 8), np.uint8), np.arange(40) % 2)
    own = package.Search(data=data, name="arrays", epochs_first=1, epochs_last=1, max_layers=2).run(trainings=1)
    assert own.best_model(epochs=1).description.data is None
    code, _, err = replaytree("retrain", "arrays")
    assert code == 2
    assert "images from memory" in err
    code, _, err = replaytree("export", "arrays", "--format", "onnx", "--out", "m.onnx")
    assert code == 2
    assert "does not say where its images are (they were in memory" in err
    space = package.LabelSpace(["a"], max_layers=2)

    class Table:
        def evaluate(self, paths, *, budget, seed):
            return [package.PathEvaluation([0.5] * len(path)) for path in paths]

    labels = package.Search(space=space, evaluator=Table(), name="labels", storage="sqlite://").run(trainings=1)
    with pytest.raises(ValueError, match="no layers to build"):
        labels.best_model()
