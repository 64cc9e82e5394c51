"""The rows of the embedding, by hand."""

import pytest

from replaytree.policy.vocabulary import Vocabulary
from replaytree.records import Decision


class Cell:
    """A height, one of two inputs of the cell (0 and -1) or of the layers before, and any of those layers."""

    def __init__(self, max_layers):
        self.max_layers = max_layers

    def decisions(self, depth):
        earlier = tuple(range(1, depth))
        names = tuple(map(str, earlier))
        return (
            Decision("height", ("1", "3", "5")),
            Decision("above", ("first", "second", *names), "input", (-1, 0, *earlier)),
            Decision("inputs", names, "inputs", earlier),
        )


def last_step(words, depth, name):
    return next(s for s in words.steps(depth) if s.depth == depth and s.decision.name == name)


def test_the_order_of_the_rows():
    """Heights 0 to 2, start 3, a row each pointer 4 and 5, source 0 is 6, source -1 is 7, distance 1 is 8."""
    words = Vocabulary(Cell(4))
    assert words.start == 3
    above, inputs = (last_step(words, 4, name) for name in ("above", "inputs"))
    assert [words.row(step.decision) for step in (last_step(words, 4, "height"), above, inputs)] == [0, 4, 5]
    # The fourth layer sees the third at distance 1; the row behind the sources is no source.
    assert words.source_rows(above, 6) == [7, 6, 10, 9, 8, 0]
    assert words.source_rows(inputs, 3) == [10, 9, 8]
    assert words.size == 8 + 32
    assert [(s.depth, s.place, s.last) for s in words.steps(2)] == [
        (1, 0, False), (1, 1, False), (1, 2, True), (2, 0, False), (2, 1, False), (2, 2, True),
    ]  # fmt: skip


def test_layers_32_away_and_farther_are_pointed_at_alike():
    words = Vocabulary(Cell(40))
    rows = words.source_rows(last_step(words, 40, "inputs"), 39)
    # Layer 39 is 1 away, layer 9 is 31, layer 8 is 32, layer 1 is 39.
    assert rows[38] == 8
    assert rows[8] == 8 + 30
    assert rows[:8] == [8 + 31] * 8
    assert max(rows) == words.size - 1


@pytest.mark.parametrize("options", [("a",), ("a", "b")])
def test_without_a_pointer_there_are_no_rows_for_layers(options):
    class Plain:
        max_layers = 3

        def decisions(self, depth):
            return (Decision("layer", options),)

    assert Vocabulary(Plain()).size == len(options) + 1
