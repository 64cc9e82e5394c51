"""Command-line options made from the fields of a configuration, which are declared there and nowhere else."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from replaytree.cli.completing import space_names_like
from replaytree.config import REMOVED, Declared, SearchConfig, by_flag, refuse, removed_flag
from replaytree.config.option import PANELS, parse_together
from replaytree.errors import ConfigError

# What the shell completes a value from, where it is not a list of choices.
COMPLETIONS: dict[str, Callable[..., list[str]]] = {"space": space_names_like}

# The first panel of help, in this order.
MOST_USED = (
    "dataset", "name", "trainings", "hours", "max_layers", "epochs_first", "max_params", "max_flops", "seed", "storage",
)  # fmt: skip


def configured(
    kind: type[Any],
    *,
    by_panel: bool = False,
    unset: str | None = None,
    complete: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] = lambda given, _: given,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator: the command gets an option for every field of a configuration.

    They stand where the command has the parameter of that type, which is given what they make, or all options are
    ordered `by_panel`. `unset` says what None means in this command, where that is not what it means in a search.
    `complete` makes the values of the configuration from those that were given and those of the command's own
    parameters. Options that a search had once stand hidden, so that whoever gives one is told why it went.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        place = next(p.name for p in own.parameters.values() if p.annotation is kind)
        together = {fields[0].name: fields for fields in by_flag(kind).values()}
        removed = REMOVED if kind is SearchConfig else {}
        generated = [_parameter(fields, unset) for fields in together.values()]
        parameters = []
        for each in own.parameters.values():
            parameters += generated if each.name == place else [each]
        if by_panel:
            parameters.sort(key=_place)

        @wraps(command)
        def wrapped(**values: Any) -> None:
            refuse([name for name in removed if values.pop(name) is not None])
            given = _given(together, {name: values.pop(name) for name in together})
            command(**{place: kind(**complete(given, values))}, **values)

        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
        parameters += map(_hidden, removed)
        wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
        return wrapped

    return decorated


def typed(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """A parser whose ConfigError names the option; a default that is not text stays as it is."""

    def parser(text: Any) -> Any:
        try:
            return parse(text) if isinstance(text, str) else text
        except ConfigError as error:
            raise typer.BadParameter(str(error)) from error

    return parser


def _parameter(together: list[Declared], unset: str | None) -> inspect.Parameter:
    field = together[0]
    told: dict[str, Any] = {
        "help": _help(together, unset),
        "rich_help_panel": PANELS[0] if field.option.first else field.option.panel,
        "show_default": False,
    }
    if field.kind is bool:
        flag = field.flag if field.default is False else f"{field.flag}/--no-{field.flag.removeprefix('--')}"
        annotation: Any = Annotated[bool | None, typer.Option(flag, **told)]
    else:
        annotation = Annotated[
            str | None,
            typer.Option(
                field.flag, metavar=field.metavar, envvar=field.option.envvar, autocompletion=_completion(field), **told
            ),
        ]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _completion(field: Declared) -> Callable[..., list[str]] | None:
    """What the shell completes a value from: the choices, or as COMPLETIONS says."""
    if field.choices:
        return lambda incomplete: [word for word in field.choices if word.startswith(incomplete)]
    return COMPLETIONS.get(field.name)


def _hidden(name: str) -> inspect.Parameter:
    annotation: Any = Annotated[str | None, typer.Option(removed_flag(name), hidden=True)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(together: list[Declared], unset: str | None) -> str:
    field = together[0]
    if field.default is None:
        default = unset or field.option.unset
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


def _given(groups: dict[str, list[Declared]], words: dict[str, Any]) -> dict[str, Any]:
    """The values of the options that were given, from text or flags."""
    values: dict[str, Any] = {}
    for name, value in words.items():
        if isinstance(value, bool):
            values[name] = value
        elif value is not None:
            values |= parse_together(groups[name][0].flag, groups[name], value)
    return values
