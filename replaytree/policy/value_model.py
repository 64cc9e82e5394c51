"""The value model: an ensemble of small networks that predict the accuracy of any prefix from its actions.

Every training labels all prefixes on its path, so a tree of a few trainings holds many examples; fitting them is
replay, too. Values are y = -log(1 - accuracy): a step from 0.98 to 0.99 weighs as much as one from 0.8 to 0.9.

Shapes: N examples, F features, M members, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from replaytree.policy.memory import ReplayMemory
from replaytree.records import Path

MEMBERS = 5
HIDDEN = 32
STEPS = 60
BATCH = 128
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3
# An accuracy of 1 is 1 - 1e-4 to the model: else its value would be infinite.
LEAST_ERROR = 1e-4


def value_of(accuracy: float) -> float:
    """-log(1 - accuracy), the error kept at 1e-4 or more."""
    return -math.log(max(1.0 - accuracy, LEAST_ERROR))


class ValueEnsemble(nn.Module):
    """M networks of two hidden layers, computed as one; each sees its own Poisson(1) bootstrap of the examples."""

    def __init__(self, num_actions: int, max_layers: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self._num_actions, self._max_layers = num_actions, max_layers
        F = num_features(num_actions, max_layers)

        def layer(fan_in: int, fan_out: int) -> tuple[nn.Parameter, nn.Parameter]:
            bound = 1.0 / math.sqrt(fan_in)
            weight_MIO, bias_M1O = torch.empty(MEMBERS, fan_in, fan_out), torch.empty(MEMBERS, 1, fan_out)
            for tensor in (weight_MIO, bias_M1O):
                tensor.uniform_(-bound, bound, generator=generator)
            return nn.Parameter(weight_MIO), nn.Parameter(bias_M1O)

        self.weight1, self.bias1 = layer(F, HIDDEN)
        self.weight2, self.bias2 = layer(HIDDEN, HIDDEN)
        self.weight3, self.bias3 = layer(HIDDEN, 1)
        self._optimizer = torch.optim.Adam(self.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
        self._generator = generator
        self._poisson_NM = torch.empty(0, MEMBERS)
        self._features_NF = torch.empty(0, F)
        self._mean, self._std = 0.0, 1.0

    def forward(self, features_NF: Tensor) -> Tensor:
        """Standardised values (M, N)."""
        inputs_MNF = features_NF.unsqueeze(0).expand(MEMBERS, -1, -1)
        hidden_MNH = torch.relu(torch.baddbmm(self.bias1, inputs_MNF, self.weight1))
        hidden_MNH = torch.relu(torch.baddbmm(self.bias2, hidden_MNH, self.weight2))
        return torch.baddbmm(self.bias3, hidden_MNH, self.weight3).squeeze(2)

    def fit(self, memory: ReplayMemory) -> None:
        """A few Adam steps on all evaluated nodes, at every budget; the networks stay warm from fit to fit."""
        self._take_in(memory)
        examples = [(row, sums) for row, node in enumerate(memory) for sums in node.budgets if sums.evaluation_count]
        rows_N = torch.tensor([row for row, _ in examples])
        features_NF = _with_budget(self._features_NF[rows_N], [sums.epochs for _, sums in examples])
        values_N = torch.tensor([value_of(sums.total_accuracy / sums.evaluation_count) for _, sums in examples])
        self._mean, self._std = float(values_N.mean()), max(float(values_N.std(correction=0)), 1e-3)
        targets_N = (values_N - self._mean) / self._std
        counts_N = torch.tensor([float(sums.evaluation_count) for _, sums in examples])
        weights_MN = (self._poisson_NM[rows_N] * counts_N.sqrt().unsqueeze(1)).T
        for _ in range(STEPS):
            if len(examples) > BATCH:
                index_B = torch.randint(len(examples), (BATCH,), generator=self._generator)
                self._step(features_NF[index_B], targets_N[index_B], weights_MN[:, index_B])
            else:
                self._step(features_NF, targets_N, weights_MN)

    @torch.no_grad()
    def predict(self, prefixes: Sequence[Path], *, epochs: int) -> Tensor:
        """Values y (M, N) of prefixes at a budget."""
        features_NF = _with_budget(self._features(prefixes), [epochs] * len(prefixes))
        values_MN: Tensor = self(features_NF)
        return values_MN * self._std + self._mean

    def state(self) -> dict[str, Any]:
        """Networks, optimiser, bootstrap weights and scale."""
        return {
            "networks": self.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "poisson": self._poisson_NM,
            "scale": [self._mean, self._std],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of state."""
        self.load_state_dict(state["networks"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._poisson_NM = state["poisson"]
        self._mean, self._std = state["scale"]

    def _take_in(self, memory: ReplayMemory) -> None:
        """Features and bootstrap weights of the nodes that are new; nodes never leave the memory or change place."""
        new = [node.path for node in islice(memory, len(self._features_NF), None)]
        if new:
            self._features_NF = torch.cat([self._features_NF, self._features(new)])
        if (missing := len(memory) - len(self._poisson_NM)) > 0:
            drawn_NM = torch.poisson(torch.ones(missing, MEMBERS), generator=self._generator)
            self._poisson_NM = torch.cat([self._poisson_NM, drawn_NM])

    def _step(self, features_NF: Tensor, targets_N: Tensor, weights_MN: Tensor) -> None:
        error_MN = self(features_NF) - targets_N
        # The sum over members keeps each network's step what it would be alone.
        loss = ((weights_MN * error_MN**2).sum(dim=1) / weights_MN.sum(dim=1).clamp(min=1.0)).sum()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()

    def _features(self, paths: Sequence[Path]) -> Tensor:
        """(N, F): the one-hot path, how often each action occurs, which comes last, depth; the budget's place is 0."""
        T, A = self._max_layers, self._num_actions
        features_NF = torch.zeros(len(paths), num_features(A, T))
        rows = [n for n, path in enumerate(paths) for _ in path]
        features_NF[rows, [t * A + action for path in paths for t, action in enumerate(path)]] = 1.0
        features_NF.index_put_(
            (torch.tensor(rows), torch.tensor([T * A + action for path in paths for action in path])),
            torch.tensor(1.0 / T),
            accumulate=True,
        )
        features_NF[range(len(paths)), [T * A + A + path[-1] for path in paths]] = 1.0
        features_NF[:, -2] = torch.tensor([len(path) / T for path in paths])
        return features_NF


def num_features(num_actions: int, max_layers: int) -> int:
    """F: one-hot path, counts, last action, depth, budget."""
    return num_actions * max_layers + 2 * num_actions + 2


def _with_budget(features_NF: Tensor, epochs: Sequence[int]) -> Tensor:
    features_NF[:, -1] = torch.tensor([math.log2(number) / 4.0 for number in epochs])
    return features_NF
