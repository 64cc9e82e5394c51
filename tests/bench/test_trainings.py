import sys

import pytest

from replaytree.bench.trainings import measure_trainings


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_memory_is_looked_at_every_so_often():
    curve = list(measure_trainings(trainings=8, every=4))
    assert [point.trainings for point in curve] == [0, 4, 8]
    assert all(2**27 < point.resident_bytes < 2**36 for point in curve)
    # A training of such networks needs a few MiB; forgetting to free them would show in eight.
    assert curve[2].resident_bytes - curve[1].resident_bytes < 2**26
