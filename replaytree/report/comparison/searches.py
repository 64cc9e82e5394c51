"""Searches side by side: who led over trainings and over seconds; seeds of a configuration form a group."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile

from replaytree.metric import Metric
from replaytree.report.leading import Leader, leaders
from replaytree.report.reading import SearchData

NOT_THE_METHOD = ("seed", "device", "data_dir")


@dataclass(frozen=True, slots=True)
class Curve:
    """The prefix ranked first so far in one search, at each of its trainings. `seconds` are cumulative."""

    search: str
    seed: int
    leaders: tuple[Leader | None, ...]
    seconds: tuple[float, ...]

    @property
    def best(self) -> tuple[float | None, ...]:
        """The leaders' averages at that time."""
        return tuple(None if leader is None else leader.accuracy for leader in self.leaders)


@dataclass(frozen=True, slots=True)
class Group:
    """Searches whose configurations differ only in the seed, each with another seed."""

    label: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Comparison:
    """Searches in the order given, and their groups."""

    searches: tuple[SearchData, ...]
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, searches: Sequence[SearchData]) -> Comparison:
        """Of at least two searches."""
        return cls(tuple(searches), tuple(groups(searches, curves(searches))))

    @property
    def metric(self) -> Metric:
        """Of all of them: searches that are measured by others are not compared."""
        return self.searches[0].metric

    @property
    def curves(self) -> tuple[Curve, ...]:
        """One a search, by groups."""
        return tuple(one for group in self.groups for one in group.curves)

    @property
    def common(self) -> int:
        """The trainings that all searches have."""
        return min(len(one.leaders) for one in self.curves)

    @property
    def measured(self) -> bool:
        """Whether any search has measured something."""
        return any(one.best and one.best[-1] is not None for one in self.curves)

    @property
    def same_images(self) -> bool:
        """Whether all saw the same images."""
        return saw_the_same(self.searches)


def curves(searches: Sequence[SearchData]) -> list[Curve]:
    """One curve a search. A failure counts as a training without a result."""
    common = min((len(data.trainings) for data in searches), default=0)
    return [
        Curve(
            data.name,
            data.info.seed,
            tuple(leaders(data, at=[common])),
            tuple(accumulate(training.train_seconds or 0.0 for training in data.trainings)),
        )
        for data in searches
    ]


def groups(searches: Sequence[SearchData], found: Sequence[Curve]) -> list[Group]:
    """Searches by configuration and images, in the order given. A group of several is named by what the names share.

    A second search of the same seed is not another seed: it repeats the first, or used another evaluator given in
    Python. It starts its own group.
    """
    of_method: defaultdict[tuple[str, str, str, int], list[Curve]] = defaultdict(list)
    for data, one in zip(searches, found, strict=True):
        method = json.dumps(
            {key: value for key, value in data.config.items() if key not in NOT_THE_METHOD}, sort_keys=True
        )
        repeats = sum(
            key[:3] == (method, data.info.space_json, data_set(data)) and one.seed in [each.seed for each in members]
            for key, members in of_method.items()
        )
        of_method[method, data.info.space_json, data_set(data), repeats].append(one)
    names = [[one.search for one in members] for members in of_method.values()]
    labels = [_label(each) for each in names]
    return [
        Group(label if labels.count(label) == 1 else f"{', '.join(each)} ({len(each)} seeds)", tuple(members))
        for label, each, members in zip(labels, names, of_method.values(), strict=True)
    ]


def data_set(data: SearchData) -> str:
    """The images as a text that does not depend on their split; of words, which have one split, their checksum."""
    found = data.fingerprint
    if data.metric.task == "text":
        return str(found.get("sha256"))
    total = found.get("train_count", 0) + found.get("val_count", 0)
    return json.dumps([data.config.get("dataset"), found.get("classes"), found.get("image_shape"), total])


def saw_the_same(searches: Sequence[SearchData]) -> bool:
    """Whether searches saw the same images, however split, or wherever these lay: as pictures, as arrays."""
    checksums = {data.fingerprint.get("sha256") for data in searches}
    return len({data_set(data) for data in searches}) == 1 or (len(checksums) == 1 and None not in checksums)


def _label(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{_shared_beginning(names) or names[0]} ({len(names)} seeds)"


def _shared_beginning(names: Sequence[str]) -> str:
    """('digits-1', 'digits-2') -> 'digits'."""
    letters = takewhile(lambda found: len(set(found)) == 1, zip(*names, strict=False))
    return "".join(found[0] for found in letters).rstrip("-_. ")
