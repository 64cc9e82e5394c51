"""What to say of a search where many trainings failed: how many, what mostly happened, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from replaytree.config import SearchConfig

_LOWER = 4.0

_HAPPENED = {
    "diverged": "because they diverged",
    "out_of_memory": "for want of memory",
    "error": "with an error",
}


def failure_note(failures: Mapping[str, int], trainings: int, config: SearchConfig) -> str | None:
    """A sentence on the `failures`, by kind, of so many trainings; None where they are no more than a third."""
    failed = sum(failures.values())
    # Some networks of any space fail; where more do, a wrong option is likelier than bad luck.
    if 3 * failed <= trainings:
        return None
    kind = max(failures, key=failures.__getitem__)
    told = f"{failed:,} of {trainings:,} trainings failed ({failed / trainings:.0%}), most often {_HAPPENED[kind]}"
    return f"{told} ({failures[kind]:,}): {_advice(kind, config)}"


def _advice(kind: str, config: SearchConfig) -> str:
    if kind == "out_of_memory":
        return "begin a new search with a smaller --batch-size or --width, or with --max-params"
    rate = config.recipe.learning_rate
    if kind == "diverged" and rate is not None:
        return f"begin a new search with a lower rate, as --learning-rate {rate / _LOWER:g} (it was {rate:g})"
    return "the report lists their errors at its end"
