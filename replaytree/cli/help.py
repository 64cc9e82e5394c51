"""The layout of help: options in panels, two columns, plain text that fits 80 columns and does not need rich."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from replaytree.cli.text import say
from replaytree.config.option import PANELS

_SHOW_ALL = "replaytree.help_all"


class PlainCommand(TyperCommand):
    """A command with plain-text help and short placeholders for values."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for param in self.params:
            if param.param_type_name == "argument" and param.metavar is None:
                param.metavar = str(param.name).rstrip("_").upper()

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then the options under the headings of their panels."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.shown(ctx):
            record = _record(param, ctx)
            if record is not None:
                panels.setdefault(self.heading(param), []).append(record)
        order = ["Arguments", *PANELS, "Options"]
        for name in sorted(panels, key=order.index):
            with formatter.section(name):
                formatter.write_dl(panels[name])

    def shown(self, ctx: Any) -> list[Any]:
        """The parameters that help shows."""
        return [param for param in self.get_params(ctx) if not getattr(param, "hidden", False)]

    def heading(self, param: Any) -> str:
        """The heading of a parameter."""
        return "Arguments" if param.param_type_name == "argument" else "Options"


class LongCommand(PlainCommand):
    """A command of many options: `--help` shows the most important ones, `--help-all` all of them, in panels."""

    def heading(self, param: Any) -> str:
        """The panel, if the parameter has one."""
        return str(getattr(param, "rich_help_panel", None) or super().heading(param))

    def shown(self, ctx: Any) -> list[Any]:
        """All options, or those of the first panel."""
        params = super().shown(ctx)
        if ctx.meta.get(_SHOW_ALL):
            return params
        return [param for param in params if self.heading(param) in (PANELS[0], "Options")]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Say how many more options there are."""
        more = len(super().shown(ctx)) - len(self.shown(ctx))
        if more:
            formatter.write(f"\n{more} more options: {ctx.command_path} --help-all\n")


class PlainGroup(TyperGroup):
    """A group whose commands are shown under the headings of their panels."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each panel of commands in the order they were added, with the first sentence of each."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Commands"
                sentence = re.split(r"(?<=\.)\s", " ".join((command.help or "").split()))[0]
                panels.setdefault(panel, []).append((name, sentence))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


class Commands(typer.Typer):
    """An app, or a group of an app, whose commands have plain help."""

    def __init__(self, **options: Any) -> None:
        # Below 80 columns text is wrapped to the terminal; wider than 100 it would be hard to read.
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
        super().__init__(
            cls=PlainGroup, no_args_is_help=True, rich_markup_mode=None, context_settings=settings,
            pretty_exceptions_enable=False, **options,
        )  # fmt: skip

    def command(self, name: str | None = None, *, cls: Any = PlainCommand, **options: Any) -> Callable[[Any], Any]:
        """As typer's."""
        return super().command(name, cls=cls, **options)


def _record(param: Any, ctx: Any) -> tuple[str, str] | None:
    """A line of help; without a placeholder or choices, a word of the option's name stands for the value."""
    record: tuple[str, str] | None = param.get_help_record(ctx)
    if record is None:
        return None
    names, help_text = record
    help_text = help_text.replace("  [required]", "")
    names = re.split(r" (?=[<A-Z\[{])", names)[0] if param.metavar is None and "|" not in names else names
    if param.param_type_name == "argument":
        return param.metavar, help_text
    if param.metavar is None and not param.is_flag and "|" not in names:
        names += f" {param.name.strip('_').rpartition('_')[2].upper()}"
    return names, help_text


def show_all(ctx: Any, wanted: bool) -> None:
    """The callback of `--help-all`."""
    if wanted:
        ctx.meta[_SHOW_ALL] = True
        say(ctx.get_help())
        ctx.exit()
