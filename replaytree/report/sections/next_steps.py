"""What a reader may want to do next, with the command for it."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.report.commands import commands_of, node_commands
from replaytree.report.reading import SearchData
from replaytree.report.section import Section


@dataclass(frozen=True, slots=True)
class NextStep:
    """What a reader may want to do next, and the command for it."""

    name: str
    what: str
    command: str


def next_steps(data: SearchData) -> list[NextStep]:
    """From the best prefix on. Retraining comes before the export, which needs its model."""
    assert data.best is not None, "something was measured"
    whats = (
        ("show", "See the best prefix and what follows it in the tree:"),
        ("retrain", "Train the best prefix from scratch and measure it on the test {items}, where there are any:"),
        ("export", "Then write that model as an ONNX file for use elsewhere:"),
    )
    steps = [
        NextStep(name, what.format(items=data.metric.items), text)
        for (name, what), text in zip(whats, node_commands(data, str(data.best.node_id)), strict=False)
    ]
    resume = commands_of(data).resume
    return steps if resume is None else [*steps, NextStep("resume", "Search on, with 10 more trainings:", resume)]


SECTION = Section(
    name="next",
    title="Next steps",
    within="answer",
    rows=next_steps,
    finding=lambda data, steps: "Next steps",
    template="next_steps.html",
)
