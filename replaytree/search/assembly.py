"""Building the parts of a search from options and defaults: configuration, data, space, evaluator and learner."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import torch

from replaytree.config import EvaluatorName, SearchConfig
from replaytree.config.space import SpaceOptions
from replaytree.data import KNOWN, Data, ImageData, TextData, as_data, load_source, stored_path
from replaytree.data.images import Transforms
from replaytree.data.place import bare_name
from replaytree.errors import ConfigError, SearchExists, SpaceError
from replaytree.evaluate import (
    EVALUATORS,
    DifferentiableEvaluator,
    InheritedEvaluator,
    InProcess,
    SharedEvaluator,
    WorkerOptions,
    Workers,
    rescoring,
    stateful,
)
from replaytree.policy.random_search import random_path
from replaytree.policy.states import folded
from replaytree.records import Evaluator, NodeStats, Space, StatefulEvaluator
from replaytree.search.beginning import transformed_data
from replaytree.search.learner import Learner
from replaytree.search.tasks import require_fitting, with_task_space
from replaytree.search.workforce import cluster_for, require_able, workers_for
from replaytree.space import ConstrainedSpace, CustomLayer, DecisionSpace, LayerSpace, SoftReward, checked
from replaytree.space.catalogue import about, all_options, named_space, require_own_name
from replaytree.space.constraints import written
from replaytree.space.graph import final_space, require_networks
from replaytree.space.latency_table import LatencyTable, digest_of, read_table
from replaytree.space.learning import can_learn
from replaytree.training import Precision, Recipe, Threads, resolve_device, using
from replaytree.training.recipe import with_batches, with_columns
from replaytree.tree import ReplayTree, search_names, usable_name
from replaytree.versions import version_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

# Random paths by which a space is judged.
LOOKED_AT = 8


@dataclass(frozen=True, slots=True)
class Parts:
    """What a search is made of, beside its tree: its configuration, complete, and what that asks for.

    `whole_space` has no limits on parameters and FLOPs; `space` is the same within them. `state` is the evaluator,
    where it has one.
    """

    config: SearchConfig
    data: Data | None
    whole_space: Space
    space: Space
    workers: Workers
    state: StatefulEvaluator | None
    learner: Learner


def assembled(
    config: SearchConfig,
    space: Space | None,
    evaluator: Evaluator | None,
    data: Data | None,
    options: WorkerOptions,
    *,
    transforms: Transforms | None = None,
    tree: Callable[[], ReplayTree],
) -> Parts:
    """The parts of a search; what is not given is made as the configuration says.

    `tree` is where this process notes what it trains; it is asked for when a training begins.
    """
    if data is not None:
        data = as_data(data)
    elif evaluator is None:
        data = data_of(config)
        if isinstance(data, ImageData) and config.recipe.flip is None and config.source.dataset not in KNOWN:
            config = config.with_options(flip=data.flip)
    data = transformed_data(data, transforms)
    require_fitting(config, data)
    require_able(options, config, evaluator)
    cluster = cluster_for(options, device=config.machine.device, shared_bytes=data.nbytes if data else None)
    config = with_layer_options(config, device=cluster.device if cluster else None)
    if space is None:
        whole: Space = default_space(config, data)
    else:
        whole, config = without_limits(_own_space(space, data), config)
    if isinstance(data, TextData):
        config = with_columns(config, data)
    elif config.recipe.batch_size is None or config.recipe.learning_rate is None:
        place = cluster.device if cluster else resolve_device(config.machine.device).type
        images = data.train_count if data else 0
        config = with_batches(config, device=place, images=images, normed=_is_normed(whole))
    table = table_of(config, whole)
    within = within_limits(whole, config, table)
    # Neither this process nor a worker trains with test images at hand.
    seen = data.without_test() if isinstance(data, ImageData) else data
    if evaluator is None:
        require_networks(whole)
    workers = workers_for(
        options, cluster, config,
        evaluator=evaluator,
        make=partial(default_evaluator, space=whole, data=seen),
        parts={"space": whole, "data": seen},
        tree=tree,
    )  # fmt: skip
    state = stateful(workers.evaluator) if isinstance(workers, InProcess) else None
    target = config.objective
    learner = Learner(
        config,
        within,
        reward=SoftReward(
            final_space(whole),
            target.target_params,
            target.target_flops,
            target.cost_weight,
            target.reward_power,
            target.target_latency,
            table,
        ),
        # Inherited weights are a state, too, but their budgets are epochs.
        counts_states=rescoring(state) is not None,
        supernet=state if isinstance(state, DifferentiableEvaluator) else None,
    )
    return Parts(config, data, whole, within, workers, state, learner)


def configured(config: SearchConfig | None, options: dict[str, Any], *, space: Space | None, own: bool) -> SearchConfig:
    """The configuration that options, or a configuration given whole, ask for; ConfigError where they disagree."""
    if config is not None and options:
        raise ConfigError(f"give either config or single options, not both (got {', '.join(sorted(options))})")
    if config is None:
        if own:
            if "dataset" in options:
                raise ConfigError("dataset was given beside data or an evaluator; give one of them")
            options["dataset"] = None
        if space is not None:
            options.setdefault("max_layers", space.max_layers)
            options.setdefault("min_layers", min(SpaceOptions.min_layers, options["max_layers"]))
        config = SearchConfig.from_options(options if space is not None else with_task_space(options))
    if space is not None and config.space.max_layers > space.max_layers:
        raise ConfigError(f"max_layers is {config.space.max_layers}, but the space ends at {space.max_layers} layers")
    given = config.space.layers.given()
    if space is None:
        all_options(_name(config), given)
    elif given:
        raise ConfigError(
            f"{next(iter(given))} is an option of named spaces, and the space is of your own; leave it out"
        )
    _require_capturable(space, config)
    return _located(config if space is None else config.with_options(space=None))


def _require_capturable(space: Space | None, config: SearchConfig) -> None:
    """ConfigError where captured steps were asked for, and layers of one's own may wait for the device."""
    if config.machine.capture and isinstance(space, LayerSpace):
        own = [each.label for each in space.layers if isinstance(each, CustomLayer) and not each.capturable]
        if own:
            raise ConfigError(
                f"capture is on, and layer {own[0]!r} is one of your own that may wait for the device; declare it with "
                f"CustomLayer(..., capturable=True), or leave out capture (--capture)"
            )


def _located(config: SearchConfig) -> SearchConfig:
    """The configuration with absolute paths, so that another working directory finds the data again."""
    if config.space.latency_table is not None:
        config = config.with_options(latency_table=os.path.abspath(os.path.expanduser(config.space.latency_table)))
    if config.machine.state_dir is not None:
        config = config.with_options(state_dir=os.path.abspath(os.path.expanduser(config.machine.state_dir)))
    data_dir = None if config.source.data_dir is None else os.path.abspath(os.path.expanduser(config.source.data_dir))
    if config.source.dataset is None or config.source.dataset in KNOWN:
        return config.with_options(data_dir=data_dir)
    return config.with_options(dataset=stored_path(os.fspath(config.source.dataset), data_dir), data_dir=None)


def data_of(config: SearchConfig) -> Data:
    """The images or the text that a configuration names."""
    assert config.source.dataset is not None, "a search without an evaluator has a data set"
    with using(1):
        return load_source(
            config.source.dataset,
            task=config.source.task,
            data_dir=config.source.data_dir,
            image_size=config.source.image_size,
            resize=config.source.resize,
            channel_axis=config.source.channel_axis,
            val_fraction=config.source.val_fraction,
            train_limit=config.source.train_limit,
            seed=config.seed,
            skip_bad=config.source.skip_bad,
            min_count=config.source.min_count,
        )


def images_of(config: SearchConfig) -> ImageData:
    """The images that a configuration names; ConfigError where it names a text."""
    data = data_of(config)
    if not isinstance(data, ImageData):
        raise ConfigError(f"dataset is {config.source.dataset!r}, a text, and this is for images (--dataset)")
    return data


def with_layer_options(config: SearchConfig, *, device: str | None) -> SearchConfig:
    """The configuration with every option that its named space has; the width, if it has one, is by the device."""
    if config.space.space is None:
        return config
    given = config.space.layers.given()
    chosen = all_options(config.space.space, given)
    if "width" in chosen and "width" not in given:
        device = device or resolve_device(config.machine.device).type
        chosen["width"] = about(config.space.space).cpu_width if device == "cpu" else chosen["width"]
    return config.with_options(**chosen)


def default_space(config: SearchConfig, data: Data | None) -> LayerSpace | DecisionSpace:
    """The named space, for the data; SpaceError where there are none."""
    if data is None:
        raise SpaceError("an evaluator of your own needs a space: give space=, for example a replaytree.LabelSpace")
    return named_space(
        _name(config),
        input_shape=data.input_shape,
        num_classes=data.num_classes,
        max_layers=config.space.max_layers,
        **config.space.layers.given(),
    )


def _own_space(space: Space, data: Data | None) -> Space:
    """A space that was given; SpaceError where its networks are for other data, or it has another space's name."""
    space = checked(space)
    require_own_name(space)
    found = getattr(space, "input_shape", None), getattr(space, "num_classes", None)
    if data is not None and hasattr(space, "network") and found != (data.input_shape, data.num_classes):
        what = "images" if isinstance(data, ImageData) else "words"
        raise SpaceError(
            f"the space has input_shape={found[0]}, num_classes={found[1]}, and the {what} of {data.name} need "
            f"input_shape={data.input_shape}, num_classes={data.num_classes}; make it with these"
        )
    return space


def _is_normed(space: Space) -> bool:
    """Whether the networks of a space have batch norm, judged by a few random paths."""
    if not hasattr(space, "network"):
        return True
    generator = torch.Generator().manual_seed(0)
    paths = [random_path(space, space.max_layers, generator).path for _ in range(LOOKED_AT)]
    return all(space.network(path).is_normed for path in paths)


def _name(config: SearchConfig) -> str:
    """The name of the space; SpaceError where it is of a user's own, and not given."""
    if config.space.space is None:
        raise SpaceError("the space of this search is of your own: give it again (space=)")
    return config.space.space


def without_limits(space: Space, config: SearchConfig) -> tuple[Space, SearchConfig]:
    """The whole of a space given within limits of its own, and the configuration with these: it stores all limits."""
    while isinstance(space, ConstrainedSpace):
        asked = {name: getattr(config.space, name) for name in space.limits}
        limits = {
            name: limit if (other := asked[name]) is None else min(limit, other) for name, limit in space.limits.items()
        }
        space, config = space.space, config.with_options(**limits)
    return space, config


def table_of(config: SearchConfig, space: Space) -> LatencyTable | None:
    """The latency table that the configuration names; SpaceError where it is of another space, or has holes."""
    if config.space.latency_table is None:
        return None
    table = read_table(config.space.latency_table)
    table.require(final_space(space))
    return table


def within_limits(space: Space, config: SearchConfig, table: LatencyTable | None = None) -> Space:
    """The space, in which layers beyond the limits on costs are illegal."""
    if not config.space.limits and config.space.max_latency is None:
        return space
    limited = ConstrainedSpace(space, **config.space.limits, max_latency=config.space.max_latency, table=table)
    if hasattr(space, "network") and can_learn(limited) is False and can_learn(space):
        given = " ".join(written(limited.limits))
        raise ConfigError(f"{given} leaves only layers that learn nothing, such as pooling; raise it, or lower --width")
    return limited


def default_evaluator(
    config: SearchConfig,
    space: Space,
    data: Data | None,
    *,
    threads: Threads | None = None,
    memory_share: float = 1.0,
) -> Evaluator:
    """The evaluator that the configuration names; SpaceError for a space that cannot be built.

    `threads` None: as the configuration says. `memory_share`: of the memory of the device, beside other workers.
    """
    require_networks(space)
    assert data is not None, "without an evaluator there are data"
    device, threads = resolve_device(config.machine.device), threads or Threads.of(config.machine.threads)
    recipe = Recipe.of(config, data)
    if config.strategy_options.is_differentiable and config.weights.weights == "shared":
        if not isinstance(data, ImageData):
            raise ConfigError(f"--strategy {config.strategy} is for images; choose another")
        return DifferentiableEvaluator(
            space,
            data,
            recipe=recipe,
            device=device,
            options=config.strategy_options,
            weights=config.weights,
            seed=config.seed,
            threads=threads,
        )
    if config.weights.weights == "shared":
        return SharedEvaluator(
            space,
            data,
            recipe=recipe,
            device=device,
            weights=config.weights,
            seed=config.seed,
            evaluator=evaluator_name(config, space),
            threads=threads,
        )
    kind: Callable[..., Evaluator] = EVALUATORS[evaluator_name(config, space)]
    make = partial(kind, space, data, recipe=recipe, device=device, memory_share=memory_share, threads=threads)
    if config.weights.weights == "inherited":
        own = config.weights
        return InheritedEvaluator(make, keep=own.keep_weights, share=own.inherited_epochs)
    return make()


def evaluator_name(config: SearchConfig, space: Space) -> EvaluatorName:
    """The evaluator that was chosen; else `joint`, which scores most for its time, where it can train the space."""
    whole = space.space if isinstance(space, ConstrainedSpace) else space
    return config.recipe.evaluator or ("joint" if getattr(whole, "nested", False) else "whole")


def created_tree(
    engine: Engine, name: str | None, *, space: Space, config: SearchConfig, data: Data | None
) -> ReplayTree:
    """The new search's tree, with what `warm_start` names copied into it; without a name it gets a free one."""
    prior: Sequence[NodeStats] = ()
    if config.warm_start is not None:
        source = ReplayTree.open(engine, config.warm_start)
        # Every turn of a supernet is a budget of its own.
        prior = (
            [folded(node) for node in source.prior_for(space)] if source.evaluator_state() else source.prior_for(space)
        )
    while True:
        try:
            return ReplayTree.create(
                engine,
                free_name(config.source.dataset or "search", search_names(engine)) if name is None else name,
                space=space,
                seed=config.seed,
                config_json=config.to_json(),
                data_json=data.fingerprint.to_json() if data else None,
                versions=versions(config),
                prior=prior,
            )
        except SearchExists:
            # Another process that was started without a name may have taken this one since the names were read.
            if name is not None:
                raise


def free_name(dataset: str, taken: Sequence[str]) -> str:
    """The first of digits-1, digits-2, ... that is not taken."""
    stem = usable_name(bare_name(FilePath(dataset).resolve()), otherwise="images")
    return next(name for number in range(1, len(taken) + 2) if (name := f"{stem}-{number}") not in taken)


def versions(config: SearchConfig) -> dict[str, str]:
    """The versions and the machine that a search ran on."""
    return {
        "replaytree": version_of("replaytree"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": str(Threads.of(config.machine.threads)),
        **table_digest(config),
        **_device(config.machine.device),
    }


def table_digest(config: SearchConfig) -> dict[str, str]:
    """The checksum of the latency table, so that a search goes on with the same one."""
    file = config.space.latency_table
    if file is None:
        return {}
    return {"latency_table": digest_of(file)}


def _device(name: str) -> dict[str, str]:
    """The device and the precision that trainings have there."""
    try:
        device = resolve_device(name)
    except ConfigError:
        # Ray's workers have it, and this process does not.
        return {"device": f"{name} of the workers"}
    model = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": model, "precision": str(Precision.of(device))}
