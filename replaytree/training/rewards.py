"""What validation says of a network, from its answers: accuracy, balanced accuracy or macro F1.

Shapes: N images, K classes, T heads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from replaytree.class_figures import macro_f1
from replaytree.config.objective import RewardKind


def head_rewards(answers_TN: Tensor, labels_N: Tensor, *, num_classes: int, reward: RewardKind) -> list[float]:
    """The reward of each head, T fractions, from the classes that it took the images for.

    `accuracy`: the share of its answers that are right. `balanced`: the mean over the classes of that share within
    each class that there is. `macro-f1`: the mean over these classes of F1 (class_figures.macro_f1).
    """
    if reward == "macro-f1":
        labels = labels_N.tolist()
        return [macro_f1(labels, answers) for answers in answers_TN.tolist()]
    right_TN = answers_TN == labels_N
    if reward == "accuracy":
        return [count / len(labels_N) for count in right_TN.sum(dim=1).tolist()]
    members_KN = torch.arange(num_classes, device=right_TN.device)[:, None] == labels_N
    shares_TK = (right_TN[:, None] & members_KN).sum(dim=2).double() / members_KN.sum(dim=1)
    shares: list[float] = shares_TK.nanmean(dim=1).tolist()
    return shares
