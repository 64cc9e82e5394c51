"""`replaytree delete` and `rename`."""

import io
import json
import sqlite3

import pytest

from replaytree import LabelSpace, PathEvaluation, ReplayTree
from replaytree.tree import Episode, list_models, record_model

SPACE = LabelSpace(("a", "b"), max_layers=2)


@pytest.fixture
def storage(here):
    url = "sqlite:///replaytree.db"
    for name in ("first", "second"):
        tree = ReplayTree.create(url, name, space=SPACE, seed=0, config_json='{"seed": 0}', versions={})
        tree.record([Episode((0, 1), "sample", 2, 4, True, PathEvaluation([0.5, 0.75]))], state=b"x")
    return url


def names(replaytree, storage):
    return [row["name"] for row in json.loads(replaytree("list", "--json", "--storage", storage)[1])]


def test_a_deleted_search_leaves_nothing_but_its_models(replaytree, storage, monkeypatch):
    tree = ReplayTree.open(storage, "first")
    record_model(
        tree.engine, labels=("a",), seed=0, epochs=1, test_accuracy=0.5, weights_path="x", search="first",
        node_id=tree.find("a").node_id,
    )  # fmt: skip
    code, out, _ = replaytree("delete", "first", "--yes", "--storage", storage)
    assert (code, out) == (0, "deleted search first: 1 training, 2 nodes\n")
    assert names(replaytree, storage) == ["second"]
    [model] = list_models(tree.engine)
    assert (model.search, model.labels) == (None, ("a",))
    assert replaytree("db", "check", "--storage", storage)[0] in (0, 1)
    assert len(ReplayTree.open(storage, "second").nodes()) == 2
    assert replaytree("delete", "first", "--yes", "--storage", storage)[0] == 2


def test_files_that_are_left_on_disk_are_named(replaytree, storage, here):
    (here / "reports/first").mkdir(parents=True)
    (here / "models").mkdir()
    weights = here / "models/first-node1.safetensors"
    weights.touch()
    tree = ReplayTree.open(storage, "first")
    for path in (weights, here / "models/gone.safetensors"):
        record_model(
            tree.engine, labels=("a",), seed=0, epochs=1, test_accuracy=0.5, weights_path=str(path), search="first",
            node_id=tree.find("a").node_id,
        )  # fmt: skip
    out = replaytree("rename", "first", "third", "--storage", storage)[1]
    assert out.splitlines() == [
        "search first is now third", "keeps its old name: reports/first", f"keeps its old name: {weights}"
    ]  # fmt: skip
    # The report under the old name is no longer this search's.
    assert replaytree("delete", "third", "--yes", "--storage", storage)[1].splitlines()[1:] == [
        f"left on disk: {weights}"
    ]


def test_delete_asks_and_a_no_leaves_everything(replaytree, storage, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, out, err = replaytree("delete", "first", "--storage", storage)
    assert (code, err) == (1, "Nothing was done.\n")
    assert "Delete search first (1 training, 2 nodes)?" in out
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert replaytree("delete", "first", "second", "--storage", storage)[0] in (0, 1)
    assert "first" not in names(replaytree, storage)


def test_delete_of_an_unknown_name_deletes_none_of_the_others(replaytree, storage):
    assert replaytree("delete", "first", "third", "--yes", "--storage", storage)[0] == 2
    assert names(replaytree, storage) == ["first", "second"]


def test_a_search_gets_another_name(replaytree, storage):
    before = replaytree("best", "first", "--json", "--storage", storage)
    assert replaytree("rename", "first", "third", "--storage", storage)[:2] == (0, "search first is now third\n")
    assert replaytree("best", "third", "--json", "--storage", storage)[1].replace("third", "first") == before[1]
    assert names(replaytree, storage) == ["third", "second"]
    for new, message in (
        ("second", "has a search 'second' already"),
        ("a/b", "a name has no '/'"),
        ("", "needs a name"),
    ):
        code, _, err = replaytree("rename", "third", new, "--storage", storage)
        assert code == 2
        assert message in err
    assert "no search 'first'" in replaytree("rename", "first", "x", "--storage", storage)[2]


def test_a_search_that_is_driven_is_left_alone(replaytree, storage):
    tree = ReplayTree.open(storage, "first", space=SPACE)
    with tree.driving():
        # Nothing is asked, and none of several is deleted.
        for words in (["delete", "first"], ["delete", "second", "first", "--yes"], ["rename", "first", "third"]):
            code, out, err = replaytree(*words, "--storage", storage)
            assert (code, out) == (2, "")
            assert err.startswith("Error: search 'first' is being run by process")
            assert err.endswith("; wait for that process or stop it, then try again\n")
    assert names(replaytree, storage) == ["first", "second"]
    assert replaytree("rename", "first", "third", "--storage", storage)[0] == 0


def test_the_same_figures_as_json_csv_and_table(replaytree, here):
    assert replaytree("list", "--json")[0] == 2
    tree = ReplayTree.create(
        "sqlite:///replaytree.db", "only", space=SPACE, seed=3, config_json='{"seed": 0}', versions={}
    )
    tree.record([Episode((0, 1), "sample", 2, 4, True, PathEvaluation([0.5, 0.75]))], state=b"x")
    [row] = json.loads(replaytree("list", "--json")[1])
    assert (row["name"], row["seed"], row["training_count"], row["node_count"], row["max_epochs"]) == (
        "only",
        3,
        1,
        2,
        4,
    )
    assert replaytree("list", "--format", "csv")[1].splitlines()[1].startswith("only,")
    assert replaytree("best", "--json") == replaytree("best", "--format", "json")
    assert [node["labels"] for node in json.loads(replaytree("show", "1", "--json")[1])] == ["a"]
    page = json.loads(replaytree("report", "--json")[1])
    assert (page["name"], page["page"]) == ("only", "reports/only/index.html")
    assert (here / page["page"]).exists()
    with sqlite3.connect("replaytree.db") as connection:
        connection.execute("delete from searches")
    assert replaytree("list", "--json")[1] == "[]\n"
    assert replaytree("list")[1].startswith("no searches yet")
    assert replaytree("best")[2] == "Error: there are no searches yet; start one with `replaytree run`\n"
