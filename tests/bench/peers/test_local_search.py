from replaytree.bench.peers.local_search import LocalSearch
from replaytree.bench.peers.peer import STARTS
from replaytree.space import LabelSpace


def test_the_first_better_neighbour_is_the_next_centre_and_an_optimum_starts_it_anew():
    """An accuracy that rises with the actions has one optimum, whose neighbours are all worse."""
    space = LabelSpace(["a", "b", "c"], max_layers=4)
    peer, paths = LocalSearch(space, seed=2), []
    centre, restarts = None, 0
    for number in range(60):
        path = peer.propose()
        accuracy = sum(path) / 10
        if number == STARTS:
            centre = max(paths, key=sum)
        if number >= STARTS:
            if sum(a != b for a, b in zip(path, centre, strict=True)) == 1:
                assert path not in paths
                centre = path if sum(path) > sum(centre) else centre
            else:
                # Nothing is left beside the optimum.
                assert centre == (2, 2, 2, 2)
                restarts += 1
                break
        paths.append(path)
        peer.observe(path, accuracy)
    assert restarts == 1
    peer.observe(path, accuracy)
    follower = peer.propose()
    assert sum(a != b for a, b in zip(path, follower, strict=True)) == 1
