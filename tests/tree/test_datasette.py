"""The metadata for Datasette: its SQL answers, what it hides exists, and its links are safe."""

import json
import sqlite3
from urllib.parse import unquote

import pytest
from sqlalchemy import create_engine

from replaytree import LabelSpace, PathEvaluation, ReplayTree
from replaytree.errors import ConfigError
from replaytree.tree import Episode, open_engine, record_model
from replaytree.tree.datasette import HIDDEN, LABELS, QUERIES, datasette_metadata
from replaytree.tree.schema import VERSION_TABLE, Base

NAME = "it's <b>&"


@pytest.fixture
def tree(tmp_path):
    """conv 0.5, conv pool 0.75, res 0.25; then a failure."""
    space = LabelSpace(["conv", "pool", "res"], max_layers=2, cost=lambda path: (10 * len(path), 100))
    tree = ReplayTree.create(
        open_engine(f"sqlite:///{tmp_path}/a b.db"), "x", space=space, seed=0, config_json='{"seed": 0}', versions={}
    )
    failed = PathEvaluation([0.5], failure="diverged", failure_text="nan")
    tree.record(
        [
            Episode((0, 1), "sample", 2, 4, True, PathEvaluation([0.5, 0.75], train_seconds=1.25)),
            Episode((2,), "sample", 2, 4, True, PathEvaluation([0.25])),
            Episode((0, 2), "sample", 2, 4, True, failed),
        ],
        state=b"",
    )
    for seed, accuracy in enumerate((0.5, 0.75)):
        record_model(
            tree.engine, labels=("resnet8",), seed=seed, epochs=1, test_accuracy=accuracy, weights_path=f"{seed}",
            search="x", baseline="resnet8", params=7, flops=8, training={},
        )  # fmt: skip
    return tree


@pytest.fixture
def ask(tree, tmp_path):
    def ask(name, **values):
        with sqlite3.connect(tmp_path / "a b.db") as connection:
            return connection.execute(datasette_metadata(tree.engine)[1]["databases"]["a b"]["queries"][name]["sql"],
                                      {"search": "x", **values}).fetchall()  # fmt: skip

    return ask


def test_every_question_has_an_answer_worked_by_hand(ask):
    assert [row[:2] for row in ask("best")] == [("conv pool", 0.75), ("conv", 0.5), ("res", 0.25)]
    # Of ten parameters res is worse, and of twenty conv pool is better.
    assert [row[:3] for row in ask("front")] == [("conv", 0.5, 10), ("conv pool", 0.75, 20)]
    assert ask("layers") == [(1, "conv", 1, 0.5, 0.5), (1, "res", 1, 0.25, 0.25), (2, "pool", 1, 0.75, 0.75)]
    assert [row[3:7] for row in ask("trainings")] == [
        ("conv pool", 0.75, 1.25, None), ("res", 0.25, None, None), ("conv res", 0.5, None, "diverged"),
    ]  # fmt: skip
    assert ask("failures") == [(2, "conv res", "diverged", "nan", 4)]
    assert ask("models") == [("resnet8", "resnet8", 1, 2, 0.625, None, 7, 8, None)]
    # Datasette gives every parameter as a text.
    assert [row[1] for row in ask("continued", node_id="0")] == ["conv", "res"]
    assert [row[1] for row in ask("continued", node_id="1")] == ["pool", "res"]
    assert all(ask(name, search="none", **({"node_id": "0"} if name == "continued" else {})) == [] for name in QUERIES)


def test_what_is_hidden_or_labelled_exists_and_no_state_is_shown():
    tables = {**Base.metadata.tables, VERSION_TABLE: None}
    assert set(HIDDEN) <= set(tables)
    assert all(column in Base.metadata.tables[name].c for name, column in LABELS.items())
    assert {"strategy_states", VERSION_TABLE} <= set(HIDDEN)


def test_links_lead_to_the_questions_about_a_search_whatever_its_name(tree, tmp_path):
    with tree.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE searches SET name = ?", (NAME,))
    file, found = datasette_metadata(tree.engine)
    assert file == tmp_path / "a b.db"
    [database] = found["databases"].values()
    html = database["description_html"]
    assert "<b>it&#x27;s &lt;b&gt;&amp;</b>" in html
    link = html.split('href="')[1].split('"')[0]
    assert link.startswith("a+b/best?search=")
    assert unquote(link.split("=")[1]) == NAME
    assert "continued" not in html
    assert json.loads(json.dumps(found)) == found


def test_databases_that_datasette_cannot_read():
    engine = create_engine("sqlite://")
    with pytest.raises(ConfigError, match="Datasette reads files of SQLite, and this database is none"):
        datasette_metadata(engine)
