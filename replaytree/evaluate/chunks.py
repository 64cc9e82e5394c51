"""Chunks of depth: long paths are trained a piece at a time, so that few heads share one trunk.

Fifteen heads pull the first layers in fifteen directions, and the deepest read what a network trained for them alone
never reaches. With heads 1 to 10 in one network and 11 to 15 in another, joint scores of 15 layers are truer than those
of one network (figures in network.py), at 1.7 times its cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replaytree.records import Path
from replaytree.space import LayerSpace, trie_cost

CHUNK = 10


def chunks(depth: int) -> Iterator[tuple[int, int]]:
    """(first, last) head of every chunk of paths of at most this depth: (1, 10), (11, 20) and so on."""
    return ((first, first + CHUNK - 1) for first in range(1, depth + 1, CHUNK))


def cut(paths: Sequence[Path], last: int) -> tuple[list[Path], list[int]]:
    """The paths down to the layer `last`, to be trained, and for each path which of them stands for it.

    Paths that part further down are the same here, and trained once; whole paths that are equal are two trainings.
    """
    trained: list[Path] = []
    places: list[int] = []
    for path in paths:
        if len(path) > last and path[:last] in trained:
            places.append(trained.index(path[:last]))
        else:
            places.append(len(trained))
            trained.append(path[:last])
    return trained, places


def joint_flops(space: LayerSpace, paths: Sequence[Path]) -> int:
    """What all chunks of paths compute together, forward for one image."""
    return sum(
        trie_cost(space, cut([path for path in paths if len(path) >= first], last)[0]).flops
        for first, last in chunks(max(map(len, paths)))
    )
