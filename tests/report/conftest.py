from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from replaytree import LabelSpace, PathEvaluation, ReplayTree
from replaytree.report.reading import read_search
from replaytree.tree import Episode, open_engine

FINGERPRINT = json.dumps(
    {
        "sha256": "ab" * 32,
        "train_count": 900,
        "val_count": 100,
        "train_counts": [450, 450],
        "classes": ["a", "b"],
        "image_shape": [1, 8, 8],
    }
)


@pytest.fixture
def fingerprint() -> str:
    return FINGERPRINT


@pytest.fixture
def grow(tmp_path):
    """Make a search in tree.db from episodes."""

    def grow(
        episodes,
        name="first",
        *,
        labels=("conv1", "pool1", "res1"),
        seed=7,
        config=None,
        data_json=FINGERPRINT,
        max_layers=3,
    ) -> ReplayTree:
        space = LabelSpace(
            labels,
            max_layers=max_layers,
            cost=lambda prefix: (sum(10 * (action + 1) for action in prefix), 1000 * len(prefix)),
        )
        settings = {"seed": seed, "dataset": "toys", "strategy": "replay"} | (config or {})
        tree = ReplayTree.create(
            open_engine(f"sqlite:///{tmp_path}/tree.db"),
            name,
            space=space,
            seed=seed,
            config_json=json.dumps(settings),
            versions={"python": "3.11"},
            data_json=data_json,
        )
        if episodes:
            tree.record(list(episodes), state=b"")
        return tree

    return grow


@pytest.fixture
def golden() -> list[Episode]:
    """Worked out by hand, the tree is

    path     visits  4 epochs       8 epochs     average  best single
    0             4  0.5, 0.7       0.75         0.75     0.75
    0.1           3  0.6, 0.8                    0.7      0.8
    0.1.2         1  0.9                         0.9      0.9
    2             1                 0.25         0.25     0.25
    0.2           1                 0.5          0.5      0.5
    0.2.1         1
    """
    failed = PathEvaluation([0.75, 0.5], failure="diverged", failure_text="loss is\nnan", train_seconds=1.5)
    return [
        Episode(
            (0, 1),
            "sample",
            2,
            4,
            True,
            PathEvaluation([0.5, 0.6], train_seconds=2.0),
            policy_loss=0.125,
            entropy=1.0,
        ),
        Episode((0, 1, 2), "continue", 3, 4, True, PathEvaluation([0.7, 0.8, 0.9], train_seconds=3.0)),
        Episode((2,), "sample", 3, 8, True, PathEvaluation([0.25], train_seconds=1.0)),
        Episode((0, 1), "replay", 3, 8, False),
        Episode((0, 2, 1), "sample", 3, 8, True, failed),
    ]


@pytest.fixture
def tree(grow, golden) -> ReplayTree:
    return grow(golden)


@pytest.fixture
def data(tree):
    return read_search(tree)


def trained(path, *accuracies, epochs=4, seconds=1.0) -> Episode:
    return Episode(path, "sample", 3, epochs, True, PathEvaluation(accuracies, train_seconds=seconds))


@pytest.fixture
def training():
    return trained


@pytest.fixture
def named():
    """Give a search a name that no new one can have, but an old one may."""

    def named(tree, name):
        with tree.engine.begin() as connection:
            values = {"new": name, "old": tree.name}
            connection.execute(text("UPDATE searches SET name = :new WHERE name = :old"), values)
        return ReplayTree.open(tree.engine, name)

    return named
