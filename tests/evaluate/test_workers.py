from replaytree.config import Budget
from replaytree.evaluate import InProcess
from replaytree.records import PathEvaluation


class Echo:
    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([seed / 10] * len(path)) for path in paths]


def test_one_turn_at_a_time_evaluated_when_it_is_asked_for():
    workers = InProcess(Echo())
    assert workers.free == 1
    workers.submit(7, [(0,), (1, 2)], budget=Budget(1), seed=3)
    assert workers.free == 0
    number, evaluations = workers.next()
    assert (number, [e.accuracies for e in evaluations]) == (7, [(0.3,), (0.3, 0.3)])
    assert workers.free == 1


def test_a_turn_that_was_not_asked_for_is_lost_at_the_end():
    workers = InProcess(Echo())
    workers.submit(0, [(0,)], budget=Budget(1), seed=0)
    workers.close()
    assert workers.free == 1
