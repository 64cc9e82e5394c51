"""What single classes are recognised by: recall, precision and F1, and the mean of F1 over the classes."""

from __future__ import annotations

from collections.abc import Sequence


def macro_f1(actual: Sequence[int], predicted: Sequence[int], counts: Sequence[int] | None = None) -> float:
    """The mean over the classes of F1 = 2 PR / (P + R), in [0, 1]: P of what was taken for the class is of it, R of
    what is of it was taken for it. A class that nothing is of does not count. `counts`: how often each answer occurred.
    """
    from sklearn.metrics import f1_score  # here, because commands that print accuracies need not wait for it

    there = sorted({each for each in actual})
    return float(f1_score(actual, predicted, labels=there, average="macro", sample_weight=counts, zero_division=0.0))


def class_figures(
    actual: Sequence[int], predicted: Sequence[int], counts: Sequence[int], classes: int
) -> list[tuple[int, float | None, float | None, float | None]]:
    """Of every class: how many there are, recall, precision and F1; None where there is nothing to take a share of."""
    import numpy as np
    from sklearn.metrics import precision_recall_fscore_support

    labels = range(classes)
    precision_K, recall_K, f1_K, _ = precision_recall_fscore_support(
        actual, predicted, labels=labels, sample_weight=counts, zero_division=0.0
    )
    found: list[tuple[int, float | None, float | None, float | None]] = []
    there_K = np.bincount(actual, weights=counts, minlength=classes)
    taken_K = np.bincount(predicted, weights=counts, minlength=classes)
    for each in labels:
        is_there, is_taken = there_K[each] > 0, taken_K[each] > 0
        found.append(
            (
                int(there_K[each]),
                float(recall_K[each]) if is_there else None,
                float(precision_K[each]) if is_taken else None,
                float(f1_K[each]) if is_there else None,
            )
        )
    return found
