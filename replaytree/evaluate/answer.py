"""Asking an evaluator: its answer is checked here, whoever wrote it and wherever it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from replaytree.border import items, reason, told
from replaytree.config import Budget
from replaytree.errors import ConfigError, EvaluationError, ReplayTreeError
from replaytree.records import Evaluator, Path, PathEvaluation

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


def answer_of(evaluator: Evaluator, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
    """One evaluation a path. EvaluationError names an evaluator that raises, or that answers something else.

    An answer may be a list, a tuple, or a generator; errors of ours (a table without a row) pass as they are.
    """
    asked = f"{type(evaluator).__name__}.evaluate"
    try:
        answer: object = evaluator.evaluate(paths, budget=budget, seed=seed)
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
    return own
