"""The ways that are timed compute the same, and every one is."""

import pytest
import torch

from replaytree import cli
from replaytree.bench.recurrent import PTB_WORDS, PlainReading, measure_steps
from replaytree.networks.reading import Reading


def test_the_formulas_as_they_are_written_give_the_logits_of_the_model(every_text_space, random_paths):
    for options in ({}, {"embedding": 4}):
        space = every_text_space(**options)
        for path in random_paths(space, 6, seed=1):
            model = space.build(path)
            words = torch.randint(23, (4, 3), generator=torch.Generator().manual_seed(2))
            torch.testing.assert_close(PlainReading(model)(words), Reading(model)(words))


def test_every_way_is_timed(every_text_space, random_paths):
    space = every_text_space()
    [path] = random_paths(space, 1)
    ways = measure_steps(lambda: space.build(path), bptt=3, columns=2, rounds=2)
    assert [way.name for way in ways] == [
        "as it is trained", "bfloat16 where logits are made", "each product by itself", "of it: the cell",
        "of it: logits and loss",
    ]  # fmt: skip
    assert ways[0].ratio == 1.0
    assert ways[0].epoch_seconds == pytest.approx(ways[0].milliseconds / 1e3 * PTB_WORDS / 6)


def test_the_command(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["bench", "recurrent", "--space", "xu24"])
    assert "space 'xu24' is for images; those of recurrent cells are darts-rnn, enas-rnn," in capsys.readouterr().err
    few = ["--hidden", "4", "--words", "9", "--columns", "2", "--bptt", "2", "--rounds", "1"]
    with pytest.raises(SystemExit, match="0"):
        cli.main(["bench", "recurrent", "--space", "enas-rnn", "--path", "tanh relu@1", *few])
    assert "each product by itself" in capsys.readouterr().out
