import pytest

from replaytree.bench.first_answer import FirstAnswer, measure_first_answers


def test_what_is_told_of_a_run_with_and_without_an_answer():
    assert FirstAnswer(3, 0, 0.97, 4.04, 5.0, 7.25, 3).text == (
        "seed 3 alone: ready after 4.0 s, first training after 5.0 s, 0.97 after 7.2 s (3 trainings)"
    )
    assert FirstAnswer(3, 2, 0.97, 4.0, 5.0, None, None).text == (
        "seed 3 beside 2 busy processes: ready after 4.0 s, first training after 5.0 s, never 0.97"
    )


@pytest.mark.slow
def test_a_real_run_beside_a_busy_process():
    [answer] = measure_first_answers(seeds=[0], beside=[1], accuracy=0.3)
    assert answer.answered_seconds is not None
    assert 0.0 < answer.ready_seconds < answer.trained_seconds <= answer.answered_seconds
    assert answer.trainings >= 1
