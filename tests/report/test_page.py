import re
from html import unescape

import pytest

from replaytree.errors import ConfigError
from replaytree.report import write_report

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def written(tmp_path):
    def written(tree, **options):
        return write_report(tree, out=tmp_path / "reports", **options).read_text(encoding="utf-8")

    return written


def shown(page):
    """The page without its scripts and its style."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)


def test_the_answer_comes_first_and_headings_say_the_findings(tree, written):
    headings = [
        " ".join(text.split()) for _, text in re.findall(r"<(h[12])[^>]*>(.*?)</\1>", shown(written(tree)), re.S)
    ]
    assert headings == [
        "Best: 0.750 after 1 layer",
        "6 prefixes kept, up to 3 layers deep",
        "The best single training, 0.900, came 2nd of 4",
        "1 layer gave the best prefix, 0.750; 2 came to 0.500",
        "Nothing cheaper comes within a point of 0.750",
        "All accuracies here are validation accuracies",
    ]


def test_the_page_asks_the_network_for_nothing(tree, written):
    page = shown(written(tree))
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', page)
    assert "default-src 'none'" in unescape(page)
    assert "unsafe-eval" not in page


def test_names_are_escaped_wherever_they_stand(grow, golden, written):
    tree = grow(golden, HOSTILE, labels=(HOSTILE, "</script>", "<!--"), config={"dataset": HOSTILE})
    page = written(tree, against=grow(golden, f"{HOSTILE}2", config={"strategy": "random"}))
    assert HOSTILE not in page
    assert page.count("<script") == page.count("</script>") == 3
    assert "<!--" not in shown(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "replaytree retrain &#39;&lt;script&gt;" in page


def test_a_search_without_evaluations_has_a_page_that_says_so(grow, written):
    page = written(grow([]))
    assert "Nothing has been measured yet" in page
    assert "replaytree resume first" in page


def test_the_comparison_with_random_search_says_what_it_is(tree, grow, golden, training, written):
    assert "No random search to compare with" in written(tree)
    companion = grow([training((0,), 0.5)], "luck", config={"strategy": "random"})
    page = written(tree, against=companion)
    assert "10.0 points better than random search after the same 1 training" in page
    assert "“luck”" in page
    assert "This search is random search itself" in written(grow(golden, "own", config={"strategy": "random"}))


def test_the_interval_says_what_it_is(tree, grow, golden, written):
    assert "Wilson, n = 100 validation images" in written(tree)
    assert "optimistic" in written(tree)
    assert "the number of images is not known" in written(grow(golden, "own", data_json=None))


def test_failures_are_listed_by_kind(tree, written):
    page = written(tree)
    assert "1 of 4 trainings failed" in page
    assert re.search(r"<td>diverged</td>.*loss is nan", page)


def test_a_folder_that_cannot_be_written(tree, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="--out"):
        write_report(tree, out=tmp_path / "taken")
