"""What the retrained models took the images of each class for: a heat map of mistakes, and the pairs that lead it."""

from __future__ import annotations

from dataclasses import dataclass

from plotly import graph_objects as go

from replaytree.report import theme
from replaytree.report.reading import SearchData
from replaytree.report.section import Section
from replaytree.report.wording import counted
from replaytree.tree import ClassFigures, ClassResults, Confusion, answer_of, together

WORST, PAIRS = 6, 5
# More classes leave no room for a number in each cell, nor for all names.
_FEW = 25


@dataclass(frozen=True, slots=True)
class ClassRows:
    """The class results of one retraining, the models of its seeds together; `macro_f1` is the mean over them."""

    results: ClassResults
    labels: str
    seeds: int
    macro_f1: float

    @property
    def worst(self) -> list[ClassFigures]:
        """The classes of which the smallest share was found."""
        return self.results.worst(WORST)

    @property
    def confused(self) -> list[Confusion]:
        """The pairs of classes that were confused most."""
        return self.results.confused(PAIRS)

    @property
    def counted(self) -> str:
        """What is counted: images, or the answers of several models on the same images."""
        return f"{self.results.part} images" if self.seeds == 1 else "answers"

    @property
    def with_pictures(self) -> bool:
        """Whether there are any to be shown."""
        return any(each.pictures is not None for each in self.confused)


def class_rows(data: SearchData) -> ClassRows | None:
    """Those of the retrained answer; None where there are none."""
    found = [model for model in data.models if model.model_id in data.class_results]
    answer = answer_of(found, None if data.best is None else data.best.node_id, data.metric)
    if answer is None:
        return None
    last = answer.models
    results = [data.class_results[model.model_id] for model in last]
    # A retraining whose images changed in between has results on both.
    results = [each for each in results if (each.part, each.classes) == (results[-1].part, results[-1].classes)]
    return ClassRows(
        together(results),
        " ".join(last[0].labels),
        len(results),
        sum(each.macro_f1 for each in results) / len(results),
    )


def draw_classes(rows: ClassRows) -> go.Figure:
    """Mistakes as shares of the images of their class; what is right has no colour, only its number."""
    results = rows.results
    names, few = list(results.classes), len(results.classes) <= _FEW
    sums = [sum(row) for row in results.counts]
    shares = [
        [0.0 if a == p or not sums[a] else count / sums[a] for p, count in enumerate(row)]
        for a, row in enumerate(results.counts)
    ]
    hover = [
        [f"{count:,} of {sums[a]:,}, {count / max(1, sums[a]):.1%}" for count in row]
        for a, row in enumerate(results.counts)
    ]
    cells = go.Heatmap(
        x=names,
        y=names,
        z=shares,
        customdata=hover,
        text=[[str(count) if count else "" for count in row] for row in results.counts] if few else None,
        texttemplate="%{text}" if few else None,
        coloraxis="coloraxis",
        xgap=1 if few else 0,
        ygap=1 if few else 0,
        hovertemplate="%{y} taken for %{x}: %{customdata}<extra></extra>",
    )
    size = len(names)
    figure = theme.figure(cells, height=max(280, 130 + (24 if few else 9) * size))
    figure.update_layout(
        coloraxis={
            "colorscale": theme.counts("light"),
            "cmin": 0.0,
            "colorbar": {"title": {"text": "of its class", "side": "top", "font": {"size": 11}}, "tickformat": ".0%"},
        },
        meta={"scale": "counts", "least_width": 190 + (32 if few else 9) * size},
    )
    step = 1 if few else None
    figure.update_xaxes(title_text="taken for", showgrid=False, tickangle=-60, type="category", dtick=step)
    figure.update_yaxes(title_text="is", autorange="reversed", showgrid=False, type="category", dtick=step)
    return figure


def class_finding(rows: ClassRows) -> str:
    """The class that is found least, and what it is taken for."""
    if not (worst := rows.worst):
        return f"Every {rows.results.part} image was taken for its own class"
    least = worst[0]
    assert least.recall is not None, "of a class that is found least there are images"
    number = rows.results.classes.index(least.name)
    row = [-1 if place == number else count for place, count in enumerate(rows.results.counts[number])]
    taken = rows.results.classes[row.index(max(row))]
    return f"{least.name} is found least, {least.recall:.1%} of it, and is taken for {taken} most often"


def class_caption(rows: ClassRows) -> str:
    """What was measured, and by how many models."""
    results = rows.results
    counts = counted(results.images, "answer") if rows.seeds > 1 else counted(results.images, f"{results.part} image")
    of = f" of {rows.seeds} models, one a seed, on the {results.part} images" if rows.seeds > 1 else ""
    return (
        f"{counts}{of}; macro F1 {rows.macro_f1:.4f}. Colour is the share of a class that was taken for another; the "
        f"diagonal, what is right, has none."
    )


SECTION = Section(
    name="classes",
    title="Classes",
    within="answer",
    wide=True,
    rows=class_rows,
    figure=lambda data, rows: draw_classes(rows),
    finding=lambda data, rows: class_finding(rows),
    caption=lambda data, rows: class_caption(rows),
    label="How often each class was taken for each other",
    template="classes.html",
)
