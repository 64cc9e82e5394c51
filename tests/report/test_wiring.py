"""Drawings of what layers read: places by hand, and which page has which."""

import json
import re

import pytest

from replaytree import ReplayTree, named_space
from replaytree.records import Decision
from replaytree.report.page import report_html
from replaytree.report.reading import read_search
from replaytree.report.sections.answer import answer_rows
from replaytree.report.wiring import (
    ACROSS,
    BOX,
    DOWN,
    HEIGHT,
    LINE,
    MARGIN,
    STEP,
    WIDTH,
    cell_wiring,
    reads,
    skip_wiring,
)
from replaytree.space.catalogue import about
from replaytree.space.sketch import Box, Sketch

SKETCH = Sketch(
    "The reduction cell, which halves the maps",
    (Box("input 0", ("the cell before the last",)), Box("input 1", ("the last cell",))),
    (Box("node 2", ("sep3@0", "max3@1"), (0, 1), 2), Box("node 3", ("skip@2", "sep3@0"), (2, 0), 4)),
    (Box("output", ("1+3",), (1, 3)),),
)


def test_a_cell_by_hand():
    drawn = cell_wiring(SKETCH)
    assert drawn.title == "The reduction cell, which halves the maps"
    far, near, two, three, output = drawn.boxes
    assert (far.title, far.lines) == ("input 0", ("the cell before", "the last"))
    assert [(box.title, box.lines, box.depth) for box in (near, two, three, output)] == [
        ("input 1", ("the last cell",), None),
        ("node 2", ("sep3@0", "max3@1"), 2),
        ("node 3", ("skip@2", "sep3@0"), 4),
        ("output", ("1+3",), None),
    ]
    # A column further right than what it reads, a row a node; inputs around the middle of the rows.
    assert [(box.x, box.y) for box in (far, two, three)] == [
        (MARGIN, MARGIN), (MARGIN + ACROSS, MARGIN), (MARGIN + 2 * ACROSS, MARGIN + DOWN),
    ]  # fmt: skip
    assert (output.x, output.y) == (MARGIN + 3 * ACROSS, MARGIN + DOWN / 2)
    assert (drawn.width, drawn.height) == (2 * MARGIN + 3 * ACROSS + WIDTH, 2 * MARGIN + DOWN + HEIGHT)
    # Two wires a node and one an end; the first leaves input 0 and ends at the first operation of node 2.
    assert len(drawn.wires) == 6
    assert drawn.wires[0].startswith(f"M{MARGIN + WIDTH:g} {MARGIN + HEIGHT / 2:g} C")
    assert drawn.wires[0].endswith(f" {two.x:g} {two.y + HEIGHT / 2:g}")
    assert drawn.wires[1].endswith(f" {two.x:g} {two.y + HEIGHT / 2 + LINE:g}")
    assert drawn.wires[4].startswith(f"M{MARGIN + WIDTH:g} {near.y + HEIGHT / 2:g} C")


NAMES = ["darts", "enas-micro", "nasnet", "amoebanet", "lstm", "nascell", "darts-rnn", "enas-rnn"]


def sketches(name):
    """Of published cells: dense ones, and those with long lines."""
    recurrent = {
        "lstm": ("plain-rnn", "lstm"),
        "nascell": ("nas-rnn", about("nas-rnn").published["NASCell"].path),
        "darts-rnn": ("darts-rnn", about("darts-rnn").published["DARTS_V1"].path),
        "enas-rnn": ("enas-rnn", about("enas-rnn").published["ENAS"].path),
    }
    if name in recurrent:
        of, path = recurrent[name]
        space = named_space(of, input_shape=(1, 1, 1), num_classes=9, max_layers=len(path.split()))
        return [space.network(space.parse(path)).sketch()]
    of, known = {
        "darts": ("darts", "DARTS_V1"), "enas-micro": ("enas-micro", "ENAS"), "nasnet": ("nasnet", "NASNet-A"),
        "amoebanet": ("nasnet", "AmoebaNet-A"),
    }[name]  # fmt: skip
    path = about(of).published[known].path
    space = named_space(of, input_shape=(3, 32, 32), num_classes=10, max_layers=len(path.split()))
    return space.plan.sketches(space.parse(path))


def points(wire):
    """Many points of a wire, which is M, perhaps H, C, and perhaps H."""
    words = re.findall(r"[MHC]|[-0-9.e]+", wire)
    x, y, place = 0.0, 0.0, 0
    while place < len(words):
        count = {"M": 2, "H": 1, "C": 6}[words[place]]
        numbers = [float(word) for word in words[place + 1 : place + 1 + count]]
        for step in range(41):
            t = step / 40
            if words[place] == "H":
                yield x + t * (numbers[0] - x), y
            elif words[place] == "C":
                a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
                across = a * x + b * numbers[0] + c * numbers[2] + d * numbers[4]
                yield across, a * y + b * numbers[1] + c * numbers[3] + d * numbers[5]
        x, y = (numbers[0], y) if words[place] == "H" else (numbers[-2], numbers[-1])
        place += 1 + count


@pytest.mark.parametrize("name", NAMES)
def test_no_wire_runs_under_a_box(name):
    for sketch in sketches(name):
        drawn = cell_wiring(sketch)
        for wire in drawn.wires:
            for x, y in points(wire):
                under = [
                    box.title for box in drawn.boxes
                    if box.x < x < box.x + box.width and box.y < y < box.y + box.height
                ]  # fmt: skip
                assert under == [], wire


SKIPS = Decision("inputs", ("0", "1"), "inputs", (0, 1))


@pytest.mark.parametrize(
    ("decisions", "values", "depth", "expected"),
    [
        # Layer 3 is not offered layer 2, so it reads that anyway; bits 0 and 1 are 0 and layer 1.
        ((Decision("operation", ("a", "b")), SKIPS), (1, 0b10), 3, (1, 2)),
        ((SKIPS,), (0b11,), 3, (0, 1, 2)),
        # Layer 2 is offered layer 1, so it reads that only if it is chosen.
        ((SKIPS,), (0b01,), 2, (0,)),
        ((SKIPS,), (0b00,), 2, (0,)),
        ((Decision("from", ("x", "y"), "input", (-1, 1)),), (0,), 2, (0,)),
        ((Decision("operation", ("a", "b")),), (0,), 4, (3,)),
    ],
)
def test_what_a_layer_reads(decisions, values, depth, expected):
    assert reads(decisions, values, depth) == expected


def test_skips_by_hand():
    drawn = skip_wiring(["conv3", "sep3+0", "max3@1"], {1: (0,), 2: (0, 1), 3: (1,)})
    assert [(box.title, box.x, box.depth) for box in drawn.boxes] == [
        ("0 images", MARGIN, None),
        ("1 conv3", MARGIN + STEP, 1),
        ("2 sep3", MARGIN + 2 * STEP, 2),
        ("3 max3", MARGIN + 3 * STEP, 3),
    ]
    # Layer 3 does not read layer 2.
    straight = [wire for wire in drawn.wires if "H" in wire]
    assert [wire.split(" ")[0] for wire in straight] == [f"M{MARGIN + BOX:g}", f"M{MARGIN + STEP + BOX:g}"]
    curved = [wire for wire in drawn.wires if "C" in wire]
    assert [(wire.split(" ")[0], wire.split(" ")[-2]) for wire in curved] == [
        (f"M{MARGIN + 0.75 * BOX:g}", f"{MARGIN + 2 * STEP + 0.25 * BOX:g}"),
        (f"M{MARGIN + STEP + 0.75 * BOX:g}", f"{MARGIN + 3 * STEP + 0.25 * BOX:g}"),
    ]
    assert skip_wiring(["conv3", "sep3"], {1: (0,), 2: (1,)}) is None


@pytest.fixture
def found(tmp_path, training, fingerprint):
    """The data of a search in which one path of a named space was trained."""

    def found(name, path):
        shape = (1, 8, 8) if about(name).task == "images" else (1, 1, 1)
        space = named_space(name, input_shape=shape, num_classes=2, max_layers=4)
        tree = ReplayTree.create(
            f"sqlite:///{tmp_path}/{name}.db", name, space=space, seed=0, versions={}, data_json=fingerprint,
            config_json=json.dumps({"seed": 0, "space": name, "dataset": "toys", "strategy": "replay"}),
        )  # fmt: skip
        actions = space.parse(path)
        tree.record([training(actions, *(0.1 * depth for depth in range(1, len(actions) + 1)))], state=b"")
        return read_search(tree)

    return found


def test_a_network_of_cells_is_drawn_cell_by_cell(found):
    data = found("darts", "sep3@0+skip@1 max3@0+skip@1 sep5@0+skip@2")
    rows = answer_rows(data)
    assert [cell.title for cell in rows.cells] == ["The normal cell", "The reduction cell, which halves the maps"]
    assert [box.title for box in rows.cells[0].boxes] == ["input 0", "input 1", "node 2", "node 3", "output"]
    # DARTS gives all nodes.
    assert rows.cells[0].boxes[-1].lines == ("2+3",)
    assert rows.about(3).startswith("layer 3, sep5@0+skip@2: with it, ")
    assert rows.skips is None
    page = report_html(data)
    assert page.count('<figure class="wiring">') == 2
    assert "The network is a row of such cells" in page
    assert 'class="chain"' not in page


def test_a_recurrent_cell_is_drawn_and_explained(found):
    data = found("enas-rnn", "tanh relu@1 tanh@1")
    [cell] = answer_rows(data).cells
    assert [box.title for box in cell.boxes] == ["x", "h", "node 1", "node 2", "node 3", "new h"]
    assert cell.boxes[-1].lines == ("mean of 2, 3",)
    page = report_html(data)
    assert "of each word and the state before it, it makes the new state." in page
    assert "row of such cells" not in page


def test_the_skips_of_a_chain_are_drawn_below_it(found):
    rows = answer_rows(found("enas-macro", "conv3 sep3 max3+0"))
    assert rows.cells == ()
    assert [box.title for box in rows.skips.boxes] == ["0 images", "1 conv3", "2 sep3", "3 max3"]
    page = report_html(found("zoph", "1x1f24 3x3f36@1 3x3f36@1"))
    assert page.count('<figure class="wiring">') == 1
    assert 'class="chain"' in page
    assert "Every prefix is a network of its own" in page


def test_a_chain_without_skips_has_no_such_drawing(found):
    rows = answer_rows(found("xu24", "conv32k3 max2s2"))
    assert (rows.cells, rows.skips) == ((), None)
    assert "Every prefix of the chain is a network of its own" in report_html(
        found("tiny", "separable3-8 separable3-8")
    )
