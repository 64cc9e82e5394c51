from __future__ import annotations

import math
import threading
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from replaytree import metric
from replaytree.errors import ConfigError, EvaluationError, NodeNotFound, SearchExists, SearchNotFound, SpaceError
from replaytree.records import BudgetSums, NodeStats, PathEvaluation
from replaytree.tree import Episode, ReplayTree, check, list_searches, open_engine, recording
from replaytree.tree.engine import reading
from replaytree.tree.noise import training_noise

GOLDEN_PATHS = [(0,), (0, 1), (0, 1, 2), (2,), (0, 2), (0, 2, 1)]


def plain(stats):
    """Stats with totals rounded, to compare sums that were added in different orders."""
    return {
        s.path: (s.visit_count, [(b.epochs, b.evaluation_count, round(b.total_accuracy, 9)) for b in s.budgets])
        for s in stats
    }


GOLDEN = {
    (0,): (4, [(4, 2, 1.2), (8, 1, 0.75)]),
    (0, 1): (3, [(4, 2, 1.4)]),
    (0, 1, 2): (1, [(4, 1, 0.9)]),
    (2,): (1, [(8, 1, 0.25)]),
    (0, 2): (1, [(8, 1, 0.5)]),
    (0, 2, 1): (1, []),
}


def test_golden_tree(tree, golden):
    returned = tree.record(golden, state=b"five")
    assert plain(returned) == GOLDEN
    assert [s.path for s in returned] == GOLDEN_PATHS
    assert tree.node_stats() == returned
    assert tree.strategy_state() == b"five"
    assert (tree.episode_count, tree.training_count) == (5, 4)
    assert check(tree.engine) == []


def test_golden_tree_one_episode_at_a_time(tree, golden):
    for number, episode in enumerate(golden):
        tree.record([episode], state=str(number).encode())
    assert plain(tree.node_stats()) == GOLDEN
    assert [s.path for s in tree.node_stats()] == GOLDEN_PATHS
    assert tree.strategy_state() == b"4"
    assert check(tree.engine) == []


def test_a_batch_too_large_for_one_in_list(tree, golden, monkeypatch):
    monkeypatch.setattr(recording, "IN_AT_ONCE", 4)
    tree.record(golden[:2], state=b"")
    assert plain(tree.record(golden[2:], state=b"")) == {p: n for p, n in GOLDEN.items() if p != (0, 1, 2)}
    assert plain(tree.node_stats()) == GOLDEN


def test_record_returns_the_touched_nodes_as_they_are_now(tree, golden):
    tree.record(golden[:1], state=b"")
    (first, second) = tree.record([golden[3]], state=b"")
    assert first == NodeStats((0,), 2, (BudgetSums(4, 1, 0.5),))
    assert second == NodeStats((0, 1), 2, (BudgetSums(4, 1, 0.6),))


def test_nothing_recorded(tree):
    assert tree.strategy_state() is None
    assert tree.node_stats() == tree.nodes() == tree.best() == tree.episodes() == []
    assert tree.record([], state=b"early") == []
    assert tree.strategy_state() == b"early"
    assert (tree.episode_count, tree.training_count) == (0, 0)


def test_two_episodes_of_one_path_in_a_batch(tree):
    evaluations = [PathEvaluation([0.25]), PathEvaluation([0.5])]
    tree.record([Episode((1,), "sample", 1, 4, True, e) for e in evaluations], state=b"")
    assert tree.node_stats() == [NodeStats((1,), 2, (BudgetSums(4, 2, 0.75),))]


def sharing(path, accuracies, shared=0, epochs=4):
    return Episode(path, "sample", 3, epochs, True, PathEvaluation(accuracies, shared=shared))


def noise(tree):
    with reading(tree.engine) as connection:
        return [tuple(row) for row in connection.execute(text("SELECT repeat_count, relative_squares FROM budgets"))]


def test_a_prefix_that_two_paths_of_one_training_share_is_counted_once(tree):
    returned = tree.record([sharing((0, 1), [0.5, 0.6]), sharing((0, 2), [0.5, 0.8], shared=1)], state=b"")
    assert plain(returned) == {(0,): (2, [(4, 1, 0.5)]), (0, 1): (1, [(4, 1, 0.6)]), (0, 2): (1, [(4, 1, 0.8)])}
    assert tree.node_stats() == returned
    node = tree.node((0,))
    assert (node.visit_count, node.evaluation_count, node.budget_evaluation_count) == (2, 1, 1)
    # Nothing was trained twice, so nothing is known of the noise, and no bound is claimed.
    assert noise(tree) == [(0, 0.0)]
    assert [best.lower_bound for best in tree.best()] == [None] * 3
    assert [episode.accuracies for episode in tree.episodes()] == [(0.5, 0.6), (0.5, 0.8)]
    assert check(tree.engine) == []
    # A training apart is one: 0.5 and 0.7 have mean 0.6, squares 0.02, the error 0.4.
    tree.record([sharing((0,), [0.7])], state=b"")
    assert noise(tree) == [(1, pytest.approx(0.02 / 0.16))]
    assert tree.node((0,)).budget_evaluation_count == 2


def test_equal_paths_of_one_training_are_one_evaluation_and_two_visits(tree):
    tree.record([sharing((0, 1), [0.5, 0.6]), sharing((0, 1), [0.5, 0.6], shared=2)], state=b"")
    assert plain(tree.node_stats()) == {(0,): (2, [(4, 1, 0.5)]), (0, 1): (2, [(4, 1, 0.6)])}
    assert (tree.training_count, noise(tree)) == (2, [(0, 0.0)])


@pytest.mark.parametrize(
    "batch",
    [
        [sharing((0, 1), [0.5, 0.6], shared=1)],
        [sharing((0, 2), [0.5, 0.8], shared=1), sharing((0, 1), [0.5, 0.6])],
        [sharing((0, 1), [0.5, 0.6], epochs=8), sharing((0, 2), [0.5, 0.8], shared=1)],
        [sharing((0, 1), [0.5, 0.6]), sharing((0, 2), [0.5, 0.8], shared=2)],
    ],
    ids=["alone", "later", "other epochs", "other path"],
)
def test_a_copy_of_nothing_is_refused(tree, batch):
    tree.record([sharing((0,), [0.4])], state=b"before")
    with pytest.raises(
        EvaluationError, match=r"path .* shares its first \d accuracies at 4 epochs, and no earlier path"
    ):
        tree.record(batch, state=b"after")
    assert (tree.episode_count, tree.strategy_state()) == (1, b"before")


def test_cost_is_asked_for_new_nodes_only(tree, space, golden):
    tree.record(golden[:2], state=b"")
    tree.record(golden[:2], state=b"")
    assert space.asked == [(0,), (0, 1), (0, 1, 2)]


def test_a_resumed_tree_is_an_uninterrupted_one(url, create, space, golden, tmp_path):
    engine = open_engine(url)
    whole = create(engine, "whole")
    whole.record(golden, state=b"end")
    create(engine, "parts").record(golden[:2], state=b"middle")
    resumed = ReplayTree.open(engine, "parts", space=space)
    assert (resumed.strategy_state(), resumed.episode_count) == (b"middle", 2)
    resumed.record(golden[2:], state=b"end")
    assert plain(resumed.node_stats()) == plain(whole.node_stats())
    assert [e.number for e in resumed.episodes()] == [0, 1, 2, 3, 4]
    assert resumed.strategy_state() == whole.strategy_state()
    assert check(engine) == []
    engine.dispose()


def test_reopened_from_the_url(create, golden, tmp_path):
    url = f"sqlite:///{tmp_path}/tree.db"
    create(url).record(golden, state=b"x")
    tree = ReplayTree.open(url, "first")
    assert plain(tree.node_stats()) == GOLDEN
    assert repr(tree) == f"ReplayTree('{url}', 'first')"


def test_a_failed_record_leaves_nothing(tree, golden):
    tree.record(golden[:1], state=b"before")
    bad = Episode((0, 1, 3), "sample", 3, 4, True, PathEvaluation([0.5, 0.5, 0.5]))
    with pytest.raises(SpaceError, match=r"path \(0, 1, 3\) has action 3; the space has actions 0 to 2"):
        tree.record([golden[1], bad], state=b"after")
    assert tree.strategy_state() == b"before"
    assert tree.episode_count == 1
    assert [s.visit_count for s in tree.node_stats()] == [1, 1]
    assert check(tree.engine) == []


def test_a_failure_may_say_anything(tree):
    failed = PathEvaluation((), failure="error", failure_text="no file caf\udce9 \0 größe")
    tree.record([Episode((0,), "sample", 3, 4, True, failed)], state=b"")
    assert tree.episodes()[0].failure_text == "no file caf\\udce9 \\x00 größe"


def test_labels_are_one_word(create, space):
    space.label = lambda action: "two words"
    with pytest.raises(SpaceError, match=r"TinySpace.label\(0\) is 'two words'; a label is not empty, and has no"):
        create("sqlite://")


def test_a_tree_without_space_records_known_paths_only(tree, golden):
    tree.record(golden[:1], state=b"")
    reader = ReplayTree.open(tree.engine, "first")
    reader.record(golden[3:4], state=b"")
    with pytest.raises(SpaceError, match=r"path \(2,\) is new, and the tree was opened without a space"):
        reader.record(golden[2:3], state=b"")


def test_an_unknown_cost(url, create, space):
    space.cost = space.output_shape = lambda prefix: None
    engine = open_engine(url)
    tree = create(engine)
    tree.record([Episode((1,), "sample", 1, 4, True, PathEvaluation([0.5]))], state=b"")
    (node,) = tree.best()
    assert (node.params, node.flops, node.output_shape) == (None, None, None)
    assert tree.best(max_params=10**9) == []
    engine.dispose()


def test_search_exists(tree, create):
    with pytest.raises(
        SearchExists, match=r"has a search 'first' already; continue it with `replaytree resume first[` ]"
    ):
        create(tree.engine)
    with pytest.raises(ConfigError, match="name is ' '; a search needs a name"):
        create(tree.engine, " ")


def test_search_not_found(tree, create):
    create(tree.engine, "second")
    with pytest.raises(SearchNotFound, match=r"no search 'third' in .*; it has: first, second"):
        ReplayTree.open(tree.engine, "third")
    with pytest.raises(SearchNotFound, match="it holds no search yet"):
        ReplayTree.open(open_engine("sqlite://"), "third")


def test_another_space(tree, space):
    space.label = ["conv", "max", "res"].__getitem__
    with pytest.raises(
        SpaceError, match="search 'first' was made with layer 1 named pool, and the space given has max"
    ):
        ReplayTree.open(tree.engine, "first", space=space)
    space.num_actions = 2
    with pytest.raises(SpaceError, match="was made with 3 layers, and the space given has 2"):
        ReplayTree.open(tree.engine, "first", space=space)


def test_a_search_deleted_under_way(tree, golden):
    tree.record(golden, state=b"")
    with tree.engine.begin() as connection:
        connection.execute(text("DELETE FROM searches"))
        counts = [
            connection.scalar(text(f"SELECT COUNT(*) FROM {table}"))
            for table in ("nodes", "node_budgets", "episodes", "evaluations", "strategy_states")
        ]
    assert counts == [0, 0, 0, 0, 0]
    with pytest.raises(SearchNotFound, match="deleted"):
        tree.record(golden, state=b"")
    with pytest.raises(SearchNotFound, match="deleted"):
        tree.info()


def test_searches_do_not_mix(tree, create, golden):
    other = create(tree.engine, "other")
    tree.record(golden, state=b"1")
    other.record(golden[:1], state=b"2")
    assert plain(other.node_stats()) == {(0,): (1, [(4, 1, 0.5)]), (0, 1): (1, [(4, 1, 0.6)])}
    assert [node.average_accuracy for node in other.best()] == [0.6, 0.5]
    assert (other.episode_count, other.strategy_state(), tree.strategy_state()) == (1, b"2", b"1")
    with pytest.raises(NodeNotFound):
        other.node(1)
    assert [info.name for info in list_searches(tree.engine)] == ["first", "other"]
    assert check(tree.engine) == []


def test_the_statements_do_not_grow_with_depth(create, space, tmp_path):
    space.max_layers = 15
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    counts = []

    def statements(depth):
        seen = []
        listener = lambda *arguments: seen.append(arguments[2])  # noqa: E731
        event.listen(tree.engine, "before_cursor_execute", listener)
        path = (1,) * depth
        tree.record([Episode(path, "sample", 15, 4, True, PathEvaluation([0.5] * depth))], state=b"")
        event.remove(tree.engine, "before_cursor_execute", listener)
        return len(seen)

    # The first path meets an empty tree; of the others some prefixes are known and some are new.
    counts = [statements(depth) for depth in (1, 2, 8, 15)][1:]
    assert counts == [counts[0]] * 3
    assert counts[0] <= 18


def test_writers_at_the_same_time(url, create, space, golden):
    if url == "sqlite://":
        pytest.skip("a database in memory has one connection")
    engine = open_engine(url)
    create(engine)
    errors = []

    def write():
        try:
            own = open_engine(url)
            tree = ReplayTree.open(own, "first", space=space)
            for _ in range(5):
                tree.record(golden, state=b"")
            own.dispose()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    tree = ReplayTree.open(engine, "first")
    assert {s.path: s.visit_count for s in tree.node_stats()} == {
        path: 20 * visits for path, (visits, _) in GOLDEN.items()
    }
    assert [e.number for e in tree.episodes()] == list(range(100))
    assert check(engine) == []
    engine.dispose()


paths = st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple)


@st.composite
def episodes(draw):
    path, epochs = draw(paths), draw(st.sampled_from([4, 8]))
    if draw(st.booleans()):
        return Episode(path, "replay", 3, epochs, False)
    # Sixty-fourths, whose sums are exact in any order.
    measured = draw(st.lists(st.integers(0, 64).map(lambda n: n / 64), max_size=len(path)))
    failure = "error" if len(measured) < len(path) else None
    return Episode(path, "sample", 3, epochs, True, PathEvaluation(measured, failure=failure))


def in_memory(batch):
    """The same tree as a plain dict: path -> [visits, {epochs: [accuracies]}]."""
    model = {}
    for episode in batch:
        for depth in range(1, len(episode.path) + 1):
            node = model.setdefault(episode.path[:depth], [0, {}])
            node[0] += 1
            if episode.evaluation is not None and depth <= len(episode.evaluation.accuracies):
                node[1].setdefault(episode.epochs, []).append(episode.evaluation.accuracies[depth - 1])
    return {
        path: (visits, [(epochs, len(values), round(sum(values), 9)) for epochs, values in sorted(budgets.items())])
        for path, (visits, budgets) in model.items()
    }


ENGINE = []
NAMES = count()


def new_tree(space):
    if not ENGINE:
        ENGINE.append(open_engine("sqlite://"))
    return ReplayTree.create(
        ENGINE[0], f"search{next(NAMES)}", space=space, seed=0, config_json='{"seed": 0}', versions={}
    )


@pytest.fixture(scope="module")
def space_of_module():
    class Space:
        num_actions, max_layers = 3, 3

        def legal(self, prefix):
            return (True, True, True)

        def label(self, action):
            return "abc"[action]

        def build(self, prefix, num_classes):
            raise AssertionError("the tree builds no networks")

        def cost(self, prefix):
            return None

        def output_shape(self, prefix):
            return None

    return Space()


@settings(max_examples=40, deadline=None)
@given(batch=st.lists(episodes(), max_size=12), data=st.data())
def test_sql_equals_in_memory_in_any_order_and_any_batches(space_of_module, batch, data):
    order = data.draw(st.permutations(batch))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(batch)))) | {0, len(batch)})
    whole, parts = new_tree(space_of_module), new_tree(space_of_module)
    whole.record(batch, state=b"")
    for start, end in pairwise(cuts):
        parts.record(order[start:end], state=b"")
    assert plain(whole.node_stats()) == in_memory(batch)
    assert plain(parts.node_stats()) == in_memory(batch)
    assert parts.episode_count == len(batch)
    visits = {s.path: s.visit_count for s in parts.node_stats()}
    for path, visited in visits.items():
        ends_here = sum(episode.path == path for episode in batch)
        assert visited == ends_here + sum(n for child, n in visits.items() if child[:-1] == path)


def sums_and_noise(tree):
    return {path: budgets for path, (_, budgets) in plain(tree.node_stats()).items()}, noise_of(tree)


def noise_of(tree):
    with reading(tree.engine) as connection:
        found = training_noise(connection, tree._search_id, epochs=4)
    return None if found is None else round(found, 9)


@settings(max_examples=30, deadline=None)
@given(tries=st.lists(st.lists(paths, min_size=1, max_size=5), max_size=4), data=st.data())
def test_paths_of_a_training_add_what_its_distinct_prefixes_add(space_of_module, tries, data):
    """A trie is recorded as its paths, and as one path for each of its leaves that measured what was not yet there."""
    together, model = new_tree(space_of_module), {}
    for trie in tries:
        accuracy = {}
        batch = []
        for path in trie:
            own = [path[:depth] for depth in range(1, len(path) + 1)]
            shared = sum(prefix in accuracy for prefix in own)
            for prefix in own[shared:]:
                accuracy[prefix] = data.draw(st.integers(0, 64)) / 64
            batch.append(sharing(path, [accuracy[prefix] for prefix in own], shared))
        together.record(batch, state=b"")
        for prefix, value in accuracy.items():
            model.setdefault(prefix, []).append(value)
    assert sums_and_noise(together)[0] == {
        prefix: [(4, len(values), round(sum(values), 9))] for prefix, values in model.items()
    }
    repeats = sum(len(values) - 1 for values in model.values())
    squares = sum(
        sum((value - sum(values) / len(values)) ** 2 for value in values)
        / max(1 - sum(values) / len(values), metric.LEAST_ERROR) ** 2
        for values in model.values()
    )
    expected = None if not repeats else pytest.approx(math.sqrt(squares / repeats), abs=1e-6)
    assert noise_of(together) == expected
    visits = {s.path: s.visit_count for s in together.node_stats()}
    assert visits == {prefix: sum(path[: len(prefix)] == prefix for trie in tries for path in trie) for prefix in model}


@settings(max_examples=20, deadline=None)
@given(path=paths, cuts=st.lists(st.integers(1, 3), max_size=4), data=st.data())
def test_a_path_with_beginnings_of_it_adds_what_it_adds_alone(space_of_module, path, cuts, data):
    accuracies = [data.draw(st.integers(0, 64)) / 64 for _ in path]
    copies = [(path[:cut], accuracies[:cut]) for cut in cuts]
    whole, alone = new_tree(space_of_module), new_tree(space_of_module)
    for _ in range(2):
        batch = [sharing(path, accuracies), *(sharing(*copy, shared=len(copy[0])) for copy in copies)]
        whole.record(batch, state=b"")
        alone.record(batch[:1], state=b"")
    assert sums_and_noise(whole) == sums_and_noise(alone)
    assert whole.episode_count == 2 * (1 + len(cuts))


def test_hypothesis_left_a_sound_database(space_of_module):
    new_tree(space_of_module)
    assert check(ENGINE[0]) == []
