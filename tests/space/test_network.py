"""The most numbers alive at once, as its definition says it step by step."""

from hypothesis import given
from hypothesis import strategies as st

from replaytree.space.network import most_alive


def by_definition(steps, sizes, given, in_place):
    """Alive is what was made and is read later, looked for anew at every step."""
    read_last = {source: step for step, inputs in enumerate(steps) for source in inputs}
    alive, most = dict(given), 0
    for step, size in enumerate(sizes):
        if step in in_place:
            fitting = [each for each in steps[step] if read_last[each] == step and alive[each] == size]
            for each in fitting[:1]:
                del alive[each]
        alive[step] = size
        most = max(most, sum(alive.values()))
        alive = {each: own for each, own in alive.items() if read_last.get(each, -1) > step}
    return most


@st.composite
def networks(draw):
    count = draw(st.integers(1, 7))
    steps = [draw(st.lists(st.integers(-2, step - 1), min_size=1, max_size=3)) for step in range(count)]
    sizes = draw(st.lists(st.integers(1, 4), min_size=count, max_size=count))
    given = {-1: draw(st.integers(1, 4)), -2: draw(st.integers(1, 4))}
    return steps, sizes, given, draw(st.sets(st.integers(0, count - 1)))


@given(networks())
def test_it_is_as_its_definition(network):
    steps, sizes, given, in_place = network
    assert most_alive(steps, sizes, given, in_place=in_place) == by_definition(steps, sizes, given, in_place)


def test_by_hand():
    # Step 0 makes 3 of the 5 of the image, 1 makes 4 of these, and 2 makes 4 of both: in place, of those of step 1.
    assert most_alive([[-1], [0], [0, 1]], [3, 4, 4], {-1: 5}) == 11
    assert most_alive([[-1], [0], [0, 1]], [3, 4, 4], {-1: 5}, in_place={2}) == 8
    # What nothing reads dies at once: the second image after the first step.
    assert most_alive([[-1], [0]], [1, 9], {-1: 5, -2: 2}) == 10
