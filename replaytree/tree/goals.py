"""How far a search was asked to go: its goal, kept with it, so that one that was interrupted knows what is left."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, bindparam, select, update

from replaytree.tree.engine import reading
from replaytree.tree.inserts import insert_for
from replaytree.tree.retrying import write
from replaytree.tree.schema import goals

_SPEND = update(goals).where(goals.c.search_id == bindparam("search")).values(used_seconds=bindparam("used"))


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a search ends: at the first of so many episodes, trainings or seconds of running in all. None: no such end.

    `used_seconds` is how long it has been running since its first goal, as of what is recorded.
    """

    episodes: int | None = None
    trainings: int | None = None
    seconds: float | None = None
    used_seconds: float = 0.0

    def left(self, *, episodes: int, trainings: int) -> Goal | None:
        """What is left of it after so many episodes and trainings in all; None where it is reached."""
        rest = Goal(
            None if self.episodes is None else self.episodes - episodes,
            None if self.trainings is None else self.trainings - trainings,
            None if self.seconds is None else self.seconds - self.used_seconds,
            self.used_seconds,
        )
        values = [value for value in (rest.episodes, rest.trainings, rest.seconds) if value is not None]
        return rest if values and min(values) > 0 else None

    @property
    def hours(self) -> float | None:
        """The seconds, in hours."""
        return None if self.seconds is None else self.seconds / 3600.0

    @property
    def text(self) -> str:
        """In words: '100 trainings', '1.5 hours'."""
        words = {"episodes": self.episodes, "trainings": self.trainings}
        parts = [f"{count} {name if count != 1 else name[:-1]}" for name, count in words.items() if count is not None]
        if self.seconds is not None:
            hours = f"{self.seconds / 3600.0:.3g}"
            parts.append(f"{hours} hour{'' if hours == '1' else 's'}")
        return " or ".join(parts) or "nothing"


def stored_goal(engine: Engine, search_id: int) -> Goal | None:
    """The goal of a search; None where it was never given one."""
    columns = (goals.c.episodes, goals.c.trainings, goals.c.seconds, goals.c.used_seconds)
    with reading(engine) as connection:
        row = connection.execute(select(*columns).where(goals.c.search_id == search_id)).one_or_none()
    return None if row is None else Goal(*row)


def store_goal(engine: Engine, search_id: int, goal: Goal) -> None:
    """Give a search another goal."""
    values = {
        "episodes": goal.episodes,
        "trainings": goal.trainings,
        "seconds": goal.seconds,
        "used_seconds": goal.used_seconds,
    }
    upsert = insert_for(engine.dialect.name, goals).values(search_id=search_id, **values)
    write(
        engine,
        lambda connection: connection.execute(upsert.on_conflict_do_update(index_elements=["search_id"], set_=values)),
    )


def spend(connection: Connection, search_id: int, seconds: float) -> None:
    """Say how long a search has been running, in the transaction that records what it did."""
    connection.execute(_SPEND, {"search": search_id, "used": seconds})
