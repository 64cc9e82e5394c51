from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from replaytree.bench.truth import Chain, chain_path, compare, make_truth_table, read_truth_table, tau
from replaytree.errors import DataError
from replaytree.space import LayerSpace, xu24

TABLES = Path(__file__).parents[1] / "tables"


def test_tau_by_hand():
    # Of the six pairs of 1 2 3 4 and 1 3 2 4 one is turned around: (5 - 1) / 6.
    assert tau(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])) == pytest.approx(4 / 6)


def test_a_bias_by_depth_costs_tau_over_all_prefixes_but_not_within_a_depth():
    """Joint scores are the truth and 0.3 a layer."""
    draw = np.random.default_rng(0)
    own = [tuple(draw.uniform(0.3, 0.6, 5)) for _ in range(60)]
    # Of chains of five layers the truth of all but the fourth is known.
    chains = [Chain(n, (*s[:3], s[4]), s, (1.0,) * 5) for n, s in enumerate(own)]
    scores = [[a + 0.3 * depth for depth, a in enumerate(s)] for s in own]
    separate, joint = compare(chains, [(scores, [1.0] * 60)])
    assert separate.tau == pytest.approx(1.0)
    assert joint.within == pytest.approx(1.0)
    assert joint.tau < 0.7
    assert (separate.cost, joint.cost) == (1.0, pytest.approx(1 / 5))
    assert joint.low <= joint.tau <= joint.high


def test_what_is_said_of_several_seeds_is_their_mean():
    chains = [Chain(n, (0.1 * n,), (0.1 * n,), (6.0,)) for n in range(4)]
    right = [[0.1 * n] for n in range(4)]
    # Of six pairs one, and five, are turned around: taus of 4/6 and -4/6.
    near, far = ([[0.1 * n] for n in order] for order in ((0, 2, 1, 3), (3, 2, 0, 1)))
    alone = [compare(chains, [(scores, [1.0] * 4)])[1].tau for scores in (right, near, far)]
    assert alone == pytest.approx([1.0, 4 / 6, -4 / 6])
    _, joint = compare(chains, [(right, [1.0] * 4), (near, [2.0] * 4), (far, [6.0] * 4)])
    assert (joint.tau, joint.within, joint.cost) == pytest.approx((1 / 3, 1 / 3, 3 / 6))


@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_the_kept_tables_are_of_the_chains_that_their_numbers_name(dataset):
    name, chains = read_truth_table(TABLES / f"prefix_truth_{dataset}.csv.gz")
    assert name == dataset
    assert len(chains) == 24
    for chain in chains:
        assert (len(chain.truth), len(chain.separate)) == (8, 15)
        assert all(0.0 <= accuracy <= 1.0 for accuracy in chain.truth)
        assert min(chain.separate_seconds) > 0.0


def test_chains_do_not_change():
    space = LayerSpace(xu24(0.25), input_shape=(3, 16, 16), num_classes=10, max_layers=15)
    assert space.label((), chain_path(space, 0)[0]) == "avg3s1"


def test_a_table_without_the_truth_of_a_depth_is_named(tmp_path):
    old = tmp_path / "old.csv"
    with gzip.open(TABLES / "prefix_truth_digits.csv.gz", "rt") as lines:
        head, first, *_ = lines
    cells = first.split(",")
    old.write_text(head + ",".join([*cells[:4], "", "", "", "", *cells[8:]]))
    for use in (read_truth_table, lambda file: make_truth_table("digits", file, chains=1)):
        with pytest.raises(DataError, match="lacks the full trainings of chain 0 at depth 1: it was made for other"):
            use(old)


def test_a_table_that_is_not_there_or_is_another(tmp_path):
    with pytest.raises(DataError, match="there is no truth table"):
        read_truth_table(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("arch,accuracy\na,0.5\n")
    with pytest.raises(DataError, match="is no truth table: it needs the columns dataset, chain"):
        read_truth_table(tmp_path / "other.csv")
