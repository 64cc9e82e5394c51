"""The controller: an LSTM that gives pi(a_t | a_1..a_(t-1)), sampled and scored for many paths at once.

Shapes: B paths, T steps, A actions, H hidden units. The action before the first is START = A.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from replaytree.records import Path, Space


@dataclass(frozen=True, slots=True)
class Scored:
    """The controller's log-probabilities and entropies of given paths. Entries after a path's end are 0."""

    log_probs_BT: Tensor
    entropy_BT: Tensor
    lengths_B: Tensor


class Controller(nn.Module):
    """Embedding, one-layer LSTM, linear; all weights uniform in +-0.08 (Zoph and Le, 2017, appendix A)."""

    def __init__(self, num_actions: int, *, hidden_size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.num_actions = num_actions
        self.embedding = nn.Embedding(num_actions + 1, hidden_size)
        self.lstm = nn.LSTM(hidden_size, hidden_size, batch_first=True)
        self.logits = nn.Linear(hidden_size, num_actions)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-0.08, 0.08, generator=generator)

    @torch.no_grad()
    def sample(
        self,
        space: Space,
        prefixes: Sequence[Path],
        *,
        depth_bound: int,
        generator: torch.Generator,
        uniform: float = 0.0,
    ) -> list[tuple[Path, tuple[float, ...]]]:
        """Complete each prefix to `depth_bound` layers; B paths take T steps, not B x T.

        Returns each path with pi(a_t | a_<t) of its sampled steps (len(path) - len(prefix) values). Illegal actions
        have probability 0. With `uniform`, every step is a mixture: uniform over the legal actions with that
        probability. The probabilities returned are those of the mixture.
        """
        if not prefixes:
            return []
        B = len(prefixes)
        paths: list[Path] = [()] * B
        probs: list[tuple[float, ...]] = [()] * B
        last_B = torch.full((B,), self.num_actions)
        state = (torch.zeros(B, self.lstm.hidden_size), torch.zeros(B, self.lstm.hidden_size))
        # One step of the cell is 18 us, one step through nn.LSTM's sequence code 68 us (B = 1, H = 64).
        weights = self.lstm.all_weights[0]
        for t in range(depth_bound):
            state = torch.lstm_cell(self.embedding(last_B), state, *weights)
            legal_BA = torch.tensor([space.legal(path) for path in paths])
            probs_BA = self.logits(state[0]).masked_fill(~legal_BA, -torch.inf).softmax(dim=1)
            if uniform > 0.0:
                probs_BA = (1.0 - uniform) * probs_BA + uniform * legal_BA / legal_BA.sum(dim=1, keepdim=True)
            sampled_B1 = torch.multinomial(probs_BA, 1, generator=generator)
            steps = zip(sampled_B1.flatten().tolist(), probs_BA.gather(1, sampled_B1).flatten().tolist(), strict=True)
            for b, (action, prob) in enumerate(steps):
                if t < len(prefixes[b]):
                    paths[b] = prefixes[b][: t + 1]
                else:
                    paths[b] = (*paths[b], action)
                    probs[b] = (*probs[b], prob)
            last_B = torch.tensor([path[-1] for path in paths])
        return list(zip(paths, probs, strict=True))

    @torch.no_grad()
    def next_probabilities(self, space: Space, prefix: Path) -> list[float]:
        """pi(a | prefix), A values."""
        inputs_1TH = self.embedding(torch.tensor([[self.num_actions, *prefix]]))
        logits_A = self.logits(self.lstm(inputs_1TH)[0][0, -1])
        probs: list[float] = (
            logits_A.masked_fill(~torch.tensor(space.legal(prefix)), -torch.inf).softmax(dim=0).tolist()
        )
        return probs

    def score(self, space: Space, paths: Sequence[Path]) -> Scored:
        """Log-probability of every step of the paths and the entropy of the policy there, with gradients."""
        lengths = [len(path) for path in paths]
        B, T, A = len(paths), max(lengths), self.num_actions
        actions_BT = torch.zeros(B, T, dtype=torch.long)
        legal_BTA = torch.ones(B, T, A, dtype=torch.bool)
        for b, path in enumerate(paths):
            actions_BT[b, : len(path)] = torch.tensor(path)
            legal_BTA[b, : len(path)] = torch.tensor([space.legal(path[:t]) for t in range(len(path))])
        start_B1 = torch.full((B, 1), A)
        inputs_BTH = self.embedding(torch.cat([start_B1, actions_BT[:, :-1]], dim=1))
        hidden_BTH, _ = self.lstm(inputs_BTH)
        logits_BTA = self.logits(hidden_BTH).masked_fill(~legal_BTA, -torch.inf)
        logp_BTA = logits_BTA.log_softmax(dim=2)
        lengths_B = torch.tensor(lengths)
        inside_BT = torch.arange(T).unsqueeze(0) < lengths_B.unsqueeze(1)
        chosen_BT = logp_BTA.gather(2, actions_BT.unsqueeze(2)).squeeze(2)
        # p log p is 0 at p = 0, but -inf * 0 is not a number and would spoil the gradient.
        plogp_BTA = logp_BTA.exp() * logp_BTA.masked_fill(~legal_BTA, 0.0)
        return Scored(
            log_probs_BT=chosen_BT.masked_fill(~inside_BT, 0.0),
            entropy_BT=-plogp_BTA.sum(dim=2).masked_fill(~inside_BT, 0.0),
            lengths_B=lengths_B,
        )
