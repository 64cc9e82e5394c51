"""Capturing a training step in a CUDA graph: its stream, its memory, and what follows where it fails.

Every capture of a process goes through here. One stream and one pool of memory beside the default ones serve all
trainings of a GPU, one after the other: a new stream a training would keep a workspace of cuBLAS for each, and a new
pool would be allocated anew. A training that begins while the graph of another lives gets a stream and a pool of its
own, because graphs of one stream share its workspace.
"""

from __future__ import annotations

import atexit
import gc
import logging
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from replaytree.memory import is_out_of_memory

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Side:
    """A stream beside the default one and a pool of memory; `owner` is what captures into them, while it lives.

    `keeper` is a graph of nothing. A pool whose last graph is gone cannot be used again (an assertion of torch's
    allocator), so torch's own graphs of compiled code are kept by an empty graph, too.
    """

    device: torch.device
    stream: torch.cuda.Stream
    pool: Any
    keeper: torch.cuda.CUDAGraph
    owner: weakref.ref[object]

    @classmethod
    def made(cls, device: torch.device, owner: object) -> Side:
        """A new stream and pool."""
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        pool, keeper = torch.cuda.graph_pool_handle(), torch.cuda.CUDAGraph()
        # Torch warns of an empty graph.
        with warnings.catch_warnings(action="ignore"), torch.cuda.stream(stream):
            keeper.capture_begin(pool=pool, capture_error_mode="thread_local")
            keeper.capture_end()
        return cls(device, stream, pool, keeper, weakref.ref(owner))

    @contextmanager
    def warming(self) -> Iterator[None]:
        """Run on the side stream, as what precedes a capture must; work before and after waits for it."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            yield
        current.wait_stream(self.stream)


# By the index of the GPU.
_sides: dict[int | None, list[Side]] = {}
_stopped: list[str] = []
# Before CUDA itself ends.
atexit.register(_sides.clear)


def side_for(owner: object, device: torch.device) -> Side | None:
    """The stream and pool for what `owner` captures; None where this process captures nothing any more."""
    if _stopped:
        return None
    sides = _sides.setdefault(device.index, [])
    for side in sides:
        if side.owner() in (None, owner):
            side.owner = weakref.ref(owner)
            return side
    try:
        sides.append(Side.made(device, owner))
    except Exception as error:
        _stop(_one_line(error))
        return None
    return sides[-1]


def captured(side: Side, run: Callable[[], None]) -> torch.cuda.CUDAGraph | None:
    """A graph of what `run` does, which is recorded and not executed; None where that fails.

    A failure leaves stream and allocator as they were, and no reference to the error, which would keep the tensors of
    the failed pass. Unless memory was all that lacked, this process then captures no more, and says so once.
    """
    graph = torch.cuda.CUDAGraph()
    # Not for the whole device: other trainings may be under way on streams of their own.
    torch.cuda.current_stream(side.device).synchronize()
    if torch.cuda.mem_get_info(side.device)[0] < _idle_bytes(side):
        # The pool needs once more what the steps before had, and they are done with it.
        torch.cuda.empty_cache()
    try:
        # Not torch.cuda.graph, which leaves the side stream current where the end of a capture raises.
        with _no_collection(), torch.cuda.stream(side.stream):
            graph.capture_begin(pool=side.pool, capture_error_mode="thread_local")
            try:
                run()
            finally:
                graph.capture_end()
        return graph
    except Exception as error:
        why, memory = _reason(error)
    if not memory:
        _stop(why)
    _abandon(side, graph)
    return None


def _idle_bytes(side: Side) -> int:
    """What the steps before the capture needed at most: the memory that torch keeps for their stream, unused.

    Not the largest amount that was ever allocated: with several trainings at once, that is of all of them together.
    """
    segments: list[dict[str, Any]] = torch.cuda.memory_snapshot()  # type: ignore[no-untyped-call]
    return sum(
        segment["total_size"] - segment["allocated_size"]
        for segment in segments
        if segment["device"] == side.device.index
        and segment["stream"] == side.stream.cuda_stream
        and segment["segment_pool_id"] != tuple(side.pool)
    )


def holds_memory(device: torch.device) -> bool:
    """Whether graphs of earlier trainings hold memory of the device, which torch gives to nothing else."""
    return device.type == "cuda" and any(side.owner() is None for side in _sides.get(device.index, []))


def release_memory(device: torch.device) -> None:
    """Give back what torch keeps, and what the graphs of earlier trainings used. Never raises."""
    if device.type != "cuda":
        return
    sides = _sides.get(device.index, [])
    for side in [side for side in sides if side.owner() is None]:
        sides.remove(side)
        side.keeper.reset()
    _empty_cache()


def capturable(network: nn.Module) -> bool:
    """Whether no layer may wait for the device, which ends a capture: it is torch's, ours, or declared by its maker.

    `capturable` of a module declares it and all modules within it; so does CustomLayer(..., capturable=True).
    """
    declared = getattr(network, "capturable", None)
    if declared is not None:
        return bool(declared)
    return type(network).__module__.startswith(("torch.nn.", "replaytree.")) and all(
        map(capturable, network.children())
    )


def _reason(error: Exception) -> tuple[str, bool]:
    """Why a capture failed, and whether for want of memory. Its end raises, too, and says less than what came first."""
    first = error.__context__ or error
    if not isinstance(first, Exception):  # Ctrl-C
        raise first from None
    cause = first.__cause__ or first
    return _one_line(cause), is_out_of_memory(cause)


def _stop(why: str) -> None:
    if not _stopped:
        _log.warning("a training step cannot be captured in a CUDA graph (%s); from here on steps run eagerly", why)
    _stopped.append(why)


def _abandon(side: Side, graph: torch.cuda.CUDAGraph) -> None:
    """Undo what a failed capture has begun, as far as torch has not.

    Torch before 2.12 goes on allocating to the pool after a failed end, and then refuses to empty its cache; later
    ones may count the failed graph as a user of the pool for ever (pytorch/pytorch#180395, #190308).
    """
    _sides[side.device.index].remove(side)
    with suppress(RuntimeError):
        torch._C._cuda_endAllocateToPool(side.device.index, side.pool)
    with suppress(RuntimeError):
        graph.reset()
    with suppress(RuntimeError):
        side.keeper.reset()
    _empty_cache()
    segments: list[dict[str, Any]] = torch.cuda.memory_snapshot()  # type: ignore[no-untyped-call]
    if any(segment.get("segment_pool_id") == tuple(side.pool) for segment in segments):
        with suppress(RuntimeError):
            torch._C._cuda_releasePool(side.device.index, side.pool)
        _empty_cache()


def _empty_cache() -> None:
    try:
        torch.cuda.empty_cache()
    except RuntimeError as error:
        _log.warning("torch cannot give back the memory that it keeps: %s", _one_line(error))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Let no garbage be collected meanwhile: among it may be an older graph, whose end would disturb the capture."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
