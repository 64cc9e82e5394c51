from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree.errors import EvaluationError, SpaceError
from replaytree.records import PathEvaluation
from replaytree.tree.records import Episode, path_from_text, path_text, shape_from_text, shape_text


def test_texts():
    assert path_text((5, 12, 3)) == "5.12.3"
    assert path_text(()) == ""
    assert shape_text((32, 8, 8)) == "32x8x8"
    assert shape_text(None) is shape_from_text(None) is None


@given(st.lists(st.integers(0, 1000)).map(tuple), st.tuples(*[st.integers(1, 999)] * 3))
def test_texts_and_back(path, shape):
    assert path_from_text(path_text(path)) == path
    assert shape_from_text(shape_text(shape)) == shape


def test_a_path_of_numpy_integers_becomes_plain():
    episode = Episode(np.array([1, 2]), "replay", 2, 4, False)
    assert episode.path == (1, 2)
    assert {type(action) for action in episode.path} == {int}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((), "sample", 1, 4, False), SpaceError, "an episode's path is empty"),
        (((0,), "dream", 1, 4, False), EvaluationError, "source is 'dream'; it must be one of sample, continue, repl"),
        (((0,), "sample", 1, 4, True), EvaluationError, "has trained=True and no evaluation"),
        (((0,), "replay", 1, 4, False, PathEvaluation([1])), EvaluationError, "has trained=False and an evaluation"),
        (((0,), "sample", 1, 4, True, PathEvaluation([1, 1])), EvaluationError, "2 accuracies for path .* of 1 layers"),
        (((0,), "sample", 1, 4, True, PathEvaluation([])), EvaluationError, "or name the failure"),
    ],
)
def test_episodes_that_contradict_themselves(arguments, error, message):
    with pytest.raises(error, match=message):
        Episode(*arguments)
