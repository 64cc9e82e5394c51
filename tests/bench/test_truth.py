from __future__ import annotations

import csv
import gzip
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from replaytree.bench import truth
from replaytree.bench.truth import (
    Chain,
    chain_path,
    compare,
    make_truth_table,
    measure_truth,
    read_truth_table,
    tau,
)
from replaytree.errors import ConfigError, DataError
from replaytree.space import LayerSpace, xu24
from replaytree.space.catalogue import named_space, space_of
from replaytree.space.coding import labels

TABLES = Path(__file__).parents[1] / "tables"


def test_tau_by_hand():
    # Of the six pairs of 1 2 3 4 and 1 3 2 4 one is turned around: (5 - 1) / 6.
    assert tau(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])) == pytest.approx(4 / 6)


def test_a_bias_by_depth_costs_tau_over_all_prefixes_but_not_within_a_depth():
    """Joint scores are the truth and 0.3 a layer."""
    draw = np.random.default_rng(0)
    own = [tuple(draw.uniform(0.3, 0.6, 5)) for _ in range(60)]
    # Of chains of five layers the truth of all but the fourth is known.
    chains = [Chain(n, {depth: s[depth - 1] for depth in (1, 2, 3, 5)}, s, (1.0,) * 5) for n, s in enumerate(own)]
    scores = [[a + 0.3 * depth for depth, a in enumerate(s)] for s in own]
    separate, joint = compare(chains, [(scores, [1.0] * 60)])
    assert separate.tau == pytest.approx(1.0)
    assert joint.within == pytest.approx(1.0)
    assert joint.tau < 0.7
    assert (separate.cost, joint.cost) == (1.0, pytest.approx(1 / 5))
    assert joint.low <= joint.tau <= joint.high


def test_what_is_said_of_several_seeds_is_their_mean():
    chains = [Chain(n, {1: 0.1 * n}, (0.1 * n,), (6.0,)) for n in range(4)]
    right = [[0.1 * n] for n in range(4)]
    # Of six pairs one, and five, are turned around: taus of 4/6 and -4/6.
    near, far = ([[0.1 * n] for n in order] for order in ((0, 2, 1, 3), (3, 2, 0, 1)))
    alone = [compare(chains, [(scores, [1.0] * 4)])[1].tau for scores in (right, near, far)]
    assert alone == pytest.approx([1.0, 4 / 6, -4 / 6])
    _, joint = compare(chains, [(right, [1.0] * 4), (near, [2.0] * 4), (far, [6.0] * 4)])
    assert (joint.tau, joint.within, joint.cost) == pytest.approx((1 / 3, 1 / 3, 3 / 6))


@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_the_kept_tables_are_of_the_chains_that_their_numbers_name(dataset):
    kept = read_truth_table(TABLES / f"prefix_truth_{dataset}.csv.gz")
    assert (kept.dataset, kept.space["kind"], kept.depth) == (dataset, "xu24", 15)
    assert len(kept.chains) == 24
    space = space_of(kept.space)
    with gzip.open(TABLES / f"prefix_truth_{dataset}.csv.gz", "rt") as lines:
        rows = list(csv.DictReader(lines))
    for chain in kept.chains:
        words = labels(space, chain_path(space, chain.number))
        own = sorted((row["arch"] for row in rows if row["chain"] == str(chain.number)), key=len)
        assert own == [" ".join(words[:depth]) for depth in range(1, 16)]
    for chain in kept.chains:
        assert tuple(chain.truth) == (1, 2, 3, 5, 8, 10, 12, 15)
        assert (len(chain.truth), len(chain.separate)) == (8, 15)
        assert all(0.0 <= accuracy <= 1.0 for accuracy in chain.truth.values())
        assert min(chain.separate_seconds) > 0.0


def test_chains_do_not_change():
    space = LayerSpace(xu24(0.25), input_shape=(3, 16, 16), num_classes=10, max_layers=15)
    assert space.label((), chain_path(space, 0)[0]) == "avg3s1"


def test_a_table_without_the_truth_of_a_depth_is_named(tmp_path):
    old = tmp_path / "old.csv"
    with gzip.open(TABLES / "prefix_truth_digits.csv.gz", "rt") as lines:
        head, first, *_ = lines
    [cells] = csv.reader([first])
    with old.open("w") as file:
        file.write(head)
        csv.writer(file).writerow([*cells[:5], "", "", "", "", *cells[9:]])
    for use in (read_truth_table, lambda file: make_truth_table("digits", file, chains=1)):
        with pytest.raises(DataError, match="lacks the full trainings of chain 0 at depth 1: it was made for other"):
            use(old)


def test_a_table_of_a_named_space_is_made_continued_and_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(truth, "TRUE_EPOCHS", 1)
    monkeypatch.setattr(truth, "EPOCHS", 1)
    table = tmp_path / "enas.csv"
    of_enas = partial(make_truth_table, "digits", table, space="enas-macro", depth=2, options={"channels": 2})
    assert of_enas(chains=1) == 2
    first = table.read_text()
    assert of_enas(chains=2) == 4
    assert table.read_text().startswith(first)
    found = read_truth_table(table)
    assert (found.space["kind"], found.space["channels"], found.depth) == ("enas-macro", 2, 2)
    assert [tuple(chain.truth) for chain in found.chains] == [(1, 2)] * 2
    separate, joint = measure_truth(table, epochs=1)
    assert (separate.length, joint.chains, separate.cost) == (2, 2, 1.0)
    with pytest.raises(ConfigError, match=r"has chains of digits in .*enas-macro.*; choose another file"):
        make_truth_table("digits", table, chains=1, depth=2)
    with pytest.raises(ConfigError, match=r"lengths are \[3\]; chains with a known truth have 1 to 2 layers"):
        measure_truth(table, epochs=1, lengths=[3])


def test_chains_are_as_deep_as_the_space_where_paths_may_end_early():
    space = named_space("metaqnn", input_shape=(1, 28, 28), num_classes=10, max_layers=5)
    assert {len(chain_path(space, number)) for number in range(20)} == {5}


def test_depths_with_a_known_truth():
    assert [truth.true_depths(depth) for depth in (1, 6, 8, 15)] == [
        (1,), (1, 2, 3, 5, 6), (1, 2, 3, 5, 8), (1, 2, 3, 5, 8, 10, 12, 15)
    ]  # fmt: skip


def test_a_table_that_is_not_there_or_is_another(tmp_path):
    with pytest.raises(DataError, match="there is no truth table"):
        read_truth_table(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("arch,accuracy\na,0.5\n")
    with pytest.raises(DataError, match="is no truth table: it needs the columns dataset, space, chain"):
        read_truth_table(tmp_path / "other.csv")
