"""Kill a search with SIGKILL at random moments, resume it each time, and compare it with an uninterrupted one.

    python tests/crash/kill_many.py --kills 100
    python tests/crash/kill_many.py --kills 100 --state

With `--state` the scores depend on the state of the evaluator, a small supernet, which is kept with the search.
Every search is a process of its own. After each kill the database must agree with itself, hold all that the killed
process was told is committed, and begin with what it held before. At the end tree, episodes and strategy state must be
those of a search that nobody killed. Exit code 1, with what differs, where they are not.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch
from small_supernet import SmallSupernet
from sqlalchemy import event

import replaytree
from replaytree.errors import StorageError
from replaytree.records import PathEvaluation
from replaytree.search.search import Search
from replaytree.search.state import unpack
from replaytree.tree import ReplayTree, check, open_engine, read_state

NAME = "crash"
PATHS_A_TURN = 2
IN_TRANSACTION, OUT_OF_TRANSACTION, RECORDED = b"(", b")", b"!"


class Deterministic:
    """Accuracies that follow from path, epochs and seed alone."""

    def evaluate(self, paths, *, budget, seed):
        results = []
        for path in paths:
            noise = random.Random(repr((seed, path, budget.epochs)))
            values = [0.5 + 0.04 * path[: t + 1].count(1) + 0.01 * noise.random() for t in range(len(path))]
            results.append(PathEvaluation(values))
        return results


def search_of(storage: str, strategy: str, *, has_state: bool) -> Search:
    """The search, begun or resumed, as a user would."""
    evaluator = SmallSupernet(actions=6, max_layers=6) if has_state else Deterministic()
    given = {"space": replaytree.LabelSpace(list("abcdef"), max_layers=6), "evaluator": evaluator}
    if NAME in names(storage):
        return Search.resume(NAME, storage=storage, **given)
    return Search(
        name=NAME,
        storage=storage,
        strategy=strategy,
        num_paths=PATHS_A_TURN,
        seed=11,
        min_layers=2,
        epochs_last=4,
        **given,
    )


def names(storage: str) -> list[str]:
    engine = open_engine(storage)
    try:
        return [info.name for info in replaytree.tree.list_searches(engine)]
    finally:
        engine.dispose()


def begin(storage: str, strategy: str, episodes: int, *, has_state: bool) -> tuple[int, int]:
    """A process that searches: (its number, a pipe on which it tells where it is)."""
    tells, told = os.pipe()
    pid = os.fork()
    if pid:
        os.close(told)
        return pid, tells
    code = 1
    try:
        torch.set_num_threads(1)
        search = search_of(storage, strategy, has_state=has_state)
        engine = search.tree.engine
        event.listen(engine, "begin", lambda connection: os.write(told, IN_TRANSACTION))
        event.listen(engine, "checkin", lambda connection, record: os.write(told, OUT_OF_TRANSACTION))
        search.run(episodes=episodes, on_turn=lambda progress: os.write(told, RECORDED) and None)
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)
    return pid, tells


def kill_at_random(pid: int, tells: int, random_: random.Random) -> tuple[str, int]:
    """Kill the process, at its start or at work; where it was, and how many turns it was told are committed."""
    said = b""
    starting = random_.random() < 0.25
    if not starting:
        while RECORDED not in said:
            said += os.read(tells, 1 << 16) or sys.exit("the search ended by itself before it was killed")
    deadline = time.monotonic() + random_.uniform(0.0, 0.5 if starting else 0.4)
    while (left := deadline - time.monotonic()) > 0:
        if select.select([tells], [], [], left)[0]:
            said += os.read(tells, 1 << 16)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the search ended by itself before it was killed"
    while more := os.read(tells, 1 << 16):
        said += more
    os.close(tells)
    turns = said.count(RECORDED)
    last = max(said.rfind(IN_TRANSACTION), said.rfind(OUT_OF_TRANSACTION))
    inside = last >= 0 and said[last : last + 1] == IN_TRANSACTION
    return "at its start" if not turns else "in a transaction" if inside else "between two transactions", turns


def stored(storage: str) -> tuple[list[object], list[object], tuple[bytes | None, object], list[str]]:
    """Episodes, nodes, the states of strategy and evaluator, and what contradicts itself."""
    try:
        tree = ReplayTree.open(storage, NAME)
    except StorageError:  # killed before there was a database, or a search in it
        return [], [], (None, None), []
    episodes = [
        (e.number, e.path, e.source, e.trained, e.depth_bound, e.epochs, e.accuracies, e.policy_loss, e.entropy)
        for e in tree.episodes()
    ]
    file = tree.evaluator_state()
    evaluator = None
    if file is not None:
        state = unpack(read_state(file, tree.engine.url))
        evaluator = [state["turns"], *(tensor.tolist() for kind in ("weights", "momenta") for tensor in state[kind])]
    states = tree.strategy_state(), evaluator
    found = episodes, tree.node_stats(), states, [problem.text for problem in check(tree.engine)]
    tree.engine.dispose()
    return found


def finish(storage: str, strategy: str, episodes: int, *, has_state: bool) -> None:
    pid, tells = begin(storage, strategy, episodes, has_state=has_state)
    while os.read(tells, 1 << 16):
        pass
    os.close(tells)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        sys.exit("a search that nobody killed failed")


def main(arguments: list[str] | None = None) -> int:
    """Kill, resume, compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--strategy", default="replay")
    parser.add_argument("--state", action="store_true", help="an evaluator with a state")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(arguments)
    random_ = random.Random(options.seed)
    where: dict[str, int] = {"at its start": 0, "in a transaction": 0, "between two transactions": 0}
    lost, wrong, before = 0, [], []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{Path(folder) / 'killed.db'}"
        for _ in range(options.kills):
            place, turns = kill_at_random(*begin(storage, options.strategy, 10**9, has_state=options.state), random_)
            where[place] += 1
            episodes, _, _, problems = stored(storage)
            wrong += problems
            lost += max(0, len(before) + turns * PATHS_A_TURN - len(episodes))
            if episodes[: len(before)] != before:
                wrong.append("what was committed has changed")
            before = episodes
        total = len(before) + 10 * PATHS_A_TURN
        finish(storage, options.strategy, 10 * PATHS_A_TURN, has_state=options.state)
        episodes, nodes, states, problems = stored(storage)
        finish(f"sqlite:///{Path(folder) / 'whole.db'}", options.strategy, total, has_state=options.state)
        whole = stored(f"sqlite:///{Path(folder) / 'whole.db'}")
    evaluations, expected = (sum(len(e[6]) for e in some) for some in (episodes, whole[0]))
    same = {"episodes": episodes == whole[0], "nodes": nodes == whole[1], "states": states == whole[2]}
    print(f"{options.kills} kills: {', '.join(f'{count} {place}' for place, count in where.items())}")
    print(
        f"{len(episodes)} episodes, {evaluations} evaluations, {len(nodes)} nodes in {time.monotonic() - started:.0f} s"
    )
    print(
        f"episodes lost: {lost}; evaluations too many: {evaluations - expected}; "
        f"contradictions: {len(wrong + problems)}"
    )
    print(f"equal to an uninterrupted search: {', '.join(f'{what} {yes}' for what, yes in same.items())}")
    for text in wrong + problems:
        print(text)
    return int(lost > 0 or bool(wrong + problems) or evaluations != expected or not all(same.values()))


if __name__ == "__main__":
    sys.exit(main())
