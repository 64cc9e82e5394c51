"""From the controller's scores to probabilities: what is done to them, and log pi, entropy and the prior of skips.

Shapes: B paths, N steps of one decision's name, A options of a decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from replaytree.config.controller import ControllerOptions
from replaytree.errors import ConfigError
from replaytree.policy.vocabulary import Step
from replaytree.records import Space

# What the names of separable convolutions begin with.
SEPARABLE = "sep"


class Shaping:
    """Scores as ENAS has them: c tanh(score / temperature), and a fixed bias in normal cells (Pham et al., 2018).

    Made for drawing and for scoring alike. Where all is at its default, scores stay as they are, to the bit. A space of
    cells takes the nodes of normal and reduction cells in turn, so those of normal cells are at odd depths.
    """

    def __init__(self, options: ControllerOptions, steps: Sequence[Step], space: Space) -> None:
        self._options = options
        self._separable: dict[str, Tensor] = {}
        for step in steps:
            if step.decision.kind == "choice":
                named = [option.startswith(SEPARABLE) for option in step.decision.options]
                if any(named):
                    self._separable[step.decision.name] = torch.tensor(named)
        for name, flag, value in (
            ("separable_bias", "--separable-bias", options.separable_bias),
            ("cell_bias", "--cell-bias", options.cell_bias),
        ):
            if value and not self._separable:
                raise ConfigError(
                    f"{name} is {value:g}, and no layer of the space has an option whose name begins with "
                    f"{SEPARABLE!r}; leave out {flag}"
                )
        if options.cell_bias and getattr(space, "nested", True):
            raise ConfigError(
                f"cell_bias is {options.cell_bias:g}, and the space has no normal and reduction cells; leave out "
                f"--cell-bias"
            )

    def starting_bias(self, name: str) -> Tensor | None:
        """(A): what the bias of a choice's head starts with; None where it is drawn like the other weights."""
        if not self._options.separable_bias or name not in self._separable:
            return None
        return self._separable[name] * self._options.separable_bias

    def __call__(self, scores_BxA: Tensor, steps: Sequence[Step]) -> Tensor:
        """Scores (B, N, A) of N steps of one name, or (B, A) of one step."""
        own, decision = self._options, steps[0].decision
        if own.softmax_temperature != 1.0:
            scores_BxA = scores_BxA / own.softmax_temperature
        if own.tanh_constant is not None:
            constant = own.tanh_constant / (own.op_tanh_reduce if decision.kind == "choice" else 1.0)
            scores_BxA = constant * torch.tanh(scores_BxA)
        if own.cell_bias and decision.name in self._separable:
            fixed_A = torch.where(self._separable[decision.name], own.cell_bias, -own.cell_bias)
            normal_N1 = torch.tensor([[step.depth % 2] for step in steps])
            scores_BxA = scores_BxA + normal_N1 * fixed_A
        return scores_BxA


@dataclass(frozen=True, slots=True)
class ScoredDecision:
    """Log-probability of the values taken, the policy's entropy, and -p log p of what was drawn; (B, N) each."""

    log_prob: Tensor
    entropy: Tensor
    drawn_entropy: Tensor


def one_scored(scores_BNA: Tensor, values_BN: Tensor, legal_BNA: Tensor) -> ScoredDecision:
    """`choice` and `input`: a softmax over the legal options."""
    logits_BNA = scores_BNA.masked_fill(~legal_BNA, -torch.inf)
    logp_BNA = logits_BNA.log_softmax(dim=2)
    chosen_BN = logp_BNA.gather(2, values_BN.unsqueeze(2)).squeeze(2)
    # p log p is 0 at p = 0, but -inf * 0 is not a number and would spoil the gradient.
    plogp_BNA = logp_BNA.exp() * logp_BNA.masked_fill(~legal_BNA, 0.0)
    return ScoredDecision(chosen_BN, -plogp_BNA.sum(dim=2), -chosen_BN.exp() * chosen_BN)


def inputs_scored(scores_BNA: Tensor, values_BN: Tensor, legal_BNA: Tensor) -> ScoredDecision:
    """`inputs`: a sigmoid for each option."""
    if not scores_BNA.shape[2]:
        none_BN = torch.zeros(values_BN.shape)
        return ScoredDecision(none_BN, none_BN, none_BN)
    taken_BNA = (values_BN.unsqueeze(2) >> torch.arange(scores_BNA.shape[2]) & 1).bool()
    yes_BNA, no_BNA = functional.logsigmoid(scores_BNA), functional.logsigmoid(-scores_BNA)
    logp_BNA = torch.where(taken_BNA, yes_BNA, no_BNA).masked_fill(~legal_BNA, 0.0)
    entropy_BNA = -(yes_BNA.exp() * yes_BNA + no_BNA.exp() * no_BNA).masked_fill(~legal_BNA, 0.0)
    drawn_BNA = -logp_BNA.exp() * logp_BNA
    return ScoredDecision(logp_BNA.sum(dim=2), entropy_BNA.sum(dim=2), drawn_BNA.sum(dim=2))


def skip_divergence(scores_BNA: Tensor, legal_BNA: Tensor, target: float) -> Tensor:
    """(B, N): sum over the legal options of KL((1 - p, p) || (1 - target, target)) with p = sigmoid(score), in nats."""
    yes_BNA, no_BNA = functional.logsigmoid(scores_BNA), functional.logsigmoid(-scores_BNA)
    prior = torch.tensor([target, 1.0 - target], dtype=torch.float64).log().tolist()
    kl_BNA = yes_BNA.exp() * (yes_BNA - prior[0]) + no_BNA.exp() * (no_BNA - prior[1])
    kl_BN: Tensor = kl_BNA.masked_fill(~legal_BNA, 0.0).sum(dim=2)
    return kl_BN
