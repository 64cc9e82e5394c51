"""The ranking by index against a plain sort, and what the database reads for it."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from replaytree import metric
from replaytree.errors import SpaceError, StorageError
from replaytree.records import PathEvaluation
from replaytree.space import LabelSpace
from replaytree.tree import Episode, Leader, ReplayTree, check, open_engine, repair
from replaytree.tree.engine import reading
from replaytree.tree.noise import training_noise
from replaytree.tree.ranking import rank, training_bound

PATHS = st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple)
# Few values, so that averages, bounds and noise tie; 1.0 and its neighbour, so that errors fall under the least one.
ACCURACIES = st.sampled_from([0.0, 0.4, 0.5, 0.6, 0.9, 0.99995, 1.0])
EPISODES = st.tuples(PATHS, st.lists(ACCURACIES, min_size=3, max_size=3), st.sampled_from([4, 8]))
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_depth": st.integers(1, 4),
        "max_params": st.integers(0, 60),
        "max_flops": st.integers(0, 30),
        "max_ram": st.integers(0, 9),
        "max_flash": st.integers(0, 70),
        "epochs": st.sampled_from([4, 8, 9]),
    },
)


class CostlySpace(LabelSpace):
    """Three labels; paths that begin with the last one are of unknown cost."""

    def __init__(self):
        super().__init__(["a", "b", "c"], max_layers=3)

    def cost(self, prefix):
        return None if prefix[0] == 2 else (10 * sum(prefix) + len(prefix), 10 * len(prefix))

    def network(self, prefix):
        memory = (None, None) if prefix[0] == 1 else (3 * len(prefix) - prefix[-1], 20 + 10 * prefix[-1])
        return SimpleNamespace(ram_bytes=memory[0], flash_bytes=memory[1])


def new_tree(storage="sqlite://"):
    return ReplayTree.create(storage, "property", space=CostlySpace(), seed=0, config_json='{"seed": 0}', versions={})


def recorded(tree, results, *, at_once):
    episodes = [Episode(path, "sample", 3, epochs, True, PathEvaluation(a[: len(path)])) for path, a, epochs in results]
    for start in range(0, len(episodes), at_once):
        tree.record(episodes[start : start + at_once], state=b"")


def measured(results, epochs):
    """path -> accuracies at one budget."""
    found = {}
    for path, accuracies, budget in results:
        for t in range(len(path)):
            if budget == epochs:
                found.setdefault(path[: t + 1], []).append(accuracies[t])
    return found


def plain_noise(found):
    repeats = sum(len(values) - 1 for values in found.values())
    squares = 0.0
    for values in found.values():
        mean = math.fsum(values) / len(values)
        squares += math.fsum((value - mean) ** 2 for value in values) / max(1.0 - mean, metric.LEAST_ERROR) ** 2
    return math.sqrt(squares / repeats) if repeats else None


@given(st.lists(EPISODES, min_size=1, max_size=25), LIMITS, st.integers(1, 6), st.integers(1, 25))
@settings(deadline=None, max_examples=60)
def test_best_is_what_a_plain_sort_finds(results, limits, k, at_once):
    tree = new_tree()
    recorded(tree, results, at_once=at_once)
    limits = dict(limits)
    epochs = limits.pop("epochs", max(budget for *_, budget in results))
    with reading(tree.engine) as connection:
        noise = training_noise(connection, 1, epochs=epochs)
    nodes = {node.path: node for node in tree.nodes()}
    places = []
    for path, values in measured(results, epochs).items():
        node = nodes[path]
        own = {
            "max_depth": len(path), "max_params": node.params, "max_flops": node.flops, "max_ram": node.ram_bytes,
            "max_flash": node.flash_bytes,
        }  # fmt: skip
        if any(own[name] is None or own[name] > limit for name, limit in limits.items()):
            continue
        sums = next(b for s in tree.node_stats() if s.path == path for b in s.budgets if b.epochs == epochs)
        average = sums.average_accuracy
        assert average == pytest.approx(math.fsum(values) / len(values))
        bound = training_bound(average, len(values), noise=noise)
        places.append((-bound, -average, node.params is None, node.params or 0, node.node_id))
    best = tree.best(k, epochs=epochs, **limits)
    assert [node.node_id for node in best] == [place[-1] for place in sorted(places)[:k]]


@given(st.lists(EPISODES, min_size=1, max_size=25), st.integers(1, 25))
@settings(deadline=None, max_examples=40)
def test_the_noise_is_that_of_all_evaluations_in_whatever_batches(results, at_once):
    tree = new_tree()
    recorded(tree, results, at_once=at_once)
    with reading(tree.engine) as connection:
        for epochs in (4, 8):
            plain, kept = plain_noise(measured(results, epochs)), training_noise(connection, 1, epochs=epochs)
            assert (plain is None) == (kept is None)
            assert plain is None or kept == pytest.approx(plain, rel=1e-6, abs=1e-6)
    assert check(tree.engine) == []


@given(st.lists(EPISODES, min_size=1, max_size=25), st.integers(1, 25))
@settings(deadline=None, max_examples=60)
def test_the_view_ranks_as_best_does(results, at_once):
    tree = new_tree()
    recorded(tree, results, at_once=at_once)
    with reading(tree.engine) as connection:
        rows = connection.execute(text("SELECT * FROM best_prefixes")).mappings().all()
    best = tree.best(999)
    assert [row["node_id"] for row in rows] == [node.node_id for node in best]
    assert [row["training_bound"] for row in rows] == [pytest.approx(node.training_bound, abs=6e-5) for node in best]
    assert [row["budget_evaluation_count"] for row in rows] == [node.budget_evaluation_count for node in best]
    assert check(tree.engine) == []


def test_a_lucky_training_ranks_behind_a_firm_average_wherever_the_best_is_told(url):
    """0.9 once against 0.88 four times: the noise of 0.84, 0.92, 0.84, 0.92 is worth more than the two points."""
    engine = open_engine(url)
    tree = ReplayTree.create(
        engine, "lucky", space=CostlySpace(), seed=0, config_json='{"seed": 0}', versions={}, data_json=images(100)
    )
    recorded(tree, [((0,), [a], 4) for a in (0.84, 0.92, 0.84, 0.92)] + [((1,), [0.9], 4)], at_once=2)
    # Squares 4 * 0.04^2 over an error of 0.12, three repeats: noise sqrt(0.0064 / 0.0144 / 3) = 2 / sqrt(27).
    noise = 2 / math.sqrt(27)
    bounds = [1 - 0.12 * math.exp(noise / 2), 1 - 0.1 * math.exp(noise)]
    best = tree.best()
    assert [node.path for node in best] == [(0,), (1,)]
    assert [node.training_bound for node in best] == [pytest.approx(bound) for bound in bounds]
    assert [node.path for node in sorted(tree.nodes(), key=rank)] == [(0,), (1,)]
    with reading(engine) as connection:
        rows = connection.execute(text("SELECT node_id, training_bound FROM best_prefixes")).all()
    assert [tuple(row) for row in rows] == [
        (node.node_id, pytest.approx(b, abs=6e-5)) for node, b in zip(best, bounds, strict=True)
    ]
    # A hundred images, too: at least (p + 1/200 - sqrt(p (1 - p) / 100 + 1/40000)) / 1.01
    p = bounds[0]
    at_least = (p + 1 / 200 - math.sqrt(p * (1 - p) / 100 + 1 / 40000)) / 1.01
    info = tree.info()
    assert (info.best_accuracy, info.best_lower_bound) == (pytest.approx(0.88), pytest.approx(at_least))
    assert tree.leader() == Leader(pytest.approx(0.88), 4)
    assert tree.node((0,)).lower_bound == tree.children(())[0].lower_bound == pytest.approx(at_least)
    engine.dispose()


def images(count):
    """The fingerprint of so many validation images."""
    fingerprint = {"sha256": "ab" * 32, "train_count": 2, "train_counts": [1, 1], "image_shape": [1, 8, 8]}
    return json.dumps({**fingerprint, "classes": ["a", "b"], "val_count": count})


def test_at_least_is_known_after_one_training_where_the_images_are_counted():
    def only(**data):
        tree = ReplayTree.create(
            "sqlite://", "one", space=CostlySpace(), seed=0, config_json='{"seed": 0}', versions={}, **data
        )
        recorded(tree, [((0,), [1.0], 4)], at_once=1)
        return tree.best(1)[0].lower_bound

    assert only(data_json=images(180)) == pytest.approx(180 / 181)
    assert only() is None
    with pytest.raises(StorageError, match="val_count is 'many'"):
        only(data_json=images("many"))


def statements(engine, act):
    seen = []

    def listen(*arguments):
        seen.append(arguments[2:4])

    event.listen(engine, "before_cursor_execute", listen)
    act()
    event.remove(engine, "before_cursor_execute", listen)
    return [(statement, parameters) for statement, parameters in seen if "SELECT" in statement]


def plan(engine, statement, parameters):
    with engine.connect() as connection:
        return [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def grown(storage):
    tree = new_tree(storage)
    results = [
        ((a, b, c), [0.5, 0.5 + a / 10, 0.9 - b * c / 10], 4) for a in range(3) for b in range(3) for c in (0, 1)
    ]
    recorded(tree, results * 2, at_once=7)
    return tree


@pytest.mark.parametrize("limits", [{}, {"max_depth": 2}, {"max_params": 20}, {"max_flops": 20}])
def test_best_scans_no_table(limits):
    tree = grown("sqlite://")
    lines = [
        line
        for statement, parameters in statements(tree.engine, lambda: tree.best(3, **limits))
        for line in plan(tree.engine, statement, parameters)
    ]
    assert any("USING COVERING INDEX ix_node_budgets_ranking" in line for line in lines)
    # The recursion walks over its own few rows.
    assert {line for line in lines if line.startswith("SCAN")} <= {"SCAN depths", "SCAN counts", "SCAN CONSTANT ROW"}
    assert not any("TEMP B-TREE" in line for line in lines)


def test_recording_and_looking_up_scan_no_table():
    tree = grown("sqlite://")

    def act():
        recorded(tree, [((0, 1, 2), [0.5, 0.6, 0.7], 4)], at_once=1)
        tree.node((0, 1))
        tree.children((0,))
        tree.children(())

    for statement, parameters in statements(tree.engine, act):
        if statement.startswith(("SELECT", "INSERT INTO node_budgets")):
            values = parameters[0] if isinstance(parameters, list) else parameters
            scans = [line for line in plan(tree.engine, statement, values) if line.startswith("SCAN")]
            assert scans == [], statement


def test_a_tree_of_few_groups_is_ranked_by_few_statements():
    tree = grown("sqlite://")
    # The largest budget and the images, the noise, the groups, the nodes; and one for each group read.
    assert len(statements(tree.engine, lambda: tree.best(1))) <= 5


def test_best_before_any_training():
    assert new_tree().best() == []


def test_postgresql_reads_the_ranking_index(empty_postgresql):
    engine = open_engine(empty_postgresql)
    tree = grown(engine)
    with engine.connect() as connection:
        connection.execute(text("SET enable_seqscan = off"))
        query = (
            "EXPLAIN SELECT node_id FROM node_budgets WHERE search_id = 1 AND epochs = 4 AND depth = 2 "
            "AND evaluation_count = 4 ORDER BY average_accuracy DESC, params_rank, node_id LIMIT 3"
        )
        lines = [row[0] for row in connection.execute(text(query))]
    assert any("ix_node_budgets_ranking" in line for line in lines)
    assert not any("Sort" in line for line in lines)
    # Of the prefixes of 0.9 the one of the fewest parameters.
    assert tree.best(1)[0].labels == ("a", "a", "a")
    engine.dispose()


class TextSpace(CostlySpace):
    task = "text"


def text_tree(storage):
    """Perplexity 95.2 of a, once; 100 and 96.2 of b."""
    tree = ReplayTree.create(storage, "text", space=TextSpace(), seed=0, config_json='{"seed": 0}', versions={})
    recorded(tree, [((0,), [0.0105], 4), ((1,), [0.01], 4), ((1,), [0.0104], 4)], at_once=2)
    return tree


def test_text_is_ranked_by_the_logarithm_of_its_perplexity(url):
    tree = text_tree(url)
    assert tree.info().task == "text"
    # Two deviations of 0.0002 from 0.0102, of one repeat.
    noise = math.sqrt(2 * 0.0002**2 / 0.0102**2)
    bounds = [0.0105 / math.exp(noise), 0.0102 / math.exp(noise / math.sqrt(2))]
    assert [node.training_bound for node in tree.best()] == pytest.approx(bounds)
    assert [node.path for node in tree.best()] == [(0,), (1,)]
    # One deviation further, on the scale of the loss.
    assert tree.best()[0].lower_bound == pytest.approx(bounds[0])
    assert check(tree.engine) == []
    with reading(tree.engine) as connection:
        rows = connection.execute(text("SELECT average_accuracy, training_bound FROM best_prefixes")).all()
    assert [tuple(row) for row in rows] == [
        pytest.approx((average, bound), abs=1e-8) for average, bound in zip((0.0105, 0.0102), bounds, strict=True)
    ]


def test_the_noise_of_text_that_was_changed_is_found_and_made_again(url):
    tree = text_tree(url)
    before = [node.training_bound for node in tree.best()]
    with tree.engine.begin() as connection:
        connection.execute(text("UPDATE budgets SET relative_squares = 1.0"))
    assert {problem.invariant for problem in check(tree.engine)} >= {"noise at 4 epochs"}
    repair(tree.engine)
    assert check(tree.engine) == []
    assert [node.training_bound for node in tree.best()] == pytest.approx(before)


def test_a_space_of_no_known_task_is_refused():
    class Speech(CostlySpace):
        task = "speech"

    with pytest.raises(SpaceError, match="task of the space is 'speech'; it must be images or text"):
        ReplayTree.create("sqlite://", "s", space=Speech(), seed=0, config_json='{"seed": 0}', versions={})
