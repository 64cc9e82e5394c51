"""How an export compares with its model on the validation examples, in numbers and in sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from replaytree.config.limits import LIMITS
from replaytree.deliver.description import Description
from replaytree.errors import ModelError

TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Calibrated:
    """How an int8 export was made: ranges of `images` training images; whether it was `verified_on_trained` ones."""

    images: int
    verified_on_trained: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """How an export compares with its model on the validation images. `files` were written and have `nbytes`.

    `calibrated` is None for exports that equal their model.
    """

    files: tuple[Path, ...]
    description: Description
    nbytes: int
    images: int
    model_accuracy: float
    export_accuracy: float
    differing_predictions: int
    largest_difference: float
    calibrated: Calibrated | None = None

    @property
    def drop(self) -> float:
        """How much lower the accuracy of the export is than its model's."""
        return self.model_accuracy - self.export_accuracy

    @property
    def text(self) -> str:
        """The comparison as a sentence. Of an export that equals its model it has no accuracy: the model may have been
        trained on these images.
        """
        if self.calibrated is not None:
            return self._int8_text(self.calibrated)
        return (
            f"verified on {self.images} {self.description.metric.items}: {self._perplexity}"
            f"{self.differing_predictions} predictions differ from PyTorch's, "
            f"outputs within {self.largest_difference:.1e}"
        )

    def _int8_text(self, calibrated: Calibrated) -> str:
        metric = self.description.metric
        seen = ", which were trained on" if calibrated.verified_on_trained else ""
        return (
            f"verified on {self.images} validation images{seen}: accuracy {metric.shown(self.export_accuracy)} in "
            f"int8, {metric.shown(self.model_accuracy)} in float; {self.differing_predictions} predictions differ; "
            f"ranges from {calibrated.images} training images"
        )

    @property
    def cost(self) -> str:
        """The cost of the export, beside the limits of the search."""
        made = self.description
        return (
            f"{made.params:,} parameters{_at_most(made.max_params)}, {made.flops:,} multiply-adds "
            f"{made.metric.each}{_at_most(made.max_flops)}, {self.nbytes:,} bytes"
        )

    @property
    def _perplexity(self) -> str:
        """Of text what both came to: the validation words are not trained on."""
        metric = self.description.metric
        if not metric.is_inverse:
            return ""
        found = [metric.shown(each) for each in (self.model_accuracy, self.export_accuracy)]
        return f"perplexity {found[1]}, PyTorch's {found[0]}; "

    @property
    def broken_limits(self) -> tuple[str, ...]:
        """A sentence for each limit of the search that the export exceeds."""
        made = self.description
        nouns = {"flops": f"multiply-adds {made.metric.each}"}
        mirror = "; the mirror image doubles them: leave out --mirror" if made.mirror else ""
        found = []
        for name, limit in made.limits.items():
            cost = LIMITS[name].cost
            spent = getattr(made, cost)
            if spent is not None and spent > limit:
                found.append(
                    f"{spent:,} {nouns.get(cost, LIMITS[name].noun)} are more than the search was limited to "
                    f"({limit:,}){mirror if cost == 'flops' else ''}"
                )
        return tuple(found)


def require_equal(result: Verification, *, is_finite: bool) -> None:
    """ModelError where an export does not equal its model."""
    metric, out = result.description.metric, result.files[0]
    if not is_finite or result.largest_difference > TOLERANCE:
        raise ModelError(
            f"the export to {out} does not equal its model: its outputs differ by up to "
            f"{result.largest_difference:.1e}, more than {TOLERANCE:.0e}; nothing was written. Try another --format"
        )
    ends = result.model_accuracy, result.export_accuracy
    # Perplexities are sums of rounded losses; an accuracy counts images.
    same = math.isclose(*ends, rel_tol=TOLERANCE) if metric.is_inverse else ends[0] == ends[1]
    if not same:
        found, expected = (metric.number(each) for each in reversed(ends))
        raise ModelError(
            f"the export to {out} does not equal its model: {metric.name} {found}, not {expected}; nothing was "
            f"written. Try another --format"
        )


def _at_most(limit: int | None) -> str:
    return "" if limit is None else f" (at most {limit:,})"
