"""The LSTM controller's options, which the strategies that have one share."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.config.option import Options, option


@dataclass(frozen=True, kw_only=True)
class ControllerOptions(Options):
    """The size of the controller and its optimiser."""

    hidden_size: int = option(64, "Hidden units of the LSTM controller.", "Strategy", least=1, most=16_384)
    controller_layers: int = option(1, "Layers of the LSTM controller.", "Strategy", least=1, most=64)
    policy_learning_rate: float = option(
        5e-3, "Learning rate of the controller's Adam optimizer.", "Strategy", above=0.0, most=1e6
    )
    grad_clip: float = option(1.0, "Largest gradient norm of the controller.", "Strategy", above=0.0)
