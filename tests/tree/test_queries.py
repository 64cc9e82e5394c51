from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replaytree.errors import ConfigError, NodeNotFound
from replaytree.records import Mixed, PathEvaluation
from replaytree.space import LabelSpace
from replaytree.tree import Episode, Node, ReplayTree, list_searches
from replaytree.tree.engine import reading
from replaytree.tree.noise import training_noise
from replaytree.tree.ranking import rank


def trained(path, accuracy, *, epochs=4):
    return Episode(path, "sample", 3, epochs, True, PathEvaluation([accuracy] * len(path)))


@pytest.fixture
def golden_tree(tree, golden):
    tree.record(golden, state=b"")
    return tree


def ranked(nodes):
    return [(node.path, round(node.average_accuracy, 9)) for node in nodes]


def test_best_is_at_the_largest_budget(golden_tree):
    assert ranked(golden_tree.best()) == [((0,), 0.75), ((0, 2), 0.5), ((2,), 0.25)]
    assert ranked(golden_tree.best(1)) == [((0,), 0.75)]
    assert {node.epochs for node in golden_tree.best()} == {8}


def test_best_at_another_budget(golden_tree):
    assert ranked(golden_tree.best(epochs=4)) == [((0, 1, 2), 0.9), ((0, 1), 0.7), ((0,), 0.6)]
    assert golden_tree.best(epochs=5) == []


def test_best_within_limits(golden_tree):
    assert ranked(golden_tree.best(max_depth=1)) == [((0,), 0.75), ((2,), 0.25)]
    assert ranked(golden_tree.best(max_params=30)) == [((0,), 0.75), ((2,), 0.25)]
    assert ranked(golden_tree.best(max_params=29)) == [((0,), 0.75)]
    assert ranked(golden_tree.best(max_flops=1000, epochs=4)) == [((0,), 0.6)]


def test_ties_go_to_fewer_parameters_then_to_the_older(tree):
    def record(path, accuracies):
        tree.record([Episode(path, "sample", 3, 4, True, PathEvaluation(accuracies))], state=b"")

    record((2,), [0.5])
    record((1, 0), [0.25, 0.5])
    record((0, 1), [0.5, 0.5])
    assert [node.path for node in tree.best()] == [(0,), (2,), (1, 0), (0, 1), (1,)]


def test_best_of_none(golden_tree):
    with pytest.raises(ConfigError, match="k is 0; it must be a whole number of at least 1"):
        golden_tree.best(0)


def test_node(golden_tree):
    ids = [node.node_id for node in golden_tree.nodes()]
    assert ids == [1, 2, 3, 4, 5, 6]
    node = golden_tree.node((0, 2))
    assert node == golden_tree.node(5) == golden_tree.node(np.int64(5))
    assert node == Node(
        node_id=5,
        search="first",
        path=(0, 2),
        labels=("conv", "res"),
        depth=2,
        action=2,
        label="res",
        output_shape=(8, 4, 4),
        params=40,
        flops=2000,
        epochs=8,
        average_accuracy=0.5,
        budget_evaluation_count=1,
        evaluation_count=1,
        visit_count=1,
        training_bound=0.5,
        lower_bound=None,
    )


def test_a_node_counts_at_its_largest_budget_and_over_all(golden_tree):
    node = golden_tree.node(1)
    assert (node.epochs, node.average_accuracy, node.budget_evaluation_count, node.evaluation_count) == (8, 0.75, 1, 3)


def test_a_node_that_nothing_measured(golden_tree):
    node = golden_tree.node((0, 2, 1))
    assert (node.epochs, node.average_accuracy, node.budget_evaluation_count, node.evaluation_count) == (
        None,
        None,
        0,
        0,
    )


def test_find_by_id_path_or_labels(golden_tree):
    assert golden_tree.find("3") == golden_tree.find("0.1.2") == golden_tree.find(" conv  pool res ")
    assert golden_tree.find("res").path == (2,)
    with pytest.raises(
        NodeNotFound, match=r"search 'first' has no node 'conv conv'; `replaytree best first( --storage .*)?` shows"
    ):
        golden_tree.find("conv conv")


def test_node_not_found(golden_tree):
    with pytest.raises(
        NodeNotFound, match=r"search 'first' has no node 99; `replaytree best first( --storage .*)?` shows nodes"
    ):
        golden_tree.node(99)
    with pytest.raises(NodeNotFound, match=r"search 'first' has no node at path \(1, 1\)"):
        golden_tree.node((1, 1))
    with pytest.raises(NodeNotFound):
        golden_tree.children((1, 1))


def test_children(golden_tree):
    assert [node.path for node in golden_tree.children(())] == [(0,), (2,)]
    assert [node.path for node in golden_tree.children((0,))] == [(0, 1), (0, 2)]
    assert golden_tree.children((2,)) == []


def test_episodes(golden_tree):
    episodes = golden_tree.episodes()
    assert [(e.number, e.path, e.source, e.trained, e.epochs) for e in episodes] == [
        (0, (0, 1), "sample", True, 4),
        (1, (0, 1, 2), "continue", True, 4),
        (2, (2,), "sample", True, 8),
        (3, (0, 1), "replay", False, 8),
        (4, (0, 2, 1), "sample", True, 8),
    ]
    assert [e.accuracies for e in episodes] == [(0.5, 0.6), (0.7, 0.8, 0.9), (0.25,), (), (0.75, 0.5)]
    assert [e.node_id for e in episodes] == [2, 3, 4, 2, 6]
    assert (episodes[0].policy_loss, episodes[0].entropy, episodes[0].failure) == (0.125, 1.0, None)
    last = episodes[4]
    assert (last.failure, last.failure_text, last.train_seconds) == ("diverged", "loss is nan", 1.5)
    assert timedelta(0) <= datetime.now(UTC) - last.created_at < timedelta(minutes=5)


def test_info(golden_tree, create):
    info = golden_tree.info()
    assert (info.name, info.seed, info.config_json, info.data_json) == ("first", 7, '{"seed": 7}', None)
    own = {"kind": "own", "format": 1, "class": "TinySpace", "labels": ["conv", "pool", "res"], "max_layers": 3}
    assert (json.loads(info.space_json), info.space) == (own, own)
    assert info.versions == {"python": "3.11"}
    assert (info.episode_count, info.training_count, info.node_count, info.max_depth) == (5, 4, 6, 3)
    assert (info.best_accuracy, info.max_epochs) == (0.75, 8)
    assert info.created_at.tzinfo is UTC

    create(golden_tree.engine, "second")
    first, second = list_searches(golden_tree.engine)
    assert first == info
    assert (second.episode_count, second.node_count, second.max_depth, second.best_accuracy) == (0, 0, 0, None)


def test_the_best_accuracy_of_a_search_is_at_its_own_largest_budget(golden_tree, create):
    small = create(golden_tree.engine, "small")
    small.record([trained((0,), 0.25, epochs=2)], state=b"")
    assert [(info.name, info.best_accuracy, info.max_epochs) for info in list_searches(golden_tree.engine)] == [
        ("first", 0.75, 8),
        ("small", 0.25, 2),
    ]


def test_the_noise_is_pooled_over_prefixes_trained_more_than_once(tree):
    # (0,) has 0.5, 0.7: squares 0.02 over an error of 0.4^2, 1 degree of freedom; (1,) has 0.6, 0.6, 0.9: squares 0.06
    # over 0.3^2, 2 degrees; (2,) has one training and none.
    for action, accuracy in ((0, 0.5), (0, 0.7), (1, 0.6), (1, 0.6), (1, 0.9), (2, 0.8)):
        tree.record([trained((action,), accuracy)], state=b"")
    with reading(tree.engine) as connection:
        noise = training_noise(connection, tree._search_id, epochs=4)
        assert noise == pytest.approx(((0.02 / 0.16 + 0.06 / 0.09) / 3) ** 0.5)
        assert training_noise(connection, tree._search_id, epochs=9) is None


def test_best_ranks_by_the_lower_bound(tree):
    for action, accuracy in ((0, 0.70), (0, 0.74), (0, 0.72), (0, 0.72), (1, 0.735), (2, 0.725)):
        tree.record([trained((action,), accuracy)], state=b"")
    # noise^2 = (2 * 0.02^2 / 0.28^2) / 3: one training's error may be 5.8 % larger, that of four 2.9 %.
    noise = (0.0008 / 0.28**2 / 3) ** 0.5
    best = tree.best(3)
    assert [node.path for node in best] == [(1,), (0,), (2,)]
    assert best[1].lower_bound == pytest.approx(1 - 0.28 * math.exp(noise / 2))
    assert best[0].lower_bound == pytest.approx(1 - 0.265 * math.exp(noise))
    for _ in range(4):
        tree.record([trained((0,), 0.735)], state=b"")
    assert tree.best(1)[0].path == (0,)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.2, 0.4, 0.5, 0.6, 0.9])), min_size=1, max_size=30))
@settings(deadline=None, max_examples=30)
def test_the_scan_that_ends_early_finds_what_a_full_sort_finds(results):
    tree = ReplayTree.create(
        "sqlite://",
        "scan",
        space=LabelSpace(list("abcde"), max_layers=1),
        seed=0,
        config_json='{"seed": 0}',
        versions={},
    )
    tree.record([trained((action,), accuracy) for action, accuracy in results], state=b"")
    everything = tree.best(100)
    assert everything == sorted(everything, key=rank)
    for k in (1, 2, 3):
        assert tree.best(k) == everything[:k]


def test_the_answer_is_what_was_derived_last_or_where_the_search_was_still_sound(tree, create):
    def epoch(path, accuracy, *, behind=None):
        mixed = None if behind is None else Mixed({"a": 1.0}, behind=behind)
        evaluation = PathEvaluation([None, accuracy], epochs=4)
        return Episode(path, "sample", 2, 4, trained=True, evaluation=evaluation, mixed=mixed)

    with pytest.raises(NodeNotFound, match="no evaluated prefix"):
        tree.find_or_answer(None)
    tree.record([epoch((0, 0), 0.9)], state=b"")
    # Of any other search it is the best prefix.
    assert tree.derived() is None
    assert tree.find_or_answer(None).path == (0, 0)
    tree.record([epoch((0, 1), 0.5, behind=0)], state=b"")
    tree.record([epoch((1, 0), 0.4, behind=0)], state=b"")
    assert tree.derived().path == tree.find_or_answer(None).path == (1, 0)
    tree.record([epoch((1, 1), 0.3, behind=2)], state=b"")
    # Episodes of another search of the database are none of this one's.
    create(tree.engine, "second").record([epoch((2, 2), 0.8, behind=0)] * 9, state=b"")
    assert tree.find_or_answer(None).path == (0, 1)
    assert tree.find_or_answer("0.0").path == tree.best(1)[0].path == (0, 0)
