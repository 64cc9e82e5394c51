"""Reading architectures whose accuracies are known from elsewhere: tables, and studies of Optuna. No torch."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from sqlalchemy import create_engine, inspect, make_url

from replaytree.errors import ConfigError, SpaceError
from replaytree.metric import Metric
from replaytree.records import Decision, Path, Space
from replaytree.space.coding import encode
from replaytree.space.costs import COSTS, costs_of
from replaytree.space.notation import check_path, parse_path

# The names of columns, ours first: a table of `replaytree best --format csv` is read, too.
LAYERS = ("layers", "labels", "path", "architecture")
ACCURACY = ("accuracy", "average_accuracy")

# Of a study; more are a number that is no layer's.
_MOST_LAYERS = 1000


@dataclass(frozen=True, slots=True)
class Table:
    """What a file says: architectures of a space, the name that it gives them, and what was left out of it."""

    name: str
    space: Space
    known: tuple[Known, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """One architecture that was trained elsewhere for some epochs; `accuracy` is stored as the metric has it."""

    path: Path
    accuracy: float
    epochs: int = 1


def read_csv(file: FilePath, make: Callable[[int], Space], *, metric: Metric, published: Mapping[str, str]) -> Table:
    """The rows of a table of layers and accuracies, with epochs where it has such a column.

    `make` gives the space of so many layers; `published` are the paths of architectures that a name stands for.
    ConfigError, naming the line, for a row that is no architecture of the space, or no accuracy, or of which the table
    has other costs than the space, which is then not the one that the accuracies are of.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            layers = _column(file, columns, LAYERS)
            accuracy = _column(file, columns, tuple(dict.fromkeys((metric.name, *ACCURACY))))
            rows = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not a text in UTF-8; write it as CSV in UTF-8") from error
    except csv.Error as error:
        raise ConfigError(f"{file} is not a CSV file ({error}); write columns {LAYERS[0]},{ACCURACY[0]}") from error
    if not rows:
        raise ConfigError(f"{file} has no rows below its header; write one architecture a line")
    texts = [published.get(text, text) for text in ((row[layers] or "").strip() for _, row in rows)]
    space = make(max(map(_length, texts)))
    found = []
    for (line, row), text in zip(rows, texts, strict=True):
        where = f"{file}, line {line}"
        # Of text the column of the metric is a perplexity, and the others are what is stored.
        accuracy_ = _fraction(where, row[accuracy], metric, is_number=accuracy == metric.name)
        epochs = (row.get("epochs") or "").strip()
        path = _parsed(where, text, space)
        _require_costs(
            where, text, row, costs_of(space, path, [cost for cost in COSTS if (row.get(cost) or "").strip()])
        )
        found.append(Known(path, accuracy_, _epochs(where, epochs) if epochs else 1))
    return Table(file.stem, space, tuple(found))


def read_optuna(storage: str, study: str | None, make: Callable[[int], Space], *, metric: Metric) -> Table:
    """The finished trials of an Optuna study; parameters that say nothing of the architecture are left out.

    A trial says its layers in the user attribute `layers`, as text, or in parameters named after the decisions of the
    space and the layer: layer0, layer1, ... with an option's name or number. Its accuracy is the user attribute
    `accuracy`, or the value of a study that is maximised. ConfigError for a trial that says neither.
    """
    loaded = _study(storage, study)
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    finished = [trial for trial in loaded.trials if trial.state == TrialState.COMPLETE]
    if not finished:
        raise ConfigError(f"study {loaded.study_name!r} has no finished trial; run it first")
    is_accuracy = loaded.directions == [StudyDirection.MAXIMIZE]
    space = make(max(map(_depth, finished)))
    found: list[Known] = []
    others: set[str] = set()
    for trial in finished:
        where = f"study {loaded.study_name!r}, trial {trial.number}"
        text = trial.user_attrs.get("layers")
        if text is None:
            path, used = _path_of(where, trial.params, space)
            others |= trial.params.keys() - used
        else:
            path = _parsed(where, str(text), space)
        value = trial.user_attrs.get("accuracy")
        if value is None and not is_accuracy:
            raise ConfigError(
                f"{where} has no accuracy, and its study does not maximise one; set the user attribute 'accuracy' of "
                f"every trial"
            )
        accuracy = _fraction(where, trial.value if value is None else value, metric, is_number=False)
        found.append(Known(path, accuracy, _epochs(where, trial.user_attrs.get("epochs", 1))))
    return Table(loaded.study_name, space, tuple(found), tuple(sorted(others)))


def _length(text: str) -> int:
    """How many layers a written path may have."""
    return max(1, len(re.split(r"[\s,.]+", text.strip())))


def _depth(trial: Any) -> int:
    """How many layers a trial may have: those of its text, or one more than the highest number of a parameter."""
    if (text := trial.user_attrs.get("layers")) is not None:
        return _length(str(text))
    numbers: list[int] = [int(found[0]) for name in trial.params if (found := re.search(r"[0-9]{1,4}$", name))]
    return min(_MOST_LAYERS, max(numbers, default=0) + 1)


def _column(file: FilePath, columns: Sequence[str], names: Sequence[str]) -> str:
    found = next((name for name in names if name in columns), None)
    if found is None:
        has = ", ".join(columns) or "nothing"
        raise ConfigError(f"{file} has no column {names[0]!r} in its first line ({has}); name it {' or '.join(names)}")
    return found


def _parsed(where: str, text: str, space: Space) -> Path:
    """The path of a text; ConfigError, saying where, for one that the space has not."""
    try:
        return parse_path(text, space)
    except SpaceError as error:
        raise ConfigError(f"{where}: {error}") from error


def _require_costs(where: str, text: str, row: Mapping[str, str], costs: Mapping[str, int | None]) -> None:
    """ConfigError where a row has another cost than its network has; those that it lacks are not compared."""
    for name, cost in costs.items():
        if cost is not None and not _is_number(row[name], cost):
            raise ConfigError(
                f"{where}: {name} of {text!r:.60} is {row[name]!r:.40}, and here it is {cost}; give the --width, "
                f"--input, --classes and --max-layers of the search that this is of, and what else its space has"
            )


def _is_number(text: str, number: int) -> bool:
    try:
        return float(text) == number
    except ValueError:
        return False


def _fraction(where: str, value: object, metric: Metric, *, is_number: bool) -> float:
    try:
        number = float(str(value))
        fraction = metric.fraction(number) if is_number else number
        if 0.0 <= fraction <= 1.0:
            return fraction
    except (ValueError, ZeroDivisionError):
        pass
    want = "a perplexity of at least 1" if is_number and metric.is_inverse else "a fraction from 0 to 1, as in 0.93"
    raise ConfigError(f"{where}: {metric.name if is_number else 'accuracy'} is {value!r:.40}; it must be {want}")


def _epochs(where: str, value: object) -> int:
    text = str(value).removesuffix(".0")
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise ConfigError(f"{where}: epochs is {value!r:.40}; it must be a whole number of at least 1")
    return int(text)


def _path_of(where: str, params: Mapping[str, Any], space: Space) -> tuple[Path, set[str]]:
    """The path of a trial's parameters, and those that it is made of; ConfigError for what is no path of the space."""
    path: Path = ()
    used: set[str] = set()
    try:
        for depth in range(1, space.max_layers + 1):
            decisions = space.decisions(depth)
            names = [f"{decision.name}{depth - 1}" for decision in decisions]
            if used.issuperset(names) or not params.keys() >= set(names):
                break
            values = [_value(decision, name, params[name]) for decision, name in zip(decisions, names, strict=True)]
            path, used = (*path, encode(decisions, values)), used | set(names)
        if not path:
            wanted = ", ".join(f"{decision.name}0" for decision in space.decisions(1))
            raise SpaceError(
                f"it has neither the user attribute 'layers' nor parameters named after the first layer's decisions "
                f"({wanted}); it has {', '.join(params) or 'none'}"
            )
        if gaps := sorted(name for name in params.keys() - used if _is_of(name, space)):
            raise SpaceError(f"{', '.join(gaps)} come after layer {len(path)}, and layer {len(path) + 1} is not whole")
        check_path(space, path)
    except SpaceError as error:
        raise ConfigError(f"{where}: {error}") from error
    return path, used


def _is_of(name: str, space: Space) -> bool:
    """Whether a parameter is named after a decision of the space."""
    stem = name.rstrip("0123456789")
    return stem != name and any(decision.name == stem for decision in space.decisions(1))


def _value(decision: Decision, name: str, value: Any) -> int:
    """The value of a decision that a parameter says: an option's name, or its number."""
    if isinstance(value, str) and value in decision.options and decision.kind != "inputs":
        return decision.options.index(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < decision.size:
        return value
    raise SpaceError(f"{name} is {value!r:.40}; it must be one of {', '.join(decision.options)}, or its number")


def _study(storage: str, study: str | None) -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("a study of Optuna needs optuna, which is not installed; pip install optuna") from error
    names = _asked_of_optuna(storage, lambda: optuna.get_all_study_names(_opened(storage)))
    if study is None and len(names) != 1:
        shown = ", ".join(map(str, names[:20])) or "none"
        raise ConfigError(f"{storage} has {len(names)} studies ({shown}); name one with --study")
    chosen = names[0] if study is None else study
    if chosen not in names:
        raise ConfigError(f"{storage} has no study {chosen!r}; it has {', '.join(names[:20]) or 'none'}")
    return _asked_of_optuna(storage, lambda: optuna.load_study(study_name=chosen, storage=_opened(storage)))


def _opened(storage: str) -> Any:
    """What Optuna calls a storage: a URL, a file of SQLite, or a journal."""
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" in storage:
        return RDBStorage(_with_tables(storage), skip_table_creation=True)
    _require_file(storage)
    if FilePath(storage).suffix in JOURNALS:
        return JournalStorage(JournalFileBackend(storage))
    return RDBStorage(_with_tables(f"sqlite:///{storage}"), skip_table_creation=True)


def _require_file(name: str) -> None:
    """ConfigError where there is no such file: SQLite would make one."""
    if not FilePath(name).is_file():
        raise ConfigError(f"there is no file {name}; name the file or the URL of an Optuna storage")


def _with_tables(url: str) -> str:
    """The URL, if that database has Optuna's tables: Optuna would make them in any database that is named."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        _require_file(parsed.database or "")
    engine = create_engine(parsed)
    try:
        if not inspect(engine).has_table("studies"):
            raise ConfigError(
                f"{url} is not an exported search, and has no tables of Optuna; name the storage of a study"
            )
    finally:
        engine.dispose()
    return url


JOURNALS = (".log", ".journal")
DATABASES = (".db", ".sqlite", ".sqlite3")


def is_optuna(file: str) -> bool:
    """Whether a file or URL may be an Optuna storage, by its name."""
    return "://" in file or FilePath(file).suffix in (*JOURNALS, *DATABASES)


def _asked_of_optuna(storage: str, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except ConfigError:
        raise
    except Exception as error:  # SQLAlchemy's errors, those of drivers, JSON's
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ConfigError(f"{storage} cannot be read as a storage of Optuna ({first})") from error
