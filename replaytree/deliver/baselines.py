"""Train hand-made networks beside what a search found: the same images, split, recipe and epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from replaytree.data import Data, ImageData
from replaytree.deliver.baseline_networks import BASELINES, Fitted, baseline, fitted
from replaytree.deliver.subject import Subject, data_of
from replaytree.errors import ConfigError
from replaytree.training import Recipe
from replaytree.training.recipe import PLAIN_RATE
from replaytree.tree import ModelInfo, ReplayTree, Retraining, answer_of

LIMITS = ("params", "flops")


@dataclass(frozen=True, slots=True)
class Size:
    """How large the baselines of a search may be, by cost, and in words whose limits these are."""

    limits: Mapping[str, int | None]
    text: str


def size_of(tree: ReplayTree) -> Size:
    """The search's own limits; where it has none, the costs of what was retrained, or of its best prefix.

    ConfigError where nothing was measured yet.
    """
    config = tree.info().config.space
    own = {cost: getattr(config, f"max_{cost}") for cost in LIMITS}
    if any(limit is not None for limit in own.values()):
        return Size(own, f"the search's limits: {_shown(own)}")
    if (trained := answer(tree)) is not None and trained.last.params is not None:
        costs = {cost: getattr(trained.last, cost) for cost in LIMITS}
        return Size(costs, f"the size of what was retrained, {' '.join(trained.last.labels)}: {_shown(costs)}")
    best = tree.find_or_best(None)
    costs = {cost: getattr(best, cost) for cost in LIMITS}
    return Size(costs, f"the size of the best prefix, node {best.node_id}: {_shown(costs)}")


def baseline_subjects(
    tree: ReplayTree,
    names: Sequence[str] = (),
    *,
    size: Size | None,
    train_limit: int | None = None,
    skip_bad: bool = False,
    data_dir: str | None = None,
) -> tuple[list[Subject], list[str]]:
    """What to train: the baselines of these names, or all, on a search's images, and notes on those left out.

    Each is as wide as `size` allows, or as published where that is None. ConfigError for a text, for a name that there
    is not, and where none of them can be made so small or for images so small.
    """
    if (task := tree.info().metric.task) != "images":
        raise ConfigError(f"baselines are networks for images, and search {tree.name!r} is of {task}")
    wanted = list(dict.fromkeys(names or BASELINES))
    for name in wanted:
        baseline(name)
    data, options, data_dir = data_of(tree, train_limit=train_limit, skip_bad=skip_bad, data_dir=data_dir)
    assert isinstance(data, ImageData), "a search of images"
    found: list[Fitted] = []
    notes: list[str] = []
    for name in wanted:
        try:
            found.append(fitted(name, data.image_shape, data.num_classes, limits={} if size is None else size.limits))
        except ConfigError as error:
            notes.append(str(error))
    if not found:
        raise ConfigError(f"{'; '.join(notes)}; choose among {', '.join(BASELINES)}, or give --full-size")
    return [_subject(tree, each, data, options, data_dir) for each in found], notes


def _subject(
    tree: ReplayTree, chosen: Fitted, data: Data, options: dict[str, Any] | None, data_dir: str | None
) -> Subject:
    limits = tree.info().config.space
    return Subject(
        chosen.graph,
        (chosen.label,),
        data,
        options,
        search=tree.name,
        data_dir=data_dir,
        max_params=limits.max_params,
        max_flops=limits.max_flops,
        baseline=chosen.name,
    )


def answer(tree: ReplayTree) -> Retraining | None:
    """The retrained answer of a search, which its baselines are trained like; None where nothing was retrained."""
    best = tree.best(1)
    return answer_of(tree.models(), best[0].node_id if best else None)


def recipe_as(trained: ModelInfo, usual: Recipe, *, normed: bool) -> Recipe:
    """The recipe of a trained model for another network on the same images, whose own would be the `usual` one.

    Of a model of older versions it was not stored, and the usual one is taken.
    A network without batch norm keeps its lower rate, unless the model was trained with one as low.
    """
    known = {field.name for field in fields(Recipe)}
    given = {name: value for name, value in (trained.training or {}).items() if name in known}
    if not normed:
        given["learning_rate"] = min(PLAIN_RATE, given.get("learning_rate", PLAIN_RATE))
    return replace(usual, **given)


def _shown(limits: Mapping[str, int | None]) -> str:
    words = {"params": "parameters", "flops": "FLOPs"}
    return " and ".join(f"at most {limit:,} {words[cost]}" for cost, limit in limits.items() if limit is not None)
