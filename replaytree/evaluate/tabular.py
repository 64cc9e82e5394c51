"""Search on a table of published accuracies: no training, the same loop.

A table is a CSV or Parquet file with a column `arch` (layer labels in order), one or more accuracy columns (several are
repeated trainings: one is drawn for each evaluation) and optionally `params` and `flops`.

A prefix that the table has no training of is not measured: None, and never 0. That is so where only whole architectures
have rows. Where a layer stands for "no more layers" (`complete`), a prefix is filled up with it, and is not measured if
the result is no network: it has no row, its accuracy is 0, or it is a cell whose input does not reach its output. Only
where such a path is trained as it is does its row count; without a row, that training fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as FilePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from replaytree.border import LARGEST, whole
from replaytree.config import Budget
from replaytree.errors import DataError
from replaytree.records import Path, PathEvaluation, Space
from replaytree.space import LabelSpace

# NAS-Bench-201 writes a cell as |op~0|+|op~0|op~1|+...: the operations in order, which is what a path is.
_PUNCTUATION = re.compile(r"~\d+|[|+,]")
_EDGE = re.compile(r"([^|+~]+)~(\d+)")


@dataclass(frozen=True)
class Table:
    """Accuracies of architectures: `accuracies[path]` are repeated trainings, fractions in [0, 1].

    `complete` is the action that fills up a prefix; `no_networks` are rows that are none, if they stand for a prefix.
    `own_space` is the space of a table whose layers are more than labels.
    """

    labels: tuple[str, ...]
    accuracies: dict[Path, tuple[float, ...]]
    costs: dict[Path, tuple[int, int]]
    complete: int | None = None
    no_networks: frozenset[Path] = frozenset()
    own_space: Space | None = None

    @cached_property
    def max_layers(self) -> int:
        """Layers of the longest architecture."""
        return max(map(len, self.accuracies))

    def completed(self, path: Path) -> Path:
        """The row of a prefix: the prefix itself, or filled up with the layer given as `complete`."""
        if self.complete is None:
            return path
        return path + (self.complete,) * (self.max_layers - len(path))

    def trainings(self, path: Path, *, whole: bool = False) -> tuple[float, ...] | None:
        """The repeated trainings of a path; None where there are none. DataError for what begins no architecture.

        A row that is no network counts only for a path that is trained as it is, as a `whole`.
        """
        row = self.completed(path)
        found = self.accuracies.get(row)
        if found is not None and (whole or len(path) == self.max_layers or row not in self.no_networks):
            return found
        if found is None and path not in self._prefixes:
            raise DataError(f"the table has no row for {self._named(path)!r}; add it")
        return None

    def evaluation(self, path: Path, draw: Callable[[Path, tuple[float, ...]], float]) -> PathEvaluation:
        """A training of a path: of its prefixes those that are measured, by one of the trainings that `draw` takes.

        It fails where the path has no training itself.
        """
        prefixes = [path[: t + 1] for t in range(len(path))]
        rows = [self.trainings(prefix, whole=prefix == path) for prefix in prefixes]
        drawn = [None if row is None else draw(prefix, row) for prefix, row in zip(prefixes, rows, strict=True)]
        if drawn and drawn[-1] is None:
            return PathEvaluation(drawn, failure="error", failure_text=self._only_begins(path))
        return PathEvaluation(drawn)

    def true_accuracy(self, path: Path) -> float:
        """Mean over the repeated trainings; DataError where the table has none of the path."""
        row = self.trainings(path, whole=True)
        if row is None:
            raise DataError(self._only_begins(path))
        return float(np.mean(row))

    @cached_property
    def best_accuracy(self) -> float:
        """The best mean accuracy of the table."""
        return max(float(np.mean(values)) for values in self.accuracies.values())

    def space(self) -> Space:
        """The space of all chains of the table: a layer is legal after a prefix if some chain has it there."""
        if self.own_space is not None:
            return self.own_space
        if self.complete is not None and len(self.accuracies) == len(self.labels) ** self.max_layers:
            return LabelSpace(self.labels, max_layers=self.max_layers, cost=self._cost)
        prefixes = self._prefixes.union(self.accuracies)
        actions = range(len(self.labels))
        masks = {prefix: tuple((*prefix, action) in prefixes for action in actions) for prefix in prefixes}
        return LabelSpace(self.labels, max_layers=self.max_layers, legal=masks.__getitem__, cost=self._cost)

    @cached_property
    def _prefixes(self) -> frozenset[Path]:
        """What the table's architectures begin with, and are not themselves."""
        return frozenset(path[:t] for path in self.accuracies for t in range(len(path)))

    def _cost(self, prefix: Path) -> tuple[int, int] | None:
        return self.costs.get(self.completed(prefix))

    def _only_begins(self, path: Path) -> str:
        return f"the table has no training of {self._named(path)!r}, only of what begins with it"

    def _named(self, path: Path) -> str:
        return " ".join(self.labels[action] for action in path)


class TabularEvaluator:
    """Looks up accuracies. Of several trainings it draws one, by the seed."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """One evaluation a path, of all prefixes that the table has trainings of."""
        generator = np.random.default_rng(seed)
        return [self._table.evaluation(path, lambda _, row: row[int(generator.integers(len(row)))]) for path in paths]


def read_table(
    file: FilePath | str,
    *,
    accuracy: Sequence[str] | None = None,
    percent: bool = False,
    complete: str | None = None,
) -> Table:
    """A table from a CSV (perhaps compressed) or Parquet file.

    `accuracy` names the accuracy columns (default: all that begin with 'accuracy'); `percent` divides them by 100;
    `complete` is the label that stands for "no more layers" where the file has full-length architectures only.
    Raises DataError, naming the row (1 is the first below the header).
    """
    frame = _read_frame(FilePath(file))
    columns = list(accuracy) if accuracy else [name for name in frame.columns if str(name).startswith("accuracy")]
    lacking = [name for name in ["arch", *columns] if name not in frame.columns]
    if lacking or not columns:
        raise DataError(
            f"{file} has the columns {', '.join(map(str, frame.columns))}; it lacks "
            f"{', '.join(lacking) or 'one whose name begins with accuracy'} (--accuracy names the accuracy columns)"
        )
    if frame.empty:
        raise DataError(f"{file} has no rows; a table has one an architecture")
    names = [[] if pd.isna(arch) else _PUNCTUATION.sub(" ", str(arch)).split() for arch in frame["arch"]]
    labels = tuple(dict.fromkeys(label for row in names for label in row))
    index = {label: action for action, label in enumerate(labels)}
    if complete is not None and complete not in index:
        raise DataError(f"no architecture of {file} has the layer {complete!r}; its layers are {', '.join(labels)}")
    values = _numbers(frame, columns) / (100.0 if percent else 1.0)
    accuracies: dict[Path, tuple[float, ...]] = {}
    costs: dict[Path, tuple[int, int]] = {}
    has_cost = {"params", "flops"} <= set(frame.columns)
    cost_rows = _numbers(frame, ["params", "flops"] if has_cost else [])
    for number, (row, found) in enumerate(zip(names, values, strict=True), start=1):
        path = tuple(index[label] for label in row)
        _check_row(number, row, found, percent=percent)
        if path in accuracies:
            raise DataError(f"row {number} of {file} has {' '.join(row)!r} a second time; keep one row an architecture")
        accuracies[path] = tuple(found[~np.isnan(found)].tolist())
        if has_cost:
            costs[path] = _cost(number, row, cost_rows[number - 1])
    if complete is None:
        _check_prefixes(list(accuracies), labels, str(file))
        return Table(labels, accuracies, costs)
    no_networks = frozenset(
        path
        for (path, row), arch in zip(accuracies.items(), frame["arch"], strict=True)
        if not any(row) or _leads_nowhere(str(arch), complete)
    )
    return Table(labels, accuracies, costs, index[complete], no_networks)


def _read_frame(file: FilePath) -> pd.DataFrame:
    if not file.is_file():
        raise DataError(f"there is no table {file}; give a CSV or Parquet file")
    try:
        return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    except Exception as error:
        # A damaged file raises whatever the decoder of its compression raises.
        raise DataError(f"{file} cannot be read as a table: {error}") from error


def _numbers(frame: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """The columns as numbers (rows, columns), nan where a cell is empty; DataError for a cell that is no number."""
    cells = frame[list(columns)]
    numbers = cells.apply(pd.to_numeric, errors="coerce")
    wrong = numbers.isna() & cells.notna()
    if wrong.to_numpy().any():
        row, column = np.argwhere(wrong.to_numpy())[0]
        raise DataError(
            f"row {row + 1} ({frame['arch'].iloc[row]}) has {columns[column]} {cells.iloc[row, column]!r}; "
            f"it must be a number"
        )
    return np.asarray(numbers.to_numpy(dtype=float, na_value=np.nan), dtype=np.float64)


def _check_row(number: int, row: list[str], found: np.ndarray, *, percent: bool) -> None:
    if not row:
        raise DataError(f"row {number} has no architecture; fill in arch")
    known = found[~np.isnan(found)]
    if not len(known):
        raise DataError(f"row {number} ({' '.join(row)}) has no accuracy; fill it in, or leave the row out")
    if known.min() < 0.0 or known.max() > 1.0:
        value = known.max() * (100 if percent else 1)
        hint = "; in percent? then say so (--percent)" if 1.0 < known.max() <= 100.0 and not percent else ""
        raise DataError(f"row {number} ({' '.join(row)}) has accuracy {value:g}; it must be in [0, 1]{hint}")


def _cost(number: int, row: list[str], found: np.ndarray) -> tuple[int, int]:
    if np.isnan(found).any():
        raise DataError(f"row {number} ({' '.join(row)}) lacks params or flops; fill them in, or drop both")
    params, flops = (
        whole(f"{what} of row {number} ({' '.join(row)})", value, least=0, most=LARGEST - 1, error=DataError)
        for what, value in zip(("params", "flops"), found, strict=True)
    )
    return params, flops


def _check_prefixes(paths: Sequence[Path], labels: Sequence[str], file: str) -> None:
    """DataError unless at every depth the prefixes of longer architectures have a row, or none of them has."""
    known = set(paths)
    first: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for number, path in enumerate(paths):
        for t in range(1, len(path)):
            first[path[:t] in known].setdefault(t, number)
    lacking, having = first
    for t in sorted(lacking.keys() & having.keys()):
        less, more = (" ".join(labels[action] for action in paths[of[t]]) for of in (lacking, having))
        prefix = " ".join(less.split()[:t])
        raise DataError(
            f"row {lacking[t] + 1} of {file} ({less}) lacks one for its prefix {prefix!r}, which row {having[t] + 1} "
            f"({more}) has for its own; add that row, leave out all rows of prefixes as long, or say which layer "
            f"stands for no more layers (--complete)"
        )


def _leads_nowhere(arch: str, absent: str) -> bool:
    """Whether this is a cell in the notation of NAS-Bench-201 whose last node nothing from node 0 reaches.

    A node's edges stand between two '+', each as operation~source; the operation `absent` is no edge.
    """
    reached = {0}
    nodes = [_EDGE.findall(text) for text in arch.split("+")]
    for node, edges in enumerate(nodes, start=1):
        if any(operation.strip() != absent and int(source) in reached for operation, source in edges):
            reached.add(node)
    return all(nodes) and len(nodes) not in reached
