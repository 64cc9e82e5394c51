"""What every strategy declares."""

from __future__ import annotations

from typing import ClassVar

from replaytree.config.option import Options


class StrategyOptions(Options):
    """The options of one strategy, in a file of replaytree/config/strategies.

    `name` is its name for people, `made_by` the callable in replaytree/policy that makes it, as in
    'guided.GuidedStrategy', and `is_warm` says whether it learns from the tree of another search.
    """

    name: ClassVar[str]
    made_by: ClassVar[str]
    is_warm: ClassVar[bool] = False
