"""What every strategy declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from replaytree.config.option import Options


class StrategyOptions(Options):
    """The options of one strategy, in a file of replaytree/config/strategies.

    `name` is its name for people, `made_by` the callable in replaytree/policy that makes it, as in
    'guided.GuidedStrategy', and `is_warm` says whether it learns from the tree of another search. One that
    `is_differentiable` learns from the gradient of a mixed supernet (differentiable.py).
    """

    name: ClassVar[str]
    made_by: ClassVar[str]
    is_warm: ClassVar[bool] = False
    is_differentiable: ClassVar[bool] = False

    @classmethod
    def implied(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options of other groups that a search with this strategy has where they are not given."""
        return {}
