"""What is stored of a space, what is known of it again, and how two differ."""

import json
import re

import pytest

from replaytree.errors import SpaceError
from replaytree.records import Decision
from replaytree.space import (
    ConstrainedSpace,
    Convolution,
    CustomLayer,
    DecisionSpace,
    LabelSpace,
    LayerSpace,
    Pooling,
    chain_space,
    checked,
)
from replaytree.space.catalogue import named_space, space_of
from replaytree.space.description import Outline, decision_difference, describe, difference, outline, why_own
from replaytree.space.layers import Classifier
from replaytree.space.plan import plain_label, plain_values

IMAGES = {"input_shape": (1, 8, 8), "num_classes": 10, "max_layers": 3}
XU24 = named_space("xu24", **IMAGES)
LABELS = LabelSpace(["a", "b"], max_layers=3)
LAYERS = LayerSpace([Convolution(8, 3), Pooling("max", 2, 2)], **IMAGES)
OWN_LAYERS = LayerSpace([Convolution(8, 3), CustomLayer("mine", lambda shape: None, lambda shape: shape)], **IMAGES)


class Three:
    """A user's own space with the smallest contract."""

    num_actions, max_layers = 3, 2

    def legal(self, prefix):
        return [True] * 3

    def label(self, action):
        return ("conv", "pool", "3")[action]

    def build(self, prefix, num_classes):
        raise AssertionError("nothing is built")

    def cost(self, prefix):
        return None


class Two(Three):
    """The labels of LABELS, but what is legal is its own."""

    num_actions, max_layers = 2, 3

    def label(self, action):
        return "ab"[action]


class Skips:
    """A plan of one's own: a choice, and any of the layers before."""

    name, source, nested = "skips", "a test", True
    input_shape, num_classes, max_layers = (1, 8, 8), 10, 3

    def options(self):
        return {}

    def decisions(self, depth):
        earlier = range(1, depth)
        return Decision("f", ("4", "8")), Decision("inputs", tuple(map(str, earlier)), "inputs", tuple(earlier))

    def legal(self, prefix, chosen):
        return (True,) * (len(prefix) if chosen else 2)

    def label(self, prefix, values):
        return plain_label(self.decisions(len(prefix) + 1), values)

    def values(self, prefix, label):
        return plain_values(self.decisions(len(prefix) + 1), label, depth=len(prefix) + 1)

    def network(self, path):
        raise AssertionError(f"nothing is built, not even {Classifier(10)}")


SKIPS = DecisionSpace(Skips())


def convolution(kernel, filters):
    return Convolution(filters, kernel)


CHAIN = chain_space({"kernel": [1, 3], "filters": [4, 8]}, convolution, **IMAGES)


def stored(space):
    """Its description, as it comes out of a database."""
    return json.loads(json.dumps(describe(space)))


@pytest.mark.parametrize("space", [XU24, LABELS, LAYERS, named_space("zoph", **IMAGES)], ids=repr)
def test_what_has_no_code_of_its_own_is_rebuilt(space):
    again = space_of(stored(space))
    assert type(again) is type(space)
    assert describe(again) == describe(space)
    assert [again.decisions(depth) for depth in (1, 3)] == [space.decisions(depth) for depth in (1, 3)]


def test_limits_are_left_out():
    assert describe(ConstrainedSpace(XU24, max_params=1000)) == describe(XU24)


@pytest.mark.parametrize(
    ("space", "described", "why"),
    [
        (
            checked(Three()),
            {"kind": "own", "class": "Three", "labels": ["conv", "pool", "3"], "max_layers": 2},
            "Three is your own code",
        ),
        (
            CHAIN,
            {
                "kind": "own", "class": "ChainPlan", "max_layers": 3,
                "decisions": [[
                    {"name": "kernel", "kind": "choice", "options": ["1", "3"], "sources": []},
                    {"name": "filters", "kind": "choice", "options": ["4", "8"], "sources": []},
                ]],
            },
            "ChainPlan is your own code",
        ),
        (
            LabelSpace(["a"], max_layers=1, legal=lambda prefix: [True], cost=lambda prefix: None),
            {"kind": "labels", "labels": ["a"], "max_layers": 1, "functions": ["legal", "cost"]},
            "its legal() and cost() are your own code",
        ),
    ],
    ids=["contract", "chain", "functions"],
)  # fmt: skip
def test_of_a_users_own_space_the_decisions_are_stored(space, described, why):
    assert stored(space) == described | {"format": 1}
    assert space_of(stored(space)) is None
    known = outline(stored(space))
    assert isinstance(known, Outline)
    assert known.max_layers == space.max_layers
    assert [known.decisions(d) for d in range(1, known.max_layers + 1)] == [
        space.decisions(d) for d in range(1, space.max_layers + 1)
    ]
    assert why_own(stored(space)) == why


def test_inputs_are_stored_by_depth():
    inputs = [each[1] for each in stored(SKIPS)["decisions"]]
    assert [each["sources"] for each in inputs] == [[], [1], [1, 2]]
    assert outline(stored(SKIPS)).decisions(3) == SKIPS.decisions(3)


def test_a_layer_of_ones_own_is_known_by_its_label():
    assert space_of(stored(OWN_LAYERS)) is None
    assert outline(stored(OWN_LAYERS)) == Outline(3, ((Decision("layer", ("conv8k3", "mine")),),), labelled=True)
    assert why_own(stored(OWN_LAYERS)) == "some of its layers are your own code"


class Cautious(LayerSpace):
    """A user's own subclass: what it overrides is not stored."""


def test_a_subclass_is_a_users_own():
    assert stored(Cautious([Convolution(8, 3)], **IMAGES))["class"] == "Cautious"


def test_a_space_of_a_name_equals_its_layers():
    assert difference(describe(XU24), describe(LayerSpace(XU24.layers, **IMAGES))) is None
    assert difference(describe(XU24), describe(named_space("xu24", **IMAGES | {"max_layers": 9}))) is None, "of depth"


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (LABELS, LabelSpace(["a", "c"], max_layers=3), "layer 1 named b, and the space given has c"),
        (LABELS, LabelSpace(["a"], max_layers=3), "2 layers, and the space given has 1"),
        (XU24, named_space("xu24", **IMAGES, width=0.5), "width 1.0, and the space given has 0.5"),
        (XU24, named_space("xu24", **IMAGES | {"num_classes": 3}), "num_classes 10, and the space given has 3"),
        (
            XU24,
            LayerSpace(named_space("xu24", **IMAGES, width=0.5).layers, **IMAGES),
            "layer 0 of width 1.0, and the space given has width 0.5",
        ),
        (XU24, named_space("zoph", **IMAGES), "layers of layer, and the space given has filter_height"),
        (CHAIN, SKIPS, "layers of kernel, filters, and the space given has f, inputs"),
        (
            CHAIN,
            chain_space({"kernel": [1, 3], "filters": [4]}, convolution, **IMAGES),
            "decision 'filters' of layer 1 with options 4, 8, and the space given has 4",
        ),
        (
            LABELS,
            LabelSpace(["a", "b"], max_layers=3, cost=lambda prefix: None),
            "functions None, and the space given has ['cost']",
        ),
        (LABELS, Two(), "space 'labels', and the space given is Two, which is your own"),
    ],
)
def test_the_first_difference_is_said(one, other, found):
    assert difference(stored(one), describe(checked(other))).startswith(found)


def test_a_warm_start_asks_for_equal_decisions_alone():
    half = named_space("xu24", input_shape=(3, 32, 32), num_classes=3, max_layers=9, width=0.5)
    assert decision_difference(describe(XU24), describe(half)) is None
    assert decision_difference(describe(XU24), describe(LABELS)) is not None


OWN = stored(CHAIN)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "described in no way that can be read: kind None, format None"),
        (stored(XU24) | {"kind": "xu99"}, "of kind 'xu99', which is not known here (there are xu24, "),
        (stored(XU24) | {"kind": ["own"]}, "kind ['own']"),
        (OWN | {"format": 2}, "by a newer replaytree (format 2, here 1); upgrade this one"),
        (OWN | {"format": True}, "format True"),
        (OWN | {"max_layers": 0}, "max_layers is 0"),
        (OWN | {"decisions": []}, "it has no decisions"),
        (OWN | {"decisions": [[]]}, "does not begin with a choice or an input"),
        (OWN | {"decisions": [[{"name": "a"}]]}, "a space of kind 'own' is described in no way that can be read"),
        (OWN | {"class": 3}, "its class has no name"),
        (stored(LABELS) | {"labels": ["a b"]}, "'a b'"),
        (stored(LABELS) | {"labels": "ab"}, "labels is one text"),
        (stored(LABELS) | {"surprise": 1}, "surprise"),
        (stored(LAYERS) | {"labels": ["x", "y"]}, "the layers are not those of the labels"),
        (stored(LAYERS) | {"layers": [{"type": "os.system"}]}, "'os.system' is not a kind of layer"),
        (stored(LAYERS) | {"layers": 7}, "a space of kind 'layers' is described in no way that can be read"),
        (stored(OWN_LAYERS) | {"labels": None}, "a space of kind 'layers' is described in no way that can be read"),
        (stored(XU24) | {"max_layers": 10**12}, "max_layers is 1000000000000"),
        (stored(XU24) | {"max_layers": "3"}, "a space of kind 'xu24' is described in no way that can be read"),
    ],
)
def test_damage_is_said(description, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        outline(description)
