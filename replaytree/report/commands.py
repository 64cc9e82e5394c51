"""The commands that a page prints: complete, quoted for the shell, and valid in any folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from replaytree.config import SearchConfig
from replaytree.report.files import folder_name
from replaytree.report.reading import SearchData

# Pages are shared, and passwords must not be.
FROM_ENVIRONMENT = '"$REPLAYTREE_STORAGE"'


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands of one search. `companion` runs the same search with strategy random.

    `companion`, `resume` and `retrain` are None if the data or the evaluator were given in Python.

    `environment` says that the variable REPLAYTREE_STORAGE must hold the database's URL, because it has a password.
    """

    resume: str | None
    report: str
    watch: str
    retrain: str | None
    companion: str | None
    against: str
    environment: bool


def commands_of(data: SearchData, against: SearchData | None = None) -> Commands:
    """The commands of a page."""
    companion = companion_name(data)
    config = companion_config(data)
    compared = [] if against is None else ["--against", against.name]
    return Commands(
        resume=None if config is None else command(data, "resume", options=["--trainings", "10"]),
        report=command(data, "report", options=compared),
        watch=command(data, "report", options=[*compared, "--watch"]),
        retrain=None if config is None else command(data, "retrain"),
        companion=None if config is None else _run(data, companion, config),
        against=command(data, "report", options=["--against", companion]),
        environment=data.storage is None,
    )


def _run(data: SearchData, name: str, config: SearchConfig) -> str:
    count = str(len(data.trainings))
    return command(data, "run", (), options=["--name", name, "--trainings", count, *config.to_arguments()])


def node_commands(data: SearchData, node: str) -> list[str]:
    """The commands for one node: show it, retrain it, then export it. The page fills in the node's number.

    Only the first, if the data or the evaluator were given in Python.
    """
    show = command(data, "show", (data.name, node))
    if companion_config(data) is None:
        return [show]
    return [show, command(data, "retrain", options=["--node", node]), export_command(data, node, "onnx")]


def export_command(data: SearchData, node: str, form: str) -> str:
    """The command that writes the last retraining of a node in a format of ONNX."""
    kind = form.removeprefix("onnx")
    return command(
        data, "export",
        options=["--node", node, "--format", form, "--out", f"{folder_name(data.name)}-node{node}{kind}.onnx"],
    )  # fmt: skip


def predict_command(data: SearchData, weights: str) -> str:
    """The command that uses a model, for which files of one's own are to be named."""
    return f"{shlex.join(['replaytree', 'predict', weights])} {'FILES' if data.metric.is_inverse else 'IMAGES'}..."


def command(data: SearchData, what: str, arguments: Sequence[str] | None = None, *, options: Sequence[str] = ()) -> str:
    """A replaytree command on the search, or with other `arguments`."""
    arguments = (data.name,) if arguments is None else arguments
    # A name that begins with a dash would be read as an option.
    last = ["--", *arguments] if any(each.startswith("-") for each in arguments) else []
    words = shlex.join(["replaytree", what, *([] if last else arguments), *options])
    storage = FROM_ENVIRONMENT if data.storage is None else shlex.quote(data.storage)
    return f"{words} --storage {storage}{' ' + shlex.join(last) if last else ''}"


def companion_name(data: SearchData) -> str:
    """A name for a random search beside this one that is not taken."""
    return next(
        name
        for number in count(1)
        if (name := f"{data.name.lstrip('-')[:80]}-random{'' if number == 1 else f'-{number}'}") not in data.taken
    )


def companion_config(data: SearchData) -> SearchConfig | None:
    """This search's configuration with strategy random; None where no command line can name its data or space."""
    config = data.whole_config
    if config is None or config.source.dataset is None or config.space.space is None:
        return None
    folders = {
        field: os.path.abspath(value)
        for field in ("dataset", "data_dir")
        if (value := getattr(config.source, field)) is not None and os.path.isdir(value)
    }
    return config.with_options(strategy="random", warm_start=None, **folders)
