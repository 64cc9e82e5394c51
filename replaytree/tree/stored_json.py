"""What the JSON columns of a search may hold: its configuration, its space, its data and its versions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from types import NoneType
from typing import Any, get_args

from replaytree.config import SearchConfig
from replaytree.config.objective import RewardKind
from replaytree.config.option import declared
from replaytree.errors import InputError
from replaytree.records import Mixed
from replaytree.space.description import outline
from replaytree.tree.strict_json import strict_loads

Described = dict[str, Any]
"""A space as `describe()` says it (space/description.py)."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LISTS: dict[str, Callable[[object], bool]] = {
    "train_counts": lambda count: type(count) is int and count >= 0,
    "image_shape": lambda side: type(side) is int and side >= 1,
    "classes": lambda name: isinstance(name, str),
}


def read_config(text: str) -> SearchConfig:
    """The configuration that a search stores; ValueError, saying what is wrong, for anything else."""
    values = _object(text)
    if "seed" not in values:
        raise ValueError("it has no seed")
    for name, types in _field_types().items():
        if name in values and not _is_of(values[name], types):
            raise ValueError(f"{name} is {values[name]!r}")
    try:
        return SearchConfig.from_json(text)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise ValueError(str(error)) from error


def read_reward(text: str) -> RewardKind:
    """What the search of a stored configuration is rewarded for: accuracy, where it does not say."""
    try:
        found = _object(text).get("reward")
    except ValueError:
        return "accuracy"
    return next((each for each in get_args(RewardKind) if each == found), "accuracy")


def is_config(text: str) -> bool:
    """Whether it is a configuration that a search could go on with."""
    return _reads(read_config, text)


def read_space(text: str) -> Described:
    """The description of a space; ValueError for anything else, or for that of a newer replaytree."""
    values = _object(text)
    outline(values)
    return values


def is_space(text: str) -> bool:
    """Whether it describes a space."""
    return _reads(read_space, text)


def read_data(text: str) -> dict[str, Any]:
    """The fingerprint of a data set; ValueError for anything else."""
    values = _object(text)
    for name in ("train_count", "val_count"):
        if type(values.get(name)) is not int or values[name] < 0:
            raise ValueError(f"{name} is {values.get(name)!r}")
    if not isinstance(values.get("sha256"), str) or not _SHA256.fullmatch(values["sha256"]):
        raise ValueError(f"sha256 is {values.get('sha256')!r}")
    if values.get("task") == "text":
        if type(values.get("word_count")) is not int or values["word_count"] < 1:
            raise ValueError(f"word_count is {values.get('word_count')!r}")
        return values
    for name, fits in _LISTS.items():
        found = values.get(name)
        if not isinstance(found, list) or not all(map(fits, found)):
            raise ValueError(f"{name} is {found!r}")
    if len(values["image_shape"]) != 3 or len(values["train_counts"]) != len(values["classes"]):
        raise ValueError(f"image_shape is {values['image_shape']!r}, and {len(values['classes'])} classes are named")
    return values


def is_data(text: str) -> bool:
    """Whether it is the fingerprint of a data set."""
    return _reads(read_data, text)


def read_versions(text: str) -> dict[str, str]:
    """What a search ran on, by name; ValueError for anything else."""
    values = _object(text)
    if not all(isinstance(value, str) for value in values.values()):
        raise ValueError("a version is no text")
    return values


def is_versions(text: str) -> bool:
    """Whether it says what a search ran on."""
    return _reads(read_versions, text)


def is_mixed(text: str) -> bool:
    """Whether it says what the numbers of a differentiable strategy were like (records.Mixed)."""
    return _reads(lambda given: Mixed.from_json(json.dumps(_object(given))), text)


def is_deaths(text: str) -> bool:
    """Whether it says during which trainings processes died (deaths.py)."""
    try:
        values = _object(text)
    except ValueError:
        return False
    counts, under_way = values.get("counts"), values.get("under_way")
    counted = isinstance(counts, dict) and all(type(count) is int and count >= 1 for count in counts.values())
    several = isinstance(under_way, list) and all(isinstance(key, str) for key in under_way)
    return counted and (several or isinstance(under_way, str | None))


def read_training(text: str) -> dict[str, Any]:
    """How a model was trained and measured, by name; ValueError for anything else."""
    return _object(text)


def is_training(text: str) -> bool:
    """Whether it says how a model was trained."""
    return _reads(read_training, text)


def _object(text: str) -> dict[str, Any]:
    values = strict_loads(text)
    if not isinstance(values, dict):
        raise ValueError("it must be a JSON object")
    return values


def _reads(read: Any, text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


@lru_cache
def _field_types() -> dict[str, tuple[type, ...]]:
    """The Python types of every field of a configuration."""
    return {
        name: (each.kind, NoneType) if each.optional else (each.kind,) for name, each in declared(SearchConfig).items()
    }


def _is_of(value: object, types: tuple[type, ...]) -> bool:
    # JSON has one kind of number; True is a number for Python only.
    if isinstance(value, bool):
        return bool in types
    return isinstance(value, types) or (float in types and isinstance(value, int))
