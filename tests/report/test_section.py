"""A section is one file and one line: what is in the list is in the page, and nothing else need know of it."""

import json
import re
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules

import pytest

from replaytree.report import comparison, sections, theme
from replaytree.report.comparison import COMPARISON
from replaytree.report.page import report_html
from replaytree.report.reading import read_search
from replaytree.report.section import Section, draw_sections
from replaytree.report.sections import SECTIONS


def visit_rows(data):
    return [(node.label, node.visit_count) for node in data.nodes if node.visit_count > 1]


def draw_visits(rows):
    return theme.figure({"type": "bar", "x": [label for label, _ in rows], "y": [n for _, n in rows]}, height=321)


VISITS = Section(
    name="visits",
    title="Who was visited",
    rows=visit_rows,
    figure=lambda data, rows: draw_visits(rows),
    finding=lambda data, rows: f"{rows[0][0]} & co. were visited {rows[0][1]} times",
    caption=lambda data, rows: f"Of {len(data.nodes)} nodes <{len(rows)}> were visited twice.",
    empty="No node was visited twice",
)


def pieces(page):
    """The page without scripts and style, and what its scripts are given."""
    payload = json.loads(re.search(r'id="payload">(.*?)</script>', page, re.S)[1])
    return " ".join(re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S).split()), payload


def test_one_entry_of_the_list_is_a_section_of_the_page(data):
    html, payload = pieces(report_html(data, sections=[*SECTIONS[:-1], VISITS, SECTIONS[-1]]))
    assert '<li><a href="#visits">Who was visited</a></li> <li><a href="#provenance">' in html
    section = re.search(r'<section id="visits".*?</section>', html)[0]
    assert '<p class="eyebrow">Who was visited</p>' in section
    assert '<h2 id="visits-title">conv1 &amp; co. were visited 4 times</h2>' in section
    assert 'data-figure="visits" role="img" aria-label="conv1 &amp; co. were' in section
    assert "height: 321px" in section
    assert "<figcaption>Of 6 nodes &lt;2&gt; were visited twice.</figcaption>" in section
    assert payload["figures"]["visits"]["data"][0]["y"] == [4, 3]
    # It stands where the list has it.
    assert html.index('id="tradeoffs"') < html.index('id="visits"') < html.index('id="provenance"')


def test_without_rows_it_says_why_or_is_left_out(grow, training):
    once = read_search(grow([training((0,), 0.5)]))
    html, payload = pieces(report_html(once, sections=[*SECTIONS, VISITS]))
    section = re.search(r'<section id="visits".*?</section>', html)[0]
    assert '<h2 id="visits-title">No node was visited twice</h2>' in section
    assert "visited twice." not in section
    assert "data-figure" not in section
    assert "visits" not in payload["figures"]
    html, _ = pieces(report_html(once, sections=[*SECTIONS, replace(VISITS, empty=None)]))
    assert "visits-title" not in html
    assert "#visits" not in html


def test_a_section_is_not_asked_for_rows_where_it_is_not_shown(grow):
    def unmeasured(data):
        raise AssertionError("there is nothing to make rows of")

    nothing = read_search(grow([]))
    assert draw_sections(nothing, [replace(VISITS, rows=unmeasured)]) == []
    html, _ = pieces(report_html(nothing, sections=[replace(VISITS, shown=lambda data: True)]))
    assert "No node was visited twice" in html


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    "within",
    # The mixture is shown of differentiable searches alone.
    [section.name for section in SECTIONS if not section.within and section.name != "mixture"],
)
def test_a_part_stands_within_its_section_and_not_in_the_navigation(data, within, wide):
    part = replace(VISITS, within=within, wide=wide)
    html, payload = pieces(report_html(data, sections=[*SECTIONS, part]))
    section = re.search(f'<section id="{within}".*?</section>', html)[0]
    assert re.search(r"<h3[^>]*>conv1 &amp; co. were visited 4 times</h3> <figure>", section)
    assert "Who was visited" not in html
    assert "visits" in payload["figures"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [([VISITS, VISITS], "one name"), ([replace(VISITS, within="nowhere")], "within no section")],
)
def test_a_list_that_cannot_be_a_page_is_refused(data, wrong, said):
    with pytest.raises(AssertionError, match=said):
        draw_sections(data, wrong)


@pytest.mark.parametrize(("package", "listed"), [(sections, SECTIONS), (comparison, COMPARISON)])
def test_every_section_that_is_written_is_in_its_list_once(package, listed):
    written = [
        value
        for module in iter_modules(package.__path__)
        for value in vars(import_module(f"{package.__name__}.{module.name}")).values()
        for value in (value if isinstance(value, tuple) else (value,))
        if isinstance(value, Section)
    ]
    assert sorted(section.name for section in written) == sorted(section.name for section in listed)
