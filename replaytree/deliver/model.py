"""A trained network ready for use: images in, classes out, whatever file format it came from.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replaytree.data import as_bytes, channels_last, match_channels
from replaytree.data.array_form import as_array, as_many, require_images
from replaytree.deliver.deployed import Deployed, batched_logits
from replaytree.deliver.description import Description
from replaytree.errors import DataError, ModelError
from replaytree.memory import is_out_of_memory


class Model:
    """A network with its classes and normalisation.

    `network` is the nn.Module from uint8 images (N, C, H, W) to logits (N, K); None if the model is run by
    onnxruntime.
    """

    def __init__(
        self, description: Description, logits: Callable[[Tensor], Tensor], *, network: nn.Module | None = None
    ) -> None:
        self.description = description
        self.network = network
        self._logits = logits

    @classmethod
    def of(cls, network: Deployed, description: Description) -> Model:
        """A model that runs in torch."""
        network = network.eval()
        return cls(description, partial(batched_logits, network, batch=description.batch), network=network)

    def __repr__(self) -> str:
        """Layers and classes."""
        return f"Model({self.description.labels!r}, {len(self.classes)} classes)"

    def _repr_html_(self) -> str:
        return self.description.as_html("x".join(map(str, self.description.input_shape)))

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the columns of predict_proba."""
        return self.description.classes

    def logits(self, images: Any) -> Tensor:
        """Logits, float32 (N, K); for the form of the images see predict_proba."""
        images_NCHW = self._checked(images)
        if not len(images_NCHW):
            return torch.empty(0, len(self.classes))
        try:
            logits_NK = self._logits(images_NCHW)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            form = "x".join(map(str, self.description.input_shape))
            raise ModelError(
                f"predicting with {self.description.labels!r} needs more memory for {self.description.batch} images of "
                f"{form} than there is; predict fewer images at a time"
            ) from error
        if not torch.isfinite(logits_NK).all():
            raise ModelError(
                f"{self!r} gives outputs that are not finite numbers, so it predicts nothing; retrain with a lower "
                f"--learning-rate"
            )
        return logits_NK

    def predict_proba(self, images: Any) -> np.ndarray:
        """The probability of each class, float32 (N, K), rows sum to 1.

        `images` are an array as for from_arrays(), or a uint8 tensor (N, C, H, W), of the height and width that the
        network was trained on. One image alone is taken as N = 1. Numbers that are not bytes are scaled as the training
        images were. Grey and colour are converted where needed. Raises DataError otherwise.
        """
        probabilities: np.ndarray = self.logits(images).softmax(dim=1).numpy()
        return probabilities

    def predict(self, images: Any) -> list[str]:
        """The name of the most probable class of each image; for the form of the images see predict_proba."""
        return [self.classes[index] for index in self.logits(images).argmax(dim=1).tolist()]

    def _checked(self, images: Any) -> Tensor:
        """uint8 (N, C, H, W) as the network reads them; DataError for what is not, and for values out of range."""
        shape = self.description.input_shape
        if isinstance(images, Tensor) and images.ndim == 4 and images.dtype == torch.uint8:
            images_NCHW = images.cpu()
        else:
            array = as_many(as_array(images, "images"), shape)
            if len(array):
                require_images(array)
            images_NHWC = channels_last(array, (self.description.data or {}).get("channel_axis"), shape=shape)
            # Bytes are what the network reads, whatever the training images were.
            ranges = {} if array.dtype == np.uint8 else self.description.ranges
            images_NCHW = torch.from_numpy(as_bytes(images_NHWC, ranges))
        if images_NCHW.shape[2:] != shape[1:]:
            found, wanted = ("x".join(map(str, sides)) for sides in (images_NCHW.shape[2:], shape[1:]))
            one = "; one image alone needs a first axis: images[None]" if images.ndim == 3 else ""
            raise DataError(f"images are {found} pixels; this model takes {wanted}: resize them{one}")
        return match_channels(images_NCHW, shape[0])
