from types import SimpleNamespace

import pytest

from replaytree import PathEvaluation, plot_layer_effects
from replaytree.metric import ACCURACY
from replaytree.records import Decision
from replaytree.report.reading import read_search
from replaytree.report.sections.effects import (
    SECTION,
    EffectRow,
    draw_effects,
    effect_finding,
    effect_rows,
    option_effects,
)
from replaytree.tree import Episode


@pytest.fixture
def crossed(grow, training):
    """Two layers, two positions; the trainings are worth 0.9, 0.8, 0.5 and 0.3, on average 0.625."""
    return grow(
        [
            training((0, 0), 0.8, 0.9),
            training((0, 1), 0.8, 0.7),
            training((1, 0), 0.2, 0.5),
            training((1, 1), 0.2, 0.3),
            # Another budget: no part of the comparison above, and alone in its own.
            training((1, 1), 0.9, 0.9, epochs=8),
        ]
    )


def test_effects_by_hand(crossed):
    found = {
        (row.position, row.place): (row.effect, row.trainings, row.others) for row in effect_rows(read_search(crossed))
    }
    # First: 0.9 and 0.8 less the mean of 0.5 and 0.3. The training alone at its budget has nothing to compare with.
    assert found == {
        (1, 0): (pytest.approx(0.45), 2, 2),
        (1, 1): (pytest.approx(-0.45), 2, 2),
        (2, 0): (pytest.approx(0.15), 2, 2),
        (2, 1): (pytest.approx(-0.15), 2, 2),
    }


def test_trainings_that_measured_whole_paths_are_compared_among_equals(grow, training):
    tree = grow(
        [
            training((0, 0), None, 0.9),
            training((1, 0), None, 0.5),
            # Of another length, and of all prefixes: each alone among its equals.
            training((0, 0, 1), None, None, 0.3),
            training((1, 1), 0.1, 0.2),
        ]
    )
    found = {(row.position, row.place): (row.effect, row.trainings) for row in effect_rows(read_search(tree))}
    assert found[1, 0] == (pytest.approx(0.4), 1)
    assert found[1, 1] == (pytest.approx(-0.4), 1)
    # Both have layer 0 second.
    assert found[2, 0] == (None, 0)


def test_the_options_of_several_decisions_by_hand(grow, training):
    made = [[("kernel", k), ("width", w)] for k in "13" for w in "ab"]
    order = [("kernel", "1"), ("kernel", "3"), ("width", "a"), ("width", "b")]
    worth = {0: 0.9, 1: 0.7, 2: 0.4, 3: 0.2}
    tree = grow([training((action,), a) for action, a in worth.items()], labels=("1a", "1b", "3a", "3b"))
    rows = option_effects(read_search(tree).trainings, lambda position, action: made[action], order, ACCURACY)
    # Kernel 1: 0.9 and 0.7 against 0.4 and 0.2; width a: 0.9 and 0.4 against 0.7 and 0.2.
    assert [(row.place, row.decision, row.option, row.effect, row.trainings, row.others) for row in rows] == [
        (0, "kernel", "1", pytest.approx(0.5), 2, 2),
        (1, "kernel", "3", pytest.approx(-0.5), 2, 2),
        (2, "width", "a", pytest.approx(0.2), 2, 2),
        (3, "width", "b", pytest.approx(-0.2), 2, 2),
    ]


def test_the_heading_names_an_option_of_the_decision_that_matters_most():
    def option(decision, place, name, *gains):
        return EffectRow(1, place, decision, name, len(gains), 1, 0.0, gains)

    kernel = [option("kernel", 0, "1", 0.09, 0.10, 0.11), option("kernel", 1, "3", -0.11, -0.10, -0.09)]
    width = [option("width", 2, "8", 0.19, 0.20, 0.21), option("width", 3, "16", -0.21, -0.20, -0.19)]
    assert effect_finding(kernel + width, ACCURACY) == "First layer: width 8 came 40.0 points above 16"
    # Two decisions are two pairs to choose from: 0.0323 is wide enough for one pair, not for two (t of 4, 3.495).
    near = [option("kernel", 0, "1", 0.0, 0.01, 0.02), option("kernel", 1, "3", -0.024, -0.014, -0.004)]
    assert effect_finding(near, ACCURACY) == "First layer: kernel 1 came 2.4 points above 3"
    same = [option("width", 2, "8", 0.0, 0.01, 0.02), option("width", 3, "16", 0.0, 0.01, 0.02)]
    assert effect_finding(near + same, ACCURACY) == "No option of a first layer is told apart from the others yet"
    # Options of different decisions are no alternatives.
    assert effect_finding([kernel[0], width[1]], ACCURACY) == "Too few trainings to tell options of a first layer apart"
    assert list(draw_effects(kernel + width, ACCURACY).data[0].y) == ["kernel 1", "kernel 3", "width 8", "width 16"]


def test_options_that_look_of_one_type_are_no_type_where_a_layer_is_several_decisions():
    def option(place, name, *gains):
        return EffectRow(1, place, "operation", name, len(gains), 1, 0.0, gains)

    rows = [option(0, "conv3", 0.19, 0.20, 0.21), option(1, "conv5", -0.21, -0.20, -0.19)]
    assert effect_finding(rows, ACCURACY) == "First layer: operation conv3 came 40.0 points above conv5"
    assert "trainings with another option there reached" in SECTION.caption(SimpleNamespace(metric=ACCURACY), rows)
    assert "trainings with another layer there reached" in SECTION.caption(
        SimpleNamespace(metric=ACCURACY), [row(1, 0, "conv3", 0.1)]
    )


def test_the_options_of_a_decision_stand_together_where_deeper_layers_have_more(grow, training):
    """Layer 2 can read layer 1, too; the operations come behind all that can be read."""

    def decisions(depth):
        names = tuple(map(str, range(depth)))
        return Decision("input", names, "input", tuple(range(depth))), Decision("operation", ("conv", "pool"))

    tree = grow([training((1, 2), 0.5, 0.9), training((0, 1), 0.4, 0.7)])
    found = effect_rows(SimpleNamespace(trainings=read_search(tree).trainings, decisions=decisions, metric=ACCURACY))
    assert [(each.position, each.place, each.decision, each.option) for each in found] == [
        (1, 0, "input", "0"), (1, 2, "operation", "conv"), (1, 3, "operation", "pool"),
        (2, 0, "input", "0"), (2, 1, "input", "1"), (2, 2, "operation", "conv"), (2, 3, "operation", "pool"),
    ]  # fmt: skip


def test_an_outlier_does_not_wash_out_the_other_cells():
    rows = [EffectRow(1, place, "layer", f"l{place}", 1, 1, 0.001 * place, ()) for place in range(20)]
    outlier = EffectRow(1, 20, "layer", "l20", 1, 1, 0.5, ())
    # Of 0 to 1.9 points and 50: the 95th percentile of 21 is the twentieth.
    assert draw_effects([*rows, outlier], ACCURACY).layout.coloraxis.cmax == pytest.approx(1.9)


def test_a_layer_that_all_trainings_share_is_compared_with_nothing(grow, training):
    rows = effect_rows(read_search(grow([training((0, 1), 0.2, 0.9), training((0, 2), 0.2, 0.3)])))
    assert [(row.position, row.option, row.effect) for row in rows] == [
        (1, "conv1", None), (2, "pool1", pytest.approx(0.6)), (2, "res1", pytest.approx(-0.6)),
    ]  # fmt: skip
    cells = draw_effects(rows, ACCURACY).data[0]
    assert list(cells.z[0]) == [None, None]
    assert cells.text[1][1] == "n = 1 with it, compared with 1 without"


@pytest.mark.parametrize(("epochs", "rows"), [(4, 3), (8, 0)])
def test_trainings_of_different_budgets_have_no_figure(grow, training, epochs, rows):
    tree = grow([training((0, 1), 0.2, 0.9), training((0, 2), 0.2, 0.3, epochs=epochs)])
    assert len(SECTION.rows(read_search(tree))) == rows


def test_the_best_and_the_worst_of_trainings_without_twins_are_no_neutral_cells(grow, training):
    """Each length occurs once, as while the depth bound rises: they are compared by the layers that both have."""
    rows = effect_rows(
        read_search(grow([training((0,), 0.1), training((1, 1), 0.5, 0.8), training((2, 1, 1), 0.3, 0.6, 0.9)]))
    )
    found = {(row.position, row.option): (row.effect, row.others) for row in rows}
    # conv1 0.1 against 0.5 and 0.3; pool1 0.5 against 0.1, and 0.8 against 0.6; res1 0.3 against 0.1, 0.6 against 0.8.
    assert found[1, "conv1"] == (pytest.approx(-0.3), 2)
    assert found[1, "pool1"] == (pytest.approx((0.4 + 0.2) / 2), 2)
    assert found[1, "res1"] == (pytest.approx((0.2 - 0.2) / 2), 2)
    # At position 2 both have pool1, at 3 there is one.
    assert found[2, "pool1"] == found[3, "pool1"] == (None, 0)


def test_accuracies_of_a_training_that_broke_off_end_its_layers(grow):
    broken = Episode((0, 1), "sample", 2, 4, True, PathEvaluation([0.5], failure="diverged"))
    whole = Episode((1, 0), "sample", 2, 4, True, PathEvaluation([0.25, 0.75]))
    rows = effect_rows(read_search(grow([broken, whole])))
    assert [(row.position, row.place, row.effect) for row in rows] == [(1, 0, 0.25), (1, 1, -0.25), (2, 0, None)]


def test_gains_differ_as_the_trainings_do(crossed):
    gains = {row.place: row.gains for row in effect_rows(read_search(crossed)) if row.position == 1}
    # Less the mean of the four, 0.625. The training alone at its budget has no gain.
    assert gains == {
        0: (pytest.approx(0.275), pytest.approx(0.175)),
        1: (pytest.approx(-0.125), pytest.approx(-0.325)),
    }


def test_the_figure_is_in_points_and_leaves_unknown_cells_empty(crossed):
    cells = plot_layer_effects(crossed).data[0]
    assert list(cells.y) == ["conv1", "pool1"]
    assert cells.z[0][0] == pytest.approx(45.0)
    assert cells.text[0][0] == "n = 2 with it, compared with 2 without"


def effects(**gains):
    return [row(1, place, f"{kind}1", *values) for place, (kind, values) in enumerate(gains.items())]


def row(position, action, label, *gains):
    return EffectRow(position, action, "layer", label, len(gains), 1, 0.0, gains)


def test_the_heading_names_types_only_where_they_are_told_apart():
    # Deviations 0.01 over sqrt(3): the difference of the means is 0.2, Welch's half width with t of 4 degrees 2.776
    # 2.776 * 0.01 * sqrt(2 / 3) = 0.0227.
    apart = effects(conv=(0.09, 0.10, 0.11), pool=(-0.11, -0.10, -0.09))
    assert effect_finding(apart, ACCURACY) == "First layer: conv came 20.0 points above pool"
    near = effects(conv=(0.0, 0.01, 0.02), pool=(-0.022, -0.012, -0.002))
    assert effect_finding(near, ACCURACY) == "No type of first layer is told apart from the others yet"
    assert effect_finding(effects(conv=(0.0, 0.01, 0.02), pool=(-0.023, -0.013, -0.003)), ACCURACY).startswith(
        "First layer: conv"
    )
    assert effect_finding(effects(conv=(0.1, 0.1, 0.1), pool=(0.0, 0.0)), ACCURACY).startswith("Too few trainings")
    # Two rows of one type are one type.
    two = [
        row(1, 0, "conv1", 0.09, 0.1),
        row(1, 1, "conv3", 0.11),
        *effects(pool=(-0.1, -0.09, -0.11)),
    ]
    assert effect_finding(two, ACCURACY) == "First layer: conv came 20.0 points above pool"
    # Of another position: nothing of the first.
    assert effect_finding([row(2, 0, "conv1", 0.1, 0.1, 0.1)], ACCURACY).startswith("Too few")


def test_many_types_need_a_wider_difference():
    # Told apart as one pair, not as one of the 3 pairs among three types: t of 4 degrees is 3.961 then, 0.0323.
    two = {"conv": (0.01, 0.02, 0.03), "pool": (-0.02, -0.01, 0.0)}
    assert effect_finding(effects(**two), ACCURACY).startswith("First layer")
    assert effect_finding(effects(**two, res=(0.0, 0.005, 0.01)), ACCURACY).startswith("No type")
