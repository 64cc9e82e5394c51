import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree.errors import SpaceError
from replaytree.space import LabelSpace, xu24
from replaytree.space.notation import read_path

LABELS = tuple(layer.label for layer in xu24())
SPACE = LabelSpace(LABELS, max_layers=2)


@pytest.mark.parametrize(
    "text", ["res128 conv32k3", "res128, conv32k3", " res128,conv32k3\n", "16.0", " 16.0 ", "res128,,conv32k3,"]
)
def test_ways_to_write_a_path(text):
    assert read_path(text, SPACE) == (16, 0)


def test_one_index_is_a_path():
    assert read_path("5", SPACE) == (5,)


def test_a_label_wins_over_an_index():
    assert read_path("2", LabelSpace(["2", "1", "0"], max_layers=1)) == (0,)
    assert read_path("2.1", LabelSpace(["a", "2.1", "b"], max_layers=1)) == (1,)


@given(st.lists(st.integers(0, 23), min_size=1).map(tuple))
def test_both_notations_round_trip(path):
    assert read_path(".".join(map(str, path)), SPACE) == path
    assert read_path(" ".join(LABELS[action] for action in path), SPACE) == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "path '' has no layers; write labels, as in 'conv32k3', or indices, as in '0.0'"),
        (" , ", "path ' , ' has no layers"),
        ("res64 Conv32K3s1", "layer 2 is 'Conv32K3s1', which is not in this space; did you mean conv32k3"),
        ("zzz", "layer 1 is 'zzz', which is not in this space; its layers are conv32k3, conv32k4"),
        ("0 1", "layer 1 is '0', which is not in this space"),
        ("-1", "layer 1 is '-1', which is not in this space"),
        ("0..1", "layer 1 is '0..1', which is not in this space"),
    ],
)
def test_what_cannot_be_read(text, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        read_path(text, SPACE)
