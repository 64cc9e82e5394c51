"""How long layers take, measured one by one: the sum over the layers of a network tells its latency. No torch."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path as FilePath
from typing import cast

from replaytree.errors import ConfigError, SpaceError
from replaytree.records import Path, Shape, Space
from replaytree.space.coding import ended, legal_actions
from replaytree.space.graph import Graph
from replaytree.space.graph_space import GraphSpace, require_graphs
from replaytree.space.layers import KINDS, OWN_KIND, Layer, format_shape, layer_to_json

COLUMNS = ("layer", "inputs", "milliseconds", "description")
NETWORK = "network"
"""The row of what any network takes beside its layers: its call, and the normalisation of the image."""

MOST_LAYERS = 20_000
"""Distinct layers, each at its shapes, beyond which a table would take hours to measure."""

Key = tuple[str, str]
"""A layer's JSON, and the shapes that it reads."""


MAX_CACHED = 65536
_MEASURED_BY = "replaytree latency-table, given the search's --max-layers, --width (0.25 on a CPU), --input, --classes"


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds of layers at their shapes, and of a network beside them."""

    layers: Mapping[Key, float]
    network: float = 0.0
    origin: str = "the latency table"

    def latency_ms(self, graph: Graph) -> float:
        """The sum over the layers, the merge and the head; SpaceError, naming the layer, where one is missing."""
        return self.network + math.fsum(self._of(layer, shapes) for layer, shapes in graph.parts())

    def require(self, space: Space, *, measured_by: str = _MEASURED_BY) -> None:
        """SpaceError, naming the first, where layers of a space are missing; `measured_by` is what measures them."""
        parts = distinct_layers(space)
        missing = [(layer, shapes) for layer, shapes in parts if key_of(layer, shapes) not in self.layers]
        if missing:
            others = f", and {len(missing) - 1:,} more of {len(parts):,}" if len(missing) > 1 else ""
            raise SpaceError(f"{self._lacks(*missing[0])}{others}; measure them with {measured_by}")

    def _of(self, layer: Layer, shapes: tuple[Shape, ...]) -> float:
        found = self.layers.get(key_of(layer, shapes))
        if found is None:
            raise SpaceError(f"{self._lacks(layer, shapes)}; measure it with {_MEASURED_BY}")
        return found

    def _lacks(self, layer: Layer, shapes: tuple[Shape, ...]) -> str:
        return f"{self.origin} has no layer {layer.label} of this width at {' and '.join(map(format_shape, shapes))}"


def key_of(layer: Layer, shapes: tuple[Shape, ...]) -> Key:
    """What a layer at its shapes is called in a table."""
    # A search within a latency asks for thousands of networks of the same few layers. Those of a user's own need not be
    # hashable.
    own = KINDS.get(type(layer).__name__) is type(layer)
    return _cached_key(cast(Hashable, layer), shapes) if own else _key_of(layer, shapes)


def _key_of(layer: Layer, shapes: tuple[Shape, ...]) -> Key:
    return _canonical(json.dumps(layer_to_json(layer))), " ".join(map(format_shape, shapes))


def _canonical(text: str) -> str:
    """JSON in one way of writing: a width of 1 is one of 1.0."""

    def number(written: str) -> float:
        value = float(written)
        return int(value) if value.is_integer() else value

    return json.dumps(json.loads(text, parse_float=number), sort_keys=True)


_cached_key = lru_cache(MAX_CACHED)(_key_of)


def distinct_layers(space: Space) -> list[tuple[Layer, tuple[Shape, ...]]]:
    """Every layer of a space at every map that it may read, with the heads; each once, in the order of their depth.

    SpaceError where networks are no chains, where there are too many layers, or where some are one's own code.
    """
    graphs = require_graphs(space)
    found: dict[Key, tuple[Layer, tuple[Shape, ...]]] = {}
    for path in _prefixes(graphs):
        graph = graphs.network(path)
        if not graph.is_chain:
            raise SpaceError(
                "a latency table is for chains; in this space a layer may read any earlier ones, so that its layers "
                "at all shapes are too many: limit FLOPs instead (--max-flops)"
            )
        for part in graph.parts(own=len(path)):
            if layer_to_json(part[0])["type"] == OWN_KIND:
                raise SpaceError(f"layer {part[0].label} is one of your own, which no latency table can name")
            found.setdefault(key_of(*part), part)
        if len(found) > MOST_LAYERS:
            raise SpaceError(
                f"the space has more than {MOST_LAYERS:,} layers at distinct shapes; make it smaller (--max-layers), "
                "or limit FLOPs instead (--max-flops)"
            )
    return list(found.values())


def _prefixes(space: GraphSpace) -> Iterator[Path]:
    """Prefixes that together have every layer at every map: after equal maps the same layers may follow."""
    frontier: list[Path] = [()]
    seen: set[tuple[object, Shape]] = set()
    while frontier:
        following: list[Path] = []
        for prefix in frontier:
            for action in legal_actions(space, prefix):
                path = (*prefix, action)
                yield path
                if ended(space, path):
                    continue
                state = space.decisions(len(path) + 1), space.network(path).end_shape
                if state not in seen:
                    seen.add(state)
                    following.append(path)
        frontier = following


def read_table(file: str | FilePath) -> LatencyTable:
    """A table from a CSV; ConfigError for a file that is none."""
    layers: dict[Key, float] = {}
    network = 0.0
    try:
        with FilePath(file).open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise ConfigError(
                    f"{file} has no column {missing[0]}; a latency table has the columns {', '.join(COLUMNS)}, as "
                    "`replaytree latency-table` writes them"
                )
            for row in reader:
                where = f"{file}, line {reader.line_num}"
                spent = _milliseconds(row["milliseconds"], where)
                if row["layer"] == NETWORK:
                    network = spent
                    continue
                key = _key(row["description"], row["inputs"], where)
                if key in layers:
                    raise ConfigError(f"{where}: layer {row['layer']} at {row['inputs']} stands there twice")
                layers[key] = spent
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(file, error) from error
    if not layers:
        raise ConfigError(f"{file} has no layers; `replaytree latency-table` measures them")
    return LatencyTable(layers, network, str(file))


def digest_of(file: str | FilePath) -> str:
    """The SHA-256 of a table's file; ConfigError where it cannot be read."""
    try:
        return hashlib.sha256(FilePath(file).read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: str | FilePath, error: Exception) -> ConfigError:
    if isinstance(error, FileNotFoundError):
        return ConfigError(
            f"there is no latency table {file}; check --latency-table; a search that began with it needs it back"
        )
    reason = getattr(error, "strerror", None) or error
    return ConfigError(f"the latency table {file} cannot be read ({reason}); check --latency-table")


def write_table(file: FilePath, table: LatencyTable, parts: list[tuple[Layer, tuple[Shape, ...]]]) -> None:
    """A table of some layers as a CSV, which read_table reads back."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerow([NETWORK, "", f"{table.network:.6f}", ""])
        for layer, shapes in parts:
            description, inputs = key_of(layer, shapes)
            writer.writerow([layer.label, inputs, f"{table.layers[description, inputs]:.6f}", description])


def _milliseconds(text: str | None, where: str) -> float:
    try:
        spent = float(text or "")
    except ValueError:
        spent = math.nan
    if not 0.0 <= spent < math.inf:
        raise ConfigError(f"{where}: milliseconds are {text!r:.80}; they must be a number of at least 0")
    return spent


def _key(description: str | None, inputs: str | None, where: str) -> Key:
    try:
        return _canonical(description or ""), " ".join((inputs or "").split())
    except ValueError as error:
        raise ConfigError(f"{where}: {description!r:.80} does not describe a layer ({error})") from error
