import pytest

from replaytree.report.comparison.searches import curves, groups
from replaytree.report.reading import read_search


def grouped(searches):
    return groups(searches, curves(searches))


def test_who_led_by_then(searches):
    assert curves(searches)[0].best == pytest.approx((0.2, 0.4, 0.4))
    assert curves(searches)[1].seconds == (2.0, 4.0)


def test_searches_that_differ_in_the_seed_alone_are_a_group(searches):
    assert [(group.label, len(group.curves)) for group in grouped(searches)] == [("toys (2 seeds)", 2), ("luck", 1)]


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
