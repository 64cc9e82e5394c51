import json

import numpy as np
import pytest

from replaytree import cli
from replaytree.bench import baselines as measured
from replaytree.bench.baselines import Job, Outcome, Trained, compared
from replaytree.data import load_data


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Digits, a tenth of which is the test part."""
    data = load_data("digits", val_fraction=0.1, seed=0)
    file = tmp_path_factory.mktemp("images") / "small.npz"
    parts = {"train": (data.train_images, data.train_labels), "test": (data.val_images, data.val_labels)}
    np.savez(file, **{f"{part}_{name}": own[name == "y"].numpy() for part, own in parts.items() for name in "xy"})
    return str(file)


def trained(name, accuracy):
    return Trained(name, "conv32k3", 10, 100, 3, 6.0, accuracy)


def test_differences_are_of_the_test_accuracies_seed_by_seed():
    jobs = [Job("resnet8", seed, 1.0, 3, ()) for seed in (4, 5)]
    pairs = [(0.75, 0.5), (0.5, 0.5)]
    outcomes = [
        Outcome(job, 7, trained("found", ours), trained("resnet8", theirs))
        for job, (ours, theirs) in zip(jobs, pairs, strict=True)
    ]
    row = compared(outcomes)
    assert (row.first_mean, row.second_mean, row.points, row.low, row.high, row.n) == (0.625, 0.5, 12.5, 0.0, 25.0, 2)


@pytest.mark.parametrize(("each", "expected"), [(1e-9, None), (1e9, 1), (0.4, "as fit")])
def test_a_baseline_has_as_many_whole_epochs_as_fit_and_at_least_one(monkeypatch, images, each, expected):
    asked = []
    monkeypatch.setattr(measured, "epoch_seconds", lambda subject: each)

    def instead(name, subject, *, epochs, seed, before=0.0):
        asked.append((name, epochs, before))
        return Trained(name, " ".join(subject.labels), 1, 1, epochs, before + 2.0, 0.5)

    monkeypatch.setattr(measured, "_trained", instead)
    outcome = measured.run_job(Job("resnet8", 0, 0.02, 3, (("dataset", images), ("max_layers", 2))))
    (_, ours, searched), (name, epochs, _) = asked
    assert (name, ours) == ("resnet8", 3)
    assert outcome.trainings >= 1
    assert searched > 0.0
    assert epochs == {None: int((searched + 2.0) / each), 1: 1, "as fit": int((searched + 2.0) / 0.4)}[expected]


def test_the_command(tmp_path, capsys, images):
    few = ["--minutes", "0.02", "--epochs", "1", "--option", f"dataset={images}", "--option", "max_flops=100000"]
    with pytest.raises(SystemExit, match="0"):
        cli.main(["bench", "baselines", "--baseline", "ds-cnn", "--seeds", "2", *few, "--json", str(tmp_path / "j")])
    assert "ds-cnn" in capsys.readouterr().out
    found = json.loads((tmp_path / "j").read_text())
    for outcome in found["outcomes"]:
        assert outcome["found"]["epochs"] == 1
        # Epochs of the baseline are estimated from a few steps, and one is the least.
        assert outcome["baseline"]["epochs"] >= 1
        # It is scaled to the limits of the search; as published it has 5,227,136 FLOPs on images of 32 x 32.
        assert outcome["baseline"]["flops"] <= 100_000
        assert outcome["found"]["flops"] <= 100_000
        assert 0.0 <= outcome["baseline"]["test_accuracy"] <= 1.0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--baseline", "resnet9"], "'resnet9' is not a baseline; these are: resnet8, resnet18,"),
        (["--option", "no_such=1"], "no_such"),
        ([], "digits has no test images, by which networks are compared"),
    ],
)
def test_what_cannot_be_compared(capsys, words, told):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["bench", "baselines", *words])
    assert told in capsys.readouterr().err
