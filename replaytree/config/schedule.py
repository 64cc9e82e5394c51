"""How the depth bound and the epochs of a training rise during a search (growth.py)."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.config.option import Options, option
from replaytree.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GrowthOptions(Options):
    """When the depth bound rises. `grow_every` None: when the search stops improving."""

    grow_every: int | None = option(
        1,
        "Raise the depth bound every N episodes, or 'auto': when it stops improving.",
        "What to search",
        least=1,
        unset_word="auto",
    )
    grow_by: int = option(1, "Layers by which the depth bound rises.", "What to search", least=1, most=10_000)
    grow_patience: int = option(
        5, "With --grow-every auto: trainings without a new best before the bound rises.", "What to search", least=1
    )


@dataclass(frozen=True, kw_only=True)
class BudgetOptions(Options):
    """The epochs of a training, at the first depth bound and at the end."""

    epochs_first: int = option(
        4,
        "Epochs a training; rises with the depth bound.",
        "Training",
        first=True,
        flag="--epochs",
        metavar="FIRST:LAST",
        least=1,
        most=1_000_000,
    )
    epochs_last: int = option(
        8, "Epochs at the end.", "Training", flag="--epochs", metavar="FIRST:LAST", least=1, most=1_000_000
    )
    prune: bool = option(True, "Stop a path half-way if it is worse than half of the earlier paths.", "Training")

    def __post_init__(self) -> None:
        """Check the values, each and together."""
        super().__post_init__()
        if self.epochs_first > self.epochs_last:
            raise ConfigError(
                f"epochs are {self.epochs_first}:{self.epochs_last}, but the budget must not fall; "
                f"write --epochs {self.epochs_last}:{self.epochs_first}"
            )
