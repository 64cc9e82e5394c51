"""What a model file says of itself: layers, classes, normalisation, and how it was trained. Plain values, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from replaytree.errors import ModelError, SpaceError
from replaytree.records import Shape
from replaytree.space import Convolution, CustomLayer, Layer, Pooling, ResidualBlock
from replaytree.space.returned import require_shape

FORMAT = 1

# The only types that a file can name: nothing in it is imported or evaluated.
_LAYER_TYPES: dict[str, type[Convolution] | type[ResidualBlock] | type[Pooling]] = {
    "Convolution": Convolution,
    "ResidualBlock": ResidualBlock,
    "Pooling": Pooling,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A trained network without its weights.

    `mean` and `std` are per channel, fractions of 255. `test_time_flip`: the logits are the mean of those of an image
    and of its mirror image. `data` are the keywords of load_data() that give the validation images again, None for
    images from memory. `ranges` are the values that became 0 and 255 in training images of more than 8 bits, by kind.
    Accuracies are None where they were not measured.
    """

    layers: tuple[Layer, ...]
    input_shape: Shape
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    test_time_flip: bool = False
    seed: int = 0
    epochs: int = 0
    training: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] | None = None
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    search: str | None = None
    node_id: int | None = None
    test_accuracy: float | None = None
    validation_accuracy: float | None = None

    @property
    def labels(self) -> str:
        """The layers as text, 'res128 conv32k3'."""
        return " ".join(layer.label for layer in self.layers)

    def to_json(self) -> str:
        """As a JSON object, keys sorted; SpaceError where a layer of one's own is among the layers."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["layers"] = [_layer_values(layer) for layer in self.layers]
        return json.dumps({"format": FORMAT, **values}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> Description:
        """The inverse of to_json; ModelError, naming the `origin`, for text that is no description."""
        try:
            values = json.loads(text)
            if values.pop("format") != FORMAT:
                raise ModelError(f"{origin} was written by another version of replaytree; retrain or export it anew")
            values["layers"] = tuple(_layer(each) for each in values["layers"])
            values["input_shape"] = require_shape("input_shape", values["input_shape"])
            for name in ("classes", "mean", "std"):
                values[name] = tuple(values[name])
            ranges = values.get("ranges", {}).items()
            values["ranges"] = {kind: (float(low), float(high)) for kind, (low, high) in ranges}
            described = cls(**values)
            described.check()
        except ModelError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"{origin} does not describe a replaytree model ({type(error).__name__}: {error}); it was changed or "
                f"damaged: copy or export it anew"
            ) from error
        return described

    def check(self) -> None:
        """ValueError unless the values fit together."""
        channels = self.input_shape[0]
        if len(self.mean) != channels or len(self.std) != channels or not all(value > 0 for value in self.std):
            raise ValueError(f"mean {self.mean} and std {self.std} do not fit {channels} channels")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)):
            raise ValueError("mean and std must be finite")
        if len(self.classes) < 2 or not all(isinstance(name, str) for name in self.classes):
            raise ValueError(f"classes are {self.classes}")
        if not all(math.isfinite(low) and low <= high < math.inf for low, high in self.ranges.values()):
            raise ValueError(f"ranges are {self.ranges}")
        if not self.layers:
            raise ValueError("there are no layers")


def layers_of(space_layers: Sequence[Layer], path: Sequence[int]) -> tuple[Layer, ...]:
    """The layers on a path."""
    return tuple(space_layers[action] for action in path)


def _layer_values(layer: Layer) -> dict[str, Any]:
    if isinstance(layer, CustomLayer):
        raise SpaceError(
            f"layer {layer.label!r} is one of your own, and a model file holds no code; use the network in Python, or "
            f"torch.save it yourself"
        )
    return {"type": type(layer).__name__, **asdict(layer)}


def _layer(values: dict[str, Any]) -> Layer:
    values = dict(values)
    kind = values.pop("type")
    if kind not in _LAYER_TYPES:
        raise ValueError(f"{kind!r} is not a kind of layer")
    return _LAYER_TYPES[kind](**values)
