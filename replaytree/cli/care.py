"""`replaytree db upgrade`, `db check` and `doctor`: looking after the database and the machine."""

from __future__ import annotations

from typing import Annotated

import typer

from replaytree.cli import console
from replaytree.cli.options import DataDir, Storage, engine_of
from replaytree.config import storage_url

db = typer.Typer(help="Upgrade or check the database itself.", no_args_is_help=True)


@db.command()
def upgrade(storage: Storage = None) -> None:
    """Bring the database to the schema of this replaytree."""
    from replaytree.tree import upgrade as upgrade_database

    done = upgrade_database(storage_url(storage))
    print(done.text)


@db.command()
def check(
    storage: Storage = None,
    repair: Annotated[bool, typer.Option("--repair", help="Rebuild the sums from the evaluations.")] = False,
) -> None:
    """Prove that the stored sums are those of the evaluations. Exit code 1 where they are not."""
    from replaytree.tree import check as check_database
    from replaytree.tree import list_searches
    from replaytree.tree import repair as repair_database

    engine = engine_of(storage)
    if repair:
        print(f"{repair_database(engine)} nodes rebuilt")
    problems = check_database(engine)
    for problem in problems:
        print(problem.text)
    if problems:
        print(f"{len(problems)} problems; `replaytree db check --repair` rebuilds the sums from the evaluations")
        raise typer.Exit(1)
    searches = list_searches(engine)
    print(f"ok: {len(searches)} searches, {sum(info.node_count for info in searches)} nodes")


def doctor(storage: Storage = None, data_dir: DataDir = None) -> None:
    """Say what this machine has, and what is missing with the command that mends it."""
    from replaytree.doctor import examine

    console.stdout().print(console.findings_table(examine(storage=storage, data_dir=data_dir)))
