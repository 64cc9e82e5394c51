"""The metadata with which Datasette (0.65) shows a database: questions about its searches, and what to hide."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine

from replaytree.errors import ConfigError
from replaytree.tree.search_queries import search_names
from replaytree.tree.sqlite_file import file_of

# States of strategies and evaluators, and sums that the views read: nothing in them is for people.
HIDDEN = (
    "strategy_states", "evaluator_states", "leases", "node_budgets", "budgets", "noise_factors", "checkpoints",
    "replaytree_alembic_version",
)  # fmt: skip

# What stands for a row where another one refers to it: Datasette makes it a link.
LABELS = {"searches": "name", "nodes": "labels", "episodes": "number", "models": "labels"}

# With many searches the front page would only be links.
_MOST_LINKED = 30


@dataclass(frozen=True, slots=True)
class Query:
    """A question with its SQL; `:search` is asked for."""

    title: str
    about: str
    sql: str


QUERIES: Mapping[str, Query] = {
    "best": Query(
        "Best prefixes",
        "In the order of `replaytree best`, at the search's largest budget.",
        """
select labels, average_accuracy, training_bound, budget_evaluation_count as trainings, params, flops, depth, node_id
from best_prefixes where search = :search limit 100
""",
    ),
    "front": Query(
        "Accuracy against parameters",
        "The prefixes that none beats with as few parameters.",
        """
select labels, average_accuracy, params, flops, node_id
from (select *, max(average_accuracy) over (order by params, average_accuracy desc
                                            rows between unbounded preceding and 1 preceding) as before
      from best_prefixes where search = :search and params is not null)
where before is null or average_accuracy > before order by params
""",
    ),
    "layers": Query(
        "Layers by depth",
        "How the prefixes that end with a layer did, over all budgets.",
        """
select nodes.depth, nodes.label, count(*) as prefixes, round(avg(architectures.average_accuracy), 4) as mean_accuracy,
       round(max(architectures.average_accuracy), 4) as best_accuracy
from architectures join nodes on nodes.id = architectures.node_id
where architectures.search = :search and architectures.average_accuracy is not null
group by nodes.depth, nodes.label order by nodes.depth, mean_accuracy desc
""",
    ),
    "trainings": Query(
        "Trainings",
        "In order, with the best prefix of each.",
        """
select episodes.number, episodes.source, episodes.epochs, nodes.labels,
       (select round(max(accuracy), 4) from evaluations where evaluations.episode_id = episodes.id) as best_accuracy,
       round(episodes.train_seconds, 2) as train_seconds, episodes.failure, episodes.created_at
from episodes join searches on searches.id = episodes.search_id join nodes on nodes.id = episodes.node_id
where searches.name = :search and episodes.trained order by episodes.number
""",
    ),
    "failures": Query(
        "Failures",
        "Trainings that diverged, did not fit into memory, or ended with an error.",
        """
select episodes.number, nodes.labels, episodes.failure, episodes.failure_text, episodes.epochs
from episodes join searches on searches.id = episodes.search_id join nodes on nodes.id = episodes.node_id
where searches.name = :search and episodes.failure is not null order by episodes.number
""",
    ),
    "models": Query(
        "Trained models and baselines",
        "The mean over the seeds of each; baselines are hand-made networks.",
        """
select coalesce(models.baseline, 'node ' || models.node_id) as network, models.labels, models.epochs,
       count(*) as seeds, round(avg(models.test_accuracy), 4) as test_accuracy,
       round(avg(models.validation_accuracy), 4) as validation_accuracy, max(models.params) as params,
       max(models.flops) as flops, max(models.ram_bytes) as ram_bytes
from models join searches on searches.id = models.search_id
where searches.name = :search
group by models.baseline, models.node_id, models.labels, models.epochs,
         json_remove(models.training_json, '$.flash_bytes')
order by coalesce(avg(models.test_accuracy), avg(models.validation_accuracy)) desc
""",
    ),
    "continued": Query(
        "What continues a prefix",
        "The nodes one layer below another; 0 for the first layers.",
        """
select architectures.node_id, nodes.label, architectures.average_accuracy, architectures.evaluation_count,
       architectures.visit_count, architectures.params, architectures.flops
from architectures join nodes on nodes.id = architectures.node_id
where architectures.search = :search and coalesce(nodes.parent_id, 0) = cast(:node_id as integer)
order by architectures.average_accuracy desc
""",
    ),
}


def datasette_metadata(engine: Engine) -> tuple[Path, dict[str, Any]]:
    """The database's file, and the metadata for it; ConfigError for a database that is no file of SQLite."""
    file = file_of(engine.url)
    if file is None:
        raise ConfigError(
            "Datasette reads files of SQLite, and this database is none; copy a search into one with `replaytree db "
            "export` and `replaytree db import --storage FILE`"
        )
    database = {
        "description_html": _links(file.stem, search_names(engine)),
        "tables": {
            **{name: {"hidden": True} for name in HIDDEN},
            **{name: {"label_column": column} for name, column in LABELS.items()},
        },
        "queries": {
            name: {"title": query.title, "description": query.about, "sql": query.sql.strip(), "hide_sql": True}
            for name, query in QUERIES.items()
        },
    }
    title = "replaytree: what searches have found"
    return file, {"title": title, "databases": {file.stem: database}}


def _links(stem: str, searches: Sequence[str]) -> str:
    """A line for each of the last searches, with the questions about it as links."""
    asked = [(name, query) for name, query in QUERIES.items() if ":node_id" not in query.sql]

    def line(search: str) -> str:
        links = ", ".join(
            f'<a href="{_tilde(stem)}/{name}?search={quote(search, safe="")}">{escape(query.title)}</a>'
            for name, query in asked
        )
        return f"<li><b>{escape(search)}</b>: {links}</li>"

    return f"<ul>{''.join(map(line, searches[-_MOST_LINKED:]))}</ul>"


def _tilde(name: str) -> str:
    """A database's name as Datasette spells it in a path: all but letters, digits, _ and - is ~ and two hex digits."""
    return re.sub(rb"[^A-Za-z0-9_-]", lambda found: b"~%02X" % found[0][0], name.encode()).decode().replace("~20", "+")
