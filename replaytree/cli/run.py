"""`replaytree run` and `replaytree resume`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replaytree.cli import console
from replaytree.cli.baselines import Wish, train_baselines
from replaytree.cli.closing import print_closing
from replaytree.cli.declared import configured
from replaytree.cli.options import (
    AsTheyCome,
    Concurrent,
    DataDir,
    Episodes,
    GpusPerWorker,
    HelpAll,
    Hours,
    Last,
    Quiet,
    RayAddress,
    Storage,
    Tensorboard,
    Threads,
    TimeoutPerTraining,
    Trainings,
    Which,
    Workers,
    search_of,
)
from replaytree.cli.stopping import stopping_gently, when_it_stops
from replaytree.cli.text import escaped, say
from replaytree.config import SearchConfig, parse_flag
from replaytree.config.presets import PRESETS, with_preset
from replaytree.config.space import SpaceOptions, written
from replaytree.config.strategies.guided import GuidedOptions
from replaytree.errors import ConfigError, WorkersLost

if TYPE_CHECKING:
    from replaytree.search.callbacks import Callback
    from replaytree.search.search import Search
    from replaytree.tree import ReplayTree

DIGITS_TRAININGS = 48
DEFAULT_TRAININGS = 400


def _with_preset(given: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    dataset = given.get("dataset", "digits")
    trainings = _trainings(dataset, values["trainings"], values["episodes"], values["hours"])
    found = with_preset(values["preset"], given, trainings=trainings or values["episodes"])
    # Here, because it loads the spaces.
    from replaytree.space.usual import require_space_of, with_task_space

    require_space_of(values["preset"], found, given=given)
    whole = with_task_space({"dataset": dataset, **found})
    return whole if "dataset" in found else {name: value for name, value in whole.items() if name != "dataset"}


@configured(SearchConfig, by_panel=True, complete=_with_preset)
def run(
    config: SearchConfig,
    *,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Options under one name; single options override them. "
            + "  ".join(f"{name}: {each.help}" for name, each in PRESETS.items()),
            autocompletion=lambda incomplete: [name for name in PRESETS if name.startswith(incomplete)],
            rich_help_panel="What to search",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the search.  [default: <dataset>-<number>]", rich_help_panel="Most used"
        ),
    ] = None,
    storage: Storage = None,
    trainings: Trainings = None,
    episodes: Episodes = None,
    hours: Hours = None,
    concurrent: Concurrent = None,
    workers: Workers = None,
    as_they_come: AsTheyCome = False,
    timeout_per_training: TimeoutPerTraining = None,
    ray_address: RayAddress = None,
    gpus_per_worker: GpusPerWorker = None,
    tensorboard: Tensorboard = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Then train hand-made networks of its size on the same images; see `replaytree baseline`.",
            rich_help_panel="Training",
        ),
    ] = False,
    quiet: Quiet = False,
    help_all: HelpAll = False,
) -> None:
    """Search for a good network. With no options: handwritten digits, about a minute on two CPU cores."""
    from replaytree.space.catalogue import about, all_options

    all_options(str(config.space.space), config.space.layers.given())
    if baselines and about(str(config.space.space)).task != "images":
        raise ConfigError("--baselines are networks for images, and the data are text; leave it out")
    # Imported once the options are known to be valid: torch takes seconds to import.
    from replaytree.search.search import Search
    from replaytree.search.turns import Limits

    # Users who limit a search of digits know that its trainings are short.
    is_long = config.source.dataset != "digits" or trainings is None
    trainings = _trainings(config.source.dataset, trainings, episodes, hours)
    # Checked before the search is created, so that the corrected command finds the name free.
    Limits(episodes=episodes, trainings=trainings, hours=hours)
    if config.strategy_options.is_differentiable:
        config.strategy_options.require_length(episodes if trainings is None else trainings)
    search = Search(
        name=name,
        storage=storage,
        config=config,
        callbacks=_logs(tensorboard),
        concurrent=concurrent,
        workers=workers,
        as_they_come=as_they_come,
        timeout_per_training=timeout_per_training,
        ray_address=ray_address,
        gpus_per_worker=gpus_per_worker,
    )
    limits = {"trainings": trainings, "episodes": episodes, "hours": hours}
    if not quiet:
        _report_balance(search)
        _report_warmup(search, trainings)
    is_stopped = _run(search, storage, limits, quiet=quiet, is_long=is_long)
    if baselines and not is_stopped:
        say()
        train_baselines(
            search.tree,
            Wish(
                data_dir=config.source.data_dir,
                device=config.machine.device,
                threads=config.machine.threads,
                quiet=quiet,
            ),
        )


def resume(
    name: Which = None,
    storage: Storage = None,
    trainings: Trainings = None,
    episodes: Episodes = None,
    hours: Hours = None,
    device: Annotated[str | None, typer.Option(help="Train on another device than before.")] = None,
    data_dir: DataDir = None,
    threads: Threads = None,
    max_layers: Annotated[
        str | None,
        typer.Option(help="Raise the depth bound at the end to this many layers.", metavar="N"),
    ] = None,
    epochs: Annotated[
        str | None,
        typer.Option(help="Raise the epochs a training: now, and at the end.", metavar="FIRST:LAST"),
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the search over from another process, which then stops.")
    ] = False,
    state_dir: Annotated[
        str | None,
        typer.Option(help="Where the weights of its supernet are now, if they were moved.", metavar="FOLDER"),
    ] = None,
    restart_weights: Annotated[
        bool, typer.Option("--restart-weights", help="Go on with a new supernet; the tree stays.")
    ] = False,
    concurrent: Concurrent = None,
    workers: Workers = None,
    as_they_come: AsTheyCome = False,
    timeout_per_training: TimeoutPerTraining = None,
    ray_address: RayAddress = None,
    gpus_per_worker: GpusPerWorker = None,
    tensorboard: Tensorboard = None,
    last: Last = False,
    quiet: Quiet = False,
) -> None:
    """Continue a search exactly where it stopped: to its last goal, or as far as the options say.

    Limits count from now: --trainings 100 trains 100 more. --max-layers and --epochs may be raised, never lowered.
    """
    higher = _higher(max_layers, epochs)
    tree = search_of(storage, name, last=last)
    limits = {"trainings": trainings, "episodes": episodes, "hours": hours}
    if all(limit is None for limit in limits.values()):
        left = tree.goal_left()
        if left is None and not tree.needs_rescoring:
            say(_nothing_left(tree, storage, {"--max-layers": max_layers, "--epochs": epochs}))
            return
        # Nothing is left of a run that was killed behind its last turn but to score its leaders once more.
        limits = {} if left is None else {"trainings": left.trainings, "episodes": left.episodes, "hours": left.hours}
    from replaytree.search.search import Search
    from replaytree.search.turns import Limits

    if limits:
        Limits(**limits)  # type: ignore[arg-type]
    search = Search.resume(
        tree.name,
        storage=storage,
        device=device,
        data_dir=data_dir,
        threads=threads,
        callbacks=_logs(tensorboard),
        take_over=take_over,
        state_dir=state_dir,
        restart_weights=restart_weights,
        **higher,
        concurrent=concurrent,
        workers=workers,
        as_they_come=as_they_come,
        timeout_per_training=timeout_per_training,
        ray_address=ray_address,
        gpus_per_worker=gpus_per_worker,
    )
    if not limits:
        search.run()
        print_closing(search, storage=storage, data_dir=data_dir, is_stopped=False, is_quiet=quiet)
        return
    is_long = search.config.source.dataset != "digits"
    _run(search, storage, limits, quiet=quiet, is_long=is_long, data_dir=data_dir)


def _higher(max_layers: str | None, epochs: str | None) -> dict[str, Any]:
    """The limits that `resume` raises, as Search.resume takes them."""
    values: dict[str, Any] = {} if max_layers is None else parse_flag("--max-layers", max_layers)
    if epochs is not None:
        values["epochs"] = tuple(parse_flag("--epochs", epochs).values())
    return values


def _nothing_left(tree: ReplayTree, storage: str | None, raises: dict[str, str | None]) -> str:
    """The message of `resume` for a search with nothing left to do; `raises` are options that raise its limits."""
    goal = tree.goal()
    why = "has no goal" if goal is None else f"has reached its goal, {goal.text}"
    if tree.info().config.source.dataset is None:
        return (
            f"search {escaped(tree.name)} {why}; its data or evaluator are of your own, so it goes on in Python: "
            f"replaytree.Search.resume({tree.name!r}, ...).run(trainings=100), giving them again"
        )
    asked = [word for flag, text in raises.items() if text is not None for word in (flag, text)]
    more = console.command("resume", tree.name, *asked, "--trainings", 100, storage=storage)
    return f"search {escaped(tree.name)} {why}; `{more}` trains 100 more"


def _trainings(dataset: str | None, trainings: int | None, episodes: int | None, hours: float | None) -> int | None:
    """`trainings`, or the default if no option says when to stop."""
    if trainings is not None or episodes is not None or hours is not None:
        return trainings
    return DIGITS_TRAININGS if dataset == "digits" else DEFAULT_TRAININGS


def _logs(tensorboard: Path | None) -> list[Callback]:
    from replaytree.search.callbacks import TensorBoardLog

    return [] if tensorboard is None else [TensorBoardLog(tensorboard)]


def _report_balance(search: Search) -> None:
    """Print notes on the data to standard error: images skipped, rare classes, imbalance; words that are <unk>."""
    from replaytree.data import ImageData, balance_notes

    data = search.data
    if isinstance(data, ImageData):
        notes = [*balance_notes(data, flip=search.config.recipe.flip), *_reward_notes(search)]
    else:
        notes = [] if data is None else list(data.notes)
    for note in notes:
        say(f"note: {escaped(note)}", error=True)


def _report_warmup(search: Search, trainings: int | None) -> None:
    """Say where a search ends before its strategy has begun to choose."""
    own = search.config.strategy_options
    has_prior = search.memory.prior is not None or search.config.prior is not None
    if not isinstance(own, GuidedOptions) or has_prior or trainings is None:
        return
    if trainings <= own.warmup:
        say(
            f"note: the first {own.warmup} paths of guided are random (--warmup), so that this is random search; give "
            f"more --trainings for a search that chooses",
            error=True,
        )


def _reward_notes(search: Search) -> list[str]:
    """That figures are no accuracies where they are others."""
    metric, reward = search.metric, search.config.objective.reward
    if metric == metric.of_models:
        return []
    return [f"the figures of this search are {metric.name} on the validation images (--reward {reward})"]


def _run(
    search: Search,
    storage: str | None,
    limits: dict[str, Any],
    *,
    quiet: bool,
    is_long: bool,
    data_dir: str | None = None,
) -> bool:
    """Drive the search to its limits; returns whether a signal asked it to end."""
    progress = console.RunProgress(quiet=quiet, costs=None if quiet else _costs(search, limits), **limits)
    asked: list[bool] = []

    def stop() -> None:
        asked.append(True)
        search.stop()

    with progress, stopping_gently(stop, when=when_it_stops(search)):
        if not quiet:
            say(escaped(_opening(search, limits, is_long=is_long)), flush=True)
        try:
            search.run(**limits, on_turn=progress)
        except WorkersLost as error:
            again = console.command("resume", search.name, storage=storage)
            raise WorkersLost(f"{error}; what was committed stays, and `{again}` goes on from there") from error
    if search.lost is not None:
        raise typer.Exit(1)
    print_closing(search, storage=storage, data_dir=data_dir, is_stopped=bool(asked), is_quiet=quiet)
    return bool(asked)


def _opening(search: Search, limits: dict[str, Any], *, is_long: bool) -> str:
    """The first line: what starts and its goal; for a run that may take long, also an estimate of the time."""
    from replaytree.search.turns import Limits
    from replaytree.training import Threads

    goal = Limits(**limits).goal(episodes=0, trainings=0, used_seconds=0.0).text
    goal += " to do"
    if done := search.training_count:
        goal += f", {console.counting(done, 'training')} before"
    if is_long and (seconds := _seconds(search, limits)) is not None:
        from replaytree.search.forecast import about

        goal += f", {about(seconds)} on this machine"

    config, data = search.config, search.data
    unit = "words" if search.config.space.space and search.metric.task == "text" else "images"
    images = f"{data.name}: {data.train_count} train, {data.val_count} validation {unit}; " if data else ""
    return (
        f"search {search.name}: {images}{config.strategy}, up to {console.counting(config.space.max_layers, 'layer')}, "
        f"{_budget(config)}, {_layers(config)}"
        f"{Threads.of(config.machine.threads)}; "
        f"{goal}; Ctrl-C stops and keeps what is done"
    )


def _budget(config: SearchConfig) -> str:
    """What a training spends: 'epochs 4 to 8'; or a turn, with a supernet."""
    if config.weights.weights == "shared":
        passes = config.weights.passes
        return f"shared weights, {passes:g} {'pass' if passes == 1.0 else 'passes'} a turn"
    return f"epochs {config.budget.epochs_first} to {config.budget.epochs_last}"


def _layers(config: SearchConfig) -> str:
    """The options of the space, and its name where it is not the usual one: 'zoph, width 0.25, no strides, '."""
    words = [] if config.space.space in (None, SpaceOptions.space) else [str(config.space.space)]
    for name, value in config.space.layers.given().items():
        plain = name.replace("_", " ")
        words.append(
            {True: plain, False: f"no {plain}"}[value] if isinstance(value, bool) else f"{plain} {written(value)}"
        )
    return "".join(f"{word}, " for word in words)


def _seconds(search: Search, limits: dict[str, Any]) -> float | None:
    """Estimated seconds of the trainings; None if other limits apply or other processes train."""
    from replaytree.evaluate import InProcess
    from replaytree.search.forecast import seconds_of

    trainings = limits["trainings"]
    other = limits["hours"] is not None or limits["episodes"] is not None
    if trainings is None or other or search.data is None or not isinstance(search.workers, InProcess):
        return None
    done = search.training_count
    makes_prior = search.config.prior is not None and not done and not search.tree.prior()
    return seconds_of(
        search.config, search.space, search.data, growth=search.growth, trainings=trainings,
        done=done, with_prior=makes_prior,
    )  # fmt: skip


def _costs(search: Search, limits: dict[str, Any]) -> list[float] | None:
    """What each training costs, as far as it is known before: a search's trainings grow, and so does their time."""
    from replaytree.search.forecast import MOST_TRAININGS, training_costs

    trainings = limits["trainings"]
    if trainings is None or trainings > MOST_TRAININGS or search.data is None:
        return None
    return training_costs(
        search.config, search.space, search.data, growth=search.growth, trainings=trainings, done=search.training_count
    )
