"""`replaytree db upgrade`, `check`, `export` and `import`, and `doctor`: looking after the database and the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from replaytree.cli import console
from replaytree.cli.help import Commands
from replaytree.cli.importing import import_
from replaytree.cli.options import DataDir, Name, Storage, engine_of
from replaytree.cli.table import terminal_width
from replaytree.cli.text import escaped, say
from replaytree.config import storage_url

# The first problems are as informative as thousands.
SHOWN = 20

db = Commands(help="Upgrade or check the database itself; move searches between databases.")


@db.command()
def upgrade(storage: Storage = None) -> None:
    """Bring the database to the schema of this replaytree."""
    from replaytree.tree import upgrade as upgrade_database

    done = upgrade_database(storage_url(storage))
    say(done.text)


@db.command()
def check(
    storage: Storage = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Rebuild sums and visit counts, after copying a SQLite file beside itself."),
    ] = False,
) -> None:
    """Check that the tree is consistent: sums, visits, paths, parents, states. Exit code 1 if it is not."""
    from replaytree.search.stored import check as check_database
    from replaytree.search.stored import unknown_layers
    from replaytree.tree import list_searches, lost_states
    from replaytree.tree import repair as repair_database

    engine = engine_of(storage)
    if repair:
        say(repair_database(engine).text)
    problems = check_database(engine)
    for problem in problems[:SHOWN]:
        say(escaped(problem.text))
    if problems:
        more = f" ({SHOWN} of them are shown)" if len(problems) > SHOWN else ""
        fixed = sum(problem.repairable for problem in problems)
        again = console.command("db", "check", "--repair", storage=storage)
        say(f"{len(problems)} problems{more}; `{again}` fixes {fixed} of them")
        lost = list(dict.fromkeys(name for name, _, _ in lost_states(engine)))
        for name in lost:
            anew = console.command("resume", name, "--restart-weights", storage=storage)
            say(f"the weights of search {escaped(name)} are files: bring them back, or go on with fresh ones: `{anew}`")
        if fixed + len(lost) < len(problems):
            say("what cannot be fixed was stored that way: restore a backup, or import the search from its last export")
        raise typer.Exit(1)
    for name, why in unknown_layers(engine):
        say(f"search {escaped(name)}: shapes and costs of its layers are not checked: {why}")
    searches = list_searches(engine)
    count = "1 search" if len(searches) == 1 else f"{len(searches)} searches"
    say(f"ok: {count}, {sum(info.node_count for info in searches)} nodes")


@db.command("export")
def export_(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The file to write: JSON lines, compressed (NAME.jsonl.gz).")],
    storage: Storage = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write one search with everything stored about it to a portable file. The search may be running.

    The weights of a supernet stay where they are: an imported search can be read, and goes on with new ones.
    """
    from replaytree.tree import export_search

    done = export_search(engine_of(storage), name, file, force=force)
    say(f"{escaped(file)}: {done.text}")


@db.command()
def digest(name: Name, storage: Storage = None) -> None:
    """Print a hash of a search's tree: equal for searches that found the same, whatever their names and times."""
    from replaytree.tree import tree_digest

    say(tree_digest(engine_of(storage), name))


db.command("import")(import_)


def doctor(storage: Storage = None, data_dir: DataDir = None) -> None:
    """Show what this machine has, what is missing, and the commands that install it."""
    from replaytree.cli.doctor import examine

    findings = examine(storage=storage, data_dir=data_dir)
    say("\n".join(console.findings_lines(findings, width=terminal_width())))
