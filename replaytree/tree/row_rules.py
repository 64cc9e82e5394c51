"""The values that each column may hold: the one definition, used by `check` for rows and by `import` for lines.

SQLite stores any type in any column, so a column's type is also a rule. Rules that depend on other rows, or on the
layers of the search, are in check.py and check_values.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Float, Integer, LargeBinary
from sqlalchemy.types import TypeDecorator, TypeEngine

from replaytree.metric import TASKS
from replaytree.records import FAILURE_KINDS, Part, Source
from replaytree.tree.stored_json import is_config, is_data, is_deaths, is_mixed, is_space, is_training, is_versions

Kind = Literal["integer", "real", "text", "bytes", "time", "boolean"]

LARGEST = 2**63 - 1
LARGEST_INTEGER = 2**31 - 1
_LARGEST_REAL = 1.7976931348623157e308
_KINDS: dict[Kind, str] = {
    "integer": "a whole number",
    "real": "a finite number",
    "text": "a text",
    "bytes": "bytes",
    "time": "a time such as 2026-01-31 12:00:00.000000",
    "boolean": "true or false",
}
# As SQLAlchemy writes times in SQLite; an exported file has ISO 8601 with a zone (transfer_rows.py).
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?")
_NO_SHAPE = "NOT {0} GLOB '[1-9]*x[1-9]*x[1-9]*' OR {0} GLOB '*[^0-9x]*' OR {0} GLOB '*x*x*x*'"
_NO_PATH = "{0} GLOB '*[^0-9.]*' OR '.' || {0} || '.' GLOB '*..*' OR '.' || {0} || '.' GLOB '*.0[0-9]*'"
_SHAPE = re.compile(r"[1-9]\d{0,8}(x[1-9]\d{0,8}){2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"(0|[1-9]\d{0,18})(\.(0|[1-9]\d{0,18}))*")


@dataclass(frozen=True, slots=True)
class Rule:
    """The values that one column may hold. `fits` is checked last; with `looked_at` Python checks every value, not SQL.

    `doubtful` is a condition in SQLite's SQL on {0} that is true for every plain ASCII text that does not fit.
    """

    kind: Kind
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()
    fits: Callable[[str], bool] | None = None
    want: str = ""
    looked_at: bool = False
    doubtful: str = ""

    @property
    def text(self) -> str:
        """The expected values, in words."""
        what = self.want or (f"one of {', '.join(self.words)}" if self.words else _KINDS[self.kind])
        if not self.want and self.low is not None:
            what += f" of at least {self.low:g}"
            what += f" and at most {self.high:g}" if self.high in (1, 1.0) else ""
        return what + (", or nothing" if self.nullable else "")

    def allows(self, value: object) -> bool:
        """Whether a value is valid in the column, as Python or a driver returns it."""
        if value is None:
            return self.nullable
        if not _IS_KIND[self.kind](value):
            return False
        if isinstance(value, int | float) and not isinstance(value, bool):
            return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        if isinstance(value, str):
            return (not self.words or value in self.words) and (self.fits is None or self.fits(value))
        return True

    def suspect(self, column: str, *, sqlite: bool) -> str:
        """An SQL condition that is true for every invalid value, and perhaps for some valid ones."""
        if self.looked_at:
            return "TRUE"
        if self.kind == "time" and sqlite:
            # DATE turns the 31st of February into March; for an impossible hour it returns NULL.
            day, clock = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]", "[0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
            fits = f"{column} GLOB '{day} {clock}.{'[0-9]' * 6}' AND DATE({column}) = SUBSTR({column}, 1, 10)"
            return f"({fits} AND TYPEOF({column}) = 'text') IS NOT TRUE"
        conditions = [] if self.nullable else [f"{column} IS NULL"]
        if sqlite:
            conditions.append(f"TYPEOF({column}) NOT IN ('{_SQLITE[self.kind]}', 'null')")
        if self.kind == "boolean" and sqlite:
            conditions.append(f"{column} NOT IN (0, 1)")
        if self.low is not None:
            conditions.append(f"{column} < {self.low}")
        if self.high is not None:
            conditions.append(f"{column} > {self.high}")
        if self.words:
            listed = ", ".join(f"'{word}'" for word in self.words)
            conditions.append(f"{column} NOT IN ({listed})")
        elif self.fits is not None:
            # Python checks text beyond plain ASCII. A zero ends a text for GLOB, but not for the blob.
            conditions.append(
                f"{column} GLOB '*[^ -~]*' OR LENGTH(CAST({column} AS BLOB)) <> LENGTH({column}) OR {column} = ''"
                if sqlite
                else "TRUE"
                if self.doubtful
                else f"{column} ~ '[^ -~]' OR {column} = ''"
            )
            if sqlite and self.doubtful:
                conditions.append(self.doubtful.format(column))
        return " OR ".join(conditions) or "FALSE"


def is_text(value: str) -> bool:
    """Whether every database can store the text: no zero characters, no surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def is_word(value: str) -> bool:
    """A label, or labels separated by single spaces, with visible characters only."""
    return value != "" and value.isprintable() and value == " ".join(value.split())


def is_inside(value: str) -> bool:
    """Whether it names a file of a folder in a folder, and not one elsewhere."""
    parts = value.split("/")
    return is_text(value) and len(parts) == 2 and not {"", ".", ".."} & set(parts)


def _is_name(value: str) -> bool:
    return is_text(value) and value.strip() != ""


def _is_whole(value: object) -> bool:
    return type(value) is int and -LARGEST - 1 <= value <= LARGEST


def _is_time(value: object) -> bool:
    if isinstance(value, datetime):
        return True
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_IS_KIND: dict[Kind, Callable[[object], bool]] = {
    "integer": _is_whole,
    "real": lambda value: type(value) in (int, float) and math.isfinite(value),  # type: ignore[arg-type]
    "text": lambda value: isinstance(value, str) and is_text(value),
    "bytes": lambda value: isinstance(value, bytes | memoryview),
    "time": _is_time,
    "boolean": lambda value: value in (0, 1) and isinstance(value, int),
}
_SQLITE: dict[Kind, str] = {
    "integer": "integer", "real": "real", "text": "text", "bytes": "blob", "time": "text", "boolean": "integer",
}  # fmt: skip

_ID = Rule("integer", low=1, high=LARGEST_INTEGER)
_SOME = Rule("integer", low=1, high=LARGEST_INTEGER)
_COST = Rule("integer", nullable=True, low=0, high=LARGEST)
_NUMBER = Rule("real", low=-_LARGEST_REAL, high=_LARGEST_REAL, want=_KINDS["real"])
_POSITIVE = Rule("real", low=0.0, high=_LARGEST_REAL)
_SECONDS = replace(_POSITIVE, nullable=True)
_FRACTION = Rule("real", low=0.0, high=1.0)
_SEED = Rule("integer", low=0, high=LARGEST)
_TEXT = Rule("text", fits=is_text, want="a text without zeros or halves of characters")
_LABELS = Rule("text", fits=is_word, want="labels of visible characters")
_PATH_RULE = Rule(
    "text", fits=lambda value: bool(_PATH.fullmatch(value)), want="actions joined by dots", doubtful=_NO_PATH
)
_FAILURE = Rule("text", nullable=True, words=FAILURE_KINDS)


def _json(fits: Callable[[str], bool], want: str, *, nullable: bool = False) -> Rule:
    return Rule("text", nullable=nullable, fits=fits, want=want, looked_at=True)


_RULES: dict[str, dict[str, Rule]] = {
    "searches": {
        "name": Rule("text", fits=_is_name, want="a name", looked_at=True),
        "created_at": Rule("time"),
        "seed": _SEED,
        "config_json": _json(is_config, "a configuration"),
        "task": Rule("text", words=TASKS),
        "space_json": _json(is_space, "the description of a space that this version knows"),
        "data_json": _json(is_data, "the fingerprint of the images", nullable=True),
        "versions_json": _json(is_versions, "names and versions"),
    },
    "nodes": {
        "depth": _SOME,
        "action": Rule("integer", low=0, high=LARGEST),
        "label": _LABELS,
        # It follows from the action and the space, so check_values.py checks it.
        "decisions": Rule("text"),
        # These follow from the parent and the node's own action and label, so check_structure.py checks them.
        "path": Rule("text"),
        "labels": Rule("text"),
        "output_shape": Rule(
            "text",
            nullable=True,
            fits=lambda value: bool(_SHAPE.fullmatch(value)),
            want="a shape such as 32x8x8",
            doubtful=_NO_SHAPE,
        ),
        "params": _COST,
        "flops": _COST,
        "ram_bytes": _COST,
        "flash_bytes": _COST,
    },
    # Rounding may leave a sum of squares slightly below 0.
    "budgets": {"epochs": _SOME, "relative_squares": _NUMBER},
    "node_budgets": {
        "epochs": _SOME,
        "depth": _SOME,
        "params_rank": replace(_COST, nullable=False),
        "squared_deviations": _NUMBER,
    },
    "episodes": {
        "source": Rule("text", words=get_args(Source)),
        "depth_bound": _SOME,
        "epochs": _SOME,
        "failure": _FAILURE,
        "failure_text": _TEXT,
        "train_seconds": _SECONDS,
        "policy_loss": replace(_NUMBER, nullable=True),
        "entropy": replace(_NUMBER, nullable=True, low=-1e-3, want="a number of at least 0"),
        "created_at": Rule("time"),
        "mixed_json": _json(is_mixed, "what numbers were like", nullable=True),
    },
    "evaluations": {"epochs": _SOME, "accuracy": _FRACTION},
    "rescores": {"epochs": _SOME, "accuracy": _FRACTION, "created_at": Rule("time")},
    "strategy_states": {"updated_at": Rule("time")},
    "evaluator_states": {
        "folder": replace(_TEXT, nullable=True, fits=_is_name, want="a folder"),
        "file": replace(_TEXT, fits=is_inside, want="a file in that folder"),
        "size_bytes": Rule("integer", low=1, high=LARGEST),
        "sha256": Rule("text", fits=lambda value: bool(_SHA256.fullmatch(value)), want="a checksum"),
        "updated_at": Rule("time"),
    },
    "leases": {
        "acquired_at": Rule("time"),
        "heartbeat_at": Rule("time"),
        "deaths": _json(is_deaths, "the trainings during which processes died", nullable=True),
    },
    "priors": {"path": _PATH_RULE, "epochs": _SOME, "evaluation_count": _SOME},
    "checkpoints": {"epochs": _SOME, "accuracy": _FRACTION, "path_count": _SOME},
    "goals": {
        "episodes": replace(_COST, low=1),
        "trainings": replace(_COST, low=1),
        "seconds": _SECONDS,
        "used_seconds": _POSITIVE,
    },
    "models": {
        "labels": _LABELS,
        "seed": _SEED,
        "epochs": _SOME,
        "test_accuracy": replace(_FRACTION, nullable=True),
        "test_image_count": replace(_SOME, nullable=True),
        "weights_path": replace(_TEXT, fits=_is_name, want="a file"),
        "created_at": Rule("time"),
        "baseline": replace(_LABELS, nullable=True),
        "params": _COST,
        "flops": _COST,
        "ram_bytes": _COST,
        "validation_accuracy": replace(_FRACTION, nullable=True),
        "validation_image_count": replace(_SOME, nullable=True),
        "training_json": _json(is_training, "how a model was trained", nullable=True),
    },
    "class_results": {"part": Rule("text", words=get_args(Part))},
}

CACHES: dict[str, tuple[str, ...]] = {
    "nodes": ("visit_count", "evaluation_count", "total_accuracy"),
    "node_budgets": (
        "evaluation_count", "total_accuracy", "squared_deviations", "depth", "average_accuracy", "params_rank",
    ),
    "budgets": ("repeat_count", "relative_squares"),
    "noise_factors": ("node_count", "factor"),
}  # fmt: skip
"""Columns that `repair` rebuilds from the others."""


def rule_of(column: Column[Any]) -> Rule:
    """The rule of a column; by default, the rule of its type, with numbers that are not negative."""
    named = _RULES.get(column.table.name, {}).get(column.name)
    if named is not None:
        return named
    rule = rule_of_type(column)
    if rule.kind == "integer" and (column.primary_key or column.foreign_keys):
        return replace(_ID, nullable=rule.nullable)
    return replace(rule, low=0, want="") if rule.kind in ("integer", "real") else rule


def rule_of_type(column: Column[Any]) -> Rule:
    """The rule that follows from a column's type alone, in any revision."""
    kind = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    rule = next((rule for types, rule in _BY_TYPE if isinstance(kind, types)), _TEXT)
    return replace(rule, nullable=bool(column.nullable))


_BY_TYPE: tuple[tuple[type[TypeEngine[Any]], Rule], ...] = (
    (BigInteger, Rule("integer")),
    (Integer, Rule("integer", low=-LARGEST_INTEGER - 1, high=LARGEST_INTEGER, want=_KINDS["integer"])),
    (Boolean, Rule("boolean")),
    (Float, _NUMBER),
    (DateTime, Rule("time")),
    (LargeBinary, Rule("bytes")),
)
