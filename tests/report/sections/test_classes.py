from __future__ import annotations

import pytest

from replaytree.report.page import report_html
from replaytree.report.reading import read_search
from replaytree.report.sections.classes import class_caption, class_finding, class_rows, draw_classes
from replaytree.tree import ClassResults, record_model

CLASSES = ("cat", "<dog>")
# Three of four cats are found, and one of three dogs.
FIRST = ClassResults("test", CLASSES, ((3, 1), (2, 1)), {(1, 0): b"\x89PNG first"})
SECOND = ClassResults("test", CLASSES, ((4, 0), (2, 1)))


@pytest.fixture
def retrained(tree):
    def retrained(*results, node="0.1.2", **values):
        node_id = tree.find(node).node_id
        labels = tree.node(node_id).labels
        for seed, each in enumerate(results):
            record_model(
                tree.engine, labels=labels, seed=seed, epochs=9, test_accuracy=0.5,
                weights_path=f"{node}-{seed}-{values}", search=tree.name, node_id=node_id, class_results=each, **values,
            )  # fmt: skip
        return read_search(tree)

    return retrained


def test_the_models_of_a_retraining_are_counted_together(retrained):
    data = retrained(FIRST, SECOND)
    rows = class_rows(data)
    assert rows.results.counts == ((7, 1), (4, 2))
    assert (rows.seeds, rows.labels, rows.counted) == (2, "conv1 pool1 res1", "answers")
    assert rows.macro_f1 == pytest.approx((FIRST.macro_f1 + SECOND.macro_f1) / 2)
    assert class_finding(rows) == "<dog> is found least, 33.3% of it, and is taken for cat most often"
    assert class_caption(rows).startswith("14 answers of 2 models, one a seed, on the test images; macro F1 0.")


def test_no_models_and_models_without_results_and_baselines(tree, retrained):
    assert class_rows(read_search(tree)) is None
    assert class_rows(retrained(None)) is None
    assert class_rows(retrained(FIRST, baseline="linear")) is None


def test_results_on_other_images_are_not_added_up(retrained):
    other = ClassResults("validation", CLASSES, ((1, 0), (0, 1)))
    assert class_rows(retrained(other, FIRST)).results.counts == FIRST.counts


def test_the_heat_map_shows_mistakes_as_shares_of_their_class(retrained):
    figure = draw_classes(class_rows(retrained(FIRST)))
    (cells,) = figure.data
    assert [list(row) for row in cells.z] == [[0.0, 0.25], [pytest.approx(2 / 3), 0.0]]
    assert [list(row) for row in cells.text] == [["3", "1"], ["2", "1"]]
    assert cells.customdata[1][0] == "2 of 3, 66.7%"


def test_many_classes_have_no_numbers_in_their_cells(retrained):
    names = tuple(f"c{n}" for n in range(60))
    many = ClassResults("test", names, tuple(tuple(int(a == p) for p in range(60)) for a in range(60)))
    rows = class_rows(retrained(many))
    assert draw_classes(rows).data[0].text is None
    assert class_finding(rows) == "Every test image was taken for its own class"


def test_the_page_embeds_pictures_and_escapes_names(retrained):
    page = report_html(retrained(FIRST))
    # b"\x89PNG first" in base64.
    assert 'src="data:image/png;base64,iVBORyBmaXJzdA=="' in page
    assert "&lt;dog&gt; is found least" in page
    assert "<dog>" not in page.partition("<script")[0]
