import pytest

from replaytree.report.comparison.bands import BandRow, band_rows
from replaytree.report.comparison.searches import curves, groups


def grouped(searches):
    return groups(searches, curves(searches))


def test_bands_by_hand_up_to_where_the_shortest_ends(searches):
    both = grouped(searches)[0]
    # After 1 training: 0.2 and 0.4; after 2, on average, 0.4 and 0.45. Quantiles are linear between two values.
    assert band_rows(both, "trainings") == [
        BandRow(1.0, pytest.approx(0.3), pytest.approx(0.22), pytest.approx(0.38)),
        BandRow(2.0, pytest.approx(0.425), pytest.approx(0.405), pytest.approx(0.445)),
    ]
    # In seconds: at 2 and at 3, when the first ends, both have 0.4.
    assert [(row.x, row.median) for row in band_rows(both, "seconds")] == [
        (2.0, pytest.approx(0.4)),
        (3.0, pytest.approx(0.4)),
    ]
