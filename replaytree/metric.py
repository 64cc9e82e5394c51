"""The metric of a task: what a training is measured by, how people read it, and how its differences are weighed.

What is stored is always a fraction in [0, 1], higher is better, and None where nothing was measured. For images it is
the accuracy; for text the geometric mean probability of the right word, 1 / perplexity. People read an accuracy as it
is stored, and a perplexity, of which lower is better. So there are two kinds of value: **fractions** are stored and
ranked; **numbers** are printed and drawn. `number` and `fraction` convert them.

Rankings, strategies and colours weigh differences on a scale on which equal steps count alike: `value`. Of an accuracy
it is -log(1 - a): a step from 0.98 to 0.99 halves the error, as one from 0.8 to 0.9 does. Of text it is log a, which is
minus the loss in nats a word: a step from perplexity 100 to 90 weighs as much as one from 200 to 180. -log(1 - a) would
be almost linear there, so that a cell among the good ones would weigh several times as much as one among the bad.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Task = Literal["images", "text"]
"""What networks are for: images are classified, text is modelled word by word."""

TASKS: tuple[Task, ...] = get_args(Task)

# Errors are read as at least this: a network without any was partly lucky, and its value would be infinite.
LEAST_ERROR = 1e-4

# A perplexity is read as at most a million: what is worse than guessing among as many words is hopeless all the same.
LEAST_PROBABILITY = 1e-6

# Added to errors before a colour is chosen: an accuracy of 1 has a colour, too.
ERROR_SHIFT = 0.002

# Standard errors of a 95 % interval.
Z95 = 1.959963984540054

# The deviation, in nats, of the loss of single words from their mean: from frequent words to rare ones. Measured on the
# Penn Treebank's validation words: 2.7 where only frequencies are known, 2.3 of a cell after 60,000 words.
WORD_DEVIATION = 3.0

_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Metric:
    """The words and the arithmetic of one task.

    `items` are what is counted; `bound` is the word before a cautious figure; `best` and `worst` say which end is.
    `format` is the spelling of a number, Python's and that of Plotly's hover texts; `short` is for a sentence that has
    one.
    """

    task: Task
    name: str
    a: str
    plural: str
    items: str
    each: str
    bound: str
    best: str
    worst: str
    worse: str
    worsens: str
    gain_unit: str
    gain_words: str
    gain_caption: str
    format: str
    short: str
    scale: str
    is_inverse: bool = False

    def number(self, fraction: float) -> float:
        """What people read: 0.9 -> 0.9; of text 0.01 -> 100, and infinity for 0."""
        if not self.is_inverse:
            return fraction
        return 1.0 / fraction if fraction > 0.0 else math.inf

    def fraction(self, number: float) -> float:
        """The inverse of `number`."""
        return self.number(number)

    def numbers(self, fractions: Iterable[float | None]) -> list[float | None]:
        """The numbers of fractions, for a figure: None where there is none; a perplexity is a million at most."""
        if self.is_inverse:
            fractions = (None if each is None else max(each, LEAST_PROBABILITY) for each in fractions)
        return [None if each is None else self.number(each) for each in fractions]

    def value(self, fraction: float) -> float:
        """Where a fraction stands on the scale on which differences are weighed, in nats; higher is better.

        Of an accuracy -log(1 - a), from 0 to 9.21; of text log a, from -13.8 to 0.
        """
        return math.log(max(fraction, LEAST_PROBABILITY)) if self.is_inverse else -math.log(error(fraction))

    def values(self, fractions_N: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The value of each of N fractions."""
        import numpy as np  # here, because commands that print accuracies need not wait for it

        values_N: npt.NDArray[np.float64]
        if self.is_inverse:
            values_N = np.log(np.maximum(fractions_N, LEAST_PROBABILITY))
        else:
            values_N = -np.log(np.maximum(1.0 - fractions_N, LEAST_ERROR))
        return values_N

    def shown(self, fraction: float | None, *, unknown: str = "-") -> str:
        """0.98765 -> '0.9877'; of text 0.01 -> '100.00'; None -> `unknown`."""
        return unknown if fraction is None else self.written(self.number(fraction))

    def rounded(self, fraction: float) -> str:
        """0.98765 -> '0.988'; of text 0.01 -> '100.0': for a sentence that has one figure."""
        return self.brief(self.number(fraction))

    def headline(self, fraction: float) -> str:
        """0.98765 -> '0.988'; of text 0.01 -> 'perplexity 100.0', which a reader might take for another number."""
        return f"{self.name} {self.rounded(fraction)}" if self.is_inverse else self.rounded(fraction)

    def written(self, number: float) -> str:
        """A number as `shown` spells it; a perplexity over a million is no better for its digits."""
        return self._spelled(number, self.format)

    def brief(self, number: float) -> str:
        """A number as `rounded` spells it."""
        return self._spelled(number, self.short)

    def _spelled(self, number: float, spelling: str) -> str:
        return ">1e6" if self.is_inverse and number > 1.0 / LEAST_PROBABILITY else f"{number:{spelling}}"

    def points(self, difference: float) -> str:
        """The difference of two numbers: 0.0123 -> '1.2 points'; of text 3.14 -> '3.1 in perplexity'."""
        return f"{self.difference(difference):.1f} {self.difference_unit}"

    def signed(self, difference: float, digits: int = 1) -> str:
        """0.0123 -> '+1.2', in points; of text -3.14 -> '−3.1'."""
        return f"{self.difference(difference):+.{digits}f}".replace("-", _MINUS)

    def difference(self, difference: float) -> float:
        """The difference of two numbers as it is printed: of accuracies in percentage points."""
        return difference if self.is_inverse else 100.0 * difference

    def span(self, interval: tuple[float, float] | None) -> str:
        """An interval of fractions: '0.647 – 0.789'; of text, of perplexities from the lower one to the higher."""
        return self.brief_span(interval and tuple(sorted(map(self.number, interval))))

    def brief_span(self, interval: tuple[float, ...] | None) -> str:
        """An interval of numbers: '0.647 – 0.789'."""
        return "unknown" if interval is None else " \N{EN DASH} ".join(map(self.brief, interval))

    @property
    def difference_unit(self) -> str:
        """'points', or 'in perplexity'."""
        return f"in {self.name}" if self.is_inverse else "points"

    def lowered(self, fraction: float, factor: float) -> float:
        """The fraction whose value is log(factor) lower: an error that is so many times as large, or a perplexity."""
        return fraction / factor if self.is_inverse else 1.0 - error(fraction) * factor

    def raised(self, fraction: float, factor: float) -> float:
        """The fraction whose value is log(factor) higher, but at most 1."""
        if self.is_inverse:
            return min(fraction * factor, 1.0)
        return min(max(1.0 - error(fraction) / factor, fraction), 1.0)

    def least(self, bound: float, factor: float) -> float:
        """The inverse of `lowered`, for the fractions whose error is not read as LEAST_ERROR."""
        return bound * factor if self.is_inverse else 1.0 - (1.0 - bound) / factor

    def unit(self, fraction: float) -> float:
        """The change of a small part of which is one of the value: the error, or of text the fraction itself."""
        return max(fraction, LEAST_PROBABILITY) if self.is_inverse else error(fraction)

    def sampling(self, fraction: float, n: int, *, z: float = Z95) -> tuple[float, float]:
        """How far a fraction may be wrong because it was measured on `n` items: `z` standard errors, low and high.

        Of n images Wilson's interval of a share. Of n words the loss -log a is a mean whose standard error is
        WORD_DEVIATION / sqrt(n): a exp(-+ z 3 / sqrt(n)).
        """
        if not self.is_inverse:
            return wilson(fraction, n, z=z)
        if n < 1 or not 0.0 <= fraction <= 1.0:
            raise ValueError(f"fraction is {fraction} and n is {n}; the fraction must be in [0, 1] and n at least 1")
        factor = math.exp(min(z * WORD_DEVIATION / math.sqrt(n), 700.0))
        return fraction / factor, min(1.0, fraction * factor)

    def variance(self, fraction: float) -> float:
        """Of the number that one item gives, about: p (1 - p); of text (ppl WORD_DEVIATION)^2, by the delta method."""
        if self.is_inverse:
            return (self.number(fraction) * WORD_DEVIATION) ** 2
        return fraction * (1.0 - fraction)

    @property
    def of_models(self) -> Metric:
        """What finished models are measured by, whatever the search that found them was rewarded for."""
        return METRICS[self.task]

    @property
    def title(self) -> str:
        """The name as a heading begins: 'Macro F1'."""
        return self.name[0].upper() + self.name[1:]

    @property
    def column(self) -> str:
        """The name as columns and keys have it: 'macro_f1'."""
        return self.name.lower().replace(" ", "_")

    @property
    def word_deviation(self) -> float:
        """WORD_DEVIATION, for sentences."""
        return WORD_DEVIATION

    def gained(self, fraction: float) -> float:
        """What is averaged and compared where options are: the accuracy; of text the value, as a part of perplexity."""
        return self.value(fraction) if self.is_inverse else fraction

    def of_gained(self, gained: float) -> float:
        """The inverse of `gained`."""
        return math.exp(gained) if self.is_inverse else gained

    def ahead(self, gain: float) -> str:
        """0.0123 -> '1.2 points above'; of text '1.2 % lower in perplexity than'."""
        more = f"{100.0 * gain:.1f}"
        return f"{more} % lower in {self.name} than" if self.is_inverse else f"{more} points above"

    def is_near(self, fraction: float, best: float) -> bool:
        """Whether it is within `near` of the best: a point of accuracy, 2 % of perplexity."""
        return self.number(fraction) <= 1.02 * self.number(best) if self.is_inverse else fraction >= best - 0.01

    def is_within(self, fraction: float, window: Sequence[float]) -> bool:
        """Whether it is in the range of an axis, as `window` gives it."""
        place = -self.shade(fraction) if self.is_inverse else fraction
        return window[0] <= place <= window[1]

    @property
    def near(self) -> str:
        """See `is_near`."""
        return "2 %" if self.is_inverse else "a point"

    @property
    def leading(self) -> str:
        """The title of an axis on which stands what ranked first so far."""
        return f"{self.name}, ranked first so far" if self.is_inverse else "ranked first so far"

    @property
    def digits(self) -> int:
        """The digits behind the point of `shown`."""
        return int(self.format.removeprefix(".").removesuffix("f"))

    @property
    def direction(self) -> int:
        """1 where a higher number is better, else -1."""
        return -1 if self.is_inverse else 1

    def shade(self, fraction: float) -> float:
        """Where a fraction stands on the scale of the colours: -log10(1 - a + ERROR_SHIFT), or log10 a."""
        if self.is_inverse:
            return math.log10(max(fraction, LEAST_PROBABILITY))
        return -math.log10(1.0 - fraction + ERROR_SHIFT)

    def shaded(self, shade: float) -> float:
        """The inverse of `shade`."""
        return math.pow(10.0, shade) if self.is_inverse else 1.0 + ERROR_SHIFT - math.pow(10.0, -shade)

    def near_ends(self, only: float) -> tuple[float, float]:
        """The ends of a scale of colours where all fractions are one."""
        if self.is_inverse:
            return 0.8 * max(only, LEAST_PROBABILITY), max(only, LEAST_PROBABILITY)
        return max(0.0, only - 0.05), max(only, 0.05)

    def axis(self, title: str = "", *, within: list[float] | None = None) -> dict[str, Any]:
        """Plotly's options for an axis of numbers; `within` is a range of `window` or `around`."""
        if self.is_inverse:
            return {"title_text": title or self.name, "type": "log", "tickformat": "~r", "range": within}
        # Ticks are about a tenth of the range apart, and no two may read alike. Without a range, last zeros go.
        digits = ".4~f" if within is None else f".{min(4, max(2, math.ceil(-math.log10(within[1] - within[0])) + 1))}f"
        return {"title_text": title or self.name, "tickformat": digits, "range": within}

    def window(self, worst: float, best: float, *, below: float, above: float = 0.08) -> list[float]:
        """The range of an axis that shows the fractions from `worst` to `best`, with some room on either side."""
        if self.is_inverse:
            low, high = -self.shade(best), -self.shade(worst)
            room = max(high - low, 0.01)
            return [low - above * room, high + below * room]
        room = max(best - worst, 0.01)
        return [max(0.0, worst - below * room), min(1.005, best + above * room)]

    def finite(self, fraction: float | None) -> float | None:
        """The number of a fraction for a program; None where there is none, or where it is infinite."""
        number = None if fraction is None else self.number(fraction)
        return None if number is None or math.isinf(number) else number

    def around(self, fractions: Iterable[float | None]) -> list[float] | None:
        """A range for an axis on which all fractions are one, around which plotly would show accuracies below 0."""
        found = {each for each in fractions if each is not None}
        if len(found) != 1:
            return None
        only = -self.shade(min(found)) if self.is_inverse else min(found)
        return [only - 0.05, only + 0.05]


ACCURACY = Metric(
    task="images",
    name="accuracy",
    a="an accuracy",
    plural="accuracies",
    items="images",
    each="an image",
    bound="at least",
    best="highest",
    worst="lowest",
    worse="less",
    worsens="fall",
    gain_unit="points",
    gain_words="points",
    gain_caption="Percentage points of accuracy",
    # One image in 10,000.
    format=".4f",
    short=".3f",
    scale="log error",
)
PERPLEXITY = Metric(
    task="text",
    name="perplexity",
    a="a perplexity",
    plural="perplexities",
    items="words",
    each="a word",
    bound="at most",
    best="lowest",
    worst="highest",
    worse="more",
    worsens="rise",
    gain_unit="% lower",
    gain_words="% lower perplexity",
    gain_caption="By how many per cent the perplexity is lower (differences of its logarithm, times 100)",
    format=".2f",
    short=".1f",
    scale="log perplexity",
    is_inverse=True,
)
METRICS: dict[Task, Metric] = {each.task: each for each in (ACCURACY, PERPLEXITY)}
"""What finished models of a task are measured by."""

# By the values of --reward (config/objective.py): other means over the same images, weighed alike.
_REWARDS = {
    "accuracy": ACCURACY,
    "balanced": replace(
        ACCURACY,
        name="balanced accuracy",
        a="a balanced accuracy",
        plural="balanced accuracies",
        gain_caption="Percentage points of balanced accuracy",
    ),
    "macro-f1": replace(
        ACCURACY, name="macro F1", a="a macro F1", plural="macro F1s", gain_caption="Percentage points of macro F1"
    ),
}


def of(task: Task, reward: str = "accuracy") -> Metric:
    """The metric of a task; of images that of what a search is rewarded for."""
    return _REWARDS[reward] if task == "images" else METRICS[task]


def error(accuracy: float) -> float:
    """The share of wrong answers, 1 - accuracy, but at least LEAST_ERROR."""
    return max(1.0 - accuracy, LEAST_ERROR)


def wilson(share: float, n: int, *, z: float = Z95) -> tuple[float, float]:
    """The score interval of a binomial share (E. B. Wilson, 1927): never outside [0, 1], sound near 1.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    """
    if n < 1 or not 0.0 <= share <= 1.0:
        raise ValueError(f"share is {share} and n is {n}; the share must be in [0, 1] and n at least 1")
    z2 = z * z
    half = z * math.sqrt(share * (1.0 - share) / n + z2 / (4.0 * n * n))
    middle = share + z2 / (2.0 * n)
    return max(0.0, (middle - half) / (1.0 + z2 / n)), min(1.0, (middle + half) / (1.0 + z2 / n))
