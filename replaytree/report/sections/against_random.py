"""The search against random search, after the same number of trainings."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.report.difference import Difference, between
from replaytree.report.leading import Leader, leaders
from replaytree.report.reading import SearchData
from replaytree.report.section import Section
from replaytree.report.wording import counted


@dataclass(frozen=True, slots=True)
class RandomComparison:
    """The prefixes that ranked first after `trainings` of the search and of random search.

    `companion` names the random search; None if the search itself is random. `caution` says how the two differ besides
    the strategy, or is ''.
    """

    companion: str | None
    trainings: int
    search: Leader
    random: Leader
    difference: Difference
    caution: str = ""

    @property
    def floor(self) -> float:
        """Where the bars begin: below the lower accuracy; of perplexities at 0."""
        worst = min(self.search.accuracy, self.random.accuracy)
        return 0.0 if self.search.known.metric.is_inverse else max(0.0, worst - 0.05)

    @property
    def lengths(self) -> tuple[float, float]:
        """The bars of the search and of random search, in per cent of the room for them."""
        numbers = [self.search.known.metric.number(each.accuracy) for each in (self.search, self.random)]
        room = max(numbers) if self.search.known.metric.is_inverse else 1.0 - self.floor
        search, random = (100.0 * (number - self.floor) / room for number in numbers)
        return search, random


def compare_with_random(data: SearchData, against: SearchData | None) -> RandomComparison | None:
    """The search against a companion, or against itself if its own strategy is random; None if neither applies.

    The prefixes that `best` ranks first are compared, after the same number of trainings.
    """
    if against is None:
        own = data.config.get("strategy") == "random"
        leader = leaders(data)[-1] if own and data.trainings else None
        if leader is None:
            return None
        return RandomComparison(None, len(data.trainings), leader, leader, between(leader, leader))
    trainings = min(len(data.trainings), len(against.trainings))
    if not trainings:
        return None
    search, random = (leaders(each, at=[trainings])[trainings - 1] for each in (data, against))
    if search is None or random is None:
        return None
    caution = _caution(data, against)
    return RandomComparison(against.name, trainings, search, random, between(search, random), caution)


def against_random(data: SearchData) -> RandomComparison | None:
    """The rows of the section: the comparison with the search that was named, if any."""
    return compare_with_random(data, data.against)


def random_finding(found: RandomComparison) -> str:
    """The comparison with random search after the same trainings; a claim only if the interval supports it."""
    trainings = counted(found.trainings, "training")
    if found.companion is None:
        return "This search is random search itself"
    if found.caution:
        return "No fair comparison with random search"
    if not found.difference.sign:
        return f"Not told apart from random search after the same {trainings}"
    better = "better" if found.difference.sign > 0 else "worse"
    more = found.difference.metric.points(abs(found.difference.value))
    return f"{more} {better} than random search after the same {trainings}"


def _caution(data: SearchData, against: SearchData) -> str:
    parts = []
    if data.metric != against.metric:
        parts.append(f"it is measured by {against.metric.name}")
    if against.config.get("strategy") != "random":
        parts.append(f"its strategy is {against.config.get('strategy', 'unknown')!s}, not random")
    if data.info.data_json != against.info.data_json:
        parts.append(f"its {data.metric.items}, or their split, are others")
    if data.info.space_json != against.info.space_json:
        parts.append("its layers are others")
    if data.max_epochs != against.max_epochs:
        own, other = data.whole_config.weights, against.whole_config.weights
        spent = other.counted(against.max_epochs or 0)
        parts.append(f"it trained for up to {spent}, this search for {own.counted(data.max_epochs or 0)}")
    return ", and ".join(parts)


SECTION = Section(
    name="against-random",
    title="Against random search",
    within="answer",
    rows=against_random,
    finding=lambda data, found: random_finding(found),
    empty="No random search to compare with",
    template="against_random.html",
)
