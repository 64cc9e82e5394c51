import pytest

pytest.importorskip("optuna", reason="optuna is not installed")

from replaytree.bench.peers.optuna_samplers import tpe
from replaytree.bench.peers.peer import STARTS
from replaytree.space import LabelSpace


def test_a_path_ends_before_what_is_illegal_and_the_study_knows_every_trial():
    space = LabelSpace(["a", "b"], max_layers=6, legal=lambda prefix: [True, not prefix or prefix[-1] == 1])
    peer = tpe(space, seed=0)
    lengths = []
    for _ in range(40):
        path = peer.propose()
        lengths.append(len(path))
        peer.observe(path, 0.5 + 0.05 * path.count(0))
    assert set(lengths[:STARTS]) == {6}
    assert min(lengths) < 6
    assert len(peer._study.trials) == 40
    assert peer._study.best_value == max(trial.value for trial in peer._study.trials)
