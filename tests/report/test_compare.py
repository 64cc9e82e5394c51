import pytest

from replaytree.errors import ConfigError
from replaytree.report import write_comparison
from replaytree.report.compare import BandRow, band_rows, curves, group_standings, groups, standing_rows
from replaytree.report.compare_page import cautions, comparison_html, standing_finding
from replaytree.report.reading import read_search


@pytest.fixture
def searches(grow, training):
    made = [
        grow([training((0,), 0.2), training((0,), 0.6), training((0,), 0.4)], "toys-1", seed=1),
        grow([training((0,), 0.4, seconds=2.0), training((0,), 0.5, seconds=2.0)], "toys-2", seed=2),
        grow([training((0,), 0.9)], "luck", config={"strategy": "random"}),
    ]
    return [read_search(tree) for tree in made]


def grouped(searches):
    return groups(searches, curves(searches))


def test_who_led_by_then(searches):
    assert curves(searches)[0].best == pytest.approx((0.2, 0.4, 0.4))
    assert curves(searches)[1].seconds == (2.0, 4.0)


def test_searches_that_differ_in_the_seed_alone_are_a_group(searches):
    assert [(group.label, len(group.curves)) for group in grouped(searches)] == [("toys (2 seeds)", 2), ("luck", 1)]


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
    assert standing_finding(standings, 1) == "After 1 training luck is ahead of toys (2 seeds)"


def test_groups_of_the_same_seeds_are_compared_seed_by_seed(grow, training):
    made = [
        grow([training((0,), accuracy)], f"{name}-{seed}", seed=seed, config=config, data_json=None)
        for name, config, accuracies in (
            ("own", {}, {1: 0.9, 2: 0.7, 3: 0.8}),
            ("luck", {"strategy": "random"}, {3: 0.7, 1: 0.8, 2: 0.61}),
            ("firm", {"gamma": 0.5}, {1: 0.5, 2: 0.9, 3: 0.7}),
        )
        for seed, accuracy in accuracies.items()
    ]
    standings = group_standings(grouped([read_search(tree) for tree in made]))
    behind = {each.label: each.behind for each in standings}
    # 0.1, 0.09 and 0.1 apart seed by seed, although the seeds themselves lie 0.2 apart.
    assert behind["luck (3 seeds)"].value == pytest.approx(0.29 / 3)
    assert behind["luck (3 seeds)"].sign == 1
    assert behind["firm (3 seeds)"].sign == 0
    assert standing_finding(standings, 1) == (
        "After 1 training own (3 seeds) and firm (3 seeds) are not told apart; own (3 seeds) is ahead of luck (3 seeds)"
    )


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


def test_a_second_search_of_one_seed_is_no_further_seed(grow, training):
    made = [read_search(grow([training((0,), 0.5)], name, seed=1)) for name in ("toys-1", "toys-2", "toys-3")]
    made.append(read_search(grow([training((0,), 0.5)], "toys-4", seed=2)))
    assert [(group.label, len(group.curves)) for group in grouped(made)] == [
        ("toys (2 seeds)", 2),
        ("toys-2", 1),
        ("toys-3", 1),
    ]


def test_groups_whose_names_begin_alike_are_told_apart(grow, training):
    made = [
        read_search(grow([training((0,), 0.5)], f"toys-{number}", seed=number, config={"gamma": number // 2}))
        for number in range(4)
    ]
    assert [group.label for group in grouped(made)] == ["toys-0, toys-1 (2 seeds)", "toys-2, toys-3 (2 seeds)"]


def test_other_images_make_another_group_and_no_comparison(grow, training, fingerprint):
    other = fingerprint.replace('"train_count": 900', '"train_count": 800')
    split = fingerprint.replace("900", "910").replace('"val_count": 100', '"val_count": 90')
    made = [
        read_search(grow([training((0,), accuracy)], name, seed=seed, data_json=images))
        for name, seed, accuracy, images in (
            ("a", 1, 0.9, fingerprint),
            ("b", 2, 0.1, other),
            ("c", 3, 0.9, split),
        )
    ]
    assert [len(group.curves) for group in grouped(made)] == [2, 1]
    page = comparison_html(made)
    assert "No fair comparison: these searches did not see the same images" in page
    assert "What can be told apart" not in page
    assert "ahead of" not in page
