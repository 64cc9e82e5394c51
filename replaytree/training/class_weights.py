"""Weights of the classes in the training loss, so that a rare class counts like a frequent one.

Shapes: N images, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from replaytree.data import Data, ImageData
from replaytree.training.recipe import Recipe


def class_weights(data: Data, recipe: Recipe) -> Tensor | None:
    """The factor on the loss of an image of each class (K), on the device of the data; None where all count alike.

    `balanced`: N / (K N_k), of which the mean over the training images is 1. A class without images has 0.
    """
    if recipe.class_weights is None or not isinstance(data, ImageData):
        return None
    import numpy as np
    from sklearn.utils.class_weight import compute_class_weight

    labels_N = data.train_labels.cpu().numpy()
    there = np.unique(labels_N)
    weights_K = torch.zeros(data.num_classes)
    found = compute_class_weight(recipe.class_weights, classes=there, y=labels_N)
    weights_K[torch.from_numpy(there)] = torch.from_numpy(found).float()
    return weights_K.to(data.device)


def mean_loss(logits_NK: Tensor, labels_N: Tensor, *, label_smoothing: float, weights_K: Tensor | None) -> Tensor:
    """The mean cross-entropy, each image's times the weight of its class."""
    if weights_K is None:
        return functional.cross_entropy(logits_NK, labels_N, label_smoothing=label_smoothing)
    losses_N = functional.cross_entropy(logits_NK, labels_N, label_smoothing=label_smoothing, reduction="none")
    return weighted(losses_N, labels_N, weights_K).mean()


def weighted(losses_N: Tensor, labels_N: Tensor, weights_K: Tensor | None) -> Tensor:
    """The losses (N), each times the weight of its label."""
    return losses_N if weights_K is None else losses_N * weights_K[labels_N]
