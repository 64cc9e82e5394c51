import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from sqlalchemy import event

from replaytree.report.reading import kind_of, read_search


def test_a_search_is_read_in_a_handful_of_queries_whatever_its_size(tree):
    queries = []
    event.listen(
        tree.engine, "before_cursor_execute", lambda *a: queries.append(a[2]) if a[2].startswith("SELECT") else None
    )
    data = read_search(tree)
    # Two of the episodes, three of the nodes, seven of the search and its best node; models, noise, names.
    assert len(queries) <= 14
    assert len(data.nodes) == 6
    assert len(data.episodes) == 5


def test_a_search_is_as_good_as_its_tree(tree):
    assert read_search(SimpleNamespace(tree=tree)) == read_search(tree)


def test_the_best_is_that_of_the_command(tree, data):
    assert data.best == tree.best(1)[0]
    assert [node.node_id for node in data.comparable] == [node.node_id for node in tree.best(99)]
    assert data.max_epochs == 8


def test_a_removed_option_is_shown_only_where_it_was_in_use(data):
    def config(value):
        stored = json.dumps({**data.config, "calibrate": value})
        return replace(data, info=replace(data.info, config_json=stored)).config

    assert config(0.0) == data.config
    assert config(0.5) == {**data.config, "calibrate": 0.5}


@pytest.mark.parametrize(
    ("label", "kind"), [("conv32k3s2", "conv"), ("identity", "identity"), ("3x3", "3x3"), ("<b>", "<b>")]
)
def test_the_type_of_a_layer_is_the_letters_its_label_begins_with(label, kind):
    assert kind_of(label) == kind
