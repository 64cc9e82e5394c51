import json

import pytest

from replaytree.errors import ConfigError
from replaytree.report import theme
from replaytree.report.compare_page import comparison_html, write_comparison
from replaytree.report.comparison import COMPARISON
from replaytree.report.comparison.answer import cautions
from replaytree.report.comparison.searches import curves, groups
from replaytree.report.reading import read_search
from replaytree.report.section import Section


def grouped(searches):
    return groups(searches, curves(searches))


def test_the_page_is_written_and_says_what_differs(grow, golden, tmp_path, training):
    first, second = grow(golden, "a"), grow([training((0,), 0.5)], "b", data_json=None)
    path = write_comparison([first, second], out=tmp_path / "reports")
    assert path == tmp_path / "reports" / "a-vs-b" / "index.html"
    assert "did not see the same images" in path.read_text(encoding="utf-8")
    assert cautions([read_search(first), read_search(first)]) == []


def test_one_search_or_the_same_twice_is_no_comparison(tree, tmp_path):
    for searches in ([tree], [tree, tree], []):
        with pytest.raises(ConfigError, match="at least two"):
            write_comparison(searches, out=tmp_path)


def test_searches_that_measured_nothing_are_compared_without_figures(grow, tmp_path):
    path = write_comparison([grow([], "a"), grow([], "b")], out=tmp_path)
    assert "No common trainings" in path.read_text(encoding="utf-8")


def test_other_images_make_another_group_and_no_comparison(grow, training, fingerprint):
    sha = json.loads(fingerprint)["sha256"]
    other = fingerprint.replace('"train_count": 900', '"train_count": 800').replace(sha, "0" * len(sha))
    split = fingerprint.replace("900", "910").replace('"val_count": 100', '"val_count": 90')
    made = [
        read_search(grow([training((0,), accuracy)], name, seed=seed, data_json=images))
        for name, seed, accuracy, images in (
            ("a", 1, 0.9, fingerprint),
            ("b", 2, 0.1, other),
            ("c", 3, 0.9, split),
        )
    ]
    assert [len(group.curves) for group in grouped(made)] == [2, 1]
    page = comparison_html(made)
    assert "No fair comparison: these searches did not see the same images" in page
    assert "What can be told apart" not in page
    assert "ahead of" not in page


def test_the_same_images_as_arrays_are_the_same_images(grow, training):
    places = {"a": "pictures", "b": "images.npz"}
    made = [read_search(grow([training((0,), 0.5)], name, config={"dataset": place})) for name, place in places.items()]
    assert "did not see the same images" not in comparison_html(made)


def test_one_entry_of_the_list_is_a_section_of_the_page(grow, training):
    counted = {"a": 1, "b": 2, "c": 3}
    searches = [read_search(grow([training((0,), 0.5)] * n, name)) for name, n in counted.items()]
    counts = Section(
        name="counts",
        title="Counts",
        rows=lambda data: [len(each.trainings) for each in data.searches],
        figure=lambda data, rows: theme.figure({"type": "bar", "y": rows}, height=200),
        finding=lambda data, rows: f"{sum(rows)} trainings in all",
    )
    page = comparison_html(searches, sections=[*COMPARISON, counts])
    assert '<h2 id="counts-title">6 trainings in all</h2>' in page
    assert 'data-figure="counts"' in page
    assert "counts-title" not in comparison_html(searches)
