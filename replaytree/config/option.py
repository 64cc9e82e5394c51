"""How a field of a configuration is declared: once, for the command line, for errors and for help.

A field carries an Option as dataclass metadata. The field's type and its Option determine its check, its command-line
option, its help, and how its values are read from text and written as text.

A configuration is made of groups, frozen dataclasses that may hold other groups. Outside it is flat: in JSON, on the
command line and as keywords, each field is known by its own name, whatever group it is in.
"""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from replaytree.errors import ConfigError

Panel = Literal["Most used", "What to search", "When to stop", "Strategy", "Training", "Data", "Machine"]
PANELS: tuple[Panel, ...] = get_args(Panel)

# The largest whole number that a database column holds.
LARGEST = 2**63 - 1

_COUNT = re.compile(r"([+-]?)([0-9](?:_?[0-9])*(?:\.[0-9]*)?)(?:e([+-]?[0-9]{1,3}))?([kmgb]?)", re.IGNORECASE)
_POWERS = {"": 0, "k": 3, "m": 6, "g": 9, "b": 9}

_Group = TypeVar("_Group", bound="Options")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Values that are not one plain number or text.

    `read` makes the plain value from any way to give it, also from text, or None where that is none. `wanted` says in
    words what is allowed, and `types` are those of a keyword in Python.
    """

    read: Callable[[object], Any]
    wanted: str
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """Facts about a field besides its type and default.

    `least` and `most` belong to the range, `above` and `below` do not. `unset` says what None means, and
    `unset_word` is how it is written. Fields of one `flag` are written together, `FIRST:LAST`. `choices` are the words
    allowed, where the field's type does not list them. Only a `path` may be given as an object with a path. With a
    `form` the field's type says nothing.
    """

    help: str
    panel: Panel
    first: bool = False
    flag: str | None = None
    metavar: str | None = None
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    unset: str | None = None
    unset_word: str | None = None
    envvar: str | None = None
    choices: tuple[str, ...] = ()
    path: bool = False
    form: Form | None = None


def option(default: Any, help: str, panel: Panel, **more: Any) -> Any:
    """A dataclass field with its declaration."""
    return field(default=default, metadata={"option": Option(help=help, panel=panel, **more)})


def group(kind: type[Options]) -> Any:
    """A dataclass field that holds a group of options."""
    return field(default_factory=kind, metadata={"groups": (kind,), "is_tuple": False})


def groups(kinds: Iterable[type[Options]]) -> Any:
    """A dataclass field that holds a tuple of groups."""
    kinds = tuple(kinds)
    return field(default_factory=lambda: tuple(kind() for kind in kinds), metadata={"groups": kinds, "is_tuple": True})


class Options:
    """The base of every group of options: a frozen dataclass whose values are checked when it is made."""

    def __post_init__(self) -> None:
        """Replace each value by its plain form; ConfigError for one that cannot be used."""
        for each in own(type(self)).values():
            object.__setattr__(self, each.name, each.checked(getattr(self, each.name)))


@dataclass(frozen=True, slots=True)
class Declared:
    """A field of a configuration with its declaration; without `choices` any value of the kind is allowed."""

    name: str
    kind: type
    choices: tuple[str, ...]
    optional: bool
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """The command-line option: '--max-layers'."""
        return self.option.flag or "--" + self.name.rstrip("_").replace("_", "-")

    @property
    def metavar(self) -> str:
        """The placeholder of the value in help."""
        return self.option.metavar or {int: "N", float: "X", str: "NAME"}.get(self.kind, "")

    def checked(self, value: Any) -> Any:
        """The value as a plain int, float, str or bool; ConfigError for one that cannot be used."""
        if value is None and self.optional:
            return None
        form = self.option.form
        plain = _plain(value, self.kind, path=self.option.path) if form is None else form.read(value)
        if plain is None or not self._in_range(plain):
            shown = value if plain is None else plain
            text = "too large a number" if _is_huge(shown) else repr(shown)[:80]
            raise ConfigError(f"{self.name.rstrip('_')} is {text}; it must be {self.wanted} ({self.flag})")
        return plain

    @property
    def wanted(self) -> str:
        """Which values are allowed, in words."""
        if self.option.form is not None:
            return self.option.form.wanted
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        noun = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[self.kind]
        limits = self.option
        parts = [
            f"{word} {limit:g}"
            for word, limit in (
                ("of at least", limits.least), ("over", limits.above), ("of at most", limits.most),
                ("less than", limits.below),
            )
            if limit is not None
        ]  # fmt: skip
        return " ".join([noun, " and ".join(parts).replace("and of at most", "and at most")]).strip()

    def _in_range(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if self.kind in (bool, str) or self.option.form is not None:
            return True
        if not -LARGEST <= value <= LARGEST:  # nor is NaN
            return False
        low, above, high, below = self.option.least, self.option.above, self.option.most, self.option.below
        return (
            (low is None or value >= low)
            and (above is None or value > above)
            and (high is None or value <= high)
            and (below is None or value < below)
        )

    def parse(self, text: str) -> Any:
        """A value from the text that people write; the inverse of `written`. ConfigError for anything else."""
        if text == self.option.unset_word:
            return None
        if self.option.form is not None:
            if (value := self.option.form.read(text)) is None:
                raise ConfigError(f"write {self.wanted}")
            return value
        if self.kind is str:
            return text
        try:
            return whole_number(text) if self.kind is int else number(text)
        except ConfigError as error:
            if self.option.unset_word is None:
                raise
            raise ConfigError(f"{error}, or '{self.option.unset_word}'") from None

    def written(self, value: Any) -> str:
        """A value as text that `parse` reads back."""
        if value is None and self.option.unset_word is not None:
            return self.option.unset_word
        return repr(value) if self.kind is float else str(value)


def whole_number(text: str) -> int:
    """`'12'`, `'1_000'`, `'100k'`, `'1.5M'` and `'1e6'` as whole numbers; ConfigError for anything else."""
    found = _COUNT.fullmatch(text.strip())
    if found is None:
        raise ConfigError("write a whole number, as in 12, 100k or 5M")
    sign, digits, exponent, unit = found.groups()
    value = Decimal(sign + digits.replace("_", "")).scaleb(int(exponent or 0) + _POWERS[unit.lower()])
    if value.adjusted() > 18 and value:
        raise ConfigError(f"the largest whole number is {LARGEST}")
    if value != value.to_integral_value():
        raise ConfigError("write a whole number, as in 12, 100k or 5M")
    return int(value)


def number(text: str) -> float:
    """A decimal number; ConfigError for anything else."""
    try:
        return float(text)
    except ValueError:
        raise ConfigError("write a number, as in 0.25 or 1e-3") from None


def _own(configuration: type[Any]) -> dict[str, Declared]:
    hints = get_type_hints(configuration)
    found = {}
    for each in fields(configuration):
        option = each.metadata.get("option")
        if option is not None:
            kind, choices, optional = _kind(hints[each.name])
            found[each.name] = Declared(each.name, kind, option.choices or choices, optional, each.default, option)
    return found


def _declared(configuration: type[Any]) -> dict[str, Declared]:
    found: dict[str, Declared] = {}
    for each in fields(configuration):
        inner = [declared(kind) for kind in each.metadata.get("groups", ())]
        for options in inner or [{each.name: own(configuration)[each.name]}]:
            for name, option in options.items():
                assert found.setdefault(name, option) == option, f"{name} is declared twice, and differently"
    return found


# The declared fields of a configuration by name, in order: its own, and those with its groups' (a group may be held
# twice, and a name has one declaration).
own: Callable[[type], dict[str, Declared]] = cache(_own)
declared: Callable[[type], dict[str, Declared]] = cache(_declared)


def require_known(configuration: type[Any], names: Iterable[str]) -> None:
    """ConfigError for a name that no option has, listing those that there are."""
    known = declared(configuration)
    if unknown := sorted(set(names) - set(known)):
        raise ConfigError(f"unknown option {unknown[0]!r}; known options: {', '.join(sorted(known))}")


def by_flag(configuration: type[Any]) -> dict[str, list[Declared]]:
    """The fields of a configuration by the option that sets them."""
    found: dict[str, list[Declared]] = {}
    for each in declared(configuration).values():
        found.setdefault(each.flag, []).append(each)
    return found


def parse_together(flag: str, together: list[Declared], text: str) -> dict[str, Any]:
    """The fields that an option's text sets; ConfigError for text that is no value of them."""
    parts = text.split(":") if len(together) > 1 else [text]
    if len(parts) == 1:
        parts *= len(together)
    try:
        return {each.name: each.parse(part) for each, part in zip(together, parts, strict=True)}
    except ValueError as error:
        reason = str(error)
        if len(together) > 1:
            example = ":".join(each.written(each.default) for each in together)
            reason = f"write {together[0].metavar}, as in {flag} {example}, or one number"
        raise ConfigError(f"{flag} is {text!r:.80}; {reason}") from None


def made(kind: type[_Group], values: Mapping[str, Any]) -> _Group:
    """A group from flat values, with its own groups. Values that it does not have are left out."""
    return kind(**members(kind, values))


def members(configuration: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a configuration from flat values, its groups made; a value not given is at its default."""
    found: dict[str, Any] = {}
    for each in fields(configuration):
        if "groups" in each.metadata:
            inner = tuple(made(kind, values) for kind in each.metadata["groups"])
            found[each.name] = inner if each.metadata["is_tuple"] else inner[0]
        elif each.name in values:
            found[each.name] = values[each.name]
    return found


def flat(configuration: Any) -> dict[str, Any]:
    """The values of a configuration by name, with those of its groups; the inverse of `members`."""
    found: dict[str, Any] = {}
    for each in fields(configuration):
        value = getattr(configuration, each.name)
        if "groups" not in each.metadata:
            found[each.name] = value
        else:
            for one in value if each.metadata["is_tuple"] else (value,):
                found |= flat(one)
    return found


def _kind(hint: Any) -> tuple[type, tuple[str, ...], bool]:
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    bare, *others = [member for member in members if member is not NoneType]
    optional = NoneType in members
    if others:
        return object, (), optional  # with a form
    return (str, get_args(bare), optional) if get_origin(bare) is Literal else (bare, (), optional)


def _plain(value: Any, kind: type, *, path: bool) -> Any:
    """A value as a plain Python value, also from NumPy's numbers and from paths; None if it is of another kind."""
    kinds: dict[type, tuple[Any, Callable[[Any], Any]]] = {
        int: (Integral, operator.index),
        float: (Real, float),
        str: ((str, os.PathLike) if path else str, os.fspath),
    }
    # NumPy's own booleans have this name, and are not instances of bool.
    is_truth = type(value).__name__ in ("bool", "bool_")
    if kind is bool:
        return bool(value) if is_truth else None
    known, made = kinds[kind]
    if is_truth or not isinstance(value, known):
        return None
    try:
        plain = made(value)
    except OverflowError:
        return None
    return plain if isinstance(plain, kind) else None


def _is_huge(value: Any) -> bool:
    return isinstance(value, int) and abs(value) > 10**40
