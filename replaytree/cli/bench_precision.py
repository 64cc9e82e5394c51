"""`replaytree bench precision`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.options import whole
from replaytree.cli.text import say


def precision(
    rounds: Annotated[int, whole("Steps of each network in each type.")] = 7,
    batch_size: Annotated[int, whole("Images a step.", least=2)] = 128,
    json_: Json = None,
) -> None:
    """Processor milliseconds of a training step on a CPU in float32 and in bfloat16, by network and width."""
    import torch

    from replaytree.bench.precision import precision_costs
    from replaytree.training.precision import cpu_has_bfloat16

    torch.set_num_threads(1)
    if not cpu_has_bfloat16():
        say("note: this CPU has no instructions for bfloat16, or torch cannot tell", error=True)
    costs = precision_costs(rounds=rounds, batch=batch_size)
    say(f"{'network':<20} {'width':>5} {'FLOPs':>12} {'float32':>9} {'bfloat16':>9} {'ratio':>6}")
    for cost in costs:
        say(
            f"{cost.network:<20} {cost.width:>5g} {cost.flops:>12,} {cost.float32_ms:>6.1f} ms "
            f"{cost.bfloat16_ms:>6.1f} ms {cost.ratio:>6.2f}"
        )
    finish({"costs": [asdict(cost) | {"ratio": cost.ratio} for cost in costs]}, json_)
