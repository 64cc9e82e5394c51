"""How `run` and `resume` end: the best prefixes, whether the run was stopped early, and what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replaytree.cli import console
from replaytree.cli.text import escaped, say

if TYPE_CHECKING:
    from replaytree.search.search import Search
    from replaytree.tree import Goal, ReplayTree


def print_closing(
    search: Search, *, storage: str | None, data_dir: str | None, is_stopped: bool, is_quiet: bool
) -> None:
    """The result of a run; `is_stopped` where a signal asked it to end.

    `data_dir` is where the data were moved to, which no search remembers.
    """
    nodes = search.tree.best(10)
    trainings = console.counting(search.training_count, "training")
    prefixes = console.counting(search.tree.comparable_count(), "prefix", "prefixes")
    title = f"{search.name}: best of {prefixes}, {trainings}"
    console.print_nodes(
        nodes, "table", metric=search.metric, title=title, unit=search.config.weights.unit,
        has_final_form=search.tree.info().has_final_form,
    )  # fmt: skip
    if search.ended is not None:
        say(f"ended after {console.counting(search.training_count, 'epoch')}: {escaped(search.ended)}")
    answer = nodes[0].node_id if nodes else None
    if (derived := search.derived) is not None:
        answer = derived.node_id
        say(f"derived: node {answer}, {escaped(' '.join(derived.labels))}")
    if (note := search.tree.failure_note()) is not None:
        say(f"note: {escaped(note)}", error=True)
    goal = search.tree.goal()
    # The goal may have been reached while the last training ended.
    is_early = is_stopped and goal is not None and search.goal_left() is not None
    if is_early and goal is not None:
        say(stopped_text(goal, episodes=search.episode_count, trainings=search.training_count))
    if is_quiet:
        return
    say("\nNext:" if is_early else "\nNext (trainings are counted from now):")
    for words in _following(search.tree, answer, is_early, search.data is not None):
        there = data_dir if words[0] in ("resume", "retrain", "export") else None
        say(f"  {escaped(console.command(*words, storage=storage, data_dir=there))}")


def stopped_text(goal: Goal, *, episodes: int, trainings: int) -> str:
    """'stopped after 8 of 12 trainings': counted over the whole search, as its goal is."""
    if goal.trainings is not None:
        done = f"{trainings:,} of {console.counting(goal.trainings, 'training')}"
    elif goal.episodes is not None:
        done = f"{episodes:,} of {console.counting(goal.episodes, 'episode')}"
    else:
        hours = f"{console.clock(goal.used_seconds)} of {console.clock(goal.seconds or 0.0)}"
        done = f"{console.counting(trainings, 'training')}, {hours}"
    return f"stopped after {done}"


def _following(tree: ReplayTree, best: int | None, is_early: bool, is_retrainable: bool) -> list[tuple[object, ...]]:
    """The words of the commands that make sense next."""
    goes_on: tuple[object, ...] = ("resume", tree.name) if is_early else ("resume", tree.name, "--trainings", 100)
    found: list[tuple[object, ...]] = [goes_on] if is_early else []
    # A limit chosen here might be one that the whole search keeps: the front has the best of every size.
    found.append(("best", tree.name, "--pareto"))
    if best is not None:
        found.append(("show", tree.name, best))
    found.append(("report", tree.name))
    found += [] if is_early else [goes_on]
    if best is not None and is_retrainable:
        node = (tree.name, "--node", best)
        is_retrained = any(model.node_id == best and model.baseline is None for model in tree.models())
        last = ("export", *node, "--format", "onnx", "--out", "model.onnx") if is_retrained else ("retrain", *node)
        found.append(last)
    return found
