"""How help is laid out: options in panels, two columns, plain text that fits 80 columns and needs no rich."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from replaytree.cli.text import say
from replaytree.config.option import PANELS


class PanelCommand(TyperCommand):
    """A command whose options are shown under the headings of their panels."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write each panel: arguments first, the known panels in their order, then what has none."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.shown(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                default = "Arguments" if param.param_type_name == "argument" else "Options"
                panels.setdefault(getattr(param, "rich_help_panel", None) or default, []).append(record)
        order = ["Arguments", *PANELS, "Options"]
        for name in sorted(panels, key=lambda name: order.index(name) if name in order else len(PANELS)):
            with formatter.section(name):
                formatter.write_dl(panels[name])

    def shown(self, ctx: Any) -> list[Any]:
        """The parameters that help shows."""
        return list(self.get_params(ctx))


class LongCommand(PanelCommand):
    """A command of many options: `--help` shows those that matter most, `--help-all` every one."""

    def shown(self, ctx: Any) -> list[Any]:
        """All, or those of the first panel."""
        params = super().shown(ctx)
        if ctx.meta.get("replaytree.help_all"):
            return params
        return [param for param in params if getattr(param, "rich_help_panel", None) in (PANELS[0], None)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Say how many more there are."""
        more = len(super().shown(ctx)) - len(self.shown(ctx))
        if more:
            formatter.write(f"\n{more} more options: {ctx.command_path} --help-all\n")


class PanelGroup(TyperGroup):
    """A group whose commands are shown under the headings of their panels."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each panel of commands, in the order in which they were added."""
        panels: dict[str, list[tuple[str, str]]] = {}
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        width = formatter.width - 6 - max(len(name) for name, _ in commands)
        for name, command in commands:
            if command is not None and not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Commands"
                panels.setdefault(panel, []).append((name, command.get_short_help_str(width)))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


def show_all(ctx: Any, wanted: bool) -> None:
    """The callback of `--help-all`."""
    if wanted:
        ctx.meta["replaytree.help_all"] = True
        say(ctx.get_help())
        ctx.exit()
