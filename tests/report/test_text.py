"""Pages of searches on text: perplexity wherever those of images have accuracy."""

import json
import re

import pytest

from replaytree import LabelSpace, ReplayTree
from replaytree.errors import ConfigError
from replaytree.metric import PERPLEXITY
from replaytree.report import write_comparison
from replaytree.report.compare_page import comparison_html
from replaytree.report.page import report_html
from replaytree.report.reading import read_search
from replaytree.report.sections.depth import depth_rows, draw_depth
from replaytree.report.sections.history import draw_history, history_rows
from replaytree.report.sections.tree import tree_columns
from replaytree.tree import open_engine

FINGERPRINT = {"sha256": "cd" * 32, "train_count": 9000, "val_count": 900, "word_count": 50, "task": "text"}


class TextSpace(LabelSpace):
    task = "text"


@pytest.fixture
def write(tmp_path, training):
    """A search of text: perplexities 100 and 80 of a and b, 125 and 100 of a alone; c learned nothing."""

    def write(name="words", seed=7):
        tree = ReplayTree.create(
            open_engine(f"sqlite:///{tmp_path}/tree.db"), name, space=TextSpace(list("abc"), max_layers=2), seed=seed,
            config_json=json.dumps({"seed": seed, "dataset": "ptb", "strategy": "replay"}), versions={},
            data_json=json.dumps(FINGERPRINT),
        )  # fmt: skip
        measured = (((0, 1), 0.01, 0.0125), ((0,), 0.008), ((0,), 0.01), ((2,), 1e-9))
        tree.record([training(*each) for each in measured], state=b"")
        return tree

    return write


def words_of(page):
    """What a reader sees, but the configuration and where the page comes from."""
    body = re.sub(r"<(script|style|details|footer)\b.*?</\1>", "", page, flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def payload_of(page):
    return json.loads(re.search(r'id="payload">(.*?)</script>', page, re.S)[1])


def test_the_page_speaks_of_words_and_perplexities_alone(write):
    page = report_html(read_search(write()))
    seen = words_of(page).lower()
    assert "accurac" not in seen
    assert "image" not in seen
    assert "points" not in seen
    assert "perplexity 80.0" in seen
    assert "the search’s perplexities are validation perplexities" in seen
    assert "words of the vocabulary 50" in seen
    assert "900 validation words" in seen
    figures = json.dumps(payload_of(page)["figures"]).lower()
    assert "accurac" not in figures
    assert "image" not in figures
    assert "at least" not in figures


def test_figures_show_perplexities_on_logarithmic_axes(write):
    data = read_search(write())
    figure = draw_history(history_rows(data), PERPLEXITY)
    [sampled] = [trace for trace in figure.data if trace.name == "sampled"]
    # What learned nothing is drawn as a million, outside of the axis.
    assert list(sampled.y) == pytest.approx([80.0, 125.0, 100.0, 1e6])
    assert (figure.layout.yaxis.type, figure.layout.yaxis.title.text) == ("log", "perplexity")
    low, high = figure.layout.yaxis.range
    assert 10**low < 80.0
    assert 125.0 < 10**high < 1e6
    box, best = draw_depth(depth_rows(data), PERPLEXITY).data
    # Of the two prefixes of a layer, a with 1 / mean(0.01, 0.008, 0.01), the lower fence is the better one.
    mean = 3 / 0.028
    assert (box.lowerfence[0], box.upperfence[0]) == (pytest.approx(mean), pytest.approx(1e6))
    assert list(best.y) == pytest.approx([mean, 80.0])


def test_the_tree_travels_as_perplexities(write):
    found = tree_columns(read_search(write()))
    assert found["metric"]["digits"] == 2
    assert found["metric"]["leastError"] is None
    average = dict(zip(found["columns"]["id"], found["columns"]["average"], strict=True))
    assert sorted(average.values()) == [8000, 10714, 100000000]
    # The colours go from the worst to the best, on the scale of -log10 of the perplexity, which the page computes.
    assert found["range"][0] < found["range"][1] == pytest.approx(-1.90309, abs=1e-5)


def test_searches_of_text_are_compared(write, tmp_path):
    both = [read_search(write("one", seed=1)), read_search(write("two", seed=2))]
    seen = words_of(comparison_html(both)).lower()
    assert "accurac" not in seen
    assert "image" not in seen
    assert "80.00" in seen


def test_searches_of_two_tasks_are_not_compared(write, grow, training, tmp_path):
    with pytest.raises(
        ConfigError, match=r"not measured alike \(first by accuracy, words by perplexity\); give those of one kind"
    ):
        write_comparison([grow([training((0,), 0.5)]), write()], out=tmp_path)
