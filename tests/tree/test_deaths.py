import pytest

from replaytree.tree.deaths import Deaths


def test_a_death_counts_for_the_training_under_way_and_for_no_other():
    none = Deaths()
    assert none.inherited() == none
    assert none.began("a").ended("a").inherited() == none
    once = none.began("a").inherited()
    assert once == Deaths({"a": 1})
    assert once.began("b").inherited() == Deaths({"a": 1, "b": 1})
    assert once.began("a").inherited() == Deaths({"a": 2})
    assert once.began("a").ended("a") == once.began("a").let_go() == none
    assert once.began("b").ended("b") == once.began("b").let_go() == once


def test_of_several_trainings_under_way_each_may_have_killed_the_process():
    several = Deaths({"a": 1, "d": 2}).began("a").began("b").began("b").began("c").ended("c")
    assert several.inherited() == Deaths({"a": 2, "b": 1, "d": 2})
    assert several.ended("b").inherited() == Deaths({"a": 2, "b": 1, "d": 2})
    assert several.ended("a") == Deaths({"d": 2}, ("b", "b"))
    assert several.let_go() == Deaths({"d": 2})


def test_a_text_of_when_only_one_could_be_under_way():
    assert Deaths.of_text('{"counts": {"a": 1}, "under_way": "b"}') == Deaths({"a": 1}, ("b",))
    assert Deaths.of_text('{"counts": {"a": 1}, "under_way": null}') == Deaths({"a": 1})


@pytest.mark.parametrize(
    "deaths", [Deaths(), Deaths({"a": 2}), Deaths({"a": 2, "b": 1}, ("b",)), Deaths({}, ("c", "d", "c"))]
)
def test_text_and_back(deaths):
    assert Deaths.of_text(deaths.to_text()) == deaths
    assert (deaths.to_text() is None) == (deaths == Deaths())


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"counts": 3}', '{"counts": {"a": "many"}}', "[" * 100_000])
def test_a_text_of_another_kind_counts_nothing(text):
    assert Deaths.of_text(text) == Deaths()


def test_an_unknown_training_is_none():
    assert Deaths.of_text('{"counts": {"a": 1}, "under_way": 5}') == Deaths({"a": 1})
