"""The report of one search: its rows, figures and headings, in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plotly import graph_objects as go

from replaytree.report import depth, effects, findings, history, html, network, pareto, provenance, theme
from replaytree.report.answer import Answer, Step, answer, compare_with_random
from replaytree.report.commands import commands_of, next_steps
from replaytree.report.files import folder_name, write_whole
from replaytree.report.reading import HasTree, SearchData, read_search
from replaytree.report.retrained import looked_at_test, retrained_finding, retrained_rows
from replaytree.report.tree_table import tree_columns
from replaytree.tree import ReplayTree


@dataclass(frozen=True, slots=True)
class Block:
    """How a layer of the chain is drawn: a box, in pixels, of its feature map's side and channels."""

    step: Step
    side: float
    thickness: float
    colour: str


def write_report(
    search: HasTree | ReplayTree,
    *,
    out: str | Path = "reports",
    against: HasTree | ReplayTree | None = None,
    refresh_seconds: float | None = None,
) -> Path:
    """Write `out`/<name>/index.html, and return its path. The page is written whole, or the old one stays.

    `against` is a random search of the same data to compare with; with `refresh_seconds` the open page reloads
    itself. Raises ConfigError where the folder cannot be written.
    """
    data = read_search(search)
    companion = None if against is None else read_search(against)
    page = report_html(data, against=companion, refresh_seconds=refresh_seconds)
    return write_whole(Path(out) / folder_name(data.name) / "index.html", page)


def report_html(data: SearchData, *, against: SearchData | None = None, refresh_seconds: float | None = None) -> str:
    """The page as text."""
    retrained = retrained_rows(data)
    common: dict[str, Any] = {
        "name": data.name,
        "commands": commands_of(data, against),
        "retrained": retrained,
        "retrained_finding": retrained_finding(retrained),
        "tested": looked_at_test(retrained),
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "refresh_seconds": refresh_seconds,
        "joint": data.config.get("evaluator") == "joint" and bool(data.fingerprint),
        "facts": {
            "data": provenance.data_facts(data),
            "machine": provenance.machine_facts(data),
            "config": provenance.config_facts(data),
        },
        "failures": provenance.failure_rows(data),
        "trainings": len(data.trainings),
        "episodes": len(data.episodes),
    }
    found = answer(data)
    if found is None:
        return html.render("empty.html", figures={}, tree=None, **common)
    rows = _Rows.of(data)
    comparison = compare_with_random(data, against)
    return html.render(
        "report.html",
        figures=_figures(data, rows),
        tree=tree_columns(data),
        **common,
        answer=found,
        basis=findings.basis(found),
        counts=findings.what_counts(found),
        steps=next_steps(data),
        least_trainings=findings.LEAST_TRAININGS,
        blocks=blocks(found, data),
        input_shape=data.fingerprint.get("image_shape"),
        runners_up=data.comparable[1:6],
        scale=_scale(data),
        comparison=comparison,
        unmeasured=against.name if against is not None and comparison is None else None,
        finding=_headings(data, rows, found),
        random_finding=findings.random_finding(comparison) if comparison else None,
        difference=findings.difference_text(comparison.difference) if comparison else None,
        learned=any(row.entropy is not None for row in rows.episodes),
        hidden_costs=len(rows.params) - len(pareto.shown_rows(rows.params)),
        hidden_episodes=len(rows.episodes) - len(history.thinned(rows.episodes)),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    episodes: Sequence[history.HistoryRow]
    costs: Sequence[history.DepthCostRow]
    depths: Sequence[depth.DepthRow]
    layers: Sequence[effects.EffectRow]
    pairs: Sequence[effects.FollowRow]
    params: Sequence[pareto.ParetoRow]
    flops: Sequence[pareto.ParetoRow]

    @classmethod
    def of(cls, data: SearchData) -> _Rows:
        return cls(
            episodes=history.history_rows(data),
            costs=history.depth_cost_rows(data),
            depths=depth.depth_rows(data),
            layers=effects.effect_rows(data),
            pairs=effects.follow_rows(data),
            params=pareto.pareto_rows(data, "params"),
            flops=pareto.pareto_rows(data, "flops"),
        )


def _figures(data: SearchData, rows: _Rows) -> dict[str, go.Figure]:
    figures = {
        "network": network.draw_network(network.network_rows(data), _scale(data)),
        "history": history.draw_history(rows.episodes),
        "depth": depth.draw_depth(rows.depths),
        "effects": effects.draw_effects(rows.layers),
    }
    if rows.costs:
        figures["costs"] = history.draw_depth_cost(rows.costs)
    if rows.pairs:
        figures["follows"] = effects.draw_follows(rows.pairs)
    if rows.params:
        figures["params"] = pareto.draw_pareto(rows.params, "params")
    if rows.flops:
        figures["flops"] = pareto.draw_pareto(rows.flops, "flops")
    return figures


def _headings(data: SearchData, rows: _Rows, found: Answer) -> dict[str, str]:
    return {
        "answer": findings.answer_finding(found),
        "tree": findings.tree_finding(len(data.nodes), max(node.depth for node in data.nodes)),
        "history": findings.history_finding(rows.episodes),
        "depth": findings.depth_finding(rows.depths),
        "effects": findings.effect_finding(rows.layers),
        "follows": findings.follow_finding(rows.pairs),
        "pareto": findings.pareto_finding(rows.params),
    }


def blocks(found: Answer, data: SearchData) -> list[Block]:
    """Boxes for the chain: the side grows with the map's side, the thickness with the logarithm of its channels."""
    scale = _scale(data)
    widest = max((max(step.output_shape[1:]) for step in found.steps if step.output_shape), default=1)
    drawn = []
    for step in found.steps:
        channels, *sides = step.output_shape or (1, widest)
        accuracy = step.average_accuracy
        drawn.append(
            Block(
                step=step,
                side=12.0 + 28.0 * math.sqrt(max(sides) / widest),
                thickness=4.0 + 3.2 * math.log2(channels + 1),
                colour="var(--line)" if accuracy is None else scale.colour(accuracy),
            )
        )
    return drawn


def _scale(data: SearchData) -> theme.Scale:
    return theme.Scale.of([node.average_accuracy for node in data.nodes if node.average_accuracy is not None])
