"""The value model: an ensemble of small networks that predict the accuracy of any prefix from its actions.

Every training labels all prefixes on its path, so a few trainings give many examples. The networks learn the normal
scores of the examples (normal_scores.py). Their predictions are converted to values y of the metric.

Shapes: N nodes, E examples (a node at a budget), S steps, B examples a step, F features, M members, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from replaytree import metric
from replaytree.policy.features import NO_LAYER, PathFeatures
from replaytree.policy.node_table import NodeTable
from replaytree.policy.normal_scores import NormalScores
from replaytree.records import Path, Space
from replaytree.space.network import task_of

MEMBERS = 5
HIDDEN = 32
STEPS = 60
BATCH = 128
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3


class ValueEnsemble(nn.Module):
    """M networks of two hidden layers, computed as one.

    All see the same examples and differ in their initial weights, as in the deep ensembles of Lakshminarayanan, Pritzel
    and Blundell (2017). Bootstrap weights made their predictions worse, and guided's regret higher. Such networks agree
    more than their errors justify, so their deviations from their mean are multiplied by `spread`.
    """

    def __init__(self, space: Space, *, generator: torch.Generator, spread: float = 1.0) -> None:
        super().__init__()
        self._spread = spread
        self._metric = metric.of(task_of(space))
        self._features = PathFeatures(space)
        F = self._features.count

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
        self._normal_scores = NormalScores(np.empty(0))

    def forward(self, features_NF: Tensor) -> Tensor:
        """Normal scores (M, N)."""
        inputs_MNF = features_NF.unsqueeze(0).expand(MEMBERS, -1, -1)
        hidden_MNH = torch.relu(torch.baddbmm(self.bias1, inputs_MNF, self.weight1))
        hidden_MNH = torch.relu(torch.baddbmm(self.bias2, hidden_MNH, self.weight2))
        return torch.baddbmm(self.bias3, hidden_MNH, self.weight3).squeeze(2)

    def fit(self, table: NodeTable) -> None:
        """A few Adam steps on all evaluated nodes, at every budget. A fit starts from the weights of the last one."""
        rows_E, epochs_E, averages_E, counts_E = table.examples()
        values_E = self._metric.values(averages_E)
        E = len(rows_E)
        if E > BATCH:
            chosen_SB = torch.randint(E, (STEPS, BATCH), generator=self._generator).numpy()
        else:
            chosen_SB = np.arange(E)[np.newaxis]
        rows_SB = rows_E[chosen_SB]
        S, B = rows_SB.shape
        features_SBF = self._read(table.actions(rows_SB.ravel()), epochs_E[chosen_SB.ravel()]).view(S, B, -1)
        # Ranks among this fit's examples are as good as ranks among all, and their cost does not grow with the tree.
        self._normal_scores = NormalScores(values_E[np.unique(chosen_SB)])
        targets_SB = torch.from_numpy(self._normal_scores.scores(values_E[chosen_SB])).float()
        weights_SB = torch.from_numpy(np.sqrt(counts_E[chosen_SB])).float()
        for step in range(STEPS):
            s = step % S
            self._step(features_SBF[s], targets_SB[s], weights_SB[s])

    @torch.no_grad()
    def scores(self, prefixes: Sequence[Path], *, epochs: int) -> Tensor:
        """Normal scores (M, N) of prefixes at a budget, among the examples of the last fit."""
        T = self._features.max_layers
        actions_NT = np.array([(*path, *(NO_LAYER,) * (T - len(path))) for path in prefixes], dtype=np.int64)
        scores_MN: Tensor = self(self._read(actions_NT, np.full(len(prefixes), epochs)))
        mean_N = scores_MN.mean(dim=0)
        return mean_N + self._spread * (scores_MN - mean_N)

    def values(self, scores: Tensor) -> Tensor:
        """The values y of normal scores, by the examples of the last fit."""
        return torch.from_numpy(self._normal_scores.values(scores.double().numpy()))

    def state(self) -> dict[str, Any]:
        """Networks and optimiser. The map from scores to values comes with the next fit."""
        return {
            "networks": self.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of state; also for a state of fewer layers, of which every prediction stays as it was."""
        self.load_state_dict(
            state["networks"] | {"weight1": self._deepened(state["networks"]["weight1"], self.weight1)}
        )
        # weight1 is the first parameter; before the first step the optimiser knows of none.
        moments = dict(state["optimizer"]["state"])
        if 0 in moments:
            none_yet = torch.zeros_like(self.weight1)
            # By the chain rule, the gradient of a weight that is multiplied by c is divided by c.
            moments[0] = moments[0] | {
                "exp_avg": self._deepened(moments[0]["exp_avg"], none_yet, power=-1),
                "exp_avg_sq": self._deepened(moments[0]["exp_avg_sq"], none_yet, power=-2),
            }
        self._optimizer.load_state_dict({**state["optimizer"], "state": moments})

    def _deepened(self, old_MFH: Tensor, fresh_MFH: Tensor, *, power: int = 1) -> Tensor:
        """Weights of fewer layers, those of the layers beyond being fresh; as they are where the depth is the same.

        Some features are divided by the number of layers, so their weights are multiplied by it.
        """
        features = self._features
        before = features.depth_of(old_MFH.shape[1])
        if before is None or not 0 < before < features.max_layers:
            return old_MFH
        new_MFH = fresh_MFH.detach().clone()
        new_MFH[:, : features.begin(before)] = old_MFH[:, : features.begin(before)]
        new_MFH[:, -features.tail :] = old_MFH[:, -features.tail :]
        new_MFH[:, features.shared] *= (features.max_layers / before) ** power
        return new_MFH

    def _step(self, features_NF: Tensor, targets_N: Tensor, weights_N: Tensor) -> None:
        error_MN = self(features_NF) - targets_N
        # Summed over members, not averaged: each network then takes the step it would take alone.
        loss = (weights_N * error_MN**2).sum() / weights_N.sum()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()

    def _read(self, actions_NT: npt.NDArray[np.int64], epochs_N: npt.NDArray[np.int64]) -> Tensor:
        """(N, F)."""
        return torch.from_numpy(self._features.of(actions_NT, epochs_N))
