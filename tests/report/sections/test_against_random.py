from dataclasses import replace

import pytest

from replaytree.report.reading import read_search
from replaytree.report.sections.against_random import compare_with_random, random_finding


def compared(grow, training, one, other, **options):
    """Two searches of one layer each, trained as often as there are accuracies."""
    search = read_search(grow([training((0,), a) for a in one], "own"))
    luck = read_search(grow([training((1,), a) for a in other], "luck", config={"strategy": "random"}, **options))
    return compare_with_random(search, luck)


def test_random_search_is_compared_by_what_ranks_first_after_as_many_trainings(grow, training):
    found = compared(grow, training, [0.9, 0.8, 0.1], [0.4, 0.2])
    assert (found.companion, found.trainings) == ("luck", 2)
    assert (found.search.accuracy, found.random.accuracy) == (pytest.approx(0.85), pytest.approx(0.3))
    assert found.difference.value == pytest.approx(0.55)
    assert found.difference.interval[0] > 0
    assert random_finding(found) == "55.0 points better than random search after the same 2 trainings"


def test_two_pictures_of_118_are_no_claim(grow, training, fingerprint):
    data_json = fingerprint.replace('"val_count": 100', '"val_count": 118')
    search = read_search(grow([training((0,), 115 / 118)], "own", data_json=data_json))
    luck = read_search(grow([training((1,), 113 / 118)], "luck", config={"strategy": "random"}, data_json=data_json))
    found = compare_with_random(search, luck)
    assert found.difference.value == pytest.approx(2 / 118)
    assert found.difference.sign == 0
    assert random_finding(found) == "Not told apart from random search after the same 1 training"


def test_without_images_and_repeats_nothing_is_claimed(grow, training):
    search = read_search(grow([training((0,), 0.9)], "own", data_json=None))
    luck = read_search(grow([training((1,), 0.1)], "luck", config={"strategy": "random"}, data_json=None))
    found = compare_with_random(search, luck)
    assert found.difference.interval is None
    assert random_finding(found).startswith("Not told apart")


def test_other_budgets_are_no_fair_comparison(grow, data, training):
    companion = grow([training((0,), 0.65), training((1,), 0.3)], "luck", config={"strategy": "random"})
    found = compare_with_random(data, read_search(companion))
    assert found.caution == "it trained for up to 4 epochs, this search for 8 epochs"
    assert random_finding(found) == "No fair comparison with random search"
    config = {"strategy": "random", "weights": "shared"}
    turns = read_search(grow([training((0,), 0.65, epochs=1)], "turns", config=config))
    assert compare_with_random(data, turns).caution == "it trained for up to 1 turn, this search for 8 epochs"


def test_a_companion_that_is_not_random_or_of_other_images_is_said_to_be(grow, data, golden):
    found = compare_with_random(data, read_search(grow(golden, "other", data_json=None)))
    assert found.caution == "its strategy is replay, not random, and its images, or their split, are others"


def test_a_random_search_is_its_own_comparison_and_others_have_none(grow, golden, data):
    own = compare_with_random(read_search(grow(golden, "luck", config={"strategy": "random"})), None)
    assert (own.companion, own.trainings, own.search.accuracy) == (None, 4, 0.75)
    assert compare_with_random(data, None) is None
    assert compare_with_random(read_search(grow([], "empty", config={"strategy": "random"})), None) is None


def test_other_layers_are_said(data):
    other = replace(
        data, info=replace(data.info, name="luck", space_json=data.info.space_json.replace("pool1", "pool2"))
    )
    assert "its layers are others" in compare_with_random(data, other).caution
