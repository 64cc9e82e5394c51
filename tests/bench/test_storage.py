import itertools
import json
from types import SimpleNamespace

import pytest

from replaytree import cli
from replaytree.bench import storage
from replaytree.bench.storage import COMMITS, EPISODES_A_TRANSACTION, Milliseconds, OptunaCost, Paths


@pytest.fixture
def ticking(monkeypatch):
    """Every look at the clock shows a second more, and every look at the processor's two."""
    clock, processor = itertools.count(), itertools.count(step=2)
    fake = SimpleNamespace(perf_counter=lambda: next(clock), process_time=lambda: next(processor))
    monkeypatch.setattr(storage, "time", fake)


def test_calls_are_timed_one_by_one(monkeypatch):
    # The clock shows 0, 1, 4, 9, ... seconds, so the calls take 1, 5, 9 and 13; eight of the processor in all.
    clock, processor = (read**2 for read in range(99)), iter((2, 10))
    fake = SimpleNamespace(perf_counter=lambda: next(clock), process_time=lambda: next(processor))
    monkeypatch.setattr(storage, "time", fake)
    called = []
    timed = storage._timed(lambda: called.append(1), 4)
    assert len(called) == 4
    assert timed == Milliseconds(7_000, pytest.approx(9_000 + 0.85 * 4_000), 2_000)
    assert timed.text == "7000.00 ms (95th percentile 12400.00, processor 2000.00)"


def test_a_tree_holds_the_prefixes_of_the_paths_that_were_recorded(ticking):
    [cost] = storage.measure_tree([40], depth=4)
    # One transaction fills it; then come the commits of single paths.
    paths = Paths(storage._space(4))
    episodes = [paths.episode() for _ in range(EPISODES_A_TRANSACTION + COMMITS)]
    assert cost.paths == EPISODES_A_TRANSACTION + COMMITS == 700
    assert cost.nodes == len({e.path[: t + 1] for e in episodes for t in range(4)})
    # By the ticking clock the transaction took one second, and so does every call that is measured.
    assert cost.paths_a_second == EPISODES_A_TRANSACTION
    assert {cost.commit.median, cost.draw.median, cost.best.median, cost.best_limited.median, cost.view.p95} == {1_000}
    assert cost.draws_a_second == 1.0
    assert cost.first_episode_seconds == 1.0
    assert cost.commit.processor == pytest.approx(2_000 / COMMITS)
    assert f"{cost.nodes} nodes of 700 paths in SQLite, {cost.bytes_a_node:.0f} bytes a node" in cost.text
    assert "filling                500 paths a second" in cost.text


def test_a_tree_is_filled_further_from_size_to_size(ticking):
    small, large = storage.measure_tree([40, 2_000], depth=4)
    # 700 paths have fewer nodes than that: two more transactions of 500 paths, a tick each, and 200 single paths.
    assert 40 <= small.nodes < 2_000 <= large.nodes <= 4 * large.paths
    assert (large.paths - small.paths - COMMITS) % EPISODES_A_TRANSACTION == 0
    assert large.paths_a_second == EPISODES_A_TRANSACTION
    # Pages of SQLite: a node is a row of three tables and its indexes, and no more than a page.
    assert 100 < large.bytes_a_node < 4_096


def test_paths_are_like_those_of_a_policy():
    paths = Paths(storage._space(5), seed=3)
    episodes = [paths.episode() for _ in range(400)]
    earlier = set()
    for episode in episodes:
        assert len(episode.path) == len(episode.evaluation.accuracies) == 5
        assert (episode.source == "continue") <= (episode.path[:1] in earlier)
        assert all(0 <= a <= 1 and a * 5_000 == pytest.approx(round(a * 5_000)) for a in episode.evaluation.accuracies)
        earlier.add(episode.path[:1])
    assert sum(e.source == "continue" for e in episodes) == pytest.approx(200, abs=40)
    # Deeper prefixes are better: 0.9 - 0.6 e^(-t/2).
    means = [sum(e.evaluation.accuracies[t] for e in episodes) / 400 for t in (0, 4)]
    assert means == pytest.approx([0.536, 0.851], abs=0.02)


def test_beside_optuna_rates_are_counts_over_seconds(ticking):
    cost = storage.measure_optuna(3, parameters=4)
    # Each of the four ways takes one tick for its three paths or trials.
    assert cost == OptunaCost(count=3, parameters=4, ours=3.0, ours_full=3.0, optuna_steps=3.0, optuna_whole=3.0)


def test_how_many_times_fewer():
    text = OptunaCost(100, 15, ours=600.0, ours_full=60.0, optuna_steps=5.0, optuna_whole=40.0).text
    assert "Optuna, asked and told             5.0  (120 and 12 times fewer)" in text
    assert "Optuna, a finished trial at once   40.0  (15.0 and 1.5 times fewer)" in text


def test_storage_is_measured(tmp_path, capsys):
    report = tmp_path / "storage.json"
    arguments = ["--nodes", "40", "--depth", "3", "--optuna", "2", "--json", str(report)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "storage", *arguments])
    assert not ended.value.code
    out = capsys.readouterr().out
    figures = json.loads(report.read_text())
    [cost] = figures["costs"]
    for name in ("commit", "draw", "best", "best_limited", "view"):
        assert 0 < cost[name]["median"] <= cost[name]["p95"]
    assert (figures["optuna"]["count"], figures["optuna"]["parameters"]) == (2, 3)
    assert f"{cost['nodes']} nodes of {cost['paths']} paths" in out


def test_sizes_must_rise(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "storage", "--nodes", "50", "--nodes", "40", "--optuna", "0"])
    assert ended.value.code == 2
    assert "nodes are 50, 40; give rising numbers (--nodes)" in capsys.readouterr().err
