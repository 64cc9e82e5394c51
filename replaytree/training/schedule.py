"""The one-cycle schedule of the learning rate."""

from __future__ import annotations

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
