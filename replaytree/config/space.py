"""Which networks a search may choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from replaytree.config.latency import LATENCY, no_table
from replaytree.config.limits import limits_of
from replaytree.config.option import Options, declared, group, option
from replaytree.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LayerOptions(Options):
    """What named spaces let one choose about their layers. None: not given, so that it is as the space has it.

    Which space has which, and with which default, stands with the space (space/catalogue.py), and is checked there.
    """

    width: float | None = option(
        None,
        "Factor on all channel numbers, of spaces that have it.",
        "What to search",
        above=0.0,
        most=64.0,
        unset="0.25 on a CPU, but 1 for tiny; else 1",
    )
    strides: bool | None = option(
        None, "Layers choose their stride, too, in spaces that have this.", "What to search", unset="the space's own"
    )
    two_dimensional: bool | None = option(
        None,
        "Convolutions see the image in two dimensions; with --no-two-dimensional, as a column. In spaces that have it.",
        "What to search",
        unset="the space's own",
    )
    channels: int | None = option(
        None,
        "Channels of every map, in spaces that have this; where cells halve the maps, of those before.",
        "What to search",
        least=1,
        most=2**20,
        unset="the space's own",
    )
    cells: int | None = option(
        None,
        "Cells of a network, in spaces of cells: all of them in darts and enas-micro, the normal ones in nasnet.",
        "What to search",
        least=1,
        most=1000,
        unset="the space's own",
    )
    concat: str | None = option(
        None,
        "Maps that whole cells of nasnet concatenate, as in 1+3+4+6/2+3+4+5+6; loose: those that no node reads.",
        "What to search",
        metavar="MAPS",
        unset="the space's own",
    )
    final: bool | None = option(
        None,
        "Search networks in the form that they are delivered in, where a space has two.",
        "What to search",
        unset="the space's own",
    )

    hidden: int | None = option(
        None,
        "Numbers of the state of a recurrent cell.",
        "What to search",
        least=1,
        most=2**16,
        unset="the space's own",
    )
    embedding: int | None = option(
        None,
        "Numbers of the vector of a word, in spaces of recurrent cells.",
        "What to search",
        least=1,
        most=2**16,
        unset="as --hidden",
    )
    base: int | None = option(
        None,
        "Leaves of the tree of nas-rnn: 2, 4, 8 or more.",
        "What to search",
        least=2,
        most=64,
        unset="the space's own",
    )
    bias: bool | None = option(
        None,
        "Recurrent cells have biases, in spaces that have this option.",
        "What to search",
        unset="the space's own",
    )
    ends: str | None = option(
        None,
        "What a recurrent cell gives, in spaces that have this: the mean of the nodes that no node reads (loose), or "
        "of all.",
        "What to search",
        metavar="NODES",
        unset="the space's own",
    )

    def given(self) -> dict[str, Any]:
        """Those that were given, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class SpaceOptions(Options):
    """The space, the options of its layers, the depth bound, and what a network may cost.

    `space` None: it is given in Python. Which names there are is known to the catalogue (space/catalogue.py) alone.
    """

    space: str | None = option(
        "xu24", "The layers to choose from; `replaytree spaces` lists what there is.", "What to search"
    )
    layers: LayerOptions = group(LayerOptions)
    min_layers: int = option(
        2, "Depth bound at the start, in layers; where it is not given, at most --max-layers.", "What to search",
        least=1, most=10_000,
    )  # fmt: skip
    max_layers: int = option(
        6,
        "Depth bound at the end, in layers; where it is not given, at least --min-layers, and in differentiable "
        "searches of cells that of the published ones.",
        "What to search",
        first=True,
        least=1,
        most=10_000,
    )
    max_params: int | None = option(
        None, "Only networks of at most this many parameters, as in 100k.", "What to search", first=True, least=1
    )
    max_flops: int | None = option(
        None,
        "Only networks of at most this many FLOPs (multiply-adds an image, or a word), as in 5M.",
        "What to search",
        first=True,
        least=1,
    )

    max_ram: int | None = option(
        None,
        "Only networks that need at most this many bytes of RAM for their maps, with 8 bits a number, as in 64k.",
        "What to search",
        metavar="BYTES",
        least=1,
    )
    max_flash: int | None = option(
        None,
        "Only networks of at most this many bytes of weights, with 8 bits a weight and 32 a bias, as in 128k.",
        "What to search",
        metavar="BYTES",
        least=1,
    )
    latency_table: str | None = option(
        None,
        "How long every layer takes: a CSV of `replaytree latency-table`, or one of a board with the same columns.",
        "What to search",
        metavar="FILE",
        path=True,
    )
    max_latency: float | None = option(
        None,
        "Only networks whose layers take at most this long by the table, as in 2ms.",
        "What to search",
        metavar="MS",
        form=LATENCY,
    )

    @property
    def limits(self) -> dict[str, int]:
        """Those on costs that were given, by name."""
        return limits_of(self)

    def __post_init__(self) -> None:
        """Check the values, each and together."""
        super().__post_init__()
        if self.max_latency is not None and self.latency_table is None:
            raise ConfigError(no_table("--max-latency"))
        if self.min_layers > self.max_layers:
            raise ConfigError(
                f"min_layers is {self.min_layers}, more than max_layers, {self.max_layers}; "
                f"lower --min-layers or raise --max-layers"
            )


USUAL_BOUNDS = {"min_layers": SpaceOptions.min_layers, "max_layers": SpaceOptions.max_layers}
"""The depth bounds where neither is given."""


PUBLISHED_DEPTHS = {"darts": 8, "enas-micro": 10, "nasnet": 10}
"""Layers of the published architectures of spaces of cells: the nodes of both cells."""


def following_bounds(given: Mapping[str, Any], usual: Mapping[str, int]) -> dict[str, int]:
    """The usual depth bound that was not given, where the one that was given asks for another; {} where both were.

    ConfigError for a bound that cannot be used.
    """
    known = {name: given.get(name) for name in ("min_layers", "max_layers")}
    bounds = {name: declared(SpaceOptions)[name].checked(value) for name, value in known.items() if value is not None}
    if len(bounds) != 1:
        return {}
    if "max_layers" in bounds:
        found = {"min_layers": min(usual.get("min_layers", 1), bounds["max_layers"])}
    else:
        found = {"max_layers": max(usual.get("max_layers", 1), bounds["min_layers"])}
    return {name: bound for name, bound in found.items() if name in usual and name not in given}


def given_text(option: str, value: object) -> str:
    """An option of a space as on the command line."""
    flag = declared(LayerOptions)[option].flag if option in declared(LayerOptions) else option
    if isinstance(value, bool):
        return flag if value else "--no-" + flag.removeprefix("--")
    return f"{flag} {written(value)}"


def written(value: object) -> str:
    """A number or a word, without needless digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)
