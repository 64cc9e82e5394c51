"""A language model with a recurrent cell: words in, and the logits of each next word out.

Shapes: T words of a chunk, B columns (texts side by side), E size of an embedding, H hidden size, V words of the
vocabulary, S vectors of the state (h, or h and c), N rows of some matrices together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from replaytree.errors import SpaceError
from replaytree.space.recurrent import C, H, RecurrentGraph, X

# First values of embeddings are uniform from minus to plus this, as in AWD-LSTM.
EMBEDDING_SPREAD = 0.1

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda values: values,
}  # fmt: skip


class NodeWeights(nn.Module):
    """The matrices of a node, `weight0` for the first thing that it reads, and its bias."""

    def __init__(self, matrices: tuple[tuple[int, int], ...], *, hidden: int, bias: float | None) -> None:
        super().__init__()
        spread = 1.0 / math.sqrt(hidden)
        for place, shape in enumerate(matrices):
            self.register_parameter(f"weight{place}", nn.Parameter(torch.empty(shape).uniform_(-spread, spread)))
        self.bias = None if bias is None else nn.Parameter(torch.full(matrices[0][:1], float(bias)))


class LanguageModel(nn.Module):
    """Embedding, a recurrent cell, and a decoder that has the embedding's weights.

    `embedding_dropout`, `input_dropout`, `hidden_dropout` and `output_dropout` are rates, 0 unless a training sets
    them: of whole words, of x, of the states that matrices multiply, and of what the decoder reads (dropoute, dropouti,
    dropouth and dropout of AWD-LSTM). Each draws one mask a column for all words of a chunk.

    The modules of nodes have the nodes' names.
    """

    def __init__(self, graph: RecurrentGraph) -> None:
        super().__init__()
        self.embedding_dropout = self.input_dropout = self.hidden_dropout = self.output_dropout = 0.0
        self.graph = graph
        self.embedding = nn.Embedding(graph.vocabulary, graph.embedding)
        nn.init.uniform_(self.embedding.weight, -EMBEDDING_SPREAD, EMBEDDING_SPREAD)
        self.projection: nn.Linear | None = None
        if graph.embedding != graph.hidden:
            self.projection = nn.Linear(graph.hidden, graph.embedding, bias=False)
        self.decoder_bias = nn.Parameter(torch.zeros(graph.vocabulary)) if graph.decoder_bias else None
        for node in graph.nodes:
            if not node.weighted:
                continue
            if hasattr(self, node.name):
                raise SpaceError(f"a node is named {node.name!r}, as a part of every model is; name it otherwise")
            weights = NodeWeights(graph.matrices(node), hidden=graph.hidden, bias=node.bias)
            self.add_module(node.name, weights)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (S, B, H), before the first word."""
        return self.embedding.weight.new_zeros(self.graph.states, batch, self.graph.hidden)

    def forward(self, words_TB: Tensor, state_SBH: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (T, B, V) of the word behind each word, and the state behind the last."""
        outputs_TBH, state_SBH = self.outputs(words_TB, state_SBH)
        return self.decoded(outputs_TBH), state_SBH

    def outputs(self, words_TB: Tensor, state_SBH: Tensor) -> tuple[Tensor, Tensor]:
        """The h (T, B, H) behind each word, and the state behind the last."""
        weight_VE = self.embedding.weight
        if self.training and self.embedding_dropout:
            weight_VE = weight_VE * self._mask(self.embedding_dropout, weight_VE.shape[0], 1)
        x_TBE = functional.embedding(words_TB, weight_VE)
        x_TBE = self._locked(x_TBE, self.input_dropout)
        # States keep their precision, and products of single words are too small to win by another.
        device = x_TBE.device.type
        with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
            mask_BH = None
            if self.training and self.hidden_dropout:
                mask_BH = self._mask(self.hidden_dropout, *state_SBH.shape[1:])
            return _Cell(self, mask_BH).run(x_TBE, state_SBH)

    def decoded(self, outputs_TBH: Tensor) -> Tensor:
        """The logits (T, B, V) of what the cell gave."""
        outputs_TBH = self._locked(outputs_TBH, self.output_dropout)
        if self.projection is not None:
            outputs_TBH = self.projection(outputs_TBH)
        return functional.linear(outputs_TBH, self.embedding.weight, self.decoder_bias)

    def _locked(self, values_TBN: Tensor, rate: float) -> Tensor:
        """Variational dropout: one mask for all words of a chunk."""
        if not self.training or not rate:
            return values_TBN
        return values_TBN * self._mask(rate, *values_TBN.shape[1:])

    def _mask(self, rate: float, *shape: int) -> Tensor:
        return functional.dropout(self.embedding.weight.new_ones(shape), rate)


@dataclass(frozen=True, slots=True)
class _Product:
    """All matrices that multiply one thing, side by side, so that it is multiplied once, however many nodes read it.

    `rows` are those of each matrix. Nothing is in it where no node multiplies the thing.
    """

    matrix_NH: Tensor | None
    bias_N: Tensor | None
    rows: list[int]

    @classmethod
    def of(cls, parts: Sequence[tuple[Tensor, Tensor | None]]) -> _Product:
        """The product of some matrices, some of which have biases."""
        bias_N = None
        if any(bias is not None for _, bias in parts):
            bias_N = torch.cat([weight.new_zeros(len(weight)) if bias is None else bias for weight, bias in parts])
        weights = [weight for weight, _ in parts]
        return cls(torch.cat(weights) if weights else None, bias_N, [len(weight) for weight in weights])

    def __call__(self, values: Tensor) -> tuple[Tensor, ...]:
        """What each matrix makes of the values, whose last dimension is multiplied."""
        if self.matrix_NH is None:
            return ()
        return torch.split(functional.linear(values, self.matrix_NH, self.bias_N), self.rows, dim=-1)


class _Cell:
    """The cell of a model for the words of a chunk. `mask_BH` is what dropout leaves of states that are multiplied."""

    def __init__(self, model: LanguageModel, mask_BH: Tensor | None) -> None:
        self._graph = graph = model.graph
        self._mask_BH = mask_BH
        parts: dict[int, list[tuple[Tensor, Tensor | None]]] = {}
        # Of each weighted node and each thing that it reads: which part of the product of that thing.
        self._places: list[tuple[int, ...]] = []
        for node in graph.nodes:
            places = []
            for place, source in enumerate(node.reads if node.weighted else ()):
                weights = cast(NodeWeights, model.get_submodule(node.name))
                bias = weights.bias if place == len(node.reads) - 1 else None
                own = parts.setdefault(source, [])
                places.append(len(own))
                own.append((weights.get_parameter(f"weight{place}"), bias))
            self._places.append(tuple(places))
        self._products = {source: _Product.of(parts.get(source, ())) for source in range(C, len(graph.nodes))}

    def run(self, x_TBE: Tensor, state_SBH: Tensor) -> tuple[Tensor, Tensor]:
        """The h (T, B, H) behind each word, and the state behind the last."""
        state = state_SBH.unbind(0)
        # x of all words at once: T is long, and the products of single words are small.
        products = [each_TBN.unbind(0) for each_TBN in self._products[X](x_TBE)]
        outputs = []
        for word, x_BE in enumerate(x_TBE.unbind(0)):
            state = self._step(x_BE, tuple(each[word] for each in products), state)
            outputs.append(state[0])
        return torch.stack(outputs), torch.stack(state)

    def _step(self, x_BE: Tensor, x_products: tuple[Tensor, ...], state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state behind a word."""
        graph = self._graph
        values: dict[int, Tensor] = {X: x_BE, H: state[0]}
        products = {X: x_products, H: self._multiplied(H, state[0])}
        if len(state) > 1:
            values[C] = state[1]
            products[C] = self._multiplied(C, state[1])
        memory = None
        for index, (node, places) in enumerate(zip(graph.nodes, self._places, strict=True)):
            if node.weighted:
                reads = [products[source][place] for source, place in zip(node.reads, places, strict=True)]
            else:
                reads = [values[source] for source in node.reads]
            combined = reads[0]
            for other in reads[1:]:
                combined = combined + other if node.combination == "add" else combined * other
            if node.gated:
                inner_BH, gate_BH = combined.chunk(2, dim=1)
                before_BH = values[node.reads[-1]]
                value = torch.lerp(before_BH, ACTIVATIONS[node.activation](inner_BH), torch.sigmoid(gate_BH))
            else:
                value = ACTIVATIONS[node.activation](combined)
            values[index] = value
            products[index] = self._multiplied(index, value)
            if index == graph.memory:
                memory = combined
        ends = [values[end] for end in graph.ends]
        h_BH = ends[0] if len(ends) == 1 else torch.stack(ends).mean(dim=0)
        return (h_BH,) if memory is None else (h_BH, memory)

    def _multiplied(self, source: int, value_BH: Tensor) -> tuple[Tensor, ...]:
        product = self._products[source]
        if self._mask_BH is not None and product.rows:
            value_BH = value_BH * self._mask_BH
        return product(value_BH)
