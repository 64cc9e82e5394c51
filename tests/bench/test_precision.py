import json

import pytest

from replaytree import cli
from replaytree.bench import precision
from replaytree.bench.precision import PrecisionCost
from replaytree.training.step import Step


def test_the_ratio_is_that_of_float32_to_bfloat16():
    assert PrecisionCost("resnet8", 1.0, 12_501_632, float32_ms=90.0, bfloat16_ms=60.0).ratio == 1.5


def test_a_step_is_that_of_a_retraining(monkeypatch):
    made = []

    def instead(network, optimizer, **named):
        made.append((optimizer, named))
        return Step(network, optimizer, **named)

    monkeypatch.setattr(precision, "Step", instead)
    graph = precision._graphs()["early pooling", 0.25]
    for wanted in ("float32", "bfloat16"):
        precision.training_step(graph, wanted, shape=(3, 32, 32), batch=2)()
    assert [str(named["precision"]) for _, named in made] == ["float32", "bfloat16"]
    for optimizer, named in made:
        own = optimizer.param_groups[0]
        assert (own["momentum"], own["nesterov"], own["fused"]) == (0.9, True, True)
        assert (named["label_smoothing"], named["capture"]) == (0.1, False)


def test_both_types_are_measured_for_every_network_and_width(tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["bench", "precision", "--rounds", "1", "--batch-size", "2", "--json", str(tmp_path / "costs.json")])
    assert "mobilenet-v3-small" in capsys.readouterr().out
    costs = json.loads((tmp_path / "costs.json").read_text())["costs"]
    flops = {(each["network"], each["width"]): each["flops"] for each in costs}
    # Those of MLPerf Tiny's network, and of the poster's.
    assert flops["resnet8", 1.0] == 12_501_632
    assert flops["late pooling", 1.0] == 351_011_456
    assert len(costs) == 2 * 3 + 2 * 3 + 2
    assert all(each["float32_ms"] > 0.0 and each["bfloat16_ms"] > 0.0 for each in costs)
