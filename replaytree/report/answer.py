"""The answer: the best prefix as a chain, how sure its accuracy is, and what random search got for the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from replaytree.records import Shape
from replaytree.report.reading import SearchData
from replaytree.tree import EpisodeInfo

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Step:
    """One layer of the best chain; parameters, FLOPs and accuracy are of the prefix that ends with it."""

    depth: int
    label: str
    node_id: int
    output_shape: Shape | None
    params: int | None
    flops: int | None
    average_accuracy: float | None
    evaluation_count: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval for an accuracy, from `n` of what `basis` says."""

    low: float
    high: float
    n: int
    basis: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The best prefix of a search. `candidates` is how many prefixes it was chosen from."""

    steps: tuple[Step, ...]
    accuracy: float
    evaluation_count: int
    epochs: int
    visit_count: int
    interval: Interval | None
    candidates: int

    @property
    def last(self) -> Step:
        """The step that completes the prefix."""
        return self.steps[-1]


@dataclass(frozen=True, slots=True)
class RandomComparison:
    """Best single trainings among the first `trainings` of the search and of random search.

    `companion` names the search that is random; None where the search itself is. `caution` says in what the two
    differ besides the strategy, or is ''.
    """

    companion: str | None
    trainings: int
    search_best: float
    random_best: float
    caution: str = ""


def answer(data: SearchData) -> Answer | None:
    """The best prefix at the largest budget; None before a training."""
    best = data.best
    if best is None:
        return None
    assert best.average_accuracy is not None, "the best was measured"
    assert best.epochs is not None, "the best was measured"
    chain = [data.by_path[best.path[: depth + 1]] for depth in range(best.depth)]
    steps = tuple(
        Step(
            depth=node.depth,
            label=node.label,
            node_id=node.node_id,
            output_shape=node.output_shape,
            params=node.params,
            flops=node.flops,
            average_accuracy=node.average_accuracy,
            evaluation_count=node.budget_evaluation_count,
        )
        for node in chain
    )
    return Answer(
        steps=steps,
        accuracy=best.average_accuracy,
        evaluation_count=best.budget_evaluation_count,
        epochs=best.epochs,
        visit_count=best.visit_count,
        interval=_interval(data),
        candidates=len(data.comparable),
    )


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a binomial share (E. B. Wilson, 1927): never outside [0, 1], sound near 1.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    """
    if n < 1 or not 0.0 <= share <= 1.0:
        raise ValueError(f"share is {share} and n is {n}; the share must be in [0, 1] and n at least 1")
    z2 = Z95 * Z95
    half = Z95 * math.sqrt(share * (1.0 - share) / n + z2 / (4.0 * n * n))
    middle = share + z2 / (2.0 * n)
    return max(0.0, (middle - half) / (1.0 + z2 / n)), min(1.0, (middle + half) / (1.0 + z2 / n))


def compare_with_random(data: SearchData, against: SearchData | None) -> RandomComparison | None:
    """The search against a companion, or against itself where its own strategy is random; None where neither is.

    Single trainings are compared, not averages, after the same number of trainings.
    """
    own = data.config.get("strategy") == "random"
    if against is None:
        if not own or not data.trainings:
            return None
        best = best_of(data.trainings)
        return None if best is None else RandomComparison(None, len(data.trainings), best, best)
    trainings = min(len(data.trainings), len(against.trainings))
    search_best, random_best = best_of(data.trainings[:trainings]), best_of(against.trainings[:trainings])
    if search_best is None or random_best is None:
        return None
    return RandomComparison(against.name, trainings, search_best, random_best, caution=_caution(data, against))


def best_of(trainings: Sequence[EpisodeInfo]) -> float | None:
    """The best accuracy of any prefix in any of the trainings; None where nothing was measured."""
    return max((accuracy for training in trainings for accuracy in training.accuracies), default=None)


def _interval(data: SearchData) -> Interval | None:
    # The trainings of a node share the validation images, so more trainings do not make more images.
    images = data.fingerprint.get("val_count")
    best = data.best
    if not images or best is None or best.average_accuracy is None:
        return None
    low, high = wilson(best.average_accuracy, int(images))
    return Interval(low, high, int(images), "validation images")


def _caution(data: SearchData, against: SearchData) -> str:
    parts = []
    if against.config.get("strategy") != "random":
        parts.append(f"its strategy is {against.config.get('strategy', 'unknown')!s}, not random")
    if data.info.data_json != against.info.data_json:
        parts.append("its images, or their split, are others")
    if data.info.space_json != against.info.space_json:
        parts.append("its layers are others")
    if data.max_epochs != against.max_epochs:
        parts.append(f"it trained for up to {against.max_epochs} epochs, this search for {data.max_epochs}")
    return ", and ".join(parts)
