"""Asking an evaluator: its answer is checked here, whoever wrote it and wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import cast

from replaytree.border import items, reason, told
from replaytree.config import Budget
from replaytree.errors import ConfigError, EvaluationError, ReplayTreeError
from replaytree.records import Evaluator, Path, PathEvaluation, RescoringEvaluator, StatefulEvaluator

_WANT = "a list of one PathEvaluation for each path, in order"


def require_evaluator(evaluator: object) -> None:
    """ConfigError unless this is an object with a method `evaluate`."""
    if isinstance(evaluator, type):
        raise ConfigError(f"evaluator is the class {evaluator.__name__}; give an object: {evaluator.__name__}(...)")
    if not callable(getattr(evaluator, "evaluate", None)):
        raise ConfigError(
            f"evaluator is {told(evaluator)}, which has no method evaluate; it needs "
            f"evaluate(paths, *, budget, seed), which returns {_WANT}"
        )


def stateful(evaluator: object) -> StatefulEvaluator | None:
    """The evaluator, where it has a state that is a part of the search; ConfigError where half of it is missing."""
    has = {name: callable(getattr(evaluator, name, None)) for name in ("state_dict", "load_state_dict")}
    if not any(has.values()):
        return None
    if not all(has.values()):
        there, missing = sorted(has, key=has.__getitem__, reverse=True)
        raise ConfigError(
            f"evaluator {type(evaluator).__name__} has {there}() and no {missing}(); a search that is resumed needs "
            f"both, and an evaluator without a state has neither"
        )
    return cast("StatefulEvaluator", evaluator)


def rescoring(evaluator: object) -> RescoringEvaluator | None:
    """The evaluator, where it has a state with which it can score paths once more."""
    can = stateful(evaluator) is not None and callable(getattr(evaluator, "rescore", None))
    return cast("RescoringEvaluator", evaluator) if can else None


def answer_of(evaluator: Evaluator, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
    """One evaluation a path. EvaluationError names an evaluator that raises, or that answers something else.

    An answer may be a list, a tuple, or a generator; errors of ours (a table without a row) pass as they are.
    """
    asked = f"{type(evaluator).__name__}.evaluate"
    return _answered(asked, partial(evaluator.evaluate, paths, budget=budget, seed=seed), paths)


def rescores_of(evaluator: RescoringEvaluator, paths: Sequence[Path]) -> list[PathEvaluation]:
    """One evaluation a path, with the evaluator's state as it is; errors as of answer_of."""
    asked = f"{type(evaluator).__name__}.rescore"
    answer = _answered(asked, partial(evaluator.rescore, paths), paths)
    if any(evaluation.epochs is None and evaluation.failure is None for evaluation in answer):
        raise EvaluationError(
            f"{asked} returned an evaluation without epochs; they must say which state it is of, as in evaluate"
        )
    return answer


def _answered(asked: str, ask: Callable[[], object], paths: Sequence[Path]) -> list[PathEvaluation]:
    try:
        answer = ask()
        given = items(f"what {asked} returned", answer, want=_WANT, error=EvaluationError, most=len(paths))
    except EvaluationError as error:
        raise EvaluationError(str(error) if asked in str(error) else f"{asked}: {error}") from error
    except ReplayTreeError:
        raise
    except Exception as error:
        raise EvaluationError(f"{asked} raised {reason(error)}; what was recorded before stays") from error
    if len(given) != len(paths):
        count = str(len(given)) if len(given) < len(paths) else f"more than {len(paths)}"
        raise EvaluationError(f"{asked} returned {count} evaluations for {len(paths)} paths; it must be {_WANT}")
    return [_checked(asked, path, evaluation) for path, evaluation in zip(paths, given, strict=True)]


def _checked(asked: str, path: Path, evaluation: object) -> PathEvaluation:
    if not isinstance(evaluation, PathEvaluation):
        raise EvaluationError(
            f"{asked} returned {told(evaluation)} for path {path}; it must be a PathEvaluation with one accuracy a "
            f"prefix: PathEvaluation([0.5, ...])"
        )
    try:
        # Made anew: a subclass may have left the checks out, and values may have been set since.
        own = PathEvaluation(**{field.name: getattr(evaluation, field.name) for field in fields(PathEvaluation)})
    except EvaluationError as error:
        raise EvaluationError(f"{asked}, path {path}: {error}") from error
    except Exception as error:
        raise EvaluationError(f"{asked}, path {path}: the evaluation cannot be read ({reason(error)})") from error
    got = len(own.accuracies)
    if got > len(path) or (got < len(path) and evaluation.failure is None):
        raise EvaluationError(
            f"{asked} returned {got} accuracies for a path of {len(path)} layers; it must be one a prefix, or fewer "
            f"and a failure"
        )
    if evaluation.failure is None and own.accuracies[-1] is None:
        raise EvaluationError(
            f"{asked} returned no accuracy of the whole path {path}; only shorter prefixes may be None, unless there "
            f"is a failure"
        )
    return own
