import pytest

from replaytree.report.reading import read_search


@pytest.fixture
def searches(grow, training):
    made = [
        grow([training((0,), 0.2), training((0,), 0.6), training((0,), 0.4)], "toys-1", seed=1),
        grow([training((0,), 0.4, seconds=2.0), training((0,), 0.5, seconds=2.0)], "toys-2", seed=2),
        grow([training((0,), 0.9)], "luck", config={"strategy": "random"}),
    ]
    return [read_search(tree) for tree in made]
