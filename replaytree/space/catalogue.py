"""The spaces that have a name: how one is made from its name and options, and again from its description."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from replaytree.errors import SpaceError
from replaytree.metric import Task
from replaytree.records import Path, Shape, Space
from replaytree.space.darts import Darts
from replaytree.space.darts_rnn import DartsRnn
from replaytree.space.decision_space import DecisionSpace
from replaytree.space.enas_macro import EnasMacro
from replaytree.space.enas_micro import EnasMicro
from replaytree.space.enas_rnn import EnasRnn
from replaytree.space.label_space import LabelSpace
from replaytree.space.layer_space import LayerSpace
from replaytree.space.layers import OWN_KIND, layer_from_json
from replaytree.space.metaqnn import MetaQnn
from replaytree.space.nas_rnn import NasRnn
from replaytree.space.nascell import Nascell
from replaytree.space.nasnet import Nasnet
from replaytree.space.network import task_of
from replaytree.space.plain_rnn import PlainRnn
from replaytree.space.plan import FORMAT, Plan, Published
from replaytree.space.tiny import Tiny
from replaytree.space.xu24 import xu24
from replaytree.space.zoph import Zoph

# As deep as --max-layers allows: a damaged description must not fill the memory.
MOST_LAYERS = 10_000
# What every space is made for; its options come beside these.
_COMMON = ("input_shape", "num_classes", "max_layers")


# What a space is described for where nobody says: CIFAR-10, and Penn Treebank, whose words come one at a time.
USUAL_DATA: dict[Task, dict[str, Any]] = {
    "images": {"input_shape": (3, 32, 32), "num_classes": 10},
    "text": {"input_shape": (1, 1, 1), "num_classes": 10_000},
}


class PlanClass(Protocol):
    """The class of a built-in plan. `defaults` are its options with their defaults; `about` is one sentence.

    One whose networks are for text has `task`, too.
    """

    name: str
    about: str
    source: str
    nested: bool
    defaults: Mapping[str, Any]
    published: Mapping[str, Published]

    # mypy takes these two names for any keywords; those of a plan are its own.
    def __call__(self, *args: Any, **kwargs: Any) -> Plan:
        """A plan of the space, from the keywords input_shape, num_classes, max_layers and its options."""
        ...


# One line a space whose layers are decisions.
PLANS: dict[str, PlanClass] = {
    "darts": Darts,
    "darts-rnn": DartsRnn,
    "enas-macro": EnasMacro,
    "enas-micro": EnasMicro,
    "enas-rnn": EnasRnn,
    "metaqnn": MetaQnn,
    "nas-rnn": NasRnn,
    "nascell": Nascell,
    "nasnet": Nasnet,
    "plain-rnn": PlainRnn,
    "tiny": Tiny,
    "zoph": Zoph,
}


# Where a space has the option `width`, and says nothing else: its usual layers take long on a CPU.
CPU_WIDTH = 0.25


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a named space before it is made. `cpu_width` is the width of a search on a CPU.

    `task` is what its networks are for.
    """

    name: str
    about: str
    source: str
    defaults: Mapping[str, Any]
    published: Mapping[str, Published]
    nested: bool = True
    cpu_width: float = CPU_WIDTH
    task: Task = "images"


def about(name: str) -> About:
    """A named space; SpaceError, listing those that there are, for another name."""
    if name == "xu24":
        return About(
            "xu24",
            "Chains of 24 layers: convolutions, residual blocks, pooling.",
            'O. Xu, "Augmented Neural Architecture Search with REINFORCE" (poster)',
            {"width": 1.0},
            {
                "poster": Published(
                    "res128 conv32k3 conv32k3 res64 avg2s2 res64 res64 conv128k4 conv64k3",
                    input_shape=(3, 32, 32),
                    note="86.13 % on CIFAR-10",
                )
            },
        )
    if name not in PLANS:
        near = difflib.get_close_matches(name.lower(), names(), n=1, cutoff=0.5)
        asked = f"did you mean {near[0]}? The" if near else "the"
        raise SpaceError(f"there is no space {name!r} (--space); {asked} spaces are {', '.join(names())}")
    plan = PLANS[name]
    width = getattr(plan, "cpu_width", CPU_WIDTH)
    return About(plan.name, plan.about, plan.source, plan.defaults, plan.published, plan.nested, width, task_of(plan))


USUAL_SPACES: Mapping[Task, str] = {"images": "xu24", "text": "enas-rnn"}
"""Where none is named, by the task of the data."""


def require_task_of(name: str, task: Task, *, data: str) -> None:
    """SpaceError, naming those that fit, where a space is for another task than the data set `data` is of."""
    if (other := about(name).task) != task:
        raise SpaceError(
            f"space {name!r} is for {other}, and the data set {data} is {task}; spaces for {task} are "
            f"{', '.join(names(task))} (--space)"
        )


def names(task: Task | None = None) -> tuple[str, ...]:
    """The named spaces; with `task`, those whose networks are for it."""
    own = (name for name, plan in PLANS.items() if task is None or task_of(plan) == task)
    return tuple(own) if task == "text" else ("xu24", *own)


def meant(name: str, path: str) -> Published | None:
    """The published architecture of a named space that a written path names; None where it names none."""
    return about(name).published.get(path.strip())


def parse_path_of(space: LayerSpace | DecisionSpace, text: str) -> Path:
    """The path of a text in a named space; SpaceError also names what is published, if a lone word is no layer."""
    try:
        return space.parse(text)
    except SpaceError as error:
        published = about(str(space.name)).published
        if len(text.split()) != 1 or not published:
            raise
        raise SpaceError(f"{error}; published architectures: {', '.join(published)}") from error


def all_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a named space, those that are not given at their default. SpaceError for one that it has not."""
    known = about(name)
    if unknown := sorted(set(given) - set(known.defaults)):
        own = ", ".join(known.defaults) or "no options"
        raise SpaceError(f"space {name!r} has no option {unknown[0]!r}; it has {own}")
    return {**known.defaults, **given}


def named_space(
    name: str, *, input_shape: Shape, num_classes: int, max_layers: int, **options: Any
) -> LayerSpace | DecisionSpace:
    """A named space for some images. SpaceError for a name or an option that there is not."""
    chosen = all_options(name, options)
    common: dict[str, Any] = {"input_shape": input_shape, "num_classes": num_classes, "max_layers": max_layers}
    if name == "xu24":
        return LayerSpace(xu24(chosen["width"]), **common, name="xu24", options=chosen)
    return DecisionSpace(PLANS[name](**common, **chosen))


def require_own_name(space: Space) -> None:
    """SpaceError where a space of one's own has the name of another, by which a database would take it for that."""
    name = getattr(space, "name", None)
    plan = getattr(space, "plan", None)
    ours: Any = PLANS.get(str(name))
    if None not in (ours, plan) and type(plan) is not ours:
        raise SpaceError(f"the plan {type(plan).__name__} is named {name!r}, as one of ours; give it another name")


def space_of(description: Mapping[str, Any]) -> LayerSpace | LabelSpace | DecisionSpace | None:
    """The space that `describe()` described; None where some of it is a user's own code, which no description holds.

    Raises SpaceError for a description that is damaged, or of a newer replaytree.
    """
    kind, values = checked_kind(description)
    try:
        if kind in _MAKERS:
            return _MAKERS[kind](**values)
        values["input_shape"] = tuple(values["input_shape"])
        if not values["max_layers"] <= MOST_LAYERS:
            raise SpaceError(f"max_layers is {values['max_layers']}")
        return named_space(kind, **values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SpaceError(
            f"a space of kind {kind!r} is described in no way that can be read ({error!s:.200})"
        ) from error


def checked_kind(description: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The kind of a description, and what else it says; SpaceError for a kind or a format that is not known here."""
    values = dict(description)
    kind, found = values.pop("kind", None), values.pop("format", None)
    if type(found) is not int or found < 1 or not isinstance(kind, str):
        raise SpaceError(f"the space is described in no way that can be read: kind {kind!r:.80}, format {found!r:.80}")
    if found > FORMAT:
        raise SpaceError(
            f"the space was described by a newer replaytree (format {found}, here {FORMAT}); upgrade this one"
        )
    if kind not in _MAKERS and kind not in names():
        raise SpaceError(
            f"the space is of kind {kind!r:.80}, which is not known here (there are {', '.join(names())}); "
            f"a newer replaytree may know it: upgrade this one"
        )
    return kind, values


def _of_layers(
    *, labels: Sequence[str], layers: Sequence[Any], input_shape: Sequence[int], num_classes: int, max_layers: int
) -> LayerSpace | None:
    """A space of a user's own choice of our layers; None where some are a user's own code."""
    if any(each["type"] == OWN_KIND for each in layers):
        return None
    space = LayerSpace(
        [layer_from_json(each) for each in layers],
        input_shape=tuple(input_shape),  # type: ignore[arg-type]
        num_classes=num_classes,
        max_layers=max_layers,
    )
    if list(space.labels) != labels:
        raise SpaceError("the layers are not those of the labels")
    return space


def _of_labels(*, labels: Sequence[str], max_layers: int, functions: Sequence[str] = ()) -> LabelSpace | None:
    """A space of labels; None where a function of a user's own says what is legal, or what it costs."""
    return None if functions else LabelSpace(labels, max_layers=max_layers)


def _of_own(**values: Any) -> None:
    """None: the space is a user's own."""
    return


# The spaces that have no name of the catalogue.
LAYERS, LABELS, OWN = "layers", "labels", "own"
_MAKERS: dict[str, Callable[..., LayerSpace | LabelSpace | None]] = {
    LAYERS: _of_layers, LABELS: _of_labels, OWN: _of_own,
}  # fmt: skip
