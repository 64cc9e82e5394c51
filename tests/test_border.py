from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from sqlalchemy import text

import replaytree
from replaytree.border import fraction, items, number, reason, told, truth, whole
from replaytree.errors import EvaluationError
from replaytree.records import PathEvaluation
from replaytree.tree import check
from replaytree.tree.engine import reading

HALVES = [
    0.5, np.float64(0.5), np.float32(0.5), np.float16(0.5), np.longdouble(0.5), np.array(0.5), torch.tensor(0.5),
    torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True),
]  # fmt: skip
TWOS = [2, 2.0, np.int64(2), np.uint8(2), np.float64(2.0), np.array(2), torch.tensor(2), torch.tensor(2.0)]
NO_NUMBERS = [
    True, np.True_, torch.tensor(True), "0.5", None, 1j, np.complex64(1), Decimal("0.5"), Fraction(1, 2), [0.5],
    np.array([0.5]), torch.tensor([0.5]), np.ma.masked, torch.tensor(0.5, device="meta"), np.datetime64("2020-01-01"),
    np.str_("1"), float("nan"), float("inf"), np.float64("-inf"), 10**400,
]  # fmt: skip


@pytest.mark.parametrize("value", HALVES, ids=repr)
def test_numbers_of_all_kinds_become_floats(value):
    found = fraction("x", value, error=EvaluationError)
    assert (found, type(found)) == (0.5, float)


@pytest.mark.parametrize("value", TWOS, ids=repr)
def test_whole_numbers_of_all_kinds_become_ints(value):
    found = whole("x", value, least=1, error=EvaluationError)
    assert (found, type(found)) == (2, int)


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: type(value).__name__ + told(value)[:20])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(EvaluationError, match=r"^x is .*; it must be a finite number"):
        number("x", value, error=EvaluationError)
    with pytest.raises(EvaluationError, match=r"^x is .*; it must be a whole number of at least 0"):
        whole("x", value, least=0, error=EvaluationError)


def test_ranges_are_closed():
    assert [fraction("x", value, error=EvaluationError) for value in (0, 1)] == [0.0, 1.0]
    assert [whole("x", value, least=1, most=3, error=EvaluationError) for value in (1, 3)] == [1, 3]
    for value, message in ((0, "at least 1 and at most 3"), (4, "x is 4"), (2.5, "x is 2.5")):
        with pytest.raises(EvaluationError, match=message):
            whole("x", value, least=1, most=3, error=EvaluationError)
    for value in (-1e-9, 1.0000001):
        with pytest.raises(EvaluationError, match=r"it must be a fraction in \[0, 1\]"):
            fraction("x", value, error=EvaluationError)
    with pytest.raises(EvaluationError, match=r"x is 93.1; .*\(percent\? divide by 100\)"):
        fraction("x", np.float32(93.1).item().__round__(1), error=EvaluationError)


@pytest.mark.parametrize("value", [True, np.True_, torch.tensor(True), 1, np.int8(1)], ids=repr)
def test_truths(value):
    assert truth("x", value, error=EvaluationError) is True


@pytest.mark.parametrize("value", ["False", 1.0, float("nan"), 2, None], ids=repr)
def test_what_is_neither_true_nor_false(value):
    with pytest.raises(EvaluationError, match="it must be True or False"):
        truth("x", value, error=EvaluationError)


def test_items_have_an_order():
    for value in ([1, 2], (1, 2), iter([1, 2]), np.array([1, 2]), torch.tensor([1, 2])):
        assert items("x", value, want="a list", error=EvaluationError) == [1, 2]
    for value in ({1: 2}, {1, 2}, "12", b"12", None, 0.5, np.array(1), torch.tensor(1)):
        with pytest.raises(EvaluationError, match="it must be a list"):
            items("x", value, want="a list", error=EvaluationError)
    endless = iter(int, 1)
    assert items("x", endless, want="a list", error=EvaluationError, most=3) == [0] * 4


def test_what_is_told_is_one_short_line_whatever_a_class_does():
    class Rude(Exception):
        def __repr__(self):
            raise KeyError

        __str__ = __repr__

    assert told(torch.zeros(2, 2)) == "tensor([[0., 0.], [0., 0.]])"
    assert told("x" * 200) == "'" + "x" * 76 + "..."
    assert (told(Rude()), reason(Rude())) == ("a Rude", "Rude")
    assert reason(ValueError("two\nlines")) == "ValueError: two lines"


class NumPySpace:
    """Counts with NumPy and torch, as its users do."""

    num_actions, max_layers = np.int64(2), torch.tensor(3)

    def legal(self, prefix):
        return np.array([True, len(prefix) > 0])

    def label(self, action):
        return np.str_("xy"[action])

    def build(self, prefix, num_classes):
        raise AssertionError("nothing is built in tabular work")

    def cost(self, prefix):
        return np.int64(10 * len(prefix)), torch.tensor(100.0) * len(prefix)

    def output_shape(self, prefix):
        return np.array([8, 4, 4])


class NumPyEvaluator:
    def evaluate(self, paths, *, budget, seed):
        for path in paths:
            yield PathEvaluation(
                np.linspace(0.25, 0.5, len(path), dtype=np.float32),
                train_seconds=torch.tensor(1.5),
                epochs=np.int64(2),
                checkpoint_accuracy=np.float64(0.5),
                shared=np.int64(0),
            )


@pytest.mark.parametrize("strategy", ["guided", "replay"])
def test_what_numpy_and_torch_count_is_stored_as_numbers_and_the_search_resumes(tmp_path, strategy):
    storage = f"sqlite:///{tmp_path}/numpy.db"
    own = {"space": NumPySpace(), "evaluator": NumPyEvaluator()}
    replaytree.Search(storage=storage, name="own", strategy=strategy, min_layers=3, **own).run(episodes=3)
    tree = replaytree.Search.resume("own", storage=storage, **own).run(episodes=7).tree
    with reading(tree.engine) as connection:
        for table in ("nodes", "episodes", "evaluations", "node_budgets"):
            for row in connection.execute(text(f"SELECT * FROM {table}")).mappings():
                assert [name for name, value in row.items() if isinstance(value, bytes)] == []
    best = tree.best(k=1, max_depth=3)[0]
    assert (best.params, best.flops, best.output_shape, best.epochs) == (30, 300, (8, 4, 4), 2)
    assert best.average_accuracy == 0.5
    assert {e.train_seconds for e in tree.episodes()} <= {None, 1.5}
    assert (tree.episode_count, check(tree.engine)) == (10, [])
