import pytest

from replaytree.metric import ACCURACY
from replaytree.report.comparison.answer import standing_finding
from replaytree.report.comparison.apart import group_standings
from replaytree.report.comparison.searches import curves, groups
from replaytree.report.comparison.standings import standing_rows


def grouped(searches):
    return groups(searches, curves(searches))


def test_the_table_and_its_heading(searches):
    found = grouped(searches)
    rows = standing_rows(searches, found)
    assert [(row.trainings, row.common_best, row.best, row.best_at) for row in rows] == [
        (3, 0.2, pytest.approx(0.4), 1),
        (2, 0.4, pytest.approx(0.45), 1),
        (1, 0.9, 0.9, 1),
    ]
    assert rows[2].at_least == searches[2].best.lower_bound
    standings = group_standings(found)
    assert [(each.label, each.seeds, each.mean) for each in standings] == [
        ("luck", 1, 0.9),
        ("toys (2 seeds)", 2, pytest.approx(0.3)),
    ]
    assert standing_finding(standings, 1, metric=ACCURACY) == "After 1 training luck is ahead of toys (2 seeds)"
