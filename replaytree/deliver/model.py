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

from replaytree.data import channels_last, match_channels
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

        `images` are a uint8 array as for from_arrays(), or a uint8 tensor (N, C, H, W), of the height and width
        that the network was trained on. Grey and colour are converted where needed. Raises DataError otherwise.
        """
        probabilities: np.ndarray = self.logits(images).softmax(dim=1).numpy()
        return probabilities

    def predict(self, images: Any) -> list[str]:
        """The name of the most probable class of each image; for the form of the images see predict_proba."""
        return [self.classes[index] for index in self.logits(images).argmax(dim=1).tolist()]

    def _checked(self, images: Any) -> Tensor:
        if isinstance(images, Tensor):
            images_NCHW = images.cpu()
        else:
            array = np.asarray(images)
            if array.ndim not in (3, 4) or array.dtype != np.uint8:
                raise DataError(
                    f"images are {array.dtype} {array.shape}; they must be uint8 (N, H, W), (N, H, W, C) or "
                    f"(N, C, H, W)"
                )
            images_NCHW = torch.from_numpy(
                np.require(channels_last(array).transpose(0, 3, 1, 2), requirements=("C", "W"))
            )
        if images_NCHW.ndim != 4 or images_NCHW.dtype != torch.uint8:
            raise DataError(
                f"images are {images_NCHW.dtype} {tuple(images_NCHW.shape)}; a tensor must be uint8 (N, C, H, W)"
            )
        _, height, width = self.description.input_shape
        if images_NCHW.shape[2:] != (height, width):
            found = "x".join(map(str, images_NCHW.shape[2:]))
            raise DataError(f"images are {found} pixels; this model takes {height}x{width}: resize them")
        return match_channels(images_NCHW, self.description.input_shape[0])
