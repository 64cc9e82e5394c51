"""Write a language model as one readable PyTorch file, which imports torch and safetensors, but not replaytree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from replaytree.deliver.description import Description
from replaytree.space.recurrent import CellNode, RecurrentGraph

_TEMPLATE = '''"""{labels}

Written by replaytree. The weights are beside this file, in a .py.safetensors file.

    network = load()
    state = network.initial_state(1)
    logits, state = network(words, state)  # words: int64 (T, B), numbers of WORDS; logits: float32 (T, B, {vocabulary})
    next_word = WORDS[logits[-1, 0].argmax()]
"""

from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from torch import nn

WORDS = {words}


class Node(nn.Module):
    """The matrices of a node, one for each thing that it reads, and perhaps a bias."""

    def __init__(self, *shapes, bias=False):
        super().__init__()
        for place, shape in enumerate(shapes):
            self.register_parameter(f"weight{{place}}", nn.Parameter(torch.empty(shape)))
        self.bias = nn.Parameter(torch.empty(shapes[0][0])) if bias else None


class Network(nn.Module):
    """Words in, logits of the next words out. A state is {states}: float32 ({count}, B, {hidden})."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding({vocabulary}, {embedding})
{modules}

    def initial_state(self, batch):
        """The state before the first word."""
        return torch.zeros({count}, batch, {hidden})

    def cell(self, x, {state}):
        """The new state, of an embedded word x (B, {embedding}) and the state before it."""
{cell}

    def forward(self, words, state):
        """Logits of the word behind each word, and the state behind the last."""
        outputs = []
        for x in self.embedding(words):
            state = self.cell(x, *state)
            outputs.append(state[0])
        h = torch.stack(outputs)
{decoder}
        return logits, torch.stack(state)


def load(weights=Path(__file__).with_name({weights!r})):
    """The trained network, ready for use."""
    network = Network()
    network.load_state_dict(load_tensors(Path(weights).read_bytes()))
    return network.eval()


if __name__ == "__main__":
    print(load())
'''

_ACTIVATIONS = {"tanh": "torch.tanh({})", "relu": "torch.relu({})", "sigmoid": "torch.sigmoid({})", "identity": "{}"}


def text_source(description: Description, *, weights: Path) -> str:
    """The file's text."""
    graph = description.cell
    has_c = graph.memory is not None
    return _TEMPLATE.format(
        # Backslashes and quotation marks would end the docstring.
        labels=description.labels.replace("\\", "\\\\").replace('"', '\\"'),
        weights=weights.name,
        words=repr(description.classes),
        vocabulary=graph.vocabulary,
        embedding=graph.embedding,
        hidden=graph.hidden,
        count=graph.states,
        states="h and c" if has_c else "h",
        state="h, c" if has_c else "h",
        modules="\n".join(f"        self.{line}" for line in _modules(graph)),
        cell="\n".join(f"        {line}" for line in _cell(graph)),
        decoder="\n".join(f"        {line}" for line in _decoder(graph)),
    )


def _modules(graph: RecurrentGraph) -> Iterator[str]:
    for node in graph.nodes:
        if node.weighted:
            shapes = ", ".join(map(repr, graph.matrices(node)))
            yield f"{node.name} = Node({shapes}{', bias=True' if node.bias is not None else ''})"
    if graph.embedding != graph.hidden:
        yield f"projection = nn.Linear({graph.hidden}, {graph.embedding}, bias=False)"
    if graph.decoder_bias:
        yield f"decoder_bias = nn.Parameter(torch.zeros({graph.vocabulary}))"


def _cell(graph: RecurrentGraph) -> Iterator[str]:
    for index, node in enumerate(graph.nodes):
        combined = _combined(graph, node)
        if node.gated:
            before = graph.source_name(node.reads[-1])
            inner = _ACTIVATIONS[node.activation].format("inner")
            yield f"inner, gate = ({combined}).chunk(2, dim=1)"
            yield f"{node.name} = {before} + torch.sigmoid(gate) * ({inner} - {before})"
            continue
        if index == graph.memory:
            yield f"new_c = {combined}"
            combined = "new_c"
        yield f"{node.name} = {_ACTIVATIONS[node.activation].format(combined)}"
    ends = [graph.source_name(end) for end in graph.ends]
    new_h = ends[0] if len(ends) == 1 else f"({' + '.join(ends)}) / {len(ends)}"
    yield f"return {new_h}, new_c" if graph.memory is not None else f"return ({new_h},)"


def _combined(graph: RecurrentGraph, node: CellNode) -> str:
    """What the activation of a node is of."""
    sources = [graph.source_name(source) for source in node.reads]
    if not node.weighted:
        return (" + " if node.combination == "add" else " * ").join(sources)
    products = [f"{source} @ self.{node.name}.weight{place}.T" for place, source in enumerate(sources)]
    if node.bias is not None:
        products[-1] += f" + self.{node.name}.bias"
    if node.combination == "add":
        return " + ".join(products)
    return " * ".join(f"({product})" for product in products)


def _decoder(graph: RecurrentGraph) -> Iterator[str]:
    if graph.embedding != graph.hidden:
        yield "h = self.projection(h)"
    yield f"logits = h @ self.embedding.weight.T{' + self.decoder_bias' if graph.decoder_bias else ''}"
