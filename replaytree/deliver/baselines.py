"""Train hand-made networks beside what a search found: the same images, split, recipe and epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from replaytree.config.limits import LIMITS, NOUNS
from replaytree.data import ImageData
from replaytree.deliver.baseline_networks import BASELINES, baseline, fitted
from replaytree.deliver.pretrained import PRETRAINED, RATE_SHARE
from replaytree.deliver.pretrained import pretrained as with_weights
from replaytree.deliver.subject import Subject, data_of
from replaytree.errors import ConfigError
from replaytree.space.network import Network
from replaytree.training import Recipe
from replaytree.training.recipe import FULL_BATCH, LATER, PLAIN_RATE, RATE, large_rate, rate_scale
from replaytree.tree import ModelInfo, ReplayTree, Retraining, answer_of

# What the size of a network is, where no limits say it.
SIZE = ("params", "flops")


@dataclass(frozen=True, slots=True)
class Size:
    """How large the baselines of a search may be, by cost, and in words whose limits these are."""

    limits: Mapping[str, int | None]
    text: str

    def is_under(self, graph: Network) -> bool:
        """Whether a network is larger: it is shown, but does not count where the best baseline is sought."""
        costs = ((getattr(graph, cost), limit) for cost, limit in self.limits.items() if limit is not None)
        return any(own is not None and own > limit for own, limit in costs)


def size_of(tree: ReplayTree) -> Size:
    """The search's own limits, or what the retrained answer costs where that is more; without limits, the costs of what
    was retrained, or of the answer.

    ConfigError where nothing was measured yet.
    """
    config = tree.info().config.space
    besides = "" if config.max_latency is None else "; its limit on latency is not looked at"
    trained = answer(tree)
    if own := {LIMITS[name].cost: limit for name, limit in config.limits.items()}:
        raised = own if trained is None else trained.raised(own)
        more = "" if raised == own else ", or the size of what was retrained where that is more"
        return Size(raised, f"the search's limits{more}: {_shown(raised)}{besides}")
    if trained is not None and trained.last.params is not None:
        costs = {cost: getattr(trained.last, cost) for cost in SIZE}
        return Size(costs, f"the size of what was retrained, {' '.join(trained.last.labels)}: {_shown(costs)}{besides}")
    found = tree.find_or_answer(None)
    what = "the best prefix" if tree.derived() is None else "what the search derived"
    costs = {cost: getattr(found, cost) for cost in SIZE}
    return Size(costs, f"the size of {what}, node {found.node_id}: {_shown(costs)}{besides}")


def baseline_subjects(
    tree: ReplayTree,
    names: Sequence[str] = (),
    *,
    size: Size | None,
    pretrained: bool = False,
    train_limit: int | None = None,
    skip_bad: bool = False,
    data_dir: str | None = None,
) -> tuple[list[Subject], list[str]]:
    """What to train: the baselines of these names, or all, on a search's images, and notes on those left out.

    Each is as wide as `size` allows, or as published where that is None. With `pretrained` they are torchvision's own,
    and start from its weights. ConfigError for a text, for a name that there is not, and where none of them can be had,
    made so small, or for images so small.
    """
    if (task := tree.info().metric.task) != "images":
        raise ConfigError(f"baselines are networks for images, and search {tree.name!r} is of {task}")
    wanted = list(dict.fromkeys(names or (PRETRAINED if pretrained else BASELINES)))
    for name in wanted:
        baseline(name)
    data, options, data_dir = data_of(tree, train_limit=train_limit, skip_bad=skip_bad, data_dir=data_dir)
    assert isinstance(data, ImageData), "a search of images"
    found: list[Subject] = []
    searched = tree.info().config.space
    notes: list[str] = []
    for name in wanted:
        try:
            if pretrained:
                chosen, start = with_weights(name, data)
            else:
                limits = {} if size is None else size.limits
                chosen, start = fitted(name, data.image_shape, data.num_classes, limits=limits), None
        except ConfigError as error:
            notes.append(str(error))
            continue
        found.append(
            Subject(
                chosen.graph, (chosen.label,), data, options, search=tree.name, data_dir=data_dir,
                limits=searched.limits, baseline=name, start=start,
            )
        )  # fmt: skip
    if not found:
        others = "" if pretrained else f"; choose among {', '.join(BASELINES)}, or give --full-size"
        raise ConfigError(f"{'; '.join(notes)}{others}")
    return found, notes


def answer(tree: ReplayTree) -> Retraining | None:
    """The retrained answer of a search, which its baselines are trained like; None where nothing was retrained."""
    best = tree.best(1)
    return answer_of(tree.models(), best[0].node_id if best else None)


def recipe_as(trained: ModelInfo, usual: Recipe, *, normed: bool) -> Recipe:
    """The recipe of a trained model for another network on the same images, whose own would be the `usual` one.

    A learning rate that the trained network had by itself gives way to the one that the other has by itself; without
    batch norm (`normed`) none is over that. The recipe of a model of older versions was not stored: it is the usual.
    """
    if not trained.training:
        return usual
    stored = {**LATER, **trained.training}
    known = {field.name for field in fields(Recipe)}
    given = {name: value for name, value in stored.items() if name in known}
    rate = given.pop("learning_rate", usual.learning_rate)
    before, now = rate_scale(normed=stored.get("normed", True)), rate_scale(normed=normed)
    batch = given.get("batch_size", usual.batch_size)
    owns = (RATE, large_rate(batch)) if batch > FULL_BATCH else (RATE,)
    if own := next((own for own in owns if math.isclose(rate, own * before)), None):
        rate = own * now
    elif not normed:
        rate = min(rate, PLAIN_RATE)
    return replace(usual, **given, learning_rate=rate)


def fine_tuning(recipe: Recipe) -> Recipe:
    """The recipe for a network that starts from pretrained weights."""
    return replace(recipe, learning_rate=RATE_SHARE * recipe.learning_rate)


def _shown(limits: Mapping[str, int | None]) -> str:
    return " and ".join(f"at most {limit:,} {NOUNS[cost]}" for cost, limit in limits.items() if limit is not None)
