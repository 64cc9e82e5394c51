import json

import pytest

from replaytree import cli


def test_storage_is_measured(tmp_path, capsys):
    report = tmp_path / "storage.json"
    arguments = ["--nodes", "40", "--nodes", "3000", "--depth", "4", "--optuna", "3", "--json", str(report)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "storage", *arguments])
    assert not ended.value.code
    out = capsys.readouterr().out
    figures = json.loads(report.read_text())
    small, large = figures["costs"]
    assert 40 <= small["nodes"] < 3000 <= large["nodes"] <= large["paths"] * 4
    for cost in (small, large):
        assert all(0 < cost[name]["median"] <= cost[name]["p95"] for name in ("commit", "draw", "best", "view"))
        assert cost["bytes_a_node"] > 100
    assert (figures["optuna"]["count"], figures["optuna"]["parameters"]) == (3, 4)
    assert f"{large['nodes']} nodes of {large['paths']} paths" in out


def test_sizes_must_rise(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "storage", "--nodes", "50", "--nodes", "40", "--optuna", "0"])
    assert ended.value.code == 2
    assert "nodes are 50, 40; give rising numbers (--nodes)" in capsys.readouterr().err
