"""From a node of a search to its model, with the options of `Search.best_model`."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Engine

from replaytree.config import SearchConfig
from replaytree.config.retraining import RetrainOptions
from replaytree.deliver import AnyModel, Subject, train_and_load
from replaytree.deliver.final_recipe import full_recipe
from replaytree.training import Threads, resolve_device


def retrained(
    subject: Subject,
    config: SearchConfig,
    engine: Engine,
    *,
    preset: str | None,
    epochs: int | None,
    seed: int,
    folder: str | os.PathLike[str] | None,
    mirror: bool,
    options: RetrainOptions,
) -> AnyModel:
    """The subject trained in full, on the device of its search; `options` are already with those of the preset."""
    device = resolve_device(config.machine.device)
    full, epochs = full_recipe(subject, options, preset=preset, epochs=epochs, text=config.text, device=device.type)
    return train_and_load(
        subject,
        recipe=full,
        epochs=epochs,
        mirror=mirror,
        seed=seed,
        folder=None if folder is None else Path(folder),
        device=device,
        engine=engine,
        threads=Threads.of(config.machine.threads),
    )
