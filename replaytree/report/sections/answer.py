"""The answer: the best prefix as a chain, and the error of its accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from replaytree.config.limits import LIMITS
from replaytree.metric import Metric
from replaytree.records import Shape
from replaytree.report import theme
from replaytree.report.baselines import Verdict, verdict
from replaytree.report.reading import SearchData
from replaytree.report.section import Section, always
from replaytree.report.sections.retrained import RetrainedRow, retrained_answer
from replaytree.report.wiring import Wiring, cell_wiring, reads, skip_wiring
from replaytree.report.wording import counted, layers, short
from replaytree.space.coding import decode
from replaytree.space.plan import Cellular
from replaytree.tree import Node


@dataclass(frozen=True, slots=True)
class Step:
    """One layer of the best chain; costs and accuracy are of the prefix that ends with it."""

    depth: int
    label: str
    node_id: int
    output_shape: Shape | None
    params: int | None
    flops: int | None
    ram_bytes: int | None
    flash_bytes: int | None
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
class Block:
    """How a layer of the chain is drawn: a box, in pixels, of its feature map's side and channels."""

    step: Step
    side: float
    thickness: float
    colour: str


@dataclass(frozen=True, slots=True)
class AnswerRows:
    """The answer, its chain as boxes, and in words what its interval rests on and what it counts.

    `cells` are the drawings of a network of cells, which is no chain, and `drawn` says what they show; `skips` is that
    of a chain with skips. `retrained` is what came of training it from scratch, or another prefix where it was not.
    `verdict` says whether it beat hand-made networks.
    """

    found: Answer
    blocks: tuple[Block, ...]
    basis: str
    counts: str
    metric: Metric
    cells: tuple[Wiring, ...] = ()
    drawn: str = ""
    skips: Wiring | None = None
    retrained: RetrainedRow | None = None
    verdict: Verdict | None = None

    def colour(self, depth: int) -> str:
        """That of the accuracy of the prefix which ends at a depth."""
        return self.blocks[depth - 1].colour

    def about(self, depth: int) -> str:
        """The prefix which ends at a depth, in a line."""
        step = self.blocks[depth - 1].step
        return (
            f"layer {depth}, {step.label}: with it, {short(step.params)} parameters, {short(step.flops)} FLOPs, "
            f"{self.metric.name} {self.metric.shown(step.average_accuracy, unknown='unknown')}"
        )


def answer_rows(data: SearchData) -> AnswerRows | None:
    """None before the first training."""
    found = answer(data)
    if found is None:
        return None
    return AnswerRows(
        found,
        blocks(found, data),
        basis(found, data.metric),
        what_counts(found, data.metric),
        data.metric,
        cells=_cells(data),
        drawn=plan.drawn if (plan := _cellular(data)) else "",
        skips=_skips(data),
        retrained=retrained_answer(data),
        verdict=verdict(data),
    )


def _cells(data: SearchData) -> tuple[Wiring, ...]:
    """The cells of the best prefix; none where its network has none, or only the space's author has it."""
    plan = _cellular(data)
    if data.best is None or plan is None:
        return ()
    return tuple(cell_wiring(sketch) for sketch in plan.sketches(data.best.path) if sketch.nodes)


def _cellular(data: SearchData) -> Cellular | None:
    """The plan of the space, if its networks are made of cells."""
    plan = getattr(data.space, "plan", None)
    return plan if isinstance(plan, Cellular) else None


def _skips(data: SearchData) -> Wiring | None:
    """What the layers of the best prefix read beside the one before."""
    if data.best is None or _cells(data):
        return None
    read = {
        depth: reads(data.decisions(depth), decode(data.decisions(depth), action), depth)
        for depth, action in enumerate(data.best.path, start=1)
    }
    return skip_wiring(data.best.labels, read)


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
            ram_bytes=node.ram_bytes,
            flash_bytes=node.flash_bytes,
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
        limits=_limits(data, best),
    )


def _limits(data: SearchData, best: Node) -> tuple[Limit, ...]:
    costs = {name.removeprefix("max_"): getattr(best, limit.cost) for name, limit in LIMITS.items()}
    return tuple(
        Limit(f"--{kind}-{name}", value, cost)
        for kind in ("max", "target")
        for name, cost in costs.items()
        if isinstance(value := data.config.get(f"{kind}_{name}"), int)
    )


def blocks(found: Answer, data: SearchData) -> tuple[Block, ...]:
    """Boxes for the chain: the side grows with the map's side, the thickness with the logarithm of its channels."""
    scale = theme.Scale.of(data.averages, data.metric)
    widest = max((max(step.output_shape[1:]) for step in found.steps if step.output_shape), default=1)
    drawn = []
    for step in found.steps:
        channels, *sides = step.output_shape or (1, widest)
        accuracy = step.average_accuracy
        drawn.append(
            Block(
                step=step,
                side=12.0 + 28.0 * math.sqrt(max(sides) / widest),
                thickness=4.0 + 3.2 * math.log2(channels + 1),
                colour="var(--line)" if accuracy is None else scale.colour(accuracy),
            )
        )
    return tuple(drawn)


def answer_finding(found: Answer, metric: Metric, retrained: RetrainedRow | None = None) -> str:
    """'Best: 0.989 after 8 layers'; once it was retrained and tested, what it came to there, for a winner was lucky."""
    seen, after = metric.headline(found.accuracy), f"after {layers(len(found.steps))}"
    if retrained is None or not retrained.is_best or retrained.test is None:
        return f"Best: {seen} {after}"
    models = metric.of_models
    tested = models.headline(models.fraction(retrained.test.mean))
    if models.name != metric.name:
        # Two figures of one sentence are taken for one kind, and no difference of these says what luck was.
        tested, seen = f"{models.name} {tested}", f"{metric.name} {seen}"
    return f"Best: {tested} on the test {metric.items} {after}; {seen} in the search"


def basis(found: Answer, metric: Metric) -> str:
    """The basis of the interval, in a few words."""
    parts = [f"n = {found.images:,} validation {metric.items}"] if found.images else []
    if found.noise is not None:
        parts.append(counted(found.evaluation_count, "training"))
    return ", ".join(parts) or f"neither {metric.items} nor repeated trainings"


def what_counts(found: Answer, metric: Metric) -> str:
    """What bound and interval count, as a part of a sentence."""
    how = f"whose losses deviate by about {metric.word_deviation:g} nats" if metric.is_inverse else "Wilson’s interval"
    images = f"the sampling error of {found.images:,} validation {metric.items} ({how})" if found.images else ""
    if found.noise is None:
        return f"{images or 'nothing yet'}, but not chance in training: no prefix was trained twice"
    what = metric.name if metric.is_inverse else "error rate"
    noise = f"chance in training (trained again, a prefix’s {what} changes by about {found.noise:.0%} of its value)"
    return f"{noise} and {images}" if images else noise


SECTION = Section(
    name="answer",
    title="Answer",
    eyebrow="The answer",
    shown=always,
    rows=answer_rows,
    finding=lambda data, rows: answer_finding(rows.found, data.metric, rows.retrained),
    empty="Nothing has been measured yet",
    template="answer.html",
)
