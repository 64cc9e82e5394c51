"""A language model with a recurrent cell: words in, and the logits of each next word out.

Shapes: T words of a chunk, B columns (texts side by side), E size of an embedding, H hidden size, V words of the
vocabulary, S vectors of the state (h, or h and c), N rows of some matrices together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
        with torch.autocast(x_TBE.device.type, enabled=False):
            return _Cell(self).run(x_TBE, state_SBH)

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


class _Cell:
    """The cell of a model for the words of one chunk: its matrices by what they multiply, side by side.

    So a state is multiplied once, however many nodes read it, and x of all words at once.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._graph = graph = model.graph
        matrices: dict[int, list[Tensor]] = {}
        biases: dict[int, list[Tensor]] = {}
        # Of each weighted node and each thing that it reads, the rows in the product of that thing.
        self._rows: dict[int, list[int]] = {}
        self._places: list[tuple[int, ...]] = []
        for node in graph.nodes:
            places = []
            for place, source in enumerate(node.reads if node.weighted else ()):
                weights = cast(NodeWeights, model.get_submodule(node.name))
                weight = weights.get_parameter(f"weight{place}")
                bias = weights.bias if place == len(node.reads) - 1 else None
                places.append(len(matrices.setdefault(source, [])))
                matrices[source].append(weight)
                biases.setdefault(source, []).append(weight.new_zeros(len(weight)) if bias is None else bias)
                self._rows.setdefault(source, []).append(len(weight))
            self._places.append(tuple(places))
        has_bias = {source: any(isinstance(each, nn.Parameter) for each in own) for source, own in biases.items()}
        self._matrices = {source: torch.cat(own) for source, own in matrices.items()}
        self._biases = {source: torch.cat(own) if has_bias[source] else None for source, own in biases.items()}

    def run(self, x_TBE: Tensor, state_SBH: Tensor) -> tuple[Tensor, Tensor]:
        """The h (T, B, H) behind each word, and the state behind the last."""
        model = self._model
        self._mask_BH = (
            model._mask(model.hidden_dropout, *state_SBH.shape[1:]) if model.training and model.hidden_dropout else None
        )
        products_TBN = functional.linear(x_TBE, self._matrices[X], self._biases[X])
        state = state_SBH.unbind(0)
        outputs = []
        for x_BE, products_BN in zip(x_TBE.unbind(0), products_TBN.unbind(0), strict=True):
            state = self._step(x_BE, products_BN, state)
            outputs.append(state[0])
        return torch.stack(outputs), torch.stack(state)

    def _step(self, x_BE: Tensor, x_products_BN: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state behind a word."""
        graph = self._graph
        values: dict[int, Tensor] = {X: x_BE, H: state[0]}
        products = {X: torch.split(x_products_BN, self._rows[X], dim=1), H: self._products(H, state[0])}
        if len(state) > 1:
            values[C] = state[1]
            products[C] = self._products(C, state[1])
        memory = None
        for index, (node, places) in enumerate(zip(graph.nodes, self._places, strict=True)):
            reads = (
                [products[source][place] for source, place in zip(node.reads, places, strict=True)]
                if node.weighted
                else [values[source] for source in node.reads]
            )
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
            products[index] = self._products(index, value)
            if index == graph.memory:
                memory = combined
        ends = [values[end] for end in graph.ends]
        h_BH = ends[0] if len(ends) == 1 else torch.stack(ends).mean(dim=0)
        return (h_BH,) if memory is None else (h_BH, memory)

    def _products(self, source: int, value_BH: Tensor) -> tuple[Tensor, ...]:
        """What nodes read of a state, multiplied by their matrices."""
        matrix = self._matrices.get(source)
        if matrix is None:
            return ()
        if self._mask_BH is not None:
            value_BH = value_BH * self._mask_BH
        return torch.split(functional.linear(value_BH, matrix, self._biases[source]), self._rows[source], dim=1)
