"""Processor time of a training step of a recurrent cell, and of other ways to compute it, side by side in one run.

Logits of bfloat16 take a third less time, and are not used on a CPU: after 80,000 to 310,000 words of Penn Treebank the
perplexity was 3 to 16 % higher with each of the three seeds tried.

Shapes: T words of a chunk, B columns, S vectors of a state, H hidden size, V words of the vocabulary.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from replaytree.networks.reading import Reading
from replaytree.space.language_model import ACTIVATIONS, LanguageModel, NodeWeights
from replaytree.space.recurrent import C, H, X
from replaytree.training.precision import Precision
from replaytree.training.step import Step

PTB_WORDS = 929_589
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Way:
    """Milliseconds of a step one way, the median of some rounds, and what that makes of an epoch of Penn Treebank."""

    name: str
    milliseconds: float
    epoch_seconds: float
    ratio: float


class PlainReading(nn.Module):
    """The same model word by word, each product by itself: as the formulas are written."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.network = model

    def forward(self, words_TB: Tensor) -> Tensor:
        """Logits (1, T * B, V), from a state of zeros."""
        model = self.network
        state = tuple(model.initial_state(words_TB.shape[1]))
        logits = []
        for words_B in words_TB:
            state = self._step(model.embedding(words_B), state)
            logits.append(model.decoded(state[0]))
        return torch.cat(logits)[None]

    def _step(self, x_BE: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        graph = self.network.graph
        values = {X: x_BE, H: state[0], C: state[-1]}
        memory = []
        for index, node in enumerate(graph.nodes):
            reads = [values[source] for source in node.reads]
            if node.weighted:
                weights = cast(NodeWeights, self.network.get_submodule(node.name))
                reads = [read @ weights.get_parameter(f"weight{place}").T for place, read in enumerate(reads)]
                reads[-1] = reads[-1] if weights.bias is None else reads[-1] + weights.bias
            combined = reads[0]
            for other in reads[1:]:
                combined = combined + other if node.combination == "add" else combined * other
            memory += [combined] if index == graph.memory else []
            if node.gated:
                inner_BH, gate_BH = combined.chunk(2, dim=1)
                before_BH, activated_BH = values[node.reads[-1]], ACTIVATIONS[node.activation](inner_BH)
                values[index] = before_BH + torch.sigmoid(gate_BH) * (activated_BH - before_BH)
            else:
                values[index] = ACTIVATIONS[node.activation](combined)
        return (torch.stack([values[end] for end in graph.ends]).mean(dim=0), *memory)


def measure_steps(
    make: Callable[[], LanguageModel], *, bptt: int, columns: int, rounds: int, compiled: bool = False
) -> list[Way]:
    """Every way once a round; processor time, on one thread. `make` makes a model with first weights."""
    words = make().graph.vocabulary
    words_TB, labels_M = torch.randint(words, (bptt, columns)), torch.randint(words, (bptt * columns,))
    reading, brief = Reading(make()), Reading(make())
    ways = {
        "as it is trained": _step(reading, words_TB, labels_M),
        "bfloat16 where logits are made": _step(brief, words_TB, labels_M, Precision(torch.bfloat16)),
        "each product by itself": _step(PlainReading(make()), words_TB, labels_M),
    }
    if compiled:
        other = make()
        other.outputs = torch.compile(other.outputs)  # type: ignore[method-assign]
        ways["cell compiled by torch.compile"] = _step(Reading(other), words_TB, labels_M)
    model = make()
    ways |= {
        "of it: the cell": lambda: _cell(model, words_TB),
        "of it: logits and loss": lambda: _decoder(model, words_TB, labels_M),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for run in ways.values():
        # The first run makes what later ones find made; torch.compile compiles in it.
        run()
    for _ in range(rounds):
        for name, run in ways.items():
            started = time.process_time()
            run()
            taken[name].append(time.process_time() - started)
    first = statistics.median(taken["as it is trained"])
    return [
        Way(name, 1e3 * median, median * PTB_WORDS / (bptt * columns), median / first)
        for name, seconds in taken.items()
        for median in (statistics.median(seconds),)
    ]


def _step(
    network: nn.Module, words_TB: Tensor, labels_M: Tensor, precision: Precision | None = None
) -> Callable[[], None]:
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, weight_decay=1e-6, fused=True)
    step = Step(network, optimizer, label_smoothing=0.0, capture=False, device=CPU, precision=precision, grad_clip=0.25)
    return lambda: step(words_TB, labels_M)


def _cell(model: LanguageModel, words_TB: Tensor) -> None:
    """Forward and backward through the cell."""
    outputs_TBH, _ = model.outputs(words_TB, model.initial_state(words_TB.shape[1]))
    outputs_TBH.sum().backward()  # type: ignore[no-untyped-call]


def _decoder(model: LanguageModel, words_TB: Tensor, labels_M: Tensor) -> None:
    """Forward and backward through the decoder and the loss."""
    outputs_TBH = torch.zeros(*words_TB.shape, model.graph.hidden, requires_grad=True)
    loss = functional.cross_entropy(model.decoded(outputs_TBH).flatten(0, 1), labels_M)
    loss.backward()  # type: ignore[no-untyped-call]
