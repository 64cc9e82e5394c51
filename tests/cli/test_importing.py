"""`db import` of what is known from elsewhere, and a search that learns from it."""

import csv
import io
import json
import sqlite3

import pytest

from replaytree.space.costs import COSTS

CSV = "layers,accuracy,epochs\nconv32k3 max2s2,0.8,4\nres64,0.9,4\nconv32k3 res64,0.95,8\n"


@pytest.fixture
def known(here):
    (here / "known.csv").write_text(CSV)
    return here


def test_a_table_becomes_a_search_that_others_learn_from(replaytree, known):
    code, out, err = replaytree("db", "import", "known.csv", "--input", "1x8x8")
    assert (code, err) == (0, "")
    assert out == (
        "imported search 'known': 3 architectures of xu24, accuracy 0.8000 to 0.9500\n\nNext:\n"
        "  replaytree best known\n"
        "  replaytree run --warm-start known --strategy guided\n"
    )
    rows = json.loads(replaytree("best", "known", "--epochs", 4, "--json")[1])
    assert {row["labels"]: row["average_accuracy"] for row in rows} == {"res64": 0.9, "conv32k3 max2s2": 0.8}
    assert replaytree("db", "check") == (0, "ok: 1 search, 4 nodes\n", "")
    # The prefix conv32k3 was not measured: None, and never 0.
    with sqlite3.connect("replaytree.db") as connection:
        query = "select average_accuracy from architectures where labels = 'conv32k3'"
        assert connection.execute(query).fetchall() == [(None,)]
    options = [
        "--strategy",
        "guided",
        "--trainings",
        1,
        "--max-layers",
        2,
        "--epochs",
        1,
        "--train-limit",
        50,
        "--quiet",
    ]
    code, _, err = replaytree("run", "--name", "own", "--warm-start", "known", *options)
    assert (code, err) == (0, "")
    with sqlite3.connect("replaytree.db") as connection:
        query = "select epochs, total_accuracy from priors order by epochs, total_accuracy"
        assert connection.execute(query).fetchall() == [(4, 0.8), (4, 0.9), (8, 0.95)]
    # A second import gets another name, and a name that is taken is refused.
    assert "imported search 'known-2'" in replaytree("db", "import", "known.csv")[1]
    assert replaytree("db", "import", "known.csv", "--name", "own")[0] == 2
    # It is read, exported and imported like any search; its evaluator is nobody's.
    assert replaytree("db", "export", "known", "k.jsonl.gz")[0] == 0
    assert replaytree("db", "import", "k.jsonl.gz", "--name", "again")[0] == 0
    assert "its data or evaluator are of your own" in replaytree("resume", "known")[1]
    assert replaytree("report", "known")[0] == 0


def test_options_of_a_space(replaytree, here):
    (here / "z.csv").write_text("layers,accuracy\n3x3f36,0.5\n")
    code, out, err = replaytree("db", "import", "z.csv", "--space", "zoph", "--no-strides")
    assert (code, err) == (0, "")
    assert out.endswith("  replaytree run --warm-start z --strategy guided --space zoph --no-strides\n")


def test_what_best_prints_is_of_the_same_networks_or_refused(replaytree, here, monkeypatch):
    monkeypatch.delenv("REPLAYTREE_TRACEBACK")
    words = ["db", "import", "best.csv", "--space", "enas-macro", "--input", "1x8x8"]
    (here / "made.csv").write_text("layers,accuracy\nconv3 conv3 conv3,0.5\n")
    made = ["made.csv", *words[3:], "--max-layers", 6, "--channels", 4]
    code, out, err = replaytree("db", "import", *made[:5], "--max-layers", 2)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "made.csv, line 2: " in err
    code, out, err = replaytree("db", "import", *made)
    assert (code, err) == (0, "")
    assert out.endswith(" --space enas-macro --max-layers 6 --channels 4\n")
    table = replaytree("best", "made", "--format", "csv")[1]
    (here / "best.csv").write_text(table)
    for wrong in (["--channels", 4], ["--max-layers", 6]):
        code, out, err = replaytree(*words, *wrong)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "best.csv, line 2: " in err
    assert replaytree(*words, *made[-4:])[0] == 0
    costs = [{name: row[name] for name in COSTS} for row in csv.DictReader(io.StringIO(table))]
    again = replaytree("best", "best", "--format", "csv")[1]
    assert [{name: row[name] for name in COSTS} for row in csv.DictReader(io.StringIO(again))] == costs


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["none.csv"], "none.csv: No such file or directory"),
        (["known.csv", "--space", "zoph"], "known.csv, line 2: layer 1 is 'conv32k3'"),
        (["known.csv", "--space", "nothing"], "'nothing'"),
        (["k.jsonl.gz", "--space", "xu24"], "--space is for a CSV file or a study; an exported search brings its own"),
        (["k.jsonl.gz", "--width", "0.5"], "--width is for a CSV file or a study"),
        (["k.jsonl.gz", "--max-layers", "3"], "--max-layers is for a CSV file or a study"),
        (["known.csv", "--study", "s"], "known.csv cannot be read as a storage of Optuna"),
    ],
)
def test_mistakes_are_one_line_and_store_nothing(replaytree, known, monkeypatch, words, line):
    monkeypatch.delenv("REPLAYTREE_TRACEBACK")
    code, out, err = replaytree("db", "import", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err
    assert not (known / "replaytree.db").exists()
