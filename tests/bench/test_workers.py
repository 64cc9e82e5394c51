import pytest

from replaytree.bench import workers
from replaytree.bench.workers import WorkerRates, measure_workers


def test_rounds_begin_with_another_number_and_the_line_has_the_median_and_the_different_trees(monkeypatch):
    asked = []
    monkeypatch.setattr(
        workers, "_run", lambda *given: asked.append(given) or (10.0 * len(asked), 2.0, f"{given[0]:012}-{len(asked)}")
    )
    one, two = measure_workers(workers=[1, 2], beside=[0], trainings=6, rounds=3)
    assert [count for count, *_ in asked] == [1, 2, 2, 1, 1, 2]
    assert (one.rates, two.rates) == ([10.0, 40.0, 50.0], [20.0, 30.0, 60.0])
    assert one.text == (
        "1 worker alone:   40.0 trainings a minute (10.0, 40.0, 50.0), the first after 2.0 s; trees 000000000001"
    )
    assert WorkerRates(2, 3, 6, [1.0], [1.5], ["a", "b", "a"]).text.endswith("the first after 1.5 s; trees a, b")


@pytest.mark.slow
def test_several_processes_find_the_tree_of_one():
    one, two = measure_workers(workers=[1, 2], beside=[1], trainings=5, rounds=1)
    assert one.trees == two.trees
    assert (one.beside, two.workers) == (1, 2)
    assert min(*one.rates, *two.rates, *one.first_seconds, *two.first_seconds) > 0.0
