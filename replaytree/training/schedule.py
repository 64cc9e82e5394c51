"""The schedules of the learning rate: one cycle, or a cosine, once or with warm restarts."""

from __future__ import annotations

import math

WARM_UP = 0.25
# The rate begins at the peak by START, and falls to that by END.
START, END = 25.0, 1e4


def one_cycle(step: int, steps: int, *, peak: float) -> float:
    """The learning rate of step 0..steps - 1: two straight lines, from peak / 25 to the peak and on to almost 0.

    With w = 0.25 (steps + 1) - 1, the rate is peak (1 / 25 + 24 / 25 step / w) until step w, and then
    peak (1 - (1 - 4e-6) (step - w) / (steps - w)). After "Super-Convergence" (Smith and Topin, 2018). The numbers are
    those of torch.optim.lr_scheduler.OneCycleLR(total_steps=steps + 1, pct_start=0.25, anneal_strategy="linear"). Three
    steps are too few for OneCycleLR, which divides by w = 0; w is 1 then. ValueError for a step outside the range.
    """
    if not 0 <= step < steps:
        raise ValueError(f"step is {step}; it must be from 0 to {steps - 1}")
    start = peak / START
    turn = WARM_UP * (steps + 1) - 1.0 or 1.0
    if step <= turn:
        return (peak - start) * (step / turn) + start
    return (start / END - peak) * ((step - turn) / (steps - turn)) + peak


def cosine(done: float, *, peak: float, lowest: float = 0.0, first: float, factor: float = 1.0) -> float:
    """The learning rate after `done` of a training, in epochs or any other unit, which `first` is in, too.

    A cycle of length T falls as lowest + (peak - lowest) (1 + cos(pi t / T)) / 2, t from its beginning. Then the rate
    is at its peak again, and the next cycle is `factor` times as long (SGDR; Loshchilov and Hutter, 2017). The first
    step of a cycle has its own length already. ValueError for lengths or factors that make no cycles.
    """
    start, length = cycle_of(done, first=first, factor=factor)
    return lowest + (peak - lowest) * (1.0 + math.cos(math.pi * (done - start) / length)) / 2.0


def cycle_of(done: float, *, first: float, factor: float) -> tuple[float, float]:
    """Where the cycle that `done` is in began, and its length."""
    if not (done >= 0.0 and first > 0.0 and factor >= 1.0):
        raise ValueError(f"done is {done}, first {first}, factor {factor}; they must be at least 0, over 0, at least 1")
    start, length = 0.0, float(first)
    while done >= start + length:
        start, length = start + length, length * factor
    return start, length
