"""The numbers of a differentiable search over time."""

import pytest

from replaytree import PathEvaluation
from replaytree.records import Mixed
from replaytree.report.reading import read_search
from replaytree.report.section import draw_sections
from replaytree.report.sections import SECTIONS
from replaytree.report.sections.mixture import SECTION, draw_mixture, mixture_finding, mixture_rows
from replaytree.tree import Episode

CONFIG = {"strategy": "darts", "weights": "shared", "min_layers": 3, "max_layers": 3}


def episode(entropies, skips=None, eigenvalue=None, path=(0, 1), behind=0):
    return Episode(
        path, "sample", 3, 1, trained=True, evaluation=PathEvaluation([None, 0.5], epochs=1), entropy=1.0,
        mixed=Mixed(dict(zip(("2<-0", "2<-1"), entropies, strict=True)), skips, eigenvalue, behind),
    )  # fmt: skip


@pytest.fixture
def data(grow):
    episodes = [episode((2.0, 2.0), 0.25, 0.1), episode((1.0, 2.0), 0.25, 0.2), episode((0.5, 1.0), 0.5, 0.4, (0, 2))]
    return read_search(grow(episodes, config=CONFIG))


def test_a_row_an_episode_with_the_entropy_of_each_decision(data):
    rows = mixture_rows(data)
    assert [row.entropies for row in rows] == [
        {"2<-0": 2.0, "2<-1": 2.0}, {"2<-0": 1.0, "2<-1": 2.0}, {"2<-0": 0.5, "2<-1": 1.0},
    ]  # fmt: skip
    assert [row.entropy for row in rows] == [2.0, 1.5, 0.75]
    assert [(row.skip_share, row.eigenvalue) for row in rows] == [(0.25, 0.1), (0.25, 0.2), (0.5, 0.4)]


def test_the_figure_draws_a_row_a_decision_and_what_is_watched(data):
    heat, skips, eigenvalues = draw_mixture(mixture_rows(data)).data
    assert list(heat.y) == ["2<-0", "2<-1"]
    assert list(heat.x) == [1, 2, 3]
    assert [list(row) for row in heat.z] == [[2.0, 1.0, 0.5], [2.0, 2.0, 1.0]]
    assert (list(skips.y), list(eigenvalues.y)) == ([0.25, 0.25, 0.5], [0.1, 0.2, 0.4])


def test_without_skips_and_eigenvalues_there_is_one_panel(grow):
    rows = mixture_rows(read_search(grow([episode((2.0, 1.0))], config=CONFIG)))
    assert [trace.type for trace in draw_mixture(rows).data] == ["heatmap"]
    assert mixture_finding(rows) == "The numbers have a mean entropy of 1.50 nats, as after the first epoch"


def test_the_finding_says_how_far_it_came_and_whether_it_collapsed(data):
    rows = mixture_rows(data)
    assert mixture_finding(rows) == (
        "The numbers have a mean entropy of 0.75 nats, 2.00 after the first epoch; 50 % of the operations derived last "
        "are skips: the search has collapsed"
    )
    assert mixture_finding(rows[:2]).endswith(
        "2.00 after the first epoch; 25 % of the operations derived last are skips"
    )


def test_the_caption_names_what_was_derived_last_and_how_it_is_retrained(data):
    caption = SECTION.caption(data, mixture_rows(data))
    assert "Derived last: conv1 res1." in caption
    assert f"replaytree retrain first --node {data.episodes[-1].node_id} --storage sqlite:///" in caption
    assert "largest entropy after the first epoch is 2.00 nats" in caption


def test_a_search_that_collapsed_ends_with_the_path_of_the_last_sound_epoch(grow):
    sound, last = episode((2.0, 2.0), 0.25, 0.1, (0, 2)), episode((1.0, 1.0), 1.0, 0.9, behind=2)
    data = read_search(
        grow([episode((2.0, 2.0), 0.25, 0.1), sound, episode((1.5, 1.0), 0.5, 0.4), last], config=CONFIG)
    )
    assert data.derived.number == 1
    caption = SECTION.caption(data, mixture_rows(data))
    assert "Derived last: conv1 pool1. The eigenvalue has risen since episode 2, so that the path to take" in caption
    assert "derived then: conv1 res1." in caption
    assert f"replaytree retrain first --node {data.derived.node_id} " in caption
    assert read_search(grow([episode((2.0, 2.0), behind=7)], "second", config=CONFIG)).derived is None


def test_other_searches_have_no_such_section(grow, golden):
    drawn = draw_sections(read_search(grow(golden)), SECTIONS)
    assert "mixture" not in [each.name for each in drawn]
