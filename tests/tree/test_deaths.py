import pytest

from replaytree.tree.deaths import Deaths


def test_a_death_counts_for_the_training_under_way_and_for_no_other():
    none = Deaths()
    assert none.inherited() == none
    assert none.began("a").ended().inherited() == none
    once = none.began("a").inherited()
    assert once == Deaths({"a": 1})
    assert once.began("b").inherited() == Deaths({"a": 1, "b": 1})
    assert once.began("a").inherited() == Deaths({"a": 2})
    assert once.began("a").ended() == none
    assert once.began("b").ended() == once


@pytest.mark.parametrize("deaths", [Deaths(), Deaths({"a": 2}), Deaths({"a": 2, "b": 1}, "b"), Deaths({}, "c")])
def test_text_and_back(deaths):
    assert Deaths.of_text(deaths.to_text()) == deaths
    assert (deaths.to_text() is None) == (deaths == Deaths())


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"counts": 3}', '{"counts": {"a": "many"}}', "[" * 100_000])
def test_a_text_of_another_kind_counts_nothing(text):
    assert Deaths.of_text(text) == Deaths()


def test_an_unknown_training_is_none():
    assert Deaths.of_text('{"counts": {"a": 1}, "under_way": 5}') == Deaths({"a": 1})
