"""`retrain`, `export` and `predict` at the command line: what they print, the commands in it, and what goes wrong."""

import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
from PIL import Image

from replaytree import Search, cli
from replaytree.deliver.load import load
from replaytree.tree import ReplayTree


@pytest.fixture
def replaytree(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPLAYTREE_STORAGE", raising=False)

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def picture(tmp_path, digits):
    def picture(name):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.val_images[0, 0].numpy()).save(file, format="png")
        return file

    return picture


PATH = ("retrain", "--dataset", "digits", "--path", "conv32k3 max2s2", "--width", 0.25, "--epochs", 1, "--quiet")


def test_every_printed_command_runs(replaytree, tmp_path, pictures):
    """With names that a shell would split, a database elsewhere, moved pictures, and a limit of the search."""
    pictures = pictures.rename(tmp_path / "my pictures")
    storage = f"sqlite:///{tmp_path}/a b.db"
    where = ["--storage", storage]
    run = ["--dataset", pictures, "--image-size", 8, "--max-layers", 2, "--epochs", 1, "--max-flops", 60_000]
    code, _, err = replaytree("run", "--name", "it's mine", "--trainings", 2, "--quiet", *run, *where)
    assert code == 0, err
    code, _, err = replaytree("export", "it's mine", "--format", "python", "--out", "m.py", *where)
    assert (code, err.count("\n")) == (2, 1)
    (advised,) = re.findall(r"`(replaytree .*)`", err)
    assert "--storage" in advised
    pictures = pictures.rename(tmp_path / "moved away")
    there = ["--data-dir", pictures]
    code, out, err = replaytree(*shlex.split(advised)[1:], *there, "--epochs", 1, "--out", "my models")
    assert code == 0, err
    assert "--data-dir" in out
    commands = re.findall(r"^  (replaytree .*)$", out, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command.replace(" IMAGES...", f" {shlex.quote(str(pictures / 'test'))}"))[1:]
        code, out, err = replaytree(*words)
        assert (code, err) == (0, "")
        if words[0] == "export":
            flops = load("model.onnx").description.flops
            assert f"{flops:,} multiply-adds an image (at most 60,000)" in out
            assert f"{(tmp_path / 'model.onnx').stat().st_size:,} bytes" in out
            accuracy = load("model.onnx").description.test_accuracy
            assert f"test accuracy {accuracy:.4f}, as retrained" in out
    code, out, err = replaytree(*shlex.split(commands[0])[1:], "--mirror", "--force")
    assert f"{2 * flops:,} multiply-adds an image (at most 60,000)" in out
    assert ("warning: " in err) == (2 * flops > 60_000)
    assert "with the mirror image, as retrained" in out


def test_the_advice_for_a_search_without_a_trained_prefix_runs(replaytree, tmp_path):
    storage = f"sqlite:///{tmp_path}/a b.db"
    few = {"train_limit": 60, "val_fraction": 0.02, "max_layers": 1, "min_layers": 1, "width": 0.1}
    Search(dataset="digits", name="it's new", storage=storage, epochs_first=1, epochs_last=1, **few)
    code, _, err = replaytree("retrain", "it's new", "--storage", storage)
    assert (code, err.count("\n")) == (2, 1)
    (advised,) = re.findall(r"no evaluated prefix yet; `(replaytree resume .*)`", err)
    assert replaytree(*shlex.split(advised)[1:], "--quiet")[0] == 0
    assert ReplayTree.open(storage, "it's new").info().training_count == 10
    assert replaytree("retrain", "it's new", "--epochs", 1, "--quiet", "--storage", storage)[0] == 0


def test_commands_of_a_path_without_a_search_run(replaytree, picture):
    code, out, _ = replaytree(*PATH[:-1], "--out", "it's", "--mirror", "--storage", "sqlite:///x y.db")
    assert code == 0
    assert "validation accuracy" in out
    assert "with the mirror image" in out
    export, predict = re.findall(r"^  (replaytree .*)$", out, re.MULTILINE)
    assert "--mirror" in export
    for command in (export, predict.replace("IMAGES...", str(picture("a.png")))):
        code, _, err = replaytree(*shlex.split(command)[1:])
        assert (code, err) == (0, "")


def test_the_reported_accuracy_is_the_same_everywhere(replaytree, tmp_path, pictures):
    path = ["--dataset", pictures, "--image-size", 8, *PATH[3:]]
    for mirror in ([], ["--mirror"]):
        out = replaytree("retrain", *path, *mirror)[1]
        (weights,) = (tmp_path / "models").glob("*.safetensors")
        described = load(weights).description
        assert described.mirror == bool(mirror)
        assert f"test accuracy {described.test_accuracy:.4f}" in out
        rows = sqlite3.connect("replaytree.db").execute("select test_accuracy from models").fetchall()
        assert rows == [(described.test_accuracy,)]
        out = replaytree("export", weights, "--format", "safetensors", "--out", "m.safetensors", "--force", *mirror)[1]
        assert load("m.safetensors").description.test_accuracy == described.test_accuracy
        assert f"test accuracy {described.test_accuracy:.4f}" in out


def test_a_corrected_test_split_is_measured_anew_and_said(replaytree, pictures):
    path = ["retrain", "--dataset", pictures, "--image-size", 8, *PATH[3:]]
    first = float(re.search(r"test accuracy (\S+),", replaytree(*path)[1])[1])
    for old, new in (("red", "other"), ("blue", "red"), ("other", "blue")):
        (pictures / "test" / old).rename(pictures / "test" / new)
    out = replaytree(*path)[1]
    assert "trained earlier, measured again because its images have changed" in out
    assert float(re.search(r"test accuracy (\S+),", out)[1]) == pytest.approx(1 - first)


NAMES = [
    "cat[final].png",
    "[/].png",
    "[bold]a[/bold].png",
    ":smile:.png",
    "a\nb.png",
    "\x1b[31m.png",
    "\udcff.png",
    "é.png",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_pictures_are_printed_as_they_are(replaytree, weights, picture, name):
    file = picture(name)
    shown = name.encode("unicode_escape").decode() if not name.isprintable() else name
    code, out, err = replaytree("predict", weights, file)
    assert (code, err) == (0, "")
    assert shown.rsplit("/", 1)[-1] in "".join(out.split("\n"))
    code, out, _ = replaytree("predict", weights, file, "--format", "json")
    assert json.loads(out)[0]["file"] == str(file)
    assert replaytree("predict", weights, file, "--format", "csv")[0] == 0


def test_what_can_be_predicted_is_and_the_rest_is_named(replaytree, weights, picture, tmp_path):
    good = [picture("a.png"), picture("folder/deep/b.png")]
    (tmp_path / "broken[1].png").write_bytes(b"no picture")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dead.png").symlink_to(tmp_path / "nothing")
    bad = ["missing.png", "broken[1].png", "empty", "pipe.png", "dead.png", "n" * 300 + ".png", "/dev/zero"]
    code, out, err = replaytree("predict", weights, *bad[:4], "a.png", *bad[4:], "folder", "--format", "json")
    assert code == 1
    assert [row["file"] for row in json.loads(out)] == ["a.png", "folder/deep/b.png"]
    lines = err.splitlines()
    assert len(lines) == len(bad) + 1
    for name in bad:
        assert any(line.startswith(f"cannot be read: {name}: ") for line in lines)
    # All but one of the bad paths are no images: they are missing, empty, or of another kind.
    assert lines[-1] == f"1 of {1 + len(good)} images cannot be read"
    code, out, err = replaytree("predict", weights, *bad)
    assert (code, out) == (2, "")


def written(folder):
    """Files of ours below a folder, beside the database and the cache of pictures."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return [file for file in files if "cache" not in file.parts and not file.name.startswith("replaytree.db")]


def full_disk(*_):
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_one_line_and_leaves_nothing(replaytree, tmp_path, weights, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        for form, name in (("onnx", "m.onnx"), ("pt2", "m.pt2"), ("python", "m.py"), ("safetensors", "m.safetensors")):
            code, out, err = replaytree("export", weights, "--format", form, "--out", name)
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert "No space left on device; make room there, or choose another place with --out" in err
        code, out, err = replaytree(*PATH)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "No space left on device; make room" in err
    assert written(tmp_path) == []


def terminate(*_):
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_leaves_nothing(replaytree, tmp_path, weights, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", terminate)
        code, _, _ = replaytree("export", weights, "--format", "python", "--out", "m.py")
        assert code == 143
        code, _, _ = replaytree(*PATH)
        assert code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    assert written(tmp_path) == []


def test_outputs_that_cannot_be(replaytree, tmp_path, weights):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "dead").symlink_to(tmp_path / "nothing")
    (tmp_path / "full.onnx").symlink_to("/dev/full")
    for out in (
        "file/m.onnx",
        "folder.onnx",
        "pipe.onnx",
        "full.onnx",
        "dead/m.onnx",
        "n" * 300 + ".onnx",
        "/dev/full",
    ):
        code, stdout, err = replaytree("export", weights, "--format", "onnx", "--out", out, "--force")
        assert (code, stdout, err.count("\n")) == (2, "", 1), out
        assert "--out" in err or "must end in" in err
    for out in ("file", "file/models", "dead", "pipe.onnx", "n" * 300, "/dev/full", "/proc/models"):
        code, stdout, err = replaytree(*PATH, "--out", out)
        assert (code, stdout, err.count("\n")) == (2, "", 1), out
        assert "--out" in err
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir() if file.name[0] == ".") == []


def test_an_export_of_pictures_says_that_it_cannot_be_verified(replaytree, tmp_path, pictures):
    assert replaytree("retrain", "--dataset", pictures, "--image-size", 8, *PATH[3:])[0] == 0
    (weights,) = (tmp_path / "models").glob("*.safetensors")
    assert replaytree("export", weights, "--format", "safetensors", "--out", "copy.safetensors")[0] == 0
    code, _, err = replaytree("export", "copy.safetensors", "--format", "onnx", "--out", "m.onnx")
    assert (code, err.count("\n")) == (2, 1)
    assert "does not say where its images are" in err


@pytest.mark.slow
def test_pairs_of_processes_that_retrain_the_same(tmp_path):
    """Of each pair one trains; the other says so, or comes so late that it finds the model finished."""
    command = [sys.executable, "-m", "replaytree", *map(str, PATH)]
    for _ in range(3):
        shutil.rmtree(tmp_path / "models", ignore_errors=True)
        pair = [
            subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        ended = [(*process.communicate(timeout=200), process.returncode) for process in pair]
        assert 0 in [code for _, _, code in ended]
        for out, err, code in ended:
            assert "Traceback" not in out + err
            assert code == 0 or re.fullmatch(r"Error: another process \(\d+\) is training .*\n", err)
        assert [file.suffix for file in (tmp_path / "models").iterdir()] == [".safetensors"]
