"""`db import` of what is known from elsewhere, and a search that learns from it."""

import json
import sqlite3

import pytest

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


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["none.csv"], "none.csv: No such file or directory"),
        (["known.csv", "--space", "zoph"], "known.csv, line 2: layer 1 is 'conv32k3'"),
        (["known.csv", "--space", "nothing"], "'nothing'"),
        (["k.jsonl.gz", "--space", "xu24"], "--space is for a CSV file or a study; an exported search brings its own"),
        (["k.jsonl.gz", "--width", "0.5"], "--width is for a CSV file or a study"),
        (["known.csv", "--study", "s"], "known.csv cannot be read as a storage of Optuna"),
    ],
)
def test_mistakes_are_one_line_and_store_nothing(replaytree, known, monkeypatch, words, line):
    monkeypatch.delenv("REPLAYTREE_TRACEBACK")
    code, out, err = replaytree("db", "import", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err
    assert not (known / "replaytree.db").exists()
