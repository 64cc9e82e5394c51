"""The mixed supernet of DARTS' cells: its decisions, and what is derived from them."""

import pytest

from replaytree.errors import SpaceError
from replaytree.space.catalogue import named_space
from replaytree.space.darts import Darts
from replaytree.space.mixed import MixedEdge, MixedGraph, MixedNode, MixedOption, one_hot
from replaytree.space.mixed_darts import OPERATIONS, DartsMixture

NONE = OPERATIONS.index("none")


def mixture(share=1, **options):
    return DartsMixture(Darts(**{"input_shape": (3, 32, 32), "num_classes": 10} | options), share=share)


def space(**options):
    return named_space("darts", input_shape=(3, 32, 32), num_classes=10, max_layers=8, **options)


def weights(own, **chosen):
    """All alike but for `chosen`: of a decision, the weight of one operation. 'normal 2<-0': ('sep3', 0.9)."""
    rows = [[0.1] * len(mixing.options) for mixing in own.graph.decisions]
    for place, mixing in enumerate(own.graph.decisions):
        for operation, weight in chosen.get(mixing.name, {}).items():
            rows[place][mixing.options.index(operation)] = weight
    return rows


def derived(own, rows):
    return " ".join(space().labels(own.derive(rows)))


def test_fourteen_edges_of_eight_operations_in_each_cell():
    decisions = mixture().graph.decisions
    assert len(decisions) == 28
    assert {mixing.options for mixing in decisions} == {OPERATIONS}
    assert OPERATIONS == ("none", "max3", "avg3", "skip", "sep3", "sep5", "dil3", "dil5")
    names = [mixing.name for mixing in decisions]
    assert names[:5] == ["normal 2<-0", "normal 2<-1", "normal 3<-0", "normal 3<-1", "normal 3<-2"]
    assert names[14:16] == ["reduction 2<-0", "reduction 2<-1"]
    assert (decisions[0].never, decisions[0].skips) == ((NONE,), (3,))
    # All normal cells read the same decisions.
    read = {
        name: {e.options[0].weight for n in mixture().graph.nodes if n.name == f"{name}_node3" for e in n.edges}
        for name in ("cell1", "cell2", "cell3", "cell6")
    }
    assert read["cell1"] == read["cell2"] == {(((d, 0),),) for d in (2, 3, 4)}
    assert read["cell3"] == read["cell6"] == {(((d, 0),),) for d in (16, 17, 18)}


def test_pc_darts_has_one_decision_more_a_node():
    decisions = mixture(share=4).graph.decisions
    assert sum(len(mixing.options) for mixing in decisions) == 224 + 28
    assert [len(mixing.options) for mixing in decisions[28:]] == [2, 3, 4, 5] * 2
    assert [mixing.name for mixing in decisions[28:30]] == ["normal 2", "normal 3"]


def test_each_node_takes_the_two_edges_whose_best_operation_weighs_most():
    own = mixture()
    rows = weights(
        own,
        **{
            "normal 3<-0": {"sep5": 0.2},
            "normal 3<-1": {"none": 0.7, "skip": 0.3},
            "normal 3<-2": {"dil3": 0.25},
            # Its sum is large, and no operation of it.
            "normal 4<-0": dict.fromkeys(OPERATIONS[1:], 0.12),
            "normal 4<-1": {"avg3": 0.3},
            "normal 4<-3": {"max3": 0.4},
        },
    )  # fmt: skip
    labels = derived(own, rows).split()
    # Of equal ones the first: input 0 and 1, and the first operation that is not none.
    assert labels[0] == "max3@0+max3@1"
    assert labels[2] == "skip@1+dil3@2"
    assert labels[4] == "avg3@1+max3@3"


def test_none_is_never_derived_however_much_it_weighs():
    own = mixture()
    rows = [[0.93 if option == NONE else 0.01 for option in range(8)] for _ in own.graph.decisions]
    path = own.derive(rows)
    labels = derived(own, rows).split()
    assert "none" not in " ".join(labels)
    assert len(path) == 8
    for label in labels:
        sources = [word.partition("@")[2] for word in label.split("+")]
        assert sources == ["0", "1"], "two different inputs, the lower one first"


def test_weights_of_edges_choose_among_them_in_pc_darts():
    own = mixture(share=4)
    rows = weights(own, **{"normal 3<-0": {"sep3": 0.5}, "normal 3<-1": {"sep3": 0.4}, "normal 3<-2": {"sep3": 0.2}})
    place = [mixing.name for mixing in own.graph.decisions].index("normal 3")
    rows[place] = [0.1, 0.3, 0.6]
    # 0.05, 0.12, 0.12.
    assert derived(own, rows).split()[2] == "sep3@1+sep3@2"


@pytest.mark.parametrize("share", [1, 4])
@pytest.mark.parametrize("name", ["DARTS_V1", "DARTS_V2", "PC_DARTS_cifar", "GDAS_V1", "DrNAS_imagenet"])
def test_published_cells_are_what_their_own_weights_say(name, share):
    own = mixture(share)
    path = space().parse(Darts.published[name].path)
    rows = own.rows(path)
    assert own.derive(rows) == path
    # Eight edges of each cell, the other six are none.
    chosen = [row.index(1.0) for row in rows[:28]]
    assert chosen.count(NONE) == 12
    if share == 4:
        assert all(sum(row) == 2.0 for row in rows[28:])


def test_skips_are_counted():
    own = mixture()
    found = own.skips(space().parse(Darts.published["DARTS_V1"].path))
    assert (found.normal, found.share) == (3, 6 / 16)
    found = own.skips(space().parse(Darts.published["DARTS_V2"].path))
    assert (found.normal, found.share) == (2, 5 / 16)


def test_a_derivation_by_perturbation_chooses_operations_and_then_inputs():
    steps = mixture().projections()
    assert [step.keep for step in steps] == [None] * 28 + [2] * 6
    assert steps[28].name == "normal 3"
    assert steps[28].decisions == (2, 3, 4)


def test_shorter_cells():
    own = mixture(max_layers=3)
    assert len(own.graph.decisions) == 2 + 3 + 2
    assert len(own.derive(weights(own))) == 3
    assert own.rows((0, 0, 0))[0] == one_hot(8, 1)


@pytest.mark.parametrize(
    ("share", "options", "said"),
    [
        (1, {"final": True}, "leave out --final"),
        (4, {"channels": 6}, "channels are 6, which is no multiple of 4"),
        (1, {"max_layers": 1}, "max_layers is 1, .* give at least 2"),
    ],
)
def test_supernets_that_cannot_be(share, options, said):
    with pytest.raises(SpaceError, match=said):
        mixture(share, **options)


def test_a_draw_keeps_one_option_an_edge():
    own = mixture(max_layers=2, channels=4, cells=3, input_shape=(1, 8, 8))
    every, one = (own.graph.activations(together=together) for together in (True, False))
    fixed = sum(
        node.layer.activations(*map(own.graph.shape, node.inputs)) for node in own.graph.nodes if node.layer is not None
    ) + own.graph.head.activations(own.graph.shape(len(own.graph.nodes)))
    # The eight options of an edge, none of which keeps more than a separable convolution.
    assert fixed < one < every < fixed + 8 * (one - fixed)
    # Nothing but its product with the weight is kept of 'none' and of a skip of stride 1.
    alone = MixedEdge(0, (MixedOption(None, ()), MixedOption((), ())))
    graph = MixedGraph((2, 4, 4), (), (MixedNode("sum", (2, 4, 4), edges=(alone,)),), own.graph.head)
    assert graph.activations(together=True) - own.graph.head.activations((2, 4, 4)) == 2 * 32
