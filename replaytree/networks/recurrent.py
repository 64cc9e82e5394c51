"""The weights of all recurrent cells of a space, and the language models of single paths, which are made of them.

Shapes: T words of a chunk, B columns (texts side by side), S vectors of a state, H hidden size, V words.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from replaytree.networks.reading import Reading
from replaytree.networks.shared_weights import SharedWeights
from replaytree.records import Path
from replaytree.space.language_model import LanguageModel
from replaytree.space.network import NetworkSpace
from replaytree.space.recurrent import RecurrentGraph

# The least recently used are dropped. They are small: their weights are the supernet's.
MAX_NETWORKS = 256


class PathReading(nn.Module):
    """The language model of one path, which reads a text chunk after chunk; its weights are the supernet's.

    It is to a RecurrentSupernet what a PathNetwork is to a Supernet: `prefixes` are those that have a decoder, which is
    the path alone; no gradient has a factor, and no weight leaves gaps.
    """

    is_dense = True

    def __init__(self, path: Path, model: LanguageModel, weights_and_momenta: Sequence[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.prefixes = (path,)
        self.reading = Reading(model)
        self.weights_and_momenta = weights_and_momenta
        self.by_factor: dict[float, list[nn.Parameter]] = {}
        self._states = model.graph.states

    @property
    def state(self) -> Tensor | None:
        """The state (S, B, H) behind what was read; None: nothing was."""
        state: Tensor | None = self.reading.state
        return state

    def go_on(self, state: Tensor | None) -> None:
        """Read on from a state that perhaps another path left, as ENAS does: its h, and its c where both have one."""
        if state is not None and len(state) != self._states:
            missing = self._states - len(state)
            state = state[:missing] if missing < 0 else torch.cat([state, torch.zeros_like(state[:missing])])
        self.reading.state = state

    def forward(self, words_TB: Tensor) -> Tensor:
        """Logits of the word behind each word, (1, T * B, V)."""
        logits_1NV: Tensor = self.reading(words_TB)
        return logits_1NV


class RecurrentSupernet:
    """The weights of all recurrent cells of a space: a tensor for every (name of a node, what it reads).

    The name of a highway says which node it reads, so that there is a pair of matrices for each pair of nodes, as in
    ENAS, whatever the activation; the released program has one for each activation, too. A leaf of a tree has its own,
    whatever it does with them. Embedding, decoder and projection are those of all paths.

    `dropouts` are rates, by the names of a LanguageModel's attributes.
    """

    def __init__(
        self,
        space: NetworkSpace,
        words: int,
        *,
        seed: int,
        device: torch.device,
        dropouts: Mapping[str, float] | None = None,
    ) -> None:
        self._space = space
        self._words = words
        self._dropouts = dict(dropouts or {})
        self._weights = SharedWeights(seed=seed, device=device)
        self._networks: OrderedDict[Path, PathReading] = OrderedDict()

    def network(self, paths: Sequence[Path]) -> PathReading:
        """The language model of one whole path. Take it anew for every step."""
        [path] = paths
        if self._weights.stale:
            self._networks.clear()
            self._weights.stale.clear()
        network = self._networks.get(path)
        if network is None:
            network = self._networks[path] = self._made(path)
            if len(self._networks) > MAX_NETWORKS:
                self._networks.popitem(last=False)
        self._networks.move_to_end(path)
        return network

    def _made(self, path: Path) -> PathReading:
        graph = self._space.network(path).with_classes(self._words)
        assert isinstance(graph, RecurrentGraph), "only networks for text have recurrent cells"
        # Without memory, and without drawing first weights that nobody sees.
        with torch.device("meta"):
            model = LanguageModel(graph)
        for name, rate in self._dropouts.items():
            setattr(model, name, rate)
        constants = {f"{node.name}.bias": node.bias for node in graph.nodes if node.bias is not None}
        constants["decoder_bias"] = 0.0
        pairs = []
        for name, parameter in list(model.named_parameters()):
            shape = tuple(parameter.shape)
            part = self._weights.part(f"{name} {shape}", shape, constant=constants.get(name))
            owner, _, own = name.rpartition(".")
            tied = nn.Parameter(part.weight)
            setattr(model.get_submodule(owner), own, tied)
            pairs.append((tied, part.momentum))
        return PathReading(path, model, pairs)

    def unchanged(self) -> AbstractContextManager[None]:
        """For scores: cells that no path was trained with have their first weights meanwhile, and none afterwards."""
        return self._weights.unchanged()

    @property
    def nbytes(self) -> int:
        """The memory of all weights and momenta."""
        return self._weights.nbytes

    def state_dict(self) -> dict[str, Any]:
        """The tensors in use."""
        return self._weights.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self._weights.load_state_dict(state)
