"""Spaces made of plans: legality, labels, networks and limits, worked out by hand."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree.errors import SpaceError
from replaytree.records import Decision
from replaytree.space import ChainPlan, Concatenation, ConstrainedSpace, Convolution, DecisionSpace, Pooling, checked
from replaytree.space.coding import decode, encode, is_legal, legal_actions
from replaytree.space.graph import IMAGE, Graph, GraphNode
from replaytree.space.layers import Classifier
from replaytree.space.notation import check_path
from replaytree.space.plan import plain_label, plain_values

KERNEL, WIDTH, STRIDE = Decision("k", ("1", "3")), Decision("f", ("4", "8")), Decision("s", ("1", "2"))


def layer(options):
    if options["k"] == "1":
        # Pooling has no channels to choose: one name is enough.
        return Pooling("max", 2, int(options["s"])) if options["f"] == "4" else None
    return Convolution(int(options["f"]), 3, int(options["s"]))


def chain_space(**changes):
    common = {"input_shape": (1, 4, 4), "num_classes": 2, "max_layers": 3} | changes
    return DecisionSpace(ChainPlan((KERNEL, WIDTH, STRIDE), layer, **common))


class Skips:
    """Convolutions of 1, 2 or 4 channels, 3x3, which read any earlier layers, or else the image."""

    name, source, nested = "skips", "a test", True
    input_shape = (3, 4, 4)

    def __init__(self, max_layers=3, num_classes=10):
        self.max_layers = max_layers
        self.num_classes = num_classes

    def options(self):
        return {}

    def decisions(self, depth):
        earlier = range(1, depth)
        return Decision("f", ("1", "2", "4")), Decision("inputs", tuple(map(str, earlier)), "inputs", tuple(earlier))

    def legal(self, prefix, chosen):
        return (True,) * (len(prefix) if chosen else 3)

    def label(self, prefix, values):
        return plain_label(self.decisions(len(prefix) + 1), values)

    def values(self, prefix, label):
        return plain_values(self.decisions(len(prefix) + 1), label, depth=len(prefix) + 1)

    def network(self, path):
        nodes, outputs, loose = [], [], []
        for depth, action in enumerate(path, start=1):
            f, mask = decode(self.decisions(depth), action)
            read = [outputs[j] for j in range(depth - 1) if mask >> j & 1]
            loose = [end for end in loose if end not in read]
            if len(read) > 1:
                nodes.append(GraphNode(f"layer{depth}_join", Concatenation(), tuple(read), depth))
                read = [len(nodes) - 1]
            nodes.append(GraphNode(f"layer{depth}_conv", Convolution(2**f, 3), tuple(read or [IMAGE]), depth))
            outputs.append(len(nodes) - 1)
            loose.append(outputs[-1])
        merge = Concatenation() if len(loose) > 1 else None
        return Graph(self.input_shape, tuple(nodes), tuple(loose or [IMAGE]), Classifier(self.num_classes), merge)


def test_an_option_is_legal_where_some_layer_can_be_made_of_it():
    space = chain_space()
    assert space.legal(()) == (True, True)
    assert space.legal((), (0,)) == (True, False), "pooling has one name"
    assert space.legal((), (1,)) == (True, True)
    assert space.legal((), (0, 0)) == (True, True)
    # 4x4 -> 2x2 -> 1x1: there a stride of 2 is illegal, and pooling by 2x2 leaves no pixels.
    small = (space.action((), "k3-f8-s2"), space.action((), "k3-f8-s2"))
    assert space.legal(small) == (False, True)
    assert space.legal(small, (1, 0)) == (True, False)
    assert space.legal((*small, space.action(small, "k3-f4-s1"))) == (False, False), "at max_layers"


def test_parsing_says_which_layer_and_which_decision_is_wrong():
    space = chain_space()
    path = space.parse("k3-f8-s2, k1-f4-s2")
    assert path == (encode((KERNEL, WIDTH, STRIDE), (1, 1, 1)), encode((KERNEL, WIDTH, STRIDE), (0, 0, 1)))
    assert space.parse(".".join(map(str, path))) == path
    assert space.labels(path) == ("k3-f8-s2", "k1-f4-s2")
    for text, message in (
        ("k3-f8-s1 k1-f8-s1", "layer 2 is illegal there: f may not be 8 there"),
        ("k3-f8-s2 k3-f8-s2 k3-f8-s2", "layer 3 is illegal there: s may not be 2 there"),
        ("k3-f8-s1 k5", "layer 2 is 'k5', which is not in this space; write it as in 'k1-f4-s1'"),
        ("7.8", "layer 2 is illegal there: there is no action 8; the layer has actions 0 to 7"),
        ("7.4.4.4", "layer 4 is illegal there: the path would have more layers than max_layers, 3"),
    ):
        with pytest.raises(SpaceError, match=re.escape(message)):
            space.parse(text)


def test_costs_and_shapes_by_hand():
    space = chain_space()
    path = space.parse("k3-f8-s2 k1-f4-s2")
    # Convolution 1 -> 8, 3x3: 72 + 16 of the batch norm, on 2x2; pooling nothing; the head 9 x 2.
    assert space.cost(path) == (72 + 16 + 18, 72 * 4 + 16)
    assert space.output_shape(path) == (8, 1, 1)
    assert space.cost(()) == (2 * 2, 2)


def test_loose_ends_and_skips_by_hand():
    space = DecisionSpace(Skips())
    path = space.parse("f2-inputsnone f4-inputsnone f1-inputs1+2")
    graph = space.network(path)
    assert [node.name for node in graph.nodes] == ["layer1_conv", "layer2_conv", "layer3_join", "layer3_conv"]
    assert graph.nodes[1].inputs == (IMAGE,)
    assert graph.nodes[3].inputs == (2,)
    # 3 -> 2, 3 -> 4 and 6 -> 1 channels, 3x3 with batch norm; layer 3 took both, so the head reads it alone.
    assert space.cost(path)[0] == (54 + 4) + (108 + 8) + (54 + 2) + 20
    # After two layers both are loose ends: the head reads 6 channels.
    assert space.cost(path[:2])[0] == (54 + 4) + (108 + 8) + 70
    assert space.output_shape(path[:2]) == (6, 4, 4)


def test_an_input_that_is_named_twice_is_taken_once():
    space = DecisionSpace(Skips())
    assert space.parse("f2-inputsnone f2-inputs1+1") == space.parse("f2-inputsnone f2-inputs1")


def test_a_path_beyond_the_limits_says_so():
    space = ConstrainedSpace(DecisionSpace(Skips()), max_params=200)
    message = "layer 1 is illegal there: f may not be 4 there: it, or what must follow it, is beyond --max-params 200"
    assert space.space.parse("f4-inputsnone")
    with pytest.raises(SpaceError, match=re.escape(message)):
        check_path(space, (2,))


def test_a_network_is_built_for_another_number_of_classes():
    space = chain_space()
    path = space.parse("k3-f8-s2")
    assert [space.build(path, classes)[-1].linear.out_features for classes in (None, 5)] == [2, 5]


@given(st.data())
def test_labels_are_read_back(data):
    space = DecisionSpace(Skips(max_layers=4))
    path = ()
    while len(path) < 4:
        path = (*path, data.draw(st.sampled_from(list(legal_actions(space, path)))))
    assert space.parse(" ".join(space.labels(path))) == path


@pytest.mark.parametrize("limit", [*range(130, 330, 9)])
def test_every_legal_path_keeps_the_limits_and_can_go_on(limit):
    whole = DecisionSpace(Skips())
    space = ConstrainedSpace(whole, max_params=limit)
    frontier, found = [()], set()
    while frontier:
        path = frontier.pop()
        assert not path or whole.cost(path)[0] <= limit
        found.add(path)
        if len(path) < 3:
            after = [(*path, action) for action in legal_actions(space, path)]
            assert after, path
            frontier += after
    every = {(a, b, c) for a in legal_actions(whole, ()) for b in range(6) for c in range(12)}
    fit = {path for path in every if max(whole.cost(path[:t])[0] for t in (1, 2, 3)) <= limit}
    deep = {path for path in found if len(path) == 3}
    assert deep <= fit
    # What is left out has inputs that do not all fit together, or fits only because it does not read the image.
    assert len(deep) >= len(fit) / 5


@pytest.mark.parametrize("limit", [420, 540, 600])
def test_no_combination_of_inputs_breaks_a_limit_where_some_save_parameters(limit):
    # To read a loose end saves 30 numbers a channel in the head, and costs 9, 18 or 36 in the convolution.
    whole = DecisionSpace(Skips(max_layers=4, num_classes=30))
    space = ConstrainedSpace(whole, max_params=limit)
    frontier = [()]
    while frontier:
        path = frontier.pop()
        assert not path or whole.cost(path)[0] <= limit
        if len(path) < 4:
            after = [(*path, action) for action in legal_actions(space, path)]
            assert after, path
            frontier += after


def test_what_one_input_saves_is_not_spent_on_another_that_may_be_taken_alone():
    whole = DecisionSpace(Skips(max_layers=4, num_classes=30))
    prefix = whole.parse("f4-inputsnone f4-inputsnone f1-inputs2")
    alone, image = ((*prefix, whole.action(prefix, f"f1-inputs{read}")) for read in ("2", "none"))
    # Layer 2 is taken already: to read its 4 channels costs 36 numbers instead of the 27 for the image.
    assert whole.cost(alone)[0] == whole.cost(image)[0] + 9
    space = ConstrainedSpace(whole, max_params=whole.cost(image)[0] + 5)
    # Layers 1 and 3 are loose ends, which save 30 a channel in the head.
    assert space.legal(prefix, (0,)) == (True, False, True)


def test_a_limit_that_a_later_layer_breaks_is_told_with_the_layers_before_it():
    # One channel from the image, twice: 29 numbers each, and a head of 30. The first alone has 49.
    message = "--max-params 80: already the cheapest layers, f1-inputsnone f1-inputsnone, have 88 parameters with"
    with pytest.raises(SpaceError, match=re.escape(message)):
        ConstrainedSpace(DecisionSpace(Skips()), max_params=80)


class Own:
    """A space of decisions in a user's own words."""

    max_layers = 2

    def decisions(self, depth):
        return [KERNEL, Decision("inputs", ("1",), "inputs", (1,))] if depth == 2 else [KERNEL]

    def legal(self, prefix, chosen=()):
        return [len(prefix) < 2] * 2 if not chosen else [True]

    def label(self, prefix, action):
        return f"layer{action}"

    def action(self, prefix, label):
        return int(label.removeprefix("layer"))

    def build(self, prefix, num_classes):
        return "network"

    def cost(self, prefix):
        return None


def test_a_users_own_space_of_decisions():
    space = checked(Own())
    assert space.decisions(1) == (KERNEL,)
    assert space.legal((0, 1)) == (False, False)
    assert space.legal((0,), (1,)) == (True,)
    assert (space.label((0,), 3), space.action((0,), "layer3")) == ("layer3", 3)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("decisions", lambda self, depth: [], "Own.decisions(1) does not begin with a choice or an input"),
        ("decisions", lambda self, depth: ["k"], "Own.decisions(1) has 'k' in it; give Decision objects"),
        (
            "decisions",
            lambda self, depth: [KERNEL, Decision("inputs", ("1",), "inputs", (1,))],
            "Own.decisions(1): inputs offers layer 1, which does not exist yet; offer layers before 1",
        ),
        (
            "decisions",
            lambda self, depth: [Decision("k", ("1", "3", "5")[:depth])],
            "Own.decisions: 'k' has other options at one depth than at another",
        ),
        ("decisions", lambda self, depth: [KERNEL, KERNEL], "Own.decisions(1) has two decisions of one name: k, k"),
    ],
)  # fmt: skip
def test_mistakes_of_a_users_own_space(name, value, message):
    broken = type("Own", (Own,), {name: value})
    with pytest.raises(SpaceError, match=re.escape(message)):
        checked(broken())


def test_a_mask_of_the_wrong_length_is_named():
    broken = type("Own", (Own,), {"legal": lambda self, prefix, chosen=(): [True]})
    space = checked(broken())
    with pytest.raises(SpaceError, match=re.escape("Own.legal((), ()) has 1 values; it must have 2")):
        space.legal(())


def test_a_chain_chooses_no_inputs():
    chain = (KERNEL, Decision("inputs", (), "inputs"))
    with pytest.raises(SpaceError, match="decision 'inputs' is no choice; a chain has no inputs to choose"):
        ChainPlan(chain, layer, input_shape=(1, 4, 4), num_classes=2, max_layers=1)


def test_a_function_that_makes_no_layer_is_named():
    space = ChainPlan((KERNEL,), lambda options: 1 / 0, input_shape=(1, 4, 4), num_classes=2, max_layers=1)
    with pytest.raises(SpaceError, match=re.escape("the layer of {'k': '1'} cannot be had: ZeroDivisionError")):
        DecisionSpace(space)


class Fixed(Skips):
    """Skips, of which the third number of channels is taken nowhere; its plan says so, and counts what it is asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def fixed(self, depth):
        return ((True, True, False), None)

    def legal(self, prefix, chosen):
        self.asked.append((prefix, chosen))
        return (True,) * (len(prefix) - 1) + (False,) * bool(prefix)


def test_masks_that_are_fixed_are_not_asked_for_and_still_hold():
    plan = Fixed()
    space = DecisionSpace(plan)
    assert space.legal(()) == (True, True, False)
    assert list(legal_actions(space, ())) == [0, 1]
    # The last layer may not be read: of two channel numbers and four sets, two sets are left.
    path = (0, encode(space.decisions(2), (1, 0)))
    assert list(legal_actions(space, path)) == [0, 1, 4, 5]
    assert all(len(chosen) == 1 for _, chosen in plan.asked)
    for wrong, message in (
        ((2,), "layer 1 is illegal there: f may not be 4 there"),
        ((*path, 2), "layer 3 is illegal there: inputs may not be 2 there"),
        ((*path, 12), "layer 3 is illegal there: there is no action 12; the layer has actions 0 to 11"),
        ((*path, 0, 0), "the path has 4 layers, more than max_layers, 3"),
    ):
        with pytest.raises(SpaceError, match=re.escape(message)):
            space.check(wrong)
        assert not is_legal(space, wrong[:-1], wrong[-1])


def test_the_limits_of_a_space_hold_where_the_plan_fixes_its_masks():
    space = ConstrainedSpace(DecisionSpace(Skips()), max_params=200)
    assert is_legal(space.space, (), 2)
    assert not is_legal(space, (), 2)


def test_as_many_layers_as_63_bits_number_and_no_more():
    """2^62 sets of inputs, of two kinds, are 2^63 actions, the last of which is 2^63 - 1."""

    class Wide(Skips):
        def decisions(self, depth):
            return Decision("f", ("1", "2", "4")[: self.kinds]), Decision(
                "inputs", tuple(map(str, range(62))), "inputs", (0,) * 62
            )

        def legal(self, prefix, chosen):
            return (True,) * (62 if chosen else self.kinds)

    two, three = Wide(max_layers=1), Wide(max_layers=1)
    two.kinds, three.kinds = 2, 3
    assert is_legal(DecisionSpace(two), (), 2**63 - 1)
    with pytest.raises(
        SpaceError, match=r"layer 1 of skips could be any of 1\.38e\+19, and 9\.22e\+18 can be numbered"
    ):
        DecisionSpace(three)
