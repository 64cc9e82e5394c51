"""`replaytree retrain` and `export`: from a node to a usable model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from replaytree.cli import console
from replaytree.cli.classes import class_lines
from replaytree.cli.declared import configured
from replaytree.cli.options import DataDir, Quiet, Storage, Threads, decimal, engine_of, tree_of, whole
from replaytree.cli.text import escaped, say
from replaytree.config import command, storage_url
from replaytree.config.final_recipes import FINAL_RECIPES, GPU_EPOCHS, USUAL_EPOCHS
from replaytree.config.final_recipes import with_final as with_preset
from replaytree.config.image_size import stored_size
from replaytree.config.retraining import RetrainOptions
from replaytree.config.source import ChannelAxis, Resize
from replaytree.config.space import LayerOptions
from replaytree.config.text import TextOptions
from replaytree.errors import ConfigError

if TYPE_CHECKING:
    from replaytree.deliver import Description, EpochDone, Retrained, Subject

MODELS = Path("models")

Node = Annotated[
    str | None,
    typer.Option(help="A node: its number, its path or its layers.  [default: the best, or what was derived]"),
]
Mirror = Annotated[
    bool,
    typer.Option(
        "--mirror", help="Predict each image and its mirror image, and average: twice the multiply-adds an image."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Epochs and options of the training under one name; single options override them. "
        + "  ".join(f"{name}: {each.help}" for name, each in FINAL_RECIPES.items()),
        autocompletion=lambda incomplete: [name for name in FINAL_RECIPES if name.startswith(incomplete)],
    ),
]
TrainLimit = Annotated[int | None, whole("Train on a stratified part of this many images.  [default: all]")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out images that cannot be read.")]
Out = Annotated[Path, typer.Option(help="Folder for weights and checkpoints.")]


def with_final(given: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, and those of the preset."""
    return with_preset(values["preset"], given)


def _with_search(given: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The options of a text that were given, and else those of the search."""
    if values["name"] is None:
        return given
    return {**asdict(tree_of(values["storage"], values["name"]).info().config.text), **given}


@configured(RetrainOptions, complete=with_final)
@configured(TextOptions, complete=_with_search)
@configured(LayerOptions, unset="the search's; without one, the space's own")
def retrain(
    *,
    name: Annotated[str | None, typer.Argument(help="The search's name; without one, --dataset and --path.")] = None,
    node: Node = None,
    path: Annotated[
        str | None,
        typer.Option(help="Layers of your own choice, as in 'res128 conv32k3 avg2s2', or a published architecture."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Without a search: a named data set, or a folder.")] = None,
    space: Annotated[
        str | None,
        typer.Option(help="Without a search: the space that has the layers.  [default: xu24; of text enas-rnn]"),
    ] = None,
    preset: Preset = None,
    epochs: Annotated[
        int | None,
        whole(
            f"Epochs of each training.  [default: {USUAL_EPOCHS}; {GPU_EPOCHS} on a GPU if images are many; or the "
            "preset's]"
        ),
    ] = None,
    seeds: Annotated[int, whole("Number of models, with seeds 0, 1, ...")] = 1,
    layers: LayerOptions,
    recipe: RetrainOptions,
    text: TextOptions,
    mirror: Mirror = False,
    image_size: Annotated[
        str | None,
        typer.Option(
            help="Without a search: resize images to a square, or rows x columns.  [default: 32 for pictures in files]",
            metavar="N|HxW",
        ),
    ] = None,
    resize: Annotated[
        Resize | None, typer.Option(help="Without a search: how pictures of another shape fit.  [default: squash]")
    ] = None,
    channel_axis: Annotated[
        ChannelAxis | None,
        typer.Option(help="Without a search: where a .npz file has its channels.  [default: as its shape tells]"),
    ] = None,
    train_limit: TrainLimit = None,
    skip_bad: SkipBad = False,
    out: Out = MODELS,
    force: Force = False,
    storage: Storage = None,
    data_dir: DataDir = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Train one architecture from scratch with the full recipe. Only this command and `baseline` use the test part.

    If there are test images, it trains on the train and validation images together, otherwise on the train images only.
    Of a text it trains on the train words; the validation words say when to begin to average.
    """
    if name is None:
        _require_choice(node=node, path=path, dataset=dataset, space=space, data_dir=data_dir)
    # Torch takes seconds to import.
    from replaytree.data import ImageData, mirroring_notes
    from replaytree.deliver import retrain as train
    from replaytree.deliver import store, training_text
    from replaytree.deliver.final_recipe import full_recipe, recipe_notes
    from replaytree.training import Threads as Chosen
    from replaytree.training import resolve_device
    from replaytree.tree import open_engine, require_writable

    subject = _subject(
        name, storage, node=node, path=path, dataset=dataset, space=space, layers=layers.given(),
        image_size=image_size, resize=resize, channel_axis=channel_axis, train_limit=train_limit, skip_bad=skip_bad,
        data_dir=data_dir,
    )  # fmt: skip
    for note in subject.data.notes if subject.search is None and not quiet else ():
        say(f"note: {escaped(note)}", error=True)
    # Without a search, the database is created if it does not exist.
    engine = engine_of(storage) if subject.search is not None else open_engine(storage_url(storage))
    require_writable(engine)
    done = []
    place = resolve_device(device)
    full, epochs = full_recipe(subject, recipe, preset=preset, epochs=epochs, text=text, device=place.type)
    results = train(
        subject, recipe=full, epochs=epochs, mirror=mirror, seeds=range(seeds), folder=out,
        device=place, force=force, on_epoch=None if quiet else print_epoch, threads=Chosen.of(threads), engine=engine,
    )  # fmt: skip
    if not quiet:
        mirrored = mirroring_notes(subject.data, flip=full.flip) if isinstance(subject.data, ImageData) else []
        for note in (*recipe_notes(subject.graph, full, epochs=epochs, device=place.type), *mirrored):
            say(f"note: {escaped(note)}", error=True)
        say(escaped(training_text(subject)), flush=True)
    for result in results:
        store(result, subject, engine)
        say(described(result), flush=True)
        done.append(result)
    say(summary(done))
    for line in class_lines([each.class_results for each in done if each.class_results is not None]):
        say(escaped(line))
    if quiet:
        return
    # A search's model is found through the database, any other through its file.
    source, storage = (done[0].weights, None) if subject.search is None else (subject.search, storage)
    words = ["export", source, "--format", "onnx", "--out", "model.onnx", *(["--mirror"] if mirror else [])]
    say(f"\nNext:\n  {command(*words, storage=storage, data_dir=data_dir)}")
    say(f"  {command('predict', done[0].weights)} {'FILES' if subject.metric.task == 'text' else 'IMAGES'}...")


def export(
    name: Annotated[str, typer.Argument(help="A search that was retrained, or a .safetensors file.")],
    out: Annotated[Path, typer.Option(help="The file to write: .onnx, .pt2, .safetensors, .py or .tflite.")],
    form: Annotated[
        Literal["onnx", "onnx-int8", "pt2", "safetensors", "python", "tflite"] | None,
        typer.Option(
            "--format",
            help="Format of the file; onnx-int8 and tflite compute in 8-bit whole numbers.  [default: from the "
            "extension of --out]",
        ),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(help="A retrained node: its number, path or layers.  [default: retrained last]"),
    ] = None,
    seed: Annotated[int | None, whole("Seed of the model.  [default: the first]", least=0)] = None,
    mirror: Mirror = False,
    calibration_images: Annotated[
        int | None,
        whole("int8: training images on which the range of every tensor is found.  [default: 256, or all if fewer]"),
    ] = None,
    max_drop: Annotated[
        float | None,
        decimal(
            "int8: the accuracy on validation images that the file may lose; it is not written if it loses more.  "
            "[default: 0.01]"
        ),
    ] = None,
    accept_drop: Annotated[
        bool, typer.Option("--accept-drop", help="int8: write the file, however much accuracy it loses.")
    ] = False,
    force: Force = False,
    storage: Storage = None,
    data_dir: DataDir = None,
) -> None:
    """Write a model for use elsewhere, and verify on the validation part that it equals the trained one.

    An int8 file does not equal it: its accuracy is told beside that of the trained one.
    """
    is_file = Path(name).suffix == ".safetensors"
    weights = Path(name) if is_file else _weights(name, storage, node=node, seed=seed)
    # Torch takes seconds to import.
    from replaytree.deliver import Int8Options, data_again, format_of
    from replaytree.deliver import export as write
    from replaytree.deliver.load import require_file
    from replaytree.deliver.weights import read_weights

    form = form or format_of(out)
    if is_file:
        require_file(weights)
    else:
        data_dir = data_dir or tree_of(storage, name).info().config.source.data_dir
        if not weights.exists():
            again = command("retrain", name, storage=storage, data_dir=data_dir)
            raise ConfigError(f"there is no file {weights}; `{again}` writes it")
    _, description = read_weights(weights)
    if description.data is None:
        raise ConfigError(
            f"{weights} does not say where its {description.metric.items} are (they were in memory, or it is an export "
            f"itself), so it cannot be verified here; export the file that `replaytree retrain` wrote, or in Python "
            f"with replaytree.deliver.export(..., data=...)"
        )
    given: dict[str, Any] = {
        "calibration_images": calibration_images,
        "max_drop": max_drop,
        "accept_drop": accept_drop or None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    int8 = Int8Options(**given) if given else None
    data = data_again(description, data_dir=data_dir)
    done = write(weights, out, form=form, data=data, mirror=mirror, force=force, int8=int8)
    say(f"{', '.join(map(str, done.files))}: {description.labels}, from {weights.name}")
    say(done.cost)
    in_float = "" if done.calibrated is None else ", in float"
    say(f"{_accuracy(done.description)}, as retrained{in_float}")
    if done.description.metric.task == "images":
        say(f"{done.description.preparation}, as in training")
    say(done.text)
    for sentence in done.broken_limits:
        say(f"warning: {sentence}", error=True)


def _weights(name: str, storage: str | None, *, node: str | None, seed: int | None) -> Path:
    """The weights file of the last retraining, perhaps of one node or seed; of several seeds, the first.

    Where there are others, a note says which it is.
    """
    from replaytree.tree import list_models, retrainings

    tree = tree_of(storage, name)
    node_id = tree.find(node).node_id if node is not None else None
    found = [each for each in list_models(tree.engine, search=name, node_id=node_id) if each.baseline is None]
    if seed is not None:
        found = [each for each in found if each.seed == seed]
    if not found:
        of = "" if node is None else f" of node {node}"
        of += "" if seed is None else f" with seed {seed}"
        words = ["retrain", name, *([] if node is None else ["--node", node])]
        words += [] if seed is None else ["--seeds", str(seed + 1)]
        raise ConfigError(f"search {name!r} has no trained model{of}; `{command(*words, storage=storage)}` makes one")
    *others, last = retrainings(found)
    model = min(last.models, key=lambda each: each.seed)
    if others:
        of = "" if model.node_id is None else f"of node {model.node_id}, "
        say(
            escaped(
                f"note: {name} has {len(others) + 1} retrainings; this is the last, {of}"
                f"{console.counting(model.epochs, 'epoch')}, seed {model.seed}; name another by --node, --seed, or its "
                f"file instead of {name}, as {others[-1].last.weights_path}"
            ),
            error=True,
        )
    return Path(model.weights_path)


def _require_choice(
    *, node: str | None, path: str | None, dataset: str | None, space: str | None, data_dir: str | None
) -> None:
    """ConfigError and others, before torch is loaded, for what no network can be trained from without a search."""
    from replaytree.space.usual import with_task_space

    if dataset is None or path is None:
        raise ConfigError(
            "there is nothing to train: give the name of a search (`replaytree list`), or --dataset and --path"
        )
    if node is not None:
        raise ConfigError(f"--node {node} is a node of a search; give the search's name, too")
    given = {"dataset": dataset, "data_dir": data_dir, **({} if space is None else {"space": space})}
    with_task_space(given)


def _subject(
    name: str | None,
    storage: str | None,
    *,
    node: str | None,
    path: str | None,
    dataset: str | None,
    space: str | None,
    layers: dict[str, Any],
    image_size: str | None,
    resize: Resize | None,
    channel_axis: ChannelAxis | None,
    train_limit: int | None,
    skip_bad: bool,
    data_dir: str | None,
) -> Subject:
    from replaytree.deliver import node_subject, path_subject

    if name is not None:
        tree = tree_of(storage, name)
        items = tree.info().metric.items
        own = {
            "--dataset": dataset, "--image-size": image_size, "--resize": resize, "--channel-axis": channel_axis,
            "--space": space,
        }  # fmt: skip
        if given := [flag for flag, value in own.items() if value is not None]:
            raise ConfigError(
                f"search {name!r} brings its own {items} and layers; leave out {', '.join(given)}, or the name"
            )
        return node_subject(
            tree, node=node, path=path, space_options=layers, train_limit=train_limit, skip_bad=skip_bad,
            data_dir=data_dir,
        )  # fmt: skip
    assert dataset is not None, "it was looked for"
    assert path is not None, "there is one beside a data set"
    options: dict[str, Any] = {
        "dataset": dataset, "image_size": None if image_size is None else stored_size(image_size),
        "resize": resize or "squash", "channel_axis": channel_axis, "train_limit": train_limit, "val_fraction": 0.1,
        "seed": 0, "skip_bad": skip_bad,
    }  # fmt: skip
    return path_subject(path, options=options, space=space, space_options=layers, data_dir=data_dir)


def print_epoch(done: EpochDone) -> None:
    """The progress of a full training, a line an epoch."""
    say(
        f"seed {done.seed}  epoch {done.epoch}/{done.epochs}  loss {done.loss:.4f}  "
        f"{console.clock(done.seconds)} gone  {console.clock(done.seconds_left)} left",
        flush=True,
    )


def described(result: Retrained) -> str:
    """What one training came to, as a line."""
    took = f"{result.seconds:.0f} s" if result.seconds else "trained earlier"
    anew = ", measured again because its images have changed" if result.measured_anew else ""
    return f"seed {result.seed}: {_accuracy(result.description)}, {took}{anew}, {result.weights}"


def _accuracy(description: Description) -> str:
    metric = description.metric
    mirror = " with the mirror image" if description.mirror else ""
    if description.test_accuracy is not None:
        return f"test {metric.name} {metric.shown(description.test_accuracy)}{mirror}"
    if description.validation_accuracy is not None:
        return f"validation {metric.name} {metric.shown(description.validation_accuracy)}{mirror} (no test split)"
    return f"{metric.name} not measured"


def summary(results: list[Retrained], *, is_chosen: bool = True) -> str:
    """What the trainings of all seeds came to: the mean and its interval.

    `is_chosen`: a search may have chosen the layers by the validation images.
    """
    from replaytree.tree import MeanAccuracy

    tested = [result.test_accuracy for result in results if result.test_accuracy is not None]
    held_out = [result.validation_accuracy for result in results if result.validation_accuracy is not None]
    metric = results[0].description.metric
    found = MeanAccuracy(tuple(tested or held_out), min(result.image_count for result in results), metric)
    what = f"{'test' if tested else 'validation'} {metric.name}"
    spread = "" if found.deviation is None else f", standard deviation {metric.written(found.deviation)}"
    seeds = "1 seed" if len(results) == 1 else f"{len(results)} seeds"
    text = f"{what}: mean {metric.written(found.mean)}{spread}, over {seeds}\n{found.interval_text}"
    if not tested and is_chosen:
        text += (
            f"\nThese {metric.items} have no test split, so this is the {metric.name} on validation {metric.items} "
            f"that were held out of the training. If a search chose the layers by them, the figure is optimistic."
        )
    return text
