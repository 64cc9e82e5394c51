import json

import pytest

from replaytree import cli
from replaytree.config import STRATEGY_NAMES


def test_the_loop_is_measured_for_every_strategy(tmp_path, capsys):
    report = tmp_path / "loop.json"
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "loop", "--depth", "3", "--nodes", "30", "--episodes", "4", "--json", str(report)])
    assert not ended.value.code
    out = capsys.readouterr().out
    figures = json.loads(report.read_text())
    assert [cost["strategy"] for cost in figures["costs"]] == list(STRATEGY_NAMES)
    assert all(cost["nodes"] >= 30 and 0 < cost["median_ms"] <= cost["p95_ms"] for cost in figures["costs"])
    assert f"median {figures['costs'][0]['median_ms']:.1f} ms" in out
    assert figures["machine"]["torch"] in out
