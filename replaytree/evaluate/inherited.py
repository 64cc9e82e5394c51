"""Trainings that start from the weights of the longest prefix that the search has kept them for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from replaytree.config import Budget
from replaytree.records import Evaluator, Path, PathEvaluation

STATE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """The tensors of a prefix, by module and name, and the accuracy that it had with them."""

    accuracy: float
    tensors: Mapping[str, Mapping[str, Tensor]]


def fewer_epochs(epochs: int, *, share: float) -> int:
    """What a training spends of its epochs where it starts from kept weights."""
    return max(1, round(share * epochs))


class KeptWeights:
    """The weights of the `most` best prefixes, on the CPU, and what a training takes from them.

    A training starts from those of its longest shorter prefix, and spends `share` of its epochs then. Its own weights
    of before are left out: a path that is trained again would score higher each time. Modules are known by their names
    in the graph, and take what has their shapes; heads, merges and momenta start anew.
    """

    def __init__(self, most: int, *, share: float) -> None:
        self._most = most
        self._share = share
        self._kept: dict[Path, Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The prefixes whose weights are kept, in the order in which they came."""
        return tuple(self._kept)

    def source(self, path: Path) -> Path | None:
        """The longest shorter prefix that has weights."""
        shorter = (path[:depth] for depth in range(len(path) - 1, 0, -1))
        return next((prefix for prefix in shorter if prefix in self._kept), None)

    def budget(self, path: Path, budget: Budget) -> Budget:
        """What the training of a path spends: fewer epochs, and all of them, where it starts from kept weights.

        Half-way it would be compared with trainings that started anew.
        """
        if self.source(path) is None:
            return budget
        return replace(budget, epochs=fewer_epochs(budget.epochs, share=self._share), checkpoint=None, bar=None)

    def start(self, path: Path, modules: Mapping[str, nn.Module]) -> None:
        """Copy what is kept for a path into the modules of its network."""
        source = self.source(path)
        if source is None:
            return
        for name, tensors in self._kept[source].tensors.items():
            module = modules.get(name)
            if module is not None and _shapes(module.state_dict()) == _shapes(tensors):
                module.load_state_dict(tensors)

    def keep(self, trained: Iterable[tuple[Path, float, Mapping[str, nn.Module]]]) -> None:
        """Take in what a training made of some prefixes: path, accuracy, and the modules of each.

        Of two trainings of a prefix the better one counts, and of equal prefixes the one that was there first.
        """
        found = {
            path: (accuracy, modules)
            for path, accuracy, modules in trained
            if path not in self._kept or accuracy > self._kept[path].accuracy
        }
        accuracies = {path: kept.accuracy for path, kept in self._kept.items()}
        accuracies |= {path: accuracy for path, (accuracy, _) in found.items()}
        best = sorted(accuracies, key=accuracies.__getitem__, reverse=True)[: self._most]
        # Prefixes of one training have modules in common, which are copied once.
        copies: dict[nn.Module, Mapping[str, Tensor]] = {}
        for path in [path for path in found if path in best]:
            accuracy, modules = found[path]
            for module in modules.values():
                if module not in copies:
                    state = module.state_dict()
                    copies[module] = {key: tensor.detach().to("cpu", copy=True) for key, tensor in state.items()}
            self._kept[path] = Kept(accuracy, {name: copies[module] for name, module in modules.items()})
        self._kept = {path: kept for path, kept in self._kept.items() if path in best}

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors, in their order."""
        return {
            "paths": [list(path) for path in self._kept],
            "accuracies": [kept.accuracy for kept in self._kept.values()],
            "tensors": [
                {name: dict(tensors) for name, tensors in kept.tensors.items()} for kept in self._kept.values()
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        rows = zip(state["paths"], state["accuracies"], state["tensors"], strict=True)
        self._kept = {tuple(path): Kept(float(accuracy), tensors) for path, accuracy, tensors in rows}


class InheritedEvaluator:
    """An evaluator whose trainings start from kept weights: one path after the other.

    `make(inherits=...)` makes the evaluator that trains. A score counts at the budget's epochs, although fewer were
    spent: the layers of the prefix have had theirs before.
    """

    # Every reader of safetensors takes the kept weights.
    state_suffix: ClassVar = ".safetensors"

    def __init__(self, make: Callable[..., Evaluator], *, keep: int, share: float) -> None:
        self.kept = KeptWeights(keep, share=share)
        self._inner = make(inherits=self.kept)

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """One evaluation a path, in order; a path may start from what an earlier one left."""
        return [
            evaluation
            for index, path in enumerate(paths)
            for evaluation in self._inner.evaluate([path], budget=budget, seed=seed + index)
        ]

    def state_dict(self) -> dict[str, Any]:
        """The kept weights."""
        return {"format": STATE_FORMAT, **self.kept.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict; ValueError for another format."""
        if state.get("format") != STATE_FORMAT:
            raise ValueError(f"the kept weights are of format {state.get('format')!r:.80}, here {STATE_FORMAT}")
        self.kept.load_state_dict(state)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
