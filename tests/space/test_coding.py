"""Actions as mixed-radix integers, worked out by hand."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree.errors import SpaceError
from replaytree.records import Decision
from replaytree.space import LabelSpace
from replaytree.space.coding import (
    allows,
    count,
    decisions_json,
    decode,
    encode,
    ended,
    is_legal,
    legal_actions,
    named,
    taken,
    why_illegal,
)

HEIGHT = Decision("height", ("1", "3", "5"))
FILTERS = Decision("filters", ("8", "16"))
INPUTS = Decision("inputs", ("1", "2", "4"), "inputs", (1, 2, 4))


class Rules:
    """Two layers of height, filters and inputs; height 5 allows only 8 filters, and layer 2 is never read."""

    max_layers = 2

    def decisions(self, depth):
        return (HEIGHT, FILTERS, INPUTS)

    def legal(self, prefix, chosen=()):
        if len(prefix) == 2:
            return (False,) * 3
        return [(True, True, True), (True, chosen[:1] != (2,)), (True, False, True)][len(chosen)]


def test_the_first_decision_is_the_most_significant():
    # 3 heights x 2 widths x 2^3 subsets.
    assert count((HEIGHT, FILTERS, INPUTS)) == 48
    assert encode((HEIGHT, FILTERS, INPUTS), (2, 1, 5)) == 2 * 16 + 1 * 8 + 5
    assert decode((HEIGHT, FILTERS, INPUTS), 45) == (2, 1, 5)


def test_with_one_decision_an_action_is_the_index_of_the_option():
    assert [encode((HEIGHT,), (value,)) for value in range(3)] == [0, 1, 2]
    assert [decode((HEIGHT,), action) for action in range(3)] == [(0,), (1,), (2,)]


@given(st.data())
def test_both_ways_round_trip(data):
    sizes = data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=5))
    decisions = [Decision(f"d{n}", tuple(map(str, range(size)))) for n, size in enumerate(sizes)]
    values = tuple(data.draw(st.integers(0, size - 1)) for size in sizes)
    assert decode(decisions, encode(decisions, values)) == values


def test_a_set_of_inputs_is_a_bit_mask():
    assert taken(INPUTS, 0b101) == (0, 2)
    assert taken(HEIGHT, 2) == (2,)
    assert named((HEIGHT, INPUTS), (1, 0b110)) == {"height": "3", "inputs": ["2", "4"]}
    assert allows(INPUTS, (True, False, True), 0b101)
    assert not allows(INPUTS, (True, False, True), 0b010)
    assert allows(INPUTS, (False, False, False), 0)


def test_whole_numbers_are_numbers_of_json_and_other_words_are_not():
    words = ("0", "-12", "007", "-0", "1.5", "9" * 18, "9" * 19, "größe")
    sizes, several = Decision("sizes", words), Decision("several", words, "inputs", (1,) * len(words))
    expected = [0, -12, "007", "-0", "1.5", 10**18 - 1, "9" * 19, "größe"]
    assert [json.loads(decisions_json((sizes,), action)) for action in range(8)] == [{"sizes": e} for e in expected]
    whole = decisions_json((sizes, several), encode((sizes, several), (7, 255)))
    assert json.loads(whole) == {"sizes": "größe", "several": expected}
    # As people read it, and not '\\u00f6'.
    assert "größe" in whole
    assert decisions_json((sizes,), 7) == '{"sizes": "größe"}'


def test_there_is_no_layer_before_the_first():
    space = LabelSpace(["a", "b"], max_layers=1)
    assert [is_legal(space, (), action) for action in (-1, 0, 1, 2)] == [False, True, True, False]


@pytest.mark.parametrize("action", [-1, 48])
def test_no_such_action(action):
    with pytest.raises(SpaceError, match=re.escape(f"there is no action {action}; the layer has actions 0 to 47")):
        decode((HEIGHT, FILTERS, INPUTS), action)


@pytest.mark.parametrize(
    ("values", "message"), [((0, 0), "2 values for 3"), ((0, 2, 0), "filters is 2; its values are")]
)
def test_no_such_values(values, message):
    with pytest.raises(SpaceError, match=message):
        encode((HEIGHT, FILTERS, INPUTS), values)


def test_which_decision_is_illegal_and_why():
    space, act = Rules(), lambda *values: encode((HEIGHT, FILTERS, INPUTS), values)
    assert why_illegal(space, (), act(2, 0, 5)) is None
    assert why_illegal(space, (), act(2, 1, 0)) == "filters may not be 16 there"
    assert why_illegal(space, (), act(0, 1, 0b111)) == "inputs may not be 2 there"
    assert why_illegal(space, (0, 0), 0) == "the path would have more layers than max_layers, 2 (--max-layers)"
    assert why_illegal(space, (), 48) == "there is no action 48; the layer has actions 0 to 47"
    assert [is_legal(space, (), act(*values)) for values in ((2, 0, 0), (2, 1, 0))] == [True, False]


def test_why_nothing_follows_an_end_and_what_the_space_says_of_it():
    class Stops(Rules):
        """Height 5 ends the path; layers 1 and 2 are never read together with 16 filters, and it says why."""

        max_layers = 3

        def legal(self, prefix, chosen=()):
            if not chosen:
                over = bool(prefix) and decode(self.decisions(1), prefix[-1])[0] == 2
                return (not over,) * 3
            return (True, True) if len(chosen) == 1 else (chosen[1] == 0, chosen[1] == 0, True)

        def why(self, prefix, chosen, option):
            return f"after {chosen}, option {option}"

    space, act = Stops(), lambda *values: encode((HEIGHT, FILTERS, INPUTS), values)
    assert why_illegal(space, (act(2, 0, 0),), act(0, 0, 0)) == "the path has ended before it"
    # The first of the wrong options is explained; option 2, the layer 4, is legal.
    assert why_illegal(space, (), act(0, 1, 0b111)) == "inputs may not be 1 or 2 there: after (0, 1), option 0"
    assert why_illegal(space, (), act(0, 1, 0b110)) == "inputs may not be 2 there: after (0, 1), option 1"
    assert [ended(space, path) for path in ((), (act(2, 0, 0),), (act(0, 0, 0),))] == [False, True, False]
    assert ended(space, (act(0, 0, 0),) * 3)


def test_all_legal_actions_in_order():
    # Heights 1 and 3 with both widths, height 5 with one; subsets of two readable layers.
    actions = list(legal_actions(Rules(), ()))
    assert len(actions) == 5 * 4
    assert actions == sorted(actions)
    assert list(legal_actions(LabelSpace(["a", "b"], max_layers=1, legal=lambda _: [False, True]), ())) == [1]
    assert list(legal_actions(Rules(), (0, 0))) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a b", ("1",)), "name of a Decision is 'a b'; give one word"),
        (("a", ("1", "1")), "decision 'a' has an option twice: 1, 1"),
        (("a", ()), "decision 'a' has no options; give at least one"),
        (("a", ("1",), "subset"), "kind of a Decision is 'subset'; it must be one of choice, input, inputs"),
        (("a", ("1",), "input"), "decision 'a' has 0 sources; it must have 1"),
        (("a", (3,)), "option of 'a' is 3; give one word"),
    ],
)
def test_what_is_no_decision(arguments, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        Decision(*arguments)
