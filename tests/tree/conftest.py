from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path as FilePath

import pytest

from replaytree.records import PathEvaluation
from replaytree.tree import Episode, ReplayTree, open_engine

LABELS = ("conv", "pool", "res")


class TinySpace:
    """Three layers, at most three deep; a layer costs 10 times its index plus one."""

    num_actions = 3
    max_layers = 3

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def legal(self, prefix):
        return (True, True, True)

    def label(self, action):
        return LABELS[action]

    def build(self, prefix, num_classes):
        raise AssertionError("the tree builds no networks")

    def cost(self, prefix):
        self.asked.append(prefix)
        return sum(10 * (action + 1) for action in prefix), 1000 * len(prefix)

    def output_shape(self, prefix):
        return 8, max(1, 16 >> len(prefix)), max(1, 16 >> len(prefix))


@pytest.fixture
def space() -> TinySpace:
    return TinySpace()


@pytest.fixture(params=["memory", "file", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: FilePath) -> str:
    """The storages that the contract holds for."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("empty_postgresql"))
    return "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/tree.db"


@pytest.fixture
def create(space: TinySpace) -> Callable[..., ReplayTree]:
    def create(storage, name="first", *, space=space, seed=7):
        return ReplayTree.create(
            storage, name, space=space, seed=seed, config_json='{"seed": 7}', versions={"python": "3.11"}
        )

    return create


@pytest.fixture
def tree(url: str, create: Callable[..., ReplayTree]) -> Iterator[ReplayTree]:
    engine = open_engine(url)
    yield create(engine)
    engine.dispose()


@pytest.fixture
def golden() -> list[Episode]:
    """Five episodes, of two budgets, with a replay and with a failure. Worked out by hand, the tree is

    path     id  visits  4 epochs: count, total  8 epochs: count, total
    0         1       4                  2, 1.2                 1, 0.75
    0.1       2       3                  2, 1.4
    0.1.2     3       1                  1, 0.9
    2         4       1                                         1, 0.25
    0.2       5       1                                         1, 0.5
    0.2.1     6       1
    """
    failed = PathEvaluation([0.75, 0.5], failure="diverged", failure_text="loss is nan", train_seconds=1.5)
    return [
        Episode((0, 1), "sample", 3, 4, True, PathEvaluation([0.5, 0.6]), policy_loss=0.125, entropy=1.0),
        Episode((0, 1, 2), "continue", 3, 4, True, PathEvaluation([0.7, 0.8, 0.9])),
        Episode((2,), "sample", 3, 8, True, PathEvaluation([0.25])),
        Episode((0, 1), "replay", 3, 8, False),
        Episode((0, 2, 1), "sample", 3, 8, True, failed),
    ]
