"""`replaytree run` and `replaytree resume`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from replaytree.cli import console
from replaytree.cli.options import (
    DataDir,
    Episodes,
    GpusPerWorker,
    Hours,
    Name,
    Quiet,
    RayAddress,
    Storage,
    Trainings,
    Workers,
)
from replaytree.cli.text import escaped, say
from replaytree.config import EvaluatorName, ReturnKind, RewardKind, SearchConfig, StrategyName, parse_epochs
from replaytree.errors import ConfigError

if TYPE_CHECKING:
    from replaytree.callbacks import Callback
    from replaytree.search import Search

DIGITS_TRAININGS = 48
DEFAULT_TRAININGS = 400
DEFAULTS = SearchConfig()


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
    ] = str(DEFAULTS.grow_every),
    epochs: Annotated[
        str, typer.Option(help="Epochs a training, FIRST:LAST; rises with the depth bound.")
    ] = f"{DEFAULTS.epochs_first}:{DEFAULTS.epochs_last}",
    strategy: Annotated[StrategyName, typer.Option(help="How paths are chosen.")] = DEFAULTS.strategy,
    warm_start: Annotated[
        str | None,
        typer.Option(help="Learn from this search of the same layers first, whatever its images (guided, replay)."),
    ] = None,
    replay: Annotated[
        float, typer.Option(help="Strategy replay: probability that an episode is replayed from the tree.")
    ] = DEFAULTS.replay,
    continue_: Annotated[
        float,
        typer.Option("--continue", help="Strategy replay: probability that an episode continues a prefix of the tree."),
    ] = DEFAULTS.continue_,
    return_kind: Annotated[
        ReturnKind, typer.Option("--return", help="Strategy replay: what a step is credited with.")
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
    entropy: Annotated[
        float, typer.Option(help="Strategies replay and puct: weight of the entropy bonus.")
    ] = DEFAULTS.entropy,
    grad_clip: Annotated[float, typer.Option(help="Largest gradient norm of the controller.")] = DEFAULTS.grad_clip,
    num_paths: Annotated[
        int, typer.Option(help="Episodes a turn, sampled and learnt from together.")
    ] = DEFAULTS.num_paths,
    evaluator: Annotated[
        EvaluatorName, typer.Option(help="joint: one training scores all prefixes; separate: one training a prefix.")
    ] = DEFAULTS.evaluator,
    calibrate: Annotated[
        float,
        typer.Option(
            help="Evaluator joint: share of the trainings' cost that goes to training single prefixes by themselves, "
            "by which accuracies are made comparable over depths. 0: none."
        ),
    ] = DEFAULTS.calibrate,
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
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Stop a path half-way that trails half of the paths before it.")
    ] = DEFAULTS.prune,
    capture: Annotated[
        bool, typer.Option("--capture/--no-capture", help="On a GPU: capture each training step in a CUDA graph.")
    ] = DEFAULTS.capture,
    reward: Annotated[
        RewardKind, typer.Option(help="accuracy; or balanced: the mean of the classes' accuracies.")
    ] = DEFAULTS.reward,
    max_params: Annotated[int | None, typer.Option(help="Only networks of at most this many parameters.")] = None,
    max_flops: Annotated[
        int | None, typer.Option(help="Only networks of at most this many FLOPs (multiply-adds an image).")
    ] = None,
    target_params: Annotated[
        int | None, typer.Option(help="Above it, the reward is accuracy * (parameters / target)^w.")
    ] = None,
    target_flops: Annotated[
        int | None, typer.Option(help="Above it, the reward is accuracy * (FLOPs / target)^w.")
    ] = None,
    cost_weight: Annotated[float, typer.Option(help="The exponent w of the targets.")] = DEFAULTS.cost_weight,
    workers: Workers = None,
    ray_address: RayAddress = None,
    gpus_per_worker: GpusPerWorker = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Write scalars for TensorBoard into this folder.")] = None,
    quiet: Quiet = False,
) -> None:
    """Search for a good network. With no options: handwritten digits, about a minute on two CPU cores."""
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
        warm_start=warm_start,
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
        calibrate=calibrate,
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
        prune=prune,
        capture=capture,
        reward=reward,
        max_params=max_params,
        max_flops=max_flops,
        target_params=target_params,
        target_flops=target_flops,
        cost_weight=cost_weight,
    )
    # Not before the options are known to be good: torch takes seconds to import.
    from replaytree.search import Search
    from replaytree.turns import Limits

    trainings = _trainings(dataset, trainings, episodes, hours)
    # Before a search of this name is there: the mended command shall find none.
    Limits(episodes=episodes, trainings=trainings, hours=hours)
    search = Search(
        name=name,
        storage=storage,
        config=config,
        callbacks=_logs(tensorboard),
        workers=workers,
        ray_address=ray_address,
        gpus_per_worker=gpus_per_worker,
    )
    if not quiet:
        _report_balance(search)
    _run(search, trainings, episodes, hours, quiet=quiet)


def resume(
    name: Name,
    storage: Storage = None,
    trainings: Trainings = None,
    episodes: Episodes = None,
    hours: Hours = None,
    device: Annotated[str | None, typer.Option(help="Another device than before.")] = None,
    data_dir: DataDir = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Go on even if another process holds the search; that one then stops.")
    ] = False,
    workers: Workers = None,
    ray_address: RayAddress = None,
    gpus_per_worker: GpusPerWorker = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Write scalars for TensorBoard into this folder.")] = None,
    quiet: Quiet = False,
) -> None:
    """Go on with a search, exactly from where it stands. Limits count from now."""
    from replaytree.search import Search

    search = Search.resume(
        name,
        storage=storage,
        device=device,
        data_dir=data_dir,
        callbacks=_logs(tensorboard),
        take_over=take_over,
        workers=workers,
        ray_address=ray_address,
        gpus_per_worker=gpus_per_worker,
    )
    trainings = _trainings(search.config.dataset, trainings, episodes, hours)
    _run(search, trainings, episodes, hours, quiet=quiet)


def _trainings(dataset: str | None, trainings: int | None, episodes: int | None, hours: float | None) -> int | None:
    """`trainings`, or how many a run has where nothing says when to stop."""
    if trainings is not None or episodes is not None or hours is not None:
        return trainings
    return DIGITS_TRAININGS if dataset == "digits" else DEFAULT_TRAININGS


def _logs(tensorboard: Path | None) -> list[Callback]:
    from replaytree.callbacks import TensorBoardLog

    return [] if tensorboard is None else [TensorBoardLog(tensorboard)]


def _report_balance(search: Search) -> None:
    """Say on standard error what a user may not know of the images: skipped ones, rare classes, imbalance."""
    from replaytree.data import balance_notes

    for note in balance_notes(search.data) if search.data is not None else ():
        say(f"note: {escaped(note)}", error=True)


def _run(search: Search, trainings: int | None, episodes: int | None, hours: float | None, *, quiet: bool) -> None:
    progress = console.RunProgress(quiet=quiet, episodes=episodes, trainings=trainings, hours=hours)
    with progress, _stopping_gently(search):
        if not quiet:
            say(escaped(_opening(search)), flush=True)
        search.run(episodes=episodes, trainings=trainings, hours=hours, on_turn=progress)
    if search.lost is not None:
        raise typer.Exit(1)
    nodes = search.tree.best(10)
    info = search.tree.info()
    title = f"{search.name}: best of {info.node_count} prefixes, {info.training_count} trainings"
    console.print_nodes(nodes, "table", title=title)
    name = escaped(search.name)
    calibration = search.tree.calibration()
    if calibration.separate_count:
        say(console.calibration_text(calibration))
    say(f"\nNext:\n  replaytree best {name} --max-params 50000")
    if nodes:
        say(f"  replaytree show {name} {nodes[0].node_id}")
    say(f"  replaytree report {name}")
    say(f"  replaytree resume {name} --trainings 100")
    if nodes and search.data is not None:
        say(f"  replaytree retrain {name} --node {nodes[0].node_id}")


def _opening(search: Search) -> str:
    config, data = search.config, search.data
    images = f"{data.name}: {len(data.train_labels)} train, {len(data.val_labels)} validation images; " if data else ""
    return (
        f"search {search.name}: {images}{config.strategy}, up to {config.max_layers} layers, "
        f"epochs {config.epochs_first} to {config.epochs_last}, width {config.width:g}"
    )


@contextmanager
def _stopping_gently(search: Search) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after the turn under way; a second Ctrl-C quits at once.

    Ray workers are not waited for: the slowest may need long.
    """
    from replaytree.evaluate import RayWorkers

    when = "now, without the trainings under way" if isinstance(search.workers, RayWorkers) else "after this training"

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say(f"\nStopping {when}; Ctrl-C again quits at once.", error=True)
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
