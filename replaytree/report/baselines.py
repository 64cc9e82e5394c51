"""How the retrained answer of a search stands against hand-made networks that were trained in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from replaytree.config.limits import LIMITS, NOUNS
from replaytree.metric import Metric
from replaytree.report.commands import command, commands_of
from replaytree.report.difference import Difference, over_models
from replaytree.report.reading import SearchData
from replaytree.report.wording import counted
from replaytree.tree import MeanAccuracy, ModelInfo, Retraining, answer_of, is_like, retrainings

# What the size of a network is, where no limits say it.
SIZE = ("params", "flops")

_NO_LATENCY = " Latency, which the search has a limit on, was not compared."


@dataclass(frozen=True)
class Standing:
    """The answer, if it was retrained, the baselines in the order of their training, and the limits of the search."""

    answer: Retraining | None
    baselines: tuple[Retraining, ...]
    limits: Mapping[str, int]
    metric: Metric
    is_latency_limited: bool = False

    def unlike(self, baseline: Retraining) -> str:
        """Why the answer is not compared with a baseline at all; empty where it is."""
        if self.answer is None:
            return "the answer was not retrained"
        if self.answer.last.training is None:
            return "an older version retrained the answer, and did not store how; retrain it again"
        return "" if is_like(self.answer.last, baseline.last) else "trained in another way, or on other images"

    def larger(self, baseline: Retraining) -> str:
        """In what a baseline is larger than it may be to count, or unknown; empty where it is not."""
        found = {cost: getattr(baseline.last, cost) for cost in self.bounds}
        over = [NOUNS[cost] for cost, limit in self.bounds.items() if found[cost] is not None and found[cost] > limit]
        unknown = [NOUNS[cost] for cost in self.bounds if found[cost] is None]
        told = [f"larger in {' and '.join(over)}"] if over else []
        return ", ".join([*told, *(f"of unknown {noun}" for noun in unknown)])

    def why_not(self, baseline: Retraining) -> str:
        """Why a baseline does not count when the best is sought; empty where it does."""
        return self.unlike(baseline) or self.larger(baseline)

    @property
    def bounds(self) -> Mapping[str, int]:
        """How large a baseline may be: the limits of the search, or what the answer costs, whichever is more."""
        if self.answer is None:
            return self.limits
        if self.limits:
            return self.answer.raised(self.limits)
        costs = {cost: getattr(self.answer.last, cost) for cost in SIZE}
        return {cost: value for cost, value in costs.items() if value is not None}

    @property
    def size(self) -> str:
        """Which baselines are compared, in words."""
        if not self.limits:
            return "of at most its size"
        if self.bounds != self.limits:
            return "of at most its size or the search’s limits"
        return "within the search’s other limits" if self.is_latency_limited else "within the search’s limits"

    def ahead(self, baseline: Retraining) -> Difference | None:
        """The answer less the baseline."""
        own, other = None if self.answer is None else self.answer.measured, baseline.measured
        return None if own is None or other is None else over_models(own, other)

    @cached_property
    def best(self) -> Retraining | None:
        """The best of the baselines that are compared."""
        fair = [(each.measured, each) for each in self.baselines if not self.why_not(each)]
        known = [(measured, each) for measured, each in fair if measured is not None]
        if not known:
            return None
        return max(known, key=lambda found: self.metric.direction * found[0].mean)[1]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the answer beat the baselines, as sentences, and the commands that would tell."""

    text: str
    commands: tuple[str, ...] = ()


def standing(data: SearchData) -> Standing | None:
    """None of a text: baselines are for images."""
    if data.metric.task != "images":
        return None
    models = [model for model in data.models if model.baseline is not None]
    limits = {limit.cost: value for name, limit in LIMITS.items() if isinstance(value := data.config.get(name), int)}
    best = None if data.best is None else data.best.node_id
    return Standing(
        answer_of(data.models, best, data.metric), tuple(retrainings(models, data.metric)), limits,
        data.metric.of_models, is_latency_limited=data.config.get("max_latency") is not None,
    )  # fmt: skip


def verdict(data: SearchData) -> Verdict | None:
    """None where no baseline can be trained by a command: of a text, or of data and evaluators given in Python."""
    found, retrain = standing(data), commands_of(data).retrain
    if found is None or data.best is None or (retrain is None and not found.baselines):
        return None
    train = command(data, "baseline")
    retrain = retrain or ""
    if not found.baselines:
        text = "Whether the search beats a hand-made network is not known: no baseline was trained."
        return Verdict(text, (train,) if found.answer else (retrain, train))
    if found.answer is None:
        last = found.baselines[-1]
        more = ["--epochs", str(last.last.epochs), "--seeds", str(len(last.models))]
        text = "Whether the search beats its baselines is not known: its answer was not retrained."
        return Verdict(text, (command(data, "retrain", options=more),))
    best = found.best
    ahead = None if best is None else found.ahead(best)
    if best is None or ahead is None:
        why = "; ".join(dict.fromkeys(f"{name(each)}: {found.why_not(each)}" for each in found.baselines))
        return Verdict(f"The retrained answer has no baseline {found.size} to be compared with ({why}).", (train,))
    return Verdict(_sentence(found, best, ahead) + (_NO_LATENCY if found.is_latency_limited else ""))


def name(baseline: Retraining) -> str:
    """'resnet8-w0.703'."""
    return " ".join(baseline.last.labels)


def _sentence(found: Standing, best: Retraining, ahead: Difference) -> str:
    measured = best.measured
    assert measured is not None, "it was compared"
    best_named = f"the best baseline {found.size}, {name(best)} ({found.metric.written(measured.mean)})"
    begin = {
        1: f"Retrained, the search’s answer beats {best_named}",
        0: f"Retrained, the search’s answer cannot be told from {best_named}",
        -1: f"The search lost: retrained, its answer is behind {best_named}",
    }[ahead.sign]
    return f"{begin}: {ahead.text}, on {_basis(found, measured)}"


def _basis(found: Standing, measured: MeanAccuracy) -> str:
    assert found.answer is not None, "it was compared"
    tested = found.answer.test is not None
    images = "" if measured.images is None else f"{measured.images:,} "
    seeds = counted(len(found.answer.models), "seed")
    if len(found.answer.models) == 1:
        seeds += ", and others may differ more"
    text = f"{images}{'test' if tested else 'validation'} images ({seeds})."
    return text if tested else f"{text} The search chose by these images, so its figure is optimistic."


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """One trained network of the table: the answer, or a baseline, which the answer is `ahead` of.

    `ahead` is None where they cannot be compared. `note` says that, or why a baseline does not count.
    """

    label: str
    node_id: int | None
    is_answer: bool
    params: int | None
    flops: int | None
    ram_bytes: int | None
    flash_bytes: int | None
    measured: MeanAccuracy | None
    is_tested: bool
    epochs: int
    seeds: tuple[int, ...]
    ahead: Difference | None
    note: str


def network_rows(data: SearchData) -> list[NetworkRow]:
    """The retrained answer and the baselines; none where no baseline was trained."""
    rows = trained_rows(data)
    return [] if all(row.is_answer for row in rows) else rows


def trained_rows(data: SearchData) -> list[NetworkRow]:
    """The retrained answer, if there is one, and the baselines."""
    found = standing(data)
    if found is None:
        return []
    rows = [_row(each, found) for each in found.baselines]
    return rows if found.answer is None else [_row(found.answer, found), *rows]


def _row(each: Retraining, found: Standing) -> NetworkRow:
    last: ModelInfo = each.last
    is_answer = each is found.answer
    return NetworkRow(
        label=name(each),
        node_id=last.node_id,
        is_answer=is_answer,
        params=last.params,
        flops=last.flops,
        ram_bytes=last.ram_bytes,
        flash_bytes=last.flash_bytes,
        measured=each.measured,
        is_tested=each.test is not None,
        epochs=last.epochs,
        seeds=tuple(model.seed for model in each.models),
        ahead=None if is_answer or found.unlike(each) else found.ahead(each),
        note="" if is_answer else found.why_not(each),
    )
