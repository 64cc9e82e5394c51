"""Tables as lines: nothing is cut at any width."""

from replaytree.cli.console import nodes_lines
from replaytree.cli.table import lines
from replaytree.metric import ACCURACY

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


def test_nothing_of_a_node_is_cut_at_80_columns_also_with_latency():
    row = {
        "node_id": 12345, "average_accuracy": 0.99444, "lower_bound": None,
        "budget_evaluation_count": 2, "epochs": 8, "visit_count": 7, "depth": 15, "params": 1_234_567, "flops": 999,
        "ram_bytes": None, "flash_bytes": None, "latency_ms": 0.123456, "labels": " ".join(["res128s2"] * 15),
    }  # fmt: skip
    narrow = nodes_lines([row], width=80, metric=ACCURACY)
    assert narrow[0].split() == [
        "node",
        "accuracy",
        "at",
        "least",
        "trainings",
        "epochs",
        "depth",
        "params",
        "FLOPs",
        "ms",
    ]
    assert narrow[1].split() == ["12345", "0.9944", "-", "2", "8", "15", "1.23M", "999", "0.123"]
    assert max(map(len, narrow)) <= 80
    assert " ".join(" ".join(narrow[2:]).split()) == row["labels"]
    wide = nodes_lines([row], width=300, metric=ACCURACY)
    assert nodes_lines([row], width=300, unit="turns", metric=ACCURACY)[0].split() == [
        "turns" if word == "epochs" else word for word in wide[0].split()
    ]
    assert len(wide) == 2
    assert wide[1].endswith(row["labels"])
