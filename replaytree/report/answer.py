"""The answer: the best prefix as a chain, the error of its accuracy, and a comparison with random search."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.records import Shape
from replaytree.report.difference import Difference, between
from replaytree.report.leading import Leader, leaders
from replaytree.report.reading import SearchData


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
class Limit:
    """A limit of the search on the cost of networks, or a target; `cost` is the best prefix's."""

    option: str
    value: int
    cost: int | None

    @property
    def kept(self) -> bool | None:
        """Whether the best prefix is within the limit; None if its cost is unknown."""
        return None if self.cost is None else self.cost <= self.value


@dataclass(frozen=True, slots=True)
class Answer:
    """The best prefix of a search. `candidates` is how many prefixes it was chosen from: of all that
    were `measured`, those of the largest budget.

    `at_least` is the bound that the page shows; `interval` is the 95 % interval. Both count the noise of trainings, if
    it is known, and the sampling error of `images`.
    """

    steps: tuple[Step, ...]
    accuracy: float
    at_least: float | None
    interval: tuple[float, float] | None
    noise: float | None
    images: int | None
    evaluation_count: int
    epochs: int
    visit_count: int
    candidates: int
    measured: int
    limits: tuple[Limit, ...]

    def has(self, kind: str) -> bool:
        """Whether the search has a limit of that kind, 'max' or 'target'."""
        return any(limit.option.startswith(f"--{kind}-") for limit in self.limits)

    @property
    def last(self) -> Step:
        """The step that completes the prefix."""
        return self.steps[-1]


@dataclass(frozen=True, slots=True)
class RandomComparison:
    """The prefixes that ranked first after `trainings` of the search and of random search.

    `companion` names the random search; None if the search itself is random. `caution` says how the two differ besides
    the strategy, or is ''.
    """

    companion: str | None
    trainings: int
    search: Leader
    random: Leader
    difference: Difference
    caution: str = ""


def answer(data: SearchData) -> Answer | None:
    """The best prefix at the largest budget; None before the first training."""
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
        at_least=best.lower_bound,
        interval=data.known.interval(best.average_accuracy, best.budget_evaluation_count),
        noise=data.known.noise,
        images=data.known.images,
        evaluation_count=best.budget_evaluation_count,
        epochs=best.epochs,
        visit_count=best.visit_count,
        candidates=len(data.comparable),
        measured=sum(node.average_accuracy is not None for node in data.nodes),
        limits=_limits(data, best.params, best.flops),
    )


def compare_with_random(data: SearchData, against: SearchData | None) -> RandomComparison | None:
    """The search against a companion, or against itself if its own strategy is random; None if neither applies.

    The prefixes that `best` ranks first are compared, after the same number of trainings.
    """
    if against is None:
        own = data.config.get("strategy") == "random"
        leader = leaders(data)[-1] if own and data.trainings else None
        if leader is None:
            return None
        return RandomComparison(None, len(data.trainings), leader, leader, between(leader, leader))
    trainings = min(len(data.trainings), len(against.trainings))
    if not trainings:
        return None
    search, random = (leaders(each, at=[trainings])[trainings - 1] for each in (data, against))
    if search is None or random is None:
        return None
    caution = _caution(data, against)
    return RandomComparison(against.name, trainings, search, random, between(search, random), caution)


def _limits(data: SearchData, params: int | None, flops: int | None) -> tuple[Limit, ...]:
    costs = {"params": params, "flops": flops}
    return tuple(
        Limit(f"--{kind}-{name}", value, cost)
        for kind in ("max", "target")
        for name, cost in costs.items()
        if isinstance(value := data.config.get(f"{kind}_{name}"), int)
    )


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
