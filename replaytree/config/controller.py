"""The LSTM controller's options, which the strategies that have one share."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.config.option import Options, option
from replaytree.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ControllerOptions(Options):
    """The controller's size, its start, how its scores become probabilities, and its optimiser.

    What is done to scores is done alike where paths are drawn and where their probability is computed.
    """

    hidden_size: int = option(64, "Hidden units of the LSTM controller.", "Strategy", least=1, most=16_384)
    controller_layers: int = option(1, "Layers of the LSTM controller.", "Strategy", least=1, most=64)
    policy_learning_rate: float = option(
        5e-3, "Learning rate of the controller's Adam optimizer.", "Strategy", above=0.0, most=1e6
    )
    grad_clip: float = option(1.0, "Largest gradient norm of the controller.", "Strategy", above=0.0)
    adam_beta: float = option(
        0.9, "Decay of the mean gradient in the controller's Adam; ENAS: 0.", "Strategy", least=0.0, below=1.0
    )
    adam_epsilon: float = option(1e-8, "Epsilon of the controller's Adam; ENAS: 1e-3.", "Strategy", above=0.0, most=1.0)
    init_range: float = option(
        0.08, "The controller's weights start uniform in +- this; ENAS: 0.1.", "Strategy", above=0.0, most=1e3
    )
    softmax_temperature: float = option(
        1.0, "The controller's scores are divided by this before the softmax.", "Strategy", above=0.0, most=1e6
    )
    tanh_constant: float | None = option(
        None, "c of c tanh(score), which bounds the controller's scores.", "Strategy", above=0.0, most=1e6,
        unset="no bound",
    )  # fmt: skip
    op_tanh_reduce: float = option(
        1.0, "The tanh constant of choices is this many times smaller than that of inputs.", "Strategy", above=0.0,
        most=1e6,
    )  # fmt: skip
    separable_bias: float = option(
        0.0, "Bias that options named sep... start with, before the tanh; ENAS: 10.", "Strategy", least=-1e3, most=1e3
    )
    cell_bias: float = option(
        0.0,
        "Fixed bias in normal cells: added to options named sep..., taken off the others; ENAS: 0.25.",
        "Strategy",
        least=-1e3,
        most=1e3,
    )

    def __post_init__(self) -> None:
        """Check the values, each and together."""
        super().__post_init__()
        if self.tanh_constant is None and self.op_tanh_reduce != 1.0:
            raise ConfigError(
                f"op_tanh_reduce is {self.op_tanh_reduce:g}, and there is no tanh constant that it could make smaller; "
                f"give --tanh-constant, too"
            )
