import pytest

from replaytree.bench import threads
from replaytree.bench.threads import ThreadTimes, measure_threads
from replaytree.errors import EvaluationError


def test_the_ratio_is_paired_and_to_the_best_fixed_number():
    wall = {"auto": [2.0, 9.0, 4.0], "1": [2.0, 6.0, 2.0], "2": [5.0, 5.0, 5.0]}
    times = ThreadTimes(2, wall, {"auto": [1.0, 2.0, 4.0], "1": [1.0, 1.0, 1.0], "2": [3.0, 3.0, 3.0]})
    assert times.best_fixed == "1"
    assert times.ratio == 1.5  # of 1, 1.5 and 2
    assert times.text.splitlines() == [
        "beside 2 busy processes:",
        "  auto threads  median    4.0 s  (2.0, 9.0, 4.0)  processor 2.0 s",
        "     1 threads  median    2.0 s  (2.0, 6.0, 2.0)  processor 1.0 s",
        "     2 threads  median    5.0 s  (5.0, 5.0, 5.0)  processor 3.0 s",
        "  auto is 1.50 times the best fixed (1)",
    ]


def test_every_choice_runs_once_a_round_and_each_round_begins_with_another(monkeypatch):
    asked = []
    monkeypatch.setattr(threads, "_search_seconds", lambda *given: asked.append(given) or (len(asked), 0.5))
    found = list(measure_threads(trainings=1, rounds=2, beside=[0], most=2))
    assert [choice for choice, _, _ in asked] == ["auto", "1", "2", "1", "2", "auto"]
    assert found == [
        ThreadTimes(0, {"auto": [1, 6], "1": [2, 4], "2": [3, 5]}, {"auto": [0.5] * 2, "1": [0.5] * 2, "2": [0.5] * 2})
    ]


@pytest.mark.slow
def test_a_real_search_beside_a_busy_process_and_one_that_fails():
    [times] = measure_threads(trainings=1, rounds=1, beside=[1], most=1)
    assert set(times.wall_seconds) == {"auto", "1"}
    assert all(seconds[0] > 0.5 for seconds in times.cpu_seconds.values())
    with pytest.raises(EvaluationError, match=r"the search with auto threads failed: .*nowhere"):
        list(measure_threads(trainings=1, rounds=1, beside=[0], most=1, dataset="nowhere"))
