"""What the command line prints: tables and progress for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from replaytree.cli import table
from replaytree.cli.text import LogFormatter, escaped, say
from replaytree.config import command
from replaytree.metric import ACCURACY, Metric
from replaytree.search.progress import RunBar, Shares, clock, described

if TYPE_CHECKING:
    from replaytree.cli.doctor import Finding
    from replaytree.cli.plain_console import PlainConsole
    from replaytree.search.turns import Progress as Turn
    from replaytree.tree import Node, Retraining, SearchInfo

__all__ = [
    "NODE_COLUMNS", "RunProgress", "clock", "command", "counted", "counting",
    "findings_lines", "node_row", "nodes_lines", "print_nodes", "print_report", "print_rows", "print_searches",
    "retrained_text", "searches_lines", "stdout",
]  # fmt: skip

Format = Literal["table", "json", "csv"]

NODE_COLUMNS = (
    "node_id", "average_accuracy", "lower_bound", "budget_evaluation_count", "epochs",
    "evaluation_count", "visit_count", "depth", "params", "flops", "ram_bytes", "flash_bytes", "labels",
)  # fmt: skip


FINAL_FORM = "params and FLOPs are of networks as they are searched, RAM and flash as they are retrained"


def node_row(node: Node, metric: Metric) -> dict[str, Any]:
    """A node as plain values, in the order of NODE_COLUMNS; of text with its perplexity, too."""
    row = {column: getattr(node, column) for column in NODE_COLUMNS}
    return row | {"labels": " ".join(node.labels)} | beside(metric, "", node.average_accuracy)


def beside(metric: Metric, prefix: str, fraction: float | None) -> dict[str, float | None]:
    """What people read, beside what is called accuracy, where the two are not the same: {'best_perplexity': 120.5}."""
    return {} if metric == ACCURACY else {f"{prefix}{metric.column}": metric.finite(fraction)}


def print_nodes(
    nodes: Sequence[Node],
    form: Format,
    *,
    metric: Metric,
    title: str = "",
    latencies: Sequence[float] | None = None,
    unit: str = "epochs",
    has_final_form: bool = False,
) -> None:
    """Nodes as a table for people, or as JSON or CSV for programs; latencies are in milliseconds.

    `unit` is what budgets are counted in (WeightOptions.unit). With a final form (SearchInfo.has_final_form) a line
    says of which form the costs are.
    """
    rows = [node_row(node, metric) for node in nodes]
    for row, latency in zip(rows, latencies or (), strict=False):
        row["latency_ms"] = round(latency, 4)
    if form != "table":
        print_rows(rows, (*NODE_COLUMNS, *beside(metric, "", None)), form)
    else:
        lines = nodes_lines(rows, width=table.terminal_width(), metric=metric, unit=unit)
        say("\n".join(([escaped(title)] if title else []) + lines))
        if has_final_form and _any(rows, "ram_bytes"):
            say(FINAL_FORM)


def nodes_lines(rows: Sequence[dict[str, Any]], *, width: int, metric: Metric, unit: str = "epochs") -> list[str]:
    """The table at the end of `run` and `best`; layers go below their figures if there is no room beside them."""
    timed = bool(rows) and "latency_ms" in rows[0]
    columns: dict[str, Callable[[dict[str, Any]], object]] = {
        "node": itemgetter("node_id"),
        metric.name: lambda row: metric.shown(row["average_accuracy"]),
        metric.bound: lambda row: metric.shown(row["lower_bound"]),
        "trainings": itemgetter("budget_evaluation_count"),
        unit: lambda row: "-" if row["epochs"] is None else row["epochs"],
        "visits": itemgetter("visit_count"),
        "depth": itemgetter("depth"),
        "params": lambda row: counted(row["params"]),
        "FLOPs": lambda row: counted(row["flops"]),
        **({"RAM": lambda row: counted(row["ram_bytes"])} if _any(rows, "ram_bytes") else {}),
        **({"flash": lambda row: counted(row["flash_bytes"])} if _any(rows, "flash_bytes") else {}),
        **({"ms": lambda row: f"{row['latency_ms']:.3g}"} if timed else {}),
        "layers": itemgetter("labels"),
    }
    cells = [[value(row) for value in columns.values()] for row in rows]
    return table.lines(list(columns), cells, width=width, spare=("visits", "flash", "RAM", unit), last="layers")


def _any(rows: Sequence[dict[str, Any]], cost: str) -> bool:
    """Whether a cost is known of some row."""
    return any(row[cost] is not None for row in rows)


SEARCH_COLUMNS = (
    "name", "created_at", "seed", "episode_count", "training_count", "node_count", "max_depth", "best_accuracy",
    "best_lower_bound", "max_epochs",
)  # fmt: skip


def search_row(info: SearchInfo) -> dict[str, Any]:
    """A search as plain values, in the order of SEARCH_COLUMNS."""
    row = {column: getattr(info, column) for column in SEARCH_COLUMNS}
    row |= {"created_at": info.created_at.isoformat(timespec="seconds")}
    return row | beside(info.metric, "best_", info.best_accuracy)


def print_searches(searches: Sequence[SearchInfo], form: Format) -> None:
    """Searches as JSON or CSV; where one is of text, all have a column for its perplexity."""
    more = {name: None for info in searches for name in beside(info.metric, "best_", None)}
    print_rows([search_row(info) | (more | search_row(info)) for info in searches], SEARCH_COLUMNS, form)


def print_report(info: SearchInfo, page: Path) -> None:
    """The path of a report, and a summary of its search."""
    say(json.dumps(search_row(info) | {"page": str(page)}, indent=2))


def print_rows(rows: list[dict[str, Any]], columns: Sequence[str], form: Format) -> None:
    """Rows for programs; the column names are printed even if there are no rows."""
    if form == "json":
        say(json.dumps(rows, indent=2))
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    say(text.getvalue().removesuffix("\n"))


def retrained_text(retraining: Retraining) -> str:
    """'2 seeds, 30 epochs: test accuracy 0.73, 95 % interval ...'."""
    metric = retraining.metric
    seeds = "1 seed" if len(retraining.models) == 1 else f"{len(retraining.models)} seeds"
    begin = f"{seeds}, {counting(retraining.models[0].epochs, 'epoch')}"
    if retraining.test is None:
        return f"{begin}: no test {metric.items}"
    return f"{begin}: test {metric.name} {metric.written(retraining.test.mean)}, {retraining.test.interval_text}"


def findings_lines(findings: Sequence[Finding], *, width: int) -> list[str]:
    """The table of `doctor`; what is too long for a line goes on below where it began."""
    size = max(len(finding.what) for finding in findings)
    rows = []
    for finding in findings:
        rows.append((f"{'ok' if finding.good else '--'}  {finding.what:<{size}}  ", finding.found))
        if finding.fix:
            rows.append((" " * (size + 6), f"-> {finding.fix}"))
    return [line for begin, text in rows for line in table.hanging(begin, text, width)]


def searches_lines(searches: Sequence[SearchInfo], *, width: int) -> list[str]:
    """The table of `list`."""
    found = {info.metric for info in searches}
    # Where searches of both kinds stand in one table, their numbers say what they are.
    best, bound = "best", "bound"
    if len(found) == 1:
        [metric] = found
        best, bound = f"best {metric.name}", metric.bound
    headings = ("search", "episodes", "trainings", "nodes", "deepest", best, bound, "started")
    cells = [
        (
            info.name, info.episode_count, info.training_count, info.node_count, info.max_depth or "-",
            _told(info, info.best_accuracy, mixed=len(found) > 1), info.metric.shown(info.best_lower_bound),
            f"{info.created_at:%Y-%m-%d %H:%M}",
        )
        for info in searches
    ]  # fmt: skip
    return table.lines(headings, cells, width=width, left=("search", "started"), spare=("episodes", "deepest"))


def _told(info: SearchInfo, fraction: float | None, *, mixed: bool) -> str:
    """'0.9876'; 'accuracy 0.9876' beside searches of text."""
    shown = info.metric.shown(fraction)
    return f"{info.metric.name} {shown}" if mixed and fraction is not None else shown


def counting(number: int, one: str, many: str | None = None) -> str:
    """'1 training', '1,200 trainings'."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def counted(number: int | None) -> str:
    """1234567 -> '1.23M'; None -> '-'."""
    if number is None:
        return "-"
    value = float(number)
    for unit in ("", "k", "M", "G"):
        if value < 999.5:
            return f"{value:.0f}" if not unit else f"{value:.3g}{unit}"
        value /= 1000.0
    return f"{value:.3g}T"


class RunProgress:
    """Progress of a run: a live bar on a terminal, a line a training elsewhere, nothing when quiet.

    Log lines of the search go above the bar, or to standard error; when quiet, only warnings.
    """

    def __init__(self, *, quiet: bool, **limits: Any) -> None:
        self._quiet = quiet
        self._shares = Shares(**limits)
        self._bar: RunBar | None = None
        shown: PlainConsole | None = None
        if not quiet and sys.stdout.isatty():
            shown = stdout()
            self._bar = RunBar(**limits, console=shown)
        self._level_before = logging.NOTSET
        self._log = _log_handler(shown)
        self._log.setLevel(logging.WARNING if quiet else logging.INFO)

    def __enter__(self) -> RunProgress:
        logger = logging.getLogger("replaytree")
        logger.addHandler(self._log)
        self._level_before = logger.level
        logger.setLevel(logging.INFO)
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)
        logger = logging.getLogger("replaytree")
        logger.removeHandler(self._log)
        logger.setLevel(self._level_before)

    def __call__(self, turn: Turn) -> None:
        """Show the progress after a turn."""
        if self._bar is not None:
            self._bar(turn)
        elif not self._quiet:
            say(described(turn, self._shares), flush=True)


def _log_handler(console: PlainConsole | None) -> logging.Handler:
    if console is not None:
        from rich.logging import RichHandler

        bar_log = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S")
        bar_log.setFormatter(LogFormatter())
        return bar_log
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    return handler


def stdout() -> PlainConsole:
    """A console on the present standard output that treats strings as text, not as markup."""
    from replaytree.cli.plain_console import plain_console  # here, because it imports Rich

    return plain_console()
