"""What retrained models took each class for, in three lines."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replaytree.tree import ClassResults

# Classes, and pairs of classes, that are named.
_MOST = 3


def class_lines(results: Sequence[ClassResults]) -> list[str]:
    """Macro F1, the classes of which the smallest share was found, and the pairs that were confused most.

    Of the models of several seeds macro F1 is the mean, and images are counted together. No lines of text.
    """
    if not results:
        return []
    from replaytree.tree import together

    every = together(results)
    seeds = "" if len(results) == 1 else f", over {len(results)} seeds"
    lines = [f"macro F1: {fmean(each.macro_f1 for each in results):.4f}"]
    if worst := every.worst(_MOST):
        shares = ", ".join(f"{each.name} {each.recall:.3f}" for each in worst)
        lines.append(f"found least (recall{seeds}): {shares}")
        pairs = ", ".join(f"{each.actual} as {each.predicted} {each.images:,}" for each in every.confused(_MOST))
        lines.append(f"confused most (images{seeds}): {pairs}")
    else:
        lines.append("every image was taken for its own class")
    return lines
