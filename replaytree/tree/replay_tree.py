"""ReplayTree: one search's tree of prefixes in a database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import URL, Connection, Engine

from replaytree.errors import DatabaseGone, LeaseLost, SearchExists
from replaytree.records import NodeStats, Path, Space
from replaytree.space import checked
from replaytree.space.network import task_of
from replaytree.tree import rescoring, search_queries
from replaytree.tree.checkpoints import add_checkpoints
from replaytree.tree.engine import open_engine
from replaytree.tree.evaluator_states import folder_for, refer, state_in, stored_state
from replaytree.tree.goals import Goal, spend, store_goal
from replaytree.tree.inserts import insert_for
from replaytree.tree.leases import Lease, holder_of, require_unheld
from replaytree.tree.lost_file import require_file, rescued
from replaytree.tree.names import require_name
from replaytree.tree.prior import insert_prior
from replaytree.tree.raised import raise_limits
from replaytree.tree.recording import record_episodes, record_late
from replaytree.tree.records import Episode, Node
from replaytree.tree.retrying import write
from replaytree.tree.schema import searches
from replaytree.tree.state_files import StateFile, StateFolder
from replaytree.tree.storage_errors import advice, shown
from replaytree.tree.stored_search import StoredSearch
from replaytree.tree.stored_space import require_same_space, space_to_json


class ReplayTree(StoredSearch):
    """The stored prefixes of one search: the replay memory and the answer.

    Every call is a transaction of its own, and none is open between calls. An engine that is passed in must come
    from `open_engine`.
    """

    def __init__(self, engine: Engine, name: str, *, search_id: int, space: Space | None) -> None:
        """For `create` and `open`."""
        super().__init__(engine, name, search_id=search_id)
        self._space = None if space is None else checked(space)
        self._lease: Lease | None = None

    @classmethod
    def create(
        cls,
        storage: str | URL | Engine,
        name: str,
        *,
        space: Space,
        seed: int,
        config_json: str,
        versions: Mapping[str, str],
        data_json: str | None = None,
        prior: Sequence[NodeStats] = (),
    ) -> ReplayTree:
        """Begin a new search, making the database if there is none; SearchExists if the name is taken.

        Raises ConfigError for a name that no search can have (names.py).

        `prior` is what another search measured (`prior_for`); it is stored apart, and counts as nothing measured here.
        """
        require_name(name)
        space = checked(space)
        engine = storage if isinstance(storage, Engine) else open_engine(storage)
        row = {
            "name": name,
            "task": task_of(space),
            "created_at": datetime.now(UTC),
            "seed": seed,
            "config_json": config_json,
            "space_json": space_to_json(space),
            "data_json": data_json,
            "versions_json": json.dumps(dict(versions), sort_keys=True),
        }
        insert = insert_for(engine.dialect.name, searches).on_conflict_do_nothing(index_elements=["name"])

        def begin(connection: Connection) -> int | None:
            search_id: int | None = connection.scalar(insert.returning(searches.c.id), row)
            if search_id is not None:
                insert_prior(connection, search_id, prior)
            return search_id

        search_id = write(engine, begin)
        if search_id is None:
            raise SearchExists(
                f"{shown(engine.url)} has a search {name!r} already; continue it with "
                f"{advice(engine.url, 'resume', name)} or Search.resume({name!r}, ...), or choose another name "
                f"(--name, name=)"
            )
        return cls(engine, name, search_id=search_id, space=space)

    @classmethod
    def open(cls, storage: str | URL | Engine, name: str, *, space: Space | None = None) -> ReplayTree:
        """An existing search; SearchNotFound lists the names there are.

        The space is needed to record; SpaceError, saying what differs, if it is not the stored one.
        """
        engine = storage if isinstance(storage, Engine) else open_engine(storage, create=False)
        search_id, space_json = search_queries.find_search(engine, name)
        if space is not None:
            space = checked(space)
            require_same_space(space, space_json, name)
        return cls(engine, name, search_id=search_id, space=space)

    def record(
        self,
        episodes: Sequence[Episode],
        *,
        state: bytes,
        checkpoints: Sequence[tuple[int, float]] = (),
        used_seconds: float | None = None,
        evaluator_state: StateFile | None = None,
    ) -> list[NodeStats]:
        """Store episodes and the strategy's state after them in one transaction.

        Each episode adds one visit to every prefix of its path; a trained one adds its accuracies to the sums.
        `checkpoints` are (epochs of the budget, accuracy) of paths that came to its checkpoint. Returns every touched
        node as it is now, in the order of insertion. Inside `driving` it raises LeaseLost where another process has
        taken the search over; what was trained is then stored, and the state is left as it is. `used_seconds` is how
        long the search has been running in all, for its goal. `evaluator_state` is the file that holds the state of the
        evaluator after them; None: it is as it was.
        """

        def work(connection: Connection) -> list[NodeStats] | LeaseLost:
            outcome = self._record(connection, episodes, state, used_seconds)
            if not isinstance(outcome, LeaseLost):
                add_checkpoints(connection, self._search_id, checkpoints)
                if evaluator_state is not None:
                    refer(connection, self._search_id, evaluator_state)
            return outcome

        try:
            # The file of the turn before the last goes when this is stored, so that must not be undone.
            outcome = write(self.engine, work, durable=evaluator_state is not None)
        except DatabaseGone as gone:
            raise rescued(gone, self.engine, self._search_id, self.name, work) from gone
        if isinstance(outcome, LeaseLost):
            raise outcome
        return outcome

    def _record(
        self,
        connection: Connection,
        episodes: Sequence[Episode],
        state: bytes,
        used_seconds: float | None,
    ) -> list[NodeStats] | LeaseLost:
        try:
            if self._lease is not None:
                self._lease.require(connection)
        except LeaseLost as lost:
            record_late(connection, self._search_id, space=self._space, batch=episodes)
            return lost
        if used_seconds is not None:
            spend(connection, self._search_id, used_seconds)
        return record_episodes(connection, self._search_id, space=self._space, batch=episodes, state=state)

    def evaluator_state(self) -> StateFile | None:
        """The file that holds the evaluator's state; None where none was stored."""
        return stored_state(self.engine, self._search_id)

    def state_folder(self, folder: str | None) -> StateFolder:
        """Where the files of the evaluator's states go; `folder` None is beside the database."""
        return folder_for(self.engine, self._search_id, self.name, folder=folder)

    def begin_state(self, file: StateFile | None, folder: StateFolder) -> StateFile | None:
        """Make `file`, if one is given, the evaluator's state, and remove the files that interruptions have left.

        Returns the one before it, which is kept, too; None where there is none.

        Within `driving`: the lease is held until the files are gone, so that none is of another driver.
        """

        def store(connection: Connection) -> None:
            if self._lease is not None:
                self._lease.require(connection)
            if file is not None:
                refer(connection, self._search_id, file)

        def tidy(connection: Connection) -> StateFile | None:
            if self._lease is not None:
                self._lease.require(connection)
            kept = state_in(connection, self._search_id)
            return None if kept is None else folder.remove_orphans(kept)

        write(self.engine, store, durable=file is not None)
        return write(self.engine, tidy)

    @property
    def needs_rescoring(self) -> bool:
        """Whether the evaluator's state has changed since leaders were scored once more, and they were not by it.

        Where turns are scored on a part of the images (`score_images`), leaders were not, even if all are of one turn.
        """
        if self.evaluator_state() is None:
            return False
        measured, rescored = rescoring.last_epochs(self.engine, self._search_id)
        if rescored >= measured:
            return False
        on_a_part = self.info().config.weights.score_images is not None
        return on_a_part or any(node.epochs != measured for node in self._leaders())

    def leaders(self) -> list[Path]:
        """The paths that may be the best by the evaluator's last state (rescoring.py)."""
        return [node.path for node in self._leaders()]

    def _leaders(self) -> list[Node]:
        nodes = {node.path: node for node in self.nodes()}
        return [nodes[path] for path in rescoring.leaders(list(nodes.values()))]

    def record_rescores(self, scores: Mapping[Path, float], *, epochs: int, epochs_before: int) -> None:
        """Store what prefixes were scored once more. `epochs_before` is from now on that of the evaluator's state.

        Inside `driving` it raises LeaseLost where another process has taken the search over.
        """

        def work(connection: Connection) -> None:
            if self._lease is not None:
                self._lease.require(connection)
            rescoring.record_rescores(connection, self._search_id, scores, epochs=epochs, epochs_before=epochs_before)

        write(self.engine, work, durable=True)

    @contextmanager
    def driving(self, *, take_over: bool = False) -> Iterator[None]:
        """Be the one driver of the search until the end of the block.

        Raises SearchHeld where another process is, unless that one is known to be gone or `take_over`.
        """
        lease = self._lease = Lease(self.engine, self._search_id, self.name, take_over=take_over)
        try:
            yield
            # Where the file is gone by now, nobody else will notice what was lost.
            require_file(self.engine, self._search_id, self.name)
        finally:
            self._lease = None
            lease.release()

    def deaths_in(self, training: str) -> int:
        """How many processes in a row died in this training while they drove the search; the caller names it."""
        return 0 if self._lease is None else self._lease.deaths.counts.get(training, 0)

    @contextmanager
    def training(self, training: str) -> Iterator[None]:
        """Note that this training is under way until the end of the block. Outside of `driving` nothing is noted."""
        lease = self._lease
        if lease is None:
            yield
            return
        lease.note(lease.deaths.began(training))
        try:
            yield
        finally:
            lease.note(lease.deaths.ended(training))

    def require_free(self, *, drives: bool = True) -> None:
        """Raise SearchHeld where a process drives the search that is not known to be gone.

        `drives`: who asks would drive it, not delete or rename it.
        """
        require_unheld(self.engine, self.name, holder_of(self.engine, self._search_id), drives=drives)

    def store_raised(self, config_json: str, *, state: bytes) -> None:
        """Give the search a configuration and a space with higher limits, and its state for them, all at once."""
        assert self._space is not None, "only a tree with its space is written to"
        space_json = space_to_json(self._space)

        def work(connection: Connection) -> None:
            if self._lease is not None:
                self._lease.require(connection)
            raise_limits(connection, self._search_id, config_json=config_json, space_json=space_json, state=state)

        write(self.engine, work)

    def set_goal(self, goal: Goal) -> None:
        """Say how far the search shall go."""
        store_goal(self.engine, self._search_id, goal)

    def store_prior(self, nodes: Sequence[NodeStats]) -> None:
        """Store what the search is told before its first training."""

        def work(connection: Connection) -> None:
            if self._lease is not None:
                self._lease.require(connection)
            insert_prior(connection, self._search_id, nodes)

        write(self.engine, work)
