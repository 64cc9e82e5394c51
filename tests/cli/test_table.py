"""Tables as lines: nothing is cut at any width."""

from replaytree.cli.table import lines

HEADINGS = ("node", "visits", "layers")
ROWS = [(7, 12, "conv32k3 res64"), (123, 1, "max2s2")]


def test_a_row_is_a_line_where_there_is_room():
    assert lines(HEADINGS, ROWS, width=28, last="layers") == [
        "node  visits  layers",
        "   7      12  conv32k3 res64",
        " 123       1  max2s2",
    ]


def test_the_last_column_goes_below_and_is_wrapped_where_there_is_none():
    assert lines(HEADINGS, ROWS, width=27, last="layers") == [
        "node  visits",
        "   7      12",
        "      conv32k3 res64",
        " 123       1",
        "      max2s2",
    ]
    assert lines(HEADINGS, ROWS, width=15, last="layers")[2:4] == ["      conv32k3", "      res64"]


def test_spare_columns_are_left_out_one_by_one_and_wide_characters_count_twice():
    assert lines(("search", "n", "m"), [("größe", 1, 2)], width=9, left=("search",), spare=("n", "m")) == [
        "search  m",
        "größe   2",
    ]
    assert lines(("search", "n"), [("検索", 1), ("a", 22)], width=80, left=("search",)) == [
        "search   n",
        "検索     1",
        "a       22",
    ]
    assert lines(("a",), [("x\x1b[31m",)], width=80) == ["        a", "x\\x1b[31m"]
