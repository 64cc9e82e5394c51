"""A search whose layers are several decisions: names, effects and pairs are of its labels and options."""

import json

import pytest

from replaytree import ReplayTree, named_space
from replaytree.report.icicle import icicle_rows
from replaytree.report.page import report_html
from replaytree.report.reading import kind_of, read_search
from replaytree.report.sections.effects import effect_rows
from replaytree.report.sections.follows import follow_rows
from replaytree.report.sections.history import history_rows
from replaytree.report.sections.tree import tree_columns
from replaytree.report.wording import broken

CONFIG = {"seed": 0, "space": "zoph", "dataset": "toys", "strategy": "replay"}
PATHS = {"1x1f24 3x3f36@1": 0.9, "1x1f24 3x3f36": 0.7, "7x7f24 3x3f36@1": 0.4, "7x7f24 3x3f36": 0.2}


@pytest.fixture
def found(tmp_path, training, fingerprint):
    space = named_space("zoph", input_shape=(1, 8, 8), num_classes=2, max_layers=3)
    tree = ReplayTree.create(
        f"sqlite:///{tmp_path}/tree.db", "z", space=space, seed=0, config_json=json.dumps(CONFIG),
        versions={}, data_json=fingerprint,
    )  # fmt: skip
    tree.record([training(space.parse(path), 0.1, accuracy) for path, accuracy in PATHS.items()], state=b"")
    return read_search(tree)


def test_effects_are_of_options(found):
    rows = {(row.position, row.decision, row.option): row for row in effect_rows(found)}
    # 0.9 and 0.7 with a kernel of height 1, 0.4 and 0.2 with 7.
    assert rows[1, "filter_height", "1"].effect == pytest.approx(0.5)
    assert rows[1, "filter_height", "7"].effect == pytest.approx(-0.5)
    # All have 24 filters there, so there is nothing to compare with.
    assert rows[1, "filters", "24"].effect is None
    # Reading layer 1: 0.9 and 0.4 against 0.7 and 0.2. What reads none has no row.
    assert rows[2, "inputs", "1"].effect == pytest.approx(0.2)
    assert [key for key in rows if key[1] == "inputs"] == [(2, "inputs", "1")]
    assert [row.decision for row in effect_rows(found) if row.position == 2] == [
        "filter_height", "filter_width", "filters", "inputs",
    ]  # fmt: skip


def test_names_are_the_labels_of_the_nodes(found):
    assert found.labels == ("1x1f24", "7x7f24", "3x3f36", "3x3f36@1")
    assert [row.labels for row in history_rows(found)] == list(PATHS)
    assert {row.label for row in icicle_rows(found)} == {"z", *found.labels}
    assert [(row.before, row.after) for row in follow_rows(found)] == [("1x1f24", "3x3f36@1")]


def test_the_page_is_sent_labels_and_actions(found):
    sent = tree_columns(found)
    columns = sent["columns"]
    for place, node in enumerate(found.nodes):
        assert sent["labels"][columns["label"][place]] == node.label
        assert columns["action"][place] == str(node.action)
    assert sent["kinds"] == ["1x1", "7x7", "3x3"]
    assert "filter_height" in report_html(found)


@pytest.mark.parametrize(
    ("label", "kind"),
    [("3x5s2x1f36@1", "3x5"), ("conv32k3", "conv"), ("sep5+0+2", "sep"), ("3", "3"), ("-", "-"), ("1a", "1a")],
)
def test_the_type_of_a_layer(label, kind):
    assert kind_of(label) == kind


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("conv32k3", "conv32k3"),
        ("3x5f36@1+2+3+4+5+6+7+8+9", "3x5f36@1+2+3+4+5+<br>6+7+8+9"),
        ("kernel3-filters16-pool2", "kernel3-filters16-<br>pool2"),
        # Between the edges of a node of a cell, never within one.
        ("identity@0+identity@1", "identity@0+<br>identity@1"),
        ("a<b" + "x" * 20, "a&lt;b" + "x" * 20),
    ],
)
def test_long_labels_go_over_lines(label, lines):
    assert broken(label) == lines
