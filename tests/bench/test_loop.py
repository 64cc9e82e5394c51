import json
from types import SimpleNamespace

import pytest

from replaytree import cli
from replaytree.bench import loop
from replaytree.config import SCORED_STRATEGIES, Budget


def test_what_the_evaluator_takes_is_left_out(monkeypatch):
    """The clock shows the squares 0, 1, 4, 9, ... seconds. An episode reads it when it starts (the k-th time), before
    and after the evaluator, and when it ends: (k + 3)^2 - k^2 less the evaluator's (k + 2)^2 - (k + 1)^2 is 4 k + 6.
    """
    seconds = (read**2 for read in range(10_000))
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    cost = loop.measure_loop("random", depth=3, nodes=30, episodes=5)
    # One turn of 50 episodes fills the tree, and reads the clock twice: k = 2, 6, 10, 14, 18, so 14, 30, 46, 62, 78 s.
    assert (cost.strategy, cost.depth, cost.episodes) == ("random", 3, 5)
    assert cost.median_ms == 46_000
    assert cost.p95_ms == pytest.approx(62_000 + 0.8 * 16_000)
    # Of 55 paths of three layers: at least one new node for most, and no more than three each.
    assert 30 <= cost.nodes <= 55 * 3


def test_the_tree_is_filled_as_far_as_asked():
    assert [loop.measure_loop("random", depth=2, nodes=nodes, episodes=1).nodes >= nodes for nodes in (1, 150)] == [
        True,
        True,
    ]


def test_accuracies_follow_from_the_path_and_the_seed():
    def accuracies(path, seed):
        [evaluation] = loop.Instant().evaluate([path], budget=Budget(1), seed=seed)
        return evaluation.accuracies

    assert accuracies((3, 1, 2), 0) == accuracies((3, 1, 2), 0)
    assert len({accuracies((3, 1), 0), accuracies((3, 2), 0), accuracies((3, 1), 1)}) == 3
    assert all(0.5 <= accuracy < 0.9 for accuracy in accuracies((3, 1, 2), 0))


def test_the_loop_is_measured_for_every_strategy(tmp_path, capsys):
    report = tmp_path / "loop.json"
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "loop", "--depth", "3", "--nodes", "30", "--episodes", "4", "--json", str(report)])
    assert not ended.value.code
    out = capsys.readouterr().out
    figures = json.loads(report.read_text())
    assert [(cost["strategy"], cost["depth"], cost["episodes"]) for cost in figures["costs"]] == [
        (name, 3, 4) for name in SCORED_STRATEGIES
    ]
    assert all(cost["nodes"] >= 30 and 0 < cost["median_ms"] <= cost["p95_ms"] for cost in figures["costs"])
    for cost in figures["costs"]:
        assert f"median {cost['median_ms']:.1f} ms" in out
    assert figures["machine"]["torch"] in out
