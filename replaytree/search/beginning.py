"""What must hold before a search begins or goes on: its name is free, and what is given again is what it had."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Engine

from replaytree.config import SearchConfig, command, storage_url
from replaytree.config.limits import LIMITS
from replaytree.data import Data, ImageData, as_data, from_arrays, is_hub, load_again, with_transforms
from replaytree.data.images import Transforms
from replaytree.data.load import require_transforms
from replaytree.deliver.subject import data_options
from replaytree.errors import ConfigError, DataError, SearchExists, SearchHeld, SpaceError
from replaytree.tree import ReplayTree, SearchInfo, open_engine, require_name, require_writable, search_names

# The options that say what is made of files.
_OF_READING = {"image_size", "resize", "channel_axis", "train_limit", "val_fraction", "skip_bad"}


def engine_for_a_new(name: str | None, storage: str | None, *, own: bool) -> Engine:
    """The engine of the database of a new search; SearchExists where it has one of that name.

    `own`: its data or its evaluator are given in Python.
    """
    if name is not None:
        require_name(name)
    engine = open_engine(storage_url(storage))
    require_writable(engine)
    if name is not None and name in search_names(engine):
        taken, other = f"a search named {name!r} exists already", "choose another name (--name, name=)"
        try:
            ReplayTree.open(engine, name).require_free()
        except SearchHeld as error:
            raise SearchHeld(f"{taken}; {other}, or go on with it: {error}") from error
        how = f"Search.resume({name!r}, ...)"
        if not own:
            # No command gives a search its own data or evaluator again.
            how = f"`{command('resume', name, storage=storage)}` or {how}"
        raise SearchExists(f"{taken}; go on with {how}, or {other}")
    return engine


def data_again(config: SearchConfig, info: SearchInfo, name: str, *, transforms: Transforms | None) -> Data:
    """The data of a search, loaded again; ConfigError where they, or its evaluator, were given in Python."""
    if config.source.dataset is None:
        raise ConfigError(
            f"search {name!r} has data or an evaluator of its own; continue it in Python with "
            f"replaytree.Search.resume({name!r}, ...), giving them again"
        )
    stored = {**data_options(config), "data_dir": config.source.data_dir}
    return load_again(f"search {name!r}", info.data_json, flip=config.recipe.flip, transforms=transforms, **stored)


def require_same_data(data: Data, info: SearchInfo, name: str) -> None:
    """DataError where data are given that are not those of the search."""
    require_transforms(f"search {name!r}", info.data_json, data)
    if info.data_json != (found := data.fingerprint.to_json()):
        what = "images" if isinstance(data, ImageData) else "words"
        raise DataError(f"the {what} are not those of search {name!r}: {_difference(info.data_json, found)}")


def require_same_limits(stored: SearchConfig, found: SearchConfig, name: str) -> None:
    """SpaceError where a space was given whose own limits are stricter than the search's."""
    for limit in LIMITS:
        before, now = getattr(stored.space, limit), getattr(found.space, limit)
        if before != now:
            raise SpaceError(f"search {name!r} was made with {limit} {before}, and the space given has {now}")


def require_same_table(found: Mapping[str, str], info: SearchInfo, name: str) -> None:
    """ConfigError where the latency table is not the one that the search was begun with."""
    if found and found["latency_table"] != info.versions.get("latency_table"):
        raise ConfigError(
            f"the latency table of search {name!r} has been changed since it began: put back the file it was, or begin "
            "a new search"
        )


def _difference(stored: str | None, found: str) -> str:
    before, after = json.loads(stored or "{}"), json.loads(found)
    changed = next((key for key in after if before.get(key) != after[key]), None)
    return f"{changed} was {before.get(changed or '')}, is {after.get(changed or '')}"


def is_data(given: object) -> bool:
    """Whether this is images or a text in Python, and not where they come from."""
    return isinstance(given, Data) or is_hub(given)


def given_data(data: Any, config: SearchConfig, options: Collection[str] = ()) -> Data | None:
    """What was given as data; a data set of Hugging Face's becomes arrays by the options of the search.

    ConfigError for `options` that say how data are read, where they were read before.
    """
    if data is None:
        return None
    if not is_hub(data):
        if idle := sorted(set(options) & _OF_READING):
            raise ConfigError(
                f"{idle[0]} says how data are read, and these were given as they are: leave it out, or give it to "
                f"replaytree.from_arrays() or replaytree.load_data()"
            )
        return as_data(data)
    source = config.source
    if source.train_limit is not None:
        raise ConfigError("train_limit is for named data sets and files; give dataset.select(range(...)) instead")
    return from_arrays(
        data, image_size=source.image_size, resize=source.resize, channel_axis=source.channel_axis,
        val_fraction=source.val_fraction, seed=config.seed, flip=bool(config.recipe.flip),
    )  # fmt: skip


def transformed_data(data: Data | None, transforms: Transforms | None) -> Data | None:
    """The data with transforms, where any are given; ConfigError where there are no images that they could be of."""
    if transforms is None:
        return data
    if not isinstance(data, ImageData):
        what = "a text" if data else "no data"
        raise ConfigError(f"transforms are for images, and this search has {what}; leave them out")
    return with_transforms(data, transforms)
