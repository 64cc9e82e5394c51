"""The retrained answer of a search beside its baselines, as `best` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from replaytree.cli import console, table
from replaytree.cli.text import escaped, say
from replaytree.config import command
from replaytree.errors import ConfigError

if TYPE_CHECKING:
    from replaytree.metric import Metric
    from replaytree.report.baselines import NetworkRow
    from replaytree.tree import ReplayTree

NETWORK_COLUMNS = (
    "kind", "network", "node_id", "part", "accuracy", "accuracy_low", "accuracy_high", "answer_ahead",
    "answer_ahead_low", "answer_ahead_high", "note", "epochs", "seed_count", "params", "flops", "ram_bytes",
    "flash_bytes",
)  # fmt: skip


def networks_lines(rows: Sequence[NetworkRow], *, width: int, metric: Metric) -> list[str]:
    """The table of the retrained answer and the baselines, under `best`."""
    of = "test" if any(row.is_tested for row in rows) else "validation"
    headings = ("network", "params", "FLOPs", "RAM", f"{of} {metric.name}", "answer ahead by", "epochs", "seeds")
    cells = [
        (
            f"node {row.node_id}, retrained" if row.is_answer else row.label,
            *(console.counted(cost) for cost in (row.params, row.flops, row.ram_bytes)),
            "-" if row.measured is None else metric.written(row.measured.mean),
            _ahead(row),
            row.epochs, len(row.seeds),
        )
        for row in rows
    ]  # fmt: skip
    return table.lines(headings, cells, width=width, left=("network",), spare=("epochs", "seeds", "RAM"))


def _ahead(row: NetworkRow) -> str:
    if row.ahead is None:
        return "not compared" if row.note else "-"
    return row.ahead.brief + (f", {row.note}" if row.note else "")


def network_row(row: NetworkRow) -> dict[str, Any]:
    """One as plain values, in the order of NETWORK_COLUMNS. Accuracies are fractions, each with its 95 % interval.

    `part` is what they were measured on, `answer_ahead` the accuracy of the answer less that of a baseline. `note` says
    why a baseline does not count in the verdict, or is not compared at all.
    """
    measured, ahead = row.measured, row.ahead
    low, high = (None, None) if measured is None else measured.interval or (None, None)
    behind, before = (None, None) if ahead is None else ahead.interval or (None, None)
    values = (
        "answer" if row.is_answer else "baseline", row.label, row.node_id,
        None if measured is None else "test" if row.is_tested else "validation",
        None if measured is None else measured.mean, low, high, None if ahead is None else ahead.value, behind, before,
        row.note or None, row.epochs, len(row.seeds), row.params, row.flops, row.ram_bytes, row.flash_bytes,
    )  # fmt: skip
    return dict(zip(NETWORK_COLUMNS, values, strict=True))


def print_networks(tree: ReplayTree, form: console.Format = "table") -> None:
    """All networks of a search that were trained in full, and whether its answer beats the baselines."""
    from replaytree.report.baselines import trained_rows, verdict
    from replaytree.report.reading import read_search

    data = read_search(tree)
    if data.metric.task != "images":
        raise ConfigError(f"baselines are networks for images, and search {tree.name!r} is of {data.metric.task}")
    rows, found = trained_rows(data), verdict(data)
    if form != "table":
        console.print_rows([network_row(row) for row in rows], NETWORK_COLUMNS, form)
        return
    if rows:
        say("\n".join(networks_lines(rows, width=table.terminal_width(), metric=data.metric.of_models)))
    else:
        say(escaped(f"search {tree.name!r} has no retrained answer and no baselines"))
    if found is not None:
        say("\n".join(escaped(each) for each in (found.text, *(f"  {each}" for each in found.commands))))


def add_networks(tree: ReplayTree, form: console.Format, *, storage: str | None) -> None:
    """Below the prefixes: the networks where a baseline was trained; for programs, which command prints them.

    Programs read rows of one kind: those of networks have other columns.
    """
    from replaytree.tree import retrainings

    count = len(retrainings([model for model in tree.models() if model.baseline is not None]))
    if not count:
        return
    if form == "table":
        say()
        print_networks(tree)
    else:
        words = command("best", tree.name, "--baselines", "--format", form, storage=storage)
        are = "1 baseline is" if count == 1 else f"{count} baselines are"
        say(f"note: {are} not among these rows; `{escaped(words)}` prints the networks that were trained", error=True)
