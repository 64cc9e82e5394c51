"""What a training step costs on a GPU: by path and batch, by kind of kernel, and of several paths together."""

from __future__ import annotations

from statistics import median
from typing import Any

import torch

from replaytree.bench.evaluator import matrix_peak, tree_paths
from replaytree.bench.gpu.bench import Bench, profiled
from replaytree.space import trie_cost


def steps(bench: Bench) -> dict[str, Any]:
    """Each path and batch size: milliseconds a step, share of the peak, memory.

    The smallest batch also eagerly. The batch of searches also with batch norm apart from ReLU, and with its
    kernels (on a CPU: operators).
    """
    peak = matrix_peak(bench.device) if bench.device.type == "cuda" else None
    rows = []
    for name, path in bench.paths.items():
        flops = trie_cost(bench.space, [path]).flops
        apart = (bench.usual, True, False)
        for batch, capture, fuse in [(bench.batches[0], False, True), apart, *((b, True, True) for b in bench.batches)]:
            if bench.late:
                break
            if bench.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(bench.device)
            step, run = bench.stepping(bench.network([path]), batch, capture=capture, fuse=fuse)
            seconds = median(bench.seconds(run) for _ in range(bench.repeats))
            rows.append({
                "path": name, "layers": len(path), "batch": batch, "captured": step.captured, "fused": fuse,
                "ms": seconds * 1e3,
                "peak_share": 6 * flops * batch / seconds / peak if peak else None,
                "bytes": torch.cuda.max_memory_allocated(bench.device) if bench.device.type == "cuda" else None,
            })  # fmt: skip
            if batch == bench.usual:
                rows[-1]["kernels"] = sum(count for count, _ in profiled(bench, run).values())
            del step, run
    return {"rows": rows}


def split(bench: Bench) -> dict[str, Any]:
    """Shares of the time of a step by kind of kernel, at the batch of searches."""
    batch = bench.usual
    shares = {}
    for name, path in bench.paths.items():
        _, run = bench.stepping(bench.network([path]), batch, capture=True)
        found = profiled(bench, run)
        total = sum(seconds for _, seconds in found.values()) or 1.0
        shares[name] = {kind: {"count": n, "share": own / total} for kind, (n, own) in sorted(found.items())}
    return {"batch": batch, "shares": shares}


def tries(bench: Bench) -> dict[str, Any]:
    """Milliseconds a step of 1, 2, 4 and 8 paths that are trained together as a trie."""
    batch, depth = bench.usual, 2 if bench.small else 10
    paths = tree_paths(bench.space, depth=depth, count=8, seed=0)
    found = {}
    for count in (1, 2, 4, 8):
        _, run = bench.stepping(bench.network(paths[:count]), batch, capture=True)
        found[str(count)] = median(bench.seconds(run) for _ in range(bench.repeats)) * 1e3
    return {"batch": batch, "ms": found}
