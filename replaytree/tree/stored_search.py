"""What a stored search can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsIndex, Unpack

from sqlalchemy import Engine

from replaytree.config.limits import CostLimits
from replaytree.errors import NodeNotFound
from replaytree.notebook import grid
from replaytree.records import NodeStats, Path, Space
from replaytree.space import checked
from replaytree.tree import node_queries, search_queries
from replaytree.tree.checkpoints import stored_checkpoints
from replaytree.tree.failures import failure_note
from replaytree.tree.goals import Goal, stored_goal
from replaytree.tree.models import ModelInfo, list_models
from replaytree.tree.prior import fitting, stored_prior
from replaytree.tree.ranking import Uncertainty
from replaytree.tree.records import EpisodeInfo, Leader, Node, Priced, SearchInfo
from replaytree.tree.storage_errors import advice, shown
from replaytree.tree.stored_space import require_same_layers

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

# As many as `replaytree best` shows.
_SHOWN = 10


class StoredSearch:
    """The reading half of ReplayTree. Every call is a transaction of its own."""

    def __init__(self, engine: Engine, name: str, *, search_id: int) -> None:
        """For ReplayTree."""
        self.engine = engine
        self.name = name
        self._search_id = search_id

    def __repr__(self) -> str:
        """Name and storage, without a password."""
        return f"{type(self).__name__}({shown(self.engine.url)!r}, {self.name!r})"

    def _repr_html_(self) -> str:
        info = self.info()
        metric = info.metric
        headings = ("node", metric.name, metric.bound, "trainings", "params", "FLOPs", "layers")
        rows = [
            (
                node.node_id, metric.shown(node.average_accuracy), metric.shown(node.lower_bound),
                node.budget_evaluation_count, node.params, node.flops, " ".join(node.labels),
            )
            for node in self.best(_SHOWN)
        ]  # fmt: skip
        title = f"search {self.name}: {info.training_count:,} trainings, {info.node_count:,} prefixes; the best"
        return grid(title, headings, rows)

    def failed_paths(self, beginning: str) -> set[Path]:
        """The paths one of whose trainings failed with a text that begins so."""
        return search_queries.failed_paths(self.engine, self._search_id, beginning)

    def failure_note(self) -> str | None:
        """How many trainings failed and what to do about it; None where they are no more than a third."""
        failures = search_queries.count_failures(self.engine, self._search_id)
        return failure_note(failures, self.training_count, self.info().config)

    def goal(self) -> Goal | None:
        """How far the search was last asked to go; None where nobody has said."""
        return stored_goal(self.engine, self._search_id)

    def goal_left(self) -> Goal | None:
        """What is left of the goal; None where it is reached, or was never said."""
        goal = self.goal()
        return None if goal is None else goal.left(episodes=self.episode_count, trainings=self.training_count)

    def node_stats(self) -> list[NodeStats]:
        """All nodes, in the order of insertion, as strategies see them."""
        return node_queries.node_stats(self.engine, self._search_id)

    def checkpoints(self) -> list[tuple[int, float]]:
        """(epochs of the budget, accuracy) of every path that came to its checkpoint, in ascending order."""
        return stored_checkpoints(self.engine, self._search_id)

    def prior(self) -> list[NodeStats]:
        """What the search was told by the one that it was warm-started from, parents before children."""
        return stored_prior(self.engine, self._search_id)

    def prior_for(self, space: Space) -> list[NodeStats]:
        """What this search can tell one in `space`: its measured prefixes that are legal there, without their visits.

        Raises SpaceError for other layers, ConfigError where nothing fits.
        """
        space = checked(space)
        require_same_layers(space, self.info().space_json, self.name)
        return fitting(self.node_stats(), space, name=self.name)

    def strategy_state(self) -> bytes | None:
        """The state given with the last record; None before."""
        return search_queries.strategy_state(self.engine, self._search_id)

    @property
    def episode_count(self) -> int:
        """Episodes recorded so far; the next one's number."""
        return search_queries.count_episodes(self.engine, self._search_id)

    @property
    def training_count(self) -> int:
        """Episodes that went to the evaluator, failures included."""
        return search_queries.count_episodes(self.engine, self._search_id, trained_only=True)

    def best(
        self,
        k: int = 10,
        *,
        max_depth: int | None = None,
        epochs: int | None = None,
        **limits: Unpack[CostLimits],
    ) -> list[Node]:
        """The k prefixes of the best lower bound at one budget: `epochs`, or the largest that the search has used.

        Ties go to fewer parameters, then to the older node. `limits` are max_params, max_flops, max_ram and max_flash;
        one leaves out nodes whose cost is unknown.
        """
        return node_queries.best(self.engine, self._search_id, k=k, max_depth=max_depth, epochs=epochs, **limits)

    def priced(
        self, *, max_depth: int | None = None, epochs: int | None = None, **limits: Unpack[CostLimits]
    ) -> list[Priced]:
        """All prefixes that `best` ranks: how each ranks, and what it costs."""
        return node_queries.priced(self.engine, self._search_id, max_depth=max_depth, epochs=epochs, **limits)

    def ranked(self, node_ids: Sequence[int], *, epochs: int | None = None) -> list[Node]:
        """Nodes of these ids, as `best` shows them, best first."""
        return node_queries.ranked_nodes(self.engine, self._search_id, node_ids, epochs=epochs)

    def comparable_count(self) -> int:
        """How many prefixes were measured at the largest budget: those that `best` ranks."""
        return node_queries.comparable_count(self.engine, self._search_id)

    def leader(self) -> Leader | None:
        """What `best` ranks first; None before a training."""
        return node_queries.leader(self.engine, self._search_id)

    def models(self) -> list[ModelInfo]:
        """What was retrained from this search, in the order of training."""
        return list_models(self.engine, search=self.name)

    def uncertainties(self) -> dict[int, Uncertainty]:
        """By budget, in epochs: the noise of trainings and the number of validation images."""
        return node_queries.uncertainties(self.engine, self._search_id)

    def node(self, node: SupportsIndex | Path) -> Node:
        """One node by its id or its path; NodeNotFound otherwise."""
        return node_queries.find_node(self.engine, self._search_id, node, search=self.name)

    def find(self, text: str) -> Node:
        """A node as a person names it: its id ('12'), its path ('5.0') or its labels ('conv32k3 max2s2')."""
        return node_queries.find_node_by_text(self.engine, self._search_id, text.strip(), search=self.name)

    def derived(self) -> Node | None:
        """What a differentiable search ends with: the path of its last epoch, or of the last sound one.

        None of other searches, and before the first epoch.
        """
        node_id = search_queries.derived_node(self.engine, self._search_id)
        return None if node_id is None else self.node(node_id)

    def find_or_answer(self, text: str | None) -> Node:
        """As `find`, or what the search has come to: what it derived, or else what `best` ranks first.

        NodeNotFound, saying how to go on, where nothing was measured.
        """
        if text is not None:
            return self.find(text)
        if (derived := self.derived()) is not None:
            return derived
        best = self.best(1)
        if not best:
            raise NodeNotFound(
                f"search {self.name!r} has no evaluated prefix yet; "
                f"{advice(self.engine.url, 'resume', self.name, '--trainings', 10)} goes on with it"
            )
        return best[0]

    def children(self, path: Path) -> list[Node]:
        """The nodes one layer below `path`, where () is the root; NodeNotFound if there is no such path."""
        parent_id = self.node(tuple(path)).node_id if path else None
        return node_queries.child_nodes(self.engine, self._search_id, parent_id)

    def nodes(self) -> list[Node]:
        """All nodes, in the order of insertion, as people see them."""
        return node_queries.all_nodes(self.engine, self._search_id)

    def episodes(self) -> list[EpisodeInfo]:
        """All episodes, in order."""
        return search_queries.list_episodes(self.engine, self._search_id)

    def info(self) -> SearchInfo:
        """The search as a whole."""
        return search_queries.search_info(self.engine, self._search_id)

    def to_networkx(self) -> nx.DiGraph[Path]:
        """The tree as a graph: see analysis.to_networkx."""
        # pandas and networkx take 0.5 s to import; a search needs neither.
        from replaytree.tree.analysis import to_networkx

        return to_networkx(self.nodes())

    def to_dataframe(self) -> pd.DataFrame:
        """One row a node: see analysis.to_dataframe."""
        from replaytree.tree.analysis import to_dataframe

        return to_dataframe(self.nodes())
