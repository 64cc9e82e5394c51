"""A space of a user's own, in NumPy and torch, and with every mistake that its methods can make."""

import numpy as np
import pytest
import torch

from replaytree.errors import SpaceError
from replaytree.space import CheckedSpace, LabelSpace, checked


class Own:
    num_actions, max_layers = np.int64(2), torch.tensor(3)

    def legal(self, prefix):
        return np.array([True, len(prefix) > 0])

    def label(self, action):
        return np.str_("xy"[action])

    def build(self, prefix, num_classes):
        return "network"

    def cost(self, prefix):
        return np.int64(10 * len(prefix)), torch.tensor(1e6)

    def output_shape(self, prefix):
        return np.array([8, 4, 4])


def test_answers_become_python_s_own():
    space = checked(Own())
    answers = [space.num_actions, space.max_layers, *space.cost((0,)), *space.output_shape((0,))]
    assert answers == [2, 3, 10, 1_000_000, 8, 4, 4]
    assert {type(answer) for answer in answers} == {int}
    assert space.legal(()) == (True, False)
    assert type(space.legal(())[0]) is bool
    assert [type(space.label((), action)) for action in (0, 1)] == [str, str]
    assert (space.build((), 2), isinstance(space, CheckedSpace)) == ("network", True)


def test_spaces_of_ours_check_themselves():
    ours = LabelSpace(["a"], max_layers=1)
    assert checked(ours) is ours
    assert checked(checked_once := checked(Own())) is checked_once


def test_what_a_space_need_not_know():
    class Ignorant(Own):
        output_shape = None

        def cost(self, prefix):
            return None

        def legal(self, prefix):
            return [0, 0] if len(prefix) == 3 else [1, 0]

    space = checked(Ignorant())
    assert (space.cost(()), space.output_shape(()), space.legal((0, 0, 0))) == (None, None, (False, False))


@pytest.mark.parametrize(
    ("method", "returned", "message"),
    [
        ("legal", None, r"Own.legal\(\(0,\)\) is None; it must be one bool an action"),
        ("legal", [True], r"Own.legal\(\(0,\)\) has 1 values; it must have 2: one an action"),
        ("legal", ["yes", "no"], r"Own.legal\(\(0,\)\), action 0, is 'yes'; it must be True or False"),
        ("cost", 5, r"Own.cost\(\(0,\)\) is 5; it must be \(parameters, FLOPs\)"),
        ("cost", (1, float("inf")), r"FLOPs of Own.cost\(\(0,\)\) is inf; it must be a whole number of at least 0"),
        ("cost", (-1, 1), r"parameters of Own.cost\(\(0,\)\) is -1; it must be a whole number of at least 0"),
        ("cost", (1.5, 1), r"parameters of Own.cost\(\(0,\)\) is 1.5"),
        ("cost", (2**63 - 1, 1), r"parameters of Own.cost\(\(0,\)\) is 9223372036854775807; .* at most"),
        ("cost", (1, 2, 3), r"Own.cost\(\(0,\)\) is \(1, 2, 3\); it must be \(parameters, FLOPs\)"),
        ("output_shape", (8, 0, 4), r"height of Own.output_shape\(\(0,\)\) is 0; it must be a whole number of at"),
        ("output_shape", "8x4x4", r"Own.output_shape\(\(0,\)\) is '8x4x4'; it must be \(channels, height, width\)"),
    ],
)
def test_a_wrong_answer_is_named_with_what_it_must_be(method, returned, message):
    space = checked(type("Own", (Own,), {method: lambda self, prefix: returned})())
    with pytest.raises(SpaceError, match=message):
        getattr(space, method)((0,))


@pytest.mark.parametrize("method", ["legal", "cost", "output_shape"])
def test_a_method_that_raises_is_named(method):
    space = checked(type("Own", (Own,), {method: lambda self, prefix: {}["no"]})())
    with pytest.raises(SpaceError, match=rf"Own.{method}\(\(0,\)\) cannot be had: KeyError: 'no'"):
        getattr(space, method)((0,))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_actions": 0}, "Own.num_actions is 0; it must be a whole number of at least 1"),
        ({"max_layers": "3"}, "Own.max_layers is '3'"),
        ({"label": lambda self, action: 5}, r"Own.label\(0\) is 5; it must be a text"),
        ({"label": lambda self, action: ""}, r"Own.label\(0\) is ''; a label is not empty, and has no white space"),
        ({"label": lambda self, action: "a\x1b"}, r"Own.label\(0\) is 'a\\x1b'"),
        ({"label": lambda self, action: "a"}, r"Own.label\(1\) is 'a', which action 0 has, too; make labels unique"),
        ({"label": lambda self, action: "x"[action]}, r"Own.label\(1\) cannot be had: IndexError"),
    ],
)
def test_a_space_that_cannot_be_is_told_at_once(changes, message):
    with pytest.raises(SpaceError, match=message):
        checked(type("Own", (Own,), changes)())


def test_what_is_no_space_is_told_what_one_has():
    with pytest.raises(SpaceError, match=r"is the class Own; give an object: Own\(...\)"):
        checked(Own)
    with pytest.raises(SpaceError, match=r"space is 5, which has no num_actions; a space has num_actions, max_layers"):
        checked(5)


def test_a_path_may_end_behind_a_layer_and_not_before_the_first():
    class Stopping(Own):
        def legal(self, prefix):
            return [not prefix or prefix[-1] != 1] * 2

    space = checked(Stopping())
    assert (space.legal((0,)), space.legal((0, 1))) == ((True, True), (False, False))
    nothing = checked(type("Own", (Own,), {"legal": lambda self, prefix: [False, False]})())
    with pytest.raises(SpaceError, match=r"Own.legal\(\(\)\) allows nothing; only behind a layer may a path end"):
        nothing.legal(())
