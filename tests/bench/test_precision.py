import json

import pytest

from replaytree import cli
from replaytree.bench.precision import PrecisionCost


def test_the_ratio_is_that_of_float32_to_bfloat16():
    assert PrecisionCost("resnet8", 1.0, 12_501_632, float32_ms=90.0, bfloat16_ms=60.0).ratio == 1.5


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
