"""What a section of a page is, and how a page's sections are made from its data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from plotly import graph_objects as go

from replaytree.metric import Metric


class HasMeasured(Protocol):
    """What a page is about: a search, or several that are compared."""

    @property
    def measured(self) -> bool:
        """Whether anything was measured: most sections say nothing before."""
        ...

    @property
    def metric(self) -> Metric:
        """What its accuracies are, and how people read them."""
        ...


Data = TypeVar("Data", bound=HasMeasured)
Rows = TypeVar("Rows")


def measured(data: HasMeasured) -> bool:
    """Whether anything was measured."""
    return data.measured


def always(data: HasMeasured) -> bool:
    """Of a section that every page has."""
    return True


def no_caption(data: Any, rows: Any) -> str:
    """The caption of a figure that needs none."""
    return ""


@dataclass(frozen=True, slots=True)
class Section(Generic[Data, Rows]):
    """One section of the page: rows from the data, a figure of the rows, and a heading that states their finding.

    `name` is its anchor, and its figure's name in the page; `title` stands in the navigation, and above the heading
    where no `eyebrow` does. `shown` says whether the page has it at all. Without rows it says what `empty` says; where
    that is None, it is left out.

    A section `within` another one is a part of it, with a heading but no entry in the navigation: half a row of the
    page, or a whole one if `wide`. `label` describes the figure to those who cannot see it, where the finding does not.
    A section that is more than a figure and its caption has a `template` of its own in assets/. `columns` is what the
    page's scripts are given, as `payload[name]`.
    """

    name: str
    title: str
    rows: Callable[[Data], Rows | None]
    finding: Callable[[Data, Rows], str]
    figure: Callable[[Data, Rows], go.Figure] | None = None
    caption: Callable[[Data, Rows], str] = no_caption
    shown: Callable[[Data], bool] = measured
    empty: str | None = None
    eyebrow: str = ""
    within: str = ""
    wide: bool = False
    label: str | Callable[[Data], str] = ""
    template: str = ""
    columns: Callable[[Data], dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class DrawnSection:
    """A section of one page. Where it has no rows, its finding says why, and it has no figure and no caption."""

    section: Section[Any, Any]
    rows: Any
    finding: str
    figure: go.Figure | None
    caption: str
    parts: tuple[DrawnSection, ...]
    label: str = ""
    """What the figure shows, in words."""

    @property
    def name(self) -> str:
        """Its anchor, and its figure's name."""
        return self.section.name

    @property
    def template(self) -> str:
        """The file of assets/ that shows it."""
        return self.section.template or ("part.html" if self.section.within else "section.html")

    @property
    def is_matrix(self) -> bool:
        """Whether the figure is a table of cells, which may be wider than a narrow screen."""
        return self.figure is not None and any(trace.type == "heatmap" for trace in self.figure.data)

    @property
    def least_width(self) -> int | None:
        """The least width in pixels at which the figure can be read, where it says one."""
        meta = None if self.figure is None else self.figure.layout.meta
        return None if meta is None else meta.get("least_width")


def draw_sections(data: HasMeasured, sections: Sequence[Section[Any, Any]]) -> list[DrawnSection]:
    """The sections that the page of this data has, in order, each with its parts."""
    names = [section.name for section in sections]
    assert len(set(names)) == len(names), "two sections have one name"
    tops = {section.name for section in sections if not section.within}
    assert all(section.within in tops for section in sections if section.within), "a part is within no section"
    return _within("", data, sections)


def every_section(drawn: Sequence[DrawnSection]) -> list[DrawnSection]:
    """The sections and their parts."""
    return [each for one in drawn for each in (one, *one.parts)]


def _within(name: str, data: HasMeasured, sections: Sequence[Section[Any, Any]]) -> list[DrawnSection]:
    found = (_draw(section, data, sections) for section in sections if section.within == name and section.shown(data))
    return [drawn for drawn in found if drawn is not None]


def _draw(section: Section[Any, Any], data: HasMeasured, sections: Sequence[Section[Any, Any]]) -> DrawnSection | None:
    rows = section.rows(data)
    parts = tuple(_within(section.name, data, sections))
    if rows:
        figure = None if section.figure is None else section.figure(data, rows)
        finding = section.finding(data, rows)
        label = section.label(data) if callable(section.label) else section.label
        return DrawnSection(section, rows, finding, figure, section.caption(data, rows), parts, label or finding)
    return None if section.empty is None else DrawnSection(section, None, section.empty, None, "", parts)
