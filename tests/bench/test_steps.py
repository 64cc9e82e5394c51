import json
from types import SimpleNamespace

import pytest

from replaytree import cli
from replaytree.bench import steps


def test_works_take_turns_and_each_has_the_median_of_its_own_times(monkeypatch):
    clock, order = [0.0], []
    monkeypatch.setattr(steps, "time", SimpleNamespace(process_time=lambda: clock[0]))

    def work(name, seconds):
        left = iter(seconds)

        def run():
            order.append(name)
            clock[0] += next(left)

        return run

    # The first run of each is a warm-up.
    short, long = work("short", [90, 1, 2, 30]), work("long", [90, 5, 4, 6])
    assert steps.by_turns([short, long], rounds=3) == [2_000, 5_000]
    assert order == ["short", "long"] * 4


def test_a_ratio_is_to_xu24():
    cost = steps.StepCost("part", "zoph", 15, 3, xu24_ms=2.0, space_ms=5.0)
    assert cost.ratio == 2.5


def test_a_space_is_measured_beside_xu24(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(steps, "NODES", 40)
    measured = steps.measure_steps
    monkeypatch.setattr(steps, "measure_steps", lambda name, **options: measured(name, **options, rounds=2))
    file = tmp_path / "steps.json"
    words = ["bench", "loop", "--space", "zoph", "--depth", "3", "--nodes", "30", "--json", str(file)]
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert not ended.value.code
    out, costs = capsys.readouterr().out, json.loads(file.read_text())["costs"]
    assert [cost["part"] for cost in costs] == [
        "64 paths sampled",
        "8 paths scored and learned from",
        "64 mutants",
        "the value model fitted to 40 nodes",
        "a whole turn of guided",
    ]
    for cost in costs:
        assert (cost["space"], cost["depth"], cost["rounds"]) == ("zoph", 3, 2)
        assert cost["ratio"] == cost["space_ms"] / cost["xu24_ms"] > 0
        assert f"ratio {cost['ratio']:.2f}" in out


def test_a_space_that_there_is_not(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "loop", "--space", "zof"])
    assert ended.value.code == 2
    assert "there is no space 'zof'" in capsys.readouterr().err
