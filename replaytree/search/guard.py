"""Trainings that kill the process: noted while they are under way, and put aside when they have done so twice."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence

from replaytree.config import Budget
from replaytree.evaluate import answer_of
from replaytree.records import Evaluator, Path, PathEvaluation
from replaytree.training.baton import alone as no_other_trains
from replaytree.tree import ReplayTree

MAX_DEATHS = 2
# How the failure text of what was put aside begins.
DIED = "training it, the process died"

_log = logging.getLogger("replaytree")


class Guard:
    """Notes in the tree which training is under way, and spares the process what has killed it twice.

    Where several paths were trained together, each is trained by itself after that, so that only the one at fault is
    put aside: the one that kills the process once more. A path that was put aside is not trained again.
    """

    def __init__(self, tree: Callable[[], ReplayTree]) -> None:
        self._tree = tree
        self._aside: set[Path] | None = None

    def ask(self, evaluator: Evaluator, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """As answer_of, the evaluator's answer, with an `error` for what was put aside now or before."""
        if self._aside is None:
            self._aside = self._tree().failed_paths(DIED)
        places = [place for place, path in enumerate(paths) if path not in self._aside]
        trained = self._trained(evaluator, [paths[place] for place in places], budget=budget, seed=seed)
        answers = [PathEvaluation((), failure="error", failure_text=f"{DIED} before")] * len(paths)
        for place, answer in zip(places, trained, strict=True):
            answers[place] = answer
        return answers

    def _trained(
        self, evaluator: Evaluator, paths: Sequence[Path], *, budget: Budget, seed: int
    ) -> list[PathEvaluation]:
        if not paths:
            return []
        tree, together = self._tree(), _key(paths)
        deaths = tree.deaths_in(together)
        if deaths:
            # If the process dies once more, it is known what killed it.
            no_other_trains()
        if deaths < MAX_DEATHS:
            with tree.training(together):
                return answer_of(evaluator, paths, budget=budget, seed=seed)
        if len(paths) == 1:
            return [self._put_aside(paths[0], deaths)]
        answers: list[PathEvaluation] = []
        for place, path in enumerate(paths):
            alone = _key([path])
            if own := tree.deaths_in(alone):
                answers.append(self._put_aside(path, deaths + own))
                continue
            with tree.training(alone):
                answers += answer_of(evaluator, [path], budget=budget, seed=seed + place)
        return answers

    def _put_aside(self, path: Path, deaths: int) -> PathEvaluation:
        assert self._aside is not None
        self._aside.add(path)
        return _dead(path, deaths)


def _dead(path: Path, deaths: int) -> PathEvaluation:
    text = f"{DIED} {deaths} times (a crash in native code, out of memory, or killed)"
    _log.warning("path %s is put aside and recorded as an error: %s", ".".join(map(str, path)), text)
    return PathEvaluation((), failure="error", failure_text=text)


def _key(paths: Sequence[Path]) -> str:
    """Names a training; the same when a resumed search does it again, and when the same paths come up again."""
    return hashlib.sha256(repr(("joint", [tuple(path) for path in paths])).encode()).hexdigest()[:32]
