"""`replaytree spaces`: the named spaces, or one of them in full."""

from __future__ import annotations

import json as js
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replaytree.cli import console, table
from replaytree.cli.completing import space_names_like
from replaytree.cli.declared import configured
from replaytree.cli.options import Classes, Format, Input, Json, shape_of, whole
from replaytree.cli.text import escaped, say
from replaytree.config.option import declared
from replaytree.config.space import LayerOptions, SpaceOptions, given_text, written
from replaytree.errors import SpaceError

if TYPE_CHECKING:
    from replaytree.records import Decision
    from replaytree.space import DecisionSpace, LayerSpace
    from replaytree.space.catalogue import About
    from replaytree.space.plan import Published
    from replaytree.space.size import Size

COLUMNS = ("name", "decisions", "paths", "legality", "max_layers", "about", "source")
DECISION_COLUMNS = ("depth", "name", "kind", "options")


@configured(LayerOptions, unset="the space's own")
def spaces(
    name: Annotated[
        str | None,
        typer.Argument(help="The space to describe.  [default: list all]", autocompletion=space_names_like),
    ] = None,
    max_layers: Annotated[int, whole("Count paths of this many layers.", most=1000)] = SpaceOptions.max_layers,
    input_: Input = None,
    classes: Classes = None,
    layers: LayerOptions = LayerOptions(),  # noqa: B008
    format_: Format = "table",
    json: Json = False,
) -> None:
    """Show the spaces that can be searched; of one, its decisions, options, size and published architectures."""
    from replaytree.space.catalogue import USUAL_DATA, about, all_options, named_space, names

    format_ = "json" if json else format_
    asked: dict[str, Any] = {"input_shape": None if input_ is None else shape_of(input_), "num_classes": classes}
    data = {option: value for option, value in asked.items() if value is not None}
    given = layers.given()
    if name is not None:
        all_options(name, given)
        one = about(name)
        _print_one(
            one, named_space(name, **{**USUAL_DATA[one.task], **data}, max_layers=max_layers, **given), given, format_
        )
        return
    rows = []
    for each in map(about, names()):
        own = {option: value for option, value in given.items() if option in each.defaults}
        # In a list of spaces of all tasks, what is asked of images says nothing of texts.
        usual = USUAL_DATA[each.task] | (data if each.task == "images" else {})
        try:
            space = named_space(each.name, **usual, max_layers=max_layers, **own)
        except SpaceError as error:
            say(f"note: {each.name}: {escaped(error)}", error=True)
            continue
        rows.append(_row(each, space))
    if format_ != "table":
        console.print_rows(rows, COLUMNS, format_)
        return
    cells = [(row["name"], row["decisions"], short(row["paths"]), row["source"]) for row in rows]
    say("\n".join(table.lines(
        ("space", "decisions a layer", "paths", "source"), cells, width=table.terminal_width(),
        left=("space", "decisions a layer"), last="source",
    )))  # fmt: skip
    say()
    say(f"paths: how many there are at --max-layers {max_layers}; `replaytree spaces NAME` describes a space")


def _row(known: About, space: LayerSpace | DecisionSpace) -> dict[str, Any]:
    """A space as plain values."""
    from replaytree.space.size import size_of

    size = size_of(space)
    return {
        "name": known.name,
        "decisions": " ".join(decision.name for decision in space.decisions(space.max_layers)),
        "paths": size.paths,
        "legality": "counted" if size.is_exact else "ignored",
        "max_layers": space.max_layers,
        "about": known.about,
        "source": known.source,
    }


def _print_one(known: About, space: LayerSpace | DecisionSpace, given: dict[str, Any], form: console.Format) -> None:
    from replaytree.space.size import size_of

    by_depth: list[dict[str, Any]] = [
        {"depth": depth, "name": each.name, "kind": each.kind, "options": list(each.options)}
        for depth in range(1, space.max_layers + 1)
        for each in space.decisions(depth)
    ]
    size = size_of(space)
    if form == "csv":
        rows = [row | {"options": " ".join(row["options"])} for row in by_depth]
        console.print_rows(rows, DECISION_COLUMNS, form)
    elif form == "json":
        say(js.dumps(_row(known, space) | {
            "nested": known.nested,
            "options": dict(known.defaults) | given,
            "input_shape": list(space.input_shape),
            "decisions": by_depth,
            "example": _example(space),
            "published": {name: _published_row(known.name, each) for name, each in known.published.items()},
        }, indent=2))  # fmt: skip
    else:
        say("\n".join(_lines(known, space, size)))


def _published_row(space: str, each: Published) -> dict[str, Any]:
    """A published architecture as plain values, its parameters counted."""
    from replaytree.space.catalogue import named_space

    made = named_space(
        space, input_shape=each.input_shape, num_classes=each.num_classes, max_layers=len(each.path.split()),
        **each.options,
    )  # fmt: skip
    return {
        "path": each.path,
        "input_shape": list(each.input_shape),
        "num_classes": each.num_classes,
        "options": dict(each.options),
        "params": made.cost(made.parse(each.path))[0],
        "note": each.note,
    }


def _lines(known: About, space: LayerSpace | DecisionSpace, size: Size) -> Iterator[str]:
    """A space for people: facts, decisions, options, published architectures."""
    from replaytree.space.network import data_words

    width = table.terminal_width()
    data = data_words(known.task, space.input_shape, space.num_classes, classes=False)
    counted = f"{size.paths:,}" + (f" ({short(size.paths)})" if size.paths >= 10**6 else "")
    if not size.is_exact:
        counted += ", counted as if every combination were legal,"
    nested = "one training scores all prefixes" if known.nested else "a training scores the whole path alone"
    for what, value in (
        ("space", f"{known.name}: {known.about}"),
        ("source", known.source),
        ("paths", f"{counted} at --max-layers {space.max_layers}, on {data}"),
        ("nested", f"{'yes' if known.nested else 'no'}: {nested}"),
    ):
        yield from table.hanging(f"{what:<8}", value, width)
    yield from table.hanging(f"{'written':<8}", _written(space), width)
    yield ""
    cells = [(name, kind, depths, options) for name, kind, depths, options in decision_rows(space)]
    headings = ("decision", "kind", "layers", "options")
    yield from table.lines(headings, cells, width=width, left=("decision", "kind", "layers"), last="options")
    if known.defaults:
        yield ""
        options = [
            (each.flag, _default(known.defaults[name]) + _on_a_cpu(known, name), each.option.help)
            for name, each in declared(LayerOptions).items()
            if name in known.defaults
        ]
        yield from table.lines(
            ("option", "default", "what"), options, width=width, left=("option", "default"), last="what"
        )
    if known.published:
        yield ""
        yield from _published_lines(known, width)


def _example(space: LayerSpace | DecisionSpace) -> dict[str, Any]:
    """A path as people write it, and the decisions of its last layer."""
    from replaytree.space import coding
    from replaytree.space.example import example_path

    path = example_path(space)
    decisions = space.decisions(len(path))
    return {
        "path": " ".join(coding.labels(space, path)),
        "last_layer": coding.named(decisions, coding.decode(decisions, path[-1])),
    }


def _written(space: LayerSpace | DecisionSpace) -> str:
    """How a path is written: an example, and what its last layer says where that is more than its name."""
    example = _example(space)
    path, chosen = example["path"], example["last_layer"]
    if list(chosen.values()) == path.split()[-1:]:
        return f"'{path}'"
    options = (
        f"{name} {option if isinstance(option, str) else ' and '.join(option) or 'none'}"
        for name, option in chosen.items()
    )
    return f"'{path}'; the last layer is {', '.join(options)}"


def _published_lines(known: About, width: int) -> Iterator[str]:
    # Of images the shape and the classes, of texts the words.
    of_images = known.task == "images"
    cells = [
        (
            name, *(["x".join(map(str, row["input_shape"]))] if of_images else []), row["num_classes"],
            f"{row['params']:,}",
            " ".join(given_text(option, value) for option, value in row["options"].items()) or "-",
            row["note"] or "-",
        )
        for name, each in known.published.items()
        for row in (_published_row(known.name, each),)
    ]  # fmt: skip
    headings = ("published", *(("input", "classes") if of_images else ("words",)), "params", "options", "note")
    yield from table.lines(headings, cells, width=width, left=("published", "options"), last="note")
    example = next(iter(known.published))
    yield ""
    yield f"`{console.command('describe', '--space', known.name, '--path', example)}` prints a network"


def decision_rows(space: LayerSpace | DecisionSpace) -> Iterator[tuple[str, str, str, str]]:
    """(decision, kind, layers, options), a row for each list of options that a decision has."""
    found: dict[str, list[tuple[int, Decision]]] = {}
    for depth in range(1, space.max_layers + 1):
        for decision in space.decisions(depth):
            found.setdefault(decision.name, []).append((depth, decision))
    for name, there in found.items():
        rule = _rule(there)
        start = 0
        for place, (depth, decision) in enumerate(there):
            following = there[place + 1] if place + 1 < len(there) else None
            same = following is not None and following[0] == depth + 1
            if not same or (rule is None and following is not None and following[1].options != decision.options):
                first = there[start][0]
                layers = str(depth) if first == depth else f"{first}-{depth}"
                yield name, decision.kind, layers, rule or " ".join(decision.options) or "none"
                start = place + 1


def _rule(there: Sequence[tuple[int, Decision]]) -> str | None:
    """How the layers that a decision offers follow from the depth, if they do: 'layers 1 to t - 1 of layer t'."""
    if len(there) < 2 or there[0][1].kind == "choice":
        return None
    depth, decision = there[-1]
    if not decision.sources:
        return None
    low, before = decision.sources[0], depth - decision.sources[-1]
    for depth, decision in there:
        if decision.sources != tuple(range(low, depth - before + 1)) or decision.options != tuple(
            map(str, decision.sources)
        ):
            return None
    what = "one of" if there[0][1].kind == "input" else "any of"
    return f"{what} {low} to t - {before} in layer t"


def short(number: int) -> str:
    """123 -> '123', 190102976 -> '1.9e8'; also for numbers that are too large for a float."""
    text = str(number)
    if number < 10**6:
        return f"{number:,}"
    digits = round(int(text[:3]) / 10)
    power = len(text) - 1 + (digits == 100)
    return f"{digits // 10 % 10 or 1}.{digits % 10}e{power}"


def _on_a_cpu(known: About, option: str) -> str:
    """What a search on a CPU takes instead."""
    other = option == "width" and known.cpu_width != known.defaults[option]
    return f", {known.cpu_width:g} in a search on a CPU" if other else ""


def _default(value: object) -> str:
    if value is None:
        return "-"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else written(value)
