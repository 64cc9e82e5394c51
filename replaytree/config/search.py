"""The configuration of a search: a dataclass whose fields also define the command-line options, checks and help."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from replaytree.config.option import Declared, declared, option
from replaytree.config.removed import REMOVED, refuse
from replaytree.errors import ConfigError

StrategyName = Literal["replay", "random", "evolution", "reinforce", "puct", "guided"]
STRATEGY_NAMES: tuple[StrategyName, ...] = get_args(StrategyName)
WARM_STRATEGIES: tuple[StrategyName, ...] = ("guided", "replay")
ReturnKind = Literal["cumulative", "reward-to-go", "best-reached", "marginal-gain", "final"]
BaselineKind = Literal["depth", "parent"]
EvaluatorName = Literal["joint", "separate"]
RewardKind = Literal["accuracy", "balanced"]

_SHARE = {"least": 0.0, "most": 1.0}


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Everything that decides what a search does; stored with it as JSON. Names include units.

    None means "decided when the search starts" (`width`, `crop_padding`, `flip`: from the data and the device), "none"
    (`train_limit`, `baseline_decay`) or "when it stops improving" (`grow_every`).
    Raises ConfigError for a value that cannot be used, naming the value and the command-line option.
    """

    seed: int = option(0, "Seed of all random choices.", "What to search", first=True, least=0, below=2**63)

    dataset: str | None = option(
        "digits",
        "digits, mnist, fashion-mnist, cifar10, cifar100, svhn, or a folder with train/<class>/<image>.",
        "Data",
        first=True,
    )
    data_dir: str | None = option(
        None,
        "Folder of the named data sets; missing ones are downloaded to it.",
        "Data",
        metavar="FOLDER",
        unset="the user's cache folder",
        envvar="REPLAYTREE_DATA",
    )
    image_size: int | None = option(
        None, "Resize images to this many pixels square.", "Data", least=1, most=4096, unset="32 for folders"
    )
    train_limit: int | None = option(
        None, "Train on a stratified part of this many images.", "Data", least=1, unset="all"
    )
    val_fraction: float = option(0.1, "Share of train kept for validation.", "Data", above=0.0, below=1.0)
    skip_bad: bool = option(False, "Leave out images that cannot be read.", "Data")

    width: float | None = option(
        None,
        "Factor on all channel numbers.",
        "What to search",
        above=0.0,
        most=64.0,
        unset="0.25 on a CPU, else 1",
    )
    min_layers: int = option(2, "Depth bound at the start, in layers.", "What to search", least=1, most=10_000)
    max_layers: int = option(
        6, "Depth bound at the end, in layers.", "What to search", first=True, least=1, most=10_000
    )
    grow_every: int | None = option(
        1,
        "Raise the depth bound every N episodes, or 'auto': when it stops improving.",
        "What to search",
        least=1,
        unset_word="auto",
    )
    grow_patience: int = option(
        5, "With --grow-every auto: trainings without a new best before the bound rises.", "What to search", least=1
    )

    strategy: StrategyName = option("guided", f"How paths are chosen: {', '.join(STRATEGY_NAMES)}.", "Strategy")
    warm_start: str | None = option(
        None,
        "guided, replay: learn first from this search; same layers, any images.",
        "Strategy",
        metavar="SEARCH",
    )
    num_paths: int = option(1, "Episodes a turn, sampled and learned from together.", "Strategy", least=1, most=10_000)
    return_kind: ReturnKind = option(
        "cumulative",
        f"replay, reinforce: what a step is credited with: {', '.join(get_args(ReturnKind))}.",
        "Strategy",
        flag="--return",
        metavar="KIND",
    )
    gamma: float = option(0.9, "replay, reinforce: discount in G_t = R_t + gamma G_(t-1).", "Strategy", **_SHARE)
    replay: float = option(0.25, "replay: probability that an episode is replayed from the tree.", "Strategy", **_SHARE)
    continue_: float = option(
        0.0, "replay: probability that an episode continues a prefix of the tree.", "Strategy", **_SHARE
    )
    temperature: float = option(
        0.01,
        "replay: temperature of the softmax over average accuracy that draws from the tree.",
        "Strategy",
        least=1e-6,
        most=1e6,
    )
    rho_bar: float = option(1.0, "replay: truncation of importance weights.", "Strategy", above=0.0)
    baseline: BaselineKind = option(
        "depth", "replay: what a return is compared with: depth (earlier paths), parent (its prefix).", "Strategy",
        metavar="KIND",
    )  # fmt: skip
    baseline_decay: float | None = option(
        None,
        "replay, reinforce: decay of the baseline's moving average.",
        "Strategy",
        **_SHARE,
        unset="an even average; reinforce: Zoph and Le's",
    )
    hidden_size: int = option(64, "Hidden units of the LSTM controller.", "Strategy", least=1, most=16_384)
    policy_learning_rate: float = option(
        5e-3, "Learning rate of the controller's Adam optimizer.", "Strategy", above=0.0, most=1e6
    )
    entropy: float = option(0.01, "replay, puct: weight of the entropy bonus.", "Strategy", least=0.0, most=1e6)
    grad_clip: float = option(1.0, "Largest gradient norm of the controller.", "Strategy", above=0.0)
    warmup: int = option(8, "guided: trainings before the value networks choose.", "Strategy", least=1)
    candidates: int = option(64, "guided: paths ranked before one is trained.", "Strategy", least=1, most=1_000_000)
    mutants: float = option(
        0.5, "guided: share of the candidates that are mutants of good paths.", "Strategy", **_SHARE
    )
    population: int = option(20, "evolution: paths kept in the population.", "Strategy", least=1)
    tournament: int = option(5, "evolution: paths that compete to be a parent.", "Strategy", least=1, most=1_000_000)
    exploration: float = option(1.0, "puct, guided: weight of the uncertainty.", "Strategy", least=0.0, most=1e6)

    evaluator: EvaluatorName = option(
        "joint", "joint: one training scores all prefixes; separate: one training a prefix.", "Training"
    )
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
    batch_size: int = option(64, "Images a training step.", "Training", least=1)
    learning_rate: float = option(0.1, "Peak of the one-cycle schedule.", "Training", above=0.0, most=1e6)
    momentum: float = option(0.9, "Nesterov momentum.", "Training", **_SHARE)
    weight_decay: float = option(5e-4, "Weight decay of the trained networks.", "Training", least=0.0, most=1e6)
    label_smoothing: float = option(0.1, "Label smoothing of the training loss.", "Training", **_SHARE)
    crop_padding: int | None = option(
        None,
        "Random crop after padding by this many pixels.",
        "Training",
        least=0,
        most=4096,
        unset="the data set's own",
    )
    flip: bool | None = option(None, "Random horizontal flip.", "Training", unset="the data set's own")
    prune: bool = option(True, "Stop a path half-way if it is worse than half of the earlier paths.", "Training")
    device: str = option("auto", "auto, cpu, cuda, cuda:1, mps.", "Machine")
    threads: int | None = option(
        None,
        "Threads of a training; OMP_NUM_THREADS also sets it.",
        "Machine",
        least=1,
        most=4096,
        unset="one, or more if they are faster",
    )
    capture: bool = option(True, "On a GPU: capture each training step in a CUDA graph.", "Machine")

    reward: RewardKind = option(
        "accuracy", "accuracy; or balanced: the mean of the classes' accuracies.", "What to search"
    )
    max_params: int | None = option(
        None, "Only networks of at most this many parameters, as in 100k.", "What to search", first=True, least=1
    )
    max_flops: int | None = option(
        None,
        "Only networks of at most this many FLOPs (multiply-adds an image), as in 5M.",
        "What to search",
        first=True,
        least=1,
    )
    target_params: int | None = option(
        None, "Above it, the reward is accuracy * (parameters / target)^w.", "What to search", least=1
    )
    target_flops: int | None = option(
        None, "Above it, the reward is accuracy * (FLOPs / target)^w.", "What to search", least=1
    )
    cost_weight: float = option(-0.07, "The exponent w of the targets.", "What to search", most=0.0, least=-1e3)

    def __post_init__(self) -> None:
        for name, field in declared(type(self)).items():
            object.__setattr__(self, name, field.checked(getattr(self, name)))
        self._check_pairs()

    def _check_pairs(self) -> None:
        if self.min_layers > self.max_layers:
            raise ConfigError(
                f"min_layers is {self.min_layers}, more than max_layers, {self.max_layers}; "
                f"lower --min-layers or raise --max-layers"
            )
        if self.epochs_first > self.epochs_last:
            raise ConfigError(
                f"epochs are {self.epochs_first}:{self.epochs_last}, but the budget must not fall; "
                f"write --epochs {self.epochs_last}:{self.epochs_first}"
            )
        if self.warm_start is not None and self.strategy not in WARM_STRATEGIES:
            raise ConfigError(
                f"strategy is {self.strategy!r}, which does not learn from the tree of another search "
                f"(--warm-start {self.warm_start}); choose --strategy {' or '.join(WARM_STRATEGIES)}"
            )
        if self.replay + self.continue_ > 1.0:
            raise ConfigError(
                f"replay ({self.replay}) and continue ({self.continue_}) add up to more than 1; "
                f"lower --replay or --continue"
            )

    def to_json(self) -> str:
        """The configuration as a JSON object, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> SearchConfig:
        """The inverse of to_json; raises ConfigError for text that is not a configuration.

        Options that were removed since it was written are left out (removed.py).
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"not a configuration: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"not a configuration: {text[:40]!r} is not a JSON object")
        return cls.from_options({name: value for name, value in values.items() if name not in REMOVED})

    @classmethod
    def from_options(cls, values: dict[str, Any]) -> SearchConfig:
        """From keyword options; raises ConfigError for a name that does not exist, listing those that do."""
        refuse(values)
        known = declared(cls)
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"unknown option {unknown[0]!r}; known options: {', '.join(sorted(known))}")
        return cls(**values)

    def with_options(self, **values: Any) -> SearchConfig:
        """A copy with some values replaced, validated again."""
        return replace(self, **values)

    def to_arguments(self) -> list[str]:
        """The options of `replaytree run` that make this configuration; those at their default are left out.

        Raises ConfigError for a search of your own data or evaluator, which no command line can name.
        """
        if self.dataset is None:
            raise ConfigError("this search has data or an evaluator of its own; no command line makes it")
        words: list[str] = []
        for flag, together in by_flag().items():
            values = [getattr(self, each.name) for each in together]
            if values == [each.default for each in together]:
                continue
            if together[0].kind is bool:
                words.append(flag if values[0] else "--no-" + flag.removeprefix("--"))
            else:
                words += [flag, ":".join(each.written(value) for each, value in zip(together, values, strict=True))]
        return words


def by_flag() -> dict[str, list[Declared]]:
    """The fields of SearchConfig by the option that sets them."""
    found: dict[str, list[Declared]] = {}
    for each in declared(SearchConfig).values():
        found.setdefault(each.flag, []).append(each)
    return found


def option_name(field: str) -> str:
    """The command-line option that sets a field: 'max_layers' -> '--max-layers'."""
    return declared(SearchConfig)[field].flag


def parse_flag(flag: str, text: str) -> dict[str, Any]:
    """The fields that an option's text sets: ('--epochs', '4:8') -> {'epochs_first': 4, 'epochs_last': 8}.

    The inverse of to_arguments; raises ConfigError for text that it does not write.
    """
    together = by_flag()[flag]
    parts = text.split(":") if len(together) > 1 else [text]
    if len(parts) == 1:
        parts *= len(together)
    try:
        return {each.name: each.parse(part) for each, part in zip(together, parts, strict=True)}
    except ValueError as error:
        reason = str(error)
        if len(together) > 1:
            example = ":".join(each.written(each.default) for each in together)
            reason = f"write {together[0].metavar}, as in {flag} {example}, or one number"
        raise ConfigError(f"{flag} is {text!r:.80}; {reason}") from None
