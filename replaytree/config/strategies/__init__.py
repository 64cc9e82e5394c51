"""The strategies by name, with their options. Each file of this folder is one strategy; nothing lists them.

A strategy's code is in replaytree/policy, which imports torch. Its options are here, so that the command line and the
reports know them without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from replaytree.config.option import declared
from replaytree.config.strategy import StrategyOptions
from replaytree.errors import ConfigError


def _found() -> dict[str, type[StrategyOptions]]:
    """The classes that the files define, by the strategy's name."""
    modules = [import_module(f"{__name__}.{each.name}") for each in iter_modules(__path__)]
    kinds = [
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, StrategyOptions) and kind.__module__ == module.__name__
    ]
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.name)}


STRATEGY_OPTIONS: dict[str, type[StrategyOptions]] = _found()
STRATEGY_NAMES = tuple(STRATEGY_OPTIONS)
WARM_STRATEGIES = tuple(name for name, options in STRATEGY_OPTIONS.items() if options.is_warm)
# Those that learn from scores, whoever measured them; the others learn from the gradient of a supernet.
SCORED_STRATEGIES = tuple(name for name, options in STRATEGY_OPTIONS.items() if not options.is_differentiable)
DIFFERENTIABLE_STRATEGIES = tuple(name for name, options in STRATEGY_OPTIONS.items() if options.is_differentiable)

# The strategies that have each option.
_OWNERS: dict[str, tuple[str, ...]] = {
    name: tuple(strategy for strategy, kind in STRATEGY_OPTIONS.items() if name in declared(kind))
    for options in STRATEGY_OPTIONS.values()
    for name in declared(options)
}


def foreign(strategy: str, names: Iterable[str]) -> list[str]:
    """Those of the names that are options of other strategies only."""
    return [name for name in names if strategy not in _OWNERS.get(name, (strategy,))]


def without_foreign(strategy: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without the options of other strategies."""
    idle = foreign(strategy, values)
    return {name: value for name, value in values.items() if name not in idle}


def require_own(strategy: str, names: Iterable[str]) -> None:
    """ConfigError for an option that was given, and that the strategy has not: nothing would come of it."""
    for name in foreign(strategy, names):
        own = _OWNERS[name]
        flag = next(declared(STRATEGY_OPTIONS[each])[name].flag for each in own)
        raise ConfigError(
            f"{name.rstrip('_')} is an option of {', '.join(own)}, and the strategy is {strategy}; leave out {flag}, "
            f"or choose --strategy {' or '.join(own)}"
        )
