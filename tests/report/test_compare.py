import pytest

from replaytree.errors import ConfigError
from replaytree.report import write_comparison
from replaytree.report.compare import BandRow, band_rows, curve, groups, standing_rows
from replaytree.report.compare_page import cautions, standing_finding
from replaytree.report.reading import read_search


@pytest.fixture
def searches(grow, training):
    made = [
        grow([training((0,), 0.2), training((0,), 0.6), training((0,), 0.4)], "toys-1", seed=1),
        grow([training((0,), 0.4, seconds=2.0), training((0,), 0.5, seconds=2.0)], "toys-2", seed=2),
        grow([training((0,), 0.9)], "luck", config={"strategy": "random"}),
    ]
    return [read_search(tree) for tree in made]


def test_best_so_far(searches):
    assert curve(searches[0]).best == (0.2, 0.6, 0.6)
    assert curve(searches[1]).seconds == (2.0, 4.0)


def test_searches_that_differ_in_the_seed_alone_are_a_group(searches):
    assert [(group.label, len(group.curves)) for group in groups(searches)] == [("toys (2 seeds)", 2), ("luck", 1)]


def test_bands_by_hand_up_to_where_the_shortest_ends(searches):
    both = groups(searches)[0]
    # After 1 training: 0.2 and 0.4; after 2: 0.6 and 0.5. Quantiles are linear between two values.
    assert band_rows(both, "trainings") == [
        BandRow(1.0, pytest.approx(0.3), pytest.approx(0.22), pytest.approx(0.38)),
        BandRow(2.0, pytest.approx(0.55), pytest.approx(0.51), pytest.approx(0.59)),
    ]
    # In seconds: at 2 the first search has 0.6 and the second 0.4; both stand at 3, when the first ends.
    assert [(row.x, row.median) for row in band_rows(both, "seconds")] == [
        (2.0, pytest.approx(0.5)),
        (3.0, pytest.approx(0.5)),
    ]


def test_the_table_and_its_heading(searches):
    rows = standing_rows(searches)
    assert [(row.trainings, row.common_best, row.best, row.best_at) for row in rows] == [
        (3, 0.2, 0.6, 2),
        (2, 0.4, 0.5, 2),
        (1, 0.9, 0.9, 1),
    ]
    assert standing_finding(rows) == "After 1 training luck leads with 0.900; toys-1 has 0.200"


def test_the_page_is_written_and_says_what_differs(grow, golden, tmp_path, training):
    first, second = grow(golden, "a"), grow([training((0,), 0.5)], "b", data_json=None)
    path = write_comparison([first, second], out=tmp_path / "reports")
    assert path == tmp_path / "reports" / "a-vs-b" / "index.html"
    assert "did not see the same images" in path.read_text(encoding="utf-8")
    assert cautions([read_search(first), read_search(first)]) == []


def test_one_search_or_the_same_twice_is_no_comparison(tree, tmp_path):
    for searches in ([tree], [tree, tree], []):
        with pytest.raises(ConfigError, match="at least two"):
            write_comparison(searches, out=tmp_path)


def test_searches_that_measured_nothing_are_compared_without_figures(grow, tmp_path):
    path = write_comparison([grow([], "a"), grow([], "b")], out=tmp_path)
    assert "No common trainings" in path.read_text(encoding="utf-8")
