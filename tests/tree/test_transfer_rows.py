from __future__ import annotations

import re

import pytest

from replaytree.errors import SearchFileError
from replaytree.tree import export_search, head_revision, import_search, list_searches, open_engine
from replaytree.tree.search_file import Header, read_rows, write_lines


@pytest.fixture(params=["memory", "postgresql"])
def url(request):
    """One storage of each dialect: they refuse different things, and the message must not depend on it."""
    return "sqlite://" if request.param == "memory" else request.getfixturevalue("empty_postgresql")


@pytest.fixture
def rows(space, golden, tmp_path, create):
    tree = create("sqlite://")
    tree.record(golden, state=b"state")
    export_search(tree.engine, "first", tmp_path / "first.gz")
    return [row for _, row in read_rows(tmp_path / "first.gz")]


def test_every_row_that_does_not_fit_is_named_and_nothing_is_imported(rows, url, tmp_path):
    engine = open_engine(url)
    place = {name: next(n for n, row in enumerate(rows) if row["table"] == name) for name in TABLES}
    for table, change, message in BAD:
        changed = [dict(row) for row in rows]
        n = place[table]
        changed[n : n + 1] = change(changed[n])
        write_lines(tmp_path / "bad.gz", Header(head_revision()), changed)
        with pytest.raises(SearchFileError, match=message) as caught:
            import_search(engine, tmp_path / "bad.gz")
        assert re.search("nothing (of it )?was imported", str(caught.value))
        assert list_searches(engine) == []
    write_lines(tmp_path / "good.gz", Header(head_revision()), rows)
    assert import_search(engine, tmp_path / "good.gz").search == "first"
    engine.dispose()


TABLES = ("searches", "nodes", "node_budgets", "episodes", "evaluations", "strategy_states")


def without(column):
    return lambda row: [{key: value for key, value in row.items() if key != column}]


def having(**values):
    return lambda row: [row | values]


BAD = [
    ("searches", lambda row: [], "line 2: a row comes before its search"),
    ("searches", lambda row: [row, row | {"name": "b"}], "line 3: a second search"),
    ("searches", having(name=" "), 'line 2: name is " ", which is no value of it .it must be a name'),
    ("searches", having(name=None), "line 2: name is null"),
    ("searches", having(seed=2**63), "line 2: seed is 9223372036854775808, which is no value of it .out of range"),
    ("searches", having(seed="7"), 'seed is "7", which is no value of it .it must be a int'),
    ("searches", having(seed=True), "seed is true"),
    ("searches", having(created_at="2026-11-22T05:00:00"), "created_at is .*a time without its zone"),
    ("searches", having(created_at="yesterday"), 'created_at is "yesterday"'),
    ("searches", having(config_json="{"), "config_json is"),
    ("searches", having(task="speech"), 'task is "speech", which is no value of it'),
    ("searches", having(versions_json="[]"), "versions_json is .*it must be names and versions"),
    ("searches", having(space_json='{"labels": 5}'), "space_json is .*it must be the description of a space"),
    ("searches", having(surprise=1), "the columns are not those of searches"),
    ("nodes", without("flops"), r"line \d+: the columns are not those of nodes"),
    ("nodes", having(table="trials"), r"line \d+: table 'trials' is not one that this replaytree has"),
    ("nodes", having(table=["nodes"]), r"line \d+: table .'nodes'. is not one"),
    ("nodes", having(table="alembic_version"), "is not one that this replaytree has"),
    ("nodes", having(parent_id=1), "contradicts itself, .*: parent_id is"),
    ("nodes", having(parent_id=7), "parent_id is 7, and 6 rows of nodes came before it"),
    ("nodes", having(parent_id=-1), "parent_id is -1"),
    ("nodes", having(parent_id="1"), "parent_id is '1'"),
    ("nodes", having(depth=2**31), "depth is 2147483648, which is no value of it .out of range"),
    ("nodes", having(depth=1.0), "depth is 1.0"),
    ("nodes", having(path="2"), "a row of nodes from here on is not legal .*[Uu][Nn][Ii][Qq][Uu][Ee]"),
    ("nodes", having(total_accuracy="1"), "total_accuracy is"),
    ("episodes", having(source="dream"), "source is .dream., which is no value of it .it must be one of sample"),
    ("episodes", having(trained=1), "trained is 1, which is no value of it .it must be a bool"),
    ("episodes", having(node_id=None), "node_id is null"),
    ("evaluations", having(accuracy=1.5), "accuracy is 1.5, which is no value of it .it must be a finite number of at"),
    ("searches", having(name="a\x1b[2J"), r"line 2: the search's name is 'a.x1b.2J'; a name has no .*invisible"),
    ("searches", having(name="../up"), "line 2: the search's name is '../up'; a name has no '/'"),
    ("searches", having(seed=-1), "seed is -1, which is no value of it .it must be a whole number of at least 0"),
    ("searches", having(config_json="{}"), "config_json is .*it must be a configuration"),
    ("searches", having(config_json='{"seed": 7, "max_layers": "six"}'), "config_json is"),
    ("searches", having(config_json='{"seed": 7, "gamma": NaN}'), "config_json is"),
    (
        "searches",
        having(config_json='{"seed": 8}'),
        "contradicts itself, .*: the seed of the configuration is 8, expected 7",
    ),
    ("searches", having(data_json="[]"), "data_json is .*the fingerprint of the images"),
    ("nodes", having(label="co\x1bnv", labels="co\x1bnv"), r"label is \"co.u001bnv\", .*labels of visible characters"),
    ("nodes", having(label="co\0nv"), "label is"),
    ("nodes", having(label="other", labels="other"), "contradicts itself, .*: label is 'other', expected 'conv'"),
    ("nodes", having(output_shape="8x8"), "output_shape is .8x8.*a shape such as"),
    ("nodes", having(params=-1), "params is -1"),
    ("nodes", having(depth=0), "depth is 0"),
    ("episodes", having(epochs=0), "epochs is 0, which is no value of it .it must be a whole number of at least 1"),
    ("episodes", having(epochs=-3), "epochs is -3"),
    ("episodes", having(depth_bound=-1), "depth_bound is -1"),
    (
        "episodes",
        having(depth_bound=4),
        "contradicts itself, .*: depth_bound is 4, expected .at most the space's 3 layers",
    ),
    ("episodes", having(failure="tired"), "failure is .tired., .*one of diverged"),
    ("episodes", having(failure_text="a\0b"), "failure_text is"),
    ("episodes", having(train_seconds=-1.0), "train_seconds is -1.0"),
    ("episodes", having(policy_loss=True), "policy_loss is true"),
    ("evaluations", having(shared=1), "shared is 1, which is no value of it .it must be a bool"),
    ("evaluations", having(shared=True), "contradicts itself, .*: evaluation_count is 3, expected 2"),
    ("evaluations", having(episode_id=6), "episode_id is 6, and 5 rows of episodes came before it"),
    ("strategy_states", having(payload="!"), "payload is"),
    ("strategy_states", lambda row: [row, row], "a row of strategy_states from here on is not legal"),
]
