"""What a reader may want to do next, with the command for it."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.report.commands import commands_of, export_command, node_commands, predict_command
from replaytree.report.reading import SearchData
from replaytree.report.section import Section
from replaytree.report.sections.retrained import RetrainedRow, retrained_answer


@dataclass(frozen=True, slots=True)
class NextStep:
    """What a reader may want to do next, and the command for it."""

    name: str
    what: str
    command: str


def next_steps(data: SearchData) -> list[NextStep]:
    """From the best prefix on: its retraining, and after that what can be done with its model."""
    assert data.best is not None, "something was measured"
    node = str(data.best.node_id)
    show, *commands = node_commands(data, node)
    steps = [NextStep("show", "See the best prefix and what follows it in the tree:", show)]
    if commands and (derived := _derived(data)) is not None:
        steps.append(derived)
    retrained = retrained_answer(data)
    if retrained is not None and retrained.is_best:
        steps += _with_model(data, node, retrained, is_exportable=bool(commands))
    elif commands:
        retrain, export = commands
        measure = (
            f"Train the best prefix from scratch and measure it on the test {data.metric.items}, where there are any:"
        )
        steps.append(NextStep("retrain", measure, retrain))
        steps.append(NextStep("export", "Then write that model as an ONNX file for use elsewhere:", export))
    resume = commands_of(data).resume
    return steps if resume is None else [*steps, NextStep("resume", "Search on, with 10 more trainings:", resume)]


def _derived(data: SearchData) -> NextStep | None:
    """The retraining of what a differentiable search ends with; None where it is done, or is that of the best prefix.

    A supernet's scores are a rough guide, and the published answer is what the numbers say.
    """
    derived = data.derived
    if derived is None or data.best is None or derived.node_id == data.best.node_id:
        return None
    if any(model.node_id == derived.node_id and model.baseline is None for model in data.models):
        return None
    what = (
        f"Train what the numbers of the supernet say in the end, node {derived.node_id}, from scratch and measure it:"
    )
    return NextStep("derived", what, node_commands(data, str(derived.node_id))[1])


def _with_model(data: SearchData, node: str, retrained: RetrainedRow, *, is_exportable: bool) -> list[NextStep]:
    """What can be done with the model of the best prefix. A file is verified by data that a command can name."""
    of_text = data.metric.task == "text"
    use = "Tell the perplexity of other texts" if of_text else "Classify other images"
    steps = [NextStep("predict", f"{use} with the retrained model:", predict_command(data, retrained.weights))]
    if is_exportable:
        steps.append(
            NextStep("export", "Write it as an ONNX file for use elsewhere:", export_command(data, node, "onnx"))
        )
    if is_exportable and not of_text:
        small = "Or in 8-bit whole numbers, with the accuracy that this costs:"
        steps.append(NextStep("int8", small, export_command(data, node, "onnx-int8")))
    return steps


SECTION = Section(
    name="next",
    title="Next steps",
    within="answer",
    rows=next_steps,
    finding=lambda data, steps: "Next steps",
    template="next_steps.html",
)
