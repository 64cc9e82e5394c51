"""The command line: parse, call, print."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from replaytree import console
from replaytree.bench.commands import bench
from replaytree.config import EvaluatorName, ReturnKind, SearchConfig, StrategyName, parse_epochs, storage_url
from replaytree.errors import ConfigError, ReplayTreeError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from replaytree.search import Search
    from replaytree.tree import ReplayTree

DIGITS_TRAININGS = 40
DEFAULT_TRAININGS = 400
DEFAULTS = SearchConfig()

app = typer.Typer(
    help="Find a good network for an image data set; keep every prefix it trains in a SQL tree.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
db = typer.Typer(help="Upgrade or check the database itself.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(bench, name="bench")

Storage = Annotated[
    str | None,
    typer.Option(
        help="SQLAlchemy URL of the database.  [default: sqlite:///replaytree.db]", envvar="REPLAYTREE_STORAGE"
    ),
]
Name = Annotated[str, typer.Argument(help="The search's name; `replaytree list` shows them.")]
Episodes = Annotated[int | None, typer.Option(help="Stop after this many episodes, replays included.")]
Trainings = Annotated[int | None, typer.Option(help="Stop after this many trainings.")]
Hours = Annotated[float | None, typer.Option(help="Stop after this many hours.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
DataDir = Annotated[
    str | None, typer.Option(help="Folder of the named data sets; they are downloaded to it.", envvar="REPLAYTREE_DATA")
]
Format = Annotated[Literal["table", "json", "csv"], typer.Option(help="How to print.")]


@app.command()
def run(
    dataset: Annotated[
        str,
        typer.Option(
            help="digits, mnist, fashion-mnist, cifar10, cifar100, svhn, or a folder with train/<class>/<image>."
        ),
    ] = "digits",
    name: Annotated[str | None, typer.Option(help="Name of the search.  [default: <dataset>-<number>]")] = None,
    storage: Storage = None,
    trainings: Trainings = None,
    episodes: Episodes = None,
    hours: Hours = None,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = DEFAULTS.seed,
    max_layers: Annotated[int, typer.Option(help="Depth bound at the end, in layers.")] = DEFAULTS.max_layers,
    min_layers: Annotated[int, typer.Option(help="Depth bound at the start, in layers.")] = DEFAULTS.min_layers,
    grow_every: Annotated[
        str, typer.Option(help="Raise the depth bound every N episodes, or 'auto': when it stops improving.")
    ] = "auto",
    epochs: Annotated[
        str, typer.Option(help="Epochs a training, FIRST:LAST; rises with the depth bound.")
    ] = f"{DEFAULTS.epochs_first}:{DEFAULTS.epochs_last}",
    strategy: Annotated[StrategyName, typer.Option(help="How paths are chosen.")] = DEFAULTS.strategy,
    replay: Annotated[
        float, typer.Option(help="Probability that an episode is replayed from the tree.")
    ] = DEFAULTS.replay,
    continue_: Annotated[
        float, typer.Option("--continue", help="Probability that an episode continues a prefix of the tree.")
    ] = DEFAULTS.continue_,
    return_kind: Annotated[
        ReturnKind, typer.Option("--return", help="What a step is credited with.")
    ] = DEFAULTS.return_kind,
    gamma: Annotated[float, typer.Option(help="Discount in G_t = R_t + gamma G_(t-1).")] = DEFAULTS.gamma,
    temperature: Annotated[
        float, typer.Option(help="Of the softmax over average accuracy that draws from the tree.")
    ] = DEFAULTS.temperature,
    rho_bar: Annotated[float, typer.Option(help="Truncation of importance weights.")] = DEFAULTS.rho_bar,
    hidden_size: Annotated[int, typer.Option(help="Hidden units of the LSTM controller.")] = DEFAULTS.hidden_size,
    policy_learning_rate: Annotated[
        float, typer.Option(help="Of the controller's Adam.")
    ] = DEFAULTS.policy_learning_rate,
    entropy: Annotated[float, typer.Option(help="Weight of the entropy bonus.")] = DEFAULTS.entropy,
    grad_clip: Annotated[float, typer.Option(help="Largest gradient norm of the controller.")] = DEFAULTS.grad_clip,
    num_paths: Annotated[
        int, typer.Option(help="Episodes a turn, sampled and learnt from together.")
    ] = DEFAULTS.num_paths,
    evaluator: Annotated[
        EvaluatorName, typer.Option(help="joint: one training scores all prefixes; separate: one training a prefix.")
    ] = DEFAULTS.evaluator,
    width: Annotated[
        float | None, typer.Option(help="Factor on all channel numbers.  [default: 0.25 on a CPU, else 1]")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images a training step.")] = DEFAULTS.batch_size,
    learning_rate: Annotated[float, typer.Option(help="Peak of the one-cycle schedule.")] = DEFAULTS.learning_rate,
    momentum: Annotated[float, typer.Option(help="Nesterov momentum.")] = DEFAULTS.momentum,
    weight_decay: Annotated[float, typer.Option(help="Of the trained networks.")] = DEFAULTS.weight_decay,
    label_smoothing: Annotated[float, typer.Option(help="Of the training loss.")] = DEFAULTS.label_smoothing,
    crop_padding: Annotated[
        int | None, typer.Option(help="Random crop after padding by this many pixels.  [default: the data set's own]")
    ] = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Random horizontal flip.  [default: the data set's own]")
    ] = None,
    data_dir: DataDir = None,
    image_size: Annotated[
        int | None, typer.Option(help="Resize images to this many pixels square.  [default: 32 for folders]")
    ] = None,
    train_limit: Annotated[int | None, typer.Option(help="Train on a stratified part of this many images.")] = None,
    val_fraction: Annotated[float, typer.Option(help="Share of train kept for validation.")] = DEFAULTS.val_fraction,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out images that cannot be read.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = DEFAULTS.device,
    quiet: Quiet = False,
) -> None:
    """Search for a good network. With no options: handwritten digits, about a minute on two CPU cores."""
    from replaytree.search import Search

    epochs_first, epochs_last = parse_epochs(epochs)
    config = SearchConfig(
        seed=seed,
        dataset=dataset,
        data_dir=data_dir,
        image_size=image_size,
        train_limit=train_limit,
        val_fraction=val_fraction,
        skip_bad=skip_bad,
        width=width,
        min_layers=min_layers,
        max_layers=max_layers,
        grow_every=_grow_every(grow_every),
        strategy=strategy,
        num_paths=num_paths,
        return_kind=return_kind,
        gamma=gamma,
        replay=replay,
        continue_=continue_,
        temperature=temperature,
        rho_bar=rho_bar,
        hidden_size=hidden_size,
        policy_learning_rate=policy_learning_rate,
        entropy=entropy,
        grad_clip=grad_clip,
        evaluator=evaluator,
        epochs_first=epochs_first,
        epochs_last=epochs_last,
        batch_size=batch_size,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        crop_padding=crop_padding,
        flip=flip,
        device=device,
    )
    _run(Search(name=name, storage=storage, config=config), trainings, episodes, hours, quiet=quiet)


@app.command()
def resume(
    name: Name,
    storage: Storage = None,
    trainings: Trainings = None,
    episodes: Episodes = None,
    hours: Hours = None,
    device: Annotated[str | None, typer.Option(help="Another device than before.")] = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Go on with a search, exactly from where it stands. Limits count from now."""
    from replaytree.search import Search

    search = Search.resume(name, storage=storage, device=device, data_dir=data_dir)
    _run(search, trainings, episodes, hours, quiet=quiet)


@app.command("list")
def list_(storage: Storage = None) -> None:
    """Show the searches of a database."""
    from replaytree.tree import list_searches

    searches = list_searches(_engine(storage))
    if searches:
        console.stdout().print(console.searches_table(searches))
    else:
        print("no searches yet; start one with `replaytree run`")


@app.command()
def best(
    name: Name,
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    max_depth: Annotated[int | None, typer.Option(help="At most this many layers.")] = None,
    max_params: Annotated[int | None, typer.Option(help="At most this many parameters.")] = None,
    max_flops: Annotated[int | None, typer.Option(help="At most this many FLOPs (multiply-adds an image).")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Compare trainings of this many epochs.  [default: the most of the search]")
    ] = None,
    format_: Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="How to print.")] = "table",
    storage: Storage = None,
) -> None:
    """Show the best prefixes by average validation accuracy, compared at one budget."""
    tree = _tree(storage, name)
    nodes = tree.best(k, max_depth=max_depth, max_params=max_params, max_flops=max_flops, epochs=epochs)
    if not nodes and format_ == "table":
        print(f"search {name!r} has no evaluated prefix that fits")
    else:
        console.print_nodes(nodes, format_)


@app.command()
def show(
    name: Name,
    node: Annotated[str, typer.Argument(help="A node's number, or its path: 'res128 conv32k3', or '17.0'.")],
    storage: Storage = None,
    format_: Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="How to print.")] = "table",
) -> None:
    """Show a node and its children."""
    tree = _tree(storage, name)
    found = tree.find(node)
    if format_ == "table":
        console.stdout().print(console.node_table(found))
        children = tree.children(found.path)
        if children:
            console.print_nodes(children, "table", title="its children")
    else:
        console.print_nodes([found], format_)


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

    engine = _engine(storage)
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


@app.command()
def doctor(storage: Storage = None, data_dir: DataDir = None) -> None:
    """Say what this machine has, and what is missing with the command that mends it."""
    from replaytree.doctor import examine

    console.stdout().print(console.findings_table(examine(storage=storage, data_dir=data_dir)))


def main(args: list[str] | None = None) -> None:
    """Run the command line; the one place where errors become exit codes."""
    try:
        app(args)
    except ReplayTreeError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt:
        print("Stopped at once; what was committed stays.", file=sys.stderr)
        sys.exit(130)


def _run(search: Search, trainings: int | None, episodes: int | None, hours: float | None, *, quiet: bool) -> None:
    if trainings is None and episodes is None and hours is None:
        trainings = DIGITS_TRAININGS if search.config.dataset == "digits" else DEFAULT_TRAININGS
    progress = console.RunProgress(quiet=quiet, episodes=episodes, trainings=trainings, hours=hours)
    with progress, _stopping_gently(search):
        search.run(episodes=episodes, trainings=trainings, hours=hours, on_turn=progress)
    nodes = search.tree.best(10)
    info = search.tree.info()
    title = f"{search.name}: best of {info.node_count} prefixes, {info.training_count} trainings"
    console.print_nodes(nodes, "table", title=title)
    print(f"\nNext:\n  replaytree best {search.name} --max-params 50000")
    if nodes:
        print(f"  replaytree show {search.name} {nodes[0].node_id}")
    print(f"  replaytree resume {search.name} --trainings 100")


@contextmanager
def _stopping_gently(search: Search) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after the turn under way; a second Ctrl-C quits at once."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nStopping after this training; Ctrl-C again quits at once.", file=sys.stderr)
        search.stop()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _grow_every(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit():
        raise ConfigError(f"--grow-every is {text!r}; it must be a whole number of episodes or 'auto'")
    return int(text)


def _engine(storage: str | None) -> Engine:
    from replaytree.tree import open_engine

    return open_engine(storage_url(storage), create=False)


def _tree(storage: str | None, name: str) -> ReplayTree:
    from replaytree.tree import ReplayTree

    return ReplayTree.open(_engine(storage), name)


if __name__ == "__main__":
    main()
