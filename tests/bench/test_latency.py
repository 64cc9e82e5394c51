import pytest

from replaytree.bench.latency import Compared, agreement, compare
from replaytree.space import Convolution, LayerSpace, Pooling
from replaytree.space.latency_table import LatencyTable, distinct_layers, key_of


def test_agreement_by_hand():
    rows = [
        Compared("a", 1.0, 1.0, 2.0),
        Compared("b", 3.0, 2.0, 2.0),
        Compared("c", 2.0, 2.5, 5.0),
        Compared("d", 4.0, 4.0, 16.0),
    ]
    found = agreement(rows, [1, 2, 3, 4])
    # Ranks 1 3 2 4 and 1 2 3 4: 1 - 6 * 2 / (4 * 15).
    assert found.spearman == pytest.approx(0.8)
    assert found.spearman_flops == pytest.approx(1.0)
    # Errors 0, 0.5, -0.2, 0; ratios 2, 1, 2, 4.
    assert (found.n, found.worst_error, found.median_error) == (4, 0.5, pytest.approx(0.1))
    assert found.eager_ratio == pytest.approx(2.0)


def test_networks_of_every_depth_are_compared():
    space = LayerSpace([Convolution(4, 3), Pooling("max", 2, 2)], input_shape=(1, 8, 8), num_classes=3, max_layers=2)
    table = LatencyTable({key_of(*part): 1.0 for part in distinct_layers(space)}, 0.5)
    rows, found = compare(space, table, networks=4)
    # A layer and the head, or two layers and the head.
    assert [row.table_ms for row in rows] == [2.5, 3.5, 2.5, 3.5]
    assert found.n == 4
    assert min(row.onnx_ms for row in rows) > 0.0
