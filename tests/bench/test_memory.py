import json

import pytest

from replaytree import cli
from replaytree.bench.memory import resident_bytes, small_table


def test_memory_is_measured(tmp_path, capsys):
    report = tmp_path / "memory.json"
    arguments = ["--strategy", "random", "--episodes", "250", "--every", "100", "--json", str(report)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "memory", *arguments])
    assert not ended.value.code
    points = json.loads(report.read_text())["points"]
    assert [point["episodes"] for point in points] == [100, 200, 250]
    assert points[-1]["nodes"] <= 120
    assert f"{points[-1]['megabytes']:.1f} MB" in capsys.readouterr().out


def test_an_unknown_strategy(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "memory", "--strategy", "lucky"])
    assert ended.value.code == 2
    assert "strategy is 'lucky'; it must be one of evolution, guided" in capsys.readouterr().err


def test_the_table_is_whole():
    table = small_table()
    assert len(table.accuracies) == 3 + 9 + 27 + 81
    assert table.max_layers == 4


def test_what_is_held_is_counted():
    before = resident_bytes()
    held = b"x" * 100_000_000
    assert resident_bytes() - before > 0.9 * len(held)
