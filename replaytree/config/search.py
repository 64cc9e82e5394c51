"""The configuration of a search: groups of options, of which command line, JSON, keywords, checks and help are made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Unpack

from replaytree.config.differentiable import require_differentiable
from replaytree.config.keywords import ConfigKeywords
from replaytree.config.latency import no_table
from replaytree.config.machine import MachineOptions
from replaytree.config.objective import ObjectiveOptions
from replaytree.config.option import (
    Options,
    by_flag,
    declared,
    flat,
    group,
    groups,
    members,
    option,
    parse_together,
    require_known,
)
from replaytree.config.recipe import RecipeOptions
from replaytree.config.removed import REMOVED, refuse
from replaytree.config.schedule import BudgetOptions, GrowthOptions
from replaytree.config.source import SourceOptions
from replaytree.config.space import USUAL_BOUNDS, SpaceOptions, following_bounds
from replaytree.config.strategies import STRATEGY_NAMES, STRATEGY_OPTIONS, WARM_STRATEGIES, foreign, require_own
from replaytree.config.strategy import StrategyOptions
from replaytree.config.text import TextOptions
from replaytree.config.weights import WeightOptions, require_meaning
from replaytree.errors import ConfigError

MOST_PASSES = 1e6


@dataclass(frozen=True, kw_only=True, init=False)
class SearchConfig(Options):
    """Everything that decides what a search does; stored with it as JSON. Names include units.

    It is made from flat keywords: SearchConfig(strategy="guided", warmup=4, max_layers=8).
    None means "decided when the search starts" (`width`, `crop_padding`, `flip`: from the data and the device), "none"
    (`train_limit`, `baseline_decay`) or "when it stops improving" (`grow_every`).
    Raises ConfigError for a value that cannot be used, naming the value and the command-line option.
    """

    seed: int = option(0, "Seed of all random choices.", "What to search", first=True, least=0, below=2**63)
    source: SourceOptions = group(SourceOptions)
    space: SpaceOptions = group(SpaceOptions)
    growth: GrowthOptions = group(GrowthOptions)
    strategy: str = option(
        "guided", f"How paths are chosen: {', '.join(STRATEGY_NAMES)}.", "Strategy", choices=STRATEGY_NAMES
    )
    warm_start: str | None = option(
        None,
        f"{', '.join(WARM_STRATEGIES)}: learn first from this search; same layers, any images.",
        "Strategy",
        metavar="SEARCH",
    )
    prior: str | None = option(
        None,
        f"{', '.join(WARM_STRATEGIES)}: learn first from a supernet, trained for so many passes on random paths, "
        "e.g. shared:96; of deep chains a supernet knows little.",
        "Strategy",
        metavar="shared:PASSES",
    )
    num_paths: int = option(1, "Episodes a turn, sampled and learned from together.", "Strategy", least=1, most=10_000)
    ahead: int | None = option(
        None,
        "Turns proposed before the results of the first of them are known, so that a GPU can train them at once.",
        "Strategy",
        least=1,
        most=1_000,
        unset="4 where this process trains on a GPU, else 1",
    )
    strategies: tuple[StrategyOptions, ...] = groups(STRATEGY_OPTIONS.values())
    budget: BudgetOptions = group(BudgetOptions)
    recipe: RecipeOptions = group(RecipeOptions)
    text: TextOptions = group(TextOptions)
    weights: WeightOptions = group(WeightOptions)
    machine: MachineOptions = group(MachineOptions)
    objective: ObjectiveOptions = group(ObjectiveOptions)

    def __init__(self, **options: Unpack[ConfigKeywords]) -> None:
        refuse(options)
        require_known(type(self), options)
        kind = STRATEGY_OPTIONS.get(str(options.get("strategy")))
        values = {**options, **({} if kind is None else _implied(kind, options))}
        self._take({**values, **following_bounds(values, USUAL_BOUNDS)})
        require_own(self.strategy, options)

    def _take(self, values: Mapping[str, Any]) -> None:
        """Set every field, and check them."""
        for name, value in members(type(self), values).items():
            object.__setattr__(self, name, value)
        self.__post_init__()
        if self.warm_start is not None and self.strategy not in WARM_STRATEGIES:
            raise ConfigError(
                f"strategy is {self.strategy!r}, which does not learn from the tree of another search "
                f"(--warm-start {self.warm_start}); choose --strategy {' or '.join(WARM_STRATEGIES)}"
            )
        if self.prior is not None:
            self._require_prior(self.prior)
        if self.objective.target_latency is not None and self.space.latency_table is None:
            raise ConfigError(no_table("--target-latency"))
        if (self.ahead or 1) > 1 and self.weights.weights != "fresh":
            raise ConfigError(
                f"ahead is {self.ahead}, and with --weights {self.weights.weights} every training goes on from the one "
                f"before it; leave out --ahead"
            )
        if self.strategy_options.is_differentiable:
            require_differentiable(self.strategy, self.to_options(), declared(type(self)))
        require_meaning(self.to_options(), declared(type(self)))

    def _require_prior(self, prior: str) -> None:
        if self.prior_passes is None:
            raise ConfigError(
                f"prior is {prior!r:.80}; write for how many passes over the training images the supernet is trained, "
                f"as in shared:12 (--prior)"
            )
        if self.strategy not in WARM_STRATEGIES:
            raise ConfigError(
                f"strategy is {self.strategy!r}, which learns from no prior (--prior {prior}); choose --strategy "
                f"{' or '.join(WARM_STRATEGIES)}"
            )
        if self.warm_start is not None:
            raise ConfigError("a search has one prior: leave out --prior or --warm-start")
        if self.weights.weights == "shared":
            raise ConfigError(
                "--prior is for trainings with weights of their own, and with --weights shared all have a supernet's "
                "already; leave out one of them"
            )

    @property
    def prior_passes(self) -> float | None:
        """For how many passes the supernet of the prior is trained; None without one."""
        kind, _, passes = (self.prior or "").partition(":")
        try:
            number = float(passes)
        except ValueError:
            return None
        return number if kind == "shared" and 0.0 < number <= MOST_PASSES else None

    @property
    def strategy_options(self) -> Any:
        """The options of the strategy that was chosen."""
        return next(options for options in self.strategies if options.name == self.strategy)

    def to_options(self) -> dict[str, Any]:
        """The values of all options by name."""
        return flat(self)

    def to_json(self) -> str:
        """The configuration as a JSON object, keys sorted."""
        return json.dumps(self.to_options(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> SearchConfig:
        """The inverse of to_json; raises ConfigError for text that is not a configuration.

        Options that were removed since it was written are left out (removed.py). Those of other strategies are taken as
        they are: nothing came of them.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"not a configuration: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"not a configuration: {text[:40]!r} is not a JSON object")
        known = {name: value for name, value in values.items() if name not in REMOVED}
        require_known(cls, known)
        return cls._of(known)

    @classmethod
    def from_options(cls, values: dict[str, Any]) -> SearchConfig:
        """From keyword options; raises ConfigError for a name that does not exist, listing those that do."""
        return cls(**values)

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> SearchConfig:
        made = cls.__new__(cls)
        made._take(values)
        return made

    def with_options(self, **values: Any) -> SearchConfig:
        """A copy with some values replaced, validated again."""
        refuse(values)
        require_known(type(self), values)
        made = self._of(self.to_options() | values)
        require_own(made.strategy, values)
        return made

    def to_arguments(self) -> list[str]:
        """The options of `replaytree run` that make this configuration, but for those of other strategies.

        Those are left out that are at their default, or that the strategy implies.
        Raises ConfigError for a search of your own data, evaluator or space, which no command line can name.
        """
        if self.source.dataset is None or self.space.space is None:
            raise ConfigError("this search has data, an evaluator or a space of its own; no command line makes it")
        given = self.to_options()
        implied = self.strategy_options.implied(given)
        words: list[str] = []
        for flag, together in by_flag(SearchConfig).items():
            values = [given[each.name] for each in together]
            usual = [implied.get(each.name, each.default) for each in together]
            if values == usual or foreign(self.strategy, [together[0].name]):
                continue
            if together[0].kind is bool:
                words.append(flag if values[0] else "--no-" + flag.removeprefix("--"))
            else:
                words += [flag, ":".join(each.written(value) for each, value in zip(together, values, strict=True))]
        return words


def _implied(kind: type[StrategyOptions], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a strategy implies and was not given; None is not given, unless there is a word for it."""
    known = declared(SearchConfig)

    def is_given(name: str) -> bool:
        return name in given and (given[name] is not None or known[name].option.unset_word is not None)

    return {name: value for name, value in kind.implied(given).items() if not is_given(name)}


def option_name(field: str) -> str:
    """The command-line option that sets a field: 'max_layers' -> '--max-layers'."""
    return declared(SearchConfig)[field].flag


def parse_flag(flag: str, text: str) -> dict[str, Any]:
    """The fields that an option's text sets: ('--epochs', '4:8') -> {'epochs_first': 4, 'epochs_last': 8}.

    The inverse of to_arguments; raises ConfigError for text that it does not write.
    """
    return parse_together(flag, by_flag(SearchConfig)[flag], text)
