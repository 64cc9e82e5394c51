"""`baseline` as a user meets it: after a search and a retraining, and what `best` and `report` say then."""

import csv
import io
import json
import re
import sqlite3
import sys
from functools import partial
from pathlib import Path
from urllib.error import URLError

import pytest

from replaytree import cli
from replaytree.cli.baselines import Wish
from replaytree.config.retraining import RetrainOptions
from replaytree.deliver.weights import read_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("baselines")


@pytest.fixture
def replaytree(folder, monkeypatch, capsys):
    """In a folder with a search of digits, retrained with 2 seeds, and with two baselines."""
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
        options = ["--epochs", 1, "--train-limit", 200, "--max-layers", 2, "--quiet"]
        assert run("run", "--name", "d", "--trainings", 2, "--max-params", "30k", *options)[0] == 0
        # Nothing is known, and the report says what would tell.
        assert run("report", "d")[0] == 0
        (folder / "before.html").write_text((folder / "reports/d/index.html").read_text())
        code, _, err = run("retrain", "d", "--epochs", 2, "--seeds", 2, "--train-limit", 300, "--cutout", 1, "--quiet")
        assert (code, err) == (0, "")
        code, out, err = run("baseline", "d", "resnet8", "linear")
        assert (code, err) == (0, "")
        (folder / "trained.txt").write_text(out)
    return run


def verdict(page):
    return re.search(r'id="answer-title">.*?</h1>\n<p>(.*?)</p>', page, re.S)[1]


def test_a_compiled_baseline_has_the_recipe_of_the_answer():
    assert not Wish().is_own
    assert not Wish(recipe=RetrainOptions(compile=True)).is_own
    assert Wish(recipe=RetrainOptions(compile=True, cutout=1)).is_own
    assert Wish(preset="darts-final").is_own


def test_what_is_printed(replaytree, folder):
    out = (folder / "trained.txt").read_text()
    lines = out.splitlines()
    assert lines[0] == "scaled to the search's limits: at most 30,000 parameters"
    label, width = re.match(r"(resnet8-w(0\.\d+)): ([\d,]+) parameters", lines[1]).groups()[:2]
    # 78,042 parameters grow about as the square of the width.
    assert float(width) == pytest.approx((30_000 / 78_042) ** 0.5, abs=0.02)
    # 64 pixels, 10 classes.
    assert lines[1].endswith("FLOPs")
    assert "linear: 650 parameters, 640 FLOPs" in lines
    assert sum(f"{label}  seed" in line for line in lines) == 2
    assert f"{label}  validation accuracy: mean 0." in out
    assert "the figure is optimistic" not in out
    assert out.endswith("Next:\n  replaytree report d\n")


def test_the_database_says_how_they_were_trained(replaytree):
    columns = "baseline, labels, seed, epochs, validation_accuracy, validation_image_count, params, training_json"
    with sqlite3.connect("replaytree.db") as connection:
        rows = connection.execute(f"select {columns}, weights_path from models").fetchall()
    assert [(row[0], row[2], row[3]) for row in rows] == [
        (None, 0, 2), (None, 1, 2), ("resnet8", 0, 2), ("resnet8", 1, 2), ("linear", 0, 2), ("linear", 1, 2),
    ]  # fmt: skip
    assert all(0.0 < row[4] < 1.0 and row[5] == 180 for row in rows)
    assert all(row[6] <= 30_000 for row in rows[2:])
    trained = [json.loads(row[7]) for row in rows]
    assert {each["cutout"] for each in trained} == {1}
    assert {each["train_limit"] for each in trained} == {300}
    assert len({each["trained_on"] for each in trained}) == 1
    assert [each["learning_rate"] for each in trained] == [0.1] * 4 + [0.01] * 2
    # The weights file has the network. Some have biases of 4 bytes each.
    flash = [each["flash_bytes"] for each in trained]
    assert flash == [read_weights(Path(row[8]))[1].flash_bytes for row in rows]
    assert all(bytes_ > row[6] for bytes_, row in zip(flash, rows, strict=True))
    assert replaytree("db", "check")[0] == 0


def test_best_and_report_set_them_beside_the_answer(replaytree, folder):
    code, out, err = replaytree("best", "d")
    assert (code, err) == (0, "")
    table = out[out.index("network ") :]
    assert re.search(r"^node \d+, retrained .*\nresnet8-w\S+ .*\nlinear ", table, re.M)
    assert replaytree("report", "d")[0] == 0
    page = (folder / "reports/d/index.html").read_text()
    sentence = verdict(page)
    assert re.search(
        r"baseline within the search’s limits, (resnet8-w\S+|linear) \(0\.\d{4}\): [+−]\d+\.\d points", sentence
    )
    assert "on 180 validation images (2 seeds)" in sentence
    assert sentence in out.replace("'", "&#39;")


def test_programs_get_the_networks_as_rows_of_their_own(replaytree):
    code, out, err = replaytree("best", "d", "-k", 1, "--json")
    assert (code, len(json.loads(out)), "kind" in json.loads(out)[0]) == (0, 1, False)
    # Of each there are two models.
    assert err == (
        "note: 2 baselines are not among these rows; `replaytree best d --baselines --format json` prints the networks "
        "that were trained\n"
    )
    code, out, err = replaytree("best", "d", "--baselines", "--json")
    assert (code, err) == (0, "")
    answer, resnet, linear = rows = json.loads(out)
    assert [row["kind"] for row in rows] == ["answer", "baseline", "baseline"]
    assert [row["seed_count"] for row in rows] == [2, 2, 2]
    assert (linear["network"], linear["node_id"], linear["part"]) == ("linear", None, "validation")
    with sqlite3.connect("replaytree.db") as connection:
        mean = "select avg(validation_accuracy) from models where"
        assert connection.execute(f"{mean} baseline = 'linear'").fetchone()[0] == pytest.approx(linear["accuracy"])
        assert connection.execute(f"{mean} baseline is null").fetchone()[0] == pytest.approx(answer["accuracy"])
    for row in (resnet, linear):
        assert row["answer_ahead"] == pytest.approx(answer["accuracy"] - row["accuracy"])
        assert row["answer_ahead_low"] < row["answer_ahead"] < row["answer_ahead_high"]
        assert row["flash_bytes"] > row["params"]
    found = list(csv.DictReader(io.StringIO(replaytree("best", "d", "--baselines", "--format", "csv")[1])))
    assert [row["accuracy"] for row in found] == [str(row["accuracy"]) for row in rows]
    table = replaytree("best", "d")[1]
    assert table.endswith("\n\n" + replaytree("best", "d", "--baselines")[1])


def test_only_networks_are_asked_for_alone(replaytree):
    code, out, err = replaytree("best", "d", "--baselines", "-k", 3, "--pareto", "--max-ram", "1k")
    assert (code, out) == (2, "")
    assert err == (
        "Error: --baselines shows all networks that were trained in full; leave out -k, --max-ram, --pareto\n"
    )


def test_before_there_are_any_the_report_says_what_would_tell(replaytree, folder):
    page = (folder / "before.html").read_text()
    assert verdict(page).startswith(
        "Whether the search beats a hand-made network is not known: no baseline was trained."
    )
    commands = re.findall(r'data-command="verdict\d">(.*?)</code>', page)
    assert [command.split()[:3] for command in commands] == [
        ["replaytree", "retrain", "d"],
        ["replaytree", "baseline", "d"],
    ]


def test_a_finished_baseline_is_not_trained_again_and_exported_by_its_file(replaytree, folder):
    code, out, _ = replaytree("baseline", "d", "linear", "--quiet")
    assert (code, out.count("trained earlier")) == (0, 2)
    file = next((folder / "models").glob("d-linear-*-seed0.safetensors"))
    code, out, err = replaytree("export", file, "--format", "python", "--out", "linear.py")
    assert (code, err) == (0, "")
    assert "650 parameters" in out
    # `export d` is of what the search found, though baselines were trained last.
    code, out, _ = replaytree("export", "d", "--format", "python", "--out", "answer.py")
    assert code == 0
    assert re.search(r"from d-node\d+-2-epochs", out)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["d", "resnet9"],
            "'resnet9' is not a baseline; these are: resnet8, resnet18, mobilenet-v3-small, ds-cnn, linear",
        ),
        (["e"], "no search 'e' in"),
        (["d", "--momentum", "1"], "momentum is 1.0"),
        (["d", "--epochs", "0"], "'--epochs': 0 is less than 1"),
    ],
)
def test_mistakes_are_one_line(replaytree, words, line):
    code, out, err = replaytree("baseline", *words, "--quiet")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err


def test_the_names_in_help_are_those_of_the_networks():
    from replaytree.cli.baselines import NAMES, names_like
    from replaytree.deliver.baseline_networks import BASELINES

    assert list(NAMES) == list(BASELINES)
    assert names_like("resnet1") == ["resnet18"]


def test_run_trains_them_after_the_search_and_pretrained_weights_that_cannot_be_had_are_one_line(
    replaytree, tmp_path, monkeypatch
):
    def refuse(*args, **options):
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("REPLAYTREE_STORAGE", f"sqlite:///{tmp_path}/run.db")
    monkeypatch.setattr(sys.modules["replaytree.cli.run"], "Wish", partial(Wish, names=("linear",), epochs=1))
    options = ["--epochs", 1, "--train-limit", 100, "--max-layers", 2, "--quiet"]
    code, out, err = replaytree("run", "--name", "r", "--trainings", 1, *options, "--baselines")
    assert (code, err) == (0, "")
    assert re.search(r"best of .*\n\nlinear  seed 0: validation accuracy .*\nlinear  validation", out, re.S)
    code, out, err = replaytree("baseline", "r", "mobilenet-v3-small", "--pretrained", "--quiet")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("Error: the weights of mobilenet-v3-small cannot be had from https://")
    code, _, err = replaytree("baseline", "r", "linear", "--pretrained", "--quiet")
    assert (code, err) == (
        2, "Error: linear has no pretrained weights; these have: resnet18, mobilenet-v3-small\n"
    )  # fmt: skip


def test_a_text_has_no_baselines(replaytree, tmp_path):
    words = "the cat sat on the mat\n" * 60
    for part in ("train", "valid"):
        (tmp_path / f"{part}.txt").write_text(words)
    line = "--baselines are networks for images, and the data are text; leave it out"
    code, out, err = replaytree("run", "--dataset", tmp_path, "--baselines", "--trainings", 1)
    assert (code, out, err) == (2, "", f"Error: {line}\n")
