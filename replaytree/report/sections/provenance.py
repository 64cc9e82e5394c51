"""Where the numbers come from: data, configuration, versions, dates, and what failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from replaytree.metric import Metric
from replaytree.report.reading import SearchData
from replaytree.report.section import Section, always
from replaytree.report.sections.retrained import looked_at_test, retrained_rows


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and its value, as people read them."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FailureRow:
    """One kind of failure: how many trainings, the first episode, and what the evaluator said there."""

    kind: str
    count: int
    first_episode: int
    text: str


def data_facts(data: SearchData) -> list[Fact]:
    """The images or the text, by their fingerprint; empty for an evaluator of one's own."""
    found = data.fingerprint
    if not found:
        return []
    own = str(data.config.get("dataset") or "given in Python")
    counts = (found.get("train_count", "unknown"), found.get("val_count", "unknown"))
    if data.metric.task == "text":
        return [
            Fact("data set", own),
            Fact("sha-256 of the vocabulary and the words", str(found.get("sha256", "unknown"))),
            Fact("training words", _count(counts[0])),
            Fact("validation words", _count(counts[1])),
            Fact("words of the vocabulary", _count(found.get("word_count", "unknown"))),
        ]
    classes = [str(name) for name in found.get("classes", ())]
    shown = ", ".join(classes[:20]) + (f" and {len(classes) - 20} more" if len(classes) > 20 else "")
    return [
        Fact("data set", own),
        Fact("sha-256 of the images and labels", str(found.get("sha256", "unknown"))),
        Fact("training images", f"{counts[0]}"),
        Fact("validation images", f"{counts[1]}"),
        Fact("image shape", " × ".join(map(str, found.get("image_shape", ())))),
        Fact(f"{len(classes)} classes", shown),
    ]


def _count(number: object) -> str:
    """With commas; other values than whole numbers as they are."""
    return f"{number:,}" if isinstance(number, int) else str(number)


def machine_facts(data: SearchData) -> list[Fact]:
    """Seed, dates, versions and machine."""
    info = data.info
    facts = [Fact("seed", str(info.seed)), Fact("started", f"{info.created_at:%Y-%m-%d %H:%M} UTC")]
    if data.episodes:
        last = data.episodes[-1].created_at
        facts.append(Fact("last episode", f"{last:%Y-%m-%d %H:%M} UTC"))
        facts.append(Fact("from start to last episode", duration(last - info.created_at)))
    seconds = [training.train_seconds for training in data.trainings if training.train_seconds is not None]
    if seconds:
        facts.append(Fact("of which training", duration(timedelta(seconds=sum(seconds)))))
    return facts + [Fact(name, text) for name, text in sorted(info.versions.items())]


def config_facts(data: SearchData) -> list[Fact]:
    """Every field of the stored configuration, in the order of their names."""
    return [Fact(name, "none" if value is None else str(value)) for name, value in sorted(data.config.items())]


def failure_rows(data: SearchData) -> list[FailureRow]:
    """Failures by kind, most frequent first."""
    failed = [training for training in data.trainings if training.failure is not None]
    first = {}
    for training in reversed(failed):
        first[str(training.failure)] = training
    counts = Counter(str(training.failure) for training in failed)
    return [
        FailureRow(kind, count, first[kind].number + 1, " ".join(first[kind].failure_text.split())[:300])
        for kind, count in counts.most_common()
    ]


def duration(time: timedelta) -> str:
    """75 s -> '1 min 15 s', 3700 s -> '1 h 2 min'."""
    seconds = round(time.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    minutes, second = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {second} s"
    hours, minute = divmod(minutes, 60)
    return f"{hours} h {minute} min"


@dataclass(frozen=True, slots=True)
class Provenance:
    """All facts and failures; `tested` says that retrained models were measured on the test images.

    `baselines_tested` says so of hand-made networks.
    """

    measured: bool
    tested: bool
    baselines_tested: bool
    data: list[Fact]
    machine: list[Fact]
    config: list[Fact]
    failures: list[FailureRow]


def provenance(data: SearchData) -> Provenance:
    """The rows of the section."""
    return Provenance(
        measured=data.measured,
        tested=looked_at_test(retrained_rows(data)),
        baselines_tested=any(model.test_accuracy is not None for model in data.models if model.baseline is not None),
        data=data_facts(data),
        machine=machine_facts(data),
        config=config_facts(data),
        failures=failure_rows(data),
    )


def provenance_finding(rows: Provenance, metric: Metric) -> str:
    """What kind of accuracies or perplexities the page's are."""
    if not rows.measured:
        return "Where this search comes from"
    what = metric.plural
    return f"The search’s {what} are {f'validation {what}' if rows.data else 'the evaluator’s own'}"


SECTION = Section(
    name="provenance",
    title="Provenance",
    shown=always,
    rows=provenance,
    finding=lambda data, rows: provenance_finding(rows, data.metric),
    template="provenance.html",
)
