"""What the parts of a turn cost in a named space, beside what they cost in xu24.

Times are processor milliseconds of one thread, measured by turns: other processes then hardly change the ratios. What a
turn waits for the disk is not in them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as FilePath
from statistics import median

import torch

from replaytree.bench.loop import Instant, grown
from replaytree.config.controller import ControllerOptions
from replaytree.policy.controller import Controller
from replaytree.policy.evolution import mutant
from replaytree.policy.node_table import NodeTable
from replaytree.policy.random_search import random_path
from replaytree.policy.value_model import ValueModel
from replaytree.records import BudgetSums, NodeStats, Path, Space
from replaytree.space.catalogue import named_space

# Paths that are sampled together, and those of them that the controller is fitted to.
CANDIDATES = 64
ELITE = 8
HIDDEN = 64
NODES = 400


@dataclass(frozen=True, slots=True)
class StepCost:
    """Medians over `rounds` rounds, in processor milliseconds: of one part of a turn in xu24, and in another space."""

    part: str
    space: str
    depth: int
    rounds: int
    xu24_ms: float
    space_ms: float

    @property
    def ratio(self) -> float:
        """The space's time over xu24's."""
        return self.space_ms / self.xu24_ms


def measure_steps(name: str, *, depth: int, nodes: int, rounds: int = 30) -> list[StepCost]:
    """Every part of a turn at full depth; the whole turn, of guided, on a tree of at least `nodes` nodes."""
    spaces = {
        each: named_space(each, input_shape=(3, 32, 32), num_classes=10, max_layers=depth) for each in ("xu24", name)
    }
    with tempfile.TemporaryDirectory() as folder:
        parts = {each: _parts(space) for each, space in spaces.items()}
        for each, space in spaces.items():
            storage = f"sqlite:///{FilePath(folder) / each}.db"
            parts[each]["a whole turn of guided"] = _turns(space, storage, depth=depth, nodes=nodes)
        return [
            StepCost(part, name, depth, rounds, *by_turns([parts["xu24"][part], parts[name][part]], rounds=rounds))
            for part in parts[name]
        ]


def by_turns(works: list[Callable[[], object]], *, rounds: int) -> list[float]:
    """The median processor milliseconds of each. They take turns, so that a busy machine slows all alike."""
    found: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(rounds):
        for times, work in zip(found, works, strict=True):
            started = time.process_time()
            work()
            times.append((time.process_time() - started) * 1e3)
    return [median(times) for times in found]


def _parts(space: Space) -> dict[str, Callable[[], object]]:
    depth, generator = space.max_layers, torch.Generator().manual_seed(0)
    controller = Controller(space, ControllerOptions(hidden_size=HIDDEN), generator=generator)
    optimizer = torch.optim.Adam(controller.parameters(), lr=0.0, fused=True)
    table, values = _table(space), ValueModel(space)

    def sample() -> list[object]:
        return list(controller.sample([()] * CANDIDATES, depth_bound=depth, generator=generator))

    paths = [path for path, _ in controller.sample([()] * CANDIDATES, depth_bound=depth, generator=generator)]

    def learn() -> None:
        scored = controller.score(paths[:ELITE])
        optimizer.zero_grad(set_to_none=True)
        (-scored.log_probs_BT.sum() - scored.entropy_BT.sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def mutate() -> None:
        for path in paths:
            random_path(space, depth, generator, prefix=mutant(space, path, generator))

    return {
        f"{CANDIDATES} paths sampled": sample,
        f"{ELITE} paths scored and learned from": learn,
        f"{CANDIDATES} mutants": mutate,
        f"the value model fitted to {NODES} nodes": lambda: values.fit(table),
    }


def _table(space: Space) -> NodeTable:
    """NODES nodes on random paths, with random accuracies."""
    generator, table = torch.Generator().manual_seed(0), NodeTable(space.max_layers)
    nodes: dict[Path, None] = {}
    while len(nodes) < NODES:
        path = random_path(space, space.max_layers, generator).path
        nodes |= {path[:t]: None for t in range(1, len(path) + 1)}
    for path in list(nodes)[:NODES]:
        accuracy = float(torch.rand((), generator=generator))
        table.put(NodeStats(path, 1, (BudgetSums(1, 1, accuracy),)))
    return table


def _turns(space: Space, storage: str, *, depth: int, nodes: int) -> Callable[[], object]:
    search = grown("guided", space, Instant(), storage=storage, depth=depth, nodes=nodes)
    return lambda: search.turn(1)
