"""Running a training so that whatever goes wrong in it becomes an outcome."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch

from replaytree.memory import is_out_of_memory
from replaytree.networks.trie import NodeError
from replaytree.records import FailureKind, Path, PathEvaluation
from replaytree.training.baton import alone, using_memory
from replaytree.training.capture import holds_memory, release_memory
from replaytree.training.device import on
from replaytree.training.diverged import Diverged
from replaytree.training.recipe import Recipe

# Batch norm and the gradient are noisy in smaller batches. It is better to record that a path needs too much memory.
LEAST_BATCH = 8

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a training failed. `node` is the prefix at fault, `heads` the places of those at fault, where known."""

    kind: FailureKind
    text: str
    node: Path | None = None
    heads: tuple[int, ...] = ()


def failed_evaluation(failure: Failure, accuracies: Sequence[float | None] = (), *, seconds: float) -> PathEvaluation:
    """The evaluation of a path that failed, with what was measured before."""
    return PathEvaluation(accuracies, failure=failure.kind, failure_text=failure.text, train_seconds=seconds)


def attempt(
    run: Callable[[], T], *, seed: int, device: torch.device, needed: int = 0, memory_bytes: float = math.inf
) -> T | Failure:
    """The result of `run`, or its Failure: no exception of a training leaves this function.

    The global generators start from `seed` and are left as they were found, so that layers may draw their weights from
    them. No traceback is kept: it would hold the network's memory. The device is the current one meanwhile.

    Where memory does not suffice while graphs of earlier trainings hold some, they let it go and `run` is tried again:
    what fits is not to depend on what was trained before. Nor on what is trained beside it: `run` begins when others
    leave it the bytes `needed` of the `memory_bytes` that trainings may use, and is tried again when it is alone.
    """
    held = holds_memory(device)
    with on(device):
        with using_memory(needed, limit=memory_bytes):
            outcome = _once(run, seed=seed, device=device)
        if isinstance(outcome, Failure) and outcome.kind == "out_of_memory":
            release_memory(device)
            if alone() or held:
                return attempt(run, seed=seed, device=device, needed=needed, memory_bytes=memory_bytes)
    return outcome


def _once(run: Callable[[], T], *, seed: int, device: torch.device) -> T | Failure:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        try:
            return run()
        except Diverged as error:
            return Failure("diverged", str(error), heads=error.heads)
        except Exception as error:
            # A user's layer may raise anything, and a search of days must not end for one path.
            return failure_of(error)


def attempt_in_smaller_batches(
    run: Callable[[Recipe], T],
    *,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    needed: Callable[[Recipe], int],
    memory_bytes: float,
) -> T | Failure:
    """As attempt, of `run(recipe)`. Where memory does not suffice, again with half the batch size and learning rate.

    The rate is scaled with the batch size, which keeps the sum of an epoch's steps (Goyal et al., 2017). What is
    `needed` is estimated in advance and compared with `memory_bytes`, because Linux grants memory that it does not have
    and then kills the process that uses it.
    """
    while True:
        own = needed(recipe)
        if own <= memory_bytes:
            outcome = attempt(partial(run, recipe), seed=seed, device=device, needed=own, memory_bytes=memory_bytes)
            if not (isinstance(outcome, Failure) and outcome.kind == "out_of_memory"):
                return outcome
        else:
            outcome = Failure("out_of_memory", f"batches of {recipe.batch_size} {recipe.unit} are estimated not to fit")
        half = recipe.batch_size // 2
        if half < LEAST_BATCH:
            return outcome
        _log.warning("out of memory with batches of %d %s; trying %d", recipe.batch_size, recipe.unit, half)
        rate = recipe.learning_rate * half / recipe.batch_size
        recipe = replace(recipe, batch_size=half, learning_rate=rate)


def failure_of(error: Exception) -> Failure:
    """The error as a Failure. Not inside `attempt`: a second reference to the error would keep its network alive."""
    cause = error.__cause__ if isinstance(error, NodeError) and error.__cause__ is not None else error
    if is_out_of_memory(cause):
        return Failure("out_of_memory", _first_line(cause))
    return Failure("error", _text(cause), node=error.node if isinstance(error, NodeError) else None)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__
