"""Command-line options made from the fields of SearchConfig, which are declared there and nowhere else."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from replaytree.config import REMOVED, Declared, SearchConfig, by_flag, parse_flag, refuse, removed_flag
from replaytree.config.option import PANELS
from replaytree.errors import ConfigError

# The first panel of help, in this order.
MOST_USED = (
    "dataset", "name", "trainings", "hours", "max_layers", "epochs_first", "max_params", "max_flops", "seed", "storage",
)  # fmt: skip


def configured(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for every field; it is called with the configuration as its first argument.

    Removed options stand hidden, so that whoever gives one is told why it went.
    """
    own = inspect.signature(command, eval_str=True)
    rest = [p for p in list(own.parameters.values())[1:] if p.kind is not inspect.Parameter.VAR_KEYWORD]
    groups = {together[0].name: together for together in by_flag().values()}
    generated = [_parameter(together) for together in groups.values()]
    parameters = [*sorted([*rest, *generated], key=_place), *map(_hidden, REMOVED)]

    @wraps(command)
    def wrapped(**values: Any) -> None:
        refuse([name for name in REMOVED if values.pop(name) is not None])
        given = {name: values.pop(name) for name in groups}
        command(_configuration(groups, given), **values)

    wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped


def typed(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """A parser whose ConfigError names the option; a default that is not text stays as it is."""

    def parser(text: Any) -> Any:
        try:
            return parse(text) if isinstance(text, str) else text
        except ConfigError as error:
            raise typer.BadParameter(str(error)) from error

    return parser


def _parameter(together: list[Declared]) -> inspect.Parameter:
    field = together[0]
    told: dict[str, Any] = {
        "help": _help(together),
        "rich_help_panel": PANELS[0] if field.option.first else field.option.panel,
        "show_default": False,
    }
    if field.kind is bool:
        flag = field.flag if field.default is False else f"{field.flag}/--no-{field.flag.removeprefix('--')}"
        annotation: Any = Annotated[bool | None, typer.Option(flag, **told)]
    else:
        annotation = Annotated[
            str | None, typer.Option(field.flag, metavar=field.metavar, envvar=field.option.envvar, **told)
        ]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _hidden(name: str) -> inspect.Parameter:
    annotation: Any = Annotated[str | None, typer.Option(removed_flag(name), hidden=True)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(together: list[Declared]) -> str:
    field = together[0]
    if field.default is None:
        default = field.option.unset
    elif field.kind is bool:
        default = {True: field.flag.removeprefix("--"), False: None}[field.default]
    else:
        default = ":".join(
            f"{each.default:g}" if each.kind is float else each.written(each.default) for each in together
        )
    return field.option.help + ("" if default is None else f"  [default: {default}]")


def _place(parameter: inspect.Parameter) -> tuple[int, int]:
    """The position of a parameter in help: that of its panel; within the first panel, its own."""
    [info] = parameter.annotation.__metadata__
    panel = PANELS.index(info.rich_help_panel) if info.rich_help_panel in PANELS else len(PANELS)
    return panel, MOST_USED.index(parameter.name) if parameter.name in MOST_USED else len(MOST_USED)


def _configuration(groups: dict[str, list[Declared]], given: dict[str, Any]) -> SearchConfig:
    """The configuration with the given options, from text or flags, and defaults for the rest."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, bool):
            values[name] = value
        elif value is not None:
            values |= parse_flag(groups[name][0].flag, value)
    return SearchConfig(**values)
