"""Stratified parts of a labelled set, the same for the same seed.

sklearn's train_test_split refuses parts smaller than the number of classes, and gives a rare class no image if its
share rounds to zero. Here every class has at least one image on both sides.

Shapes: N images, K classes.
"""

from __future__ import annotations

import numpy as np
import torch

from replaytree.errors import DataError

# Streams of one seed, so that the subset does not repeat the order of the split.
_SPLIT_STREAM, _SUBSET_STREAM = 0, 1


def stratified_split(labels_N: torch.Tensor, fraction: float, *, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices (train, validation), each ascending; validation is `fraction` of every class, rounded.

    round(fraction * N) images go to validation, moved as little as needed so that every class has at least one image
    on either side. Raises DataError for a fraction outside (0, 1), for a negative seed, and for a class with fewer
    than two images.
    """
    if not isinstance(fraction, float | int | np.number) or not 0.0 < fraction < 1.0:
        raise DataError(f"val_fraction is {fraction!r}; it must be over 0 and less than 1 (--val-fraction)")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(f"seed is {seed!r}; it must be a whole number from 0 (--seed)")
    counts_K = np.bincount(labels_N.numpy())
    if (counts_K < 2).any():
        rare = int(np.argmin(counts_K))
        raise DataError(
            f"class number {rare} has {counts_K[rare]} images; it needs at least two, to train and validate"
        )
    wanted = min(max(round(fraction * len(labels_N)), len(counts_K)), len(labels_N) - len(counts_K))
    chosen_N = _choose(labels_N, _share(counts_K, wanted, most_K=counts_K - 1), seed=(seed, _SPLIT_STREAM))
    return torch.from_numpy(np.flatnonzero(~chosen_N)), torch.from_numpy(np.flatnonzero(chosen_N))


def stratified_subset(labels_N: torch.Tensor, count: int, *, seed: int) -> torch.Tensor:
    """Ascending indices of `count` images, every class in proportion and at least once; all if there are no more.

    Raises DataError for a count below the number of classes.
    """
    counts_K = np.bincount(labels_N.numpy())
    if count < len(counts_K):
        raise DataError(
            f"train_limit is {count}, but there are {len(counts_K)} classes and each needs an image; "
            f"use --train-limit {len(counts_K)} or more"
        )
    if count >= len(labels_N):
        return torch.arange(len(labels_N))
    chosen_N = _choose(labels_N, _share(counts_K, count, most_K=counts_K), seed=(seed, _SUBSET_STREAM))
    return torch.from_numpy(np.flatnonzero(chosen_N))


def _share(counts_K: np.ndarray, total: int, *, most_K: np.ndarray) -> np.ndarray:
    """Divide `total` in proportion to the counts by largest remainder, each share in 1..most."""
    quota_K = total * counts_K / counts_K.sum()
    share_K: np.ndarray = np.clip(np.floor(quota_K).astype(np.int64), 1, most_K)
    while share_K.sum() != total:
        step = 1 if share_K.sum() < total else -1
        free_K = share_K < most_K if step > 0 else share_K > 1
        share_K[np.argmax(np.where(free_K, step * (quota_K - share_K), -np.inf))] += step
    return share_K


def _choose(labels_N: torch.Tensor, share_K: np.ndarray, *, seed: tuple[int, int]) -> np.ndarray:
    """Mask (N,) of a random `share` of each class."""
    order_N = np.random.default_rng(seed).permutation(len(labels_N))
    labels_in_order_N = labels_N.numpy()[order_N]
    chosen_N = np.zeros(len(labels_N), dtype=bool)
    for label, share in enumerate(share_K):
        chosen_N[order_N[labels_in_order_N == label][:share]] = True
    return chosen_N
