"""The score of each earlier layer as an input of the one under way (Zoph and Le, 2017, section 3.3).

Shapes: B paths, N steps, J layers offered, T layers, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Pointer(nn.Module):
    """v . tanh(W_prev h_j + W_curr h), of layers j with states h_j at a step with state h."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.before = nn.Linear(hidden_size, hidden_size, bias=False)
        self.here = nn.Linear(hidden_size, hidden_size, bias=False)
        self.weight = nn.Linear(hidden_size, 1, bias=False)

    def scores(self, before_BHs: Sequence[Tensor], sources: Sequence[int], here_BH: Tensor) -> Tensor:
        """(B, J): one step. `before_BHs` are the states of the layers, from depth 1; a source below 1 has zeros."""
        if not sources:
            return here_BH.new_zeros(len(here_BH), 0)
        none_BH = torch.zeros_like(here_BH)
        offered_BJH = torch.stack([before_BHs[source - 1] if source > 0 else none_BH for source in sources], dim=1)
        return self._scores(self.before(offered_BJH), self.here(here_BH).unsqueeze(1))

    def all_scores(self, last_BTH: Tensor, offered: Sequence[Sequence[int]], here_BNH: Tensor) -> Tensor:
        """(B, N, J): N steps, each with the sources that it offers; J is the most that one offers, the rest are 0."""
        J = max(map(len, offered))
        if not J:
            return here_BNH.new_zeros(*here_BNH.shape[:2], 0)
        none_B1H = torch.zeros_like(last_BTH[:, :1])
        before_BTH = self.before(torch.cat([none_B1H, last_BTH], dim=1))
        padded_NJ = torch.tensor([[max(s, 0) for s in sources] + [0] * (J - len(sources)) for sources in offered])
        return self._scores(before_BTH[:, padded_NJ], self.here(here_BNH).unsqueeze(2))

    def _scores(self, before_BxH: Tensor, here_BxH: Tensor) -> Tensor:
        scores: Tensor = self.weight(torch.tanh(before_BxH + here_BxH)).squeeze(-1)
        return scores
