"""A model file's description of itself: network, classes, normalisation, training. Plain values, as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from types import NoneType
from typing import Any, get_args

from replaytree import metric
from replaytree.config.limits import LIMITS, limits_of
from replaytree.config.source import Resize
from replaytree.data.array_form import range_text
from replaytree.data.resize import resizing_text
from replaytree.errors import ModelError, SpaceError
from replaytree.metric import Metric
from replaytree.notebook import facts
from replaytree.records import Shape
from replaytree.space import Classifier, Graph, chain
from replaytree.space.layers import KINDS, layer_from_json
from replaytree.space.network import Network
from replaytree.space.recurrent import RecurrentGraph
from replaytree.space.returned import require_shape

FORMAT = 3

# Files of format 2 hold a list of layers, which is a chain.
_CHAINS = 2

# More values than any picture that networks here are trained on; a larger claim only wastes memory.
_MOST_VALUES = 2**26

# The most memory that a batch may take while it is predicted.
_BATCH_BYTES = 2**28
_DATA_OPTIONS: dict[str, tuple[type, ...]] = {
    "dataset": (str,),
    "image_size": (int, str, NoneType),
    "resize": (str,),
    "channel_axis": (str, NoneType),
    "train_limit": (int, NoneType),
    "val_fraction": (int, float),
    "seed": (int,),
    "skip_bad": (bool,),
    "task": (str, NoneType),
    "min_count": (int,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracies:
    """Accuracies of one way to predict: on the test split, and on held-out validation images; None: not measured."""

    test: float | None = None
    validation: float | None = None

    def __post_init__(self) -> None:
        for value in (self.test, self.validation):
            if value is not None and not (isinstance(value, float | int) and 0.0 <= value <= 1.0):
                raise ValueError(f"an accuracy is {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A trained network without its weights.

    `labels` are the layers as text, 'res128 conv32k3'. `classes` are the names of what the logits are of; of text, the
    words of the vocabulary, and there is neither `mean` nor `std`, nor a mirror image.

    `mean` and `std` are per channel, fractions of 255. With
    `mirror` the logits are the mean over an image and its mirror image, which doubles the multiply-adds. `plain` and
    `mirrored` are the accuracies without and with it. `trained_on` and `measured_on` are digests of the images used for
    training and for measuring the accuracies. `data` are the keywords with which load_data() reads the validation
    images again, None for images from memory. `ranges` are the values that became 0 and 255 in training images of more
    than 8 bits, by kind, and `resize` is the way in which pictures of another shape were made to fit. `max_params`,
    `max_flops`, `max_ram` and `max_flash` are the limits of the search.
    """

    graph: Network
    labels: str
    classes: tuple[str, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    mirror: bool = False
    seed: int = 0
    epochs: int = 0
    training: dict[str, Any] = field(default_factory=dict)
    trained_on: str = ""
    measured_on: str = ""
    data: dict[str, Any] | None = None
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    resize: Resize = "squash"
    search: str | None = None
    node_id: int | None = None
    max_params: int | None = None
    max_flops: int | None = None
    max_ram: int | None = None
    max_flash: int | None = None
    plain: Accuracies = Accuracies()
    mirrored: Accuracies = Accuracies()

    @property
    def input_shape(self) -> Shape:
        """That of the images; of text, of one word."""
        return self.graph.input_shape

    @property
    def metric(self) -> Metric:
        """What its accuracies are, and how people read them."""
        return metric.of("text" if isinstance(self.graph, RecurrentGraph) else "images")

    @property
    def layers(self) -> Graph:
        """The network of a model of images."""
        assert isinstance(self.graph, Graph), "a model of text has a cell and no layers"
        return self.graph

    @property
    def cell(self) -> RecurrentGraph:
        """The network of a model of text."""
        assert isinstance(self.graph, RecurrentGraph), "a model of images has layers and no cell"
        return self.graph

    @property
    def test_accuracy(self) -> float | None:
        """On the test split, predicted as `mirror` says; None if there is no test split."""
        return (self.mirrored if self.mirror else self.plain).test

    @property
    def validation_accuracy(self) -> float | None:
        """On held-out validation images, predicted as `mirror` says; None if they were trained on."""
        return (self.mirrored if self.mirror else self.plain).validation

    @property
    def params(self) -> int:
        """The number of trained parameters."""
        return self.graph.params

    @property
    def flops(self) -> int:
        """Multiply-adds of an image; with `mirror`, of both passes."""
        return 2 * self.graph.flops if self.mirror else self.graph.flops

    @property
    def preparation(self) -> str:
        """What is done to images before this network sees them, for whoever uses it without replaytree."""
        channels, rows, columns = self.input_shape
        first = f"images have {channels} channels, {rows} rows and {columns} columns"
        if channels in (1, 3):
            first = resizing_text((rows, columns), self.resize)
        return "; ".join([first, *(range_text(kind, span) for kind, span in self.ranges.items())])

    @property
    def ram_bytes(self) -> int | None:
        """What its maps need with 8 bits a number; an image and its mirror image are predicted one after the other."""
        return self.graph.ram_bytes

    @property
    def flash_bytes(self) -> int | None:
        """What its weights need with 8 bits each."""
        return self.graph.flash_bytes

    @property
    def limits(self) -> dict[str, int]:
        """The limits of the search that were given, by name."""
        return limits_of(self)

    @property
    def activations(self) -> int:
        """Numbers that the layers keep for one image, as in training."""
        return self.graph.activations

    @property
    def batch(self) -> int:
        """How many images to predict at a time."""
        return max(1, min(256, _BATCH_BYTES // (4 * max(1, self.activations))))

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the final weights. A training with an equal identity may be continued or reused.

        The place of the images and the way accuracy is measured do not belong to it.
        """
        recipe = {name: value for name, value in self.training.items() if name != "mirror"}
        of_text = isinstance(self.graph, RecurrentGraph)
        widths = {} if of_text else {"channels": [shape[0] for shape in (self.input_shape, *self.layers.shapes)]}
        return {
            "layers": self.labels,
            **widths,
            "network": self.graph.to_json(),
            "input shape": list(self.input_shape),
            "words" if of_text else "classes": list(self.classes),
            f"training {self.metric.items}": self.trained_on,
            **({} if of_text else {"normalisation": [list(self.mean), list(self.std)]}),
            "seed": self.seed,
            **recipe,
        }

    def to_json(self) -> str:
        """As a JSON object, keys sorted; SpaceError if there is a custom layer."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if isinstance(self.graph, Graph):
            _require_no_code(self.graph)
        values["graph"] = self.graph.to_json()
        values |= {name: asdict(getattr(self, name)) for name in ("plain", "mirrored")}
        return json.dumps({"format": FORMAT, **values}, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> Description:
        """The inverse of to_json; ModelError, naming the `origin`, for text that is not a description."""
        try:
            values = plain_json(text)
            found = values.pop("format")
            _require_format(found, origin)
            if found == _CHAINS:
                values |= _chain(values.pop("layers"), values.pop("input_shape"), len(values["classes"]))
            else:
                kind = RecurrentGraph if "cell" in values["graph"] else Graph
                values["graph"] = kind.from_json(values["graph"])
            for name in ("classes", "mean", "std"):
                values[name] = tuple(values[name])
            ranges = values.get("ranges", {}).items()
            values["ranges"] = {kind: (float(low), float(high)) for kind, (low, high) in ranges}
            for name in ("plain", "mirrored"):
                values[name] = Accuracies(**values[name])
            described = cls(**values)
            described.check()
        except ModelError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = f"{type(error).__name__}: {str(error)[:200]}"
            raise ModelError(
                f"{origin} does not describe a replaytree model ({reason}); it was changed or damaged: copy or export "
                f"it anew"
            ) from error
        return described

    def as_html(self, reads: str) -> str:
        """What a notebook shows of the model; `reads` says what it is given at once."""
        shown = self.metric.shown
        rows = [
            ("reads", reads), ("tells apart", f"{len(self.classes):,}: {', '.join(self.classes)}"),
            ("parameters", self.params), (f"multiply-adds {self.metric.each}", self.flops),
            (f"test {self.metric.name}", None if self.test_accuracy is None else shown(self.test_accuracy)),
            (f"validation {self.metric.name}",
             None if self.validation_accuracy is None else shown(self.validation_accuracy)),
            ("epochs", self.epochs), ("seed", self.seed),
        ]  # fmt: skip
        return facts(f"model {self.labels}", rows)

    def check(self) -> None:
        """ValueError unless the values are of their types and fit together."""
        if isinstance(self.graph, RecurrentGraph):
            self._check_text(self.graph)
        else:
            self._check_images(self.layers)
        if len(self.classes) < 2 or not all(isinstance(name, str) for name in self.classes):
            raise ValueError(f"classes are {self.classes[:20]}")
        self._check_types()
        if self.params < 0 or self.flops < 0:
            raise ValueError("layers have negative costs")

    def _check_text(self, graph: RecurrentGraph) -> None:
        if self.mean or self.std or self.ranges or self.mirror:
            raise ValueError("words are not normalised, and have no mirror image")
        if graph.vocabulary != len(self.classes) or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"the network is for {graph.vocabulary} words, and there are {len(set(self.classes))}")

    def _check_images(self, graph: Graph) -> None:
        channels = self.input_shape[0]
        if len(self.mean) != channels or len(self.std) != channels or not all(value > 0 for value in self.std):
            raise ValueError(f"mean {self.mean} and std {self.std} do not fit {channels} channels")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)):
            raise ValueError("mean and std must be finite")
        if not all(math.isfinite(low) and low <= high < math.inf for low, high in self.ranges.values()):
            raise ValueError(f"ranges are {self.ranges}")
        if self.resize not in get_args(Resize):
            raise ValueError(f"resize is {self.resize!r}")
        if not graph.nodes and getattr(graph.head, "pool", None) != "flatten":
            raise ValueError("there are no layers")
        if not isinstance(graph.head, Classifier) or graph.head.num_classes != len(self.classes):
            raise ValueError(f"the head {graph.head} is not that of {len(self.classes)} classes")
        if math.prod(self.input_shape) > _MOST_VALUES:
            raise ValueError(f"an image of {self.input_shape} has too many values")

    def _check_types(self) -> None:
        for name in ("seed", "epochs", "node_id", *LIMITS):
            value = getattr(self, name)
            optional = name not in ("seed", "epochs") and value is None
            if not optional and (not isinstance(value, int) or isinstance(value, bool)):
                raise ValueError(f"{name} is {value!r}")
        for name in ("labels", "trained_on", "measured_on", "search"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "search" and value is None):
                raise ValueError(f"{name} is {value!r}")
        if not self.labels.isprintable():
            raise ValueError(f"labels are {self.labels!r}")
        if not isinstance(self.mirror, bool):
            raise ValueError(f"mirror is {self.mirror!r}")
        if not isinstance(self.training, dict):
            raise ValueError(f"training is {self.training!r}")
        for name, value in (self.data or {}).items():
            if not isinstance(value, _DATA_OPTIONS[name]):
                raise ValueError(f"{name} of data is {value!r}")


def plain_json(text: str | bytes) -> dict[str, Any]:
    """A JSON object; ValueError for anything else, for NaN and infinities, and for nesting that is too deep."""

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is not JSON")

    try:
        found = json.loads(text, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"it is a {type(found).__name__}, not an object")
    return found


def _require_format(found: object, origin: str) -> None:
    if isinstance(found, int) and found > FORMAT:
        raise ModelError(
            f"{origin} was written by a newer replaytree (format {found}, here {FORMAT}); upgrade this one"
        )
    if found not in (_CHAINS, FORMAT):
        raise ModelError(f"{origin} was written by an older replaytree (format {found!r}); retrain or export it anew")


def _chain(layers: Any, input_shape: Any, num_classes: int) -> dict[str, Any]:
    """The graph and the labels of a file of format 2."""
    made = [layer_from_json(each) for each in layers]
    graph = chain(made, input_shape=require_shape("input_shape", input_shape), head=Classifier(num_classes))
    return {"graph": graph, "labels": " ".join(graph.labels)}


def _require_no_code(graph: Graph) -> None:
    layers = [node.layer for node in graph.nodes] + [graph.head] + ([] if graph.merge is None else [graph.merge])
    layers += [] if graph.auxiliary is None else [graph.auxiliary.head]
    for layer in layers:
        if type(layer) is not KINDS.get(type(layer).__name__):
            raise SpaceError(
                f"layer {layer.label!r} is one of your own, and a model file holds no code; keep the model in memory "
                f"with best_model(folder=None), and torch.save its network yourself"
            )
