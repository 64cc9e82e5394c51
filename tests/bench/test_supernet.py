import sys

import pytest

from replaytree.bench import supernet
from replaytree.bench.supernet import measure_steps, measure_turns


def test_a_step_of_a_supernet_is_timed_beside_a_step_of_the_path(monkeypatch):
    monkeypatch.setattr(supernet, "SEEN", 3)
    monkeypatch.setattr(supernet, "STEPS", 2)
    cost = measure_steps("enas-macro", layers=3, paths=2, options={"channels": 4})
    assert (cost.space, cost.layers, cost.paths) == ("enas-macro", 3, 2)
    assert cost.path_ms > 0.0 < cost.again
    assert cost.new > 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_looked_at_every_so_often():
    curve = list(measure_turns(turns=4, every=2))
    assert [point.trainings for point in curve] == [0, 2, 4]
    assert all(2**27 < point.resident_bytes < 2**36 for point in curve)
