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
from replaytree.data import KNOWN, Data, ImageData, TextData, as_data, load_source, stored_path
from replaytree.data.images import Transforms
from replaytree.errors import ConfigError, SearchExists
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
from replaytree.policy.states import folded
from replaytree.records import Evaluator, NodeStats, Space, StatefulEvaluator
from replaytree.search.beginning import transformed_data
from replaytree.search.learner import Learner
from replaytree.search.searched_space import (
    default_space,
    is_normed,
    own_space,
    space_name,
    table_digest,
    table_of,
    with_layer_options,
    within_limits,
    without_limits,
)
from replaytree.search.tasks import require_fitting
from replaytree.search.workforce import cluster_for, require_able, with_ahead, workers_for
from replaytree.sources.place import bare_name
from replaytree.space import ConstrainedSpace, CustomLayer, LayerSpace, SoftReward
from replaytree.space.catalogue import all_options
from replaytree.space.graph_space import final_space, require_networks
from replaytree.space.usual import with_task_space
from replaytree.training import Precision, Recipe, Threads, resolve_device, using
from replaytree.training.recipe import with_batches, with_columns
from replaytree.tree import ReplayTree, search_names, usable_name
from replaytree.versions import version_of

if TYPE_CHECKING:
    from sqlalchemy import Engine


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
    if config.ahead is None:
        config = with_ahead(config, options, evaluator=evaluator)
    if space is None:
        whole: Space = default_space(config, data)
    else:
        whole, config = without_limits(own_space(space, data), config)
    if isinstance(data, TextData):
        config = with_columns(config, data)
    elif config.recipe.batch_size is None or config.recipe.learning_rate is None:
        place = cluster.device if cluster else resolve_device(config.machine.device).type
        images = data.train_count if data else 0
        config = with_batches(config, device=place, images=images, normed=is_normed(whole))
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
        config = SearchConfig.from_options(options if space is not None else with_task_space(options))
    if space is not None and config.space.max_layers > space.max_layers:
        raise ConfigError(f"max_layers is {config.space.max_layers}, but the space ends at {space.max_layers} layers")
    given = config.space.layers.given()
    if space is None:
        all_options(space_name(config), given)
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
        assert isinstance(data, ImageData), "require_fitting() refuses it for a text"
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


def _device(name: str) -> dict[str, str]:
    """The device and the precision that trainings have there."""
    try:
        device = resolve_device(name)
    except ConfigError:
        # Ray's workers have it, and this process does not.
        return {"device": f"{name} of the workers"}
    model = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": model, "precision": str(Precision.of(device))}
