"""The strategies by name, with their options. Each file of this folder is one strategy; nothing lists them.

A strategy's code is in replaytree/policy, which imports torch. Its options are here, so that the command line and the
reports know them without it.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from replaytree.config.strategy import StrategyOptions


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
