"""`replaytree report` and `compare`, and what they say when it cannot be done."""

import sqlite3
from pathlib import Path

import pytest

from replaytree import LabelSpace, PathEvaluation, ReplayTree, cli
from replaytree.tree import Episode


@pytest.fixture
def replaytree(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPLAYTREE_STORAGE", raising=False)
    space = LabelSpace(("a", "b"), max_layers=2)
    for name in ("first", "second"):
        tree = ReplayTree.create(
            "sqlite:///replaytree.db", name, space=space, seed=0, config_json='{"seed": 0}', versions={}
        )
        tree.record([Episode((0, 1), "sample", 2, 4, True, PathEvaluation([0.5, 0.75]))], state=b"")

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def test_report_writes_a_page_and_says_where(replaytree):
    code, out, err = replaytree("report", "first")
    assert (code, out, err) == (0, "reports/first/index.html\n", "")
    assert "Best: 0.750 after 2 layers" in Path("reports/first/index.html").read_text(encoding="utf-8")
    assert (
        replaytree("report", "first", "--out", "elsewhere", "--against", "second")[1] == "elsewhere/first/index.html\n"
    )


def test_compare_writes_a_page_and_says_where(replaytree):
    code, out, _ = replaytree("compare", "first", "second")
    assert (code, out) == (0, "reports/first-vs-second/index.html\n")


def test_a_watched_report_ends_with_ctrl_c(replaytree, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("replaytree.report.watch.time.sleep", interrupted)
    code, out, _ = replaytree("report", "first", "--watch", "--interval", 5)
    assert code == 0
    assert out.splitlines() == ["watching; Ctrl-C ends it", *["reports/first/index.html"] * 2]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["report", "third"], "no search 'third' in sqlite:///replaytree.db; it has: first, second"),
        (["report", "first", "--against", "third"], "it has: first, second"),
        (["compare", "first", "third"], "it has: first, second"),
        (["compare", "first"], "at least two"),
        (["compare", "first", "first"], "each once"),
        (["report", "first", "--out", "replaytree.db"], "--out"),
        (["report", "first", "--storage", "sqlite:///none.db"], "none.db"),
        (["report", "first", "--interval", "0"], "--interval"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_gets_exit_code_2_one_clear_message_and_no_page(replaytree, args, message):
    code, out, err = replaytree(*args)
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in out + err
    assert not Path("reports").exists()


def test_an_older_schema_says_to_upgrade(replaytree):
    with sqlite3.connect("replaytree.db") as connection:
        connection.execute("update replaytree_alembic_version set version_num = '0000'")
    code, _, err = replaytree("report", "first")
    assert code == 2
    assert "upgrade" in err
    assert not Path("reports").exists()
