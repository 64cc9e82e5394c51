from replaytree.bench.peers.bananas import ROUND, Bananas
from replaytree.bench.peers.peer import STARTS
from replaytree.space import LabelSpace


def test_a_round_is_ten_paths_by_one_ensemble_the_best_first():
    """What it learns is which label is good: later rounds have more of it."""
    peer, paths = Bananas(LabelSpace(["a", "b", "c", "d"], max_layers=5), seed=0), []
    for number in range(STARTS + 3 * ROUND):
        if number >= STARTS:
            assert len(peer._queue) == (STARTS - number) % ROUND
        paths.append(peer.propose())
        peer.observe(paths[-1], 0.5 + 0.1 * paths[-1].count(1))
    assert len(set(paths)) == len(paths)
    first, last = (sum(path.count(1) for path in some) for some in (paths[:STARTS], paths[-ROUND:]))
    assert last > 1.5 * first
