import math

import pytest

from replaytree.bench.standings import (
    Outcome,
    compared,
    described,
    differences,
    rated,
    ratios,
    read_outcomes,
    summarize,
)
from replaytree.errors import DataError


def outcomes(table, strategy, regrets, *, trainings=10):
    return [Outcome(table, strategy, seed, {trainings: regret}, 4.0) for seed, regret in enumerate(regrets)]


def test_the_summary_is_the_mean_with_a_bootstrap_interval():
    [row] = summarize(outcomes("t", "random", [1.0, 2.0, 3.0, 6.0]))
    assert (row.table, row.strategy, row.trainings, row.mean, row.seeds, row.milliseconds) == (
        "t", "random", 10, 3.0, 4, 4.0
    )  # fmt: skip
    assert 1.0 <= row.low < 3.0 < row.high <= 6.0
    [row] = summarize(outcomes("t", "random", [2.0, 2.0]))
    assert (row.low, row.high) == (2.0, 2.0)


def test_differences_are_paired_by_seed_with_the_peer_of_the_least_mean():
    """Regrets that rise with the seed are far apart, and yet each is lower by 1: the interval has no width."""
    found = [
        *outcomes("t", "ours", [9.0, 19.0, 29.0]),
        *outcomes("t", "good", [10.0, 20.0, 30.0])[::-1],
        *outcomes("t", "bad", [5.0, 50.0, 50.0]),
    ]
    [row] = differences(found, ["good", "bad"])
    assert (row.strategy, row.peer, row.mean, row.low, row.high, row.seeds) == ("ours", "good", -1.0, -1.0, -1.0, 3)
    assert compared([row]) == ["t, less the best peer", "ours         10: -1.000 [-1.000, -1.000] good"]


def test_only_seeds_and_checkpoints_that_both_have_are_compared():
    found = [*outcomes("t", "ours", [1.0, 2.0, 3.0]), *outcomes("t", "peer", [0.0, 0.0])]
    found += outcomes("t", "later", [0.0, 0.0], trainings=25)
    [row] = differences(found, ["peer", "later"])
    assert (row.peer, row.mean, row.seeds) == ("peer", 1.5, 2)
    assert differences(found, ["nobody"]) == []


def test_the_ratio_is_a_geometric_mean_over_tables():
    """0.01 points are added to both: ratios of 1/4 and 1 have the mean 1/2."""
    found = []
    for table, ours, peer in (("a", 0.99, 3.99), ("b", 0.0, 0.0)):
        found += [*outcomes(table, "ours", [ours] * 3), *outcomes(table, "peer", [peer] * 3)]
    [row] = ratios(found, ["peer"])
    assert (row.mean, row.low, row.high) == tuple(pytest.approx(math.sqrt(1 / 4)) for _ in range(3))
    assert rated([row]) == [
        "regret over that of the best peer, geometric mean of tables", "ours         10: 0.50 [0.50, 0.50]  (2 tables)"
    ]  # fmt: skip
    assert rated([]) == []


def test_the_interval_of_a_ratio_keeps_seeds_together():
    """Both are three times as bad with seed 1, so that the ratio is always 1/2."""
    found = [*outcomes("t", "ours", [0.99, 2.99, 4.99]), *outcomes("t", "peer", [1.99, 5.99, 9.99])]
    [row] = ratios(found, ["peer"])
    assert (row.mean, row.low, row.high) == tuple(pytest.approx(0.5) for _ in range(3))


def test_a_line():
    line = described(summarize(outcomes("t", "gp-ei", [0.5, 0.5])))
    assert line == "gp-ei        10: 0.500 [0.500, 0.500]  (2 seeds, 4 ms)"


def test_a_file_of_something_else(tmp_path):
    for text in ("{}", "arch,accuracy", '{"outcomes": [{"table": "t"}]}', "[]"):
        (tmp_path / "f.json").write_text(text)
        with pytest.raises(DataError, match=r"f.json was not written by bench strategies --json"):
            read_outcomes(tmp_path / "f.json")
