"""One contract for every pair of storages: what is exported from one is what is imported into another."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, text

from replaytree.errors import CorruptTree, SchemaMismatch, SearchExists, SearchFileError, SearchNotFound
from replaytree.records import PathEvaluation
from replaytree.tree import (
    Episode,
    ReplayTree,
    check,
    export_search,
    head_revision,
    import_search,
    list_models,
    list_searches,
    open_engine,
    record_model,
)
from replaytree.tree.engine import writing
from replaytree.tree.schema import Base, models
from replaytree.tree.search_file import Header, read_header, read_rows, write_lines
from replaytree.tree.transfer_rows import NOT_CARRIED, carried_tables

STATE = bytes(range(256)) * 5


def lines(file):
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def everything(engine, name):
    """All that can be read of a search, but for the ids that its database gave it."""
    tree = ReplayTree.open(engine, name)
    nodes = [(n.path, n.labels, n.output_shape, n.params, n.flops, n.visit_count, n.lower_bound) for n in tree.nodes()]
    episodes = [(e.number, e.path, e.accuracies, e.failure_text, e.created_at, e.policy_loss) for e in tree.episodes()]
    made = [
        (m.labels, m.seed, m.test_accuracy, m.test_image_count, m.weights_path)
        for m in list_models(engine, search=name)
    ]
    return tree.info(), nodes, tree.node_stats(), episodes, made, tree.strategy_state()


@pytest.fixture
def full(tree, golden, create):
    """A search with everything that a search can have, not the first of its database."""
    other = create(tree.engine, "another")
    other.record(golden, state=b"other")
    tree.record(golden[:2], state=b"")
    other.record(golden, state=b"other")
    tree.record(golden[2:], state=STATE)
    node_id = tree.find("0.1").node_id
    row = {"search": "first", "labels": ("conv", "pool"), "epochs": 4, "test_accuracy": 0.5, "test_image_count": 100}
    record_model(tree.engine, seed=0, weights_path="a", node_id=node_id, **row)
    record_model(tree.engine, seed=1, weights_path="b", **row)
    return tree


def test_every_table_is_carried_or_named():
    assert {table.name for table in carried_tables(Base.metadata)} == set(Base.metadata.tables) - set(NOT_CARRIED)


def test_there_and_back(full, tmp_path):
    file, again = tmp_path / "first.gz", tmp_path / "again.gz"
    done = export_search(full.engine, "first", file)
    assert done.text == "search 'first': 6 nodes, 5 episodes, 8 evaluations"
    fresh = open_engine("sqlite://")
    assert import_search(fresh, file) == done
    assert everything(fresh, "first") == everything(full.engine, "first")
    assert check(fresh) == []
    export_search(fresh, "first", again)
    assert again.read_bytes() == file.read_bytes()


def test_copies_are_carried_as_copies(full, tmp_path):
    file, again = tmp_path / "first.gz", tmp_path / "again.gz"
    pair = [PathEvaluation([0.5, 0.75]), PathEvaluation([0.5, 0.25], shared=1)]
    full.record([Episode((1, action), "sample", 3, 8, True, e) for action, e in enumerate(pair)], state=b"with copies")
    export_search(full.engine, "first", file)
    assert [row["shared"] for row in lines(file) if row.get("table") == "evaluations"] == [False] * 10 + [True, False]
    fresh = open_engine("sqlite://")
    import_search(fresh, file)
    assert everything(fresh, "first") == everything(full.engine, "first")
    export_search(fresh, "first", again)
    assert again.read_bytes() == file.read_bytes()


def test_from_a_file_into_every_storage_beside_the_same_search(full, tmp_path):
    file, again = tmp_path / "first.gz", tmp_path / "again.gz"
    export_search(full.engine, "first", file)
    assert import_search(full.engine, file, name="copy").search == "copy"
    assert check(full.engine) == []
    assert everything(full.engine, "copy")[1:] == everything(full.engine, "first")[1:]
    export_search(full.engine, "copy", again)
    first, copy = lines(file), lines(again)
    assert (first[1].pop("name"), copy[1].pop("name")) == ("first", "copy")
    assert first[:-1] == copy[:-1]


def test_an_imported_search_is_recorded_into_like_the_original(full, space, golden, tmp_path):
    export_search(full.engine, "first", tmp_path / "first.gz")
    fresh = open_engine("sqlite://")
    import_search(fresh, tmp_path / "first.gz")
    copies = [ReplayTree.open(engine, "first", space=space) for engine in (full.engine, fresh)]
    new = [*golden, Episode((1, 1), "sample", 3, 8, True, PathEvaluation([0.25, 0.5]))]
    assert copies[0].record(new, state=b"later") == copies[1].record(new, state=b"later")
    assert check(fresh) == []
    assert [n.path for n in copies[0].best(9)] == [n.path for n in copies[1].best(9)]


def test_references_count_from_one_and_ids_are_left_out(full, tmp_path):
    export_search(full.engine, "first", tmp_path / "first.gz")
    rows = lines(tmp_path / "first.gz")[1:-1]
    assert rows[0] == {
        "table": "searches", "name": "first", "task": "images", "created_at": rows[0]["created_at"], "seed": 7,
        "config_json": '{"seed": 7}', "space_json": rows[0]["space_json"], "data_json": None,
        "versions_json": '{"python": "3.11"}',
    }  # fmt: skip
    assert datetime.fromisoformat(rows[0]["created_at"]).tzinfo == UTC
    nodes = [row for row in rows if row["table"] == "nodes"]
    assert [(row["path"], row["parent_id"]) for row in nodes] == [
        ("0", None), ("0.1", 1), ("0.1.2", 2), ("2", None), ("0.2", 1), ("0.2.1", 5),
    ]  # fmt: skip
    evaluations = [row for row in rows if row["table"] == "evaluations"]
    assert evaluations[-1] == {
        "table": "evaluations", "node_id": 5, "episode_id": 5, "epochs": 8, "accuracy": 0.5, "shared": False,
    }  # fmt: skip
    assert [(row["node_id"], row["weights_path"]) for row in rows if row["table"] == "models"] == [
        (2, "a"),
        (None, "b"),
    ]


ACCURACIES = st.floats(0.0, 1.0)


@st.composite
def episodes(draw):
    path = tuple(draw(st.lists(st.integers(0, 2), min_size=1, max_size=3)))
    if draw(st.booleans()):
        failure = draw(st.sampled_from([None, "diverged", "error"]))
        measured = draw(st.integers(0, len(path))) if failure else len(path)
        accuracies = draw(st.lists(ACCURACIES, min_size=measured, max_size=measured))
        seconds = draw(st.none() | st.floats(0.0, allow_infinity=False))
        words = draw(st.text(st.characters(codec="utf-8", exclude_characters="\0"))) if failure else ""
        evaluation = PathEvaluation(accuracies, failure=failure, failure_text=words, train_seconds=seconds)
        loss = draw(st.none() | st.floats(allow_nan=False, allow_infinity=False))
        return Episode(path, "sample", 3, draw(st.integers(1, 3)), True, evaluation, policy_loss=loss)
    return Episode(path, "replay", 3, 2, False)


@pytest.fixture(scope="module")
def two_engines():
    return open_engine("sqlite://"), open_engine("sqlite://")


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.tuples(st.lists(episodes(), max_size=4), st.binary()), max_size=4))
def test_any_search_makes_the_same_file_again(batches, space_of_three, two_engines, tmp_path_factory):
    folder = tmp_path_factory.mktemp("transfer")
    first, second = two_engines
    for engine in two_engines:
        with writing(engine) as connection:
            connection.execute(text("DELETE FROM searches"))
    tree = ReplayTree.create(
        first, "ünïcode 'x'", space=space_of_three, seed=2**62, config_json=json.dumps({"seed": 2**62}), versions={}
    )
    for batch, state in batches:
        tree.record(batch, state=state)
    export_search(first, tree.name, folder / "1.gz")
    import_search(second, folder / "1.gz")
    export_search(second, tree.name, folder / "2.gz")
    assert (folder / "1.gz").read_bytes() == (folder / "2.gz").read_bytes()
    assert everything(first, tree.name) == everything(second, tree.name)
    assert check(second) == []


@pytest.fixture(scope="module")
def space_of_three():
    from replaytree.space import LabelSpace

    return LabelSpace(["conv", "pool", "res"], max_layers=3)


def test_the_file_holds_one_state_of_a_running_search(url, create, golden, tmp_path):
    if url == "sqlite://":
        pytest.skip("a database in memory has one connection")
    tree = create(url)
    tree.record(golden, state=b"")
    running = ReplayTree.open(url, "first", space=tree._space)
    seen = []

    @event.listens_for(tree.engine, "before_cursor_execute")
    def go_on(*arguments):
        seen.append(arguments[2])
        running.record(golden[:1], state=b"")

    export_search(tree.engine, "first", tmp_path / "first.gz")
    event.remove(tree.engine, "before_cursor_execute", go_on)
    assert tree.episode_count == 5 + len(seen)
    numbers = [row["number"] for row in lines(tmp_path / "first.gz") if row.get("table") == "episodes"]
    # The name is looked up before the export begins.
    assert numbers == list(range(len(numbers)))
    fresh = open_engine("sqlite://")
    import_search(fresh, tmp_path / "first.gz")
    assert check(fresh) == []
    running.engine.dispose()
    tree.engine.dispose()


def test_a_name_that_is_taken(full, tmp_path):
    export_search(full.engine, "first", tmp_path / "first.gz")
    with pytest.raises(SearchExists, match=r"a search 'first' already; import this one under another name with --name"):
        import_search(full.engine, tmp_path / "first.gz")
    assert [info.name for info in list_searches(full.engine)] == ["first", "another"]


def test_a_file_that_exists(full, tmp_path):
    (tmp_path / "first.gz").write_text("precious")
    with pytest.raises(SearchExists, match=r"first.gz exists; choose another file, or give --force"):
        export_search(full.engine, "first", tmp_path / "first.gz")
    assert (tmp_path / "first.gz").read_text() == "precious"
    export_search(full.engine, "first", tmp_path / "first.gz", force=True)
    assert len(lines(tmp_path / "first.gz")) > 20


def test_a_search_that_is_not_there(tree, tmp_path):
    with pytest.raises(SearchNotFound, match="it has: first"):
        export_search(tree.engine, "second", tmp_path / "x.gz")
    assert list(tmp_path.glob("x.gz*")) == []


def test_a_damaged_search_is_not_exported(full, tmp_path):
    with writing(full.engine) as connection:
        connection.execute(text("UPDATE nodes SET visit_count = 99 WHERE path = '2'"))
    with pytest.raises(
        CorruptTree, match=r"node \d+: visit_count is 99, expected 1; see `replaytree db check --repair[` ]"
    ):
        export_search(full.engine, "first", tmp_path / "first.gz")
    with writing(full.engine) as connection:
        connection.execute(text("UPDATE nodes SET visit_count = 1 WHERE path = '2'"))


def test_rows_that_contradict_one_another_are_not_imported(full, tmp_path):
    file = tmp_path / "first.gz"
    export_search(full.engine, "first", file)
    rows = [row for _, row in read_rows(file)]
    rows = [row | ({"visit_count": 99} if row.get("path") == "2" else {}) for row in rows]
    write_lines(file, Header(head_revision()), rows)
    fresh = open_engine("sqlite://")
    with pytest.raises(
        SearchFileError, match=r"first.gz contradicts itself, and nothing .*visit_count is 99, expected 1"
    ):
        import_search(fresh, file)
    assert list_searches(fresh) == []


def test_a_truncated_file_does_not_even_make_the_database(full, tmp_path):
    export_search(full.engine, "first", tmp_path / "first.gz")
    content = (tmp_path / "first.gz").read_bytes()
    (tmp_path / "first.gz").write_bytes(content[:-20])
    with pytest.raises(SearchFileError, match="truncated"):
        import_search(f"sqlite:///{tmp_path}/new.db", tmp_path / "first.gz")
    assert not (tmp_path / "new.db").exists()


def test_a_file_of_a_newer_replaytree(full, tmp_path):
    write_lines(tmp_path / "x.gz", Header("7777"), [])
    with pytest.raises(
        SchemaMismatch, match=r"of revision 7777, from a newer replaytree .*; run `pip install --upgrade"
    ):
        import_search(full.engine, tmp_path / "x.gz")


def test_models_of_no_search_stay(full, tmp_path):
    row = {"labels": "c", "seed": 0, "epochs": 4, "weights_path": "w", "created_at": datetime.now(UTC)}
    with writing(full.engine) as connection:
        connection.execute(insert(models), row)
    assert export_search(full.engine, "first", tmp_path / "first.gz").rows["models"] == 2


def test_a_refused_import_leaves_no_file_and_touches_none_that_was_there(tree, golden, tmp_path):
    tree.record(golden, state=b"x")
    export_search(tree.engine, "first", tmp_path / "1.gz")
    with pytest.raises(SearchFileError):
        import_search(f"sqlite:///{tmp_path}/new.db", broken(tmp_path / "1.gz"))
    assert [path.name for path in tmp_path.glob("new.db*")] == []
    open_engine(f"sqlite:///{tmp_path}/old.db").dispose()
    with pytest.raises(SearchFileError):
        import_search(f"sqlite:///{tmp_path}/old.db", broken(tmp_path / "1.gz"))
    assert (tmp_path / "old.db").exists()


def broken(file):
    """A whole file whose first node says another depth."""
    rows = [row for _, row in read_rows(file)]
    next(row for row in rows if row["table"] == "nodes")["depth"] = 7
    write_lines(file.with_name("broken.gz"), read_header(file), rows)
    return file.with_name("broken.gz")
